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
"""Files that are fetched at a time."""


class HubRemote:
    """A dataset of the hub; made, and private, when there is none.

    Each `add` is one commit: whoever reads gets all of it or nothing.

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
    """Make a dataset that only its owner sees, unless it is there.

    Raises:
        RemoteError: when it is there for everybody to see: pictures and names of annotators are not put there unasked.
    """
    api.create_repo(dataset, repo_type="dataset", private=True, exist_ok=True)
    if not api.dataset_info(dataset).private:
        raise RemoteError(
            f"The dataset '{dataset}' is public, and what is annotated would be, too: make it private in its settings "
            "on the hub, or name another one."
        )


@contextmanager
def reached(where: str) -> Iterator[None]:
    """Turn what the hub's client raises into a `RemoteError` that says what to do; ``where`` begins its sentence."""
    try:
        yield
    except RepositoryNotFoundError as error:
        raise RemoteError(f"{where} is not there, or HF_TOKEN may not see it: check both.") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise RemoteError(f"{where} may not be written to: put a token with write access into HF_TOKEN.") from error
        raise RemoteError(f"{where} did not take it (HTTP {status}): try again later.") from error
    except (httpx2.HTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError, OSError) as error:
        raise RemoteError(f"{where} cannot be reached: check the network, and try again later.") from error
