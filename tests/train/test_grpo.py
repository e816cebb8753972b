"""Training by GRPO: it sees what the app sees, rewards what the app shows, and survives being killed.

It is long because each way to start, stop, resume and extend a training is a case.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from trl.data_utils import prepare_multimodal_messages

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point, SegR1Error, SettingsError
from segr1_app.geometry import rescale_objects
from segr1_app.images.pictures import Picture
from segr1_app.language.codec import Grammar, format_completion
from segr1_app.language.protocol import Request
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.rewards import SEG_R1, RewardOptions, Truth
from segr1_app.settings.config import DEFAULT_SEGMENTER
from segr1_app.store import AnnotationStore, RejectReason, Verdict
from segr1_app.studio.trainings import Trainings
from tests.e2e.serving import free_port
from tests.scenes import ellipse_scene
from tests.train.data.test_rows import save
from tests.train.scratch.test_policy import TINY
from train import grpo
from train.data.prompting import oracle_prompt
from train.data.rows import Example, Plan, Row, scene_rows, split
from train.data.scenes import draw_scene
from train.data.traces import vocabulary
from train.finetune.checkpoints import whole_checkpoints
from train.finetune.finetuning import load_segmenter
from train.finetune.grpo_setup import DEFAULT_CONFIG, GrpoSetup, generation_period, prompts_needed, prompts_per_step
from train.finetune.heldout import score_held_out
from train.finetune.setup import CONFIGS
from train.finetune.trl_reward import Answerer, SegR1Reward
from train.finetune.trl_rows import ExampleReader
from train.scratch.policy import CARD
from train.scratch.policy_model import build_model, build_processor, build_tokenizer, save_policy

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return split(scene_rows(8), 0.2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained policy that soon stops writing."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(vocabulary())
    model = build_model(tokenizer, TINY)
    assert model.generation_config is not None
    model.generation_config.max_new_tokens = 8
    folder = tmp_path_factory.mktemp("tiny") / "policy"
    save_policy(model, build_processor(tokenizer, TINY), CARD, folder)
    return folder


TRAINER = {
    "learning_rate": 1e-3,
    "lr_scheduler_type": "constant",
    "num_generations": 2,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "max_completion_length": 8,
    "weight_decay": 0.1,
}


def write_config(folder: Path, policy: Path, **settings: Any) -> Path:
    """A training of a few seconds: two pictures, two completions of eight tokens each, checkpoints all the time."""
    content = {"policy": str(policy), "max_steps": 3, "save_steps": 1, "held_out_rows": 2, "trainer": TRAINER}
    # A policy without any reward gets no better, and would end early.
    content |= {"patience": 0}
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(content | settings))
    return file


class TestPrompts:
    @pytest.mark.parametrize("grammar", [Grammar.FULL, Grammar.PRE_RL])
    def test_training_and_app_see_the_same_tokens_and_pixels(
        self, policy: VlmPolicy, segmenter: Sam2Segmenter, plan: Plan, tmp_path: Path, grammar: Grammar
    ) -> None:
        setup = replace(GrpoSetup.read(DEFAULT_CONFIG), grammar=grammar, max_steps=1)
        config = setup.trainer_config(tmp_path, rows=len(plan.train), seed=0, device="cpu", report_to="none")
        trainer = grpo.make_trainer(setup, config, plan, policy, segmenter)
        assert trainer.train_dataset is not None
        for row in list(trainer.train_dataset)[:3]:
            prompt = prepare_multimodal_messages(row["prompt"], images=[row["image"]])
            tokens, _, fields = trainer._tokenize_prompts([prompt])
            planned = plan.train[row["index"]]
            expected = policy.model_inputs(planned.load().picture, planned.instruction, grammar)
            assert tokens[0] == expected["input_ids"][0].tolist()
            assert torch.equal(fields["pixel_values"], expected["pixel_values"].cpu())
            assert torch.equal(fields["image_grid_thw"], expected["image_grid_thw"].cpu())
        batch = next(iter(trainer.get_train_dataloader()))
        assert [row["image_id"] for row in batch] == [plan.train[row["index"]].image_id for row in batch]
        assert len({row["index"] for row in batch}) == len(batch) / 8


@dataclass
class Recited:
    """A policy that says one text, whatever it is asked."""

    policy: VlmPolicy
    text: str

    @property
    def model_id(self) -> str:
        return "recited"

    def request(self, image_wh: ImageSize, instruction: str, *_: object) -> Request:
        return self.policy.request(image_wh, instruction)

    def stream(self, picture: Picture, *_: object) -> Iterator[str]:  # noqa: ARG002
        yield self.text

    def complete(self, asked: Sequence[tuple[Picture, str]]) -> list[str]:
        return [self.text for _ in asked]


def completion_at(right: float, bottom: float, frame: ImageSize) -> str:
    """A small box in a corner of the frame, with a positive point in its middle."""
    width, height = frame.width // 6, frame.height // 6
    left, top = right * (frame.width - width), bottom * (frame.height - height)
    box = Box(left, top, left + width, top + height)
    return format_completion("there.", [ObjectPrompt(box, (Point(left + width // 2, top + height // 2, 1),))])


class TestReward:
    def reward(
        self, policy: VlmPolicy, segmenter: Sam2Segmenter, rows: list[Row], options: RewardOptions = SEG_R1
    ) -> SegR1Reward:
        return SegR1Reward(ExampleReader(rows), Answerer(policy, segmenter), options)

    def test_completions_speak_in_the_policys_frame_and_masks_are_judged_in_the_pictures(
        self, policy: VlmPolicy, segmenter: Sam2Segmenter, plan: Plan
    ) -> None:
        example = plan.train[0].load()
        assert example.truth.mask is not None
        frame = policy.frame(example.picture.size)
        assert frame != example.picture.size
        prompts = rescale_objects([oracle_prompt(example.truth.mask)], from_wh=example.picture.size, to_wh=frame)
        terms = self.reward(policy, segmenter, list(plan.train)).terms(0, format_completion("so it is.", prompts), 9)
        assert terms is not None
        assert terms.format == 1
        assert terms.iou is not None
        assert terms.iou > 0.75

    def test_a_picture_is_encoded_once_for_all_completions(self, policy: VlmPolicy, plan: Plan) -> None:
        own = Sam2Segmenter.load(DEFAULT_SEGMENTER, device="cpu")
        encoded: list[int] = []
        own.model.image_encoder.register_forward_hook(lambda *_: encoded.append(1))
        reward = self.reward(policy, own, list(plan.train))
        logged: dict[str, float] = {}
        texts = [f"<bbox>[{n},{n},90,90]</bbox>" for n in range(4)]
        totals = reward(
            completions=[[{"role": "assistant", "content": text}] for text in texts * 2],
            completion_ids=[[1]] * 8,
            index=[0] * 4 + [1] * 4,
            source=["scenes"] * 8,
            log_metric=logged.__setitem__,
        )
        assert len(encoded) == 2
        assert logged["terms/scenes/format"] == 0
        known = [total for total in totals if total is not None]
        assert logged["terms/scenes/total"] == pytest.approx(np.mean(known))
        assert len(known) == 8

    def test_what_is_rewarded_is_the_mask_that_the_app_shows(
        self, policy: VlmPolicy, segmenter: Sam2Segmenter, plan: Plan
    ) -> None:
        """Also where the prompt points at nothing: from the whole picture, the object would still be found."""
        shown = 0
        for row in plan.train:
            example = row.load()
            frame = policy.frame(example.picture.size)
            for text in (completion_at(*corner, frame) for corner in ((0, 0), (1, 0), (0, 1), (1, 1))):
                answer = Answerer(policy, segmenter).answer(example.picture, text)
                app = Pipeline(Recited(policy, text), segmenter).run(example.picture, row.instruction)
                assert np.array_equal(answer.mask, app.mask)
                whole = segmenter.decode(segmenter.encode(example.picture), app.objects)
                shown += not np.array_equal(whole[0].mask, app.mask)
        assert shown > len(plan.train), "the whole picture gives other masks than the app shows"

    def test_windows_of_a_group_are_encoded_together_and_once(self, policy: VlmPolicy) -> None:
        own = Sam2Segmenter.load(DEFAULT_SEGMENTER, device="cpu")
        passes: list[int] = []
        own.model.image_encoder.register_forward_pre_hook(lambda _, given: passes.append(len(given[0])))
        picture, _ = ellipse_scene(400, 300, (0.3, 0.6), (0.1, 0.15))
        frame = policy.frame(picture.size)
        texts = [completion_at(right, bottom, frame) for right, bottom in ((0, 0), (1, 0), (0, 1), (1, 1), (0, 0))]
        answerer = Answerer(policy, own)
        answerer.prepare(picture, texts)
        assert passes == [4], "four different windows in one pass"
        together = [answerer.answer(picture, text).mask for text in texts]
        assert passes == [4], "what was prepared is not encoded again"
        alone = Answerer(policy, Sam2Segmenter.load(DEFAULT_SEGMENTER, device="cpu"))
        assert all(
            np.array_equal(alone.answer(picture, text).mask, mask) for text, mask in zip(texts, together, strict=True)
        )

    def test_what_cannot_be_scored_is_none_and_what_goes_wrong_is_raised(
        self, policy: VlmPolicy, segmenter: Sam2Segmenter
    ) -> None:
        scene = draw_scene("salient", 1)

        def unknown() -> Example:
            return Example(scene.picture, Truth())

        good, changed = (Row(name, "s", "v", "i", unknown) for name in (scene.picture.sha256, "another"))
        reward = self.reward(policy, segmenter, [good, changed])
        assert reward.terms(0, "<bbox>[1,1,9,9]</bbox>", 3) is None
        with pytest.raises(SegR1Error, match="was changed"):
            reward.terms(1, "", 0)

    def test_held_out_rows_are_scored_by_what_is_trained_with(
        self, policy: VlmPolicy, segmenter: Sam2Segmenter, plan: Plan
    ) -> None:
        rows = plan.train[:1]
        plain, short = (
            score_held_out(Answerer(policy, segmenter), rows, RewardOptions(soft_length=length)).answers[0]
            for length in (None, (2, 1))
        )
        assert plain.reward is not None
        assert short.reward == pytest.approx(plain.reward - 1)
        assert short.completion == plain.completion


class TestSetup:
    @pytest.mark.parametrize(
        "file", sorted({*CONFIGS.glob("*.yaml")} - {*CONFIGS.glob("sft-*.yaml")}), ids=lambda f: f.stem
    )
    def test_every_config_makes_a_trainer_configuration(self, file: Path, tmp_path: Path) -> None:
        setup = GrpoSetup.read(file)
        config = setup.trainer_config(tmp_path, rows=1000, seed=1, device="cpu", report_to="none")
        assert (config.bf16, config.use_cpu, config.shuffle_dataset) == (False, True, False)
        assert config.save_steps % generation_period(config) == 0
        assert prompts_needed(config) >= config.max_steps * prompts_per_step(config)
        assert config.max_steps == setup.max_steps or config.max_steps * prompts_per_step(config) >= setup.epochs * 1000
        lora = setup.lora_config()
        assert (lora is None) == (setup.lora is None)

    @pytest.mark.parametrize("file", sorted(CONFIGS.glob("paper-*.yaml")), ids=lambda f: f.stem)
    def test_the_papers_steps_have_24_prompts_however_many_processes_there_are(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        setup = GrpoSetup.read(file)
        assert setup.protocol == "seg-r1"
        config = setup.trainer_config(tmp_path, rows=1000, seed=1, device="cpu", report_to="none")
        assert config.gradient_accumulation_steps == 24
        assert (config.beta, config.num_generations, config.per_device_train_batch_size) == (0.04, 4, 4)
        for processes, accumulated in (("6", 4), ("8", 3)):
            monkeypatch.setenv("WORLD_SIZE", processes)
            assert setup.accumulation() == {"gradient_accumulation_steps": accumulated}
        monkeypatch.setenv("WORLD_SIZE", "5")
        with pytest.raises(SettingsError, match=r"24 prompts per step, .* divided evenly among 5"):
            setup.accumulation()

    def test_all_weights_are_trained_in_float32_and_what_is_said_is_done(self) -> None:
        lora = {"r": 4}
        setups = GrpoSetup(), GrpoSetup(lora=lora), GrpoSetup(dtype="bfloat16"), GrpoSetup(lora=lora, dtype="float16")
        assert [setup.trained_dtype for setup in setups] == ["float32", "auto", "bfloat16", "float16"]

    def test_embeddings_are_kept_where_it_is_asked_for(self, tmp_path: Path) -> None:
        given = grpo._parser().parse_args(["--embedding-cache", str(tmp_path)])
        setup = grpo.read_grpo_setup(given)
        picture = draw_scene("salient", 3).picture
        load_segmenter(setup, "cpu").encode(picture)
        assert [path.name.partition(".")[0] for path in tmp_path.glob("*/*.safetensors")] == [picture.sha256]

    def test_a_setup_is_known_again_from_json(self, tmp_path: Path) -> None:
        (tmp_path / "c.yaml").write_text("reward: {soft_length: [400, 50]}\ndata: [a, b]\nembedding_cache: c")
        record = GrpoSetup.read(tmp_path / "c.yaml").record()
        assert record["reward"]["soft_length"] == [400, 50]
        assert (record["data"], record["embedding_cache"]) == (["a", "b"], "c")
        assert record == json.loads(json.dumps(record))

    def test_checkpoints_fall_where_a_generation_is_used_up(self, tmp_path: Path) -> None:
        trainer = {"num_generations": 2, "per_device_train_batch_size": 2, "steps_per_generation": 3}
        setup = GrpoSetup(max_steps=7, save_steps=4, trainer=trainer | {"num_iterations": 2})
        config = setup.trainer_config(tmp_path, rows=9, seed=0, device="cpu", report_to="none")
        assert (generation_period(config), config.save_steps, prompts_needed(config)) == (6, 6, 6)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("polcy: x", "'polcy'"),
            ("trainer: {learning_rat: 1}", "'learning_rat'"),
            ("trainer: {output_dir: x}", "output_dir cannot be set"),
            ("lora: {rank: 1}", "'rank'"),
            ("mixing: {fraction: 1}", "fraction"),
            ("grammar: none", "none"),
            ("max_steps: 0", "at least 1"),
            ("[1", "cannot be read"),
            ("- 1", "not a mapping"),
            ("dtype: int8", "dtype"),
        ],
    )
    def test_what_makes_no_sense_is_reported(self, tmp_path: Path, content: str, message: str) -> None:
        (tmp_path / "c.yaml").write_text(content)
        with pytest.raises(SettingsError, match=message):
            GrpoSetup.read(tmp_path / "c.yaml")


class TestCommand:
    @pytest.mark.slow
    def test_a_dry_step_says_what_a_training_takes_and_leaves_nothing(
        self, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["--config", str(write_config(tmp_path, tiny, max_steps=600)), "--device", "cpu"]
        home, cache = tmp_path / "home", tmp_path / "cache"
        assert grpo.main([*arguments, "--home", str(home), "--dry-step", "--output-dir", str(cache)]) == 0
        out = capsys.readouterr().out
        figures = re.search(r"takes ([\d.]+) s and, .* ([\d.]+) GiB of memory: about (\d+) min for 600 steps", out)
        assert figures, out
        seconds, memory, minutes = map(float, figures.groups())
        assert minutes == pytest.approx(10 * seconds, abs=1)
        assert 0.2 < memory < 64
        assert "GiB of disk" in out, "it is a plan, too"
        assert not home.exists()
        assert not cache.exists()

    @pytest.mark.slow
    def test_it_trains_on_scenes_and_corrections_and_leaves_a_policy(
        self, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        home = tmp_path / "home"
        hashes = set()
        for seed in range(4):
            scene = draw_scene("camouflaged", 100 + seed)
            verdict, reason = (Verdict.REJECT, RejectReason.GROUNDING) if seed == 3 else (Verdict.FIX, None)
            hashes.add(save(home, scene.picture, None if reason else scene.mask, verdict, reason)[0])
        arguments = ["--config", str(write_config(tmp_path, tiny)), "--home", str(home), "--device", "cpu"]
        assert grpo.main([*arguments, "--include-feedback", "--plan"]) == 0
        assert "grounding" in capsys.readouterr().out
        assert not (home / "runs").exists()
        assert grpo.main([*arguments, "--include-feedback"]) == 0
        out = capsys.readouterr().out
        assert "->" in out.split("feedback")[-1]
        (run,) = (home / "runs").iterdir()
        config = json.loads((run / "config.json").read_text())
        assert set(config["corrections"]) == hashes
        assert config["seed"] == 0
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if "reward" in line] == [1, 2, 3]
        assert any("terms/feedback/total" in line for line in lines)
        result = json.loads((run / "result.json").read_text())
        assert result["after"]["pairs"]["count"] == 2
        answers, after = (json.loads((run / file).read_text())["answers"] for file in ("before.json", "after.json"))
        assert [answer["image_id"] for answer in answers] == [answer["image_id"] for answer in after]
        photographs = [answer for answer in answers if answer["source"] == "photographs"]
        assert [answer["reward"] for answer in photographs] == [None, None]
        assert all((run / "held-out" / f"{answer['image_id']}.jpg").is_file() for answer in answers)
        assert (run / "rewards.png").stat().st_size > 1000
        trained = VlmPolicy.load(run / "policy", device="cpu")
        assert trained.card == CARD
        before = VlmPolicy.load(tiny, device="cpu").model.state_dict()
        moved = [name for name, value in trained.model.state_dict().items() if not torch.equal(value, before[name])]
        assert len(moved) > len(before) / 2
        assert next(iter(load_file(run / "policy" / "model.safetensors").values())).dtype == torch.float16
        assert grpo.main([*arguments, "--include-feedback", "--resume"]) == 1
        # The page shows it, and what it changed.
        shown = Trainings(home)
        assert [(name, shown.read(name).state) for name in shown.names()] == [(run.name, "done")]
        assert len(shown.changes(run.name)) == len(answers)
        assert shown.trained(run.name) == ("policy", run / "policy")

    @pytest.mark.slow
    def test_without_corrections_it_says_so_and_adapters_are_merged(
        self, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = write_config(tmp_path, tiny, max_steps=1)
        out = tmp_path / "out"
        AnnotationStore.open(tmp_path / "home").close()
        arguments = ["--config", str(config), "--home", str(tmp_path / "home"), "--device", "cpu", "--lora"]
        assert grpo.main([*arguments, "--include-feedback", "--output-dir", str(out)]) == 0
        assert "There are no corrections" in capsys.readouterr().out
        names = load_file(out / "policy" / "model.safetensors")
        assert not any("lora" in name for name in names)
        assert names.keys() == load_file(tiny / "model.safetensors").keys()
        assert grpo.main([*arguments, "--output-dir", str(out)]) == 1

    def test_what_is_missing_is_reported(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        for wrong in (["--resume"], ["--data", str(tmp_path / "absent")], ["--config", str(tmp_path / "absent.yaml")]):
            assert grpo.main(["--home", str(tmp_path / "home"), *wrong]) == 1
        assert [record.message.split()[0] for record in caplog.records] == ["There", "There", "--config"]


def start(config: Path, out: Path, *more: str, launcher: tuple[str, ...] = ("-m",)) -> subprocess.Popen[bytes]:
    """A training as a process of its own."""
    command = [sys.executable, *launcher, "train.grpo", "--config", str(config), "--output-dir", str(out)]
    # A script is run from its own folder, and does not see the project from there.
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths}
    home = ["--home", str(out.parent / "home"), "--device", "cpu"]
    return subprocess.Popen([*command, *home, *more], cwd=ROOT, env=environment)


def launcher(*how: str) -> tuple[str, ...]:
    """Two processes of accelerate's, where ``how`` says nothing else; port 0 is any that is free."""
    common = ("--num_processes", "2", "--num_machines", "1", "--main_process_port", "0")
    return ("-m", "accelerate.commands.launch", *common, "--mixed_precision", "no", "--dynamo_backend", "no", *how)


