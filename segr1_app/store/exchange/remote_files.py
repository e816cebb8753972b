"""Files at an address: whatever fsspec opens (s3://, gs://, https://, memory:), with the package for it installed."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import fsspec

from segr1_app.domain import DatasetError
from segr1_app.files.folders import is_clutter
from segr1_app.store.exchange.archives import is_archive, open_archive
from segr1_app.store.exchange.files import Files

_ERRORS: Final = {
    "aiohttp": "ClientError",
    "httpx": "HTTPError",
    "httpx2": "HTTPError",
    "botocore.exceptions": "BotoCoreError",
    "gcsfs.retry": "HttpError",
    "google.auth.exceptions": "GoogleAuthError",
}
"""Base classes of errors other than OSError, by the module that defines them."""


def is_address(text: str) -> bool:
    """Whether a text is an address instead of a local path."""
    return "://" in text or text.startswith("memory:")


@contextmanager
def open_address(address: str) -> Iterator[tuple[Files, Sequence[PurePosixPath]]]:
    """The files at an address, and the names of those to import.

    An archive is fetched once, into a temporary file without a name that goes with this process.

    Raises:
        DatasetError: when it cannot be reached, or the package for it is not installed.
    """
    try:
        system, root = fsspec.core.url_to_fs(address)
        single = system.isfile(root)
        name = PurePosixPath(root)
        if single and is_archive(Path(name.name)):
            with tempfile.TemporaryDirectory(prefix="segr1-") as folder:
                fetched = Path(folder) / name.name
                with system.open(root, "rb") as source, fetched.open("wb") as target:
                    shutil.copyfileobj(source, target)
                with open_archive(fetched) as archive:
                    yield archive, archive.names()
            return
        files = RemoteFiles(system, str(name.parent) if single else root, address)
        if not files.names():
            raise DatasetError(f"There are no files at {address}, or it cannot be reached.")
        yield files, [PurePosixPath(name.name)] if single else files.names()
    except ImportError as error:
        raise DatasetError(f"{address}: {error}. Such addresses need these packages beside this one.") from error
    except _errors_of_backends() as error:
        raise DatasetError(f"{address} cannot be read ({str(error)[:200] or type(error).__name__}).") from error


def _errors_of_backends() -> tuple[type[Exception], ...]:
    """What the packages that fsspec has loaded raise when a server refuses or breaks off."""
    known = (getattr(sys.modules[module], name) for module, name in _ERRORS.items() if module in sys.modules)
    return (OSError, ValueError, *known)


class RemoteFiles:
    """The files below an address.

    Args:
        system: fsspec's file system.
        root: where they are in it.
        address: as given by the user, for messages.
    """

    notes: Sequence[str] = ()

    def __init__(self, system: Any, root: str, address: str) -> None:
        self._system = system
        self._root = root.rstrip("/")
        self._address = address.rstrip("/")
        found = (PurePosixPath(path).relative_to(self._root) for path in system.find(self._root))
        self._names = sorted(name for name in found if not is_clutter(name) and ".." not in name.parts)

    def names(self) -> Sequence[PurePosixPath]:
        return self._names

    def holds(self, name: PurePosixPath) -> bool:
        return name in self._names

    def open(self, name: PurePosixPath) -> IO[bytes]:
        opened: IO[bytes] = self._system.open(f"{self._root}/{name}", "rb")
        return opened

    def size(self, name: PurePosixPath) -> int:
        return int(self._system.size(f"{self._root}/{name}") or 0)

    def display_name(self, name: PurePosixPath) -> str:
        return f"{self._address}/{name}"

    def aliases(self, _: PurePosixPath) -> Sequence[str]:
        return ()
