"""The server side of a canvas: masks for every edit, and files when it is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segr1_app.domain import ImageSize, Mask, ObjectMask, Prediction, SegR1Error
from segr1_app.geometry import compose_layers, encode_rle, resize_nearest
from segr1_app.images.pictures import Picture
from segr1_app.language.prompt_json import MAX_NAME, pixel_number
from segr1_app.models.host import ModelHost
from segr1_app.store.rows import optional_rle
from segr1_app.studio.contracts import CanvasMasks, DecodedCanvas, Failure, SavedRun
from segr1_app.studio.edits import EditedObject, EditError, Finish, read_objects
from segr1_app.studio.output_folders import new_downloads
from segr1_app.studio.previews import live_size
from segr1_app.studio.recording import CanvasResult, RunRecorder, WorkDone
from segr1_app.studio.reward_preview import live_reward, same_prompts
from segr1_app.studio.sessions import CanvasSessions


class CanvasHandlers:
    """Handles the calls of a canvas, which bypass gradio's queue because a click must not wait for another person's
    run.

    A domain error is returned as one sentence under "failure".

    Args:
        models: make the masks.
        cache: an existing folder for downloads, from which gradio serves files.
        sessions: the pictures on the canvases.
        recorder: stores what is saved.
    """

    def __init__(self, models: ModelHost, cache: Path, sessions: CanvasSessions, recorder: RunRecorder) -> None:
        self._recorder = recorder
        self._models = models
        self._cache = cache.resolve()
        self._sessions = sessions

    def decode(self, question: dict[str, Any]) -> DecodedCanvas:
        """Masks for a state of the canvas, at the size of the canvas.

        Args:
            question: {"rev", "picture", "objects", "exact"}; see ``static/canvas/view.js`` and `segment`.

        Returns:
            As of `segment`, or why there are no masks; both with the question's "rev".
        """
        # They may have any type: both are checked where they are read.
        picture: Any = question.get("picture")
        objects: Any = question.get("objects")
        try:
            answer = self.segment(picture, objects, exact=bool(question.get("exact")))
        except SegR1Error as error:
            return {"rev": question.get("rev"), "failure": str(error)}
        return {"rev": question.get("rev"), "masks": answer["masks"], "reward": answer["reward"]}

    def segment(self, picture: str, objects: list[dict[str, Any]], exact: bool = False) -> CanvasMasks:
        """Compute masks for prompts, at the size of a canvas, and their training reward; nothing is saved.

        Args:
            picture: the "key" of a canvas, as `next_task` and `run` give it.
            objects: the objects on it: [{"box", "points", "name", "strokes", "start", "clean"}], in the picture's
                pixels.
            exact: whether to score masks at the picture's own size, which takes longer for large pictures.

        Returns:
            A mask for each object, without paint, what cleaning it changes, and the reward.

        Raises:
            SegR1Error: when they cannot be computed.
        """
        session = self._sessions.get(picture)
        size = session.picture.size
        edited = read_objects(objects, size)
        live = live_size(size)
        scored = size if exact else live
        masks = self._segment(session.picture, edited, scored, [each.start_mask() for each in edited])
        shown = [found.mask if scored == live else resize_nearest(found.mask, live) for found in masks]
        # Paint is drawn by the page itself: only cleaning needs it here.
        finishes = [
            made.finish(mask, size) if made.clean else Finish() for made, mask in zip(edited, shown, strict=True)
        ]
        return {
            "masks": [
                {
                    "rle": encode_rle(mask) if mask.any() else None,
                    "confidence": round(found.confidence, 4),
                    "removed": optional_rle(finish.removed),
                    "filled": optional_rle(finish.filled),
                }
                for mask, found, finish in zip(shown, masks, finishes, strict=True)
            ],
            "reward": {**live_reward(session, edited, masks), "exact": scored == size},
        }

    def save(self, question: dict[str, Any], *, keep: bool = True, name: str = "") -> SavedRun | Failure:
        """Compute the full-size masks of a canvas, save them as an annotation, and write them to files.

        Args:
            question: {"picture", "objects", "annotator", "seconds", "clicks"} as for `save_run`; only the first two are
                required.
            keep: whether they are also saved as an annotation.
            name: who saves, instead of the question's annotator; empty where unknown.

        Returns:
            As of `save_run`, or why nothing was saved.
        """
        annotator = name or str(question.get("annotator") or "")[:MAX_NAME]
        picture: Any = question.get("picture")
        objects: Any = question.get("objects")
        try:
            seconds, clicks = (_amount(question.get(name, 0), name) for name in ("seconds", "clicks"))
            work = WorkDone(seconds, int(clicks))
            return self._save(picture, objects, annotator, work, keep=keep)
        except SegR1Error as error:
            return {"failure": str(error)}

    def save_run(
        self,
        picture: str,
        objects: list[dict[str, Any]],
        annotator: str = "",
        seconds: float = 0.0,
        clicks: int = 0,
    ) -> SavedRun:
        """Save the canvas of a run as an annotation, and write its full-size masks to files.

        Args:
            picture: the "key" of its canvas, as `run` gives it.
            objects: the objects on it, as for `segment`.
            annotator: who corrected it.
            seconds: working time it took.
            clicks: edits it took.

        Returns:
            A sentence about what was saved, and the files.

        Raises:
            SegR1Error: when it cannot be saved.
        """
        return self._save(picture, objects, annotator[:MAX_NAME], WorkDone(seconds, clicks), keep=True)

    def _save(self, key: str, objects: list[dict[str, Any]], annotator: str, work: WorkDone, *, keep: bool) -> SavedRun:
        from segr1_app.studio.results import save_correction  # noqa: PLC0415 - supervision takes a while

        session = self._sessions.get(key)
        corrected = self.correct(session.picture, read_objects(objects, session.picture.size), session.prediction)
        revision = self._recorder.record(key, session, corrected, annotator, work) if keep else None
        with new_downloads(self._cache, "correction-") as folder:
            files = save_correction(
                folder,
                session.picture,
                corrected.prompts,
                corrected.final,
                prediction=session.prediction,
                edits=_record(corrected),
            )
        kept = f" as revision {revision.id} of task {revision.task_id}" if revision else ""
        message = f"Saved {_counted(len(corrected.objects))}{kept}."
        return {
            "message": message if keep else "The files are ready; annotations are only stored for annotators.",
            "files": [
                {"label": label, "path": files[kind].as_posix(), "name": files[kind].name}
                for kind, label in (("mask", "Mask"), ("overlay", "Overlay"), ("record", "JSON"))
            ],
        }

    def correct(
        self, picture: Picture, objects: Sequence[EditedObject], prediction: Prediction | None = None
    ) -> CanvasResult:
        """The full-size masks of a canvas's objects.

        Args:
            picture: the picture.
            objects: those on its canvas.
            prediction: the policy's prediction. Unchanged prompts keep their full precision, of which a canvas has only
                two decimals, and their masks.

        Raises:
            SegR1Error: when the models cannot be used.
        """
        kept = [edited for edited in objects if not edited.blank]
        known: dict[int, ObjectMask] = {}
        if prediction is not None and prediction.segmenter_id == self._models.pipeline().segmenter.model_id:
            for index, edited in enumerate(kept):
                if unchanged := _as_predicted(edited, prediction):
                    kept[index], known[index] = unchanged
        # Enlarged before it is used, so that the stored mask input is exactly the one the mask was made from.
        mask_inputs = [
            None if (mask := edited.start_mask()) is None else resize_nearest(mask, picture.size) for edited in kept
        ]
        new = [index for index in range(len(kept)) if index not in known]
        made = (
            self._segment(picture, [kept[i] for i in new], picture.size, [mask_inputs[i] for i in new]) if new else ()
        )
        masks = known | dict(zip(new, made, strict=True))
        segmented = tuple(masks[index] for index in range(len(kept)))
        finishes = tuple(edited.finish(found.mask, picture.size) for edited, found in zip(kept, segmented, strict=True))
        final = tuple(
            ObjectMask(compose_layers(found.mask, finish.painted, finish.erased), found.confidence)
            for found, finish in zip(segmented, finishes, strict=True)
        )
        return CanvasResult(tuple(kept), tuple(mask_inputs), segmented, finishes, final)

    def _segment(
        self, picture: Picture, objects: Sequence[EditedObject], size: ImageSize, mask_inputs: Sequence[Mask | None]
    ) -> tuple[ObjectMask, ...]:
        segmenter = self._models.pipeline().segmenter
        prompts = [edited.prompt for edited in objects]
        return segmenter.segment(picture, prompts, mask_inputs=mask_inputs, size=size)


def _as_predicted(edited: EditedObject, prediction: Prediction) -> tuple[EditedObject, ObjectMask] | None:
    """An object whose prompt is one of the policy's, with the policy's own prompt and mask."""
    if edited.start is not None:
        return None
    for said, found in zip(prediction.objects, prediction.masks, strict=True):
        if same_prompts([edited.prompt], [said]):
            return replace(edited, prompt=replace(said, name=edited.prompt.name)), found
    return None


def _record(corrected: CanvasResult) -> list[Mapping[str, Any]]:
    """The canvas's data of each object beyond its prompt: enough to recompute its mask."""
    return [
        {
            "name": edited.prompt.name,
            "segmented": encode_rle(found.mask),
            "refined_from": None if start is None else encode_rle(start),
            "painted": edited.painted,
            "erased": edited.erased,
            "strokes": [
                {"erase": stroke.erase, "radius": stroke.radius, "path": [list(place) for place in stroke.path]}
                for stroke in edited.strokes
            ],
            "clean": edited.clean,
        }
        for edited, found, start in zip(corrected.objects, corrected.segmented, corrected.mask_inputs, strict=True)
    ]


def _amount(value: object, name: str) -> float:
    """A number that a page sends."""
    try:
        return pixel_number(value)
    except (TypeError, ValueError) as error:
        raise EditError(f"The {name} of a save must be a number: {error}.") from error


def _counted(objects: int) -> str:
    return "no object" if not objects else "1 object" if objects == 1 else f"{objects} objects"
