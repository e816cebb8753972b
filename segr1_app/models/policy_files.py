"""A policy on disk: its folder, local or from the hub, its card, and explanations of why it cannot be loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError

from segr1_app.domain import ModelError
from segr1_app.files.json_files import read_json
from segr1_app.language.protocol import Bounds, CoordinateFrame
from segr1_app.language.protocol_files import DEFAULT
from segr1_app.language.typed_text import one_line
from segr1_app.models.foreign_folder import check_policy_files
from segr1_app.models.hub import POLICY_WEIGHTS, is_repo_id, policy_on_hub, weights_are_whole
from segr1_app.settings.config import FULL_POLICY

CARD_FILE = "segr1.json"
PROTOCOL_FILE = "protocol.yaml"
"""The protocol of a policy that was trained with a custom one, next to its card."""
ADAPTER_CONFIG = "adapter_config.json"
MAX_BOUND = 2**40
"""Most pixels that a bound of an image processor may name."""
FILLERS = frozenset(
    {
        "a",
        "an",
        "the",
        "this",
        "that",
        "which",
        "it",
        "its",
        "is",
        "me",
        "my",
        "and",
        "in",
        "of",
        "on",
        "at",
        "to",
        "for",
    }
    | {"please", "picture", "photo", "image"}
)
"""Words that may stand in any instruction."""
SHARED_OUT = ("pytorch_model_fsdp*", "global_step*")
"""Name patterns of the shards of a policy saved by FSDP or ZeRO."""


_SYNONYM: Final = re.compile(r"[a-z]{1,40}(?: [a-z]{1,40}){0,3}")


@dataclass(frozen=True, slots=True)
class PolicyCard:
    """The description of a policy trained by this project, in ``segr1.json``.

    Attributes:
        instructions: those it was trained on; empty if it takes any.
        understands: a plain sentence for the page about the instructions it accepts; empty if it takes any.
        protocol: the name of its protocol, or `PROTOCOL_FILE` for the file of that name next to the card.
        reading: which of its protocol's two coordinate ranges it uses; None if that was not measured.
        synonyms: words that it was not taught, in lower case, with those that it was taught instead: "puppy": "dog".
    """

    instructions: tuple[str, ...] = ()
    understands: str = ""
    protocol: str = DEFAULT
    reading: CoordinateFrame | None = None
    synonyms: Mapping[str, str] = field(default_factory=dict)

    def unknown_words(self, instruction: str) -> tuple[str, ...]:
        """The words of an instruction that none of the instructions it was trained on has, in order.

        Words that carry no meaning of their own do not count; a policy that takes any instruction knows every word.
        """
        if not self.instructions:
            return ()
        known = FILLERS.union(*map(_words, self.instructions))
        taught = self.in_its_words(instruction)
        return tuple(dict.fromkeys(word for word in _words(taught) if word not in known))

    def in_its_words(self, instruction: str) -> str:
        """An instruction with words that it was taught in the place of their synonyms."""
        if not self.synonyms:
            return instruction
        # Of "hot dog" and "dog", the longer one is meant.
        words = "|".join(map(re.escape, sorted(self.synonyms, key=len, reverse=True)))
        return re.sub(
            rf"\b(?:{words})\b",
            lambda found: self.synonyms[found[0].lower()],
            instruction,
            flags=re.IGNORECASE | re.ASCII,
        )

    def protocol_in(self, folder: Path) -> str:
        """The name of the protocol, or the path of its file, of the policy in this folder."""
        # Whatever a card names, no file is read other than the one next to it.
        return str(folder / PROTOCOL_FILE) if self.protocol.endswith((".yaml", ".yml")) else self.protocol


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def read_card(folder: Path) -> PolicyCard | None:
    """Read the card in a policy's folder; None if there is none, as for every model trained elsewhere.

    Raises:
        ModelError: when it exists but cannot be read.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        return None
    try:
        card = read_json(path)
        # Protocols used to be called dialects.
        protocol = str(card.get("protocol", card.get("dialect", DEFAULT)))
        reading = card.get("reading")
        texts = [*card["instructions"], card["understands"]]
        if not isinstance(card["instructions"], list) or not all(isinstance(text, str) for text in texts):
            raise ValueError("its instructions are not a list of strings, or what it understands is not a string")
        return PolicyCard(
            tuple(card["instructions"]),
            card["understands"],
            protocol,
            None if reading is None else CoordinateFrame(reading),
            _synonyms(card.get("synonyms", {})),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"'{path}' is not a policy card: it needs 'instructions' and 'understands'; its 'synonyms', if it has any, "
            "must be words of small letters."
        ) from error


