"""A digest that identifies a model's weights independently of its folder's name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from segr1_app.domain import ModelError

WEIGHT_SUFFIXES = frozenset({".safetensors", ".bin", ".pt"})


def checkpoint_hash(source: str | Path) -> str:
    """SHA-256, in hex, of a model folder's weight files; for a hub id, whose files are not looked up, of the id.

    Raises:
        ModelError: when a file cannot be read.
    """
    folder = Path(source)
    if not folder.is_dir():
        return hashlib.sha256(str(source).encode()).hexdigest()
    digest = hashlib.sha256()
    try:
        for file in sorted(folder.iterdir()):
            if file.suffix in WEIGHT_SUFFIXES and file.is_file():
                digest.update(f"{file.name}:{file.stat().st_size}:".encode())
                with file.open("rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
    except OSError as error:
        raise ModelError(f"The weights in '{folder}' cannot be read: {error.strerror}.") from error
    return digest.hexdigest()
