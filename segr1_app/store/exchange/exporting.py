"""Shared parts of all exports: which annotations are exported, under which names, and what a format cannot
represent.
"""

from __future__ import annotations

import errno
import io
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from PIL import Image

from segr1_app.domain import Mask, SettingsError, StoreError, StoreFullError, StoreReadOnlyError
from segr1_app.geometry import union_masks
from segr1_app.images.pictures import is_plain
from segr1_app.store.classes import ObjectClass, number_colour
from segr1_app.store.exchange.class_names import class_of
from segr1_app.store.exchange.file_names import FileNames, ending_of
from segr1_app.store.exchange.options import EVERYTHING, ExportedPictures, Options
from segr1_app.store.exchange.polygons import Corners, mask_polygons, polygons_iou, within_pixels
from segr1_app.store.store import AnnotationStore
from segr1_app.store.values import AnnotatedObject, Revision, Task, Verdict

NO_CLASS: Final = "object"
"""Class of an unnamed object."""
ALL_BUT_ONE: Final = (
    "the policy's own prompts and mask, imported ground-truth masks, clicks and seconds, drafts, and all revisions but "
    "the one "
    "that counts"
)
"""What every format of decided annotations loses."""
STAGING: Final = ".export-"
"""Prefix of the temporary folder of an export; an interrupted export may leave it behind."""
JPEG_QUALITY: Final = 95
_JPEG: Final = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """A decided task with a mask: its current revision, an accept or a fix.

    Attributes:
        task, revision: the task and its current revision.
        objects: the exported objects.
        split: the split of the picture.
    """

    task: Task
    revision: Revision
    objects: tuple[AnnotatedObject, ...]
    split: str

    @property
    def layered(self) -> bool:
        """Whether anything was painted or erased on top of the segmented masks."""
        return any(made.painted is not None or made.erased is not None for made in self.objects)

    @property
    def mask(self) -> Mask:
        """The union of the objects' masks: bool (height, width)."""
        return union_masks((made.mask for made in self.objects), self.task.image_size)

    @property
    def named_masks(self) -> list[tuple[str, Mask]]:
        """Class name and final mask of each object that has any pixel."""
        pairs = [(class_name(made, self.revision.instruction), made.mask) for made in self.objects]
        return [(name, mask) for name, mask in pairs if mask.any()]


def class_name(made: AnnotatedObject, instruction: str) -> str:
    """An object's class: its own name, else the class in the instruction, else `NO_CLASS`."""
    return made.prompt.name or class_of(instruction) or NO_CLASS


@dataclass(slots=True)
class ExportReport:
    """The number of exported tasks, and the losses of the format.

    Attributes:
        never_holds: what the format cannot represent, in general.
        written: how many tasks were exported.
        losses: what else was lost in this export, with counts.
        splits: how many tasks are in each split, where there are several.
        simplified: IoU of each simplified object with its mask.
    """

    never_holds: str
    written: int = 0
    losses: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    simplified: list[float] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """What the format cannot represent, if anything was written, and a sentence for each loss."""
        lines = [f"Not in this format: {self.never_holds}."] if self.written else []
        lines += [
            f"{what} ({count} {'time' if count == 1 else 'times'})" for what, count in sorted(self.losses.items())
        ]
        if self.splits:
            lines.append(f"Tasks per split: {', '.join(f'{name} {count}' for name, count in self.splits.items())}.")
        if self.simplified:
            lines.append(
                f"The simplified polygons have a mean IoU of {np.mean(self.simplified):.4f} with their masks; the "
                f"worst has {min(self.simplified):.4f}."
            )
        return lines


