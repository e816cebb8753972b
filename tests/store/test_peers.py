"""Every export opened by the programs that people open it with: found without help, with the same masks and names.

What each of them found is a line of the table in docs/formats.md, which must say the same; with the environment
variable SEGR1_WRITE_TABLE it is written again. Programs that are not installed are skipped (requirements-peers.txt).

It is long because each program needs its own reader.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from datasets import load_dataset
from PIL import Image
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from segr1_app.domain import Mask, ObjectPrompt
from segr1_app.images.pictures import picture_from_array
from segr1_app.metrics import iou
from segr1_app.models.policy import VlmPolicy
from segr1_app.settings.config import ASSETS
from segr1_app.store import AnnotatedObject, AnnotationStore, Correction, Verdict
from segr1_app.store.exchange.accepting import accept_truths
from segr1_app.store.exchange.formats import FORMATS
from segr1_app.store.exchange.importing import import_paths
from segr1_app.store.exchange.options import Options, Splits
from train.data.fcot import fcot_rows

pytestmark = pytest.mark.slow

DOCUMENT = ASSETS.parent / "docs" / "formats.md"
BEGIN, END = "<!-- made by tests/store/test_peers.py -->", "<!-- end -->"
SIZE = (960, 720)
SPLITS = Splits((("train", 0.6), ("val", 0.4)))
CLASSES = ("person", "traffic light", "🐿️ squirrel", "Löwe: groß")
PICTURES = ("écureuil 松鼠.jpg", "a/b.png", "a/B.png", "c d#1%20.jpeg", "e.png", "f.jpg", "g.jpg", "h.jpg")

Found = dict[str, dict[str, list[tuple[str, Mask]]]]
"""By split and by stem of the picture, its objects in any order: class name and bool (height, width) mask."""


def shapes(seed: int) -> list[Mask]:
    """Masks as people make them: a blob with a hole, one of two parts, a thin one; none touches another."""
    rng = np.random.default_rng(seed)
    width, height = SIZE

    def canvas() -> npt.NDArray[np.uint8]:
        return np.zeros((height, width), np.uint8)

    ring, parts, thin = canvas(), canvas(), canvas()
    turn = float(rng.uniform(0, 180))
    cv2.ellipse(ring, (240, 360), (180, 135), turn, 0, 360, 1, -1)
    cv2.ellipse(ring, (255, 354), (60, 45), turn, 0, 360, 0, -1)
    cv2.circle(parts, (600, 180), int(rng.integers(75, 120)), 1, -1)
    cv2.ellipse(parts, (615, 450), (105, 75), turn, 0, 360, 1, -1)
    cv2.line(thin, (810, 60), (900, 660), 1, int(rng.integers(45, 60)))
    return [mask.astype(bool) for mask in (ring, parts, thin)]


@dataclass(frozen=True)
class Truth:
    """What is in the store: per picture its split, its stem in exports, its instruction and its objects."""

    store: AnnotationStore
    objects: Found


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Truth]:
    found: Found = {name: {} for name in SPLITS.names}
    stems = {"a/B.png": None}
    with AnnotationStore.open(tmp_path_factory.mktemp("home")) as store:
        for number, name in enumerate(PICTURES):
            plain = np.full((SIZE[1], SIZE[0], 3), 20 * number, np.uint8)
            sha256 = store.add_picture(picture_from_array(plain), name)
            task = store.add_task(sha256, f"Segment whatever is <b>alive</b>, {number}.")
            named = [(CLASSES[(number + index) % len(CLASSES)], mask) for index, mask in enumerate(shapes(number))]
            made = tuple(AnnotatedObject(ObjectPrompt(name=kind), mask) for kind, mask in named)
            store.save(task.id, "Ada", Correction(Verdict.FIX, made))
            stem = str(Path(name).with_suffix(""))
            if name in stems:
                stem = f"{stem}-{sha256[:8]}"
            found[SPLITS.of(sha256)][stem] = named
        assert all(found.values())
        yield Truth(store, found)


def stem_of(name: str) -> str:
    return name.rpartition(".")[0]


# Readers: each opens a folder as its program does by itself, and says what is in it.


def by_pycocotools(folder: Path) -> Found:
    from pycocotools.coco import COCO

    found: Found = {}
    for file in sorted((folder / "annotations").glob("instances_*.json")):
        split, coco = file.stem.removeprefix("instances_"), COCO(str(file))
        names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
        found[split] = {}
        for image in coco.loadImgs(coco.getImgIds()):
            assert Image.open(folder / "images" / split / image["file_name"]).size == (image["width"], image["height"])
            annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
            objects = [(names[each["category_id"]], coco.annToMask(each).astype(bool)) for each in annotations]
            found[split][stem_of(image["file_name"])] = objects
    return found


def by_torchvision_coco(folder: Path) -> Found:
    from torchvision.datasets import CocoDetection

    found: Found = {}
    for file in sorted((folder / "annotations").glob("instances_*.json")):
        split = file.stem.removeprefix("instances_")
        dataset = CocoDetection(str(folder / "images" / split), str(file))
        found[split] = {}
        for index, key in enumerate(dataset.ids):
            picture, annotations = dataset[index]
            assert picture.size == SIZE
            found[split][stem_of(dataset.coco.loadImgs(key)[0]["file_name"])] = [
                (dataset.coco.cats[each["category_id"]]["name"], dataset.coco.annToMask(each).astype(bool))
                for each in annotations
            ]
    return found


def by_supervision_coco(folder: Path) -> Found:
    from supervision import DetectionDataset

    return {
        split: _from_supervision(
            DetectionDataset.from_coco(
                str(folder / "images" / split),
                str(folder / "annotations" / f"instances_{split}.json"),
                force_masks=True,
            ),
            folder / "images" / split,
        )
        for split in SPLITS.names
    }


def by_supervision_yolo(folder: Path) -> Found:
    from supervision import DetectionDataset

    return {
        split: _from_supervision(
            DetectionDataset.from_yolo(
                str(folder / "images" / split),
                str(folder / "labels" / split),
                str(folder / "data.yaml"),
                force_masks=True,
            ),
            folder / "images" / split,
        )
        for split in SPLITS.names
    }


def _from_supervision(dataset: Any, root: Path) -> dict[str, list[tuple[str, Mask]]]:
    found = {}
    for path, _, detections in dataset:
        objects = [
            (dataset.classes[kind], np.asarray(mask, bool))
            for kind, mask in zip(detections.class_id, detections.mask, strict=True)
        ]
        found[stem_of(str(Path(path).relative_to(root)))] = objects
    return found


def by_ultralytics(folder: Path) -> Found:
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset, polygon2mask

    # The trainers' own checker, which is given the file alone.
    data = check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    found: Found = {}
    for split in SPLITS.names:
        dataset = YOLODataset(data[split], data=data, task="segment", augment=False, cache=False)
        found[split] = {}
        for label in dataset.labels:
            height, width = label["shape"]
            rings = [segment * (width, height) for segment in label["segments"]]
            kinds = [data["names"][int(kind)] for kind in label["cls"].ravel()]
            stem = stem_of(str(Path(label["im_file"]).relative_to(folder / "images" / split)))
            found[split][stem] = [
                (kind, polygon2mask((height, width), [ring.ravel()]) > 0)
                for kind, ring in zip(kinds, rings, strict=True)
            ]
    return found


def by_torchvision_voc(folder: Path) -> Found:
    from torchvision.datasets import VOCSegmentation

    root = folder / "VOCdevkit" / "VOC2012"
    names = [line.split(":")[0] for line in (root / "labelmap.txt").read_text(encoding="utf-8").splitlines()[1:]]
    found: Found = {}
    for split in SPLITS.names:
        dataset = VOCSegmentation(str(folder), year="2012", image_set=split)
        found[split] = {}
        for index, path in enumerate(dataset.images):
            picture, indices = dataset[index]
            assert picture.size == indices.size == SIZE
            values = np.asarray(indices)
            stem = stem_of(str(Path(path).relative_to(root / "JPEGImages")))
            found[split][stem] = [(names[value], values == value) for value in np.unique(values) if value]
    return found


def by_datumaro(folder: Path) -> Found:
    from datumaro.components.dataset import Dataset

    return from_datumaro(Dataset.import_from(str(folder)))


def by_datumaro_voc(folder: Path) -> Found:
    from datumaro.components.dataset import Dataset

    # Any VOC folder is of several formats for its detection, its own exports, too: it has to be told.
    return from_datumaro(Dataset.import_from(str(folder), "voc_segmentation"))


def from_datumaro(dataset: Any) -> Found:
    from datumaro.components.annotation import AnnotationType, Polygon
    from datumaro.components.annotation import Mask as MaskAnnotation
    from pycocotools import mask as coco

    labels = dataset.categories()[AnnotationType.label]
    found: Found = {}
    for item in dataset:
        assert item.media is not None
        assert item.media.data.shape[:2] == SIZE[::-1]
        parts: dict[tuple[str, object], Mask] = {}
        for number, made in enumerate(item.annotations):
            if not isinstance(made, MaskAnnotation | Polygon):
                continue
            if isinstance(made, Polygon):
                mask = coco.decode(coco.merge(coco.frPyObjects([made.points], *SIZE[::-1]))).astype(bool)
            else:
                mask = np.asarray(made.image, bool)
            key = (labels[made.label].name, made.group or f"alone {number}")
            parts[key] = parts[key] | mask if key in parts else mask
        found.setdefault(item.subset, {})[item.id] = [(kind, mask) for (kind, _), mask in parts.items()]
    return found


def by_labelme(folder: Path) -> Found:
    from labelme.utils.shape import shape_to_mask

    found: Found = {}
    for split in SPLITS.names:
        found[split] = {}
        for file in sorted((folder / split).rglob("*.json")):
            content = json.loads(file.read_text(encoding="utf-8"))
            assert Image.open(file.parent / content["imagePath"]).size == (
                content["imageWidth"],
                content["imageHeight"],
            )
            parts: dict[tuple[str, int], Mask] = {}
            for shape in content["shapes"]:
                key, mask = (shape["label"], shape["group_id"]), shape_to_mask(SIZE[::-1], shape["points"], "polygon")
                parts[key] = parts[key] | mask if key in parts else mask
            stem = str(file.relative_to(folder / split).with_suffix(""))
            found[split][stem] = [(kind, mask) for (kind, _), mask in parts.items()]
    return found


def by_label_studio(folder: Path) -> Found:
    from label_studio_sdk.converter.brush import decode_rle
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface((folder / "config.xml").read_text(encoding="utf-8"))
    found: Found = {split: {} for split in SPLITS.names}
    for task in json.loads((folder / "tasks.json").read_text(encoding="utf-8")):
        path = Path(_unquoted(task["data"]["image"].partition("?d=")[2]))
        assert Image.open(folder / path).size == SIZE
        (answer,) = task.get("annotations") or task["predictions"]
        assert interface.validate_annotation({"result": answer["result"]})
        objects = []
        for region in answer["result"]:
            if region["type"] == "brushlabels":
                pixels = decode_rle(region["value"]["rle"]).reshape(SIZE[1], SIZE[0], 4)
                objects.append((region["value"]["brushlabels"][0], pixels[..., 3] > 0))
        found[path.parts[1]][stem_of("/".join(path.parts[2:]))] = objects
    return found


def _unquoted(text: str) -> str:
    from urllib.parse import unquote

    return unquote(text)


def by_datasets(folder: Path) -> Found:
    from datasets import Image as Images

    found: Found = {}
    for split, rows in load_dataset(str(folder), cache_dir=str(folder.parent / "cache")).items():
        found[split] = {}
        for row in rows.cast_column("image", Images(decode=False)):
            assert Image.open(io.BytesIO(row["image"]["bytes"])).size == SIZE
            found[split][stem_of(row["image"]["path"])] = [("", np.asarray(row["mask"]) > 0)]
    return found


def by_lisa(folder: Path) -> Found:
    """As LISA's own ``get_mask_from_json`` reads it, which is no package: pictures by ``*.jpg``, JSON by the stem."""
    found: Found = {}
    for split in SPLITS.names:
        found[split] = {}
        for picture in sorted((folder / "ReasonSeg" / split).glob("*.jpg")):
            content = json.loads(picture.with_suffix(".json").read_text(encoding="utf-8"))
            height, width = cv2.imdecode(np.frombuffer(picture.read_bytes(), np.uint8), cv2.IMREAD_COLOR).shape[:2]
            mask = np.zeros((height, width), np.uint8)
            for shape in content["shapes"]:
                assert shape["label"] == "target"
                points = np.array([shape["points"]], dtype=np.int32)
                cv2.polylines(mask, points, True, 1, 1)
                cv2.fillPoly(mask, points, 1)
            found[split][picture.stem.replace("__", "/")] = [("", mask.astype(bool))]
    return found


