"""``preannotate``: make predictions for the open tasks of the store before annotators open them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from segr1_app.domain import Effort, NotUnderstoodError, SegR1Error, SettingsError
from segr1_app.models.selection import choose_models
from segr1_app.settings.config import Settings, add_effort_argument, add_home_argument, add_model_arguments
from segr1_app.store import AnnotationStore, Task
from segr1_app.studio.preannotation import needs_prediction, predict_tasks

if TYPE_CHECKING:
    from segr1_app.models.pipeline import AnyPolicy
    from segr1_app.models.segmenter import Sam2Segmenter

SERVER_BATCH = 32
"""Number of concurrent requests to a policy server."""
GPU_BATCH = 8
"""Batch size on a GPU: for a 7B model, the cache of such a batch takes less memory than the weights."""


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "preannotate",
        help="make predictions for the open tasks of the annotation store",
        description="Run policy and segmenter on the open tasks and store the predictions. If interrupted, run it "
        "again: it continues with the tasks that have no prediction. On several GPUs, start it with accelerate "
        "launch --module segr1_app preannotate.",
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=0,
        metavar="K",
        help="also sample K completions per task, at least 2, and store how much they disagree (default: none)",
    )
    add_effort_argument(parser)
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help=f"batch size: pictures that the policy answers at the same time (default: {SERVER_BATCH} with a "
        f"--policy-server, {GPU_BATCH} on "
        "a GPU, 1 elsewhere)",
    )
    parser.add_argument(
        "--again", action="store_true", help="also predict where there is a prediction by a different checkpoint"
    )
    add_home_argument(parser)
    add_model_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make a prediction for every open task that needs one.

    Raises:
        SegR1Error: when models or store cannot be used.
    """
    given = Settings.from_arguments(arguments)
    # Checked before models are chosen and loaded, so that a mistyped --home is reported immediately.
    AnnotationStore.open_existing(given.home).close()
    settings = choose_models(given).settings
    if arguments.samples < 0 or arguments.samples == 1:
        raise SettingsError("--samples must be 2 or more: one completion cannot disagree with itself.")
    if arguments.batch is not None and arguments.batch < 1:
        raise SettingsError("--batch must be 1 or more.")

    # Torch takes seconds to import, which --help should not wait for.
    from accelerate import PartialState  # noqa: PLC0415

    from segr1_app.models.checkpoint import checkpoint_hash  # noqa: PLC0415
    from segr1_app.models.loading import resolve_device  # noqa: PLC0415
    from segr1_app.models.pipeline import load_models  # noqa: PLC0415

    # By default accelerate does not see processes that share the work where there is no GPU.
    on_gpu = resolve_device(settings.device).type != "cpu"
    share = PartialState(cpu=not on_gpu)
    if settings.device == "auto" and share.num_processes > 1:
        settings = replace(settings, device=str(share.device))
    checkpoint = checkpoint_hash(settings.policy)
    with AnnotationStore.open_existing(settings.home) as store:
        waiting = [
            task
            for task in store.tasks(open_only=True)
            if needs_prediction(store, task, checkpoint, again=arguments.again, samples=arguments.samples > 0)
        ]
        # All processes must read the same list before one of them shortens it.
        share.wait_for_everyone()
        mine = waiting[share.process_index :: share.num_processes]
        served = settings.policy_server is not None
        batch = arguments.batch or (SERVER_BATCH if served else GPU_BATCH if on_gpu else 1)
        failures = _predict_shown(
            store,
            load_models(settings),
            mine,
            checkpoint,
            samples=arguments.samples,
            batch=batch,
            effort=Effort(arguments.effort),
            bar=tqdm(total=len(mine), unit="task", disable=not share.is_main_process),
        )
    for sentence in _failed(failures):
        print(sentence, file=sys.stderr)  # noqa: T201
    return 1 if failures else 0


def _failed(failures: Mapping[int, SegR1Error]) -> Iterator[str]:
    """A sentence for each task; what the policy understands, which is the same for all, comes once, at the end."""
    for number, error in failures.items():
        yield f"Task {number}: {error.unknown if isinstance(error, NotUnderstoodError) else error}"
    yield from dict.fromkeys(each.understands for each in failures.values() if isinstance(each, NotUnderstoodError))


def _predict_shown(
    store: AnnotationStore,
    models: tuple[AnyPolicy, Sam2Segmenter],
    tasks: Sequence[Task],
    checkpoint: str,
    *,
    samples: int,
    batch: int,
    effort: Effort,
    bar: tqdm[Any],
) -> dict[int, SegR1Error]:
    """`predict_tasks` with a bar, and with a summary also where a server fails in the middle."""
    failures: dict[int, SegR1Error] = {}
    predicted: list[int] = []

    def count(task: Task) -> None:
        predicted.append(task.id)
        bar.update()

    started = time.perf_counter()
    try:
        with bar:
            predict_tasks(
                store,
                models,
                tasks,
                checkpoint,
                samples=samples,
                batch=batch,
                effort=effort,
                predicted=count,
                failures=failures,
            )
    finally:
        print(_summary(len(tasks), len(predicted), len(failures), time.perf_counter() - started))  # noqa: T201
    return failures


def _summary(tasks: int, predicted: int, failed: int, seconds: float) -> str:
    parts = [f"{predicted} of {tasks} tasks predicted"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{predicted / seconds:.3g} pictures a second"] if predicted else []
    return ", ".join(parts)
