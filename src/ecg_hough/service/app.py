"""The HTTP service: pages in, records out, jobs between; see docs/service.md.

In: a folder for its jobs and a reader. Out: an ASGI app behind `Guard` and `BodyBounds`.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import ecg_hough
from ecg_hough.output.export import Format
from ecg_hough.service.body import RETRY_S, BodyBounds
from ecg_hough.service.bounds import Bounds
from ecg_hough.service.engine import Engine
from ecg_hough.service.examples import JOB, RECORD, UPLOAD_BODY, UPLOAD_HEADERS, answers
from ecg_hough.service.formats import record_bytes, wanted_format
from ecg_hough.service.intake import Intake, RefusedError
from ecg_hough.service.keys import Doorkeeper
from ecg_hough.service.metrics import MEDIA_TYPE, Metrics
from ecg_hough.service.store import FullError, Job, OtherUploadError, Store
from ecg_hough.service.uploads import receive
from ecg_hough.web.security import LOOPBACK, Guard, Sessions, problem

log = logging.getLogger(__name__)

EXPIRE_EVERY_S = 60.0
"""From one removal of old jobs to the next."""


@dataclass
class Service:
    """What the routes share.

    Attributes:
        store, engine, intake, doorkeeper, bounds, metrics: see their modules.
    """

    store: Store
    engine: Engine
    intake: Intake
    doorkeeper: Doorkeeper
    bounds: Bounds
    metrics: Metrics


@dataclass(frozen=True)
class People:
    """Pages for people with a browser: an ASGI app beside the routes, and the sessions that it begins."""

    app: ASGIApp
    sessions: Sessions


def make_app(
    store: Store,
    engine: Engine,
    *,
    metrics: Metrics,
    bounds: Bounds | None = None,
    doorkeeper: Doorkeeper | None = None,
    hosts: Collection[str] | None = LOOPBACK,
    people: People | None = None,
) -> ASGIApp:
    """The service as an ASGI app, which starts and stops the engine.

    Args:
        store: of its jobs; engine: that does them.
        metrics: that the engine counts in, too.
        bounds: of what is taken.
        doorkeeper: knows the keys; without, none is needed.
        hosts: names that it answers under, see `Guard`.
        people: what else is there for people with a browser; without, nothing.
    """
    bounds = bounds or Bounds()
    service = Service(store, engine, Intake(bounds), doorkeeper or Doorkeeper(None), bounds, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        waiting = await run_in_threadpool(store.recover)
        if waiting:
            log.warning("%d jobs wait from before", waiting)
        engine.start()
        expiring = asyncio.create_task(_expire(service))
        try:
            yield
        finally:
            expiring.cancel()
            await run_in_threadpool(engine.stop)
            service.intake.close()

    app = FastAPI(
        title="ecg-hough",
        version=ecg_hough.__version__,
        summary="Images of printed 12-lead ECGs to calibrated signals in millivolts",
        description="Not a medical device. Send a page, get a record in the format that you accept.",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = service
    _add_problems(app)
    _add_routes(app)
    if people is not None:
        app.mount("/", people.app)
    sessions = None if people is None else people.sessions
    return Guard(_counted(BodyBounds(app, bounds), metrics), hosts=hosts, sessions=sessions)


async def _expire(service: Service) -> None:
    while True:
        try:
            n = await run_in_threadpool(service.store.expire, service.bounds.keep_hours)
            if n:
                log.info("%d jobs were removed, %g hours after they were done", n, service.bounds.keep_hours)
        except (OSError, sqlite3.Error):
            log.exception("old jobs could not be removed")
        await asyncio.sleep(EXPIRE_EVERY_S)


def _counted(app: ASGIApp, metrics: Metrics) -> ASGIApp:
    """Middleware that counts answers."""

    async def count(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        begun, status = time.monotonic(), 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, note)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if route != "other" else "other"
            metrics.answered(method, route, status, time.monotonic() - begun)

    return count


def _add_problems(app: FastAPI) -> None:
    """Errors as `application/problem+json`."""

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return problem(error.status, error.detail, stage=error.stage)

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def bad_argument(_: Request, error: RequestValidationError) -> Response:
        return problem(422, str(error.errors()[0].get("msg", "bad argument")), stage="options")

    @app.exception_handler(FullError)
    async def full(request: Request, error: FullError) -> Response:
        seconds = await run_in_threadpool(_service(request).engine.seconds_until_free)
        whose = "of your jobs" if error.own else "jobs"
        headers = {"Retry-After": str(seconds)}
        return problem(429 if error.own else 503, f"{error.waiting} {whose} wait", headers=headers)

    @app.exception_handler(OtherUploadError)
    async def other(_: Request, error: OtherUploadError) -> Response:
        return problem(409, "the Idempotency-Key belongs to an earlier request with another upload")

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, error: ClientDisconnect) -> Response:
        return problem(400, "the upload was broken off")  # nobody reads it

    async def no_room(_: Request, error: Exception) -> Response:
        log.error("the store failed", exc_info=error)
        return problem(503, "the server's storage fails", headers={"Retry-After": str(RETRY_S)})

    app.add_exception_handler(OSError, no_room)
    app.add_exception_handler(sqlite3.Error, no_room)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _owner(request: Request) -> str:
    """Whose a request is; 401 without a valid key."""
    owner = await run_in_threadpool(_service(request).doorkeeper.owner_of, request.headers)
    if owner is None:
        detail = "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY"
        raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})
    return owner


Owner = Annotated[str, Depends(_owner)]
FormatName = Annotated[
    str | None,
    Query(alias="format", description="Format by name, before the header Accept.", examples=["csv"]),
]
_NO_JOB = HTTPException(404, "there is no such job")
_NO_RECORD = HTTPException(404, "there is no such record")


def _add_routes(app: FastAPI) -> None:
    app.post(
        "/v1/pages",
        summary="Read a page, or the pages of a file",
        response_class=Response,
        responses={
            200: RECORD,
            202: {"description": "A job", "content": {"application/json": {"example": JOB}}},
            **answers(401, 406, 408, 409, 413, 415, 422, 429, 503),
        },
        openapi_extra={"requestBody": UPLOAD_BODY, "parameters": UPLOAD_HEADERS},
    )(send_page)
    job: dict[int | str, dict[str, Any]] = {
        200: {"description": "The job", "content": {"application/json": {"example": JOB}}},
        **answers(401, 404),
    }
    app.get("/v1/jobs", summary="Your jobs, newest first", responses=answers(401))(list_jobs)
    app.get("/v1/jobs/{job_id}", summary="How far a job is", responses=job)(show_job)
    app.delete(
        "/v1/jobs/{job_id}", summary="Remove a job and its records", status_code=204,
        responses=answers(401, 404),
    )(delete_job)  # fmt: skip
    app.get(
        "/v1/records/{record_id}", summary="A record, in any format", response_class=Response,
        responses={200: RECORD, **answers(401, 404, 406, 422)},
    )(show_record)  # fmt: skip
    app.delete(
        "/v1/records/{record_id}", summary="Remove a record", status_code=204, responses=answers(401, 404)
    )(delete_record)
    app.get("/healthz", summary="Whether the server runs")(lambda: {"status": "ok"})
    app.get("/readyz", summary="Whether it takes pages", responses=answers(503))(show_ready)
    app.get("/metrics", summary="Counters for Prometheus", response_class=Response)(show_metrics)


async def send_page(request: Request, owner: Owner, format_name: FormatName = None) -> Response:
    """The body is the file, or a form with it in the field `page`. A single page is answered with its record
    in the format that `Accept` or `format` names; several pages, or a busy server, with 202 and a job.
    """
    service = _service(request)
    wanted = wanted_format(request.headers.get("accept", ""), format_name)
    room = {"queue": service.bounds.queue, "queue_of_key": service.bounds.queue_of_key}
    if not service.engine.is_taking:
        raise HTTPException(503, "the server is about to end", {"Retry-After": str(RETRY_S)})
    if "Idempotency-Key" not in request.headers:
        await run_in_threadpool(lambda: service.store.check_room(owner, **room))
    place = service.store.new_upload()
    try:
        new = await receive(request, owner, place, service.intake)
        job, is_new = await run_in_threadpool(lambda: service.store.accept(new, **room))
    finally:
        await run_in_threadpool(place.unlink, missing_ok=True)
    if is_new:
        service.engine.notify()
    if job.is_open and job.pages == 1 and "respond-async" not in request.headers.get("prefer", ""):
        job = await _wait(service, job)
    return await _answer(service, job, wanted)


async def _wait(service: Service, job: Job) -> Job:
    """The job when it is done, or as it is after a while; at once where others wait longer than that."""
    if await run_in_threadpool(service.engine.seconds_until_free) > service.bounds.wait_seconds:
        return job
    done = asyncio.wrap_future(service.engine.wait_for(job))
    now = await run_in_threadpool(service.store.get, job.id)
    if now is not None and now.is_open:
        await asyncio.wait([done], timeout=service.bounds.wait_seconds)
        now = await run_in_threadpool(service.store.get, job.id)
    done.cancel()
    return now or job


async def _answer(service: Service, job: Job, wanted: Format) -> Response:
    """The answer to an upload."""
    if job.is_open or job.pages > 1:
        headers = {"Location": f"/v1/jobs/{job.id}", "Retry-After": "1"}
        return JSONResponse(shown(job, service.bounds), 202, headers)
    for part in job.parts:
        if part.record is not None:
            place = service.store.record_place(part.record)
            answer = await run_in_threadpool(_record_answer, place, wanted)
            answer.headers["Location"] = f"/v1/records/{part.record}"
            return answer
    part = job.parts[0]
    return problem(422, part.message or "", stage=part.stage, job=job.id)


def _record_answer(place: Path, wanted: Format) -> Response:
    content, name = record_bytes(place, wanted)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Vary": "Accept"}
    return Response(content, 200, headers, wanted.media_type)


def shown(job: Job, bounds: Bounds) -> dict[str, Any]:
    """A job as its owner sees it."""
    expires = None if job.finished is None else job.finished + bounds.keep_hours * 3600
    return {
        "id": job.id,
        "state": job.state,
        "kind": job.kind,
        "pages": job.pages,
        "created": _moment(job.created),
        "finished": _moment(job.finished),
        "expires": _moment(expires),
        "records": [
            {"id": part.record, "pages": part.pages, "href": f"/v1/records/{part.record}"}
            for part in job.parts
            if part.record is not None
        ],
        "without_record": [
            {"pages": part.pages, "stage": part.stage, "detail": part.message, "passed": part.passed}
            for part in job.parts
            if part.record is None
        ],
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def list_jobs(request: Request, owner: Owner) -> dict[str, Any]:
    """The last hundred."""
    service = _service(request)
    return {"jobs": [shown(job, service.bounds) for job in service.store.jobs_of(owner)]}


def show_job(request: Request, job_id: str, owner: Owner) -> Response:
    """`records` names its records, `without_record` the pages that have none, and why."""
    service = _service(request)
    job = service.store.get(job_id, owner)
    if job is None:
        raise _NO_JOB
    return JSONResponse(shown(job, service.bounds), headers={"Retry-After": "1"} if job.is_open else None)


def delete_job(request: Request, job_id: str, owner: Owner) -> None:
    """Also of one that waits or is being read, which is then not answered."""
    if not _service(request).store.delete(job_id, owner):
        raise _NO_JOB


def show_record(request: Request, record_id: str, owner: Owner, format_name: FormatName = None) -> Response:
    """In the format that `Accept` or `format` names; JSON by default."""
    place = _service(request).store.record(record_id, owner)
    if place is None:
        raise _NO_RECORD
    return _record_answer(place, wanted_format(request.headers.get("accept", ""), format_name))


def delete_record(request: Request, record_id: str, owner: Owner) -> None:
    """Its files are removed at once."""
    if not _service(request).store.delete_record(record_id, owner):
        raise _NO_RECORD


def show_ready(request: Request) -> dict[str, str]:
    """503 until a process can read pages, and when the server ends."""
    if not _service(request).engine.is_ready:
        raise HTTPException(503, "no process is ready to read pages", {"Retry-After": str(RETRY_S)})
    return {"status": "ready"}


def show_metrics(request: Request) -> Response:
    """Requests, jobs, seconds and the process's memory."""
    return Response(_service(request).metrics.text(), media_type=MEDIA_TYPE)
