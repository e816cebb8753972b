"""Corrections are learnt before GRPO, which could not discover such answers by itself, above all abstaining."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.nn.functional import normalize

from segr1_app.domain import ImageSize
from segr1_app.files.json_files import read_json_lines
from segr1_app.language.codec import Grammar
from segr1_app.language.protocol import Stage
from segr1_app.language.writing import write_answer
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import DEFAULT_POLICY
from segr1_app.store import RejectReason, Verdict
from tests.train.data.test_rows import save
from train.data.feedback import feedback_rows
from train.data.rows import Plan, scene_rows
from train.data.scenes import draw_scene
from train.finetune.grpo_setup import GrpoSetup
from train.finetune.trl_traces import NOTHING
from train.finetune.unlearnt_tokens import separate_unlearnt_tokens
from train.finetune.warm_up import warm_up, warm_up_plan


def plan_of(home: Path, reason: RejectReason | None, count: int = 4) -> Plan:
    """Scenes, and others that were rejected for a reason; or fixed, without one."""
    for seed in range(count):
        scene = draw_scene("salient", 200 + seed)
        save(home, scene.picture, None if reason else scene.mask, Verdict.REJECT if reason else Verdict.FIX, reason)
    return Plan(scene_rows(4).rows + feedback_rows(home).rows, ())


def test_what_shows_nothing_is_not_warmed_up_with(tmp_path: Path) -> None:
    setup = GrpoSetup()
    assert warm_up_plan(setup, Plan(scene_rows(2).rows, ())) is None
    wrong = plan_of(tmp_path / "wrong", RejectReason.GROUNDING)
    assert warm_up_plan(setup, wrong) is None
    fixed = plan_of(tmp_path / "fixed", None)
    warm = warm_up_plan(setup, fixed)
    assert warm is not None
    assert len([row for row in warm.train if row.is_feedback]) == 4
    assert warm_up_plan(GrpoSetup(warm_up_steps=0), fixed) is None


@pytest.mark.parametrize("policy", [str(DEFAULT_POLICY), "geshang/Seg-R1-3B"])
def test_policies_of_any_size_are_taught_to_abstain(tmp_path: Path, policy: str) -> None:
    absent = plan_of(tmp_path / "absent", RejectReason.NO_OBJECT)
    warm = warm_up_plan(GrpoSetup(policy=policy), absent)
    assert warm is not None
    assert len([row for row in warm.train if row.is_feedback]) == 4


def test_tokens_that_were_never_written_are_separated_and_nothing_else_changes() -> None:
    policy = VlmPolicy.load(DEFAULT_POLICY, device="cpu", dtype="float32")
    weight = policy.model.get_input_embeddings().weight
    before = weight.detach().clone()
    tokens = policy.processor.tokenizer.convert_tokens_to_ids(["]", "</bbox>", "<points>"])

    def alike() -> float:
        rows = normalize(weight[tokens].detach(), dim=1)
        return float((rows @ rows.T).triu(1).max())

    assert alike() > 0.97, "their embeddings are all the same"
    text = write_answer(policy.protocol, NOTHING, (), Grammar.ABSTENTION)
    scene = draw_scene("salient", 3).picture
    answer = policy.complete([(scene, "Segment it.")])
    assert separate_unlearnt_tokens(policy, [text]) >= 5
    assert alike() < 0.95
    changed = (weight.detach() != before).any(dim=1).nonzero().flatten().tolist()
    assert {*changed} <= {*policy.processor.tokenizer(text).input_ids}
    assert policy.complete([(scene, "Segment it.")]) == answer
    assert separate_unlearnt_tokens(policy, [text]) == 0, "once is enough"


def test_the_form_says_that_there_may_be_no_object() -> None:
    policy = VlmPolicy.load(DEFAULT_POLICY, device="cpu")
    request = policy.request(ImageSize(320, 240), "Segment the cat.", stage=Stage.TRAINING)
    assert "if there is no such object" in str(request.messages)


@pytest.mark.slow
def test_it_moves_the_policy_once_and_leaves_it_where_the_training_starts_from(
    tmp_path: Path, segmenter: Sam2Segmenter
) -> None:
    plan = plan_of(tmp_path / "home", None)
    setup = GrpoSetup(warm_up_steps=3)
    config = setup.trainer_config(tmp_path / "run", rows=len(plan.train), seed=0, device="cpu", report_to="none")
    options = {"device": "cpu", "dtype": "float32", "protocol": "studio"}
    asked = {"plan": plan, "segmenter": segmenter, "run": tmp_path / "run", "options": options}
    ready = warm_up(setup, config, policy=VlmPolicy.load(DEFAULT_POLICY, **options), **asked)
    assert ready is not None
    assert [
        line["step"] for line in read_json_lines(tmp_path / "run" / "warm-up" / "metrics.jsonl") if "loss" in line
    ] == [1, 2, 3]
    before = load_file(DEFAULT_POLICY / "model.safetensors")
    assert any(not value.equal(before[name]) for name, value in load_file(ready / "model.safetensors").items())
    # Done once: a training that is resumed finds it.
    assert warm_up(setup, config, policy=None, **asked) == ready
