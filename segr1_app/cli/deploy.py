"""``deploy``: this very code as a Hugging Face Space, with a private dataset for what people annotate there."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from segr1_app.domain import SettingsError
from segr1_app.settings.config import CHECKOUT

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ROOT: Final = CHECKOUT
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
        "there. The account that owns the Space is its admin; name others in its variables SEGR1_ADMINS, "
        "SEGR1_REVIEWERS and SEGR1_ANNOTATORS, and at least one where the owner is an organisation, as which nobody "
        "signs in. The token is that of 'hf auth login', or HF_TOKEN. With --dataset the Space gets one of its "
        "own as a secret, from SEGR1_SPACE_TOKEN, else the same: one that may write to this dataset only is safer. "
        "Where the Space is there already, what is asked for is changed, and this code takes the place of what it has.",
    )
    parser.add_argument("space", metavar="OWNER/NAME", help="the Space")
    parser.add_argument("--private", action="store_true", help="show a new Space to nobody but its owner")
    parser.add_argument(
        "--hardware",
        metavar="NAME",
        help="what it runs on, such as cpu-basic, l4x1 or zero-a10g; with a GPU the full-size models run, else the "
        "embedded ones (default: as it is; cpu-basic for a new one)",
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
    if not (ROOT / SHIPPED[0]).is_file():
        raise SettingsError("deploy uploads the source code: run it in a checkout of the project, not installed.")
    for name in filter(None, (arguments.space, arguments.dataset)):
        if name.count("/") != 1 or not all(name.split("/")):
            raise SettingsError(f"'{name}' is no OWNER/NAME.")
    steps = plan(arguments.space, arguments.private, arguments.hardware, arguments.dataset)
    if arguments.dry_run:
        print("This is what would be done; nothing is, and no network is asked.")  # noqa: T201
        for number, step in enumerate(steps, start=1):
            print(f"{number}. {step.words}")  # noqa: T201
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
    """What to do, in this order: the code comes last, so that it starts with its settings and on its hardware.

    Raises:
        SettingsError: for hardware that there is not.
    """
    from huggingface_hub import SpaceHardware  # noqa: PLC0415 - half a second that no other command waits for

    from segr1_app.sync.hub import make_private_dataset  # noqa: PLC0415

    if hardware and hardware not in list(SpaceHardware):
        raise SettingsError(f"--hardware {hardware} is none of {', '.join(SpaceHardware)}.")
    flavour = SpaceHardware(hardware) if hardware else None
    steps = [
        Step(
            f"Make the {'private' if private else 'public'} Space {space}, unless it is there",
            lambda api: api.create_repo(
                space, repo_type="space", space_sdk="gradio", space_hardware=flavour, private=private, exist_ok=True
            ),
        )
    ]
    variables: dict[str, str] = {}
    if flavour:
        steps.append(
            Step(f"Ask for the hardware {flavour.value}", lambda api: api.request_space_hardware(space, flavour)),
        )
        # Also where nothing but the usual is wanted: the Space may have run on other hardware before.
        variables["SEGR1_MODELS"] = "embedded" if flavour.startswith("cpu-") else "full"
    if dataset:
        variables["SEGR1_DATASET"] = dataset
        source = "SEGR1_SPACE_TOKEN" if environ.get("SEGR1_SPACE_TOKEN") else "the token of this command"
        steps += [
            Step(
                f"Make the private dataset {dataset}, unless it is there; go no further if it is there and public",
                lambda api: make_private_dataset(api, dataset),
            ),
            Step(
                f"Set the secret HF_TOKEN of {space}, from {source}",
                lambda api: api.add_space_secret(space, "HF_TOKEN", environ.get("SEGR1_SPACE_TOKEN") or _token()),
            ),
        ]
    steps += [_variable(space, name, value) for name, value in variables.items()]
    files = shipped()
    size = sum(file.stat().st_size for file in files) / 2**20
    steps.append(
        Step(
            f"Upload {len(files)} files ({size:.0f} MiB) of {ROOT}, and delete what {space} has in their place:\n"
            f"   {', '.join(SHIPPED)}",
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
    return steps


def shipped() -> list[Path]:
    """The files that a Space is made of."""
    found = {file for pattern in SHIPPED for file in ROOT.glob(pattern.replace("**", "**/*")) if file.is_file()}
    return sorted(file for file in found if "__pycache__" not in file.parts)


def _variable(space: str, name: str, value: str) -> Step:
    return Step(
        f"Set the variable {name} of {space} to {value}", lambda api: api.add_space_variable(space, name, value)
    )


def _token() -> str:
    from huggingface_hub import get_token  # noqa: PLC0415

    return get_token() or ""
