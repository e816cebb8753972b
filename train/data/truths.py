"""Turn the ground-truth masks that were imported into a data folder into pairs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from segr1_app.domain import Mask, PictureError, StoreError
from segr1_app.store import AnnotationStore, Task
from segr1_app.store.store import DATABASE_NAME
from train.data.doctor import look_of
from train.data.rows import PAIR, Collected, Example, LeftOut, Row, pair_example

IMPORTED: Final = "imported"
"""The source of these rows."""


def truth_rows(home: Path, only: Collection[int] | None = None) -> Collected:
    """Rows of all tasks that have a ground-truth mask, decided or not.

    Args:
        home: the data folder.
        only: the numbers of the tasks to take; None for all.

    Raises:
        StoreError: when the store cannot be read.
    """
    if not (home / DATABASE_NAME).is_file():
        # Nothing was imported here yet, and reading must not create a store.
        return Collected()
    wanted = None if only is None else frozenset(only)
    with AnnotationStore.open(home) as store:
        return Collected.of(
            _row(home, store, task, mask)
            for task in store.tasks()
            if wanted is None or task.id in wanted
            if (mask := store.ground_truth(task.sha256, task.instruction)) is not None
        )


def without_corrected(truths: Collected, corrections: Collected) -> Collected:
    """The truths of tasks from whose corrections nothing is learnt: the others would count twice."""
    decided = {(row.image_id, row.instruction) for row in corrections.rows}
    return replace(truths, rows=tuple(row for row in truths.rows if (row.image_id, row.instruction) not in decided))


def _row(home: Path, store: AnnotationStore, task: Task, mask: Mask) -> Row | LeftOut:
    if not mask.any():
        return LeftOut(IMPORTED, PAIR, "its mask is empty")
    try:
        look = look_of(store.picture(task.sha256).pixels)
    except (StoreError, PictureError) as error:
        return LeftOut(IMPORTED, PAIR, f"its picture cannot be read: {error}")
    return Row(
        image_id=task.sha256,
        source=IMPORTED,
        verdict=PAIR,
        instruction=task.instruction,
        load=partial(_load, home, task),
        name=task.picture_name,
        look=look,
        share=float(mask.mean()),
        truth=task.id,
    )


def _load(home: Path, task: Task) -> Example:
    # Opened for each picture, because a connection must not survive a fork.
    with AnnotationStore.open(home) as store:
        mask = store.ground_truth(task.sha256, task.instruction)
        picture = store.picture(task.sha256)
    if mask is None:
        raise StoreError(f"The ground truth of task {task.id} was removed during the training.")
    return pair_example(picture, mask)
