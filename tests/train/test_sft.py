"""Supervised training: what is learnt of each answer, and that learning works with the real embedded policy."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast

from segr1_app.domain import Box, DatasetError, ImageSize, ObjectPrompt, Point, SettingsError
from segr1_app.geometry import box_iou, mask_box, rescale_objects
from segr1_app.language.codec import Grammar, answer_start, format_completion, parse_completion
from segr1_app.language.protocol import Stage
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.rewards import Truth
from segr1_app.settings.config import DEFAULT_POLICY, DEFAULT_SEGMENTER
from segr1_app.store import AnnotationStore, RejectReason, Verdict
from segr1_app.store.exchange.sft_export import export_traces
from tests.train.data.test_rows import save
from train import sft
from train.data.fcot import fcot_rows, instruction_of
from train.data.feedback import feedback_rows
from train.data.rows import Collected, Example, Row, scene_rows, select_held_out, split
from train.data.scenes import Scene, draw_scene
from train.finetune.setup import CONFIGS
from train.finetune.sft_setup import SftSetup, rows_per_step
from train.finetune.trl_rows import ExampleReader
from train.finetune.trl_traces import AnswerCollator, TraceMaker, write_completion
from train.scratch.policy import CARD
from train.scratch.policy_pictures import IGNORED

FRAME = ImageSize(168, 140)
PROMPT = ObjectPrompt(Box(20, 30, 60, 90), (Point(40, 50, 1), Point(5, 5, 0)))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return draw_scene("salient", 3)


def batch(policy: VlmPolicy, rows: Sequence[Row], grammar: Grammar = Grammar.FULL) -> dict[str, Any]:
    maker = TraceMaker(ExampleReader(rows), policy, grammar, seed=0)
    columns = maker({"index": list(range(len(rows))), "draw": list(range(len(rows)))})
    examples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    collated: dict[str, Any] = AnswerCollator(policy.processor)(examples)
    return collated | {"texts": [text[0]["content"] for text in columns["completion"]]}


def learnt(policy: VlmPolicy, labels: torch.Tensor) -> str:
    text = policy.processor.tokenizer.decode(labels[labels != IGNORED])  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


class TestCompletions:
    def test_a_pairs_trace_is_well_formed_and_lies_on_the_object(self, scene: Scene) -> None:
        example = Example(scene.picture, Truth(scene.mask))
        texts = {write_completion(example, FRAME, Grammar.FULL, np.random.default_rng(seed)) for seed in range(6)}
        assert len(texts) > 1
        tight = mask_box(scene.mask)
        assert tight is not None
        for text in texts:
            parsed = parse_completion(text, FRAME)
            assert parsed.well_formed
            (found,) = rescale_objects(parsed.objects, from_wh=FRAME, to_wh=scene.picture.size)
            assert found.box is not None
            assert box_iou(found.box, tight) > 0.9
            assert all(value == int(value) for value in parsed.objects[0].box.xyxy)  # type: ignore[union-attr]

    def test_an_annotators_prompts_are_written_in_the_policys_frame(self, scene: Scene) -> None:
        size = scene.picture.size
        example = Example(scene.picture, Truth(scene.mask, prompts=(PROMPT,)), "it is there.")
        text = write_completion(example, ImageSize(size.width * 2, size.height * 2), Grammar.FULL, rng())
        assert text == (
            "<think> it is there. </think> <bbox>[40,60,120,180]</bbox>, <points>[[80,100],[10,10]]</points>, "
            "<labels>[1,0]</labels>"
        )
        points = write_completion(example, size, Grammar.PRE_RL, rng())
        assert points == "<think> it is there. </think> <points>[[40,50],[5,5]]</points>, <labels>[1,0]</labels>"

    def test_prompts_without_a_box_and_reasoning_that_breaks_the_form_are_derived(self, scene: Scene) -> None:
        clicked = ObjectPrompt(None, (Point(40, 50, 1),))
        example = Example(scene.picture, Truth(scene.mask, prompts=(clicked,)), "no <bbox> here")
        assert write_completion(example, FRAME, Grammar.FULL, rng()) == write_completion(
            Example(scene.picture, Truth(scene.mask)), FRAME, Grammar.FULL, rng()
        )

    def test_no_such_object_is_an_abstention(self, scene: Scene) -> None:
        text = write_completion(Example(scene.picture, Truth(absent=True), "I see it."), FRAME, Grammar.FULL, rng())
        assert parse_completion(text, FRAME, Grammar.ABSTENTION).well_formed
        with pytest.raises(ValueError, match="nothing is known"):
            write_completion(Example(scene.picture, Truth()), FRAME, Grammar.FULL, rng())

    def test_a_box_thinner_than_a_pixel_of_the_frame_stays_a_box(self, scene: Scene) -> None:
        thin = ObjectPrompt(Box(100.2, 50, 100.4, 90))
        text = write_completion(
            Example(scene.picture, Truth(scene.mask, prompts=(thin,))), ImageSize(28, 28), Grammar.FULL, rng()
        )
        assert parse_completion(text, ImageSize(28, 28)).well_formed


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


class TestLabels:
    @pytest.mark.parametrize("grammar", [Grammar.FULL, Grammar.PRE_RL])
    def test_of_a_pair_the_whole_completion_is_learnt_and_nothing_else(
        self, policy: VlmPolicy, grammar: Grammar
    ) -> None:
        rows = scene_rows(3).rows
        found = batch(policy, rows, grammar)
        for row, labels, tokens, text in zip(rows, found["labels"], found["input_ids"], found["texts"], strict=True):
            assert learnt(policy, labels) == f"{text}<|im_end|>"
            prompt = policy.model_inputs(row.load().picture, row.instruction, grammar)["input_ids"][0]
            assert tokens[: len(prompt)].tolist() == prompt.tolist()
            assert (labels[: len(prompt)] == IGNORED).all()
        expected = torch.cat([policy.model_inputs(r.load().picture, r.instruction)["pixel_values"] for r in rows])
        assert torch.equal(found["pixel_values"], expected.cpu())

    def test_of_a_correction_only_the_answer_is_learnt(self, policy: VlmPolicy, tmp_path: Path) -> None:
        scenes = [draw_scene("camouflaged", seed) for seed in range(2)]
        save(tmp_path, scenes[0].picture, scenes[0].mask, Verdict.FIX)
        save(tmp_path, scenes[1].picture, None, Verdict.REJECT, RejectReason.NO_OBJECT)
        rows = sorted(feedback_rows(tmp_path).rows, key=lambda row: row.verdict)
        found = batch(policy, [*rows, *scene_rows(1).rows])
        fixed, absent, pair = (learnt(policy, labels) for labels in found["labels"])
        # " </think> <bbox>[" is one token of the embedded policy's: it lies across the border and is learnt.
        assert fixed == f" </think> {found['texts'][0].split('</think> ')[1]}<|im_end|>"
        # What an annotator said of the whole picture is learnt whole, in words that the policy has.
        assert absent == f"{found['texts'][1]}<|im_end|>"
        assert "<|unknown|>" not in absent
        assert found["texts"][1].endswith(" </think> <bbox>[]</bbox>, <points>[]</points>, <labels>[]</labels>")
        assert pair.startswith("<think> ")
        assert found["texts"][0].startswith("<think> ")

    def test_the_request_is_learnt_too_and_stands_first_where_that_is_asked_for(
        self, policy: VlmPolicy, tmp_path: Path
    ) -> None:
        scenes = draw_scene("camouflaged", 0)
        save(tmp_path, scenes.picture, scenes.mask, Verdict.FIX)
        rows = [*feedback_rows(tmp_path).rows, *scene_rows(1).rows]
        maker = TraceMaker(ExampleReader(rows), policy, Grammar.FULL, seed=0, text_first=True)
        columns = maker({"index": [0, 1], "draw": [0, 1]})
        assert [[part["type"] for part in prompt[-1]["content"]] for prompt in columns["prompt"]] == [
            ["text", "image"],
            ["text", "image"],
        ]
        examples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        collated = AnswerCollator(policy.processor, whole_conversation=True)(examples)
        correction, pair = (learnt(policy, labels) for labels in collated["labels"])
        # Nobody vouches for what stands before a correction's answer.
        assert correction.startswith(" </think> <bbox>")
        request = policy.request(rows[1].load().picture.size, rows[1].instruction, rows[1].task, Stage.TRAINING)
        assert pair.startswith("<|im_start|>")
        assert request.text.split("\n")[0].lower() in pair
        assert pair.endswith("<|im_end|>")
        image = policy.processor.image_token_id  # type: ignore[attr-defined]
        assert not (collated["labels"] == image).any()
        assert (collated["input_ids"] == image).any()

    def test_tokens_that_end_before_the_answer_are_forgotten(self) -> None:
        """With a token for each character, as far from the embedded policy's tokens as can be."""
        text = format_completion("it is <here>, thinking.", [PROMPT])
        ids = {character: number for number, character in enumerate(sorted(set(text)))}
        letters = Tokenizer(WordLevel(ids, unk_token="<"))
        letters.pre_tokenizer = Split(Regex("."), behavior="isolated")
        collator = AnswerCollator(SimpleNamespace(tokenizer=PreTrainedTokenizerFast(tokenizer_object=letters)))
        labels = torch.tensor([IGNORED] * 5 + [ids[character] for character in text] + [7, IGNORED])
        collator._forget_before(labels, text, answer_start(text))
        kept = labels[labels != IGNORED].tolist()
        assert "".join(sorted(ids)[number] for number in kept[:-1]) == text.split("</think>")[1]
        assert kept[-1] == 7, "the end of the turn is learnt"
        assert labels[:5].tolist() == [IGNORED] * 5


