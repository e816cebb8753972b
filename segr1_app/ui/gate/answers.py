"""Headers added to gradio's responses: cookies that other sites cannot use, and a content security policy."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segr1_app.ui.gate.peers import seen_scheme

HUB: Final = "https://huggingface.co https://*.huggingface.co https://*.hf.space https://*.hf.co"
"""Origins that show a Space in a frame, and from which the hub loads its overlay bar."""


class Answers:
    """ASGI middleware that adds headers to responses.

    Args:
        app: the wrapped application.
        framed: whether the page is shown in a frame of the model hub, as a Space is. Cookies are then sent from inside
            a frame, and the page may load what the hub adds to it.
    """

    def __init__(self, app: ASGIApp, *, framed: bool = False) -> None:
        self._app, self._framed = app, framed
        self._headers = _headers(framed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        encrypted = (seen_scheme(Headers(scope=scope)) or scope["scheme"]) == "https"

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                if not self._framed:
                    message["headers"] = [
                        (name, _same_site(value, encrypted) if name.lower() == b"set-cookie" else value)
                        for name, value in message["headers"]
                    ]
            await send(message)

        await self._app(scope, receive, add)


def _same_site(cookie: bytes, encrypted: bool) -> bytes:
    """A cookie that is never sent with requests from other sites, and only over TLS if the page uses it."""
    parts = [part.strip() for part in cookie.split(b";")]
    kept = [part for part in parts if not part.lower().startswith(b"samesite")]
    if encrypted and b"secure" not in [part.lower() for part in kept]:
        kept.append(b"Secure")
    return b"; ".join([*kept, b"SameSite=Lax"])


def _headers(framed: bool) -> dict[str, str]:
    """The headers for every response.

    Gradio's page has inline scripts and builds functions from its templates, so those cannot be forbidden; the origins
    to load from and to connect to can be restricted.
    """
    beyond = f" {HUB}" if framed else ""
    policy = {
        "default-src": f"'self'{beyond}",
        "script-src": f"'self' 'unsafe-inline' 'unsafe-eval' blob:{beyond}",
        "style-src": f"'self' 'unsafe-inline'{beyond}{' https://fonts.googleapis.com' if framed else ''}",
        "font-src": f"'self' data:{beyond}{' https://fonts.gstatic.com' if framed else ''}",
        "img-src": f"'self' data: blob:{beyond}",
        "media-src": "'self' data: blob:",
        "connect-src": f"'self' data: blob:{beyond}",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": f"'self'{beyond}",
        "frame-ancestors": f"'self'{beyond}",
    }
    headers = {
        "content-security-policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
        "x-content-type-options": "nosniff",
        "referrer-policy": "strict-origin-when-cross-origin" if framed else "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "geolocation=(), microphone=(), payment=(), usb=()",
    }
    # X-Frame-Options cannot name the hub, and would keep a Space out of its frame.
    return headers if framed else {**headers, "x-frame-options": "SAMEORIGIN"}
