"""Check a data set before training: masks that look misread, duplicates on both sides of the split, and pictures of a
benchmark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from segr1_app.domain import Mask, PictureError, RgbPixels, SegR1Error
from segr1_app.files.outputs import translate_write_errors
from segr1_app.images.pictures import IMAGE_SUFFIXES, load_picture

if TYPE_CHECKING:
    from train.data.rows import Plan, Row

LOOK_SIDE: Final = 16
"""Bits of a picture's hash in each of its two directions."""
ALIKE: Final = 26
"""Two pictures are copies of each other if at most this many of the 256 bits of their hashes differ: a JPEG copy at
a quarter of the size differs in about ten, two unrelated photographs in about a hundred.
"""
FLAT: Final = 2.0
"""Largest standard deviation of brightness, out of 255, of a picture of a single colour."""
_COPIES_AT_ONCE: Final = 512
SOFT, INVERTED, EMPTY = 0.02, 0.8, 0.001
"""Fractions of grey pixels, of foreground on the border, and of foreground in the picture, from which a mask is
reported as odd.
"""
TILES, TILE = (6, 4), 220
"""Columns and rows of a contact sheet, and the side of one picture in pixels."""


def look_of(pixels: RgbPixels) -> bytes:
    """A perceptual hash of a picture in 256 bits: whether brightness decreases from each cell of a grid to the next.

    The difference hash (Krawetz, 2013); it is robust to compression and scaling. Empty for a picture of nearly a single
    colour, which would match every other such picture.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(grey, (LOOK_SIDE + 1, LOOK_SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    # For a picture of a single colour the hash is meaningless.
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes() if cells.std() > FLAT else b""


def find_copies(looks: Sequence[bytes], others: Sequence[bytes]) -> dict[int, int]:
    """Indices of ``looks`` that are copies of one of ``others``, each with that one's index.

    An empty hash does not match any other.
    """
    mine_at, theirs_at = ([index for index, look in enumerate(side) if look] for side in (looks, others))
    if not mine_at or not theirs_at:
        return {}
    mine, theirs = _bits([looks[index] for index in mine_at]), _bits([others[index] for index in theirs_at])
    found: dict[int, int] = {}
    for first in range(0, len(mine), _COPIES_AT_ONCE):
        distances = _distances(mine[first : first + _COPIES_AT_ONCE], theirs)
        nearest = distances.argmin(axis=1)
        alike = np.flatnonzero(distances[np.arange(len(distances)), nearest] <= ALIKE)
        found |= {mine_at[first + int(index)]: theirs_at[nearest[index]] for index in alike}
    return found


def find_repeats(looks: Sequence[bytes]) -> dict[int, int]:
    """Indices of ``looks`` that are copies of an earlier one, each with the first such one's index."""
    if not looks:
        return {}
    bits = _bits(looks)
    found: dict[int, int] = {}
    for first in range(0, len(bits), _COPIES_AT_ONCE):
        part = bits[first : first + _COPIES_AT_ONCE]
        alike = _distances(part, bits[: first + len(part)]) <= ALIKE
        # Every row is a copy of itself, so the first match is never a later one.
        earliest = alike.argmax(axis=1)
        found |= {first + at: int(other) for at, other in enumerate(earliest) if other < first + at}
    return found


def oddity(values: npt.NDArray[np.generic], mask: Mask) -> str:
    """A description of what is odd about an unambiguous mask file; empty for nothing.

    Ambiguous files, such as class labels, are rejected by `segr1_app.images.masks`.

    Args:
        values: the file's values, (height, width).
        mask: bool (height, width), as read by `segr1_app.images.masks`.
    """
    levels, counts = np.unique(values, return_counts=True)
    highest = levels[-1]
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    between = counts[(levels > 0.1 * highest) & (levels < 0.9 * highest)].sum() / values.size
    if mask.mean() > 1 - EMPTY or mask.mean() < EMPTY:
        return "all or nothing is foreground"
    if border.mean() >= INVERTED and mask.mean() > 1 / 2:
        return "the border is foreground: the mask looks inverted"
    if between > SOFT:
        return "soft edges, thresholded at one half"
    return ""


def describe_plan(plan: Plan, home: Path | None, notes: Iterable[str]) -> str:
    """What every training prints about its data before it starts.

    Args:
        plan: the training and held-out rows.
        home: the data folder whose corrections were asked for; None if none were.
        notes: the method's own lines, such as the fractions that are drawn.
    """
    lines = [plan.table()]
    if home is not None and not plan.corrections:
        lines.append(f"There are no corrections to learn from in '{home}': training continues without them.")
    return "\n".join([*lines, *report(plan.rows), *repeats(plan.train), *notes])


