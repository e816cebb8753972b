"""Traces for supervised fine-tuning: picture, instruction and the completion that an annotator would have wanted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

from segr1_app.domain import ObjectPrompt
from segr1_app.geometry import mask_box
from segr1_app.language.codec import format_completion
from segr1_app.store.connection import translate_errors
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, Annotation, ExportReport, decided, new_folder, write_picture
from segr1_app.store.store import AnnotationStore

FILE_NAME: Final = "traces.jsonl"
NEVER_HOLDS: Final = (
    "masks, for which prompts stand, class names, the policy's own completions, verdicts, comments and annotators, "
    f"{ALL_BUT_ONE}"
)


def export_traces(store: AnnotationStore, out: Path) -> ExportReport:
    """Write ``traces.jsonl`` and ``images/``.

    Each line holds "image", "instruction", "completion" in the codec's form, "frame" (the width and height in whose
    pixels the completion speaks: the picture's own) and "reasoning_by_policy".

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    report, folder = ExportReport(NEVER_HOLDS), new_folder(out)
    with translate_errors(), (folder / FILE_NAME).open("w", encoding="utf-8") as file:
        for annotation in decided(store, report):
            objects = _boxed(annotation)
            if not objects:
                report.losses["Tasks without an object have no boxes to write and are left out"] += 1
                report.written -= 1
                continue
            reasoning = annotation.revision.reasoning
            try:
                completion = format_completion(reasoning, objects)
            except ValueError:
                # There is none, or it holds one of the answer's own tags.
                report.losses["Reasoning is missing and a plain sentence stands for it"] += 1
                reasoning = ""
                completion = format_completion(f"I look for this: {annotation.revision.instruction}", objects)
            if reasoning and annotation.revision.change.edits:
                report.losses["The reasoning is the policy's own, though its prompts were corrected"] += 1
            if annotation.layered:
                report.losses["What was painted is not in the prompts, which alone make another mask"] += 1
            record = {
                "image": f"images/{write_picture(store, annotation, folder / 'images')}",
                "instruction": annotation.revision.instruction,
                "completion": completion,
                "frame": list(annotation.task.image_size),
                "reasoning_by_policy": bool(reasoning),
            }
            file.write(f"{json.dumps(record, ensure_ascii=False)}\n")
    return report


def _boxed(annotation: Annotation) -> tuple[ObjectPrompt, ...]:
    """The final prompts, where there is no box with the mask's own; objects without a pixel are left out."""
    pairs = [(made.prompt, mask_box(made.mask)) for made in annotation.revision.correction.objects]
    return tuple(prompt if prompt.box else replace(prompt, box=box) for prompt, box in pairs if box)
