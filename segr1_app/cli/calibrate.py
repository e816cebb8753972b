"""``calibrate``: measure which coordinate range a policy uses, on pictures with ground-truth masks."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from segr1_app.domain import Box, ImageSize, SegR1Error, SettingsError
from segr1_app.files.json_files import write_json
from segr1_app.geometry import box_iou, mask_box
from segr1_app.images.masks import load_mask
from segr1_app.images.pictures import IMAGE_SUFFIXES, Picture, load_picture
from segr1_app.language.codec import PRESETS
from segr1_app.language.protocol import CoordinateFrame, Square
from segr1_app.language.protocol_files import protocol_names
from segr1_app.settings.config import Settings, add_home_argument, add_model_arguments

if TYPE_CHECKING:
    from segr1_app.models.pipeline import AnyPolicy

LEAST_OVERLAP: Final = 0.5
"""IoU of the boxes from which the policy is assumed to have found the true object."""
LEAST_PICTURES: Final = 5
DRAWS: Final = 500
"""Number of bootstrap samples of the pictures, for the confidence interval of the factor."""


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "calibrate",
        help="measure which coordinate range a policy uses",
        description="Compare the boxes that a policy writes with those of ground-truth masks, report which "
        "coordinates it uses "
        "for squashed pictures, those of the square given to its processor or of the one it sees, and record that in "
        "the policy's card if it is a folder. Without a clear result, nothing is written.",
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of pictures")
    parser.add_argument("--masks", type=Path, required=True, metavar="DIR", help="folder of masks with the same stems")
    parser.add_argument(
        "--instruction", default=PRESETS[0].text, metavar="TEXT", help="the instruction (default: %(default)s)"
    )
    add_home_argument(parser)
    add_model_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the result as JSON, and write a clear one into the policy's card.

    Raises:
        SegR1Error: when pictures, masks or the policy cannot be read, or too few answers can be compared.
    """
    pairs = _pairs(arguments.images, arguments.masks)
    from segr1_app.models.pipeline import load_models  # noqa: PLC0415 - torch takes seconds, which --help need not
    from segr1_app.models.selection import choose_models  # noqa: PLC0415

    settings = choose_models(Settings.from_arguments(arguments)).settings
    policy, _ = load_models(settings)
    edges = _edges(policy, pairs, arguments.instruction)
    result = fit(edges, _readings(policy))
    folder = Path(settings.policy)
    written = result["reading"] is not None and folder.is_dir()
    if written:
        _write(policy, folder, CoordinateFrame(result["reading"]))
    record = {**result, "asked": len(pairs), "protocol": policy.protocol.name, "written": written}
    print(json.dumps(record, indent=2))  # noqa: T201
    if result["reading"] is not None and not written:
        print(f"{settings.policy} is not a local folder, so its card cannot be written.", file=sys.stderr)  # noqa: T201
    return 0


def fit(edges: list[npt.NDArray[np.float64]], readings: dict[CoordinateFrame, float]) -> dict[str, Any]:
    """The factor between written and true coordinates, shared by x and y, and the reading that it indicates.

    The factor is the one with the least sum of absolute errors: a median of ratios, weighted by the true coordinate,
    which is robust to a few wrong boxes. The interval contains 95 % of the bootstrap factors.

    Args:
        edges: for each picture, float (N, 2): written and true coordinates, in pixels of what the model sees.
        readings: the factor that each reading implies; with only one, there is nothing to choose.

    Raises:
        SettingsError: when too few pictures can be compared.
    """
    if len(edges) < LEAST_PICTURES:
        raise SettingsError(
            f"Only {len(edges)} answers show the true object; at least {LEAST_PICTURES} are needed: give more pictures."
        )
    rng = np.random.default_rng(0)
    factor = _factor(np.concatenate(edges))
    drawn = (rng.integers(len(edges), size=len(edges)) for _ in range(DRAWS))
    draws = [_factor(np.concatenate([edges[i] for i in indices])) for indices in drawn]
    low, high = (float(value) for value in np.quantile(draws, (0.025, 0.975)))
    found = min(readings, key=lambda reading: abs(readings[reading] - factor))
    other = max(readings.values(), key=lambda value: abs(value - readings[found]))
    # Half way between the two, neither is better.
    middle = (readings[found] + other) / 2
    clear = len(set(readings.values())) > 1 and not low <= middle <= high
    return {
        "factor": round(factor, 5),
        "interval": [round(low, 5), round(high, 5)],
        "compared": len(edges),
        "expected": {reading.value: round(value, 5) for reading, value in readings.items()},
        "reading": found.value if clear else None,
    }


