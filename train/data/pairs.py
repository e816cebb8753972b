"""Find, read and pack image-mask pairs for training.

A data set is two folders, one of images and one of masks. A pair is an image and a mask with the same stem, whatever
their extensions; files are never paired by their position in a listing.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from segr1_app.domain import DatasetError, ImageSize, Mask, PictureError
from segr1_app.files.atomic import whole_folder
from segr1_app.files.outputs import titled_list
from segr1_app.images.masks import SeveralLabelsError, load_mask_of
from segr1_app.images.pictures import IMAGE_SUFFIXES, Picture, load_oriented, opened


@dataclass(frozen=True, slots=True)
class Pair:
    """An image file and the file of its mask."""

    stem: str
    image: Path
    mask: Path


@dataclass(frozen=True, slots=True)
class PairListing:
    """The contents of two folders: the pairs by stem, and the files without a partner."""

    pairs: tuple[Pair, ...]
    unpaired_images: tuple[Path, ...]
    unpaired_masks: tuple[Path, ...]

    def describe_unpaired(self) -> list[str]:
        """Lists of the files without a partner: one for images, if there are any, and one for masks."""
        sides = (("Images without a mask", self.unpaired_images), ("Masks without an image", self.unpaired_masks))
        return [
            titled_list(f"{kind} of the same name ({len(files)}):", (file.name for file in files))
            for kind, files in sides
            if files
        ]


def find_pairs(images: Path, masks: Path) -> PairListing:
    """Pair the files of two folders by stem, sorted by stem.

    Raises:
        DatasetError: when a folder is missing, a stem appears twice in one folder, or nothing can be paired.
    """
    image_files, mask_files = _by_stem(images), _by_stem(masks)
    listing = PairListing(
        pairs=tuple(
            Pair(stem, image_files[stem], mask_files[stem]) for stem in sorted(image_files.keys() & mask_files.keys())
        ),
        unpaired_images=tuple(image_files[stem] for stem in sorted(image_files.keys() - mask_files.keys())),
        unpaired_masks=tuple(mask_files[stem] for stem in sorted(mask_files.keys() - image_files.keys())),
    )
    if not listing.pairs:
        fault = f"No image in '{images}' has a mask of the same name in '{masks}': nothing to do."
        raise DatasetError("\n".join([fault, *listing.describe_unpaired()]))
    return listing


def read_mask(pair: Pair, image_wh: ImageSize, orientation: int = 1) -> Mask:
    """A pair's mask, bool (height, width), by the rules of `segr1_app.images.masks`.

    Args:
        pair: the pair.
        image_wh: its image's upright size.
        orientation: EXIF orientation of the image's file.

    Raises:
        DatasetError: when it cannot be read, is ambiguous, or differs in size from its image.
    """
    try:
        return load_mask_of(pair.mask, image_wh, orientation)
    except SeveralLabelsError as error:
        raise DatasetError(
            f"The mask '{pair.mask}' marks several classes or instances: a pair needs the mask of what is asked for, "
            "with 0 everywhere else."
        ) from error


def read_pair(pair: Pair) -> tuple[Picture, Mask]:
    """A pair's upright image and its mask in the same frame, bool (height, width).

    Raises:
        PictureError: when the image cannot be read.
        DatasetError: as `read_mask`.
    """
    seen = load_oriented(pair.image)
    return seen.picture, read_mask(pair, seen.picture.size, seen.orientation)


def load_mask_values(path: Path) -> npt.NDArray[np.generic]:
    """A mask file's raw values, (height, width).

    Raises:
        DatasetError: when it cannot be read.
    """
    try:
        with opened(path, f"The mask '{path}'") as image:
            labels = image if image.mode in {"1", "L", "P"} or image.mode[0] in "IF" else image.convert("L")
            return np.asarray(labels)
    except PictureError as error:
        raise DatasetError(str(error)) from error


def dataset_pairs(folders: Sequence[Path]) -> list[Pair]:
    """All pairs of data sets with ``images/`` and ``masks/``.

    Raises:
        DatasetError: as `find_pairs`.
    """
    return [pair for folder in folders for pair in find_pairs(folder / "images", folder / "masks").pairs]


@dataclass(frozen=True, slots=True, eq=False)
class PackedPairs:
    """Pairs squashed to a common square size, memory-mapped.

    Attributes:
        images: uint8 (N, side, side, 3), RGB.
        masks: uint8 (N, side, side), 0 or 255, so that they can be warped with linear interpolation.
        sizes: int32 (N, 2), the original (width, height).
        datasets: the name of each pair's data set.
        stems: each pair's stem.
    """

    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.int32]
    datasets: npt.NDArray[np.str_]
    stems: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.stems)


def refuse_repeated(folders: Sequence[Path]) -> None:
    """Check that no folder is given twice, however it is spelled.

    Raises:
        DatasetError: naming the one that is.
    """
    given: dict[Path, Path] = {}
    for path in folders:
        if given.setdefault(path.resolve(), path) is not path:
            raise DatasetError(f"--data names '{path}' twice: every pair would be used twice.")


def pack_pairs(folders: Sequence[Path], side: int, cache: Path) -> PackedPairs:
    """Read all pairs of ``folders`` once and cache them, squashed to ``side`` x ``side``, in the folder ``cache``.

    Another call with the same files reuses them; changed files are packed again.

    Raises:
        DatasetError: as `find_pairs` and `refuse_repeated`, and when a mask's size differs from its image's.
    """
    refuse_repeated(folders)
    pairs = [(folder.resolve().name, pair) for folder in folders for pair in dataset_pairs([folder])]
    target = cache / f"pairs-{side}-{_fingerprint(pairs)}"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        # Another process may have packed the same pairs meanwhile.
        with suppress(FileExistsError), whole_folder(target) as whole:
            _pack(pairs, side, whole)
    return PackedPairs(
        images=np.load(target / "images.npy", mmap_mode="r"),
        masks=np.load(target / "masks.npy", mmap_mode="r"),
        sizes=np.load(target / "sizes.npy"),
        datasets=np.load(target / "datasets.npy"),
        stems=np.load(target / "stems.npy"),
    )


def hold_out(pairs: PackedPairs, usable: Sequence[int], count: int) -> list[int]:
    """Indices of the pairs held out for the learning curve: deterministic by name, 40 % of them camouflaged."""
    order = sorted(usable, key=lambda i: zlib.crc32(f"{pairs.datasets[i]}/{pairs.stems[i]}".encode()))
    camouflaged = [i for i in order if pairs.datasets[i].startswith("camo")][: count * 2 // 5]
    others = [i for i in order if not pairs.datasets[i].startswith("camo")][: count - len(camouflaged)]
    return sorted(camouflaged + others)


def draw_chances(pairs: PackedPairs, drawn: Sequence[int], shares: dict[str, float]) -> npt.NDArray[np.float64]:
    """The sampling probability of each pair: named data sets get their fractions, all others are equally likely.

    Raises:
        DatasetError: when there is nothing to draw from.
    """
    if not drawn:
        raise DatasetError(f"None of the {len(pairs)} pairs is left to train on: give more pairs, or hold out fewer.")
    plain = np.zeros(len(pairs), dtype=bool)
    plain[list(drawn)] = True
    chances = np.zeros(len(pairs))
    for name, share in shares.items():
        members = plain & (pairs.datasets == name)
        if members.any():
            chances[members] = share / members.sum()
            plain &= ~members
    if plain.any():
        chances[plain] = (1 - chances.sum()) / plain.sum()
    chances /= chances.sum()
    return chances


def _fingerprint(pairs: Sequence[tuple[str, Pair]]) -> str:
    """A fingerprint that changes whenever a file is added, removed or rewritten."""
    digest = hashlib.sha256()
    for name, pair in pairs:
        states = [file.stat() for file in (pair.image, pair.mask)]
        digest.update(repr((name, pair.stem, [(state.st_size, state.st_mtime_ns) for state in states])).encode())
    return digest.hexdigest()[:12]


def _pack(pairs: Sequence[tuple[str, Pair]], side: int, target: Path) -> None:
    shape = (len(pairs), side, side)
    images = np.lib.format.open_memmap(target / "images.npy", "w+", np.uint8, (*shape, 3))  # type: ignore[no-untyped-call]
    masks = np.lib.format.open_memmap(target / "masks.npy", "w+", np.uint8, shape)  # type: ignore[no-untyped-call]
    sizes = np.zeros((len(pairs), 2), np.int32)

    def read(i: int) -> None:
        pair = pairs[i][1]
        picture, truth = read_pair(pair)
        mask = truth.astype(np.uint8) * 255
        images[i] = cv2.resize(picture.pixels, (side, side), interpolation=cv2.INTER_AREA)
        masks[i] = cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA)
        sizes[i] = picture.size

    with ThreadPoolExecutor() as threads:
        for _ in tqdm(threads.map(read, range(len(pairs))), desc="reading pairs", total=len(pairs), unit="pair"):
            pass
    images.flush()
    masks.flush()
    np.save(target / "sizes.npy", sizes)
    np.save(target / "datasets.npy", np.array([name for name, _ in pairs]))
    np.save(target / "stems.npy", np.array([pair.stem for _, pair in pairs]))


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DatasetError(f"There is no folder '{folder}'.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        if path.stem in found:
            raise DatasetError(
                f"'{path}' and '{found[path.stem]}' have the same stem: which of them belongs to the pair?"
            )
        found[path.stem] = path
    return found
