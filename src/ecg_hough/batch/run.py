"""Running a plan: on this machine, as one of many jobs, or on a Ray cluster. All of them do `shard.work`.

In: a plan and which of its shards. Out: the plan's parts. Shards that are done are passed over, so a stopped
run goes on where it was, whatever engine it had before.
"""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ecg_hough.batch import storage
from ecg_hough.batch.lineage import PageReader
from ecg_hough.batch.plan import RUNNING, Plan
from ecg_hough.batch.shard import ShardRun
from ecg_hough.batch.workers import Limits
from ecg_hough.errors import PageError
from ecg_hough.output.export import json_bytes

SIGN_EVERY_S = 10.0
"""From one sign of life to the next."""
SILENT_S = 60.0
"""A run without one for this long has ended, or its machine has."""


@dataclass(frozen=True)
class Progress:
    """Where a run is: its pages done before, done in this run, and in all; seconds since it began."""

    before: int
    done: int
    total: int
    seconds: float
    counts: dict[str, int]

    @property
    def pages_per_s(self) -> float:
        """Pages a second of this run."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take; None before the first page."""
        left = self.total - self.before - self.done
        return left / self.pages_per_s if self.done else None


OnPage = Callable[[Progress, dict[str, Any]], None]
"""Called after each page with its row."""


def share_of(text: str | None, n_shards: int) -> list[int]:
    """Shards of one of many jobs: "2/10" takes 2, 12, 22 and so on; None takes all.

    Raises:
        ValueError: not of the form i/n with i below n.
    """
    if text is None:
        return list(range(n_shards))
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if found is None or int(found[1]) >= int(found[2]):
        raise ValueError(f"shard must be i/n with i from 0 to n - 1, such as 0/10; got {text!r}")
    return list(range(int(found[1]), n_shards, int(found[2])))


def run_here(
    plan: Plan,
    read: PageReader,
    *,
    shard: str | None = None,
    workers: int = 1,
    limits: Limits | None = None,
    most_bytes: int = storage.MOST_BYTES,
    on_page: OnPage = lambda progress, row: None,
) -> Progress:
    """Do the shards of a plan that are not done, or this job's share of them, in processes of this machine.

    Args:
        read: the reader that the plan was made with.
        shard: this job's share, see `share_of`.
        workers: processes; limits: bounds of a page; most_bytes: a larger file is not read.
    Raises:
        ValueError: a bad argument, or code, weights or options are not the plan's.
        PageError: stage "fetch" or "export": the storage failed.
        ChildProcessError: no worker comes up.
    """
    mine, done = share_of(shard, len(plan.parts)), plan.done()
    todo = [k for k in mine if k not in done]
    before = sum(plan.pages_of(k) for k in mine if k in done)
    total = before + sum(map(plan.pages_of, todo))
    start, counts = time.perf_counter(), Counter[str]()
    progress = Progress(before, 0, total, 0.0, {})
    if not todo:
        return progress
    life = _Life(plan, shard)
    with ShardRun(plan, read, workers=workers, limits=limits, most_bytes=most_bytes) as run:
        try:
            for _, row in run.run(todo):
                counts[row["status"]] += 1
                progress = Progress(before, counts.total(), total, time.perf_counter() - start, dict(counts))
                life.show(progress)
                on_page(progress, row)
        finally:
            life.end()
    return progress


class _Life:
    """A run's sign of life, for `status`: a small file that is written again every few seconds."""

    def __init__(self, plan: Plan, shard: str | None) -> None:
        self._uri = plan.place(RUNNING, f"{platform.node()}-{os.getpid()}.json")
        self._shard, self._next = shard, 0.0

    def show(self, progress: Progress) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SIGN_EVERY_S
            sign = asdict(progress) | {"shard": self._shard, "host": platform.node(), "time": time.time()}
            storage.put_bytes(self._uri, json_bytes(sign))

    def end(self) -> None:
        storage.remove(self._uri)


@dataclass(frozen=True)
class Status:
    """How far a plan is: shards and pages done, of all, and the runs that show signs of life."""

    shards_done: int
    shards: int
    pages_done: int
    pages: int
    runs: tuple[dict[str, Any], ...]

    @property
    def pages_per_s(self) -> float:
        """Pages a second of all runs together."""
        return sum(run["done"] / run["seconds"] for run in self.runs if run["seconds"] > 0)

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take; None where no run shows a page."""
        reading = sum(run["done"] for run in self.runs)
        left = self.pages - self.pages_done
        return left / self.pages_per_s if reading and self.pages_per_s else None


def status_of(plan: Plan) -> Status:
    """How far a plan is, also while it is run elsewhere.

    Raises:
        PageError: stage "fetch".
    """
    done, runs = plan.done(), []
    for name in storage.names_in(plan.place(RUNNING)):
        try:
            sign = json.loads(storage.read_bytes(plan.place(RUNNING, name)))
        except (PageError, ValueError):
            continue  # it has ended meanwhile
        if time.time() - sign["time"] < SILENT_S:
            runs.append(sign)
    pages = sum(map(plan.pages_of, done))
    return Status(len(done), len(plan.parts), pages, plan.n_pages, tuple(runs))


def run_on_ray(
    plan: Plan,
    read: PageReader,
    *,
    address: str | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
    most_bytes: int = storage.MOST_BYTES,
    on_shard: Callable[[dict[str, Any]], None] = lambda marker: None,
) -> int:
    """Do the shards of a plan that are not done on a Ray cluster; the number of shards done.

    Ray Data keeps a pool of actors that grows and shrinks with the work; each holds a process with warm
    networks. A shard whose actor or machine is lost is done again by another.

    Args:
        address: of the cluster; None takes RAY_ADDRESS, or begins one on this machine.
        workers: most actors at once; None takes one a processor core of the cluster.
        on_shard: called with every marker as it comes.
    Raises:
        ValueError: as `run_here`.
    """
    import ray
    import ray.data

    done = plan.done()
    todo = [{"shard": k} for k in range(len(plan.parts)) if k not in done]
    if not todo:
        return 0
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False)
    cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
    most = min(workers or cores, cores, len(todo))
    markers = ray.data.from_items(todo, override_num_blocks=len(todo)).map(
        _RayShard,  # type: ignore[arg-type]
        fn_constructor_args=(plan, read, limits, most_bytes),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most, max_tasks_in_flight_per_actor=1),
        num_cpus=1,
        max_restarts=-1,
        max_task_retries=-1,
    )
    n = 0
    for row in markers.iter_rows():
        on_shard(json.loads(row["marker"]))
        n += 1
    return n


class _RayShard:
    """An actor that does one shard after the other; its process with the networks stays between them."""

    def __init__(self, plan: Plan, read: PageReader, limits: Limits | None, most_bytes: int) -> None:
        self._run = ShardRun(plan, read, workers=1, limits=limits, most_bytes=most_bytes)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"marker": json.dumps(self._run.work(int(row["shard"])))}
