"""The difference between corrected prompts and the policy's: the cheapest set of edits from one to the other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segr1_app.domain import Box, ObjectPrompt, Point
from segr1_app.geometry import box_iou
from segr1_app.matching import match


@dataclass(frozen=True, slots=True)
class PromptChange:
    """The difference between two sets of prompts, in pixels of the original picture.

    Attributes:
        added, removed: points only the new, only the old prompts have.
        flipped: points whose label changed, with their new label.
        moved: (old, new) places of points that kept their label.
        box_shifts: (old, new) of every box that changed.
        boxes_added, boxes_removed: boxes only the new, only the old prompts have.
        objects_added, objects_removed: how many objects were added and removed.
    """

    added: tuple[Point, ...] = ()
    removed: tuple[Point, ...] = ()
    flipped: tuple[Point, ...] = ()
    moved: tuple[tuple[Point, Point], ...] = ()
    box_shifts: tuple[tuple[Box, Box], ...] = ()
    boxes_added: tuple[Box, ...] = ()
    boxes_removed: tuple[Box, ...] = ()
    objects_added: int = 0
    objects_removed: int = 0

    @property
    def edits(self) -> int:
        """How many points and boxes were changed."""
        points = len(self.added) + len(self.removed) + len(self.flipped) + len(self.moved)
        return points + len(self.box_shifts) + len(self.boxes_added) + len(self.boxes_removed)


def difference(before: Sequence[ObjectPrompt], after: Sequence[ObjectPrompt]) -> PromptChange:
    """The edits that turn ``before`` into ``after``; class names are ignored."""
    # Objects have no identity, so their correspondence is not recorded: the pairing that needs the fewest edits is
    # used.
    cost = np.array([[_cost(old, new) for new in after] for old in before]).reshape(len(before), len(after))
    old_indices, new_indices = match(cost)
    pairs = [(before[i], after[j]) for i, j in zip(old_indices, new_indices, strict=True)]
    gone = [prompt for index, prompt in enumerate(before) if index not in set(old_indices)]
    come = [prompt for index, prompt in enumerate(after) if index not in set(new_indices)]
    changes = [_object_change(old, new) for old, new in pairs]
    changes += [_object_change(old, ObjectPrompt()) for old in gone]
    changes += [_object_change(ObjectPrompt(), new) for new in come]
    return PromptChange(
        added=tuple(point for change in changes for point in change.added),
        removed=tuple(point for change in changes for point in change.removed),
        flipped=tuple(point for change in changes for point in change.flipped),
        moved=tuple(move for change in changes for move in change.moved),
        box_shifts=tuple(shift for change in changes for shift in change.box_shifts),
        boxes_added=tuple(box for change in changes for box in change.boxes_added),
        boxes_removed=tuple(box for change in changes for box in change.boxes_removed),
        objects_added=len(come),
        objects_removed=len(gone),
    )


def _cost(old: ObjectPrompt, new: ObjectPrompt) -> float:
    common = sum((Counter(old.points) & Counter(new.points)).values())
    points = len(old.points) + len(new.points) - 2 * common
    if old.box is None or new.box is None:
        return points + (old.box is not new.box)
    # A nudged box is still the same box; a box elsewhere costs as much as removing it and drawing another.
    return points + 2 * (1 - box_iou(old.box, new.box))


def _object_change(old: ObjectPrompt, new: ObjectPrompt) -> PromptChange:
    left, right = Counter(old.points), Counter(new.points)
    removed, added = list((left - right).elements()), list((right - left).elements())
    flipped = []
    for point in list(removed):
        turned = Point(point.x, point.y, 1 - point.label)
        if turned in added:
            removed.remove(point)
            added.remove(turned)
            flipped.append(turned)
    moved: list[tuple[Point, Point]] = []
    for label in (0, 1):
        starts = [point for point in removed if point.label == label]
        ends = [point for point in added if point.label == label]
        distances = np.array([[math.dist((a.x, a.y), (b.x, b.y)) for b in ends] for a in starts])
        rows, columns = match(distances.reshape(len(starts), len(ends)))
        moved += [(starts[i], ends[j]) for i, j in zip(rows, columns, strict=True)]
    for start, end in moved:
        removed.remove(start)
        added.remove(end)
    shifted = old.box is not None and new.box is not None and old.box != new.box
    return PromptChange(
        added=tuple(added),
        removed=tuple(removed),
        flipped=tuple(flipped),
        moved=tuple(moved),
        box_shifts=((old.box, new.box),) if shifted and old.box and new.box else (),
        boxes_added=(new.box,) if new.box and not old.box else (),
        boxes_removed=(old.box,) if old.box and not new.box else (),
    )
