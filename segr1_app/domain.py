"""Value types shared by all layers, and the exception hierarchy. Nothing here depends on models, files or storage.

Coordinates are (x, y) with the origin at the top left corner of the picture, x to the right, y downwards, in
pixels of a frame that the context defines: the value itself does not record its frame. Masks are ``bool`` arrays of
shape (height, width); pictures are ``uint8`` RGB arrays of shape (height, width, 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Mask: TypeAlias = npt.NDArray[np.bool_]
RgbPixels: TypeAlias = npt.NDArray[np.uint8]
ModelRole: TypeAlias = Literal["policy", "segmenter"]
"""One of the two models of a pair."""


class SegR1Error(Exception):
    """Base class of every error this project raises on purpose; its message says what to do about it."""


class PictureError(SegR1Error):
    """A file or array that cannot be used as a picture: unreadable, truncated, too large or not an image."""


class ModelError(SegR1Error):
    """A model that cannot be loaded or run: missing files, wrong architecture, not enough memory."""


class NotUnderstoodError(SegR1Error):
    """An instruction with words that the policy was never taught; it would answer another question.

    Attributes:
        unknown: a sentence that names the words.
        understands: sentences that say what it was taught.
    """

    def __init__(self, unknown: str, understands: str) -> None:
        super().__init__(unknown, understands)
        self.unknown, self.understands = unknown, understands

    def __str__(self) -> str:
        return f"{self.unknown} {self.understands}"


class SettingsError(SegR1Error):
    """An invalid argument or environment variable."""


class NotAllowedError(SegR1Error):
    """The caller lacks permission or has exceeded a rate limit; nothing was done."""


class RemoteError(SegR1Error):
    """The model hub or a remote folder cannot be reached, read or written; nothing local is changed."""


class DatasetError(SegR1Error):
    """A folder of images and masks that cannot be paired or read."""


class StoreError(SegR1Error):
    """The annotation store cannot do what was asked; base class of its other errors."""


class UnknownRecordError(StoreError):
    """A picture, task, prediction or revision that the store does not hold."""


class LeaseLostError(StoreError):
    """Somebody else holds the task, or the lease expired before it was renewed."""


class StoreFullError(StoreError):
    """No space left on the store's disk; what was saved before is intact."""


class StoreReadOnlyError(StoreError):
    """The store's files are read-only."""


class StoreBusyError(StoreError):
    """Another process kept the store locked for too long."""


class StoreDamagedError(StoreError):
    """The content of the store differs from what was written to it."""


class ImageSize(NamedTuple):
    """Width and height of a frame in pixels; a plain ``(width, height)`` tuple works as well."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Point:
    """A point prompt. ``label`` is 1 for foreground and 0 for background, as in SAM2 and in the paper."""

    x: float
    y: float
    label: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise ValueError(f"a point needs finite coordinates, got ({self.x}, {self.y})")
        if self.label not in (0, 1):
            raise ValueError(f"a point's label is 0 or 1, got {self.label!r}")


@dataclass(frozen=True, slots=True)
class Box:
    """A box prompt by its left, top, right and bottom edge; always x1 < x2 and y1 < y2."""

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in self.xyxy):
            raise ValueError(f"a box needs finite edges, got {self.xyxy}")
        if not (self.x1 < self.x2 and self.y1 < self.y2):
            raise ValueError(f"a box needs x1 < x2 and y1 < y2, got {self.xyxy}")

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        return (self.x1, self.y1, self.x2, self.y2)

    @property
    def area(self) -> float:
        return (self.x2 - self.x1) * (self.y2 - self.y1)


@dataclass(frozen=True, slots=True)
class ObjectPrompt:
    """The mask prompt of one object: its box, if there is one, the points that belong to it, and its class if named."""

    box: Box | None = None
    points: tuple[Point, ...] = ()
    name: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ObjectMask:
    """The segmenter's result for one object prompt.

    Attributes:
        mask: bool (height, width), in the frame of the segmented picture.
        confidence: the segmenter's own estimate of the mask's IoU, usually in [0, 1].
    """

    mask: Mask
    confidence: float


class Effort(StrEnum):
    """How much work goes into an answer; see `segr1_app.models.effort`."""

    QUICK = "quick"
    CAREFUL = "careful"
    THOROUGH = "thorough"


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Everything one run of policy and segmenter produced for a picture and an instruction.

    Attributes:
        image_size: the original picture's size; ``objects`` and all masks are in this frame.
        instruction: what the user asked for.
        completion: the policy's raw text, untouched.
        policy_size: width and height of the frame of the completion's coordinates.
        reasoning: the text inside ``<think>``, or None when there is none.
        objects: the mask prompts read from the completion, in original pixels.
        problems: descriptions of what is wrong with the completion; empty when it is well formed.
        well_formed: whether the completion follows the grammar exactly.
        masks: one per object, same order.
        mask: the union of ``masks``: bool (height, width), all False when there is no object.
        seconds: wall time of each stage: "policy", "encode", "decode" and "total".
        policy_id, segmenter_id: the models that produced it.
        abstains: whether the completion says that there is no such object, well formed or not.
        asked: the text sent to the policy, as (role, text) of each message; empty where that is not known.
    """

    image_size: ImageSize
    instruction: str
    completion: str
    policy_size: ImageSize
    reasoning: str | None
    objects: tuple[ObjectPrompt, ...]
    problems: tuple[str, ...]
    well_formed: bool
    masks: tuple[ObjectMask, ...]
    mask: Mask
    seconds: Mapping[str, float] = field(default_factory=dict)
    policy_id: str = ""
    segmenter_id: str = ""
    abstains: bool = False
    asked: tuple[tuple[str, str], ...] = ()
