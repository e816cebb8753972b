"""``import``: pictures and other tools' annotations into the store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segr1_app.cli.bar import bar
from segr1_app.domain import SettingsError
from segr1_app.images.frames import Reading
from segr1_app.language.codec import PRESETS
from segr1_app.settings.config import Settings, add_home_argument
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.hub import DEFAULT_ROWS
from segr1_app.store.exchange.import_options import ImportOptions, Watch, parse_columns
from segr1_app.store.exchange.importing import check_import, import_hub, import_paths
from segr1_app.store.exchange.outcomes import ImportReport, Outcome
from segr1_app.store.exchange.remote_files import is_address


# Longer than 60 lines: it only declares arguments, one after the other.
def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "import",
        help="import pictures and annotations into the store",
        description="Create a task for every picture, for every picture and class in other tools' annotations "
        "(docs/formats.md lists the supported formats), or for every row of a Hugging Face dataset; or merge "
        "another store (its export as jsonl). Existing pictures and tasks are not duplicated; a new ground-truth mask "
        "replaces an old one, with a notice. Anything that cannot be imported is listed at the end and does not "
        "stop the rest; "
        "the exit status is then 1.",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=_path_or_address,
        metavar="PATH",
        help="picture or annotation file; folder, ZIP or tar archive of these, or a URL that fsspec opens "
        "(s3://, gs://, https://). In images/ and masks/, a picture and its ground-truth mask have the same name",
    )
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="PATH",
        help="ground-truth masks named like the pictures: file, folder or ZIP archive",
    )
    parser.add_argument("--hub", metavar="OWNER/NAME", help="a dataset on the Hugging Face hub with a column image")
    parser.add_argument(
        "--rows",
        type=int,
        default=DEFAULT_ROWS,
        metavar="N",
        help="maximum number of rows of that dataset (default: %(default)s)",
    )
    parser.add_argument(
        "--instruction", default=PRESETS[0].text, metavar="TEXT", help="what to segment (default: %(default)s)"
    )
    parser.add_argument(
        "--class",
        dest="label",
        metavar="LABEL",
        help="which class or instance to read from mask files with several: its index, colour (#ff0000) or "
        "name; all for "
        "everything that is marked",
    )
    parser.add_argument(
        "--columns",
        type=_columns,
        default={},
        metavar="ROLE=NAME,...",
        help="which columns of a table are the image, mask, instruction and name, such as mask=label,instruction=text",
    )
    parser.add_argument(
        "--orientation",
        type=Reading,
        choices=list(Reading),
        help="whether pictures with an EXIF orientation were annotated as stored (raw) or as displayed "
        "(upright), for cases that the sizes do not decide",
    )
    parser.add_argument(
        "--keep-partial",
        action="store_true",
        help="make a ground-truth mask from the readable annotations of a picture and class even if others are "
        "not readable",
    )
    parser.add_argument(
        "--pictures-only", action="store_true", help="import all pictures and ignore all annotations and masks"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write every remark and everything that was left out to this text file; the terminal lists only the "
        "first few of similar ones",
    )
    add_home_argument(parser)
    parser.set_defaults(run=run)


def _path_or_address(text: str) -> Path | str:
    return text if is_address(text) else Path(text)


def _columns(text: str) -> dict[str, str]:
    """Parse the columns of a table by their roles.

    Raises:
        argparse.ArgumentTypeError: when it is not ROLE=NAME pairs.
    """
    try:
        return parse_columns(text)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error


def run(arguments: argparse.Namespace) -> int:
    """Import the pictures; returns 1 if one of them could not be imported.

    Raises:
        SegR1Error: when nothing can be imported.
    """
    settings = Settings.from_arguments(arguments)
    if not arguments.paths and not arguments.hub:
        raise SettingsError("Nothing to import: name files, folders or ZIP archives, or a dataset with --hub.")
    if arguments.rows < 1:
        raise SettingsError("--rows must be 1 or more.")
    check_import(arguments.paths, arguments.instruction, _masks(arguments))
    report = ImportReport()
    if arguments.report:
        # Before the work, because a report that cannot be written is better known now.
        _write_report(arguments.report, report)
    try:
        with AnnotationStore.open(settings.home) as store, bar() as watch:
            for _ in _import_all(store, arguments, report, watch):
                pass
    except (KeyboardInterrupt, SystemExit):
        print(  # noqa: T201
            f"{report.records} records were imported into {settings.home} before the import was stopped, and stay "
            f"there. {report.summary} Give the same command again to continue: nothing is imported twice.",
            file=sys.stderr,
        )
        if arguments.report:
            _write_report(arguments.report, report)
        raise
    print(f"{report.records} record{'' if report.records == 1 else 's'} imported into {settings.home}")  # noqa: T201
    print(report.summary)  # noqa: T201
    for sentence in report.sentences:
        print(sentence, file=sys.stderr)  # noqa: T201
    if arguments.report:
        _write_report(arguments.report, report)
    return 1 if report.left_out or not report.records else 0


def _write_report(path: Path, report: ImportReport) -> None:
    try:
        path.write_text("".join(f"{line}\n" for line in (report.summary, *report.all_sentences)), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"The report '{path}' cannot be written ({error.strerror}): name another file.") from error


def _masks(arguments: argparse.Namespace) -> list[Path]:
    return [arguments.masks] if arguments.masks else []


def _import_all(
    store: AnnotationStore, arguments: argparse.Namespace, report: ImportReport, watch: Watch
) -> Iterator[Outcome]:
    options = ImportOptions(
        keep_partial=arguments.keep_partial,
        pictures_only=arguments.pictures_only,
        label=arguments.label,
        reading=arguments.orientation,
        columns=arguments.columns,
        watch=watch,
    )
    words = arguments.instruction
    yield from import_paths(store, arguments.paths, words, _masks(arguments), options=options, report=report)
    if arguments.hub:
        yield from import_hub(store, arguments.hub, words, rows=arguments.rows, options=options, report=report)
