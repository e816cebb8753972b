"""A whole step of each training, from a checkpoint with the interface of a published one: Qwen2.5-VL's processor,
chat template and bounds, and the protocol `seg-r1` in its card; only its size is not that of Seg-R1-3B.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as Bytes
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from segr1_app.language.codec import Grammar
from segr1_app.language.protocol import Stage, TaskKind
from segr1_app.language.protocol_files import find_protocol
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.policy_files import PolicyCard
from segr1_app.models.segmenter import Sam2Segmenter
from tests.train.finetune.test_published import CHAT
from train import grpo
from train.data.rows import Collected, Plan, Row, scene_rows, split
from train.finetune.grpo_setup import GrpoSetup
from train.finetune.sft_setup import SftSetup
from train.finetune.sft_trainer import make_trainer
from train.finetune.trl_rows import ExampleReader
from train.finetune.trl_traces import TraceMaker
from train.scratch.policy_model import SPECIALS, save_policy, token_id

pytestmark = pytest.mark.slow

SQUARE = [1, 54, 54]
"""Patches of 14 pixels in the square of 756 pixels that a processor makes of the authors' 768."""


@pytest.fixture
def published(tmp_path: Path) -> VlmPolicy:
    """A Qwen2.5-VL of random weights that reads every text to the letter, with the processor of the published ones."""
    alphabet = sorted(ByteLevel.alphabet())
    pieces = Tokenizer(BPE(vocab={piece: i for i, piece in enumerate([*SPECIALS, *alphabet])}, merges=[]))
    pieces.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    pieces.decoder = Bytes()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        pad_token=SPECIALS[0],
        eos_token=SPECIALS[3],
        extra_special_tokens=[SPECIALS[2], *SPECIALS[4:]],
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    pad, _, _, end, start, _, image, video = (token_id(tokenizer, piece) for piece in SPECIALS)
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            vision_config={
                "depth": 2,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_heads": 2,
                "out_hidden_size": 48,
                "fullatt_block_indexes": [1],
            },
            text_config={
                "vocab_size": len(tokenizer),
                "bos_token_id": None,
                "eos_token_id": end,
                "pad_token_id": pad,
                "hidden_size": 48,
                "intermediate_size": 96,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 4, 4]},
            },
            image_token_id=image,
            video_token_id=video,
            vision_start_token_id=start,
        )
    )
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad, max_new_tokens=16)
    images = Qwen2VLImageProcessor(size={"shortest_edge": 3136, "longest_edge": 12_845_056})
    processor = Qwen2_5_VLProcessor(images, tokenizer, Qwen2VLVideoProcessor(), chat_template=CHAT)
    folder = tmp_path / "checkpoint"
    save_policy(model, processor, PolicyCard(protocol="seg-r1"), folder)
    return VlmPolicy.load(folder, device="cpu", dtype="float32")


@pytest.fixture
def plan() -> Plan:
    return split(Collected(scene_rows(3).rows), 0.34)


@contextmanager
def overheard(policy: VlmPolicy) -> Iterator[list[dict[str, Any]]]:
    """What the model is given while it is trained: the arguments of each forward pass."""
    given: list[dict[str, Any]] = []
    hook = policy.model.register_forward_pre_hook(lambda _, __, named: given.append(named), with_kwargs=True)
    yield given
    hook.remove()


def read(policy: VlmPolicy, ids: torch.Tensor) -> str:
    """The text of tokens, without padding and with one place for the picture."""
    tokenizer: Any = policy.processor.tokenizer
    text = str(tokenizer.decode(ids)).replace(SPECIALS[0], "")
    return text.replace(SPECIALS[6] * (54 * 54 // 4), SPECIALS[6])


def truths(policy: VlmPolicy, rows: list[Row]) -> list[str]:
    """The right answers, in the numbers of the protocol."""
    indices = list(range(len(rows)))
    maker = TraceMaker(ExampleReader(rows), policy, Grammar.FULL, seed=0)
    return [message[0]["content"] for message in maker({"index": indices, "draw": indices})["completion"]]


def moved(policy: VlmPolicy, before: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(value, before[name]) for name, value in policy.model.state_dict().items())


def copied(policy: VlmPolicy) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in policy.model.state_dict().items()}


def settings(folder: Path, policy: VlmPolicy, **others: Any) -> Path:
    trainer: dict[str, Any] = {"learning_rate": 1e-2, "lr_scheduler_type": "constant"} | others.pop("trainer")
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"policy": policy.model_id, "max_steps": 1, "trainer": trainer, **others}))
    return file


