"""Pictures with masks of the same name as ground truth."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from segr1_app.domain import DatasetError, SegR1Error
from segr1_app.images import load_mask, load_picture
from segr1_app.store.exchange.files import Entry, Files, is_picture
from segr1_app.store.store import AnnotationStore

PICTURES_FOLDER, MASKS_FOLDER = "images", "masks"
_PAIRED: Final = frozenset({PICTURES_FOLDER, MASKS_FOLDER})


@dataclass(frozen=True, slots=True)
class Source:
    """A picture that is to be imported, and its true mask if one lies beside it."""

    picture: Entry
    mask: Entry | None = None


def find_pictures(files: Files) -> Iterator[Source | str]:
    """The pictures among some files, in order, or a sentence for each mask that has none.

    What lies in a folder called ``masks`` is a mask: ``masks/a.png`` is that of ``a.jpg`` and of ``images/a.jpg``, and
    ``train/masks/a.png`` that of ``train/images/a.jpg``.
    """
    pictures: list[PurePosixPath] = []
    masks: dict[tuple[str, ...], Entry] = {}
    for name in filter(is_picture, files.names()):
        if MASKS_FOLDER not in name.parts[:-1]:
            pictures.append(name)
        elif _pair(name) in masks:
            yield f"{files.told(name)}: there is another mask of this name already."
        else:
            masks[_pair(name)] = Entry(files, name)
    for name in pictures:
        yield Source(Entry(files, name), masks.get(_pair(name)))
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
    """Make a task of each picture; a sentence for each that could not be taken, None for each that was.

    Args:
        store: where to.
        sources: from `find_pictures`.
        instruction: what to segment in them.
        masks: true masks for this instruction, by stem; they come before those that lie beside the pictures.
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
            store.add_task(store.add_picture(picture, source.picture.name.name), instruction, truth)
        except SegR1Error as error:
            yield f"{source.picture}: {error}"
            continue
        used.add(stem)
        yield None


def without_pictures(masks: Mapping[str, Entry], used: Collection[str]) -> Iterator[str]:
    """A sentence for each mask that no picture took."""
    yield from (_lonely(mask) for stem, mask in masks.items() if stem not in used)


def _lonely(mask: Entry) -> str:
    return f"{mask}: there is no picture called {mask.name.stem}."


def _pair(name: PurePosixPath) -> tuple[str, ...]:
    """What a picture and its mask have in common."""
    return (*(part for part in name.parts[:-1] if part not in _PAIRED), name.stem)
