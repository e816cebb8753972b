"""Everything a store holds as JSON lines and PNG files: the one format that loses nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from segr1_app.domain import DatasetError, StoreError
from segr1_app.store.connection import told
from segr1_app.store.exchange.exporting import Report, new_folder
from segr1_app.store.pictures import PictureFolder
from segr1_app.store.records import Numbers
from segr1_app.store.store import AnnotationStore

FILE_NAME = "store.jsonl"
PICTURES_NAME = "pictures"


def export_jsonl(store: AnnotationStore, out: Path) -> Report:
    """Write ``store.jsonl``, one record a line with its "table", and ``pictures/``, named by digest.

    Raises:
        StoreError: when the folder is not empty or cannot be written to.
    """
    report, folder = Report(), new_folder(out)
    with told(), (folder / FILE_NAME).open("w", encoding="utf-8") as file:
        (folder / PICTURES_NAME).mkdir()
        for record in store.records():
            if record["table"] == "pictures":
                path = store.picture_path(record["sha256"])
                shutil.copyfile(path, folder / PICTURES_NAME / path.name)
            report.written += record["table"] == "tasks"
            file.write(f"{json.dumps(record, ensure_ascii=False)}\n")
    return report


def import_jsonl(store: AnnotationStore, path: Path) -> Iterator[str | None]:
    """Take in what `export_jsonl` wrote; a sentence for each record that could not be taken, None for each that was.

    What is there already is not taken twice.

    Raises:
        DatasetError: when the file cannot be read.
    """
    pictures, numbers = PictureFolder(path.parent / PICTURES_NAME), Numbers()
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    record = json.loads(line)
                    if record["table"] == "pictures":
                        store.add_picture(pictures.get(record["sha256"]), record["name"])
                    store.absorb(record, numbers)
                except (ValueError, TypeError, KeyError) as error:
                    yield f"{path}:{number}: this line is no record of a store ({error!r})."
                except StoreError as error:
                    yield f"{path}:{number}: {error}"
                else:
                    yield None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"The file '{path}' cannot be read: {error}") from error
