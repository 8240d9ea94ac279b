"""Pages that hang, crash or eat memory, and runs that are stopped: each costs only itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ecg_hough.batch import predict
from ecg_hough.batch.predict import predict_pages
from ecg_hough.batch.workers import Ended, Limits, Workers, machine_mib, resident_mib
from fast_reader import FastReader, write_pages

RUN = """
import sys
from pathlib import Path
from ecg_hough.batch.predict import predict_pages
from ecg_hough.batch.workers import Limits
from fast_reader import FastReader
if __name__ == "__main__":
    print("begun", flush=True)
    show = lambda result, total: print(result.stem, flush=True)
    read = FastReader(float(sys.argv[3]))
    predict_pages([Path(sys.argv[1])], sys.argv[2], read=read, workers=2, on_page=show)
"""


def begin_run(tmp_path: Path, pages: Path, pause_s: float) -> subprocess.Popen[str]:
    """A run of two workers in a process of its own, which has done a page when this returns."""
    script = tmp_path / "script.py"
    script.write_text(RUN)
    arguments = [sys.executable, str(script), str(pages), str(tmp_path / "out"), str(pause_s)]
    run = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "begun\n"
    run.stdout.readline()
    return run


def children_of(pid: int) -> set[int]:
    """Processes that a process began, and what they began."""
    found: set[int] = set()
    todo = [pid]
    while todo:
        for tasks in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            new = set(map(int, tasks.read_text().split())) - found
            found |= new
            todo += new
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that are there and no zombies."""
    there = set()
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                there.add(pid)
        except OSError:
            pass
    return there


def all_gone(pids: set[int], within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while alive(pids) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pids)


@pytest.mark.slow
def test_bad_pages_cost_only_themselves(tmp_path: Path) -> None:
    """All faults in one run, for a worker takes a second to start."""
    faults = {
        1: "hangs",
        3: "dies",
        4: "crashes",
        5: "eats",
        6: "bug",
        8: "dies-once",
        9: "refused",
        11: "spins",
    }
    pages = write_pages(tmp_path / "pages", 14, faults)
    read = FastReader(dies_once=tmp_path)
    limits = Limits(seconds=3.0, memory_mib=400, tries=2)
    report = predict_pages([tmp_path / "pages"], tmp_path / "out", read=read, workers=2, limits=limits)
    failed = {failure.path.name: failure for failure in report.failed}
    assert {name: failure.stage for name, failure in failed.items()} == {
        "p1.png": "time", "p3.png": "died", "p4.png": "died", "p5.png": "memory", "p6.png": "internal",
        "p9.png": "layout",
    }  # fmt: skip
    assert "longer than 3 s" in failed["p1.png"].message
    assert "signal 11" in failed["p4.png"].message
    assert "more than 400 MiB" in failed["p5.png"].message
    assert set(report.done) == {page for page in pages if page.name not in failed}


def test_processes_that_cannot_start_end_the_run() -> None:
    dying, words = Workers(1, _DiesAtTheStart(), Limits()), "died before"
    with dying as workers, pytest.raises(ChildProcessError, match=words):
        list(workers.run([1]))


class _DiesAtTheStart:
    """Is sent to a process and cannot be made there."""

    def __call__(self, task: int) -> int:
        return task

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


def test_tasks_are_taken_as_processes_are_free() -> None:
    taken: list[int] = []

    def tasks() -> object:
        for k in range(6):
            taken.append(k)
            yield k

    with Workers(1, abs, Limits()) as workers:
        for done, (task, result) in enumerate(workers.run(tasks())):  # type: ignore[arg-type]
            assert task == result
            assert len(taken) <= done + 2
    assert taken == list(range(6))


def test_a_worker_s_limits_are_positive() -> None:
    for bad in ({"seconds": 0}, {"memory_mib": -1}, {"tries": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(bad))} must be positive"):
            Limits(**bad)  # type: ignore[arg-type]
    assert Ended("time", "x").stage == "time"


def test_memory_is_measured() -> None:
    held = resident_mib(os.getpid())
    assert held is not None
    assert 10 < held < machine_mib()
    assert resident_mib(2**22 + 1) is None


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_run(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C, the end that a job queue sends, and a kill; the workers are at pages of an hour meanwhile."""
    write_pages(tmp_path / "pages", 6, dict.fromkeys(range(2, 6), "hangs"))
    run = begin_run(tmp_path, tmp_path / "pages", 0.0)
    time.sleep(0.3)
    family = children_of(run.pid)
    assert family
    # As a terminal does, to the whole group; the workers are in groups of their own.
    run.send_signal(how)
    run.wait(5)
    assert all_gone(family)
    remains = [path.name for path in (tmp_path / "out").iterdir() if path.name.endswith((".json", ".hea"))]
    again = predict_pages(
        sorted((tmp_path / "pages").glob("p[01].png")), tmp_path / "out", read=FastReader(), workers=1
    )
    assert len(again.skipped) >= 1, remains


@pytest.mark.slow
def test_two_runs_in_a_folder_do_not_mix(tmp_path: Path) -> None:
    write_pages(tmp_path / "pages", 3, {1: "hangs", 2: "hangs"})
    run = begin_run(tmp_path, tmp_path / "pages", 0.0)
    try:
        with pytest.raises(predict.PageError, match=f"another run writes into .*process {run.pid} on "):
            predict_pages([tmp_path / "pages"], tmp_path / "out", read=FastReader())
    finally:
        run.kill()
        run.wait()
