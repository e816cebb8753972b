"""Every parser of untrusted input, as a function of bytes that may raise this project's errors only.

Each has a folder of the same name in ``corpus``: valid seeds, and every input that ever failed.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from jinja2 import TemplateError
from PIL import Image

from segr1_app.domain import ImageSize, SegR1Error
from segr1_app.files.foreign_json import JsonLimits, parse_json
from segr1_app.geometry import check_rle, decode_rle
from segr1_app.images.masks import load_mask
from segr1_app.images.pictures import load_picture
from segr1_app.language.codec import parse_completion
from segr1_app.language.protocol_files import read_protocol
from segr1_app.language.typed_text import one_line, person_name
from segr1_app.models.foreign_folder import check_policy_files
from segr1_app.models.segmenter_config import read_segmenter_config
from segr1_app.people.accounts import People
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.class_files import read_classes
from segr1_app.store.exchange.importing import import_paths
from segr1_app.studio.edits import read_objects
from segr1_app.studio.trainings import BEFORE, CONFIG, METRICS, PROCESS, RESULT, Trainings
from segr1_app.sync import FolderRemote, Synchroniser
from train.finetune.grpo_setup import GrpoSetup

CORPUS: Final = Path(__file__).with_name("corpus")
SIZE: Final = ImageSize(40, 30)


def foreign_json(content: bytes) -> None:
    """Parse it whole and in pieces, with the same result."""
    try:
        parse_json(content)
        whole = True
    except ValueError:
        whole = False
    limits = JsonLimits()
    try:
        for start in range(0, len(content), 7):
            limits.check(content[start : start + 7])
    except ValueError:
        assert not whole


def rle(content: bytes) -> None:
    record = {"size": [SIZE[1], SIZE[0]], "counts": content.decode("latin-1")}
    try:
        check_rle(record)
    except ValueError:
        return
    mask = decode_rle(record)
    assert mask.shape == (SIZE[1], SIZE[0])
    assert mask.dtype == np.bool_


def coco(content: bytes) -> None:
    _import("annotations.json", content)


def annotations_json(content: bytes) -> None:
    """Of labelme, Label Studio, VIA, Datumaro, SAM, ReasonSeg, YouTube-VOS and others, told apart by their content."""
    _import("annotations.json", content)


def annotations_xml(content: bytes) -> None:
    """Of CVAT, VOC and LabelMe."""
    _import("annotations.xml", content)


def tables_csv(content: bytes) -> None:
    """Of Hugging Face folders, Open Images and VIA."""
    _import("metadata.csv", content, "train-annotations.csv")


def yolo_rows(content: bytes) -> None:
    _import("labels/a.txt", content, **{"classes.txt": b"cat\ndog\n"})


def yolo_names(content: bytes) -> None:
    _import("data.yaml", content, **{"labels/a.txt": b"0 .5 .5 .4 .3\n"})


def label_names(content: bytes) -> None:
    """Lists of what the values of mask files mean."""
    masks = {"SegmentationClass/a.png": _png(np.eye(*SIZE[::-1], dtype=np.uint8))}
    _import("labelmap.txt", content, "class_names.txt", "id2label.json", **masks)


def jsonl(content: bytes) -> None:
    _import("store.jsonl", content)


def parquet(content: bytes) -> None:
    _import("data.parquet", content)


def archive(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "export.zip"
        path.write_bytes(content)
        _import_path(Path(name), path)


def sync(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "remote" / "records").mkdir(parents=True)
        (folder / "remote" / "records" / "a.jsonl").write_bytes(content)
        with AnnotationStore.open(folder / "home") as store:
            synchroniser = Synchroniser(store, FolderRemote(folder / "remote"), folder)
            _in_words(synchroniser.sync)
            assert list(store.verify()) == []


def segmenter_config(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "config.yaml"
        path.write_bytes(content)
        _in_words(lambda: read_segmenter_config(path))


def policy_config(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "config.json").write_bytes(content)
        _in_words(lambda: check_policy_files(Path(name)))


def protocol(content: bytes) -> None:
    _read_file(content, "protocol.yaml", read_protocol)


def people(content: bytes) -> None:
    _read_file(content, "people.json", lambda path: People(path).accounts())


def class_list(content: bytes) -> None:
    for name in ("classes.json", "classes.yaml", "classes.txt"):
        _read_file(content, name, read_classes)


def training_config(content: bytes) -> None:
    _read_file(content, "config.yaml", GrpoSetup.read)


def run_files(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "runs" / "20260101-000000"
        folder.mkdir(parents=True)
        for file in (CONFIG, METRICS, BEFORE, RESULT, PROCESS):
            (folder / file).write_bytes(content)
        trainings = Trainings(Path(name))
        trainings.running()
        trainings.read(folder.name)


def picture(content: bytes) -> None:
    _in_words(lambda: load_picture(content))
    _in_words(lambda: load_mask(content))


def canvas(content: bytes) -> None:
    try:
        state = parse_json(content)
    except ValueError:
        return
    _in_words(lambda: read_objects(state, SIZE))


def text(content: bytes) -> None:
    typed = content.decode("utf-8", "surrogateescape")
    line = one_line(typed)
    assert one_line(line) == line
    line.encode()
    name = person_name(typed)
    assert name is None or person_name(name) == name
    parse_completion(typed, SIZE)


PARSERS: Final[dict[str, Callable[[bytes], None]]] = {
    parser.__name__: parser
    for parser in (
        *(foreign_json, rle, coco, jsonl, parquet, archive, sync, picture, canvas, text),
        *(annotations_json, annotations_xml, tables_csv, yolo_rows, yolo_names, label_names),
        *(segmenter_config, policy_config, protocol, people, class_list, training_config, run_files),
    )
}


def seeds(name: str) -> list[Path]:
    """The files of a parser's corpus."""
    return sorted((CORPUS / name).iterdir())


def _in_words(parse: Callable[[], object]) -> None:
    said = "nothing"
    try:
        parse()
    except (SegR1Error, TemplateError) as error:
        said = str(error)
    assert 0 < len(said) < 2000


def _read_file(content: bytes, name: str, read: Callable[[Path], object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        _in_words(lambda: read(path))


def _import(name: str, content: bytes, *others: str, **more: bytes) -> None:
    """Import a folder with a picture, and the content under each of the names."""
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as folder:
        files = {**dict.fromkeys((name, *others), content), **more, "a.png": _png(np.zeros((*SIZE[::-1], 3), np.uint8))}
        for path, data in files.items():
            (Path(folder) / path).parent.mkdir(exist_ok=True)
            (Path(folder) / path).write_bytes(data)
        _import_path(Path(home), Path(folder))


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def _import_path(folder: Path, path: Path) -> None:
    with AnnotationStore.open(folder / "home") as store:
        _in_words(lambda: [len(str(outcome)) for outcome in import_paths(store, [path], "the cat")])
        assert list(store.verify()) == []


def make_archive(*entries: tuple[str, bytes]) -> bytes:
    """A ZIP archive of some files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries:
            packed.writestr(name, data)
    return content.getvalue()
