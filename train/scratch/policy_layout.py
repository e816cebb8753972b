"""The token positions of a batch, and attention within its pictures.

transformers computes both picture by picture and row by row. These many small steps take a GPU longer than the model
itself: here positions are computed on the CPU by transformers' own functions while the batch is drawn, and all pictures
of a batch go through attention at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, Qwen2_5_VLForConditionalGeneration
from transformers.vision_utils import get_vision_cu_seqlens, get_vision_position_ids, get_vision_window_index

from train.scratch.policy_batch import PADDING, PolicyBatch

PACKED: Final = "pictures_in_one_row"


@dataclass(frozen=True, slots=True, eq=False)
class TokenPositions:
    """Positions of a batch's tokens.

    Attributes:
        vision: what the vision tower would derive from the pictures' grids, by its argument names.
        text: int64 (3, B, L), position of every token in time, height and width; (3, 0, 0) without texts.
    """

    vision: dict[str, Any]
    text: Tensor

    def to(self, device: torch.device) -> TokenPositions:
        """Move to a device, except for what the tower needs on the CPU."""
        vision = {name: value if name == "cu_seqlens" else _moved(value, device) for name, value in self.vision.items()}
        return TokenPositions(vision, self.text.to(device, non_blocking=True))


def token_positions(policy: Qwen2_5_VLForConditionalGeneration, batch: PolicyBatch) -> TokenPositions:
    """The positions of a batch, both on the CPU."""
    config, grids = policy.model.visual.config, batch.grids
    merge = config.spatial_merge_size
    window_index, windows = get_vision_window_index(grids, merge, config.window_size, config.patch_size)
    pictures = get_vision_cu_seqlens(grids)
    vision: dict[str, Any] = {
        "position_ids": get_vision_position_ids(grids, merge),
        "window_index": window_index,
        "cu_window_seqlens": windows,
        "cu_seqlens": pictures,
    }
    if policy.model.visual.config._attn_implementation == PACKED:
        # The tower sees one long picture, and its attention receives the boundaries.
        longest = int(pictures.diff().max())
        vision |= {"cu_seqlens": pictures[[0, -1]], "pictures": pictures, "longest": longest}
    images = batch.tokens == policy.config.image_token_id
    text = torch.zeros(3, *batch.tokens.shape, dtype=torch.int64)
    if len(batch.tokens):
        text, _ = policy.model.get_rope_index(
            batch.tokens,
            mm_token_type_ids=images.int(),
            image_grid_thw=grids,
            attention_mask=(batch.questions != PADDING).long(),
        )
    return TokenPositions(vision, text - batch.backwards)


def pack_attention(policy: Qwen2_5_VLForConditionalGeneration) -> None:
    """Make the vision tower attend to all pictures of a batch in one call; requires a GPU."""
    AttentionInterface.register(PACKED, packed_attention)
    policy.model.visual.set_attn_implementation(PACKED)


def packed_attention(
    _: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    pictures: Tensor,
    longest: int,
    **_options: Any,
) -> tuple[Tensor, None]:
    """Attention within each of several pictures, as an attention function of transformers.

    Args:
        query, key, value: (1, heads, tokens, channels), the concatenated tokens of the pictures.
        attention_mask: must be None.
        pictures: int32 (pictures + 1,), where each begins, and where the last ends.
        longest: largest number of tokens of a picture.

    Returns:
        (1, tokens, heads, channels), and no weights.
    """
    assert attention_mask is None
    # The kernel supports only half precision.
    q, k, v = (part[0].transpose(0, 1).to(torch.bfloat16) for part in (query, key, value))
    found = varlen_attn(q, k, v, pictures, pictures, longest, longest)
    assert isinstance(found, Tensor)
    return found[None].to(value.dtype), None


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
