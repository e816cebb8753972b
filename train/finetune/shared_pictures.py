"""Encode a picture once for all completions of its group.

trl gives every completion a copy of its picture, for generation and for training. Their features are equal, so one
encoding serves all copies, and the gradients of the copies are summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, Qwen2_5_VLForConditionalGeneration


def share_pictures(policy: PreTrainedModel) -> None:
    """Make a Qwen2.5-VL, in place, encode equal pictures of a batch only once.

    Other models are not changed: their towers return more than the pictures' features.
    """
    if not isinstance(policy, Qwen2_5_VLForConditionalGeneration):
        return
    # Any, because a method is replaced; on the class, so that repeating this changes nothing.
    model: Any = policy.model
    encode = partial(type(model).get_image_features, model)

    def encode_once(pixel_values: Tensor, image_grid_thw: Tensor, **options: Any) -> Any:
        pictures = torch.split(pixel_values, image_grid_thw.prod(-1).tolist())
        kept, which = distinct(pictures, image_grid_thw)
        encoded = encode(torch.cat([pictures[index] for index in kept]), image_grid_thw[kept], **options)
        encoded.pooler_output = tuple(encoded.pooler_output[index] for index in which)
        return encoded

    model.get_image_features = encode_once


def distinct(pictures: Sequence[Tensor], grids: Tensor) -> tuple[list[int], list[int]]:
    """The distinct pictures, and the index of each picture among them.

    Args:
        pictures: float (patches, values), one each.
        grids: int (N, 3), their patches in time, height and width: the same values in another shape are a different
            picture.

    Returns:
        The indices of the distinct ones, and for each of the N its position among them.
    """
    kept: list[int] = []
    which: list[int] = []
    for index, picture in enumerate(pictures):
        same = (
            place
            for place, other in enumerate(kept)
            if torch.equal(grids[index], grids[other]) and torch.equal(picture, pictures[other])
        )
        place = next(same, len(kept))
        if place == len(kept):
            kept.append(index)
        which.append(place)
    return kept, which
