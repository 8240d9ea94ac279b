"""Kills at random: does a batch that is killed again and again end as the undisturbed one?

In: counts and a seed. Out: `Kills`. Any process of the run is killed with signal 9, the run itself or one of
its workers; a stand-in reads a page in milliseconds, so that a thousand pages take a minute.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_hough.batch.parts import read_part
from ecg_hough.batch.plan import load_plan, make_plan
from ecg_hough.batch.predict import predict_pages
from ecg_hough.batch.run import run_here
from ecg_hough.batch.summary import done_parts
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS
from ecg_hough.record import LeadStatus

WAYS = ("parts", "folder")
"""A planned batch into parts; `predict` into a folder."""
ORPHAN_S = 5.0


@dataclass(frozen=True)
class Kills:
    """What a batch was that was killed.

    Attributes:
        n_pages, n_killed, n_runs: pages, kills, and runs that this took.
        of_the_run, of_workers: which processes were killed.
        same_result: the parts, or records, are bit by bit those of an undisturbed run.
        rows_twice, rows_missing: pages with more than one result, or none.
        orphans_after_5_s: processes that lived on that long after their run was killed.
    """

    n_pages: int
    n_killed: int
    n_runs: int
    of_the_run: int
    of_workers: int
    same_result: bool
    rows_twice: int
    rows_missing: int
    orphans_after_5_s: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class StandIn:
    """Reads a page in `pause_s` into a record that depends on its bytes alone."""

    pause_s: float = 0.0

    def __call__(self, path: Path) -> Ecg:
        time.sleep(self.pause_s)
        seed = int.from_bytes(hashlib.sha256(path.read_bytes()).digest()[:8], "big")
        shape = (len(LEADS), 500)
        return Ecg(
            signals=np.random.default_rng(seed).normal(size=shape), fs=500, confidence=np.ones(shape),
            sd_mv=np.full(shape, 0.02), lead_status=tuple(LeadStatus(lead, True) for lead in LEADS),
            angle_deg=0.0, quarter_turns=0, px_per_mm=None, layout="12x1", speed_mm_s=25.0, gain_mm_mv=10.0,
            warnings=(), traces=(), quality=1.0, versions={}, seconds={}, source=path.name,
        )  # fmt: skip

    def options(self) -> dict[str, Any]:
        return {"method": "stand-in"}

    def sources(self, path: Path) -> Sequence[Path]:
        return ()


def kill_at_random(
    folder: Path,
    *,
    way: str = "parts",
    n_pages: int = 1000,
    n_kills: int = 20,
    shard_pages: int = 50,
    pause_s: float = 0.02,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Kills:
    """Run a batch of two workers, kill one of its processes after the other, and compare the end.

    Args:
        folder: for pages and results; what is there of an earlier call is removed.
        way: one of `WAYS`; shard_pages: of parts.
        pause_s: time that a page takes.
    Raises:
        ValueError: no such way.
        RuntimeError: the batch was done before all kills.
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {', '.join(WAYS)}; got {way!r}")
    pages, roots = folder / "pages", (folder / "whole", folder / "killed")
    for place in (pages, *roots):
        shutil.rmtree(place, ignore_errors=True)
    pages.mkdir(parents=True)
    for k in range(n_pages):
        (pages / f"p{k}.png").write_bytes(f"page {k} of {seed}".encode())
    for root in roots:
        if way == "parts":
            make_plan([str(pages)], str(root), read=StandIn(), shard_pages=shard_pages, overlays="none")
    _run(way, pages, roots[0], 0.0)
    arguments = [sys.executable, "-m", "ecg_lab.kills", way, str(pages), str(roots[1]), str(pause_s)]
    killer = _Killer(arguments, np.random.default_rng(seed), n_pages * pause_s / 2 / n_kills)
    for k in range(n_kills):
        killer.kill_one()
        on_progress(k + 1, n_kills)
    killer.finish()
    results = [_results(way, root) for root in roots]
    counts = Counter(_names(way, roots[1]))
    wanted = {f"p{k}.png" for k in range(n_pages)}
    return Kills(
        n_pages, n_kills, killer.n_runs, killer.of_the_run, n_kills - killer.of_the_run,
        results[0] == results[1], sum(n > 1 for n in counts.values()), len(wanted - counts.keys()),
        killer.orphans,
    )  # fmt: skip


class _Killer:
    """Keeps a run going and kills its processes, the mean time between two kills being `mean_s`."""

    def __init__(self, arguments: list[str], rng: np.random.Generator, mean_s: float) -> None:
        self.arguments, self.rng, self.mean_s = arguments, rng, mean_s
        self.n_runs = self.of_the_run = self.orphans = 0
        self.run: subprocess.Popen[bytes] | None = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self.run is None:
            path = os.pathsep.join(sys.path)
            self.run = subprocess.Popen(self.arguments, env=os.environ | {"PYTHONPATH": path})
            self.n_runs += 1
        return self.run

    def kill_one(self) -> None:
        """Wait a random time, then kill the run or one of its processes."""
        run = self._running()
        time.sleep(float(self.rng.uniform(0.2, 2.0)) * self.mean_s)
        if run.poll() is not None:
            raise RuntimeError(
                "the batch must last until the last kill; give it more pages or a longer pause"
            )
        family = sorted(descendants(run.pid))
        victim = int(self.rng.choice([run.pid, *family]))
        os.kill(victim, signal.SIGKILL)
        if victim == run.pid:
            run.wait()
            self.of_the_run += 1
            self.run = None
            self.orphans += len(_alive_after(set(family), ORPHAN_S))

    def finish(self) -> None:
        """Let the run come to its end.

        Raises:
            RuntimeError: it fails.
        """
        if self._running().wait() != 0:
            self.run = None
            if self._running().wait() != 0:
                raise RuntimeError("the batch must end well after the last kill")


def descendants(pid: int) -> set[int]:
    """Processes that a process began, and what they began; from /proc."""
    found: set[int] = set()
    todo = [pid]
    while todo:
        for tasks in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            try:
                new = set(map(int, tasks.read_text().split())) - found
            except OSError:
                continue  # it has ended meanwhile
            found |= new
            todo += new
    return found


def _alive_after(pids: set[int], seconds: float) -> set[int]:
    """Those that are still there after so long, zombies aside."""
    end = time.monotonic() + seconds
    while True:
        there = set()
        for pid in pids:
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if state != "Z":
                there.add(pid)
        if not there or time.monotonic() > end:
            return there
        time.sleep(0.05)


def _run(way: str, pages: Path, root: Path, pause_s: float) -> None:
    if way == "parts":
        run_here(load_plan(str(root)), StandIn(pause_s), workers=2)
    else:
        predict_pages([pages], root, read=StandIn(pause_s), workers=2)


def _results(way: str, root: Path) -> dict[str, str]:
    """The sha256 of every part or record, by its name."""
    files = root.glob("parts/*") if way == "parts" else root.glob("p*.*")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _names(way: str, root: Path) -> list[str]:
    """Names of the pages, as often as there are results of them."""
    if way == "folder":
        return [f"{path.stem}.png" for path in root.glob("p*.json")]
    parts = (read_part(data, ["uri"]) for _, _, data in done_parts(load_plan(str(root))))
    return [Path(row["uri"]).name for part in parts for row in part.rows]


if __name__ == "__main__":
    _run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))
