"""Review of decided tasks: histories, comparisons, the reviewer's choice, and statistics.

Every method is also an API endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from segr1_app.domain import StoreError
from segr1_app.store import (
    AnnotationStore,
    DecidedTask,
    PastDecision,
    StaleRevisionError,
    StoredPrediction,
    Task,
    Verdict,
)
from segr1_app.store.reports import work_record
from segr1_app.studio.comparison import compare_sides, find_side
from segr1_app.studio.contracts import (
    AnnotatorPair,
    Comparison,
    CurrentRevision,
    DecidedPage,
    DecidedTaskRow,
    PastPrediction,
    PastRevision,
    Restored,
    ReviewedTask,
    Stale,
    WorkStatistics,
)
from segr1_app.studio.previews import preview_of, preview_path
from segr1_app.ui.gate.endpoints import one_of
from segr1_app.ui.views import addressed, canvas_value, change_value

LISTED = 40
"""Tasks per page of the list."""


class ReviewHandlers:
    """Shows decided tasks and records a reviewer's choices.

    Every method takes and returns JSON values and raises `SegR1Error` with a message for the caller.

    Args:
        store: where everything is stored.
        cache: an existing folder from which gradio serves files.
    """

    def __init__(self, store: AnnotationStore, cache: Path) -> None:
        self._store = store
        self._cache = cache.resolve()

    def decided_tasks(self, annotator: str = "", verdict: str = "", before: int | None = None) -> DecidedPage:
        """The tasks that have a decision, newest first, one page at a time.

        Args:
            annotator: only tasks that this person decided, shown by their latest revision; empty for everybody, where
                the current revision is shown.
            verdict: only "accept", "fix", "reject" or "skip"; empty for any.
            before: the last "revision" of the previous page; None for the first page.

        Returns:
            {"tasks": [{"task", "instruction", "picture_name", "revision", "annotator", "verdict", "saved_at",
            "people": how many decided it, "agreement": mean pairwise IoU or None}], "more": whether another page
            follows, "decided": number of decided tasks, "annotators": everybody's name}.
        """
        wanted = one_of(Verdict, verdict, "The decision must be one of:") if verdict else None
        page = self._store.decided(annotator=annotator or None, verdict=wanted, before=before, limit=LISTED + 1)
        found = self._store.statistics()
        return {
            "tasks": [_listed(each) for each in page[:LISTED]],
            "more": len(page) > LISTED,
            "decided": found.tasks - found.open_tasks,
            "annotators": list(found.by_annotator),
        }

    def review_task(self, task: int) -> ReviewedTask:
        """A task with all its predictions and revisions.

        Args:
            task: its number.

        Returns:
            {"task", "instruction", "picture_name", "canvas": what to show, "revisions": as for `history`,
            "predictions": [{"prediction", "policy", "checkpoint", "created_at"}], both newest first, "first", "second":
            what to `compare` initially, "chosen_by": the reviewer who chose the current revision or None, "agreement":
            mean pairwise IoU or None, "pairs": [{"annotators": [two names], "iou"}]}.
        """
        asked = self._store.task(task)
        revisions = self._store.past_decisions(asked.id)
        numbers = {each.prediction_id for each in revisions} | {asked.prediction_id}
        known = sorted((number for number in numbers if number is not None), reverse=True)
        choice, agreement = self._store.choice(asked.id), self._store.agreement(asked.id)
        first, second = initial_sides(revisions, asked)
        picture = preview_path(asked.sha256, self._cache)
        if not picture.exists():
            preview_of(self._store.picture(asked.sha256), self._cache)
        title = f"Picture of {asked.image_size.width} by {asked.image_size.height} pixels"
        return {
            "task": asked.id,
            "instruction": asked.instruction,
            "picture_name": asked.picture_name,
            "canvas": addressed(canvas_value("", picture, title, asked.image_size)),
            "revisions": _history(revisions, asked),
            "predictions": [_prediction(each) for each in map(self._store.prediction, known)],
            "first": first,
            "second": second,
            "chosen_by": choice.reviewer if choice else None,
            "agreement": agreement.by_task.get(asked.id),
            "pairs": _pairs(agreement.by_pair),
        }

    def history(self, task: int) -> list[PastRevision]:
        """Every revision of a task, newest first.

        Args:
            task: its number.

        Returns:
            [{"revision", "annotator", "verdict", "reason", "comment", "seconds", "clicks", "policy_iou", "blame",
            "change", "cleaned": whether small parts or holes were cleaned from a mask, "origin": the revision that it
            restores or None, "created_at", "current"}].
        """
        asked = self._store.task(task)
        return _history(self._store.past_decisions(asked.id), asked)

    def compare(self, task: int, first: str, second: str) -> Comparison:
        """Two masks of a task, and how they differ.

        Args:
            task: its number.
            first: "revision N" or "prediction N".
            second: the same.

        Returns:
            {"first", "second": {"mask": COCO RLE of the picture's size, or None when it is empty, "objects": [{"box",
            "points"}] in its pixels}, "iou", "only_first", "only_second", "both": pixel counts}.
        """
        asked = self._store.task(task)
        return compare_sides(find_side(self._store, asked, first), find_side(self._store, asked, second))

    def make_current(self, reviewer: str, task: int, revision: int | None = None) -> CurrentRevision:
        """Make a revision the current one, regardless of later decisions.

        Args:
            reviewer: who chooses.
            task: its number.
            revision: which one; None undoes the choice, and the latest decision is current again.

        Returns:
            {"current": the number of the current revision, "chosen_by": the reviewer or None}.
        """
        number = task
        self._store.choose_current(number, None if revision is None else int(revision), reviewer)
        choice = self._store.choice(number)
        return {"current": self._store.task(number).current_id, "chosen_by": choice.reviewer if choice else None}

    def restore(self, reviewer: str, revision: int, parent: int | None = None) -> Restored | Stale:
        """Save an old revision again as a new one by the reviewer; its working time and clicks are not counted twice.

        Args:
            reviewer: who restores.
            revision: the old one.
            parent: the reviewer's own newest revision of the same task, as the page knows it; None for none.

        Returns:
            {"revision": the new number, "current": the number of the current revision}; or {"stale": the number
            of the reviewer's newer revision, "message"}: nothing was stored then.
        """
        try:
            made = self._store.restore(int(revision), reviewer, parent_id=parent)
        except StaleRevisionError as error:
            return {"stale": error.newest.id, "message": str(error)}
        return {"revision": made.id, "current": self._store.task(made.task_id).current_id}

    def statistics(self) -> WorkStatistics:
        """Progress and effort: in total, per annotator, per policy checkpoint and per day.

        Returns:
            The counts of tasks, and what was done by whom, on which predictions, and when.
        """
        found = self._store.statistics()
        return {
            "tasks": found.tasks,
            "open": found.open_tasks,
            "total": work_record(found.total),
            "annotators": [{"name": name, **work_record(tally)} for name, tally in found.by_annotator.items()],
            "checkpoints": [
                {"policy": policy, "checkpoint": digest, **work_record(tally)}
                for (policy, digest), tally in found.by_checkpoint.items()
            ],
            "days": [{"day": day, **work_record(tally)} for day, tally in found.by_day.items()],
            "pairs": _pairs(self._store.agreement().by_pair),
        }


def initial_sides(revisions: Sequence[PastDecision], task: Task) -> tuple[str, str]:
    """What to compare initially: the current revision with the prediction that it corrects, else with another
    annotator's newest.

    Args:
        revisions: the task's revisions, oldest first.
        task: the task with its latest prediction and current revision.

    Returns:
        Two names for `ReviewHandlers.compare`: the same name twice if there is only one.

    Raises:
        StoreError: when the task has neither prediction nor revision yet.
    """
    newest = list(reversed(revisions))
    shown = next((each for each in newest if each.id == task.current_id), newest[0] if newest else None)
    if shown is None:
        raise StoreError(f"Nobody has decided task {task.id} yet: there is nothing to review.")
    second = f"revision {shown.id}"
    if shown.prediction_id is not None:
        return f"prediction {shown.prediction_id}", second
    other = next((each for each in newest if each.annotator != shown.annotator), None)
    if other is not None:
        return f"revision {other.id}", second
    return (f"prediction {task.prediction_id}" if task.prediction_id is not None else second), second


def _listed(each: DecidedTask) -> DecidedTaskRow:
    return {
        "task": each.task.id,
        "instruction": each.task.instruction,
        "picture_name": each.task.picture_name,
        "revision": each.revision_id,
        "annotator": each.annotator,
        "verdict": each.verdict.value,
        "saved_at": each.saved_at,
        "people": each.people,
        "agreement": each.agreement,
    }


def _history(revisions: Sequence[PastDecision], task: Task) -> list[PastRevision]:
    return [
        {
            "revision": each.id,
            "annotator": each.annotator,
            "verdict": each.verdict.value,
            "reason": each.reason.value if each.reason else None,
            "comment": each.comment,
            "seconds": each.seconds,
            "clicks": each.clicks,
            "policy_iou": each.policy_iou,
            "blame": each.blame.value if each.blame else None,
            "change": change_value(each.change),
            "cleaned": each.cleaned,
            "origin": each.origin_id,
            "created_at": each.created_at,
            "current": each.id == task.current_id,
        }
        for each in reversed(revisions)
    ]


def _prediction(stored: StoredPrediction) -> PastPrediction:
    return {
        "prediction": stored.id,
        "policy": stored.prediction.policy_id,
        "checkpoint": stored.checkpoint_hash,
        "created_at": stored.created_at,
    }


def _pairs(by_pair: Mapping[tuple[str, str], float]) -> list[AnnotatorPair]:
    return [{"annotators": list(pair), "iou": mean} for pair, mean in by_pair.items()]
