"""``deploy``: this very code as a Hugging Face Space, with a private dataset for what people annotate there."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from segr1_app.config import ASSETS
from segr1_app.domain import SettingsError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ROOT: Final = ASSETS.parent
SHIPPED: Final = (
    "app.py",
    "README.md",
    "LICENSE",
    "requirements.txt",
    "packages.txt",
    "segr1_app/**",
    "train/**",
    "assets/**",
)
"""What a Space is made of: no tests, and nothing that lies about."""
LEFT_OUT: Final = ("**/__pycache__/**",)
FULL_MODELS: Final = {"SEGR1_MODELS": "full"}
"""What runs where there is a GPU."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done on the hub: in words, and by its API."""

    words: str
    do: Callable[[HfApi], Any]


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "deploy",
        help="put the app on a Hugging Face Space",
        description="Make or update a Space from this code, and the private dataset that keeps what is annotated "
        "there. The Space's owner is its admin; name others in its variables SEGR1_ADMINS, SEGR1_REVIEWERS and "
        "SEGR1_ANNOTATORS. The token is that of 'hf auth login', or HF_TOKEN. With --dataset the Space gets one of its "
        "own as a secret, from SEGR1_SPACE_TOKEN, else the same: one that may write to this dataset only is safer.",
    )
    parser.add_argument("space", metavar="OWNER/NAME", help="the Space")
    parser.add_argument("--private", action="store_true", help="show a new Space to nobody but its owner")
    parser.add_argument(
        "--hardware",
        metavar="NAME",
        help="what it runs on, such as t4-small or a100-large; anything but cpu-… gets the full-size models "
        "(default: as it is; cpu-basic for a new one)",
    )
    parser.add_argument("--dataset", metavar="OWNER/NAME", help="private dataset for the annotations (default: none)")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and ask no network for anything"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Deploy, or say how.

    Raises:
        SettingsError: for a name that is none, or without a token.
        RemoteError: when the hub does not take it.
    """
    for name in filter(None, (arguments.space, arguments.dataset)):
        if name.count("/") != 1 or not all(name.split("/")):
            raise SettingsError(f"'{name}' is no OWNER/NAME.")
    steps = plan(arguments.space, arguments.private, arguments.hardware, arguments.dataset)
    if arguments.dry_run:
        for step in steps:
            print(step.words)  # noqa: T201
        print(f"\nFiles: {len(shipped())} of {ROOT}, {sum(file.stat().st_size for file in shipped()) / 2**20:.0f} MiB")  # noqa: T201
        return 0

    from huggingface_hub import HfApi, get_token  # noqa: PLC0415 - half a second

    from segr1_app.sync.hub import reached  # noqa: PLC0415

    if get_token() is None:
        raise SettingsError(
            "There is no token for the hub: run 'hf auth login', or put one that may write into HF_TOKEN."
        )
    api = HfApi()
    for step in steps:
        print(step.words, flush=True)  # noqa: T201
        with reached(f"The Space '{arguments.space}', or its dataset,"):
            step.do(api)
    print(f"It is being built: {api.endpoint}/spaces/{arguments.space}")  # noqa: T201
    return 0


def plan(
    space: str, private: bool, hardware: str | None, dataset: str | None, environ: Mapping[str, str] = os.environ
) -> list[Step]:
    """What to do, in this order: the code comes last but for the hardware, so that it starts with its settings.

    Raises:
        SettingsError: for hardware that there is not.
    """
    from huggingface_hub import SpaceHardware  # noqa: PLC0415 - half a second that no other command waits for

    if hardware and hardware not in list(SpaceHardware):
        raise SettingsError(f"--hardware {hardware} is none of {', '.join(SpaceHardware)}.")
    kind = "private" if private else "public"
    steps = [
        Step(
            f"Make the {kind} Space {space}, unless it is there",
            lambda api: api.create_repo(space, repo_type="space", space_sdk="gradio", private=private, exist_ok=True),
        )
    ]
    variables: dict[str, str] = {}
    if hardware and not hardware.startswith("cpu-"):
        variables |= FULL_MODELS
    if dataset:
        variables["SEGR1_DATASET"] = dataset
        steps.append(
            Step(
                f"Make the private dataset {dataset}, unless it is there",
                lambda api: api.create_repo(dataset, repo_type="dataset", private=True, exist_ok=True),
            )
        )
        source = "SEGR1_SPACE_TOKEN" if environ.get("SEGR1_SPACE_TOKEN") else "the token of this command"
        steps.append(
            Step(
                f"Set the secret HF_TOKEN, from {source}",
                lambda api: api.add_space_secret(space, "HF_TOKEN", environ.get("SEGR1_SPACE_TOKEN") or _token()),
            )
        )
    steps += [_variable(space, name, value) for name, value in variables.items()]
    steps.append(
        Step(
            f"Upload {', '.join(SHIPPED)}",
            lambda api: api.upload_folder(
                repo_id=space,
                repo_type="space",
                folder_path=ROOT,
                allow_patterns=list(SHIPPED),
                ignore_patterns=list(LEFT_OUT),
                delete_patterns=list(SHIPPED),
                commit_message="Deploy",
            ),
        )
    )
    if hardware:
        steps.append(
            Step(
                f"Ask for the hardware {hardware}",
                lambda api: api.request_space_hardware(space, SpaceHardware(hardware)),
            )
        )
    return steps


def shipped() -> list[Path]:
    """The files that a Space is made of."""
    found = {file for pattern in SHIPPED for file in ROOT.glob(pattern.replace("**", "**/*")) if file.is_file()}
    return sorted(file for file in found if "__pycache__" not in file.parts)


def _variable(space: str, name: str, value: str) -> Step:
    return Step(f"Set the variable {name} to {value}", lambda api: api.add_space_variable(space, name, value))


def _token() -> str:
    from huggingface_hub import get_token  # noqa: PLC0415

    return get_token() or ""