@dataclass(frozen=True)
class Peer:
    """A program that reads a format.

    Attributes:
        form: the format.
        program: its name in the table.
        package: what must be installed.
        read: opens the export.
        merged: whether it knows one mask a picture ("all"), one per class ("class"), or each object ("object").
        flat: whether it does not look into subfolders.
        least: the least IoU.
    """

    form: str
    program: str
    package: str
    read: Callable[[Path], Found]
    merged: str = "object"
    flat: bool = False
    least: float = 1.0


PEERS = (
    Peer("coco", "pycocotools", "pycocotools", by_pycocotools),
    Peer("coco", "torchvision", "torchvision", by_torchvision_coco),
    Peer("coco", "supervision", "supervision", by_supervision_coco),
    Peer("coco", "datumaro", "datumaro", by_datumaro),
    Peer("coco-polygons", "pycocotools", "pycocotools", by_pycocotools, least=0.97),
    Peer("coco-polygons", "supervision", "supervision", by_supervision_coco, least=0.97),
    Peer("coco-polygons", "datumaro", "datumaro", by_datumaro, least=0.97),
    Peer("coco-panoptic", "datumaro", "datumaro", by_datumaro),
    Peer("yolo", "ultralytics", "ultralytics", by_ultralytics, least=0.97),
    Peer("yolo", "supervision", "supervision", by_supervision_yolo, flat=True, least=0.97),
    Peer("voc", "torchvision", "torchvision", by_torchvision_voc, merged="class"),
    Peer("voc", "datumaro", "datumaro", by_datumaro_voc),
    Peer("labelme", "labelme", "labelme", by_labelme, least=0.97),
    Peer("cvat", "datumaro", "datumaro", by_datumaro),
    Peer("label-studio", "label-studio-sdk", "label_studio_sdk", by_label_studio),
    Peer("label-studio-predictions", "label-studio-sdk", "label_studio_sdk", by_label_studio),
    Peer("reasonseg", "LISA's reader", "cv2", by_lisa, merged="all", least=0.97),
    Peer("hf", "datasets", "datasets", by_datasets, merged="all"),
)


