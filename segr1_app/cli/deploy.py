"""``deploy``: this checkout as a Hugging Face Space, with a private dataset for the annotations made there."""

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
"""The files uploaded to a Space, without tests and stray files."""
LEFT_OUT: Final = ("**/__pycache__/**",)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a deployment: a description, and the call to the hub's API that performs it."""

    words: str
    do: Callable[[HfApi], Any]


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "deploy",
        help="put the app on a Hugging Face Space",
        description="Create or update a Space from this code, and the private dataset that stores its annotations. "
        "The account that owns the Space is its admin; name others in its variables SEGR1_ADMINS, SEGR1_REVIEWERS and "
        "SEGR1_ANNOTATORS, and at least one if the owner is an organisation, because nobody can sign in as an "
        "organisation. The "
        "token "
        "is that of 'hf auth login', or HF_TOKEN. With --dataset, the Space gets its own token as a secret, from "
        "SEGR1_SPACE_TOKEN, else the same one; a token that can only write to this dataset is safer. If the Space "
        "exists, "
        "the given options are changed and its code is replaced by this code.",
    )
    parser.add_argument("space", metavar="OWNER/NAME", help="the Space")
    parser.add_argument("--private", action="store_true", help="make a new Space private")
    parser.add_argument(
        "--hardware",
        metavar="NAME",
        help="hardware of the Space, such as cpu-basic, l4x1 or zero-a10g; the full models run on a GPU, else the "
        "embedded ones (default: unchanged; cpu-basic for a new one)",
    )
    parser.add_argument("--dataset", metavar="OWNER/NAME", help="private dataset for the annotations (default: none)")
    parser.add_argument(
        "--broad-token",
        action="store_true",
        help="give the Space a token that can do more than write to --dataset, such as one of type 'write'",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, without using the network")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Deploy, or show what would be done.

    Raises:
        SettingsError: for an invalid name, without a token, or with a token that can do more than the Space needs.
        RemoteError: when the hub refuses it.
    """
    if not (ROOT / SHIPPED[0]).is_file():
        raise SettingsError("deploy uploads the source code: run it in a checkout of the project, not installed.")
    for name in filter(None, (arguments.space, arguments.dataset)):
        if name.count("/") != 1 or not all(name.split("/")):
            raise SettingsError(f"'{name}' must look like OWNER/NAME.")
    steps = plan(arguments.space, arguments.private, arguments.hardware, arguments.dataset)
    if arguments.dry_run:
        print("Dry run: nothing is changed, no network is used.")  # noqa: T201
        for number, step in enumerate(steps, start=1):
            print(f"{number}. {step.words}")  # noqa: T201
        return 0

    from huggingface_hub import HfApi, get_token  # noqa: PLC0415 - half a second

    from segr1_app.sync.hub import reached  # noqa: PLC0415

    if get_token() is None:
        raise SettingsError(
            "There is no token for the hub: run 'hf auth login', or set HF_TOKEN to a token with write access."
        )
    api = HfApi()
    if arguments.dataset and not arguments.broad_token:
        with reached("The account of the token"):
            _check_breadth(api, arguments.dataset)
    for step in steps:
        print(step.words, flush=True)  # noqa: T201
        with reached(f"The Space '{arguments.space}', or its dataset,"):
            step.do(api)
    print(f"It is being built: {api.endpoint}/spaces/{arguments.space}")  # noqa: T201
    return 0


def plan(
    space: str, private: bool, hardware: str | None, dataset: str | None, environ: Mapping[str, str] = os.environ
) -> list[Step]:
    """The steps in order: the code is uploaded last, so that it starts with its settings and on its hardware.

    Raises:
        SettingsError: for unknown hardware.
    """
    from huggingface_hub import SpaceHardware  # noqa: PLC0415 - takes half a second

    from segr1_app.sync.hub import make_private_dataset  # noqa: PLC0415

    if hardware and hardware not in list(SpaceHardware):
        raise SettingsError(f"--hardware {hardware} must be one of {', '.join(SpaceHardware)}.")
    flavour = SpaceHardware(hardware) if hardware else None
    steps = [
        Step(
            f"Create the {'private' if private else 'public'} Space {space}, unless it exists",
            lambda api: api.create_repo(
                space, repo_type="space", space_sdk="gradio", space_hardware=flavour, private=private, exist_ok=True
            ),
        )
    ]
    variables: dict[str, str] = {}
    if flavour:
        steps.append(
            Step(f"Request the hardware {flavour.value}", lambda api: api.request_space_hardware(space, flavour)),
        )
        # Even for the defaults, because the Space may have run on other hardware before.
        variables["SEGR1_MODELS"] = "embedded" if flavour.startswith("cpu-") else "full"
    if dataset:
        variables["SEGR1_DATASET"] = dataset
        source = "SEGR1_SPACE_TOKEN" if environ.get("SEGR1_SPACE_TOKEN") else "the token of this command"
        steps += [
            Step(
                f"Create the private dataset {dataset}, unless it exists; stop if it exists and is public",
                lambda api: make_private_dataset(api, dataset),
            ),
            Step(
                f"Set the secret HF_TOKEN of {space}, from {source}",
                lambda api: api.add_space_secret(space, "HF_TOKEN", environ.get("SEGR1_SPACE_TOKEN") or _token()),
            ),
        ]
    return [*steps, *(_variable(space, name, value) for name, value in variables.items()), _upload(space)]


def _upload(space: str) -> Step:
    files = shipped()
    size = sum(file.stat().st_size for file in files) / 2**20
    return Step(
        f"Upload {len(files)} files ({size:.0f} MiB) of {ROOT}, and delete other files of {space} in their folders:\n"
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


def _check_breadth(api: HfApi, dataset: str, environ: Mapping[str, str] = os.environ) -> None:
    """Check that the Space's token has only the access it needs: anybody who breaks into the Space gets the token.

    Raises:
        SettingsError: when the token can write to all repositories of its owner.
    """
    account = api.whoami(token=environ.get("SEGR1_SPACE_TOKEN") or _token())
    token = account.get("auth", {}).get("accessToken", {})
    scopes = token.get("fineGrained", {}).get("scoped", [])
    # One of the kind 'fineGrained' may be as broad: for an account, that is, and not for repositories by name.
    whole = [scope["entity"].get("name") for scope in scopes if scope["entity"].get("type") in ("user", "org")]
    writes = any("repo.write" in scope.get("permissions", ()) for scope in scopes)
    if token.get("role") in ("write", "read") or (whole and writes):
        raise SettingsError(
            f"The token for the Space is of type '{token['role']}' and covers everything of "
            f"{', '.join(map(str, whole)) or account.get('name')}: make one "
            f"under {api.endpoint}/settings/tokens/new?tokenType=fineGrained, with 'Write access to contents' of the "
            f"dataset {dataset} only (create it first, as private), and put it into SEGR1_SPACE_TOKEN; or add "
            "--broad-token to use this one anyway."
        )


def shipped() -> list[Path]:
    """The files that are uploaded to a Space."""
    found = {file for pattern in SHIPPED for file in ROOT.glob(pattern.replace("**", "**/*")) if file.is_file()}
    return sorted(file for file in found if "__pycache__" not in file.parts)


def _variable(space: str, name: str, value: str) -> Step:
    return Step(
        f"Set the variable {name} of {space} to {value}", lambda api: api.add_space_variable(space, name, value)
    )


def _token() -> str:
    from huggingface_hub import get_token  # noqa: PLC0415

    return get_token() or ""
