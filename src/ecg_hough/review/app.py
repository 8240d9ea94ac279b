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


def review_app(engine: Engine, *, user: str, token: str, hosts: Collection[str] | None = LOOPBACK) -> ASGIApp:
    """The application.

    Args:
        user: name in the log of a person who gives no other.
        token: begins a session.
        hosts: names under which the server answers, see `web.security.Guard`.
    """
    sessions = Sessions(new_secret())
    app = FastAPI(title="ecg-hough review", docs_url=None, redoc_url=None, openapi_url=None)
    templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=select_autoescape())

    def who_of(request: Request) -> str:
        who = sessions.user_of(request.headers)
        if who is None:
            raise HTTPException(401, "this needs a session; open the address that the command printed")
        return who

    def shown(request: Request, template: str, **values: Any) -> Response:
        who = sessions.user_of(request.headers)
        if who is None:
            page = templates.get_template("closed.html").render()
            return HTMLResponse(page, 401)
        common = {"who": who, "csrf": sessions.token_of(request.headers), "version": ecg_hough.__version__}
        return HTMLResponse(templates.get_template(template).render(**common, **values))

    @app.get("/")
    def open_queue(request: Request) -> Response:
        sent = request.query_params.get("token", "")
        if not sent:
            return shown(request, "queue.html")
        if not hmac.compare_digest(sent.encode(), token.encode()):
            return HTMLResponse(templates.get_template("closed.html").render(), 401)
        # The token leaves the address at once: it is in no history and no picture of the screen.
        return RedirectResponse("/", 303, {"Set-Cookie": sessions.begin(user)})

    @app.get("/pages/{page_id}")
    def open_page(request: Request, page_id: int) -> Response:
        if page_id not in engine.entries:
            raise HTTPException(404, "no such page")
        return shown(
            request,
            "page.html",
            page_id=page_id,
            name=engine.entries[page_id].stem,
            leads=LEADS,
            layouts=_layouts(),
            texts=HEADER_TEXTS,
            numbers=HEADER_NUMBERS,
            formats=export_formats(),
        )

    @app.post("/api/me")
    def name_me(request: Request, sent: NameIn) -> Response:
        who_of(request)
        return Response(status_code=204, headers={"Set-Cookie": sessions.begin(sent.name.strip() or user)})

    @app.get("/api/pages/{page_id}/export")
    def export(
        request: Request, page_id: int, formats: Annotated[str, Query(max_length=200)] = ""
    ) -> Response:
        who_of(request)
        if page_id not in engine.entries:
            raise HTTPException(404, "no such page")
        content = zipped(engine, page_id, [name for name in formats.split(",") if name])
        stem = PurePosixPath(engine.entries[page_id].stem).name
        attached = {"Content-Disposition": f'attachment; filename="{stem}.zip"'}
        return Response(content, media_type="application/zip", headers=attached)

    app.include_router(review_router(engine, who_of))
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    _explain_errors(app)
    return Guard(app, hosts=hosts, sessions=sessions)


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
