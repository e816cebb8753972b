"""Protocols against a table of cases: exact prompts, frames, coordinates, parsed answers, and invalid files.

It is long because each protocol has its own table of cases.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point, SegR1Error, SettingsError
from segr1_app.language.codec import Grammar
from segr1_app.language.protocol import MAX_SIDE, Bounds, CoordinateFrame, Stage, TaskKind
from segr1_app.language.protocol_files import FOLDER, find_protocol, native_protocol, protocol_names, read_protocol
from segr1_app.language.sentences import is_sentence
from segr1_app.language.writing import write_answer
from segr1_app.models.policy import VlmPolicy
from tests.scenes import ellipse_scene
from tests.timing import thread_seconds

SIZE = ImageSize(640, 480)
SEG_R1 = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant "
    "first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning "
    "process should enclosed within <think> </think> tags, and the bounding box, points and points labels should be "
    "enclosed within <bbox></bbox>, <points></points>, and <labels></labels>, respectively. i.e., <think> reasoning "
    "process here </think> <bbox>[x1,y1,x2,y2]</bbox>, <points>[[x3,y3],[x4,y4],...]</points>, <labels>[1,0,...]"
    "</labels>Where 1 indicates a foreground (object) point, and 0 indicates a background point."
)
SEG_R1_TRAINING = SEG_R1.replace("[[x3,y3],[x4,y4],...]", "[[x1,y1],[x2,y2],...]") + (
    " Only generate a moderate number of points, enough to clearly outline the object without overloading the system."
)
FOREGROUND = (
    "\nIdentify and segment all the primary objects in the image.\n\nOutput the result using the exact format:\n"
    "<think> reasoning process here </think> <bbox>[x1,y1,x2,y2]</bbox>, <points>[[x3,y3],[x4,y4],...]</points>, "
    "<labels>[1,0,...]</labels>\n"
)
SEG_ZERO = (
    'Please find "{q}" with bboxs and points.Compare the difference between object(s) and find the most closely '
    "matched object(s).Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."
    "Output the bbox(es) and point(s) inside the interested object(s) in JSON format.i.e., <think> thinking process "
    "here </think>"
    '<answer>[{"bbox_2d": [10,100,200,210], "point_2d": [30,110]}, {"bbox_2d": [225,296,706,786], "point_2d": '
    "[302,410]}]</answer>"
)


@pytest.mark.parametrize(
    ("task", "instruction", "text", "sides", "tokens"),
    [
        (TaskKind.FOREGROUND, "", FOREGROUND + "    ", (756, 768), 1024),
        (TaskKind.REFERRING, "the Left dog", "Identify and segment the Left dog", (1036, 1024), 512),
        (TaskKind.SENTENCE, "What could cut it?", "What could cut it? Identify and segment it.", (1036, 1024), 512),
        (TaskKind.PHRASE, "The Tallest man", " Identify and segment the tallest man.", (1036, 1024), 512),
        (TaskKind.FREE, " mask\n {it} ", " mask\n {it} ", (1036, 1024), 1024),
    ],
)
def test_seg_r1_is_asked_to_the_letter(
    task: TaskKind, instruction: str, text: str, sides: tuple[int, int], tokens: int
) -> None:
    frame, span = sides
    for size in (SIZE, ImageSize(1, 5000)):
        request = find_protocol("seg-r1").request(size, instruction, task)
        assert (request.frame, request.coordinates) == ((frame, frame), (span, span))
        assert request.max_new_tokens == tokens
        assert request.messages == [
            {"role": "system", "content": [{"type": "text", "text": SEG_R1}]},
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]},
        ]
        assert smart_resize(span, span, 28, 3136, 12_845_056) == request.frame


def test_seg_r1_is_trained_with_other_words_in_the_smaller_square() -> None:
    protocol = find_protocol("seg-r1")
    for task in TaskKind:
        request = protocol.request(SIZE, "it", task, Stage.TRAINING)
        assert request.system == SEG_R1_TRAINING
        assert request.coordinates == (768, 768)
    assert protocol.request(SIZE, "", TaskKind.FOREGROUND, Stage.TRAINING).text == FOREGROUND
    early = protocol.request(SIZE, "", TaskKind.FOREGROUND, Stage.PRE_RL)
    assert early.system is None
    assert "think" not in early.text
    assert "bbox" not in early.text


def test_the_demo_of_seg_r1_chats_where_no_mask_is_asked_for() -> None:
    protocol = find_protocol("seg-r1")
    assert protocol.request(SIZE, "What is this?").system == "You're a helpful visual assistant."
    for asked in ("Segment it.", "a mask of it", "please segment"):
        assert protocol.request(SIZE, asked).system == SEG_R1


@pytest.mark.parametrize(("asked", "shown"), [('"The Dog?!"', "the dog"), ("a.b", "a.b"), ("{width}", "{width}")])
def test_seg_zero_is_asked_to_the_letter(asked: str, shown: str) -> None:
    for task in TaskKind:
        request = find_protocol("seg-zero").request(SIZE, asked, task)
        (user,) = request.messages
        assert user["content"] == [{"type": "image"}, {"type": "text", "text": SEG_ZERO.replace("{q}", shown)}]
        assert request.frame == request.coordinates == (840, 840)
        assert smart_resize(840, 840, 28) == request.frame


@pytest.mark.parametrize("name", protocol_names())
@pytest.mark.parametrize("size", [(640, 480), (1, 1), (1, MAX_SIDE), (MAX_SIDE, 1), (3000, 17), (28, 28)])
def test_frames_are_whole_cells_that_no_processor_changes(name: str, size: tuple[int, int]) -> None:
    protocol = find_protocol(name)
    for task in TaskKind:
        request = protocol.request(size, "it", task)
        width, height = request.frame
        assert width % protocol.grid == height % protocol.grid == 0
        # It refuses pictures with a side more than 200 times as long as the other.
        assert smart_resize(height, width, protocol.grid, 1, 2**40) == (height, width)
    assert (name in ("cfcamo", "qwen3-vl")) is (protocol.request(size, "it").coordinates == (1000, 1000))


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5), (MAX_SIDE + 1, 5)])
def test_a_picture_without_a_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(SegR1Error, match="pixels a side"):
        find_protocol("studio").request(size, "x")


def test_both_readings_of_a_squashed_picture_are_possible() -> None:
    answer = "<think> a </think> <bbox>[0,0,378,378]</bbox>, <points>[[378,378]]</points>, <labels>[1]</labels>"
    protocol = find_protocol("seg-r1")
    for reading, span in ((None, 768), (CoordinateFrame.HANDED, 768), (CoordinateFrame.SEEN, 756)):
        request = protocol.request((100, 50), "", TaskKind.FOREGROUND, reading=reading)
        (found,) = request.read(answer).objects
        assert found.box is not None
        assert found.box.x2 == pytest.approx(100 * 378 / span)
        assert found.points[0].y == pytest.approx(50 * 378 / span)


def test_a_small_model_gets_no_larger_square_than_it_takes() -> None:
    request = find_protocol("seg-r1").request(SIZE, "segment", bounds=Bounds(28, 58800, 78400))
    assert request.frame == (280, 280)
    assert request.coordinates == (1024, 1024)


TWO = "<bbox>[0,0,512,1024]</bbox> and <bbox>[512,0,1024,512]</bbox>"


@pytest.mark.parametrize(
    ("task", "text", "objects"),
    [
        # Edges count, and a point in two boxes goes to both; outside every box it is dropped.
        (
            TaskKind.REFERRING,
            f"<think>t</think>{TWO}<points>[[512,256],[700,900]]</points><labels>[1,0]</labels>",
            [((0, 0, 512, 1024), [(512, 256, 1)]), ((512, 0, 1024, 512), [(512, 256, 1)])],
        ),
        # Any order, with any text between.
        (
            TaskKind.FREE,
            "so <labels>[1]</labels> x <points>[[5,6]]</points> y <bbox>[1,2,30,40]</bbox>!<think>t</think>.",
            [((1, 2, 30, 40), [(5, 6, 1)])],
        ),
        # Without a box all points are one object.
        (
            TaskKind.FREE,
            "<think>t</think><points>[[5,6],[900,7]]</points><labels>[1,0]</labels>",
            [(None, [(5, 6, 1), (900, 7, 0)])],
        ),
        # Points and labels that differ in number are dropped, and the boxes stay.
        (
            TaskKind.FREE,
            f"<think>t</think>{TWO}<points>[[5,6],[9,9]]</points><labels>[1]</labels>",
            [((0, 0, 512, 1024), []), ((512, 0, 1024, 512), [])],
        ),
        # Of several points and labels the first count.
        (
            TaskKind.FREE,
            "<think>t</think><bbox>[0,0,9,9]</bbox><points>[[1,1]]</points><points>[[2,2]]</points><labels>[1]</labels>"
            "<labels>[0]</labels>",
            [((0, 0, 9, 9), [(1, 1, 1)])],
        ),
        # Reasoning is read with the first box alone, and every point.
        (
            TaskKind.PHRASE,
            f"<think>t</think>{TWO}<points>[[512,256],[700,900]]</points><labels>[1,0]</labels>",
            [((0, 0, 512, 1024), [(512, 256, 1), (700, 900, 0)])],
        ),
        # Only whole numbers.
        (
            TaskKind.FREE,
            "<think>t</think><bbox>[0.5,0,9,9]</bbox><bbox>[1,1,9,9]</bbox><points>[[2,2]]</points><labels>[1]</labels>",
            [((1, 1, 9, 9), [(2, 2, 1)])],
        ),
    ],
)
def test_seg_r1_is_read_as_its_authors_read_it(task: TaskKind, text: str, objects: list[Any]) -> None:
    parsed = find_protocol("seg-r1").request((1024, 1024), "segment", task).read(text)
    assert [
        (found.box and found.box.xyxy, [(point.x, point.y, point.label) for point in found.points])
        for found in parsed.objects
    ] == objects
    assert parsed.reasoning == "t"
    assert not parsed.abstains
    assert parsed.well_formed is (not parsed.problems)


def test_what_seg_r1_writes_well_is_well_formed_and_what_it_loses_is_a_problem() -> None:
    request = find_protocol("seg-r1").request((1024, 1024), "segment")
    good = "<think>t</think> <bbox>[0,0,9,9]</bbox>, <points>[[1,1],[99,99]]</points>, <labels>[1,0]</labels>"
    assert request.read(good).problems == ()
    for wrong, right in (
        ("", "<labels>[1,0]</labels>"),
        ("[1]", "[1,0]"),
        ("[0,0,9,9.5]", "[0,0,9,9]"),
        ("[1,2]", "[1,0]"),
        ("", "<think>t</think>"),
        ("[0,0,9,9999]", "[0,0,9,9]"),
        ("[0,0,9,٩]", "[0,0,9,9]"),
    ):
        assert request.read(good.replace(right, wrong)).problems, wrong


@pytest.mark.parametrize(
    ("text", "boxes", "abstains", "well"),
    [
        ("<think>a</think>\n<bbox>[100,200,300,400]</bbox>", 1, False, True),
        ("<think>a</think><bbox>[[100,200,300,400],[500,500,600,600]]</bbox>", 2, False, True),
        ("<think>a</think><no_camouflage/>", 0, True, True),
        ("<think>a</think><no_camouflage>", 0, True, True),
        ("<think>a</think><no_camouflage />", 0, True, True),
        ("<think>a</think><no_camouflage/><bbox>[1,2,3,4]</bbox>", 1, False, False),
        ("<think>a</think>", 0, False, False),
        ("<no_camouflage/>", 0, True, False),
        ("<think>a</think><bbox>[300,200,100,400]</bbox>", 0, False, False),
        # Cut off in the middle of its thoughts: it may have gone on.
        ("<think>perhaps <no_camouflage/>, but", 0, False, False),
    ],
)
def test_cfcamo_detects_or_abstains(text: str, boxes: int, abstains: bool, well: bool) -> None:
    parsed = find_protocol("cfcamo").request((2000, 1000), "", TaskKind.FOREGROUND).read(text)
    assert (len(parsed.objects), parsed.abstains, parsed.well_formed) == (boxes, abstains, well)
    if well and boxes:
        assert parsed.objects[0] == ObjectPrompt(Box(200, 200, 600, 400))


def test_seg_zero_is_read_inside_its_answer() -> None:
    request = find_protocol("seg-zero").request((1680, 840), "it")
    text = '<think>t</think>\n<answer>[{"bbox_2d": [10,20,300,400], "point_2d": [420, 30]}]</answer>'
    parsed = request.read(text)
    assert parsed.well_formed
    assert parsed.reasoning == "t"
    assert parsed.objects == (ObjectPrompt(Box(20, 20, 600, 400), (Point(840, 30, 1),)),)
    assert request.read("<think>t</think><answer>[]</answer>").abstains
    for broken in (text.replace("</answer>", ""), text.replace("<answer>", ""), text.replace("<think>", "")):
        parsed = request.read(broken)
        assert parsed.problems
        assert len(parsed.objects) == 1


ENTRY = '{"bbox_2d": [100, 200, 300, 400], "point_2d": [150, 250], "label": "a cat"}'


@pytest.mark.parametrize(
    "content",
    [
        f"[{ENTRY.replace('100, 200, 300, 400', '0.1, 0.2, 0.3, 0.4').replace('150, 250', '0.15, 0.25')}]",
        ENTRY.replace("[100, 200, 300, 400]", "[[100, 200, 300, 400]]").join("[]"),
        ENTRY.replace("[100, 200, 300, 400]", "[[100, 200], [300, 400]]").join("[]"),
        ENTRY.replace('"bbox_2d"', '"bbox_2d": [1, 1, 2, 2], "bbox_2d"').join("[]"),
        ENTRY.replace('"', "'").join("[]"),
        ENTRY.replace("}", ",}").join("[]"),
        f"[{ENTRY},]",
        ENTRY.replace(", ", "，").replace(": ", "：").join(["［", "］"]),
        ENTRY.replace("a cat", "a\ncat").join("[]"),
        f'{{"objects": [{ENTRY}]}}',
        ENTRY.replace("100, 200, 300, 400", "300, 400, 100, 200").join("[]"),
        ENTRY.replace("bbox_2d", "bbox").join("[]"),
        ENTRY.replace("[150, 250]", '{"x": 150, "y": 250}').join("[]"),
        f"[[{ENTRY}]]",
        f"[[[{ENTRY}]]]",
        f'{{"objects": {ENTRY}}}',
        f'{{"result": {{"notes": [], "objects": [{ENTRY}]}}}}',
        f'[{{"objects": [{ENTRY}]}}]',
        ENTRY.replace("100", "１００").join("[]"),
        ENTRY.translate(str.maketrans("[],", "（）、")).join("[]"),
        ENTRY.replace("[100, 200, 300, 400]", "(100, 200, 300, 400)").join("[]"),
        ENTRY.replace("[100, 200, 300, 400]", "[[[100, 200, 300, 400]]]").join("[]"),
        ENTRY.replace("[150, 250]", "[[[150, 250]]]").join("[]"),
        # Shares beside pixels.
        ENTRY.replace("100, 200, 300, 400", "0.1, 0.2, 0.3, 0.4").join("[]"),
        # Quotation marks within a name.
        ENTRY.replace("a cat", 'the "big" cat').join("[]"),
        ENTRY.replace("a cat", "the cat's").replace('"', "'").join("[]"),
        f"[{ENTRY}, // the cat\n]",
        # Other names.
        ENTRY.replace("bbox_2d", "BBox-2D").join("[]"),
        ENTRY.replace("bbox_2d", " boxes ").join("[]"),
        f'{{"boxes": [{ENTRY}]}}',
        f'{{"size": [9, 9], "objects": {{"boxes": [{ENTRY}]}}}}',
        ENTRY.replace("[100, 200, 300, 400]", '{"xmin": 100, "ymin": 200, "xmax": 300, "ymax": 400}').join("[]"),
        ENTRY.replace("[100, 200, 300, 400]", '[{"left": 100, "top": 200, "right": 300, "bottom": 400}]').join("[]"),
        ENTRY.replace('"bbox_2d": [100, 200, 300, 400]', '"x1": 100, "y1": 200, "x2": 300, "y2": 400').join("[]"),
        ENTRY.replace('"bbox_2d"', '"bbox": [1, 1, 2, 2], "bbox_2d"').join("[]"),
        # Commas that are missing, quotation marks that are escaped, signs that are not to be seen.
        ENTRY.replace("100, 200", "100 200").join("[]"),
        ENTRY.replace(", ", "\n").join("[]"),
        ENTRY.replace('"', '\\"').join("[]"),
        json.dumps(ENTRY.join("[]")),
        # Numbers in quotes.
        ENTRY.replace("100, 200, 300, 400", '"100", "200.0", 300, "４００"').join("[]"),
        ENTRY.replace("[100, 200, 300, 400]", '"100 200 300 400"').join("[]"),
        ENTRY.replace("[100, 200, 300, 400]", '"(100,200),(300,400)"').replace("[150, 250]", '"[150, 250]"').join("[]"),
        ENTRY.replace("[150, 250]", '{"x": "150", "y": "250"}').join("[]"),
        ENTRY.replace("100, 200, 300, 400", '"0.1", "0.2", "0.3", "0.4"').join("[]"),
        json.dumps([ENTRY]),
        # A name around the coordinates.
        ENTRY.replace("[100, 200, 300, 400]", '{"bbox_2d": [100, 200, 300, 400]}').join("[]"),
        ENTRY.replace("[150, 250]", '{"coordinates": [150, 250]}').join("[]"),
        # Comments, and quotation marks of which all are closing ones.
        ENTRY.replace(", ", ", // one, {two}\n").join("[]"),
        ENTRY.replace(", ", ", /* [ */ # it's\n").join("[]"),
        ENTRY.replace('"', "”").join("[]"),
        ENTRY.replace('"a cat"', "7").join("[]"),
        ENTRY.replace(": ", ":\u200b").join(["\ufeff[", "]"]),
        # What comes after it is no JSON.
        f"[{ENTRY}]\n```\nSo:\n```\nthe cat [1] is there",
        f"[{ENTRY}]\n```\nSo:\n```python\nprint([1])",
    ],
)
def test_json_as_stock_models_really_write_it(content: str) -> None:
    parsed = find_protocol("qwen3-vl").request((1000, 1000), "x").read(f"There.\n```json\n{content}\n```")
    assert not parsed.well_formed
    (found,) = parsed.objects
    assert found.box is not None
    assert found.box.xyxy == pytest.approx((100, 200, 300, 400))
    assert [(point.x, point.y, point.label) for point in found.points] == [(pytest.approx(150), pytest.approx(250), 1)]


@pytest.mark.parametrize(
    "text",
    [
        ENTRY.translate(str.maketrans("[]{},:", "［］｛｝，：")).join("［］"),
        f"```python\n[{ENTRY}]\n```",
        f"~~~json\n[{ENTRY}]\n~~~",
        f"[{ENTRY}] There.",
    ],
)
def test_json_without_its_fence_is_read(text: str) -> None:
    parsed = find_protocol("qwen3-vl").request((1000, 1000), "x").read(f"There.\n{text}")
    assert not parsed.well_formed
    assert [found.box for found in parsed.objects] == [Box(100, 200, 300, 400)]


def test_every_object_of_a_mapping_is_read() -> None:
    other = ENTRY.replace("100, 200, 300, 400", "500, 600, 700, 800")
    for content in (f'{{"cat": {ENTRY}, "dog": {other}}}', f"[{ENTRY} {other}]", f"{ENTRY}\n{other}"):
        parsed = find_protocol("qwen3-vl").request((1000, 1000), "x").read(f"There.\n```json\n{content}\n```")
        assert [found.box for found in parsed.objects] == [Box(100, 200, 300, 400), Box(500, 600, 700, 800)]
        assert not parsed.well_formed


def test_a_repeated_key_is_named() -> None:
    twice = ENTRY.replace('"label"', '"label": "a dog", "label"')
    text = f"There.\n```json\n[{twice}]\n```"
    parsed = find_protocol("qwen3-vl").request((1000, 1000), "x").read(text)
    assert [found.name for found in parsed.objects] == ["a cat"]
    assert any("'label'" in problem and "the last one counts" in problem for problem in parsed.problems)


def test_shares_that_leave_the_picture_are_shares() -> None:
    text = "There.\n```json\n" + ENTRY.replace("100, 200, 300, 400", "-0.01, 0.2, 1.02, 0.4").join("[]") + "\n```"
    (found,) = find_protocol("qwen3-vl").request((1000, 1000), "x").read(text).objects
    assert found.box == Box(0, 200, 1000, 400)


@pytest.mark.parametrize(
    ("name", "text", "well"),
    [
        ("studio", "<think>a</think> <bbox>[]</bbox>, <points>[]</points>, <labels>[]</labels>", True),
        ("studio", "<bbox>[]</bbox>, <points>[]</points>, <labels>[]</labels>", False),
        ("studio", "<think>a</think> <bbox>[]</bbox>", False),
        ("studio", "<think>a</think> <bbox>[]</bbox>, <points>[[]]</points>, <labels>[]</labels>", False),
        ("studio", "<think>a</think> <bbox>[[]]</bbox>, <points>[[], []]</points>, <labels>[[ ]]</labels>", False),
        ("studio", "<think>a</think> <bbox></bbox>, <points></points>, <labels></labels>", False),
        ("studio", "<think>a</think> <bbox>[ ]</bbox>, <points>[\n]</points>, <labels>[]</labels>", True),
        ("seg-r1", "<think>a</think> <bbox>[]</bbox>, <points>[[]]</points>, <labels>[]</labels>", False),
        ("seg-r1", "<think>a</think> <bbox></bbox>, <points></points>, <labels></labels>", False),
        ("seg-zero", "<think>a</think><answer>[[], []]</answer>", False),
        ("qwen3-vl", "It is not there.\n```json\n[[]]\n```", False),
        ("qwen3-vl", "It is not there.\n```json\n[[], [[]]]\n```", False),
        ("seg-r1", "<labels>[]</labels> <think>a</think> <bbox>[]</bbox>, <points>[]</points>", True),
        ("seg-r1", "<think>a</think> <bbox>[]</bbox>", False),
        ("seg-zero", "<think>a</think><answer>[]</answer>", True),
        ("seg-zero", "<answer>[]</answer>", False),
        ("cfcamo", "<think>a</think><no_camouflage>", True),
        ("cfcamo", "<no_camouflage/>", False),
        ("qwen3-vl", "It is not there.\n```json\n[]\n```", True),
        ("qwen3-vl", 'It is not there.\n```json\n{"objects": []}\n```', False),
        ("qwen2.5-vl", "[]", False),
    ],
)
def test_an_abstention_is_one_however_it_is_written(name: str, text: str, well: bool) -> None:
    parsed = find_protocol(name).request(SIZE, "segment it").read(text)
    assert parsed.abstains
    assert parsed.objects == ()
    assert parsed.well_formed is well
    assert bool(parsed.problems) is not well


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("studio", ""),
        ("studio", "<think>a</think>"),
        ("studio", "<think>a</think> <bbox>["),
        ("studio", "<think>a</think> <bbox>[]</bbox>, <points>[[1,1]]</points>, <labels>[1]</labels>"),
        ("studio", "<think>a</think> <bbox>[null]</bbox>, <points>[[]]</points>, <labels>[]</labels>"),
        ("studio", '<think>a</think> <bbox>[]</bbox>, <points>[""]</points>, <labels>[]</labels>'),
        ("studio", "<think>a</think> <bbox>[]</bbox>, <points>[[]]</points>, <labels>[1]</labels>"),
        ("studio", "<think>a</think> <bbox>[]</bbox>, <points>[[]]</points>, <labels>["),
        ("seg-r1", "<think>a</think> <bbox>[]</bbox>, <points>[null]</points>, <labels>[]</labels>"),
        ("seg-zero", "<think>a</think><answer>[null]</answer>"),
        ("qwen3-vl", 'A.\n```json\n[""]\n```'),
        ("seg-r1", "<think>a</think> <bbox>"),
        ("seg-r1", "<think>a</think> <bbox>[none]</bbox>, <points>[]</points>, <labels>[]</labels>"),
        ("seg-zero", "<think>a</think><answer>[{}]</answer>"),
        ("cfcamo", "<think>is there <no_camouflage/>?</think>"),
        ("qwen3-vl", "A.\n```json\nnull\n```"),
        ("qwen3-vl", "A.\n```json\n[{}]\n```"),
        ("qwen3-vl", "Where there is none the list is empty: []. But here"),
        ("qwen3-vl", "There is no such object."),
    ],
)
def test_what_cannot_be_read_is_not_an_abstention(name: str, text: str) -> None:
    parsed = find_protocol(name).request(SIZE, "segment it").read(text)
    assert not parsed.abstains
    assert not parsed.well_formed


@pytest.mark.parametrize("empty", ["[[]]", "[[], []]", "[,]", ""])
@pytest.mark.parametrize("name", ["studio", "seg-r1"])
def test_a_box_with_oddly_empty_points_is_an_object_and_not_well_formed(name: str, empty: str) -> None:
    text = f"<think>a</think> <bbox>[1,2,30,40]</bbox>, <points>{empty}</points>, <labels>{empty}</labels>"
    parsed = find_protocol(name).request(SIZE, "segment it").read(text)
    assert len(parsed.objects) == 1
    assert not parsed.abstains
    assert not parsed.well_formed
    assert any("<points> should read" in problem for problem in parsed.problems)


def test_the_last_of_several_blocks_is_read() -> None:
    draft = ENTRY.replace("100, 200", "1, 2")
    text = f"First:\n```json\n[{draft}]\n```\nNo:\n```json\n[{ENTRY}]\n```"
    parsed = find_protocol("qwen3-vl").request((1000, 1000), "x").read(text)
    assert [found.box for found in parsed.objects] == [Box(100, 200, 300, 400)]
    assert any("last one" in problem for problem in parsed.problems)


@pytest.mark.parametrize(
    "number",
    ["1e999", "NaN", "-Infinity", "9" * 401, "null", "true", '"5px"', '"12,5"', '"1_0"', '"50%"', '"NaN"', '"1e999"'],
)
def test_what_is_not_a_number_is_not_a_coordinate(number: str) -> None:
    text = f"There.\n```json\n[{ENTRY.replace('100', number)}]\n```"
    parsed = find_protocol("qwen3-vl").request((1000, 1000), "x").read(text)
    assert not parsed.well_formed
    assert all(found.box is None for found in parsed.objects)


@pytest.mark.parametrize("name", protocol_names())
@pytest.mark.parametrize(
    "text",
    [
        "<bbox>" * 160_000,
        "<think>" * 140_000,
        "<labels>[" + "1" * 1_000_000,
        "<points>[" + "[1,2]," * 160_000,
        "<no_camouflage" + " " * 1_000_000,
        "<answer>" + "[" * 1_000_000,
        "<answer>" * 120_000,
        "<answer>['" + "a" * 1_000_000,
        "```json [" + "{'a':1}," * 120_000,
        "```json [" + "{'bbox_2d':[1,2,3,4" * 50_000,
        "｛" * 300_000,
    ],
    ids=range(11),
)
def test_a_megabyte_is_read_in_under_a_second(name: str, text: str) -> None:
    request = find_protocol(name).request(SIZE, "segment it")
    assert thread_seconds(lambda: request.read(text)) < 1


PIECES = ["<think>", "</think>", "<bbox>", "</bbox>", "<points>", "</points>", "<labels>", "</labels>", "<answer>"]
PIECES += ["</answer>", "<no_camouflage/>", "```json", "```", "[1,2,30,40]", "[[1,2],[3,4]]", "[1,0]", "{", "}", '"']
PIECES += ["'bbox_2d'", ":", ",", "1.0000000000000002", "1", "9" * 400, "-3", "[", "]", "x", "1e308", "0.5"]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.sampled_from([(640, 480), (1, 1), (7, 10**6)]))
@settings(max_examples=400)
def test_nothing_raises_or_leaves_the_picture(text: str, size: tuple[int, int]) -> None:
    for name in protocol_names():
        for task in (TaskKind.FREE, TaskKind.PHRASE):
            parsed = find_protocol(name).request(size, "segment", task).read(text)
            assert parsed.well_formed is (not parsed.problems)
            assert not (parsed.abstains and parsed.objects)
            for found in parsed.objects:
                assert found.box or found.points
                assert all(0 <= p.x <= size[0] and 0 <= p.y <= size[1] for p in found.points)
                if found.box:
                    assert 0 <= found.box.x1 < found.box.x2 <= size[0]


@pytest.mark.parametrize("name", protocol_names())
def test_what_is_written_is_read_back(name: str) -> None:
    protocol = find_protocol(name)
    request = protocol.request((100, 100), "segment it", frame=ImageSize(100, 100))
    prompt = ObjectPrompt(Box(10, 20, 60, 70), (Point(30, 40, 1),))
    parsed = request.read(write_answer(protocol, "so it is", [prompt]))
    assert parsed.problems == ()
    (found,) = parsed.objects
    scale = 100 / request.coordinates.width
    assert found.box is not None
    assert found.box.xyxy == pytest.approx([value * scale for value in (10, 20, 60, 70)])
    nothing = request.read(write_answer(protocol, "it is not there", [], Grammar.ABSTENTION))
    assert nothing.abstains
    assert nothing.well_formed


def test_every_protocol_of_this_project_says_how_to_abstain() -> None:
    for name in ("studio", "qwen2.5-vl", "qwen3-vl", "cfcamo"):
        text = find_protocol(name).request(SIZE, "it").text
        assert "no such object" in text or "no_camouflage" in text


def test_the_embedded_policy_is_asked_as_it_always_was(policy: VlmPolicy) -> None:
    """Its chat template uses the first two lines of the text: what `studio` has said since does not reach it."""
    picture, _ = ellipse_scene(320, 240, (0.3, 0.6), (0.2, 0.25))
    request = policy.request(picture.size, "Identify and segment  the camouflaged object.")
    assert policy.protocol is find_protocol("studio")
    prompt = policy.processor.apply_chat_template(request.messages, tokenize=False, add_generation_prompt=True)
    width, height = request.frame
    assert prompt == (
        "<|im_start|><|vision_start|><|image_pad|><|vision_end|>identify and segment the camouflaged object. "
        f"the picture is {width} x {height} pixels.<|im_end|>"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Which animal here could outrun a car?", True),
        ("The man is tall. Who is he?", True),
        ("What can cut bread", True),
        ("which animal is the fastest", True),
        ('He says "where is it?"', True),
        ("the tallest man", False),
        ("what the man is holding", False),
        ("The Dog with the 2.5 kg ball", False),
        ("where the driver sits", False),
        ("", False),
    ],
)
def test_sentences_and_phrases(text: str, sentence: bool) -> None:
    assert is_sentence(text) is sentence


MINIMAL = (FOLDER / "seg-zero.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("framee:", "frame:", "framee"),
        ("{user_text:", "{user:", "user_text"),
        ("  phrases:", "  phrase:", "unknown key 'tasks.phrases': input should be 'foreground'"),
        ("  referring:\n", '  referring: {user: "{form}"}\n', "key 'tasks.referring': it must map keys to values"),
        ('referring: {user: "Segment {question}"}', 'referring: {user: "{form}"}', "key 'tasks.referring.user'"),
        ("training: {tasks: {free: {user: Go}}}\ntasks:", "tasks:", "key 'training.tasks.free.user'"),
        ("training: {tasks: {free: {points: nearest box}}}\ntasks:", "tasks:", "cannot use points 'nearest box'"),
        ("grid: 128\ntraining: {frame: {square: 100}}", "grid: 28", "no frame of 'training.tasks.foreground'"),
        ("{enlarge_to: 785, at_most: 1000}", "{square: 840}", "no frame of 'tasks.foreground'"),
        ("{square: 12}", "{square: 840}", "frame.square"),
        ("{square: 840, at_most: 900}", "{square: 840}", "frame"),
        ("{enlarge_to: 9000, at_most: 8000}", "{square: 840}", "enlarge_to"),
        ("{square: !!python/object/apply:os.getcwd []}", "{square: 840}", "cannot be read"),
        ("{square: &a 840, enlarge_to: *a}", "{square: 840}", "aliases"),
        ("grid: 28\ngrid: 29", "grid: 28", "appears twice"),
        ("max_new_tokens: yes please", "max_new_tokens: 2048", "max_new_tokens"),
        ("answer: regex", "answer: answer-json", "answer"),
        ("points: nearest box", "points: own", "points"),
        ("grid: " + "9" * 5000, "grid: 28", "cannot be read"),
        ("", "answer: answer-json\n", "lacks the key 'answer'"),
        ("[" * 30_000, "grid: 28", "cannot be read"),
        ("\x00", "grid: 28", "cannot be read"),
        ("- a", MINIMAL, "does not map"),
        ("x" * 70_000, "grid: 28", "larger than 64 KiB"),
        ('referring: {user: "{form} {widht}"}', 'referring: {user: "{form}"}', "{widht} stands for nothing here"),
        ("", MINIMAL[MINIMAL.index("form:") : MINIMAL.index("tasks:")], "lacks the key 'form'"),
        ('system: "{width} wide"\ntasks:', "tasks:", "key 'system': {width} stands for nothing here"),
        ("coordinates: [1000]", "coordinates: handed", "key 'coordinates': it is 'handed', 'seen', or a width"),
        ("coordinates: pixels", "coordinates: handed", "key 'coordinates': it is 'handed', 'seen', or a width"),
        ("whole_numbers: true\ngrid: 28", "grid: 28", "'whole_numbers' is only for answers read as 'tags'"),
        ("answer: tags\nparts: [think]\npoints: inside each box", "answer: answer-json\npoints: own", "needs 'bbox'"),
        ("answer: tags\nparts: [points]\npoints: inside each box", "answer: answer-json\npoints: own", "'labels'"),
        ("checkpoints: seg-zero", "checkpoints: [seg-zero, visionreasoner]", "should be a valid list"),
        ("\tgrid: 28", "grid: 28", "cannot be read: line 12: "),
    ],
    ids=range(34),
)
def test_a_file_that_is_not_a_protocol_is_one_sentence(tmp_path: Path, wrong: str, right: str, said: str) -> None:
    assert right in MINIMAL
    path = tmp_path / "own.yaml"
    path.write_text(MINIMAL.replace(right, wrong), encoding="utf-8")
    with pytest.raises(SettingsError) as failure:
        read_protocol(path)
    assert said in str(failure.value)
    assert str(path) in str(failure.value)
    assert "\n" not in str(failure.value)


def test_ones_own_file_and_old_names_are_protocols(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(MINIMAL, encoding="utf-8")
    own = find_protocol(str(path))
    assert own.name == str(path)
    assert own.request(SIZE, "The Dog?").text == find_protocol("seg-zero").request(SIZE, "The Dog?").text
    assert find_protocol("segr1") is find_protocol("studio")
    for missing in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(SettingsError):
            find_protocol(str(missing))
    with pytest.raises(SettingsError, match="--protocol auto needs a policy to choose by: name one of cfcamo"):
        find_protocol("auto")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("geshang/Seg-R1-7B", "seg-r1"),
        ("/cache/models--geshang--Seg-R1-3B/snapshots/0123abcd", "seg-r1"),
        ("me/my-Seg-R1-3B-awq", "seg-r1"),
        ("x/GenSeg-R1-4B", "studio"),
        ("/data/seg-r1/runs/policy", "studio"),
        ("Ricky06662/VisionReasoner-7B", "seg-zero"),
    ],
)
def test_published_checkpoints_are_known_by_their_names(source: str, name: str) -> None:
    assert native_protocol("", source, None).name == name


def run(*arguments: str, text: str = "") -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "segr1_app", *arguments], input=text, capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def test_request_and_read_print_json_without_a_model() -> None:
    asked = run("request", "--protocol", "seg-r1", "--task", "reasoning", "--instruction", "The Dog", "--size", "9x9")
    assert asked.keys() == {"messages", "frame", "coordinates", "max_new_tokens", "segmenter"}
    assert asked["messages"][1]["content"][1]["text"] == " Identify and segment the dog."
    assert (asked["frame"], asked["coordinates"]) == ([1036, 1036], [1024, 1024])
    read = run(
        "read", "--protocol", "cfcamo", "--task", "free", "--size", "9x9", text="<think>a</think><no_camouflage>"
    )
    assert read == {"reasoning": "a", "objects": [], "problems": [], "well_formed": True, "abstains": True}
    marked = run("read", "--protocol", "studio", "--size", "9x9", text="\ufeff<think>a</think>")
    assert not any("outside the tags" in problem for problem in marked["problems"])
    for wrong in ("0x9", "9", "9x9x9", "-1x9", "٣x٣", "9" * 30 + "x1", "1e3x9"):
        refused = run("request", "--protocol", "studio", "--instruction", "x", f"--size={wrong}")
        assert "--size" in refused
        assert "each from 1 to" in refused
        assert refused.count("\n") == 1


@pytest.mark.parametrize("command", ["request", "read"])
def test_a_protocol_that_there_is_not_is_one_sentence_that_offers_those_there_are(command: str) -> None:
    refused = run(command, "--protocol", "klingon", "--size", "9x9")
    assert refused == f"--protocol klingon must be one of {', '.join(protocol_names())}, or a YAML file.\n"


def test_neither_command_loads_torch() -> None:
    code = "import sys; from segr1_app.cli.request import find_task; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
