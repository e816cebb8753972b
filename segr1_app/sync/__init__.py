"""A remote copy of the annotations, to which several stores write and from which any store can be restored."""

from __future__ import annotations

from pathlib import Path

from segr1_app.domain import SettingsError
from segr1_app.sync.remote import FolderRemote, Remote
from segr1_app.sync.scheduler import Scheduler
from segr1_app.sync.syncing import Synchroniser, SyncState

__all__ = ["FolderRemote", "Remote", "Scheduler", "SyncState", "Synchroniser", "remote_of"]


def remote_of(dataset: str) -> Remote:
    """The remote that ``--dataset`` names: a folder if it looks like a path, else a dataset on the hub.

    Raises:
        SettingsError: when it is neither.
    """
    if dataset.startswith(("/", ".", "~")):
        return FolderRemote(Path(dataset).expanduser())
    if dataset.count("/") != 1:
        raise SettingsError(
            f"--dataset {dataset} must look like OWNER/NAME, or, for a folder, begin with / or a dot, as in ./copy."
        )
    from segr1_app.sync.hub import HubRemote  # noqa: PLC0415 - half a second of huggingface_hub

    return HubRemote(dataset)
