"""Train a small Qwen2.5-VL policy from scratch on image-mask pairs: first the vision tower, then the completions.

The vision tower takes most of the time. It is trained alone first: every vision token predicts the foreground fraction
of each part of its cell, on coarse pictures and then on finer ones, and position, size and colour of the nearest
object. Rotary positions are relative; a token that has to predict an absolute position learns its own, from which the
language model can read it. Then the language model is trained as well, on cold-start completions (`train.data.traces`),
while the tower keeps its loss. The losses are in `train.scratch.policy_losses`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

from segr1_app.domain import Box
from segr1_app.geometry import box_iou, mask_box
from segr1_app.images.pictures import picture_from_array
from segr1_app.language.codec import parse_completion
from segr1_app.models.loading import resolve_device
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.policy_files import PolicyCard
from train.data.nouns import named_pairs, plural, synonyms_of
from train.data.pairs import PackedPairs
from train.data.prefetch import drawn_ahead
from train.data.traces import COLOURS, INSTRUCTIONS, NAMED_WORDINGS, NOUN_WORDINGS, WHICH, WORDINGS, vocabulary
from train.scratch.policy_batch import SUB_CELLS, BatchMaker, PolicyBatch
from train.scratch.policy_layout import TokenPositions, pack_attention, token_positions
from train.scratch.policy_losses import PolicyInTraining, batch_loss
from train.scratch.policy_model import (
    EMBEDDING,
    PolicyShape,
    build_model,
    build_processor,
    build_tokenizer,
    learn_words,
    save_policy,
)
from train.scratch.policy_pictures import IGNORED, PictureNames
from train.scratch.run import (
    Rates,
    TrainingBudget,
    TrainingConfig,
    TrainingData,
    TrainingState,
    load_data,
    load_exported_weights,
    reduced_precision,
)
from train.scratch.teacher import teacher_features

PACKED_SIDE = 256
HELD_OUT_NAMES = 120
"""Number of pairs that are kept to tune on whose nouns the learning curve tells."""
WARM_UP = 0.015
"""Fraction of the budget over which each phase warms up."""
CARD = PolicyCard(
    instructions=tuple(
        text.capitalize()
        for text in (
            *INSTRUCTIONS["salient"],
            *INSTRUCTIONS["camouflaged"],
            *(wording.format(which=which) for which in (*WHICH, *COLOURS) for wording in WORDINGS),
        )
    ),
    understands=(
        "This small policy understands three requests: the primary (most salient) objects, the camouflaged object, and "
        f"one of several objects by a word: {', '.join(WHICH)}, or its colour ({', '.join(COLOURS)}). It was not "
        "trained on anything else, such as referring expressions or questions."
    ),
)


def card_of(nouns: Sequence[str]) -> PolicyCard:
    """The card of a policy that was also taught these nouns."""
    if not nouns:
        return CARD
    texts = [
        wording.format(noun=noun, plural=plural(noun), which=WHICH[0])
        for noun in nouns
        for wording in (*NOUN_WORDINGS, *NAMED_WORDINGS)
    ]
    return PolicyCard(
        instructions=(*CARD.instructions, *(text.capitalize() for text in texts)),
        understands=(
            "This small policy understands four requests: the primary (most salient) objects, the camouflaged object, "
            f"one of several objects by a word: {', '.join(WHICH)}, or its colour ({', '.join(COLOURS)}), and "
            f"everything of a kind by its noun: {', '.join(nouns)}. It was not trained on anything else, such as "
            "referring expressions or questions."
        ),
        synonyms=synonyms_of(nouns),
    )


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of the training.

    Attributes:
        until: the fraction of the budget at which it ends.
        cells: vision tokens per picture.
        traces: questions answered about each picture, if it has that many; 0 trains the vision tower alone.
        pictures: pictures per step.
    """

    until: float
    cells: int
    traces: int
    pictures: int


PHASES = (
    Phase(0.06, cells=36, traces=0, pictures=32),
    Phase(0.25, cells=100, traces=0, pictures=24),
    Phase(1.0, cells=100, traces=4, pictures=24),
)


@dataclass(frozen=True, kw_only=True)
class PolicyConfig(TrainingConfig):
    """The configuration for training a policy.

    Attributes:
        phases: in order; only those with texts if there is a model to start from.
        shape: the size of the model.
        composed: as for `BatchMaker`.
        named: fraction of the samples that should be pictures with a noun, where there are any.
        teacher: whether the vision tower also learns what an ImageNet classifier sees.
    """

    budget: TrainingBudget = field(default_factory=lambda: TrainingBudget(95))
    rates: Rates = field(default_factory=lambda: Rates(peak=1.5e-3, weight_decay=0.05, average=0.998))
    holdout: int = 60
    report_minutes: float = 8.0
    phases: tuple[Phase, ...] = PHASES
    shape: PolicyShape = field(default_factory=PolicyShape)
    composed: float = 0.8
    named: float = 0.65
    teacher: bool = False


