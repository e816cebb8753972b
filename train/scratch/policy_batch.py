"""The policy's training data: augmented pictures as vision patches, dense targets, and traces as tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerFast

from segr1_app.domain import Box, ImageSize, Mask, ObjectPrompt, Point, RgbPixels
from segr1_app.geometry import deepest_point, mask_box, owners
from segr1_app.language.codec import Grammar, format_completion
from segr1_app.language.protocol_files import DEFAULT, find_protocol
from train.data.pairs import PackedPairs
from train.data.traces import (
    absence,
    colour_distances,
    measure,
    write_trace,
)
from train.scratch.policy_model import CLIP_MEAN, CLIP_STD, MAX_NUMBER, PolicyShape, token_id
from train.scratch.policy_pictures import IGNORED, AugmentedPicture, PictureMaker, PictureNames, PictureQuestion

NO_COORDINATE = -1
SUB_CELLS = 7
"""Each vision token predicts the foreground fraction of this many by this many parts of its cell."""
EDGE = 2
"""Coordinates at the right and lower border are written this many pixels inside it: the policy is seldom exact, and
a box that extends beyond the picture makes its completion malformed.
"""
PICTURE, PADDING = -1, -2
"""Values instead of a question's number: for tokens that all questions of a row see, and for padding."""


class TokenizedQuestion(NamedTuple):
    """A question's tokens, those of its completion, which may be empty, and its target: bool (H, W)."""

    prompt: list[int]
    completion: list[int]
    asked: Mask


class TokenizedPicture(NamedTuple):
    """A picture's tokens, and the texts about it."""

    picture: list[int]
    texts: list[TokenizedQuestion]

    @property
    def tokens(self) -> list[int]:
        """All tokens, concatenated."""
        return [*self.picture, *(token for text in self.texts for token in (*text.prompt, *text.completion))]


@dataclass(frozen=True, slots=True, eq=False)
class PolicyBatch:
    """One step's pictures and texts.

    All questions about a picture are in one row after its vision tokens, which are encoded once for all of them;
    questions do not attend to each other.

    Attributes:
        patches: uint8 (P, 3, patch, patch), the RGB patches of all pictures in the processor's order.
        grids: int64 (B, 3), each picture's patches in time (1), height and width.
        shares: float (T, SUB_CELLS ** 2), the foreground fraction of every part of every vision token's cell.
        places: float (T, 7), box (x1, y1, x2, y2), deepest point (x, y) and the square root of the area of the object
            nearest to every vision token, in cells, from the picture's top left corner.
        colours: int64 (T,), the name of that object's colour, an index of `COLOURS`; `IGNORED` at tokens without
            foreground.
        nouns: int64 (T,), likewise the noun of that object, an index of the nouns; `IGNORED` where it is not known.
        features: float (T, F), likewise what a classifier sees in that object; F may be 0.
        sources: int64 (T,), the pair that this object is from.
        tokens: int64 (B, L), right-padded; L is 0 without texts.
        questions: int64, as ``tokens``: the question that a token belongs to, counted through the whole batch;
            `PICTURE` for the picture's tokens, `PADDING` for padding.
        backwards: int64, as ``tokens``: how far a token's position precedes its index in the row: every question is
            read as if it were the only one after the picture.
        labels: int64, as ``tokens``, `IGNORED` outside the completions.
        limits: int64, as ``tokens``: where a label is a coordinate, its largest allowed value, `EDGE` less than the
            picture's width or height; `NO_COORDINATE` elsewhere.
        asked: float (questions, most cells of a picture), the distribution of a question's target over the picture's
            cells; every row sums to 1, or is 0 if there is no such object.
        pointing: bool, as ``tokens``: the last token of every question about something that is there, and its
            completion's.
    """

    patches: Tensor
    grids: Tensor
    shares: Tensor
    places: Tensor
    colours: Tensor
    nouns: Tensor
    features: Tensor
    sources: Tensor
    tokens: Tensor
    questions: Tensor
    backwards: Tensor
    labels: Tensor
    limits: Tensor
    asked: Tensor
    pointing: Tensor

    def to(self, device: torch.device) -> PolicyBatch:
        """Move to a device."""
        return PolicyBatch(*(getattr(self, part.name).to(device, non_blocking=True) for part in fields(self)))


