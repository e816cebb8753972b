"""SAM 3's tracker (arXiv 2511.16719): SAM 2's prompts and mask decoder over another encoder, run by transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate
from transformers import Sam3ImageProcessor, Sam3TrackerModel, Sam3TrackerProcessor

from segr1_app.domain import ImageSize, ObjectPrompt
from segr1_app.models.embeddings import Embedding
from segr1_app.models.predictor import Logits

LEVELS: Final = 3
"""The tracker uses the three finer maps of its encoder; the coarsest one is for the concept model."""


class Sam3Predictor:
    """SAM 3's tracker as a `Predictor`.

    Args:
        model: in eval mode.
    """

    encoder_weights: Final = ("vision_encoder.", "no_memory_embedding", "mask_decoder.conv_s")
    mask_threshold: Final = 0.0

    def __init__(self, model: Sam3TrackerModel) -> None:
        self._model = model
        side = self.input_side
        # The sizes and colours of a SAM 3 are always these: no file of the model's folder is asked for them.
        self._processor = Sam3TrackerProcessor(Sam3ImageProcessor(size={"height": side, "width": side}))

    @property
    def model(self) -> torch.nn.Module:
        return self._model

    @property
    def input_side(self) -> int:
        return cast(int, self._model.prompt_encoder.input_image_size)

    @property
    def mask_input_side(self) -> int:
        return int(self._model.prompt_encoder.mask_input_size[0])

    def encode(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> tuple[torch.Tensor, ...]:
        pixels = self._processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        found = self._model.get_image_features(pixels.to(self._model.device))
        # (H * W, batch, C), the finest first. `get_image_embeddings` of transformers 5 would add the embedding that
        # stands for "no memory" to the coarsest map, which the decoder does not see.
        levels = list(found.fpn_hidden_states[:LEVELS])
        levels[-1] = levels[-1] + self._model.no_memory_embedding
        maps = [
            level.permute(1, 2, 0).unflatten(2, tuple(size))
            for level, size in zip(levels, self._model.backbone_feature_sizes, strict=True)
        ]
        return (maps[-1], *maps[:-1])

    def predict(
        self,
        embedding: Embedding,
        prompt: ObjectPrompt,
        mask_input: Logits | None,
        frame: ImageSize,
        *,
        best_of_three: bool,
    ) -> tuple[Logits, npt.NDArray[np.float32]]:
        device, points = self._model.device, prompt.points
        inputs = self._processor(
            input_points=[[[[p.x, p.y] for p in points]]] if points else None,
            input_labels=[[[p.label for p in points]]] if points else None,
            input_boxes=[[list(prompt.box.xyxy)]] if prompt.box else None,
            original_sizes=[[frame.height, frame.width]],
        )
        prompts = {name: values.to(device) for name, values in inputs.items() if name.startswith("input_")}
        if mask_input is not None:
            prompts["input_masks"] = torch.from_numpy(mask_input[np.newaxis]).to(device)
        found = self._model(
            image_embeddings=[*embedding.high_res, embedding.image_embed],
            multimask_output=best_of_three,
            **prompts,
        )
        logits = interpolate(found.pred_masks[0].float(), (frame.height, frame.width), mode="bilinear")
        return logits[0].cpu().numpy(), found.iou_scores[0, 0].float().cpu().numpy()
