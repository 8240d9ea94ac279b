"""What the browser asks the review for: the queue, pages, pictures, corrections, decisions, files.

In: an `Engine`, and who a request speaks for. Out: a FastAPI router. A page is named by its number alone; no
name of the client's becomes a path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import cv2
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

from ecg_hough.errors import PageError
from ecg_hough.review.corrections import correction_of
from ecg_hough.review.engine import Engine
from ecg_hough.review.queue import Filters, QueueRow, choices, progress, queue
from ecg_hough.review.state import page_state
from ecg_hough.review.store import NAME_MAX

JPEG_QUALITY = 90
KEEP_PICTURES = "private, max-age=3600"
"""A page's picture never changes: the browser may keep it while it is looked at."""
SIDE_MAX = 20_000
OTHERWISE = (
    "version: the page is read otherwise now than when its record was written; corrections apply to what is"
    " shown here"
)


class CorrectionIn(BaseModel):
    """A correction of a page that was seen at a version; `number` is that page's in its file."""

    version: int = Field(ge=0)
    kind: str = Field(max_length=20)
    what: dict[str, Any] = {}
    number: int | None = None


class DecisionIn(BaseModel):
    """A decision on a page that was seen at a version."""

    version: int = Field(ge=0)
    decision: str = Field(max_length=10)
    reason: str = Field(default="", max_length=500)


class PresenceIn(BaseModel):
    """A browser's tab that shows a page, or no longer does."""

    session: str = Field(min_length=8, max_length=64)
    leaving: bool = False


class NameIn(BaseModel):
    """How a person is called in the log."""

    name: str = Field(min_length=1, max_length=NAME_MAX)


def _who(request: Request) -> str:
    return str(request.state.who)


Who = Annotated[str, Depends(_who)]
"""The person that a request speaks for."""


def _engine(request: Request) -> Engine:
    engine: Engine = request.state.engine
    return engine


Here = Annotated[Engine, Depends(_engine)]
"""The review that the person may see."""


def review_router(enter: Callable[[Request], tuple[str, Engine]]) -> APIRouter:
    """The API of a review.

    Args:
        enter: the person that a request speaks for and the review that they may see; raises HTTPException
            where there is none.
    """

    def let_in(request: Request) -> None:
        request.state.who, request.state.engine = enter(request)

    router = APIRouter(prefix="/api", dependencies=[Depends(let_in)])

    @router.get("/queue")
    def show_queue(
        engine: Here, decision: str = "", status: str = "", warning: str = "", layout: str = ""
    ) -> dict[str, Any]:
        standings = engine.store.standings(list(engine.entries))
        rows = queue(engine.entries, standings, Filters(decision, status, warning, layout))
        return {
            "pages": [_row(row) for row in rows],
            "progress": progress(standings) | {"all": len(standings)},
            "choices": choices(engine.entries),
        }

    @router.get("/pages/{page_id}")
    def show_page(engine: Here, page_id: int, number: int | None = None) -> dict[str, Any]:
        return _state(engine, page_id, _numbered(engine, page_id, number))

    @router.get("/pages/{page_id}/image")
    def show_picture(
        engine: Here,
        page_id: int,
        number: int | None = None,
        side: Annotated[int, Query(ge=100, le=SIDE_MAX)] = SIDE_MAX,
    ) -> Response:
        number = _numbered(engine, page_id, number)
        image = engine.open(page_id).readings[number].picture.image
        shrink = side / max(image.shape[:2])
        if shrink < 1:
            image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        colours = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, encoded = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return Response(encoded.tobytes(), media_type="image/jpeg", headers={"Cache-Control": KEEP_PICTURES})

    @router.post("/pages/{page_id}/corrections")
    def correct(engine: Here, page_id: int, sent: CorrectionIn, who: Who) -> dict[str, Any]:
        number = _numbered(engine, page_id, sent.number)
        correction = correction_of(sent.kind, sent.what)
        made = engine.correct(page_id, sent.version, who, correction, sent.number)
        # The page that changed is shown: undo may concern another one than was looked at.
        return _state(engine, page_id, made.number or number)

    @router.post("/pages/{page_id}/decision")
    def decide(engine: Here, page_id: int, sent: DecisionIn, who: Who) -> dict[str, Any]:
        made = engine.store.decide(_known(engine, page_id), sent.version, who, sent.decision, sent.reason)
        return {"decision": made.decision, "reason": made.reason, "who": made.who, "at": made.at}

    @router.post("/pages/{page_id}/presence")
    def be_present(engine: Here, page_id: int, sent: PresenceIn, who: Who) -> dict[str, Any]:
        _known(engine, page_id)
        if sent.leaving:
            engine.store.leaves(sent.session)
            return {"others": [], "version": 0}
        others = engine.store.is_at(page_id, sent.session, who)
        standing = engine.store.standing(page_id)
        return {"others": others, "version": standing.version, "decision": standing.decision.decision}

    return router


def _known(engine: Engine, page_id: int) -> int:
    if page_id not in engine.entries:
        raise HTTPException(404, "no such page")
    return page_id


def _numbered(engine: Engine, page_id: int, number: int | None) -> int:
    """Number of a page of a record; without one, of its first."""
    numbers = engine.entries[_known(engine, page_id)].numbers
    if number is not None and number not in numbers:
        raise HTTPException(404, "no such page")
    return number or numbers[0]


def _row(row: QueueRow) -> dict[str, Any]:
    entry, decision = row.entry, row.standing.decision
    return {
        "id": row.page_id,
        "name": entry.stem,
        "source": entry.source,
        "layout": entry.layout if entry.error is None else None,
        "status": row.status,
        "probability": None if row.risk == 1.0 else round(1.0 - row.risk, 4),
        "warnings": list(entry.warnings) if entry.error is None else [entry.error],
        "decision": decision.decision,
        "reason": decision.reason,
        "who": decision.who,
        "corrections": row.standing.version,
    }


def _state(engine: Engine, page_id: int, number: int) -> dict[str, Any]:
    """A page of a record as it is now; where it cannot be read, with the reason."""
    page, standing = engine.open(page_id), engine.store.standing(page_id)
    rows, cols = page.readings[number].picture.image.shape[:2]
    entry = page.entry
    known = {
        "id": page_id, "name": entry.stem, "source": entry.source, "number": number, "width": cols,
        "height": rows,
    }  # fmt: skip
    try:
        state, log = engine.now(page_id)
    except PageError as error:
        decision = standing.decision
        return known | {
            "error": str(error),
            "version": standing.version,
            "can_undo": standing.version > 0,
            "decision": {"decision": decision.decision, "reason": decision.reason, "who": decision.who},
        }
    with page.lock:
        notice = OTHERWISE if page.differs else None
    return known | page_state(state, number, log, standing) | {"error": None, "notice": notice}
