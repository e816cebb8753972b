"""Rows in trl's format: the policy's inputs are made by the same functions as in the app."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cachetools import LRUCache
from datasets import Dataset
from PIL import Image

from segr1_app.domain import SegR1Error
from segr1_app.language.codec import Grammar
from segr1_app.language.protocol import Stage
from segr1_app.models.frames import resize_to_frame
from segr1_app.models.policy import VlmPolicy
from train.data.rows import Example, Row

CACHED_EXAMPLES = 32


class ExampleReader:
    """Reads rows on demand; the last few stay in memory, because every row is needed once per completion."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self._cache: LRUCache[int, Example] = LRUCache(CACHED_EXAMPLES)

    def __getitem__(self, index: int) -> Example:
        """Read the row with this index.

        Raises:
            SegR1Error: when its picture has changed since planning, or cannot be read.
        """
        example = self._cache.get(index)
        if example is None:
            row = self.rows[index]
            example = row.load()
            if example.picture.sha256 != row.image_id:
                raise SegR1Error(f"A picture of {row.source} was changed during training: start again.")
            self._cache[index] = example
        return example


class PromptMaker:
    """Turns row indices into prompts and pictures on demand, as a transform of a `datasets.Dataset`.

    The picture already has the size of the policy's frame, so that trl's processor does not resize it and the frame
    of a completion's coordinates is known.
    """

    def __init__(self, examples: ExampleReader, policy: VlmPolicy, grammar: Grammar = Grammar.FULL) -> None:
        self._examples, self._policy, self._grammar = examples, policy, grammar

    def __call__(self, batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        """Columns ``prompt``, ``image``, ``index``, ``image_id`` and ``source`` of the batch's ``index``."""
        rows = [self._examples.rows[index] for index in batch["index"]]
        pictures = [self._examples[index].picture for index in batch["index"]]
        stage = Stage.of(self._grammar)
        requests = [
            self._policy.request(picture.size, row.instruction, row.task, stage)
            for row, picture in zip(rows, pictures, strict=True)
        ]
        return {
            "prompt": [request.messages for request in requests],
            "image": [
                Image.fromarray(resize_to_frame(picture.pixels, request.frame))
                for picture, request in zip(pictures, requests, strict=True)
            ],
            "index": batch["index"],
            "image_id": [row.image_id for row in rows],
            "source": [row.source for row in rows],
        }


def training_dataset(order: Sequence[int], maker: Callable[[dict[str, list[int]]], dict[str, list[Any]]]) -> Dataset:
    """The rows in ``order``, made by ``maker`` from their "index" and position ("draw") when read."""
    dataset = Dataset.from_dict({"index": list(order), "draw": list(range(len(order)))})
    dataset.set_transform(maker)
    return dataset
