"""What guards pages and programs in a browser: headers of every answer, sessions, and refused requests.

In: an ASGI app. Out: the app behind `Guard`. A request that changes something is refused where another site's
page sent it, and, where a session's cookie speaks for it, without the session's CSRF token. Programs that
send an API key have no cookie and need no token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Scripts, styles and pictures from this server alone: no inline code, no frame around a page."""
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""Of every answer, unless the app sets the header itself."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names by which a browser on this machine knows the server; any other name may be another site's."""
COOKIE = "ecg_hough_session"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
SECRET_BYTES = 32
KEY_HEADERS = ("Authorization", "X-API-Key")
"""Of programs, which send a key with every request."""


class Sessions:
    """Cookies that say who a browser's user is, signed, and the CSRF token that belongs to each.

    Args:
        secret: signs the cookies; at least `SECRET_BYTES` random bytes, see `new_secret`.
        hours: that a session lasts.
        secure: whether the browser may send the cookie over TLS alone; set it behind a proxy with TLS.
    Raises:
        ValueError: the secret is too short.
    """

    def __init__(self, secret: bytes, *, hours: float = 12.0, secure: bool = False) -> None:
        if len(secret) < SECRET_BYTES:
            raise ValueError(f"secret must have at least {SECRET_BYTES} bytes; got {len(secret)}")
        self._secret, self._seconds, self._secure = secret, hours * 3600, secure

    def begin(self, user: str) -> str:
        """The value of `Set-Cookie` that begins a session of a user."""
        until = int(time.time() + self._seconds)
        payload = base64.urlsafe_b64encode(f"{until}:{secrets.token_hex(8)}:{user}".encode()).decode()
        value = f"{payload}.{self._sign('session', payload)}"
        return f"{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={int(self._seconds)}" + (
            "; Secure" if self._secure else ""
        )

    def user_of(self, headers: Mapping[str, str]) -> str | None:
        """Who a request's cookie speaks for; None without a valid one."""
        value = _cookie(headers)
        payload, _, signature = (value or "").partition(".")
        if value is None or not hmac.compare_digest(
            signature.encode(), self._sign("session", payload).encode()
        ):
            return None
        try:
            until, _, user = base64.urlsafe_b64decode(payload).decode().split(":", 2)
        except (ValueError, binascii.Error):
            return None
        return user if int(until) > time.time() else None

    def token_of(self, headers: Mapping[str, str]) -> str:
        """The CSRF token of a request's session, for the page that the request asks for.

        Raises:
            ValueError: there is no valid session.
        """
        value = _cookie(headers)
        if value is None or self.user_of(headers) is None:
            raise ValueError("a CSRF token needs a session; the request has none")
        return self._sign("csrf", value)

    def has_token(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with a session carries its CSRF token in the header `CSRF_HEADER`."""
        sent = headers.get(CSRF_HEADER.lower(), "")
        return hmac.compare_digest(sent.encode(), self.token_of(headers).encode())

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def new_secret() -> bytes:
    """Random bytes for `Sessions`."""
    return secrets.token_bytes(SECRET_BYTES)


def _cookie(headers: Mapping[str, str]) -> str | None:
    return cookie_parser(headers.get("cookie", "")).get(COOKIE)


class Guard:
    """ASGI middleware: refuses what a browser must not send, and adds `HEADERS` to every answer.

    Args:
        app: behind it.
        hosts: names, without port, that the `Host` header may have; None allows any. With the default a
            foreign site whose name was pointed at this machine (DNS rebinding) reaches nothing.
        sessions: of the app's pages; without, no cookie speaks for anybody.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Collection[str] | None = LOOPBACK, sessions: Sessions | None = None
    ) -> None:
        self._app, self._sessions = app, sessions
        self._hosts = None if hosts is None else {name.lower() for name in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # websockets are not used: unanswered, they are closed

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        else:
            await problem(*refusal)(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        """Status and reason of a request that is not let through."""
        host = headers.get("host", "")
        if self._hosts is not None and name_of(host) not in self._hosts:
            return 421, "this server does not answer under the name of the Host header"
        if method in SAFE_METHODS:
            return None
        if not is_same_origin(headers):
            return 403, "a page of another site must not change anything here"
        if self._sessions is None or any(name in headers for name in KEY_HEADERS):
            return None
        if self._sessions.user_of(headers) is not None and not self._sessions.has_token(headers):
            return 403, f"a request with a session must carry its token in {CSRF_HEADER}"
        return None


def name_of(host: str) -> str:
    """The name in a `Host` header, without port, in small letters."""
    name, colon, port = host.strip().lower().rpartition(":")
    return name if colon and port.isdigit() else host.strip().lower()


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Whether no browser says that another site's page made a request; programs say nothing."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").strip().lower()


def problem(status: int, detail: str, **more: Any) -> JSONResponse:
    """An answer that says what was wrong, as `application/problem+json` (RFC 9457).

    Args:
        status: HTTP status.
        detail: a sentence for people.
        more: further members; `headers` is of the answer.
    """
    from http import HTTPStatus

    headers = more.pop("headers", None)
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(content | more, status, headers, media_type="application/problem+json")
