"""Measure full-size models on a GPU: ``python -m tests.benchmarks.gpu``; prints a table for docs/benchmarks.md.

The models have the true dimensions of Qwen2.5-VL-3B and SAM2.1-large and randomly initialised weights, because speed
and memory do not depend on the values of the weights. Without a GPU nothing is measured; ``--tiny`` runs the same code,
which builds models of the same kind with a thousandth of the weights, anywhere, to check that it works: its figures
mean nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
# What is measured is one card; and trl refuses a process that sees several.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")

import cv2
import numpy as np
import torch
from sam2.build_sam import build_sam2
from sam2.sam2_image_predictor import SAM2ImagePredictor
from transformers import (
    GenerationConfig,
    PrinterCallback,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    TrainerCallback,
)
from transformers.trainer_utils import SaveStrategy
from transformers.utils.import_utils import is_flash_attn_2_available

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point
from segr1_app.geometry import rescale_objects
from segr1_app.images.pictures import picture_from_array
from segr1_app.language.codec import format_completion
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.sam2_predictor import Sam2Predictor
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.rewards import Truth
from segr1_app.settings.config import DEFAULT_POLICY
from tests.benchmarks.models import INSTRUCTION, alternate, scene, seconds
from train.data.prompting import oracle_prompt
from train.data.rows import SCENE, Example, Plan, Row
from train.data.scenes import draw_scene
from train.finetune.grpo_setup import GrpoSetup
from train.grpo import LORA_CONFIG, make_trainer

PROMPT = ObjectPrompt(Box(200, 120, 440, 360), (Point(320, 240, 1),))
Figures = dict[str, float]


GOALS = {"reward / step": 0.1, **{f"{part}, peak memory, GB": 80.0 for part in ("policy", "segmenter", "GRPO step")}}


@dataclass(frozen=True, slots=True)
class Size:
    """How large everything is.

    Attributes:
        picture: side in pixels of the pictures of the policy and of the GRPO step.
        tokens: length of the measured completions.
        group: completions per picture of the GRPO step.
        completion: most tokens of one of them.
        rounds: measurements of each; medians are reported.
        language, vision: the policy's dimensions, as its configuration has them.
        segmenter: a configuration of the sam2 package, and what is changed in it.
    """

    picture: int
    tokens: int
    group: int
    completion: int
    rounds: int
    language: Mapping[str, Any]
    vision: Mapping[str, Any]
    segmenter: tuple[str, list[str]]


FULL = Size(
    picture=840,
    tokens=128,
    group=8,
    completion=256,
    rounds=3,
    language={
        "vocab_size": 151_936,
        "hidden_size": 2048,
        "intermediate_size": 11_008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    },
    vision={"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 2048},
    segmenter=("configs/sam2.1/sam2.1_hiera_l.yaml", []),
)
TINY = Size(
    picture=168,
    tokens=8,
    group=2,
    completion=8,
    rounds=1,
    language={
        "vocab_size": 2000,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
    },
    vision={"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64}
    | {"fullatt_block_indexes": [1]},
    segmenter=("configs/sam2.1/sam2.1_hiera_t.yaml", ["++model.image_size=256"]),
)


def random_policy(device: str, size: Size) -> VlmPolicy:
    """A policy with the dimensions of Qwen2.5-VL-3B-Instruct, or smaller ones, in bfloat16."""
    embedded = VlmPolicy.load(DEFAULT_POLICY, device="cpu").processor
    tokenizer = embedded.tokenizer
    # A randomly initialised model writes any token of its vocabulary: each must have a text.
    words = size.language["vocab_size"] - len(tokenizer)
    tokenizer.add_tokens([f" word{number}" for number in range(words)])
    names = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_end|>", "<|pad|>")
    image, video, start, end, stop, pad = tokenizer.convert_tokens_to_ids(list(names))
    config = Qwen2_5_VLConfig(
        text_config={
            **size.language,
            "max_position_embeddings": 128_000,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": True,
            "eos_token_id": stop,
            "pad_token_id": pad,
        },
        vision_config=dict(size.vision),
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        tie_word_embeddings=True,
    )
    attention = "flash_attention_2" if device == "cuda" and is_flash_attn_2_available() else "sdpa"
    with torch.device(device):
        model = Qwen2_5_VLForConditionalGeneration._from_config(
            config, dtype=torch.bfloat16, attn_implementation=attention
        )
    images = Qwen2VLImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": size.picture**2})
    processor = Qwen2_5_VLProcessor(images, tokenizer, Qwen2VLVideoProcessor(), chat_template=embedded.chat_template)
    return VlmPolicy(model.eval(), processor, f"{model.num_parameters() / 1e9:.2f}B, randomly initialised")


def random_segmenter(device: str, size: Size) -> Sam2Segmenter:
    """A segmenter with the dimensions of SAM2.1-large, or smaller ones, without a cache."""
    config, changes = size.segmenter
    model = build_sam2(config, device=device, hydra_overrides_extra=changes)
    return Sam2Segmenter(Sam2Predictor(model), "randomly initialised", cache_bytes=0)


def silenced(policy: VlmPolicy) -> list[int]:
    """Tokens that a randomly initialised model must not write: they encode pictures, or end the text."""
    return list(policy.processor.tokenizer.all_special_ids)


def fix_length(policy: VlmPolicy, tokens: int) -> None:
    """Let every completion have this many tokens."""
    was = policy.model.generation_config
    policy.model.generation_config = GenerationConfig(
        eos_token_id=was.eos_token_id if was else None,
        pad_token_id=policy.processor.tokenizer.pad_token_id,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        suppress_tokens=silenced(policy),
    )


def measure_policy(policy: VlmPolicy, size: Size) -> Figures:
    """Tokens per second of `VlmPolicy.stream` and of a bare ``generate``, and the time to the first piece of text."""
    fix_length(policy, size.tokens)
    picture = scene(size.picture, size.picture, seed=1)
    first: list[float] = []

    def ours(round_: int) -> None:
        started = time.perf_counter()
        for number, _piece in enumerate(policy.stream(picture, INSTRUCTION)):
            if number == 0 and round_ >= 0:
                first.append(time.perf_counter() - started)

    def bare(_: int) -> None:
        with torch.inference_mode():
            policy.model.generate(**policy.model_inputs(picture, INSTRUCTION), do_sample=False)
        synchronize(policy.device)

    found = alternate(ours, bare, size.rounds)
    drawn = median_seconds(lambda: policy.sample(picture, INSTRUCTION, size.group), size.rounds)
    batch = [(scene(size.picture, size.picture, seed), INSTRUCTION) for seed in range(size.group)]
    together = median_seconds(lambda: policy.complete(batch), size.rounds)
    return {
        "policy, tokens/s": size.tokens / found.ours,
        "bare generate, tokens/s": size.tokens / found.bare,
        "policy / bare generate, time": found.ratio,
        "first text, s": statistics.median(first),
        f"{size.group} samples of one picture, tokens/s": size.group * size.tokens / drawn,
        f"{size.group} pictures at once, tokens/s": size.group * size.tokens / together,
    }


def measure_segmenter(segmenter: Sam2Segmenter, size: Size) -> Figures:
    """Encoding and decoding, each over a bare `SAM2ImagePredictor` that does the same."""
    device = segmenter.device
    bare = SAM2ImagePredictor(segmenter.model)
    bare._bb_feat_sizes = [(segmenter.input_side // stride,) * 2 for stride in (4, 8, 16)]
    pictures = [scene(640, 480, seed) for seed in range(size.rounds + 1)]
    half = partial(torch.autocast, device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")

    def ours(round_: int) -> None:
        segmenter.encode(pictures[round_])
        synchronize(device)

    def alone(round_: int) -> None:
        with torch.inference_mode(), half():
            bare.set_image(pictures[round_].pixels.copy())
        synchronize(device)

    encoded = alternate(ours, alone, size.rounds)
    embedding = segmenter.encode(pictures[0])

    def decode(_: int) -> None:
        segmenter.decode(embedding, [PROMPT])

    def bare_decode(_: int) -> None:
        with torch.inference_mode(), half():
            bare.predict(np.array([[320, 240]]), np.array([1]), np.array(PROMPT.box.xyxy), multimask_output=False)

    decoded = alternate(decode, bare_decode, 4 * size.rounds)
    return {
        "encode, ms": 1e3 * encoded.ours,
        "encode / bare predictor": encoded.ratio,
        "decode, ms": 1e3 * decoded.ours,
        "decode / bare predictor": decoded.ratio,
    }


def measure_step(policy: VlmPolicy, segmenter: Sam2Segmenter, size: Size) -> Figures:
    """One optimiser step of GRPO with adapters, after one to warm up, and the time of each of its parts.

    Randomly initialised models write no prompts: the reward is given completions as a trained policy writes them.
    """
    setup = GrpoSetup.read(LORA_CONFIG)
    passes = {"per_device_train_batch_size": size.group, "gradient_accumulation_steps": 1}
    setup = replace(
        setup,
        max_steps=2,
        trainer={
            **setup.trainer,
            **passes,
            "num_generations": size.group,
            "max_completion_length": size.completion,
            # Completions are cut off by their limit, and would else count for nothing.
            "mask_truncated_completions": False,
        },
    )
    rows = tuple(scene_row(seed, size.picture) for seed in range(4))
    with tempfile.TemporaryDirectory() as folder:
        config = setup.trainer_config(Path(folder), rows=len(rows), seed=0, device=str(policy.device), report_to="none")
        config.save_strategy = SaveStrategy.NO
        # Completions of full length, which no training asks for.
        config.generation_kwargs = {"suppress_tokens": silenced(policy), "min_new_tokens": size.completion}
        trainer = make_trainer(setup, config, Plan(rows, ()), policy, segmenter)
        trainer.remove_callback(PrinterCallback)  # it would write into the table
        clock = StepClock(policy.device)
        trainer.add_callback(clock)
        trainer._generate = clock.timed("generation", trainer._generate)
        trainer._calculate_rewards = clock.timed("reward", with_answers(trainer._calculate_rewards, rows, policy))
        trainer.accelerator.backward = clock.timed("backward", trainer.accelerator.backward)
        trainer.train()
    spent = clock.spent
    parts = {part: spent[part] for part in ("generation", "reward", "backward")}
    return {
        "GRPO step, s": spent["step"],
        **{f"  of it {part}, s": value for part, value in parts.items()},
        "  of it other, s": spent["step"] - sum(parts.values()),
        "reward / step": spent["reward"] / spent["step"],
    }


class StepClock(TrainerCallback):
    """Seconds of the last step and of its parts."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.spent: Counter[str] = Counter()
        self._began = 0.0

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*arguments: Any, **named: Any) -> Any:
            with self._counted(part):
                return call(*arguments, **named)

        return measured

    @contextmanager
    def _counted(self, part: str) -> Iterator[None]:
        synchronize(self._device)
        started = time.perf_counter()
        yield
        synchronize(self._device)
        self.spent[part] += time.perf_counter() - started

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        synchronize(self._device)
        self.spent.clear()
        self._began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        synchronize(self._device)
        self.spent["step"] = time.perf_counter() - self._began


