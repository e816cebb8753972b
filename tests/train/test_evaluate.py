"""``python -m train.evaluate``: what is scored and how, and how the rest is reported."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segr1_app import metrics
from segr1_app.domain import Box, Effort, ImageSize, Mask, ObjectPrompt, Point
from segr1_app.language.protocol import Request
from segr1_app.language.protocol_files import find_protocol
from segr1_app.metrics import iou
from segr1_app.models.checkpoint import checkpoint_hash
from segr1_app.models.effort import find_consensus
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import DEFAULT_POLICY
from segr1_app.settings.promotion import promote
from tests.policy_server import ANSWER, policy_server
from tests.scenes import ellipse_scene
from train.data.drawing import draw
from train.data.pairs import find_pairs, read_pair
from train.data.prompting import corrective_click, oracle_prompt
from train.evaluate import main
from train.evaluation.answering import EvaluatedAnswer
from train.evaluation.pair_scores import PairScores, score_pairs

SCENES = [((0.3, 0.6), (0.2, 0.25)), ((0.6, 0.4), (0.3, 0.2)), ((0.5, 0.5), (0.15, 0.3))]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes as JPEG with masks of 0 and 1, and two files without partners."""
    root = tmp_path_factory.mktemp("scenes")
    (root / "images").mkdir()
    (root / "masks").mkdir()
    for number, (centre, radii) in enumerate(SCENES):
        picture, mask = ellipse_scene(160, 120, centre, radii, seed=number)
        Image.fromarray(picture.pixels).save(root / "images" / f"scene{number}.jpg", quality=95)
        Image.fromarray(mask.astype(np.uint8)).save(root / "masks" / f"scene{number}.png")
    Image.new("RGB", (8, 8)).save(root / "images" / "lonely.jpg")
    Image.new("L", (8, 8)).save(root / "masks" / "widowed.png")
    return root


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder in which no policy was promoted, wherever the tests are run."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("SEGR1_HOME", str(folder))
    return folder


def arguments(data: Path, out: Path, *options: str) -> list[str]:
    return ["--images", str(data / "images"), "--masks", str(data / "masks"), "--json", str(out), *options]


def evaluated(data: Path, out: Path, *options: str) -> dict[str, object]:
    assert main(arguments(data, out, *options)) == 0
    result: dict[str, object] = json.loads(out.read_text())
    return result


def copied(data: Path, to: Path) -> Path:
    """The same pairs, to be damaged."""
    shutil.copytree(data, to)
    return to


