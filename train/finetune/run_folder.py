"""The folder of one training run: its inputs, course and results.

``config.json`` (settings, seed, commit, versions, the content hash of every correction), ``warm-up/policy`` (after the
supervised steps that come first, if any), ``checkpoint-N/``, ``metrics.jsonl``, ``before.json`` and ``after.json``
(scores and single answers on held-out pictures, and these as ``held-out/SHA256.jpg``), ``rewards.png`` or
``losses.png``, ``policy/`` (what ``app.py --policy`` loads) and ``result.json``, which exists once everything is done.
"""

# Callbacks are passed more than they need.
# ruff: noqa: ARG002

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from segr1_app.domain import SettingsError
from segr1_app.files.atomic import whole_file, whole_folder
from segr1_app.files.json_files import read_json_lines
from segr1_app.studio.trainings import AFTER, BEFORE, CONFIG, METRICS, PICTURES, POLICY, RESULT
from train.data.rows import Row
from train.finetune.checkpoints import PARTIAL, checkpoint_step, whole_checkpoints
from train.finetune.validation import best_step, validated

LIBRARIES = ("torch", "transformers", "trl", "peft", "sam2", "numpy")
PREVIEW_SIDE = 512
"""Longest side in pixels of the copies of held-out pictures."""
PLOTTED = {"total": "reward", "format": "format", "iou": "IoU", "s_measure": "S-measure"}
PLOTTED_IF_ANY = {
    "abstention": "abstained where nothing is",
    "rejected_overlap": "overlap with rejected masks",
    "match": "prompts like the annotator's",
    "overlong": "too long",
}
"""Terms that exist only for some rows or options."""
LOSSES = {"loss": "loss per token", "mean_token_accuracy": "likeliest tokens"}

Curves = dict[str, list[tuple[int, float]]]
"""Points (step, value) of lines, by the lines' names."""