class Export:
    """An export in progress; made by `exporting`.

    Args:
        store: the store to export.
        folder: the destination.
        options: which part of it to export, and how.
        report: collects the losses.
        reserved: see `FileNames`.
    """

    def __init__(
        self, store: AnnotationStore, folder: Path, options: Options, report: ExportReport, reserved: Set[str]
    ) -> None:
        self.folder, self.options, self.report = folder, options, report
        self._store = store
        self._names = FileNames(reserved)
        self._stems: dict[str, PurePosixPath] = {}
        self._plain: dict[str, bool] = {}
        self._first_tasks: set[str] = set()
        self._numbers: dict[str, int] = store.class_numbers()
        self._described = {each.name: each for each in store.classes()}
        self._total = store.statistics().tasks
        if len(options.splits.names) > 1:
            report.splits.update(dict.fromkeys(options.splits.names, 0))

    # Which annotations

    def annotations(self) -> Iterator[Annotation]:
        """The exported annotations, in the order of their tasks; those left out are counted as losses."""
        for done, task in enumerate(self._store.tasks(), start=1):
            annotation = self._select(task)
            if annotation is not None:
                yield annotation
            self.options.watch(done, self._total)

    def by_picture(self) -> Iterator[tuple[Task, Iterator[Annotation]]]:
        """The same, grouped by picture, with its first task; only one task's masks are in memory at a time."""
        seen: set[str] = set()
        for done, task in enumerate(self._store.tasks(), start=1):
            if task.sha256 not in seen:
                seen.add(task.sha256)
                selected = (self._select(each) for each in self._store.tasks_of(task.sha256))
                found = (annotation for annotation in selected if annotation is not None)
                first = next(found, None)
                if first is not None:
                    yield first.task, chain([first], found)
            self.options.watch(done, self._total)

    def leave_out(self, annotation: Annotation) -> None:
        """Undo the count of an annotation that has nothing that the format can represent."""
        self.report.written -= 1
        if self.report.splits:
            self.report.splits[annotation.split] -= 1

    def _select(self, task: Task) -> Annotation | None:
        if task.current_id is None:
            self.report.losses["Open tasks are left out"] += 1
            return None
        revision = self._store.revision(task.current_id)
        if revision.correction.verdict is Verdict.REJECT:
            self.report.losses["Rejected tasks have no mask and are left out"] += 1
            return None
        condition = self.options.selection.unmet(revision)
        if condition:
            self.report.losses[f"Tasks are left out by {condition}"] += 1
            return None
        objects = revision.correction.objects
        wanted = self.options.selection.classes
        if wanted:
            objects = tuple(made for made in objects if class_name(made, revision.instruction) in wanted)
            if not objects:
                self.report.losses["Tasks without an object of --class are left out"] += 1
                return None
        split = self.options.splits.of(task.sha256)
        self.report.written += 1
        if self.report.splits:
            self.report.splits[split] += 1
        return Annotation(task, revision, objects, split)

    # The fraction that is written

    def polygons(self, mask: Mask) -> list[Corners]:
        """A mask's polygons, simplified as configured; the loss is added to the report."""
        rings = mask_polygons(mask, self.options.simplify)
        if not self.options.simplify:
            return [within_pixels(ring) for ring in rings]
        self.report.simplified.append(polygons_iou(rings, mask))
        return rings

    def class_number(self, name: str) -> int:
        """The number of a class, from 1; the same in every export of this store."""
        if name not in self._numbers:
            try:
                self._numbers = self._store.class_numbers([name])
            except StoreReadOnlyError:
                self.report.losses[
                    "Class numbers cannot be kept for the next export: --home may not be written to"
                ] += 1
                self._numbers[name] = max(self._numbers.values(), default=0) + 1
        return self._numbers[name]

    @property
    def classes(self) -> dict[str, int]:
        """Every class that has a number, including those of other exports, in the order of the numbers."""
        return dict(sorted(self._numbers.items(), key=lambda item: item[1]))

    def described(self, name: str) -> ObjectClass | None:
        """What the list says of a class; None if it is not on the list."""
        return self._described.get(name)

    def colour(self, name: str) -> str:
        """A numbered class's colour as "#rrggbb": its own, or that of its number."""
        described = self._described.get(name)
        return described.shown_colour if described else number_colour(self._numbers[name])

    # Picture files

    def picture_file(self, task: Task, *, jpeg: bool = False) -> PurePosixPath:
        """The file name of a task's picture: its own name, with the extension of the written file.

        Args:
            task: one of the picture's tasks.
            jpeg: whether the format's readers accept only JPEG.
        """
        if task.sha256 not in self._stems:
            self._stems[task.sha256] = self._names.take(task.picture_name, task.sha256[:8])
        return _with_ending(self._stems[task.sha256], self._ending(task, jpeg=jpeg))

    def task_file(self, task: Task, *, jpeg: bool = False) -> PurePosixPath:
        """The same for formats with a file per task: further tasks of a picture have their number added."""
        picture = self.picture_file(task, jpeg=jpeg)
        if task.sha256 not in self._first_tasks:
            self._first_tasks.add(task.sha256)
            return picture
        stem = self._names.take(f"{self._stems[task.sha256]}-task{task.id}", task.sha256[:8])
        return _with_ending(stem, picture.suffix)

    def write_picture(self, task: Task, path: Path) -> None:
        """Write a task's picture to a path with the extension chosen by `picture_file`, unless it exists."""
        if self.options.pictures is ExportedPictures.NONE or path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = self._store.picture_path(task.sha256)
        if self._copies(task, path.suffix):
            shutil.copyfile(stored, path)
        else:
            path.write_bytes(self._encoded(task, path.suffix))

    def picture_bytes(self, task: Task) -> bytes:
        """A task's picture as file content, for formats that embed it.

        Raises:
            SettingsError: when no pictures are wanted.
        """
        if self.options.pictures is ExportedPictures.NONE:
            raise SettingsError("This format holds the pictures themselves: leave out --pictures none.")
        stored, ending = self._store.picture_path(task.sha256), self._ending(task, jpeg=False)
        return stored.read_bytes() if self._copies(task, ending) else self._encoded(task, ending)

    def _copies(self, task: Task, ending: str) -> bool:
        """Whether a stored file is exported as it is; where a format was asked for, its metadata stay behind."""
        asked = self.options.pictures in {ExportedPictures.PNG, ExportedPictures.JPEG}
        return not asked and _same_kind(self._plain_ending(task), ending) and self._is_plain(task)

    def _plain_ending(self, task: Task) -> str:
        """The extension of a picture's file as any program can show it: many ignore EXIF, or expect RGB."""
        return self._store.picture_path(task.sha256).suffix if self._is_plain(task) else ".png"

    def _is_plain(self, task: Task) -> bool:
        if task.sha256 not in self._plain:
            self._plain[task.sha256] = is_plain(self._store.picture_path(task.sha256))
        return self._plain[task.sha256]

    def _ending(self, task: Task, *, jpeg: bool) -> str:
        stored, own = self._plain_ending(task), ending_of(task.picture_name)
        match self.options.pictures:
            case ExportedPictures.NONE:
                return own or stored
            case ExportedPictures.PNG:
                wanted = ".png"
            case ExportedPictures.JPEG:
                wanted = ".jpg"
            case ExportedPictures.ORIGINAL:
                wanted = stored
            case None:
                wanted = ".jpg" if jpeg else stored
        return own if _same_kind(own, wanted) and not jpeg else wanted

    def _encoded(self, task: Task, ending: str) -> bytes:
        buffer = io.BytesIO()
        image = Image.fromarray(self._store.picture(task.sha256).pixels)
        if ending in _JPEG:
            self.report.losses[f"Pictures are JPEG of quality {JPEG_QUALITY}, and their pixels a little different"] += 1
            image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        else:
            image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()


