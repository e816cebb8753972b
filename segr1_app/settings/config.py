"""Settings of a run, read once from command-line arguments whose defaults are ``SEGR1_*`` environment variables."""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segr1_app.domain import Effort, SettingsError
from segr1_app.settings.hosts import Address, check_server_url, read_address
from segr1_app.settings.promotion import PROMOTED_FILES, promoted
from segr1_app.settings.roles import Role
from segr1_app.settings.space import Space

PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parent
"""The folder of the source code; for an installed package, the folder in which it is installed."""
ASSETS = PACKAGE / "assets" if (PACKAGE / "assets").is_dir() else CHECKOUT / "assets"
"""The embedded models and pictures: a wheel carries the models inside the package, a checkout has them next to it."""
DEFAULT_POLICY = ASSETS / "models" / "policy"
DEFAULT_SEGMENTER = ASSETS / "models" / "segmenter"
FULL_POLICY = "geshang/Seg-R1-3B"
FULL_SEGMENTER = "facebook/sam2.1-hiera-large"
DEFAULT_HOME = Path(".segr1")
POLICY_KEY = "SEGR1_POLICY_KEY"
"""The environment variable with the key of a policy server. It is not a setting, because settings are logged and
compared.
"""
DEFAULT_PORT = 7860
LOOPBACK = ("127.0.0.1", "localhost", "::1")

