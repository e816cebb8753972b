"""Write an HTML page of the worst answers, or of those by which two policies differ most: ground truth, predictions,
question and the policies' texts, in one self-contained file.

Text from a data set or a model is escaped.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from segr1_app.domain import Mask, ObjectMask, ObjectPrompt, RgbPixels
from segr1_app.files.outputs import translate_write_errors
from segr1_app.geometry import decode_rle
from segr1_app.images.pictures import Picture, load_picture
from segr1_app.language.prompt_json import read_prompt
from segr1_app.studio.render import draw_overlay
from train.evaluation.benchmarks.question import AnswerRecord, Question

SIDE = 480
"""Longest side of a shown picture in pixels."""

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td { padding: .1rem 1rem .1rem 0; }
article { border-top: 1px solid #8886; padding: 1rem 0; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; }
figure { margin: 0; } img { display: block; max-width: 100%; height: auto; } figcaption { opacity: .75; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def write_page(
    path: Path, title: str, table: Mapping[str, float | None], worst: Sequence[tuple[Question, AnswerRecord]]
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
    cases = [_case(question, {"prediction": record}) for question, record in worst]
    rows = [[name, f"{value:.4g}"] for name, value in table.items() if value is not None]
    _write(path, title, rows, {f"The {len(worst)} worst answers": cases})


def write_comparison(
    path: Path,
    title: str,
    rows: Sequence[Sequence[str]],
    sections: Mapping[str, Sequence[tuple[Question, Mapping[str, AnswerRecord]]]],
) -> None:
    """Write a page of questions, each with the answers of several policies.

    Args:
        path: the file.
        title: the page's title.
        rows: a table of the whole set.
        sections: by title, questions with the records of their answers by the policy's name.

    Raises:
        DatasetError, PictureError, SettingsError: as `write_page`.
    """
    cases = {name: [_case(question, answers) for question, answers in section] for name, section in sections.items()}
    _write(path, title, rows, cases)


def _write(path: Path, title: str, rows: Sequence[Sequence[str]], sections: Mapping[str, Sequence[str]]) -> None:
    table = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    body = "".join(f"<h2>{escape(name)}</h2>{''.join(cases) or '<p>None.</p>'}" for name, cases in sections.items())
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<table>{table}</table>{body}</body></html>\n"
    )
    with translate_write_errors(path, "the answers are in the log next to it"):
        path.write_text(page, encoding="utf-8")


def _case(question: Question, answers: Mapping[str, AnswerRecord]) -> str:
    """A question with its answers, by their captions."""
    picture = load_picture(question.image)
    truth = _figure("truth", _tint(picture, question.target(picture.size).mask))
    figures = "".join(_figure(caption, _prediction(picture, record)) for caption, record in answers.items())
    texts = "".join(_describe(caption if len(answers) > 1 else "", record) for caption, record in answers.items())
    instruction = escape(next(iter(answers.values()))["instruction"])
    return (
        f"<article><h3>{escape(question.id)}</h3><p>{instruction}</p>"
        f'<div class="pictures">{truth}{figures}</div>{texts}</article>'
    )


def _prediction(picture: Picture, record: AnswerRecord) -> RgbPixels:
    objects = [read_prompt(found, picture.size) for found in record["objects"]]
    return draw_overlay(_tint(picture, decode_rle(record["mask"])), objects, ())


def _describe(name: str, record: AnswerRecord) -> str:
    """Scores and text of an answer, after a name if there is one."""
    scores = ", ".join(f"{score} {value:.4g}" for score, value in record["scores"].items())
    form = "" if record["well_formed"] in (True, None) else " The completion is malformed."
    completion = f"<pre>{escape(record['completion'])}</pre>" if record["completion"] else ""
    return f"<p>{escape(f'{name}: ' if name else '')}{escape(scores)}.{form}</p>{completion}"


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
        f'alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'
    )
