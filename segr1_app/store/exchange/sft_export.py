"""Traces for supervised fine-tuning: picture, instruction and the completion that an annotator would have wanted.

They are a Hugging Face dataset that ``trl``'s ``SFTTrainer`` takes as it is (columns "image", "prompt" and
"completion"), and that ``python -m train.sft --traces`` takes, too (columns of the paper's FCoT, and "instruction").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from datasets import Features, Image, List, Value

from segr1_app.domain import ObjectPrompt
from segr1_app.geometry import mask_box
from segr1_app.language.codec import answer_start, format_completion
from segr1_app.language.protocol_files import DEFAULT, find_protocol
from segr1_app.store.exchange.exporting import ALL_BUT_ONE, Annotation, Export, ExportReport, exporting
from segr1_app.store.exchange.hf_export import picture_cell, write_dataset
from segr1_app.store.exchange.options import EVERYTHING, Options
from segr1_app.store.store import AnnotationStore

NEVER_HOLDS: Final = (
    "masks (replaced by prompts), class names, the policy's own completions, verdicts, comments and annotators, "
    f"{ALL_BUT_ONE}"
)
_MESSAGES = List({"role": Value("string"), "content": Value("string")})
FEATURES = Features(
    {
        "image": Image(),
        "prompt": _MESSAGES,
        "completion": _MESSAGES,
        "instruction": Value("string"),
        "problem": Value("string"),
        "thinking": Value("string"),
        "solution": Value("string"),
        "width": Value("int32"),
        "height": Value("int32"),
        "reasoning_by_policy": Value("bool"),
    }
)
"""Columns: "completion" uses pixels of a picture of "width" and "height", the picture's own size; "problem",
"thinking" and "solution" say the same as "instruction" and "completion" in the form of FCoT."""
_CARD = (
    "Traces of Seg-R1 studio: picture, instruction, and the completion that an annotator wanted, in pixels of the "
    "picture."
)


def export_traces(store: AnnotationStore, out: Path, options: Options = EVERYTHING) -> ExportReport:
    """Write ``data/SPLIT.parquet`` and a ``README.md``.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    with exporting(store, out, options, NEVER_HOLDS) as export:
        write_dataset(export, FEATURES, _rows(export), "image-text-to-text", _CARD)
    return export.report


def _rows(export: Export) -> Iterator[tuple[str, dict[str, Any]]]:
    for annotation in export.annotations():
        objects, losses = _boxed(annotation), export.report.losses
        if not objects:
            losses["Tasks without an object have no boxes to write and are left out"] += 1
            export.leave_out(annotation)
            continue
        instruction, reasoning = annotation.revision.instruction, annotation.revision.reasoning
        try:
            completion = format_completion(reasoning, objects)
        except ValueError:
            # The reasoning is missing, or contains one of the answer's own tags.
            losses["Reasoning is missing and replaced by a plain sentence"] += 1
            reasoning = ""
            completion = format_completion(f"I look for this: {_without_tags(instruction)}", objects)
        if reasoning and annotation.revision.change.edits:
            losses["The reasoning is the policy's own, though its prompts were corrected"] += 1
        if annotation.layered:
            losses["What was painted is not in the prompts, which alone make another mask"] += 1
        size = annotation.task.image_size
        start = answer_start(completion)
        # The completion uses the picture's own pixels.
        asked = find_protocol(DEFAULT).request(size, instruction, frame=size).asked
        yield (
            annotation.split,
            {
                "image": picture_cell(export, annotation),
                "prompt": [{"role": role, "content": text} for role, text in asked],
                "completion": [{"role": "assistant", "content": completion}],
                "instruction": instruction,
                "problem": instruction,
                "thinking": completion[:start].removeprefix("<think>").removesuffix("</think>").strip(),
                "solution": completion[start:].strip(),
                "width": size.width,
                "height": size.height,
                "reasoning_by_policy": bool(reasoning),
            },
        )


def _without_tags(instruction: str) -> str:
    """An instruction as a part of reasoning, without the answer's tags."""
    return instruction.replace("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}")


def _boxed(annotation: Annotation) -> tuple[ObjectPrompt, ...]:
    """The final prompts, with the mask's bounding box where there is none; objects without a pixel are left out."""
    pairs = [(made.prompt, mask_box(made.mask)) for made in annotation.objects]
    return tuple(prompt if prompt.box else replace(prompt, box=box) for prompt, box in pairs if box)
