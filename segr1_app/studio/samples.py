"""Photographs for trying the app, found at run time among the sample media of installed packages.

None of them is part of this project; samples that are not installed on this machine are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SamplePictureSpec:
    """The location of a sample.

    Attributes:
        title: what the picture shows, in a word or two.
        package: the top-level package that ships it.
        path: the file's path within the package, with forward slashes.
    """

    title: str
    package: str
    path: str


@dataclass(frozen=True, slots=True)
class SamplePicture:
    """An existing photograph: its title and its file."""

    title: str
    path: Path


KNOWN_SAMPLES = (
    SamplePictureSpec("Cheetah", "gradio", "media_assets/images/cheetah1.jpg"),
    SamplePictureSpec("Flower", "sklearn", "datasets/images/flower.jpg"),
    SamplePictureSpec("Coffee", "skimage", "data/coffee.png"),
    SamplePictureSpec("Lion", "gradio", "media_assets/images/lion.jpg"),
    SamplePictureSpec("Running cheetah", "gradio", "media_assets/images/cheetah.jpg"),
    SamplePictureSpec("Tower", "gradio", "media_assets/images/tower.jpg"),
    SamplePictureSpec("Cat", "skimage", "data/chelsea.png"),
    SamplePictureSpec("Motorcycle", "skimage", "data/motorcycle_left.png"),
)


def find_samples(specs: Iterable[SamplePictureSpec] = KNOWN_SAMPLES) -> tuple[SamplePicture, ...]:
    """The samples that exist on this machine, in the order of ``specs``; imports none of their packages."""
    return tuple(
        SamplePicture(spec.title, file)
        for spec in specs
        for folder in _package_folders(spec.package)
        if (file := folder / spec.path).is_file()
    )


def _package_folders(package: str) -> list[Path]:
    spec = find_spec(package)
    return [Path(folder) for folder in spec.submodule_search_locations or ()] if spec else []
