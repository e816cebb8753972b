"""Leases: who gets which task next."""

from __future__ import annotations

import pytest

from segr1_app.domain import LeaseLostError, StoreError
from segr1_app.store import AnnotationStore, Correction, QueueOrder, RejectReason, SampledCompletion, Task, Verdict
from tests.store.conftest import Clock
from tests.store.values import SKIPPED, corrected, picture, prediction, rectangle


@pytest.fixture
def three(store: AnnotationStore, task: Task) -> list[int]:
    """Three tasks; the second is the least confident, the third has the most disagreement."""
    numbers = [task.id, *(store.add_task(store.add_picture(picture(seed), "p"), "the cat").id for seed in (1, 2))]
    for number, confidence, width in zip(numbers, (0.9, 0.2, 0.5), (10, 12, 30), strict=True):
        samples = [SampledCompletion("", rectangle(0, 0, 10, 10)), SampledCompletion("", rectangle(0, 0, width, 10))]
        store.add_prediction(number, prediction(confidence=confidence), "hash", samples)
    return numbers


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (QueueOrder.IMPORTED, [0, 1, 2]),
        (QueueOrder.LEAST_CONFIDENT, [1, 2, 0]),
        (QueueOrder.MOST_DISAGREEMENT, [2, 1, 0]),
    ],
)
def test_the_queue_has_an_order(
    store: AnnotationStore, three: list[int], order: QueueOrder, expected: list[int]
) -> None:
    unpredicted = store.add_task(store.add_picture(picture(9), "p"), "the cat").id
    given = [store.lease_next(f"person {number}", order) for number in range(5)]
    assert [task and task.id for task in given] == [*(three[index] for index in expected), unpredicted, None]


def test_who_holds_a_task_gets_it_again(store: AnnotationStore, three: list[int]) -> None:
    first, again = store.lease_next("ann"), store.lease_next("ann", QueueOrder.LEAST_CONFIDENT)
    assert first is not None
    assert again == first
    assert store.holder(first.id) == "ann"
    following = store.upcoming("ann")
    assert following is not None
    assert following.id == three[1]
    assert store.holder(three[1]) is None


def test_a_decided_task_comes_again_while_there_is_a_draft_of_it(store: AnnotationStore, three: list[int]) -> None:
    store.save(three[0], "ann", Correction(Verdict.REJECT, (), RejectReason.BAD_IMAGE))
    store.lease(three[0], "ann")
    store.put_draft(three[0], "ann", "{}")
    again = store.lease_next("ann")
    assert again is not None
    assert again.id == three[0]
    store.drop_draft(three[0], "ann")
    following = store.lease_next("ann")
    assert following is not None
    assert following.id == three[1]


def test_a_lease_ends_by_itself(store: AnnotationStore, clock: Clock, three: list[int]) -> None:
    store.lease_next("ann", seconds=60)
    clock.now += 59
    store.renew(three[0], "ann", seconds=60)
    clock.now += 61
    with pytest.raises(LeaseLostError, match="lease on this task has expired"):
        store.renew(three[0], "ann")
    given = store.lease_next("ben")
    assert given is not None
    assert given.id == three[0]
    with pytest.raises(LeaseLostError, match="ben is working on this"):
        store.lease(three[0], "ann")


def test_work_that_outlives_its_lease_is_kept(store: AnnotationStore, clock: Clock, three: list[int]) -> None:
    store.lease_next("ann", seconds=60)
    clock.now += 61
    store.lease_next("ben")
    store.save(three[0], "ann", corrected(rectangle(0, 0, 5, 5)))
    assert store.holder(three[0]) == "ben"
    store.save(three[0], "ben", corrected(rectangle(0, 0, 5, 6)))
    assert set(store.heads(three[0])) == {"ann", "ben"}


def test_a_person_holds_one_task(store: AnnotationStore, three: list[int]) -> None:
    store.lease_next("ann")
    store.lease(three[2], "ann")
    assert store.holder(three[0]) is None
    store.release(three[2], "ben")
    assert store.holder(three[2]) == "ann"
    store.release(three[2], "ann")
    assert store.holder(three[2]) is None


def test_a_skipped_task_goes_to_somebody_else(store: AnnotationStore, three: list[int]) -> None:
    store.save(three[0], "ann", SKIPPED)
    for_ann, for_ben = store.lease_next("ann"), store.lease_next("ben")
    assert (for_ann and for_ann.id, for_ben and for_ben.id) == (three[1], three[0])
    assert store.task(three[0]).open


def test_a_decided_task_is_not_offered(store: AnnotationStore, three: list[int]) -> None:
    store.lease_next("ann")
    store.save(three[0], "ben", corrected(rectangle(0, 0, 5, 5)))
    given = store.lease_next("ann")
    assert given is not None
    assert given.id == three[1]


@pytest.mark.parametrize("name", ["", " \n", "x" * 201])
def test_nobody_is_nobody(store: AnnotationStore, name: str) -> None:
    with pytest.raises(StoreError, match="Enter your name"):
        store.lease_next(name)


@pytest.mark.parametrize("back", [3600, 86_400, 10 * 365 * 86_400])
def test_a_clock_that_is_set_back_frees_what_was_held(
    store: AnnotationStore, three: list[int], clock: Clock, back: float
) -> None:
    assert store.lease_next("ann") is not None
    clock.now -= back
    assert store.holder(three[0]) is None
    taken = store.lease_next("ben")
    assert taken is not None
    assert taken.id == three[0]
    clock.now += 1
    assert store.holder(three[0]) == "ben"


def test_a_small_correction_of_the_clock_ends_no_lease(store: AnnotationStore, three: list[int], clock: Clock) -> None:
    store.lease_next("ann")
    clock.now -= 30
    assert store.holder(three[0]) == "ann"
    store.renew(three[0], "ann")


def test_no_lease_lasts_longer_than_the_longest(store: AnnotationStore, three: list[int], clock: Clock) -> None:
    store.lease(three[0], "ann", seconds=1e300)
    clock.now += 601
    assert store.holder(three[0]) is None
