"""The segmenter: a frozen SAM 2 or SAM 3 tracker that turns mask prompts into masks.

Encoding a picture and decoding prompts are separate, so that any number of objects, completions and corrections
decode from one embedding. Pictures are RGB, masks are bool, and a mask is a pure function of picture and
prompt: no state is carried over between calls.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from cachetools import LRUCache

from segr1_app.domain import ImageSize, Mask, ModelError, ObjectMask, ObjectPrompt
from segr1_app.geometry import clean_mask
from segr1_app.images.pictures import Picture
from segr1_app.models.embeddings import Embedding, EmbeddingFolder
from segr1_app.models.loading import resolve_device
from segr1_app.models.predictor import Logits, Predictor, encoder_identity
from segr1_app.models.segmenter_files import load_segmenter_files
from segr1_app.models.zoom import (
    Window,
    mask_from_window,
    mask_in_window,
    pixels_in_window,
    prompt_in_window,
    prompt_window,
)

START_LOGIT = 10.0
"""Logit that represents a mask to be refined; about as confident as SAM 2's own masks."""
CACHE_BYTES = 256 * 2**20
"""Memory limit in bytes for embeddings of recent pictures; about 16 pictures with sam2.1-large."""
CACHE_WINDOWS = 64
"""Most embeddings in memory: of a small model, more would fit than are asked for again."""

TOGETHER = 8
"""Windows of a picture that are encoded in one pass, which keeps threads and GPUs busier."""


class Segmenter(Protocol):
    """What the pipeline needs from a segmenter."""

    @property
    def model_id(self) -> str: ...

    def encode(self, picture: Picture) -> Embedding:
        """The picture's embedding, from the cache if it was encoded recently."""
        ...

    def segment(
        self,
        picture: Picture,
        objects: Sequence[ObjectPrompt],
        *,
        mask_inputs: Sequence[Mask | None] = (),
        size: ImageSize | None = None,
        embedding: Embedding | None = None,
        best_of_three: bool = False,
    ) -> tuple[ObjectMask, ...]:
        """One mask per prompt, in order, at this segmenter's best quality; see `Sam2Segmenter.segment`."""
        ...

    def prepare(self, picture: Picture, objects: Sequence[ObjectPrompt]) -> None:
        """Encode in one batch what `segment` will need; see `Sam2Segmenter.prepare`."""
        ...

    def decode(
        self,
        embedding: Embedding,
        objects: Sequence[ObjectPrompt],
        *,
        mask_inputs: Sequence[Mask | None] = (),
        size: ImageSize | None = None,
        best_of_three: bool = False,
    ) -> tuple[ObjectMask, ...]:
        """One mask per prompt, in order, all from one embedding; see `Sam2Segmenter.decode`."""
        ...


