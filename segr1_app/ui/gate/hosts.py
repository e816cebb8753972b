"""The host names under which the page is served, against which a request's Host and Origin are checked.

A page of another site can send requests to a server on this machine, and with DNS rebinding it can also read the
answers, because its own name then resolves to this machine. Both are visible in the Host and Origin headers, which a
page cannot set.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from segr1_app.settings.config import LOOPBACK, Settings
from segr1_app.settings.hosts import Address, read_address
from segr1_app.settings.space import Space

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
WILDCARDS: Final = frozenset({"0.0.0.0", "::", ""})
"""Addresses on which a server listens to be reachable through every network of its machine."""
SHARED: Final = ".gradio.live"
"""The suffix of gradio's public links."""
SPACES: Final = ".hf.space"

_ORIGIN: Final = re.compile(r"(https?)://(.+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host name and port of the page that a request comes from; the port is never None."""

    scheme: str
    name: str
    port: int


def read_origin(value: str) -> Origin | None:
    """Parse an Origin header; None for "null" and anything else that does not name a web page."""
    found = _ORIGIN.fullmatch(value)
    address = read_address(found[2]) if found else None
    if found is None or address is None:
        return None
    scheme = found[1].lower()
    return Origin(scheme, address.name, address.port or DEFAULT_PORTS[scheme])


@dataclass(frozen=True, slots=True)
class Hosts:
    """The host names that requests to this server may use.

    Attributes:
        names: exact host names and IP addresses, in lower case.
        endings: suffixes of further names, each with its leading dot.
        any_ip: whether every IP address is accepted: the server listens on all of them, and an address, unlike a name,
            cannot be made to point elsewhere.
        allowed: names given by ``--allowed-host``: with a port only that one, else every port.
        proxied: whether there is a proxy in front of this server, which may use TLS when this server does not.
    """

    names: frozenset[str] = field(default_factory=lambda: frozenset(LOOPBACK))
    endings: tuple[str, ...] = ()
    any_ip: bool = False
    allowed: tuple[Address, ...] = ()
    proxied: bool = False

    @classmethod
    def of(cls, settings: Settings, environ: Mapping[str, str] = os.environ) -> Self:
        """The names that follow from the settings."""
        names, endings = {*LOOPBACK}, [SHARED] if settings.share else []
        everywhere = settings.host in WILDCARDS
        if everywhere:
            own = socket.gethostname().lower()
            names |= {own, f"{own.partition('.')[0]}.local"}
        else:
            names |= _names([settings.host])
        space = Space.from_environ(environ)
        if space is not None:
            names |= _names(environ.get("SPACE_HOST", "").split(","))
            endings += [] if environ.get("SPACE_HOST") else [SPACES]
        proxied = space is not None or settings.share or bool(settings.allowed_hosts)
        return cls(frozenset(names), tuple(endings), everywhere, settings.allowed_hosts, proxied)

    def answers(self, host: Address) -> bool:
        """Whether a request with this Host is meant for this server."""
        return (
            host.name in self.names
            or host.name.endswith(self.endings)
            or (self.any_ip and _is_ip(host.name))
            or any(host.name == each.name and _fits(each.port, host.port) for each in self.allowed)
        )

    def is_own(self, origin: Origin, host: Address, scheme: str | None) -> bool:
        """Whether a page of ``origin`` is this server's own page.

        Args:
            origin: the page's origin.
            host: the request's Host.
            scheme: the scheme by which the page is served, "http" or "https"; None if only a proxy knows.
        """
        if scheme is not None and origin.scheme != scheme:
            return False
        if origin.name == host.name and origin.port == (host.port or DEFAULT_PORTS[origin.scheme]):
            return True
        # A proxy may replace the Host, but not the Origin.
        default = DEFAULT_PORTS[origin.scheme]
        return any(origin.name == each.name and origin.port == (each.port or default) for each in self.allowed)


def _names(hosts: Iterable[str]) -> set[str]:
    read = (read_address(f"[{host}]" if host.count(":") > 1 else host) for host in map(str.strip, hosts))
    return {address.name for address in read if address is not None}


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _fits(wanted: int | None, port: int | None) -> bool:
    """Whether a Host has the expected port; without one, it has the default port of either scheme."""
    return wanted is None or wanted == port or (port is None and wanted in DEFAULT_PORTS.values())
