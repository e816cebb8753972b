"""Where a request comes from: directly from this machine, or through a proxy that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from segr1_app.settings.hosts import read_address

FORWARDING: Final = (
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-original-host",
    "x-original-forwarded-for",
    "true-client-ip",
    "cf-connecting-ip",
    "fly-client-ip",
)
"""Headers that proxies add, in addition to those that begin with "x-forwarded-"; browsers send none of them."""
SET_ASIDE: Final = {b"x-forwarded-host": b"x-forwarded-unknown-host"}
"""Headers that must not take effect, and the names to which they are changed."""


def forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a proxy forwarded a request. Anybody can claim so, but that only reduces their permissions."""
    return any(name in headers for name in FORWARDING) or any(name.startswith("x-forwarded-") for name in headers)


def seen_scheme(headers: Mapping[str, str]) -> str | None:
    """The scheme with which a browser opened the page, if a proxy reports it."""
    scheme = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return scheme if scheme in ("http", "https") else None


def address_of(headers: Mapping[str, str], peer: str | None, *, proxied: bool) -> str:
    """The address that a request comes from.

    Args:
        headers: the request's headers.
        peer: the other end of the connection.
        proxied: whether all requests come through a proxy that records their origin. It appends the address that it
            saw to the list; everything before that may be forged.
    """
    forwarded = headers.get("x-forwarded-for", "").rpartition(",")[2].strip() if proxied else ""
    # Some proxies add the port, which changes with every connection.
    read = read_address(forwarded)
    return (read.name if read is not None else forwarded) or peer or ""
