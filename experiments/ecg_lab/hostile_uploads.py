"""Hostile requests against a server: does it stay up, keep its files in its folder and its clients apart?

In: a count and a seed. Out: `Hostile`. Requests are made of a small page and of nothing: damaged files,
bombs, names of other folders, other types, slow and broken bodies, other clients' records, damaged HTTP.
"""

from __future__ import annotations

import gzip
import io
import random
import shutil
import socket
import struct
import threading
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from ecg_hough.service.keys import add_key
from ecg_hough.service.store import ID, RECORD_ID
from ecg_lab.service_process import ServerProcess, small_pages

BOUNDS = {
    "upload_mb": 1.0, "megapixels": 4.0, "pages": 5, "upload_seconds": 1.5, "uploads_at_once": 8, "queue": 50,
    "queue_of_key": 20, "page_seconds": 120.0, "wait_seconds": 20.0,
}  # fmt: skip
CLIENTS = 4
GOOD_S = 1800.0
"""Longest that a good page may take between hostile ones, on a busy machine."""
TAKEN_BACK = 0.9
"""Share of the jobs that came of hostile uploads which their client deletes at once."""
OWN_FILES = ("jobs.sqlite", "jobs.sqlite-wal", "jobs.sqlite-shm", ".ecg-hough.lock")
NAMES = (
    "../../../../etc/cron.d/evil", "/etc/passwd", "..\\..\\evil.exe", "evil\x00.jpg", "a" * 5000, "", ".",
    "CON", "évil\u202egpj.exe", "~/.ssh/authorized_keys", "%2e%2e%2fevil", "evil.jpg; rm -rf ~",
)  # fmt: skip
"""Names of files that a client sends."""


@dataclass(frozen=True)
class Hostile:
    """What hostile requests did.

    Attributes:
        requests: sent; kinds: of them, each with the answers by status ("broken": the connection was closed).
        errors: answers of 500 and above but 503; overloads: of 503.
        outside: files that are neither the server's own nor under a name that it made.
        of_others: answers that showed or removed another client's data.
        is_up: whether the server then reads a good page, and its first record is as it was.
        restarts: of the server, which nobody asked for.
        seconds: of the whole; server_mib: of the server process, at the begin, largest, and at the end.
    """

    requests: int
    kinds: dict[str, dict[str, int]]
    errors: int
    overloads: int
    outside: tuple[str, ...]
    of_others: int
    is_up: bool
    restarts: int
    seconds: float
    server_mib: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass
