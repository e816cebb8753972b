"""Data sets with common faults: misread masks, copies across the split, pictures of a benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segr1_app.domain import Mask, SegR1Error
from segr1_app.images.pictures import load_picture, picture_from_array
from segr1_app.store import AnnotationStore, Verdict
from segr1_app.studio.samples import find_samples
from tests.train.data.test_rows import save
from train import grpo
from train.data.doctor import contact_sheet, find_copies, look_of, oddity, repeats, report, shared_pictures
from train.data.feedback import feedback_rows
from train.data.rows import Collected, pair_rows, split

PHOTOGRAPHS = [sample.path for sample in find_samples()]
DISC: Mask = np.hypot(*np.mgrid[-20:20, -30:30]) < 9


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (DISC.astype(np.uint8), ""),
        (DISC.astype(np.uint8) * 255, ""),
        ((~DISC).astype(np.uint8) * 255, "inverted"),
        (np.clip(255 - 8 * np.hypot(*np.mgrid[-20:20, -30:30]), 0, 255).astype(np.uint8), "soft edges"),
        (np.full((40, 60), 255, np.uint8), "all or nothing"),
    ],
)
def test_what_is_odd_about_a_mask_is_reported(values: npt.NDArray[np.generic], expected: str) -> None:
    found = oddity(values, values > values.max() / 2)
    assert (expected in found) if expected else not found


def test_a_mask_of_labels_beside_void_is_named_and_left_out(tmp_path: Path) -> None:
    data = write_set(tmp_path / "mine", copies=False)
    size = load_picture(data / "images" / PHOTOGRAPHS[0].name).size
    labels = np.zeros((size.height, size.width), np.uint8)
    labels[20:60, 20:60], labels[80:120, 20:60], labels[60:80, 20:60] = 3, 7, 255
    Image.fromarray(labels).save(data / "masks" / f"{PHOTOGRAPHS[0].stem}.png")
    found = pair_rows([data])
    assert len(found.rows) == len(PHOTOGRAPHS) - 1
    assert PHOTOGRAPHS[0].stem in found.left_out[0].reason
    assert "several classes" in found.left_out[0].reason
    assert "--class" not in found.left_out[0].reason, "training has no such option"


def copy_of(photograph: Path, target: Path) -> None:
    """Half as large, and much more compressed."""
    with Image.open(photograph) as image:
        image.convert("RGB").resize((image.width // 2, image.height // 2)).save(target, "JPEG", quality=40)


def test_copies_are_found_whatever_their_size_and_compression(tmp_path: Path) -> None:
    looks = [look_of(load_picture(path).pixels) for path in PHOTOGRAPHS]
    copies = []
    for path in PHOTOGRAPHS:
        copy_of(path, tmp_path / "copy.jpg")
        copies.append(look_of(load_picture(tmp_path / "copy.jpg").pixels))
    assert find_copies(copies, looks) == {index: index for index in range(len(looks))}
    assert all(not find_copies([look], looks[:index] + looks[index + 1 :]) for index, look in enumerate(looks))
    flat = look_of(np.full((40, 40, 3), 90, np.uint8))
    assert flat == b""
    assert find_copies([flat, *copies], [flat, *looks]) == {index: index for index in range(1, len(looks) + 1)}
    assert find_copies([flat], [flat]) == {}


def write_set(folder: Path, *, copies: bool) -> Path:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for path in PHOTOGRAPHS:
        if copies:
            copy_of(path, folder / "images" / f"{path.stem}.jpg")
        else:
            (folder / "images" / path.name).write_bytes(path.read_bytes())
        size = load_picture(folder / "images" / (f"{path.stem}.jpg" if copies else path.name)).size
        mask = np.zeros((size.height, size.width), np.uint8)
        mask[: size.height // 2] = 255
        Image.fromarray(mask).save(folder / "masks" / f"{path.stem}.png")
    return folder


def test_no_copy_of_a_held_out_picture_is_trained_on(tmp_path: Path) -> None:
    one, other = (write_set(tmp_path / name, copies=name == "copies") for name in ("originals", "copies"))
    plan = split(pair_rows([one, other]), 0.4)
    assert plan.held_out
    assert not find_copies([row.look for row in plan.train], [row.look for row in plan.held_out])
    assert {entry.reason for entry in plan.left_out} == {"it is a copy of a held-out picture"}


def test_a_correction_is_trained_on_and_its_copy_is_not_held_out(tmp_path: Path) -> None:
    data = write_set(tmp_path / "copies", copies=True)
    for path in PHOTOGRAPHS:
        picture = load_picture(path)
        save(tmp_path / "home", picture, np.ones(picture.pixels.shape[:2], bool), Verdict.FIX)
    corrections = feedback_rows(tmp_path / "home")
    plan = split(Collected(pair_rows([data]).rows + corrections.rows), 0.4)
    mine, theirs = [row for row in plan.train if row.is_feedback], [row for row in plan.held_out if not row.is_feedback]
    assert mine
    assert not find_copies([row.look for row in mine], [row.look for row in theirs])


def test_pictures_of_a_benchmark_are_named(tmp_path: Path) -> None:
    rows = pair_rows([write_set(tmp_path / "mine", copies=True)]).rows
    benchmark = tmp_path / "benchmark" / "deep"
    benchmark.mkdir(parents=True)
    (benchmark / PHOTOGRAPHS[0].name).write_bytes(PHOTOGRAPHS[0].read_bytes())
    (line,) = shared_pictures(rows, [tmp_path / "benchmark"])
    assert line.startswith(f"1 of {len(rows)} pictures are also in")
    assert PHOTOGRAPHS[0].stem in line
    (tmp_path / "empty").mkdir()
    with pytest.raises(SegR1Error, match="contains no picture"):
        shared_pictures(rows, [tmp_path / "empty"])


def test_the_plan_tells_shows_and_writes_nothing_into_the_data_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    data, home, sheet = write_set(tmp_path / "mine", copies=False), tmp_path / "home", tmp_path / "sheet.jpg"
    Image.fromarray(np.full((9, 9), 255, np.uint8)).save(data / "masks" / f"{PHOTOGRAPHS[0].stem}.png")
    asked = ["--home", str(home), "--data", str(data), "--plan", "--contact-sheet", str(sheet)]
    assert grpo.main(asked) == 0
    out = capsys.readouterr().out
    assert PHOTOGRAPHS[0].stem in out
    assert "cover" in out
    assert "GiB of memory" in out
    assert not home.exists()
    with Image.open(sheet) as image:
        assert image.size[0] > 1000
    assert grpo.main([*asked, "--data", str(data), str(data)]) == 1
    assert "twice" in caplog.records[-1].message
    # A mistyped folder is refused, and not made; also beside a folder that is there no database is made of a look.
    asked += ["--include-feedback"]
    for made in (False, True):
        if made:
            home.mkdir()
        assert grpo.main(asked) == 1
        assert f"There are no annotations in '{home}'" in caplog.records[-1].message
    assert not list(home.iterdir())


def test_a_picture_that_is_there_twice_is_named_unless_something_else_is_asked_of_it(tmp_path: Path) -> None:
    one, other = write_set(tmp_path / "one", copies=False), write_set(tmp_path / "other", copies=True)
    rows = pair_rows([one]).rows
    assert repeats(rows) == []
    assert repeats([]) == []
    (line,) = repeats(rows + pair_rows([other]).rows)
    name = rows[0].name
    assert f"{len(rows)} pairs" in line
    assert f"(other/{Path(name).stem}.jpg and one/{name})" in line
    (other / "instructions.json").write_text(json.dumps({row.name.rpartition(".")[0]: "Its shadow." for row in rows}))
    assert repeats(rows + pair_rows([other]).rows) == []


def test_odd_masks_of_held_out_pictures_are_told_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_set(tmp_path / "mine", copies=False)
    (held_out,) = {row.name for row in split(pair_rows([data]), 0.1).held_out}
    size = load_picture(data / "images" / held_out).size
    inverted = np.full((size.height, size.width), 255, np.uint8)
    inverted[size.height // 3 : size.height // 2, size.width // 3 : size.width // 2] = 0
    Image.fromarray(inverted).save(data / "masks" / f"{Path(held_out).stem}.png")
    assert grpo.main(["--home", str(tmp_path / "home"), "--data", str(data), "--plan"]) == 0
    assert f"the mask looks inverted ({held_out})" in capsys.readouterr().out


def test_odd_masks_come_first_on_the_sheet_and_are_counted(tmp_path: Path) -> None:
    data = write_set(tmp_path / "mine", copies=False)
    size = load_picture(data / "images" / PHOTOGRAPHS[1].name).size
    inverted = np.full((size.height, size.width), 255, np.uint8)
    inverted[size.height // 3 : size.height // 2, size.width // 3 : size.width // 2] = 0
    Image.fromarray(inverted).save(data / "masks" / f"{PHOTOGRAPHS[1].stem}.png")
    rows = pair_rows([data]).rows
    assert any(PHOTOGRAPHS[1].name in line and "inverted" in line for line in report(rows))
    contact_sheet(rows, tmp_path / "sheet.jpg")
    with AnnotationStore.open(tmp_path / "home") as store:
        store.add_picture(picture_from_array(np.zeros((9, 9, 3), np.uint8)), "flat.png")
    assert feedback_rows(tmp_path / "home").rows == ()
