"""Find every instance of something in a picture: SAM 3's concept model, asked with a word or an example box."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from segr1_app.domain import Box, Mask, ModelError
from segr1_app.images.pictures import Picture
from segr1_app.models.hub import SAM3, segmenter_on_hub

MOST_FOUND: Final = 100
"""Most instances that are proposed, the likeliest first."""


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """One instance of what was looked for.

    Attributes:
        box: around it, in pixels of the picture.
        mask: a coarse one of the whole picture, bool, at the concept model's own resolution: something to refine.
        score: how sure the model is, in [0, 1].
    """

    box: Box
    mask: Mask
    score: float


class ConceptModel(Protocol):
    """What finds instances; see `Sam3Concepts`."""

    def find(self, picture: Picture, words: str, example: Box | None) -> list[Instance]: ...


class ConceptHost:
    """Loads the concept model when it is first used, and runs one request at a time.

    Args:
        source: a folder or a hub id; None if there is none.
        device: as for `resolve_device`.
    """

    def __init__(self, source: str | None, device: str) -> None:
        self._source, self._device = source, device
        self._model: ConceptModel | None = None
        self._turn = threading.Lock()

    @property
    def offered(self) -> bool:
        """Whether there is one."""
        return self._source is not None

    def find(self, picture: Picture, words: str = "", example: Box | None = None) -> list[Instance]:
        """Every instance in a picture, the likeliest first; at most `MOST_FOUND`.

        Args:
            picture: where to look.
            words: what to look for, in a few words; empty to look for what the example shows.
            example: a box around one instance; None to go by the words alone.

        Raises:
            ModelError: when there is no concept model, it cannot be loaded, or it was asked for nothing.
        """
        if self._source is None:
            raise ModelError("Find all needs a concept model: start the app with --concepts facebook/sam3.")
        if not words.strip() and example is None:
            raise ModelError("Say what to find, in a word, or select an object with a box as an example.")
        with self._turn:
            self._model = self._model or _load(self._source, self._device)
            return self._model.find(picture, words.strip(), example)


def check_concepts_source(source: str) -> None:
    """Check that a concept model can be looked for: a folder, or the hub id of SAM 3. Nothing is read.

    Raises:
        ModelError: when it cannot.
    """
    if source != SAM3 and not Path(source).is_dir():
        raise ModelError(f"There is no folder '{source}': give --concepts an existing folder of a SAM 3, or {SAM3}.")


def _load(source: str, device: str) -> ConceptModel:
    # Imported here, so that nothing of SAM 3 is loaded unless it is asked for.
    from segr1_app.models.loading import resolve_device  # noqa: PLC0415
    from segr1_app.models.sam3_concepts import Sam3Concepts  # noqa: PLC0415

    check_concepts_source(source)
    folder = Path(source) if Path(source).is_dir() else segmenter_on_hub(source).fetch()
    return Sam3Concepts.load(folder, resolve_device(device))