def expected(objects: list[tuple[str, Mask]], merged: str) -> list[tuple[str, Mask]]:
    groups: dict[object, tuple[str, Mask]] = {}
    for number, (kind, mask) in enumerate(objects):
        key = {"all": "", "class": kind, "object": number}[merged]
        before = groups[key][1] if key in groups else np.zeros_like(mask)
        groups[key] = ("" if merged == "all" else kind, before | mask)
    return list(groups.values())


def worst(found: Found, truth: Found, merged: str) -> float:
    """The least IoU of any object; splits, pictures, classes and counts must be equal."""
    assert set(found) == set(truth)
    least = 1.0
    for split, pictures in truth.items():
        assert set(found[split]) == set(pictures), split
        for stem, objects in pictures.items():
            wanted = [(plain(kind), mask) for kind, mask in expected(objects, merged)]
            got = [(plain(kind), mask) for kind, mask in found[split][stem]]
            assert sorted(kind for kind, _ in got) == sorted(kind for kind, _ in wanted), stem
            for kind, mask in wanted:
                least = min(least, max(iou(mask, other) for name, other in got if name == kind))
    return least


def plain(kind: str) -> str:
    """A class name as VOC's label map can hold it."""
    return kind.replace("：", ":")


@pytest.fixture(scope="module")
def results() -> dict[tuple[str, str], str]:
    return {}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: f"{peer.form}-{peer.program}")
