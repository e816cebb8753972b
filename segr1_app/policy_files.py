"""A policy on disk: its folder, here or from the hub, its card, and in words why it cannot be loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from segr1_app.config import FULL_POLICY
from segr1_app.dialects import SEGR1
from segr1_app.domain import ModelError
from segr1_app.hub import is_repo_id, policy_on_hub
from segr1_app.jsonfiles import read_json

CARD_FILE = "segr1.json"


@dataclass(frozen=True, slots=True)
class PolicyCard:
    """What a policy that was trained by this project says of itself in ``segr1.json``.

    Attributes:
        instructions: those it was trained on; none for one that takes any.
        understands: one plain sentence for the page about what it can be asked; empty for one that takes anything.
        dialect: what it speaks.
    """

    instructions: tuple[str, ...] = ()
    understands: str = ""
    dialect: str = SEGR1.name


def read_card(folder: Path) -> PolicyCard | None:
    """The card in a policy's folder; None where there is none, as for every model that was trained elsewhere.

    Raises:
        ModelError: when there is one that cannot be read.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        return None
    try:
        card = read_json(path)
        return PolicyCard(tuple(card["instructions"]), str(card["understands"]), str(card.get("dialect", SEGR1.name)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"'{path}' is not a policy card: it needs 'instructions' and 'understands'.") from error


def policy_folder(source: str) -> Path:
    """The folder in which a policy's files lie; a hub id is downloaded unless it is here.

    Raises:
        ModelError: when there is none, or the hub does not give them.
    """
    folder = Path(source)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"'{source}' holds no policy: config.json is missing. Give --policy a folder saved by transformers."
            )
        return folder
    if not is_repo_id(source):
        raise ModelError(
            f"There is no folder '{source}': give --policy an existing folder or a hub id such as {FULL_POLICY}."
        )
    return policy_on_hub(source).fetch()


def load_failure(source: str, error: Exception) -> str:
    """One sentence that names what to change when the files of ``source`` are here and cannot be loaded."""
    if "trust_remote_code" in str(error):
        return f"{source} needs code of its own, and code from a model is never run here: choose another --policy."
    if isinstance(error, SafetensorError):
        return f"The policy in '{source}' cannot be loaded, its weights are damaged: get them anew. ({error})"
    reason = " ".join(str(error).split())
    return f"The policy in '{source}' cannot be loaded: {reason}"
