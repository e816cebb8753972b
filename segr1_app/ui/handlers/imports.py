"""Import pictures and annotations through the page, with the same code as the command."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from segr1_app.domain import StoreError
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.import_options import AS_IT_COMES, ImportOptions, Watch, ignore
from segr1_app.store.exchange.outcomes import ImportReport, Outcome
from segr1_app.studio.cache_folder import in_use, release_upload
from segr1_app.studio.contracts import Imported

MAX_ROWS = 100_000
"""Largest number of dataset rows that the page imports at once."""


class ImportHandlers:
    """Imports what people upload; each method raises `SegR1Error` with a message for the caller.

    Args:
        store: the store to import into.
        cache: the folder in which gradio keeps uploads.
        hub_token: None to use the hub login of this machine, False for anonymous access.
        hub: URL of the hub; None for the default.
    """

    def __init__(
        self, store: AnnotationStore, cache: Path, *, hub_token: bool | None = False, hub: str | None = None
    ) -> None:
        self._store = store
        self._cache = cache.resolve()
        self._token = hub_token
        self._hub = hub

    def add_pictures(
        self,
        files: Sequence[str],
        instruction: str,
        masks: Sequence[str] = (),
        *,
        options: ImportOptions = AS_IT_COMES,
        on_progress: Watch = ignore,
    ) -> Imported:
        """Create tasks from pictures and from other tools' annotations.

        Args:
            files: uploads as `import_paths` takes them.
            instruction: what to segment in them.
            masks: uploaded ground-truth masks with the pictures' names.
            options: how to read them.
            on_progress: is called as the import goes on.

        Returns:
            How many were added, and a sentence for each that could not be taken, and for each whose ground-truth mask
            replaced another one.
        """
        from segr1_app.store.exchange.importing import import_paths  # noqa: PLC0415 - the first page need not wait

        paths, truths = ([self._uploaded(file) for file in those] for those in (files, masks))
        report = ImportReport()
        # Importing many pictures may take longer than uploads are kept.
        with in_use([*paths, *truths]):
            taken = import_paths(
                self._store, paths, instruction, truths, options=replace(options, watch=on_progress), report=report
            )
            found = _counted(taken, report)
        for path in (*paths, *truths):
            release_upload(path)
            # The uploader does not need to know where the server keeps uploads.
            found["problems"] = [problem.replace(f"{path.parent}{os.sep}", "") for problem in found["problems"]]
        return found

    def add_dataset(
        self,
        dataset: str,
        instruction: str,
        rows: int,
        *,
        options: ImportOptions = AS_IT_COMES,
        on_progress: Watch = ignore,
    ) -> Imported:
        """Create tasks from a dataset on the Hugging Face hub.

        Args:
            dataset: its id, "owner/name".
            instruction: what to segment in rows without an instruction.
            rows: the largest number of rows.
            options: how to read them.
            on_progress: is called as the import goes on.

        Returns:
            As for `add_pictures`.
        """
        from segr1_app.store.exchange.importing import import_hub  # noqa: PLC0415 - as above

        if not 1 <= rows <= MAX_ROWS:
            raise StoreError(f"Choose 1 to {MAX_ROWS} rows at a time.")
        name = dataset.strip()
        report = ImportReport()
        taken = import_hub(
            self._store,
            name,
            instruction,
            rows=rows,
            token=self._token,
            endpoint=self._hub,
            options=replace(options, watch=on_progress),
            report=report,
        )
        return _counted(taken, report)

    def _uploaded(self, file: str) -> Path:
        path = Path(file).resolve()
        if not path.is_relative_to(self._cache):
            raise StoreError("A picture is not an upload: with gradio_client, send it by handle_file().")
        return path


def _counted(outcomes: Iterable[Outcome], report: ImportReport) -> Imported:
    for _ in outcomes:
        pass
    return {"added": report.records, "summary": report.summary, "problems": report.sentences}
