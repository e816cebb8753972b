"""The annotation store: every picture, task, prediction and revision, in one SQLite database and a folder of pictures.

It is long because it is the complete list of what a store can do: a method is its documentation and its transaction,
and the work is done in the other modules of this package.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from sqlite_utils import Database

from segr1_app.domain import Mask, Prediction, StoreDamagedError, StoreError
from segr1_app.files.atomic import remove_abandoned
from segr1_app.images.pictures import Original, Picture
from segr1_app.language.typed_text import MAX_NAME, person_name, storable
from segr1_app.store import class_list, queue, records, reports, reviews, revisions, tasks, verification
from segr1_app.store.backup import back_up
from segr1_app.store.classes import ObjectClass
from segr1_app.store.connection import Connection, connect, connect_existing, translate_errors
from segr1_app.store.feedback import feedback_page
from segr1_app.store.journal import Journal
from segr1_app.store.limits import MAX_DRAFT
from segr1_app.store.pictures import PictureFolder
from segr1_app.store.records import Numbers
from segr1_app.store.reviews import DecidedTask, PastDecision, ReviewerChoice
from segr1_app.store.revisions import Links
from segr1_app.store.rows import one, read_prediction, read_samples, read_task
from segr1_app.store.values import (
    AnnotatorAgreement,
    Blame,
    Correction,
    Draft,
    Feedback,
    QueueOrder,
    Revision,
    SampledCompletion,
    Statistics,
    StoredPicture,
    StoredPrediction,
    Task,
    Verdict,
)

DATABASE_NAME: Final = "segr1.db"
PICTURES_NAME: Final = "pictures"
LEASE_SECONDS: Final = queue.LONGEST
"""How long a task stays leased without activity."""
PAGE: Final = 256
"""Rows read at a time where their number is unlimited."""


class AnnotationStore:
    """Pictures, tasks, predictions and corrections; safe for many threads and many processes.

    Revisions, predictions and choices are append-only. Every method is one transaction: it happens completely or
    not at all. All of them raise `StoreError` with a sentence for a full disk, a read-only folder, a damaged or locked
    database, and `UnknownRecordError` for an unknown number or digest.

    Args:
        db: the database; its schema is migrated. Connected with ``check_same_thread=False`` if several
            threads are to use the store.
        pictures: folder of the canonical pictures, created when needed.
        clock: the current time, in Unix seconds. Leases of several processes compare their clocks.
    """

    def __init__(self, db: Database, pictures: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._connection = Connection(db)
        self._pictures = PictureFolder(pictures)
        self._clock = clock

    @classmethod
    def open(cls, home: str | os.PathLike[str], *, clock: Callable[[], float] = time.time) -> Self:
        """The store in the data folder ``home``, created when missing."""
        home = Path(home)
        with translate_errors():
            home.mkdir(parents=True, exist_ok=True)
        remove_abandoned(home / PICTURES_NAME)
        return cls(connect(home / DATABASE_NAME), home / PICTURES_NAME, clock=clock)

    @classmethod
    def open_existing(cls, home: Path, *, clock: Callable[[], float] = time.time) -> Self:
        """The existing store in the data folder ``home``; read-only if the folder is not writable.

        Raises:
            StoreError: when there is no store; none is created for a mistyped name.
        """
        database = home / DATABASE_NAME
        with translate_errors():
            if not database.is_file():
                raise StoreError(
                    f"There are no annotations in '{home}': it {_lacking(home)}. Give the data folder with --home, or "
                    "make one with 'python -m segr1_app import'."
                )
        return cls(connect_existing(database), home / PICTURES_NAME, clock=clock)

    def close(self) -> None:
        """Close the database; the store must not be used afterwards."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Pictures and tasks

    def add_picture(self, picture: Picture, name: str, original: Original | None = None) -> str:
        """Store a picture and return its digest; an existing one keeps its first name and its file.

        Args:
            picture: the picture.
            name: its name, such as that of its file; any text.
            original: the file that it was read from, to be kept in place of a PNG.
        """
        with self._connection.read() as db:
            known = tasks.find_picture(db, picture.sha256)
        if known is not None and self._path(known).exists():
            return picture.sha256
        # The file before the row: a row without its file would be damage, a file without a row is not.
        kept_as = self._pictures.put(picture, original)
        with self._connection.write() as db:
            tasks.add_picture(db, picture, name, kept_as, self._clock())
        return picture.sha256

    def picture(self, sha256: str) -> Picture:
        """A stored picture's pixels.

        Raises:
            StoreDamagedError: when its file is missing or not what was stored.
        """
        return self._pictures.get(sha256, self.picture_info(sha256).original)

    def picture_info(self, sha256: str) -> StoredPicture:
        """A stored picture's name and size."""
        with self._connection.read() as db:
            return tasks.picture_row(db, sha256)

    def picture_path(self, sha256: str) -> Path:
        """The file of a stored picture, to be served and read but never written: the original, or a PNG.

        Raises:
            StoreDamagedError: when its row holds something else in place of a digest.
        """
        return self._path(self.picture_info(sha256))

    def _path(self, stored: StoredPicture) -> Path:
        try:
            return self._pictures.path(stored.sha256, stored.original)
        except ValueError as error:
            raise StoreDamagedError(f"The row of a stored picture is not a digest and a file: {error}.") from error

    def add_task(self, sha256: str, instruction: str, ground_truth: Mask | None = None) -> Task:
        """The task of a picture and an instruction; added when there is none yet.

        Args:
            sha256: a stored picture.
            instruction: what to segment; white space is normalised.
            ground_truth: the ground-truth mask for this instruction, bool (height, width); replaces an earlier one.

        Raises:
            SegR1Error: when the instruction is empty or too long.
        """
        with self._connection.write() as db:
            task_id = tasks.add_task(db, sha256, instruction, self._clock())
            if ground_truth is not None:
                tasks.set_ground_truth(db, sha256, instruction, ground_truth)
            return tasks.task_of(db, task_id)

    def ground_truth(self, sha256: str, instruction: str) -> Mask | None:
        """The ground-truth mask of a picture for an instruction: bool (height, width); None without one."""
        with self._connection.read() as db:
            return tasks.ground_truth(db, sha256, instruction)

    def task(self, task_id: int) -> Task:
        """The task with this number."""
        with self._connection.read() as db:
            return tasks.task_of(db, task_id)

    def tasks_of(self, sha256: str) -> list[Task]:
        """The tasks of a picture, the oldest first."""
        with self._connection.read() as db:
            rows = db.query(f"{tasks.TASK_QUERY} WHERE tasks.picture = ? ORDER BY tasks.id", [sha256])
            return [read_task(row) for row in rows]

    def tasks(self, *, after: int = 0, open_only: bool = False) -> Iterator[Task]:
        """The tasks numbered above ``after``, in order; read lazily, also while others save."""
        while True:
            with self._connection.read() as db:
                where = "tasks.id > ? AND tasks.current IS NULL" if open_only else "tasks.id > ?"
                rows = db.query(f"{tasks.TASK_QUERY} WHERE {where} ORDER BY tasks.id LIMIT ?", [after, PAGE])
                page = [read_task(row) for row in rows]
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].id

    def set_instruction(self, task_id: int, instruction: str) -> Task:
        """Change what a task asks for; it then has no prediction until another is made.

        A decision about the old instruction no longer counts, and the task is open, until that instruction returns.

        Raises:
            StoreError: when the picture has a task with that instruction already.
            SegR1Error: when the instruction is empty or too long.
        """
        with self._connection.write() as db:
            tasks.set_instruction(db, task_id, instruction)
            return tasks.task_of(db, task_id)

    # Predictions

    def add_prediction(
        self, task_id: int, prediction: Prediction, checkpoint_hash: str, samples: Sequence[SampledCompletion] = ()
    ) -> int:
        """Store a task's prediction and return its number; it becomes the task's current one.

        Args:
            task_id: the task.
            prediction: masks are of the picture's size.
            checkpoint_hash: hash of the policy's weights.
            samples: further completions for the same instruction; their spread is the task's disagreement.
        """
        with self._connection.write() as db:
            task = tasks.task_of(db, task_id)
            return tasks.add_prediction(db, task, prediction, checkpoint_hash, samples=samples, now=self._clock())

    def prediction(self, prediction_id: int) -> StoredPrediction:
        """The prediction with this number."""
        with self._connection.read() as db:
            rows = db.query("SELECT * FROM predictions WHERE id = ?", [prediction_id])
            row = one(rows, f"prediction {prediction_id}")
            return read_prediction(row, tasks.task_of(db, row["task"]).image_size)

    def samples(self, prediction_id: int) -> tuple[SampledCompletion, ...]:
        """The samples stored with a prediction."""
        with self._connection.read() as db:
            rows = db.query("SELECT samples FROM predictions WHERE id = ?", [prediction_id])
            return read_samples(one(rows, f"prediction {prediction_id}"))

    # Queue

    def lease_next(
        self, annotator: str, order: QueueOrder = QueueOrder.IMPORTED, seconds: float = LEASE_SECONDS
    ) -> Task | None:
        """Lease the next open task; None when there is none left for this annotator.

        A task that they hold already is returned again (a page was reloaded), a decided one if they have a draft of
        it. Tasks that others hold, and those that they skipped, are passed over.
        """
        with self._connection.write() as db:
            return queue.lease_next(db, _name(annotator), order, self._clock(), seconds)

    def upcoming(self, annotator: str, order: QueueOrder = QueueOrder.IMPORTED) -> Task | None:
        """The task that `lease_next` would return once the present one is saved; it is not leased."""
        with self._connection.read() as db:
            return queue.upcoming(db, _name(annotator), order, self._clock())

    def neighbour(self, task_id: int, annotator: str, step: int) -> int | None:
        """The number of the nearest task after (``step`` 1) or before (-1) a task, open or decided, that nobody else
        holds; None when there is none.
        """
        with self._connection.read() as db:
            return queue.neighbour(db, task_id, _name(annotator), step, self._clock())

    def can_sort(self, order: QueueOrder) -> bool:
        """Whether an order can sort the open tasks: it needs predictions or samples."""
        with self._connection.read() as db:
            return queue.can_sort(db, order)

    def lease(self, task_id: int, annotator: str, seconds: float = LEASE_SECONDS) -> None:
        """Lease one task, open or decided, and release the one held before.

        Raises:
            LeaseLostError: when somebody else holds it.
        """
        with self._connection.write() as db:
            tasks.task_of(db, task_id)
            queue.lease(db, task_id, _name(annotator), self._clock(), seconds)

    def renew(self, task_id: int, annotator: str, seconds: float = LEASE_SECONDS) -> None:
        """Renew a lease for ``seconds`` from now.

        Raises:
            LeaseLostError: when the annotator does not hold it any more.
        """
        with self._connection.write() as db:
            queue.renew(db, task_id, _name(annotator), self._clock(), seconds)

    def release(self, task_id: int, annotator: str) -> None:
        """Release a task undecided; does nothing when it is not held."""
        with self._connection.write() as db:
            queue.release(db, task_id, _name(annotator))

    def holder(self, task_id: int) -> str | None:
        """Who holds a task at present."""
        with self._connection.read() as db:
            return queue.holder_of(db, task_id, self._clock())

    # Revisions

    def save(
        self,
        task_id: int,
        annotator: str,
        correction: Correction,
        *,
        parent_id: int | None = None,
        prediction_id: int | None = None,
        origin_id: int | None = None,
    ) -> Revision:
        """Add a revision; when this returns, it is on disk. The annotator's lease and draft of the task end.

        Saving needs no lease: work that took longer than a lease is stored like any other.

        Args:
            task_id: the task.
            annotator: who saves.
            correction: what was decided and done; masks are of the picture's size.
            parent_id: the annotator's own newest revision of this task as far as the caller knows; None for none.
            prediction_id: the prediction that was corrected; None for a mask drawn from scratch.
            origin_id: another revision that this one was started from.

        Raises:
            StaleRevisionError: when the annotator has a newer revision; nothing is stored.
            StoreError: when the masks are of another size or the prediction is of another task.
        """
        name = _name(annotator)
        links = Links(parent_id, origin_id, prediction_id)
        with self._connection.read() as db:
            task = tasks.task_of(db, task_id)
            reference = revisions.reference_of(db, task, correction, links)
        # Masks are encoded and compared outside the transaction.
        row = revisions.describe(task, correction, reference)
        with self._connection.write() as db:
            revision_id = revisions.save(db, task, name, row, links=links, now=self._clock())
            queue.release(db, task_id, name)
            db.execute("DELETE FROM drafts WHERE task = ? AND annotator = ?", [task_id, name])
        return self.revision(revision_id)

    def restore(self, revision_id: int, annotator: str, *, parent_id: int | None = None) -> Revision:
        """Save an old revision's correction again, as a new revision of ``annotator``; see `save`.

        Working time and clicks of the old one are not counted twice.
        Restoring a revision of another instruction means that it answers the task's present one, too.
        """
        old = self.revision(revision_id)
        made = old.correction
        correction = Correction(made.verdict, made.objects, made.reason, made.comment)
        return self.save(
            old.task_id,
            annotator,
            correction,
            parent_id=parent_id,
            prediction_id=old.prediction_id,
            origin_id=revision_id,
        )

    def revision(self, revision_id: int) -> Revision:
        """The revision with this number."""
        with self._connection.read() as db:
            return revisions.revision_of(db, revision_id)

    def history(self, task_id: int) -> list[Revision]:
        """All revisions of a task, the oldest first."""
        with self._connection.read() as db:
            return revisions.history(db, task_id)

    def past_decisions(self, task_id: int) -> list[PastDecision]:
        """As `history`, without masks: for large pictures that is faster and takes much less memory."""
        with self._connection.read() as db:
            return reviews.past_decisions(db, task_id)

    def heads(self, task_id: int) -> dict[str, Revision]:
        """Each annotator's newest revision of a task."""
        with self._connection.read() as db:
            return revisions.heads(db, task_id)

    def head_of(self, task_id: int, annotator: str) -> int | None:
        """The number of an annotator's newest revision of a task; None before the first."""
        with self._connection.read() as db:
            return revisions.head_of(db, task_id, annotator)

    def current(self, task: Task | int) -> Revision | None:
        """The current revision: the reviewer's choice, else the latest decision among everyone's newest.

        Only revisions made for the task's present instruction can be current.

        Args:
            task: a task, or its number; how it stands now is read from the store either way.
        """
        with self._connection.read() as db:
            found = tasks.task_of(db, task.id if isinstance(task, Task) else task)
            return None if found.current_id is None else revisions.revision_of(db, found.current_id)

    def choose_current(self, task_id: int, revision_id: int | None, reviewer: str) -> None:
        """Make a revision current whatever is saved later; None undoes the choice.

        Raises:
            StoreError: when the revision is of another task, a skip, or of another instruction than the task has now.
        """
        with self._connection.write() as db:
            task = tasks.task_of(db, task_id)
            if revision_id is not None:
                revisions.check_words(db, task, revision_id)
            revisions.choose(db, task_id, revision_id, _name(reviewer), self._clock())

    def choice(self, task_id: int) -> ReviewerChoice | None:
        """The reviewer's choice; None without one, or when it was undone."""
        with self._connection.read() as db:
            tasks.task_of(db, task_id)
            return reviews.choice(db, task_id)

    def decided(
        self,
        *,
        annotator: str | None = None,
        verdict: Verdict | None = None,
        before: int | None = None,
        limit: int = PAGE,
    ) -> list[DecidedTask]:
        """The tasks that have a decision, newest first.

        Args:
            annotator: only tasks that this person decided, shown by their latest revision; else by the current one.
            verdict: only those whose shown revision has this verdict.
            before: continue after the task shown by this revision.
            limit: how many at most.
        """
        name = None if annotator is None else _name(annotator)
        with self._connection.read() as db:
            return reviews.decided(db, annotator=name, verdict=verdict, before=before, limit=limit)

    # Drafts

    def put_draft(self, task_id: int, annotator: str, content: str) -> None:
        """Keep unfinished work, in place of the draft before; `save` drops it.

        Raises:
            StoreError: when it has more than `MAX_DRAFT` characters.
        """
        if len(content) > MAX_DRAFT:
            raise StoreError(f"This draft has {len(content)} characters; the limit is {MAX_DRAFT}.")
        with self._connection.write() as db:
            tasks.task_of(db, task_id)
            db.execute(
                "INSERT INTO drafts (task, annotator, content, saved_at) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET content = excluded.content, saved_at = excluded.saved_at",
                [task_id, _name(annotator), storable(content), self._clock()],
            )

    def get_draft(self, task_id: int, annotator: str) -> Draft | None:
        """What `put_draft` kept."""
        with self._connection.read() as db:
            found = db.execute(
                "SELECT content, saved_at FROM drafts WHERE task = ? AND annotator = ?", [task_id, _name(annotator)]
            ).fetchone()
        return Draft(*found) if found else None

    def drop_draft(self, task_id: int, annotator: str) -> None:
        """Delete a draft, if there is one."""
        with self._connection.write() as db:
            db.execute("DELETE FROM drafts WHERE task = ? AND annotator = ?", [task_id, _name(annotator)])

    # Reports

    def agreement(self, task_id: int | None = None) -> AnnotatorAgreement:
        """How much different people's masks of the same task agree: over all tasks, or in one."""
        with self._connection.read() as db:
            return reports.agreement(db, task_id)

    def statistics(self) -> Statistics:
        """Progress and effort, per annotator, per checkpoint, per day and in total."""
        with self._connection.read() as db:
            return reports.statistics(db)

    def recent_blame(self, revisions: int) -> dict[Blame, int]:
        """How many of the newest ``revisions`` correct a mistake of the policy, and of the segmenter."""
        with self._connection.read() as db:
            return reports.recent_blame(db, revisions)

    def feedback(self, only: Collection[str] | None = None) -> Iterator[Feedback]:
        """Training data: the current revision of every decided task, in the order of tasks.

        Args:
            only: content hashes of revisions, at most one per task, that are read in their place, whether they
                are still current or not.
        """
        after = 0
        while True:
            with self._connection.read() as db:
                page = feedback_page(db, after, only)
            yield from page
            if not page:
                return
            after = page[-1].task_id

    # Classes

    def classes(self) -> list[ObjectClass]:
        """The list of classes, in the order of their numbers."""
        with self._connection.read() as db:
            return class_list.listed_classes(db)

    def add_class(self, described: ObjectClass) -> None:
        """Put a class on the list; see `class_list.add`."""
        with self._connection.write() as db:
            class_list.add(db, described)

    def edit_class(self, name: str, described: ObjectClass) -> None:
        """Replace what the list says of a class; see `class_list.edit`."""
        with self._connection.write() as db:
            class_list.edit(db, name, described)

    def remove_class(self, name: str, *, in_use: bool = False) -> None:
        """Take a class off the list; see `class_list.remove`."""
        with self._connection.write() as db:
            class_list.remove(db, name, in_use=in_use)

    def merge_classes(self, found: Iterable[ObjectClass]) -> list[str]:
        """Add what a file says of classes; see `class_list.merge`."""
        with self._connection.write() as db:
            return class_list.merge(db, found)

    def class_numbers(self, names: Collection[str] = ()) -> dict[str, int]:
        """The number of every numbered class, from 1; those of ``names`` without a number get the next ones.

        A number is never changed, so that a class has the same one in all exports.
        """
        with self._connection.write() if names else self._connection.read() as db:
            class_list.number_names(db, names)
            return class_list.numbers(db)

    # Upkeep

    def records(self) -> Iterator[dict[str, Any]]:
        """The contents of the store, as JSON values, in an order that `absorb` accepts."""
        return records.dump(self._connection)

    def absorb(self, record: Mapping[str, Any], numbers: Numbers) -> None:
        """Add one of another store's `records`, unless it exists; its picture must be here.

        Args:
            record: as `records` gives it.
            numbers: the same object for all records of one store, empty at first.

        Raises:
            StoreError: when the record was modified, or is not one of a store.
        """
        with self._connection.write() as db:
            records.absorb(db, record, numbers)

    @property
    def journal(self) -> Journal:
        """The journal of additions, for syncing with remote copies."""
        return Journal(self._connection, self._pictures)

    def verify(self) -> Iterator[str]:
        """Check everything; yields a sentence for each problem."""
        return verification.problems(self._connection, self._pictures)

    def backup(self, target: Path) -> list[str]:
        """Copy the store into the folder ``target`` in one consistent state, while others keep saving.

        `open` takes the copy as it is. A folder that holds an older backup is brought up to date.

        Returns:
            A sentence for each picture that could not be copied because it is damaged or missing here.
        """
        return back_up(self._connection, self._pictures, target / DATABASE_NAME, PictureFolder(target / PICTURES_NAME))


def _lacking(home: Path) -> str:
    return f"holds no {DATABASE_NAME}" if home.is_dir() else "is a file" if home.exists() else "does not exist"


def _name(annotator: str) -> str:
    """An annotator's name as it is stored.

    Raises:
        StoreError: when it is empty or longer than `MAX_NAME` characters.
    """
    name = person_name(annotator)
    if name is None:
        raise StoreError(f"Enter your name first: 1 to {MAX_NAME} characters.")
    return name
