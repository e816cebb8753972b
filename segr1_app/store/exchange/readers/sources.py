"""The inputs and outputs of readers: the files of an import, and annotations of one format among them."""

from __future__ import annotations

import codecs
import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import PurePosixPath
from typing import IO, Any, Final, Protocol, TypeAlias

import ijson

from segr1_app.domain import DatasetError
from segr1_app.files.foreign_json import JsonLimits
from segr1_app.store.exchange.files import Entry, Files, is_picture, translate_read_errors
from segr1_app.store.exchange.import_options import ImportOptions
from segr1_app.store.exchange.intake import Content, Listing, Record
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.outcomes import Remark

SNIFFED: Final = 10_000
"""How many values of a JSON file are read to recognise its format."""
MAX_JSON_BYTES: Final = 256 * 2**20
"""Largest JSON file of a kind that is read as a whole."""


@dataclass(frozen=True, slots=True)
class Head:
    """How a JSON file begins.

    Attributes:
        kind: "map" or "array".
        keys: keys of the outermost object; of an array, those of its first element.
        values: for each of these keys, the keys of its object, or of the first object of its array.
        lists: which of the keys hold arrays.
    """

    kind: str
    keys: frozenset[str]
    values: dict[str, frozenset[str]]
    lists: frozenset[str]


@dataclass(slots=True)
class Tree:
    """The files of an import.

    Attributes:
        files: all of them.
        names: those that no reader has claimed yet.
        options: the options of the import.
        class_hints: by the stem of a mask file without names, the classes that other files say are in its picture.
        expected: how many pictures there may be, once that is known.
    """

    files: Files
    names: Sequence[PurePosixPath]
    options: ImportOptions = field(default_factory=ImportOptions)
    class_hints: dict[str, frozenset[str]] = field(default_factory=dict)
    expected: int = 0
    _heads: dict[PurePosixPath, Head | None] = field(default_factory=dict)

    def with_suffix(self, *suffixes: str) -> list[PurePosixPath]:
        """Unclaimed files by their endings."""
        return [name for name in self.names if name.suffix.lower() in suffixes]

    def pictures(self) -> list[PurePosixPath]:
        """Unclaimed files that look like pictures."""
        return [name for name in self.names if is_picture(name)]

    def entry(self, name: PurePosixPath) -> Entry:
        """One of the files."""
        return Entry(self.files, name)

    def head(self, name: PurePosixPath) -> Head | None:
        """The beginning of a JSON file; None if it is not JSON."""
        if name not in self._heads:
            with translate_read_errors(f"'{self.files.display_name(name)}'"):
                with json_bytes(self.files, name) as file:
                    head = _head(file)
                if head is not None and head.kind == "map" and "images" in head.keys and "annotations" not in head.keys:
                    # COCO's many kinds differ in their annotations, which may come after thousands of images.
                    with json_bytes(self.files, name) as file:
                        head = _with_annotations(head, file)
                self._heads[name] = head
        return self._heads[name]

    def claim(self, names: Collection[PurePosixPath]) -> None:
        """Remove files from those available to other readers."""
        taken = set(names)
        self.names = [name for name in self.names if name not in taken]


Found: TypeAlias = Record | Listing | Remark | str
"""What a reader finds: a record, the classes of a file, a remark, or a sentence about something that is left out."""


@dataclass(frozen=True, slots=True)
class Source:
    """Annotations of one kind among the files of an import.

    Attributes:
        kind: its name in messages.
        claimed: its files but for the pictures.
        records: reads them, given the pictures.
        all_pictures: whether pictures that it does not mention are simply not annotated yet and become tasks.
    """

    kind: str
    claimed: Collection[PurePosixPath]
    records: Callable[[Pictures], Iterator[Found]]
    all_pictures: bool = False


FindSources: TypeAlias = Callable[[Tree], list[Source]]
"""Finds annotations of its kind among unclaimed files."""


MALFORMED: Final = (ValueError, TypeError, AttributeError, LookupError)
"""Errors raised by reading a record whose fields have unexpected types."""


