"""What the service takes at most: of bytes, pixels, pages, jobs that wait, and time. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ecg_hough.batch.workers import Limits

MB = 1_000_000


@dataclass(frozen=True)
class Bounds:
    """Bounds of a service; all positive.

    Attributes:
        upload_mb: of one upload, 10^6 bytes; megapixels: of a picture; pages: of a file.
        upload_seconds: time in which an upload must arrive; uploads_at_once: that arrive side by side.
        queue: jobs that wait or are being read, of everybody; queue_of_key: of one client.
        page_seconds, page_mib: time and memory of one page, see `batch.workers.Limits`.
        tries: times that a page may end its process before it is given up; starts: times that it is begun in
            all, which counts those when the whole server ended.
        wait_seconds: that an upload of one page waits for its result before it is answered with a job.
        keep_hours: that a finished job and its records are kept.
    Raises:
        ValueError: one is not positive.
    """

    upload_mb: float = 50.0
    megapixels: float = 60.0
    pages: int = 50
    upload_seconds: float = 60.0
    uploads_at_once: int = 32
    queue: int = 200
    queue_of_key: int = 50
    page_seconds: float = 60.0
    page_mib: float = 2500.0
    tries: int = 3
    starts: int = 10
    wait_seconds: float = 30.0
    keep_hours: float = 24.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"{field.name} must be positive; got {value}")

    @property
    def upload_bytes(self) -> int:
        """Of one upload."""
        return int(self.upload_mb * MB)

    @property
    def page_limits(self) -> Limits:
        """For the process that reads; tries are counted with the job, so that they outlive the server."""
        return Limits(self.page_seconds, self.page_mib, tries=1)
