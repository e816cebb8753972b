"""Put annotated pictures into the store, whatever file they came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Final, Protocol

import numpy as np

from segr1_app.domain import (
    Box,
    DatasetError,
    ImageSize,
    Mask,
    ObjectMask,
    ObjectPrompt,
    Prediction,
    SegR1Error,
    UnknownRecordError,
)
from segr1_app.geometry import box_iou, mask_box, union_masks
from segr1_app.images.frames import Reading
from segr1_app.images.pictures import OrientedPicture, load_oriented
from segr1_app.language.typed_text import MAX_NAME, one_line
from segr1_app.store.class_list import MAX_CLASSES
from segr1_app.store.classes import ClassListError, ObjectClass, read_class
from segr1_app.store.exchange.class_names import class_instruction
from segr1_app.store.exchange.import_options import ImportOptions, Progress
from segr1_app.store.exchange.outcomes import IMPORTED, ImportReport, Outcome, Result, left_out, truth_replaced
from segr1_app.store.exchange.shapes import BoxShape, Canvas, Dots, Shape
from segr1_app.store.store import AnnotationStore

_SAME_BOX: Final = 0.7
"""From this IoU on, a box and a mask count as one object: many tools write both."""
IMPORTED_ID = "imported"
"""Policy id of predictions made from prompts in a file."""


class Content(Protocol):
    """Something whose bytes can be read, such as an `Entry`."""

    def read(self) -> bytes:
        """All of them; raises `DatasetError`."""


@dataclass(frozen=True, slots=True)
class Part:
    """One annotation of a picture.

    Attributes:
        where: its name in messages, such as "annotation 7".
        shape: what it marks; a sentence if that cannot be read.
        name: its class.
        instruction: its instruction, if the file has one; None to use its class.
        model: the model that made it, for a model's answer.
    """

    where: str
    shape: Shape | str
    name: str | None = None
    instruction: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A picture with its annotations.

    Attributes:
        where: its name in messages: file and record.
        picture: its file; a sentence if there is none.
        name: the picture's name.
        parts: its annotations; None for a picture that has none yet.
        declared: the size to which the annotations refer, if given.
        reading: how the tool that made them shows rotated pictures, if known.
        instructions: what to ask for beside what the parts say; without any part, the default's place.
        listed: whether it is only listed, without annotations, which another file may have.
    """

    where: str
    picture: Content | str
    name: str
    parts: Iterable[Part] = ()
    declared: ImageSize | None = None
    reading: Reading | None = None
    instructions: tuple[str, ...] = ()
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """The classes that a file lists, whether or not they occur in it; a sentence for each that cannot be used."""

    classes: Sequence[ObjectClass | str]

    @classmethod
    def of(cls, where: str, values: Iterable[Mapping[str, Any]]) -> Listing:
        """Read the classes, each as for `read_class`, of the file called ``where``."""
        found: list[ObjectClass | str] = []
        for value in islice(values, MAX_CLASSES):
            try:
                found.append(read_class(value))
            except ClassListError as error:
                found.append(f"{where}: a class is not added to the list. {error}")
        return cls(found)


@dataclass(slots=True)
class _Gathered:
    """The annotations of a picture for one instruction.

    Attributes:
        mask: the union of its masks.
        outlines: the box around each of them.
        prompts: boxes and points.
        model: for a model's answer, which model's.
        broken: whether one of its parts cannot be read.
    """

    mask: Mask | None = None
    outlines: list[Box] = field(default_factory=list)
    prompts: list[ObjectPrompt] = field(default_factory=list)
    model: str | None = None
    broken: bool = False

    def add_mask(self, mask: Mask) -> None:
        """Add one more object."""
        self.mask = mask if self.mask is None else self.mask | mask
        if (outline := mask_box(mask)) is not None:
            self.outlines.append(outline)

    def has_objects_without_mask(self) -> bool:
        """Whether a prompt belongs to another object than the masks: it is not the box of one of them, nor points on
        them.
        """
        free = list(self.outlines)
        for prompt in self.prompts:
            if prompt.box is None:
                if not self._is_on_mask(prompt):
                    return True
                continue
            best = max(free, key=partial(box_iou, prompt.box), default=None)
            if best is None or box_iou(prompt.box, best) < _SAME_BOX:
                return True
            free.remove(best)
        return False

    def _is_on_mask(self, prompt: ObjectPrompt) -> bool:
        inside = [(int(point.x), int(point.y)) for point in prompt.points if point.label == 1]
        mask = self.mask
        return mask is not None and all(mask[min(y, mask.shape[0] - 1), min(x, mask.shape[1] - 1)] for x, y in inside)


