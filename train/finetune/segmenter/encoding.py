"""The image encoder in training: frozen, its maps kept on disk, or with adapters that learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn

from segr1_app.models.embeddings import EmbeddingFolder
from segr1_app.models.sam2_predictor import Sam2Predictor
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.models.zoom import pixels_in_window
from train.finetune.segmenter.views import View
from train.scratch.segmenter_model import Features, Sam2, encode

ADAPTED = r"(trunk\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.layers\.\d+)|neck\.convs\.\d+\.conv)"
"""The layers of SAM 2's image encoder that get adapters: attention and MLPs of the trunk, convolutions of the neck."""


class Encoder(Protocol):
    """What a training needs of an image encoder."""

    def parts(self) -> dict[str, nn.Module]:
        """What is trained of it, by name."""
        ...

    def features(self, views: Sequence[View]) -> Features:
        """The maps of some views, as one batch."""
        ...

    def finish(self) -> None:
        """Leave the segmenter's model as it was built, with what was learnt in its weights."""
        ...


class FrozenEncoder:
    """Encodes each window once, and keeps it on disk.

    Args:
        segmenter: the model before training.
        folder: keeps embeddings.
    """

    def __init__(self, segmenter: Sam2Segmenter, folder: EmbeddingFolder) -> None:
        self._segmenter, self._folder = segmenter, folder

    def parts(self) -> dict[str, nn.Module]:
        return {}

    def features(self, views: Sequence[View]) -> Features:
        """The maps of some views, as one batch.

        Raises:
            SegR1Error: when the folder of embeddings cannot be used.
        """
        seen = [self._segmenter.encode_window(view.picture, view.window, self._folder) for view in views]
        levels = zip(*(each.high_res for each in seen), strict=True)
        return Features(torch.cat([each.image_embed for each in seen]), tuple(torch.cat(level) for level in levels))

    def finish(self) -> None:
        pass


class AdaptedEncoder:
    """An encoder whose weights stay as they are, with low-rank adapters that learn (Hu et al., 2022, LoRA).

    Args:
        segmenter: its model gets the adapters, until `finish`.
        rank: of the adapters.
    """

    def __init__(self, segmenter: Sam2Segmenter, rank: int) -> None:
        assert isinstance(segmenter.predictor, Sam2Predictor), "only SAM 2 is trained"
        self._model: Sam2 = segmenter.model
        self._predictor = segmenter.predictor
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=ADAPTED)
        encoder: Any = self._model.image_encoder
        self._encoder: Any = get_peft_model(encoder, config)
        self._model.image_encoder = self._encoder

    def parts(self) -> dict[str, nn.Module]:
        adapters = [module for module in self._encoder.modules() if isinstance(module, LoraLayer)]
        return {"adapters": nn.ModuleList([part for each in adapters for part in (each.lora_A, each.lora_B)])}

    def features(self, views: Sequence[View]) -> Features:
        # Copied, because torch warns about read-only arrays.
        crops = [pixels_in_window(view.picture.pixels, view.window).copy() for view in views]
        return encode(self._model, self._predictor.inputs(crops))

    def finish(self) -> None:
        self._model.image_encoder = self._encoder.merge_and_unload()
