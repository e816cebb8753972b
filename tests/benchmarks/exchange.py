"""Import and export of photographs with masks, and the reading of a large COCO file.

Rates are per second of processor time of one core, so that other programs on the machine do not change them.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.accepting import accept_truths
from segr1_app.store.exchange.files import FolderFiles
from segr1_app.store.exchange.formats import FORMATS
from segr1_app.store.exchange.importing import import_paths
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.readers import coco
from tests.benchmarks.models import scene
from tests.benchmarks.store import disc

COCO_MIB = 100


def exchange_speed(pictures: int, coco_mib: int = COCO_MIB) -> dict[str, float]:
    """Import and export of ``pictures`` JPEG files of 640x480 with masks, and reading of a COCO file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        came = _photographs(folder / "set", pictures)
        with AnnotationStore.open(folder / "home") as store:
            spent = _seconds(lambda: sum(1 for _ in import_paths(store, [folder / "set"], "the disc")))
            found = {"import of 640x480 with masks, /s": pictures / spent}
            stored = sum(path.stat().st_size for path in (folder / "home" / "pictures").iterdir())
            found["stored bytes / bytes that came"] = stored / came
            accept_truths(store, "somebody")
            for form, export in FORMATS.items():
                found[f"export {form}, /s"] = pictures / _seconds(
                    lambda export=export, form=form: export(store, folder / form)  # type: ignore[misc]
                )
        return found | _coco(folder, coco_mib)


def _photographs(folder: Path, count: int) -> int:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    pixels = scene(640, 480, seed=1).pixels
    for number in range(count):
        # A corner of its own makes each another picture.
        own = pixels.copy()
        own[:16, :16] = np.random.default_rng(number).integers(0, 255, 3)
        Image.fromarray(own).save(folder / "images" / f"{number}.jpg", quality=90)
        Image.fromarray(disc(640, 480, 60 + number % 100)).save(folder / "masks" / f"{number}.png")
    return sum(path.stat().st_size for path in (folder / "images").iterdir())


def _coco(folder: Path, mib: int) -> dict[str, float]:
    random = np.random.default_rng(0)
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 640, "height": 480} for number in range(8 * mib)]
    with (folder / "coco.json").open("w", encoding="utf-8") as file:
        file.write(f'{{"categories": [{{"id": 1, "name": "disc"}}], "images": {json.dumps(images)}, "annotations": [')
        number = 0
        while file.tell() < mib * 2**20:
            corners = random.uniform(0, 480, 2 * int(random.integers(20, 400))).round(2).tolist()
            record = {"id": number, "image_id": number % len(images), "category_id": 1, "segmentation": [corners]}
            file.write(("," if number else "") + json.dumps(record))
            number += 1
        file.write("]}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = FolderFiles(folder)
    spent = _seconds(lambda: list(map(str, _where(files))))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"reading of COCO, MiB/s": mib / spent, f"memory for a COCO file of {mib} MiB, MiB": grown / 1024}


def _where(files: FolderFiles) -> list[str]:
    records = coco.read(files, PurePosixPath("coco.json"), Pictures(files, []))
    return [record if isinstance(record, str) else record.where for record in records]


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start
