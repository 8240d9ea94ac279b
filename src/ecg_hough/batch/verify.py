"""Checking a batch: its parts against their markers and the manifest, and a sample of pages read again.

In: a plan. Out: `Check`, with every difference that was found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecg_hough.batch import storage
from ecg_hough.batch.lineage import PageReader
from ecg_hough.batch.parts import SCHEMA, read_part
from ecg_hough.batch.plan import DONE, PARTS, Plan, check_versions
from ecg_hough.batch.shard import PageTask, PageWork
from ecg_hough.batch.summary import PART_BYTES
from ecg_hough.batch.workers import Ended, Limits, Workers
from ecg_hough.errors import PageError

NOT_COMPARED = ("reason", "overlay")
"""Columns that may differ: a reason can hold a measurement of the machine, a picture is not made again."""


@dataclass(frozen=True)
class Check:
    """What was checked: parts, and pages read again; and what is wrong, in sentences."""

    n_parts: int
    n_read: int
    problems: tuple[str, ...]


def verify(
    plan: Plan,
    read: PageReader,
    *,
    n: int = 20,
    seed: int = 0,
    workers: int = 1,
    limits: Limits | None = None,
    most_bytes: int = storage.MOST_BYTES,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Check:
    """Check all parts that are done, and read some of their pages again.

    Args:
        read: the reader that the plan was made with.
        n: pages to read again, drawn by `seed`; others as for `run.run_here`.
    Raises:
        ValueError: code, weights or options are not the plan's.
        PageError: stage "fetch": the storage failed.
    """
    check_versions(plan, read)
    problems: list[str] = []
    done = sorted(plan.done())
    pages = [(shard, k) for shard in done for k in range(plan.pages_of(shard))]
    rng = np.random.default_rng(seed)
    drawn = {pages[k] for k in rng.choice(len(pages), min(n, len(pages)), replace=False)} if pages else set()
    sample: list[tuple[PageTask, dict[str, Any]]] = []
    for at, shard in enumerate(done):
        rows = _checked_rows(plan, shard, problems)
        given = plan.rows(shard)
        for k in sorted(k for one, k in drawn if one == shard and k < len(rows)):
            if rows[k]["stage"] not in ("time", "memory", "died", "fetch"):
                sample.append((PageTask(shard, given[k], ""), rows[k]))
        on_progress(at + 1, len(done) + len(drawn))
    work = PageWork(read, plan.root, "none", most_bytes)
    with Workers(min(workers, len(sample)) or 1, work, limits or Limits()) as pool:
        by_row = {task.row["row"]: row for task, row in sample}
        for at, (task, result) in enumerate(pool.run(task for task, _ in sample)):
            problems += _differences(by_row[task.row["row"]], result)
            on_progress(len(done) + at + 1, len(done) + len(sample))
    return Check(len(done), len(sample), tuple(problems))


def _checked_rows(plan: Plan, shard: int, problems: list[str]) -> list[dict[str, Any]]:
    """Rows of a part; what is wrong with it goes to `problems`."""
    name = plan.parts[shard]
    try:
        marker = json.loads(storage.read_bytes(plan.place(DONE, f"{name}.json")))
        data = storage.read_bytes(plan.place(PARTS, f"{name}.parquet"), most_bytes=PART_BYTES)
        if hashlib.sha256(data).hexdigest() != marker["sha256"]:
            problems.append(f"part {name}: its sha256 is not that of its marker")
        part = read_part(data)
    except (PageError, ValueError, KeyError) as error:
        problems.append(f"part {name}: {error}; remove its marker in {DONE}/ and run again")
        return []
    if part.lineage != plan.lineage:
        problems.append(f"part {name}: it was made of other code, weights or options than planned")
    expected = [(row["row"], row["uri"], row["page"]) for row in plan.rows(shard)]
    if [(row["row"], row["uri"], row["page"]) for row in part.rows] != expected:
        problems.append(f"part {name}: its pages are not those of the manifest, each once and in order")
        return []
    return part.rows


def _differences(before: dict[str, Any], result: dict[str, Any] | Ended) -> list[str]:
    """How a page that was read again differs from its row."""
    if isinstance(result, Ended):
        return [f"{before['uri']}: {result.message}"]
    again = read_part_row(result)
    if again["sha256"] != before["sha256"]:
        return [f"{before['uri']}: the file is not the one that was read (sha256 {again['sha256']})"]
    names = [
        name for name in SCHEMA.names if name not in NOT_COMPARED and again.get(name) != before.get(name)
    ]
    return [f"{before['uri']}: {', '.join(names)} differ from those of its part"] if names else []


def read_part_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it comes back from a part."""
    from ecg_hough.batch.parts import part_bytes

    return read_part(part_bytes([row], {})).rows[0]
