"""Load pictures: any supported file becomes upright 8-bit RGB, or an error."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from segr1_app.domain import ImageSize, PictureError, RgbPixels
from segr1_app.images.bitmaps import grey_bitmap, is_misread
from segr1_app.images.budget import Budget
from segr1_app.images.jpeg_metadata import strip_jpeg
from segr1_app.images.webp_metadata import strip_webp

MAX_PIXELS = 64_000_000
"""Largest accepted picture, in pixels."""
PIXELS_AT_ONCE = 2 * MAX_PIXELS
"""Largest number of pixels that are decoded at the same time, over all threads: a file of 40 bytes may have 64
megapixels, and each pixel takes 7 bytes while it is decoded, in WebP files 16.
"""
STRIP_PIXELS = 2**20
"""About how many pixels are converted at once, so that no step needs memory for a whole picture."""


def _heif() -> tuple[str, ...]:
    """Pillow's name for HEIC, if ``pillow-heif`` is installed to read it."""
    try:
        heif = importlib.import_module("pillow_heif")
    except ImportError:
        return ()
    heif.register_heif_opener(thumbnails=False)
    return ("HEIF",)


FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", *_heif())
"""Accepted formats by Pillow's names, whatever a file is called; JPEG includes MPO. Some others are left out for
safety: for EPS, Pillow would start an external program.
"""
IMAGE_SUFFIXES = frozenset(
    {".apng", ".avif", ".avifs", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".png"}
    | {".tif", ".tiff", ".webp"}
)
"""Lower-case file name extensions of pictures in a folder. HEIC is included even where it cannot be read, so that
such a picture is reported and not ignored.
"""

_HOSTILE = (
    # What Pillow raises on damaged or hostile bytes. Its parsers trust the file: they unpack, look up, divide by and
    # seek to its values without checks.
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that turns a picture upright, by its EXIF orientation tag (Exif 2.32, 4.6.4)."""
_SIDEWAYS = frozenset({5, 6, 7, 8})
"""Orientations that swap width and height."""
_LOSSY = frozenset({"JPEG", "MPO", "AVIF"})
_WHITES = {"I": (65535,), "F": (1, 255, 65535)}
"""Candidate white levels by number format; integers are 16 bit, as written by Pillow."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Picture:
    """An upright picture.

    Attributes:
        pixels: uint8 RGB (height, width, 3), read-only.
        sha256: hex digest of size and pixels: equal pictures have equal digests, whatever file they came from.
    """

    pixels: RgbPixels
    sha256: str

    @property
    def size(self) -> ImageSize:
        """(width, height) in pixels."""
        height, width = self.pixels.shape[:2]
        return ImageSize(width, height)


def load_picture(source: str | os.PathLike[str] | bytes) -> Picture:
    """Read a picture from a path, or from a file's content given as bytes.

    EXIF rotation is applied; grey, palette, 16-bit, CMYK and alpha become RGB (transparent parts turn white); the first
    frame of an animation is used.

    Raises:
        PictureError: when it is missing, a folder, unreadable for this user, of an unsupported format, damaged,
            truncated, hostile, larger than 64 megapixels, or has values that are not finite.
    """
    return load_oriented(source).picture


ORIGINAL_ENDINGS = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "AVIF": ".avif"}
"""Formats whose files can be kept, because every installation reads them, by Pillow's names; and their extensions."""
_KEPT_MODES = frozenset({"1", "L", "P", "RGB", "CMYK"})
"""Kinds of pixels that become RGB without loss of what is shown, by Pillow's names."""
_SMALL = 64 * 2**10
"""Bytes that a file may have although its pixels have fewer: headers and metadata."""


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """A file that can be kept in place of its picture's pixels, because it is decoded to them.

    Attributes:
        content: all of it, with its metadata; of a file with an EXIF orientation, this is the only metadata.
        ending: of its name, one of `ORIGINAL_ENDINGS`.
    """

    content: bytes
    ending: str


@dataclass(frozen=True, slots=True, eq=False)
class OrientedPicture:
    """A picture as displayed, and the orientation of its stored pixels.

    Attributes:
        picture: upright.
        orientation: value of the file's EXIF orientation tag, 1 to 8; 1 for pixels that are stored upright.
        original: the file itself, when it can be kept; only for content that was given as bytes.
    """

    picture: Picture
    orientation: int
    original: Original | None = None


