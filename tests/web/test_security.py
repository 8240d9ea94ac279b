"""Headers, sessions and refused requests, through a real Starlette app."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ecg_hough.web.security import (
    COOKIE,
    CSRF_HEADER,
    HEADERS,
    Guard,
    Sessions,
    is_same_origin,
    name_of,
    new_secret,
)

SESSIONS = Sessions(new_secret())


def log_in(request: Request) -> PlainTextResponse:
    return PlainTextResponse("in", headers={"Set-Cookie": SESSIONS.begin("Dr. Ada: 1")})


def who(request: Request) -> PlainTextResponse:
    user = SESSIONS.user_of(request.headers)
    return PlainTextResponse(f"{user} {SESSIONS.token_of(request.headers) if user else ''}")


def client_of(**options: object) -> TestClient:
    app = Starlette(
        routes=[Route("/in", log_in), Route("/", who, methods=["GET"]), Route("/", who, methods=["POST"])]
    )
    return TestClient(Guard(app, **options), base_url="http://localhost:8000")  # type: ignore[arg-type]


def test_every_answer_has_the_headers() -> None:
    client = client_of()
    for answer in (
        client.get("/"),
        client.get("/nowhere"),
        client.get("/", headers={"Host": "evil.example"}),
    ):
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:8000", ""])
def test_another_name_is_refused(host: str) -> None:
    assert client_of().get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
def test_own_names_are_not(host: str) -> None:
    assert client_of().get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({}, True),
        (
            {"sec-fetch-site": "same-origin", "origin": "http://localhost:8000", "host": "localhost:8000"},
            True,
        ),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"origin": "null", "host": "localhost:8000"}, False),
        ({"origin": "http://localhost:9000", "host": "localhost:8000"}, False),
        ({"origin": "http://localhost:8000.evil.example", "host": "localhost:8000"}, False),
    ],
)
def test_same_origin(headers: dict[str, str], same: bool) -> None:
    assert is_same_origin(headers) is same


def test_another_site_reads_but_changes_nothing() -> None:
    client, foreign = client_of(), {"Origin": "http://evil.example"}
    assert client.get("/", headers=foreign).status_code == 200
    assert client.post("/", headers=foreign).status_code == 403
    assert client.post("/").status_code == 200


def test_a_session_needs_its_token() -> None:
    client = client_of(sessions=SESSIONS)
    assert "SameSite=Strict" in client.get("/in").headers["set-cookie"]
    user, token = client.get("/").text.rsplit(" ", 1)
    assert user == "Dr. Ada: 1"
    assert client.post("/").status_code == 403
    assert client.post("/", headers={CSRF_HEADER: "é".encode()}).status_code == 403
    assert client.post("/", headers={CSRF_HEADER: token}).status_code == 200
    assert client.post("/", headers={"Authorization": "Bearer key"}).status_code == 200


def test_a_token_of_another_session_is_refused() -> None:
    one, two = client_of(sessions=SESSIONS), client_of(sessions=SESSIONS)
    one.get("/in"), two.get("/in")
    token = one.get("/").text.rsplit(" ", 1)[1]
    assert two.post("/", headers={CSRF_HEADER: token}).status_code == 403


@pytest.mark.parametrize("damage", [lambda v: v[:-1] + "x", lambda v: "x" + v, lambda v: "", lambda v: "é."])
def test_a_cookie_of_another_hand_speaks_for_nobody(damage: object) -> None:
    value = SESSIONS.begin("ada").partition(";")[0].partition("=")[2]
    assert SESSIONS.user_of({"cookie": f"{COOKIE}={value}"}) == "ada"
    assert SESSIONS.user_of({"cookie": f"{COOKIE}={damage(value)}"}) is None  # type: ignore[operator]
    assert Sessions(new_secret()).user_of({"cookie": f"{COOKIE}={value}"}) is None


def test_a_session_ends() -> None:
    cookie = Sessions(b"s" * 32, hours=-1).begin("ada").partition(";")[0]
    assert Sessions(b"s" * 32).user_of({"cookie": cookie}) is None


def test_secure_cookies_and_short_secrets() -> None:
    assert Sessions(new_secret(), secure=True).begin("a").endswith("; Secure")
    with pytest.raises(ValueError, match="at least 32"):
        Sessions(b"short")


def test_names_of_hosts() -> None:
    assert name_of("Example.org:80") == "example.org"
    assert name_of("[::1]") == "[::1]"
