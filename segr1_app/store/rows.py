"""Values as JSON and rows, and back. Coordinates keep every digit; masks are COCO RLE of the original size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Any, TypedDict
from weakref import WeakValueDictionary

from cachetools import LRUCache, cached

from segr1_app.domain import Box, ImageSize, Mask, ObjectMask, ObjectPrompt, Point, Prediction, UnknownRecordError
from segr1_app.geometry import Rle, decode_rle, encode_rle, union_masks
from segr1_app.language.typed_text import storable
from segr1_app.store.changes import PromptChange
from segr1_app.store.limits import MAX_CLICKS, MAX_COMMENT, MAX_SECONDS, clipped
from segr1_app.store.values import (
    AnnotatedObject,
    Blame,
    Correction,
    RejectReason,
    Revision,
    SampledCompletion,
    StoredPrediction,
    Task,
    Verdict,
)

RECENT_MASKS = 64 * 2**20
"""Size in bytes of the cache of decoded masks that nobody uses."""


def to_json(value: Any) -> str:
    """The canonical spelling of a value, so that equal values have equal digests."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)


def content_hash(content: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of JSON values."""
    return hashlib.sha256(to_json(content).encode()).hexdigest()


def truth_hash(picture: str, instruction: str, mask: str) -> str:
    """The digest of a ground truth: of the picture's digest, the instruction, and the mask as it is stored."""
    return content_hash({"picture": picture, "instruction": instruction, "mask": mask})


def _mask_key(rle: Rle) -> tuple[int, int, str]:
    height, width = rle["size"]
    return height, width, rle["counts"]


_used_masks: WeakValueDictionary[tuple[int, int, str], Mask] = WeakValueDictionary()


@cached(LRUCache[Any, Mask](RECENT_MASKS, getsizeof=lambda mask: mask.nbytes), key=_mask_key, lock=Lock())
def stored_mask(rle: Rle) -> Mask:
    """The mask of a stored RLE, read-only and shared by a cache, and by everybody who uses it.

    One decision reads the same mask again and again: as the policy's answer when the task is prepared, leased and
    compared with what was decided, and as part of the revision. Each time takes 20 ms for a dozen megapixels.
    """
    used = _used_masks.get(_mask_key(rle))
    if used is not None:
        return used
    mask = decode_rle(rle)
    mask.flags.writeable = False
    _used_masks[_mask_key(rle)] = mask
    return mask


def optional_rle(mask: Mask | None) -> Rle | None:
    return None if mask is None else encode_rle(mask)


def optional_mask(rle: Rle | None) -> Mask | None:
    return None if rle is None else stored_mask(rle)


def prompt_as_stored(prompt: ObjectPrompt) -> dict[str, Any]:
    """A prompt as JSON values: name, box [x1, y1, x2, y2] and points [x, y, label]."""
    return {
        "name": None if prompt.name is None else storable(prompt.name),
        "box": list(prompt.box.xyxy) if prompt.box else None,
        "points": [[point.x, point.y, point.label] for point in prompt.points],
    }


def stored_prompt(record: Mapping[str, Any]) -> ObjectPrompt:
    """The prompt of a `prompt_as_stored`."""
    points = tuple(Point(x, y, int(label)) for x, y, label in record["points"])
    return ObjectPrompt(Box(*record["box"]) if record["box"] else None, points, record["name"])


def object_record(made: AnnotatedObject) -> dict[str, Any]:
    """An annotated object as JSON values: its prompt's and its layers, and "cleaned" where it is true.

    Revisions from before masks could be cleaned have the same digests as ever.
    """
    record: dict[str, Any] = {
        **prompt_as_stored(made.prompt),
        "segmented": encode_rle(made.segmented),
        "painted": optional_rle(made.painted),
        "erased": optional_rle(made.erased),
        "refined_from": optional_rle(made.refined_from),
    }
    return {**record, "cleaned": True} if made.cleaned else record


def read_object(record: Mapping[str, Any]) -> AnnotatedObject:
    """The object of an `object_record`."""
    painted, erased, refined_from = (optional_mask(record[layer]) for layer in ("painted", "erased", "refined_from"))
    segmented, cleaned = stored_mask(record["segmented"]), record.get("cleaned", False)
    return AnnotatedObject(stored_prompt(record), segmented, painted, erased, refined_from, cleaned)


def change_record(change: PromptChange) -> dict[str, Any]:
    """A change of prompts as JSON values; points are [x, y, label], boxes [x1, y1, x2, y2]."""
    return {
        "added": [_point(point) for point in change.added],
        "removed": [_point(point) for point in change.removed],
        "flipped": [_point(point) for point in change.flipped],
        "moved": [[_point(old), _point(new)] for old, new in change.moved],
        "box_shifts": [[list(old.xyxy), list(new.xyxy)] for old, new in change.box_shifts],
        "boxes_added": [list(box.xyxy) for box in change.boxes_added],
        "boxes_removed": [list(box.xyxy) for box in change.boxes_removed],
        "objects_added": change.objects_added,
        "objects_removed": change.objects_removed,
    }


def read_change(record: Mapping[str, Any]) -> PromptChange:
    """The change of a `change_record`."""
    return PromptChange(
        added=tuple(Point(*point) for point in record["added"]),
        removed=tuple(Point(*point) for point in record["removed"]),
        flipped=tuple(Point(*point) for point in record["flipped"]),
        moved=tuple((Point(*old), Point(*new)) for old, new in record["moved"]),
        box_shifts=tuple((Box(*old), Box(*new)) for old, new in record["box_shifts"]),
        boxes_added=tuple(Box(*box) for box in record["boxes_added"]),
        boxes_removed=tuple(Box(*box) for box in record["boxes_removed"]),
        objects_added=record["objects_added"],
        objects_removed=record["objects_removed"],
    )


def read_task(row: Mapping[str, Any]) -> Task:
    """A row of tasks joined with pictures."""
    return Task(
        id=row["id"],
        sha256=row["picture"],
        picture_name=row["name"],
        image_size=ImageSize(row["width"], row["height"]),
        instruction=row["instruction"],
        created_at=row["created_at"],
        prediction_id=row["prediction"],
        confidence=row["confidence"],
        disagreement=row["disagreement"],
        current_id=row["current"],
    )


def prediction_row(
    prediction: Prediction, checkpoint_hash: str, samples: Sequence[SampledCompletion], created_at: float
) -> dict[str, Any]:
    """A prediction's columns, without those for its task and its confidence."""
    return {
        "instruction": storable(prediction.instruction),
        "created_at": created_at,
        "policy_id": storable(prediction.policy_id),
        "segmenter_id": storable(prediction.segmenter_id),
        "checkpoint_hash": checkpoint_hash,
        "completion": storable(prediction.completion),
        "reasoning": None if prediction.reasoning is None else storable(prediction.reasoning),
        "well_formed": int(prediction.well_formed),
        "problems": to_json([storable(problem) for problem in prediction.problems]),
        "policy_width": prediction.policy_size[0],
        "policy_height": prediction.policy_size[1],
        "objects": to_json(
            [
                {**prompt_as_stored(prompt), "mask": encode_rle(found.mask), "confidence": found.confidence}
                for prompt, found in zip(prediction.objects, prediction.masks, strict=True)
            ]
        ),
        "mask": to_json(encode_rle(prediction.mask)),
        "seconds": to_json(dict(prediction.seconds)),
        "samples": to_json(
            [
                {"completion": storable(each.completion), "mask": encode_rle(each.mask), "reward": each.reward}
                for each in samples
            ]
        ),
    }


def read_prediction(row: Mapping[str, Any], size: ImageSize) -> StoredPrediction:
    """A row of predictions, of a picture of this size."""
    objects = json.loads(row["objects"])
    prediction = Prediction(
        image_size=size,
        instruction=row["instruction"],
        completion=row["completion"],
        policy_size=ImageSize(row["policy_width"], row["policy_height"]),
        reasoning=row["reasoning"],
        objects=tuple(stored_prompt(record) for record in objects),
        problems=tuple(json.loads(row["problems"])),
        well_formed=bool(row["well_formed"]),
        masks=tuple(ObjectMask(stored_mask(record["mask"]), record["confidence"]) for record in objects),
        mask=stored_mask(json.loads(row["mask"])),
        seconds=json.loads(row["seconds"]),
        policy_id=row["policy_id"],
        segmenter_id=row["segmenter_id"],
    )
    return StoredPrediction(
        id=row["id"],
        task_id=row["task"],
        prediction=prediction,
        checkpoint_hash=row["checkpoint_hash"],
        confidence=row["confidence"],
        disagreement=row["disagreement"],
        created_at=row["created_at"],
        content_hash=row["content_hash"],
    )


def read_samples(row: Mapping[str, Any]) -> tuple[SampledCompletion, ...]:
    """The samples in a row of predictions."""
    return tuple(
        SampledCompletion(each["completion"], stored_mask(each["mask"]), each["reward"])
        for each in json.loads(row["samples"])
    )


REVISION_QUERY = """
    SELECT revisions.*, p.objects AS before, p.reasoning, p.completion, p.policy_id, p.segmenter_id, p.checkpoint_hash
    FROM revisions LEFT JOIN predictions AS p ON p.id = revisions.prediction
"""


class DecisionFields(TypedDict):
    """What a revision says besides its objects; as in `Correction`."""

    verdict: Verdict
    reason: RejectReason | None
    comment: str
    seconds: float
    clicks: int


def decision_fields(row: Mapping[str, Any]) -> DecisionFields:
    """Of a row of revisions, within bounds: a database that others wrote to may hold anything.

    `verify` names what is out of bounds.
    """
    return {
        "verdict": Verdict(row["verdict"]),
        "reason": RejectReason(row["reason"]) if row["reason"] else None,
        "comment": row["comment"][:MAX_COMMENT],
        "seconds": clipped(row["seconds"], MAX_SECONDS),
        "clicks": int(clipped(row["clicks"], MAX_CLICKS)),
    }


def read_revision(row: Mapping[str, Any]) -> Revision:
    """A row of `REVISION_QUERY`, of a picture of the masks' size."""
    objects = tuple(read_object(record) for record in json.loads(row["objects"]))
    # The union is stored, too, for readers without objects; recomputing it is faster than decoding it.
    mask = (
        union_masks((made.mask for made in objects), objects[0].size)
        if objects
        else stored_mask(json.loads(row["mask"]))
    )
    return Revision(
        id=row["id"],
        task_id=row["task"],
        instruction=row["instruction"],
        annotator=row["annotator"],
        parent_id=row["parent"],
        origin_id=row["origin"],
        prediction_id=row["prediction"],
        correction=Correction(objects=objects, **decision_fields(row)),
        mask=mask,
        before=tuple(stored_prompt(record) for record in json.loads(row["before"] or "[]")),
        change=read_change(json.loads(row["change"])),
        policy_iou=row["policy_iou"],
        blame=Blame(row["blame"]) if row["blame"] else None,
        reasoning=row["reasoning"] or "",
        completion=row["completion"] or "",
        policy_id=row["policy_id"] or "",
        segmenter_id=row["segmenter_id"] or "",
        checkpoint_hash=row["checkpoint_hash"] or "",
        created_at=row["created_at"],
        content_hash=row["content_hash"],
    )


def one(rows: Iterable[dict[str, Any]], what: str) -> dict[str, Any]:
    """The only row.

    Raises:
        UnknownRecordError: when there is none; ``what`` names it.
    """
    for row in rows:
        return row
    raise UnknownRecordError(f"There is no {what} in this store.")


def _point(point: Point) -> list[float]:
    return [point.x, point.y, point.label]
