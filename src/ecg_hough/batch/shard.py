"""The unit of a large batch: `work(shard)` makes a Parquet part and then a marker that it is done.

In: a plan and the number of a shard. Out: the part, and its marker, both named by what they are made of.
Nothing else is written that the next try would miss, so any process may be killed at any time, and any number
of them may do the same shard: the last one writes what the first one wrote.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from inspect import signature
from pathlib import Path
from typing import Any

from ecg_hough.batch import storage
from ecg_hough.batch.lineage import PageReader
from ecg_hough.batch.parts import part_bytes, row_of_record
from ecg_hough.batch.plan import DONE, OVERLAYS, PARTS, TRIES, Plan, check_versions
from ecg_hough.batch.workers import Ended, Limits, Workers
from ecg_hough.errors import PageError
from ecg_hough.output.ecg import Ecg
from ecg_hough.output.export import json_bytes

log = logging.getLogger(__name__)

OUTSIDE = ("fetch", "export", "internal", "time", "memory", "died")
"""Stages of failures that say nothing of the page's content; a row is then `failed`, otherwise `refused`."""
OVERLAY_SIDE_PX, OVERLAY_QUALITY = 1600, 80
"""Longer side of kept pictures, and their JPEG quality."""


@dataclass(frozen=True)
class PageTask:
    """A page to read: its row of the manifest, its shard, and where its picture goes."""

    shard: int
    row: dict[str, Any]
    overlay: str


@dataclass(frozen=True)
class PageWork:
    """Reads a page into a row of its part, in a worker; raises nothing.

    Attributes:
        read: what reads it; root: of the plan; overlays: for which pages pictures are kept.
        most_bytes: a larger file is not read.
    """

    read: PageReader
    root: str
    overlays: str
    most_bytes: int

    def __call__(self, task: PageTask) -> dict[str, Any]:
        start = time.perf_counter()
        row = dict(task.row)
        try:
            self._fill(row, task.overlay)
        except PageError as error:
            row |= failure(error.stage, error.message)
        except Exception as error:
            log.debug("%s", task.row["uri"], exc_info=True)
            row |= failure("internal", f"{type(error).__name__}: {error}")
        row["seconds"] = round(time.perf_counter() - start, 3)
        return row

    def _fill(self, row: dict[str, Any], overlay: str) -> None:
        """Fetch the page once, and read and vouch for those bytes."""
        data = storage.read_bytes(
            row["uri"], most_bytes=self.most_bytes, sha256=row["sha256"], size=row["size"]
        )
        row |= {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        with tempfile.TemporaryDirectory(prefix="ecg-hough-") as folder:
            path = Path(folder, row["uri"].rstrip("/").rpartition("/")[2] or "page")
            path.write_bytes(data)
            ecg = read_one(self.read, path, row["page"])
            row |= row_of_record(ecg)
            if self.overlays == "all" or (self.overlays == "check" and row["status"] == "check"):
                storage.put_bytes(storage.join(self.root, overlay), overlay_bytes(ecg, path))
                row["overlay"] = overlay


def read_one(read: PageReader, path: Path, page: int) -> Ecg:
    """Read a page of a file.

    Raises:
        PageError: it cannot be read.
    """
    if page == 1:
        return read(path)
    if "number" not in signature(read).parameters:
        raise PageError("page", f"page {page} of a file cannot be read by this reader; the first can")
    return read(path, number=page)  # type: ignore[call-arg]


def overlay_bytes(ecg: Ecg, path: Path) -> bytes:
    """A JPEG of the page with its traces, not larger than needed to judge it.

    Raises:
        PageError: stage "page" or "export".
    """
    import cv2

    from ecg_hough.image.reading import read_page
    from ecg_hough.output.overlay import draw_overlay

    picture = draw_overlay(read_page(path).image, ecg)
    shrink = min(1.0, OVERLAY_SIDE_PX / max(picture.shape[:2]))
    small = cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    done, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, OVERLAY_QUALITY]
    )
    if not done:
        raise PageError("export", f"cannot encode a picture of shape {picture.shape}")
    return encoded.tobytes()


def failure(stage: str, reason: str) -> dict[str, Any]:
    """Columns of a page that has no record."""
    status = "failed" if stage in OUTSIDE else "refused"
    return {"status": status, "stage": stage, "reason": reason.encode("utf-8", "backslashreplace").decode()}


@dataclass
class _Open:
    """A shard that is being read."""

    rows: list[dict[str, Any]]
    begun: float
    started: str
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    in_flight: set[int] = field(default_factory=set)
    deaths: dict[int, int] = field(default_factory=dict)
    starts: int = 1


