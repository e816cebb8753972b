"""Does a policy learn from corrections of a kind of photograph at which it is weak? See `tests.benchmarks.learning`.

Each seed holds out a different third of the kind's pictures for scoring. A simulated annotator
corrects some of the others through the API of a running app (`tests.benchmarks.annotator`). ``python -m train.grpo
--include-feedback`` trains on these corrections, with its defaults, and on pairs of the sets that the policy knows.
Pictures that belong together, such as the frames of a film, are never on both sides, and are drawn together in the
bootstrap: ``groups.json`` beside ``images/`` names the group of each, ``{"001": "film 1"}``.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

from matplotlib.figure import Figure

from segr1_app.files.json_files import read_json, write_json
from segr1_app.images.pictures import load_picture
from segr1_app.metrics import iou, s_measure
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import DEFAULT_POLICY, DEFAULT_SEGMENTER
from segr1_app.studio.trainings import CONFIG, POLICY, RESULT
from tests.benchmarks.annotator import Work, annotate
from tests.e2e.serving import ROOT
from train.data.drawing import draw
from train.data.layouts import kind_of
from train.data.pairs import Pair, find_pairs, read_mask
from train.data.scenes import INSTRUCTIONS
from train.evaluation.intervals import grouped_interval

AMOUNTS: Final = (30, 100)
"""Corrections that are trained on; the fewer are the first of the more."""
KNOWN: Final = ("camo_train", "duts_tr")
"""Sets that the policy was made from; what it has learnt there is kept by training on some of their pairs."""
PAIRS: Final = 500
"""Pairs of each of them."""
ELSEWHERE: Final = ("camo_test", "ecssd")
"""Sets on which nothing may be lost."""
FOLDS: Final = 3
SCORED: Final = 150
"""Pictures of a set that are scored, most."""
TOGETHER: Final = 16
INSTRUCTION: Final = INSTRUCTIONS["camouflaged"]
GROUPS: Final = "groups.json"
MEASURES: Final = {"iou": "IoU", "s_measure": "S-measure"}

Scores = dict[str, dict[str, float]]
"""By the pictures' names: "iou", "s_measure" and "format"."""


@dataclass(frozen=True)
class Kind:
    """The kind of picture that is corrected.

    Attributes:
        name: of its folder.
        pairs: all of them.
        groups: of each picture by its stem: itself where nothing is said.
    """

    name: str
    pairs: tuple[Pair, ...]
    groups: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> Kind:
        """The pictures of a folder, and their groups."""
        pairs = find_pairs(folder / "images", folder / "masks").pairs
        said = read_json(folder / GROUPS) if (folder / GROUPS).is_file() else {}
        return cls(folder.name, tuple(pairs), {pair.stem: said.get(pair.stem, pair.stem) for pair in pairs})

    def split(self, seed: int) -> tuple[list[Pair], list[Pair]]:
        """Pictures to correct, in the order in which they are, and pictures to score, without a common group."""
        names = sorted(set(self.groups.values()))
        random.Random(0).shuffle(names)
        aside = set(names[seed % FOLDS :: FOLDS])
        to_correct = [pair for pair in self.pairs if self.groups[pair.stem] not in aside]
        random.Random(seed).shuffle(to_correct)
        return to_correct, draw([pair for pair in self.pairs if self.groups[pair.stem] in aside], SCORED, seed)


@dataclass(frozen=True)
class Run:
    """One seed: scores by set and number of corrections that were trained on, 0 for none; and the annotator's work."""

    scores: Mapping[str, Mapping[int, Scores]]
    work: Work


