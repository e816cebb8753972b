"""Training runs, as seen by the app: started and stopped as processes and read from their folders, including runs that
were started in a terminal.

The app never imports the training code. All it uses is the command lines of ``python -m train.grpo`` and
``python -m train.sam2``, and the files in a run's folder; both outlive the app, so that a run continues when the page
is closed or restarted.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import psutil
from safetensors import SafetensorError

from segr1_app.domain import ModelRole, SettingsError
from segr1_app.files.json_files import write_json
from segr1_app.models.loading import parameter_count
from segr1_app.models.policy_files import check_whole
from segr1_app.settings.config import CHECKOUT, Settings
from segr1_app.store.connection import translate_errors
from segr1_app.studio.run_files import RunFiles
from segr1_app.studio.training_changes import HeldOutChange, read_changes, read_segmenter_changes
from segr1_app.studio.training_progress import describe_parting, last_words
from segr1_app.studio.training_run import TrainingRequest, TrainingRun

ROOT = CHECKOUT
"""The folder from which ``train`` can be imported, in a checkout and installed."""
CONFIG, METRICS, BEFORE, AFTER, RESULT = "config.json", "metrics.jsonl", "before.json", "after.json", "result.json"
PICTURES, POLICY, SEGMENTER = "held-out", "policy", "segmenter"
"""The files and folders in a run's folder; the training code imports these names."""
SEGMENTER_CHECKPOINT = "checkpoint.pt"
"""The training state of a segmenter; each one replaces the last."""
PROCESS, LOG = "process.json", "train.log"
"""The files with a run's process, and, if the app started it, its command and output."""
ELSEWHERE = "It was started in a terminal: see its output there, and resume it there."
"""Last words of a run of which the app has no log."""
VALIDATION = "validation/reward"
"""The key of the mean reward of held-out answers in the metrics."""
MAX_STEPS = 100_000
SMALL_PARAMETERS = 100_000_000
"""Policies with at most this many weights are trained like the embedded one: it decides the default configuration."""

_MOMENT: Final = re.compile(r"\d{8}-\d{6}b*")
_CHECKPOINT: Final = re.compile(r"checkpoint-(\d{1,9})")


RUN_FOLDERS: Final[Mapping[ModelRole, str]] = {"policy": "runs", "segmenter": "segmenter-runs"}
"""Where the runs of each model are, in the data folder."""
_MODULES: Final[Mapping[ModelRole, str]] = {"policy": "train.grpo", "segmenter": "train.sam2"}
"""Which module trains each model."""
_PREFIX: Final = "segmenter-"
"""Begins the names of the runs that train a segmenter."""


