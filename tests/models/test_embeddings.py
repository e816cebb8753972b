"""Embeddings on disk: reused by the next process, never another segmenter's, never damaged, never too many."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from segr1_app.domain import Box, ObjectPrompt, Point, SegR1Error
from segr1_app.images.pictures import load_picture
from segr1_app.metrics import iou
from segr1_app.models.embeddings import SUFFIX, Embedding, EmbeddingFolder
from segr1_app.models.sam2_predictor import Sam2Predictor
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.studio.samples import find_samples
from tests.scenes import ellipse_scene

PICTURES = [ellipse_scene(96, 80, (0.4, 0.5), (0.2, 0.3), seed=seed)[0] for seed in range(5)]
PICTURE = PICTURES[0]
CPU = torch.device("cpu")


def embedding(seed: int = 0) -> Embedding:
    values = torch.Generator().manual_seed(seed)
    shapes = (1, 128, 16, 16), (1, 16, 64, 64), (1, 32, 32, 32)
    image_embed, *high_res = (30 * torch.randn(shape, generator=values) for shape in shapes)
    return Embedding(image_embed, tuple(high_res), PICTURE.size)


def equal(one: Embedding, other: Embedding) -> bool:
    levels = zip((one.image_embed, *one.high_res), (other.image_embed, *other.high_res), strict=True)
    return one.image_size == other.image_size and all(torch.equal(a, b) for a, b in levels)


def kept(folder: Path) -> dict[str, Path]:
    """The kept embeddings by the picture's hash."""
    return {path.name.removesuffix(SUFFIX): path for path in folder.glob(f"*/*{SUFFIX}")}


def test_a_picture_is_encoded_once_for_all_processes(segmenter: Sam2Segmenter, tmp_path: Path) -> None:
    photograph = load_picture(find_samples()[0].path)
    width, height = photograph.size
    prompts = [
        ObjectPrompt(Box(width / 4, height / 4, width * 3 / 4, height * 3 / 4)),
        ObjectPrompt(None, (Point(width / 2, height / 2, 1),)),
    ]
    # Nothing in memory, as in a process that just started.
    forgetful = Sam2Segmenter(
        segmenter.predictor, "forgetful", clean=segmenter.clean, cache_bytes=0, embeddings=EmbeddingFolder(tmp_path)
    )
    encoded: list[int] = []
    hook = segmenter.model.image_encoder.register_forward_hook(lambda *_: encoded.append(1))
    try:
        first, again = (forgetful.encode(photograph) for _ in range(2))
    finally:
        hook.remove()
    assert len(encoded) == 1
    # What was just encoded is rounded, too: no mask depends on what was kept.
    assert equal(first, again)
    exact, rounded = segmenter.decode(segmenter.encode(photograph), prompts), forgetful.decode(again, prompts)
    assert all(iou(a.mask, b.mask) > 0.999 for a, b in zip(exact, rounded, strict=True))


def test_what_is_kept_is_half_precision_and_read_as_it_was_given_back(tmp_path: Path) -> None:
    exact = embedding()
    given_back = EmbeddingFolder(tmp_path).keep("s", PICTURE, exact)
    read = EmbeddingFolder(tmp_path).read("s", PICTURE, CPU)
    assert read is not None
    assert equal(given_back, read)
    assert read.image_embed.dtype == torch.float32
    assert torch.equal(read.high_res[1], exact.high_res[1].half().float())
    assert {values.dtype for values in load_file(kept(tmp_path)[PICTURE.sha256]).values()} == {torch.float16}
    assert EmbeddingFolder(tmp_path).read("s", PICTURES[1], CPU) is None
    assert EmbeddingFolder(tmp_path).read("t", PICTURE, CPU) is None


def test_another_segmenter_never_reads_it(segmenter: Sam2Segmenter, tmp_path: Path) -> None:
    other, larger = copy.deepcopy(segmenter.model), copy.deepcopy(segmenter.model)
    with torch.no_grad():
        next(other.image_encoder.parameters()).flatten()[0] += 1e-3
    larger.image_size = 512
    for model in (segmenter.model, other, larger):
        Sam2Segmenter(Sam2Predictor(model), "same name", embeddings=EmbeddingFolder(tmp_path)).encode(PICTURE)
    found = [load_file(path)["image_embed"] for path in tmp_path.glob(f"*/{PICTURE.sha256}{SUFFIX}")]
    assert len(found) == 3
    assert {values.shape[-1] for values in found} == {segmenter.input_side // 16, larger.image_size // 16}


@pytest.mark.parametrize("damage", ["cut short", "empty", "one bit", "one shape"])
def test_what_is_damaged_counts_as_missing_and_is_replaced(tmp_path: Path, damage: str) -> None:
    folder = EmbeddingFolder(tmp_path)
    whole = folder.keep("s", PICTURE, embedding())
    (path,) = kept(tmp_path).values()
    content = path.read_bytes()
    # With another shape, the header still tells as many values as there are.
    damaged = {
        "cut short": content[:-1000],
        "empty": b"",
        "one bit": content[:-1000] + bytes([content[-1000] ^ 1]) + content[-999:],
        "one shape": content.replace(b"[1,32,32,32]", b"[32,1,32,32]"),
    }
    assert damaged[damage] != content
    path.write_bytes(damaged[damage])
    assert folder.read("s", PICTURE, CPU) is None
    folder.keep("s", PICTURE, embedding())
    again = folder.read("s", PICTURE, CPU)
    assert again is not None
    assert equal(again, whole)


def test_the_folder_is_bounded_and_keeps_what_is_asked_for(tmp_path: Path) -> None:
    foreign = tmp_path / "model" / "model.safetensors"
    foreign.parent.mkdir()
    foreign.write_bytes(bytes(10**6))
    EmbeddingFolder(tmp_path).keep("s", PICTURES[0], embedding())
    (path,) = kept(tmp_path).values()
    size = path.stat().st_size
    killed = path.with_name(f"{path.name}.1.part")
    killed.write_bytes(path.read_bytes())
    folder = EmbeddingFolder(tmp_path, most_bytes=3 * size)
    for number in (1, 2, 3):
        for file in path.parent.iterdir():
            os.utime(file, ns=(file.stat().st_mtime_ns - 10**9,) * 2)
        assert folder.read("s", PICTURES[0], CPU) is not None
        folder.keep("s", PICTURES[number], embedding(number))
        assert sum(file.stat().st_size for file in path.parent.iterdir()) <= 3 * size
    assert kept(tmp_path).keys() == {PICTURES[number].sha256 for number in (0, 2, 3)}
    assert not killed.exists()
    assert foreign.exists()
    given_back = EmbeddingFolder(tmp_path, most_bytes=size - 1).keep("s", PICTURES[4], embedding(4))
    assert np.isfinite(given_back.image_embed.numpy()).all()
    assert PICTURES[4].sha256 not in kept(tmp_path)


def test_a_folder_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(SegR1Error, match="--embedding-cache"):
        EmbeddingFolder(blocked).keep("s", PICTURE, embedding())
