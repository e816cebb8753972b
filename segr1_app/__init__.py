"""Seg-R1: a policy turns a picture and an instruction into mask prompts, written as text; a segmenter turns them into a
mask.

The names in ``__all__`` are the public Python API; ``docs/api.md`` shows each with an example. They are imported on
first use, so that ``import segr1_app`` itself loads neither torch nor any model library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from segr1_app.images.masks import load_mask
    from segr1_app.images.pictures import Picture, load_picture
    from segr1_app.language.codec import format_completion, parse_completion
    from segr1_app.metrics import iou, s_measure
    from segr1_app.models.pipeline import Pipeline, load_pipeline
    from segr1_app.rewards import score
    from segr1_app.store import AnnotationStore

__version__ = "0.2.0"

__all__ = [
    "AnnotationStore",
    "Picture",
    "Pipeline",
    "format_completion",
    "iou",
    "load_mask",
    "load_picture",
    "load_pipeline",
    "parse_completion",
    "s_measure",
    "score",
]

_MODULES: Final = {
    "AnnotationStore": "store",
    "Picture": "images.pictures",
    "Pipeline": "models.pipeline",
    "format_completion": "language.codec",
    "iou": "metrics",
    "load_mask": "images.masks",
    "load_picture": "images.pictures",
    "load_pipeline": "models.pipeline",
    "parse_completion": "language.codec",
    "s_measure": "metrics",
    "score": "rewards",
}
"""Where each public name is defined, relative to this package."""


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
