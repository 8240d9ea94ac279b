"""A server of the service in a process of its own, for measurements: begun, killed, begun again.

In: a folder and options. Out: `ServerProcess`. Run as a module it is that process.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import httpx

from ecg_hough.batch.workers import resident_mib
from ecg_lab.kills import StandIn, descendants

SCALE = 0.4
"""That pages are made smaller by, so that they are read fast: 60 px an inch."""
READY_S = 180.0
"""Longest that a server may take to be ready, on a busy machine."""


@dataclass
class ServerProcess:
    """A server; a context manager, which ends it.

    Attributes:
        root: folder that holds all of its files: its own folder, temporary ones, keys.
        workers: processes that read.
        pause_s: seconds that a stand-in takes for a page in place of the package's reader; None reads pages.
        bounds: of `ecg_hough.service.bounds.Bounds`; with_keys: whether `root/keys.json` is used.
    """

    root: Path
    workers: int = 2
    pause_s: float | None = None
    bounds: dict[str, float] = field(default_factory=dict)
    with_keys: bool = False
    mib: list[tuple[float, float]] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def folder(self) -> Path:
        """Of its jobs."""
        return self.root / "service"

    def __enter__(self) -> ServerProcess:
        (self.root / "tmp").mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.begin()
        self._watch = threading.Thread(target=self._note_memory, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def begin(self) -> None:
        """Start it, with what an earlier one left."""
        options = json.dumps({
            "folder": str(self.folder), "port": self.port, "workers": self.workers, "pause_s": self.pause_s,
            "bounds": self.bounds, "keys": str(self.root / "keys.json") if self.with_keys else None,
        })  # fmt: skip
        with (self.root / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ecg_lab.service_process", options],
                env=os.environ | {
                    "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(self.root / "tmp")
                },
                stdout=log,
                stderr=log,
            )  # fmt: skip

    def wait_until_ready(self) -> None:
        """Wait for the first process that can read.

        Raises:
            TimeoutError: none is up after `READY_S`.
        """
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise TimeoutError(f"the server must be ready within {READY_S:g} s; see {self.root / 'server.log'}")

    def kill(self) -> None:
        """Kill it with signal 9, and begin it again."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.begin()

    def readers(self) -> list[int]:
        """Processes that it has begun."""
        return sorted(descendants(self.process.pid)) if self.process is not None else []

    def _note_memory(self) -> None:
        while not self._ended.wait(0.5):
            process = self.process
            held = None if process is None else resident_mib(process.pid)
            if held is not None:
                self.mib.append((time.monotonic(), held))


def small_pages(samples: Path) -> dict[str, bytes]:
    """The pages of a folder as small JPEG files, by name.

    Raises:
        ValueError: there are none.
    """
    pages = {}
    for path in sorted(samples.glob("*.jpg")):
        image = cv2.imread(str(path))
        small = cv2.resize(image, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA)
        pages[path.stem] = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    if not pages:
        raise ValueError(f"samples must be a folder with .jpg pages; got {samples}")
    return pages


def _main(options: dict[str, Any]) -> None:
    from ecg_hough.batch.reader import SHIPPED_READER
    from ecg_hough.service.bounds import Bounds
    from ecg_hough.service.server import Address, serve

    pause_s = options["pause_s"]
    serve(
        Path(options["folder"]),
        address=Address(port=options["port"], keys=Path(options["keys"]) if options["keys"] else None),
        bounds=Bounds(**options["bounds"]),
        workers=options["workers"],
        read=SHIPPED_READER if pause_s is None else StandIn(pause_s),
    )


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
