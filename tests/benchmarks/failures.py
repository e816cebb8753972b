"""Draw the embedded pair's errors on the sample photographs: ``python -m tests.benchmarks.failures``.

The photographs of the report sets may not be published; those of the installed packages are the first that users see.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import cv2
import numpy as np
from PIL import Image

from segr1_app.images.pictures import load_picture
from segr1_app.language.codec import PRESETS
from segr1_app.models.pipeline import Pipeline, load_models
from segr1_app.settings.config import Settings
from segr1_app.studio.render import draw_overlay
from segr1_app.studio.samples import find_samples
from tests.benchmarks.quality import CARD_PAGE

SHOWN = ("lion.jpg", "cheetah.jpg", "chelsea.png", "motorcycle_left.png")
"""In the order in which the card speaks of them."""
HEIGHT = 260
FILE = CARD_PAGE.parent / "failures.jpg"


def main() -> None:
    pipeline = Pipeline(*load_models(Settings(device="cpu")))
    samples = {sample.path.name: sample.path for sample in find_samples()}
    drawn = []
    for name in SHOWN:
        picture = load_picture(samples[name])
        found = pipeline.run(picture, PRESETS[0].text)
        overlay = draw_overlay(picture.pixels, found.objects, found.masks)
        width = round(HEIGHT * picture.size.width / picture.size.height)
        drawn.append(cv2.resize(overlay, (width, HEIGHT), interpolation=cv2.INTER_AREA))
        print(f"{name}: {found.reasoning}")
    Image.fromarray(np.hstack(drawn)).save(FILE, quality=88)
    print(f"Drawn: {FILE}")


if __name__ == "__main__":
    main()
