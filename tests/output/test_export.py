from __future__ import annotations

import csv
import errno
import json
import math
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ecg_hough.errors import PageError
from ecg_hough.output import export
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS
from made_up_ecg import made_up_ecg


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def with_signals(signals: np.ndarray) -> Ecg:
    return replace(made_up_ecg(), signals=signals, confidence=np.zeros_like(signals), sd_mv=signals * 0)


def test_wfdb_reads_our_record(tmp_path: Path) -> None:
    ecg = made_up_ecg()
    export.write_wfdb(ecg, tmp_path / "new" / "folder", "page-1_a")
    record = wfdb.rdrecord(str(tmp_path / "new" / "folder" / "page-1_a"))
    assert record.fs == 500
    assert tuple(record.sig_name) == LEADS
    assert record.units == ["mV"] * 12
    assert record.fmt == ["16"] * 12
    assert record.adc_gain == [1000.0] * 12
    np.testing.assert_array_equal(np.isnan(record.p_signal.T), np.isnan(ecg.signals))
    np.testing.assert_allclose(record.p_signal.T, ecg.signals, atol=0.0005 + 1e-9)
    text = "\n".join(record.comments)
    assert "3x4+1" in text
    assert "aVR: not printed" in text
    assert "Warning: aVR is not printed." in text


def test_nan_is_written_as_minus_32768(tmp_path: Path) -> None:
    export.write_wfdb(made_up_ecg(), tmp_path, "a")
    stored = np.fromfile(tmp_path / "a.dat", "<i2").reshape(-1, 12)
    assert (stored[:, 3] == -32768).all()
    assert (stored[:, 0] != -32768).all()


@settings(max_examples=15, deadline=None)
@given(
    arrays(np.float64, (12, 7), elements=st.one_of(st.just(math.nan), st.floats(-2000, 2000))),
)
def test_wfdb_round_trip(signals: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as folder:
        export.write_signals(folder, "a", signals, 250)
        record = wfdb.rdrecord(f"{folder}/a")
    step_mv = 1.0 / np.array(record.adc_gain)[:, None]
    np.testing.assert_array_equal(np.isnan(record.p_signal.T), np.isnan(signals))
    peak = np.nan_to_num(np.abs(signals)).max(axis=1)
    assert (step_mv[peak <= 32.767] == 0.001).all()
    assert (np.nan_to_num(np.abs(record.p_signal.T - signals)) <= 0.51 * step_mv).all()


def test_beyond_16_bits_only_that_lead_gets_a_lower_gain(tmp_path: Path) -> None:
    signals = np.zeros((12, 10))
    signals[4, 2] = -100.0
    export.write_wfdb(with_signals(signals), tmp_path, "a")
    record = wfdb.rdrecord(str(tmp_path / "a"))
    assert record.adc_gain == [327.0 if k == 4 else 1000.0 for k in range(12)]
    assert record.p_signal[2, 4] == pytest.approx(-100.0)


@pytest.mark.parametrize("signals", [np.full((12, 3), np.inf), np.zeros((12, 0)), np.zeros((3, 5))])
def test_signals_that_cannot_be_written(tmp_path: Path, signals: np.ndarray) -> None:
    with pytest.raises(ValueError, match="signals must be"):
        export.write_signals(tmp_path, "a", signals, 500)
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("stem", "name"), [("ok-1_B", "ok-1_B"), ("a b.c", "a_b_c"), ("Müller/1", "M_ller_1"), (".", "_")]
)
def test_record_names(stem: str, name: str) -> None:
    assert export.record_name(stem) == name


