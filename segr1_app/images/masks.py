"""Read mask files, for imports, evaluation and training alike: which of their pixels belong to the object.

Mask files come in many dialects: black and white, soft edges, class or instance indices, palettes, 16-bit ids, colours,
white with an alpha channel. A file that could mean two different masks is rejected with an explanation, never guessed
at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from segr1_app.domain import DatasetError, ImageSize, Mask, PictureError
from segr1_app.images.frames import TURNS_NOTHING, fit_pixels
from segr1_app.images.pictures import finite_values, is_deep, is_lossy, opened, orientation_of, upright

VOID: Final = 255
"""The index that marks unlabelled pixels in Pascal VOC and data sets modelled on it."""
_VOID_COLOUR: Final = (224, 224, 192)
"""The same, in RGB files that use Pascal VOC's colours."""
_LARGEST_INDEX: Final = 40
"""255 is void only if some class is below this; two grey levels alone may be a trimap."""
_SOFT, _FLAT = 0.2, 0.4
"""Fraction of intermediate pixels that lie in areas of one value: up to the first, they are soft edges; from the
second, labels.
"""
_MANY: Final = 64
"""With this many intermediate levels, an 8-bit file does not hold labels."""
_FEW: Final = 16
"""With fewer levels than this, they are labels if the brightest is not a usual white."""
_WHITES: Final = (VOID, 65535)
_EVEN, _DARK, _APART = 0.03, 0.12, 0.25
"""Shares of a lossy file's brightest value: how much an even area varies, what counts as background, and how far apart
classes are."""
_CLEAR: Final = 0.97
"""Of a lossy mask, at least this share is nearly black or bright."""
_MASK_MODES: Final = frozenset({"1", "L", "LA", "P", "PA", "I", "I;16", "I;16B", "I;16L", "F"})
"""Pillow's modes of grey and indexed files."""
_GREY: Final = 0.4
"""Largest fraction of grey pixels in a mask with soft edges."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Everything that a mask file marks, before one label is chosen.

    Attributes:
        values: int64 (height, width), upright: 0 for background and void, else the label of the pixel.
        names: what each label is called in the file, such as "3" or "#ff0000".
        turned: whether the file has an EXIF orientation, which was applied.
        colours: the palette colour of each label, such as "#ff0000".
    """

    values: npt.NDArray[np.int64]
    names: Mapping[int, str]
    turned: bool
    colours: Mapping[int, str] = field(default_factory=dict)

    def mask(self, label: str | None = None) -> Mask:
        """The pixels of one label; without ``label``, of the only one.

        Args:
            label: its name in the file; "all" for everything that is marked.

        Raises:
            DatasetError: when there are several labels and none was named, or no label has that name.
        """
        if label is not None and label != "all":
            wanted = [value for value, name in self.names.items() if name == label.lower()]
            chosen: Mask = np.isin(self.values, wanted)
            return chosen
        if label is None and len(self.names) > 1:
            listed = ", ".join(list(self.names.values())[:12]) + (", ..." if len(self.names) > 12 else "")
            raise SeveralLabelsError(
                f"it marks {len(self.names)} classes or instances ({listed}): name one with --class, or all of them "
                "with --class all."
            )
        marked: Mask = self.values != 0
        return marked


class SeveralLabelsError(DatasetError):
    """A mask file with several classes or instances, none of which was requested."""


def load_mask(source: str | os.PathLike[str] | bytes, label: str | None = None) -> Mask:
    """Read a mask file, or a file's content, as bool (height, width), upright.

    Black-and-white files are read by colour, including those that use a palette or an alpha channel; soft edges are
    thresholded at half of the file's brightest value; a file with a single class or instance marks that one, whatever
    its index. An all-black file is an empty mask.

    Args:
        source: the file or its content.
        label: the class or instance to read, see `Labels`.

    Raises:
        DatasetError: when the file cannot be read as an image for any of the reasons of `load_picture`, marks several
            classes of which none was named, or could mean different masks.
    """
    file = source if isinstance(source, bytes) else Path(source)
    return _chosen(file, read_labels(file), label)


