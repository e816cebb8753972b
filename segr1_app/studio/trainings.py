"""Trainings on corrections, seen from the app: started and stopped as processes, and read back from their folders,
also those that somebody started in a terminal.

The app never imports the training. What it knows of one is the command line of ``python -m train.grpo`` and the files
of a run's folder; both outlive the app, so that a training goes on when the page is closed or restarted.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import psutil
from safetensors import SafetensorError

from segr1_app.domain import SettingsError
from segr1_app.files.json_files import write_json
from segr1_app.geometry import Rle, check_rle, decode_rle
from segr1_app.metrics import iou
from segr1_app.models.loading import parameter_count
from segr1_app.models.policy_files import check_whole
from segr1_app.settings.config import CHECKOUT, Settings
from segr1_app.store.connection import translate_errors
from segr1_app.studio.run_files import RunFiles
from segr1_app.studio.training_progress import describe_parting, last_words

ROOT = CHECKOUT
"""The folder from which ``train`` can be imported, in a checkout and installed."""
CONFIG, METRICS, BEFORE, AFTER, RESULT = "config.json", "metrics.jsonl", "before.json", "after.json", "result.json"
PICTURES, POLICY = "held-out", "policy"
"""What lies in a run's folder; the training takes the names from here."""
PROCESS, LOG = "process.json", "train.log"
"""Whose process a run is; and, where the app started it, with which command, and what that said."""
ELSEWHERE = "It was started in a terminal: what it says stands there, and there it is resumed."
"""Last words of a training of which the app has no log."""
VALIDATION = "validation/reward"
"""Under which name a line of the metrics holds the mean reward of held-out answers."""
MAX_STEPS = 100_000
LARGE_CONFIG = ("train", "configs", "seg-r1-3b-lora.yaml")
"""Below `ROOT`: how large policies are trained; the embedded one's is the command's default."""
SMALL_PARAMETERS = 100_000_000
"""Up to so many weights a policy is trained like the embedded one."""

State = Literal["running", "done", "stopped"]
_MOMENT: Final = re.compile(r"\d{8}-\d{6}b*")
_TRAINING: Final = ["-m", "train.grpo"]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A training as its folder tells it.

    Attributes:
        name: of the folder.
        state: "stopped" when it ended before it was done.
        resumable: whether it stopped and the app can go on with it, because the app started it.
        steps: how many are to be made; 0 while that is not known.
        curve: (step, mean reward) of every step made.
        last_words: the end of what the process said.
        validation: (step, mean reward) of held-out answers, as far as it was validated.
        warning: what is wrong with how it goes; empty for nothing.
        exported: the step whose weights are the new policy; None until that is known.
        before, after: held-out scores by group; None until they are known.
        problems: a sentence for each file of the folder that is damaged; the rest is read all the same.
    """

    name: str
    state: State
    resumable: bool
    steps: int
    curve: tuple[tuple[int, float], ...]
    last_words: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    problems: tuple[str, ...] = ()
    validation: tuple[tuple[int, float], ...] = ()
    warning: str = ""
    exported: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One held-out picture under the old policy and the new one.

    Attributes:
        picture: a small copy of it.
        source: the data set it comes from; "feedback" for corrections.
        instruction: what was asked.
        old, new: the masks.
        old_iou, new_iou: with the true mask; None where none is known.
    """

    picture: Path
    source: str
    instruction: str
    old: Rle
    new: Rle
    old_iou: float | None
    new_iou: float | None

    @property
    def gain(self) -> float | None:
        """Change of the IoU with the true mask; None where none is known."""
        return None if self.old_iou is None or self.new_iou is None else self.new_iou - self.old_iou

    @property
    def old_new_iou(self) -> float:
        """IoU of the old mask and the new one: how little changed, for better or worse."""
        return iou(decode_rle(self.old), decode_rle(self.new))


