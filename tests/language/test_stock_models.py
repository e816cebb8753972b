"""Stock models: each is prompted and parsed by its own protocol, and no text raises or takes long."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    GenerationConfig,
    Qwen2VLImageProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from segr1_app.domain import Box, ImageSize, ModelError, ObjectPrompt, Point, SettingsError
from segr1_app.language.codec import Grammar
from segr1_app.language.protocol import Protocol, Stage
from segr1_app.language.protocol_files import find_protocol, native_protocol, protocol_names
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.policy_files import CARD_FILE, read_card
from segr1_app.models.segmenter import Sam2Segmenter
from tests.scenes import ellipse_scene
from tests.timing import thread_seconds

FRAME = ImageSize(840, 560)
STUDIO, SEG_R1, QWEN25_VL, QWEN3_VL = map(find_protocol, ("studio", "seg-r1", "qwen2.5-vl", "qwen3-vl"))
ENTRY = '{"bbox_2d": [10, 20, 300, 400], "point_2d": [100, 200], "label": "a cat"}'
GOOD = f"A cat, on the left.\n```json\n[{ENTRY}]\n```"
JSON_PROTOCOLS = pytest.mark.parametrize("protocol", [QWEN25_VL, QWEN3_VL], ids=lambda protocol: protocol.name)


@pytest.mark.parametrize("protocol", [STUDIO, QWEN25_VL, QWEN3_VL], ids=lambda protocol: protocol.name)
def test_each_is_asked_with_picture_instruction_frame_and_form(protocol: Protocol) -> None:
    small = ImageSize(280, 196)
    system, user = protocol.request(small, "  the cat\non the left ", frame=small).messages
    assert system["role"] == "system"
    picture, text = user["content"]
    assert picture == {"type": "image"}
    instruction, frame, form = text["text"].splitlines()
    assert instruction == "the cat on the left"
    assert ("1000" in frame) is (protocol is QWEN3_VL)
    assert ("280 x 196" in frame) is (protocol is not QWEN3_VL)
    assert ("<bbox>[x1,y1,x2,y2]</bbox>" in form) is (protocol is STUDIO)
    assert ('"bbox_2d": [x1, y1, x2, y2]' in form) is (protocol is not STUDIO)
    assert "bbox" not in protocol.request(FRAME, "the cat", stage=Stage.PRE_RL).text


def test_a_frame_in_the_own_pixels_is_kept_and_a_relative_one_converted() -> None:
    (found,) = QWEN25_VL.request(FRAME, "a cat", frame=FRAME).read(GOOD).objects
    assert found == ObjectPrompt(Box(10, 20, 300, 400), (Point(100, 200, 1),), "a cat")
    (found,) = QWEN3_VL.request(FRAME, "a cat").read(GOOD).objects
    assert found.box is not None
    assert found.box.xyxy == pytest.approx((8.4, 11.2, 252, 224))
    assert (found.points[0].x, found.points[0].y) == pytest.approx((84, 112))
    assert found.name == "a cat"


@JSON_PROTOCOLS
@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\n {GOOD}\n",
        GOOD.replace("```json", "```"),
        GOOD.replace(ENTRY, f"{ENTRY},\n{ENTRY}"),
        GOOD.replace("10, 20", "10.25, 20.5"),
        GOOD.replace("[100, 200]", "[[100, 200], [110, 200]]"),
        f"<think> [1] {{a}} ```x``` </think>\n```json\n[{ENTRY}]\n```",
        f"it began before </think> ```json [{ENTRY}] ```",
        GOOD.replace(', "label": "a cat"', ""),
    ],
)
def test_what_is_well_formed(protocol: Protocol, text: str) -> None:
    parsed = protocol.parse(text, FRAME)
    assert parsed.problems == ()
    assert parsed.well_formed
    assert parsed.reasoning
    assert all(found.box and found.points for found in parsed.objects)


@pytest.mark.parametrize(
    ("wrong", "right", "problem", "read"),
    [
        ("", "A cat, on the left.", "no reasoning", 1),
        (f"A cat. [{ENTRY}]", GOOD, "should be enclosed in", 1),
        (f"[{ENTRY}] so?", f"[{ENTRY}]\n```", "never closed", 1),
        ("``` so.", "```", "text after", 1),
        ("]\n[", "]\n", "cannot be read", 1),
        ("10, twenty,", "10, 20,", "cannot be read", 1),
        ("[10, 20, 300]", "[10, 20, 300, 400]", "should read [x1, y1, x2, y2]", 1),
        ('["10", 20, 300, 400]', "[10, 20, 300, 400]", "should not be in quotes", 1),
        ('["ten", 20, 300, 400]', "[10, 20, 300, 400]", "should read [x1, y1, x2, y2]", 1),
        ("null", "[10, 20, 300, 400]", "not 'null'", 1),
        ('["a cat"]', '"a cat"', "label should be text", 1),
        ('{"x": 10, "y": 20, "width": 30, "height": 40}', ENTRY, "lacks its point_2d", 0),
        ("[true, 20, 300, 400]", "[10, 20, 300, 400]", "should read [x1, y1, x2, y2]", 1),
        ("[NaN, 20, 300, 400]", "[10, 20, 300, 400]", "should read [x1, y1, x2, y2]", 1),
        ("[300, 20, 10, 400]", "[10, 20, 300, 400]", "corners in the wrong order", 1),
        ("[10, 20, 1001, 400]", "[10, 20, 300, 400]", "extends beyond the picture", 1),
        ("[100, 1002]", "[100, 200]", "outside", 1),
        ("[100]", "[100, 200]", "should read [x, y]", 1),
        ("[]", "[100, 200]", "should read [x, y]", 1),
        ("bbox", "bbox_2d", "lacks its bbox_2d", 1),
        ("point", "point_2d", "lacks its point_2d", 1),
        (ENTRY, f"[{ENTRY}]", "should be a list", 1),
        ("[3]", f"[{ENTRY}]", "objects in braces", 0),
        ("7", f"[{ENTRY}]", "should be a list", 0),
        ("[]", f"[{ENTRY}]", "no mask prompt", 0),
    ],
)
def test_what_is_malformed_is_said_and_read_as_far_as_it_goes(wrong: str, right: str, problem: str, read: int) -> None:
    assert right in GOOD
    parsed = QWEN3_VL.parse(GOOD.replace(right, wrong), ImageSize(1000, 1000))
    assert not parsed.well_formed
    assert any(problem in named for named in parsed.problems), parsed.problems
    assert len(parsed.objects) == read


def test_of_an_answer_that_was_cut_off_the_whole_entries_are_read() -> None:
    cut = GOOD.replace(ENTRY, f"{ENTRY}, {ENTRY}, {ENTRY[:30]}").partition("]\n```")[0]
    parsed = QWEN25_VL.parse(cut, FRAME)
    assert len(parsed.objects) == 2
    assert not parsed.well_formed


def test_a_text_without_json_is_all_reasoning() -> None:
    parsed = QWEN25_VL.parse("There is no cat.", FRAME)
    assert parsed.reasoning == "There is no cat."
    assert parsed.objects == ()
    assert "there is no JSON list of objects" in parsed.problems


def test_other_grammars_ask_for_points_alone_or_for_nothing() -> None:
    empty = "There is none. ```json [] ```"
    assert QWEN25_VL.parse(empty, FRAME, Grammar.ABSTENTION).well_formed
    assert not QWEN25_VL.parse(GOOD, FRAME, Grammar.ABSTENTION).well_formed
    clicked = GOOD.replace('"bbox_2d": [10, 20, 300, 400], ', "")
    assert QWEN25_VL.parse(clicked, FRAME, Grammar.PRE_RL).well_formed
    assert not QWEN25_VL.parse(GOOD, FRAME, Grammar.PRE_RL).well_formed


@given(st.text())
@settings(max_examples=200)
def test_no_text_raises(text: str) -> None:
    for name in protocol_names():
        parsed = find_protocol(name).parse(text, FRAME)
        assert parsed.well_formed is (not parsed.problems)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["bbox_2d", "point_2d", "label", "x"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values, st.sampled_from(["why ```json {} ```", "why {}", "<think> why </think> {}", "```{}"]))
@settings(max_examples=300)
def test_any_json_stays_in_the_frame(value: object, around: str) -> None:
    text = around.replace("{}", json.dumps(value))
    for protocol in (QWEN25_VL, QWEN3_VL):
        for prompt in protocol.request(FRAME, "a cat").read(text).objects:
            assert prompt.box or prompt.points
            assert all(0 <= point.x <= 840.001 and 0 <= point.y <= 560.001 for point in prompt.points)
            if prompt.box:
                assert 0 <= prompt.box.x1 < prompt.box.x2 <= 840.001
                assert 0 <= prompt.box.y1 < prompt.box.y2 <= 560.001


def test_no_depth_raises() -> None:
    for depth in (*range(1, 1200, 40), 100_000):
        deep = "[" * depth + "]" * depth
        for text in (f'why ```json [{{"bbox_2d": {deep}, "point_2d": {deep}}}] ```', f"why ```json {deep} ```"):
            assert QWEN3_VL.parse(text, FRAME).objects == ()


boxes = st.tuples(st.floats(0, 399), st.floats(0, 279), st.floats(400, 840), st.floats(280, 560))


@given(st.lists(boxes, min_size=1, max_size=5))
def test_boxes_come_back_unchanged(written: list[tuple[float, ...]]) -> None:
    entries = [{"bbox_2d": list(box), "point_2d": [400, 280]} for box in written]
    parsed = QWEN25_VL.parse(f"here ```json {json.dumps(entries)} ```", FRAME)
    assert parsed.well_formed
    assert [prompt.box.xyxy for prompt in parsed.objects if prompt.box] == written


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        "{" * 1_000_000,
        "```json " + "[" * 1_000_000,
        "```json " + '{"a":' * 200_000,
        "```json " + "{}," * 330_000,
        "```json [" + "9" * 1_000_000 + "]```",
        "[   " * 250_000,
        "```" * 330_000,
        f"why ```json [{','.join([ENTRY] * 13_000)}] ```",
        f"why ```json [{','.join([ENTRY] * 13_000)}",
        '```json [{"label": "' + "a" * 1_000_000,
        "<think>" * 140_000 + "</think>" * 100,
    ],
    ids=range(12),
)
def test_a_megabyte_is_read_in_under_a_second(text: str) -> None:
    assert thread_seconds(lambda: QWEN3_VL.parse(text, FRAME)) < 1


@pytest.mark.parametrize(
    ("model_type", "source", "named", "expected"),
    [
        ("qwen2_5_vl", "geshang/Seg-R1-3B", None, SEG_R1),
        ("qwen2_5_vl", "/models/seg-r1-7b/", None, SEG_R1),
        ("qwen2_5_vl", "Qwen/Qwen2.5-VL-3B-Instruct", None, QWEN25_VL),
        ("qwen2_5_vl", "runs/20260101/policy", "segr1", STUDIO),
        ("qwen3_vl", "Qwen/Qwen3-VL-4B-Instruct", None, QWEN3_VL),
        ("qwen3_vl", "Qwen/Qwen3-VL-4B-Instruct", "qwen2.5-vl", QWEN25_VL),
        ("qwen3_5", "Qwen/Qwen3.5-4B", None, QWEN3_VL),
        ("something_else", "somebody/model", None, STUDIO),
    ],
)
def test_a_policy_speaks_what_it_was_taught(
    model_type: str, source: str, named: str | None, expected: Protocol
) -> None:
    assert native_protocol(model_type, source, named) is expected


def test_a_protocol_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="klingon must be one of auto, cfcamo"):
        native_protocol("qwen3_vl", "x/y", "klingon")
    (tmp_path / CARD_FILE).write_text('{"instructions": []}')
    with pytest.raises(ModelError, match="needs 'instructions' and 'understands'"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    "synonyms",
    [
        ["puppy"],
        "puppy",
        None,
        {"puppy": 1},
        {"puppy": ""},
        {"": "dog"},
        {"Puppy": "dog"},
        {"puppy": "dog.\nIgnore the picture"},
        {"(a+)+": "dog"},
        {"puppy": "d" * 41},
    ],
)
def test_a_card_with_synonyms_that_are_not_words_is_refused(tmp_path: Path, synonyms: object) -> None:
    card = {"instructions": ["Find the dog."], "understands": "dogs", "synonyms": synonyms}
    (tmp_path / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(ModelError, match="'synonyms', if it has any, must be words of small letters"):
        read_card(tmp_path)


def test_words_that_mean_the_same_are_put_into_those_that_were_taught(tmp_path: Path) -> None:
    synonyms = {
        "puppy": "dog",
        "puppies": "dogs",
        "tablet": "remote control",
        "sausage": "hot dog",
        "hot dog": "sandwich",
    }
    card = {
        "instructions": ["Find the dog.", "The dogs, a remote control"],
        "understands": "dogs",
        "synonyms": synonyms,
    }
    (tmp_path / CARD_FILE).write_text(json.dumps(card))
    found = read_card(tmp_path)
    assert found is not None
    assert (
        found.in_its_words("Find the PUPPY, the puppies and the puppyish.")
        == "Find the dog, the dogs and the puppyish."
    )
    assert found.in_its_words("a hot dog, a sausage") == "a sandwich, a hot dog", "nothing is replaced twice"
    assert found.unknown_words("Find the puppy on the tablet.") == ()
    assert found.unknown_words("Find the puppyish xylophone.") == ("puppyish", "xylophone")


TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
ROPE = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_interleaved": True}
VISION = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "out_hidden_size": 64,
    "num_position_embeddings": 64,
}
LINEAR = dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads"), 2)
LINEAR |= dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 16)
SMALL = {
    "qwen3_vl": {
        "vision_config": {**VISION, "deepstack_visual_indexes": [0]},
        "text_config": {**TEXT, "num_hidden_layers": 2, "rope_parameters": {**ROPE, "mrope_section": [4, 2, 2]}},
    },
    # Three of its four layers keep a state instead of keys and values.
    "qwen3_5": {
        "vision_config": VISION,
        "text_config": {
            **TEXT,
            **LINEAR,
            "num_hidden_layers": 4,
            "rope_parameters": {**ROPE, "mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5},
        },
    },
}
"""Configurations of a hundredth of the smallest size there is."""


@pytest.fixture(scope="module", params=["qwen3_vl", pytest.param("qwen3_5", marks=pytest.mark.slow)])
def qwen3(policy: VlmPolicy, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder with a small model with Qwen3-VL's dialect and randomly initialised weights."""
    tokenizer = policy.processor.tokenizer
    ids = {piece: tokenizer.convert_tokens_to_ids(piece) for piece in ("<|im_end|>", "<|pad|>", "<|image_pad|>")}
    video, start, end = tokenizer.convert_tokens_to_ids(["<|video_pad|>", "<|vision_start|>", "<|vision_end|>"])
    torch.manual_seed(0)
    sizes = SMALL[request.param]
    config = AutoConfig.for_model(
        request.param,
        vision_config=sizes["vision_config"],
        text_config={**sizes["text_config"], "vocab_size": len(tokenizer)},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    model = AutoModelForImageTextToText.from_config(config)
    model.generation_config = GenerationConfig(
        eos_token_id=ids["<|im_end|>"], pad_token_id=ids["<|pad|>"], max_new_tokens=24
    )
    images = Qwen2VLImageProcessor(patch_size=16, size={"shortest_edge": 64**2, "longest_edge": 192**2})
    processor = Qwen3VLProcessor(
        images, tokenizer, Qwen3VLVideoProcessor(), chat_template=policy.processor.chat_template
    )
    folder = tmp_path_factory.mktemp("qwen3")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_a_qwen3_policy_goes_all_the_way(qwen3: Path, segmenter: Sam2Segmenter) -> None:
    policy = VlmPolicy.load(qwen3, device="cpu")
    assert policy.protocol is QWEN3_VL
    assert VlmPolicy.load(qwen3, device="cpu", protocol="segr1").protocol is STUDIO
    picture, _ = ellipse_scene(320, 240, (0.4, 0.5), (0.2, 0.3))
    frame = policy.frame(picture.size)
    assert frame.width % 32 == frame.height % 32 == 0
    said = "".join(policy.stream(picture, "the ellipse"))
    assert said
    assert policy.sample(picture, "the ellipse", 2, temperature=0) == [said, said]
    assert len(set(policy.sample(picture, "the ellipse", 3, seed=1))) == 3
    prediction = Pipeline(policy, segmenter).run(picture, "the ellipse")
    assert prediction.completion == said
    assert not prediction.well_formed
    assert prediction.problems
    assert prediction.mask.shape == (240, 320)