def test_a_peer_finds_what_was_exported(
    peer: Peer, truth: Truth, tmp_path: Path, results: dict[tuple[str, str], str]
) -> None:
    pytest.importorskip(peer.package)
    FORMATS[peer.form](truth.store, tmp_path / "out", Options(splits=SPLITS))
    wanted = {
        split: {stem: objects for stem, objects in pictures.items() if not (peer.flat and "/" in stem)}
        for split, pictures in truth.objects.items()
    }
    least = worst(peer.read(tmp_path / "out"), wanted, peer.merged)
    assert least >= peer.least
    results[peer.form, peer.program] = "1.0" if least == 1 else f"≥ {int(least * 100) / 100:.2f}"


def test_sft_is_what_trl_trains_on_as_it_is(truth: Truth, tmp_path: Path, policy: VlmPolicy) -> None:
    FORMATS["sft"](truth.store, tmp_path / "out", Options(splits=SPLITS))
    rows = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert set(rows) == set(SPLITS.names)
    collated = DataCollatorForVisionLanguageModeling(policy.processor)([rows["train"][0]])
    asked = policy.processor.tokenizer.decode(collated["input_ids"][0])
    assert rows["train"][0]["instruction"].split()[0].lower() in asked.lower()
    assert (collated["labels"] != -100).any()
    collected = fcot_rows([str(tmp_path / "out")])
    assert collected.left_out == ()
    assert [row.instruction for row in collected.rows] == rows["train"]["instruction"]
    assert all("<b>alive</b>" in row.instruction for row in collected.rows)


