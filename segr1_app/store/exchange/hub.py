"""A dataset on the Hugging Face hub: its files are read over the network on demand; its code is never run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, Final

import httpx2
from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HfUriError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from segr1_app.domain import DatasetError

DEFAULT_ROWS: Final = 200
"""Default limit of rows of a dataset."""
_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_CONVERTED: Final = "refs/convert/parquet"
"""Revision in which the hub publishes other datasets as Parquet files."""


class HubFiles:
    """The files of a dataset: its own if there are Parquet files among them, else the hub's conversion.

    Args:
        dataset: its id, "owner/name".
        token: None to use the hub login of this machine, False for anonymous access.
        endpoint: address of the hub; None for the usual one.

    Raises:
        DatasetError: when it is not an id.
        httpx2.HTTPError, OSError: `translate_hub_errors` turns them into messages.
    """

    notes: Sequence[str] = ()

    def __init__(self, dataset: str, *, token: bool | None = None, endpoint: str | None = None) -> None:
        if not _ID.fullmatch(dataset):
            raise DatasetError(f"{dataset[:200]!r} is not a dataset's id: those look like owner/name.")
        self._dataset = dataset
        self._api = HfApi(endpoint, token)
        # A separate instance: a shared one would cache listings, also of missing files, for as long as the app runs.
        self._files = HfFileSystem(endpoint=endpoint, token=token, skip_instance_cache=True)
        self._revision, self._names = self._find()

    def names(self) -> Sequence[PurePosixPath]:
        return self._names

    def holds(self, name: PurePosixPath) -> bool:
        return name in self._names

    def open(self, name: PurePosixPath) -> IO[bytes]:
        opened: IO[bytes] = self._files.open(f"datasets/{self._dataset}/{name}", "rb", revision=self._revision)
        return opened

    def size(self, name: PurePosixPath) -> int:
        return int(self._files.size(f"datasets/{self._dataset}@{self._revision}/{name}") or 0)

    def display_name(self, name: PurePosixPath) -> str:
        return f"{self._dataset}/{name}"

    def aliases(self, _: PurePosixPath) -> Sequence[str]:
        return ()

    def _find(self) -> tuple[str, list[PurePosixPath]]:
        names = self._listed("main")
        if any(name.suffix == ".parquet" for name in names):
            return "main", names
        try:
            return _CONVERTED, self._listed(_CONVERTED)
        except RevisionNotFoundError:
            return "main", names

    def _listed(self, revision: str) -> list[PurePosixPath]:
        return sorted(
            PurePosixPath(name)
            for name in self._api.list_repo_files(self._dataset, repo_type="dataset", revision=revision)
        )


@contextmanager
def translate_hub_errors(dataset: str) -> Iterator[None]:
    """Turn errors of the hub into a `DatasetError` that says what to do."""
    try:
        yield
    except GatedRepoError as error:
        raise DatasetError(
            f"The dataset '{dataset}' is gated: ask for access on its page, log in with `hf auth login` where this app "
            "runs, and import it by the command."
        ) from error
    except (HFValidationError, HfUriError) as error:
        raise DatasetError(f"{dataset!r} is not a dataset's id: those look like owner/name.") from error
    except RepositoryNotFoundError as error:
        raise DatasetError(f"The hub has no dataset '{dataset}', or it is private: check the id.") from error
    except OfflineModeIsEnabled as error:
        raise DatasetError(
            "This app works offline (HF_HUB_OFFLINE is set): start it without, to use the hub."
        ) from error
    except (EntryNotFoundError, RevisionNotFoundError) as error:
        raise DatasetError(f"The dataset '{dataset}' was changed while it was read: try again.") from error
    except HfHubHTTPError as error:
        raise DatasetError(f"The hub refused access to '{dataset}': {_first_line(error)}") from error
    except (httpx2.HTTPError, ConnectionError, TimeoutError) as error:
        raise DatasetError("The hub cannot be reached: check this machine's network and try again.") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else "it gave no reason."
