"""The pictures currently open on canvases."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import LRUCache

from segr1_app.domain import Mask, PictureError, Prediction
from segr1_app.images.pictures import Picture

if TYPE_CHECKING:
    from segr1_app.models.effort import Candidate

MEMORY = 384 * 2**20
"""Size in bytes of what is kept for the canvases; some six of a dozen megapixels, with a prediction of one object."""


@dataclass(frozen=True, slots=True, eq=False)
class CanvasSession:
    """A picture on somebody's canvas.

    Attributes:
        picture: the picture.
        prediction: the policy's prediction, if it was run.
        truth: the ground-truth mask, bool (height, width) of the picture, if there is one.
        candidates: the answers that can be picked instead of the prediction, if several were compared.
    """

    picture: Picture
    prediction: Prediction | None = None
    truth: Mask | None = None
    candidates: tuple[Candidate, ...] = ()

    @property
    def nbytes(self) -> int:
        """Size in bytes of its picture and its masks, each of which takes a third of the picture."""
        masks = [] if self.truth is None else [self.truth]
        if self.prediction is not None:
            masks += [self.prediction.mask, *(found.mask for found in self.prediction.masks)]
        return self.picture.pixels.nbytes + sum(mask.nbytes for mask in masks)


class CanvasSessions:
    """Assigns a key to the contents of a canvas, so that an edit needs to send neither the picture nor the prediction.

    A key cannot be guessed, so nobody can read from another person's canvas.

    Args:
        memory: limit on the pictures and masks held, in bytes; beyond that, the least recently used sessions are
            dropped.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        # One that is larger than the limit is held alone.
        self._held: LRUCache[str, CanvasSession] = LRUCache(
            memory, getsizeof=lambda session: min(session.nbytes, memory)
        )
        self._lock = threading.Lock()

    def begin(self, session: CanvasSession) -> str:
        """Hold a session; returns its key."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._held[key] = session
        return key

    def get(self, key: object) -> CanvasSession:
        """The session with a key.

        Raises:
            PictureError: when it is unknown or has expired.
        """
        with self._lock:
            session = self._held.get(key) if isinstance(key, str) else None
        if session is None:
            raise PictureError("This session has expired: choose the picture again. What you drew is still shown here.")
        return session
