"""The Train tab for admins: see the training data, train, compare, and promote a policy.

Every method is also an API endpoint.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from PIL import Image

from segr1_app.domain import Mask, ModelRole, ObjectMask, ObjectPrompt, SettingsError
from segr1_app.geometry import Rle, decode_rle
from segr1_app.images.pictures import load_picture
from segr1_app.models.host import ModelHost
from segr1_app.settings.config import AUTO
from segr1_app.settings.promotion import PROMOTED_FILES, go_back, promote, promoted
from segr1_app.store import AnnotationStore
from segr1_app.studio.contracts import TrainingChange, TrainingChanges, TrainingPlan, TrainingReport, TrainingStatus
from segr1_app.studio.training_changes import HeldOutChange
from segr1_app.studio.training_run import TrainingRequest, TrainingRun
from segr1_app.studio.trainings import Trainings
from segr1_app.ui.views import cached_file_url

RECENT: Final = 200
"""Newest revisions of which it is counted whose mistakes they correct."""


class TrainingHandlers:
    """Starts and stops training runs, reports their progress, and promotes their models.

    Every method takes and returns JSON values and raises `SegR1Error` with a message for the caller.

    Args:
        trainings: the training runs of the data folder.
        models: they are trained further and replaced.
        store: the corrections that are learnt from.
        cache: an existing folder from which gradio serves files.
    """

    def __init__(self, trainings: Trainings, models: ModelHost, store: AnnotationStore, cache: Path) -> None:
        self._trainings, self._models, self._store, self._cache = trainings, models, store, cache.resolve()
        self._home = models.settings.home
        # The models to which a rollback returns when no promotion is left.
        self._first: dict[ModelRole, str] = {
            role: AUTO if used == promoted(self._home, role) else used for role, used in self._used().items()
        }

    def _used(self) -> dict[ModelRole, str]:
        settings = self._models.settings
        return {"policy": settings.policy, "segmenter": settings.segmenter}

    def training_plan(
        self, learns: str = "policy", include_feedback: bool = True, include_truths: bool = False
    ) -> TrainingPlan:
        """The data a training run would use: counts by source and verdict, and what is left out and why.

        Args:
            learns, include_feedback, include_truths: as for `start_training`.

        Returns:
            The table as text.
        """
        request = TrainingRequest(_role(learns), corrections=include_feedback, truths=include_truths)
        return {"plan": self._trainings.plan(self._models.settings, request)}

    def training_state(self, run: str = "") -> TrainingStatus:
        """The state of the training runs.

        Args:
            run: the training run to report on; empty for the newest.

        Returns:
            All trainings by name, the one that is asked for, whose models the app uses, and whose mistakes the latest
            corrections were.
        """
        names = self._trainings.names()[::-1]
        chosen = run or (names[0] if names else "")
        return {
            "running": self._trainings.running(),
            "runs": names,
            "run": _report(self._trainings.read(chosen)) if chosen else None,
            "promoted": [role for role in PROMOTED_FILES if promoted(self._home, role) is not None],
            "promoted_runs": [
                name
                for role, used in self._used().items()
                if used == promoted(self._home, role) and (name := self._trainings.made(used)) is not None
            ],
            "blame": {blame.value: count for blame, count in self._store.recent_blame(RECENT).items()},
        }

    def start_training(
        self,
        steps: int | None = None,
        include_feedback: bool = True,
        learns: str = "policy",
        include_truths: bool = False,
    ) -> TrainingStatus:
        """Train one of the app's models further in a separate process, which continues when the page is closed.

        Args:
            steps: optimiser steps; None for the number on the command line, which depends on the model.
            include_feedback: whether to use the corrections, in addition to the original pairs or generated scenes.
            learns: "policy" or "segmenter".
            include_truths: whether to use the imported ground truths.

        Returns:
            As `training_state`.
        """
        request = TrainingRequest(_role(learns), corrections=include_feedback, truths=include_truths)
        name = self._trainings.start(self._models.settings, steps, request)
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
        """Make the model of a finished training run the app's own, now and after restarts.

        Args:
            run: its name.

        Returns:
            As `training_state`.
        """
        role, folder = self._trainings.trained(run)
        promote(self._home, role, str(folder))
        self._switch(role, str(folder))
        return self.training_state(run)

    def go_back(self, learns: str = "policy") -> TrainingStatus:
        """Roll back the last promotion: the app uses its previous policy or segmenter.

        Args:
            learns: which of them.

        Returns:
            As `training_state`.
        """
        role = _role(learns)
        go_back(self._home, role)
        self._switch(role, promoted(self._home, role) or self._first[role])
        return self.training_state()

    def _switch(self, role: ModelRole, source: str) -> None:
        self._models.switch(
            policy=source if role == "policy" else None, segmenter=source if role == "segmenter" else None
        )

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


def _role(learns: str) -> ModelRole:
    """Which model is meant.

    Raises:
        SettingsError: when it is neither.
    """
    for role in PROMOTED_FILES:
        if learns == role:
            return role
    raise SettingsError(f"What learns must be one of: {', '.join(PROMOTED_FILES)}.")


def _report(run: TrainingRun) -> TrainingReport:
    return {
        "name": run.name,
        "learns": run.learns,
        "state": run.state,
        "resumable": run.resumable,
        "steps": run.steps,
        "curve": run.curve,
        "last_words": run.last_words,
        "before": run.before,
        "after": run.after,
        "objects": run.objects,
        "problems": run.problems,
        "validation": run.validation,
        "warning": run.warning,
        "exported": run.exported,
        "saved": run.saved,
    }


def _resized(mask: Mask, width: int, height: int) -> Mask:
    small: Mask = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA) > 0
    return small
