"""Predictions for tasks before annotators open them: policy and segmenter, one batch after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING

from segr1_app.domain import Effort, Mask, NotUnderstoodError, Prediction, SegR1Error, StoreDamagedError
from segr1_app.images.pictures import Picture
from segr1_app.language.protocol import Request
from segr1_app.rewards import Answer, Truth, score
from segr1_app.store import AnnotationStore, SampledCompletion, Task

if TYPE_CHECKING:
    from segr1_app.models.pipeline import AnyPolicy, Pipeline
    from segr1_app.models.policy_server import ServerPolicy
    from segr1_app.models.segmenter import Sam2Segmenter


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
class _Predicted:
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

    def ask(self, server: ServerPolicy, task: Task, picture: Picture, ended: Event) -> _Predicted:
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

    def finish(self, task: Task, picture: Picture, first: Prediction) -> _Predicted:
        """The answer to a task whose greedy prediction is ``first``."""
        from segr1_app.models.effort import find_consensus  # noqa: PLC0415 - brings torch along

        found = find_consensus(self.pipeline, picture, first, self.effort, seed=task.id).prediction
        if not self.samples:
            return _Predicted(found, [])
        return _Predicted(found, self.policy.sample(picture, task.instruction, self.samples, seed=task.id))

    def keep(self, task: Task, picture: Picture, answer: _Predicted) -> None:
        """Store an answer."""
        truth = self.store.ground_truth(task.sha256, task.instruction) if answer.samples else None
        request = self.policy.request(picture.size, task.instruction)
        drawn = [_sample(request, self.segmenter, picture, text, truth) for text in answer.samples]
        self.store.add_prediction(task.id, answer.prediction, self.checkpoint, drawn)


def _in_flight(
    ask: Callable[[Task, Picture, Event], _Predicted], tasks: Iterator[tuple[Task, Picture]], most: int
) -> Iterator[tuple[Task, Picture, _Predicted]]:
    """Yield the tasks with their answers as they arrive, asking about at most ``most`` at a time.

    Args:
        ask: answers a task, in a thread; the event says that its answer is no longer needed.

    Raises:
        ModelError: when the server fails, after the answers received so far were yielded.
    """
    ended = Event()
    pool = ThreadPoolExecutor(most, "ask")
    waiting: dict[Future[_Predicted], tuple[Task, Picture]] = {}
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
