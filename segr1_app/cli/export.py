"""``export``: the annotations in other tools' formats."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from segr1_app.cli.bar import bar
from segr1_app.settings.config import Settings, add_home_argument
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.formats import FORMATS
from segr1_app.store.exchange.import_options import Progress
from segr1_app.store.exchange.options import ExportedPictures, Options, Rights, Selection, Splits


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="write the annotations in another tool's format",
        description="Write every current accepted or fixed mask. What a format cannot represent is listed at the end; "
        "jsonl contains everything, including history and rejects.",
    )
    parser.add_argument("format", choices=sorted(FORMATS), help="the format to write")
    parser.add_argument("out", type=Path, metavar="DIR", help="new or empty folder")
    parser.add_argument(
        "--split",
        metavar="NAME=SHARE,...",
        help="divide the pictures, as in train=.8,val=.1,test=.1; a picture stays in its split in later exports",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="random seed of the splits (default: %(default)s)"
    )
    parser.add_argument(
        "--pictures",
        choices=[kind.value for kind in ExportedPictures],
        help="picture files: in their stored format, as PNG, as JPEG, or none (default: in their stored format; "
        "JPEG for voc "
        "and reasonseg, whose readers accept nothing else)",
    )
    parser.add_argument(
        "--simplify",
        type=float,
        default=0.0,
        metavar="PX",
        help="tolerance in pixels for simplifying polygons; the loss in IoU is reported "
        "(default: polygons follow every pixel's edge)",
    )
    _add_filters(parser)
    rights = parser.add_argument_group("rights", "for formats that have fields for these")
    rights.add_argument("--licence", "--license", default="", metavar="NAME", help="licence of the export")
    rights.add_argument("--licence-url", "--license-url", default="", metavar="URL", help="where it can be read")
    rights.add_argument("--contributor", default="", metavar="NAME", help="who made the annotations")
    add_home_argument(parser)
    parser.set_defaults(run=run)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    filters = parser.add_argument_group("filters", "all given conditions must hold; what they leave out is counted")
    filters.add_argument(
        "--annotator", action="append", default=[], metavar="NAME", help="decided by them; may be repeated"
    )
    filters.add_argument(
        "--verdict", action="append", default=[], choices=["accept", "fix"], help="with this decision; may be repeated"
    )
    filters.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="NAME",
        help="objects of this class; may be repeated",
    )
    filters.add_argument("--since", metavar="DATE", help="decided on this day (UTC) or later, as in 2026-11-30")
    filters.add_argument("--until", metavar="DATE", help="decided on this day (UTC) or earlier")
    filters.add_argument(
        "--min-iou", type=float, metavar="IOU", help="least IoU of the policy's mask with the final one"
    )
    filters.add_argument("--max-iou", type=float, metavar="IOU", help="largest one, to find what the policy got wrong")


def run(arguments: argparse.Namespace) -> int:
    """Export the annotations.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
        SettingsError: for invalid splits, dates or numbers.
    """
    options = _options(arguments)
    with AnnotationStore.open_existing(Settings.from_arguments(arguments).home) as store, bar() as show:

        def watch(done: int, total: int) -> None:
            show(Progress(done, total, "tasks"))

        report = FORMATS[arguments.format](store, arguments.out, replace(options, watch=watch))
    print(f"{report.written} tasks exported to {arguments.out}")  # noqa: T201
    for warning in report.warnings:
        print(f"Note: {warning}", file=sys.stderr)  # noqa: T201
    return 0


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        pictures=ExportedPictures(arguments.pictures) if arguments.pictures else None,
        splits=Splits.parse(arguments.split, arguments.seed) if arguments.split else Splits(),
        selection=Selection.parse(
            arguments.annotator,
            arguments.verdict,
            arguments.classes,
            arguments.since,
            arguments.until,
            arguments.min_iou,
            arguments.max_iou,
        ),
        rights=Rights(arguments.licence, arguments.licence_url, arguments.contributor),
        simplify=arguments.simplify,
    )
