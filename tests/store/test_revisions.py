"""Saving, history, and which revision counts."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from segr1_app.domain import Box, ObjectPrompt, Point, StoreError
from segr1_app.store import (
    AnnotatedObject,
    AnnotationStore,
    Blame,
    Correction,
    RejectReason,
    StaleRevisionError,
    Task,
    Verdict,
    rows,
)
from tests.store.conftest import Clock
from tests.store.values import PROMPT, SKIPPED, corrected, picture, prediction, rectangle, rejected


def test_a_revision_comes_back_whole(store: AnnotationStore, clock: Clock, task: Task) -> None:
    made = prediction()
    number = store.add_prediction(task.id, made, "c0ffee")
    painted, erased = rectangle(30, 0, 35, 5), rectangle(5, 10, 25, 12)
    prompt = replace(PROMPT, points=(Point(8, 12, 1), Point(1, 1, 1), Point(20, 18, 1)))
    own = AnnotatedObject(prompt, rectangle(5, 10, 25, 20), painted, erased, refined_from=made.mask, cleaned=True)
    comment = "<b>\x00\u202e ${x} =1+1"
    saved = store.save(
        task.id, "ann", Correction(Verdict.FIX, (own,), comment=comment, seconds=12.5, clicks=4), prediction_id=number
    )
    assert saved.correction.prompts == (prompt,)
    assert saved.correction.comment == comment
    (back,) = saved.correction.objects
    for layer in ("segmented", "painted", "erased", "refined_from", "mask"):
        assert np.array_equal(getattr(back, layer), getattr(own, layer))
    assert back.cleaned
    assert np.array_equal(saved.mask, rectangle(30, 0, 35, 5) | rectangle(5, 12, 25, 20))
    assert saved.policy_iou == pytest.approx(160 / 225)
    assert saved.before == made.objects
    assert saved.change.flipped == (Point(1, 1, 1),)
    assert saved.change.moved == ((Point(7.125, 12, 1), Point(8, 12, 1)),)
    assert (saved.completion, saved.reasoning, saved.checkpoint_hash) == (made.completion, "a cat", "c0ffee")
    assert saved.created_at == clock.now
    assert saved.id == store.revision(saved.id).id
    assert list(store.verify()) == []


def test_a_save_on_an_older_revision_is_refused_with_the_newest(store: AnnotationStore, task: Task) -> None:
    first = store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))
    second = store.save(task.id, "ann", corrected(rectangle(0, 0, 6, 6)), parent_id=first.id)
    for stale in (None, first.id):
        with pytest.raises(StaleRevisionError) as refused:
            store.save(task.id, "ann", corrected(rectangle(0, 0, 7, 7)), parent_id=stale)
        assert refused.value.newest.id == second.id
    with pytest.raises(StoreError, match="was not saved by ben"):
        store.save(task.id, "ben", corrected(rectangle(0, 0, 7, 7)), parent_id=first.id)
    assert [revision.id for revision in store.history(task.id)] == [first.id, second.id]


def test_past_decisions_are_read_without_masks(
    store: AnnotationStore, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))
    last = store.save(task.id, "ben", rejected())
    assert store.head_of(task.id, "ann") == first.id
    assert store.head_of(task.id, "cat") is None
    kept = store.history(task.id)
    monkeypatch.setattr(rows, "stored_mask", pytest.fail)
    decisions = store.past_decisions(task.id)
    assert [each.id for each in decisions] == [first.id, last.id]
    for each, whole in zip(decisions, kept, strict=True):
        for name in ("annotator", "origin_id", "prediction_id", "change", "policy_iou", "blame", "created_at"):
            assert getattr(each, name) == getattr(whole, name)
        for name in ("verdict", "reason", "comment", "seconds", "clicks"):
            assert getattr(each, name) == getattr(whole.correction, name)


def test_the_latest_decision_counts_until_a_reviewer_chooses(store: AnnotationStore, task: Task) -> None:
    first = store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))
    second = store.save(task.id, "ben", corrected(rectangle(0, 0, 6, 6)))
    skip = store.save(task.id, "cat", SKIPPED)

    def current() -> int | None:
        counts = store.current(task.id)
        return counts and counts.id

    assert current() == second.id
    store.choose_current(task.id, first.id, "reviewer")
    third = store.save(task.id, "ben", corrected(rectangle(0, 0, 7, 7)), parent_id=second.id)
    assert current() == first.id
    store.choose_current(task.id, None, "reviewer")
    assert current() == third.id
    with pytest.raises(StoreError, match="Only a decision about this task"):
        store.choose_current(task.id, skip.id, "reviewer")
    assert {name: revision.id for name, revision in store.heads(task.id).items()} == {
        "ann": first.id,
        "cat": skip.id,
        "ben": third.id,
    }


def test_who_takes_a_decision_back_opens_the_task_again(store: AnnotationStore, task: Task) -> None:
    first = store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))
    store.save(task.id, "ann", SKIPPED, parent_id=first.id)
    assert store.task(task.id).open
    assert store.current(task.id) is None


def test_restoring_is_a_new_revision(store: AnnotationStore, task: Task) -> None:
    first = store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5), comment="good"))
    second = store.save(task.id, "ann", rejected(), parent_id=first.id)
    restored = store.restore(first.id, "ann", parent_id=second.id)
    assert (restored.parent_id, restored.origin_id) == (second.id, first.id)
    assert np.array_equal(restored.mask, first.mask)
    assert restored.correction.comment == "good"
    assert restored.content_hash != first.content_hash
    assert store.statistics().total.clicks == 3


def test_revisions_cannot_be_changed_by_anybody(store: AnnotationStore, task: Task) -> None:
    store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))
    database = store.picture_path(task.sha256).parent.parent / "segr1.db"
    with sqlite3.connect(database) as other:
        for statement in ("UPDATE revisions SET comment = 'x'", "DELETE FROM revisions"):
            with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
                other.execute(statement)
    other.close()


def test_masks_and_predictions_must_be_of_this_task(store: AnnotationStore, task: Task) -> None:
    wrong = corrected(np.zeros((40, 30), bool))
    with pytest.raises(StoreError, match="masks are"):
        store.save(task.id, "ann", wrong)
    other = store.add_task(store.add_picture(picture(1), "p"), "the cat")
    number = store.add_prediction(other.id, prediction(), "hash")
    with pytest.raises(StoreError, match="another task"):
        store.save(task.id, "ann", SKIPPED, prediction_id=number)


def test_a_correction_makes_sense() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        Correction(Verdict.REJECT)
    with pytest.raises(ValueError, match="only a reject"):
        Correction(Verdict.ACCEPT, reason=RejectReason.GROUNDING)
    with pytest.raises(ValueError, match="seconds must be from 0"):
        Correction(Verdict.ACCEPT, seconds=float("nan"))
    with pytest.raises(ValueError, match="painted is a bool"):
        AnnotatedObject(PROMPT, rectangle(0, 0, 1, 1), painted=np.zeros((2, 2), bool))


FAR, NEAR = rectangle(0, 0, 40, 30), rectangle(5, 10, 25, 21)
TWO_POINTS = replace(PROMPT, points=PROMPT.points[:2])
MADE, FAR_OFF = rectangle(5, 10, 25, 20), rectangle(28, 0, 40, 9)
GOOD = AnnotatedObject(PROMPT, MADE)
PAINTED = AnnotatedObject(ObjectPrompt(), rectangle(0, 0, 0, 0), rectangle(28, 22, 40, 30))


def fixed(*objects: AnnotatedObject) -> Correction:
    return Correction(Verdict.FIX, objects)


def rejected_with(*objects: AnnotatedObject, reason: RejectReason = RejectReason.GROUNDING) -> Correction:
    return Correction(Verdict.REJECT, objects, reason)


@pytest.mark.parametrize(
    ("correction", "truth", "blame"),
    [
        (corrected(rectangle(5, 10, 25, 20), verdict=Verdict.ACCEPT), FAR, None),
        (SKIPPED, FAR, None),
        (corrected(rectangle(5, 10, 25, 20)), FAR, Blame.SEGMENTER),
        (corrected(rectangle(5, 10, 25, 20)), NEAR, Blame.POLICY),
        (corrected(rectangle(5, 10, 25, 20)), None, Blame.POLICY),
        (corrected(rectangle(5, 10, 25, 20), prompts=[TWO_POINTS]), FAR, Blame.POLICY),
        (Correction(Verdict.FIX, (AnnotatedObject(PROMPT, rectangle(5, 10, 25, 20), FAR),)), None, Blame.SEGMENTER),
        (Correction(Verdict.FIX, (AnnotatedObject(ObjectPrompt(), rectangle(0, 0, 0, 0), FAR),)), None, Blame.POLICY),
        (rejected(RejectReason.SEGMENTER), None, Blame.SEGMENTER),
        (rejected(RejectReason.REASONING), None, Blame.POLICY),
        (rejected(RejectReason.NO_OBJECT), None, Blame.POLICY),
        (rejected(RejectReason.BAD_IMAGE), None, None),
        # A reject that carries well-prompted objects, and a truth that they do not reach, or reach.
        (rejected_with(GOOD), FAR, Blame.SEGMENTER),
        (rejected_with(GOOD), NEAR, Blame.POLICY),
        (rejected_with(AnnotatedObject(PROMPT, MADE, FAR)), None, Blame.POLICY),
        (rejected_with(GOOD, reason=RejectReason.NO_OBJECT), FAR, Blame.POLICY),
        (rejected_with(GOOD, reason=RejectReason.BAD_IMAGE), FAR, None),
        (rejected_with(GOOD, reason=RejectReason.SEGMENTER), NEAR, Blame.SEGMENTER),
        # What was refined from a mask is not from prompts alone.
        (fixed(AnnotatedObject(PROMPT, MADE, refined_from=NEAR)), FAR, Blame.POLICY),
        (fixed(AnnotatedObject(PROMPT, MADE, FAR, refined_from=NEAR)), None, Blame.POLICY),
        # A well-prompted object beside one that is only painted: compared where its prompts are.
        (fixed(AnnotatedObject(PROMPT, rectangle(5, 10, 9, 20)), PAINTED), MADE | PAINTED.mask, Blame.SEGMENTER),
        (fixed(GOOD, PAINTED), MADE | PAINTED.mask, Blame.POLICY),
        (fixed(GOOD, PAINTED), MADE | FAR_OFF, Blame.POLICY),
        (fixed(GOOD, PAINTED), PAINTED.mask, Blame.POLICY),
        (fixed(AnnotatedObject(PROMPT, rectangle(5, 10, 9, 20), MADE), PAINTED), None, Blame.SEGMENTER),
        (fixed(GOOD, PAINTED), None, Blame.POLICY),
    ],
)
def test_who_was_wrong(
    store: AnnotationStore, task: Task, correction: Correction, truth: np.ndarray | None, blame: Blame | None
) -> None:
    store.add_task(task.sha256, task.instruction, truth)
    assert store.save(task.id, "ann", correction).blame == blame


def test_nobody_is_blamed_for_the_policys_own_mask(store: AnnotationStore, task: Task) -> None:
    store.add_task(task.sha256, task.instruction, FAR)
    number = store.add_prediction(task.id, prediction(MADE), "hash")
    kept = store.save(task.id, "ann", corrected(MADE), prediction_id=number)
    assert (kept.policy_iou, kept.blame) == (1, None)
    changed = store.save(task.id, "ben", corrected(rectangle(5, 10, 24, 20)), prediction_id=number)
    assert changed.blame is Blame.SEGMENTER
    # Whoever rejects the policy's own prompts says that they are bad: they are no evidence against the segmenter.
    assert store.save(task.id, "cat", rejected_with(GOOD), prediction_id=number).blame is Blame.POLICY
    moved = AnnotatedObject(replace(PROMPT, points=(*PROMPT.points, Point(9, 15, 1))), MADE)
    assert store.save(task.id, "dan", rejected_with(moved), prediction_id=number).blame is Blame.SEGMENTER


def test_a_decision_counts_for_the_words_it_was_made_for(store: AnnotationStore, task: Task) -> None:
    cat = store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))
    store.choose_current(task.id, cat.id, "reviewer")
    store.set_instruction(task.id, "the dog")
    assert store.current(task.id) is None
    assert store.statistics().open_tasks == 1
    offered = store.lease_next("ann")
    assert offered is not None, "who decided about the old words is asked about the new ones"
    assert offered.id == task.id
    with pytest.raises(StoreError, match=r"made for another instruction \('the cat'\)"):
        store.choose_current(task.id, cat.id, "reviewer")

    with pytest.raises(StaleRevisionError):
        store.save(task.id, "ann", corrected(rectangle(0, 0, 6, 6)))
    dog = store.save(task.id, "ann", corrected(rectangle(0, 0, 6, 6)), parent_id=cat.id)
    other = store.save(task.id, "ben", corrected(rectangle(0, 0, 5, 6)))
    assert store.task(task.id).current_id == other.id
    assert store.agreement(task.id).by_pair == {("ann", "ben"): pytest.approx(5 / 6)}

    store.set_instruction(task.id, "the cat")
    assert store.task(task.id).current_id == cat.id
    back = store.save(task.id, "ben", corrected(rectangle(0, 0, 5, 5)), parent_id=other.id)
    assert store.agreement(task.id).by_pair == {}, "ann's last word is about the dog"
    store.choose_current(task.id, None, "reviewer")
    assert store.task(task.id).current_id == back.id
    store.set_instruction(task.id, "the dog")
    assert store.task(task.id).current_id == other.id
    store.save(task.id, "ben", SKIPPED, parent_id=back.id)
    assert store.task(task.id).current_id == dog.id
    assert list(store.verify()) == []


def test_who_skipped_other_words_is_asked_again(store: AnnotationStore, task: Task) -> None:
    store.save(task.id, "ann", SKIPPED)
    assert store.upcoming("ann") is None
    store.set_instruction(task.id, "the dog")
    assert store.upcoming("ann") == store.task(task.id)


def test_a_draft_lives_until_the_save(store: AnnotationStore, task: Task) -> None:
    store.put_draft(task.id, "ann", '{"half": "\ud83d"}')
    store.put_draft(task.id, "ben", "{}")
    draft = store.get_draft(task.id, "ann")
    assert draft is not None
    assert draft.content == '{"half": "?"}'
    store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))
    assert store.get_draft(task.id, "ann") is None
    assert store.get_draft(task.id, "ben") is not None
    store.drop_draft(task.id, "ben")
    assert store.get_draft(task.id, "ben") is None


def test_a_refused_save_keeps_the_draft(store: AnnotationStore, task: Task) -> None:
    store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))
    store.put_draft(task.id, "ann", "{}")
    with pytest.raises(StaleRevisionError):
        store.save(task.id, "ann", corrected(rectangle(0, 0, 5, 5)))
    assert store.get_draft(task.id, "ann") is not None


def test_objects_pair_up_by_the_fewest_edits(store: AnnotationStore, task: Task) -> None:
    a = ObjectPrompt(Box(0, 0, 10, 10), (Point(1, 1, 1),))
    b = ObjectPrompt(Box(20, 20, 30, 30), (Point(21, 21, 1), Point(22, 22, 0)))
    mask = rectangle(0, 0, 1, 1)
    before = store.add_prediction(task.id, replace(prediction(), objects=(a, b), masks=prediction().masks * 2), "h")
    nudged = replace(b, box=Box(20, 20, 31, 30), points=(*b.points, Point(25, 25, 1)))
    saved = store.save(task.id, "ann", corrected(mask, mask, prompts=[nudged, a]), prediction_id=before)
    assert saved.change.box_shifts == ((b.box, nudged.box),)
    assert saved.change.added == (Point(25, 25, 1),)
    assert saved.change.edits == 2
    only = store.save(task.id, "ben", corrected(mask, prompts=[b]), prediction_id=before)
    assert only.change.objects_removed == 1
    assert only.change.boxes_removed == (a.box,)
    assert only.change.removed == a.points
