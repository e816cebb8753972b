"""The embedded segmenter through `Sam2Segmenter`: equal to the bare predictor, pure, cached, RGB."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from sam2.sam2_image_predictor import SAM2ImagePredictor

from segr1_app.domain import Box, ImageSize, ModelError, ObjectPrompt, Point
from segr1_app.images.pictures import picture_from_array
from segr1_app.metrics import iou
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import DEFAULT_SEGMENTER
from tests.scenes import ellipse_scene

PICTURE, TRUTH = ellipse_scene(320, 240, (0.3, 0.6), (0.2, 0.25))
OTHER, _ = ellipse_scene(200, 300, (0.6, 0.3), (0.3, 0.2), seed=1)
BOXED = ObjectPrompt(Box(32, 84, 160, 204), (Point(96, 144, 1), Point(20, 20, 0)))
CLICKED = ObjectPrompt(None, (Point(96, 144, 1),))


def test_masks_are_the_bare_predictors(segmenter: Sam2Segmenter) -> None:
    side = segmenter.model.image_size
    bare = SAM2ImagePredictor(segmenter.model)
    bare._bb_feat_sizes = [(side // stride, side // stride) for stride in (4, 8, 16)]
    bare.set_image(PICTURE.pixels)
    expected, confidence, _ = bare.predict(
        np.array([[96, 144], [20, 20]]), np.array([1, 0]), np.array([32, 84, 160, 204]), multimask_output=False
    )
    (found,) = segmenter.decode(segmenter.encode(PICTURE), [BOXED])
    assert found.mask.dtype == bool
    assert found.mask.shape == (240, 320)
    assert np.array_equal(found.mask, expected[0].astype(bool))
    assert found.confidence == pytest.approx(float(confidence[0]), abs=1e-6)


def test_a_box_around_the_object_finds_it(segmenter: Sam2Segmenter) -> None:
    (found,) = segmenter.decode(segmenter.encode(PICTURE), [BOXED])
    assert iou(found.mask, TRUTH) > 0.7


def test_a_mask_depends_on_nothing_that_was_asked_before(segmenter: Sam2Segmenter) -> None:
    embedding = segmenter.encode(PICTURE)
    first = segmenter.decode(embedding, [BOXED])[0]
    segmenter.decode(segmenter.encode(OTHER), [CLICKED])
    both = segmenter.decode(embedding, [CLICKED, BOXED])
    assert np.array_equal(first.mask, both[1].mask)
    assert first.confidence == both[1].confidence


def test_a_picture_is_encoded_once_while_it_is_cached() -> None:
    fresh = Sam2Segmenter.load(DEFAULT_SEGMENTER, device="cpu")
    encoded = []
    fresh.model.image_encoder.register_forward_hook(lambda *_: encoded.append(1))
    assert fresh.encode(PICTURE) is fresh.encode(PICTURE)
    assert len(encoded) == 1
    size = fresh.encode(PICTURE).nbytes
    small = Sam2Segmenter(fresh.predictor, "small cache", cache_bytes=size)
    first = small.encode(PICTURE)
    small.encode(OTHER)
    assert small.encode(PICTURE) is not first, "the cache holds one picture, so the second one must displace the first"
    none = Sam2Segmenter(fresh.predictor, "no cache", cache_bytes=size - 1)
    assert none.encode(PICTURE).nbytes == size


def test_more_embeddings_of_a_small_model_would_fit_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.models.segmenter.CACHE_WINDOWS", 1)
    fresh = Sam2Segmenter.load(DEFAULT_SEGMENTER, device="cpu")
    first = fresh.encode(PICTURE)
    assert fresh.encode(PICTURE) is first
    fresh.encode(OTHER)
    assert fresh.encode(PICTURE) is not first


def test_red_stays_red(segmenter: Sam2Segmenter) -> None:
    seen: list[torch.Tensor] = []
    hook = segmenter.model.image_encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    try:
        segmenter.encode(picture_from_array(red))
    finally:
        hook.remove()
    channels = seen[0].mean(dim=(0, 2, 3))
    assert channels[0] > 1 > -1 > channels[1]
    assert channels[0] > 1 > -1 > channels[2]


def test_every_point_reaches_the_model(segmenter: Sam2Segmenter) -> None:
    labels: list[list[int]] = []
    hook = segmenter.model.sam_prompt_encoder.register_forward_pre_hook(
        lambda _, __, kwargs: labels.append(kwargs["points"][1][0].tolist()), with_kwargs=True
    )
    try:
        segmenter.decode(segmenter.encode(PICTURE), [BOXED, CLICKED])
    finally:
        hook.remove()
    assert labels == [[2, 3, 1, 0], [1]]  # 2 and 3 mark the corners of a box


def test_a_smaller_mask_is_the_same_mask(segmenter: Sam2Segmenter) -> None:
    embedding = segmenter.encode(PICTURE)
    full = segmenter.decode(embedding, [BOXED])[0]
    small = segmenter.decode(embedding, [BOXED], size=ImageSize(160, 120))[0]
    assert small.mask.shape == (120, 160)
    assert small.confidence == pytest.approx(full.confidence, abs=1e-4)
    enlarged = small.mask.repeat(2, axis=0).repeat(2, axis=1)
    assert iou(enlarged, full.mask) > 0.95


def test_a_mask_to_refine_reaches_the_model_and_nothing_stays_of_it(segmenter: Sam2Segmenter) -> None:
    embedding = segmenter.encode(PICTURE)
    alone = segmenter.decode(embedding, [CLICKED])[0]
    seen: list[torch.Tensor | None] = []
    hook = segmenter.model.sam_prompt_encoder.register_forward_pre_hook(
        lambda _, __, kwargs: seen.append(kwargs["masks"]), with_kwargs=True
    )
    try:
        refined = segmenter.decode(embedding, [CLICKED, CLICKED], mask_inputs=[TRUTH, None])
    finally:
        hook.remove()
    side = segmenter.model.image_size // 4
    assert seen[0] is not None
    assert seen[0].shape == (1, 1, side, side)
    # The ellipse's centre is inside, the corner outside.
    assert seen[0][0, 0, int(0.6 * side), int(0.3 * side)].item() == pytest.approx(10)
    assert seen[0][0, 0, 0, 0].item() == pytest.approx(-10)
    assert seen[1] is None
    assert not np.array_equal(refined[0].mask, alone.mask)
    assert np.array_equal(refined[1].mask, alone.mask)
    again = segmenter.decode(embedding, [CLICKED], mask_inputs=[TRUTH])[0]
    assert np.array_equal(again.mask, refined[0].mask)


def test_a_mask_alone_can_be_refined(segmenter: Sam2Segmenter) -> None:
    (found,) = segmenter.decode(segmenter.encode(PICTURE), [ObjectPrompt()], mask_inputs=[TRUTH])
    assert found.mask.shape == TRUTH.shape
    assert found.confidence > 0


def test_starts_are_one_per_object(segmenter: Sam2Segmenter) -> None:
    with pytest.raises(ValueError, match="1 mask inputs were given for 2 objects"):
        segmenter.decode(segmenter.encode(PICTURE), [CLICKED, BOXED], mask_inputs=[TRUTH])


def test_nothing_asked_is_nothing_found(segmenter: Sam2Segmenter) -> None:
    embedding = segmenter.encode(PICTURE)
    assert segmenter.decode(embedding, []) == ()
    (empty,) = segmenter.decode(embedding, [ObjectPrompt()])
    assert not empty.mask.any()
    assert empty.confidence == 0


def test_threads_do_not_mix_their_pictures(segmenter: Sam2Segmenter) -> None:
    def mask(picture: object) -> np.ndarray:
        return segmenter.decode(segmenter.encode(picture), [CLICKED])[0].mask  # type: ignore[arg-type]

    alone = {picture.sha256: mask(picture) for picture in (PICTURE, OTHER)}
    wrong: list[str] = []

    def work(picture: object) -> None:
        same = (np.array_equal(mask(picture), alone[picture.sha256]) for _ in range(5))  # type: ignore[attr-defined]
        wrong.extend("mixed" for right in same if not right)

    threads = [threading.Thread(target=work, args=(picture,)) for picture in (PICTURE, OTHER) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_missing_segmenter_is_named_with_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"facebook/sam2\.1-hiera-large"):
        Sam2Segmenter.load("nobody/none", device="cpu")
    with pytest.raises(ModelError, match=r"config\.yaml and model\.safetensors missing"):
        Sam2Segmenter.load(tmp_path, device="cpu")
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE forbids downloading"):
        Sam2Segmenter.load("facebook/sam2.1-hiera-tiny", device="cpu")


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes((DEFAULT_SEGMENTER / "config.yaml").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(ModelError, match="damaged"):
        Sam2Segmenter.load(tmp_path, device="cpu")