class ShardRun:
    """Does shards, their pages side by side.

    Args:
        plan: what to do; read: the reader that it was planned with.
        workers: processes; limits: bounds of one page; most_bytes: a larger file is not read.
    Raises:
        ValueError: code, weights or options are not the plan's.
    """

    def __init__(
        self,
        plan: Plan,
        read: PageReader,
        *,
        workers: int = 1,
        limits: Limits | None = None,
        most_bytes: int = storage.MOST_BYTES,
    ) -> None:
        check_versions(plan, read)
        self.plan, self.limits = plan, limits or Limits()
        work = PageWork(read, plan.root, plan.overlays, most_bytes)
        self.workers: Workers[PageTask, dict[str, Any]] = Workers(workers, work, self.limits)
        self._open: dict[int, _Open] = {}

    def __enter__(self) -> ShardRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.workers.__exit__()

    def run(self, shards: Iterable[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Shard and row of every page as it is done; a shard's part and marker are there after its last row.

        Raises:
            PageError: stage "fetch" or "export": the storage failed.
            ChildProcessError: no worker comes up.
        """
        ready: list[tuple[int, dict[str, Any]]] = []
        for task, result in self.workers.run(self._tasks(shards, ready)):
            row = task.row
            if isinstance(result, Ended):
                result = row | failure(*result) | {"seconds": 0.0}
            yield from self._take(ready)
            yield from self._take([(task.shard, result)])
        yield from self._take(ready)

    def work(self, shard: int) -> dict[str, Any]:
        """Make a shard's part and marker, unless they are there; the marker. Raises as `run`."""
        uri = self.plan.place(DONE, f"{self.plan.parts[shard]}.json")
        if not storage.exists(uri):
            for _ in self.run([shard]):
                pass
        marker: dict[str, Any] = json.loads(storage.read_bytes(uri))
        return marker

    def _tasks(self, shards: Iterable[int], ready: list[tuple[int, dict[str, Any]]]) -> Iterator[PageTask]:
        """Pages to read; rows of pages that are given up go to `ready`."""
        for shard in shards:
            opened = self._begin(shard)
            for row in opened.rows:
                n = opened.deaths.get(row["row"], 0)
                if n >= self.limits.tries:
                    reason = f"the run ended {n} times while this page was read"
                    ready.append((shard, row | failure("died", reason) | {"seconds": 0.0}))
                    continue
                opened.in_flight.add(row["row"])
                if opened.starts > 1:
                    self._note(shard)
                overlay = storage.join(OVERLAYS, self.plan.parts[shard], f"{row['row']}.jpg")
                yield PageTask(shard, row, overlay)

    def _begin(self, shard: int) -> _Open:
        """Open a shard; pages that were being read when earlier tries of it ended are counted.

        The first try notes only that it began. Later ones note the pages that they are at: a page that takes
        the whole run with it, and not only its worker, is found and given up in the end.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        opened = _Open(self.plan.rows(shard), time.perf_counter(), now)
        with suppress(PageError, ValueError, KeyError):
            before = json.loads(storage.read_bytes(self._tries(shard)))
            counts = Counter({int(row): n for row, n in before["deaths"].items()})
            counts.update(before["in_flight"])
            opened.deaths, opened.starts = dict(counts), before["starts"] + 1
        self._open[shard] = opened
        self._note(shard)
        return opened

    def _tries(self, shard: int) -> str:
        return self.plan.place(TRIES, f"{self.plan.parts[shard]}.json")

    def _note(self, shard: int) -> None:
        opened = self._open[shard]
        flight = sorted(opened.in_flight) if opened.starts > 1 else []
        note = {"starts": opened.starts, "in_flight": flight, "deaths": opened.deaths}
        storage.put_bytes(self._tries(shard), json_bytes(note))

    def _take(self, rows: list[tuple[int, dict[str, Any]]]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Rows as they come; a shard that has all of them is written."""
        while rows:
            shard, row = rows.pop()
            opened = self._open[shard]
            opened.results[row["row"]] = row
            opened.in_flight.discard(row["row"])
            if len(opened.results) == len(opened.rows):
                self._finish(shard)
            yield shard, row

    def _finish(self, shard: int) -> None:
        """Write the part, then the marker."""
        opened = self._open.pop(shard)
        rows = [opened.results[row["row"]] for row in opened.rows]
        name, data = self.plan.parts[shard], part_bytes(rows, self.plan.lineage)
        storage.put_bytes(self.plan.place(PARTS, f"{name}.parquet"), data)
        marker = {
            "part": name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "rows": len(rows),
            "first_row": rows[0]["row"],
            "counts": dict(Counter(row["status"] for row in rows)),
            "started": opened.started,
            "wall_s": round(time.perf_counter() - opened.begun, 3),
            "page_s": [row["seconds"] for row in rows],
            "host": platform.node(),
            "processor": platform.processor() or platform.machine(),
            "process": os.getpid(),
            "starts": opened.starts,
        }
        storage.put_bytes(self.plan.place(DONE, f"{name}.json"), json_bytes(marker))
        storage.remove(self._tries(shard))


def work(plan: Plan, shard: int, read: PageReader, **options: Any) -> dict[str, Any]:
    """Make a shard's part and marker, unless they are there; the marker.

    Args:
        options: `workers`, `limits` and `most_bytes` of `ShardRun`.
    Raises:
        ValueError: code, weights or options are not the plan's.
        PageError: stage "fetch" or "export": the storage failed.
    """
    with ShardRun(plan, read, **options) as run:
        return run.work(shard)
