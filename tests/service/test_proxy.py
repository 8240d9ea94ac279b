"""The nginx configuration of docs/templates before a real service, by a real nginx on loopback."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
import uvicorn

from ecg_hough.batch.reader import SHIPPED_READER
from ecg_hough.service.app import make_app
from ecg_hough.service.engine import Engine
from ecg_hough.service.keys import Doorkeeper, add_key
from ecg_hough.service.metrics import Metrics
from ecg_hough.service.reading import ReadWork
from ecg_hough.service.store import Store
from places import ROOT

pytestmark = pytest.mark.skipif(
    shutil.which("nginx") is None or shutil.which("openssl") is None,
    reason="needs nginx and openssl: apt-get install nginx-light openssl",
)
NAME = "ecg.example.org"
TEMPLATE = ROOT / "docs" / "templates" / "nginx.conf"


class Login(BaseHTTPRequestHandler):
    """What oauth2-proxy answers to nginx: who is logged in, by a cookie."""

    def do_GET(self) -> None:
        found = re.search(r"login=(\w+)", self.headers.get("Cookie", ""))
        self.send_response(401 if found is None else 202)
        if found is not None:
            self.send_header("X-Auth-Request-User", found[1])
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, int, str]]:
    """A client that trusts the proxy, the port of plain HTTP, and a program's key."""
    folder = tmp_path_factory.mktemp("proxy")
    plain, tls, service, login = free_ports(4)
    program, of_proxy = (
        add_key(folder / "keys.json", name, for_users=name == "proxy") for name in ("a", "proxy")
    )
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}",
         "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    config = folder / "nginx.conf"
    config.write_text(configured(folder, (plain, tls, service, login), (certificate, key), of_proxy))
    store = Store(folder / "store")
    app = make_app(
        store,
        Engine(store, ReadWork(SHIPPED_READER), workers=0),
        metrics=Metrics(lambda: dict(store.counts())),
        doorkeeper=Doorkeeper(folder / "keys.json"),
        hosts=(NAME,),
    )
    server = uvicorn.Server(uvicorn.Config(app, port=service, log_level="error"))
    logins = HTTPServer(("127.0.0.1", login), Login)
    threads = [threading.Thread(target=run, daemon=True) for run in (server.run, logins.serve_forever)]
    for thread in threads:
        thread.start()
    nginx = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(config), "-g", "daemon off;"])
    for port in (plain, tls, service):
        wait_for(port)
    # The name is looked up nowhere: the client goes to loopback and asks for the name in TLS and Host.
    context = ssl.create_default_context(cafile=str(certificate))
    url = f"https://127.0.0.1:{tls}"
    with httpx.Client(base_url=url, verify=context, headers={"Host": NAME}, timeout=30) as client:
        client.event_hooks["request"] = [lambda r: r.extensions.update(sni_hostname=NAME)]
        yield client, plain, program
    nginx.terminate()
    nginx.wait()
    server.should_exit = True
    logins.shutdown()
    threads[0].join()


def configured(folder: Path, ports: tuple[int, ...], tls: tuple[Path, Path], key: str) -> str:
    """The template with a test's ports, files and key."""
    temporary = "".join(
        f"    {kind}_temp_path {folder / kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    changes = {
        "listen 80;": f"listen 127.0.0.1:{ports[0]};",
        "listen 443 ssl;": f"listen 127.0.0.1:{ports[1]} ssl;",
        "127.0.0.1:8000": f"127.0.0.1:{ports[2]}",
        "server 127.0.0.1:4180;": f"server 127.0.0.1:{ports[3]};",
        "/etc/ssl/certs/ecg.example.org.pem": str(tls[0]),
        "/etc/ssl/private/ecg.example.org.key": str(tls[1]),
        '"Bearer KEY_OF_THE_PROXY"': f'"Bearer {key}"',
        "/run/nginx.pid": str(folder / "nginx.pid"),
        "    access_log off;\n": f"    access_log off;\n    error_log {folder / 'error.log'};\n{temporary}",
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return f"user root;\n{text}"


def wait_for(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)


Proxy = tuple[httpx.Client, int, str]


def test_plain_http_is_sent_to_tls(proxy: Proxy) -> None:
    answer = httpx.get(f"http://127.0.0.1:{proxy[1]}/v1/jobs", headers={"Host": NAME})
    assert (answer.status_code, answer.headers["Location"]) == (301, f"https://{NAME}/v1/jobs")


def test_a_program_with_a_key(proxy: Proxy, small_page: bytes) -> None:
    client, _, key = proxy
    assert client.post("/v1/pages", content=small_page).status_code == 401
    headers = {"X-API-Key": key, "Prefer": "respond-async", "X-Forwarded-User": "ada"}
    answer = client.post("/v1/pages", files={"page": ("x.jpg", small_page)}, headers=headers)
    assert answer.status_code == 202
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert client.get(answer.headers["Location"], headers=headers).json()["state"] == "queued"
    assert client.get("/openapi.json").status_code == 200
    assert client.get("/metrics").status_code == 404


def test_people_log_in(proxy: Proxy, small_page: bytes) -> None:
    client = proxy[0]
    assert client.get("/me/v1/jobs").status_code == 401
    ada, bob = ({"Cookie": f"login={name}"} for name in ("ada", "bob"))
    answer = client.post("/me/v1/pages", content=small_page, headers=ada | {"Prefer": "respond-async"})
    assert answer.status_code == 202
    job = f"/me{answer.headers['Location']}"
    assert client.get(job, headers=ada).status_code == 200
    assert client.get(job, headers=bob).status_code == 404
    assert client.get(job, headers=bob | {"X-Forwarded-User": "ada"}).status_code == 404
    assert client.get("/oauth2/auth", headers=ada).status_code == 404


def test_another_site_does_not_use_a_login(proxy: Proxy, small_page: bytes) -> None:
    headers = {"Cookie": "login=ada", "Prefer": "respond-async"}
    for more, status in (({"Origin": "https://evil.example"}, 403), ({"Origin": f"https://{NAME}"}, 202)):
        answer = proxy[0].post("/me/v1/pages", content=small_page, headers=headers | more)
        assert answer.status_code == status


def test_what_is_too_much(proxy: Proxy) -> None:
    client, _, key = proxy
    long = client.post("/v1/pages", content=bytes(53 * 1024 * 1024), headers={"X-API-Key": key})
    assert long.status_code == 413
    statuses = Counter(client.get("/healthz").status_code for _ in range(150))
    assert statuses[429] > 0
    assert statuses[200] >= 40