def test_a_step_of_grpo_asks_in_the_authors_words_and_rewards_in_their_numbers(
    published: VlmPolicy, plan: Plan, segmenter: Sam2Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer_settings = {"num_generations": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1}
    trainer_settings |= {"max_completion_length": 400, "beta": 0.04}
    setup = GrpoSetup.read(settings(tmp_path, published, trainer=trainer_settings))
    config = setup.trainer_config(tmp_path, rows=len(plan.train), seed=0, device="cpu", report_to="none")
    trainer = grpo.make_trainer(setup, config, plan, published, segmenter)
    tokenizer: Any = published.processor.tokenizer
    (drawn,) = grpo.draw(setup, config, plan, 1, 0)
    right = truths(published, list(plan.train))[drawn]
    asked: list[str] = []

    def generate(input_ids: torch.Tensor, **_: Any) -> torch.Tensor:
        """A right answer and one that says nothing."""
        asked.append(read(published, input_ids[0]))
        said = [text + SPECIALS[3] for text in (right, "I cannot see it.")]
        ids = tokenizer(said, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
        return torch.cat([input_ids, ids["input_ids"]], dim=1)

    monkeypatch.setattr(published.model, "generate", generate)
    before = copied(published)
    with overheard(published) as given:
        trainer.train()
    wanted = find_protocol("seg-r1").request((9, 9), "", TaskKind.FOREGROUND, Stage.TRAINING)
    prompt = published.processor.apply_chat_template(wanted.messages, tokenize=False, add_generation_prompt=True)
    assert asked == [prompt]
    assert given
    for named in given:
        assert named["image_grid_thw"].tolist() == [SQUARE] * len(named["input_ids"])
        assert read(published, named["input_ids"][0]).startswith(prompt)
    # Read over the authors' 768, the right answer covers its object; the other one gets nothing.
    (logged,) = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert logged["terms/scenes/format"] == 0.5
    assert 0.45 < logged["terms/scenes/iou"] <= 0.5
    assert moved(published, before)


def test_a_step_of_sft_teaches_the_authors_words_and_numbers(
    published: VlmPolicy, plan: Plan, segmenter: Sam2Segmenter, tmp_path: Path
) -> None:
    file = settings(
        tmp_path,
        published,
        text_first=True,
        whole_conversation=True,
        trainer={"per_device_train_batch_size": 1, "gradient_accumulation_steps": 1},
    )
    setup = SftSetup.read(file)
    config = setup.trainer_config(tmp_path, rows=len(plan.train), seed=0, device="cpu", report_to="none")
    trainer = make_trainer(setup, config, plan, published, segmenter)
    before = copied(published)
    with overheard(published) as given:
        trainer.train()
    (named,) = given
    assert named["image_grid_thw"].tolist() == [SQUARE]
    wanted = find_protocol("seg-r1").request((9, 9), "", TaskKind.FOREGROUND, Stage.TRAINING)
    text = read(published, named["input_ids"][0])
    prompt, _, answer = text.partition("<|im_start|>assistant\n")
    assert prompt == (
        f"<|im_start|>system\n{wanted.system}<|im_end|>\n"
        f"<|im_start|>user\n{wanted.text}<|vision_start|><|image_pad|><|vision_end|><|im_end|>\n"
    )
    parsed = wanted.read(answer.partition("<|im_end|>")[0])
    assert parsed.well_formed
    assert parsed.objects
    assert moved(published, before)
