"""Bodies that are too long, too slow or too many."""

from __future__ import annotations

import asyncio

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from ecg_hough.service.body import DRAIN_TIMES, OVERHEAD_BYTES, BodyBounds
from ecg_hough.service.bounds import Bounds

BOUNDS = Bounds(upload_mb=0.1, upload_seconds=0.3, uploads_at_once=1)
MOST = BOUNDS.upload_bytes + OVERHEAD_BYTES


async def length(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        size = len(await Request(scope, receive).body())
        answer = PlainTextResponse(str(size))
    except HTTPException as error:
        answer = PlainTextResponse(str(error.detail), error.status_code, error.headers)
    await answer(scope, receive, send)


def status_of(
    pieces: list[bytes], *, pause_s: float = 0.0, declared: int | None = None, app: BodyBounds | None = None
) -> tuple[int, int]:
    """Status, and number of pieces of the body that were taken."""
    return asyncio.run(_status(app or BodyBounds(length, BOUNDS), pieces, pause_s, declared))


async def _status(
    app: BodyBounds, pieces: list[bytes], pause_s: float, declared: int | None
) -> tuple[int, int]:
    taken, statuses = 0, []

    async def receive() -> Message:
        nonlocal taken
        await asyncio.sleep(pause_s)
        taken += 1
        return {"type": "http.request", "body": pieces[taken - 1], "more_body": taken < len(pieces)}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    head = [] if declared is None else [(b"content-length", str(declared).encode())]
    await app({"type": "http", "method": "POST", "headers": head}, receive, send)
    return statuses[0], taken


def test_a_body_that_fits() -> None:
    assert status_of([b"x" * 1000] * 3) == (200, 3)
    assert status_of([b"x" * MOST], declared=MOST) == (200, 1)


def test_a_long_body_is_read_for_a_while_and_refused() -> None:
    assert status_of([b"x" * 60_000] * 3) == (413, 3)
    status, taken = status_of([b"x" * 60_000] * 1000)
    assert status == 413
    assert taken * 60_000 <= (1 + DRAIN_TIMES) * MOST + 2 * 60_000


def test_a_body_that_says_it_is_long() -> None:
    assert status_of([b"x"] * 3, declared=10**12) == (413, 3)


def test_a_slow_body() -> None:
    status, taken = status_of([b"x"] * 1000, pause_s=0.05)
    assert status == 408
    assert taken < 10


@pytest.mark.parametrize("declared", [None, 10**12])
def test_one_too_many(declared: int | None) -> None:
    app = BodyBounds(length, BOUNDS)

    async def both() -> list[tuple[int, int]]:
        slow = asyncio.create_task(_status(app, [b"x", b"y"], 0.1, None))
        await asyncio.sleep(0.05)
        return [await _status(app, [b"x"], 0.0, declared), await slow]

    assert asyncio.run(both()) == [(503, 0), (200, 2)]
    assert status_of([b"x"], app=app) == (200, 1)
