"""The full contents of a store as JSON Lines and picture files: the only format without any loss of saved work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from segr1_app.domain import DatasetError, SegR1Error, UnknownRecordError
from segr1_app.files.foreign_json import bounded_lines, parse_json
from segr1_app.images.pictures import Original, Picture
from segr1_app.store.exchange.exporting import ExportReport, new_folder, whole_store_only
from segr1_app.store.exchange.files import Entry, Files, translate_read_errors
from segr1_app.store.exchange.import_options import Progress, Watch, ignore
from segr1_app.store.exchange.options import EVERYTHING, Options
from segr1_app.store.exchange.outcomes import IMPORTED, ImportReport, Outcome, left_out, truth_replaced
from segr1_app.store.pictures import file_name, read_picture
from segr1_app.store.records import Numbers, check_record
from segr1_app.store.store import AnnotationStore

FILE_NAME: Final = "store.jsonl"
PICTURES_NAME: Final = "pictures"
NEVER_HOLDS: Final = "drafts and leases"


def export_jsonl(store: AnnotationStore, out: Path, options: Options = EVERYTHING) -> ExportReport:
    """Write ``store.jsonl``, one record a line with its "table", and ``pictures/``, the store's own files.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
        SettingsError: for options that would leave something out.
    """
    whole_store_only(options)
    report = ExportReport(NEVER_HOLDS)
    total = store.statistics().tasks
    with new_folder(out) as folder, (folder / FILE_NAME).open("w", encoding="utf-8") as file:
        (folder / PICTURES_NAME).mkdir()
        for record in store.records():
            if record["table"] == "pictures":
                path = store.picture_path(record["sha256"])
                shutil.copyfile(path, folder / PICTURES_NAME / path.name)
            if record["table"] == "tasks":
                report.written += 1
                options.watch(report.written, total)
            file.write(f"{json.dumps(record, ensure_ascii=False)}\n")
    return report


def import_jsonl(
    store: AnnotationStore, files: Files, name: PurePosixPath, report: ImportReport, watch: Watch = ignore
) -> Iterator[Outcome]:
    """Import an export of `export_jsonl`; yields an outcome for each record.

    Existing records are not duplicated. Only one record at a time is in memory, plus the new number of each.

    Args:
        store: the store to import into.
        files: the export.
        name: its ``store.jsonl``.
        report: updated with the results.
        watch: see `ImportOptions`.

    Raises:
        DatasetError: when the file cannot be read.
    """
    where, numbers, read = files.display_name(name), Numbers(), 0
    with translate_read_errors(f"The file '{where}'"), files.open(name) as file:
        size = files.size(name)
        for number, line in enumerate(bounded_lines(file), start=1):
            read += len(line or b"")
            watch(Progress(read, size, f"bytes of {name.name}"))
            if line is None:
                yield left_out(f"{where}:{number}: this line is too long to be a record of a store.")
                continue
            try:
                record = parse_json(line)
                if check_record(record) == "pictures":
                    known = _holds(store, record["sha256"])
                    picture, original = _picture(files, name.parent, record["sha256"], record.get("original"))
                    store.add_picture(picture, record["name"], original)
                    report.duplicates += known
                    report.pictures += not known
                yield _absorb(store, record, numbers, f"{where}:{number}", report)
            except (ValueError, TypeError, KeyError) as error:
                yield left_out(f"{where}:{number}: this line is not a record of a store ({error}).")
            except SegR1Error as error:
                yield left_out(f"{where}:{number}: {error}")


def _absorb(
    store: AnnotationStore, record: Mapping[str, Any], numbers: Numbers, where: str, report: ImportReport
) -> Outcome:
    if record["table"] == "tasks":
        picture = str(record.get("picture"))
        known = len(store.tasks_of(picture))
        store.absorb(record, numbers)
        report.tasks += len(store.tasks_of(picture)) - known
        return IMPORTED
    if record["table"] != "ground_truths":
        store.absorb(record, numbers)
        return IMPORTED
    picture, instruction = str(record["picture"]), str(record["instruction"])
    before = store.ground_truth(picture, instruction)
    store.absorb(record, numbers)
    now = store.ground_truth(picture, instruction)
    if before is not None and now is not None and not (before != now).any():
        return IMPORTED
    report.truths += now is not None
    return IMPORTED if before is None else truth_replaced(where, instruction)


def _holds(store: AnnotationStore, sha256: str) -> bool:
    try:
        store.picture_info(sha256)
    except UnknownRecordError:
        return False
    return True


def _picture(files: Files, folder: PurePosixPath, sha256: str, original: str | None) -> tuple[Picture, Original | None]:
    """A picture of an export by its digest, with its original by the name of its file.

    Raises:
        ValueError: for anything but a digest.
        SegR1Error: when it is missing, or is another picture.
    """
    place = folder / PICTURES_NAME / file_name(sha256, original)
    if not files.holds(place):
        raise DatasetError(f"The picture {sha256[:12]} is missing.")
    return read_picture(Entry(files, place).read(), sha256, original)
