"""A private dataset of the Hugging Face Hub as a remote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi, RepoFile
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from segr1_app.domain import RemoteError

FETCHING: Final = 8
"""Number of concurrent downloads."""


class HubRemote:
    """A dataset on the hub; created as private if it does not exist.

    Each `add` is one commit: readers see all of it or nothing.

    Args:
        dataset: OWNER/NAME.
        api: the hub, with a token that may write to the dataset.
    """

    def __init__(self, dataset: str, api: HfApi | None = None) -> None:
        self._dataset, self._api = dataset, api or HfApi()
        self._where = f"The dataset '{dataset}'"
        self._made = False

    @property
    def name(self) -> str:
        return self._dataset

    @property
    def label(self) -> str:
        return self._dataset

    def files(self) -> dict[str, int]:
        with reached(self._where):
            if not self._made:
                make_private_dataset(self._api, self._dataset)
                self._made = True
            tree = self._api.list_repo_tree(self._dataset, recursive=True, repo_type="dataset")
            return {entry.path: entry.size for entry in tree if isinstance(entry, RepoFile)}

    def fetch(self, names: Sequence[str], folder: Path) -> None:
        get = partial(self._api.hf_hub_download, self._dataset, repo_type="dataset", local_dir=folder)
        with reached(self._where), ThreadPoolExecutor(FETCHING) as pool:
            list(pool.map(get, names))

    def add(self, files: Mapping[str, bytes | Path], message: str) -> None:
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        with reached(self._where):
            self._api.create_commit(self._dataset, operations, commit_message=message, repo_type="dataset")


def make_private_dataset(api: HfApi, dataset: str) -> None:
    """Create a private dataset unless it exists.

    Raises:
        RemoteError: when it exists and is public: pictures and annotators' names must not be published by accident.
    """
    api.create_repo(dataset, repo_type="dataset", private=True, exist_ok=True)
    if not api.dataset_info(dataset).private:
        raise RemoteError(
            f"The dataset '{dataset}' is public, and so would the annotations be: make it private in its settings "
            "on the hub, or name another one."
        )


@contextmanager
def reached(where: str) -> Iterator[None]:
    """Turn exceptions of the hub's client into a `RemoteError` that says what to do; ``where`` begins its message."""
    try:
        yield
    except RepositoryNotFoundError as error:
        raise RemoteError(f"{where} does not exist, or HF_TOKEN has no access to it: check both.") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise RemoteError(f"{where} is not writable: set HF_TOKEN to a token with write access.") from error
        raise RemoteError(f"{where} refused the request (HTTP {status}): try again later.") from error
    except (httpx2.HTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError, OSError) as error:
        raise RemoteError(f"{where} cannot be reached: check the network, and try again later.") from error
