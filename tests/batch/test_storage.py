"""Files on a disk, on a web server and on an S3 server, both real ones on this machine."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("fsspec")
from ecg_hough.batch import storage
from ecg_hough.batch.storage import PageError, files_below, names_in, put_bytes, read_bytes

CONTENT = b"a page" * 1000


def test_a_disk(tmp_path: Path) -> None:
    uri = str(tmp_path / "a" / "b.bin")
    put_bytes(uri, CONTENT)
    assert read_bytes(uri) == read_bytes(f"file://{uri}") == CONTENT
    assert names_in(str(tmp_path / "a")) == {"b.bin": len(CONTENT)}
    assert names_in(str(tmp_path / "c")) == {}
    assert files_below(str(tmp_path)) == {uri: len(CONTENT)}
    storage.remove(uri)
    storage.remove(uri)
    assert not storage.exists(uri)


def test_what_is_not_what_was_asked_for(tmp_path: Path) -> None:
    uri = str(tmp_path / "a.bin")
    put_bytes(uri, CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert read_bytes(uri, sha256=digest, size=len(CONTENT)) == CONTENT
    for expected, words in (
        ({"sha256": "0" * 64}, f"must have the sha256 {'0' * 64} of the manifest; got {digest}"),
        ({"size": 1}, "must have the size 1"),
        ({"most_bytes": 10}, "at most 10 are read"),
    ):
        with pytest.raises(PageError, match=words):
            read_bytes(uri, **expected)  # type: ignore[arg-type]
    for place, words in ((tmp_path, "no plain file"), (tmp_path / "c", "no such file")):
        with pytest.raises(PageError, match=words):
            read_bytes(str(place))


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    from ecg_hough.batch.pages import printable

    try:
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/p\xff.png"))
        path.write_bytes(CONTENT)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 names only")
    assert printable(path).endswith("p\\udcff.png")
    assert read_bytes(printable(path)) == CONTENT


def test_a_scheme_that_is_not_known() -> None:
    with pytest.raises(ValueError, match="nowhere://x must be a path or a URI"):
        read_bytes("nowhere://x")


class _Web(BaseHTTPRequestHandler):
    """Serves pages; some fail for a while, some for ever."""

    asked: dict[str, int]

    def do_GET(self) -> None:
        self.asked[self.path] = n = self.asked.get(self.path, 0) + 1
        if self.path == "/gone":
            self.send_error(404)
        elif self.path == "/forbidden":
            self.send_error(403)
        elif self.path == "/always" or (self.path == "/twice" and n < 3):
            self.send_error(503)
        else:
            self.send_response(200)
            if self.path == "/cut":
                self.send_header("Content-Length", str(2 * len(CONTENT)))
            self.end_headers()
            for _ in range(2000 if self.path == "/endless" else 1):
                self.wfile.write(CONTENT)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(storage, "FIRST_WAIT_S", 0.01)
    _Web.asked = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), _Web) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_web_server(web: str) -> None:
    assert read_bytes(f"{web}/page.png") == CONTENT
    assert read_bytes(f"{web}/twice") == CONTENT
    assert _Web.asked["/twice"] == 3
    for name, words, asked in (
        ("gone", "no such file", 1),
        ("forbidden", "refused with status 403", 1),
        ("always", "in 4 tries", 4),
        ("cut", "in 4 tries", 4),
    ):
        with pytest.raises(PageError, match=words):
            read_bytes(f"{web}/{name}")
        assert _Web.asked[f"/{name}"] == asked, name


def test_a_web_server_that_sends_without_end(web: str) -> None:
    with pytest.raises(PageError, match="at most 100000 are read"):
        read_bytes(f"{web}/endless", most_bytes=100_000)


def test_an_s3_server(s3_root: str) -> None:
    uri = f"{s3_root}/folder/a.bin"
    put_bytes(uri, CONTENT)
    assert read_bytes(uri) == CONTENT
    assert names_in(f"{s3_root}/folder") == {"a.bin": len(CONTENT)}
    assert names_in(f"{s3_root}/other") == {}
    assert files_below(s3_root) == {uri: len(CONTENT)}
    put_bytes(uri, b"")
    assert names_in(f"{s3_root}/folder") == {"a.bin": 0}
    storage.remove(uri)
    assert not storage.exists(uri)
    with pytest.raises(PageError, match="no such file"):
        read_bytes(uri)


def test_storage_that_is_away_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "FIRST_WAIT_S", 0.01)
    answers = [TimeoutError("slow"), ConnectionResetError("reset"), b"there"]

    def ask() -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert storage._tried(ask, "x") == b"there"
    with pytest.raises(ZeroDivisionError):
        storage._tried(lambda: 1 / 0, "x")
