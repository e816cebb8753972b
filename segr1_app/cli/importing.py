"""``import``: pictures and other tools' annotations into the store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from segr1_app.domain import SettingsError
from segr1_app.language.codec import PRESETS
from segr1_app.settings.config import Settings, add_home_argument
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.hub import DEFAULT_ROWS
from segr1_app.store.exchange.importing import import_hub, import_paths
from segr1_app.store.exchange.outcomes import was_taken


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "import",
        help="import pictures and annotations into the store",
        description="Make a task of every picture, of every picture and category of a COCO file, or of every row of a "
        "Hugging Face dataset (a folder of Parquet files); or merge another store (its export as jsonl). Existing "
        "pictures and tasks are not duplicated; a new ground-truth mask replaces an old one, with a notice. What "
        "cannot be "
        "imported is listed at the end and does not stop the rest; the exit status is then 1.",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="picture; COCO, JSONL or Parquet file; folder or ZIP archive of any of these. In images/ and masks/, a "
        "picture and its ground-truth mask have the same name",
    )
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="PATH",
        help="ground-truth masks named like the pictures: file, folder or ZIP archive",
    )
    parser.add_argument("--hub", metavar="OWNER/NAME", help="a dataset of the Hugging Face hub with a column image")
    parser.add_argument(
        "--rows", type=int, default=DEFAULT_ROWS, metavar="N", help="most rows of that dataset (default: %(default)s)"
    )
    parser.add_argument(
        "--instruction", default=PRESETS[0].text, metavar="TEXT", help="what to segment (default: %(default)s)"
    )
    add_home_argument(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Import the pictures; 1 when one of them could not be imported.

    Raises:
        SegR1Error: when nothing can be imported.
    """
    settings = Settings.from_arguments(arguments)
    if not arguments.paths and not arguments.hub:
        raise SettingsError("Say what to import: files, folders, ZIP archives, or a dataset with --hub.")
    if arguments.rows < 1:
        raise SettingsError("--rows must be 1 or more.")
    done, failed, told = 0, 0, []
    with AnnotationStore.open(settings.home) as store:
        for outcome in tqdm(_import_all(store, arguments), unit=" records"):
            taken = was_taken(outcome)
            done, failed = done + taken, failed + (not taken)
            told += [outcome] if outcome else []
    print(f"{done} records imported into {settings.home}")  # noqa: T201
    for sentence in told:
        print(sentence, file=sys.stderr)  # noqa: T201
    return 1 if failed or not done else 0


def _import_all(store: AnnotationStore, arguments: argparse.Namespace) -> Iterator[str | None]:
    masks = [arguments.masks] if arguments.masks else []
    yield from import_paths(store, arguments.paths, arguments.instruction, masks)
    if arguments.hub:
        yield from import_hub(store, arguments.hub, arguments.instruction, rows=arguments.rows)
