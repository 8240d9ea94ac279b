"""What the OpenAPI document shows of requests and answers. Pure data."""

from __future__ import annotations

from typing import Any

from ecg_hough.output.export import FORMATS
from ecg_hough.service.uploads import FILE_FIELD, SAME_HEADER, ReadOptions

_JOB_ID = "5f2b8c0e9d1a47c3b6e8f0a1c2d3e4f5"
JOB: dict[str, Any] = {
    "id": _JOB_ID,
    "state": "done",
    "kind": "pdf",
    "pages": 2,
    "created": "2026-05-04T09:30:00Z",
    "finished": "2026-05-04T09:30:03Z",
    "expires": "2026-05-05T09:30:03Z",
    "records": [{"id": f"{_JOB_ID}-1", "pages": [1], "href": f"/v1/records/{_JOB_ID}-1"}],
    "without_record": [
        {
            "pages": [2],
            "stage": "page",
            "detail": "it holds 80 words, and no traces or pictures",
            "passed": True,
        }
    ],
}
"""A finished job of two pages."""
_PROBLEM = {"type": "about:blank"}
PROBLEMS: dict[int, tuple[str, dict[str, Any]]] = {
    401: ("No key, or a wrong one", {"title": "Unauthorized", "detail": "an API key is needed"}),
    404: ("Not there, expired, or of another key", {"title": "Not Found", "detail": "there is no such job"}),
    406: ("Not in a format that is accepted",
          {"title": "Not Acceptable", "detail": "records are there as application/zip, text/csv, ..."}),
    408: ("The upload was too slow",
          {"title": "Request Timeout", "detail": "an upload must arrive within 60 s"}),
    409: ("The name of an earlier request",
          {"title": "Conflict", "detail": f"{SAME_HEADER} belongs to a request with another upload"}),
    413: ("Too many bytes, pixels or pages",
          {"title": "Content Too Large", "detail": "a page may have up to 60 megapixels; got 9000 x 9000"}),
    415: ("Not a picture, PDF or DICOM object",
          {"title": "Unsupported Media Type",
           "detail": "the upload is no picture, PDF or DICOM object that is read"}),
    422: ("A bad option, or a page that cannot be read; `stage` says where it ended",
          {"title": "Unprocessable Content", "stage": "grid",
           "detail": "strongest period 1.8 px is below 3 px; is this page under 75 dpi?"}),
    429: ("Too many jobs of this key wait; try again after `Retry-After` seconds",
          {"title": "Too Many Requests", "detail": "50 of your jobs wait"}),
    503: ("The server is full or ends; try again after `Retry-After` seconds",
          {"title": "Service Unavailable", "detail": "200 jobs wait"}),
}  # fmt: skip
"""Description and example by status."""
_BINARY = {"schema": {"type": "string", "format": "binary"}}
UPLOAD_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FILE_FIELD],
                "properties": {
                    FILE_FIELD: {"type": "string", "format": "binary"},
                    **ReadOptions.model_json_schema()["properties"],
                },
            },
            "example": {FILE_FIELD: "(bytes of scan.jpg)", "layout": "3x4+1", "overlay": True},
        },
        "image/*": _BINARY,
        "application/pdf": _BINARY,
        "application/dicom": _BINARY,
    },
}
"""Bodies of an upload."""
UPLOAD_HEADERS: list[dict[str, Any]] = [
    {"name": SAME_HEADER, "in": "header", "schema": {"type": "string", "maxLength": 200},
     "description": "Your own name for this request. Sent again, it gives the first one's job.",
     "example": "scan-4711"},
    {"name": "Prefer", "in": "header", "schema": {"type": "string"},
     "description": "`respond-async`: do not wait for the result.", "example": "respond-async"},
]  # fmt: skip
RECORD = {
    "description": "The record",
    "content": {
        one.media_type: {"example": {"layout": "3x4+1", "fs": 500, "quality": 0.91, "warnings": []}}
        if one.name == "json"
        else _BINARY
        for one in FORMATS.values()
    },
}
"""The answer with a record."""


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers that are problems, for a route of the OpenAPI document."""
    return {
        status: {
            "description": PROBLEMS[status][0],
            "content": {
                "application/problem+json": {"example": _PROBLEM | {"status": status} | PROBLEMS[status][1]}
            },
        }
        for status in statuses
    }
