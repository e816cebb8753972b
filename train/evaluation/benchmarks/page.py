"""Write an HTML page of the worst answers: ground truth, prediction, question and the policy's text, in one
self-contained file.

Text from a data set or a model is escaped.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from segr1_app.domain import Mask, ObjectMask, ObjectPrompt, RgbPixels
from segr1_app.files.outputs import translate_write_errors
from segr1_app.geometry import decode_rle
from segr1_app.images import Picture, load_picture
from segr1_app.prompt_json import read_prompt
from segr1_app.studio.render import draw_overlay
from train.evaluation.benchmarks.question import Question

SIDE = 480
"""Longest side of a shown picture in pixels."""

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td { padding: .1rem 1rem .1rem 0; }
article { border-top: 1px solid #8886; padding: 1rem 0; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; }
img { display: block; max-width: 100%; } figcaption { opacity: .75; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def write_page(
    path: Path, title: str, table: Mapping[str, float | None], worst: Sequence[tuple[Question, Mapping[str, Any]]]
) -> None:
    """Write the page.

    Args:
        path: the file.
        title: the page's title.
        table: numbers of the whole set, by name; None where undefined.
        worst: questions and the records of their answers, worst first.

    Raises:
        DatasetError, PictureError: when a picture or a target can no longer be read.
        SettingsError: when the page cannot be written.
    """
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{value:.4g}</td></tr>" for name, value in table.items() if value is not None
    )
    cases = "".join(_case(question, record) for question, record in worst)
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<table>{rows}</table><h2>The {len(worst)} worst answers</h2>{cases}</body></html>\n"
    )
    with translate_write_errors(path, "the answers are in the log next to it"):
        path.write_text(page, encoding="utf-8")


def _case(question: Question, record: Mapping[str, Any]) -> str:
    picture = load_picture(question.image)
    target = question.target(picture.size)
    objects = [read_prompt(found, picture.size) for found in record["objects"]]
    truth = _tint(picture, target.mask)
    prediction = draw_overlay(_tint(picture, decode_rle(record["mask"])), objects, ())
    scores = ", ".join(f"{name} {value:.4g}" for name, value in record["scores"].items())
    form = "" if record["well_formed"] in (True, None) else " The completion is malformed."
    completion = f"<pre>{escape(record['completion'])}</pre>" if record["completion"] else ""
    return (
        f"<article><h3>{escape(question.id)}</h3><p>{escape(record['instruction'])}</p>"
        f'<div class="pictures">{_figure("truth", truth)}{_figure("prediction", prediction)}</div>'
        f"<p>{escape(scores)}.{form}</p>{completion}</article>"
    )


def _tint(picture: Picture, mask: Mask) -> RgbPixels:
    return draw_overlay(picture.pixels, [ObjectPrompt()], [ObjectMask(mask, 1.0)])


def _figure(caption: str, pixels: RgbPixels) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" width="{image.width}" height="{image.height}" '
        f'alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )
