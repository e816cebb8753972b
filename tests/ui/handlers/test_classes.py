"""The list of classes through the page's endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from segr1_app.domain import StoreError
from segr1_app.store import AnnotationStore
from segr1_app.ui.handlers.classes import ClassHandlers


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnnotationStore]:
    with AnnotationStore.open(tmp_path / "home") as opened:
        yield opened


def test_the_list_is_edited_and_wrong_values_change_nothing(store: AnnotationStore) -> None:
    handlers = ClassHandlers(store)
    size = {"name": "size", "kind": "choice", "choices": ["small", "large"]}
    handlers.put_class({"name": " cat ", "colour": "#12AB9F", "key": 1, "attributes": [size]})
    (cat,) = handlers.put_class({"name": "hound"}, "cat")["classes"]
    assert cat == {
        "name": "hound",
        "number": 1,
        "colour": "#800000",
        "key": None,
        "parent": None,
        "description": "",
        "attributes": [],
    }
    for content in ({}, {"name": "hound"}, {"name": "x", "key": "1"}, {"name": "x", "colour": "url(//evil)"}):
        with pytest.raises(StoreError):
            handlers.put_class(content)
    with pytest.raises(StoreError, match="no class"):
        handlers.remove_class("cat")
    assert handlers.classes()["classes"] == [cat]
    assert handlers.remove_class("hound") == {"classes": []}
