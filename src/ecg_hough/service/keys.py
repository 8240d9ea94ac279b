"""API keys: a file with their names and hashes, and who a request's key speaks for.

A key is `ecgh_NAME_SECRET`, its secret 256 random bits, so that a plain SHA-256 of it cannot be turned back
by trying. The file is read again when it changes: a key that is taken away is refused at once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ecg_hough.output.export import json_bytes
from ecg_hough.output.files import write_whole

log = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z0-9-]{1,40}")
USER_HEADER = "X-Forwarded-User"
"""In which a proxy with a key `for_users` says who it has let in."""
LOCAL = "local"
"""Owner of what is sent to a server without keys."""


@dataclass(frozen=True)
class Key:
    """A key as the file has it; `for_users` if a proxy holds it, which vouches for its users by name."""

    name: str
    sha256: str
    created: str
    for_users: bool = False


def read_keys(path: Path) -> dict[str, Key]:
    """Keys of a file by name; none where there is no file.

    Raises:
        ValueError: it is no file of keys.
    """
    if not path.is_file():
        return {}
    try:
        return {one["name"]: Key(**one) for one in json.loads(path.read_bytes())["keys"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} must be a file of keys, made by ecg-hough keys add: {error}") from error


def add_key(path: Path, name: str, *, for_users: bool = False) -> str:
    """Make a key and note its hash; the key itself, which is kept nowhere.

    Raises:
        ValueError: the name is taken, or not of letters, digits and hyphens.
        PageError: stage "export": the file cannot be written.
    """
    if NAME.fullmatch(name) is None:
        raise ValueError(f"name must be of 1 to 40 letters, digits and hyphens; got {name!r}")
    keys = read_keys(path)
    if name in keys:
        raise ValueError(f"name must be new; {path} has a key {name!r}")
    text = f"ecgh_{name}_{secrets.token_urlsafe(32)}"
    key = Key(name, _hash(text), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), for_users)
    _write(path, keys | {name: key})
    return text


def remove_key(path: Path, name: str) -> None:
    """Take a key away.

    Raises:
        ValueError: there is none of the name.
        PageError: stage "export": the file cannot be written.
    """
    keys = read_keys(path)
    if keys.pop(name, None) is None:
        raise ValueError(f"name must be that of a key in {path}; got {name!r}")
    _write(path, keys)


def _write(path: Path, keys: Mapping[str, Key]) -> None:
    document: dict[str, Any] = {"keys": [asdict(key) for key in keys.values()]}
    write_whole(path, json_bytes(document))
    path.chmod(0o600)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


class Doorkeeper:
    """Knows whose a request is.

    Args:
        path: of the file of keys; None of a server that needs none.
    Raises:
        ValueError: it is no file of keys, or has none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._stamp = path, 0
        self._keys: dict[str, Key] = {}
        if path is not None and not read_keys(path):
            raise ValueError(f"{path} must have a key; make one with ecg-hough keys add NAME --keys {path}")

    def owner_of(self, headers: Mapping[str, str]) -> str | None:
        """Whose a request with these headers is; None of a key that is missing or wrong."""
        if self._path is None:
            return LOCAL
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        sent = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        name = sent.removeprefix("ecgh_").partition("_")[0]
        key = self._current().get(name)
        # Compared also where there is no such key, so that times tell nothing.
        if not hmac.compare_digest(_hash(sent), key.sha256 if key else _hash("")) or key is None:
            return None
        if not key.for_users:
            return f"key:{key.name}"
        user = headers.get(USER_HEADER.lower(), "")
        return f"user:{key.name}:{_hash(user)}" if user else None

    def knows(self, owner: str) -> bool:
        """Whether an owner's key is still there: a session that began with it ends with it."""
        if self._path is None:
            return owner == LOCAL
        kind, _, name = owner.partition(":")
        key = self._current().get(name.partition(":")[0])
        return key is not None and key.for_users == (kind == "user")

    def _current(self) -> dict[str, Key]:
        assert self._path is not None
        try:
            stamp = self._path.stat().st_mtime_ns
        except OSError:
            stamp = -1
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._keys = read_keys(self._path)
            except ValueError:
                log.exception("no key is valid until this is mended")
                self._keys = {}
        return self._keys