def test_csv(tmp_path: Path) -> None:
    ecg = made_up_ecg()
    export.write_csv(ecg, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["time_s", *LEADS, *(f"{lead}_sd" for lead in LEADS)]
    for column in (4, 16):  # aVR is not printed: neither signal nor error
        assert [row[column] for row in rows[1:]] == [""] * 1000
    read = np.array([[float(field or "nan") for field in row] for row in rows[1:]]).T
    np.testing.assert_allclose(read[0], np.arange(1000) / 500)
    np.testing.assert_allclose(read[1:13], ecg.signals, atol=0.00006)
    np.testing.assert_allclose(read[13:], ecg.sd_mv, atol=0.00006)


def test_page_writes_what_was_asked_and_lists_it(tmp_path: Path) -> None:
    image = np.full((400, 500, 3), (200, 0, 0), np.uint8)
    formats = ("csv", "overlay", "labels")
    path = export.write_page(made_up_ecg(), tmp_path, "a b", formats=formats, image=image, extra={"x": 1})
    record = json.loads(path.read_text())
    assert path.name == "a_b.json"
    chosen = [one for one in export.FORMATS.values() if one.name in (*formats, *export.ALWAYS)]
    assert names(tmp_path) == {f"a_b{suffix}" for one in chosen for suffix in one.suffixes}
    assert record["files"] == ["a_b.dat", "a_b.hea", "a_b.csv", "a_b.overlay.png", "a_b.labels.png"]
    assert "a b" in record["record_name_note"]
    assert record["x"] == 1
    from ecg_hough.image.reading import Image

    red, green, _ = np.asarray(Image.open(tmp_path / "a_b.overlay.png"))[0, 0].tolist()
    assert red > 200 > green
    assert np.asarray(Image.open(tmp_path / "a_b.labels.png")).shape == (400, 500)


def test_formats_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"formats must be among wfdb, csv, dicom, .*, json; got scp"):
        export.write_page(made_up_ecg(), tmp_path, "a", formats=("scp",))
    with pytest.raises(ValueError, match="need its image"):
        export.write_page(made_up_ecg(), tmp_path, "a", formats=("overlay",))
    assert names(tmp_path) == set()


def test_every_format_writes_the_files_that_the_table_lists(tmp_path: Path) -> None:
    page = export.Page(made_up_ecg(), np.full((400, 500, 3), 255, np.uint8))
    for one in export.FORMATS.values():
        folder = tmp_path / one.name
        folder.mkdir()
        one.write(page, folder, "a")
        assert names(folder) == {f"a{suffix}" for suffix in one.suffixes}


def test_a_second_run_removes_the_extra_files_of_the_first(tmp_path: Path) -> None:
    export.write_page(made_up_ecg(), tmp_path, "a", formats=("csv",))
    export.write_page(made_up_ecg(), tmp_path, "a")
    assert names(tmp_path) == {"a.json", "a.hea", "a.dat"}


@pytest.mark.parametrize("name", ["a.hea", "a.json"])
def test_files_of_others_are_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("the truth")
    with pytest.raises(PageError, match="was not written by"):
        export.write_page(made_up_ecg(), tmp_path, "a")
    assert names(tmp_path) == {name}
    assert (tmp_path / name).read_text() == "the truth"
    export.write_page(made_up_ecg(), tmp_path, "a", overwrite=True)
    assert "the truth" not in (tmp_path / name).read_text()


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("owner", "function"), [(os, "replace"), (Path, "write_bytes"), (tempfile, "mkdtemp")]
)
def test_disk_full_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, function: str
) -> None:
    monkeypatch.setattr(owner, function, no_space)
    with pytest.raises(PageError, match="No space left on device") as caught:
        export.write_page(made_up_ecg(), tmp_path, "a", formats=("csv",))
    assert caught.value.stage == "export"
    assert names(tmp_path) == set()


def test_failure_of_the_last_rename_takes_the_others_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_file = os.replace

    def replace_all_but_json(source: Path, target: Path) -> None:
        if target.suffix == ".json":
            no_space()
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", replace_all_but_json)
    with pytest.raises(PageError, match="No space"):
        export.write_page(made_up_ecg(), tmp_path, "a")
    assert names(tmp_path) == set()


def test_json_is_renamed_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    replace_file = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append(Path(b).suffix), replace_file(a, b))[1])
    export.write_page(made_up_ecg(), tmp_path, "a", formats=("csv",))
    assert order == [".unfinished", ".dat", ".hea", ".csv", ".json"]


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(PageError, match="cannot write into"):
        export.write_page(made_up_ecg(), tmp_path / "out", "a")
