"""Does training reward what the app shows, and what does it cost? ``python -m tests.benchmarks.reward_check``.

DIR holds the report sets. Samples of the embedded policy about photographs are rewarded as in training and answered as
in the app, each by its own path: the reward that trl calls, and the app's pipeline. For comparison, every prompt is
also decoded from the whole picture, which is cheaper. Seconds are CPU time, so that other processes do not count.
``--write`` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from scipy.stats import spearmanr
from tqdm import tqdm

from segr1_app.domain import Mask
from segr1_app.geometry import rescale_objects, union_masks
from segr1_app.images.pictures import Picture, load_picture
from segr1_app.language.codec import PRESETS, format_completion
from segr1_app.models.completions import read_completion
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.models.zoom import prompt_window
from segr1_app.rewards import SEG_R1, Answer, Truth, score
from segr1_app.settings.config import DEFAULT_POLICY, DEFAULT_SEGMENTER
from tests.benchmarks.following import corner_prompt
from tests.benchmarks.quality import CAMOUFLAGED, put_between
from tests.e2e.serving import ROOT
from train.data.drawing import draw
from train.data.pairs import find_pairs, read_mask
from train.data.rows import Example, Row
from train.finetune.trl_reward import Answerer, SegR1Reward
from train.finetune.trl_rows import ExampleReader

SHOWN = ("camo_test", "ecssd")
GROUP = 8
"""Completions about a picture, as in training."""
MARK = "reward-check"


@dataclass
class Found:
    """What was measured on one set.

    Attributes:
        training, whole: rank correlations of a group's rewards with the app's scores: as trained, and decoded from the
            whole picture; none for a group whose scores are all alike.
        corner: what a far corner's box earns beside its form: in training, in the app, from the whole picture.
        seconds: of masks and scores of a group: as trained, and from the whole picture.
        windows: different parts of a picture that a group looks at.
    """

    training: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    corner: list[tuple[float, float, float]] = field(default_factory=list)
    seconds: list[tuple[float, float]] = field(default_factory=list)
    windows: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Paths:
    """The paths from a completion about a picture to its score.

    Attributes:
        policy, segmenter: the pair; each path has its own segmenter, so that none uses another's embeddings.
    """

    policy: VlmPolicy
    segmenter: Sam2Segmenter

    def trained(self, picture: Picture, truth: Mask, texts: Sequence[str]) -> list[float]:
        """The rewards by the function that trl calls."""
        example = Example(picture, Truth(truth))
        row = Row(picture.sha256, "pairs", "pair", "-", lambda: example)
        reward = SegR1Reward(ExampleReader([row]), Answerer(self.policy, self._segmenter()), SEG_R1)
        count = len(texts)
        rewards = reward(
            completions=[[{"content": text}] for text in texts],
            completion_ids=[[0]] * count,
            index=[0] * count,
            source=["pairs"] * count,
            log_metric=lambda *_: None,
        )
        return [float(each or 0.0) for each in rewards]

    def shown(self, picture: Picture, truth: Mask, texts: Sequence[str]) -> list[float]:
        """The rewards of the app's answers."""
        app = Pipeline(self.policy, self._segmenter())
        return [_total(Answer.of(app.predict_completion(picture, "-", text, 0.0)), truth) for text in texts]

    def whole(self, picture: Picture, truth: Mask, texts: Sequence[str]) -> list[float]:
        """The rewards of the same prompts, decoded from the whole picture."""
        segmenter, totals = self._segmenter(), []
        embedding = segmenter.encode(picture)
        for text in texts:
            parsed = read_completion(self.policy.request(picture.size, "-"), text)
            masks = segmenter.decode(embedding, parsed.objects)
            mask = union_masks((found.mask for found in masks), picture.size)
            parts = tuple(each.mask for each in masks)
            totals.append(_total(Answer(parsed.well_formed, mask, parts, parsed.objects), truth))
        return totals

    def windows(self, picture: Picture, texts: Sequence[str]) -> int:
        """The number of different windows of a picture that its completions need."""
        request = self.policy.request(picture.size, "-")
        zoom = self.segmenter.zoom
        objects = [prompt for text in texts for prompt in read_completion(request, text).objects]
        return len({prompt_window(prompt, None, picture.size, zoom) for prompt in objects}) if zoom else 1

    def _segmenter(self) -> Sam2Segmenter:
        known = self.segmenter
        return Sam2Segmenter(known.predictor, known.model_id, zoom=known.zoom, clean=known.clean)


