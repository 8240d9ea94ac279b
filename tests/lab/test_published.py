"""Results without a named place: over published files only from runs that measure all that these hold."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from ecg_hough.output.export import write_signals
from ecg_lab import ablations, benchmark, compare, confidence_check, fidelity, geometry_benchmark, robustness
from made_up_ecg import made_up_ecg


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    for folder in ("experiments/results", "experiments/ablations", "output"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def data(checkout: Path) -> Path:
    """A folder "kit" of profiles "clean" and "worn", two pages each."""
    for profile in ("clean", "worn"):
        folder = checkout / "kit" / profile
        folder.mkdir(parents=True)
        for name in ("a", "b"):
            cv2.imwrite(str(folder / f"{name}.png"), np.full((40, 40, 3), 255, np.uint8))
            write_signals(folder, name, made_up_ecg(100).signals, 100)
    return checkout / "kit"


def publish(file: Path, document: object) -> Path:
    file.write_text(json.dumps(document))
    return file


def test_compare(data: Path) -> None:
    output = Path("output/compare.json")
    assert compare.default_results([data]) == output
    pages = {f"kit/{profile}/{stem}": 1 for profile in ("clean", "worn") for stem in "ab"}
    variants = {"ours": {}, "centroid": {}, "centroid+true": {}}
    published = publish(compare.PUBLISHED, {"pages": pages, "variants": variants})
    assert compare.default_results([data]) == published
    assert compare.default_results([data], pages=2) == published
    assert compare.default_results([data], methods=["ours", "centroid", "ecgminer"]) == published
    assert compare.default_results([data], pages=1) == output
    assert compare.default_results([data], methods=["ours"]) == output
    assert compare.default_results([data / "clean"]) == output


def test_ablations(data: Path) -> None:
    output = Path("output/ablations.csv")
    assert ablations.default_out([data]) == output
    rows = [dict.fromkeys(ablations.PAGE_COLUMNS) | {"profile": "worn", "page": "a"}]
    rows += [rows[0] | {"profile": "clean", "page": page} for page in "ab"]
    pd.DataFrame(rows).to_csv("experiments/ablations/ablations.pages.csv", index=False)
    ablations.PUBLISHED.touch()
    assert ablations.default_out([data]) == ablations.PUBLISHED
    assert ablations.default_out([data / "clean", data / "worn"], n=[2, 1]) == ablations.PUBLISHED
    assert ablations.default_out([data], n=[1]) == output
    assert ablations.default_out([data / "clean", data / "worn"], n=[1, 2]) == output
    assert ablations.default_out([data / "worn"]) == output
    assert ablations.default_out([data], changes=["no second look"]) == output


def test_robustness(checkout: Path) -> None:
    output = Path("output/robustness.csv")
    assert robustness.default_out(n=9) == output
    rows = [
        dict.fromkeys(robustness.COLUMNS) | {"distortion": name, "severity": 0.0, "page": page}
        for name in ("blur", "noise")
        for page in range(2)
    ]
    pd.DataFrame(rows).to_csv(robustness.PUBLISHED, index=False)
    assert robustness.default_out(n=2) == robustness.PUBLISHED
    assert robustness.default_out(n=1) == output
    assert robustness.default_out(n=2, distortions=["blur"]) == output
    pd.DataFrame({"page": range(40)}).to_csv(robustness.PUBLISHED_ANGLES, index=False)
    assert robustness.default_angles(40) == robustness.PUBLISHED_ANGLES
    assert robustness.default_angles(39) == Path("output/angles.csv")


def test_benchmark(data: Path) -> None:
    output = Path("output/benchmark.json")
    assert benchmark.default_results(data, "trace") == output
    publish(benchmark.PUBLISHED, {"runs": {"kit trace": {"pages": 4}}})
    assert benchmark.default_results(data, "trace") == benchmark.PUBLISHED
    assert benchmark.default_results(data, "centroid") == output
    assert benchmark.default_results(data / "clean", "trace") == output
    (data / "worn" / "b.hea").unlink()
    assert benchmark.default_results(data, "trace") == output


def test_fidelity(checkout: Path) -> None:
    def pairs(method: str, pages: Iterable[str]) -> pd.DataFrame:
        rows = [(method, "ludb", "", page, "", "HR", 60.0, 61.0) for page in pages]
        return pd.DataFrame(rows, columns=list(fidelity.COLUMNS))

    output = Path("output/fidelity.csv")
    assert fidelity.default_out(pairs("ours", "12")) == output
    fidelity.store(pairs("ours", "12"), fidelity.PUBLISHED)
    assert fidelity.default_out(pairs("ours", "123")) == fidelity.PUBLISHED
    assert fidelity.default_out(pairs("ours", "1")) == output
    assert fidelity.default_out(pairs("ecgminer", "12")) == output


def test_geometry_and_confidence(checkout: Path) -> None:
    assert geometry_benchmark.default_results(20, 0, geometry_benchmark.SETS) == Path("output/geometry.json")
    pages = [{"set": name, "seed": seed} for name in ("clean", "photo") for seed in range(3)]
    publish(geometry_benchmark.PUBLISHED, {"pages": pages})
    for n, seed, sets, covers in (
        (3, 0, ("clean", "photo", "low"), True),
        (2, 0, ("clean", "photo"), False),
        (3, 1, ("clean", "photo"), False),
        (3, 0, ("clean",), False),
    ):
        assert (geometry_benchmark.default_results(n, seed, sets) == geometry_benchmark.PUBLISHED) is covers
    publish(confidence_check.PUBLISHED, {"pages": 40, "seed": 4000})
    assert confidence_check.default_results(40, 4000) == confidence_check.PUBLISHED
    assert confidence_check.default_results(20, 4000) == Path("output/confidence.json")
    assert confidence_check.default_results(40, 1) == Path("output/confidence.json")