def load_oriented(source: str | os.PathLike[str] | bytes) -> OrientedPicture:
    """As `load_picture`, with the orientation that was applied: tools that ignore EXIF annotate the file's own pixels.

    Raises:
        PictureError: as `load_picture`.
    """
    file = source if isinstance(source, bytes) else Path(source)
    with opened(file, f"'{file.name}'" if isinstance(file, Path) else "The file") as image:
        picture, orientation = picture_from_pil(image), orientation_of(image)
        ending = _original_ending(image)
    if ending is None or not isinstance(file, bytes):
        return OrientedPicture(picture, orientation)
    content = file if orientation == 1 else _with_orientation_only(file, picture, orientation, ending)
    # What follows the picture in its file could be of any size.
    if content is None or len(content) > max(picture.pixels.nbytes, _SMALL):
        return OrientedPicture(picture, orientation)
    return OrientedPicture(picture, orientation, Original(content, ending))


def _original_ending(image: Image.Image) -> str | None:
    """The ending of a file that can be kept; None for one that shows more than one opaque picture of 8 bits."""
    still = image.format == "MPO" or not getattr(image, "is_animated", False)
    kept = still and image.mode in _KEPT_MODES and not image.has_transparency_data
    return ORIGINAL_ENDINGS.get(image.format or "") if kept else None


def _with_orientation_only(content: bytes, picture: Picture, orientation: int, ending: str) -> bytes | None:
    """A rotated file without the rest of its metadata; None for one of which that cannot be made."""
    strip = {".jpg": strip_jpeg, ".webp": strip_webp}.get(ending)
    kept = strip(content, orientation) if strip else None
    if kept is None or kept == content:
        return kept
    try:
        return kept if load_picture(kept).sha256 == picture.sha256 else None
    except PictureError:
        return None


def is_plain(path: Path) -> bool:
    """Whether a file that was kept shows its picture in any program: its pixels are RGB and stored upright.

    Raises:
        PictureError: when it cannot be read.
    """
    with _recognised(path, "") as (image, _):
        return image.format != "AVIF" and image.mode == "RGB" and _header_orientation(image) == 1


