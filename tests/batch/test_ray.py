"""Ray Data: the same parts as on one machine, also when a worker is killed in the middle."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")
from ecg_hough.batch.plan import Plan, make_plan
from ecg_hough.batch.run import run_here, run_on_ray
from fast_reader import FastReader, write_pages
from parts_made import parts_of

FAULTS = {1: "check", 3: "refused", 7: "dies", 9: "bug"}


def planned(folder: Path, root: str, read: FastReader) -> Plan:
    pages = folder / "pages"
    if not pages.exists():
        write_pages(pages, 40, FAULTS)
    return make_plan([str(pages)], str(folder / root), read=read, shard_pages=5, overlays="none")


def kill_an_actor(noted: list[int]) -> None:
    """Wait until an actor of Ray reads, and kill it."""
    for _ in range(600):
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue
            if b"ray::" in words and b"_RayShard" in words:
                time.sleep(1.0)
                noted.append(int(path.parent.name))
                os.kill(noted[0], signal.SIGKILL)
                return
        time.sleep(0.1)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")
def test_ray_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    read = FastReader(pause_s=0.1)
    here, there = planned(tmp_path, "here", read), planned(tmp_path, "there", read)
    run_here(here, read)
    markers, killed = [], list[int]()
    ray.init(num_cpus=4, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False)
    try:
        killer = threading.Thread(target=kill_an_actor, args=(killed,))
        killer.start()
        n = run_on_ray(there, read, workers=2, on_shard=markers.append)
        killer.join()
        assert killed
        assert n == len(markers) == 8
        assert run_on_ray(there, read) == 0
    finally:
        ray.shutdown()
    assert parts_of(there) == parts_of(here)