@pytest.mark.parametrize("program", ["datumaro", "supervision"])
def test_a_round_through_another_program_keeps_masks_and_names(program: str, truth: Truth, tmp_path: Path) -> None:
    pytest.importorskip(program)
    FORMATS["coco"](truth.store, tmp_path / "out", Options(splits=SPLITS))
    if program == "datumaro":
        from datumaro.components.dataset import Dataset

        Dataset.import_from(str(tmp_path / "out")).export(
            str(tmp_path / "back"), "coco_instances", save_media=True, segmentation_mode="mask"
        )
    else:
        from supervision import DetectionDataset

        for split in SPLITS.names:
            images, file = tmp_path / "out" / "images" / split, f"annotations/instances_{split}.json"
            dataset = DetectionDataset.from_coco(str(images), str(tmp_path / "out" / file), force_masks=True)
            dataset.as_coco(str(tmp_path / "back" / split), str(tmp_path / "back" / split / "_annotations.coco.json"))
    with AnnotationStore.open(tmp_path / "home") as other:
        reported = [outcome.message for outcome in import_paths(other, [tmp_path / "back"], "it") if outcome.message]
        assert reported == []
        accept_truths(other, "Ada")
        FORMATS["coco"](other, tmp_path / "again")
    found = by_pycocotools(tmp_path / "again")["train"]
    wanted = {stem: objects for pictures in truth.objects.values() for stem, objects in pictures.items()}
    assert sum(len(objects) for objects in found.values()) == sum(map(len, wanted.values()))
    for stem, objects in found.items():
        name = next(name for name in wanted if stem.endswith(Path(name).name))
        for kind, mask in objects:
            (true,) = [other for other_kind, other in wanted[name] if other_kind == kind]
            # supervision writes polygons of objects that are not crowds, without their holes.
            assert iou(mask, filled(true) if program == "supervision" else true) >= 0.97


def filled(mask: Mask) -> Mask:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, -1, 1, -1).astype(bool)


def test_the_document_says_what_was_found(results: dict[tuple[str, str], str]) -> None:
    missing = [peer for peer in PEERS if (peer.form, peer.program) not in results]
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted({peer.package for peer in missing}))}")
    lines = ["| format | program | IoU with the stored masks | |", "| --- | --- | --- | --- |"]
    for peer in PEERS:
        notes = {"all": "one mask a picture", "class": "one mask per class", "object": ""}[peer.merged]
        notes += "does not look into subfolders" if peer.flat else ""
        lines.append(f"| `{peer.form}` | {peer.program} | {results[peer.form, peer.program]} | {notes} |")
    table = f"{BEGIN}\n{chr(10).join(lines)}\n{END}"
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    if os.environ.get("SEGR1_WRITE_TABLE"):
        DOCUMENT.write_text(f"{before}{table}{after}", encoding="utf-8")
    assert table in DOCUMENT.read_text(encoding="utf-8")
