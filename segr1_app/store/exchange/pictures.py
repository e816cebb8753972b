"""Pictures with masks of the same name as ground truth."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from segr1_app.domain import DatasetError, SegR1Error
from segr1_app.images import load_picture
from segr1_app.masks import load_mask
from segr1_app.store.exchange.cells import cell_text
from segr1_app.store.exchange.files import Entry, Files, is_picture, translate_read_errors
from segr1_app.store.exchange.mask_export import COLUMNS, INDEX_NAME
from segr1_app.store.exchange.outcomes import add_task
from segr1_app.store.store import AnnotationStore

PICTURES_FOLDER, MASKS_FOLDER = "images", "masks"
_PAIRED: Final = frozenset({PICTURES_FOLDER, MASKS_FOLDER})


@dataclass(frozen=True, slots=True)
class Source:
    """A picture that is to be imported, and what lies beside it.

    Attributes:
        picture: its file.
        mask: its true mask.
        name: what to call it; None for its file's name.
        instruction: what its mask is of; None where nothing says so.
    """

    picture: Entry
    mask: Entry | None = None
    name: str | None = None
    instruction: str | None = None


def find_pictures(files: Files) -> Iterator[Source | str]:
    """The pictures among some files, in order, or a sentence for each mask that has none.

    What lies in a folder called ``masks`` is a mask: ``masks/a.png`` is that of ``a.jpg`` and of ``images/a.jpg``, and
    ``train/masks/a.png`` that of ``train/images/a.jpg``. An ``index.csv`` beside those folders, as `export_masks`
    writes it, says what each is called and what its mask is of.
    """
    pictures: list[PurePosixPath] = []
    masks: dict[tuple[str, ...], Entry] = {}
    index: dict[tuple[str, ...], Mapping[str, str]] = {}
    for name in files.names():
        if name.name == INDEX_NAME:
            yield from _read_index(Entry(files, name), index)
        if not is_picture(name):
            continue
        if MASKS_FOLDER not in name.parts[:-1]:
            pictures.append(name)
        elif _pair(name) in masks:
            yield f"{files.display_name(name)}: there is another mask of this name already."
        else:
            masks[_pair(name)] = Entry(files, name)
    for name in pictures:
        row = index.get(_pair(name), {})
        yield Source(Entry(files, name), masks.get(_pair(name)), row.get("picture"), row.get("instruction"))
    taken = {_pair(name) for name in pictures}
    yield from (_lonely(mask) for key, mask in masks.items() if key not in taken)


def find_masks(sources: Sequence[Files]) -> dict[str, Entry]:
    """The mask files among some files, by stem.

    Raises:
        DatasetError: when two of them share a stem.
    """
    found: dict[str, Entry] = {}
    for entry in (Entry(files, name) for files in sources for name in files.names()):
        if not is_picture(entry.name):
            continue
        if entry.name.stem in found:
            raise DatasetError(f"'{entry}' and '{found[entry.name.stem]}' share one name: which is the picture's mask?")
        found[entry.name.stem] = entry
    return found


def import_pictures(
    store: AnnotationStore,
    sources: Iterable[Source | str],
    instruction: str,
    masks: Mapping[str, Entry],
    used: set[str],
) -> Iterator[str | None]:
    """Make a task of each picture; a sentence for each that could not be taken, None or a `Notice` for each that was.

    Args:
        store: where to.
        sources: from `find_pictures`.
        instruction: what to segment in those that say nothing else.
        masks: true masks, by stem; they come before those that lie beside the pictures.
        used: gets the stems of the masks that were taken.
    """
    for source in sources:
        if isinstance(source, str):
            yield source
            continue
        try:
            stem = source.picture.name.stem
            picture = load_picture(source.picture.read())
            mask = masks.get(stem, source.mask)
            truth = load_mask(mask.read()) if mask else None
            sha256 = store.add_picture(picture, source.name or source.picture.name.name)
            outcome = add_task(store, sha256, source.instruction or instruction, truth, str(source.picture))
        except SegR1Error as error:
            yield f"{source.picture}: {error}"
            continue
        used.add(stem)
        yield outcome


def without_pictures(masks: Mapping[str, Entry], used: Collection[str]) -> Iterator[str]:
    """A sentence for each mask that no picture took."""
    yield from (_lonely(mask) for stem, mask in masks.items() if stem not in used)


def _read_index(entry: Entry, index: dict[tuple[str, ...], Mapping[str, str]]) -> Iterator[str]:
    """Add the rows of an index, by `_pair`; a sentence when it cannot be read. One of other columns is no index."""
    try:
        with translate_read_errors("it"):
            # Spreadsheets begin what they save with a mark of its encoding.
            text = entry.read().decode("utf-8-sig")
        rows = csv.DictReader(io.StringIO(text, newline=""))
        if not {"stem", "instruction"} <= set(rows.fieldnames or ()):
            return
        for row in rows:
            known = {name: cell_text(cell) for name, cell in row.items() if name in COLUMNS and cell}
            index[*_pair(entry.name)[:-1], known.get("stem", "")] = known
    except DatasetError as error:
        yield f"{entry}: its instructions are not used: {error}"
    except csv.Error as error:
        yield f"{entry}: its instructions are not used: it is no table of comma-separated values ({error})."


def _lonely(mask: Entry) -> str:
    return f"{mask}: there is no picture called {mask.name.stem}."


def _pair(name: PurePosixPath) -> tuple[str, ...]:
    """What a picture and its mask have in common."""
    return (*(part for part in name.parts[:-1] if part not in _PAIRED), name.stem)
