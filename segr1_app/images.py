"""Import of pictures and masks: whatever a person hands over becomes upright 8-bit RGB or bool once, or an error."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from segr1_app.domain import DatasetError, ImageSize, Mask, PictureError, RgbPixels

MAX_PIXELS = 64_000_000
"""Largest picture taken, in pixels."""
IMAGE_SUFFIXES = frozenset(
    {".apng", ".avif", ".avifs", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".png"}
    | {".tif", ".tiff", ".webp"}
)
"""File name endings, in lower case, by which pictures in a folder are known. Those of HEIC are there although it is not
read: such a picture is named, not passed over."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An upright picture.

    Attributes:
        pixels: uint8 RGB (height, width, 3), not to be written to.
        sha256: hex digest of size and pixels: the same picture has the same one, whatever file it came in.
    """

    pixels: RgbPixels
    sha256: str

    @property
    def size(self) -> ImageSize:
        """(width, height) in pixels."""
        height, width = self.pixels.shape[:2]
        return ImageSize(width, height)


def load_picture(source: Path | bytes) -> Picture:
    """Read a picture from a file or from a file's content.

    EXIF rotation is applied; grey, palette, 16-bit, CMYK and alpha become RGB (transparent parts turn white); of an
    animation the first frame is taken.

    Raises:
        PictureError: when it is missing, no picture, truncated, or larger than 64 megapixels.
    """
    name = f"'{source.name}'" if isinstance(source, Path) else "The picture"
    try:
        with warnings.catch_warnings():
            # Pillow warns below our own limit, which is checked before anything is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
                return picture_from_pil(image)
    except PictureError as error:
        raise PictureError(f"{name}: {error}") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name}: {_too_large()}") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{name} is not a picture that can be read: give a JPEG, PNG, WebP or TIFF file.") from error
    except FileNotFoundError as error:
        raise PictureError(f"There is no file '{source!s}'.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        # Pillow's decoders raise any of these on truncated or hostile content.
        raise PictureError(f"{name} is damaged or truncated and cannot be read ({error}).") from error


def picture_from_pil(image: Image.Image) -> Picture:
    """A Pillow image as a picture.

    Raises:
        PictureError: when it is larger than 64 megapixels or has no area.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError(_too_large(f"Its size of {width} x {height} pixels"))
    return picture_from_array(np.asarray(_to_rgb(ImageOps.exif_transpose(image))))


def picture_from_array(pixels: npt.NDArray[np.uint8]) -> Picture:
    """A uint8 RGB array (height, width, 3) as a picture; the array is copied.

    Raises:
        PictureError: when its shape or dtype is another, or it is too large or empty.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise PictureError(
            f"A picture is a non-empty uint8 array (height, width, 3), not {pixels.dtype} {pixels.shape}."
        )
    height, width = pixels.shape[:2]
    if width * height > MAX_PIXELS:
        raise PictureError(_too_large(f"Its size of {width} x {height} pixels"))
    own: RgbPixels = np.array(pixels, order="C", copy=True)
    own.flags.writeable = False
    digest = hashlib.sha256(f"{width}x{height}:".encode())
    digest.update(own.data)
    return Picture(own, digest.hexdigest())


def load_mask(source: Path | bytes) -> Mask:
    """A mask file, or a file's content, as bool (height, width).

    Foreground is what exceeds half of the file's own brightest value. So a mask of 0 and 1 reads as one of 0 and 255,
    in 8 as in 16 bit, and soft edges are cut at one half; an all-black file is an empty mask.

    Raises:
        DatasetError: when the file cannot be read as an image, or is larger than any picture.
    """
    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as file:
            if file.width * file.height > MAX_PIXELS:
                raise DatasetError(_too_large(f"The mask's size of {file.width} x {file.height} pixels"))
            # A palette's indices are the labels; any other colour mode is a grey picture in disguise.
            grey = file if file.mode in {"1", "L", "P", "I", "F"} or file.mode.startswith("I;16") else file.convert("L")
            values = np.asarray(grey).astype(np.float64)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        name = f"The mask '{source}'" if isinstance(source, Path) else "The mask"
        raise DatasetError(f"{name} cannot be read: {error}") from error
    mask: Mask = values > values.max(initial=0) / 2
    return mask


def _too_large(what: str = "It") -> str:
    return f"{what} exceeds the {MAX_PIXELS // 1_000_000} megapixels that are taken: scale the picture down first."


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes as 8-bit RGB."""
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        return Image.fromarray(_stretch(np.asarray(image).astype(np.float64))).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        ground = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(ground, layered).convert("RGB")
    return image.convert("RGB")


def _stretch(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Grey values of any range as 8 bit: 16-bit pictures by their top byte, floats in [0, 1] by their value."""
    top = values.max(initial=0)
    scale = 1.0 if top <= 0 else 255.0 if top <= 1 else 1.0 if top <= 255 else 1 / 257 if top <= 65535 else 255.0 / top
    scaled: npt.NDArray[np.uint8] = (values * scale).round().clip(0, 255).astype(np.uint8)
    return scaled