def load_mask_of(
    source: str | os.PathLike[str] | bytes, size: ImageSize, orientation: int, label: str | None = None
) -> Mask:
    """Read a mask file as bool (height, width), in the frame of its picture as displayed.

    Args:
        source: the file or its content.
        size: the picture's upright size.
        orientation: EXIF orientation of the picture's file: the mask may have been drawn on the pixels as stored.
        label: see `load_mask`.

    Raises:
        DatasetError: as `load_mask`, and when its size differs from the picture's, or when it could have been drawn on
            the pixels as stored as well as on those displayed.
    """
    file = source if isinstance(source, bytes) else Path(source)
    labels = read_labels(file)
    mask = _chosen(file, labels, label)
    try:
        return fit_pixels(mask, size, TURNS_NOTHING if labels.turned else orientation)
    except DatasetError as error:
        raise DatasetError(f"{_name(file)}: {error}") from error


def _chosen(source: Path | bytes, labels: Labels, label: str | None) -> Mask:
    try:
        return labels.mask(label)
    except SeveralLabelsError as error:
        raise SeveralLabelsError(f"{_name(source)}: {error}") from error


def read_labels(source: Path | bytes) -> Labels:
    """Read the labels of a mask file.

    Raises:
        DatasetError: when it cannot be read as an image, or could mean different masks; a sentence about "it" where
            the content was given and no name of a file is known.
    """
    return _read_labels(source, several_pages=False)


def _read_labels(source: Path | bytes, *, several_pages: bool) -> Labels:
    """The labels of a file's first page, with whether it may have more of them."""
    name = _name(source) if isinstance(source, Path) else ""
    try:
        with opened(source, name) as image:
            pages = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            if pages > 1 and not several_pages:
                reason = f"it has {pages} pages, and a mask has one: save each as a file of its own"
                raise DatasetError(f"{name}: {reason}." if name else f"{reason}.")
            turned = orientation_of(image) != TURNS_NOTHING
            try:
                values, names = _read(upright(image), lossy=is_lossy(image, source))
                colours = _shown(image) if image.mode == "P" else {}
            except DatasetError as error:
                raise DatasetError(f"{name}: {error}" if name else str(error)) from error
    except PictureError as error:
        raise DatasetError(str(error)) from error
    return Labels(values, names, turned, {value: colours[value] for value in names if value in colours})


def looks_like_mask(content: bytes, *, grey: bool = False) -> bool:
    """Whether a file looks like a mask: few levels or colours, and of lossy ones only what is nearly black or bright.

    Args:
        content: the file's.
        grey: whether only grey and indexed files count, as drawings have few colours, too.

    Raises:
        DatasetError: as `read_labels`, and for a photograph.
    """
    try:
        with opened(content, "") as image:
            if grey and image.mode not in _MASK_MODES:
                return False
            if is_lossy(image, content):
                bright = np.asarray(image.convert("RGB")).max(axis=2)
                clear = (bright <= _DARK * bright.max()) | (bright >= (1 - _APART) * bright.max())
                return float(clear.mean()) > _CLEAR
    except PictureError as error:
        raise DatasetError(str(error)) from error
    return len(_read_labels(content, several_pages=True).names) < _MANY


def _name(source: Path | bytes) -> str:
    return f"The mask '{source}'" if isinstance(source, Path) else "The mask"


_Read = tuple[npt.NDArray[np.int64], dict[int, str]]


def _read(image: Image.Image, *, lossy: bool) -> _Read:
    if is_deep(image):
        return _grey(finite_values(image), lossy=lossy)
    if image.mode in {"1", "L"} and not image.has_transparency_data:
        return _grey(np.asarray(image.convert("L")), lossy=lossy)
    if image.mode == "P" and not image.has_transparency_data:
        return _palette(image, lossy=lossy)
    if image.has_transparency_data:
        layered = np.asarray(image.convert("RGBA"))
        return _transparent(image, layered[..., :3], layered[..., 3], lossy=lossy)
    return _colours(np.asarray(image.convert("RGB")), lossy=lossy)


