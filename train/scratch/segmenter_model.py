"""The small SAM2 as the trainer sees it: its configuration, its two halves with gradients, its loss and its export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, interpolate
from torchvision.ops import sigmoid_focal_loss

from segr1_app.domain import ObjectPrompt, SettingsError
from segr1_app.files.atomic import whole_path
from segr1_app.models.segmenter_files import CONFIG_FILE, WEIGHTS_FILE
from train.data.prompting import stack_prompts

Sam2: TypeAlias = Any
"""A ``sam2.modeling.sam2_base.SAM2Base``; the package ships no types."""
PIXEL_MEAN, PIXEL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""The normalisation of sam2.utils.transforms.SAM2Transforms."""
ZOOM = 1.25
"""How far the app zooms in on a prompt with this model (`segr1_app.models.zoom`): the best of five values on
training pairs."""
CLEAN = 0.01
"""The fraction of a mask's area below which the app removes specks and holes: the best of five values on held-out
training pairs, where it raises the IoU of three masks in four (by .002 on average) and lowers that of one in six.
"""
FOCAL_WEIGHT = 20.0
"""The weight of the focal loss against Dice, as SAM 2 was trained with (Ravi et al., 2024, appendix D)."""
LOSS_STRIDE = 2
"""The loss uses masks with half the input's side: twice as fine as the logits, because they are upsampled for use."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The size of the model.

    Attributes:
        image_size: side of the square the model sees, in pixels, a multiple of 32.
        trunk_width: channels of the trunk's first stage.
        stages: blocks in each of its four stages.
        d_model: channels of neck and decoder.
    """

    image_size: int = 320
    trunk_width: int = 40
    stages: tuple[int, int, int, int] = (1, 2, 4, 2)
    d_model: int = 128

    def __post_init__(self) -> None:
        if self.image_size <= 0 or self.image_size % 32:
            raise SettingsError(f"The segmenter's image size has to be a multiple of 32, got {self.image_size}.")


def model_config(shape: ModelShape) -> DictConfig:
    """The hydra configuration of the model, as under ``model`` in sam2's own files, with its zoom and its cleaning.

    Pictures need no memory of earlier frames: memory attention and memory encoder are left out.
    """
    width, d_model = shape.trunk_width, shape.d_model
    third, fourth = sum(shape.stages[:2]), sum(shape.stages[:3])
    position = {
        "_target_": "sam2.modeling.position_encoding.PositionEmbeddingSine",
        "num_pos_feats": d_model,
        "normalize": True,
        "scale": None,
        "temperature": 10000,
    }
    trunk = {
        "_target_": "sam2.modeling.backbones.hieradet.Hiera",
        "embed_dim": width,
        "num_heads": 1,
        "stages": list(shape.stages),
        # Such a small map allows global attention. A stage's first block pools by windows and cannot be global.
        "global_att_blocks": [*range(third + 1, fourth), *range(fourth + 1, sum(shape.stages))],
        "window_spec": [8, 8, 8, 8],
        "window_pos_embed_bkg_spatial_size": [8, 8],
    }
    neck = {
        "_target_": "sam2.modeling.backbones.image_encoder.FpnNeck",
        "position_encoding": position,
        "d_model": d_model,
        "backbone_channel_list": [width * 8, width * 4, width * 2, width],
        "fpn_top_down_levels": [0, 1, 2, 3],
        "fpn_interp_model": "nearest",
    }
    model = {
        "_target_": "sam2.modeling.sam2_base.SAM2Base",
        "image_encoder": {
            "_target_": "sam2.modeling.backbones.image_encoder.ImageEncoder",
            "scalp": 1,
            "trunk": trunk,
            "neck": neck,
        },
        "memory_attention": None,
        "memory_encoder": None,
        "num_maskmem": 0,
        "image_size": shape.image_size,
        "directly_add_no_mem_embed": True,
        "use_high_res_features_in_sam": True,
        "multimask_output_in_sam": True,
        "iou_prediction_use_sigmoid": True,
        # The single-mask token is trained on every prompt, so falling back to the other three would be worse.
        "sam_mask_decoder_extra_args": {"dynamic_multimask_via_stability": False},
    }
    return OmegaConf.create({"model": model, "zoom": ZOOM, "clean": CLEAN})


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The encoder's maps: float (B, C, S/16, S/16), and (B, C/8, S/4, S/4) and (B, C/4, S/8, S/8)."""

    embed: Tensor
    high_res: tuple[Tensor, ...]

    def repeated(self, times: int) -> Features:
        """Each picture's maps repeated ``times`` times, for as many prompts."""
        return Features(
            self.embed.repeat_interleave(times, 0), tuple(level.repeat_interleave(times, 0) for level in self.high_res)
        )


