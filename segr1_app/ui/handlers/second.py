"""Two policies on one picture: the second one answers after the first, and both are shown side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from segr1_app.domain import Mask, ModelError, Prediction, SegR1Error
from segr1_app.models.host import ModelHost
from segr1_app.models.second import SecondPolicy
from segr1_app.store import AnnotationStore
from segr1_app.studio.comparison import mask_overlap, mask_scores, shown_side
from segr1_app.studio.contracts import (
    ComparedPolicies,
    PolicyAnswer,
    SecondPolicyState,
    TwoAnswers,
)
from segr1_app.ui.handlers.run import STREAM_SECONDS, Run, RunHandlers, Upload, check_asked

if TYPE_CHECKING:
    from segr1_app.models.pipeline import Pipeline

NOTHING: TwoAnswers = {"phase": "none", "canvas": None, "first": None, "second": None, "overlap": None}


class SecondPolicyHandlers:
    """Loads a second policy, and asks it what the first one was asked.

    Args:
        models: the first policy.
        runs: runs it on the page.
        store: has the true masks of tasks.
        second: the policy to compare with.
    """

    def __init__(
        self, models: ModelHost, runs: RunHandlers, store: AnnotationStore, second: SecondPolicy | None = None
    ) -> None:
        self._models, self._runs, self._store = models, runs, store
        self._second = second or SecondPolicy(models)

    def open_second_policy(self, policy: str, server: str = "") -> SecondPolicyState:
        """Load a second policy, with which the following runs are compared. One that was loaded before is unloaded.

        Args:
            policy: a model folder or a hub id on this machine, or the model's name on the server.
            server: URL of an OpenAI-compatible server that runs it; empty to run it here.

        Returns:
            As `second_policy`.
        """
        self._second.open(policy, server)
        return self.second_policy()

    def close_second_policy(self) -> SecondPolicyState:
        """Unload the second policy; the following runs ask the first one only.

        Returns:
            As `second_policy`.
        """
        self._second.close()
        return self.second_policy()

    def second_policy(self) -> SecondPolicyState:
        """The state of the second policy.

        Returns:
            {"state": "none", "loading", "ready" or "failed", "policy": its name, "failure": why it is not loaded}.
        """
        status = self._second.status
        return {"state": status.state, "policy": status.policy, "failure": status.failure}

    @property
    def ready(self) -> bool:
        """Whether runs are compared with a second policy."""
        return self._second.status.state == "ready"

    def answers(self, run: Run | None) -> Iterator[TwoAnswers]:
        """Ask the second policy what a run has asked the first one; yields both answers while the second one grows.

        The first answer stays, whatever happens to the second. A run that failed or was stopped asks nobody else.
        """
        if run is None or run.over or run.shown is None or run.shown.prediction is None:
            return
        pipeline = self._second.pipeline()
        if pipeline is None:
            return
        picture, first = run.shown.picture, run.shown.prediction
        truth = self._store.ground_truth(picture.sha256, first.instruction)
        known: TwoAnswers = {
            **NOTHING,
            "phase": "waiting",
            "canvas": self._runs.canvas("", picture),
            "first": _answer(first, truth),
        }
        yield known
        try:
            pipeline.check_understood(first.instruction)
            with self._runs.turn(run) as is_ours:
                if is_ours:
                    yield from _second_answer(pipeline, run, known, truth)
        except SegR1Error as error:
            yield {**known, "phase": "failed", "second": _unfinished(pipeline.policy.model_id, "", str(error))}
        if run.left:
            yield NOTHING
        elif run.stopped:
            yield {**known, "phase": "stopped"}

    def compare(self, picture: Upload, instruction: str) -> ComparedPolicies:
        """The predictions of both policies, and how their masks differ.

        Raises:
            SegR1Error: when there is no second policy, or one of them cannot answer.
        """
        from segr1_app.studio.results import prediction_record  # noqa: PLC0415 - brings torch along

        check_asked(instruction)
        second = self._second.pipeline()
        if second is None:
            raise ModelError("There is no second policy to compare with: load one with open_second_policy.")
        loaded = self._runs.load(picture)
        found = []
        for pipeline in (self._models.pipeline(), second):
            pipeline.check_understood(instruction)
            with self._models.turn:
                found.append(pipeline.run(loaded, instruction))
        truth = self._store.ground_truth(loaded.sha256, instruction)
        return {
            "first": prediction_record(found[0]),
            "second": prediction_record(found[1]),
            "overlap": mask_overlap(found[0].mask, found[1].mask),
            "first_scores": mask_scores(found[0].mask, truth),
            "second_scores": mask_scores(found[1].mask, truth),
        }


def _answer(prediction: Prediction, truth: Mask | None) -> PolicyAnswer:
    return {
        "policy": prediction.policy_id,
        "text": prediction.completion,
        "failure": "",
        "problems": list(prediction.problems),
        "abstains": prediction.abstains,
        "seconds": prediction.seconds["total"],
        "confidences": [found.confidence for found in prediction.masks],
        "side": shown_side(prediction.mask, prediction.objects),
        "scores": mask_scores(prediction.mask, truth),
    }


def _unfinished(policy: str, text: str, failure: str = "") -> PolicyAnswer:
    """An answer without a mask: one that is still being written, or that failed."""
    return {
        "policy": policy,
        "text": text,
        "failure": failure,
        "problems": [],
        "abstains": False,
        "seconds": None,
        "confidences": [],
        "side": {"mask": None, "objects": []},
        "scores": None,
    }


def _second_answer(pipeline: Pipeline, run: Run, known: TwoAnswers, truth: Mask | None) -> Iterator[TwoAnswers]:
    """Both answers while the second one grows, until it is complete or nobody waits for it."""
    assert run.shown is not None
    assert run.shown.prediction is not None
    picture, first = run.shown.picture, run.shown.prediction
    text, shown_at = "", 0.0
    for event in pipeline.stream(picture, first.instruction):
        # A server that is silent yields empty pieces, so that Stop is noticed soon.
        if run.over:
            return
        if isinstance(event, Prediction):
            overlap = mask_overlap(first.mask, event.mask)
            yield {**known, "phase": "done", "second": _answer(event, truth), "overlap": overlap}
            return
        text += event.text
        if time.monotonic() - shown_at >= STREAM_SECONDS:
            yield {**known, "phase": "writing", "second": _unfinished(pipeline.policy.model_id, text)}
            shown_at = time.monotonic()
