"""The review as a web application on this machine: pages, sessions, what guards them, and the server.

In: an `Engine`, a user's name and a token. Out: an ASGI application, served until it is stopped. A browser
begins its session with the token in the address that the command prints; after that a cookie speaks for it.
Scripts, styles and pictures come from this server alone.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.types import ASGIApp

import ecg_hough
from ecg_hough.errors import PageError
from ecg_hough.paper import KNOWN_LAYOUTS, LEADS, SHAPES
from ecg_hough.review.corrections import HEADER_NUMBERS, HEADER_TEXTS
from ecg_hough.review.engine import Engine
from ecg_hough.review.export import export_formats, zipped
from ecg_hough.review.routes import NameIn, review_router
from ecg_hough.review.store import ConflictError
from ecg_hough.web.security import LOOPBACK, Guard, Sessions, new_secret, problem

HERE = Path(__file__).parent
TOKEN_BYTES = 24
LOOPBACK_ADDRESS = "127.0.0.1"


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True)
class Door:
    """Who comes in, and what they see. A session has a user, a text that only the door reads.

    Attributes:
        sessions: of browsers.
        begin: user of the session that a request for the queue begins; None where it begins none, or 401
            raised as HTTPException where it must not.
        name_of: how a user is called in the log; None of one who may not come in with that request.
        renamed: a user by another name.
        engine_of: the review that a user sees.
        closed: template shown to others.
    """

    sessions: Sessions
    begin: Callable[[Request], str | None]
    name_of: Callable[[str, Request], str | None]
    renamed: Callable[[str, str], str]
    engine_of: Callable[[str], Engine]
    closed: str = "closed.html"

    def enter(self, request: Request) -> tuple[str, Engine]:
        """The person that a request speaks for, and the review that they see.

        Raises:
            HTTPException: 401, no session.
        """
        user = self.sessions.user_of(request.headers)
        name = None if user is None else self.name_of(user, request)
        if user is None or name is None:
            raise HTTPException(401, "this needs a session; open the queue in a browser to begin one")
        return name, self.engine_of(user)

    def cookie(self, user: str, request: Request) -> str:
        """`Set-Cookie` that begins a session; over TLS alone where a proxy says that it speaks it."""
        secure = request.headers.get("x-forwarded-proto", "") == "https"
        return self.sessions.begin(user) + ("; Secure" if secure else "")


def review_app(engine: Engine, *, user: str, token: str, hosts: Collection[str] | None = LOOPBACK) -> ASGIApp:
    """The application for one person's machine.

    Args:
        user: name in the log of a person who gives no other.
        token: begins a session.
        hosts: names under which the server answers, see `web.security.Guard`.
    """

    def begin(request: Request) -> str | None:
        sent = request.query_params.get("token", "")
        if sent and not hmac.compare_digest(sent.encode(), token.encode()):
            raise HTTPException(401, "no such token")
        return user if sent else None

    door = Door(
        Sessions(new_secret()), begin, name_of=lambda who, _: who, renamed=lambda _, name: name or user,
        engine_of=lambda _: engine,
    )  # fmt: skip
    return Guard(review_pages(door), hosts=hosts, sessions=door.sessions)


def review_pages(door: Door) -> FastAPI:
    """The pages of a review and what they ask for, to be put behind `web.security.Guard`."""
    app = FastAPI(title="ecg-hough review", docs_url=None, redoc_url=None, openapi_url=None)
    templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=select_autoescape())

    def closed() -> Response:
        return HTMLResponse(templates.get_template(door.closed).render(), 401)

    def shown(request: Request, template: str, **values: Any) -> Response:
        try:
            who, _ = door.enter(request)
        except HTTPException:
            return closed()
        csrf = door.sessions.token_of(request.headers)
        common = {"who": who, "csrf": csrf, "version": ecg_hough.__version__}
        return HTMLResponse(templates.get_template(template).render(**common, **values))

    @app.get("/")
    def open_queue(request: Request) -> Response:
        try:
            user = door.begin(request)
        except HTTPException:
            return closed()
        if user is None:
            return shown(request, "queue.html")
        # A token leaves the address at once: it is in no history and no picture of the screen.
        return RedirectResponse("/", 303, {"Set-Cookie": door.cookie(user, request)})

    @app.get("/pages/{page_id}")
    def open_page(request: Request, page_id: int) -> Response:
        try:
            _, engine = door.enter(request)
        except HTTPException:
            return closed()
        if page_id not in engine.entries:
            raise HTTPException(404, "no such page")
        return shown(
            request,
            "page.html",
            page_id=page_id,
            name=engine.entries[page_id].stem,
            pages=engine.entries[page_id].numbers,
            leads=LEADS,
            layouts=_layouts(),
            texts=HEADER_TEXTS,
            numbers=HEADER_NUMBERS,
            formats=export_formats(),
        )

    @app.post("/api/me")
    def name_me(request: Request, sent: NameIn) -> Response:
        door.enter(request)
        user = door.renamed(door.sessions.user_of(request.headers) or "", sent.name.strip())
        return Response(status_code=204, headers={"Set-Cookie": door.cookie(user, request)})

    @app.get("/api/pages/{page_id}/export")
    def export(
        request: Request, page_id: int, formats: Annotated[str, Query(max_length=200)] = ""
    ) -> Response:
        _, engine = door.enter(request)
        if page_id not in engine.entries:
            raise HTTPException(404, "no such page")
        content = zipped(engine, page_id, [name for name in formats.split(",") if name])
        stem = PurePosixPath(engine.entries[page_id].stem).name
        attached = {"Content-Disposition": f'attachment; filename="{stem}.zip"'}
        return Response(content, media_type="application/zip", headers=attached)

    app.include_router(review_router(door.enter))
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    _explain_errors(app)
    return app


def _layouts() -> list[str]:
    """Names of layouts to pick from: those that carts print, with their usual rhythm strips."""
    usual = {name: shape.strips_usual for name, shape in SHAPES.items()}
    out = []
    for layout in KNOWN_LAYOUTS:
        order = "-cabrera" if layout.cabrera else ""
        strips = ["", *(f"+{n}" for n in range(1, usual[layout.shape] + 1))]
        out += [f"{layout.shape}{more}{order}" for more in strips]
    return out


def _explain_errors(app: FastAPI) -> None:
    """Foreseen errors as answers in words."""

    @app.exception_handler(ConflictError)
    def conflict(request: Request, error: ConflictError) -> Response:
        by = error.who or "another person"
        return problem(409, f"{by} corrected this page first", version=error.version, who=error.who)

    @app.exception_handler(PageError)
    @app.exception_handler(ValueError)
    def refused(request: Request, error: Exception) -> Response:
        return problem(422, str(error))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return problem(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

    @app.exception_handler(HTTPException)
    def said(request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail))


def serve_review(
    engine: Engine,
    *,
    user: str,
    port: int = 0,
    browser: bool = True,
    on_address: Callable[[str], object] = print,
) -> None:
    """Serve a review until Ctrl-C.

    Args:
        user: name in the log of a person who gives no other.
        port: 0 takes a free one; browser: open one.
        on_address: called with the address, token included, as soon as it can be opened.

    Raises:
        OSError: the port is taken.
    """
    token = new_token()
    server = uvicorn.Server(
        uvicorn.Config(review_app(engine, user=user, token=token), log_level="warning", access_log=False)
    )
    with socket.create_server((LOOPBACK_ADDRESS, port)) as listener:
        address = f"http://{LOOPBACK_ADDRESS}:{listener.getsockname()[1]}/?token={quote(token)}"
        on_address(address)
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        server.run(sockets=[listener])
    engine.store.close()