class TestRows:
    def test_rejects_are_left_out_but_for_those_without_an_object(self, tmp_path: Path) -> None:
        scenes = [draw_scene("salient", seed) for seed in range(3)]
        save(tmp_path, scenes[0].picture, None, Verdict.REJECT, RejectReason.GROUNDING)
        save(tmp_path, scenes[1].picture, None, Verdict.REJECT, RejectReason.NO_OBJECT)
        save(tmp_path, scenes[2].picture, scenes[2].mask, Verdict.ACCEPT)
        found = sft.demonstrations(feedback_rows(tmp_path))
        assert {row.verdict for row in found.rows} == {"accept", "no-object"}
        assert [(entry.verdict, entry.reason) for entry in found.left_out] == [
            ("grounding", "the correct answer is unknown")
        ]

    def test_fcot_is_read(self, tmp_path: Path, policy: VlmPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        write_fcot(tmp_path / "FCoT")
        found = fcot_rows([str(tmp_path / "FCoT")])
        (row,) = found.rows
        example = row.load()
        assert (row.source, row.verdict, row.image_id) == ("FCoT", "trace", example.picture.sha256)
        assert row.instruction == "Please find the owl."
        assert example.reasoning == "an owl sits there."
        assert example.truth.prompts == (PROMPT,)
        assert [entry.reason for entry in found.left_out] == ["it contains no reasoning or no prompts"]
        collated = batch(policy, [row])
        assert learnt(policy, collated["labels"][0]).startswith("<think> ")
        assert not select_held_out([row], 5), "a trace has no mask to be scored by"
        (tmp_path / "other").mkdir()
        datasets.Dataset.from_dict({"text": ["x"]}).to_parquet(str(tmp_path / "other" / "train.parquet"))
        for source, message in ((tmp_path / "other", "no image"), (tmp_path / "absent", "cannot be read")):
            with pytest.raises(DatasetError, match=message):
                fcot_rows([str(source)])

    @pytest.mark.parametrize(
        ("problem", "instruction"),
        [
            ("Segment the fox.", "Segment the fox."),
            ("Where is it? Segment it. Write <think> first.", "Where is it? Segment it."),
            ("Write <think> first.", "Identify and segment all the primary objects."),
            ("", "Identify and segment all the primary objects."),
        ],
    )
    def test_a_problem_is_asked_without_its_form(self, problem: str, instruction: str) -> None:
        assert instruction_of(problem) == instruction


def write_fcot(folder: Path) -> None:
    """A good trace, whose reasoning has its tags, and one whose solution cannot be read."""
    folder.mkdir()
    scene = draw_scene("camouflaged", 0)
    Image.fromarray(scene.picture.pixels).save(folder.parent / "owl.png")
    completion = format_completion("x", [PROMPT])
    content = {
        "image": [{"bytes": (folder.parent / "owl.png").read_bytes(), "path": "owl.png"}] * 2,
        "problem": ["Please find the owl. Output the thinking process in <think> </think>."] * 2,
        "thinking": ["<think> an owl sits there. </think>", "nothing"],
        "solution": [completion[answer_start(completion) :].strip(), "it is over there"],
    }
    features = datasets.Features(
        {"image": datasets.Image()} | dict.fromkeys(list(content)[1:], datasets.Value("string"))
    )
    datasets.Dataset.from_dict(content, features=features).to_parquet(str(folder / "train-00000-of-00001.parquet"))


class TestSetup:
    @pytest.mark.parametrize("file", sorted(CONFIGS.glob("sft-*.yaml")), ids=lambda file: file.stem)
    def test_every_config_makes_a_trainer_configuration(self, file: Path, tmp_path: Path) -> None:
        setup = SftSetup.read(file)
        config = setup.trainer_config(tmp_path, rows=1000, seed=1, device="cpu", report_to="none")
        assert (config.bf16, config.use_cpu, config.completion_only_loss, config.max_length) == (
            False,
            True,
            True,
            None,
        )
        assert config.max_steps == setup.max_steps or config.max_steps * rows_per_step(config) >= setup.epochs * 1000
        assert (setup.lora_config() is None) == (setup.lora is None)
        assert setup.record() == json.loads(json.dumps(setup.record()))

    @pytest.mark.parametrize(
        ("content", "message"),
        [("trainer: {packing: true}", "packing cannot be set"), ("trainer: {num_generations: 2}", "num_generations")],
    )
    def test_what_makes_no_sense_is_reported(self, tmp_path: Path, content: str, message: str) -> None:
        (tmp_path / "c.yaml").write_text(content)
        with pytest.raises(SettingsError, match=message):
            SftSetup.read(tmp_path / "c.yaml")


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def write_config(folder: Path, **settings: Any) -> Path:
    """The embedded policy on four rows a step; checkpoints all the time."""
    trainer = {"learning_rate": 3e-4, "lr_scheduler_type": "constant", "per_device_train_batch_size": 4}
    content = {"max_steps": 6, "save_steps": 2, "held_out_rows": 1, "trainer": trainer}
    file = folder / "config.yaml"
    file.write_text(json.dumps(content | settings))
    return file


@pytest.mark.slow
class TestTraining:
    def test_a_few_steps_lower_the_loss_on_what_is_shown(self, tmp_path: Path) -> None:
        rows = scene_rows(5).rows
        plan = split(Collected(rows), 0.2)
        setup = SftSetup.read(write_config(tmp_path, max_steps=8))
        config = setup.trainer_config(tmp_path / "run", rows=4, seed=0, device="cpu", report_to="none")
        policy = VlmPolicy.load(DEFAULT_POLICY, device="cpu")
        segmenter = Sam2Segmenter.load(DEFAULT_SEGMENTER, device="cpu")
        trainer = sft.make_trainer(setup, config, plan, policy, segmenter)
        trainer.train()
        history = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        assert len(history) == 8
        assert np.mean(history[-2:]) < 0.9 * np.mean(history[:2])

    @pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
    def test_the_command_leaves_a_policy_and_resumes_to_the_same_weights(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, lora: bool
    ) -> None:
        home = tmp_path / "home"
        scenes = [draw_scene("camouflaged", 100 + seed) for seed in range(2)]
        for number, scene in enumerate(scenes):
            save(home, scene.picture, scene.mask, Verdict.FIX if number else Verdict.ACCEPT)
        arguments = ["--config", str(write_config(tmp_path, max_steps=4)), "--home", str(home), "--device", "cpu"]
        arguments += ["--include-feedback", *(["--lora"] if lora else [])]
        whole, halved = tmp_path / "whole", tmp_path / "halved"
        assert sft.main([*arguments, "--output-dir", str(whole)]) == 0
        assert "->" in capsys.readouterr().out.split("pairs")[-1]
        assert len(losses(whole)) == 4
        assert (whole / "losses.png").stat().st_size > 1000
        trained = VlmPolicy.load(whole / "policy", device="cpu")
        assert trained.card is not None
        assert trained.card.instructions == CARD.instructions
        before = load_file(DEFAULT_POLICY / "model.safetensors")
        after = load_file(whole / "policy" / "model.safetensors")
        assert before.keys() == after.keys()
        assert any(not torch.equal(value, after[name]) for name, value in before.items())
        # What an interruption after the first checkpoint leaves behind.
        halved.mkdir()
        for name in ("config.json", "before.json", "metrics.jsonl"):
            (halved / name).write_bytes((whole / name).read_bytes())
        (whole / "checkpoint-2").rename(halved / "checkpoint-2")
        assert sft.main([*arguments, "--output-dir", str(halved), "--resume"]) == 0
        name = "adapter_model.safetensors" if lora else "model.safetensors"
        one, other = (load_file(run / "checkpoint-4" / name) for run in (whole, halved))
        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[key]) for key, value in one.items())
        assert losses(halved) == losses(whole)

    def test_what_the_app_exports_is_learnt_from(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for number in range(3):
            scene = draw_scene("camouflaged", 100 + number)
            save(tmp_path / "home", scene.picture, scene.mask, Verdict.FIX)
        with AnnotationStore.open(tmp_path / "home") as store:
            export_traces(store, tmp_path / "out")
        asked = ["--config", str(write_config(tmp_path, max_steps=2)), "--home", str(tmp_path / "none")]
        asked += ["--device", "cpu", "--traces", str(tmp_path / "out"), "--output-dir", str(tmp_path / "run")]
        assert sft.main(asked) == 0
        assert re.search(r"out +trace +[12] +[12] +0", capsys.readouterr().out)
        assert len(losses(tmp_path / "run")) == 2
        assert (tmp_path / "run" / "policy" / "model.safetensors").is_file()

    def test_the_plan_is_reported_and_nothing_is_trained(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert sft.main(["--home", str(tmp_path / "home"), "--plan"]) == 0
        assert "scenes" in capsys.readouterr().out
        assert not (tmp_path / "home").exists()
        assert sft.main(["--home", str(tmp_path / "home"), "--traces", str(tmp_path / "absent")]) == 1
