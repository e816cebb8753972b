"""The options of an export: which annotations, in which splits, with which pictures and rights."""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from segr1_app.domain import SettingsError
from segr1_app.language.typed_text import one_line
from segr1_app.store.values import Revision, Verdict

ONLY_SPLIT: Final = "train"
"""The only split by default: the one that every tool looks for."""


def parse_names(text: str) -> list[str]:
    """Names separated by commas; one that contains a comma stands in quotation marks."""
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    return [name.strip() for row in rows for name in row if name.strip()]


class ExportedPictures(StrEnum):
    """Which picture files an export holds."""

    ORIGINAL = "original"
    """The stored files unchanged."""
    PNG = "png"
    JPEG = "jpeg"
    NONE = "none"
    """No files; the annotations refer to the pictures by their names."""


@dataclass(frozen=True, slots=True)
class Splits:
    """Fractions of the pictures by split. All tasks of one picture are in one split.

    Attributes:
        shares: names with fractions that sum to 1.
        seed: the random seed of the splits.
    """

    shares: tuple[tuple[str, float], ...] = ((ONLY_SPLIT, 1.0),)
    seed: int = 0

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Self:
        """The splits of a text such as ``train=.8,val=.1,test=.1``.

        Raises:
            SettingsError: when it has another form, or the fractions do not add up to 1.
        """
        shares: list[tuple[str, float]] = []
        for part in text.split(","):
            name, _, number = part.strip().partition("=")
            try:
                share = float(number)
            except ValueError as error:
                raise SettingsError(
                    f"--split {text}: '{part}' is not of the form NAME=SHARE, as in train=.8."
                ) from error
            # The name becomes part of file names, and tools that read lists of splits separate them by commas.
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", name):
                raise SettingsError(f"--split {text}: '{name}' must be letters, digits, - and _, as in train or val.")
            if not (math.isfinite(share) and 0 < share <= 1):
                raise SettingsError(
                    f"--split {text}: the share of {name} is {number}; it must be above 0 and at most 1."
                )
            shares.append((name, share))
        if len({name.lower() for name, _ in shares}) < len(shares):
            raise SettingsError(f"--split {text}: a name occurs twice.")
        total = math.fsum(share for _, share in shares)
        if abs(total - 1) > 1e-6:
            raise SettingsError(f"--split {text}: the shares add up to {total:g}; they must add up to 1.")
        return cls(tuple(shares), seed)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.shares)

    def of(self, sha256: str) -> str:
        """The split of a picture: it depends only on the picture, the fractions and the seed."""
        digest = hashlib.sha256(f"{self.seed}:{sha256}".encode()).digest()
        drawn = int.from_bytes(digest[:8]) / 2**64
        reached = 0.0
        for name, share in self.shares:
            reached += share
            if drawn < reached:
                return name
        return self.shares[-1][0]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which decided tasks to export; all given conditions must hold.

    Attributes:
        annotators: the annotator of the current revision.
        verdicts: accept, fix or both.
        classes: only objects of these classes; tasks without any are left out.
        since, until: when it was decided, in Unix seconds: from the first on and before the second.
        min_iou, max_iou: IoU of the policy's mask with the final one; tasks without a prediction have none.
    """

    annotators: frozenset[str] = frozenset()
    verdicts: frozenset[Verdict] = frozenset()
    classes: frozenset[str] = frozenset()
    since: float | None = None
    until: float | None = None
    min_iou: float | None = None
    max_iou: float | None = None

    @classmethod
    def parse(  # noqa: PLR0917 - in the order in which they are described
        cls,
        annotators: Iterable[str] = (),
        verdicts: Iterable[str] = (),
        classes: Iterable[str] = (),
        since: str | None = None,
        until: str | None = None,
        min_iou: float | None = None,
        max_iou: float | None = None,
    ) -> Self:
        """A selection as people write it: days as 2026-11-30 in UTC, both of them included.

        Raises:
            SettingsError: for an invalid date, or an IoU outside [0, 1].
        """
        for option, iou in (("--min-iou", min_iou), ("--max-iou", max_iou)):
            if iou is not None and not 0 <= iou <= 1:
                raise SettingsError(f"{option} {iou} must be from 0 to 1.")
        return cls(
            annotators=frozenset(map(one_line, annotators)),
            verdicts=frozenset(map(Verdict, verdicts)),
            classes=frozenset(map(one_line, classes)),
            since=_midnight("--since", since),
            until=_midnight("--until", until, days=1),
            min_iou=min_iou,
            max_iou=max_iou,
        )

    def unmet(self, revision: Revision) -> str | None:
        """The first condition that a revision does not meet, apart from the classes of its objects."""
        at, iou = revision.created_at, revision.policy_iou
        met = {
            "--annotator": not self.annotators or revision.annotator in self.annotators,
            "--verdict": not self.verdicts or revision.correction.verdict in self.verdicts,
            "--since": self.since is None or at >= self.since,
            "--until": self.until is None or at < self.until,
            "--min-iou": self.min_iou is None or (iou is not None and iou >= self.min_iou),
            "--max-iou": self.max_iou is None or (iou is not None and iou <= self.max_iou),
        }
        return next((condition for condition, holds in met.items() if not holds), None)


def _midnight(option: str, text: str | None, days: int = 0) -> float | None:
    """When a day begins, or the one that is ``days`` later, in Unix seconds."""
    if text is None:
        return None
    try:
        day = date.fromisoformat(text) + timedelta(days=days)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{option} {text} is not a date: write it as 2026-11-30.") from error
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Rights:
    """Who made the annotations, and their licence; written by formats that have fields for these."""

    licence: str = ""
    licence_url: str = ""
    contributor: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """All options of an export except its format.

    Attributes:
        pictures: None for the format's default: the stored files, or JPEG if its readers accept nothing else.
        splits, selection, rights: see their classes.
        simplify: tolerance of polygons in pixels; 0 for polygons that follow every pixel's edge.
        watch: called with the number of tasks processed, and their total.
    """

    pictures: ExportedPictures | None = None
    splits: Splits = field(default_factory=Splits)
    selection: Selection = field(default_factory=Selection)
    rights: Rights = field(default_factory=Rights)
    simplify: float = 0.0
    watch: Callable[[int, int], None] = field(default=lambda _done, _total: None, compare=False)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.simplify) and self.simplify >= 0):
            raise SettingsError(f"--simplify {self.simplify} must be 0 or more pixels.")


EVERYTHING: Final = Options()
"""Everything decided, in one split."""