def test_oracle_prompts_and_clicks(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = evaluated(data, tmp_path / "a.json", "--prompts", "oracle")
    assert plain["count"] == 3
    assert (plain["failed"], plain["unpaired_images"], plain["unpaired_masks"]) == (0, 1, 1)
    assert plain["iou"] > 0.7  # type: ignore[operator]
    assert plain["format_rate"] is None
    assert {"s_measure", "weighted_f", "e_measure", "mae", "seconds_encode", "seconds_decode"} <= plain.keys()
    assert not any(isinstance(value, dict | list) for value in plain.values()), "flat"
    logged = " ".join(record.message for record in caplog.records)
    assert "lonely.jpg" in logged
    assert "widowed.png" in logged
    again = evaluated(data, tmp_path / "b.json", "--prompts", "oracle")
    assert [again[key] for key in ("iou", "s_measure", "mae")] == [plain[key] for key in ("iou", "s_measure", "mae")]
    clicked = evaluated(data, tmp_path / "c.json", "--prompts", "oracle", "--clicks", "2")
    assert "seconds_click" in clicked
    assert clicked["iou"] != plain["iou"]


def test_the_policy_is_scored_like_the_pipeline(data: Path, tmp_path: Path, pipeline: Pipeline) -> None:
    result = evaluated(data, tmp_path / "out.json", "--limit", "2", "--seed", "3")
    assert result["count"] == 2
    assert 0 <= result["format_rate"] <= 1  # type: ignore[operator]
    assert result["seconds_policy"] > 0  # type: ignore[operator]
    pairs = draw(find_pairs(data / "images", data / "masks").pairs, 2, 3)
    found = score_pairs(
        pairs, segmenter=pipeline.segmenter, policy=pipeline.policy, instruction=str(result["instruction"]), clicks=0
    ).summary()
    assert found["iou"] == result["iou"]
    assert not any(isinstance(value, dict | list) for value in result.values()), "flat"
    frame = pipeline.policy.frame(ImageSize(640, 480))
    assert result["protocol_policy_example_frame"] == f"{frame.width} x {frame.height}"
    assert str(result["instruction"]) in str(result["protocol_policy_example_user_prompt"])
    assert result["protocol_policy_protocol"] == "studio"
    assert result["protocol_policy_decoding"] == "greedy"
    assert result["protocol_policy_weights_sha256"] == checkpoint_hash(DEFAULT_POLICY)
    assert result["protocol_segmenter_mask_threshold"] == 0
    side = pipeline.segmenter.input_side
    assert f"{side} x {side}" in str(result["protocol_segmenter_input"])
    assert "union" in str(result["protocol_prediction"])
    assert "malformed" in str(result["protocol_prediction"])
    assert result["protocol_metric_libraries_pysodmetrics"] == version("pysodmetrics")
    # Whatever number stands there, the file says what it is.
    described = {key.removeprefix("protocol_metrics_") for key in result if key.startswith("protocol_metrics_")}
    numbers = {key.partition("seconds_")[1].rstrip("_") or key for key in found}
    assert numbers - {"count"} <= described


def test_more_effort_is_scored_and_said(data: Path, tmp_path: Path, pipeline: Pipeline) -> None:
    result = evaluated(data, tmp_path / "out.json", "--limit", "2", "--seed", "3", "--effort", "careful")
    pairs = [read_pair(pair) for pair in draw(find_pairs(data / "images", data / "masks").pairs, 2, 3)]
    found = []
    for picture, truth in pairs:
        first = pipeline.run(picture, str(result["instruction"]))
        found.append(iou(find_consensus(pipeline, picture, first, Effort.CAREFUL).prediction.mask, truth))
    assert result["iou"] == pytest.approx(np.mean(found), abs=1e-4)
    assert result["seconds_effort"] > 0  # type: ignore[operator]
    assert result["protocol_effort"] == "careful"


def test_other_files_are_another_protocol(data: Path, tmp_path: Path) -> None:
    runs = [
        evaluated(data, tmp_path / "a.json", "--prompts", "oracle", "--limit", "1", "--seed", seed) for seed in "01"
    ]
    assert runs[0]["protocol_pairs_sha256"] != runs[1]["protocol_pairs_sha256"]
    assert runs[0]["protocol_policy"] is None


def test_an_unreadable_completion_is_scored_as_the_empty_mask(data: Path, segmenter: Sam2Segmenter) -> None:
    class Mute:
        model_id = "mute"

        def request(self, image_wh: ImageSize, *_: object) -> Request:
            return find_protocol("studio").request(image_wh, "-", frame=image_wh)

        def stream(self, picture: object, *_: object) -> object:  # noqa: ARG002
            yield "I see nothing."

    pairs = find_pairs(data / "images", data / "masks").pairs
    found = score_pairs(pairs, segmenter=segmenter, policy=Mute(), instruction="x", clicks=0).summary()
    assert found["count"] == 3
    assert found["iou"] == 0
    assert found["format_rate"] == 0
    assert found["s_measure"] > 0


def test_the_oracle_is_the_box_and_the_deepest_point() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:31, 20:41] = True
    mask[2:4, 2:4] = True
    assert oracle_prompt(mask) == ObjectPrompt(Box(2, 2, 41, 31), (Point(30.5, 20.5, 1),))


def test_a_click_corrects_the_largest_error_at_its_deepest_point() -> None:
    truth = np.zeros((40, 60), dtype=bool)
    truth[10:31, 20:41] = True
    missing, spilled = truth.copy(), truth.copy()
    missing[10:31, 20:31] = False
    spilled[33:40, 0:60] = True
    click = corrective_click(missing, truth)
    assert click is not None
    assert click.label == 1
    assert (truth & ~missing)[int(click.y), int(click.x)]
    click = corrective_click(spilled, truth)
    assert click is not None
    assert click.label == 0
    assert int(click.y) == 36
    assert corrective_click(truth, truth) is None


def test_a_limit_draws_by_seed_and_keeps_the_order(data: Path) -> None:
    found = find_pairs(data / "images", data / "masks").pairs
    assert draw(found, None, 0) == draw(found, 9, 0) == list(found)
    drawn = {seed: tuple(pair.stem for pair in draw(found, 2, seed)) for seed in range(8)}
    assert all(list(stems) == sorted(stems) for stems in drawn.values())
    assert len(set(drawn.values())) > 1


