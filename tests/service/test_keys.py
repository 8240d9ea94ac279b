"""API keys: hashed, taken away at once, and the users of a proxy kept apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ecg_hough.service.keys import LOCAL, Doorkeeper, add_key, read_keys, remove_key


def test_the_file_has_no_key_in_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = add_key(path, "ward-3")
    secret = key.removeprefix("ecgh_ward-3_")
    assert len(secret) >= 43
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert list(read_keys(path)) == ["ward-3"]


def test_whose_a_request_is(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    one, two = add_key(path, "one"), add_key(path, "two")
    door = Doorkeeper(path)
    assert door.owner_of({"authorization": f"Bearer {one}"}) == "key:one"
    assert door.owner_of({"authorization": f"bearer  {two} "}) == "key:two"
    assert door.owner_of({"x-api-key": two}) == "key:two"


@pytest.mark.parametrize(
    "damage",
    [
        lambda k: k[:-1],
        lambda k: k + "x",
        lambda k: "",
        lambda k: k.replace("one", "two"),
        lambda k: "ecgh_one_é",
    ],
)
def test_wrong_keys(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "keys.json"
    key = add_key(path, "one")
    add_key(path, "two")
    door = Doorkeeper(path)
    wrong = damage(key)  # type: ignore[operator]
    assert door.owner_of({"authorization": f"Bearer {wrong}"}) is None
    assert door.owner_of({"x-api-key": wrong}) is None
    assert door.owner_of({"authorization": f"Basic {key}"}) is None
    assert door.owner_of({}) is None


def test_a_key_that_is_taken_away_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    one, _ = add_key(path, "one"), add_key(path, "two")
    door = Doorkeeper(path)
    assert door.owner_of({"x-api-key": one}) == "key:one"
    remove_key(path, "one")
    os.utime(path, ns=(1, 1))  # whatever the clock of the file system
    assert door.owner_of({"x-api-key": one}) is None


def test_a_file_that_is_damaged_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    one = add_key(path, "one")
    door = Doorkeeper(path)
    path.write_text("{")
    os.utime(path, ns=(1, 1))
    assert door.owner_of({"x-api-key": one}) is None
    with pytest.raises(ValueError, match="must be a file of keys"):
        Doorkeeper(path)


def test_users_of_a_proxy(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    proxy, plain = add_key(path, "proxy", for_users=True), add_key(path, "plain")
    door = Doorkeeper(path)
    owners = {door.owner_of({"x-api-key": proxy, "x-forwarded-user": user}) for user in ("ada", "bob")}
    assert len(owners) == 2
    assert None not in owners
    assert door.owner_of({"x-api-key": proxy}) is None
    assert door.owner_of({"x-api-key": plain, "x-forwarded-user": "ada"}) == "key:plain"


def test_without_keys_everybody_is_the_same() -> None:
    assert Doorkeeper(None).owner_of({}) == LOCAL


def test_bad_arguments(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(ValueError, match="must have a key"):
        Doorkeeper(path)
    with pytest.raises(ValueError, match="letters, digits and hyphens"):
        add_key(path, "a_b")
    add_key(path, "a")
    with pytest.raises(ValueError, match="must be new"):
        add_key(path, "a")
    with pytest.raises(ValueError, match="must be that of a key"):
        remove_key(path, "b")