def _total(answer: Answer, truth: Mask) -> float:
    terms = score(answer, Truth(truth), SEG_R1)
    return terms.total if terms else 0.0


def measure(paths: Paths, folder: Path, limit: int, seed: int) -> Found:
    """What `Found` holds, on some pictures of a set."""
    found = Found()
    instruction = PRESETS[folder.name in CAMOUFLAGED].text
    pairs = draw(find_pairs(folder / "images", folder / "masks").pairs, limit, seed)
    for number, pair in enumerate(tqdm(pairs, desc=folder.name, unit="picture")):
        picture = load_picture(pair.image)
        truth = read_mask(pair, picture.size)
        texts = paths.policy.sample(picture, instruction, GROUP, seed=number)
        started = time.process_time()
        trained = paths.trained(picture, truth, texts)
        between = time.process_time()
        whole = paths.whole(picture, truth, texts)
        found.seconds.append((between - started, time.process_time() - between))
        shown = paths.shown(picture, truth, texts)
        found.windows.append(paths.windows(picture, texts))
        for ranks, scores in ((found.training, trained), (found.whole, whole)):
            if len(set(shown)) > 1 and len(set(scores)) > 1:
                ranks.append(float(spearmanr(scores, shown).statistic))
        corner = corner_prompt(truth)
        if corner is not None:
            frame = paths.policy.frame(picture.size)
            text = format_completion("there.", rescale_objects([corner], from_wh=picture.size, to_wh=frame))
            # Without the point for a well-formed answer.
            values = [path(picture, truth, [text])[0] - 1 for path in (paths.trained, paths.shown, paths.whole)]
            found.corner.append((values[0], values[1], values[2]))
    return found


def table(results: dict[str, Found]) -> str:
    """The results in Markdown, a column per set."""
    rows = {
        "groups of 8 completions": lambda found: str(len(found.windows)),
        "rank correlation of the reward with the app's score in a group": lambda found: f"{fmean(found.training):.3f}",
        "the same, masks from the whole picture": lambda found: f"{fmean(found.whole):.3f}",
        "a far corner's box earns, without its form: reward / app / whole picture": lambda found: " / ".join(
            f"{fmean(values):.3f}" for values in zip(*found.corner, strict=True)
        ),
        "different windows of a group": lambda found: f"{fmean(found.windows):.1f}",
        "seconds of a group's masks and scores: as trained / whole picture": lambda found: " / ".join(
            f"{fmean(values):.3f}" for values in zip(*found.seconds, strict=True)
        ),
        "times as long": lambda found: (
            f"{fmean(first for first, _ in found.seconds) / fmean(second for _, second in found.seconds):.2f}"
        ),
    }
    lines = [f"| | {' | '.join(results)} |", f"|---|{'---|' * len(results)}"]
    lines += [f"| {name} | {' | '.join(map(cell, results.values()))} |" for name, cell in rows.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.reward_check", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the report sets")
    parser.add_argument("--limit", type=int, default=30, metavar="N", help="pictures of a set (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which pictures (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    paths = Paths(VlmPolicy.load(DEFAULT_POLICY, device="cpu"), Sam2Segmenter.load(DEFAULT_SEGMENTER, device="cpu"))
    text = table({name: measure(paths, given.data / name, given.limit, given.seed) for name in SHOWN})
    print(text)
    if given.write:
        put_between(ROOT / "docs" / "benchmarks.md", MARK, text)


if __name__ == "__main__":
    main()