def picture_from_pil(image: Image.Image) -> Picture:
    """A Pillow image as a picture.

    16-bit values are scaled by the range of the format, not of the picture: 65535 is always white. Number formats
    without a defined white use the smallest level that covers the values: 1, 255 or 65535 for floats, else their
    maximum.

    Raises:
        PictureError: when it is larger than 64 megapixels, has no area, or has values that are not finite.
    """
    _check_size(image)
    turned = upright(image)
    white = _white(turned) if is_deep(turned) else None
    pixels = np.empty((turned.height, turned.width, 3), np.uint8)
    for top, strip in _strips(turned):
        pixels[top : top + strip.height] = np.asarray(_to_rgb(strip, white))
    return _owning(pixels)


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """An image in strips of its full width from top to bottom, each with its first row."""
    rows = max(1, STRIP_PIXELS // max(1, image.width))
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def picture_from_array(pixels: npt.NDArray[np.uint8]) -> Picture:
    """A uint8 RGB array (height, width, 3) as a picture; the array is copied.

    Raises:
        PictureError: for another shape or dtype, or when it is too large or empty.
    """
    return _owning(np.array(pixels, order="C", copy=True))


def _owning(pixels: npt.NDArray[np.uint8]) -> Picture:
    """As `picture_from_array`, of an array in C order that nothing else refers to."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise PictureError(
            f"A picture is a non-empty uint8 array (height, width, 3), not {pixels.dtype} {pixels.shape}."
        )
    height, width = pixels.shape[:2]
    if width * height > MAX_PIXELS:
        raise PictureError(_too_large(f"Its size of {width} x {height} pixels"))
    pixels.flags.writeable = False
    digest = hashlib.sha256(f"{width}x{height}:".encode())
    digest.update(pixels.data)
    return Picture(pixels, digest.hexdigest())


_DECODING = Budget(PIXELS_AT_ONCE)


@contextmanager
def opened(source: Path | bytes, name: str) -> Iterator[Image.Image]:
    """Open a file as an image of acceptable size, to be decoded within the block.

    Errors, also from decoding, become a `PictureError` that calls the file ``name``, or "it" where that is empty. The
    block begins when few enough pixels are being decoded by others.
    """
    with _recognised(source, name) as (image, content), _DECODING.taken(image.width * image.height):
        yield grey_bitmap(content) if is_misread(image, content) else image


def header_size(source: Path | bytes, name: str) -> ImageSize:
    """The size of a picture as its file's header has it; of a JPEG or WebP file, after it is turned upright.

    Raises:
        PictureError: when it cannot be read, see `load_picture`.
    """
    with _recognised(source, name) as (image, _):
        width, height = image.size
        return ImageSize(height, width) if _header_orientation(image) in _SIDEWAYS else ImageSize(width, height)


@contextmanager
def _recognised(source: Path | bytes, name: str) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """A file of which only the header was read, and its content; errors are those of `opened`."""
    prefix, called = (f"{name}: ", name) if name else ("", "it")
    with _content(source) as content, warnings.catch_warnings():
        # Pillow warns below our own limit, which is checked before anything is decoded.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(content, formats=FORMATS) as image:
                _check_size(image)
                yield image, content
        except PictureError as error:
            raise PictureError(f"{prefix}{error}") from error
        except Image.DecompressionBombError as error:
            raise PictureError(f"{prefix}{_too_large()}") from error
        except UnidentifiedImageError as error:
            raise PictureError(
                f"{called} is not a picture that can be read: give a JPEG, PNG, WebP or TIFF file."
            ) from error
        except _HOSTILE as error:
            raise PictureError(f"{called} is damaged or truncated and cannot be read ({error}).") from error


def is_lossy(image: Image.Image, source: Path | bytes) -> bool:
    """Whether a file was compressed in a way that changes its values.

    Args:
        image: the file, opened by `opened`.
        source: the same file, or its content.
    """
    if image.format == "WEBP":
        with _content(source) as content:
            return not _is_lossless_webp(content.read())
    return image.format in _LOSSY or image.info.get("compression") == "jpeg"


def _is_lossless_webp(content: bytes) -> bool:
    """Whether the first frame of a WebP file is of the lossless kind (RFC 9649)."""
    place = len(b"RIFF....WEBP")
    while place + 8 <= len(content):
        kind, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        if kind in {b"VP8 ", b"VP8L"}:
            return kind == b"VP8L"
        # The header of an animation's frame has 16 bytes, and then come the frame's own chunks.
        place += 8 + (16 if kind == b"ANMF" else size + size % 2)
    return False


def _content(source: Path | bytes) -> BinaryIO:
    """A file's content as a stream; an operating system error is reported as such, and not as a damaged file."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return source.open("rb")
    except FileNotFoundError as error:
        raise PictureError(f"There is no file '{source}'.") from error
    except IsADirectoryError as error:
        raise PictureError(f"'{source}' is a folder, not a picture.") from error
    except PermissionError as error:
        raise PictureError(f"'{source}' is not readable for this user: change its permissions.") from error
    except OSError as error:
        raise PictureError(f"'{source}' cannot be opened ({error.strerror}).") from error


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(_too_large(f"Its size of {image.width} x {image.height} pixels"))


def _too_large(what: str = "It") -> str:
    return f"{what} exceeds the limit of {MAX_PIXELS // 1_000_000} megapixels: scale the picture down first."


def orientation_of(image: Image.Image) -> int:
    """The value of an image's EXIF orientation tag, 1 to 8; 1 where there is none, or no valid one."""
    image.load()  # some decoders rotate the picture themselves and then drop the tag
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in UPRIGHT else 1


def _header_orientation(image: Image.Image) -> int:
    """The same without pixels being decoded, for JPEG and WebP; 1 for others, where the tag may come after them."""
    value = image.getexif().get(ExifTags.Base.Orientation, 1) if image.format in {"JPEG", "MPO", "WEBP"} else 1
    return value if value in UPRIGHT else 1


def upright(image: Image.Image) -> Image.Image:
    """Rotate an image upright. Only the orientation tag is read: Pillow's `exif_transpose` would also rewrite the
    whole EXIF block.
    """
    turn = UPRIGHT.get(orientation_of(image))
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image, white: float | None) -> Image.Image:
    """Convert an image of any Pillow mode to 8-bit RGB; one that `is_deep` by the value that is its white."""
    if white is not None:
        scaled = (finite_values(image) * (255 / white)).round().clip(0, 255)
        return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        ground = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(ground, layered).convert("RGB")
    return image.convert("RGB")


def is_deep(image: Image.Image) -> bool:
    """Whether its values are grey levels of more than 8 bits."""
    return image.mode in {"I", "F"} or image.mode.startswith("I;16")


def finite_values(image: Image.Image) -> npt.NDArray[np.float64]:
    """The values of a grey image, float64 (height, width), all finite."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise PictureError("Some of its values are infinite or not a number: replace them, or save it in 8 bit.")
    return values


def _white(image: Image.Image) -> float:
    """The white of a deep image: the first level of its number format that no value exceeds, else its brightest value.

    Raises:
        PictureError: when some of its values are not finite.
    """
    top = max(float(finite_values(strip).max(initial=0)) for _, strip in _strips(image))
    return next((white for white in _WHITES[image.mode[0]] if top <= white), top)
