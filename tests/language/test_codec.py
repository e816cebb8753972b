"""The codec: canonical text survives, malformed text is read as far as it goes, and no text raises or takes long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point, SegR1Error
from segr1_app.geometry import assign_points
from segr1_app.language.codec import (
    MAX_BOXES,
    MAX_INSTRUCTION,
    MAX_POINTS,
    PRESETS,
    Grammar,
    check_instruction,
    format_completion,
    is_expressible,
    parse_completion,
)

FRAME = ImageSize(840, 560)
GOOD = (
    "<think> a cat on the left </think> <bbox>[10,20,300,400]</bbox>, "
    "<points>[[100,200],[5,5]]</points>, <labels>[1,0]</labels>"
)


def coordinates(limit: int) -> st.SearchStrategy[float]:
    return st.one_of(st.integers(0, limit).map(float), st.floats(0, limit))


@st.composite
def canonical_objects(draw: st.DrawFn) -> tuple[ObjectPrompt, ...]:
    """Objects whose points belong to them by the codec's rule."""
    boxes = []
    for _ in range(draw(st.integers(1, 4))):
        x1, x2 = sorted(draw(st.lists(coordinates(840), min_size=2, max_size=2, unique=True)))
        y1, y2 = sorted(draw(st.lists(coordinates(560), min_size=2, max_size=2, unique=True)))
        boxes.append(Box(x1, y1, x2, y2))
    points = draw(st.lists(st.builds(Point, coordinates(840), coordinates(560), st.integers(0, 1)), max_size=6))
    return assign_points(boxes, points)


@given(canonical_objects(), st.text(min_size=1).map(str.strip).filter(lambda t: t and "<" not in t))
def test_canonical_prompts_come_back_unchanged(objects: tuple[ObjectPrompt, ...], reasoning: str) -> None:
    parsed = parse_completion(format_completion(reasoning, objects), FRAME)
    assert parsed.problems == ()
    assert parsed.well_formed
    assert parsed.reasoning == reasoning
    assert parsed.objects == objects


@given(st.text())
@settings(max_examples=300)
def test_no_text_raises(text: str) -> None:
    parsed = parse_completion(text, FRAME)
    assert parsed.well_formed is (not parsed.problems)


PIECES = ["<think>", "</think>", "<bbox>", "</bbox>", "<points>", "</points>", "<labels>", "</labels>"]
PIECES += ["[1,2,30,40]", "[[1,2],[3,4]]", "[1,0]", ",", " ", "why", "-3", "[", "]", "9" * 400, "0.5", "٣"]


@given(st.lists(st.sampled_from(PIECES), max_size=24).map("".join))
@settings(max_examples=500)
def test_nearly_right_texts_stay_in_the_frame(text: str) -> None:
    for grammar in Grammar:
        for prompt in parse_completion(text, FRAME, grammar).objects:
            assert all(0 <= point.x <= 840 and 0 <= point.y <= 560 for point in prompt.points)
            if prompt.box:
                assert 0 <= prompt.box.x1 < prompt.box.x2 <= 840
                assert 0 <= prompt.box.y1 < prompt.box.y2 <= 560


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace(">, <", "><"),
        GOOD.replace(",", " ,\n"),
        f"\n  {GOOD}\t",
        GOOD.replace("10,20", "10.25,020"),
        GOOD.replace("</bbox>,", "</bbox>, <bbox>[1,1,2,2]</bbox>,"),
        GOOD.replace("300,400", "840,560"),
        GOOD.replace("[[100,200],[5,5]]", "[]").replace("[1,0]", "[]"),
        GOOD.replace("a cat", "1 < 2, so a cat"),
    ],
)
def test_what_is_well_formed(text: str) -> None:
    parsed = parse_completion(text, FRAME)
    assert parsed.problems == ()
    assert parsed.well_formed