def to_input(pictures: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """uint8 (B, S, S, 3) RGB pictures as the normalised float (B, 3, S, S) that SAM2's predictor makes from them."""
    pixels = torch.tensor(pictures, device=device).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
    return (pixels - mean) / std


def encode(model: Sam2, images: Tensor) -> Features:
    """What ``SAM2ImagePredictor.set_image`` does, for a batch and with gradients."""
    _, maps, _, sizes = model._prepare_backbone_features(model.forward_image(images))
    maps[-1] = maps[-1] + model.no_mem_embed
    fine, middle, coarse = (
        level.permute(1, 2, 0).reshape(len(images), -1, *size) for level, size in zip(maps, sizes, strict=True)
    )
    return Features(coarse, (fine, middle))


def decode_masks(
    model: Sam2, features: Features, prompts: Sequence[ObjectPrompt], low_res: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What ``SAM2ImagePredictor.predict`` does, for one prompt per picture, with gradients and for all mask tokens.

    Args:
        features: features of as many pictures as there are prompts.
        prompts: in the square frame of the model's input, in pixels.
        low_res: float (B, 1, S/4, S/4), the logits of an earlier answer, or None.

    Returns:
        Logits float (B, 4, S/4, S/4), the single-mask token first, and predicted IoU float (B, 4).
    """
    points = tuple(torch.from_numpy(values).to(features.embed.device) for values in stack_prompts(prompts))
    sparse, dense = model.sam_prompt_encoder(points=points, boxes=None, masks=low_res)
    logits, quality, _, _ = model.sam_mask_decoder.predict_masks(
        image_embeddings=features.embed,
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=list(features.high_res),
    )
    return logits.float(), quality.float()


def mask_loss(logits: Tensor, quality: Tensor, truth: Tensor, *, focal: bool = False) -> tuple[Tensor, Tensor]:
    """The loss of one round of answers: masks by pixels and Dice, predicted IoU by its distance from the IoU.

    Pixels are compared by a cross-entropy that is heavier at the outline; or by the focal loss, twenty times as heavy
    as Dice, which SAM 2 was trained with (Ravi et al., 2024, appendix D), for a model whose easy pixels
    are already correct.

    The single-mask token answers for every prompt; of the other three, only the best one is trained, so that they can
    specialise (Kirillov et al., 2023, section 3).

    Args:
        logits: float (B, 4, S/4, S/4).
        quality: float (B, 4), the predicted IoU.
        truth: float (B, 1, S/2, S/2), the fraction of foreground in each cell.
        focal: whether pixels are compared by the focal loss.

    Returns:
        The mean loss, and the single-mask token's logits at the truth's size, (B, 1, S/2, S/2).
    """
    fine = interpolate(logits[:, :1], truth.shape[-2:], mode="bilinear", align_corners=False)
    coarse_truth = avg_pool2d(truth, truth.shape[-1] // logits.shape[-1])
    pixel_loss = _focal_loss if focal else _outline_entropy
    several_truth = coarse_truth.expand(-1, 3, -1, -1)
    single = pixel_loss(fine, truth) + _dice_loss(fine, truth)
    several = pixel_loss(logits[:, 1:], several_truth) + _dice_loss(logits[:, 1:], several_truth)
    best, chosen = several.min(dim=1)
    actual = torch.cat([_iou(fine, truth), _iou(logits[:, 1:], coarse_truth)], dim=1)
    distance = (quality - actual).abs()
    judged = distance[:, 0] + distance[:, 1:].gather(1, chosen[:, None])[:, 0]
    return (single[:, 0] + 0.5 * best + 0.5 * judged).mean(), fine


def export(weights: Mapping[str, Tensor], config: DictConfig, folder: Path) -> None:
    """Write a segmenter folder for `load_segmenter_files`, in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / CONFIG_FILE)
    with whole_path(folder / WEIGHTS_FILE, lasting=True) as partial:
        save_file({name: value.half().contiguous() for name, value in weights.items()}, partial)


def _outline_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy, three times as heavy at the outline, per mask: (B, M)."""
    with torch.no_grad():
        outline = (avg_pool2d(truth, 5, stride=1, padding=2, count_include_pad=False) - truth).abs()
        weight = 1 + 4 * outline
    return binary_cross_entropy_with_logits(logits, truth, weight=weight, reduction="none").mean(dim=(2, 3))


def _focal_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """The focal loss (Lin et al., 2017, arXiv 1708.02002), weighted against Dice, per mask: (B, M)."""
    losses: Tensor = sigmoid_focal_loss(logits, truth.to(logits.dtype), reduction="none")
    return FOCAL_WEIGHT * losses.mean(dim=(2, 3))


def _dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """One minus the Dice coefficient of the masks' shares of foreground, per mask: (B, M)."""
    shares = logits.sigmoid()
    overlap = (shares * truth).sum(dim=(2, 3))
    return 1 - (2 * overlap + 1) / (shares.sum(dim=(2, 3)) + truth.sum(dim=(2, 3)) + 1)


@torch.no_grad()
def _iou(logits: Tensor, truth: Tensor) -> Tensor:
    found, real = logits > 0, truth > 0.5
    return (found & real).sum(dim=(2, 3)) / (found | real).sum(dim=(2, 3)).clamp(min=1)
