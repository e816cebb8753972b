"""``export``: the annotations in other tools' formats."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from segr1_app.config import Settings, add_home_argument
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.coco_export import export_coco
from segr1_app.store.exchange.exporting import Report
from segr1_app.store.exchange.jsonl import export_jsonl
from segr1_app.store.exchange.mask_export import export_masks
from segr1_app.store.exchange.sft_export import export_traces
from segr1_app.store.exchange.voc_export import export_voc
from segr1_app.store.exchange.yolo_export import export_yolo


def _export_hf(store: AnnotationStore, out: Path) -> Report:
    from segr1_app.store.exchange.hf_export import export_hf  # noqa: PLC0415 - datasets takes seconds to import

    return export_hf(store, out)


FORMATS: Final[dict[str, Callable[[AnnotationStore, Path], Report]]] = {
    "coco": export_coco,
    "coco-polygons": partial(export_coco, polygons=True),
    "yolo": export_yolo,
    "voc": export_voc,
    "masks": export_masks,
    "hf": _export_hf,
    "jsonl": export_jsonl,
    "sft": export_traces,
}
"""Every format by the name it is asked for."""


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="write the annotations in another tool's format",
        description="Write every accepted or fixed mask that counts. What a format cannot hold is named at the end; "
        "jsonl holds everything, also history and rejects.",
    )
    parser.add_argument("format", choices=sorted(FORMATS), help="what to write")
    parser.add_argument("out", type=Path, metavar="DIR", help="new or empty folder")
    add_home_argument(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export the annotations.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    with AnnotationStore.open(Settings.from_arguments(arguments).home) as store:
        report = FORMATS[arguments.format](store, arguments.out)
    print(f"{report.written} tasks are in {arguments.out}")  # noqa: T201
    for warning in report.warnings:
        print(f"Note: {warning}", file=sys.stderr)  # noqa: T201
    return 0
