"""ReasonSeg (Lai et al., LISA, CVPR 2024): a JSON file for each picture, its texts are the instructions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from segr1_app.domain import DatasetError, Mask
from segr1_app.files.foreign_json import ForeignJsonError, parse_json
from segr1_app.store.exchange.coordinates import Ring, ring_of
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.readers.sources import Head, Source, Tree, load_json
from segr1_app.store.exchange.shapes import Canvas, check_ring

_LARGEST: Final = 2**20
"""Bytes of a file of one picture's outlines."""


def find(tree: Tree) -> list[Source]:
    """Files with a text and shapes."""
    names = [
        name
        for name in tree.with_suffix(".json")
        if _is_reasonseg(tree.head(name)) or (_is_cut(tree.head(name)) and _is_in_western(tree.entry(name)))
    ]
    return [Source("ReasonSeg", names, lambda pictures: _read(tree, names, pictures))] if names else []


def _is_reasonseg(head: Head | None) -> bool:
    return head is not None and head.keys >= {"text", "shapes"} and "shapes" in head.lists


def _is_cut(head: Head | None) -> bool:
    """Whether a file's beginning cannot be read to its shapes."""
    return head is None or (head.kind == "map" and head.keys <= {"text", "is_sentence"})


def _is_in_western(entry: Entry) -> bool:
    content = entry.begin(_LARGEST + 1)
    try:
        content.decode()
    except UnicodeDecodeError:
        return len(content) <= _LARGEST and b'"text"' in content and b'"shapes"' in content
    return False


def _load(entry: Entry) -> Any:
    """A file's content; some of the published ones are in Windows' Western encoding, in which LISA reads them, too.

    Raises:
        DatasetError: when it is not JSON.
    """
    if not _is_in_western(entry):
        return load_json(entry)
    try:
        return parse_json(entry.read().decode("cp1252"))
    except (UnicodeDecodeError, ForeignJsonError) as error:
        raise DatasetError(f"it is not valid JSON that can be read ({error}).") from error


@dataclass(frozen=True, slots=True, eq=False)
class _Painted:
    """Outlines of the target, less those that are to be ignored; the smaller lies on the larger, as LISA draws them."""

    outlines: Sequence[tuple[bool, Ring]]

    def mask(self, canvas: Canvas) -> Mask:
        """The target, its edge included.

        Raises:
            ValueError: for an outline that marks nothing.
            DatasetError: when the frame is not known.
        """
        frame = canvas.frame()
        size = (canvas.size.height, canvas.size.width)
        drawn = []
        for target, ring in self.outlines:
            check_ring(ring, "an outline ")
            placed = frame.points(ring.astype(np.int32).astype(np.float64))
            canvas.check_reach(placed)
            corners = placed.clip(-(2**20), 2**20).astype(np.int32)
            drawn.append((target, _paint(np.zeros(size, np.uint8), corners)))
        painted = np.zeros(size, dtype=bool)
        for target, area in sorted(drawn, key=lambda each: -int(each[1].sum())):
            painted[area] = target
        if not painted.any():
            raise ValueError("its outlines mark no pixel of the picture")
        return painted


def _paint(canvas: npt.NDArray[np.uint8], corners: npt.NDArray[np.int32]) -> Mask:
    cv2.polylines(canvas, [corners], isClosed=True, color=1, thickness=1)
    cv2.fillPoly(canvas, [corners], 1)
    return canvas.astype(bool)


def _read(tree: Tree, names: list[PurePosixPath], pictures: Pictures) -> Iterator[Record | str]:
    for name in names:
        entry = tree.entry(name)
        try:
            content = _load(entry)
        except DatasetError as error:
            yield f"{entry}: {error}"
            continue
        texts = content["text"] if isinstance(content["text"], list) else [content["text"]]
        words = [str(text) for text in texts if isinstance(text, str) and text.strip()]
        if len(words) < len(texts) or not words:
            yield f"{entry}: it has no text." if not words else f"{entry}: one of its texts is not a text: left out."
        if not words:
            continue
        shape = _shape(content)
        parts = [Part("its target", shape, None, each) for each in words]
        picture = pictures.find(name, str(name), by_stem=True)
        yield Record(str(entry), picture, picture.name.name if not isinstance(picture, str) else name.stem, parts)


def _shape(content: Mapping[str, Any]) -> _Painted | str:
    outlines = []
    try:
        for shape in content["shapes"]:
            label = str(shape["label"]).lower()
            # Annotators' marks without meaning.
            if label != "flag":
                outlines.append(("ignore" not in label, ring_of(shape["points"])))
    except (KeyError, TypeError, ValueError) as error:
        return f"its outlines cannot be read ({error})"
    return _Painted(outlines) if any(target for target, _ in outlines) else "it has no target"
