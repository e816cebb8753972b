"""The reward beside the canvas: which target counts, and that the terms are those of training."""

from __future__ import annotations

import numpy as np

from segr1_app.domain import Box, ImageSize, Mask, ObjectMask, ObjectPrompt, Point, Prediction
from segr1_app.geometry import resize_nearest
from segr1_app.images.pictures import picture_from_array
from segr1_app.rewards import Answer, Truth, score
from segr1_app.studio import reward_preview as scoring
from segr1_app.studio.edits import EditedObject
from segr1_app.studio.painting import Stroke
from segr1_app.studio.reward_preview import live_reward
from segr1_app.studio.sessions import CanvasSession

SIZE = ImageSize(40, 30)
PICTURE = picture_from_array(np.zeros((30, 40, 3), dtype=np.uint8))
PROMPT = ObjectPrompt(Box(2, 3, 20, 20), (Point(8, 8, 1),))


def block(x1: int, y1: int, x2: int, y2: int) -> Mask:
    mask = np.zeros((30, 40), dtype=bool)
    mask[y1:y2, x1:x2] = True
    return mask


FOUND = block(2, 3, 20, 20)
PREDICTION = Prediction(
    image_size=SIZE,
    instruction="the block",
    completion="",
    policy_size=SIZE,
    reasoning=None,
    objects=(PROMPT,),
    problems=(),
    well_formed=True,
    masks=(ObjectMask(FOUND, 0.9),),
    mask=FOUND,
)
MASKS = [ObjectMask(FOUND, 0.9)]


def test_an_imported_mask_comes_first() -> None:
    truth = block(2, 3, 30, 20)
    edited = EditedObject(PROMPT, strokes=(Stroke(True, 3, ((5, 5),)),))
    reward = live_reward(CanvasSession(PICTURE, PREDICTION, truth), [edited], MASKS)
    terms = score(Answer(True, FOUND), Truth(truth))
    assert terms is not None
    assert reward == {
        "text": scoring.TRUTH,
        "format": 1,
        "iou": terms.iou,
        "s_measure": terms.s_measure,
        "total": terms.total,
    }
    assert 0 < reward["iou"] < 1


def test_what_is_painted_is_the_target_of_the_prompts() -> None:
    edited = EditedObject(PROMPT, strokes=(Stroke(False, 4, ((30, 10),)),))
    reward = live_reward(CanvasSession(PICTURE, PREDICTION), [edited], MASKS)
    assert reward["text"] == scoring.PAINTED
    assert 0.8 < reward["iou"] < 1


def test_corrected_prompts_score_the_policys_own_answer() -> None:
    moved = EditedObject(ObjectPrompt(Box(2, 3, 20, 29), (Point(8, 8, 1),)))
    now = block(2, 3, 20, 29)
    reward = live_reward(CanvasSession(PICTURE, PREDICTION), [moved], [ObjectMask(now, 0.9)])
    terms = score(Answer.of(PREDICTION), Truth(now))
    assert terms is not None
    assert reward["text"] == scoring.CORRECTED
    assert reward["total"] == terms.total


def test_where_there_is_no_target_it_says_so() -> None:
    untouched = live_reward(CanvasSession(PICTURE, PREDICTION), [EditedObject(PROMPT)], MASKS)
    named = live_reward(
        CanvasSession(PICTURE, PREDICTION), [EditedObject(ObjectPrompt(PROMPT.box, PROMPT.points, "x"))], MASKS
    )
    alone = live_reward(CanvasSession(PICTURE), [EditedObject(PROMPT)], MASKS)
    empty = live_reward(CanvasSession(PICTURE), [], [])
    assert untouched["text"] == named["text"] == scoring.UNTOUCHED
    assert alone["text"] == empty["text"] == scoring.NOTHING
    for reward in (untouched, named, alone, empty):
        assert [reward[term] for term in ("format", "iou", "s_measure", "total")] == [None] * 4


def test_a_sample_looks_under_the_centre_of_each_pixel() -> None:
    mask = np.arange(12).reshape(3, 4) % 2 == 0
    assert np.array_equal(resize_nearest(mask, ImageSize(4, 3)), mask)
    assert resize_nearest(mask, ImageSize(2, 1)).tolist() == [[False, False]]