class Sam2Segmenter:
    """SAM 2, or SAM 3's tracker, which has SAM 2's prompts and mask decoder, with an embedding cache.

    Args:
        predictor: the model.
        model_id: the name shown to the user.
        zoom: as for `prompt_window`, for a model of low input resolution; None for one that does not need it.
        clean: the fraction of a mask's area below which specks and holes are removed, as by `clean_mask`.
        cache_bytes: memory limit for cached embeddings.
        embeddings: caches them on disk, in half precision, if given.
    """

    def __init__(
        self,
        predictor: Predictor,
        model_id: str,
        *,
        zoom: float | None = None,
        clean: float = 0.0,
        cache_bytes: int = CACHE_BYTES,
        embeddings: EmbeddingFolder | None = None,
    ) -> None:
        self._predictor = predictor
        self._model_id, self._zoom, self._clean = model_id, zoom, clean
        self._cache: LRUCache[tuple[str, Window | None], Embedding] = LRUCache(
            cache_bytes, getsizeof=lambda embedding: embedding.nbytes
        )
        self._folder = embeddings
        # A predictor has one caller at a time.
        self._lock = threading.Lock()
        # On a GPU, encoding has its own stream, so that it runs in parallel with the policy. Created on demand: on
        # ZeroGPU there is no GPU earlier.
        self._stream: torch.cuda.Stream | None = None

    @classmethod
    def load(
        cls, source: str | Path, *, device: str = "auto", embeddings: EmbeddingFolder | None = None
    ) -> Sam2Segmenter:
        """Load a folder or a hub id, ``facebook/sam2*`` or ``facebook/sam3``, which is downloaded if missing.

        A folder contains ``config.yaml`` and ``model.safetensors``, a ``.pt`` file of SAM 2 under its original name,
        or a SAM 3 as transformers saves it.

        Args:
            source: the folder or the id.
            device: as for `resolve_device`.
            embeddings: caches them on disk, in half precision, if given.

        Raises:
            ModelError: when there is no such model, or its files are damaged or cannot be downloaded.
        """
        target = resolve_device(device)
        try:
            found = load_segmenter_files(source, target)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"{source} does not fit into the memory of {target}: use a smaller --segmenter."
            ) from error
        return cls(found.predictor, found.name, zoom=found.zoom, clean=found.clean, embeddings=embeddings)

    @property
    def model_id(self) -> str:
        return self._model_id

    @property
    def model(self) -> torch.nn.Module:
        """The model itself, for measuring and for training its decoder."""
        return self._predictor.model

    @property
    def predictor(self) -> Predictor:
        """What encodes and decodes, without caches."""
        return self._predictor

    @property
    def input_side(self) -> int:
        """Side in pixels of the square to which pictures are resized."""
        return self._predictor.input_side

    @property
    def zoom(self) -> float | None:
        """The zoom factor towards a prompt; None without zoom."""
        return self._zoom

    @property
    def clean(self) -> float:
        """The fraction of a mask's area below which specks and holes are removed."""
        return self._clean

    @property
    def mask_threshold(self) -> float:
        """The logit above which a pixel is foreground."""
        return self._predictor.mask_threshold

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def segment(
        self,
        picture: Picture,
        objects: Sequence[ObjectPrompt],
        *,
        mask_inputs: Sequence[Mask | None] = (),
        size: ImageSize | None = None,
        embedding: Embedding | None = None,
        best_of_three: bool = False,
    ) -> tuple[ObjectMask, ...]:
        """One mask per prompt, in order, each from a zoomed view of the prompt's surroundings if this model zooms.

        Args:
            picture: the picture to segment.
            objects, mask_inputs, size, best_of_three: as for `decode`.
            embedding: the picture's, for callers that have it: it may have left the cache.

        Raises:
            ModelError, SegR1Error: as `encode`.
            ValueError: as `decode`.
        """
        _check_mask_inputs(mask_inputs, objects)
        masks: list[ObjectMask] = []
        for prompt, start in zip(objects, mask_inputs or [None] * len(objects), strict=True):
            window = self.window(prompt, picture.size, start)
            seen = self._encoded(picture, window) if window else embedding or self.encode(picture)
            masks += self.decode(seen, [prompt], mask_inputs=[start], size=size, best_of_three=best_of_three)
        return tuple(masks)

    def prepare(self, picture: Picture, objects: Sequence[ObjectPrompt]) -> None:
        """Encode the windows that `segment` will need for these prompts, each once and several per pass.

        Only the cache changes. This saves time for callers with many prompts for one picture, such as the reward in
        training.

        Args:
            picture: the picture to be segmented.
            objects: in the picture's pixels; those of all answers together.

        Raises:
            ModelError: when the device runs out of memory.
        """
        windows = {window for prompt in objects if (window := self.window(prompt, picture.size))}
        with self._lock:
            missing = sorted(window for window in windows if (picture.sha256, window) not in self._cache)
            for first in range(0, len(missing), TOGETHER):
                for embedding in self._encode(picture, missing[first : first + TOGETHER]):
                    self._keep(picture, embedding)

    def window(self, prompt: ObjectPrompt, image_wh: ImageSize, start: Mask | None = None) -> Window | None:
        """The part of a picture of this size from which `segment` makes a prompt's mask; None for all of it."""
        return prompt_window(prompt, start, image_wh, self._zoom) if self._zoom else None

    def encode(self, picture: Picture) -> Embedding:
        """The picture's embedding, from the cache if it was encoded recently, or from the folder if there is one.

        Raises:
            ModelError: when the device runs out of memory.
            SegR1Error: when the folder of embeddings cannot be used.
        """
        return self._encoded(picture, None)

    def encode_window(self, picture: Picture, window: Window | None, folder: EmbeddingFolder) -> Embedding:
        """The embedding of a part of a picture, kept in ``folder`` instead of in memory; for training the decoder.

        Args:
            picture: what is looked at.
            window: the part, as for `prompt_window`; None for all of it.
            folder: keeps embeddings in half precision.

        Raises:
            ModelError, SegR1Error: as `encode`.
        """
        with self._lock:
            return self._from_folder(picture, window, folder)

    def _encoded(self, picture: Picture, window: Window | None) -> Embedding:
        with self._lock:
            embedding = self._cache.get((picture.sha256, window))
            if embedding is None:
                # The folder stores only whole pictures, which training needs again and again.
                folder = None if window else self._folder
                embedding = self._from_folder(picture, None, folder) if folder else self._encode(picture, [window])[0]
                self._keep(picture, embedding)
            return embedding

    def remember(self, picture: Picture, embedding: Embedding) -> None:
        """Put a picture's embedding, made by the same model elsewhere, into the cache; it must be on this
        segmenter's device.
        """
        with self._lock:
            self._keep(picture, embedding)

    def _keep(self, picture: Picture, embedding: Embedding) -> None:
        if embedding.nbytes <= self._cache.maxsize:
            while len(self._cache) >= CACHE_WINDOWS:
                self._cache.popitem()
            self._cache[picture.sha256, embedding.window] = embedding

    def _from_folder(self, picture: Picture, window: Window | None, folder: EmbeddingFolder) -> Embedding:
        kept = folder.read(self._identity, picture, self.device, window)
        return kept or folder.keep(self._identity, picture, self._encode(picture, [window])[0])

    @cached_property
    def _identity(self) -> str:
        return encoder_identity(self._predictor)

    def _encode(self, picture: Picture, windows: Sequence[Window | None]) -> list[Embedding]:
        """One embedding per window, all from one pass through the encoder."""
        # Copied, because torch warns about read-only arrays.
        crops = [pixels_in_window(picture.pixels, window).copy() for window in windows]
        with _inference(self.device), self._own_stream():
            maps = self._predictor.encode(crops)
        if len(windows) == 1:
            return [Embedding(maps[0], maps[1:], picture.size, windows[0])]
        embeddings = []
        for index, window in enumerate(windows):
            # Copied, so that the cache can free one window without the others of its pass.
            image_embed, *high_res = (values[index : index + 1].clone() for values in maps)
            embeddings.append(Embedding(image_embed, tuple(high_res), picture.size, window))
        return embeddings

    def decode(
        self,
        embedding: Embedding,
        objects: Sequence[ObjectPrompt],
        *,
        mask_inputs: Sequence[Mask | None] = (),
        size: ImageSize | None = None,
        best_of_three: bool = False,
    ) -> tuple[ObjectMask, ...]:
        """One mask per prompt, in order; none extends outside the embedding's window.

        An object without box, points and mask input has nothing to segment: its mask is empty and its confidence 0.

        Args:
            embedding: the embedding of the picture, or of a part of it.
            objects: the prompts, in the frame ``embedding.image_size``.
            mask_inputs: for each prompt the mask to refine (SAM's mask input): bool (height, width) of the whole
                picture at any size, or None. Empty for none at all.
            size: width and height of the masks; by default those of the picture. Smaller ones are faster to compute.
            best_of_three: whether to use the most confident of SAM's three masks instead of its single one.

        Raises:
            ModelError: when the device runs out of memory.
            ValueError: when there are mask inputs, but not one per object.
        """
        _check_mask_inputs(mask_inputs, objects)
        whole, frame = embedding.image_size, size or embedding.image_size
        window = embedding.window or Window(0, 0, *whole)
        # The window in pixels of the masks.
        part = window.rescaled(from_wh=whole, to_wh=frame)
        prompts = [prompt_in_window(prompt, window, part.size) for prompt in objects]
        seen = [start if start is None else mask_in_window(start, window, whole) for start in mask_inputs]
        with self._lock, _inference(self.device):
            found = [
                self._decode_one(embedding, prompt, start, part.size, best_of_three=best_of_three)
                for prompt, start in zip(prompts, seen or [None] * len(prompts), strict=True)
            ]
        return tuple(found) if part.size == frame else tuple(mask_from_window(each, part, frame) for each in found)

    @contextmanager
    def _own_stream(self) -> Iterator[None]:
        """The CUDA stream of encoding; results can be used on any other stream afterwards."""
        if self.device.type != "cuda":
            yield
            return
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            yield
        self._stream.synchronize()

    def _decode_one(
        self, embedding: Embedding, prompt: ObjectPrompt, start: Mask | None, frame: ImageSize, *, best_of_three: bool
    ) -> ObjectMask:
        if prompt.box is None and not prompt.points and start is None:
            return ObjectMask(np.zeros((frame.height, frame.width), dtype=bool), 0.0)
        mask_input = None if start is None else self._mask_input(start)
        logits, confidences = self._predictor.predict(embedding, prompt, mask_input, frame, best_of_three=best_of_three)
        best = int(confidences.argmax())
        mask = logits[best] > self._predictor.mask_threshold
        cleaned = clean_mask(mask, self._clean, prompt.points) if self._clean else mask
        return ObjectMask(cleaned, float(confidences[best]))

    def _mask_input(self, start: Mask) -> Logits:
        """Convert a mask to logits, float32 (1, side, side), as an earlier output of the model would have been."""
        side = self._predictor.mask_input_side
        # Averaged by area, so that thin parts of a large mask survive in a coarse one.
        covered = cv2.resize(start.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
        return ((2 * covered - 1) * START_LOGIT)[np.newaxis]


def _check_mask_inputs(mask_inputs: Sequence[Mask | None], objects: Sequence[ObjectPrompt]) -> None:
    if mask_inputs and len(mask_inputs) != len(objects):
        raise ValueError(f"{len(mask_inputs)} mask inputs were given for {len(objects)} objects")


@contextmanager
def _inference(device: torch.device) -> Iterator[None]:
    """Inference mode, with bfloat16 on a GPU, as SAM is meant to run, and with memory errors turned into messages."""
    try:
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            yield
    except torch.OutOfMemoryError as error:
        raise ModelError("The segmenter ran out of GPU memory: use a smaller --segmenter or --device cpu.") from error