@pytest.mark.parametrize(
    ("wrong", "right", "problem"),
    [
        ("", "<think> a cat on the left </think>", "<think> is missing"),
        ("<think>  </think>", "<think> a cat on the left </think>", "reasoning is empty"),
        ("", ", <labels>[1,0]</labels>", "<labels> is missing"),
        ("", "<bbox>[10,20,300,400]</bbox>, ", "<bbox> is missing"),
        ("</labels>.", "</labels>", "text outside"),
        ("</bbox>,, ", "</bbox>, ", "text outside"),
        ("</labels>,", "</labels>", "text outside"),
        ("<think> a <bbox> cat", "<think> a cat", "not closed"),
        ("[300,20,10,400]", "[10,20,300,400]", "no area"),
        ("[10,20,300]", "[10,20,300,400]", "should read [x1,y1,x2,y2]"),
        ("[10,20,300,4e2]", "[10,20,300,400]", "should read"),
        ("[10,20,300,٤٠٠]", "[10,20,300,400]", "should read"),
        ("[10,20,841,400]", "[10,20,300,400]", "extends beyond the picture"),
        ("[[100,561],[5,5]]", "[[100,200],[5,5]]", "outside"),
        ("[[100,-2],[5,5]]", "[[100,200],[5,5]]", "outside"),
        ("[100,200,5,5]", "[[100,200],[5,5]]", "should read [[x,y],...]"),
        ("[1]", "[1,0]", "2 points have 1 labels"),
        ("[1,2]", "[1,0]", "neither 1 nor 0"),
        ("[1,0]</labels>, <labels>[1,0]</labels>", "[1,0]</labels>", "<labels> appears 2 times"),
        ("</think> </think>", "</think>", "closes nothing"),
    ],
)
def test_what_is_malformed_is_said(wrong: str, right: str, problem: str) -> None:
    assert right in GOOD
    parsed = parse_completion(GOOD.replace(right, wrong), FRAME)
    assert not parsed.well_formed
    assert any(problem in each for each in parsed.problems), parsed.problems


def test_another_order_is_malformed_but_read() -> None:
    think, rest = GOOD.split("</think>")
    parsed = parse_completion(f"{rest} {think}</think>", FRAME)
    assert not parsed.well_formed
    assert parsed.objects == parse_completion(GOOD, FRAME).objects
    assert any("order" in problem for problem in parsed.problems)


def test_leading_zeros_and_decimals_are_numbers() -> None:
    (prompt,) = parse_completion(GOOD.replace("10,20", "007,20.50"), FRAME).objects
    assert prompt.box == Box(7, 20.5, 300, 400)


def test_what_can_be_read_of_a_malformed_completion_is_returned() -> None:
    boxes = "<bbox>[10,20,300,400]</bbox><bbox>[9,9,1,1]</bbox>"
    text = f"<think> cut short {boxes}<points>[[50,60],[70,80]]</points><labels>[1"
    parsed = parse_completion(text, FRAME)
    assert parsed.reasoning == "cut short"
    assert parsed.objects == (ObjectPrompt(Box(10, 20, 300, 400), (Point(50, 60, 1),)),)
    assert not parsed.well_formed


@pytest.mark.parametrize(
    ("answer", "boxes", "points"),
    [
        ("<bbox>[1e2,60,300,300]</bbox>, <points>[[5,6]]</points>, <labels>[1]</labels>", [], [(5, 6, 1)]),
        ("<bbox>[.5,60,30,300]</bbox>, <points>[[5,6]]</points>, <labels>[1]</labels>", [], [(5, 6, 1)]),
        ("<bbox>[1,2,3]</bbox><bbox>[1,2,3,4]</bbox><points>[]</points><labels>[]</labels>", [(1, 2, 3, 4)], []),
        ("<bbox>1, 2, 3, 4</bbox>", [(1, 2, 3, 4)], []),
        ("<bbox>[[1,2,3,4],[5,6,7,8]]</bbox>", [(1, 2, 3, 4), (5, 6, 7, 8)], []),
        ("<points>[[50,60],[70],[80,90]]</points><labels>[1,0,1]</labels>", [], [(50, 60, 1), (80, 90, 1)]),
        ("<points>[[50,60],[],[80,90]]</points><labels>[1,0,1]</labels>", [], [(50, 60, 1), (80, 90, 1)]),
        ("<points>[[50,60],[70,x],[80,90]]</points><labels>[1,0,yes]</labels>", [], [(50, 60, 1)]),
        ("<points>50,60,70,80</points><labels>1,0</labels>", [], [(50, 60, 1), (70, 80, 0)]),
    ],
)
def test_nothing_is_read_that_was_not_written(
    answer: str, boxes: list[tuple[int, ...]], points: list[tuple[int, ...]]
) -> None:
    parsed = parse_completion(f"<think> a </think> {answer}", (400, 400))
    assert not parsed.well_formed
    assert [prompt.box.xyxy for prompt in parsed.objects if prompt.box] == boxes
    assert [(point.x, point.y, point.label) for prompt in parsed.objects for point in prompt.points] == points


