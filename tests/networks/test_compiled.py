"""Compiled networks on the disk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecg_hough.networks import compiled
from ecg_hough.networks.runtime import WEIGHTS, Network

BATCH = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(compiled.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def run() -> np.ndarray:
    return Network(WEIGHTS / "words.onnx", threads=1).run(BATCH)


def forbid_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no network could be compiled."""

    def refuse(self: Network, shape: Any) -> Any:
        raise AssertionError("it is compiled")

    monkeypatch.setattr(Network, "_model_of", refuse)


def test_the_second_process_finds_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run()
    assert len(list(folder.iterdir())) == 1
    forbid_models(monkeypatch)
    np.testing.assert_array_equal(run(), first)
    taken = Network(WEIGHTS / "words.onnx").precision
    with pytest.raises(AssertionError, match="it is compiled"):
        Network(WEIGHTS / "words.onnx", threads=1, precision="int8" if taken == "f32" else "f32").run(BATCH)


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, None])
def test_a_damaged_file_is_made_again(folder: Path, damage: bytes | None) -> None:
    first = run()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
    np.testing.assert_array_equal(run(), first)
    assert file.stat().st_size > 1000


def test_processes_may_begin_together(folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(lambda _: run(), range(4))
    for other in others:
        np.testing.assert_array_equal(other, first)
    assert len(list(folder.iterdir())) == 1


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(compiled.VARIABLE, str(tmp_path / "file"))
    assert np.isfinite(run()).all()


def test_the_oldest_are_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "FILES_MAX", 2)
    network = Network(WEIGHTS / "words.onnx", threads=1)
    for side in (32, 64, 96):
        network.run(BATCH[..., :32].repeat(side // 32, axis=2))
    assert len(list(folder.iterdir())) == 2


def test_where_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.VARIABLE, "off")
    assert compiled.cache_folder() is None
    monkeypatch.delenv(compiled.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert compiled.cache_folder() == Path("/somewhere/ecg-hough")
