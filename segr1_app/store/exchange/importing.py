"""Import of whatever a person hands over, known by what lies in it. Page and command take this one path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path, PurePosixPath

from segr1_app.domain import DatasetError, SettingsError
from segr1_app.language.codec import check_instruction
from segr1_app.store.exchange.coco_import import import_coco, is_coco
from segr1_app.store.exchange.files import (
    Entry,
    Files,
    FolderFiles,
    LooseFiles,
    is_picture,
    open_archive,
    translate_read_errors,
)
from segr1_app.store.exchange.hf_import import import_hf
from segr1_app.store.exchange.hub import HubFiles, translate_hub_errors
from segr1_app.store.exchange.jsonl import FILE_NAME, import_jsonl
from segr1_app.store.exchange.pictures import Source, find_masks, find_pictures, import_pictures, without_pictures
from segr1_app.store.store import AnnotationStore


def import_paths(
    store: AnnotationStore, paths: Sequence[Path], instruction: str, masks: Sequence[Path] = ()
) -> Iterator[str | None]:
    """Take in files, folders and ZIP archives.

    A folder or an archive holds Parquet files of a Hugging Face dataset, an export of a store as JSONL, COCO files with
    their pictures, or pictures, perhaps with masks (see `find_pictures`). A single file is one of those with what it
    needs beside it, or a picture.

    Args:
        store: where to.
        paths: what to take in.
        instruction: what to segment, where nothing else says so.
        masks: true masks of the pictures under this instruction, by stem: files, folders and archives.

    Yields:
        None or a `Notice` for each record that was taken, a sentence for each that could not be.

    Raises:
        SegR1Error: when nothing at all can be done: a path that is not there, an instruction that is none, masks that
            cannot be read.
    """
    check_instruction(instruction)
    for path in (*paths, *masks):
        if not path.exists():
            raise SettingsError(f"There is no file or folder '{path}'.")
    with ExitStack() as opened:
        truths = find_masks([_opened(path, opened) for path in masks])
        used: set[str] = set()
        for path in paths:
            try:
                if path.is_dir() or _is_archive(path):
                    with ExitStack() as one:
                        yield from _import_files(store, _opened(path, one), instruction, truths, used)
                elif path.suffix.lower() in _SPEAKING:
                    yield from _import_file(store, FolderFiles(path.parent), PurePosixPath(path.name), instruction)
                else:
                    source = Source(Entry(LooseFiles([path]), PurePosixPath(path.as_posix())))
                    yield from import_pictures(store, [source], instruction, truths, used)
            except DatasetError as error:
                yield str(error)
        yield from without_pictures(truths, used)


def import_hub(
    store: AnnotationStore,
    dataset: str,
    instruction: str,
    *,
    rows: int,
    token: bool | None = None,
    endpoint: str | None = None,
) -> Iterator[str | None]:
    """Take in a dataset of the hub; no more of it is fetched than is taken.

    Args:
        store: where to.
        dataset: its id, "owner/name".
        instruction: what to segment in rows that do not say so.
        rows: how many records at most, whether they can be taken or not.
        token, endpoint: see `HubFiles`.

    Yields:
        As `import_paths` does.

    Raises:
        DatasetError: when the hub cannot be reached, does not give it out, or there is nothing in it to be taken.
    """
    check_instruction(instruction)
    with translate_hub_errors(dataset):
        files = HubFiles(dataset, token=token, endpoint=endpoint)
        if not any(is_picture(name) or name.suffix == ".parquet" for name in files.names()):
            raise DatasetError(f"The dataset '{dataset}' holds neither Parquet files nor pictures.")
        yield from islice(_import_files(store, files, instruction, {}, set()), rows)


_SPEAKING = frozenset({".json", ".jsonl", ".parquet"})
"""Endings of files that speak of many pictures."""


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def _opened(path: Path, stack: ExitStack) -> Files:
    if path.is_dir():
        return FolderFiles(path)
    return stack.enter_context(open_archive(path)) if _is_archive(path) else LooseFiles([path])


def _import_file(store: AnnotationStore, files: Files, name: PurePosixPath, instruction: str) -> Iterator[str | None]:
    """What a file speaks of, by its ending."""
    match name.suffix.lower():
        case ".parquet":
            return import_hf(store, files, name, instruction)
        case ".jsonl":
            return import_jsonl(store, files, name)
        case _:
            return import_coco(store, files, name)


def _import_files(
    store: AnnotationStore, files: Files, instruction: str, masks: Mapping[str, Entry], used: set[str]
) -> Iterator[str | None]:
    """What lies in a folder, an archive or a dataset: annotations if there are any, else the pictures."""
    names = files.names()
    tables = [name for name in names if name.suffix.lower() == ".parquet"]
    stores = [name for name in names if name.name == FILE_NAME]
    speaking = tables or stores or [name for name in names if name.suffix.lower() == ".json" and _is_coco(files, name)]
    for name in speaking:
        yield from _import_file(store, files, name, instruction)
    if not speaking:
        yield from import_pictures(store, find_pictures(files), instruction, masks, used)


def _is_coco(files: Files, name: PurePosixPath) -> bool:
    with translate_read_errors(f"'{files.display_name(name)}'"), files.open(name) as file:
        return is_coco(file)