def train_policy(config: PolicyConfig, *, resume: bool = False) -> Path:
    """Train, and return the folder of the exported policy.

    Raises:
        DatasetError: as for `load_data`.
        ModelError: when the model to start from cannot be loaded.
        SettingsError: when there is no checkpoint to resume from, or the model to start from has another shape.
    """
    data, names = name_data(load_data(config, PACKED_SIDE), config)
    device = resolve_device(config.device)
    tokenizer = build_tokenizer(vocabulary(names.nouns))
    processor = build_processor(tokenizer, config.shape)
    maker = BatchMaker(data.pairs, tokenizer, config.shape, config.composed, names.trained)
    torch.manual_seed(config.seed)
    policy, phases = _initial_model(config, tokenizer)
    if device.type == "cuda":
        pack_attention(policy)
    else:
        # On a CPU, plain matrix products take two thirds of the time of torch's fused attention.
        policy.model.visual.set_attn_implementation("eager")
    model = PolicyInTraining(policy, config.shape.text_width, len(names.nouns), names.trained.features.shape[1]).to(
        device
    )
    run = TrainingState(model, config.budget, config.rates, lambda name: ".blocks." in name or ".layers." in name)
    if resume:
        run.load(config.out, device)

    def phase() -> tuple[Phase, float]:
        """The current phase and the fraction of the budget at which it began."""
        began = 0.0
        for candidate in phases:
            if run.progress < candidate.until:
                return candidate, began
            began = candidate.until
        return phases[-1], began

    def draw(now: Phase, step: int) -> tuple[PolicyBatch, TokenPositions]:
        rng = np.random.default_rng((config.seed, step))
        batch = maker.draw(data.chances, rng, pictures=now.pictures, cells=now.cells, traces=now.traces)
        return batch, token_positions(policy, batch)

    @lru_cache(maxsize=1)
    def batches(now: Phase) -> Iterator[tuple[PolicyBatch, TokenPositions]]:
        return drawn_ahead(partial(draw, now), run.step, config.workers)

    def loss() -> tuple[Tensor, float]:
        now, began = phase()
        batch, layout = next(batches(now))
        with reduced_precision(device):
            value = batch_loss(model, batch.to(device), layout.to(device), maker.numbers)
        return value, min(1.0, (run.progress - began) / WARM_UP + 0.01)

    def scores() -> dict[str, float]:
        averaged, now = run.averaged.module, phase()[0]
        assert isinstance(averaged, PolicyInTraining)
        save_policy(averaged.policy, processor, card_of(names.nouns), config.export)
        found = {"vision_iou": vision_iou(averaged, maker, data.held_out, now.cells)}
        if names.tuned_on:
            found["named_by_tower"] = naming_score(averaged, maker, names, now.cells)
        if now.traces:
            found |= completion_scores(VlmPolicy.load(config.export, device=config.device), data.pairs, data.held_out)
            found |= pointing_scores(averaged, maker, data.held_out, now.cells)
        return found

    run.fit(config, loss, scores)
    return config.export


@dataclass(frozen=True, slots=True, eq=False)
class NamedData:
    """What is known of the objects of packed pairs, by use.

    Attributes:
        trained: of the pairs that are trained on.
        tuned_on: the noun of pairs that are kept to tune on, an index of ``nouns`` by index of the pair.
    """

    trained: PictureNames
    tuned_on: dict[int, int]

    @property
    def nouns(self) -> tuple[str, ...]:
        """All nouns, sorted."""
        return self.trained.nouns


def name_data(data: TrainingData, config: PolicyConfig) -> tuple[TrainingData, NamedData]:
    """Names for the pairs of a training, and the pairs with the sampling probabilities that follow from them.

    Pairs that are kept to tune or to report on are not drawn, and a pair is drawn the more often the rarer its noun.

    Raises:
        DatasetError: when nouns cannot be read.
        SettingsError: when the teacher is not installed.
    """
    found = named_pairs(config.data)
    nouns = tuple(sorted({named.noun for named in found}))
    places = {key: i for i, key in enumerate(zip(data.pairs.datasets.tolist(), data.pairs.stems.tolist(), strict=True))}
    kinds, chances, tuned_on = np.full(len(data.pairs), IGNORED), data.chances.copy(), dict[int, int]()
    for named in found:
        index, kind = places[named.dataset, named.pair.stem], nouns.index(named.noun)
        if named.split != "train":
            chances[index] = 0
        if named.split == "validation":
            tuned_on[index] = kind
        elif named.split == "train" and chances[index]:
            kinds[index] = kind
    drawn = kinds != IGNORED
    if drawn.any():
        weights = np.zeros(len(kinds))
        weights[drawn] = 1 / np.sqrt(np.bincount(kinds[drawn])[kinds[drawn]])
        chances = (1 - config.named) * chances / chances.sum() + config.named * weights / weights.sum()
    chances /= chances.sum()
    teacher = teacher_features(data.pairs, config.cache) if config.teacher else None
    features = np.zeros((len(kinds), 0), np.float32) if teacher is None else teacher
    known = PictureNames(nouns, kinds, features, np.flatnonzero(chances))
    return dataclasses.replace(data, chances=chances), NamedData(known, tuned_on)


