"""Where a request comes from: straight from this machine, or through a proxy that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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
"""Headers that proxies add, beside those that begin with "x-forwarded-"; no browser sends any of them."""
SET_ASIDE: Final = {b"x-forwarded-host": b"x-forwarded-unknown-host"}
"""Headers that may not say what they say, and what they are called instead."""


def forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a proxy passed a request on. Anybody can claim that, which only takes rights away from them."""
    return any(name in headers for name in FORWARDING) or any(name.startswith("x-forwarded-") for name in headers)


def seen_scheme(headers: Mapping[str, str]) -> str | None:
    """By which scheme a browser sees the page, where a proxy says so."""
    told = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return told if told in ("http", "https") else None


def address_of(headers: Mapping[str, str], peer: str | None, *, proxied: bool) -> str:
    """The address that a request comes from.

    Args:
        headers: of the request.
        peer: whoever opened the connection.
        proxied: whether all requests come through a proxy that names their origin. It adds to the end of the list what
            it saw itself; what stands before that may be anybody's invention.
    """
    told = headers.get("x-forwarded-for", "").rpartition(",")[2].strip() if proxied else ""
    return told or peer or ""