class _Attack:
    """Where requests go and what they are made of.

    Attributes:
        url, port: of the server; key: the attacker's; page: a good one; pdf: one page.
        victim: paths of another client's job and record; secret: bytes of that record.
    """

    url: str
    port: int
    key: str
    page: bytes
    pdf: bytes
    victim: tuple[str, str]
    secret: bytes
    answers: dict[str, Counter[str]] = field(default_factory=dict)
    of_others: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def post(self, client: httpx.Client, content: Any = None, **options: Any) -> httpx.Response:
        headers = {"X-API-Key": self.key} | options.pop("headers", {})
        return client.post(f"{self.url}/v1/pages", content=content, headers=headers, **options)

    def raw(self, data: bytes, *, pause_s: float = 0.0, pieces: int = 1) -> str:
        """Status of bytes sent over a socket of their own, in pieces."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as link:
            step = max(1, len(data) // pieces)
            try:
                for k in range(0, len(data), step):
                    link.sendall(data[k : k + step])
                    time.sleep(pause_s)
                if pieces == 1:
                    link.shutdown(socket.SHUT_WR)
                head = link.recv(64).split(b" ")
            except OSError:
                return "broken"
        return head[1].decode("ascii", "replace") if len(head) > 1 else "broken"

    def head(self, length: int | str, more: str = "") -> bytes:
        """The head of a request by hand."""
        return (
            f"POST /v1/pages HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {self.key}\r\n{more}"
            f"Content-Length: {length}\r\n\r\n"
        ).encode("latin-1")


Kind = Callable[[_Attack, httpx.Client, random.Random], "httpx.Response | str"]


def fuzzed(attack: _Attack, client: httpx.Client, rng: random.Random) -> httpx.Response:
    """A picture or PDF with bytes changed, cut out or put in."""
    data = bytearray(rng.choice([attack.page, attack.pdf]))
    for _ in range(rng.choice([1, 5, 50])):
        at = rng.randrange(len(data))
        match rng.randrange(3):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + rng.randrange(1, 200)]
            case _:
                data[at:at] = rng.randbytes(rng.randrange(1, 50))
    return attack.post(client, bytes(data), headers={"Prefer": rng.choice(["respond-async", ""])})


def bomb(attack: _Attack, client: httpx.Client, rng: random.Random) -> httpx.Response:
    """A small file that is large once it is opened."""
    made = rng.choice([_huge_png, _full_png, _many_frames, _huge_pdf, _pdf_bomb, _zip_bomb, _gzip])
    headers = {"Content-Encoding": "gzip"} if made is _gzip else {}
    return attack.post(client, made(rng), headers=headers)


def _png(cols: int, rows: int, pixels: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", cols, rows, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _huge_png(rng: random.Random) -> bytes:
    return _png(rng.choice([1, 60_000, 2**31 - 1]), 2**31 - 1, zlib.compress(bytes(10_000)))


def _full_png(rng: random.Random) -> bytes:
    return _png(200, 200, zlib.compress(bytes(50_000_000), 9))


def _many_frames(rng: random.Random) -> bytes:
    buffer, frame = io.BytesIO(), Image.new("1", (160, 160))
    frame.save(buffer, "TIFF", save_all=True, append_images=[frame] * rng.choice([5, 200]))
    return buffer.getvalue()


def _pdf(box: str, stream: bytes, filters: str) -> bytes:
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[" + box.encode() + b"]/Contents 4 0 R>>endobj\n"
        b"4 0 obj<</Length " + str(len(stream)).encode() + filters.encode() + b">>stream\n" + stream
        + b"\nendstream endobj\ntrailer<</Root 1 0 R/Size 5>>\n%%EOF"
    )  # fmt: skip


def _huge_pdf(rng: random.Random) -> bytes:
    side = rng.choice(["14400", "1e9", "99999999999999", "-5"])
    return _pdf(f"0 0 {side} {side}", b"0 0 m 9 9 l S", "")


def _pdf_bomb(rng: random.Random) -> bytes:
    lines = b"0 0 m 500 500 l S\n" * 500_000
    return _pdf("0 0 600 600", zlib.compress(lines, 9), "/Filter/FlateDecode")


def _zip_bomb(rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../evil.png", bytes(20_000_000))
    return buffer.getvalue()


def _gzip(rng: random.Random) -> bytes:
    return gzip.compress(bytes(50_000_000))


def names_of_others(attack: _Attack, client: httpx.Client, rng: random.Random) -> httpx.Response:
    """A file under a name that would be another folder; names as identifiers in paths."""
    name = rng.choice(NAMES)
    match rng.randrange(4):
        case 0:
            return attack.post(client, files={"page": (name, b"no page", "image/png")})
        case 1:
            return attack.post(client, files={name or "x": (name, attack.page, name or "x")})
        case 2:
            key = "".join(c for c in name if c.isprintable() and c.isascii())[:300]
            return attack.post(client, b"no page", headers={"Idempotency-Key": key})
        case _:
            path = rng.choice(["jobs", "records"])
            method = rng.choice(["GET", "DELETE", "PUT", "POST", "PATCH"])
            place = httpx.URL(attack.url).copy_with(raw_path=f"/v1/{path}/{_quoted(name)}".encode())
            return client.request(method, place, headers={"X-API-Key": attack.key})


def _quoted(name: str) -> str:
    return "".join(
        c if c.isascii() and c.isprintable() and c not in " #?" else f"%{ord(c) % 256:02x}" for c in name
    )


def other_types(attack: _Attack, client: httpx.Client, rng: random.Random) -> httpx.Response:
    """What is no page, called one."""
    content = rng.choice([
        rng.randbytes(rng.randrange(5000)), b"", b"MZ" + rng.randbytes(500), b"<script>alert(1)</script>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
        bytes(128) + b"DICM" + rng.randbytes(400), b"GIF89a" + rng.randbytes(20),
        b"II*\x00" + rng.randbytes(300),
        b"push graphic-context\nimage over 0,0 0,0 'https://example.org/x'", b"\xff\xd8" * 2000,
    ])  # fmt: skip
    return attack.post(
        client, content, headers={"Content-Type": rng.choice(["image/png", "application/pdf", "x"])}
    )


def slow(attack: _Attack, client: httpx.Client, rng: random.Random) -> str:
    """A body that comes byte by byte, or not at all."""
    match rng.randrange(3):
        case 0:
            return attack.raw(attack.head(10_000) + bytes(400), pieces=60, pause_s=0.05)
        case 1:
            return attack.raw(attack.head(10_000) + b"x" * 10, pieces=2, pause_s=0.01)
        case _:
            form = "Content-Type: multipart/form-data; boundary=b\r\n"
            body = b'--b\r\nContent-Disposition: form-data; name="page"; filename="x"\r\n\r\nabc'
            return attack.raw(attack.head(10_000, form) + body, pieces=50, pause_s=0.05)


def broken_forms(attack: _Attack, client: httpx.Client, rng: random.Random) -> httpx.Response | str:
    """Forms that are cut, contradict themselves, or have too much in them."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="page"; filename="x"\r\n\r\n'
        + attack.page
        + b"\r\n--b--"
    )
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    match rng.randrange(6):
        case 0:
            return attack.post(client, body[: rng.randrange(len(body) - 10)], headers=form)
        case 1:
            return attack.raw(
                attack.head(len(body) + 500, f"Content-Type: {form['Content-Type']}\r\n") + body
            )
        case 2:
            return attack.post(client, body, headers={"Content-Type": "multipart/form-data; boundary=other"})
        case 3:
            return attack.post(client, files=[("page", (f"{k}", b"x")) for k in range(50)])
        case 4:
            return attack.post(
                client, data={f"f{k}": "x" * 3000 for k in range(rng.choice([3, 100]))}, files={}
            )
        case _:
            return attack.post(client, b"--b\r\n" + b"A: b\r\n" * 20_000, headers=form)


