"""``stats``: the progress of annotation."""

from __future__ import annotations

import argparse
import json
from typing import Any

from segr1_app.settings.config import Settings, add_home_argument
from segr1_app.store import AnnotationStore, Verdict, WorkTotals
from segr1_app.store.reports import work_record


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "stats",
        help="show the progress of annotation",
        description="Show what is decided, by whom, for which checkpoint and with how much work, and how well "
        "annotators agree.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for other programs")
    add_home_argument(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the statistics.

    Raises:
        StoreError: when the store cannot be read.
    """
    with AnnotationStore.open_existing(Settings.from_arguments(arguments).home) as store:
        found, agreement = store.statistics(), store.agreement()
    groups = {
        "total": {"": found.total},
        "annotators": found.by_annotator,
        "checkpoints": {_checkpoint(*which): tally for which, tally in found.by_checkpoint.items()},
        "days": found.by_day,
    }
    if arguments.json:
        record = {name: {key: work_record(tally) for key, tally in group.items()} for name, group in groups.items()}
        pairs = [{"annotators": list(pair), "iou": iou} for pair, iou in agreement.by_pair.items()]
        print(json.dumps({"tasks": found.tasks, "open": found.open_tasks, **record, "agreement": pairs}))  # noqa: T201
        return 0
    print(f"{found.tasks - found.open_tasks} of {found.tasks} tasks are decided.")  # noqa: T201
    heading = f"{'':32} {'done':>7} {'per hour':>9} {'clicks':>8} {'hours':>7} {'IoU gained':>10}"
    for name, group in groups.items():
        print(f"\n{name:32}{heading[32:]}  {' '.join(f'{verdict:>7}' for verdict in Verdict)}")  # noqa: T201
        for key, tally in group.items():
            print(_line(key, tally))  # noqa: T201
    for (first, second), iou in agreement.by_pair.items():
        print(f"\n{_shown(first)} and {_shown(second)} agree with an IoU of {iou:.3f}.")  # noqa: T201
    return 0


def _line(key: str, tally: WorkTotals) -> str:
    rate = "" if tally.per_hour is None else f"{tally.per_hour:.1f}"
    gained = "" if tally.iou_gained is None else f"{tally.iou_gained:.3f}"
    verdicts = " ".join(f"{tally.verdicts[verdict]:7}" for verdict in Verdict)
    hours = tally.seconds / 3600
    return f"{_shown(key):32.32} {tally.done:7} {rate:>9} {tally.clicks:8} {hours:7.2f} {gained:>10}  {verdicts}"


def _checkpoint(policy_id: str, digest: str) -> str:
    return f"{policy_id} {digest[:8]}" if digest else "without a prediction"


def _shown(text: str) -> str:
    """A name that is safe to print on a terminal: control characters could move its cursor or worse."""
    return "".join(character if character.isprintable() else "?" for character in text)
