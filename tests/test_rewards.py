"""The reward is the paper's by default, gated, bounded, and None where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segr1_app import metrics
from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point, SettingsError
from segr1_app.models.pipeline import Pipeline
from segr1_app.rewards import Answer, RewardOptions, Truth, match_objects, match_prompts, overlong, score
from tests.scenes import ellipse_scene

EMPTY = np.zeros((8, 10), dtype=bool)
LEFT, RIGHT = EMPTY.copy(), EMPTY.copy()
LEFT[:, :4], RIGHT[:, 6:] = True, True
MASKS = arrays(np.bool_, (8, 10))
PROMPT = ObjectPrompt(Box(1, 1, 5, 5), (Point(2, 2, 1), Point(7, 7, 0)))
FRAME = ImageSize(30, 40)


class TestPaper:
    @given(MASKS, MASKS, st.booleans())
    def test_the_total_is_the_papers_formula_over_the_shared_metrics(
        self, found: np.ndarray, wanted: np.ndarray, well_formed: bool
    ) -> None:
        terms = score(Answer(well_formed, found), Truth(wanted))
        assert terms is not None
        iou = metrics.iou(found, wanted)
        assert terms.iou == iou
        assert terms.s_measure == (metrics.s_measure(found, wanted) if iou > 0 else 0)
        assert terms.total == pytest.approx(well_formed + 0.7 * terms.iou + 0.3 * terms.s_measure)
        assert 0 <= terms.total <= 2

    def test_a_perfect_answer_gets_two_and_an_empty_mask_only_its_format(self) -> None:
        perfect, empty = score(Answer(True, LEFT), Truth(LEFT)), score(Answer(True, EMPTY), Truth(LEFT))
        assert perfect is not None
        assert empty is not None
        assert perfect.total == pytest.approx(2)
        assert metrics.s_measure(EMPTY, LEFT) > 0.1
        assert (empty.total, empty.s_measure) == (1, 0)

    def test_it_scores_what_the_pipeline_predicts(self, pipeline: Pipeline) -> None:
        picture, truth = ellipse_scene(160, 120, (0.5, 0.5), (0.25, 0.3))
        prediction = pipeline.run(picture, "Segment the main object.")
        terms = score(Answer.of(prediction), Truth(truth))
        assert terms is not None
        assert terms.format == prediction.well_formed
        assert terms.iou == metrics.iou(prediction.mask, truth)


class TestUnknown:
    @pytest.mark.parametrize("truth", [Truth(), Truth(absent=True), Truth(rejected=LEFT), Truth(prompts=(PROMPT,))])
    def test_what_cannot_be_scored_is_none_as_a_whole(self, truth: Truth) -> None:
        assert score(Answer(True, LEFT), truth) is None

    def test_masks_of_two_sizes_are_an_error_and_no_zero(self) -> None:
        with pytest.raises(ValueError, match="one non-empty shape"):
            score(Answer(True, LEFT), Truth(LEFT[:, :-1]))


class TestOptions:
    def test_agreeing_with_a_rejected_mask_costs_from_one_half_on(self) -> None:
        options = RewardOptions(rejection=2)
        same, other = (score(Answer(True, mask), Truth(rejected=LEFT), options) for mask in (LEFT, RIGHT))
        assert same is not None
        assert other is not None
        assert (same.rejected_overlap, same.total, same.iou) == (0.5, 0, None)
        assert (other.rejected_overlap, other.total) == (0, 1)

    def test_a_true_mask_outweighs_the_rejected_one(self) -> None:
        terms = score(Answer(True, LEFT), Truth(LEFT, rejected=LEFT), RewardOptions(rejection=1))
        assert terms is not None
        assert (terms.iou, terms.rejected_overlap) == (1, None)

    def test_abstaining_is_worth_more_than_a_well_formed_find_and_that_more_than_noise(self) -> None:
        options = RewardOptions(abstention=1)
        answers = Answer(False, EMPTY, abstains=True), Answer(True, LEFT), Answer(False, EMPTY)
        assert [getattr(score(answer, Truth(absent=True), options), "total", None) for answer in answers] == [2, 1, 0]

    def test_an_answer_that_is_not_whole_gets_nothing_for_its_mask_where_that_is_asked_for(self) -> None:
        box, points = ObjectPrompt(PROMPT.box, ()), ObjectPrompt(None, PROMPT.points)
        for objects, whole in (((PROMPT,), True), ((box, points), True), ((box,), False), ((points,), False)):
            answer = Answer(True, LEFT, objects=objects)
            strict, plain = (score(answer, Truth(LEFT), RewardOptions(whole_answers=each)) for each in (True, False))
            assert strict is not None
            assert plain is not None
            assert plain.total == pytest.approx(2)
            assert strict.total == pytest.approx(2 if whole else 1)
            assert strict.iou == 1

    def test_objects_are_matched_one_to_one(self) -> None:
        assert match_objects([RIGHT, LEFT], [LEFT, RIGHT]) == 1
        assert match_objects([LEFT | RIGHT], [LEFT, RIGHT]) == 0.25
        assert match_objects([LEFT, LEFT], [LEFT]) == 0.5
        assert match_objects([], [LEFT]) == 0
        both = Truth(LEFT | RIGHT, objects=(LEFT, RIGHT))
        joined = Answer(True, LEFT | RIGHT, (LEFT | RIGHT,))
        plain, apart = score(joined, both), score(joined, both, RewardOptions(match_objects=True))
        assert plain is not None
        assert apart is not None
        assert (plain.iou, apart.iou) == (1, 0.25)

    def test_prompts_match_by_overlap_and_distance_within_their_label(self) -> None:
        assert match_prompts([PROMPT], [PROMPT], FRAME) == 1
        assert match_prompts([], [PROMPT], FRAME) == 0
        point, moved, negative = (ObjectPrompt(None, (Point(x, 5, label),)) for x, label in ((5, 1), (7, 1), (5, 0)))
        assert match_prompts([moved], [point], FRAME) == pytest.approx(1 - 2 / 5)
        assert match_prompts([negative], [point], FRAME) == 0
        half = ObjectPrompt(Box(1, 1, 3, 5), (Point(2, 2, 1),))
        assert match_prompts([half], [ObjectPrompt(Box(1, 1, 5, 5))], FRAME) == 0.5

    def test_the_match_is_added_only_where_there_are_prompts(self) -> None:
        options, answer = RewardOptions(prompt_match=0.2), Answer(True, LEFT, objects=(PROMPT,))
        known, unknown = score(answer, Truth(LEFT, prompts=(PROMPT,)), options), score(answer, Truth(LEFT), options)
        assert known is not None
        assert unknown is not None
        assert known.total == pytest.approx(2.2)
        assert (unknown.match, unknown.total) == (None, 2)

    @pytest.mark.parametrize(("tokens", "expected"), [(0, 0), (80, 0), (90, -0.5), (100, -1), (500, -1)])
    def test_the_soft_length_falls_in_a_line(self, tokens: int, expected: float) -> None:
        assert overlong(tokens, 100, 20) == expected
        terms = score(Answer(True, LEFT, tokens=tokens), Truth(LEFT), RewardOptions(soft_length=(100, 20)))
        assert terms is not None
        assert terms.total == pytest.approx(2 + expected)

    @pytest.mark.parametrize(
        "wrong",
        [{"prompt_match": 0.3}, {"prompt_match": -0.1}, {"abstention": -1}, {"rejection": float("nan")}]
        + [{"soft_length": pair} for pair in ((10, 0), (10, 11))],
    )
    def test_senseless_options_are_refused(self, wrong: dict[str, object]) -> None:
        with pytest.raises(SettingsError):
            RewardOptions(**wrong)  # type: ignore[arg-type]