def _transparent(
    image: Image.Image, colours: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8], *, lossy: bool
) -> _Read:
    """Transparent pixels are background; if all visible pixels have one colour, all of them are the object."""
    shown = alpha >= 128
    if shown.all():
        opaque = image.convert("RGB") if image.mode != "P" else image
        return _palette(opaque, lossy=lossy) if image.mode == "P" else _colours(np.asarray(opaque), lossy=lossy)
    if not shown.any():
        if (colours != colours[0, 0]).any():
            raise DatasetError("it is transparent everywhere, although it has colours: save it without transparency.")
        return np.zeros(alpha.shape, np.int64), {}
    if not (colours[shown] != colours[shown][0]).any():
        return shown.astype(np.int64), {1: "1"}
    if image.mode == "P":
        indices = np.asarray(image).astype(np.int64) + 1
        return _labelled(np.where(shown, indices, 0), lambda value: str(value - 1))
    return _colours(np.where(shown[..., None], colours, 0).astype(np.uint8), lossy=lossy)


def _shown(image: Image.Image) -> dict[int, str]:
    """The palette's colours by index."""
    palette = image.getpalette("RGB") or []
    return {
        index: "#{:02x}{:02x}{:02x}".format(*palette[3 * index : 3 * index + 3]) for index in range(len(palette) // 3)
    }


def _palette(image: Image.Image, *, lossy: bool) -> _Read:
    """Read by colour if the palette is grey (in particular black and white); otherwise its indices are labels."""
    indices = np.asarray(image)
    used = np.unique(indices)
    colours = np.array((image.getpalette("RGB") or []) + [0] * 768)[: 256 * 3].reshape(256, 3)
    if len(used) > 1 and not np.ptp(colours[used], axis=0).any():
        # A palette of one colour, such as one that was never filled, shows nothing: the indices do.
        return _grey(indices, lossy=lossy)
    if _is_grey(colours[used], tolerance=0):
        return _grey(colours[:, 0][indices].astype(np.uint8), lossy=lossy)
    black = [int(value) for value in used if not colours[value].any()]
    if 0 in used and colours[0].any() and black:
        raise DatasetError(
            "its palette shows index 0 in a colour and another index in black: either could be the "
            "background. Save it in black and white."
        )
    void = [VOID] if len(used) > 2 or 0 not in used else []
    void += [int(value) for value in used if tuple(colours[value]) == _VOID_COLOUR]
    return _labelled(np.where(np.isin(indices, void), 0, indices).astype(np.int64), str)


def _colours(rgb: npt.NDArray[np.uint8], *, lossy: bool) -> _Read:
    """Read grey files by brightness; otherwise black is background and every other colour a label."""
    if _is_grey(rgb, tolerance=24 if lossy else 0):
        return _grey(_extremes(rgb)[1], lossy=lossy)
    packed = np.zeros(rgb.shape[:2], np.int64)
    for channel in range(3):
        packed <<= 8
        packed |= rgb[..., channel]
    void = sum(part << shift for part, shift in zip(_VOID_COLOUR, (16, 8, 0), strict=True))
    packed[packed == void] = 0
    if lossy:
        # Lossy compression blurs colours: every pixel that is bright in any channel is marked.
        _refuse_several_levels(rgb)
        return _grey(_extremes(rgb)[1], lossy=True)
    if len(np.unique(packed)) > 256:
        raise DatasetError("it has more colours than a mask has classes: is it a picture? Save it in black and white.")
    return _labelled(packed, lambda value: f"#{value:06x}")


def _grey(values: npt.NDArray[np.uint8] | npt.NDArray[np.float64], *, lossy: bool) -> _Read:
    """Tell two levels, soft edges and class indices apart, by the values and their layout."""
    if values.dtype == np.uint8:
        levels = np.flatnonzero(np.bincount(values.ravel(), minlength=256)).astype(np.float64)
    else:
        levels = np.unique(values).astype(np.float64)
    marked = levels[levels != 0]
    if len(marked) == 0:
        return np.zeros(values.shape, np.int64), {}
    top, name = float(levels[-1]), _number(float(levels[-1]))
    if lossy and top < _FEW:
        raise DatasetError("it has indices, which its lossy compression does not keep apart: save it as PNG.")
    if len(levels) == 1 or (len(marked) == 1 and levels[0] == 0):
        return (values == top).astype(np.int64), {1: name}
    if levels[0] < 0:
        raise DatasetError("it has values below zero: save it in black and white.")
    between = marked[:-1]
    if not lossy and len(levels) == 2 and top in _WHITES and levels[0] <= _LARGEST_INDEX:
        raise DatasetError(
            f"it only has the values {_number(levels[0])} and {name}, of which the first may be the background or a "
            "class: save it in black and white."
        )
    if lossy:
        _refuse_several_levels(values)
    if lossy or _soft(values, between, top):
        _refuse_photographs(values, top)
        return (values > top / 2).astype(np.int64), {1: name}
    if (levels != np.round(levels)).any():
        raise DatasetError("it has areas of several fractions: save it in black and white, or as whole numbers.")
    whole = values.astype(np.int64)
    if top in _WHITES and between[0] <= _LARGEST_INDEX:
        whole[whole == int(top)] = 0
    return _labelled(whole, str)


_Grey = npt.NDArray[np.uint8] | npt.NDArray[np.float64]


def _soft(values: _Grey, between: _Grey, top: float) -> bool:
    """Whether the levels ``between`` black and the brightest are the soft edges of one object and not labels.

    Labels fill areas, in which a pixel has the value of its eight neighbours; across a soft edge values change.

    Raises:
        DatasetError: when both are possible.
    """
    if top <= 1:
        return True
    few, small = len(between) < _FEW, between[-1] <= _LARGEST_INDEX
    if top <= _LARGEST_INDEX or (few and top not in _WHITES) or (few and small):
        return False
    if len(between) >= _MANY and top <= 255:
        return True
    # A soft edge of a single level is one pixel wide; the unknown zone of a trimap is wider.
    kernel = np.ones((2, 2) if len(between) == 1 else (3, 3), np.uint8)
    picture = values.astype(np.float32)
    even = cv2.erode(picture, kernel) == cv2.dilate(picture, kernel)
    inside = np.isin(values, between)
    share = float((even & inside).sum() / inside.sum())
    if _SOFT < share < _FLAT and between[0] > _LARGEST_INDEX:
        shown = ", ".join(_number(float(level)) for level in [*between[:6], top])
        raise DatasetError(f"its grey levels ({shown}) may be soft edges or classes: save it in black and white.")
    return share <= _SOFT


def _refuse_several_levels(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.float64]) -> None:
    """Refuse a lossy file whose even areas differ in brightness or colour: it cannot tell its classes apart.

    Args:
        pixels: (height, width), or (height, width, 3).

    Raises:
        DatasetError: when they differ.
    """
    shades, kernel = pixels.astype(np.float32), np.ones((5, 5), np.uint8)
    top = float(shades.max())
    ranges = cv2.dilate(shades, kernel) - cv2.erode(shades, kernel)
    layers = shades.reshape(*shades.shape[:2], -1)
    even = (ranges.reshape(layers.shape) <= _EVEN * top).all(axis=2) & (layers.max(axis=2) > _DARK * top)
    if even.any() and float(np.ptp(np.percentile(layers[even], (2, 98), axis=0), axis=0).max()) > _APART * top:
        raise DatasetError(
            "it has areas of several colours or grey levels, which its lossy compression does not keep apart: save it "
            "as PNG."
        )


def _refuse_photographs(values: _Grey, top: float) -> None:
    grey = (values > top / 4) & (values < top * 3 / 4)
    if values.size > 1000 and float(grey.mean()) > _GREY:
        raise DatasetError("much of it is neither black nor white: is it a picture? Save masks in black and white.")


def _labelled(values: npt.NDArray[np.int64], name: Callable[[int], str]) -> _Read:
    return values, {int(value): name(int(value)) for value in np.unique(values) if value}


def _is_grey(colours: npt.NDArray[np.integer], *, tolerance: int) -> bool:
    darkest, brightest = _extremes(colours)
    return bool((brightest - darkest <= tolerance).all())


_Channels = TypeVar("_Channels", bound=np.integer)


def _extremes(colours: npt.NDArray[_Channels]) -> tuple[npt.NDArray[_Channels], npt.NDArray[_Channels]]:
    """The smallest and the largest channel of colours (..., 3); ten times as fast as numpy's own of the last axis."""
    red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
    return np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"