def test_the_tally_is_the_mean_over_pairs() -> None:
    truth: Mask = np.zeros((10, 10), dtype=bool)
    truth[:5] = True
    tally = PairScores()
    for mask, formed in ((truth, True), (~truth, False)):
        tally.add(EvaluatedAnswer(mask, formed, None, {"policy": 1.0}), truth)
    summary = tally.summary()
    assert summary["count"] == 2
    assert summary["iou"] == 0.5
    assert summary["mae"] == 0.5
    assert summary["format_rate"] == 0.5
    assert summary["seconds_policy"] == 1.0
    assert summary["s_measure"] == pytest.approx(
        (metrics.s_measure(truth, truth) + metrics.s_measure(~truth, truth)) / 2, abs=1e-5
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "absent"], "absent"),
        (["--segmenter", "nobody/none"], "nobody/none"),
    ],
)
def test_faults_are_one_sentence(
    data: Path, tmp_path: Path, options: list[str], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(arguments(data, tmp_path / "x.json", "--prompts", "oracle", *options)) == 1
    assert message in caplog.records[-1].message


def test_a_mask_of_another_size_is_not_a_pair(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for part, size in (("images", (20, 10)), ("masks", (10, 20))):
        (tmp_path / part).mkdir()
        Image.new("L", size).save(tmp_path / part / "a.png")
    assert main(arguments(tmp_path, tmp_path / "x.json", "--prompts", "oracle")) == 1
    assert "1 of 1 pairs could not be scored" in caplog.records[-1].message
    assert "must be of one size" in caplog.records[-1].message
    assert not (tmp_path / "x.json").exists(), "there is nothing to take a mean of"


def test_a_bad_pair_keeps_no_other_from_being_scored(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = copied(data, tmp_path / "bad")
    torn = bad / "images" / "scene0.jpg"
    torn.write_bytes(torn.read_bytes()[:400])
    Image.new("L", (10, 20)).save(bad / "masks" / "scene1.png")
    assert main(arguments(bad, tmp_path / "bad.json", "--prompts", "oracle")) == 1
    result = json.loads((tmp_path / "bad.json").read_text())
    assert (result["count"], result["failed"]) == (1, 2)
    head, *reasons = caplog.records[-1].message.splitlines()
    assert "2 of 3 pairs" in head
    assert [reason.split(":")[0].strip() for reason in reasons] == ["scene0", "scene1"]
    assert "damaged or truncated" in reasons[0]
    assert "10 x 20" in reasons[1]
    # The numbers, and the digest of what they are of, are those of the pair that is left.
    for folder in ("images", "masks"):
        for file in (bad / folder).glob("scene[01].*"):
            file.unlink()
    alone = evaluated(bad, tmp_path / "alone.json", "--prompts", "oracle")
    same = ("count", "iou", "s_measure", "mae", "protocol_pairs_sha256")
    assert [alone[name] for name in same] == [result[name] for name in same]


def test_the_promoted_policy_is_scored_unless_another_is_named(
    data: Path, tmp_path: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained = home / "runs" / "grpo-7" / "policy"
    shutil.copytree(DEFAULT_POLICY, trained)
    promote(home, "policy", str(trained))
    result = evaluated(data, tmp_path / "a.json", "--limit", "1")
    assert result["policy"] == result["protocol_policy_name"] == "grpo-7/policy"
    assert f"policy grpo-7/policy from '{trained}'" in caplog.text
    for options in (["--policy", str(DEFAULT_POLICY)], ["--home", str(tmp_path / "other")]):
        assert evaluated(data, tmp_path / "b.json", "--limit", "1", *options)["policy"] == "embedded policy"


@pytest.mark.parametrize("place", ["file/x.json", "file/folder/x.json", "folder", "/proc/none/x.json"])
def test_a_result_that_cannot_be_written_is_refused_before_anything_is_read(
    tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert main(arguments(tmp_path / "absent", tmp_path / place)) == 1
    (record,) = caplog.records
    assert "cannot be" in record.message
    assert str((tmp_path / place).parent) in record.message
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_the_result_is_not_lost_when_the_disk_is_full_at_the_end(
    data: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(data, Path("/dev/full"), "--prompts", "oracle", "--limit", "1")) == 1
    assert "/dev/full' cannot be written" in caplog.records[-1].message
    assert json.loads(capsys.readouterr().out)["count"] == 1


def test_what_lies_at_the_place_of_the_result_stays_until_there_is_one(tmp_path: Path) -> None:
    out = tmp_path / "x.json"
    out.write_text("before")
    assert main(arguments(tmp_path / "absent", out)) == 1
    assert out.read_text() == "before"


@pytest.mark.parametrize("options", [["--clicks", "-1"], ["--limit", "0"], ["--prompts", "magic"]])
def test_options_that_make_no_sense_are_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--images", "a", "--masks", "b", "--json", "c", *options])


def test_what_was_scored_before_a_server_failed_is_kept(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = count()

    def say(*_: object) -> str:
        if next(calls) == 2:
            raise BrokenPipeError
        return ANSWER

    out = tmp_path / "r.json"
    with policy_server() as server:
        server.say = say
        where = ["--policy-server", server.url, "--policy", "m", "--models", "embedded", "--device", "cpu"]
        assert main([*arguments(data, out), *where]) == 1
    assert len(out.with_suffix(".jsonl").read_text().splitlines()) == 2
    assert not out.exists()
    assert "2 of 3 pairs were scored before" in caplog.text