@dataclass(slots=True)
class Intake:
    """Imports records and counts the results.

    Attributes:
        store: the store to import into.
        instruction: the instruction for records without one.
        options: the options of the import.
        report: updated with the results.
        seen: how many pictures were taken or refused.
        expected: of how many, as far as that is known.
    """

    store: AnnotationStore
    instruction: str
    options: ImportOptions = field(default_factory=ImportOptions)
    report: ImportReport = field(default_factory=ImportReport)
    seen: int = 0
    expected: int = 0
    _truths: dict[tuple[str, str], str] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)
    _waiting: list[Record] = field(default_factory=list)
    _names: dict[str, ObjectClass] = field(default_factory=dict)

    def list_classes(self, listing: Listing) -> Iterator[str]:
        """Add a file's classes to the list; yields a sentence for each that cannot be added."""
        yield from (each for each in listing.classes if isinstance(each, str))
        yield from self.store.merge_classes(each for each in listing.classes if not isinstance(each, str))

    def take(self, record: Record) -> Iterator[Outcome]:
        """Store a picture and its tasks; yields an outcome for each task, and for each annotation or picture that could
        not be imported.
        """
        if isinstance(record.picture, str):
            yield left_out(f"{record.where}: {record.picture}")
            return
        if record.listed and not record.instructions:
            self._waiting.append(record)
            return
        yield from self._take(record, record.picture)

    def finish(self) -> Iterator[Outcome]:
        """Import the pictures that were only listed and not mentioned elsewhere; yields as `take` does."""
        waiting, self._waiting = self._waiting, []
        for record in waiting:
            if not isinstance(record.picture, str):
                yield from self._take(record, record.picture)
        names, self._names = self._names, {}
        yield from (Outcome(Result.REMARK, problem) for problem in self.store.merge_classes(names.values()))

    def _take(self, record: Record, picture: Content) -> Iterator[Outcome]:
        self.options.watch(Progress(self.seen, self.expected, "pictures"))
        self.seen += 1
        try:
            seen = load_oriented(picture.read())
        except SegR1Error as error:
            yield left_out(f"{record.where}: {error}")
            return
        if record.listed and not record.instructions and seen.picture.sha256 in self._asked:
            return
        found = {words: _Gathered() for words in record.instructions}
        for problem in self._gather(record, seen, found):
            yield left_out(problem)
        if not found:
            return
        sha256 = self._picture(seen, record.name)
        self._asked.add(sha256)
        for words, gathered in found.items():
            try:
                yield self._task(sha256, words, gathered, record.where)
            except SegR1Error as error:
                yield left_out(f"{record.where}: {error}")

    def _gather(self, record: Record, seen: OrientedPicture, found: dict[str, _Gathered]) -> Iterator[str]:
        size = seen.picture.size
        canvas = Canvas(size, seen.orientation, record.declared, self.options.reading or record.reading)
        none = True
        for part in record.parts:
            if none and record.declared is not None:
                try:
                    canvas.frame()
                except DatasetError as error:
                    # If the coordinates belong to another picture, none of its annotations can be correct.
                    yield f"{record.where}: {error}"
                    found.clear()
                    return
            none = False
            if isinstance(part.shape, str) and part.instruction is None and part.name is None:
                yield f"{record.where}: {part.where} is left out: {part.shape.rstrip('.')}."
                continue
            if part.name:
                self._note_class(one_line(part.name))
            words = part.instruction or (class_instruction(part.name) if part.name else self.instruction)
            gathered = found.setdefault(one_line(words), _Gathered(model=part.model))
            try:
                if isinstance(part.shape, str):
                    raise ValueError(part.shape)
                if isinstance(part.shape, BoxShape | Dots):
                    gathered.prompts.append(part.shape.prompt(canvas, part.name))
                else:
                    gathered.add_mask(part.shape.mask(canvas))
            except (ValueError, SegR1Error) as error:
                gathered.broken = True
                yield f"{record.where}: {part.where} is left out: {str(error).rstrip('.')}."
        for words, gathered in found.items():
            if gathered.mask is not None and not gathered.broken and gathered.has_objects_without_mask():
                gathered.broken = True
                yield (
                    f"{record.where}: no ground-truth mask for '{words}': some of its objects have masks, others only "
                    "boxes or points."
                )
        if not found:
            found[self.instruction] = _Gathered()

    def _note_class(self, name: str) -> None:
        """Remember a class that occurs, for the list; names that it cannot hold stay those of their tasks."""
        if name not in self._names and 0 < len(name) <= MAX_NAME and len(self._names) < MAX_CLASSES:
            self._names[name] = ObjectClass(name)

    def _picture(self, seen: OrientedPicture, name: str) -> str:
        known = _holds(self.store, seen.picture.sha256)
        self.report.duplicates += known
        self.report.pictures += not known
        return self.store.add_picture(seen.picture, name, seen.original)

    def _task(self, sha256: str, words: str, gathered: _Gathered, where: str) -> Outcome:
        """Add a task with its annotations; an incomplete ground truth is not stored."""
        whole = self.options.keep_partial or not gathered.broken
        prompted = bool(gathered.prompts) and (whole or gathered.mask is not None)
        truth = gathered.mask if whole and gathered.model is None else None
        before = self._check(sha256, words, truth)
        known = any(task.instruction == words for task in self.store.tasks_of(sha256))
        task = self.store.add_task(sha256, words, truth)
        self.report.tasks += not known
        if truth is not None:
            self._truths[sha256, words] = where
            self.report.truths += before is None or bool((before != truth).any())
        answered = gathered.model is not None and gathered.mask is not None
        if (prompted or (answered and whole)) and task.prediction_id is None:
            self._prompt(task.id, task.image_size, words, gathered)
        if before is not None and truth is not None and (before != truth).any():
            return truth_replaced(where, words)
        return IMPORTED

    def _check(self, sha256: str, words: str, truth: Mask | None) -> Mask | None:
        """The previous ground truth; rejects one that contradicts another record of the same import."""
        if truth is None:
            return None
        before = self.store.ground_truth(sha256, words)
        first = self._truths.get((sha256, words))
        if first is not None and before is not None and (before != truth).any():
            raise DatasetError(
                f"its mask for '{words}' is left out: {first} is the same picture with another mask for it."
            )
        return before

    def _prompt(self, task_id: int, size: ImageSize, words: str, gathered: _Gathered) -> None:
        """Store boxes and points, or a model's mask, as a prediction, from which annotators start."""
        nothing = np.zeros((size.height, size.width), dtype=bool)
        objects = tuple(gathered.prompts) or (ObjectPrompt(),)
        masks = [nothing for _ in objects]
        if gathered.mask is not None:
            masks[0] = gathered.mask
        self.store.add_prediction(
            task_id,
            Prediction(
                image_size=size,
                instruction=words,
                completion="",
                policy_size=size,
                reasoning=None,
                objects=objects,
                problems=(),
                well_formed=False,
                masks=tuple(ObjectMask(mask, 0.0) for mask in masks),
                mask=union_masks(masks, size),
                policy_id=gathered.model or IMPORTED_ID,
                segmenter_id="",
            ),
            "",
        )
        self.report.boxes += sum(prompt.box is not None for prompt in gathered.prompts)
        self.report.points += sum(len(prompt.points) for prompt in gathered.prompts)


def _holds(store: AnnotationStore, sha256: str) -> bool:
    try:
        store.picture_info(sha256)
    except UnknownRecordError:
        return False
    return True
