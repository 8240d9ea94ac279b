"""Bodies of requests that end: ASGI middleware that limits their size, their time and their number.

In: an ASGI app. Out: the app, whose reads of a body raise an HTTP error where the body goes beyond a bound.
"""

from __future__ import annotations

import asyncio
import time

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ecg_hough.service.bounds import Bounds
from ecg_hough.web.security import problem

CLOSE = {"Connection": "close"}
DRAIN_S = 5.0
"""Longest that the rest of a long body is dropped: a client that is still sending would miss the answer."""
DRAIN_TIMES = 4
"""As much of it, in bodies of the largest length."""
OVERHEAD_BYTES = 20_000
"""Of a multipart body, besides its file."""
RETRY_S = 5


class BodyBounds:
    """Middleware that bounds the bodies of requests.

    Args:
        app: behind it; bounds: of an upload.
    """

    def __init__(self, app: ASGIApp, bounds: Bounds) -> None:
        self._app, self._bounds = app, bounds
        self._arriving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if self._arriving >= self._bounds.uploads_at_once:
            headers = {"Retry-After": str(RETRY_S), **CLOSE}
            await problem(503, "too many uploads arrive at once", headers=headers)(scope, receive, send)
            return
        body = _Body(receive, self._bounds, Headers(scope=scope))
        inside = 1
        self._arriving += inside

        def leave() -> None:
            nonlocal inside
            self._arriving -= inside
            inside = 0

        async def counted() -> Message:
            message = await body.receive()
            if body.is_whole:
                leave()
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            leave()


class _Body:
    """One body."""

    def __init__(self, receive: Receive, bounds: Bounds, headers: Headers) -> None:
        self._receive, self._bounds = receive, bounds
        self._most = bounds.upload_bytes + OVERHEAD_BYTES
        self._end = time.monotonic() + bounds.upload_seconds
        length = headers.get("content-length", "")
        self._is_too_long = length.isdigit() and int(length) > self._most
        self._seen = 0
        self.is_whole = False

    async def receive(self) -> Message:
        """The next piece.

        Raises:
            HTTPException: 413 the body is too long, 408 it takes too long.
        """
        if self.is_whole:
            return await self._receive()  # a client that goes away
        if self._is_too_long:
            await self._refuse_length()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.01, self._end - time.monotonic()))
        except TimeoutError:
            seconds = self._bounds.upload_seconds
            raise HTTPException(408, f"an upload must arrive within {seconds:g} s", CLOSE) from None
        if message["type"] == "http.disconnect":
            self.is_whole = True
            return message
        self._seen += len(message.get("body", b""))
        self.is_whole = not message.get("more_body", False)
        if self._seen > self._most:
            await self._refuse_length()
        return message

    async def _refuse_length(self) -> None:
        end, dropped = time.monotonic() + DRAIN_S, 0
        while not self.is_whole and dropped < DRAIN_TIMES * self._most and time.monotonic() < end:
            try:
                message = await asyncio.wait_for(self._receive(), end - time.monotonic())
            except TimeoutError:
                break
            dropped += len(message.get("body", b""))
            self.is_whole = not message.get("more_body", False)
        self._is_too_long = False
        raise HTTPException(413, f"an upload may have up to {self._bounds.upload_mb:g} MB", CLOSE)
