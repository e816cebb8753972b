"""Equal pictures of a batch are encoded once, and the policy learns the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from segr1_app.models.policy import VlmPolicy
from segr1_app.settings.config import DEFAULT_POLICY
from train.data.scenes import draw_scene
from train.finetune.shared_pictures import distinct, share_pictures


def learnt(policy: VlmPolicy, pixels: Tensor, grids: Tensor) -> tuple[list[Tensor], dict[str, Tensor], int]:
    """The pictures' features, the gradients of the tower when each counts otherwise, and how many patches it saw."""
    policy.model.zero_grad()
    seen: list[int] = []
    model: Any = policy.model.model
    hook = model.visual.patch_embed.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    features = list(model.get_image_features(pixels, grids, return_dict=True).pooler_output)
    hook.remove()
    sum(weight * picture.square().mean() for weight, picture in enumerate(features, 1)).backward()
    gradients = {name: value.grad for name, value in model.visual.named_parameters() if value.grad is not None}
    return features, gradients, sum(seen)


def test_copies_get_the_same_features_and_the_tower_the_same_gradients() -> None:
    policy = VlmPolicy.load(DEFAULT_POLICY, device="cpu")
    first, second = (policy.model_inputs(draw_scene("salient", seed).picture, "Segment it.") for seed in (1, 2))
    order = [first, second, first, first, second]
    pixels = torch.cat([given["pixel_values"] for given in order])
    grids = torch.cat([given["image_grid_thw"] for given in order])
    features, gradients, patches = learnt(policy, pixels, grids)
    assert patches == len(pixels)

    share_pictures(policy.model)
    share_pictures(policy.model)
    shared, shared_gradients, patches = learnt(policy, pixels, grids)
    assert patches == len(first["pixel_values"]) + len(second["pixel_values"])
    for one, other in zip(features, shared, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert gradients.keys() == shared_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(shared_gradients[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_the_same_values_in_another_shape_are_another_picture() -> None:
    patches = torch.arange(12.0).reshape(6, 2)
    grids = torch.tensor([[1, 2, 3], [1, 3, 2], [1, 2, 3], [1, 2, 3]])
    changed = patches.clone()
    changed[5, 1] += 1
    assert distinct([patches, patches, patches.clone(), changed], grids) == ([0, 1, 3], [0, 1, 0, 2])
