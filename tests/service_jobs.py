"""Jobs, pages and stores for the tests of the service."""

from __future__ import annotations

import io

from PIL import Image

from ecg_hough.service.store import NewJob, Store


def pdf_of(first_line: str, pages: int = 1) -> bytes:
    """A PDF of white pages whose first line is one for `FastReader`."""
    buffer = io.BytesIO()
    white = [Image.new("RGB", (200, 200), "white") for _ in range(pages)]
    white[0].save(buffer, "PDF", save_all=True, append_images=white[1:])
    return f"%{first_line}\n".encode() + buffer.getvalue()


def new_job(store: Store, content: bytes = b"page", owner: str = "ada", **options: object) -> NewJob:
    """An upload that has arrived."""
    path = store.new_upload()
    path.write_bytes(content)
    return NewJob(owner, path, "png", 1, f"sum of {content!r}", **options)  # type: ignore[arg-type]


def accepted(store: Store, *args: object, **options: object) -> str:
    """The id of an accepted job."""
    job, _ = store.accept(new_job(store, *args, **options), queue=100, queue_of_key=100)  # type: ignore[arg-type]
    return job.id
