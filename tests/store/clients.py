"""Client processes for the tests of durability: ``python -m tests.store.clients work|save HOME NAME``.

Each line they print is an acknowledgement: what it names was saved before it was printed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from segr1_app.domain import Mask
from segr1_app.store import AnnotationStore
from tests.store.values import corrected, rectangle


def mask_of(number: int) -> Mask:
    """A mask that identifies its save."""
    return rectangle(0, 0, 1 + number % 40, 1 + number // 40 % 30)


def work(store: AnnotationStore, name: str) -> None:
    """Take tasks and save them until none is left."""
    while (task := store.lease_next(name)) is not None:
        print("held", task.id, flush=True)
        # Long enough for others to ask for the next task in the meantime.
        time.sleep(0.005)
        saved = store.save(task.id, name, corrected(mask_of(task.id), comment=f"{name} {task.id}"))
        print("saved", saved.id, task.id, flush=True)


def save(store: AnnotationStore, name: str) -> None:
    """Save revisions of the first task, each on top of the previous one, until killed."""
    newest = store.heads(1).get(name)
    parent_id = newest.id if newest else None
    while True:
        saved = store.save(1, name, corrected(mask_of(parent_id or 0), comment=str(parent_id)), parent_id=parent_id)
        parent_id = saved.id
        print(saved.id, saved.content_hash, flush=True)


if __name__ == "__main__":
    with AnnotationStore.open(Path(sys.argv[2])) as opened:
        {"work": work, "save": save}[sys.argv[1]](opened, sys.argv[3])
