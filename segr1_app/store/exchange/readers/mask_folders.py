"""Pictures with the mask files next to them; `pairing` assigns masks to pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from segr1_app.domain import DatasetError
from segr1_app.images.masks import Labels, read_labels
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.readers.label_names import NameFiles, find_names, names_of_file
from segr1_app.store.exchange.readers.pairing import Paired, key_of, plain
from segr1_app.store.exchange.readers.sources import Tree
from segr1_app.store.exchange.shapes import MaskPicture

_NAMED: Final = 12
"""How many classes a message lists."""


def records(tree: Tree, paired: Paired, masks: Mapping[str, Entry], used: set[str]) -> Iterator[Record | str]:
    """The pictures with their masks.

    Args:
        tree: the files.
        paired: from `pair`.
        masks: ground-truth masks given separately, by stem; they take precedence over those next to the pictures.
        used: gets the stems of those that were taken.
    """
    yield from paired.problems
    try:
        names = find_names(tree)
    except DatasetError as error:
        yield str(error)
        names = NameFiles()
    met: dict[str, None] = {}
    if paired.masks:
        yield from names.unused
    for name in paired.pictures:
        stem = plain(name.stem)
        row = paired.index.get(key_of(name), {})
        mask = masks.get(stem, paired.masks.get(name))
        if stem in masks:
            used.add(stem)
        where = tree.files.display_name(name)
        record = Record(where, tree.entry(name), row.get("picture") or name.name)
        if mask is None:
            yield replace(record, instructions=(row["instruction"],) if row.get("instruction") else ())
        else:
            yield from _masked(record, mask, row.get("instruction"), names, tree, met)
    yield from paired.unmatched
    kept = set(paired.pictures)
    for name, mask in paired.masks.items():
        if name not in kept:
            yield f"{mask} is left out: other annotations mark its picture {name}."
    asked = {key_of(name) for name in paired.pictures}
    for key in paired.index:
        if key not in asked:
            yield f"{'/'.join(key)}: its instruction is not used: there is no picture of this name."
    wanted = tree.options.label
    if met and wanted not in {None, "all"} and str(wanted).lower() not in met:
        yield f"No mask marks a class '{wanted}', only {', '.join(list(met)[:_NAMED])}."


def _masked(  # noqa: PLR0917 - arguments that are the same for all pictures come last
    record: Record,
    mask: Entry,
    instruction: str | None,
    names: NameFiles,
    tree: Tree,
    met: dict[str, None],
) -> Iterator[Record | str]:
    """A picture with the labels of its mask file: one task for each class that has a name.

    What its labels are called is added to ``met``.
    """
    which = f"its mask {mask.name}"
    try:
        labels, own_names = names_of_file(mask.name, read_labels(mask.read()), names.names_for(mask.name))
    except DatasetError as error:
        yield replace(record, parts=(Part(which, str(error), instruction=instruction),))
        return
    read = partial(_itself, labels)
    wanted = tree.options.label
    known = {value: own_names.name(labels, value) for value in labels.names}
    hints = tree.class_hints.get(mask.name.stem, frozenset())
    if len(known) == len(hints) == 1 and not any(known.values()):
        known = dict.fromkeys(known, next(iter(hints)))
    met |= dict.fromkeys(text.lower() for value, name in known.items() for text in (labels.names[value], name) if text)
    if wanted is not None and wanted != "all":
        chosen = [
            value for value, name in known.items() if wanted.lower() in {labels.names[value], (name or "").lower()}
        ]
        parts = [Part(which, MaskPicture(read, labels.names[v]), known[v], instruction) for v in chosen]
    elif instruction is not None or wanted == "all" or not (any(known.values()) or (own_names.by_label and not known)):
        parts = [Part(which, MaskPicture(read, wanted), None, instruction)]
    else:
        parts = [Part(which, MaskPicture(read, labels.names[v]), name) for v, name in known.items() if name]
        unnamed = [labels.names[value] for value, name in known.items() if name is None]
        if unnamed:
            yield f"{record.where}: {which} marks {', '.join(unnamed)}, which the labelmap does not name: left out."
    yield replace(record, parts=parts)


def _itself(labels: Labels) -> Labels:
    return labels