def with_answers(reward: Callable[..., Any], rows: Sequence[Row], policy: VlmPolicy) -> Callable[..., Any]:
    """trl's reward, but of completions that name the truth's own box and deepest point."""

    def call(inputs: list[dict[str, Any]], prompts: Any, completions: Any, tokens: Any) -> Any:
        written = []
        for row in inputs:
            example = rows[row["index"]].load()
            assert example.truth.mask is not None
            whole = example.picture.size
            oracle = rescale_objects((oracle_prompt(example.truth.mask),), from_wh=whole, to_wh=policy.frame(whole))
            written.append([{"role": "assistant", "content": format_completion("It stands out.", oracle)}])
        assert len(written) == len(completions)
        return reward(inputs, prompts, written, tokens)

    return call


def scene_row(seed: int, side: int) -> Row:
    """A generated scene as a square picture of this side."""
    drawn = draw_scene("salient", seed)
    pixels = cv2.resize(drawn.picture.pixels, (side, side), interpolation=cv2.INTER_CUBIC)
    mask = cv2.resize(drawn.mask.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST) > 0
    example = Example(picture_from_array(pixels), Truth(mask, objects=(mask,)))
    assert example.picture.size == ImageSize(side, side)
    return Row(example.picture.sha256, "scenes", SCENE, INSTRUCTION, lambda: example)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(call: Callable[[], object], rounds: int) -> float:
    """Time a call whose result is text, so that no work is left on the GPU; after one call to warm up."""
    call()
    return statistics.median(seconds(call) for _ in range(rounds))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.gpu", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--tiny", action="store_true", help="the same code with small models, on whatever there is")
    given = parser.parse_args(arguments)
    on_gpu = torch.cuda.is_available()
    if not on_gpu and not given.tiny:
        print("There is no GPU here: nothing is measured.")
        return 0
    size, device = (TINY if given.tiny else FULL), "cuda" if on_gpu else "cpu"
    card = torch.cuda.get_device_name() if on_gpu else "CPU"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {card}, torch {torch.__version__}{', tiny' if given.tiny else ''}\n")
    print(f"| {'measured':44} | {'median':>10} | {'goal':>6} |\n|{'-' * 46}|{'-' * 11}:|{'-' * 7}:|")
    torch.manual_seed(0)
    policy, segmenter = random_policy(device, size), random_segmenter(device, size)
    parts: dict[str, Callable[[], Figures]] = {
        "policy": lambda: measure_policy(policy, size),
        "segmenter": lambda: measure_segmenter(segmenter, size),
        "GRPO step": lambda: measure_step(policy, segmenter, size),
    }
    for part, measure in parts.items():
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        figures = measure()
        if on_gpu:
            figures[f"{part}, peak memory, GB"] = torch.cuda.max_memory_allocated() / 1e9
        for name, value in figures.items():
            goal = f"{GOALS[name]:g}" if name in GOALS else ""
            print(f"| {name:44} | {value:10.3f} | {goal:>6} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
