"""What the policy is trained on: augmented pictures as vision patches, dense targets, and traces as tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from segr1_app.codec import format_completion
from segr1_app.dialects import SEGR1
from segr1_app.domain import Box, ImageSize, Mask, ObjectPrompt, Point, RgbPixels
from segr1_app.geometry import assign_points, deepest_point, mask_box, policy_frame
from segr1_app.policy import resize_to_frame
from train.augment import augment
from train.composing import OWN_SHARE, compose, meanings
from train.pairs import PackedPairs
from train.policy_model import CLIP_MEAN, CLIP_STD, MAX_NUMBER, PolicyShape, min_area, token_id
from train.traces import INSTRUCTIONS, WORDINGS, separate_objects, write_trace

NO_COORDINATE = -1
IGNORED = -100
"""The label of tokens that no loss is taken of."""
SUB_CELLS = 7
"""Each vision token is asked for the foreground share of so many by so many parts of its cell."""
EDGE = 2
"""Coordinates at the right and lower border are written so many pixels inside it: the policy is seldom exact, and a box
that leaves the picture makes its completion malformed."""
STRETCHED, STRETCH = 0.3, 0.6
"""How often a picture is shown at another aspect ratio than its photograph's, and by which factor at most (its natural
logarithm): few photographs are square or long, and the policy has to know where every frame ends."""
OTHER_KIND = 0.25
"""How often a picture is asked about with the words for the other kind."""


class Sample(NamedTuple):
    """An augmented picture in the policy's frame, and what is asked of it.

    Attributes:
        pixels: uint8 (H, W, 3) RGB.
        mask: bool (H, W), all that is foreground.
        instruction: what to find.
        asked: bool (H, W), what of the foreground that means.
    """

    pixels: RgbPixels
    mask: Mask
    instruction: str
    asked: Mask


@dataclass(frozen=True, slots=True, eq=False)
class PolicyBatch:
    """One step's pictures and texts.

    Attributes:
        patches: float (P, 3 * 2 * patch * patch), the patches of all pictures in the processor's order.
        grids: int64 (B, 3), each picture's patches in time (1), height and width.
        shares: float (T, SUB_CELLS ** 2), the foreground share of every part of every vision token's cell.
        places: float (T, 6), box (x1, y1, x2, y2) and deepest point (x, y) of the object nearest to every vision
            token, in cells, from the picture's top left corner.
        tokens: int64 (B * traces, L), right-padded; a picture's texts stand one after the other.
        attention: int64, as ``tokens``, 1 where there is a token.
        labels: int64, as ``tokens``, `IGNORED` outside the completions.
        limits: int64, as ``tokens``: where a label is a coordinate, the greatest that is written, `EDGE` less than the
            picture's width or height; `NO_COORDINATE` elsewhere.
    """

    patches: Tensor
    grids: Tensor
    shares: Tensor
    places: Tensor
    tokens: Tensor
    attention: Tensor
    labels: Tensor
    limits: Tensor


class BatchMaker:
    """Draws batches from packed pairs.

    Args:
        pairs: packed at any size.
        tokenizer: of the policy.
        shape: of the policy.
        device: where batches are wanted.
        composed: how often objects are pasted beside a single one that leaves place for them, and how often one is
            asked for where there are several.
    """

    def __init__(
        self,
        pairs: PackedPairs,
        tokenizer: PreTrainedTokenizerFast,
        shape: PolicyShape,
        device: torch.device,
        composed: float = 0.0,
    ) -> None:
        self._pairs, self._tokenizer, self._shape, self._device = pairs, tokenizer, shape, device
        self._composed = composed
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
        """A batch of random pictures of at most ``cells`` vision tokens each, with ``traces`` texts for each."""
        drawn = rng.choice(len(self._pairs), pictures, p=chances)
        samples = [self.sample(int(index), cells, rng) for index in drawn]
        rows = [self.row(sample, rng) for sample in samples for _ in range(traces)]
        return self._batch(samples, rows)

    def sample(self, index: int, cells: int, rng: np.random.Generator) -> Sample:
        """An augmented pair in the policy's frame, mostly at the aspect ratio of its photograph."""
        pixels, mask = augment(self._pairs.images[index], self._pairs.masks[index], rng)
        grid = 2 * self._shape.patch
        width, height = (int(side) for side in self._pairs.sizes[index])
        if rng.random() < STRETCHED:
            width = max(round(width * math.exp(rng.uniform(-STRETCH, STRETCH))), 1)
        frame = policy_frame(
            ImageSize(width, height), grid=grid, min_pixels=min_area(cells * grid**2), max_pixels=cells * grid**2
        )
        objects = separate_objects(mask)
        if len(objects) == 1 and mask.mean() < OWN_SHARE and rng.random() < self._composed:
            others = rng.choice(len(self._pairs), 2)
            pasted = [(self._pairs.images[i], self._pairs.masks[i]) for i in others]
            pixels, objects = compose(pixels, mask, pasted, rng)
        pixels, objects = resize_to_frame(pixels, frame), [mask_in_frame(part, frame) for part in objects]
        whole: Mask = np.any(objects, axis=0)
        means = meanings(pixels, objects) if len(objects) > 1 and rng.random() < self._composed else {}
        if not means:
            return Sample(pixels, whole, self._instruction(index, rng), whole)
        which = list(means)[rng.integers(len(means))]
        wording = WORDINGS[rng.integers(len(WORDINGS))]
        return Sample(pixels, whole, wording.format(which=which), objects[means[which]])

    def row(self, sample: Sample, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """Prompt and completion as tokens, laid out as the processor and the chat template lay them out."""
        height, width = sample.mask.shape
        cells = height * width // (2 * self._shape.patch) ** 2
        special = self._special
        text = SEGR1.user_text(sample.instruction, ImageSize(width, height))
        prompt = [
            special["im_start"],
            special["vision_start"],
            *[special["image_pad"]] * cells,
            special["vision_end"],
            *self._tokenizer(" ".join(text.split("\n")[:2]).lower())["input_ids"],
            special["im_end"],
        ]
        trace = write_trace(sample.pixels, sample.asked, rng)
        completion = format_completion(
            trace.reasoning, [in_whole_pixels(found, ImageSize(width, height)) for found in trace.objects]
        )
        return prompt, [*self._tokenizer(completion)["input_ids"], special["im_end"]]

    def _instruction(self, index: int, rng: np.random.Generator) -> str:
        kinds = ["camouflaged", "salient"]
        camouflaged = str(self._pairs.datasets[index]).startswith("camo")
        texts = INSTRUCTIONS[kinds[camouflaged == (rng.random() < OTHER_KIND)]]
        return texts[rng.integers(len(texts))]

    def _batch(self, samples: list[Sample], rows: list[tuple[list[int], list[int]]]) -> PolicyBatch:
        longest = max((len(prompt) + len(completion) for prompt, completion in rows), default=0)
        tokens = torch.full((len(rows), longest), self._special["pad"])
        labels = torch.full((len(rows), longest), IGNORED)
        limits = torch.full((len(rows), longest), NO_COORDINATE)
        attention = torch.zeros((len(rows), longest), dtype=torch.int64)
        for i, (prompt, completion) in enumerate(rows):
            length = len(prompt) + len(completion)
            tokens[i, :length] = torch.tensor([*prompt, *completion])
            attention[i, :length] = 1
            labels[i, len(prompt) : length] = torch.tensor(completion)
        is_number = (labels >= self.numbers.start) & (labels < self.numbers.stop)
        coordinates = is_number & ((labels == self._labels_begin).cumsum(dim=1) == 0)
        for i, row in enumerate(coordinates):
            height, width = samples[i * len(samples) // len(rows)].mask.shape
            # x and y take turns, in boxes as in points.
            limits[i, row] = torch.tensor([width - EDGE, height - EDGE]).repeat(int(row.sum()) // 2)
        patch = self._shape.patch
        whole = PolicyBatch(
            patches=torch.cat([patchify(sample.pixels, patch) for sample in samples]),
            grids=torch.tensor([(1, *(side // patch for side in sample.mask.shape)) for sample in samples]),
            shares=torch.cat([foreground_shares(sample.mask, 2 * patch) for sample in samples]),
            places=torch.cat([object_places(sample.mask, 2 * patch) for sample in samples]),
            tokens=tokens,
            attention=attention,
            labels=labels,
            limits=limits,
        )
        return PolicyBatch(*(getattr(whole, part.name).to(self._device) for part in fields(whole)))


def patchify(pixels: RgbPixels, patch: int) -> Tensor:
    """What the image processor makes of a picture that already has its frame: float (H W / patch², 6 * patch²).

    Patches that merge into one token follow each other; the one picture stands for two frames of a film.
    """
    height, width = pixels.shape[:2]
    values = torch.tensor(pixels).permute(2, 0, 1).float() / 255
    values = (values - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)
    rows, columns = height // (2 * patch), width // (2 * patch)
    parts = values.view(3, rows, 2, patch, columns, 2, patch).permute(1, 4, 2, 5, 0, 3, 6)
    return parts.unsqueeze(5).expand(-1, -1, -1, -1, -1, 2, -1, -1).reshape(rows * columns * 4, -1)


def foreground_shares(mask: Mask, cell: int) -> Tensor:
    """The foreground share of the parts of every cell of ``cell`` x ``cell`` pixels: float (cells, SUB_CELLS²)."""
    rows, columns = (side // cell for side in mask.shape)
    fine = cv2.resize(
        mask.astype(np.float32), (columns * SUB_CELLS, rows * SUB_CELLS), interpolation=cv2.INTER_AREA
    ).reshape(rows, SUB_CELLS, columns, SUB_CELLS)
    return torch.from_numpy(fine.transpose(0, 2, 1, 3).reshape(rows * columns, -1).copy())


def object_places(mask: Mask, cell: int) -> Tensor:
    """Box and deepest point of the object nearest to every cell, in cells of ``cell`` x ``cell`` pixels: (cells, 6).

    The nearest object is the one that owns a point in the cell's middle, by the rule of `assign_points`.
    """
    rows, columns = (side // cell for side in mask.shape)
    parts = separate_objects(mask)
    boxes = [box for box in map(mask_box, parts) if box]
    middles = [Point((x + 0.5) * cell, (y + 0.5) * cell, 1) for y in range(rows) for x in range(columns)]
    owners = {point: index for index, owned in enumerate(assign_points(boxes, middles)) for point in owned.points}
    places = np.array([[*box.xyxy, *deepest_point(part)] for box, part in zip(boxes, parts, strict=True)])
    return torch.from_numpy(places[[owners[point] for point in middles]] / cell).float()


def in_whole_pixels(prompt: ObjectPrompt, policy_wh: ImageSize) -> ObjectPrompt:
    """A prompt in whole numbers, which are the tokens there are, and clear of the border by `EDGE`.

    A box stays at least a pixel wide and high; a prompt without one stays without one.
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


def mask_in_frame(mask: Mask, policy_wh: ImageSize) -> Mask:
    """A mask at the size of the policy's picture: bool (height, width), not empty unless the mask is."""
    covered = cv2.resize(mask.astype(np.uint8) * 255, policy_wh, interpolation=cv2.INTER_AREA)
    resized: Mask = covered > 127
    # Thinner than half a pixel of the frame: any pixel it touches is foreground.
    return resized if resized.any() else covered > 0
