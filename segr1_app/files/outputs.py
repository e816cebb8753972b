"""Output files of commands: checked early, with one-sentence errors."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from segr1_app.domain import SettingsError


def titled_list(head: str, entries: Iterable[str]) -> str:
    """A heading followed by one indented line per entry."""
    return "\n  ".join([head, *entries])


def check_writable(path: Path) -> None:
    """Create the folder of a file to be written later, and check that it is writable; existing files are kept.

    Raises:
        SettingsError: when it cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"'{path.parent}' cannot be created as a folder ({error.strerror}).") from error
    with translate_write_errors(path):
        if path.is_file() or path.is_dir():
            path.open("a", encoding="utf-8").close()
        elif not path.exists():
            # Try a temporary file instead of the file itself: several processes may check at once, and none may remove
            # another's file.
            tempfile.TemporaryFile(dir=path.parent).close()


@contextmanager
def translate_write_errors(path: Path, advice: str = "give another place") -> Iterator[None]:
    """Turn an error while writing a file into one sentence that ends with ``advice``.

    Raises:
        SettingsError: when it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise SettingsError(f"'{path}' cannot be written ({error.strerror}): {advice}.") from error
