"""JSON files of any size are read member by member, whatever the size of the chunks."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest

from segr1_app.files.foreign_json import ForeignJsonError
from segr1_app.store.exchange.files import FolderFiles
from segr1_app.store.exchange.readers import json_stream
from segr1_app.store.exchange.readers.json_stream import Member, members

CONTENT = {
    "info": {"year": 2026, "text": 'é 松鼠 "quoted" \\ [1, 2] 😀', "none": None},
    "empty": [],
    "images": [{"id": 1, "file_name": "écureuil 松鼠.jpg"}, {"id": -2.5e-3}, {}],
    "numbers": [1, 12345678901234567890, -0.5, 1e5, 1.25e-7, True, None, "a\\u0041\n"],
    "annotations": [{"segmentation": [[0.5, 1.5, 2.25]], "area": float("inf")}, [[], [1]], {"area": float("-inf")}],
}


def read(folder: Path, content: str | bytes) -> list[Member]:
    (folder / "a.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(members(FolderFiles(folder), PurePosixPath("a.json")))


@pytest.mark.parametrize("indent", [None, 3])
@pytest.mark.parametrize("escaped", [True, False])
def test_every_way_to_cut_a_file_gives_its_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None, *, escaped: bool
) -> None:
    text = json.dumps(CONTENT, indent=indent, ensure_ascii=escaped)
    wanted = [(key, value) for key, values in CONTENT.items() if isinstance(values, list) for value in values]
    for piece in range(1, 40):
        monkeypatch.setattr(json_stream, "_PIECE", piece)
        found = read(tmp_path, text)
        assert [(member.key, member.value) for member in found] == wanted
        assert [json.loads(member.text) for member in found] == [value for _, value in wanted]
    assert [(member.key, member.value) for member in read(tmp_path, json.dumps([1, {"a": 2}]))] == [
        ("", 1),
        ("", {"a": 2}),
    ]
    assert read(tmp_path, "{}") == read(tmp_path, " [ ] ") == []


@pytest.mark.parametrize("place", range(1, 90))
def test_a_file_that_is_cut_off_is_never_taken_for_a_whole_one(tmp_path: Path, place: int) -> None:
    text = json.dumps({"images": [{"id": 1, "name": "a\\u00e9"}, 2.5e-3], "info": {}, "annotations": [None, True]})
    with pytest.raises(json.JSONDecodeError):
        read(tmp_path, text[:place])
    assert place < len(text)


@pytest.mark.parametrize(
    "text",
    ['{"a": [1 2]}', '{"a": [1,]}', '{"a": [1], }', '{"a" [1]}', "{1: [2]}", '{"a": [none]}', '[1] "more"', "7", ""],
)
def test_what_is_not_json_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        read(tmp_path, text)


def test_a_fault_is_found_where_it_is_and_not_by_reading_all_of_the_rest(tmp_path: Path) -> None:
    seen: list[int] = []
    (tmp_path / "a.json").write_bytes(b'{"images": [{"id": 1]},' + b'{"id": 1},' * 1_000_000)
    with pytest.raises(json.JSONDecodeError):
        list(members(FolderFiles(tmp_path), PurePosixPath("a.json"), seen.append))
    assert max(seen) < 2 * 2**20


def test_one_endless_member_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MAX_MEMBER", 2**21)
    with pytest.raises(ForeignJsonError, match="a record in it has more than 2 MiB"):
        read(tmp_path, '{"images": [[' + "0," * 3_000_000)