def _synonyms(found: Any) -> dict[str, str]:
    """Synonyms as they are written in a card.

    Raises:
        ValueError: when they are not words of small letters, a to z, with one space between two.
        AttributeError: when they are not an object.
    """
    for pair in found.items():
        if not all(isinstance(word, str) and _SYNONYM.fullmatch(word) for word in pair):
            raise ValueError(f"{str(pair)[:80]} are not two words")
    return dict(found)


def read_bounds(folder: Path) -> Bounds | None:
    """The bounds set by the image processor in a policy's folder; None if the folder does not have them.

    Raises:
        ModelError: when its file cannot be read.
    """
    for name in ("processor_config.json", "preprocessor_config.json"):
        path = folder / name
        if not path.is_file():
            continue
        try:
            found = read_json(path)
            images = found.get("image_processor", found)
            size = images.get("size") or {}
            least = size.get("shortest_edge", images.get("min_pixels"))
            most = size.get("longest_edge", images.get("max_pixels"))
            return Bounds(_whole(images["patch_size"]) * _whole(images["merge_size"]), _whole(least), _whole(most))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = repr(error)[:200]
            raise ModelError(f"'{path}' does not describe an image processor: {reason}.") from error
    return None


def _whole(value: object) -> int:
    """A number of pixels.

    Raises:
        ValueError: when it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_BOUND:
        raise ValueError(f"{str(value)[:40]!r} is not a number of pixels")
    return value


def policy_folder(source: str) -> Path:
    """The folder of a policy's files; a hub id is downloaded if missing.

    Raises:
        ModelError: when there is none, or the hub does not provide it.
    """
    check_policy_source(source)
    folder = Path(source)
    if folder.is_dir():
        return folder
    fetched = policy_on_hub(source).fetch()
    check_policy_files(fetched)
    return fetched


def check_policy_source(source: str) -> None:
    """Check that a policy can be looked for: a folder with a complete one, or a hub id. Nothing is downloaded.

    Raises:
        ModelError: when it cannot.
    """
    folder = Path(source)
    if folder.is_dir():
        check_whole(folder)
        check_policy_files(folder)
    elif not is_repo_id(source):
        raise ModelError(
            f"There is no folder '{source}': give --policy an existing folder or a hub id such as {FULL_POLICY}."
        )


def check_whole(folder: Path) -> None:
    """Check that a folder contains a complete policy; only checks that its files exist.

    Raises:
        ModelError: when it does not; the message says what it contains instead.
    """
    if any(path for pattern in SHARED_OUT for path in folder.glob(pattern)) and not any(folder.glob(POLICY_WEIGHTS)):
        raise ModelError(
            f"'{folder}' contains a sharded policy, as FSDP or ZeRO save it per process: give a checkpoint that "
            "was saved in one piece (FULL_STATE_DICT, or zero3_save_16bit_model)."
        )
    if (folder / ADAPTER_CONFIG).is_file():
        raise ModelError(
            f"'{folder}' contains an adapter without its policy: give the folder 'policy' of its training run."
        )
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"'{folder}' contains no policy: config.json is missing. Give --policy a folder saved by transformers."
        )
    if not weights_are_whole(folder, POLICY_WEIGHTS):
        raise ModelError(f"The policy in '{folder}' is incomplete, weight files are missing: download it again.")


def load_failure(source: str, error: Exception) -> str:
    """A sentence that says what to change when the files of ``source`` are complete but cannot be loaded."""
    if "trust_remote_code" in str(error):
        return f"{source} needs custom code, and code from a model is never run here: choose another --policy."
    if isinstance(error, SafetensorError):
        return f"The policy in '{source}' cannot be loaded, its weights are damaged: download it again. ({error})"
    reason = one_line(str(error))
    return f"The policy in '{source}' cannot be loaded: {reason}"
