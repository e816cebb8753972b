"""Photographs to try the app on, found at run time among the sample media of installed packages.

None of them is part of this project; what a package does not ship on this machine is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """Where a sample lies when it is there.

    Attributes:
        title: what the picture shows, in a word or two.
        package: the top-level package that ships it.
        path: the file within the package, with forward slashes.
    """

    title: str
    package: str
    path: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A photograph that is there: its title and its file."""

    title: str
    path: Path


KNOWN_SAMPLES = (
    SampleSpec("Cheetah", "gradio", "media_assets/images/cheetah1.jpg"),
    SampleSpec("Flower", "sklearn", "datasets/images/flower.jpg"),
    SampleSpec("Coffee", "skimage", "data/coffee.png"),
    SampleSpec("Lion", "gradio", "media_assets/images/lion.jpg"),
    SampleSpec("Running cheetah", "gradio", "media_assets/images/cheetah.jpg"),
    SampleSpec("Tower", "gradio", "media_assets/images/tower.jpg"),
    SampleSpec("Cat", "skimage", "data/chelsea.png"),
    SampleSpec("Motorcycle", "skimage", "data/motorcycle_left.png"),
)


def find_samples(specs: Iterable[SampleSpec] = KNOWN_SAMPLES) -> tuple[Sample, ...]:
    """The samples that exist on this machine, in the order of ``specs``; imports none of their packages."""
    return tuple(
        Sample(spec.title, file)
        for spec in specs
        for folder in _package_folders(spec.package)
        if (file := folder / spec.path).is_file()
    )


def _package_folders(package: str) -> list[Path]:
    spec = find_spec(package)
    return [Path(folder) for folder in spec.submodule_search_locations or ()] if spec else []
