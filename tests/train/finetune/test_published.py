"""A published checkpoint is trained with its own prompts, frame and coordinates, and so is the result used."""

from __future__ import annotations

import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

from segr1_app.domain import Box, ImageSize
from segr1_app.geometry import box_iou, mask_box
from segr1_app.language.codec import Grammar
from segr1_app.language.protocol import CoordinateFrame, Stage, TaskKind
from segr1_app.language.protocol_files import find_protocol, protocol_names
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.policy_files import CARD_FILE, read_card
from segr1_app.settings.config import DEFAULT_POLICY
from train.data.rows import scene_rows
from train.finetune.checkpoints import export_policy
from train.finetune.trl_rows import ExampleReader, PromptMaker
from train.finetune.trl_traces import TraceMaker

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A template as Qwen's are: every message with its role, texts to the letter."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> VlmPolicy:
    """A small Qwen2.5-VL under the name of a published checkpoint, without a card."""
    folder = tmp_path_factory.mktemp("hub") / "Seg-R1-tiny"
    shutil.copytree(DEFAULT_POLICY, folder, ignore=shutil.ignore_patterns(CARD_FILE))
    return VlmPolicy.load(folder, device="cpu")


@pytest.mark.parametrize(("name", "task", "stage"), list(product(protocol_names(), TaskKind, Stage)))
def test_the_rendered_conversation_is_the_protocols_to_the_letter(
    published: VlmPolicy, name: str, task: TaskKind, stage: Stage
) -> None:
    request = find_protocol(name).request((640, 480), "Segment the {odd} dog\u2019s ear?", task, stage)
    rendered = published.processor.apply_chat_template(
        request.messages, chat_template=CHAT, tokenize=False, add_generation_prompt=True
    )
    system = "" if request.system is None else f"<|im_start|>system\n{request.system}<|im_end|>\n"
    user = f"<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{request.text}<|im_end|>\n"
    assert rendered == f"{system}{user}<|im_start|>assistant\n"


@pytest.mark.parametrize(("name", "task"), list(product(protocol_names(), TaskKind)))
@pytest.mark.parametrize("size", [(640, 480), (90, 30)])
def test_the_model_sees_the_frame(name: str, task: TaskKind, size: tuple[int, int]) -> None:
    protocol = find_protocol(name)
    request = protocol.request(size, "it", task)
    patch = protocol.grid // 2
    processor = Qwen2VLImageProcessor(patch_size=patch, size={"shortest_edge": 56**2, "longest_edge": 12_845_056})
    shown = processor(Image.new("RGB", request.frame), return_tensors="pt")["image_grid_thw"][0].tolist()
    assert shown == [1, request.frame.height // patch, request.frame.width // patch]


def test_it_is_trained_in_its_own_words_and_numbers(published: VlmPolicy) -> None:
    assert published.protocol is find_protocol("seg-r1")
    examples = ExampleReader(scene_rows(4).rows)
    numbers = {"index": list(range(4)), "draw": list(range(4))}
    asked = PromptMaker(examples, published)(numbers)
    written = TraceMaker(examples, published, Grammar.FULL, seed=0)(numbers)
    wanted = find_protocol("seg-r1").request((100, 100), "", TaskKind.FOREGROUND, Stage.TRAINING)
    for index in range(4):
        example = examples[index]
        request = published.request(example.picture.size, "", TaskKind.FOREGROUND, Stage.TRAINING)
        assert asked["prompt"][index] == written["prompt"][index] == wanted.messages
        # Its small processor takes no more; the numbers run over the authors' square all the same.
        assert asked["image"][index].size == request.frame == (280, 280)
        assert request.coordinates == (768, 768)
        parsed = request.read(written["completion"][index][0]["content"])
        assert parsed.problems == ()
        truth = mask_box(example.truth.mask) if example.truth.mask is not None else None
        assert truth is not None
        boxes = np.array([found.box.xyxy for found in parsed.objects if found.box])
        around = Box(*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
        assert box_iou(around, truth) > 0.9


@pytest.mark.parametrize("reading", [None, CoordinateFrame.SEEN])
def test_what_is_trained_from_it_is_asked_as_it_was(
    published: VlmPolicy, tmp_path: Path, reading: CoordinateFrame
) -> None:
    policy = VlmPolicy(published.model, published.processor, "new", published.card, published.protocol, reading=reading)
    folder = tmp_path / "policy"
    export_policy(policy, folder)
    card = read_card(folder)
    assert card is not None
    assert (card.protocol, card.reading) == ("seg-r1", reading)
    loaded = VlmPolicy.load(folder, device="cpu")
    size = ImageSize(640, 480)
    for task in TaskKind:
        assert loaded.request(size, "segment it", task) == policy.request(size, "segment it", task)
    assert loaded.request(size, "segment it").coordinates == ((280, 280) if reading else (1024, 1024))
