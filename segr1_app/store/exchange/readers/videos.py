"""YouTube-VOS and Ref-YouTube-VOS: indexed masks of frames, the classes of their objects, and expressions for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final

from segr1_app.domain import DatasetError
from segr1_app.images.masks import Labels, read_labels
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.intake import Part, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.readers.sources import Head, Source, Tree, load_json
from segr1_app.store.exchange.shapes import MaskPicture

_MASKS: Final = "annotations"


def find(tree: Tree) -> list[Source]:
    """Files that describe the objects of videos, with the masks of their frames."""
    names = [name for name in tree.with_suffix(".json") if _is_videos(tree.head(name))]
    masks = [name for name in tree.pictures() if _MASKS in {part.lower() for part in name.parts[:-1]}]
    if not names or not masks:
        return []
    return [Source("YouTube-VOS", [*names, *masks], lambda pictures: _read(tree, names, masks, pictures))]


def _is_videos(head: Head | None) -> bool:
    return head is not None and head.keys == {"videos"} and "videos" not in head.lists


def _read(
    tree: Tree, names: list[PurePosixPath], masks: list[PurePosixPath], pictures: Pictures
) -> Iterator[Record | str]:
    known: dict[tuple[str, str], tuple[str | None, tuple[str, ...]]] = {}
    for name in names:
        try:
            _add_objects(load_json(tree.entry(name)), known)
        except DatasetError as error:
            yield f"{tree.files.display_name(name)}: {error}"
        except (TypeError, AttributeError):
            yield f"{tree.files.display_name(name)} is left out: its videos do not have the form of YouTube-VOS."
    without: dict[tuple[str, str], int] = defaultdict(int)
    for mask in masks:
        video = mask.parent.name
        called = PurePosixPath(*("JPEGImages" if part.lower() == _MASKS else part for part in mask.parts))
        picture = pictures.find(mask, str(called), by_stem=True)
        where = tree.files.display_name(mask)
        try:
            labels = read_labels(tree.entry(mask).read())
        except DatasetError as error:
            yield f"{where}: {error}"
            continue
        parts = [part for label in labels.names.values() for part in _parts(labels, label, known.get((video, label)))]
        for label in labels.names.values():
            without[video, label] += not any(known.get((video, label), ()))
        if not parts and labels.names:
            continue
        shown = f"{video}/{picture.name.name}" if isinstance(picture, Entry) else str(called)
        yield Record(where, picture, shown, parts)
    for (video, label), count in without.items():
        if count:
            yield f"{count} masks of object {label} of the video {video} are left out: it has no name."


def _parts(labels: Labels, label: str, known: tuple[str | None, tuple[str, ...]] | None) -> Iterator[Part]:
    if known is None:
        return
    name, expressions = known
    shape = MaskPicture(partial(_itself, labels), label)
    if name:
        yield Part(f"object {label}", shape, name)
    for words in expressions:
        yield Part(f"object {label}", shape, name, words)


def _add_objects(content: Any, known: dict[tuple[str, str], tuple[str | None, tuple[str, ...]]]) -> None:
    for video, about in content["videos"].items():
        for key, each in (about.get("objects") or {}).items():
            _, expressions = known.get((video, str(key)), (None, ()))
            known[video, str(key)] = each.get("category"), expressions
        for each in (about.get("expressions") or {}).values():
            key, words = str(each.get("obj_id")), str(each.get("exp") or "").strip()
            if words and each.get("obj_id") is not None:
                name, expressions = known.get((video, key), (None, ()))
                known[video, key] = name, tuple(dict.fromkeys((*expressions, words)))


def _itself(labels: Labels) -> Labels:
    return labels