AUTO = "auto"
MODELS = ("auto", "embedded", "full")
DTYPES = ("auto", "float32", "bfloat16", "float16")
ATTENTIONS = ("auto", "sdpa", "flash_attention_2", "eager")
VISITORS = tuple(role.value for role in Role if role is not Role.ADMIN)
LOGS = ("text", "json")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a process.

    Attributes:
        home: the data folder, with database, pictures and runs.
        models: the pair to use where policy or segmenter is "auto": "embedded", "full", or "auto", which means the full
            one if it can run right away.
        policy: a folder or a hub id of a transformers image-text-to-text model, or "auto" for that of the pair.
        segmenter: a folder or a hub id of a sam2 model, or "auto" for that of the pair.
        concepts: a folder or the hub id of a SAM 3 whose concept model finds all instances; None for none.
        device: a torch device such as "cpu" or "cuda:1", or "auto" for the GPU if there is one.
        dtype: the policy's number format, or "auto" for bfloat16 on a GPU and float32 elsewhere.
        attention: the policy's attention kernel, or "auto" for flash-attention if installed and on a GPU, else SDPA.
        protocol: how the policy is prompted and its answers are parsed: the name or file of a protocol, or "auto" for
            the one it was trained with.
        policy_server: URL of an OpenAI-compatible server that runs the policy; None if it runs in this process.
        host, port, share: address and port of the page, and whether gradio opens a public link to it.
        allowed_hosts: further host names of the page, such as those of proxies in front of it.
        admin: whether every visitor of the page may do everything.
        auth: a file of accounts for signing in with a password; None without sign-in.
        anonymous: the role of visitors from other machines who did not sign in.
        dataset: where annotations are synced to: OWNER/NAME on the model hub, or a folder; None for no sync.
        sync_seconds: seconds between two syncs.
        log: log format: "text" for people, "json" for machines.
    """

    home: Path = DEFAULT_HOME
    models: str = AUTO
    policy: str = AUTO
    segmenter: str = AUTO
    concepts: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    attention: str = "auto"
    protocol: str = "auto"
    policy_server: str | None = None
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    share: bool = False
    allowed_hosts: tuple[Address, ...] = ()
    admin: bool = False
    auth: Path | None = None
    anonymous: str = Role.READER.value
    dataset: str | None = None
    sync_seconds: float = 60.0
    log: str = "text"

    @property
    def offers_training(self) -> bool:
        """Whether everybody may do everything: with ``--admin``, or if only this machine can open the page."""
        return self.admin or (self.auth is None and self.local)

    @property
    def local(self) -> bool:
        """Whether only this machine can open the page: it is reachable by no network, public link or proxy."""
        return self.host in LOOPBACK and not self.share and not self.allowed_hosts

    @property
    def alone(self) -> bool:
        """Whether the page has a single local user, so that no rate limit is needed."""
        return self.local and self.auth is None

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> Settings:
        """The settings in parsed ``arguments``; those that a command does not declare keep their defaults.

        Raises:
            SettingsError: for a port outside 1-65535, a home that is a file, an invalid allowed host, or an unknown
                number format, attention or protocol; for --admin together with --auth.
        """
        given = {name: getattr(arguments, name) for name in cls.__dataclass_fields__ if hasattr(arguments, name)}
        if "allowed_hosts" in given:
            given["allowed_hosts"] = tuple(map(_allowed_host, given["allowed_hosts"]))
        if given.get("policy_server") and not given.get("policy"):
            raise SettingsError("--policy-server needs --policy: the name of the model that it serves.")
        for role in PROMOTED_FILES:
            if role in given and given[role] is None:
                given[role] = ("home" in given and promoted(given["home"], role)) or AUTO
        settings = cls(**given)
        settings.check()
        if settings.home.exists() and not settings.home.is_dir():
            raise SettingsError(f"--home {settings.home} is a file; name a folder (it is created when missing).")
        return settings

    def check(self) -> None:
        """Check every value that can be checked without reading the disk.

        Raises:
            SettingsError: with a message that names the option and its allowed values.
        """
        if not 1 <= self.port <= 65535:
            raise SettingsError(f"--port {self.port} is not a port; choose a number from 1 to 65535.")
        if not 0 < self.sync_seconds < math.inf:
            raise SettingsError(f"--sync-seconds {self.sync_seconds} must be a number greater than 0.")
        if self.admin and self.auth is not None:
            raise SettingsError("--admin lets everybody do everything, --auth makes people sign in: give only one.")
        for name, known in (
            ("models", MODELS),
            ("dtype", DTYPES),
            ("attention", ATTENTIONS),
            ("anonymous", VISITORS),
            ("log", LOGS),
        ):
            # argparse checks values given as arguments, but not those from the environment.
            if getattr(self, name) not in known:
                raise SettingsError(f"--{name} {getattr(self, name)} must be one of {', '.join(known)}.")
        if self.protocol != AUTO:
            from segr1_app.language.protocol_files import find_protocol  # noqa: PLC0415 - brings OpenCV along

            # Checked before models are loaded, which takes too long to find a typing error afterwards.
            find_protocol(self.protocol)
        if self.policy_server is not None:
            check_server_url(self.policy_server)


def _allowed_host(text: str) -> Address:
    address = read_address(text)
    if address is None:
        raise SettingsError(
            f"--allowed-host {text} is not a host name: write studio.example.org, or studio.example.org:8443 for one "
            "port only, without a scheme and a path."
        )
    return address


def add_home_argument(parser: argparse.ArgumentParser, environ: Mapping[str, str] = os.environ) -> None:
    """Declare ``--home``, for every command that stores something in the data folder.

    On a Space, the code folder is read-only, and the disk does not survive a restart anyway.
    """
    usual = Path(tempfile.gettempdir(), "segr1") if Space.from_environ(environ) else DEFAULT_HOME
    parser.add_argument(
        "--home",
        type=Path,
        metavar="DIR",
        default=Path(environ.get("SEGR1_HOME", usual)),
        help="data folder for database, pictures and runs (SEGR1_HOME; default: %(default)s)",
    )


def add_model_arguments(parser: argparse.ArgumentParser, environ: Mapping[str, str] = os.environ) -> None:
    """Declare the arguments of every command that runs models: which models, and how to run them."""
    group = parser.add_argument_group("models")
    group.add_argument(
        "--models",
        choices=MODELS,
        default=environ.get("SEGR1_MODELS", AUTO),
        help=f"the pair to use where no model is named: embedded, full ({FULL_POLICY} and {FULL_SEGMENTER}), or auto: "
        "the full one when it is downloaded and there is a GPU for it (SEGR1_MODELS; default: %(default)s)",
    )
    group.add_argument(
        "--policy",
        metavar="ID|DIR",
        default=environ.get("SEGR1_POLICY"),
        help="policy: a model folder or a hub id such as geshang/Seg-R1-3B (SEGR1_POLICY; default: the one that was "
        "promoted in --home, else that of --models)",
    )
    group.add_argument(
        "--segmenter",
        metavar="ID|DIR",
        default=environ.get("SEGR1_SEGMENTER"),
        help="segmenter: a model folder or a hub id such as facebook/sam2.1-hiera-large or facebook/sam3 "
        "(SEGR1_SEGMENTER; default: the one that was promoted in --home, else that of --models)",
    )
    group.add_argument(
        "--device",
        default=environ.get("SEGR1_DEVICE", "auto"),
        help="torch device, e.g. cpu or cuda:0 (SEGR1_DEVICE; default: the GPU when there is one)",
    )
    group.add_argument(
        "--dtype",
        choices=DTYPES,
        default=environ.get("SEGR1_DTYPE", "auto"),
        help="number format of the policy (SEGR1_DTYPE; default: bfloat16 on a GPU, else float32)",
    )
    group.add_argument(
        "--attention",
        choices=ATTENTIONS,
        default=environ.get("SEGR1_ATTENTION", "auto"),
        help="attention of the policy (SEGR1_ATTENTION; default: flash-attention when installed, else sdpa)",
    )
    from segr1_app.language.protocol_files import protocol_names  # noqa: PLC0415 - brings OpenCV along

    group.add_argument(
        "--protocol",
        "--dialect",
        metavar="NAME|FILE",
        default=environ.get("SEGR1_PROTOCOL") or environ.get("SEGR1_DIALECT") or AUTO,
        help=f"how the policy is prompted and its answers are parsed: {', '.join(protocol_names())}, or a YAML file "
        "(SEGR1_PROTOCOL; --dialect and SEGR1_DIALECT are the former names; default: what the policy was trained with)",
    )

    group.add_argument(
        "--policy-server",
        metavar="URL",
        default=environ.get("SEGR1_POLICY_SERVER"),
        help="use the policy behind this OpenAI-compatible server, such as http://localhost:8000/v1, under the name "
        f"given as --policy; its key is read from {POLICY_KEY} (SEGR1_POLICY_SERVER; default: it runs locally)",
    )


def add_effort_argument(parser: argparse._ActionsContainer) -> None:
    """Declare how much work goes into an answer."""
    parser.add_argument(
        "--effort",
        choices=[effort.value for effort in Effort],
        default=Effort.QUICK.value,
        help="quick takes the greedy answer; careful and thorough also sample 8 or 24 others and look closer, and take "
        "the one that agrees best with all, at several times the processor time (default: %(default)s)",
    )


def add_concepts_argument(parser: argparse._ActionsContainer, environ: Mapping[str, str] = os.environ) -> None:
    """Declare the model of *Find all*, for the page."""
    parser.add_argument(
        "--concepts",
        metavar="ID|DIR",
        default=environ.get("SEGR1_CONCEPTS"),
        help="the SAM 3, a folder or facebook/sam3, whose concept model proposes all instances of a word or an example "
        "on the Annotate tab (SEGR1_CONCEPTS; default: none)",
    )


def add_auth_argument(parser: argparse._ActionsContainer, environ: Mapping[str, str] = os.environ) -> None:
    """Declare the file of accounts, for the page and for the command that edits it."""
    parser.add_argument(
        "--auth",
        type=Path,
        metavar="FILE",
        default=environ.get("SEGR1_AUTH"),
        help="file of accounts for signing in with a password; 'python -m segr1_app people add' fills it (SEGR1_AUTH; "
        "default: none)",
    )


def add_dataset_argument(parser: argparse._ActionsContainer, environ: Mapping[str, str] = os.environ) -> None:
    """Declare ``--dataset``, where the annotations are synced to."""
    parser.add_argument(
        "--dataset",
        metavar="OWNER/NAME|DIR",
        default=environ.get("SEGR1_DATASET"),
        help="keep a copy of the annotations in this private dataset of the model hub, or in a folder, given with a "
        "leading / or ., and fetch changes from there (SEGR1_DATASET; default: none)",
    )


def add_server_arguments(parser: argparse.ArgumentParser, environ: Mapping[str, str] = os.environ) -> None:
    """Declare where the page is served, and to whom; a Space sets this by environment variables."""
    space = Space.from_environ(environ)
    host = environ.get("GRADIO_SERVER_NAME", "0.0.0.0") if space else "127.0.0.1"
    port = environ.get("GRADIO_SERVER_PORT", str(DEFAULT_PORT)) if space else str(DEFAULT_PORT)
    add_concepts_argument(parser, environ)
    group = parser.add_argument_group("server")
    group.add_argument(
        "--host",
        default=environ.get("SEGR1_HOST", host),
        help="address to listen on; 0.0.0.0 for every network of this machine (SEGR1_HOST; default: %(default)s)",
    )
    group.add_argument(
        "--port",
        type=int,
        default=environ.get("SEGR1_PORT", port),
        help="port to listen on (SEGR1_PORT; default: %(default)s)",
    )
    group.add_argument(
        "--allowed-host",
        action="append",
        dest="allowed_hosts",
        metavar="NAME[:PORT]",
        default=environ.get("SEGR1_ALLOWED_HOSTS", "").replace(",", " ").split(),
        help="another host name of the page, such as that of a proxy; may be given several times. "
        "Requests for other names are refused, and visitors through a proxy are not admins unless they sign in "
        "(SEGR1_ALLOWED_HOSTS, separated by commas; default: the names of the --host address)",
    )
    group.add_argument(
        "--share", action="store_true", help="also open a public link through gradio's relay (default: off)"
    )
    group.add_argument(
        "--log",
        choices=LOGS,
        default=environ.get("SEGR1_LOG", "json" if space else "text"),
        help="log format; json writes one line per event (SEGR1_LOG; default: %(default)s)",
    )
    add_dataset_argument(group, environ)
    group.add_argument(
        "--sync-seconds",
        type=float,
        metavar="S",
        default=environ.get("SEGR1_SYNC_SECONDS", "60"),
        help="how often to send changes to the dataset; the hub accepts about 120 commits an hour (SEGR1_SYNC_SECONDS; "
        "default: %(default)s)",
    )
    people = parser.add_argument_group("people")
    add_auth_argument(people, environ)
    people.add_argument(
        "--anonymous",
        choices=VISITORS,
        default=environ.get("SEGR1_ANONYMOUS", Role.READER.value),
        help="role of visitors from other machines who did not sign in (SEGR1_ANONYMOUS; default: %(default)s)",
    )
    people.add_argument(
        "--admin",
        action="store_true",
        help="let everybody who opens the page do everything, also train and promote policies (default: only if no "
        "other machine can open it)",
    )