def run_seed(seed: int, kind: Kind, data: Path, out: Path) -> Run:
    """Correct, train and score; finished steps are read from the folder."""
    folder = out / f"seed-{seed}"
    homes, work = corrected_homes(seed, kind, out)
    unseen = kind.split(seed)[1]
    policies = {0: DEFAULT_POLICY} | {
        count: train(folder / f"run-{count}", homes[count], known_pairs(data, out), seed) for count in AMOUNTS
    }
    sets = {kind.name: (unseen, INSTRUCTION)} | {
        name: (elsewhere(data, name), INSTRUCTIONS[kind_of(name)]) for name in ELSEWHERE
    }
    return Run(
        {
            name: {
                # What the first policy makes of the other sets is the same for every seed.
                count: scored(
                    policy, pairs, asked, (folder if count or name == kind.name else out) / f"{name}-{count}.json"
                )
                for count, policy in policies.items()
            }
            for name, (pairs, asked) in sets.items()
        },
        work,
    )


def corrected_homes(seed: int, kind: Kind, out: Path) -> tuple[dict[int, Path], Work]:
    """The data folders with each number of corrections, made unless they exist, and the annotator's work."""
    folder = out / f"seed-{seed}"
    to_correct, _ = kind.split(seed)
    homes: dict[int, Path] = {}
    work = None
    for count in AMOUNTS:
        work = annotate(folder / "app", to_correct[:count], INSTRUCTION)
        homes[count] = folder / f"home-{count}"
        if not homes[count].exists():
            shutil.copytree(folder / "app" / "data", homes[count])
    assert work is not None
    return homes, work


def elsewhere(data: Path, name: str) -> list[Pair]:
    """The pairs that are scored of a set on which nothing may be lost."""
    return draw(_pairs(data / name), SCORED, 0)


def known_pairs(data: Path, out: Path) -> list[Path]:
    """Data sets of some pairs of the sets that the policy knows."""
    folders = []
    for name in KNOWN:
        folder = out / "pairs" / name
        folders.append(folder)
        if folder.is_dir():
            continue
        partial = folder.with_name(f"{name}.part")
        shutil.rmtree(partial, ignore_errors=True)
        for pair in draw(_pairs(data / name), PAIRS, 0):
            for part, file in (("images", pair.image), ("masks", pair.mask)):
                (partial / part).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, partial / part / file.name)
        partial.rename(folder)
    return folders


def train(run: Path, home: Path, data: Sequence[Path], seed: int) -> Path:
    """``python -m train.grpo --include-feedback`` with its defaults, unless it is done; the new policy's folder."""
    if not (run / RESULT).is_file():
        command = [sys.executable, "-m", "train.grpo", "--include-feedback", "--home", home, "--data", *data]
        command += ["--seed", seed, "--output-dir", run, *(["--resume"] if (run / CONFIG).is_file() else [])]
        subprocess.run([str(part) for part in command], cwd=ROOT, check=True)
    return run / POLICY


def scored(
    policy: Path, pairs: Sequence[Pair], instruction: str, file: Path, segmenter: Path = DEFAULT_SEGMENTER
) -> Scores:
    """The scores of a pair's masks, as the app makes them; kept in a file."""
    if file.is_file():
        known: Scores = read_json(file)
        return known
    app = Pipeline(VlmPolicy.load(policy, device="cpu"), Sam2Segmenter.load(segmenter, device="cpu"))
    found: Scores = {}
    for first in range(0, len(pairs), TOGETHER):
        some = pairs[first : first + TOGETHER]
        pictures = [load_picture(pair.image) for pair in some]
        answers = app.run_together([(picture, instruction) for picture in pictures])
        for pair, picture, answer in zip(some, pictures, answers, strict=True):
            truth = read_mask(pair, picture.size)
            found[pair.stem] = {
                "iou": iou(answer.mask, truth),
                "s_measure": s_measure(answer.mask, truth),
                "format": float(answer.well_formed),
            }
    write_json(file, found)
    return found