def _initial_model(
    config: PolicyConfig, tokenizer: PreTrainedTokenizerFast
) -> tuple[Qwen2_5_VLForConditionalGeneration, tuple[Phase, ...]]:
    """The model at the first step and the phases of its training: randomly initialised, or another one's weights."""
    policy = build_model(tokenizer, config.shape)
    if not config.start:
        return policy, config.phases
    trained = VlmPolicy.load(config.start, device="cpu", dtype="float32")
    learn_words(trained.model, trained.processor.tokenizer, tokenizer, policy.get_parameter(EMBEDDING).detach())
    load_exported_weights(policy, trained.model, config.start)
    # The vision tower is already trained: only the completions remain to be learnt.
    return policy, tuple(phase for phase in config.phases if phase.traces)


@torch.no_grad()
def vision_iou(model: PolicyInTraining, maker: BatchMaker, indices: Sequence[int], cells: int) -> float:
    """Mean IoU of the vision tower's foreground, in parts of cells, on fixed augmented views."""
    scores = []
    for index in indices:
        batch, layout = _view(model, maker, index, cells, traces=0)
        outputs = model.head(model.features(batch, layout))
        found, true = outputs[:, : SUB_CELLS**2] > 0, batch.shares > 0.5
        scores.append(float((found & true).sum() / (found | true).sum().clamp(min=1)))
    return round(float(np.mean(scores)), 4)


@torch.no_grad()
def naming_score(model: PolicyInTraining, maker: BatchMaker, names: NamedData, cells: int) -> float:
    """How often the vision tower's tokens on an object that is not trained on name it, together, on fixed views."""
    right = []
    for index, kind in list(names.tuned_on.items())[:: max(len(names.tuned_on) // HELD_OUT_NAMES, 1)]:
        batch, layout = _view(model, maker, index, cells, traces=0)
        outputs = model.head(model.features(batch, layout)).split(model.parts, dim=1)
        covered = (batch.colours != IGNORED) & (batch.sources == index)
        right.append(outputs[3][covered].log_softmax(dim=1).sum(dim=0).argmax().item() == kind)
    return round(float(np.mean(right)), 4)


@torch.no_grad()
def pointing_scores(model: PolicyInTraining, maker: BatchMaker, indices: Sequence[int], cells: int) -> dict[str, float]:
    """How often the last token of a question about one of several objects points at that object, on the same views.

    Returns:
        The fraction of questions whose most attended cell contains some of the object; empty if there were none.
    """
    right: list[bool] = []
    for index in indices:
        batch, layout = _view(model, maker, index, cells, traces=1)
        features = model.features(batch, layout)
        pointed = model.pointed(features, model.states(features, batch, layout)[0], batch)
        question = batch.questions[batch.pointing]
        hits = batch.asked[question].gather(1, pointed.argmax(dim=1, keepdim=True))[:, 0] > 0
        # The first question is the plain request.
        right += hits[question > 0].tolist()
    return {"pointing": round(float(np.mean(right)), 4)} if right else {}


def _view(
    model: PolicyInTraining, maker: BatchMaker, index: int, cells: int, traces: int
) -> tuple[PolicyBatch, TokenPositions]:
    """A batch of one pair's view, on the model's device; deterministic."""
    chances = np.zeros(len(maker))
    chances[index] = 1
    batch = maker.draw(chances, np.random.default_rng(index), pictures=1, cells=cells, traces=traces)
    device = model.policy.device
    return batch.to(device), token_positions(model.policy, batch).to(device)


def completion_scores(policy: VlmPolicy, pairs: PackedPairs, indices: Sequence[int]) -> dict[str, float]:
    """Format rate, and mean IoU of the box around all prompts of a completion with the box around the mask."""
    # Packed pictures are square; the policy sees them at their original aspect ratio.
    pictures = [picture_from_array(cv2.resize(pairs.images[i], pairs.sizes[i].tolist())) for i in indices]
    texts = policy.complete([(picture, CARD.instructions[0]) for picture in pictures])
    formed, overlaps = [], []
    for index, picture, text in zip(indices, pictures, texts, strict=True):
        width, height = policy.frame(picture.size)
        parsed = parse_completion(text, (width, height))
        formed.append(parsed.well_formed)
        true = mask_box(pairs.masks[index] > 127)
        assert true is not None
        found = [prompt.box for prompt in parsed.objects if prompt.box]
        scale = np.array([width, height, width, height]) / PACKED_SIDE
        overlaps.append(box_iou(_box_around(found), Box(*(np.array(true.xyxy) * scale).tolist())) if found else 0.0)
    return {"format_rate": round(float(np.mean(formed)), 4), "box_iou": round(float(np.mean(overlaps)), 4)}


def _box_around(boxes: Sequence[Box]) -> Box:
    """The smallest box around one or more boxes."""
    corners = np.array([box.xyxy for box in boxes])
    return Box(*corners[:, :2].min(axis=0).tolist(), *corners[:, 2:].max(axis=0).tolist())
