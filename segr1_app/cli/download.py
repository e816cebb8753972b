"""``download``: download the full models, or others on the model hub, to this machine."""

from __future__ import annotations

import argparse
from typing import Any

from segr1_app.domain import SettingsError
from segr1_app.models.hub import is_repo_id, policy_on_hub, segmenter_on_hub
from segr1_app.settings.config import FULL_POLICY, FULL_SEGMENTER


def add_command(commands: Any) -> None:
    """Declare the command among argparse's ``commands``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "download",
        help="download the full models from the model hub",
        description="Download a policy and a segmenter into the hub's cache on this machine (HF_HOME), where the app "
        "finds them and uses them on a GPU. If interrupted, run it again to download the rest.",
    )
    parser.add_argument("--policy", default=FULL_POLICY, metavar="ID", help="(default: %(default)s)")
    parser.add_argument("--segmenter", default=FULL_SEGMENTER, metavar="ID", help="(default: %(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Download both.

    Raises:
        SegR1Error: when one of them is not available.
    """
    for option, repo_id in (("--policy", arguments.policy), ("--segmenter", arguments.segmenter)):
        if not is_repo_id(repo_id):
            raise SettingsError(f"{option} {repo_id} is not a name on the model hub: give one such as {FULL_POLICY}.")
    for model in (policy_on_hub(arguments.policy), segmenter_on_hub(arguments.segmenter)):
        if model.cached() is None:
            print(f"{model.repo_id}: {model.bytes_to_fetch() / 1e9:.2f} GB to download", flush=True)  # noqa: T201
        print(f"{model.repo_id} is in {model.fetch()}", flush=True)  # noqa: T201
    return 0
