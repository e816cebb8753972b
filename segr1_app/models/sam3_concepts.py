"""SAM 3's concept model (arXiv 2511.16719, run by transformers), which finds all instances of a word or an example."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from transformers import CLIPTokenizer, Sam3ImageProcessor, Sam3Model, Sam3Processor

from segr1_app.domain import Box, ImageSize, ModelError
from segr1_app.images.pictures import Picture
from segr1_app.language.typed_text import one_line
from segr1_app.models.concepts import MOST_FOUND, Instance
from segr1_app.models.sam3_files import MOST_TOKENS, load_concept_model, load_tokenizer

LEAST_SCORE: Final = 0.5
"""Instances that the model is less sure of are not proposed; as in SAM 3's own examples."""


class Sam3Concepts:
    """SAM 3's concept model with its processor; one caller at a time.

    Args:
        model: in eval mode, on its device.
        tokenizer: of its text encoder.
    """

    def __init__(self, model: Sam3Model, tokenizer: CLIPTokenizer) -> None:
        self._model, self._tokenizer = model, tokenizer
        side = model.config.image_size
        self._processor = Sam3Processor(Sam3ImageProcessor(size={"height": side, "width": side}), tokenizer)
        # Of the last picture: several questions are asked about one.
        self._seen: tuple[str, Any] | None = None

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Sam3Concepts:
        """Load the model in a SAM 3's folder.

        Raises:
            ModelError: when the folder is incomplete or damaged, describes something else, or does not fit into memory.
        """
        try:
            model = load_concept_model(folder, device)
        except torch.OutOfMemoryError as error:
            raise ModelError(f"The concept model does not fit into the memory of {device}.") from error
        return cls(model, load_tokenizer(folder, model.vocab_size))

    def find(self, picture: Picture, words: str, example: Box | None) -> list[Instance]:
        """Every instance in a picture, the likeliest first; see `ConceptHost.find`.

        Raises:
            ModelError: when there are too many words, or the device runs out of memory.
        """
        tokens = len(self._tokenizer(words)["input_ids"])
        if tokens > MOST_TOKENS:
            raise ModelError(f"These words are {tokens} tokens, and {MOST_TOKENS} fit: use fewer.")
        device = self._model.device
        try:
            with (
                torch.inference_mode(),
                torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"),
            ):
                inputs = self._processor(
                    original_sizes=[[picture.size.height, picture.size.width]],
                    text=words or None,
                    input_boxes=None if example is None else [[list(example.xyxy)]],
                    return_tensors="pt",
                )
                del inputs["original_sizes"]
                found = self._model(vision_embeds=self._encoded(picture), **inputs.to(device))
        except torch.OutOfMemoryError as error:
            raise ModelError("The concept model ran out of GPU memory: use --device cpu.") from error
        except (RuntimeError, ValueError, IndexError) as error:
            raise ModelError(
                f"The parts of the concept model do not fit together: {one_line(str(error))[:300]}"
            ) from error
        return _instances(found, picture.size)

    def _encoded(self, picture: Picture) -> Any:
        if self._seen is None or self._seen[0] != picture.sha256:
            self._seen = None  # freed before the next one is made
            # Copied, because torch warns about read-only arrays.
            pixels = self._processor(images=[picture.pixels.copy()], return_tensors="pt")["pixel_values"]
            self._seen = picture.sha256, self._model.get_vision_features(pixels.to(self._model.device))
        return self._seen[1]


def _instances(found: Any, size: ImageSize) -> list[Instance]:
    """What the model found with enough confidence, the likeliest first."""
    scores = (found.pred_logits.float().sigmoid() * found.presence_logits.float().sigmoid())[0]
    order = [int(index) for index in scores.argsort(descending=True)[:MOST_FOUND] if scores[index] >= LEAST_SCORE]
    instances = []
    for index in order:
        left, top, right, bottom = found.pred_boxes[0, index].float().clamp(0, 1).tolist()
        if left >= right or top >= bottom:
            continue
        box = Box(left * size.width, top * size.height, right * size.width, bottom * size.height)
        instances.append(Instance(box, (found.pred_masks[0, index] > 0).cpu().numpy(), float(scores[index])))
    return instances
