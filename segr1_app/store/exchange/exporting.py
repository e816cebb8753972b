"""What all exports share: which annotations go out, under which names, and what could not go with them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final

import numpy as np
from PIL import Image

from segr1_app.domain import Mask, StoreError
from segr1_app.store.connection import translate_errors
from segr1_app.store.store import AnnotationStore
from segr1_app.store.values import Revision, Task, Verdict

NO_CLASS: Final = "object"
"""Class of an object that nobody named."""
ALL_BUT_ONE: Final = (
    "the policy's own prompts and mask, imported true masks, clicks and seconds, drafts, and all revisions but the one "
    "that counts"
)
"""What every format leaves behind that is made of `decided` annotations."""


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """A decided task with a mask: its current revision, an accept or a fix."""

    task: Task
    revision: Revision

    @property
    def picture_stem(self) -> str:
        """A file name without ending, the same for every task of the picture.

        What the picture was called is text from outside: of it only harmless characters are kept, and the digest makes
        the name one of a kind.
        """
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", PurePath(self.task.picture_name).stem)[:60].strip("_-")
        return f"{plain or 'picture'}-{self.task.sha256[:12]}"

    @property
    def stem(self) -> str:
        """A file name without ending, for what belongs to the task and not to the picture."""
        return f"{self.picture_stem}-task{self.task.id}"

    @property
    def layered(self) -> bool:
        """Whether anything was painted or erased on top of what the prompts made."""
        return any(made.painted is not None or made.erased is not None for made in self.revision.correction.objects)

    @property
    def named_masks(self) -> list[tuple[str, Mask]]:
        """Class name and final mask of each object that has any pixel."""
        objects = [(made.prompt.name or NO_CLASS, made.mask) for made in self.revision.correction.objects]
        return [(name, mask) for name, mask in objects if mask.any()]


@dataclass(slots=True)
class ExportReport:
    """How much was exported, and what could not go with it.

    Attributes:
        never_holds: what the format has no place for, whatever is exported.
        written: how many tasks are in it.
        losses: what else was lost of these very tasks, each with how often that was so.
    """

    never_holds: str
    written: int = 0
    losses: Counter[str] = field(default_factory=Counter)

    @property
    def warnings(self) -> list[str]:
        """What the format never holds, where anything was written, and a sentence for each loss."""
        always = [f"Not in this format: {self.never_holds}."] if self.written else []
        return always + [f"{what} ({count} times)" for what, count in sorted(self.losses.items())]


def decided(store: AnnotationStore, report: ExportReport) -> Iterator[Annotation]:
    """The decided tasks that have a mask, in order; whatever else there is is counted as a loss."""
    for task in store.tasks():
        if task.current_id is None:
            report.losses["Open tasks are left out"] += 1
            continue
        revision = store.revision(task.current_id)
        if revision.correction.verdict is Verdict.REJECT:
            report.losses["Rejected tasks have no mask and are left out"] += 1
            continue
        report.written += 1
        yield Annotation(task, revision)


def new_folder(path: Path) -> Path:
    """A folder to export into; what another export left there would be taken for a part of this one.

    Raises:
        StoreError: when it is there and not empty, or cannot be made.
    """
    with translate_errors():
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise StoreError(f"The folder {path} is not empty: choose another one.")
    return path


def write_picture(store: AnnotationStore, annotation: Annotation, folder: Path) -> str:
    """Copy a picture, lossless, and return its file's name; once for all tasks of the picture."""
    name = f"{annotation.picture_stem}.png"
    with translate_errors():
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / name).exists():
            (folder / name).write_bytes(store.picture_path(annotation.task.sha256).read_bytes())
    return name


def write_mask(mask: Mask, path: Path) -> None:
    """Write a bool (height, width) mask as an 8-bit PNG of 0 and 255."""
    with translate_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask.astype(np.uint8) * 255).save(path, format="PNG")
