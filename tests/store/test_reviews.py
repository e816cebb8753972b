"""Reviews: which tasks are listed, in which order, and whose choice counts."""

from __future__ import annotations

import pytest

from segr1_app.domain import StoreError, UnknownRecordError
from segr1_app.store import AnnotationStore, ReviewerChoice, Verdict
from tests.store.conftest import Clock
from tests.store.values import SKIPPED, corrected, picture, rectangle, rejected

LEFT, WHOLE = rectangle(5, 10, 15, 20), rectangle(5, 10, 25, 20)


@pytest.fixture
def decided(store: AnnotationStore) -> AnnotationStore:
    """Tasks 1 to 5: fixed by ann and by ben, rejected by ann, skipped by ann, open, accepted by ben."""
    for seed in range(5):
        store.add_task(store.add_picture(picture(seed), f"{seed}.jpg"), "the cat")
    store.save(1, "ann", corrected(LEFT))
    store.save(2, "ann", rejected())
    store.save(3, "ann", SKIPPED)
    store.save(5, "ben", corrected(WHOLE, verdict=Verdict.ACCEPT))
    store.save(1, "ben", corrected(WHOLE))
    return store


def numbers(store: AnnotationStore, **wanted: object) -> list[int]:
    return [each.task.id for each in store.decided(**wanted)]  # type: ignore[arg-type]


def test_the_newest_decision_comes_first(decided: AnnotationStore) -> None:
    first, *_ = decided.decided()
    assert (first.task.picture_name, first.annotator, first.verdict) == ("0.jpg", "ben", Verdict.FIX)
    assert (first.people, first.agreement, first.revision_id) == (2, 0.5, 5)
    assert numbers(decided) == [1, 5, 2]


def test_a_person_or_a_verdict_narrows_the_list(decided: AnnotationStore) -> None:
    assert numbers(decided, annotator=" ann ") == [2, 1]
    assert numbers(decided, annotator="nobody") == []
    assert numbers(decided, verdict=Verdict.FIX) == [1]
    assert numbers(decided, annotator="ben", verdict=Verdict.ACCEPT) == [5]
    with pytest.raises(StoreError, match="Enter your name"):
        decided.decided(annotator=" ")


@pytest.mark.parametrize("annotator", [None, "ben"])
def test_pages_follow_each_other(decided: AnnotationStore, annotator: str | None) -> None:
    whole = decided.decided(annotator=annotator)
    paged, before = [], None
    while page := decided.decided(annotator=annotator, before=before, limit=1):
        paged += page
        before = page[-1].revision_id
    assert paged == whole


def test_a_page_costs_no_look_at_every_task(decided: AnnotationStore) -> None:
    with decided._connection.read() as db:
        queries: list[str] = []
        db.conn.set_trace_callback(queries.append)
    decided.decided()
    decided.decided(annotator="ann", before=9)
    decided.decided(verdict=Verdict.REJECT, before=9)
    decided.decided(annotator="ann", verdict=Verdict.REJECT, before=9)
    indices = ("tasks_current", "heads_annotator", "revisions_verdict", "heads_verdict")
    with decided._connection.read() as db:
        db.conn.set_trace_callback(None)
        for query, index in zip([each for each in queries if "SELECT" in each], indices, strict=True):
            steps = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}")]
            assert index in steps[0]
            assert not any("TEMP B-TREE" in step or step.startswith("SCAN") for step in steps[1:])
            assert "TEMP B-TREE" not in steps[0]


def test_agreement_in_one_task(decided: AnnotationStore) -> None:
    assert decided.agreement(1).by_pair == {("ann", "ben"): 0.5}
    assert decided.agreement(2).by_task == {}


def test_the_last_choice_stands_until_it_is_taken_back(decided: AnnotationStore, clock: Clock) -> None:
    assert decided.choice(1) is None
    decided.choose_current(1, 1, "Rea")
    decided.choose_current(1, 5, "Rob")
    assert decided.choice(1) == ReviewerChoice(5, "Rob", clock.now)
    decided.choose_current(1, None, "Rea")
    assert decided.choice(1) is None
    with pytest.raises(UnknownRecordError):
        decided.choice(99)
