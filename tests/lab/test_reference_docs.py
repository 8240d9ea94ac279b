"""The pages on weights, licences and the gallery are those of the code and of the weights."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import cv2
import numpy as np
import pytest

from ecg_hough.paper import KNOWN_LAYOUTS
from ecg_hough.support.weights import shipped
from ecg_lab import gallery, reference_docs
from ecg_lab.gallery import Exhibit, jpeg, known_layouts, write_gallery
from places import ROOT

DOCS = ROOT / "docs"


def test_the_model_cards_are_those_of_the_weights() -> None:
    """`python -m ecg_lab.reference_docs` writes the page again."""
    text = reference_docs.MODELS.read_text(encoding="utf-8")
    assert text == reference_docs.models_page()
    for one in shipped():
        assert f"## {one.name}\n\n`{one.version}`" in text


def test_every_requirement_has_its_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = reference_docs.LICENCES.read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| ([\w-]+) \| (.+) \|$", text, re.MULTILINE))
    for extra, lines in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        for line in lines if extra not in ("all", "dev", "docs", "release") else []:
            name = re.split(r"[\[>=<]", line)[0].lower()
            assert name == "ecg-hough" or listed[name] != "not installed", f"{extra}: {line}"


def test_the_data_behind_the_weights_has_its_licence() -> None:
    text = reference_docs.LICENCES.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE))
    assert set(rows) == {one.version for one in shipped()}
    assert rows[shipped()[0].version].startswith("CC BY 4.0")


def test_licences_of_distributions() -> None:
    assert reference_docs.licence_of("numpy").startswith("BSD-3-Clause")
    assert reference_docs.licence_of("no-such-package") == "not installed"
    assert "numpy" in reference_docs._closure(["wfdb>=4"])
    with pytest.raises(PackageNotFoundError):
        reference_docs._closure(["no-such-package"])


def test_the_gallery_shows_every_layout_and_kind() -> None:
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    titles = re.findall(r"^### (.+)$", text, re.MULTILINE)
    expected = [layout.name for layout in known_layouts()]
    assert titles == [*expected, *gallery.KINDS.values(), "Plot of a script"]
    assert {layout.name for layout in KNOWN_LAYOUTS} <= set(expected)
    pictures = [DOCS / name for name in re.findall(r"\]\((images/gallery/[^)]+)\)", text)]
    assert len(pictures) == len(titles)
    assert set(pictures) == set((DOCS / "images" / "gallery").iterdir())
    assert sum(path.stat().st_size for path in pictures) <= 2e6


def test_a_gallery_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.full((400, 2000, 3), 255, np.uint8)
    made = [
        Exhibit("Layouts", "3x4", "a", picture, "Read."),
        Exhibit("Kinds", "Fax", "b", picture, "Refused."),
    ]
    monkeypatch.setattr(gallery, "exhibits", lambda seed: iter(made))
    (tmp_path / "images" / "gallery").mkdir(parents=True)
    (tmp_path / "images" / "gallery" / "old.jpg").write_bytes(b"")
    text = write_gallery(tmp_path, seed=5).read_text()
    assert "seeds 5 to 6" in text
    assert text.index("## Layouts") < text.index("![3x4](images/gallery/a.jpg)") < text.index("## Kinds")
    assert {path.name for path in (tmp_path / "images" / "gallery").iterdir()} == {"a.jpg", "b.jpg"}
    shown = cv2.imdecode(np.frombuffer(jpeg(picture), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (200, gallery.WIDTH_PX, 3)
