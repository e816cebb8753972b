"""SAM 2 (Ravi et al., 2024, arXiv 2408.00714), run through the image predictor of the ``sam2`` package."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from sam2.sam2_image_predictor import SAM2ImagePredictor

from segr1_app.domain import ImageSize, ObjectPrompt
from segr1_app.models.embeddings import Embedding
from segr1_app.models.predictor import Logits


class Sam2Predictor:
    """Any ``sam2`` model as a `Predictor`.

    Args:
        model: a ``sam2.modeling.sam2_base.SAM2Base`` in eval mode.
    """

    encoder_weights: Final = ("image_encoder.", "no_mem_embed", "sam_mask_decoder.conv_s")

    def __init__(self, model: torch.nn.Module) -> None:
        with warnings.catch_warnings():
            # sam2 compiles its transforms with TorchScript; torch's warnings about that do not concern users of the
            # app.
            warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
            self._predictor = SAM2ImagePredictor(model)
        side = self.input_side
        # The predictor assumes 1024 px; the maps of any other size have strides 4, 8 and 16 all the same.
        self._predictor._bb_feat_sizes = [(side // stride, side // stride) for stride in (4, 8, 16)]

    @property
    def model(self) -> torch.nn.Module:
        model: torch.nn.Module = self._predictor.model
        return model

    @property
    def input_side(self) -> int:
        return int(self._predictor.model.image_size)

    @property
    def mask_input_side(self) -> int:
        return self.input_side // 4

    @property
    def mask_threshold(self) -> float:
        return float(self._predictor.mask_threshold)

    def inputs(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
        """RGB pictures, uint8 (height, width, 3), as the model's input: float (B, 3, S, S), normalised."""
        batch: torch.Tensor = self._predictor._transforms.forward_batch(list(pictures))
        return batch.to(self._predictor.device)

    def encode(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> tuple[torch.Tensor, ...]:
        self._predictor.set_image_batch(list(pictures))
        features = self._predictor._features
        self._predictor.reset_predictor()
        return (features["image_embed"], *features["high_res_feats"])

    def predict(
        self,
        embedding: Embedding,
        prompt: ObjectPrompt,
        mask_input: Logits | None,
        frame: ImageSize,
        *,
        best_of_three: bool,
    ) -> tuple[Logits, npt.NDArray[np.float32]]:
        predictor, points = self._predictor, prompt.points
        predictor._features = {"image_embed": embedding.image_embed, "high_res_feats": list(embedding.high_res)}
        # All the predictor knows about the original is this size: prompts and masks are in its frame.
        predictor._orig_hw = [(frame.height, frame.width)]
        predictor._is_image_set = True
        try:
            logits, confidences, _ = predictor.predict(
                point_coords=np.array([(p.x, p.y) for p in points], dtype=np.float32) if points else None,
                point_labels=np.array([p.label for p in points], dtype=np.int32) if points else None,
                box=np.array(prompt.box.xyxy, dtype=np.float32) if prompt.box else None,
                mask_input=mask_input,
                multimask_output=best_of_three,
                # The predictor's own conversion of masks to numpy takes most of its time at megapixels.
                return_logits=True,
            )
        finally:
            predictor.reset_predictor()
        return logits, confidences