def test_more_than_is_read_back_is_not_written() -> None:
    box, points = Box(0.0, 0.0, 9.0, 9.0), (Point(1.0, 1.0, 1),) * MAX_POINTS
    most = (ObjectPrompt(box, points), *[ObjectPrompt(box)] * (MAX_BOXES - 1))
    assert parse_completion(format_completion("a", most), (9, 9)).well_formed
    for more in ((*most, ObjectPrompt(box)), (ObjectPrompt(box, (*points, points[0])),)):
        with pytest.raises(ValueError, match="at most"):
            format_completion("a", more)


@pytest.mark.parametrize(
    ("objects", "expressible"),
    [
        ([ObjectPrompt(Box(2, 3, 20, 20), (Point(8, 8, 1),))], True),
        ([ObjectPrompt(Box(2, 3, 20, 20), (Point(8, 8, 1),)), ObjectPrompt(Box(1, 1, 5, 5))], True),
        ([ObjectPrompt(Box(0, 0, 40, 30), (Point(40, 30, 0), Point(-0.0, 0, 1)))], True),
        ([ObjectPrompt(Box(1, 1, 5, 5))] * MAX_BOXES, True),
        ([ObjectPrompt(Box(1, 1, 5, 5))] * (MAX_BOXES + 1), False),
        ([ObjectPrompt(Box(1, 1, 5, 5), (Point(2, 2, 1),) * MAX_POINTS)], True),
        ([ObjectPrompt(Box(1, 1, 5, 5), (Point(2, 2, 1),) * (MAX_POINTS + 1))], False),
        ([ObjectPrompt(Box(1, 1, 41, 5))], False),
        ([ObjectPrompt(Box(-1, 1, 5, 5))], False),
        ([ObjectPrompt(Box(1, 1, 5, 30.25))], False),
        ([ObjectPrompt(Box(1, 1, 5, 5), (Point(40.5, 5, 1),))], False),
        ([ObjectPrompt(None, (Point(3, 3, 1),))], False),
        ([ObjectPrompt(Box(1, 1, 5, 5)), ObjectPrompt(None, (Point(3, 3, 1),))], False),
        ([], False),
    ],
)
def test_prompts_are_expressible_when_their_completion_reads_back_well_formed(
    objects: list[ObjectPrompt], expressible: bool
) -> None:
    frame = ImageSize(40, 30)
    assert is_expressible(objects, frame) is expressible
    try:
        reads_back = parse_completion(format_completion("-", objects), frame).well_formed
    except ValueError:
        reads_back = False
    assert reads_back is expressible


def test_points_go_to_the_smallest_box_around_them_else_to_the_nearest() -> None:
    text = (
        "<think> two </think> <bbox>[0,0,500,500]</bbox>, <bbox>[100,100,200,200]</bbox>, "
        "<points>[[150,150],[300,300],[700,100]]</points>, <labels>[1,1,0]</labels>"
    )
    large, small = parse_completion(text, FRAME).objects
    assert small.points == (Point(150, 150, 1),)
    assert large.points == (Point(300, 300, 1), Point(700, 100, 0))


