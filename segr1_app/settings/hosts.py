"""Host names with or without a port, as a Host header and ``--allowed-host`` write them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from segr1_app.domain import SettingsError

_ADDRESS: Final = re.compile(
    r"(\[[0-9a-fA-F:.]{2,}\]|[a-zA-Z0-9_](?:[a-zA-Z0-9._-]{0,251}[a-zA-Z0-9_])?)\.?(?::(\d{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address in lower case without brackets, and a port if given."""

    name: str
    port: int | None = None


def read_address(text: str) -> Address | None:
    """Parse a Host header; None if it is malformed.

    A trailing dot, which makes a name absolute, is dropped; an IPv6 address is in brackets.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    name, port = found[1].lower(), int(found[2]) if found[2] else None
    if port is not None and not 1 <= port <= 65535:
        return None
    if name.startswith("["):
        try:
            name = ipaddress.IPv6Address(name[1:-1]).compressed
        except ValueError:
            return None
    return Address(name, port)


def network_of(address: str) -> str:
    """What counts as one visitor's address: an IPv4 address, or the 64-bit prefix of an IPv6 address, because whoever
    has one of those usually has them all; anything else as it is.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.IPv6Network((found, 64), strict=False))


def check_server_url(url: str) -> None:
    """Check that a URL can be that of a server.

    Raises:
        SettingsError: when it cannot, or contains a password, which would be logged with it.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise SettingsError(f"--policy-server {url[:100]} is not a URL such as http://localhost:8000/v1.") from None
    if parts.username is not None or parts.password is not None:
        raise SettingsError("--policy-server contains a user or password: give the key as SEGR1_POLICY_KEY instead.")
    if not valid or parts.query or parts.fragment:
        raise SettingsError(f"--policy-server {url[:100]} is not a URL such as http://localhost:8000/v1.")
