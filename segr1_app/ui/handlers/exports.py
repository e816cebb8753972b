"""Export annotations, and accept imported masks in bulk, through the page."""

from __future__ import annotations

import shutil
from pathlib import Path

from segr1_app.domain import StoreError
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.accepting import accept_truths
from segr1_app.store.exchange.formats import FORMATS
from segr1_app.store.exchange.options import EVERYTHING, ExportedPictures, Options, Rights, Selection, Splits
from segr1_app.studio.output_folders import new_downloads
from segr1_app.ui.gate.endpoints import one_of


class ExportHandlers:
    """Exports the store, and accepts imported masks; each method raises `SegR1Error` with a message for the caller.

    Args:
        store: the annotations.
        cache: an existing folder from which gradio serves files.
    """

    def __init__(self, store: AnnotationStore, cache: Path) -> None:
        self._store = store
        self._cache = cache.resolve()

    def accept_truths(self, annotator: str) -> list[str]:
        """Accept the ground-truth masks of all open tasks; see `segr1_app.store.exchange.accepting`.

        Args:
            annotator: who vouches for them.

        Returns:
            Sentences about what was decided and what was not.
        """
        return accept_truths(self._store, annotator).sentences

    def export(
        self,
        form: str,
        split: str = "",
        pictures: str = "",
        simplify: float = 0.0,
        *,
        selection: Selection = EVERYTHING.selection,
        rights: Rights = EVERYTHING.rights,
        seed: int = 0,
    ) -> tuple[Path, list[str]]:
        """Export every current accepted or fixed mask in another tool's format.

        Args:
            form: a name of `FORMATS`.
            split: see `Splits.parse`; empty for none.
            pictures: a value of `Pictures`; empty for the default of the format.
            simplify: tolerance of polygons in pixels.
            selection: which tasks.
            rights: what the export says of them.
            seed: see `Splits`.

        Returns:
            A ZIP archive, and a sentence for each thing that the format cannot represent.
        """
        if form not in FORMATS:
            raise StoreError(f"An export is one of: {', '.join(FORMATS)}.")
        options = Options(
            pictures=one_of(ExportedPictures, pictures, "Pictures are") if pictures else None,
            splits=Splits.parse(split, seed) if split.strip() else Splits(),
            selection=selection,
            rights=rights,
            simplify=float(simplify),
        )
        with new_downloads(self._cache, "export-") as folder:
            report = FORMATS[form](self._store, folder / form, options)
            archive = Path(shutil.make_archive(str(folder / f"segr1-{form}"), "zip", folder / form))
            shutil.rmtree(folder / form)
        return archive, [f"{report.written} tasks exported.", *report.warnings]
