"""Pictures from files, folders and ZIP archives, with masks of the same stem as ground truth."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from segr1_app.domain import DatasetError, SegR1Error, SettingsError
from segr1_app.images import IMAGE_SUFFIXES, load_mask, load_picture
from segr1_app.store.store import AnnotationStore

MAX_FILE_BYTES: Final = 512 * 2**20
"""Largest file that is taken out of an archive; more is no picture of 64 megapixels."""
MAX_ENTRIES: Final = 200_000
"""Most files that are taken out of one archive."""


@dataclass(frozen=True, slots=True)
class Source:
    """A picture that is to be imported.

    Attributes:
        name: what to call it in messages.
        stem: what its mask is found by.
        content: its file, or the file's content once it was taken out of an archive.
    """

    name: str
    stem: str
    content: Path | bytes


def find_sources(paths: Sequence[Path]) -> Iterator[Source | str]:
    """The pictures in files, folders (with all below them) and ZIP archives, or a sentence for each that is none.

    Nothing is ever written by the name that an archive gives, and no more of a file is unpacked than may be in it.

    Raises:
        SettingsError: when a path does not exist.
    """
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file():
                    yield Source(str(file), file.stem, file)
        elif not path.exists():
            raise SettingsError(f"There is no file or folder '{path}'.")
        elif path.suffix.lower() == ".zip":
            yield from _archive(path)
        else:
            yield Source(str(path), path.stem, path)


def import_pictures(
    store: AnnotationStore, sources: Iterator[Source | str], instruction: str, masks: Mapping[str, Path]
) -> Iterator[str | None]:
    """Make a task of each picture; a sentence for each that could not be taken, None for each that was.

    Args:
        store: where to.
        sources: from `find_sources`.
        instruction: what to segment in them.
        masks: files of true masks for this instruction, by stem.
    """
    used: set[str] = set()
    for source in sources:
        if isinstance(source, str):
            yield source
            continue
        try:
            picture = load_picture(source.content)
            mask = masks.get(source.stem)
            truth = load_mask(mask) if mask else None
            store.add_task(store.add_picture(picture, PurePosixPath(source.name).name), instruction, truth)
        except SegR1Error as error:
            yield f"{source.name}: {error}"
            continue
        used.add(source.stem)
        yield None
    yield from (f"{path}: there is no picture called {stem}." for stem, path in masks.items() if stem not in used)


def find_masks(folder: Path) -> dict[str, Path]:
    """The mask files directly in a folder, by stem.

    Raises:
        DatasetError: when there is no such folder or two files share a stem.
    """
    if not folder.is_dir():
        raise DatasetError(f"There is no folder '{folder}'.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            if path.stem in found:
                raise DatasetError(f"'{path}' and '{found[path.stem]}' share one name: which is the picture's mask?")
            found[path.stem] = path
    return found


def _archive(path: Path) -> Iterator[Source | str]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if _is_picture(entry)]
            if len(entries) > MAX_ENTRIES:
                yield f"{path}: it holds more than {MAX_ENTRIES} pictures; the others are left out."
            for entry in entries[:MAX_ENTRIES]:
                yield _unpack(archive, entry, f"{path}:{entry.filename}")
    except (zipfile.BadZipFile, OSError) as error:
        yield f"{path}: it is no ZIP archive that can be read ({error})."


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> Source | str:
    """One file of an archive, in memory; what its header says of its size is not believed."""
    try:
        with archive.open(entry) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # zipfile raises a RuntimeError for what needs a password.
        return f"{name}: it cannot be unpacked ({error})."
    if len(content) > MAX_FILE_BYTES:
        return f"{name}: it unpacks to more than {MAX_FILE_BYTES // 2**20} MiB, which no picture needs."
    return Source(name, PurePosixPath(entry.filename).stem, content)


def _is_picture(entry: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(entry.filename)
    # What macOS adds to its archives looks like pictures and is none.
    return not entry.is_dir() and name.suffix.lower() in IMAGE_SUFFIXES and "__MACOSX" not in name.parts