def test_points_without_a_box_are_one_object() -> None:
    text = "<think> a </think> <points>[[5,6],[7,8]]</points>, <labels>[1,0]</labels>"
    assert parse_completion(text, FRAME, Grammar.PRE_RL).well_formed
    assert not parse_completion(text, FRAME).well_formed
    (prompt,) = parse_completion(text, FRAME).objects
    assert prompt == ObjectPrompt(None, (Point(5, 6, 1), Point(7, 8, 0)))
    assert format_completion("a", (prompt,), Grammar.PRE_RL) == text


def test_abstention_is_a_form_of_its_own() -> None:
    text = format_completion("no cat here", (), Grammar.ABSTENTION)
    assert text == "<think> no cat here </think> <bbox>[]</bbox>, <points>[]</points>, <labels>[]</labels>"
    parsed = parse_completion(text, FRAME, Grammar.ABSTENTION)
    assert parsed.well_formed
    assert parsed.objects == ()
    assert not parse_completion(text, FRAME).well_formed
    assert not parse_completion(GOOD, FRAME, Grammar.ABSTENTION).well_formed


@pytest.mark.parametrize(
    ("prefix", "repeated", "suffix"),
    [
        ("", "<bbox>", ""),
        ("", "</bbox>", ""),
        ("<points>[", "[1,2],", ""),
        ("<labels>[", "1", ""),
        ("<labels>[", "1,", "x"),
        ("<bbox>[", " ", ""),
        ("<think>", "<", ""),
        ("", GOOD, ""),
        ("", "<bbox>[1,2,3,4]</bbox>,", "<points>[" + "[1,2]," * 1000),
        ("", "9", ""),
        ("", "\n", ""),
        ("<think> ", "a", ""),
        ("<points>", "[", ""),
        ("<points>", "[a", ""),
        ("<bbox>[1,2", " [", "1" * 200_000),
    ],
    ids=range(15),
)
def test_reading_takes_time_linear_in_the_length(prefix: str, repeated: str, suffix: str) -> None:
    def cost(length: int) -> float:
        """The fastest of three readings in seconds of this process's own time, whatever else the machine does."""
        text = prefix + repeated * (length // len(repeated)) + suffix
        seconds = []
        for _ in range(3):
            started = time.process_time()
            parse_completion(text, FRAME)
            seconds.append(time.process_time() - started)
        return min(seconds)

    # Eight times the text takes about eight times as long; with quadratic time it would be 64 times.
    assert cost(1_000_000) < 30 * cost(125_000) + 0.02


@pytest.mark.parametrize("reasoning", ["", "  ", "a </think> b", "<bbox>"])
def test_reasoning_that_would_break_the_form_is_refused(reasoning: str) -> None:
    with pytest.raises(ValueError, match="reasoning"):
        format_completion(reasoning, (ObjectPrompt(Box(1, 2, 3, 4)),))


def test_objects_that_do_not_suit_the_grammar_are_refused() -> None:
    boxed, clicked = ObjectPrompt(Box(1, 2, 3, 4)), ObjectPrompt(None, (Point(1, 1, 1),))
    for objects, grammar in (
        ((), Grammar.FULL),
        ((clicked,), Grammar.FULL),
        ((boxed,), Grammar.PRE_RL),
        ((boxed,), Grammar.ABSTENTION),
    ):
        with pytest.raises(ValueError, match=grammar.value):
            format_completion("why", objects, grammar)


@pytest.mark.parametrize("instruction", ["", " \n ", "x" * (MAX_INSTRUCTION + 1)])
def test_an_instruction_that_cannot_be_asked_is_refused(instruction: str) -> None:
    with pytest.raises(SegR1Error, match="instruction"):
        check_instruction(instruction)


def test_there_is_a_preset_of_every_kind() -> None:
    assert len({preset.name for preset in PRESETS}) == len(PRESETS) == 4
    for preset in PRESETS:
        assert check_instruction(preset.text) == preset.text