def fault_of(error: Exception) -> str:
    """Describe what is wrong with a record; Python's own errors would not help the author of the file."""
    own = type(error) is ValueError or isinstance(error, DatasetError)
    return str(error) if own else "its fields do not have the types of its format"


@contextmanager
def json_bytes(files: Files, name: PurePosixPath) -> Iterator[Readable]:
    """A JSON file in any of the usual encodings as UTF-8 without a byte order mark."""
    with files.open(name) as file:
        begin = file.read(4)
        for mark, encoding in _MARKS:
            if begin.startswith(mark):
                yield _Recoded(file, begin[len(mark) :], encoding)
                return
        yield _Recoded(file, begin, _unmarked(begin))


def _unmarked(begin: bytes) -> str | None:
    """The encoding of a text without a mark, by its first two characters, which are of ASCII; None for UTF-8."""
    if len(begin) < 4 or begin[0] == begin[1]:
        return None
    return "utf-16-le" if begin[1] == begin[3] == 0 else "utf-16-be" if begin[0] == begin[2] == 0 else None


_MARKS: Final = (  # UTF-32 before UTF-16, whose marks are prefixes of them
    (codecs.BOM_UTF8, None),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Readable(Protocol):
    """What a parser reads from."""

    def read(self, size: int = -1) -> bytes:
        """Bytes, none at the end."""


class _Recoded:
    """What is read of a file after its first bytes, as UTF-8."""

    def __init__(self, file: IO[bytes], begin: bytes, encoding: str | None) -> None:
        self._file = file
        self._begin = begin
        self._decoder = codecs.getincrementaldecoder(encoding)() if encoding else None
        # Before any parser: a C parser crashes on numbers of thousands of digits, and deep nesting takes gigabytes.
        self._limits = JsonLimits()

    def read(self, size: int = -1) -> bytes:
        if size == 0:
            return b""
        begin, self._begin = self._begin, b""
        # Returning fewer bytes than asked for is allowed: the reader asks again.
        chunk = begin or self._file.read(size)
        if begin and size < 0:
            chunk += self._file.read()
        if self._decoder is None:
            self._limits.check(chunk)
            return chunk
        text = self._decoder.decode(chunk, final=not chunk or size < 0).encode()
        self._limits.check(text)
        return text if text or not chunk else self.read(size)


def read_text(entry: Entry, size: int = -1) -> str:
    """A text file, or how it begins.

    Args:
        entry: the file.
        size: most bytes that are read; all by default.

    Raises:
        DatasetError: as `decode_text`, and when it cannot be read.
    """
    content = entry.read() if size < 0 else entry.begin(size)
    return decode_text(content, str(entry), whole=size < 0)


def decode_text(content: bytes, where: str, *, whole: bool = True) -> str:
    """A text in UTF-8, or in UTF-16 or UTF-32 where its first characters say so.

    Args:
        content: its bytes.
        where: its name in messages.
        whole: whether the content is complete; else its last character may be cut off.

    Raises:
        DatasetError: when it is in another encoding, or no text.
    """
    unmarked = b"", _unmarked(content[:4])
    mark, encoding = next(((mark, known) for mark, known in _MARKS if content.startswith(mark)), unmarked)
    try:
        text = codecs.getincrementaldecoder(encoding or "utf-8")().decode(content[len(mark) :], final=whole)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{where}: it is not a text in UTF-8: save it as UTF-8.") from error
    if "\0" in text:
        raise DatasetError(f"{where}: it is not a text in UTF-8: it has null characters.")
    return text


def load_json(entry: Entry) -> Any:
    """A JSON file of a kind that is read as a whole.

    Raises:
        DatasetError: when it is none, or too large.
    """
    with translate_read_errors("it"), json_bytes(entry.files, entry.name) as file:
        parts, size = [], 0
        while chunk := file.read(2**20):
            size += len(chunk)
            if size > MAX_JSON_BYTES:
                raise DatasetError(f"it has more than {MAX_JSON_BYTES // 2**20} MiB, too much for a file of its kind.")
            parts.append(chunk)
    try:
        return json.loads(b"".join(parts))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"it is not valid JSON that can be read ({str(error)[:200]}).") from error


