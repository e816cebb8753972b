"""What is trained on where nobody gave pairs."""

from __future__ import annotations

from segr1_app.domain import DatasetError
from segr1_app.studio.trainings import is_small
from train.data.rows import Collected, scene_rows
from train.finetune.setup import TrainingSetup


def stand_in_rows(setup: TrainingSetup) -> Collected:
    """Generated scenes for a small policy, or where somebody asks for them.

    Raises:
        DatasetError: for a large policy, which knows real pictures and would learn to see scenes of 224 px.
    """
    if setup.scenes or (setup.scenes is None and is_small(setup.policy)):
        return scene_rows()
    raise DatasetError(
        f"There are no pairs to train on. Generated scenes are drawn for small policies, and '{setup.policy}' is none: "
        "give --data folders of images and masks (or SEGR1_TRAIN_DATA, which the Train tab takes, too), or ask for the "
        "scenes by --set scenes=true."
    )
