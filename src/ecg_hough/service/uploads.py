"""One request with a page: its body into a file, its options into those of the reader.

In: a request, multipart or the raw bytes of a file. Out: a `NewJob`, or a `RefusedError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request

from ecg_hough.documents.pages import chosen_pages, parse_pages
from ecg_hough.options import HeaderLevel
from ecg_hough.paper import given_layout
from ecg_hough.service.intake import Intake, RefusedError
from ecg_hough.service.store import NewJob

FILE_FIELD = "page"
SAME_HEADER = "Idempotency-Key"
SAME_MAX = 200
FIELDS_MAX, FIELD_BYTES = 20, 2000
_CHUNK = 1 << 20


class ReadOptions(BaseModel):
    """How a page is to be read, from the query or from fields of a form."""

    model_config = ConfigDict(extra="forbid")
    fs: int = Field(500, ge=50, le=10_000, description="Sampling frequency, Hz.")
    speed: float | None = Field(None, gt=0, le=1000, description="Paper speed, mm/s; otherwise read.")
    gain: float | None = Field(None, gt=0, le=1000, description="Gain, mm/mV; otherwise read.")
    layout: str | None = Field(None, max_length=40, description="Layout, such as 3x4+1; otherwise found.")
    leads: str | None = Field(None, max_length=200, description="Leads as printed, / between rows.")
    pages: str = Field("", max_length=100, description="Of a file of several, such as 1,3-5.")
    header: HeaderLevel = Field("none", description="What is read of the printed header.")
    measure: bool = Field(False, description="Measure rate, intervals, axes, amplitudes.")
    overlay: bool = Field(False, description="Keep a picture of the traces on the page.")

    def of_reader(self) -> dict[str, Any]:
        """Attributes of `batch.reader.Digitizer`, and `overlay`.

        Raises:
            ValueError: a layout, leads or pages that there are not.
        """
        found = {
            "fs": self.fs, "speed_mm_s": self.speed, "gain_mm_mv": self.gain, "layout": self.layout,
            "leads": self.leads, "pages": self.pages, "header": self.header, "measure": self.measure,
        }  # fmt: skip
        parse_pages(self.pages)
        given_layout(self.layout, self.leads)
        options = {name: value for name, value in found.items() if value not in (None, "", False)}
        return options | ({"overlay": True} if self.overlay else {})


async def receive(request: Request, owner: str, place: Path, intake: Intake) -> NewJob:
    """A request as a job that is not accepted yet; its file is at `place`, also where this raises.

    Raises:
        RefusedError: 413, 415 or 422.
        HTTPException: 400 the form is damaged; what `BodyBounds` raises.
        OSError: the disk is full.
    """
    same_as = request.headers.get(SAME_HEADER)
    if same_as is not None and not 0 < len(same_as) <= SAME_MAX:
        raise RefusedError(422, f"{SAME_HEADER} must have 1 to {SAME_MAX} characters; got {len(same_as)}")
    fields: dict[str, Any] = dict(request.query_params)
    fields.pop("format", None)
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        fields |= await _form(request, place)
    else:
        with place.open("wb") as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
    options = _options(fields)
    upload = await run_in_threadpool(intake.look, place)
    n_pages = len(chosen_pages(parse_pages(options.get("pages", "")), upload.pages))
    if not n_pages:
        raise RefusedError(422, f"none of the pages asked for is in the file, which has {upload.pages}")
    return NewJob(owner, place, upload.kind, n_pages, upload.sha256, options, same_as)


async def _form(request: Request, place: Path) -> dict[str, Any]:
    """A form's fields; its file is put at `place`."""
    async with request.form(max_files=1, max_fields=FIELDS_MAX, max_part_size=FIELD_BYTES) as form:
        sent = form.get(FILE_FIELD)
        if not isinstance(sent, UploadFile):
            raise RefusedError(422, f"the form must have a file in its field {FILE_FIELD!r}")
        with place.open("wb") as file:
            while chunk := await sent.read(_CHUNK):
                await run_in_threadpool(file.write, chunk)
        return {name: value for name, value in form.multi_items() if name != FILE_FIELD}


def _options(fields: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return ReadOptions.model_validate(dict(fields)).of_reader()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))[:40]
        raise RefusedError(422, f"{name}: {first['msg']}", "options") from error
    except ValueError as error:
        raise RefusedError(422, str(error), "options") from error
