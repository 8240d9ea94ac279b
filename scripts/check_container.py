#!/usr/bin/env python3
"""Checks the files for containers and forges by their schemas, then builds the image and uses it.

In: this checkout and what the extra `release` installs; for the image Docker, or Podman with podman-compose:

    python scripts/check_container.py --engine docker

Where no registry of images is at hand, a folder with a minimal Debian and Python takes the place of the base
image:

    packages=python3-venv,python-is-python3,ca-certificates
    debootstrap --variant=minbase --include=$packages bookworm output/base
    python scripts/check_container.py --engine podman --base output/base

Out: exit status 0 where the files keep their schemas, hadolint finds nothing, the image is small enough, a
page is read by a user without rights under a read-only root without a network, and `compose up`, where
`--compose` names a command for it, shows the page in the review with PostgreSQL behind it.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.request import HTTPCookieProcessor, build_opener

ROOT = Path(__file__).resolve().parents[1]
IMAGE = "ecg-hough"
"""As compose.yaml and docs/guides/containers.md call it."""
MAX_MB = 1000.0
HOST_FILES = ("etc/pip.conf", "etc/ssl/certs/ca-certificates.crt")
"""What lets pip in a base image made here reach the index that this machine uses."""
USER = "10001"
SCHEMAS = {
    "compose-spec": ("compose.yaml",),
    "github-workflows": (".github/workflows/ci.yml",),
    "github-issue-forms": (".github/ISSUE_TEMPLATE/bug.yml", ".github/ISSUE_TEMPLATE/page.yml"),
    "github-issue-config": (".github/ISSUE_TEMPLATE/config.yml",),
    "citation-file-format": ("CITATION.cff",),
}
"""Files of each schema that check-jsonschema brings."""
KUBERNETES = ("docs/templates/kubernetes.yaml", "docs/templates/kubernetes-service.yaml")
START_S = 120.0
"""In which the review answers at the latest; it waits for its database."""


def check(rule: str, *words: str | Path, cwd: Path = ROOT) -> None:
    """Run a command that must succeed; ends this script where it fails."""
    if subprocess.run([str(word) for word in words], cwd=cwd).returncode:
        sys.exit(f"FAILED: {rule}")
    print(f"ok: {rule}", flush=True)


def lint() -> None:
    """The files by their schemas, and the Dockerfile by hadolint."""
    programs = Path(sys.executable).parent
    for schema, files in SCHEMAS.items():
        words = (programs / "check-jsonschema", "--quiet", "--builtin-schema", f"vendor.{schema}", *files)
        check(f"{', '.join(files)}: {schema}", *words)
    check("the Kubernetes examples", programs / "kubernetes-validate", "--quiet", "--strict", *KUBERNETES)
    check("hadolint finds nothing", programs / "hadolint", "Dockerfile")


def import_base(engine: str, folder: Path) -> None:
    """A folder as the image that the Dockerfile begins with, with what this machine's pip needs."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    version = re.search(r"^ARG PYTHON=(\S+)", dockerfile, re.MULTILINE)
    assert version is not None
    for name in HOST_FILES:
        if Path("/", name).is_file():
            shutil.copy(Path("/", name), folder / name)
    words = [engine, "import", "-", f"python:{version[1]}-slim"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as taker:
        assert taker.stdin is not None
        with tarfile.open(fileobj=taker.stdin, mode="w|") as archive:
            archive.add(folder, ".")
    if taker.returncode:
        sys.exit(f"FAILED: {folder} cannot be imported")


def read_a_page(engine: str, home: Path) -> None:
    """The command of docs/guides/containers.md, and that nothing else can be written."""
    shutil.copytree(ROOT / "samples", home / "samples")
    (home / "out").mkdir()
    home.chmod(0o755)
    (home / "out").chmod(0o777)  # the container's user is nobody here
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")
    closed = ("--rm", *limits, "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")
    start = (engine, "run", *closed, "--user", USER, "-v", f"{home}:/data")
    no_place = "! touch /opt/venv/x && ! touch /data/x && ! touch /home/x"
    check("nothing else is writable", *start, "--entrypoint", "/bin/sh", IMAGE, "-c", no_place)
    check("doctor has nothing to mend", *start, IMAGE, "doctor")
    predict = ("predict", "/data/samples/photo_3x4.jpg", "-o", "/data/out", "--overlay", "--format")
    check("a page is read without rights, network and root", *start, IMAGE, *predict, "dicom,edf,parquet")
    if not (home / "out" / "photo_3x4.parquet").is_file():
        sys.exit("FAILED: the page was read into no file")


def review_it(compose: list[str], home: Path) -> None:
    """`compose up` in the folder, and a browser that opens the page in the review."""
    shutil.copy(ROOT / "compose.yaml", home)
    (home / ".env").write_text("POSTGRES_PASSWORD=of-this-trial\n")
    try:
        check("compose up", *compose, "up", "-d", cwd=home)
        end, found = time.monotonic() + START_S, None
        while found is None and time.monotonic() < end:
            time.sleep(1)
            logs = subprocess.run([*compose, "logs", "review"], cwd=home, capture_output=True, text=True)
            found = re.search(r"http://127\.0\.0\.1:8000/\?token=[\w-]+", logs.stdout + logs.stderr)
        if found is None:
            sys.exit(f"FAILED: the review does not answer:\n{logs.stdout}{logs.stderr}")
        browser = build_opener(HTTPCookieProcessor(CookieJar()))
        browser.open(found[0]).read()
        (page,) = json.load(browser.open("http://127.0.0.1:8000/api/queue"))["pages"]
        picture = browser.open(f"http://127.0.0.1:8000/api/pages/{page['id']}/image")
        if picture.headers["Content-Type"] != "image/jpeg":
            sys.exit("FAILED: the review shows no picture")
        print("ok: the review shows the page, with PostgreSQL behind it")
    finally:
        subprocess.run([*compose, "down", "-v"], cwd=home)


def main() -> None:
    """Lint, build, read a page, look at it."""
    parser = argparse.ArgumentParser(description="Check the files of containers; build the image and use it.")
    parser.add_argument("--engine", help="docker, podman; without it the files are checked alone")
    parser.add_argument("--base", type=Path, help="folder that takes the place of the base image")
    parser.add_argument("--compose", help='command such as "docker compose", to start the review, too')
    options = parser.parse_args()
    lint()
    if options.engine is None:
        return
    engine = options.engine
    if options.base is not None:
        import_base(engine, options.base)
    check("the image is built", engine, "build", "--network", "host", "-t", IMAGE, ".")
    inspect = [engine, "image", "inspect", "--format", "{{.Size}}", IMAGE]
    size = int(subprocess.run(inspect, check=True, capture_output=True, text=True).stdout) / 1e6
    if size > MAX_MB:
        sys.exit(f"FAILED: {size:.0f} MB; the image must be at most {MAX_MB:.0f} MB")
    print(f"ok: the image has {size:.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        read_a_page(engine, Path(folder))
        if options.compose is not None:
            review_it(shlex.split(options.compose), Path(folder))


if __name__ == "__main__":
    main()
