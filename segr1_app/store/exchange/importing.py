"""Import of files, recognised by their contents. Page and command use this one path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Final

from segr1_app.domain import DatasetError, SettingsError
from segr1_app.language.codec import check_instruction
from segr1_app.language.typed_text import one_line
from segr1_app.store.exchange.archives import is_archive, open_archive
from segr1_app.store.exchange.files import Entry, Files, FolderFiles, LooseFiles, is_picture
from segr1_app.store.exchange.hub import HubFiles, translate_hub_errors
from segr1_app.store.exchange.import_options import ImportOptions
from segr1_app.store.exchange.intake import Intake, Listing
from segr1_app.store.exchange.joining import called, join
from segr1_app.store.exchange.jsonl import FILE_NAME, import_jsonl
from segr1_app.store.exchange.lookup import Pictures
from segr1_app.store.exchange.outcomes import ImportReport, Outcome, Remark, Result, left_out
from segr1_app.store.exchange.readers import mask_folders, pairing
from segr1_app.store.exchange.readers.registry import find_sources
from segr1_app.store.exchange.readers.sources import MALFORMED, Found, Source, Tree, fault_of
from segr1_app.store.exchange.readers.strangers import not_understood
from segr1_app.store.exchange.remote_files import open_address
from segr1_app.store.store import AnnotationStore

_SPEAKING: Final = frozenset({".json", ".jsonl", ".parquet", ".arrow", ".xml", ".csv", ".p"})
"""Extensions of files that may hold annotations of pictures."""
_ABOVE: Final = frozenset({"annotations", "annotation", "labels"})
"""Folders of annotations whose pictures are next to them instead of inside."""


def import_paths(
    store: AnnotationStore,
    paths: Sequence[Path | str],
    instruction: str,
    masks: Sequence[Path] = (),
    *,
    options: ImportOptions | None = None,
    report: ImportReport | None = None,
) -> Iterator[Outcome]:
    """Import files, folders and archives.

    A folder or an archive holds annotations of any kinds that are read, with their pictures, an export of a store as
    JSONL, or pictures, perhaps with masks. A single file is one of those with what it needs beside it, or a picture.

    Args:
        store: the store to import into.
        paths: what to import; a text is an address that fsspec opens.
        instruction: what to segment, where nothing else says so.
        masks: ground-truth masks of the pictures under this instruction, by stem: files, folders and archives.
        options: what whoever imports decided.
        report: updated during the import.

    Yields:
        An outcome for each task and for each record that could not be imported.

    Raises:
        SegR1Error: when nothing can be imported: a path that does not exist, an invalid instruction, masks that
            cannot be read.
    """
    check_import(paths, instruction, masks)
    intake = Intake(store, one_line(instruction), options or ImportOptions(), report or ImportReport())
    return _reported(_import_paths(intake, paths, masks), intake.report)


def check_import(paths: Sequence[Path | str], instruction: str, masks: Sequence[Path] = ()) -> None:
    """Check the arguments of `import_paths`, for whoever makes a store only then.

    Raises:
        SegR1Error: for an instruction that is too long or empty, and a path that does not exist.
    """
    check_instruction(instruction)
    for path in (*paths, *masks):
        if isinstance(path, Path) and not path.exists():
            raise SettingsError(f"There is no file or folder '{path}'.")


def import_hub(
    store: AnnotationStore,
    dataset: str,
    instruction: str,
    *,
    rows: int,
    token: bool | None = None,
    endpoint: str | None = None,
    options: ImportOptions | None = None,
    report: ImportReport | None = None,
) -> Iterator[Outcome]:
    """Import a dataset of the hub; only the imported rows are fetched.

    Args:
        store: the store to import into.
        dataset: its id, "owner/name".
        instruction: what to segment in rows that do not say so.
        rows: the largest number of records, including those that cannot be imported.
        token, endpoint: see `HubFiles`.
        options, report: see `import_paths`.

    Yields:
        As `import_paths` does.

    Raises:
        DatasetError: when the hub cannot be reached, refuses access, or there is nothing to import.
    """
    check_instruction(instruction)
    intake = Intake(store, one_line(instruction), options or ImportOptions(), report or ImportReport())

    def outcomes() -> Iterator[Outcome]:
        with translate_hub_errors(dataset):
            files = HubFiles(dataset, token=token, endpoint=endpoint)
            if not any(is_picture(name) or name.suffix == ".parquet" for name in files.names()):
                raise DatasetError(f"The dataset '{dataset}' holds neither Parquet files nor pictures.")
            tree = Tree(files, files.names(), intake.options)
            yield from _take_all(intake, _first(_records(tree, {}, set()), rows), tree)

    return _reported(outcomes(), intake.report)


def _first(found: Iterable[Found], rows: int) -> Iterator[Found]:
    """The first ``rows`` records, including those that are left out, and the remarks up to there."""
    seen = 0
    for each in found:
        yield each
        seen += not isinstance(each, Remark | Listing)
        if seen == rows:
            return


def _reported(outcomes: Iterator[Outcome], report: ImportReport) -> Iterator[Outcome]:
    for outcome in outcomes:
        report.add(outcome)
        yield outcome


def _import_paths(intake: Intake, paths: Sequence[Path | str], masks: Sequence[Path]) -> Iterator[Outcome]:
    with ExitStack() as opened:
        truths = _find_masks([_opened(path, opened) for path in masks])
        used: set[str] = set()
        joined = _joined(paths, opened)
        if joined is not None:
            paths = [path for path in paths if isinstance(path, str)]
            tree = Tree(joined, joined.names(), intake.options)
            intake.report.notices += joined.notes
            try:
                yield from _import_tree(intake, tree, truths, used)
            except DatasetError as error:
                yield left_out(str(error))
        for files, names in _trees(paths):
            try:
                with ExitStack() as one:
                    if isinstance(files, str):
                        tree = Tree(*one.enter_context(open_address(files)), intake.options)
                    elif isinstance(files, Path):
                        shown = _opened(files, one)
                        tree = Tree(shown, shown.names(), intake.options)
                        intake.report.notices += shown.notes
                    else:
                        tree = Tree(files, names, intake.options)
                    yield from _import_tree(intake, tree, truths, used)
            except DatasetError as error:
                yield left_out(str(error))
        yield from (left_out(pairing.lonely(mask)) for stem, mask in truths.items() if stem not in used)


def _joined(paths: Sequence[Path | str], stack: ExitStack) -> Files | None:
    """Folders, archives and loose files as one where they belong together, see `join`."""
    local = [path for path in paths if isinstance(path, Path)]
    places = [path for path in local if path.is_dir() or is_archive(path)]
    loose = [path for path in local if path not in places]
    if len(places) + bool(loose) < 2:
        return None
    try:
        if any(_has_pictures_around(path) for path in loose):
            return None
        parts = [(called(path, places), _opened(path, stack)) for path in places]
        return join([*parts, ("", LooseFiles(loose))] if loose else parts)
    except DatasetError:
        # Each is opened again separately, which reports what is wrong with it.
        return None


def _has_pictures_around(path: Path) -> bool:
    """Whether an annotation file lies in a data set."""
    return path.suffix.lower() in _SPEAKING and any(map(is_picture, FolderFiles(_base(path)).names()))


def _base(path: Path) -> Path:
    """The folder of the data set that an annotation file belongs to."""
    return path.parent.parent if path.parent.name.lower() in _ABOVE else path.parent


def _trees(paths: Sequence[Path | str]) -> Iterator[tuple[Path | str | Files, Sequence[PurePosixPath]]]:
    """What is read together: each folder or archive, each annotation file with its surroundings, loose pictures."""
    loose = [path for path in paths if isinstance(path, Path) and not path.is_dir() and not is_archive(path)]
    speaking = [path for path in loose if path.suffix.lower() in _SPEAKING]
    together = bool(speaking) and len(speaking) < len(loose)
    first = True
    for path in paths:
        if isinstance(path, str) or path not in loose:
            yield path, ()
        elif not together and path in speaking:
            base = _base(path)
            yield FolderFiles(base), [PurePosixPath(path.relative_to(base).as_posix())]
        elif first:
            first = False
            files = LooseFiles(loose if together else [each for each in loose if each not in speaking])
            yield files, files.names()


def _opened(path: Path, stack: ExitStack) -> Files:
    if path.is_dir():
        return FolderFiles(path)
    return stack.enter_context(open_archive(path)) if is_archive(path) else LooseFiles([path])


def _find_masks(sources: Sequence[Files]) -> dict[str, Entry]:
    """The mask files among some files, by stem.

    Raises:
        DatasetError: when two of them share a stem.
    """
    found: dict[str, Entry] = {}
    for entry in (Entry(files, name) for files in sources for name in files.names()):
        stem = pairing.plain(entry.name.stem)
        if not is_picture(entry.name):
            continue
        if stem in found:
            raise DatasetError(f"'{entry}' and '{found[stem]}' have the same name: remove one of them.")
        found[stem] = entry
    return found


def _import_tree(intake: Intake, tree: Tree, masks: Mapping[str, Entry], used: set[str]) -> Iterator[Outcome]:
    for name in [name for name in tree.names if name.name == FILE_NAME or name.suffix.lower() == ".jsonl"]:
        if name.name == FILE_NAME or len(tree.names) == 1:
            below = name.parent
            tree.claim([each for each in tree.names if each == name or each.is_relative_to(below / "pictures")])
            yield from import_jsonl(intake.store, tree.files, name, intake.report, intake.options.watch)
            if not tree.names:
                return
    yield from _take_all(intake, _records(tree, masks, used), tree)


def _take_all(intake: Intake, records: Iterable[Found], tree: Tree) -> Iterator[Outcome]:
    before = intake.seen
    for record in records:
        intake.expected = before + tree.expected
        if isinstance(record, str):
            yield left_out(record)
        elif isinstance(record, Remark):
            yield Outcome(Result.REMARK, record.message)
        elif isinstance(record, Listing):
            yield from (Outcome(Result.REMARK, problem) for problem in intake.list_classes(record))
        else:
            yield from intake.take(record)
    yield from intake.finish()


def _records(tree: Tree, masks: Mapping[str, Entry], used: set[str]) -> Iterator[Found]:
    """The records among the files: annotations of every kind, pictures with masks, and pictures."""
    if tree.options.pictures_only:
        paired = pairing.Paired(tree.pictures())
        tree.expected = len(paired.pictures)
        yield from mask_folders.records(tree, paired, masks, used)
        return
    everything = list(tree.names)
    sources = find_sources(tree)
    paired = pairing.pair(tree)
    tree.expected = len(paired.pictures)
    strange = list(not_understood(tree))
    if not sources:
        strange += pairing.mask_like(tree, paired)
    if not sources and not any(map(is_picture, everything)):
        raise DatasetError(_nothing(tree, everything, strange))
    if (strange or paired.unmatched) and not sources and not paired.masks and not masks:
        yield from (*strange, *paired.unmatched)
        yield (
            "Nothing is imported, because annotations would be lost: convert them to a supported format, or import the "
            "pictures without them with --pictures-only."
        )
        return
    if sources:
        yield from _annotated(tree, sources, paired)
        strange += pairing.mask_like(tree, paired)
    if paired.pictures or paired.masks or not sources:
        yield from mask_folders.records(tree, paired, masks, used)
    yield from strange


def _nothing(tree: Tree, names: Sequence[PurePosixPath], strange: Sequence[str]) -> str:
    """A sentence that there is nothing to import, and what was found instead."""
    if strange:
        return " ".join(strange)
    if not names:
        place = tree.files.display_name(PurePosixPath()).rstrip(":.")
        return f"There is nothing to import in {place}: it has no files, or only hidden ones."
    shown = ", ".join(tree.files.display_name(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")
    return f"There is nothing to import: {shown} {'is' if len(names) == 1 else 'are'} neither pictures nor annotations."


def _annotated(tree: Tree, sources: Sequence[Source], paired: pairing.Paired) -> Iterator[Found]:
    """The records of annotation files; pictures that they do not mention stay in ``paired`` or are reported."""
    claimed = {name for source in sources for name in source.claimed}
    pictures = Pictures(tree.files, (name for name in tree.files.names() if name not in claimed))
    for source in sources:
        try:
            yield from source.records(pictures)
        except DatasetError as error:
            if len(sources) == 1 and not paired.pictures:
                raise
            yield str(error)
        except MALFORMED as error:
            first = tree.files.display_name(next(iter(source.claimed)))
            yield f"'{first}' looks like {source.kind} and cannot be read to its end: {fault_of(error)}."
    # Tables name their own mask files.
    paired.masks = {name: mask for name, mask in paired.masks.items() if mask.name not in pictures.used}
    rest = [name for name in paired.pictures if name not in pictures.used]
    if any(source.all_pictures for source in sources):
        paired.pictures = rest
        return
    with_masks = [name for name in rest if name in paired.masks]
    for folder, names in pairing.by_folder([name for name in rest if name not in with_masks]).items():
        shown = ", ".join(name.name for name in names[:3]) + (", ..." if len(names) > 3 else "")
        yield (
            f"{tree.files.display_name(folder)}: {len(names)} pictures ({shown}) are left out: no annotations mention "
            "them; import pictures alone with --pictures-only."
        )
    paired.pictures = with_masks
