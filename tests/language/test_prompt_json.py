"""One JSON of prompts: written in one shape, read in that and in the two older ones, and in nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point
from segr1_app.language.prompt_json import prompt_value, read_prompt
from segr1_app.language.typed_text import one_line
from segr1_app.store import rows
from segr1_app.studio.results import prompt_record

SIZE = ImageSize(200, 100)
PROMPT = ObjectPrompt(Box(10, 20.123456789, 50, 60), (Point(30.25, 40, 1), Point(0, 100, 0)), "egg")
NAMELESS = ObjectPrompt(PROMPT.box, PROMPT.points)
UP_TO_0_1 = {"box": [10, 20.123456789, 50, 60], "points": [[30.25, 40], [0, 100]], "labels": [1, 0]}

places = st.floats(0, 100, allow_nan=False)
prompts = st.builds(
    ObjectPrompt,
    st.none() | st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), *[st.floats(0, 40)] * 2, *[st.floats(1, 60)] * 2),
    st.lists(st.builds(Point, places, places, st.sampled_from([0, 1])), max_size=4).map(tuple),
    st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).map(one_line).filter(bool),
)


def test_the_documented_shape() -> None:
    assert prompt_value(PROMPT) == {
        "box": [10, 20.123456789, 50, 60],
        "points": [{"x": 30.25, "y": 40, "label": 1}, {"x": 0, "y": 100, "label": 0}],
        "name": "egg",
    }
    assert prompt_value(ObjectPrompt()) == {"box": None, "points": []}


@given(prompts)
def test_every_shape_is_read_back_to_every_digit(prompt: ObjectPrompt) -> None:
    for write in (prompt_value, prompt_record, rows.prompt_as_stored):
        assert read_prompt(json.loads(json.dumps(write(prompt))), SIZE) == prompt


def test_the_shape_of_version_0_1_is_read() -> None:
    assert read_prompt(UP_TO_0_1, SIZE) == NAMELESS


def test_labels_beside_labelled_points_are_a_copy_that_may_be_out_of_date() -> None:
    value: dict[str, Any] = {**prompt_record(PROMPT), "labels": [0]}
    assert read_prompt(value, SIZE) == PROMPT


@pytest.mark.parametrize(
    "value",
    [
        {**UP_TO_0_1, "labels": [1]},
        {**UP_TO_0_1, "labels": [1, 2]},
        {**UP_TO_0_1, "labels": [1, True]},
        {**UP_TO_0_1, "labels": "10"},
        {**UP_TO_0_1, "labels": None},
        {"points": [[30.25, 40]]},
        {"points": [[30.25, 40, 1, 1]]},
        {"points": [[30.25, float("nan"), 1]]},
        {"points": [[30.25, 40, 0.5]]},
        {"points": [[30.25, 40, 1], {"x": 1, "y": 1, "label": 1}]},
        {"points": [{"x": 1, "y": 1, "label": True}]},
        {"points": [{"x": 10**400, "y": 1, "label": 1}]},
        {"points": {"x": 1, "y": 1, "label": 1}},
        {"points": None},
        {"box": [0, 0, 10**400, 1]},
        {"name": "egg"},
        [],
        None,
    ],
)
def test_anything_else_is_refused_with_a_sentence(value: object) -> None:
    with pytest.raises((ValueError, KeyError), match=r"\S"):
        read_prompt(value, SIZE)
