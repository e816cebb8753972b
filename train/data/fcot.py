"""Read written traces in the format of FCoT, the data set of the paper's cold start (``geshang/FCoT`` on the hub).

A row has "image", "problem" (the prompt), "thinking" (the reasoning, with or without its tags) and "solution" (the rest
of the completion, in pixels of the image). There are no masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from datasets import Dataset, Image, load_dataset
from datasets.exceptions import DatasetsError
from tqdm import tqdm

from segr1_app.domain import DatasetError
from segr1_app.images.pictures import Picture, load_picture
from segr1_app.language.codec import MAX_INSTRUCTION, PRESETS, ParsedCompletion, can_be_reasoning, parse_completion
from segr1_app.language.typed_text import one_line
from segr1_app.rewards import Truth
from train.data.rows import TRACE, Collected, Example, LeftOut, Row

COLUMNS: Final = ("image", "problem", "thinking", "solution")


def fcot_rows(sources: Sequence[str]) -> Collected:
    """The rows of traces; each picture is read once, to identify it by its content.

    Args:
        sources: folders of parquet files, or hub ids.

    Raises:
        DatasetError: when a source cannot be read or has another format.
        PictureError: when one of its pictures cannot be read.
    """
    collected = Collected()
    for source in sources:
        name = Path(source).name
        traces = _load(source)
        rows: list[Row] = []
        left_out: list[LeftOut] = []
        for number in tqdm(range(len(traces)), desc=f"reading {name}", unit="trace", leave=False):
            entry = traces[number]
            picture, parsed = _read(entry)
            if parsed.reasoning is None or not parsed.objects or not can_be_reasoning(parsed.reasoning):
                left_out.append(LeftOut(name, TRACE, "it contains no reasoning or no prompts"))
                continue
            # This project's own export also has the instruction without the answer's form, so it need not be guessed.
            instruction = entry.get("instruction") or instruction_of(entry["problem"])
            rows.append(Row(picture.sha256, name, TRACE, instruction, partial(_example, traces, number)))
        collected += Collected(tuple(rows), tuple(left_out))
    return collected


def instruction_of(problem: str) -> str:
    """The instruction in a problem, without the description of the answer's form, which the prompt contains anyway."""
    asked = problem
    if "<" in problem:
        # The description begins with the sentence that contains the first tag.
        before = problem[: problem.index("<")]
        asked = before[: max(before.rfind(end) for end in (". ", "? ", "! ", "\n")) + 1]
    words = one_line(asked)
    return words if 0 < len(words) <= MAX_INSTRUCTION else PRESETS[0].text


def _load(source: str) -> Dataset:
    try:
        traces = load_dataset(source, split="train")
    except (OSError, ValueError, DatasetsError) as error:
        raise DatasetError(f"The traces '{source}' cannot be read: {error}") from error
    missing = [column for column in COLUMNS if column not in traces.column_names]
    if missing:
        raise DatasetError(f"The traces '{source}' have no {', '.join(missing)}: they are not in FCoT's format.")
    # Kept as the file's bytes, to be read like any other picture.
    return traces.cast_column("image", Image(decode=False))


def _read(entry: dict[str, Any]) -> tuple[Picture, ParsedCompletion]:
    image = entry["image"]
    picture = load_picture(image["bytes"] if image["bytes"] is not None else Path(image["path"]))
    thinking = entry["thinking"].replace("<think>", "").replace("</think>", "").strip()
    return picture, parse_completion(f"<think> {thinking} </think> {entry['solution']}", picture.size)


def _example(traces: Dataset, number: int) -> Example:
    picture, parsed = _read(traces[number])
    return Example(picture, Truth(prompts=parsed.objects), parsed.reasoning or "")
