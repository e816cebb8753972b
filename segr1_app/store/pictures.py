"""The pictures' files: the original file where it can be kept, else a PNG. No name from outside decides a path.

A picture is its upright RGB pixels, and `Picture.sha256` is their digest. A PNG that is made of them is named by it. An
original is named by the digest of its bytes: decoders of JPEG and WebP may differ in the last bit from one version to
the next, so the pixels alone would not tell a file that was damaged from one that another decoder reads.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from PIL import Image

from segr1_app.domain import ImageSize, PictureError, StoreDamagedError
from segr1_app.files.atomic import whole_file
from segr1_app.images.pictures import ORIGINAL_ENDINGS, Original, Picture, header_size, load_oriented, load_picture
from segr1_app.store.connection import translate_errors

_DIGEST: Final = re.compile("[0-9a-f]{64}")
_ENDINGS: Final = sorted(set(ORIGINAL_ENDINGS.values()))
ORIGINAL_NAME: Final = f"[0-9a-f]{{64}}({'|'.join(map(re.escape, _ENDINGS))})"
"""What an original's file is called, as a regular expression."""


def original_name(original: Original) -> str:
    """The name of an original's file."""
    return f"{hashlib.sha256(original.content).hexdigest()}{original.ending}"


def file_name(sha256: str, original: str | None = None) -> str:
    """The name of a picture's file.

    Args:
        sha256: the digest of the picture.
        original: the name of its original's file; None when it has none.

    Raises:
        ValueError: for anything but the digest of a `Picture` and a name by `original_name`.
    """
    if not _DIGEST.fullmatch(sha256):
        raise ValueError(f"a picture's file name is its SHA-256 in hex, not {sha256!r}")
    if original is None:
        return f"{sha256}.png"
    if not re.fullmatch(ORIGINAL_NAME, original):
        raise ValueError(f"an original's file name is its SHA-256 in hex and its extension, not {original!r}")
    return original


def read_picture(content: bytes, sha256: str, original: str | None) -> tuple[Picture, Original | None]:
    """A picture from elsewhere, from the content of its file, which must be what both of its names say.

    Args:
        content: all of the file.
        sha256, original: see `file_name`.

    Raises:
        StoreDamagedError: when it is not.
    """
    try:
        seen = load_oriented(content)
    except PictureError as error:
        raise StoreDamagedError(f"The picture {sha256[:12]} cannot be read: {error}") from error
    if original is None:
        kept = None
    elif seen.original is not None and original_name(seen.original) == original:
        kept = seen.original
    else:
        raise StoreDamagedError(f"The file of the picture {sha256[:12]} is not the one that was stored.")
    if seen.picture.sha256 != sha256:
        other_decoder = ", or the Pillow that is installed here decodes it otherwise" if kept else ""
        raise StoreDamagedError(f"The picture {sha256[:12]} is not the one that was stored{other_decoder}.")
    return seen.picture, kept


class PictureFolder:
    """A folder of picture files that are written once and never changed.

    Args:
        folder: created when missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str, original: str | None = None) -> Path:
        """The path of a picture's file, whether it exists or not.

        Args:
            sha256, original: see `file_name`.

        Raises:
            ValueError: as `file_name`.
        """
        return self.folder / file_name(sha256, original)

    def put(self, picture: Picture, original: Original | None = None) -> str | None:
        """Store a picture; does nothing when it exists.

        Args:
            picture: the picture.
            original: the file that it was read from, to be kept as it is.

        Returns:
            The name of the original's file; None without one.

        Raises:
            StoreError: when it cannot be written.
        """
        name = None if original is None else original_name(original)
        target = self.path(picture.sha256, name)
        if target.exists():
            return name
        with translate_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_file(target, lasting=True) as file:
                if original is None:
                    # The lowest compression level: also lossless, and several times faster.
                    Image.fromarray(picture.pixels).save(file, format="PNG", compress_level=1)
                else:
                    file.write(original.content)
        return name

    def size(self, sha256: str, original: str | None = None) -> ImageSize:
        """The size that a picture's file says it has.

        Raises:
            StoreDamagedError: when it cannot be read.
        """
        try:
            return header_size(self.path(sha256, original), "")
        except (PictureError, ValueError) as error:
            raise StoreDamagedError(f"The stored picture {sha256[:12]} cannot be read: {error}") from error

    def get(self, sha256: str, original: str | None = None) -> Picture:
        """Read a picture back and check that it is the one that was stored.

        An original whose bytes are unchanged is, also where the decoder that is installed now gives other pixels.

        Raises:
            StoreDamagedError: when its file is missing, unreadable or another picture.
        """
        return Picture(self.decoded(sha256, original).pixels, sha256)

    def decoded(self, sha256: str, original: str | None = None) -> Picture:
        """As `get`, with the digest of the pixels as the installed decoder returns them.

        Raises:
            StoreDamagedError: as `get`.
        """
        try:
            path = self.path(sha256, original)
            picture = load_picture(path)
        except ValueError as error:
            raise StoreDamagedError(f"The row of a stored picture is not a digest and a file: {error}.") from error
        except PictureError as error:
            raise StoreDamagedError(f"The stored picture {sha256[:12]} cannot be read: {error}") from error
        with translate_errors():
            whole = picture.sha256 == sha256 or (
                original is not None and hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
            )
        if not whole:
            raise StoreDamagedError(f"The stored picture {sha256[:12]} is not the one that was stored.")
        return picture
