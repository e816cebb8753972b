"""Remotes for copies of the annotations: the interface, and its implementation for a plain folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from segr1_app.domain import RemoteError
from segr1_app.files.atomic import PARTIAL, whole_file


class Remote(Protocol):
    """Files by names such as ``records/a.jsonl``. Every method raises `RemoteError` when the remote cannot be used."""

    @property
    def name(self) -> str:
        """Identifies the remote: equal names mean the same remote."""

    @property
    def label(self) -> str:
        """Its name for display to anybody: without paths of this machine."""

    def files(self) -> dict[str, int]:
        """The name and size in bytes of every file."""

    def fetch(self, names: Sequence[str], folder: Path) -> None:
        """Copy files to ``folder/NAME``."""

    def add(self, files: Mapping[str, bytes | Path], message: str) -> None:
        """Write files, replacing previous versions; readers never see partially written files.

        Args:
            files: by name, the content or the file with the content. Once the last one exists, all of them do.
            message: a short description.
        """


class FolderRemote:
    """A folder, for instance on a network drive or in a mounted bucket.

    Args:
        folder: created if missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    @property
    def name(self) -> str:
        return str(self._folder)

    @property
    def label(self) -> str:
        return f"the folder '{self._folder.name}'"

    def files(self) -> dict[str, int]:
        with self._reached():
            self._folder.mkdir(parents=True, exist_ok=True)
            found = [path for path in self._folder.rglob("*") if path.suffix != PARTIAL and self._is_own(path)]
            return {path.relative_to(self._folder).as_posix(): path.stat().st_size for path in found}

    def fetch(self, names: Sequence[str], folder: Path) -> None:
        with self._reached():
            for name in names:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._folder / name, target)

    def add(self, files: Mapping[str, bytes | Path], message: str) -> None:  # noqa: ARG002 - a folder has no history
        with self._reached():
            for name, content in files.items():
                target = self._folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(target, lasting=True) as file:
                    if isinstance(content, Path):
                        with content.open("rb") as source:
                            shutil.copyfileobj(source, file)
                    else:
                        file.write(content)

    def _is_own(self, path: Path) -> bool:
        """Whether a path is a file of this folder, and not a link that leaves it."""
        return path.is_file() and path.resolve().is_relative_to(self._folder)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RemoteError(f"The folder '{self._folder.name}' cannot be synced with: {reason}.") from error
