"""RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO, in their original layout.

A set's folder contains ``instances.json`` (COCO's annotations of its pictures) and ``refs(PARTITION).p``, a pickle; for
gRefCOCO ``grefs(unc).json``. The pictures are COCO's train2014. A referent has several expressions; each is a question.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from pycocotools import mask as coco

from segr1_app.domain import DatasetError, ImageSize, Mask
from segr1_app.files.json_files import read_json
from train.evaluation.benchmarks.question import Question, QuestionSet, Target

SPLITS: Final[Mapping[str, tuple[str, ...]]] = {
    "RefCOCO": ("unc/val", "unc/testA", "unc/testB", "google/val", "google/test"),
    "RefCOCO+": ("unc/val", "unc/testA", "unc/testB"),
    "RefCOCOg": ("umd/val", "umd/test", "google/val"),
    "gRefCOCO": ("unc/val", "unc/testA", "unc/testB"),
}
"""The splits by set: the partition's author, and the split's name."""
GENERALISED: Final = "gRefCOCO"
"""The set in which an expression may name several objects or none."""
NO_OBJECT: Final = -1
"""The annotation id that means no object."""
PICTURE_FOLDERS: Final = (
    "images",
    "train2014",
    "images/train2014",
    "images/mscoco/images/train2014",
    "coco/train2014",
    "coco2014/train2014",
)
"""Where the pictures may be, relative to the set's folder or one of its two parents."""


@dataclass(frozen=True, slots=True)
class _Referent:
    """The objects that a question refers to: their outlines in COCO's format, for a picture of this size."""

    image_wh: ImageSize
    outlines: tuple[Any, ...]
    name: str

    def target(self, image_wh: ImageSize) -> Target:
        if image_wh != self.image_wh:
            raise DatasetError(
                f"The picture of {self.name} is {image_wh.width} x {image_wh.height} pixels but was annotated at "
                f"{self.image_wh.width} x {self.image_wh.height}: it is not the original."
            )
        mask: Mask = np.zeros((image_wh.height, image_wh.width), dtype=np.bool_)
        try:
            for outline in self.outlines:
                mask |= _decode(outline, image_wh)
        except (TypeError, ValueError, KeyError) as error:
            raise DatasetError(f"The outline of {self.name} cannot be read: {error}") from error
        return Target(mask)


def read_referring(name: str, split: str, folder: Path) -> QuestionSet:
    """Every expression of a split.

    Args:
        name: the set's name, a key of `SPLITS`.
        split: partition and split, as in `SPLITS`.
        folder: the set's folder, or its parent, in which it is named in lower case.

    Raises:
        DatasetError: when files are missing or have unexpected contents.
    """
    base = folder if (folder / "instances.json").is_file() else folder / name.lower()
    partition, _, part = split.partition("/")
    instances = _read_json(base / "instances.json")
    if name == GENERALISED:
        references = _read_json(base / f"grefs({partition}).json")
    else:
        references = read_pickle(base / f"refs({partition}).p")
    try:
        pictures = {entry["id"]: entry for entry in instances["images"]}
        outlines = {entry["id"]: entry["segmentation"] for entry in instances["annotations"]}
        chosen = [reference for reference in references if reference["split"] == part]
        files = {reference["image_id"]: pictures[reference["image_id"]]["file_name"] for reference in chosen}
        home = _picture_folder(base, list(files.values()))
        questions = tuple(
            Question(
                f"{reference['ref_id']}/{sentence['sent_id']}",
                home / files[reference["image_id"]],
                str(sentence["sent"]),
                _referent(reference, pictures, outlines).target,
            )
            for reference in chosen
            for sentence in reference["sentences"]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"The annotations of {name} in '{base}' are malformed: {error!r}") from error
    if not questions:
        raise DatasetError(f"{name} in '{base}' has no expressions in the split {split}.")
    return QuestionSet(questions, {"referents": len(chosen), "pictures": len(files)})


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, dictionaries, strings and numbers, and rejects anything that would be imported or called."""

    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"it refers to {module_name}.{global_name}, which plain data do not need")


def read_pickle(path: Path) -> Any:
    """Read the plain values in a pickle without running any code in it.

    Raises:
        DatasetError: when it cannot be read or contains more than plain values.
    """
    try:
        with path.open("rb") as file:
            # The sets were written by Python 2, whose strings are bytes.
            return _PlainUnpickler(file, encoding="latin-1").load()
    except FileNotFoundError as error:
        raise DatasetError(f"There is no file '{path}'.") from error
    except (OSError, pickle.UnpicklingError, EOFError, ValueError, IndexError, TypeError, AttributeError) as error:
        # The unpickler raises any of these on truncated or hostile content.
        raise DatasetError(f"The pickle '{path}' cannot be read: {error}") from error


def _read_json(path: Path) -> Any:
    try:
        return read_json(path)
    except FileNotFoundError as error:
        raise DatasetError(f"There is no file '{path}'.") from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"'{path}' cannot be read: {error}") from error


def _referent(
    reference: Mapping[str, Any], pictures: Mapping[int, Mapping[str, Any]], outlines: Mapping[int, Any]
) -> _Referent:
    ids = reference["ann_id"] if isinstance(reference["ann_id"], list) else [reference["ann_id"]]
    # gRefCOCO writes -1 if an expression refers to nothing in the picture, and does not always set "no_target" too.
    nothing = reference.get("no_target") or ids == [NO_OBJECT]
    wanted = () if nothing else tuple(outlines[number] for number in ids)
    picture = pictures[reference["image_id"]]
    size = ImageSize(int(picture["width"]), int(picture["height"]))
    return _Referent(size, wanted, f"referent {reference['ref_id']}")


def _picture_folder(base: Path, files: Sequence[str]) -> Path:
    candidates = [above / name for above in (base, *base.resolve().parents[:2]) for name in PICTURE_FOLDERS]
    for folder in candidates:
        if files and (folder / files[0]).is_file():
            return folder
    if not files:
        return base
    places = ", ".join(f"'{folder}'" for folder in candidates[: len(PICTURE_FOLDERS)])
    raise DatasetError(f"'{files[0]}' is in none of the folders {places}, nor in those of the two parent folders.")


def _decode(outline: Any, image_wh: ImageSize) -> Mask:
    """A mask from COCO's polygons, or from its run lengths, compressed or not."""
    if isinstance(outline, list):
        outline = coco.merge(coco.frPyObjects(outline, image_wh.height, image_wh.width))
    elif isinstance(outline["counts"], list):
        outline = coco.frPyObjects(outline, image_wh.height, image_wh.width)
    mask: Mask = coco.decode(outline).astype(np.bool_)
    if mask.shape != (image_wh.height, image_wh.width):
        raise ValueError(f"its size is {mask.shape[1]} x {mask.shape[0]}")
    return mask