class RunFolder:
    """The folder of one training run.

    Args:
        path: its path; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.metrics, self.result = path / CONFIG, path / METRICS, path / RESULT
        self.before, self.after, self.pictures = path / BEFORE, path / AFTER, path / PICTURES
        self.policy = path / POLICY
        self.warmed = path / "warm-up" / POLICY

    @classmethod
    def new(cls, runs: Path, chosen: Path | None) -> RunFolder:
        """The folder of a new run: the chosen one, else one in ``runs`` named by the time.

        Raises:
            SettingsError: when it already contains a training run.
        """
        folder = cls(chosen or runs / time.strftime("%Y%m%d-%H%M%S"))
        if folder.config.exists():
            raise SettingsError(
                f"'{folder.path}' already contains a training run: give --resume, or another --output-dir."
            )
        return folder

    @classmethod
    def last(cls, runs: Path, chosen: Path | None) -> RunFolder:
        """The folder of the run to resume: the chosen one, else the newest in ``runs``.

        Raises:
            SettingsError: when there is none, or it is done.
        """
        candidates = [chosen] if chosen else sorted(config.parent for config in runs.glob(f"*/{CONFIG}"))
        if not candidates or not (candidates[-1] / CONFIG).is_file():
            raise SettingsError(f"There is no training run to resume in '{chosen or runs}': start without --resume.")
        folder = cls(candidates[-1])
        if folder.result.exists():
            raise SettingsError(f"The training run in '{folder.path}' is done: start a new one without --resume.")
        return folder

    @classmethod
    def done(cls, path: Path) -> RunFolder:
        """The folder of a finished run that is to be extended.

        Raises:
            SettingsError: when there is none.
        """
        folder = cls(path)
        if not folder.result.is_file() or folder.checkpoint is None:
            raise SettingsError(
                f"--extend {path}: there is no finished training run; to continue a stopped one, use --resume."
            )
        return folder

    def continue_from(self, other: RunFolder) -> None:
        """Copy the newest checkpoint of another run and its history; that run is not changed."""
        newest = other.checkpoint
        assert newest is not None
        self.path.mkdir(parents=True, exist_ok=True)
        for file in (other.before, other.metrics):
            shutil.copyfile(file, self.path / file.name)
        shutil.copytree(other.pictures, self.pictures, dirs_exist_ok=True)
        if other.warmed.is_dir() and not self.warmed.is_dir():
            # Its steps are not made again.
            self.warmed.parent.mkdir(exist_ok=True)
            with whole_folder(self.warmed) as warmed:
                shutil.copytree(other.warmed, warmed, dirs_exist_ok=True)
        partial = self.path / PARTIAL / newest.name
        shutil.rmtree(partial.parent, ignore_errors=True)
        shutil.copytree(newest, partial)
        partial.replace(self.path / newest.name)
        partial.parent.rmdir()

    @property
    def checkpoint(self) -> Path | None:
        """The newest complete checkpoint, if any."""
        return next(reversed(whole_checkpoints(self.path)), None)

    def best_checkpoint(self, *, or_start: bool = False) -> Path | None:
        """The checkpoint that was best in validation; the newest if there was no validation.

        Args:
            or_start: whether the policy that its steps started from counts, too.

        Returns:
            The checkpoint; None for the policy at the start, where no checkpoint was as good.
        """
        whole = {checkpoint_step(each): each for each in whole_checkpoints(self.path)}
        found = validated(self.metrics)
        best = best_step(found, sorted(whole))
        if or_start and best in found and found.get(0, found[best]) > found[best]:
            return None
        return whole[best]

    def keep_pictures(self, rows: Sequence[Row]) -> None:
        """Save small copies of the rows' pictures, to show what changed."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        for row in {row.image_id: row for row in rows}.values():
            picture = Image.fromarray(row.load().picture.pixels)
            picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
            picture.save(self.pictures / f"{row.image_id}.jpg", quality=88)

    def forget_after(self, step: int) -> None:
        """Drop the metrics of steps that an interrupted run made after its last checkpoint."""
        kept = [record for record in read_json_lines(self.metrics) if record["step"] <= step]
        with whole_file(self.metrics, lasting=True) as file:
            file.writelines(f"{json.dumps(record)}\n".encode() for record in kept)

    def draw_rewards(self) -> None:
        """Plot the terms of the reward over the steps, one line per source."""
        labels = PLOTTED | PLOTTED_IF_ANY
        curves: dict[str, Curves] = {label: {} for label in PLOTTED.values()}
        for record in read_json_lines(self.metrics):
            for name, value in record.items():
                kind, _, rest = name.partition("/")
                source, _, term = rest.rpartition("/")
                if kind == "terms" and term in labels and value is not None:
                    curve = curves.setdefault(labels[term], {}).setdefault(source, [])
                    curve.append((record["step"], value))
        self._draw(self.path / "rewards.png", curves)

    def draw_losses(self) -> None:
        """Plot the loss over the steps, and the fraction of tokens predicted correctly."""
        curves: dict[str, Curves] = {label: {} for label in LOSSES.values()}
        for record in read_json_lines(self.metrics):
            for name, label in LOSSES.items():
                if name in record:
                    curves[label].setdefault("training", []).append((record["step"], record[name]))
        self._draw(self.path / "losses.png", curves)

    def _draw(self, file: Path, curves: Mapping[str, Curves]) -> None:
        """Draw plots, two per row, each with a title and named lines."""
        rows = -(-len(curves) // 2)
        figure = Figure(figsize=(10, 3 * rows), layout="constrained")
        for place, (title, lines) in enumerate(curves.items(), start=1):
            axes = figure.add_subplot(rows, 2, place)
            for name, points in sorted(lines.items()):
                axes.plot(*zip(*points, strict=True), label=name, linewidth=1.2, marker=".", markersize=4)
            axes.set_title(title)
            axes.set_xlabel("step")
            axes.grid(alpha=0.3)
            if lines:
                axes.legend(fontsize="small")
        figure.savefig(file, dpi=110)


def refuse_changed(folder: Path, changed: Sequence[str]) -> None:
    """Check that a run is resumed as it was started.

    Args:
        folder: the run's folder.
        changed: what has changed since then.

    Raises:
        SettingsError: when something has.
    """
    if changed:
        raise SettingsError(
            f"The training in '{folder}' cannot be resumed, because its {', '.join(changed)} changed since it was "
            "started: give the same arguments and data, or start a new run."
        )


def circumstances() -> dict[str, Any]:
    """The commit of the code, None outside a git checkout, and the versions of its main libraries."""
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return {
        "git_commit": asked.stdout.strip() if asked.returncode == 0 else None,
        "versions": {name: version(name) for name in LIBRARIES},
    }


class MetricsLogger(TrainerCallback):
    """Writes the metrics of every step to a run's folder, and shows reward or loss on a progress bar.

    Args:
        folder: the run's folder.
        shown_as: the bar's label.
    """

    def __init__(self, folder: RunFolder, shown_as: str = "training") -> None:
        self._folder, self._shown_as = folder, shown_as
        self._bar: tqdm[Any] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            self._bar = tqdm(total=state.max_steps, initial=state.global_step, desc=self._shown_as, unit="step")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if self._bar is None or logs is None:
            return
        with self._folder.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, **logs}) + "\n")
        shown = next((name for name in ("reward", "loss") if name in logs), None)
        if shown is not None:
            self._bar.set_postfix_str(f"{shown} {logs[shown]:.3f}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def last_step(folder: RunFolder) -> int:
    """The step of the newest complete checkpoint; 0 without one."""
    return checkpoint_step(folder.checkpoint) if folder.checkpoint else 0