class Trainings:
    """The trainings in a data folder; at most one of them runs at a time.

    Args:
        home: the data folder.
    """

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()
        self._folder = self._home / "runs"
        self._child: subprocess.Popen[bytes] | None = None

    def plan(self, settings: Settings) -> str:
        """What would be trained on, as the command line tells it.

        Args:
            settings: as of `start`.

        Raises:
            SettingsError: when nothing can be, with the reason.
        """
        done = subprocess.run(
            [*self._command(settings, include_feedback=True), "--plan"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SettingsError(
                last_words(done.stderr, alive=False, where="the app's terminal") or "The plan could not be made."
            )
        return done.stdout.strip()

    def start(self, settings: Settings, steps: int, *, include_feedback: bool) -> str:
        """Start a training; returns its name.

        Args:
            settings: name the policy that is trained and the segmenter, and say on which device.
            steps: of the optimiser.
            include_feedback: whether corrections take part.

        Raises:
            SettingsError: when one is running, or the number of steps is none.
        """
        if not 1 <= steps <= MAX_STEPS:
            raise SettingsError(f"A training takes from 1 to {MAX_STEPS} steps.")
        self._check_none_runs()
        name = self._new_name()
        options = ["--output-dir", str(self._folder / name), "--max-steps", str(steps)]
        self._spawn(name, [*self._command(settings, include_feedback=include_feedback), *options], resume=False)
        return name

    def resume(self, name: str) -> None:
        """Go on with a training that was stopped, with the arguments that it was started with.

        Raises:
            SettingsError: when there is no such training, it is done, the app did not start it, or one is running.
        """
        run, folder = self.read(name), self._run(name)
        if run.state == "done":
            raise SettingsError(f"The training {name} is done.")
        self._check_none_runs()
        if not run.resumable:
            raise SettingsError(f"The training {name} was started in a terminal: go on with it there, with --resume.")
        # One that was stopped before it was planned has nothing to go on from.
        self._spawn(name, _command_of(folder), resume=(folder / CONFIG).is_file())

    def stop(self) -> None:
        """End the running training; what its last checkpoint holds is kept.

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
        """The name of the training that runs; None when none does."""
        if self._child is not None:
            self._child.poll()  # a child that ended stays a process until it is asked
        return next((name for name in reversed(self.names()) if _is_running(self._folder / name)), None)

    def names(self) -> list[str]:
        """All trainings in the data folder by name, which is the time at which each began."""
        # The app's have no configuration before they are planned, and older ones of a terminal no process.
        return sorted({file.parent.name for mark in (PROCESS, CONFIG) for file in self._folder.glob(f"*/{mark}")})

    def read(self, name: str) -> TrainingRun:
        """A training as it stands.

        Raises:
            SettingsError: when there is none of that name.
        """
        folder = self._run(name)
        files = RunFiles(folder)
        process, result = files.record(PROCESS), files.record(RESULT)
        alive, done = _is_running(folder), files.whole(RESULT)
        log = files.text(LOG)
        curve, validation = files.curves(METRICS, "reward", VALIDATION)
        words = ELSEWHERE if log is None else last_words(log, alive=alive, where=str(folder / LOG))
        return TrainingRun(
            name=name,
            state="running" if alive else "done" if done else "stopped",
            resumable=not alive and not files.holds(RESULT) and "command" in process,
            steps=files.number(files.record(CONFIG), "steps", MAX_STEPS),
            curve=curve,
            last_words=words,
            before=files.part(files.record(BEFORE), "scores", BEFORE),
            after=files.part(result, "after", RESULT),
            validation=validation,
            warning=describe_parting(curve, validation),
            exported=files.number(result, "exported_step", MAX_STEPS) or None,
            problems=tuple(files.problems),
        )

    def changes(self, name: str) -> list[Change]:
        """What a training changed on held-out pictures: what became worse first, then, of those whose true mask nobody
        knows, what changed most.

        Raises:
            SettingsError: when there is no such training, or it is not done.
        """
        folder = self._run(name)
        if not (folder / AFTER).is_file():
            raise SettingsError(f"The training {name} is not done.")
        files = RunFiles(folder)
        old, new = (_answers(files, file) for file in (BEFORE, AFTER))
        if files.problems:
            raise SettingsError(f"What the training {name} changed cannot be shown: {' '.join(files.problems)}")
        later = {_row(answer): answer for answer in new}
        changes = [
            Change(
                picture=folder / PICTURES / f"{answer['image_id']}.jpg",
                source=answer["source"],
                instruction=answer["instruction"],
                old=answer["mask"],
                new=again["mask"],
                old_iou=answer["iou"],
                new_iou=again["iou"],
            )
            for answer in old
            if (again := later.get(_row(answer)))
        ]
        return sorted(changes, key=lambda c: (c.gain is None, c.old_new_iou if c.gain is None else c.gain))

    def policy(self, name: str) -> Path:
        """The folder of the policy that a training made.

        Raises:
            SettingsError: when it is not done.
            ModelError: when its folder holds no whole policy.
        """
        if self.read(name).state != "done":
            raise SettingsError(f"The training {name} is not done: there is no new policy yet.")
        folder = self._run(name) / POLICY
        check_whole(folder)
        return folder

    def _command(self, settings: Settings, *, include_feedback: bool) -> list[str]:
        return [
            *(sys.executable, "-m", "train.grpo", "--home", str(self._home)),
            *("--policy", _absolute(settings.policy), "--segmenter", _absolute(settings.segmenter)),
            *("--device", settings.device),
            *([] if is_small(settings.policy) else ["--config", str(ROOT.joinpath(*LARGE_CONFIG))]),
            *(["--include-feedback"] if include_feedback else []),
        ]

    def _spawn(self, name: str, command: Sequence[str], *, resume: bool) -> None:
        folder = self._folder / name
        # A disk that is full leaves no process that nobody knows of, and no folder of a training that never was.
        with translate_errors(), ExitStack() as undoing:
            if not folder.exists():
                undoing.callback(shutil.rmtree, folder, ignore_errors=True)
                folder.mkdir(parents=True)
            # What is to be written when it runs is written now, too: that there is room for it shows before it starts.
            write_json(folder / PROCESS, {**_process(folder), "command": list(command)})
            with (folder / LOG).open("ab") as log:
                # A session of its own: Ctrl+C in the app's terminal is not meant for it.
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

    def _new_name(self) -> str:
        """The present moment, or, where the clock was set back, a name that comes after every earlier one's."""
        name = time.strftime("%Y%m%d-%H%M%S")
        latest = max((each for each in self.names() if _MOMENT.fullmatch(each)), default="")
        return name if name > latest else f"{latest}b"

    def _check_none_runs(self) -> None:
        running = self.running()
        if running is not None:
            raise SettingsError(f"The training {running} is running: stop it first.")

    def _run(self, name: str) -> Path:
        if name not in self.names():
            raise SettingsError(f"There is no training '{name}'.")
        return self._folder / name


def note_process(folder: Path, pid: int, **more: Any) -> None:
    """Write down in a run's folder which process it is, beside what stands there already; the training does so, too."""
    started = psutil.Process(pid).create_time()
    # Since the machine was started, because that does not change when its clock is set.
    since_boot = started - psutil.boot_time()
    write_json(folder / PROCESS, {**_process(folder), "pid": pid, "started": started, "since_boot": since_boot, **more})


def _process(folder: Path) -> dict[str, Any]:
    """What is written down of a run's process; nothing where nobody did, or it cannot be read."""
    return RunFiles(folder).record(PROCESS)


def _command_of(folder: Path) -> list[str]:
    """The command that a run was started with, run by this Python.

    Raises:
        SettingsError: when what is written down is not the command of a training: it is never run then.
    """
    command = _process(folder).get("command")
    if not isinstance(command, list) or not all(isinstance(part, str) for part in command):
        command = []
    if command[1:3] != _TRAINING:
        raise SettingsError(f"'{folder / PROCESS}' does not hold the command of a training: start a new one.")
    return [sys.executable, *command[1:]]


def _is_running(folder: Path) -> bool:
    """Whether a run has no result yet, and the process that was written down for it still is that process."""
    process = _process(folder)
    pid, started, since_boot = (process.get(name) for name in ("pid", "started", "since_boot"))
    if type(pid) is not int or not 0 < pid < 2**31 or RunFiles(folder).holds(RESULT):
        return False
    try:
        found = psutil.Process(pid)
        created = found.create_time()
        # The number of a process that ended is given to another one some day.
        same = created == started
        if isinstance(since_boot, float):
            same = same or abs(created - psutil.boot_time() - since_boot) < 1
        return bool(same and found.status() != psutil.STATUS_ZOMBIE)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _answers(files: RunFiles, name: str) -> list[dict[str, Any]]:
    """The answers of a file of held-out scores that are whole; what is wrong with the file is noted in ``files``."""
    answers = files.record(name).get("answers")
    if not isinstance(answers, list):
        files.problems.append(f"'{name}' has no answers.")
        return []
    return [answer for answer in answers if _is_answer(answer)]


def _is_answer(answer: Any) -> bool:
    """Whether an answer has what is shown of it: texts, a mask, an IoU, and the name of a picture, never a path."""
    if not isinstance(answer, dict):
        return False
    if not all(isinstance(answer.get(name), str) for name in ("image_id", "source", "instruction")):
        return False
    if not (answer.get("iou") is None or (isinstance(answer.get("iou"), int | float) and 0 <= answer["iou"] <= 1)):
        return False
    if Path(answer["image_id"]).name != answer["image_id"]:
        return False
    try:
        check_rle(answer["mask"])
    except (ValueError, TypeError, KeyError):
        return False
    return True


def _row(answer: dict[str, Any]) -> tuple[str, ...]:
    """What tells a held-out row from every other one: a picture may be asked about in several ways, and a correction
    ask what a pair asks.
    """
    # Folders of earlier versions name no correction.
    return tuple(answer.get(name, "") for name in ("image_id", "source", "instruction", "content_hash"))


def is_small(policy: str) -> bool:
    """Whether a policy is of the embedded one's size; what is not on this machine is taken for large.

    Raises:
        SettingsError: when its weights cannot be read.
    """
    folder = Path(policy)
    try:
        return folder.is_dir() and 0 < parameter_count(folder) <= SMALL_PARAMETERS
    except (OSError, SafetensorError) as error:
        raise SettingsError(f"The weights in '{policy}' cannot be read: {error}.") from error


def _absolute(source: str) -> str:
    """A folder by its whole path, because the training runs elsewhere; a hub id as it is."""
    return str(Path(source).resolve()) if Path(source).is_dir() else source