class Trainings:
    """The training runs in a data folder; at most one runs at a time.

    Args:
        home: the data folder.
    """

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()
        self._child: subprocess.Popen[bytes] | None = None

    def plan(self, settings: Settings, request: TrainingRequest) -> str:
        """The training data, as printed by the command line.

        Args:
            settings, request: as for `start`.

        Raises:
            SettingsError: when there is no usable data; the message says why.
        """
        done = subprocess.run(
            [*self._command(settings, request), "--plan"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SettingsError(
                last_words(done.stderr, alive=False, where="the app's terminal")
                or "The training data could not be listed."
            )
        return done.stdout.strip()

    def start(self, settings: Settings, steps: int | None, request: TrainingRequest) -> str:
        """Start a training run; returns its name.

        Args:
            settings: name the policy, the segmenter, and the device.
            steps: number of optimiser steps; None for the default of the command.
            request: what learns, and from what.

        Raises:
            SettingsError: when one is running, or the number of steps is invalid.
        """
        if steps is not None and not 1 <= steps <= MAX_STEPS:
            raise SettingsError(f"A training run has from 1 to {MAX_STEPS} steps.")
        self._check_none_runs()
        moment = self._new_moment()
        folder = self._home / RUN_FOLDERS[request.learns] / moment
        options = ["--output-dir", str(folder), *(["--max-steps", str(steps)] if steps is not None else [])]
        self._spawn(folder, [*self._command(settings, request), *options], resume=False)
        return _name(folder)

    def resume(self, name: str) -> None:
        """Resume a stopped training run with its original arguments.

        Raises:
            SettingsError: when there is no such run, it is done, the app did not start it, or one is running.
        """
        run, folder = self.read(name), self._run(name)
        if run.state == "done":
            raise SettingsError(f"The training {name} is done.")
        self._check_none_runs()
        if not run.resumable:
            raise SettingsError(f"The training {name} was started in a terminal: resume it there, with --resume.")
        # A run that was stopped before it was planned has nothing to resume from.
        self._spawn(folder, _command_of(folder, run.learns), resume=(folder / CONFIG).is_file())

    def stop(self) -> None:
        """Stop the current run; its last checkpoint is kept.

        Raises:
            SettingsError: when none is running.
        """
        name = self.running()
        if name is None:
            raise SettingsError("No training is running.")
        process = psutil.Process(_process(self._run(name))["pid"])
        with suppress(psutil.NoSuchProcess):
            process.terminate()
            try:
                process.wait(timeout=30)
            except psutil.TimeoutExpired:
                process.kill()

    def running(self) -> str | None:
        """The name of the current run; None if there is none."""
        if self._child is not None:
            self._child.poll()  # a child process that ended remains until it is polled
        folders = self._folders()
        return next((name for name in reversed(folders) if _is_running(folders[name])), None)

    def names(self) -> list[str]:
        """The names of all runs in the data folder, oldest first."""
        return list(self._folders())

    def _folders(self) -> dict[str, Path]:
        """The folders of all runs by their names, which are their start times."""
        # Runs of the app have no configuration before they are planned, and older runs from a terminal have no process
        # file.
        found = {
            file.parent
            for runs in RUN_FOLDERS.values()
            for mark in (PROCESS, CONFIG)
            for file in (self._home / runs).glob(f"*/{mark}")
        }
        ordered = sorted(found, key=lambda folder: (folder.name, folder.parent.name))
        return {_name(folder): folder for folder in ordered}

    def read(self, name: str) -> TrainingRun:
        """The current state of a training run.

        Raises:
            SettingsError: when there is none with that name.
        """
        folder = self._run(name)
        files = RunFiles(folder)
        process, result = files.record(PROCESS), files.record(RESULT)
        alive, done = _is_running(folder), files.whole(RESULT)
        log = files.text(LOG)
        learns = _learns(folder)
        curve, validation = files.curves(METRICS, "reward" if learns == "policy" else "loss", VALIDATION)
        words = ELSEWHERE if log is None else last_words(log, alive=alive, where=str(folder / LOG))
        return TrainingRun(
            name=name,
            state="running" if alive else "done" if done else "stopped",
            resumable=not alive and not files.holds(RESULT) and "command" in process,
            steps=files.number(files.record(CONFIG), "steps", MAX_STEPS),
            curve=curve,
            last_words=words,
            before=files.part(files.record(BEFORE), "scores", BEFORE) if learns == "policy" else None,
            after=files.part(result, "after", RESULT) if learns == "policy" else None,
            objects=read_segmenter_changes(files, RESULT) if learns == "segmenter" and done else None,
            learns=learns,
            validation=validation,
            warning=describe_parting(curve, validation),
            exported=files.number(result, "exported_step", MAX_STEPS) or None,
            saved=_newest_checkpoint(folder) if learns == "policy" else _last_save(files, curve),
            problems=tuple(files.problems),
        )

    def changes(self, name: str) -> list[HeldOutChange]:
        """The changes on held-out pictures: first those with ground truth, largest losses first, then those without,
        largest changes first. None for a segmenter, which is scored by objects.

        Raises:
            SettingsError: when there is no such training, or it is not done.
        """
        folder = self._run(name)
        if _learns(folder) == "segmenter":
            return []
        if not (folder / AFTER).is_file():
            raise SettingsError(f"The training {name} is not done.")
        files = RunFiles(folder)
        changes = read_changes(files, BEFORE, AFTER, pictures=folder / PICTURES)
        if files.problems:
            raise SettingsError(f"The changes of the training {name} cannot be shown: {' '.join(files.problems)}")
        return changes

    def trained(self, name: str) -> tuple[ModelRole, Path]:
        """What a training run produced: a policy or a segmenter, and its folder.

        Raises:
            SettingsError: when it is not done.
            ModelError: when the folder contains no complete model.
        """
        run = self.read(name)
        if run.state != "done":
            raise SettingsError(f"The training {name} is not done: there is no new {run.learns} yet.")
        folder = self._run(name) / (POLICY if run.learns == "policy" else SEGMENTER)
        if run.learns == "policy":
            check_whole(folder)
        else:
            from segr1_app.models.segmenter_files import check_whole_segmenter  # noqa: PLC0415 - brings torch along

            check_whole_segmenter(folder)
        return run.learns, folder

    def made(self, model: str) -> str | None:
        """The name of the run that made a model; None if none of these did."""
        return next((name for name, folder in self._folders().items() if Path(model).parent == folder), None)

    def _command(self, settings: Settings, request: TrainingRequest) -> list[str]:
        return [
            *(sys.executable, "-m", _MODULES[request.learns], "--home", str(self._home)),
            *(["--policy", _absolute(settings.policy)] if request.learns == "policy" else []),
            *("--segmenter", _absolute(settings.segmenter), "--device", settings.device),
            *(["--include-feedback"] if request.corrections else []),
            *(["--include-truths"] if request.truths else []),
        ]

    def _spawn(self, folder: Path, command: Sequence[str], *, resume: bool) -> None:
        # A full disk must not leave an untracked process, or the folder of a run that never started.
        with translate_errors(), ExitStack() as undoing:
            if not folder.exists():
                undoing.callback(shutil.rmtree, folder, ignore_errors=True)
                folder.mkdir(parents=True)
            # The file that will be written once it runs is also written now, so that a full disk is noticed before it
            # starts.
            write_json(folder / PROCESS, {**_process(folder), "command": list(command)})
            with (folder / LOG).open("ab") as log:
                # In its own session, so that Ctrl+C in the app's terminal does not stop it.
                child = subprocess.Popen(
                    [*command, "--resume"] if resume else command,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            undoing.callback(child.wait)
            undoing.callback(child.kill)
            note_process(folder, child.pid, command=list(command))
            undoing.pop_all()
        self._child = child

    def _new_moment(self) -> str:
        """The current time, or, if the clock was set back, a name that sorts after every earlier one."""
        name = time.strftime("%Y%m%d-%H%M%S")
        moments = (folder.name for folder in self._folders().values())
        latest = max((each for each in moments if _MOMENT.fullmatch(each)), default="")
        return name if name > latest else f"{latest}b"

    def _check_none_runs(self) -> None:
        running = self.running()
        if running is not None:
            raise SettingsError(f"The training {running} is running: stop it first.")

    def _run(self, name: str) -> Path:
        folder = self._folders().get(name)
        if folder is None:
            raise SettingsError(f"There is no training '{name}'.")
        return folder


def note_process(folder: Path, pid: int, **more: Any) -> None:
    """Record a run's process in its folder, keeping what is recorded there already; the training process does the
    same.
    """
    started = psutil.Process(pid).create_time()
    # Measured since boot, because that does not change when the clock is set.
    since_boot = started - psutil.boot_time()
    write_json(folder / PROCESS, {**_process(folder), "pid": pid, "started": started, "since_boot": since_boot, **more})


def _process(folder: Path) -> dict[str, Any]:
    """The recorded process of a run; empty if there is no record or it cannot be read."""
    return RunFiles(folder).record(PROCESS)


def _command_of(folder: Path, learns: ModelRole) -> list[str]:
    """The command with which a run was started, for this Python interpreter.

    Raises:
        SettingsError: when the recorded command is not that of a training run; it is never executed then.
    """
    command = _process(folder).get("command")
    if not isinstance(command, list) or not all(isinstance(part, str) for part in command):
        command = []
    if command[1:3] != ["-m", _MODULES[learns]]:
        raise SettingsError(f"'{folder / PROCESS}' does not contain the command of a training run: start a new one.")
    return [sys.executable, *command[1:]]


def _learns(folder: Path) -> ModelRole:
    """Which model a run trains."""
    return "segmenter" if folder.parent.name == RUN_FOLDERS["segmenter"] else "policy"


def _name(folder: Path) -> str:
    """What a run is called on the page and in the API."""
    return f"{_PREFIX if _learns(folder) == 'segmenter' else ''}{folder.name}"


def _last_save(files: RunFiles, curve: Sequence[tuple[int, float]]) -> int:
    """The step at which a segmenter's training was last saved; 0 if it was not."""
    made = curve[-1][0] if curve and files.holds(SEGMENTER_CHECKPOINT) else 0
    between = files.number(files.record(CONFIG), "save_steps", MAX_STEPS)
    return made - made % between if between else 0


def _newest_checkpoint(folder: Path) -> int:
    """The step of a run's newest checkpoint; 0 without one. A checkpoint has its name only once it is complete."""
    names = (_CHECKPOINT.fullmatch(entry.name) for entry in folder.glob("checkpoint-*"))
    return max((int(found[1]) for found in names if found), default=0)


def _is_running(folder: Path) -> bool:
    """Whether a run has no result yet and its recorded process is still the same process."""
    process = _process(folder)
    pid, started, since_boot = (process.get(name) for name in ("pid", "started", "since_boot"))
    if type(pid) is not int or not 0 < pid < 2**31 or RunFiles(folder).holds(RESULT):
        return False
    try:
        found = psutil.Process(pid)
        created = found.create_time()
        # Process ids are reused.
        same = created == started
        if isinstance(since_boot, float):
            same = same or abs(created - psutil.boot_time() - since_boot) < 1
        return bool(same and found.status() != psutil.STATUS_ZOMBIE)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def is_small(policy: str) -> bool:
    """Whether a policy has the size of the embedded one; a policy that is not on this machine is assumed to be large.

    Raises:
        SettingsError: when its weights cannot be read.
    """
    folder = Path(policy)
    try:
        return folder.is_dir() and 0 < parameter_count(folder) <= SMALL_PARAMETERS
    except (OSError, SafetensorError) as error:
        raise SettingsError(f"The weights in '{policy}' cannot be read: {error}.") from error


def _absolute(source: str) -> str:
    """The absolute path of a folder, because the training process has another working directory; hub ids are
    unchanged.
    """
    return str(Path(source).resolve()) if Path(source).is_dir() else source
