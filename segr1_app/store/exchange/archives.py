"""The files in ZIP and tar archives, read on demand; nothing is unpacked to disk under its own name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import stat
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from segr1_app.domain import DatasetError
from segr1_app.files.folders import is_clutter
from segr1_app.store.exchange.files import Files, translate_read_errors

MAX_ENTRIES: Final = 500_000
"""Largest number of files in an archive."""
SMALL_BYTES, MAX_RATIO = 2**30, 200
"""An archive that unpacks to more than the first of these and to more than this many times its own size is refused:
pictures hardly compress.
"""
_ENCODINGS: Final = ("utf-8", "gb18030", "shift_jis", "euc_kr", "big5", "cp1251", "cp866", "cp1252")
"""Candidate encodings of names in archives that do not declare one."""
_UTF8_NAMES: Final = 0x800
"""The flag of a ZIP entry whose name is in UTF-8 (APPNOTE 4.4.4)."""
_PACKERS: Final[Mapping[str, Callable[[Path, str], Any]]] = {
    ".gz": gzip.open,
    ".tgz": gzip.open,
    ".bz2": bz2.open,
    ".tbz2": bz2.open,
    ".xz": lzma.open,
}
PACKED: Final[Mapping[str, str]] = {
    **dict.fromkeys((".zip", ".tar", ".tgz", ".tbz2"), "an archive inside an archive: import it separately"),
    **dict.fromkeys((".rar", ".7z"), "archives of this kind are not opened: unpack it, or pack it as ZIP"),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst"), "packed files are not opened: unpack it"),
}
"""Why files with these extensions, among others, are not read."""
_PIECE: Final = 2**20


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by its extension."""
    name = path.name.lower()
    return name.endswith((".zip", ".tar", ".tgz", ".tbz2")) or name.endswith((".tar.gz", ".tar.bz2", ".tar.xz"))


def stem_of(path: Path) -> str:
    """An archive's name without its extension."""
    return re.sub(r"\.(?:zip|tar|tgz|tbz2|tar\.(?:gz|bz2|xz))$", "", path.name, flags=re.IGNORECASE)


@contextmanager
def open_archive(path: Path) -> Iterator[Files]:
    """The files of an archive.

    Raises:
        DatasetError: when it is not an archive, or a suspicious one: with links, with names that lead out of it,
            or one that unpacks to far more than its own size.
    """
    if path.suffix.lower() == ".zip":
        with translate_read_errors(f"{path}: this ZIP archive"), zipfile.ZipFile(path) as archive:
            _check(path, [(each.filename, each.file_size, _is_link(each)) for each in archive.infolist()])
            yield ZipFiles(path, archive)
        return
    # Seeking in a compressed tar would decompress it from the start each time, so it is decompressed once.
    with (
        translate_read_errors(f"{path}: this tar archive"),
        tempfile.TemporaryFile() as unpacked,
        _unpacked(path, unpacked) as content,
        tarfile.open(fileobj=content, mode="r:") as tar,
    ):
        members = [each for each in tar.getmembers() if each.isfile() or each.islnk() or each.issym()]
        _check(path, [(each.name.removeprefix("./"), each.size, not each.isfile()) for each in members])
        yield TarFiles(path, tar, members)


