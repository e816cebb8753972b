"""What the server does for a canvas: masks for every edit, at once, and files when it is saved."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segr1_app.domain import ImageSize, ObjectMask, ObjectPrompt, SegR1Error
from segr1_app.edits import EditedObject, lay, layers, read_objects
from segr1_app.geometry import encode_rle
from segr1_app.images import Picture
from segr1_app.ui.models import ModelHost
from segr1_app.ui.scoring import live_reward
from segr1_app.ui.sittings import Sittings
from segr1_app.ui.views import live_size


@dataclass(frozen=True, slots=True, eq=False)
class Corrected:
    """The objects of a canvas with their masks, all of one size.

    Attributes:
        objects: what was on the canvas, without the blank ones.
        segmented: the segmenter's masks, one per object.
        final: the same with what was painted and erased.
    """

    objects: tuple[EditedObject, ...]
    segmented: tuple[ObjectMask, ...]
    final: tuple[ObjectMask, ...]

    @property
    def prompts(self) -> tuple[ObjectPrompt, ...]:
        return tuple(edited.prompt for edited in self.objects)


class CanvasHandlers:
    """Answers a canvas; its calls bypass gradio's queue, because a click must not wait for somebody's run.

    An error of the domain is part of the answer, under "failure", as one sentence.

    Args:
        models: make the masks.
        cache: an existing folder for downloads, from which gradio serves files.
        sittings: what is on the canvases.
    """

    def __init__(self, models: ModelHost, cache: Path, sittings: Sittings) -> None:
        self._models = models
        self._cache = cache.resolve()
        self._sittings = sittings

    def decode(self, question: dict[str, Any]) -> dict[str, Any]:
        """Masks for a state of the canvas, at the size of the canvas.

        Args:
            question: {"rev", "picture", "objects"}; see ``static/canvas.js``.

        Returns:
            {"rev", "masks": [{"rle", "confidence"}], "reward"}, one mask per object, without what is painted on it,
            null where there is none, and the value of `live_reward`; or {"rev", "failure"}.
        """
        try:
            sitting = self._sittings.get(question.get("picture"))
            size = sitting.picture.size
            objects = read_objects(question.get("objects"), size)
            masks = self._segment(sitting.picture, objects, live_size(size))
        except SegR1Error as error:
            return {"rev": question.get("rev"), "failure": str(error)}
        return {
            "rev": question.get("rev"),
            "masks": [
                {"rle": encode_rle(found.mask) if found.mask.any() else None, "confidence": round(found.confidence, 4)}
                for found in masks
            ],
            "reward": live_reward(sitting, objects, masks),
        }

    def save(self, question: dict[str, Any]) -> dict[str, Any]:
        """Make the full-size masks of a state of the canvas, and files of them.

        Args:
            question: {"picture", "objects"}.

        Returns:
            {"message", "files": [{"label", "path", "name"}]}, or {"failure"}.
        """
        from segr1_app.results import save_correction  # noqa: PLC0415 - supervision takes a while

        try:
            sitting = self._sittings.get(question.get("picture"))
            corrected = self.correct(sitting.picture, read_objects(question.get("objects"), sitting.picture.size))
            folder = Path(tempfile.mkdtemp(prefix="correction-", dir=self._cache))
            files = save_correction(
                folder,
                sitting.picture,
                corrected.prompts,
                corrected.final,
                prediction=sitting.prediction,
                edits=_record(corrected),
            )
        except SegR1Error as error:
            return {"failure": str(error)}
        return {
            "message": f"Saved: {_counted(len(corrected.objects))}.",
            "files": [
                {"label": label, "path": files[kind].as_posix(), "name": files[kind].name}
                for kind, label in (("mask", "Mask"), ("overlay", "Overlay"), ("record", "JSON"))
            ],
        }

    def correct(self, picture: Picture, objects: Sequence[EditedObject]) -> Corrected:
        """The full-size masks of a canvas's objects.

        Raises:
            SegR1Error: when the models cannot be used.
        """
        kept = tuple(edited for edited in objects if not edited.blank)
        segmented = self._segment(picture, kept, picture.size)
        final = tuple(
            ObjectMask(lay(found.mask, *layers(edited.strokes, picture.size, picture.size)), found.confidence)
            for edited, found in zip(kept, segmented, strict=True)
        )
        return Corrected(kept, segmented, final)

    def _segment(self, picture: Picture, objects: Sequence[EditedObject], size: ImageSize) -> tuple[ObjectMask, ...]:
        segmenter = self._models.pipeline().segmenter
        prompts = [edited.prompt for edited in objects]
        starts = [edited.start_mask() for edited in objects]
        return segmenter.decode(segmenter.encode(picture), prompts, starts=starts, size=size)


def _record(corrected: Corrected) -> list[Mapping[str, Any]]:
    """What the canvas knows of each object beyond its prompt: enough to make its mask again."""
    return [
        {
            "name": edited.prompt.name,
            "segmented": encode_rle(found.mask),
            "refined_from": None
            if edited.start is None
            else {"size": list(edited.start[:2]), "counts": edited.start[2]},
            "strokes": [
                {"erase": stroke.erase, "radius": stroke.radius, "path": [list(place) for place in stroke.path]}
                for stroke in edited.strokes
            ],
        }
        for edited, found in zip(corrected.objects, corrected.segmented, strict=True)
    ]


def _counted(number: int) -> str:
    return "no object" if not number else "1 object" if number == 1 else f"{number} objects"
