"""Which values the records of a store may hold: types, ranges and formats, the same for imports, syncs and `verify`.

A digest only shows that a record was not changed since somebody made it. An attacker can make digests, too: what
comes in is therefore checked as the app's own writes are, before anything reads, decodes or stores it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from segr1_app.domain import ImageSize
from segr1_app.geometry import check_rle
from segr1_app.images.pictures import MAX_PIXELS
from segr1_app.store.limits import MAX_CLICKS, MAX_COORDINATE, MAX_NUMBER, MAX_SCORE, MAX_SECONDS, MAX_TIME
from segr1_app.store.pictures import ORIGINAL_NAME
from segr1_app.store.values import Blame, RejectReason, Verdict

Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
_Text = Annotated[str, Field(max_length=2**24)]
_Time = Annotated[float, Field(ge=0, le=MAX_TIME)]
_Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
_Number = Annotated[int, Field(ge=0, le=MAX_NUMBER)]
_Side = Annotated[int, Field(ge=1, le=MAX_PIXELS)]
_Coordinate = Annotated[float, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE)]
_Iou = Annotated[float, Field(ge=0, le=1 + 1e-9)]
_Score = Annotated[float, Field(ge=-MAX_SCORE, le=MAX_SCORE)]
_Label = Annotated[float, Field(ge=0, le=1, multiple_of=1)]
_Count = Annotated[int, Field(ge=0, le=100_000)]

# JSON has no tuples: these are lists of a fixed length.
_List = Field(strict=False)
_Point = Annotated[tuple[_Coordinate, _Coordinate, _Label], _List]
_Box = Annotated[tuple[_Coordinate, _Coordinate, _Coordinate, _Coordinate], _List]
_Move = Annotated[tuple[_Point, _Point], _List]
_Shift = Annotated[tuple[_Box, _Box], _List]
_Points = Annotated[list[_Point], Field(max_length=100_000)]
_Boxes = Annotated[list[_Box], Field(max_length=100_000)]


JSON_COLUMNS: Final = {
    "pictures": (),
    "ground_truths": ("mask",),
    "tasks": (),
    "predictions": ("problems", "objects", "mask", "seconds", "samples"),
    "revisions": ("objects", "mask", "change"),
    "choices": (),
}
"""The tables in the order in which they refer to each other, and which of their columns hold JSON."""


class _Record(BaseModel):
    # Strict: true, 1.0 and "1" are not task numbers.
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _Rle(_Record):
    size: Annotated[list[_Side], Field(min_length=2, max_length=2)]
    counts: Annotated[str, Field(max_length=2**28, pattern="^[0-o]*$")]


class _Prompt(_Record):
    name: Annotated[str, Field(max_length=10_000)] | None
    box: _Box | None
    points: _Points


class _AnnotatedObject(_Prompt):
    segmented: _Rle
    painted: _Rle | None
    erased: _Rle | None
    refined_from: _Rle | None
    cleaned: bool = False


class _PredictedObject(_Prompt):
    mask: _Rle
    confidence: _Score


class _SampledCompletion(_Record):
    completion: _Text
    mask: _Rle
    reward: _Score | None


class _Change(_Record):
    added: _Points
    removed: _Points
    flipped: _Points
    moved: Annotated[list[_Move], Field(max_length=100_000)]
    box_shifts: Annotated[list[_Shift], Field(max_length=100_000)]
    boxes_added: _Boxes
    boxes_removed: _Boxes
    objects_added: _Count
    objects_removed: _Count


class _Picture(_Record):
    sha256: Digest
    name: Annotated[str, Field(max_length=100_000)]
    width: _Side
    height: _Side
    added_at: _Time
    original: Annotated[str, StringConstraints(pattern=f"^{ORIGINAL_NAME}$")] | None = None


class _GroundTruth(_Record):
    picture: Digest
    instruction: _Text
    mask: _Rle
    content_hash: Digest | None = None


class _Task(_Record):
    picture: Digest
    instruction: _Text
    created_at: _Time
    was: _Text | None = None


class _Prediction(_Record):
    picture: Digest | None = None
    asked: _Text | None = None
    instruction: _Text
    created_at: _Time
    policy_id: _Text
    segmenter_id: _Text
    checkpoint_hash: _Text
    completion: _Text
    reasoning: _Text | None
    well_formed: Annotated[int, Field(ge=0, le=1)]
    problems: Annotated[list[_Text], Field(max_length=10_000)]
    policy_width: _Side
    policy_height: _Side
    objects: Annotated[list[_PredictedObject], Field(max_length=10_000)]
    mask: _Rle
    seconds: dict[str, _Seconds]
    confidence: _Score
    disagreement: _Score | None
    samples: Annotated[list[_SampledCompletion], Field(max_length=10_000)]
    content_hash: Digest


class _Revision(_Record):
    picture: Digest | None = None
    asked: _Text | None = None
    prediction_hash: Digest | None = None
    origin_hash: Digest | None = None
    instruction: _Text
    annotator: Annotated[str, Field(min_length=1, max_length=1000)]
    verdict: Literal[tuple(verdict.value for verdict in Verdict)]  # type: ignore[valid-type]
    reason: Literal[tuple(reason.value for reason in RejectReason)] | None  # type: ignore[valid-type]
    comment: _Text
    seconds: _Seconds
    clicks: Annotated[int, Field(ge=0, le=MAX_CLICKS)]
    objects: Annotated[list[_AnnotatedObject], Field(max_length=10_000)]
    mask: _Rle
    change: _Change
    policy_iou: _Iou | None
    blame: Literal[tuple(blame.value for blame in Blame)] | None  # type: ignore[valid-type]
    created_at: _Time
    content_hash: Digest


class _Choice(_Record):
    picture: Digest | None = None
    asked: _Text | None = None
    revision_hash: Digest | None = None
    reviewer: Annotated[str, Field(min_length=1, max_length=1000)]
    created_at: _Time


_MODELS: Final[Mapping[str, type[_Record]]] = {
    "pictures": _Picture,
    "ground_truths": _GroundTruth,
    "tasks": _Task,
    "predictions": _Prediction,
    "revisions": _Revision,
    "choices": _Choice,
}
_DIGESTS: Final = frozenset({"sha256", "picture", "content_hash", "prediction_hash", "origin_hash", "revision_hash"})
_NUMBERS: Final = ("id", "task", "parent", "origin", "prediction", "revision")


def record_problem(table: str, record: Mapping[str, Any]) -> str | None:
    """What is wrong with a record of a table, its JSON columns read; None when nothing is.

    The masks are looked at with `mask_problem`, which needs the picture's size.
    """
    try:
        _MODELS[table].model_validate(dict(record))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "string_pattern_mismatch" and first["loc"][-1] in _DIGESTS:
            return f"its {place} is not a digest: a picture or record is named by its SHA-256 in hex"
        return f"its {place} is wrong ({first['msg']})"
    for name in _NUMBERS:
        number = record.get(name)
        if number is not None and (type(number) is not int or not -1 < number <= MAX_NUMBER):
            return f"its {name} is not a valid record number"
    return None


def mask_problem(table: str, record: Mapping[str, Any], size: ImageSize) -> str | None:
    """What is wrong with the masks of a record that passed `record_problem`; None if nothing is.

    Args:
        table: what it is a record of.
        record: its JSON columns read.
        size: of its picture.
    """
    for place, rle in _masks(table, record):
        if rle["size"] != [size.height, size.width]:
            return f"its {place} is of {rle['size']}, its picture of {[size.height, size.width]} (height, width)"
        try:
            # A decoder would read past the end of run lengths that do not add up.
            check_rle(rle)
        except ValueError as error:
            return f"its {place} cannot be read: {error}"
    return None


def _masks(table: str, record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if table in ("ground_truths", "predictions", "revisions"):
        yield "mask", record["mask"]
    for number, entry in enumerate(record.get("objects", ()), 1):
        for layer in ("mask", "segmented", "painted", "erased", "refined_from"):
            if entry.get(layer) is not None:
                yield f"object {number}'s {layer}", entry[layer]
    for number, entry in enumerate(record.get("samples", ()), 1):
        yield f"sample {number}'s mask", entry["mask"]