def _with_ending(stem: PurePosixPath, ending: str) -> PurePosixPath:
    return stem.with_name(f"{stem.name}{ending}")


def _same_kind(one: str, other: str) -> bool:
    return one.lower() == other.lower() or {one.lower(), other.lower()} <= _JPEG


@contextmanager
def exporting(
    store: AnnotationStore, out: Path, options: Options, never_holds: str, *, reserved: Set[str] = frozenset()
) -> Iterator[Export]:
    """Export into a new or empty folder, which contains everything if the block ends without an error, else nothing.

    Args:
        store: what is exported.
        out: created if missing.
        options: which part of it to export, and how.
        never_holds: what the format cannot represent.
        reserved: see `FileNames`.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    with new_folder(out) as folder:
        yield Export(store, folder, options, ExportReport(never_holds), reserved)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder for an export; its contents are moved to ``out`` if the block ends without an error.

    ``out`` must be empty, because files of another export would look like a part of this one; leftovers of an
    interrupted export are removed.

    Raises:
        StoreError: when it is not empty, or cannot be written to.
    """
    with _writing(out):
        existed = out.exists()
        out.mkdir(parents=True, exist_ok=True)
        entries = list(out.iterdir())
        if not all(entry.name.startswith(STAGING) for entry in entries):
            raise StoreError(f"The folder {out} is not empty: choose another one.")
        for entry in entries:
            shutil.rmtree(entry)
        # Inside the folder: its parent may not be writable, or may be on another disk.
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=out))
    try:
        with _writing(out):
            yield staging
            for entry in sorted(staging.iterdir()):
                entry.rename(out / entry.name)
            staging.rmdir()
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        if not existed:
            out.rmdir()
        raise


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turn errors of the file system into a `StoreError` that names the file and says what to do."""
    try:
        yield
    except OSError as error:
        where = error.filename or out
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StoreFullError(
                f"There is no room left for '{where}': free some disk space and export again."
            ) from error
        raise StoreError(
            f"The export failed at '{where}' ({error.strerror}): check that path, or give another folder."
        ) from error


def write_mask(mask: Mask, path: Path) -> None:
    """Write a bool (height, width) mask as an 8-bit PNG of 0 and 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path, format="PNG", compress_level=1)


def whole_store_only(options: Options) -> None:
    """Reject options for formats that always export everything.

    Raises:
        SettingsError: when any was given.
    """
    if options != EVERYTHING:
        raise SettingsError(
            "jsonl holds the whole store as it is: leave out --split, --pictures, --simplify, --licence, --contributor "
            "and the filters."
        )
