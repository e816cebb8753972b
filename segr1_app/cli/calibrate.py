"""``calibrate``: measure which coordinate range a policy uses, on pictures with ground-truth masks."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segr1_app.domain import SegR1Error, SettingsError
from segr1_app.files.json_files import write_json
from segr1_app.images.pictures import IMAGE_SUFFIXES
from segr1_app.language.codec import PRESETS
from segr1_app.language.protocol import CoordinateFrame
from segr1_app.language.protocol_files import protocol_names
from segr1_app.settings.config import Settings, add_home_argument, add_model_arguments

if TYPE_CHECKING:
    from segr1_app.models.pipeline import AnyPolicy


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
    from segr1_app.models import calibration  # noqa: PLC0415 - torch takes seconds, which --help need not
    from segr1_app.models.pipeline import load_models  # noqa: PLC0415
    from segr1_app.models.selection import choose_models  # noqa: PLC0415

    settings = choose_models(Settings.from_arguments(arguments)).settings
    policy, _ = load_models(settings)
    edges = calibration.box_edges(policy, pairs, arguments.instruction)
    result = calibration.fit(edges, calibration.coordinate_readings(policy))
    folder = Path(settings.policy)
    written = result["reading"] is not None and folder.is_dir()
    if written:
        _write(policy, folder, CoordinateFrame(result["reading"]))
    record = {**result, "asked": len(pairs), "protocol": policy.protocol.name, "written": written}
    print(json.dumps(record, indent=2))  # noqa: T201
    if result["reading"] is not None and not written:
        print(f"{settings.policy} is not a local folder, so its card cannot be written.", file=sys.stderr)  # noqa: T201
    return 0


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
