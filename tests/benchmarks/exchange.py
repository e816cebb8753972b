"""Import and export of photographs with masks, and the reading of a large COCO file.

Rates are per second of processor time of one core, so that other programs on the machine do not change them.
"""

from __future__ import annotations

import json
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
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

PICTURES, COCO_MIB = 100, 20
"""What is measured in a few minutes."""
FULL_PICTURES, FULL_COCO_MIB = 3000, 614
"""What the goals speak of: ten minutes on an idle machine, and 1.5 GiB of temporary files."""


def exchange_speed(pictures: int, coco_mib: int) -> Iterator[tuple[str, float]]:
    """Import and export of ``pictures`` JPEG files of 640x480 with masks, and reading of a COCO file.

    Yields:
        Each figure, as soon as it is known.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        came = _photographs(folder / "set", pictures)
        with AnnotationStore.open(folder / "home") as store:
            spent = _seconds(lambda: sum(1 for _ in import_paths(store, [folder / "set"], "the disc")))
            yield "import of 640x480 with masks, /s", pictures / spent
            stored = sum(path.stat().st_size for path in (folder / "home" / "pictures").iterdir())
            yield "stored bytes / bytes that came", stored / came
            accept_truths(store, "somebody")
            for form, export in FORMATS.items():
                yield f"export {form}, /s", pictures / _seconds(partial(export, store, folder / form))
                shutil.rmtree(folder / form)
        yield from _coco(folder, coco_mib)


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


def _coco(folder: Path, mib: int) -> Iterator[tuple[str, float]]:
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
    # In a process of its own: the highest use of memory so far would hide that of the reading.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        spent, grown = pool.submit(_read_coco, folder).result()
    yield "reading of COCO, MiB/s", mib / spent
    yield f"memory for a COCO file of {mib} MiB, MiB", grown / 2**10


def _read_coco(folder: Path) -> tuple[float, int]:
    """Seconds that reading takes, and by how many KiB the process grows."""
    files = FolderFiles(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent = _seconds(lambda: sum(1 for _ in coco.read(files, PurePosixPath("coco.json"), Pictures(files, []))))
    return spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start
