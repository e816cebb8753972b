"""The canonical pictures: one PNG each, named by its digest, so that no file name from outside decides a path."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from segr1_app.domain import ImageSize, PictureError, StoreDamagedError
from segr1_app.files.atomic import whole_file
from segr1_app.images import Picture, load_picture
from segr1_app.store.connection import translate_errors


def file_name(sha256: str) -> str:
    """The name of a picture's file.

    Raises:
        ValueError: for anything but the digest of a `Picture`.
    """
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError(f"a picture is named by its SHA-256 in hex, not by {sha256!r}")
    return f"{sha256}.png"


class PictureFolder:
    """A folder of PNG files that are written once and never changed.

    Args:
        folder: created when missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str) -> Path:
        """The path of a picture's file, whether it exists or not.

        Raises:
            ValueError: for anything but the digest of a `Picture`.
        """
        return self.folder / file_name(sha256)

    def put(self, picture: Picture) -> None:
        """Store a picture; does nothing when it exists.

        Raises:
            StoreError: when it cannot be written.
        """
        target = self.path(picture.sha256)
        if target.exists():
            return
        with translate_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_file(target, lasting=True) as file:
                # The lowest compression level: also lossless, and several times faster.
                Image.fromarray(picture.pixels).save(file, format="PNG", compress_level=1)

    def size(self, sha256: str) -> ImageSize:
        """The size that a picture's file says it has.

        Raises:
            StoreDamagedError: when it cannot be read.
        """
        try:
            with Image.open(self.path(sha256), formats=["PNG"]) as image:
                return ImageSize(*image.size)
        except (OSError, SyntaxError, ValueError) as error:
            raise StoreDamagedError(f"The stored picture {sha256[:12]} cannot be read: {error}") from error

    def get(self, sha256: str) -> Picture:
        """Read a picture back and check that it is the one that was stored.

        Raises:
            StoreDamagedError: when its file is missing, unreadable or another picture.
        """
        try:
            picture = load_picture(self.path(sha256))
        except ValueError as error:
            raise StoreDamagedError(f"A stored picture is called {sha256[:80]!r}, which is not a digest.") from error
        except PictureError as error:
            raise StoreDamagedError(f"The stored picture {sha256[:12]} cannot be read: {error}") from error
        if picture.sha256 != sha256:
            raise StoreDamagedError(f"The stored picture {sha256[:12]} is not the one that was stored.")
        return picture
