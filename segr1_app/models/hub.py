"""Models on the model hub: which files they need, whether those are on this machine, and how to download them.

Files are in the cache that all Hugging Face programs share (``HF_HOME``). Complete files there are used without any
network request.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    DryRunError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from segr1_app.domain import ModelError
from segr1_app.files.json_files import read_json

REPO_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
INDEX_FILE = "model.safetensors.index.json"
POLICY_WEIGHTS = "*.safetensors"
SAM3 = "facebook/sam3"
LOGIN = "run 'hf auth login' on this machine"


@dataclass(frozen=True, slots=True)
class HubModel:
    """A repository on the model hub and the files that are loaded from it.

    Attributes:
        repo_id: "owner/name".
        option: the argument that names it, for messages.
        weights: pattern of its weight files.
        others: patterns of the other files that are needed.
    """

    repo_id: str
    option: str
    weights: str
    others: tuple[str, ...] = ()

    def cached(self) -> Path | None:
        """The folder of its files on this machine if all of them are there, else None; uses no network."""
        try:
            folder = Path(snapshot_download(self.repo_id, allow_patterns=self._patterns, local_files_only=True))
        except (LocalEntryNotFoundError, HFValidationError):
            return None
        return folder if weights_are_whole(folder, self.weights) else None

    def fetch(self, progress: type[Any] | None = None) -> Path:
        """Download the files that are missing and return their folder; complete files are not downloaded again.

        Args:
            progress: a tqdm class that counts the bytes.

        Raises:
            ModelError: when they are not available; the message names what to change.
        """
        folder = self.cached()
        if folder is not None:
            return folder
        try:
            folder = Path(snapshot_download(self.repo_id, allow_patterns=self._patterns, tqdm_class=progress))
        except (OSError, httpx2.HTTPError, HFValidationError) as error:
            raise ModelError(self._failure(error)) from error
        if not weights_are_whole(folder, self.weights):
            raise ModelError(
                f"The repository {self.repo_id} has no {self.weights} to load: choose another {self.option}."
            )
        return folder

    def bytes_to_fetch(self) -> int:
        """The number of bytes that `fetch` would download.

        Raises:
            ModelError: as `fetch`.
        """
        try:
            files = snapshot_download(self.repo_id, allow_patterns=self._patterns, dry_run=True)
        except (OSError, httpx2.HTTPError, HFValidationError) as error:
            raise ModelError(self._failure(error)) from error
        return sum(file.file_size or 0 for file in files if file.will_download)

    @property
    def _patterns(self) -> list[str]:
        return [self.weights, *self.others]

    def _failure(self, error: Exception) -> str:
        """A sentence that explains why the files are not available and what to change."""
        # The hub's client wraps most errors into "not found here either" or "cannot be tried".
        cause = (isinstance(error, LocalEntryNotFoundError | DryRunError) and error.__cause__) or error
        number = cause.errno if isinstance(cause, OSError) else None
        name, cache, folder_instead = self.repo_id, constants.HF_HUB_CACHE, f"give {self.option} a model folder"
        if isinstance(cause, GatedRepoError):
            why = f"ask for access to {name} at {constants.ENDPOINT}/{name}, then {LOGIN}"
        elif isinstance(cause, RepositoryNotFoundError | HFValidationError):
            why = f"the hub has no {name}, or it is private: check the name given to {self.option}, or {LOGIN}"
        elif isinstance(cause, OfflineModeIsEnabled):
            why = f"HF_HUB_OFFLINE forbids downloading {name}: unset it, or {folder_instead}"
        elif isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            why = f"the hub answered with error {status} when asked for {name}: try again later, or {folder_instead}"
        elif number in {errno.ENOSPC, errno.EDQUOT}:
            why = f"no disk space for {name}: free some in '{cache}', or set HF_HOME to a folder on another disk"
        elif number in {errno.EACCES, errno.EROFS, errno.EPERM}:
            why = f"'{cache}' is not writable: set HF_HOME to a writable folder"
        elif isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
            why = f"{name} is not on this machine and the hub cannot be reached: check the network, or {folder_instead}"
        else:
            why = f"the download of {name} was interrupted: check the network and try again; complete files are kept"
        return f"From the model hub: {why}."


def weights_are_whole(folder: Path, pattern: str) -> bool:
    """Whether a model's folder has all of its weights; for some caches the hub's own client cannot decide.

    Args:
        folder: the model's folder.
        pattern: pattern of its weight files.
    """
    index = folder / INDEX_FILE
    if not index.is_file():
        return any(folder.glob(pattern))
    try:
        shards = set(read_json(index)["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return all((folder / shard).is_file() for shard in shards)


def policy_on_hub(repo_id: str) -> HubModel:
    """A policy as transformers saves it."""
    return HubModel(repo_id, "--policy", POLICY_WEIGHTS, ("*.json", "*.jinja", "*.txt"))


def segmenter_on_hub(repo_id: str) -> HubModel:
    """A SAM 2 as the sam2 package reads it (the transformers weights in the same repository use different names
    throughout), or SAM 3 as transformers reads it.
    """
    if repo_id == SAM3:
        return HubModel(repo_id, "--segmenter", "model.safetensors", ("*.json", "*.txt"))
    return HubModel(repo_id, "--segmenter", "*.pt")


def is_repo_id(source: str) -> bool:
    """Whether a text can be the id of a repository; "./folder" and the like cannot."""
    return REPO_ID.fullmatch(source) is not None
