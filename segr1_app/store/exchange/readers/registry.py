"""Every kind of annotations that is read."""

from __future__ import annotations

from typing import Final

from segr1_app.store.exchange.readers import (
    coco,
    coco_panoptic,
    coco_results,
    cvat,
    datumaro,
    label_studio,
    labelme,
    open_images,
    reasonseg,
    refcoco,
    sam,
    tables,
    via,
    videos,
    voc,
    yolo,
)
from segr1_app.store.exchange.readers.sources import FindSources, Source, Tree

READERS: Final[tuple[FindSources, ...]] = (
    tables.find,
    open_images.find,
    videos.find,
    reasonseg.find,
    labelme.find,
    refcoco.find,
    sam.find,
    datumaro.find,
    label_studio.find,
    via.find,
    coco_results.find,
    coco_panoptic.find,
    coco.find,
    cvat.find,
    voc.find,
    yolo.find,
)
"""Readers with strict checks come before readers with loose ones."""


def find_sources(tree: Tree) -> list[Source]:
    """Annotations of every supported kind; their files are claimed."""
    found = []
    for reader in READERS:
        for source in reader(tree):
            found.append(source)
            tree.claim(source.claimed)
    return found
