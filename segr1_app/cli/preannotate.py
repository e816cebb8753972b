"""``preannotate``: make predictions for the open tasks of the store before annotators open them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from segr1_app.domain import Effort, Mask, NotUnderstoodError, Prediction, SegR1Error, SettingsError, StoreDamagedError
from segr1_app.images.pictures import Picture
from segr1_app.language.protocol import Request
from segr1_app.models.selection import choose_models
from segr1_app.rewards import Answer, Truth, score
from segr1_app.settings.config import Settings, add_effort_argument, add_home_argument, add_model_arguments
from segr1_app.store import AnnotationStore, SampledCompletion, Task

if TYPE_CHECKING:
    from segr1_app.models.pipeline import AnyPolicy, Pipeline
    from segr1_app.models.policy_server import ServerPolicy
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


def needs_prediction(store: AnnotationStore, task: Task, checkpoint: str, *, again: bool, samples: bool) -> bool:
    """Whether a task needs a prediction: it has none, or none with the wanted samples, or, with ``again``, an old
    one.
    """
    if task.prediction_id is None or (samples and task.disagreement is None):
        return True
    return again and store.prediction(task.prediction_id).checkpoint_hash != checkpoint


def predict_tasks(
    store: AnnotationStore,
    models: tuple[AnyPolicy, Sam2Segmenter],
    tasks: Iterable[Task],
    checkpoint: str,
    *,
    samples: int,
    batch: int = 1,
    effort: Effort = Effort.QUICK,
    predicted: Callable[[Task], object] = lambda _: None,
    failures: dict[int, SegR1Error] | None = None,
) -> dict[int, SegR1Error]:
    """Predict for the tasks, ``batch`` at a time, and store each batch immediately; the next batch is read meanwhile.
    With a policy server, ``batch`` tasks are asked about at a time, and each prediction is stored as it arrives. With
    more than a quick ``effort`` the prediction is the answer that agrees best with all.

    Args:
        predicted: called with each task whose prediction was stored.
        failures: to which the error of each task is added whose picture can no longer be read, or whose instruction is
            not understood, by the task's number.

    Returns:
        The same.

    Raises:
        ModelError: when a model or the server fails; what was predicted until then is stored.
    """
    from segr1_app.models.pipeline import working_together  # noqa: PLC0415
    from segr1_app.models.policy_server import ServerPolicy  # noqa: PLC0415

    policy, segmenter = models
    pipeline = working_together(policy, segmenter)
    work = _Work(store, pipeline, policy, segmenter, checkpoint, samples, effort)
    failures = {} if failures is None else failures
    readable = _readable(store, pipeline, tasks, failures)
    if isinstance(policy, ServerPolicy):
        for task, picture, answer in _in_flight(partial(work.ask, policy), readable, batch):
            work.keep(task, picture, answer)
            predicted(task)
        return failures

    def read() -> list[tuple[Task, Picture]]:
        return list(islice(readable, batch))

    with ThreadPoolExecutor(1, "read") as beside:
        together = read()
        while together:
            # A GPU should not wait for a disk.
            coming = beside.submit(read)
            predictions = pipeline.run_together([(picture, task.instruction) for task, picture in together])
            for (task, picture), prediction in zip(together, predictions, strict=True):
                work.keep(task, picture, work.finish(task, picture, prediction))
                predicted(task)
            together = coming.result()
    return failures


def _readable(
    store: AnnotationStore, pipeline: Pipeline, tasks: Iterable[Task], failures: dict[int, SegR1Error]
) -> Iterator[tuple[Task, Picture]]:
    """The tasks with their pictures, read lazily; those that cannot be read or understood go to ``failures``."""
    for task in tasks:
        try:
            pipeline.check_understood(task.instruction)
            yield task, store.picture(task.sha256)
        except (NotUnderstoodError, StoreDamagedError) as error:
            failures[task.id] = error


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is stored of a task: its prediction, and the sampled completions."""

    prediction: Prediction
    samples: list[str]


@dataclass(frozen=True, slots=True)
class _Work:
    """What is done for a task; arguments as for `predict_tasks`."""

    store: AnnotationStore
    pipeline: Pipeline
    policy: AnyPolicy
    segmenter: Sam2Segmenter
    checkpoint: str
    samples: int
    effort: Effort

    def ask(self, server: ServerPolicy, task: Task, picture: Picture, ended: Event) -> _Answer:
        """The answer of a policy server, which is stopped there once nobody needs it any more.

        Raises:
            CancelledError: when it was stopped.
            ModelError: when the server fails.
        """
        started = time.perf_counter()
        pieces = []
        with closing(server.stream(picture, task.instruction)) as stream:
            for piece in stream:
                if ended.is_set():
                    raise CancelledError
                pieces.append(piece)
        seconds = time.perf_counter() - started
        first = self.pipeline.predict_completion(picture, task.instruction, "".join(pieces), seconds)
        return self.finish(task, picture, first)

    def finish(self, task: Task, picture: Picture, first: Prediction) -> _Answer:
        """The answer to a task whose greedy prediction is ``first``."""
        from segr1_app.models.effort import find_consensus  # noqa: PLC0415 - brings torch along

        found = find_consensus(self.pipeline, picture, first, self.effort, seed=task.id).prediction
        if not self.samples:
            return _Answer(found, [])
        return _Answer(found, self.policy.sample(picture, task.instruction, self.samples, seed=task.id))

    def keep(self, task: Task, picture: Picture, answer: _Answer) -> None:
        """Store an answer."""
        truth = self.store.ground_truth(task.sha256, task.instruction) if answer.samples else None
        request = self.policy.request(picture.size, task.instruction)
        drawn = [_sample(request, self.segmenter, picture, text, truth) for text in answer.samples]
        self.store.add_prediction(task.id, answer.prediction, self.checkpoint, drawn)


def _in_flight(
    ask: Callable[[Task, Picture, Event], _Answer], tasks: Iterator[tuple[Task, Picture]], most: int
) -> Iterator[tuple[Task, Picture, _Answer]]:
    """Yield the tasks with their answers as they arrive, asking about at most ``most`` at a time.

    Args:
        ask: answers a task, in a thread; the event says that its answer is no longer needed.

    Raises:
        ModelError: when the server fails, after the answers received so far were yielded.
    """
    ended = Event()
    pool = ThreadPoolExecutor(most, "ask")
    waiting: dict[Future[_Answer], tuple[Task, Picture]] = {}
    try:
        while True:
            for task, picture in islice(tasks, most - len(waiting)):
                waiting[pool.submit(ask, task, picture, ended)] = task, picture
            if not waiting:
                return
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            # What succeeded is stored before a failure ends the run.
            for future in sorted(done, key=lambda each: each.exception() is not None):
                task, picture = waiting.pop(future)
                yield task, picture, future.result()
    finally:
        # Nobody needs the answers still being generated: they are stopped on the server.
        ended.set()
        pool.shutdown(cancel_futures=True)


def _sample(
    request: Request, segmenter: Sam2Segmenter, picture: Picture, text: str, truth: Mask | None
) -> SampledCompletion:
    """A sampled completion with its mask, and with its reward where the ground truth is known."""
    from segr1_app.models.completions import segment_completion  # noqa: PLC0415 - brings torch along

    found = segment_completion(request, text, picture, segmenter)
    abstains = found.parsed.abstains and found.parsed.well_formed
    terms = score(Answer(found.parsed.well_formed, found.mask, abstains=abstains), Truth(mask=truth))
    return SampledCompletion(text, found.mask, terms.total if terms else None)
