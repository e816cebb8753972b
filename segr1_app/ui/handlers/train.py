"""The Train tab for admins: see the training data, train, compare, and promote a policy.

Every method is also an API endpoint.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from segr1_app.domain import Mask, ObjectMask, ObjectPrompt
from segr1_app.geometry import Rle, decode_rle
from segr1_app.images.pictures import load_picture
from segr1_app.models.host import ModelHost
from segr1_app.settings.config import AUTO
from segr1_app.settings.promotion import go_back, promote, promoted_policy
from segr1_app.studio.contracts import TrainingChange, TrainingChanges, TrainingPlan, TrainingReport, TrainingStatus
from segr1_app.studio.training_changes import HeldOutChange
from segr1_app.studio.trainings import TrainingRun, Trainings
from segr1_app.ui.views import cached_file_url

STEPS = 40
"""Default number of optimiser steps, as in the embedded configuration."""


class TrainingHandlers:
    """Starts and stops training runs, reports their progress, and promotes their policies.

    Every method takes and returns JSON values and raises `SegR1Error` with a message for the caller.

    Args:
        trainings: the training runs of the data folder.
        models: their policy is trained further and replaced.
        cache: an existing folder from which gradio serves files.
    """

    def __init__(self, trainings: Trainings, models: ModelHost, cache: Path) -> None:
        self._trainings, self._models, self._cache = trainings, models, cache.resolve()
        started_with = models.settings.policy
        self._home = models.settings.home
        # The policy to which a rollback returns when no promotion is left.
        self._first = AUTO if started_with == promoted_policy(self._home) else started_with

    def training_plan(self) -> TrainingPlan:
        """The data a training run would use: counts by source and verdict, and what is left out and why.

        Returns:
            The table as text.
        """
        return {"plan": self._trainings.plan(self._models.settings)}

    def training_state(self, run: str = "") -> TrainingStatus:
        """The state of the training runs.

        Args:
            run: the training run to report on; empty for the newest.

        Returns:
            All trainings by name, the one that is asked for, and which policy the app uses.
        """
        names = self._trainings.names()[::-1]
        promoted = promoted_policy(self._home)
        used = Path(promoted).parent.name if promoted and promoted == self._models.settings.policy else None
        chosen = run or (names[0] if names else "")
        return {
            "running": self._trainings.running(),
            "runs": names,
            "run": _report(self._trainings.read(chosen)) if chosen else None,
            "promoted": promoted is not None,
            "promoted_run": used if used in names else None,
        }

    def start_training(self, steps: int = STEPS, include_feedback: bool = True) -> TrainingStatus:
        """Train the app's policy further in a separate process, which continues when the page is closed.

        Args:
            steps: optimiser steps.
            include_feedback: whether to use the corrections, in addition to the original pairs or generated scenes.

        Returns:
            As `training_state`.
        """
        name = self._trainings.start(self._models.settings, steps, include_feedback=include_feedback)
        return self.training_state(name)

    def stop_training(self) -> TrainingStatus:
        """Stop the current training run; it can be resumed from its last checkpoint.

        Returns:
            As `training_state`.
        """
        name = self._trainings.running() or ""
        self._trainings.stop()
        return self.training_state(name)

    def resume_training(self, run: str) -> TrainingStatus:
        """Resume a stopped training run.

        Args:
            run: its name.

        Returns:
            As `training_state`.
        """
        self._trainings.resume(run)
        return self.training_state(run)

    def training_changes(self, run: str) -> TrainingChanges:
        """Changes on held-out pictures after a finished training run, largest losses first.

        Args:
            run: its name.

        Returns:
            Overlays of both masks, and their IoU; pictures without a true mask, such as photographs, come last.
        """
        return {"changes": [self._shown(change) for change in self._trainings.changes(run)]}

    def promote(self, run: str) -> TrainingStatus:
        """Make the policy of a finished training run the app's own, now and after restarts.

        Args:
            run: its name.

        Returns:
            As `training_state`.
        """
        policy = str(self._trainings.policy(run))
        promote(self._home, policy)
        self._models.switch(policy)
        return self.training_state(run)

    def go_back(self) -> TrainingStatus:
        """Roll back the last promotion: the app uses its previous policy.

        Returns:
            As `training_state`.
        """
        go_back(self._home)
        self._models.switch(promoted_policy(self._home) or self._first)
        return self.training_state()

    def _shown(self, change: HeldOutChange) -> TrainingChange:
        return {
            "source": change.source,
            "instruction": change.instruction,
            "old": self._overlay(change, change.old),
            "new": self._overlay(change, change.new),
            "old_iou": change.old_iou,
            "new_iou": change.new_iou,
            "gain": change.gain,
            "old_new_iou": change.old_new_iou if change.gain is None else None,
        }

    def _overlay(self, change: HeldOutChange, mask: Rle) -> str:
        """The URL of a picture with a mask drawn on it; drawn once, then cached."""
        from segr1_app.studio.render import draw_overlay  # noqa: PLC0415 - supervision takes a third of a second

        key = hashlib.sha256(f"{change.picture}:{mask['counts']}".encode()).hexdigest()
        file = self._cache / f"change-{key}.jpg"
        if not file.exists():
            pixels = load_picture(change.picture).pixels
            found = _resized(decode_rle(mask), pixels.shape[1], pixels.shape[0])
            drawn = draw_overlay(pixels, [ObjectPrompt(None)], [ObjectMask(found, 1.0)])
            Image.fromarray(drawn).save(file, quality=90)
        return cached_file_url(file)


def _report(run: TrainingRun) -> TrainingReport:
    return {
        "name": run.name,
        "state": run.state,
        "resumable": run.resumable,
        "steps": run.steps,
        "curve": run.curve,
        "last_words": run.last_words,
        "before": run.before,
        "after": run.after,
        "problems": run.problems,
        "validation": run.validation,
        "warning": run.warning,
        "exported": run.exported,
        "saved": run.saved,
    }


def _resized(mask: Mask, width: int, height: int) -> Mask:
    small: Mask = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA) > 0
    return small
