"""``import``: pictures and other tools' annotations into the store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from segr1_app.codec import PRESETS, check_instruction
from segr1_app.config import Settings, add_home_argument
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.coco_import import import_coco
from segr1_app.store.exchange.hf_import import import_hf
from segr1_app.store.exchange.jsonl import import_jsonl
from segr1_app.store.exchange.pictures import find_masks, find_sources, import_pictures


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "import",
        help="take pictures and annotations into the store",
        description="Make a task of every picture, of every picture and category of a COCO file, or of every row of a "
        "Hugging Face dataset (a folder of Parquet files); or take over another store (its export as jsonl). What is "
        "there already is not kept twice. What could not be taken is named at the end and does not keep the rest from "
        "coming in; the exit status is then 1.",
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="picture, folder of pictures or ZIP archive"
    )
    parser.add_argument("--masks", type=Path, metavar="DIR", help="folder of true masks with the pictures' stems")
    parser.add_argument(
        "--instruction", default=PRESETS[0].text, metavar="TEXT", help="what to segment (default: %(default)s)"
    )
    add_home_argument(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Import the pictures; 1 when one of them could not be taken.

    Raises:
        SegR1Error: when nothing at all can be done.
    """
    settings = Settings.from_arguments(arguments)
    check_instruction(arguments.instruction)
    masks = find_masks(arguments.masks) if arguments.masks else {}
    done, failures = 0, []
    with AnnotationStore.open(settings.home) as store:
        for failure in tqdm(_import_all(store, arguments.paths, arguments.instruction, masks), unit="record"):
            if failure is None:
                done += 1
            else:
                failures.append(failure)
    print(f"{done} records are in {settings.home}")  # noqa: T201
    for failure in failures:
        print(failure, file=sys.stderr)  # noqa: T201
    return 1 if failures or not done else 0


def _import_all(
    store: AnnotationStore, paths: Sequence[Path], instruction: str, masks: Mapping[str, Path]
) -> Iterator[str | None]:
    pictures = []
    for path in paths:
        if path.suffix.lower() == ".json":
            yield from import_coco(store, path)
        elif path.suffix.lower() == ".jsonl":
            yield from import_jsonl(store, path)
        elif path.is_dir() and any(path.rglob("*.parquet")):
            yield from import_hf(store, path, instruction)
        else:
            pictures.append(path)
    if pictures:
        yield from import_pictures(store, find_sources(pictures), instruction, masks)
