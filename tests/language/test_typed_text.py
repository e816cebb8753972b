"""Names and instructions in one line of visible characters, wherever they come from."""

from __future__ import annotations

from dataclasses import replace
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segr1_app.domain import ImageSize, SegR1Error, SettingsError
from segr1_app.language.codec import MAX_INSTRUCTION, check_instruction
from segr1_app.language.prompt_json import read_prompt
from segr1_app.language.typed_text import MAX_NAME, RAW_FACTOR, one_line, person_name, storable
from segr1_app.people.accounts import People
from segr1_app.settings.roles import Role
from segr1_app.store import AnnotationStore, Correction, Task, Verdict
from segr1_app.store.exchange.accepting import accept_truths
from segr1_app.store.exchange.class_names import class_instruction, class_of
from tests.store.conftest import clock, store, task  # noqa: F401 - fixtures
from tests.store.values import PROMPT, corrected, picture, rectangle

HOSTILE = {
    "the  cat\n": "the cat",
    "the\x00cat": "the cat",
    "the\x1b[31mcat\x07": "the [31mcat",
    "the \u202etac\u202c cat": "the tac cat",
    "\ufeffthe\u200b ca\u00adt": "the cat",
    "the \ud800cat": "the ?cat",
    "the\u2028cat\x85": "the cat",
    "\U000e0041the cat": "the cat",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
}


@pytest.mark.parametrize(("typed", "kept"), HOSTILE.items())
def test_text_is_one_visible_line(typed: str, kept: str) -> None:
    assert one_line(typed) == kept
    assert check_instruction(typed) == kept
    assert person_name(typed) == kept


@given(st.text(st.characters(), max_size=50))
def test_one_line_is_its_own_normal_form(text: str) -> None:
    line = one_line(text)
    assert one_line(line) == line == storable(line)
    assert not any(ord(character) < 32 for character in line)


@pytest.mark.parametrize("nothing", ["", " ", "\x00", "\u200b\u202e", "x" * (MAX_NAME + 1), " " * 10**7 + "ann"])
def test_what_is_not_a_name_is_refused_everywhere(store: AnnotationStore, task: Task, nothing: str) -> None:  # noqa: F811
    assert person_name(nothing) is None
    with pytest.raises(SegR1Error, match="1 to 200 characters"):
        store.lease_next(nothing)
    with pytest.raises(SegR1Error, match="1 to 200 characters"):
        store.save(task.id, nothing, corrected(rectangle(1, 1, 5, 5)))


@pytest.mark.parametrize("name", ["al\x00ice", "al\u202eice", "ali\ud800ce", " alice", "alice\n"])
def test_accounts_take_no_name_that_looks_like_another(name: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SettingsError, match="all visible"):
        People(tmp_path / "people.json").put(name, Role.READER, "long enough a password")


@pytest.mark.parametrize("text", ["x" * (MAX_INSTRUCTION + 1), " " * (RAW_FACTOR * MAX_INSTRUCTION) + "the cat"])
def test_instructions_have_a_limit(text: str) -> None:
    with pytest.raises(SegR1Error, match="characters"):
        check_instruction(text)


@pytest.mark.parametrize(("typed", "kept"), HOSTILE.items())
def test_store_finds_what_was_typed_again(store: AnnotationStore, typed: str, kept: str) -> None:  # noqa: F811
    sha256 = store.add_picture(picture(), "photo.jpg")
    made = store.add_task(sha256, typed, rectangle(1, 1, 5, 5))
    assert made.instruction == kept
    assert store.add_task(sha256, kept).id == made.id
    assert store.ground_truth(sha256, typed) is not None
    revision = store.save(made.id, typed, corrected(rectangle(1, 1, 5, 5)))
    assert revision.annotator == kept
    assert store.heads(made.id).keys() == {kept}
    assert list(store.verify()) == []


@pytest.mark.parametrize(("typed", "kept"), HOSTILE.items())
def test_who_accepts_imported_masks_is_who_decided_before(store: AnnotationStore, typed: str, kept: str) -> None:  # noqa: F811
    made = store.add_task(store.add_picture(picture(), "photo.jpg"), "the cat", rectangle(1, 1, 5, 5))
    skip = store.save(made.id, kept, Correction(Verdict.SKIP))
    assert accept_truths(store, typed).done == 1
    (newest,) = store.heads(made.id).values()
    assert (newest.annotator, newest.parent_id) == (kept, skip.id)


@pytest.mark.parametrize(("typed", "kept"), HOSTILE.items())
def test_a_class_name_is_one_visible_line_and_so_is_what_asks_for_it(typed: str, kept: str) -> None:
    prompt = read_prompt({"box": [1, 1, 5, 5], "points": [], "name": typed}, ImageSize(8, 8))
    assert prompt.name == kept
    assert class_of(class_instruction(typed)) == kept


@settings(max_examples=15, deadline=None)
@given(st.text(st.characters(), max_size=20))
def test_whatever_a_client_types_can_be_stored_and_read_back(text: str) -> None:
    with TemporaryDirectory() as home, AnnotationStore.open(home) as opened:
        made = opened.add_task(opened.add_picture(picture(), text), f"the cat {text}")
        opened.put_draft(made.id, "Ann", text)
        named = replace(PROMPT, name=text)
        work = corrected(rectangle(1, 1, 5, 5), prompts=[named], comment=text)
        revision = opened.save(made.id, f"Ann {text}", work)
        opened.choose_current(made.id, revision.id, f"Rea {text}")
        assert opened.task(made.id).picture_name == storable(text)
        assert opened.revision(revision.id).correction.comment == storable(text)
        assert [each.name for each in opened.revision(revision.id).correction.prompts] == [storable(text)]
        assert list(opened.verify()) == []