class BatchMaker:
    """Draws batches from packed pairs.

    Args:
        pairs: packed at any size.
        tokenizer: the policy's tokenizer.
        shape: the policy's shape.
        composed: probabilities of pasting objects next to a single one if there is room, and of asking for one of
            several objects.
        names: what is known of the pairs' objects; None for nothing.
    """

    def __init__(
        self,
        pairs: PackedPairs,
        tokenizer: PreTrainedTokenizerFast,
        shape: PolicyShape,
        composed: float = 0.0,
        names: PictureNames | None = None,
    ) -> None:
        self._pairs, self._tokenizer, self._shape = pairs, tokenizer, shape
        self._protocol = find_protocol(DEFAULT)
        self.names = PictureNames.none(len(pairs)) if names is None else names
        self.pictures = PictureMaker(pairs, shape, composed, self.names)
        number = token_id(tokenizer, "0")
        self.numbers = slice(number, number + MAX_NUMBER + 1)
        self._special = {
            name: token_id(tokenizer, f"<|{name}|>")
            for name in ("pad", "im_start", "im_end", "vision_start", "vision_end", "image_pad")
        }
        self._labels_begin = token_id(tokenizer, "]]</points>, <labels>[")

    def __len__(self) -> int:
        return len(self._pairs)

    def draw(
        self, chances: npt.NDArray[np.float64], rng: np.random.Generator, *, pictures: int, cells: int, traces: int
    ) -> PolicyBatch:
        """A batch of random pictures of at most ``cells`` vision tokens each, on the CPU.

        Args:
            chances: float (N,), the sampling probability of each pair.
            rng: the only source of randomness.
            pictures: number of pictures.
            cells: largest number of vision tokens per picture.
            traces: number of questions answered about each picture, the plain one first; 0 for none.
        """
        drawn = rng.choice(len(self._pairs), pictures, p=chances)
        samples = [self.pictures.draw(int(index), cells, rng) for index in drawn]
        rows = [self.row(sample, traces, rng) for sample in samples] if traces else []
        return self._batch(samples, rows)

    def row(self, sample: AugmentedPicture, traces: int, rng: np.random.Generator) -> TokenizedPicture:
        """A picture's tokens and its questions, each in the format of the processor and the chat template.

        The first ``traces`` questions are answered.
        """
        height, width = sample.mask.shape
        cells = height * width // (2 * self._shape.patch) ** 2
        special = self._special
        picture = [special["im_start"], special["vision_start"], *[special["image_pad"]] * cells, special["vision_end"]]
        texts = []
        for number, question in enumerate(sample.questions):
            # The picture was already resized to its frame.
            size = ImageSize(width, height)
            text = self._protocol.request(size, question.instruction, frame=size).text
            prompt = [*self._tokenizer(" ".join(text.split("\n")[:2]).lower())["input_ids"], special["im_end"]]
            completion = self._completion(sample.pixels, question, rng) if number < traces else []
            texts.append(TokenizedQuestion(prompt, completion, question.asked))
        return TokenizedPicture(picture, texts)

    def _completion(self, pixels: RgbPixels, question: PictureQuestion, rng: np.random.Generator) -> list[int]:
        size = ImageSize(*question.asked.shape[::-1])
        if question.asked.any():
            trace = write_trace(pixels, question.asked, rng, question.noun)
            text = format_completion(trace.reasoning, [in_whole_pixels(found, size) for found in trace.objects])
        else:
            text = format_completion(absence(question.noun, rng), (), Grammar.ABSTENTION)
        return [*self._tokenizer(text)["input_ids"], self._special["im_end"]]

    def _batch(self, samples: list[AugmentedPicture], rows: list[TokenizedPicture]) -> PolicyBatch:
        patch = self._shape.patch
        longest = max((len(row.tokens) for row in rows), default=0)
        tokens = torch.full((len(rows), longest), self._special["pad"])
        questions, labels = torch.full_like(tokens, PADDING), torch.full_like(tokens, IGNORED)
        limits, backwards = torch.full_like(tokens, NO_COORDINATE), torch.zeros_like(tokens)
        pointing = torch.zeros_like(tokens, dtype=torch.bool)
        asked: list[Tensor] = []
        for i, row in enumerate(rows):
            tokens[i, : len(row.tokens)] = torch.tensor(row.tokens)
            questions[i, : len(row.picture)] = PICTURE
            begin = len(row.picture)
            for text in row.texts:
                answer, end = begin + len(text.prompt), begin + len(text.prompt) + len(text.completion)
                questions[i, begin:end] = len(asked)
                backwards[i, begin:end] = begin - len(row.picture)
                labels[i, answer:end] = torch.tensor(text.completion, dtype=torch.int64)
                limits[i, answer:end] = self._limits(text.completion, ImageSize(*text.asked.shape[::-1]))
                # The end-of-message token closes the question; nothing is predicted after a completion's last token.
                pointing[i, answer - 1 : max(end - 1, answer)] = bool(text.asked.any())
                asked.append(cell_shares(text.asked, 2 * patch))
                begin = end
        nearest = [nearest_objects(sample.objects, 2 * patch) for sample in samples]
        covered = torch.cat([cell_shares(sample.mask, 2 * patch) > 0 for sample in samples])
        sources = torch.cat([torch.tensor(sample.sources)[near] for sample, near in zip(samples, nearest, strict=True)])
        return PolicyBatch(
            patches=torch.cat([patchify(sample.pixels, patch) for sample in samples]),
            grids=torch.tensor([(1, *(side // patch for side in sample.mask.shape)) for sample in samples]),
            shares=torch.cat([foreground_shares(sample.mask, 2 * patch) for sample in samples]),
            places=torch.cat(
                [object_places(sample.objects, 2 * patch)[near] for sample, near in zip(samples, nearest, strict=True)]
            ),
            colours=torch.cat(
                [
                    object_colours(sample.pixels, sample.objects)[near]
                    for sample, near in zip(samples, nearest, strict=True)
                ]
            ).where(covered, IGNORED),
            nouns=torch.from_numpy(self.names.kinds)[sources].where(covered, IGNORED),
            features=torch.from_numpy(self.names.features[sources.numpy()]),
            sources=sources,
            tokens=tokens,
            questions=questions,
            backwards=backwards,
            labels=labels,
            limits=limits,
            asked=pad_sequence(asked, batch_first=True) if asked else torch.zeros(0, 0),
            pointing=pointing,
        )

    def _limits(self, completion: list[int], policy_wh: ImageSize) -> Tensor:
        """``limits`` of `PolicyBatch` for one completion: coordinates are the numbers before the points' labels."""
        tokens = torch.tensor(completion, dtype=torch.int64)
        numbers = (tokens >= self.numbers.start) & (tokens < self.numbers.stop)
        coordinates = numbers & ((tokens == self._labels_begin).cumsum(dim=0) == 0)
        limits = torch.full_like(tokens, NO_COORDINATE)
        # x and y alternate, in boxes as in points.
        greatest = torch.tensor([policy_wh.width - EDGE, policy_wh.height - EDGE])
        limits[coordinates] = greatest.repeat(int(coordinates.sum()) // 2)
        return limits


def patchify(pixels: RgbPixels, patch: int) -> Tensor:
    """The patches of a picture that already has its frame's size: uint8 (H W / patch², 3, patch, patch).

    Patches that merge into one token follow each other.
    """
    height, width = pixels.shape[:2]
    rows, columns = height // (2 * patch), width // (2 * patch)
    parts = torch.tensor(pixels).view(rows, 2, patch, columns, 2, patch, 3).permute(0, 3, 1, 4, 6, 2, 5)
    return parts.reshape(rows * columns * 4, 3, patch, patch)


def pixel_values(patches: Tensor) -> Tensor:
    """The image processor's output for patches: float (P, 6 * patch²).

    They are normalised, and the picture is repeated as two video frames.
    """
    mean, std = (torch.tensor(values, device=patches.device).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    values = (patches.float() / 255 - mean) / std
    return values.unsqueeze(2).expand(-1, -1, 2, -1, -1).reshape(len(patches), -1)


def foreground_shares(mask: Mask, cell: int) -> Tensor:
    """The foreground fraction of the parts of every cell of ``cell`` x ``cell`` pixels: float (cells, SUB_CELLS²)."""
    rows, columns = (side // cell for side in mask.shape)
    fine = cv2.resize(
        mask.astype(np.float32), (columns * SUB_CELLS, rows * SUB_CELLS), interpolation=cv2.INTER_AREA
    ).reshape(rows, SUB_CELLS, columns, SUB_CELLS)
    return torch.from_numpy(fine.transpose(0, 2, 1, 3).reshape(rows * columns, -1).copy())


def cell_shares(mask: Mask, cell: int) -> Tensor:
    """The distribution of a foreground over cells of ``cell`` x ``cell`` pixels, row by row: float (cells,), sum 1; all
    0 for an empty one.
    """
    rows, columns = (side // cell for side in mask.shape)
    counts = mask.reshape(rows, cell, columns, cell).sum(axis=(1, 3)).reshape(-1)
    return torch.from_numpy(counts / max(counts.sum(), 1)).float()


def object_places(objects: Sequence[Mask], cell: int) -> Tensor:
    """Box, deepest point and square root of the area of every object, in cells of ``cell`` pixels: float (objects,
    7).
    """
    places = [
        [*box.xyxy, *deepest_point(part), math.sqrt(part.sum())]
        for box, part in zip(_boxes(objects), objects, strict=True)
    ]
    return torch.tensor(places).float() / cell


def object_colours(pixels: RgbPixels, objects: Sequence[Mask]) -> Tensor:
    """The name of every object's colour, an index of `COLOURS`: int64 (objects,)."""
    return torch.tensor([int(colour_distances(measure(pixels, part).colour).argmin()) for part in objects])


def nearest_objects(objects: Sequence[Mask], cell: int) -> Tensor:
    """The object to which the centre of every cell belongs, by the rule of `assign_points`: int64 (cells,)."""
    rows, columns = (side // cell for side in objects[0].shape)
    y, x = np.divmod(np.arange(rows * columns), columns)
    return torch.from_numpy(owners(_boxes(objects), (np.column_stack([x, y]) + 0.5) * cell))


def _boxes(objects: Sequence[Mask]) -> list[Box]:
    """The boxes of objects, none of which is empty."""
    return [box for box in map(mask_box, objects) if box]


def in_whole_pixels(prompt: ObjectPrompt, policy_wh: ImageSize) -> ObjectPrompt:
    """A prompt in integers, which have tokens, and at least `EDGE` from the border.

    A box stays at least one pixel wide and high; a prompt without a box stays without one.
    """
    right, bottom = policy_wh.width - EDGE, policy_wh.height - EDGE
    box = None
    if prompt.box is not None:
        x1, y1, x2, y2 = (round(value) for value in prompt.box.xyxy)
        x1, y1 = min(x1, right - 1), min(y1, bottom - 1)
        box = Box(float(x1), float(y1), float(max(min(x2, right), x1 + 1)), float(max(min(y2, bottom), y1 + 1)))
    return ObjectPrompt(
        box,
        tuple(
            Point(float(min(int(point.x), right)), float(min(int(point.y), bottom)), point.label)
            for point in prompt.points
        ),
    )
