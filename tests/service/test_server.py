"""A server as a process: where it may listen, and that a kill loses nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ecg_hough.service.server import Address, is_loopback
from service_jobs import pdf_of

SERVER = """
import sys
from pathlib import Path
from ecg_hough.service.bounds import Bounds
from ecg_hough.service.server import Address, serve
from fast_reader import FastReader
if __name__ == "__main__":
    serve(
        Path(sys.argv[1]), address=Address(port=0), bounds=Bounds(page_seconds=60.0), read=FastReader(0.3),
        on_listening=lambda url: print(url, flush=True),
    )
"""


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.9.9.9", True), ("0.0.0.0", False),
     ("::", False), ("192.168.1.2", False), ("ecg.example.org", False), ("", False)],
)  # fmt: skip
def test_elsewhere_needs_keys(host: str, own: bool, tmp_path: Path) -> None:
    assert is_loopback(host) is own
    if own:
        assert "localhost" in (Address(host).hosts or ())
    else:
        with pytest.raises(ValueError, match="without keys"):
            Address(host)
        assert Address(host, keys=tmp_path).hosts is None
        assert "a.example" in (Address(host, names=("a.example",), keys=tmp_path).hosts or ())


class Server:
    """A server process in a folder, which can be begun again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.script = folder / "service", folder / "server.py"
        self.script.write_text(SERVER)
        self.begin()

    def begin(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(self.script), str(self.folder)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", self.url)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.kill()


def test_what_was_accepted_is_done_after_a_kill(server: Server) -> None:
    later = {"Prefer": "respond-async"}
    pages = [pdf_of(f"page {k}") for k in range(4)]
    with httpx.Client(base_url=server.url, timeout=30, headers=later) as client:
        answers = [
            client.post("/v1/pages", content=page, headers={"Idempotency-Key": str(k)})
            for k, page in enumerate(pages)
        ]
        assert [answer.status_code for answer in answers] == [202] * 4
        ids = [answer.json()["id"] for answer in answers]
        while not any(client.get(f"/v1/jobs/{one}").json()["state"] == "running" for one in ids):
            time.sleep(0.02)
    server.kill()
    server.begin()
    with httpx.Client(base_url=server.url, timeout=30, headers=later) as client:
        again = client.post("/v1/pages", content=pages[1], headers={"Idempotency-Key": "1"})
        end = time.monotonic() + 60
        while (states := [client.get(f"/v1/jobs/{one}").json() for one in ids]) and time.monotonic() < end:
            if all(job["state"] == "done" for job in states):
                break
            time.sleep(0.1)
        assert [job["state"] for job in states] == ["done"] * 4
        assert again.headers["Location"].rpartition("/")[2].startswith(ids[1])
        assert len(client.get("/v1/jobs").json()["jobs"]) == 4
        records = [client.get(job["records"][0]["href"], params={"format": "csv"}) for job in states]
        assert all(record.status_code == 200 for record in records)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=30) == -signal.SIGTERM
    assert list((server.folder / "uploads").iterdir()) == []
