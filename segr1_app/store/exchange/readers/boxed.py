"""COCO gives each object both a mask and a box: a mask that contradicts its box is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from segr1_app.domain import Box, DatasetError, Mask
from segr1_app.geometry import box_iou, mask_box
from segr1_app.store.exchange.shapes import Area, BoxShape, Canvas, Polygons, Runs

_AGREES, _CONTRADICTS = 0.5, 0.2
"""IoU of a mask's own box with the one of its file, from which they agree, and below which they contradict each other;
between them are boxes of more than is visible.
"""
_SURE, _EXACT = 0.8, 0.95
"""Below the first, another reading of the mask that fits the box as well as the second is the right one."""


@dataclass(frozen=True, slots=True, eq=False)
class Boxed:
    """A mask with the box that its file gives to the same object.

    Attributes:
        area: the mask.
        box: the box.
    """

    area: Area
    box: BoxShape

    def mask(self, canvas: Canvas) -> Mask:
        """The mask.

        Raises:
            ValueError: as that of ``area``, and when the box is elsewhere, or is that of another reading of the mask.
            DatasetError: when the frame is not known.
        """
        mask = self.area.mask(canvas)
        if not canvas.frame().same:
            # Where a picture was scaled or rotated, its boxes may be of either frame.
            return mask
        own, said = mask_box(mask), _in_picture(self.box, canvas)
        # An invalid box says nothing about the mask, and a box may have been written as its two corners.
        if said is None or own is None:
            return mask
        agreement = box_iou(own, said)
        if agreement >= _SURE or self._is_of_corners(own, canvas):
            return mask
        for reading, area in _other_readings(self.area):
            if _fit(area, canvas, said) >= (_EXACT if agreement >= _AGREES else _AGREES):
                raise ValueError(f"its bbox fits its segmentation only if {reading}")
        if agreement < _CONTRADICTS and min(said.x2 - said.x1, said.y2 - said.y1) > 1:
            raise ValueError(f"its segmentation ({_corners(own)}) is not where its bbox is ({_corners(said)})")
        return mask

    def _is_of_corners(self, own: Box, canvas: Canvas) -> bool:
        left, top, right, bottom = self.box.edges
        said = _in_picture(replace(self.box, edges=(left, top, right - left, bottom - top)), canvas)
        return said is not None and box_iou(own, said) >= _AGREES


def _other_readings(area: Area) -> Iterator[tuple[str, Area]]:
    """Common mistakes in such masks, each with a function that undoes it."""
    if isinstance(area, Polygons):
        yield "y comes before x in its polygons", replace(area, rings=[ring[:, ::-1] for ring in area.rings])
    elif isinstance(area, Runs):
        yield "its run lengths go along the rows, and not down the columns", replace(area, by_rows=True)
        if isinstance(area.counts, list):
            yield (
                "its run lengths begin with the object, and not with the background",
                replace(area, counts=[0, *area.counts]),
            )


def _in_picture(box: BoxShape, canvas: Canvas) -> Box | None:
    try:
        return box.prompt(canvas, None).box
    except ValueError:
        return None


def _fit(area: Area, canvas: Canvas, said: Box) -> float:
    """IoU of a box with the one around a shape; 0 for a shape that cannot be drawn."""
    try:
        box = mask_box(area.mask(canvas))
    except (ValueError, DatasetError):
        return 0.0
    return 0.0 if box is None else box_iou(box, said)


def _corners(box: Box) -> str:
    return f"{box.x1:g}, {box.y1:g} to {box.x2:g}, {box.y2:g}"
