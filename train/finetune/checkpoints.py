"""Atomic checkpoints, and the model exported from the last one.

transformers writes a checkpoint file by file under its final name and resumes from the highest number, even if that
checkpoint is incomplete. Here it is written to a temporary folder and renamed when complete.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from segr1_app.domain import SettingsError
from segr1_app.files.atomic import remove_partial, whole_folder
from segr1_app.language.protocol import Protocol
from segr1_app.language.protocol_files import protocol_names
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.policy_files import ADAPTER_CONFIG, PROTOCOL_FILE, PolicyCard, read_card
from segr1_app.studio.trainings import METRICS
from train.finetune.validation import best_step, validated
from train.scratch.policy_model import save_policy

PARTIAL = "partial"
"""Name of an unfinished checkpoint."""
KEPT = 2
"""How many checkpoints are kept in addition to the best one: the newest, and the one before it."""


class WholeCheckpoints(Trainer):
    """Mixin for trl's trainers that makes checkpoints appear atomically."""

    _writing = False

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write no card: trl's says nothing about this run; `train.finetune.model_card` writes one."""

    def _get_output_dir(self, trial: Any) -> str:
        folder: str = super()._get_output_dir(trial)
        return str(Path(folder) / PARTIAL) if self._writing else folder

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial))
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.is_world_process_zero():
            # Files left behind by an interruption must not be mixed with new ones.
            shutil.rmtree(folder / PARTIAL, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self._writing = True
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._writing = False
        # Every process writes its own random state: the checkpoint is complete only when all are done.
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            (folder / PARTIAL / name).replace(folder / name)
            (folder / PARTIAL).rmdir()
            whole = whole_checkpoints(folder)
            best = best_step(validated(folder / METRICS), [checkpoint_step(each) for each in whole])
            for old in whole[:-KEPT]:
                if checkpoint_step(old) != best:
                    shutil.rmtree(old)
        self.accelerator.wait_for_everyone()


def whole_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in a folder, by step."""
    return sorted(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=checkpoint_step)


def checkpoint_step(checkpoint: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def load_trained(
    checkpoint: Path, source: str, *, device: str, dtype: str, attention: str = "auto", protocol: str = "auto"
) -> VlmPolicy:
    """Load the policy in a checkpoint, with adapters merged into the model on which they were trained.

    The trainer's own loading does not work: it uses ``strict=False``, and because a Qwen2.5-VL's weights have different
    names on disk and in memory, it silently loads none of them.

    Args:
        checkpoint: contains a complete model or an adapter.
        source: the policy from which training started.
        device, dtype, attention, protocol: as for `VlmPolicy.load`.

    Raises:
        ModelError: when one of them cannot be loaded.
    """
    options = {"device": device, "dtype": dtype, "attention": attention, "protocol": protocol}
    if not (checkpoint / ADAPTER_CONFIG).is_file():
        trained = VlmPolicy.load(checkpoint, **options)
        # The trainer does not handle a policy's card.
        return VlmPolicy(
            trained.model, trained.processor, source, read_card(Path(source)), trained.protocol, reading=trained.reading
        )
    base = VlmPolicy.load(source, **options)
    merged = PeftModel.from_pretrained(base.model, str(checkpoint)).merge_and_unload()
    return VlmPolicy(merged, base.processor, base.model_id, base.card, base.protocol, reading=base.reading)


def export_policy(policy: VlmPolicy, folder: Path) -> None:
    """Write a policy for ``app.py --policy``, in half precision; the folder appears atomically.

    Its card names the protocol with which it was trained; the file of a custom one is stored next to it. Its generation
    config asks for no repetition penalty, whatever that of the policy it came from said: it was trained and scored
    without one.

    Raises:
        SettingsError: when the folder already exists, or the protocol's file is missing.
    """
    if folder.exists():
        raise SettingsError(f"'{folder}' exists: a trained policy never overwrites another.")
    remove_partial(folder)
    own = policy.protocol.name not in protocol_names()
    card = replace(
        policy.card or PolicyCard(),
        protocol=PROTOCOL_FILE if own else policy.protocol.name,
        reading=policy.reading,
    )
    generation = policy.model.generation_config
    if generation is not None:
        generation.repetition_penalty = 1.0
    with whole_folder(folder) as partial:
        save_policy(policy.model, policy.processor, card, partial)
        if own:
            _keep_protocol(policy.protocol, partial)


def _keep_protocol(protocol: Protocol, folder: Path) -> None:
    """Copy a protocol's file next to the policy that was trained with it."""
    try:
        shutil.copyfile(protocol.name, folder / PROTOCOL_FILE)
    except OSError as error:
        raise SettingsError(f"The protocol file '{protocol.name}' cannot be read: {error.strerror}.") from error