def renamed(annotations: Entry, called: str, picture: Content | str) -> Iterator[Remark]:
    """A remark where a picture was found by the name of its annotation file, and not by the name in that file."""
    plain = PurePosixPath(called.replace("\\", "/")).stem
    if isinstance(picture, Entry) and plain.casefold() != picture.name.stem.casefold():
        yield Remark(f"{annotations}: its picture {called} is not there, so it is read as that of {picture.name.name}.")


def unused_masks(tree: Tree, masks: Sequence[PurePosixPath], found: Pictures) -> Iterator[str]:
    """A sentence for each folder with mask files of which no annotation was read, given those that were ``found``."""
    rest: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for name in masks:
        if name not in found.used:
            rest[name.parent].append(name)
    for folder, names in rest.items():
        shown = ", ".join(name.name for name in names[:3]) + (", ..." if len(names) > 3 else "")
        yield f"{tree.files.display_name(folder)}: {len(names)} masks ({shown}) are left out: no annotations name them."


def list_in(record: Mapping[str, Any], key: str) -> list[Any]:
    """The list under a key of a record; empty where the key is missing.

    Raises:
        DatasetError: when there is something else.
    """
    found = record.get(key, [])
    if not isinstance(found, list):
        raise DatasetError(f"its {key} must be a list, not {_KINDS.get(type(found), 'a value')}.")
    return found


_KINDS: Final[Mapping[type, str]] = {type(None): "null", dict: "an object", str: "a text", bool: "true or false"}
_ANNOTATIONS: Final = re.compile(rb'"annotations"\s*:\s*\[\s*\{')
_FIRST: Final = 4096
"""How much of the first annotation is read for its keys."""
_CHUNK: Final = 2**20


def _with_annotations(head: Head, file: Readable) -> Head:
    """The same with the keys of the first annotation, wherever it is."""
    text = b""
    while chunk := file.read(_CHUNK):
        text = text[-_FIRST:] + chunk
        if found := _ANNOTATIONS.search(text):
            first = text[found.end() :] + file.read(_FIRST)
            inner = frozenset(key.decode() for key in re.findall(rb'"(\w+)"\s*:', first[:_FIRST]))
            return replace(
                head,
                keys=head.keys | {"annotations"},
                values={**head.values, "annotations": inner},
                lists=head.lists | {"annotations"},
            )
    return head


class _Finite:
    """What is read of a file without NaN and Infinity, which Python writes and this parser does not know."""

    def __init__(self, file: Readable) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        return _NO_JSON.sub(b"0", self._file.read(size))


_NO_JSON: Final = re.compile(rb"\b(?:NaN|Infinity)\b")


def _head(file: Readable) -> Head | None:
    keys: list[str] = []
    lists: set[str] = set()
    inner: dict[str, set[str]] = {}
    kind = ""
    try:
        for path, event, value in islice(ijson.parse(_Finite(file), use_float=True), SNIFFED):
            if not kind:
                kind = event.removeprefix("start_")
                if kind not in {"map", "array"}:
                    return None
            base = "item" if kind == "array" else ""
            if event == "map_key" and path == base:
                keys.append(value)
            elif event == "start_array" and keys and path == (f"{base}.{keys[-1]}" if base else keys[-1]):
                lists.add(keys[-1])
            elif event == "map_key" and keys:
                own = f"{base}.{keys[-1]}" if base else keys[-1]
                if path in {own, f"{own}.item"}:
                    inner.setdefault(keys[-1], set()).add(value)
            elif event == "end_map" and kind == "array" and path == "item":
                break
    except (ijson.JSONError, UnicodeDecodeError):
        if not keys:
            return None
    if not kind:
        return None
    if keys and event == "map_key" and path == base:
        # Its value was not read.
        keys.pop()
    return Head(kind, frozenset(keys), {key: frozenset(found) for key, found in inner.items()}, frozenset(lists))
