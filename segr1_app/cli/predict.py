"""``predict``: mask, overlay and JSON record for any number of pictures, without the page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from segr1_app.domain import Effort, PictureError, SettingsError
from segr1_app.files.folders import walk
from segr1_app.images.pictures import IMAGE_SUFFIXES, load_picture
from segr1_app.language.codec import PRESETS, check_instruction
from segr1_app.settings.config import Settings, add_effort_argument, add_home_argument, add_model_arguments

if TYPE_CHECKING:
    from segr1_app.models.pipeline import Pipeline


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "predict",
        help="segment pictures by an instruction",
        description="Write STEM.mask.png, STEM.overlay.png and STEM.prediction.json for every picture. A picture that "
        "cannot be read, or whose results cannot be written, is listed at the end and does not stop the others; the "
        "exit status is then 1.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="picture or folder of pictures")
    parser.add_argument(
        "--instruction", default=PRESETS[0].text, metavar="TEXT", help="what to find (default: %(default)s)"
    )
    add_effort_argument(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: predictions in --home)")
    add_home_argument(parser)
    add_model_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Predict on every picture; returns 1 if one of them could not be read or its results could not be written.

    Raises:
        SegR1Error: when nothing can be done: no pictures, no models, an instruction that is empty or not understood.
    """
    settings = Settings.from_arguments(arguments)
    # Checked before the models are loaded, so that a typing error is reported immediately.
    check_instruction(arguments.instruction)
    found = find_pictures(arguments.paths)
    stems = _output_stems(found.files)
    out: Path = arguments.out or settings.home / "predictions"
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--out {out} cannot be created as a folder ({error.strerror}).") from error

    from segr1_app.models.pipeline import load_models, working_together  # noqa: PLC0415 - slow

    many = len(stems) > 1 or any(path.is_dir() for path in arguments.paths)
    pipeline = working_together(*load_models(settings))
    pipeline.check_understood(arguments.instruction)
    failures = predict_all(pipeline, stems, arguments.instruction, out, progress_bar=many, effort=arguments.effort)
    for note in found.notes:
        print(f"Note: {note}", file=sys.stderr)  # noqa: T201
    done = len(stems) - len(failures)
    print(f"{done} of {len(stems)} pictures done, in {out}")  # noqa: T201
    for failure in failures:
        print(failure, file=sys.stderr)  # noqa: T201
    return 1 if failures else 0


def predict_all(
    pipeline: Pipeline,
    stems: dict[Path, str],
    instruction: str,
    out: Path,
    *,
    progress_bar: bool,
    effort: str = Effort.QUICK.value,
) -> list[str]:
    """Predict on each file.

    Args:
        pipeline: policy and segmenter.
        stems: the files, and the beginning of each one's output names.
        instruction: what to find.
        out: existing folder for the results.
        progress_bar: whether to show one.
        effort: a value of `Effort`.

    Returns:
        One sentence for each picture that could not be read or whose results could not be written.
    """
    from segr1_app.models.effort import find_consensus  # noqa: PLC0415 - brings torch along
    from segr1_app.studio.results import save_prediction  # noqa: PLC0415 - brings supervision and matplotlib along

    failures = []
    with tqdm(stems.items(), unit="picture", disable=not progress_bar) as progress:
        for path, stem in progress:
            progress.set_postfix_str(path.name)
            try:
                picture = load_picture(path)
            except PictureError as error:
                failures.append(f"{path}: {error}")
                continue
            prediction = pipeline.run(picture, instruction)
            prediction = find_consensus(pipeline, picture, prediction, Effort(effort)).prediction
            try:
                save_prediction(out, picture, prediction, stem)
            except OSError as error:
                failures.append(f"{path}: '{error.filename or out}' cannot be written ({error.strerror}).")
    return failures


@dataclass(frozen=True, slots=True)
class FoundPictures:
    """The pictures to predict on, and a sentence for each thing that was skipped."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]


def find_pictures(paths: Iterable[Path]) -> FoundPictures:
    """The files among ``paths`` and the pictures directly in its folders, sorted, without duplicates.

    `segr1_app.files.folders` defines which files of a folder are used; results of earlier predictions are skipped too.
    A file that is named explicitly is always used.

    Raises:
        SettingsError: when a path does not exist or cannot be opened, or there is no picture.
    """
    found: list[Path] = []
    notes: list[str] = []
    for path in paths:
        try:
            if path.is_dir():
                walked = walk(path, deep=False)
                pictures = [entry for entry in walked.files if entry.suffix.lower() in IMAGE_SUFFIXES]
                own = {entry for entry in pictures if _is_result(entry)}
                found += [entry for entry in pictures if entry not in own]
                notes += walked.notes
                if own:
                    notes.append(f"{len(own)} masks and overlays of an earlier prediction in '{path}' were left out.")
            elif path.exists() or path.is_symlink():
                found.append(path)
            else:
                raise SettingsError(f"There is no file or folder '{path}'.")
        except OSError as error:
            raise SettingsError(f"'{path}' cannot be opened ({error.strerror}).") from error
    if not found:
        endings = ", ".join(sorted(IMAGE_SUFFIXES))
        remarks = "".join(f" {note}" for note in notes)
        raise SettingsError(f"There are no pictures to predict on: none of the folders contains {endings}.{remarks}")
    return FoundPictures(tuple(dict.fromkeys(found)), tuple(notes))


def _is_result(entry: Path) -> bool:
    """Whether a file is a mask or an overlay that `save_prediction` wrote: its record is in the same folder."""
    for kind in ("mask", "overlay"):
        stem, ending, rest = entry.name.rpartition(f".{kind}.png")
        if ending and not rest:
            return entry.with_name(f"{stem}.prediction.json").is_file()
    return False


def _output_stems(paths: Iterable[Path]) -> dict[Path, str]:
    """A name for each file's results: its stem, or, if that is taken, its full name, or that with a number."""
    stems: dict[Path, str] = {}
    taken: set[str] = set()
    for path in paths:
        stem = next(
            name
            for name in (path.stem, path.name, *(f"{path.name}-{number}" for number in range(2, len(taken) + 3)))
            if name not in taken
        )
        taken.add(stem)
        stems[path] = stem
    return stems