def report(rows: Iterable[Row]) -> list[str]:
    """Report the oddities of the rows' masks by source, each with a count and an example, and the area that objects
    cover.
    """
    by_kind: dict[tuple[str, str], list[str]] = {}
    shares: dict[str, list[float]] = {}
    for row in rows:
        if row.share is not None:
            shares.setdefault(row.source, []).append(row.share)
        if row.oddity:
            by_kind.setdefault((row.source, row.oddity), []).append(row.name)
    lines = [
        f"{source}: objects cover {np.percentile(found, 10):.1%} to {np.percentile(found, 90):.1%} of a picture, "
        f"{np.median(found):.1%} in the median"
        for source, found in sorted(shares.items())
    ]
    return lines + [
        f"look at {source}: {len(names)} of {len(shares.get(source, names))} masks: {kind} ({names[0]})"
        for (source, kind), names in sorted(by_kind.items())
    ]


def repeats(rows: Sequence[Row]) -> list[str]:
    """Report pairs with the same instruction for copies of one picture, at any size or compression."""
    by_instruction: dict[str, list[Row]] = {}
    for row in rows:
        if row.look and not row.is_feedback:
            by_instruction.setdefault(row.instruction, []).append(row)
    found = [
        (group[later], group[earlier])
        for group in by_instruction.values()
        for later, earlier in find_repeats([row.look for row in group]).items()
    ]
    if not found:
        return []
    pictures = " and ".join(f"{row.source}/{row.name}" for row in found[0])
    return [f"look at {len(found)} pairs: each repeats the picture of another one, which counts twice ({pictures})"]


def shared_pictures(rows: Iterable[Row], folders: Sequence[Path]) -> list[str]:
    """Report which rows show a picture in other folders, such as a benchmark's, at any size or compression.

    Raises:
        SegR1Error: when a folder contains no picture.
    """
    lines = []
    mine = [row for row in rows if row.look]
    for folder in folders:
        files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES]
        looks = []
        for file in files:
            try:
                looks.append(look_of(load_picture(file).pixels))
            except PictureError:
                continue
        if not looks:
            raise SegR1Error(f"'{folder}' contains no picture: give --against a folder of pictures.")
        copies = find_copies([row.look for row in mine], looks)
        names = ", ".join(mine[index].name or mine[index].image_id[:8] for index in list(copies)[:5])
        lines.append(
            f"{len(copies)} of {len(mine)} pictures are also in '{folder}'" + (f", such as {names}" if copies else "")
        )
    return lines


def contact_sheet(rows: Sequence[Row], file: Path) -> None:
    """A contact sheet of pictures with overlaid masks, odd ones first.

    Raises:
        SegR1Error: when a row or the file cannot be read or written.
    """
    columns, lines = TILES
    odd = [row for row in rows if row.oddity][: columns * lines // 2]
    rest = [row for row in rows if not row.oddity]
    chosen = odd + rest[:: max(1, len(rest) // (columns * lines - len(odd)))][: columns * lines - len(odd)]
    sheet = Image.new("RGB", (columns * TILE, -(-len(chosen) // columns) * TILE), "white")
    draw = ImageDraw.Draw(sheet)
    for place, row in enumerate(chosen):
        example = row.load()
        tile = Image.fromarray(_tinted(example.picture.pixels, example.truth.mask))
        tile.thumbnail((TILE - 8, TILE - 24))
        left, top = place % columns * TILE, place // columns * TILE
        sheet.paste(tile, (left + 4, top + 4))
        draw.text((left + 4, top + TILE - 18), f"{row.source} {row.name}"[:34], fill="red" if row.oddity else "black")
    with translate_write_errors(file):
        sheet.save(file, "JPEG", quality=88)


def _tinted(pixels: RgbPixels, mask: Mask | None) -> RgbPixels:
    if mask is None:
        return pixels
    tinted = pixels.copy()
    tinted[mask] = (tinted[mask] * 0.45 + np.array([255, 40, 40]) * 0.55).astype(np.uint8)
    return tinted


def _distances(mine: npt.NDArray[np.uint64], theirs: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
    """The number of differing bits of each pair of hashes, (len(mine), len(theirs))."""
    bits: npt.NDArray[np.int32] = np.bitwise_count(mine[:, None] ^ theirs[None]).sum(axis=2, dtype=np.int32)
    return bits


def _bits(looks: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    return np.frombuffer(b"".join(looks), dtype=np.uint64).reshape(len(looks), -1)