def bad_options(attack: _Attack, client: httpx.Client, rng: random.Random) -> httpx.Response:
    """Options that there are not."""
    options = {
        "fs": ["-1", "1e999", "NaN", "9" * 400, "five"], "speed": ["inf", "nan", "0", "-25", "'"],
        "layout": ["9x9", "../..", "3x4+99", "\x00"], "leads": ["I I I", "/" * 150, "é"],
        "pages": ["0", "9-1", "x"], "header": ["every", ""], "weights": ["/etc/passwd"], "overlay": ["maybe"],
        "format": ["exe", "../json"],
    }  # fmt: skip
    name = rng.choice(sorted(options))
    accept = rng.choice(["*/*"] * 8 + ["text/html", "a" * 3000, "*/*;q=x,,;;", "image/*;q=-1"])
    return attack.post(
        client, attack.pdf, params={name: rng.choice(options[name])}, headers={"Accept": accept}
    )


def too_long(attack: _Attack, client: httpx.Client, rng: random.Random) -> httpx.Response | str:
    """More bytes than are taken, said so or not."""
    match rng.randrange(3):
        case 0:
            return attack.post(client, bytes(1_500_000))
        case 1:
            return attack.post(client, (bytes(50_000) for _ in range(60)))
        case _:
            return attack.raw(attack.head(rng.choice(["1000000000000", "-1", "1, 2", "x"])) + bytes(100))


def other_clients(attack: _Attack, client: httpx.Client, rng: random.Random) -> httpx.Response:
    """Another client's job and record, with the wrong key or none; and another site's page."""
    path = rng.choice(attack.victim)
    headers = rng.choice([
        {"X-API-Key": attack.key}, {}, {"X-API-Key": "ecgh_victim_x"},
        {"Authorization": "Bearer ecgh_victim_"},
        {"X-API-Key": attack.key, "X-Forwarded-User": "victim"}, {"Cookie": "ecg_hough_session=victim.x"},
        {"X-API-Key": attack.key, "Origin": "http://evil.example"}, {"Host": "evil.example"},
    ])  # fmt: skip
    if rng.random() < 0.2:
        path = "/v1/jobs"
    place = path + rng.choice(["", "?format=csv", "?owner=key:victim", "/", "/../", "%00"])
    answer = client.request(rng.choice(["GET", "DELETE", "HEAD"]), attack.url + place, headers=headers)
    name = attack.victim[0].rpartition("/")[2].encode()
    if name in answer.content or attack.secret in answer.content or answer.status_code == 204:
        with attack.lock:
            attack.of_others += 1
    return answer


