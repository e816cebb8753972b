"""Folder layouts of data sets: plain ``images/`` and ``masks/``, and the original layouts of common data sets of
camouflaged and salient objects.

Of a set with training and test parts only the training part is read, so that nobody trains on a benchmark by giving its
folder.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segr1_app.domain import DatasetError
from segr1_app.files.json_files import read_json
from segr1_app.store.exchange.cells import cell_text
from train.data.pairs import PairListing, find_pairs
from train.data.scenes import Kind


@dataclass(frozen=True, slots=True)
class PairLayout:
    """A layout: the subfolders of images and masks, and the kind of objects."""

    name: str
    images: str
    masks: str
    kind: Kind = "salient"


LAYOUTS = (
    PairLayout("images and masks", "images", "masks"),
    PairLayout("COD10K-v3", "Train/Image", "Train/GT_Object", "camouflaged"),
    PairLayout("CAMO", "Images/Train", "GT", "camouflaged"),
    PairLayout("DIS5K", "DIS-TR/im", "DIS-TR/gt"),
    PairLayout("DUTS", "DUTS-TR/DUTS-TR-Image", "DUTS-TR/DUTS-TR-Mask"),
    PairLayout("DUTS", "DUTS-TR-Image", "DUTS-TR-Mask"),
    PairLayout("HKU-IS", "imgs", "gt"),
    PairLayout("ECSSD", "images", "ground_truth_mask"),
)
CAMOUFLAGED_NAMES = ("camo", "cod10k", "nc4k", "chameleon")
"""Prefixes of folder names, in lower case, that indicate camouflaged objects where the layout does not."""


INSTRUCTIONS_FILE, INDEX_FILE = "instructions.json", "index.csv"
"""Beside the folders of images and masks: the instruction of some or all pairs, a text by stem; where there is none,
the table of the app's export as masks, with the columns "stem" and "instruction"."""


@dataclass(frozen=True, slots=True)
class PairFolder:
    """A data set: its name (the folder's), its layout, the kind of its objects, and its contents.

    Attributes:
        instructions: by stem; pairs without one use the instruction of their kind.
    """

    name: str
    layout: PairLayout
    kind: Kind
    listing: PairListing
    instructions: Mapping[str, str]


def kind_of(name: str) -> Kind:
    """The kind of object in a data set of this name; training and evaluation use the same instruction for each kind."""
    return "camouflaged" if name.lower().startswith(CAMOUFLAGED_NAMES) else "salient"


def find_pair_folder(folder: Path) -> PairFolder:
    """Recognise a data set by its folders.

    Raises:
        DatasetError: when there is no such folder, it has no known layout, nothing in it can be paired, or its
            instructions cannot be read.
    """
    if not folder.is_dir():
        raise DatasetError(f"There is no folder '{folder}': give --data folders of images and masks.")
    for layout in LAYOUTS:
        images, masks = folder / layout.images, folder / layout.masks
        if images.is_dir() and masks.is_dir():
            name = folder.resolve().name
            kind: Kind = "camouflaged" if layout.kind == "camouflaged" else kind_of(name)
            return PairFolder(name, layout, kind, find_pairs(images, masks), _instructions(folder))
    known = "; ".join(f"{layout.name}: {layout.images} + {layout.masks}" for layout in LAYOUTS)
    raise DatasetError(f"'{folder}' follows no known layout ({known}).")


def _instructions(folder: Path) -> dict[str, str]:
    path = folder / INSTRUCTIONS_FILE
    if not path.is_file():
        return _indexed(folder / INDEX_FILE)
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"'{path}' cannot be read: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(text, str) and text.strip() for text in found.values()):
        raise DatasetError(
            f'\'{path}\' must contain one object of strings by stem, such as {{"cup-1": "Segment the left cup."}}.'
        )
    return found


def _indexed(path: Path) -> dict[str, str]:
    """The instructions in an export's table, by stem; empty if there is no such table, or it has other columns."""
    if not path.is_file():
        return {}
    try:
        # Spreadsheet programs write a byte order mark.
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"stem", "instruction"} <= set(rows.fieldnames or ()):
                return {}
            instructions = {cell_text(row["stem"] or ""): cell_text(row["instruction"] or "") for row in rows}
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"'{path}' cannot be read: {error}") from error
    return {stem: instruction for stem, instruction in instructions.items() if instruction.strip()}
