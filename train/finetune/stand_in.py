"""Training data for when no pairs are given."""

from __future__ import annotations

from segr1_app.domain import DatasetError
from segr1_app.studio.trainings import is_small
from train.data.rows import Collected, scene_rows
from train.finetune.setup import TrainingSetup


def stand_in_rows(setup: TrainingSetup) -> Collected:
    """Generated scenes for a small policy, or if they are requested.

    Raises:
        DatasetError: for a large policy, which understands real pictures and would be spoilt by scenes of 224 px.
    """
    if setup.scenes or (setup.scenes is None and is_small(setup.policy)):
        return scene_rows()
    raise DatasetError(
        f"There are no pairs to train on. Generated scenes are only used for small policies, and "
        f"'{setup.policy}' is larger: "
        "give --data folders of images and masks (or SEGR1_TRAIN_DATA, which the Train tab uses too), or request the "
        "scenes with --set scenes=true."
    )
