"""``accept``: decide many tasks at once."""

from __future__ import annotations

import argparse
from typing import Any

from tqdm import tqdm

from segr1_app.settings.config import Settings, add_home_argument
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.accepting import accept_truths


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "accept",
        help="accept imported masks in bulk",
        description="Accept every open task that was imported with a ground-truth mask, with that mask. They "
        "are then exported "
        "and used for training like any other decision. Decided tasks, and those in progress, are not changed.",
    )
    parser.add_argument("--truths", action="store_true", required=True, help="accept the imported ground-truth masks")
    parser.add_argument("--annotator", required=True, metavar="NAME", help="who vouches for them")
    add_home_argument(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Accept the masks.

    Raises:
        StoreError: when the store cannot be read or written to.
    """
    with (
        AnnotationStore.open_existing(Settings.from_arguments(arguments).home) as store,
        tqdm(total=store.statistics().open_tasks, unit=" tasks", leave=False, delay=1) as bar,
    ):

        def watch(done: int) -> None:
            bar.update(done - bar.n)

        accepted = accept_truths(store, arguments.annotator, watch)
    for sentence in accepted.sentences:
        print(sentence)  # noqa: T201
    return 0
