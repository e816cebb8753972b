"""Does a segmenter learn from the corrections that a policy learns from, and do both together beat either? See
`tests.benchmarks.learning`.

The pictures, corrections and splits are those of `tests.benchmarks.photographs`. ``python -m train.sam2
--include-feedback`` trains on them with its defaults.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Final

from segr1_app.files.json_files import read_json, write_json
from segr1_app.images.pictures import load_picture
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import DEFAULT_POLICY, DEFAULT_SEGMENTER
from segr1_app.studio.trainings import CONFIG, RESULT, SEGMENTER
from tests.benchmarks.photographs import (
    AMOUNTS,
    ELSEWHERE,
    INSTRUCTION,
    Kind,
    Run,
    Scores,
    change,
    corrected_homes,
    elsewhere,
    known_pairs,
    scored,
    train,
)
from tests.e2e.serving import ROOT
from train.data.pairs import Pair, read_mask
from train.finetune.segmenter.scores import score_object

MEASURES: Final = {"iou": "IoU from an exact box and point", "clicks": "clicks to IoU .9"}
BOTH: Final = {"policy": "policy", "segmenter": "segmenter", "both": "policy and segmenter"}
"""What the corrections teach, for the table of pairs."""


def run_seed(seed: int, kind: Kind, data: Path, out: Path) -> tuple[Run, Run]:
    """Train and score one seed: its segmenters by number of corrections, and its pairs; finished steps are read.

    Returns:
        The segmenters' scores by set, and the scores of pairs: 0 for the shipped pair, then each of `BOTH`.
    """
    homes, work = corrected_homes(seed, kind, out)
    folder, unseen, known = out / f"seed-{seed}", kind.split(seed)[1], known_pairs(data, out)
    segmenters = {0: DEFAULT_SEGMENTER} | {
        count: train_segmenter(folder / f"segmenter-{count}", homes[count], known, seed, out / "embeddings")
        for count in AMOUNTS
    }
    sets = {kind.name: unseen} | {name: elsewhere(data, name) for name in ELSEWHERE}
    scores = {
        name: {
            count: object_scores(
                segmenter, pairs, (folder if count or name == kind.name else out) / f"objects-{name}-{count}.json"
            )
            for count, segmenter in segmenters.items()
        }
        for name, pairs in sets.items()
    }
    most = AMOUNTS[-1]
    policy = train(folder / f"run-{most}", homes[most], known, seed)
    named = {
        0: (DEFAULT_POLICY, DEFAULT_SEGMENTER, f"{kind.name}-0"),
        1: (policy, DEFAULT_SEGMENTER, f"{kind.name}-{most}"),
        2: (DEFAULT_POLICY, segmenters[most], f"pairs-segmenter-{most}"),
        3: (policy, segmenters[most], f"pairs-both-{most}"),
    }
    pairs = {
        number: scored(one, unseen, INSTRUCTION, folder / f"{file}.json", other)
        for number, (one, other, file) in named.items()
    }
    return Run(scores, work), Run({kind.name: pairs}, work)


def train_segmenter(run: Path, home: Path, data: Sequence[Path], seed: int, embeddings: Path) -> Path:
    """``python -m train.sam2 --include-feedback`` with its defaults, unless it is done; the new segmenter's folder."""
    if not (run / RESULT).is_file():
        command = [sys.executable, "-m", "train.sam2", "--include-feedback", "--home", home, "--data", *data]
        command += ["--segmenter", DEFAULT_SEGMENTER, "--seed", seed, "--output-dir", run]
        command += ["--embedding-cache", embeddings, *(["--resume"] if (run / CONFIG).is_file() else [])]
        subprocess.run([str(part) for part in command], cwd=ROOT, check=True)
    return run / SEGMENTER


def object_scores(segmenter: Path, pairs: Sequence[Pair], file: Path) -> Scores:
    """The scores of a segmenter from exact prompts; kept in a file."""
    if file.is_file():
        known: Scores = read_json(file)
        return known
    model, found = Sam2Segmenter.load(segmenter, device="cpu"), {}
    for pair in pairs:
        picture = load_picture(pair.image)
        reached, clicks = score_object(model, picture, read_mask(pair, picture.size))
        found[pair.stem] = {"iou": reached, "clicks": float(clicks)}
    write_json(file, found)
    return found


def table(kind: Kind, segmenters: Sequence[Run], pairs: Sequence[Run]) -> str:
    """The results in Markdown: segmenters by the number of corrections, then what pairs gain on the kind."""
    head = " | ".join(f"after {count} corrections | change [95 %]" for count in AMOUNTS)
    lines = [f"| | before | {head} |", f"|---|{'---|' * (1 + 2 * len(AMOUNTS))}"]
    for name in segmenters[0].scores:
        for measure, label in MEASURES.items():
            cells = [f"{_mean(segmenters, name, 0, measure):.3f}"]
            for count in AMOUNTS:
                cells.append(f"{_mean(segmenters, name, count, measure):.3f}")
                cells.append(change(kind, segmenters, name, count, measure))
            lines.append(f"| {name}, {label} | {' | '.join(cells)} |")
    lines += [
        "",
        f"| {AMOUNTS[-1]} corrections teach | IoU of the pair on {kind.name} | change [95 %] |",
        "|---|---|---|",
    ]
    lines.append(f"| nothing | {_mean(pairs, kind.name, 0, 'iou'):.3f} | |")
    for number, label in enumerate(BOTH.values(), start=1):
        mean = _mean(pairs, kind.name, number, "iou")
        lines.append(f"| {label} | {mean:.3f} | {change(kind, pairs, kind.name, number, 'iou')} |")
    return "\n".join(lines)


def demonstrate(kind: Path, data: Path, out: Path, seeds: int) -> tuple[str, Kind, list[Run]]:
    """All seeds; the tables with their caption, the kind, and the segmenters' scores."""
    corrected = Kind.read(kind)
    found = [run_seed(seed, corrected, data, out) for seed in range(seeds)]
    segmenters, pairs = [one for one, _ in found], [other for _, other in found]
    pictures = sum(len(run.scores[corrected.name][0]) for run in segmenters)
    note = (
        f"{seeds} seeds, in parentheses the change of each; the corrections and splits of the demonstration for the "
        f"policy. {corrected.name}: {pictures} pictures. Intervals by bootstrap over groups."
    )
    return f"{table(corrected, segmenters, pairs)}\n\n{note}", corrected, segmenters


def _mean(runs: Sequence[Run], name: str, count: int, measure: str) -> float:
    return fmean(values[measure] for run in runs for values in run.scores[name][count].values())