def _factor(edges: npt.NDArray[np.float64]) -> float:
    written, true = edges.T
    order = np.argsort(written / true)
    weight = np.cumsum(true[order])
    return float((written / true)[order][np.searchsorted(weight, weight[-1] / 2)])


def _readings(policy: AnyPolicy) -> dict[CoordinateFrame, float]:
    """The factor that each reading implies, relative to what the model sees; both are 1 where the frame is not
    rounded.
    """
    request = policy.request(ImageSize(640, 480), "-")
    frame = policy.protocol.askings[request.stage, request.task].frame
    handed = frame.side / request.frame.width if isinstance(frame, Square) else 1.0
    spans = isinstance(policy.protocol.askings[request.stage, request.task].coordinates, CoordinateFrame)
    return {CoordinateFrame.SEEN: 1.0, CoordinateFrame.HANDED: handed if spans else 1.0}


def _edges(policy: AnyPolicy, pairs: list[tuple[Path, Path]], instruction: str) -> list[npt.NDArray[np.float64]]:
    """The written and true box edges of each picture in which the policy found the true object."""
    found = []
    for picture, true in tqdm(_truths(pairs), total=len(pairs), unit="picture"):
        request = policy.request(picture.size, instruction)
        parsed = request.read("".join(policy.stream(picture, instruction)))
        boxes = [prompt.box for prompt in parsed.objects if prompt.box is not None]
        if not boxes:
            continue
        written = _around(boxes)
        if box_iou(written, true) < LEAST_OVERLAP:
            continue
        # Convert back to the written numbers, in pixels of what the model sees.
        scale = (
            request.coordinates.width / request.frame.width,
            request.coordinates.height / request.frame.height,
        )
        rows = [(w * scale[i % 2], t) for i, (w, t) in enumerate(zip(written.xyxy, true.xyxy, strict=True))]
        limits = (picture.size.width, picture.size.height) * 2
        # Edges at the border carry no information, because anything written beyond it is clipped.
        kept = [row for row, limit in zip(rows, limits, strict=True) if limit * 0.02 < row[1] < limit * 0.98]
        found += [np.array(kept)] if kept else []
    return found


def _truths(pairs: Iterable[tuple[Path, Path]]) -> Iterator[tuple[Picture, Box]]:
    """The pictures with the boxes of their ground-truth masks; empty masks are skipped."""
    for image, mask in pairs:
        picture = load_picture(image)
        truth = load_mask(mask)
        if truth.shape != (picture.size.height, picture.size.width):
            raise SettingsError(f"The mask '{mask}' differs in size from its picture '{image}'.")
        box = mask_box(truth)
        if box is not None:
            yield picture, box


def _around(boxes: list[Box]) -> Box:
    x1, y1, x2, y2 = np.array([box.xyxy for box in boxes]).T
    return Box(float(x1.min()), float(y1.min()), float(x2.max()), float(y2.max()))


def _pairs(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Pairs of pictures and masks with the same stem, in order.

    Raises:
        SettingsError: when a folder cannot be read, or there is no pair.
    """
    found: list[dict[str, Path]] = []
    for option, folder in (("images", images), ("masks", masks)):
        try:
            entries = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        except OSError as error:
            raise SettingsError(f"--{option} {folder} cannot be read: {error.strerror}.") from error
        found.append({path.stem: path for path in entries})
    pairs = [(path, found[1][stem]) for stem, path in found[0].items() if stem in found[1]]
    if not pairs:
        raise SettingsError(f"'{images}' and '{masks}' contain no picture and mask with the same name.")
    return pairs


def _write(policy: AnyPolicy, folder: Path, reading: CoordinateFrame) -> None:
    """Record the reading in a policy's card.

    Raises:
        SegR1Error: when the card cannot be written.
    """
    from segr1_app.models.policy_files import CARD_FILE, PROTOCOL_FILE, PolicyCard  # noqa: PLC0415

    own = policy.protocol.name not in protocol_names()
    card = policy.card or PolicyCard(protocol=PROTOCOL_FILE if own else policy.protocol.name)
    try:
        if own and policy.card is None:
            # A card without it would have the policy asked in other words than it was measured with.
            shutil.copyfile(policy.protocol.name, folder / PROTOCOL_FILE)
        write_json(folder / CARD_FILE, asdict(replace(card, reading=reading)))
    except OSError as error:
        raise SegR1Error(f"The card '{folder / CARD_FILE}' cannot be written: {error.strerror}.") from error