class ZipFiles:
    """The files of an open ZIP archive."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        found = [(_plain(_decoded(entry)), entry) for entry in archive.infolist() if not entry.is_dir()]
        self._entries = {name: entry for name, entry in found if not is_clutter(name)}
        self.notes = _repeated(path, [name for name, _ in found])

    def names(self) -> Sequence[PurePosixPath]:
        return list(self._entries)

    def holds(self, name: PurePosixPath) -> bool:
        return name in self._entries

    def open(self, name: PurePosixPath) -> IO[bytes]:
        try:
            return self._archive.open(self._entries[name])
        except (NotImplementedError, RuntimeError) as error:
            # An unsupported compression method, or a RuntimeError for a password.
            raise zipfile.BadZipFile(str(error)) from error

    def size(self, name: PurePosixPath) -> int:
        return self._entries[name].file_size

    def display_name(self, name: PurePosixPath) -> str:
        return f"{self._path}:{name}"

    def aliases(self, name: PurePosixPath) -> Sequence[str]:
        raw = _raw_name(self._entries[name])
        return () if raw is None else _readings(raw)


class TarFiles:
    """The files of an open, uncompressed tar archive."""

    def __init__(self, path: Path, archive: tarfile.TarFile, members: Sequence[tarfile.TarInfo]) -> None:
        self._path = path
        self._archive = archive
        found = [(_plain(member.name.removeprefix("./")), member) for member in members]
        self._entries: Mapping[PurePosixPath, tarfile.TarInfo] = {
            name: member for name, member in found if not is_clutter(name)
        }
        self.notes = _repeated(path, [name for name, _ in found])

    def names(self) -> Sequence[PurePosixPath]:
        return list(self._entries)

    def holds(self, name: PurePosixPath) -> bool:
        return name in self._entries

    def open(self, name: PurePosixPath) -> IO[bytes]:
        opened = self._archive.extractfile(self._entries[name])
        if opened is None:
            raise tarfile.ReadError(f"{name} is not a file")
        return opened

    def size(self, name: PurePosixPath) -> int:
        return self._entries[name].size

    def display_name(self, name: PurePosixPath) -> str:
        return f"{self._path}:{name}"

    def aliases(self, name: PurePosixPath) -> Sequence[str]:
        raw = self._entries[name].name.encode("utf-8", "surrogateescape")
        return () if raw.isascii() else _readings(raw)


@contextmanager
def _unpacked(path: Path, target: IO[bytes]) -> Iterator[IO[bytes]]:
    packer = _PACKERS.get(path.suffix.lower())
    if packer is None:
        with path.open("rb") as file:
            yield file
        return
    most = max(SMALL_BYTES, MAX_RATIO * path.stat().st_size)
    size = 0
    with packer(path, "rb") as packed:
        while piece := packed.read(_PIECE):
            size += len(piece)
            if size > most:
                raise DatasetError(_too_much(path, size))
            target.write(piece)
    target.seek(0)
    yield target


def _check(path: Path, entries: Sequence[tuple[str, int, bool]]) -> None:
    """Reject suspicious archives, by names, sizes and links."""
    if len(entries) > MAX_ENTRIES:
        raise DatasetError(f"{path}: it holds more than {MAX_ENTRIES} files: split it.")
    for name, _, link in entries:
        inside = _plain(name)
        if inside.is_absolute() or ".." in inside.parts or ":" in name[:2]:
            raise DatasetError(
                f"{path}: refused, because its entry '{name}' points outside the archive: pack it again without it."
            )
        if link and not is_clutter(inside):
            raise DatasetError(f"{path}: refused, because its entry '{name}' is a link: pack the files themselves.")
    # The declared size of an entry limits how much of it is read.
    size = sum(size for _, size, _ in entries)
    if size > SMALL_BYTES and size > MAX_RATIO * path.stat().st_size:
        raise DatasetError(_too_much(path, size))


def _repeated(path: Path, names: Sequence[PurePosixPath]) -> list[str]:
    """A sentence about entries that others replace, as they would when they are unpacked."""
    twice = [str(name) for name, count in Counter(names).items() if count > 1 and not is_clutter(name)]
    if not twice:
        return []
    shown = ", ".join(twice[:3]) + (", ..." if len(twice) > 3 else "")
    return [f"{path}: it has several entries called {shown}: the last of each is read."]


def _too_much(path: Path, size: int) -> str:
    return f"{path}: it is refused, for it would unpack to {size / 2**30:.1f} GiB, far more than pictures would."


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _plain(name: str) -> PurePosixPath:
    # Some programs write Windows separators, which ZIP does not allow.
    return PurePosixPath(name.replace("\\", "/"))


def _raw_name(entry: zipfile.ZipInfo) -> bytes | None:
    """The bytes of a name that says nothing of its encoding; None for any other."""
    if entry.flag_bits & _UTF8_NAMES or entry.filename.isascii():
        return None
    try:
        return entry.filename.encode("cp437")
    except UnicodeEncodeError:
        return None


def _decoded(entry: zipfile.ZipInfo) -> str:
    raw = _raw_name(entry)
    if raw is None:
        return entry.filename
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return entry.filename


def _readings(raw: bytes) -> list[str]:
    found = []
    for encoding in _ENCODINGS:
        try:
            found.append(raw.decode(encoding))
        except UnicodeDecodeError:
            continue
    return found
