"""What the segmenter needs of a SAM model: SAM 2, or SAM 3's tracker, which has SAM 2's prompts and mask decoder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from segr1_app.domain import ImageSize, ObjectPrompt
from segr1_app.models.embeddings import Embedding

Logits = npt.NDArray[np.float32]


class Predictor(Protocol):
    """A SAM model in eval mode, on its device. One caller at a time, in inference mode."""

    @property
    def model(self) -> torch.nn.Module: ...

    @property
    def encoder_weights(self) -> tuple[str, ...]:
        """Names of the weights that embeddings depend on begin with one of these."""
        ...

    @property
    def input_side(self) -> int:
        """Side in pixels of the square to which pictures are resized."""
        ...

    @property
    def mask_input_side(self) -> int:
        """Side in pixels of the masks that `predict` can start from."""
        ...

    @property
    def mask_threshold(self) -> float:
        """The logit above which a pixel is foreground."""
        ...

    def encode(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> tuple[torch.Tensor, ...]:
        """The maps of an `Embedding`, one batch for all pictures: ``image_embed`` first, then ``high_res``.

        Args:
            pictures: RGB (height, width, 3).
        """
        ...

    def predict(
        self,
        embedding: Embedding,
        prompt: ObjectPrompt,
        mask_input: Logits | None,
        frame: ImageSize,
        *,
        best_of_three: bool,
    ) -> tuple[Logits, npt.NDArray[np.float32]]:
        """Decode one prompt, which has a box, points or a mask input.

        Args:
            embedding: what was encoded.
            prompt: in the pixels of ``frame``.
            mask_input: logits (1, `mask_input_side`, `mask_input_side`) of the mask to refine.
            frame: the size of the masks.
            best_of_three: whether all three of the model's masks are returned instead of its single one.

        Returns:
            Logits (N, height, width) and confidences (N,), N being 1 or 3.
        """
        ...


def encoder_identity(predictor: Predictor) -> str:
    """Identifies a segmenter's embeddings: SHA-256, in hex, of the weights that they depend on, as these are in memory
    (a hub id does not identify a revision), its input side, and the kind of device, whose number format they are in.

    The rest of the mask decoder and the prompt encoder may be trained without a picture being encoded again.
    """
    model = predictor.model
    digest = hashlib.sha256(f"{predictor.input_side}:{next(model.parameters()).device.type}".encode())
    for name, value in model.state_dict().items():
        if name.startswith(predictor.encoder_weights):
            digest.update(name.encode())
            digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