def broken_http(attack: _Attack, client: httpx.Client, rng: random.Random) -> str:
    """What is no request."""
    head = attack.head(5)
    return attack.raw(rng.choice([
        rng.randbytes(300), b"GET / HTTP/9.9\r\n\r\n", head[: rng.randrange(20, len(head))],
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"b" * 70_000 + b"\r\n\r\n",
        b"POST /v1/pages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/pages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Length: 3\r\n\r\n0\r\n\r\n",
        b"GET /v1/records/%zz%00%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ]))  # fmt: skip


KINDS: tuple[Kind, ...] = (
    fuzzed, bomb, names_of_others, other_types, slow, broken_forms, bad_options, too_long, other_clients,
    broken_http,
)  # fmt: skip


def run_hostile(
    folder: Path,
    samples: Path,
    *,
    n: int = 1000,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Hostile:
    """Send hostile requests by several clients, as many of each kind, and look at what is left.

    Args:
        folder: for the server's files; emptied.
        samples: folder of pages, which are made smaller.
    Raises:
        TimeoutError: the server does not get ready.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    victim, key, last = (add_key(folder / "keys.json", name) for name in ("victim", "attacker", "last"))
    page = next(iter(small_pages(samples).values()))
    with ServerProcess(folder, workers=1, bounds=BOUNDS, with_keys=True) as server:
        assert server.process is not None
        server.wait_until_ready()
        pid, begun = server.process.pid, time.monotonic()
        record, secret = _read_one(server.url, victim, page)
        buffer = io.BytesIO()
        Image.open(io.BytesIO(page)).save(buffer, "PDF")
        job = f"/v1/jobs/{record.rpartition('/')[2].partition('-')[0]}"
        attack = _Attack(server.url, server.port, key, page, buffer.getvalue(), (job, record), secret[:2000])
        first_mib = server.mib[-1][1]
        _send_all(attack, n, seed, on_progress)
        with httpx.Client(timeout=120, headers={"X-API-Key": victim}) as client:
            is_up = client.get(f"{server.url}{record}", params={"format": "csv"}).content == secret
        time.sleep(BOUNDS["upload_seconds"])
        is_up = is_up and _read_one(server.url, last, page)[1] == secret
        restarts = int(server.process.pid != pid or server.process.poll() is not None)
        memory = (first_mib, max(mib for _, mib in server.mib), server.mib[-1][1])
        seconds = time.monotonic() - begun
    statuses = sum((counts for counts in attack.answers.values()), Counter[str]())
    return Hostile(
        requests=statuses.total(),
        kinds={kind: dict(sorted(counts.items())) for kind, counts in sorted(attack.answers.items())},
        errors=sum(k for status, k in statuses.items() if status.startswith("5") and status != "503"),
        overloads=statuses["503"],
        outside=tuple(_outside(folder)),
        of_others=attack.of_others,
        is_up=is_up,
        restarts=restarts,
        seconds=round(seconds, 1),
        server_mib=tuple(round(value, 1) for value in memory),
    )


def _read_one(url: str, key: str, page: bytes) -> tuple[str, bytes]:
    """Path of a good page's record, and its CSV; asked for again until the server has time."""
    headers = {"X-API-Key": key, "Accept": "text/csv", "Idempotency-Key": "the good one"}
    end = time.monotonic() + GOOD_S
    while time.monotonic() < end:
        answer = httpx.post(f"{url}/v1/pages", content=page, headers=headers, timeout=300)
        if answer.status_code == 200:
            return answer.headers["Location"], answer.content
        time.sleep(2)
    raise TimeoutError(f"a good page must be read; got {answer.status_code} {answer.text}")


def _send_all(attack: _Attack, n: int, seed: int, on_progress: Callable[[int, int], None]) -> None:
    numbers = iter(range(n))
    lock = threading.Lock()

    def send() -> None:
        with httpx.Client(timeout=120) as client:
            while True:
                with lock:
                    k = next(numbers, None)
                if k is None:
                    return
                on_progress(k + 1, n)
                kind = KINDS[k % len(KINDS)]
                rng = random.Random(f"{seed} {k}")
                try:
                    answer = kind(attack, client, rng)
                    if (
                        not isinstance(answer, str)
                        and answer.status_code == 202
                        and rng.random() < TAKEN_BACK
                    ):
                        # Otherwise all that follow would end at the full queue.
                        job = attack.url + answer.headers["Location"]
                        client.delete(job, headers={"X-API-Key": attack.key})
                except (httpx.TransportError, OSError):
                    answer = "broken"
                status = answer if isinstance(answer, str) else str(answer.status_code)
                with attack.lock:
                    attack.answers.setdefault(kind.__name__, Counter())[status] += 1

    threads = [threading.Thread(target=send, daemon=True) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _outside(folder: Path) -> list[str]:
    """Files below a folder that are not the server's own; none is expected."""
    service = folder / "service"
    places = (Path(), folder / "tmp", service, service / "arriving", service / "uploads", service / "records")
    targets = {Path(place, name.replace("\0", "")) for place in places for name in NAMES if "evil" in name}
    found = [str(path) for path in targets if path.exists()]
    for path in folder.rglob("*"):
        if path.is_dir():
            continue
        where = path.relative_to(folder).parts
        own = where in (("keys.json",), ("server.log",)) or (
            where[0] == "service"
            and (
                (len(where) == 2 and where[1] in OWN_FILES)
                or (len(where) == 3 and where[1] == "uploads" and ID.fullmatch(where[2]))
                or (
                    len(where) == 5
                    and where[1] == "records"
                    and RECORD_ID.fullmatch(where[3])
                    and where[4].startswith(where[3])
                )
            )
        )
        if not own:
            found.append(str(path.relative_to(folder)))
    return found