@pytest.mark.slow
class TestProcesses:
    @pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
    def test_killed_at_any_moment_it_ends_with_the_very_same_weights(
        self, tiny: Path, tmp_path: Path, *, lora: bool
    ) -> None:
        config, more = write_config(tmp_path, tiny, max_steps=8), ["--lora"] if lora else []
        assert start(config, tmp_path / "whole", *more).wait() == 0
        killed = tmp_path / "killed"
        for resume, awaited, pause in (
            (False, "before.json", 0.0),
            (True, "checkpoint-2", 0.0),
            (True, "checkpoint-4", 0.05),
        ):
            process = start(config, killed, *more, *(["--resume"] if resume else []))
            # Before there is a checkpoint, right after one, or while the next one is being made.
            while not (killed / awaited).exists():
                assert process.poll() is None
                time.sleep(0.005)
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
            process.wait()
        # What half a checkpoint looks like.
        (killed / "partial" / "checkpoint-9").mkdir(parents=True, exist_ok=True)
        assert start(config, killed, *more, "--resume").wait() == 0
        name = "adapter_model.safetensors" if lora else "model.safetensors"
        one, other = (load_file(run / "checkpoint-8" / name) for run in (tmp_path / "whole", killed))
        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[key]) for key, value in one.items())
        early = load_file(whole_checkpoints(killed)[0] / name)
        assert any(not torch.equal(value, one[key]) for key, value in early.items())
        curves = [
            [
                (line["step"], line.get("reward"))
                for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
            ]
            for run in (tmp_path / "whole", killed)
        ]
        assert curves[0] == curves[1]

    def test_two_processes_train_one_policy(self, tiny: Path, tmp_path: Path) -> None:
        config = write_config(tmp_path, tiny, max_steps=2)
        # accelerate starts several processes on a CPU only by MPI, or as if there were GPUs.
        assert start(config, tmp_path / "out", launcher=launcher("--multi_gpu", "-m")).wait() == 0
        result = json.loads((tmp_path / "out" / "result.json").read_text())
        assert (result["steps"], result["after"]["pairs"]["count"]) == (2, 2)
        VlmPolicy.load(tmp_path / "out" / "policy", device="cpu")
        assert len(list((tmp_path / "out" / "checkpoint-2").glob("rng_state_*.pth"))) == 2

    def test_two_machines_train_one_policy_in_the_folder_that_the_first_one_names(
        self, tiny: Path, tmp_path: Path
    ) -> None:
        config = write_config(tmp_path, tiny, max_steps=2)
        address = ("--main_process_ip", "127.0.0.1", "--main_process_port", str(free_port()))
        machines = [
            start(
                config,
                tmp_path / f"named-{rank}",
                launcher=launcher("--multi_gpu", "--num_machines", "2", "--machine_rank", rank, *address, "-m"),
            )
            for rank in "01"
        ]
        assert [machine.wait() for machine in machines] == [0, 0]
        assert not (tmp_path / "named-1").exists()
        assert start(config, tmp_path / "one", launcher=launcher("--multi_gpu", "-m")).wait() == 0
        one, other = (load_file(tmp_path / run / "checkpoint-2" / "model.safetensors") for run in ("one", "named-0"))
        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[name]) for name, value in one.items())
