"""``calibrate`` with the embedded models, whose numbers are scaled for the test."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segr1_app.cli import main
from segr1_app.domain import ImageSize, SettingsError
from segr1_app.language.protocol import CoordinateFrame
from segr1_app.language.protocol_files import FOLDER, read_protocol
from segr1_app.models.calibration import fit
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.policy_files import CARD_FILE, read_card
from segr1_app.settings.config import DEFAULT_POLICY
from tests.scenes import ellipse_scene

HANDED, SEEN = 266, 280
"""Side of a square as it is handed over and as the embedded policy's processor rounds it, in pixels."""
READINGS = {CoordinateFrame.SEEN: 1.0, CoordinateFrame.HANDED: HANDED / SEEN}
NUMBER = re.compile(r"[0-9]+")


@pytest.fixture
def command(squashed: Path, tmp_path: Path) -> list[str]:
    """The command over pictures of an ellipse and their masks, by a protocol file made by the test."""
    folders = tmp_path / "pictures", tmp_path / "masks"
    for folder in folders:
        folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(16):
        centre, radii = rng.uniform(0.35, 0.65, 2), rng.uniform(0.15, 0.3, 2)
        picture, mask = ellipse_scene(256, 256, tuple(centre), tuple(radii), seed=number)
        Image.fromarray(picture.pixels).save(folders[0] / f"{number}.png")
        Image.fromarray(mask).save(folders[1] / f"{number}.png")
    pairs = ["--images", str(folders[0]), "--masks", str(folders[1])]
    return ["calibrate", *pairs, "--protocol", str(squashed), "--device", "cpu", "--home", str(tmp_path / "home")]


@pytest.fixture
def squashed(tmp_path: Path) -> Path:
    """The embedded policy's protocol, with the picture squashed into a square that its processor rounds."""
    text = (FOLDER / "studio.yaml").read_text(encoding="utf-8")
    text = text.replace("{enlarge_to: 3136, at_most: 705600}", f"{{square: {HANDED}}}")
    path = tmp_path / "squashed.yaml"
    path.write_text(text.replace("coordinates: seen", "coordinates: handed"), encoding="utf-8")
    return path


def scaled(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Have the policy write its coordinates times ``factor``."""
    stream = VlmPolicy.stream

    def scaling(*arguments: Any) -> Iterator[str]:
        thoughts, tag, rest = "".join(stream(*arguments)).partition("</think>")
        answer, labels, values = rest.partition("<labels>")
        yield thoughts + tag + NUMBER.sub(lambda n: str(round(int(n[0]) * factor)), answer) + labels + values

    monkeypatch.setattr(VlmPolicy, "stream", scaling)


@pytest.mark.slow
@pytest.mark.parametrize("reading", list(CoordinateFrame))
def test_the_reading_that_fits_is_found_and_holds_from_the_next_load_on(
    reading: CoordinateFrame,
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    factor = READINGS[reading]
    policy = shutil.copytree(DEFAULT_POLICY, tmp_path / "policy")
    before = read_card(policy)
    assert before is not None
    assert before.reading is None
    scaled(monkeypatch, factor)
    assert main([*command, "--policy", str(policy)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["reading"], found["written"]) == (reading.value, True)
    assert found["factor"] == pytest.approx(factor, abs=0.015)
    assert found["interval"][0] <= found["factor"] <= found["interval"][1]
    assert found["expected"] == {"seen": 1.0, "handed": 0.95}
    after = read_card(policy)
    assert after is not None
    assert after.reading is reading
    assert (after.instructions, after.protocol) == (before.instructions, before.protocol)
    loaded = VlmPolicy.load(policy, device="cpu", protocol=command[command.index("--protocol") + 1])
    side = {CoordinateFrame.SEEN: SEEN, CoordinateFrame.HANDED: HANDED}[reading]
    assert loaded.request(ImageSize(640, 480), "x").coordinates == (side, side)


@pytest.mark.slow
def test_a_policy_without_a_card_gets_one_of_the_protocol_it_was_measured_with(
    command: list[str], squashed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ignored = shutil.ignore_patterns(CARD_FILE)
    policy = shutil.copytree(DEFAULT_POLICY, tmp_path / "Seg-R1-tiny", ignore=ignored)
    assert main([*command, "--policy", str(policy)]) == 0
    assert json.loads(capsys.readouterr().out)["written"]
    loaded = VlmPolicy.load(policy, device="cpu")
    size, measured = ImageSize(640, 480), read_protocol(squashed)
    asked = measured.request(size, "x", bounds=loaded.frame_bounds, reading=CoordinateFrame.SEEN)
    assert loaded.request(size, "x").messages == asked.messages
    assert loaded.request(size, "x").coordinates == (SEEN, SEEN)


def edges(factor: float, pictures: int, wrong: int = 0) -> list[Any]:
    """Written and true edges, with some noise; the first ``wrong`` pictures are far off."""
    rng = np.random.default_rng(1)
    found = []
    for number in range(pictures):
        true = rng.uniform(50, 700, 4)
        written = true * factor + rng.normal(0, 3, 4) + (60 if number < wrong else 0)
        found.append(np.stack([written, true], axis=1))
    return found


@pytest.mark.parametrize("factor", [1.0, HANDED / SEEN])
def test_a_few_wrong_boxes_hardly_move_the_factor(factor: float) -> None:
    result = fit(edges(factor, 40, wrong=5), READINGS)
    assert result["factor"] == pytest.approx(factor, abs=0.01)
    assert result["reading"] == min(READINGS, key=lambda reading: abs(READINGS[reading] - factor)).value


def test_what_is_not_clear_is_not_said() -> None:
    assert fit(edges((1 + HANDED / SEEN) / 2, 40), READINGS)["reading"] is None
    assert fit(edges(1.0, 40), {CoordinateFrame.SEEN: 1.0, CoordinateFrame.HANDED: 1.0})["reading"] is None
    with pytest.raises(SettingsError, match="Only 4 answers"):
        fit(edges(1.0, 4), READINGS)


def test_pictures_without_masks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    empty = tmp_path / "empty"
    empty.mkdir()
    for masks, said in ((empty, "no picture and mask with the same name"), (tmp_path / "none", "cannot be read")):
        assert main(["calibrate", "--images", str(tmp_path), "--masks", str(masks)]) == 1
        printed = capsys.readouterr().err
        assert said in printed
        assert str(masks) in printed
