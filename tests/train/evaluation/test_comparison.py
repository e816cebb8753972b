"""Two policies on the same questions: paired gains, wins and losses, and a page of what differs most."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.policy_server import policy_server
from tests.train.evaluation.test_benchmark_sets import write_camo
from train.evaluate import main
from train.evaluation.comparison import Pairing, compare, pair_answers

SCENES = [((0.3, 0.6), (0.2, 0.25)), ((0.6, 0.4), (0.3, 0.2)), ((0.5, 0.5), (0.15, 0.3))]
BOXES = {
    "near": "<think> a thing </think> <bbox>[60,20,780,780]</bbox>, <points>[[420,420]]</points>, <labels>[1]</labels>",
    "far": "<think> a thing </think> <bbox>[0,0,40,40]</bbox>, <points>[[9,9]]</points>, <labels>[1]</labels>",
}
"""What the policies of these names answer."""


@pytest.fixture(scope="module")
def camo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_camo(tmp_path_factory.mktemp("sets") / "CAMO", SCENES)


def record(name: str, iou: float, image: str = "", mae: float = 0.1) -> dict[str, Any]:
    return {"id": name, "image": image or name, "scores": {"iou": iou, "mae": mae}}


def test_gains_wins_losses_and_ties() -> None:
    ours = [record("a", 0.9, mae=0.02), record("b", 0.5, mae=0.2), record("c", 0.705, mae=0.1), record("d", 0.1)]
    theirs = [record("c", 0.7, mae=0.1), record("a", 0.4, mae=0.1), record("b", 0.6, mae=0.1)]
    pairings = pair_answers(ours, theirs)
    assert [pairing.answer["id"] for pairing in pairings] == ["a", "b", "c"], "only what both answered"
    table = compare(pairings)
    assert table["count"] == 3
    assert (table["iou"]["wins"], table["iou"]["losses"], table["iou"]["ties"]) == (1, 1, 1)
    assert table["iou"]["gain"] == pytest.approx((0.5 - 0.1 + 0.005) / 3, abs=1e-5)
    assert table["iou"]["low"] < table["iou"]["gain"] < table["iou"]["high"]
    assert table["mae"]["gain"] == pytest.approx((0.08 - 0.1) / 3, abs=1e-5), "a smaller error is a gain"
    assert "s_measure" not in table, "only what was scored"


def test_questions_about_one_picture_are_drawn_together() -> None:
    gains = [0.3] * 4 + [-0.1] * 4 + [0.1] * 4
    alone = compare([Pairing(record(str(i), gain), record(str(i), 0)) for i, gain in enumerate(gains)])
    shared = compare([Pairing(record(str(i), gain, str(i // 4)), record(str(i), 0)) for i, gain in enumerate(gains)])
    assert shared["iou"]["gain"] == alone["iou"]["gain"]
    assert shared["iou"]["high"] - shared["iou"]["low"] > alone["iou"]["high"] - alone["iou"]["low"]
    single = compare([Pairing(record(str(i), gain, "one"), record(str(i), 0)) for i, gain in enumerate(gains)])
    assert single["iou"]["low"] is None, "one picture gives no interval"


@pytest.mark.parametrize("kind", ["pairs", "benchmark"])
@pytest.mark.parametrize(("policy", "against"), [("near", "far"), ("far", "near")])
def test_two_policies_are_compared_on_the_same_questions(
    camo: Path, tmp_path: Path, kind: str, policy: str, against: str
) -> None:
    out = tmp_path / "scores.json"
    pairs = ["--images", str(camo / "Imgs"), "--masks", str(camo / "GT")]
    data = pairs if kind == "pairs" else ["--benchmark", "CAMO", "--data", str(camo)]
    with policy_server() as server:
        server.say = lambda body, _: BOXES[body["model"]]
        models = ["--policy-server", server.url, "--policy", policy, "--against", against, "--protocol", "studio"]
        assert main([*data, *models, "--models", "embedded", "--device", "cpu", "--json", str(out)]) == 0
    result, other = json.loads(out.read_text()), json.loads((tmp_path / "scores.against.json").read_text())
    if kind == "pairs":
        found = {key.removeprefix("comparison_"): value for key, value in result.items()}
    else:
        found = result["comparison"] | {f"iou_{key}": value for key, value in result["comparison"]["iou"].items()}
    assert (found["against"], found["result"], found["count"]) == (against, "scores.against.json", 3)
    assert found["iou_gain"] == pytest.approx(result["iou"] - other["iou"], abs=2e-5)
    won = policy == "near"
    assert (found["iou_wins"], found["iou_losses"], found["iou_ties"]) == (3 * won, 3 * (not won), 0)
    page = (tmp_path / "scores.comparison.html").read_text()
    assert f"<td>iou</td><td>{found['iou_gain']:+.4f}</td>" in page
    assert page.count("<article>") == 3
    assert page.count("data:image/jpeg;base64,") == 3 * 3, "the truth and both masks"
    better, worse = page.index(f"Better than {against}"), page.index(f"Worse than {against}")
    assert (better < page.index("<article>") < worse) is won


def test_the_ground_truth_is_not_compared_with_a_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--images", str(tmp_path), "--masks", str(tmp_path), "--json", str(tmp_path / "r.json")]
    with pytest.raises(SystemExit):
        main([*data, "--prompts", "oracle", "--against", "other"])
    assert "--against compares two policies" in capsys.readouterr().err
