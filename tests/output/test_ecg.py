"""A record that writes itself: each method writes what the writer of its format writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ecg_hough.output import export
from ecg_hough.output.ecg import Ecg
from ecg_hough.output.read_back import read_leads
from ecg_hough.record import Record
from made_up_ecg import made_up_ecg


def test_an_ecg_is_a_record() -> None:
    assert isinstance(made_up_ecg(), Record)
    assert isinstance(made_up_ecg(), Ecg)


def test_methods_write_the_same_files_as_write_page(tmp_path: Path) -> None:
    ecg = made_up_ecg()
    header, data = ecg.to_wfdb(tmp_path, "a")
    assert (header.name, data.name) == ("a.hea", "a.dat")
    assert data.stat().st_size == 12 * 1000 * 2
    leads, fs = read_leads(header.with_suffix(""))
    assert fs == 500
    assert np.nanmax(np.abs(leads["V5"] - ecg.signals[10])) <= 0.0005
    ecg.to_csv(tmp_path / "a.csv")
    written = json.loads(ecg.to_json(tmp_path / "a.json").read_text())
    assert written["layout"] == "3x4+1"
    export.write_page(ecg, tmp_path / "page", "a", formats=("csv",))
    for name in ("a.hea", "a.dat", "a.csv"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "page" / name).read_bytes()
    page = json.loads((tmp_path / "page" / "a.json").read_text())
    assert {key: page[key] for key in written} == written


def test_a_path_keeps_its_own_suffix(tmp_path: Path) -> None:
    path = made_up_ecg().to_csv(tmp_path / "leads.txt")
    assert path == tmp_path / "leads.txt"
    assert path.read_text().startswith("time_s,I,II,")


def test_plot_shows_all_leads() -> None:
    assert len(made_up_ecg().plot().axes) == 12