def table(kind: Kind, runs: Sequence[Run]) -> str:
    """The results in Markdown: a row per set and measure, with the change by each amount of corrections."""
    head = [f"after {count} corrections | change [95 %]" for count in AMOUNTS]
    lines = [f"| | before | {' | '.join(head)} |", f"|---|{'---|' * (1 + 2 * len(head))}"]
    for name in runs[0].scores:
        for measure, label in MEASURES.items():
            before = [values[measure] for run in runs for values in run.scores[name][0].values()]
            cells = [f"{fmean(before):.3f}"]
            for count in AMOUNTS:
                cells += [f"{fmean(_all(runs, name, count, measure)):.3f}", change(kind, runs, name, count, measure)]
            lines.append(f"| {name}, {label} | {' | '.join(cells)} |")
    rates = [f"{fmean(_all(runs, kind.name, count, 'format')):.3f}" for count in (0, *AMOUNTS)]
    lines.append(f"| {kind.name}, format rate | {rates[0]} | {' | | '.join(rates[1:])} | |")
    return "\n".join(lines)


def change(kind: Kind, runs: Sequence[Run], name: str, count: int, measure: str) -> str:
    """The mean change of a score, its interval, and the change of every seed if there are several."""
    gains, groups, each = [], [], []
    for run in runs:
        before, after = run.scores[name][0], run.scores[name][count]
        own = [after[stem][measure] - before[stem][measure] for stem in before]
        gains += own
        groups += [kind.groups[stem] if name == kind.name else stem for stem in before]
        each.append(f"{fmean(own):+.3f}")
    interval = grouped_interval(gains, groups)
    around = f" [{interval[0]:+.3f}, {interval[1]:+.3f}]" if interval else ""
    return f"**{fmean(gains):+.3f}**{around}" + (f" ({', '.join(each)})" if len(each) > 1 else "")


def caption(kind: Kind, runs: Sequence[Run]) -> str:
    """The caption of the table."""
    pictures = sum(len(run.scores[kind.name][0]) for run in runs)
    groups = len({kind.groups[stem] for run in runs for stem in run.scores[kind.name][0]})
    works = [run.work for run in runs]
    clicks, painted = fmean(work.clicks for work in works), fmean(work.painted for work in works)
    count = AMOUNTS[-1] - AMOUNTS[0]
    seeds = f"{len(runs)} seeds, in parentheses the change of each" if len(runs) > 1 else "One seed"
    return (
        f"{seeds}. {kind.name}: {pictures} pictures in {groups} groups, "
        f"none of which was trained on; {' and '.join(ELSEWHERE)}: up to {SCORED} pictures. Intervals by bootstrap "
        f"over groups. The last {count} corrections of a seed took {clicks:.1f} clicks each beside box and point, "
        f"{painted:.0f} of them paint; all reach an IoU of {min(work.least for work in works):.2f}."
    )


def plot_scores(kind: Kind, runs: Sequence[Run], file: Path) -> None:
    """The IoU of each set by the number of corrections, one line per seed."""
    names = [kind.name, *ELSEWHERE]
    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names)), names, strict=True):
        for seed, run in enumerate(runs):
            means = [fmean(values["iou"] for values in run.scores[name][count].values()) for count in (0, *AMOUNTS)]
            axes.plot((0, *AMOUNTS), means, marker="o", markersize=4, label=f"seed {seed}")
        axes.set_title(name)
        axes.set_ylim(0, 1)
        axes.set_xlabel("corrections")
        axes.set_ylabel("IoU")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(file, dpi=110)


def demonstrate(kind: Path, data: Path, out: Path, seeds: int) -> tuple[str, Kind, list[Run]]:
    """All seeds; the table with its caption, the kind, and the runs that they were made from."""
    corrected = Kind.read(kind)
    runs = [run_seed(seed, corrected, data, out) for seed in range(seeds)]
    return f"{table(corrected, runs)}\n\n{caption(corrected, runs)}", corrected, runs


def _pairs(folder: Path) -> list[Pair]:
    return list(find_pairs(folder / "images", folder / "masks").pairs)


def _all(runs: Sequence[Run], name: str, count: int, measure: str) -> list[float]:
    return [values[measure] for run in runs for values in run.scores[name][count].values()]
