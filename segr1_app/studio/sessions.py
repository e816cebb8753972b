"""The pictures currently open on canvases."""

from __future__ import annotations

import secrets
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

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
    def arrays(self) -> dict[int, npt.NDArray[Any]]:
        """Its picture and its masks, by their ids; each mask takes a third of the picture."""
        held: list[npt.NDArray[Any]] = [self.picture.pixels, *(each.mask for each in self.candidates)]
        if self.truth is not None:
            held.append(self.truth)
        if self.prediction is not None:
            held += [self.prediction.mask, *(found.mask for found in self.prediction.masks)]
        return {id(each): each for each in held}

    @property
    def nbytes(self) -> int:
        """Size in bytes of its picture and its masks."""
        return sum(each.nbytes for each in self.arrays.values())


class CanvasSessions:
    """Assigns a key to the contents of a canvas, so that an edit needs to send neither the picture nor the prediction.

    A key cannot be guessed, so nobody can read from another person's canvas.

    Args:
        memory: limit on the pictures and masks held, in bytes; beyond that, the least recently used sessions are
            dropped. What several sessions share counts once. A session that is larger than the limit is held alone.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory, self._bytes = memory, 0
        self._held: OrderedDict[str, CanvasSession] = OrderedDict()
        self._holders: Counter[int] = Counter()
        self._lock = threading.Lock()

    def begin(self, session: CanvasSession) -> str:
        """Hold a session; returns its key."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._held[key] = session
            for name, array in session.arrays.items():
                self._bytes += 0 if self._holders[name] else array.nbytes
                self._holders[name] += 1
            while len(self._held) > 1 and self._bytes > self._memory:
                self._drop_oldest()
        return key

    def _drop_oldest(self) -> None:
        _, session = self._held.popitem(last=False)
        for name, array in session.arrays.items():
            self._holders[name] -= 1
            if not self._holders[name]:
                del self._holders[name]
                self._bytes -= array.nbytes

    def get(self, key: object) -> CanvasSession:
        """The session with a key.

        Raises:
            PictureError: when it is unknown or has expired.
        """
        with self._lock:
            session = self._held.get(key) if isinstance(key, str) else None
            if session is not None:
                self._held.move_to_end(str(key))
        if session is None:
            raise PictureError("This session has expired: choose the picture again. What you drew is still shown here.")
        return session
