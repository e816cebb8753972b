"""Picture embeddings of the segmenter's encoder, and a folder that caches them across processes.

The folder stores half precision: 8 MiB per picture for sam2.1-large at 1024 px, 0.25 MiB for the embedded segmenter.
The loss was measured with the latter on the eight photographs of `segr1_app.studio.samples`, with three prompts each:
masks from rounded and from exact embeddings have an IoU of at least 0.9999. With a folder, the embeddings of all
pictures are rounded, including those not yet cached, because a mask must not depend on the contents of the cache.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from segr1_app.domain import ImageSize, SegR1Error
from segr1_app.files.atomic import whole_file
from segr1_app.images.pictures import Picture
from segr1_app.models.zoom import Window

FOLDER_BYTES = 32 * 2**30
"""Size limit on disk: about 4,000 pictures of sam2.1-large, as many as the training sets of COD10K and CAMO have."""
SUFFIX = ".embedding.safetensors"
"""Suffix of the cache's files; others in the folder are never deleted."""
CHECKSUM = "checksum"


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """The encoder's output for a picture, or a part of it.

    Attributes:
        image_embed: float (1, C, G, G); G is a sixteenth of a SAM 2's square input side in pixels, a fourteenth of a
            SAM 3's.
        high_res: the finer maps, float (1, C/8, 4G, 4G) and (1, C/4, 2G, 2G).
        image_size: the original picture's size, the frame of prompts and masks.
        window: the part of the picture that was encoded; None for all of it.
    """

    image_embed: torch.Tensor
    high_res: tuple[torch.Tensor, ...]
    image_size: ImageSize
    window: Window | None = None

    @property
    def nbytes(self) -> int:
        return self.image_embed.nbytes + sum(level.nbytes for level in self.high_res)

    def on_cpu(self) -> Embedding:
        """A copy in float32 for a segmenter on a CPU."""
        image_embed, *high_res = (level.to("cpu", torch.float32) for level in (self.image_embed, *self.high_res))
        return Embedding(image_embed, tuple(high_res), self.image_size, self.window)


class EmbeddingFolder:
    """Embeddings on disk, one file per picture and segmenter; the least recently used are deleted first.

    Any number of processes may share a folder. A file appears only once it is complete; a damaged one counts as
    missing.

    Args:
        path: the folder; created when there is something to store.
        most_bytes: limit on the total size. Each additional process may exceed it by a sixteenth.
    """

    def __init__(self, path: Path, *, most_bytes: int = FOLDER_BYTES) -> None:
        self._path, self._most = path, most_bytes
        # Bytes that may be written before the folder must be scanned again, which is slow with many files.
        self._room = 0

    def read(
        self, segmenter: str, picture: Picture, device: torch.device, window: Window | None = None
    ) -> Embedding | None:
        """A picture's embedding in float32 on a device; None when it is missing or damaged.

        Args:
            segmenter: identifies the segmenter.
            picture: the encoded picture.
            device: the device for the embedding.
            window: the part of the picture that was encoded; None for all of it.

        Raises:
            SegR1Error: when the folder cannot be read.
        """
        path = self._file(segmenter, picture, window)
        try:
            with safe_open(path, "pt") as file:
                maps = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
                checksum = (file.metadata() or {}).get(CHECKSUM)
            if checksum != _checksum(maps):
                return None
            os.utime(path)
        except (FileNotFoundError, SafetensorError):
            return None
        except OSError as error:
            raise self._unusable(error) from error
        return _restored(maps, picture.size, device, window)

    def keep(self, segmenter: str, picture: Picture, embedding: Embedding) -> Embedding:
        """Store the embedding of a picture, or of a part of it; returns it as `read` would.

        Args:
            segmenter, picture: as for `read`.
            embedding: fresh from the encoder.

        Raises:
            SegR1Error: when the folder cannot be written to.
        """
        maps = _halved(embedding)
        content = save(maps, {CHECKSUM: _checksum(maps)})
        if len(content) <= self._most:
            try:
                self._write(self._file(segmenter, picture, embedding.window), content)
            except OSError as error:
                raise self._unusable(error) from error
        return _restored(maps, picture.size, embedding.image_embed.device, embedding.window)

    def _file(self, segmenter: str, picture: Picture, window: Window | None) -> Path:
        part = "".join(f"-{value}" for value in window or ())
        return self._path / segmenter / f"{picture.sha256}{part}{SUFFIX}"

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if len(content) > self._room:
            self._room = self._make_room(len(content))
        self._room -= len(content)
        # Another process may be writing the same file.
        with whole_file(path, lasting=False) as file:
            file.write(content)

    def _make_room(self, size: int) -> int:
        """Delete the least recently used files until there is room for ``size`` more bytes.

        Returns:
            How many bytes may be written after that.
        """
        wanted = max(size, self._most // 16)
        files = []
        # Other processes delete files too; incomplete files of killed processes count and are deleted like the rest.
        for path in self._path.glob(f"*/*{SUFFIX}*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        taken = sum(length for _, length, _ in files)
        for _, length, path in sorted(files):
            if taken + wanted <= self._most:
                break
            path.unlink(missing_ok=True)
            taken -= length
        return wanted

    def _unusable(self, error: Exception) -> SegR1Error:
        return SegR1Error(
            f"The folder of embeddings '{self._path}' cannot be used ({error}): free some space there, name another "
            f"one, or go without --embedding-cache."
        )


def _halved(embedding: Embedding) -> dict[str, torch.Tensor]:
    """The maps of an embedding by name, float16 on the CPU."""
    maps = {"image_embed": embedding.image_embed}
    maps |= {f"high_res.{level}": values for level, values in enumerate(embedding.high_res)}
    return {name: values.to("cpu", torch.float16).contiguous() for name, values in maps.items()}


def _restored(
    maps: Mapping[str, torch.Tensor], size: ImageSize, device: torch.device, window: Window | None
) -> Embedding:
    """The inverse of `_halved`, except for rounding to half precision."""
    whole = {name: values.to(device, torch.float32) for name, values in maps.items()}
    image_embed = whole.pop("image_embed")
    return Embedding(image_embed, tuple(values for _, values in sorted(whole.items())), size, window)


def _checksum(maps: Mapping[str, torch.Tensor]) -> str:
    """Detects damage, not manipulation: CRC-32 of names, shapes and values."""
    value = 0
    for name, values in sorted(maps.items()):
        value = zlib.crc32(f"{name}{tuple(values.shape)}".encode(), value)
        value = zlib.crc32(values.numpy().data, value)
    return f"{value:08x}"
