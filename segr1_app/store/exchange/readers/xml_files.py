"""XML of other tools, read without entities and other active features of XML."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from segr1_app.domain import DatasetError
from segr1_app.store.exchange.files import Entry
from segr1_app.store.exchange.readers.sources import read_text


def load_xml(entry: Entry) -> Element:
    """The outermost element of a file.

    Raises:
        DatasetError: when it is not valid XML, or declares entities.
    """
    try:
        root: Element = fromstring(entry.read())
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise DatasetError(f"it is not valid XML that can be read ({str(error)[:200]}).") from error
    return root


def text_of(element: Element, path: str) -> str:
    """The text of an element below, without spaces around it; empty where there is none."""
    return (element.findtext(path) or "").strip()


def root_name(entry: Entry) -> str:
    """The name of the outermost element, from how a file begins; empty when it does not begin like XML."""
    try:
        text = read_text(entry, 4096)
    except DatasetError:
        # XML says its encoding itself; names of elements are ASCII.
        text = entry.begin(4096).decode("latin-1")
    for piece in _tags(text):
        return piece
    return ""


def _tags(text: str) -> Iterator[str]:
    for piece in text.split("<")[1:]:
        if piece[:1].isalpha() or piece[:1] == "_":
            yield piece.split(">")[0].split()[0].rstrip("/")
