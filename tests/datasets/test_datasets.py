"""Every data set on a tiny folder in its own format, and the guard against scoring on training data."""

from __future__ import annotations

import csv
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from ecg_hough import datasets
from ecg_hough.datasets import STANDARD_PAGE, read_pages, read_records
from ecg_hough.datasets.challenge2024 import LABELS, header_values
from ecg_hough.datasets.kaggle import read_test
from ecg_hough.datasets.ludb import Wave, read_waves
from ecg_hough.datasets.ptbxl import challenge_labels
from ecg_hough.datasets.split import held_out_records, split_records
from ecg_hough.paper import LEADS
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.scores.evaluation import evaluate
from ecg_hough.scores.guard import find_trained, refuse_trained, trained_on
from made_up_ecg import as_printed
from places import SHARED

FS = 100


def made_up_signals(seed: int = 1) -> NDArray[np.float64]:
    """(12, 1000) mV, in whole µV as a record holds them."""
    return generate_ecg(seed, fs=FS).signals[:, : 10 * FS].round(3)


def write_record(
    stem: Path, signals: NDArray[np.float64], names: tuple[str, ...] = LEADS, **options: Any
) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    n = len(names)
    wfdb.wrsamp(
        stem.name, options.pop("fs", FS), ["mV"] * n, list(names), signals.T, fmt=["16"] * n,
        adc_gain=[1000.0] * n, baseline=[0] * n, write_dir=str(stem.parent), **options,
    )  # fmt: skip


def write_image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 12, 3), 255, np.uint8))
    return path


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


# --- PTB-XL ---


@pytest.fixture
def ptbxl(tmp_path: Path) -> Path:
    folder = tmp_path / "ptbxl"
    rows = []
    for ecg_id, patient, codes in (
        (1, 15709, {"NORM": 100.0, "SR": 0.0}),
        (2, 13243, {"IMI": 50.0, "PVC": 0.0}),
    ):
        name = f"records500/00000/{ecg_id:05d}_hr"
        write_record(
            folder / name, made_up_signals(ecg_id), ("I", "II", "III", "AVR", "AVL", "AVF", *LEADS[6:])
        )
        rows.append(
            {"ecg_id": ecg_id, "patient_id": f"{patient}.0", "scp_codes": str(codes), "strat_fold": 3,
             "filename_lr": name.replace("500", "100").replace("_hr", "_lr"), "filename_hr": name}
        )  # fmt: skip
    write_csv(folder / "ptbxl_database.csv", rows)
    (folder / "scp_statements.csv").write_text(
        ",description,diagnostic,form,rhythm,diagnostic_class\n"
        "NORM,normal ECG,1.0,,,NORM\nIMI,inferior infarction,1.0,,,MI\nPVC,ventricular premature,,1.0,,\n"
    )
    return folder


def test_ptbxl_records_have_patients_and_statements(ptbxl: Path) -> None:
    first, second = read_records("ptbxl", ptbxl)
    assert (first.record_id, first.patient_id, first.labels) == ("00001_hr", "15709", ("NORM", "SR"))
    assert second.patient_id == "13243"
    reference = second.reference()
    assert reference.fs == FS
    np.testing.assert_allclose(reference.signals, made_up_signals(2), atol=1e-9)


def test_ptbxl_plus_tells_acute_from_old_infarction(ptbxl: Path, tmp_path: Path) -> None:
    plus = tmp_path / "plus"
    (plus / "labels" / "mapping").mkdir(parents=True)
    (plus / "labels" / "mapping" / "12slv23ToSNOMED.csv").write_text(
        "StatementNumber,Acronym,Full\n821,ACUTMI,acute MI\n1,NSR,normal sinus rhythm\n"
    )
    said = plus / "labels" / "12sl_statements.csv"
    write_csv(
        said, [{"ecg_id": 1, "statements": "['NSR']"}, {"ecg_id": 2, "statements": "['NSR', 'ACUTMI']"}]
    )
    assert challenge_labels(ptbxl, plus) == {1: ("NORM",), 2: ("Acute MI", "PVC")}
    write_csv(said, [{"ecg_id": 1, "statements": "['NSR']"}])
    assert challenge_labels(ptbxl, plus)[2] == ("Old MI", "PVC")
    said.unlink()
    with pytest.raises(ValueError, match=r"there is no .*12sl_statements\.csv"):
        challenge_labels(ptbxl, plus)


# --- Chapman-Shaoxing ---


def write_chapman(stem: Path, signals: NDArray[np.float64]) -> None:
    """As on PhysioNet: a MATLAB 4 file of int16 (12, N), read by WFDB as format 16 after 24 bytes."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    counts = np.rint(1000 * signals).astype("<i2")
    head = np.array([30, 12, counts.shape[1], 0, 4], "<i4").tobytes() + b"val\0"
    stem.with_suffix(".mat").write_bytes(head + counts.T.tobytes())
    lines = [f"{stem.name} 12 {FS} {counts.shape[1]} 23-Mar-2021 20:20:47"]
    for lead, row in zip(LEADS, counts, strict=True):
        checksum = int(row.astype(np.int64).sum()) & 0xFFFF
        lines.append(f"{stem.name}.mat 16+24 1000/mV 16 0 {row[0]} {checksum} 0 {lead}")
    lines += ["#Age: 85", "#Sex: Male", "#Dx: 164889003,59118001", "#Rx: Unknown"]
    stem.with_suffix(".hea").write_text("\n".join(lines) + "\n")


def test_chapman_records_are_read_behind_the_matlab_header(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "WFDBRecords" / "01" / "010"
    write_chapman(place / "JS00001", made_up_signals(3))
    write_chapman(place / "JS00002", made_up_signals(4))
    (place / "JS00002.mat").unlink()
    with caplog.at_level(logging.WARNING):
        (record,) = read_records("chapman", tmp_path)
    assert "JS00002" in caplog.text
    assert (record.record_id, record.patient_id) == ("JS00001", "JS00001")
    assert record.labels == ("164889003", "59118001")
    np.testing.assert_allclose(record.reference().signals, made_up_signals(3), atol=1e-9)


# --- LUDB ---


def test_ludb_records_waves_and_labels(tmp_path: Path) -> None:
    lower = tuple(lead.lower() for lead in LEADS)
    for number in (1, 10, 2):
        write_record(tmp_path / "data" / str(number), made_up_signals(number), lower)
    wfdb.wrann(
        "2", "avr", np.array([12, 20, 40, 48, 50, 56, 70, 80]), ["p", ")", "(", "N", ")", "(", "t", ")"],
        write_dir=str(tmp_path / "data"),
    )  # fmt: skip
    write_csv(
        tmp_path / "ludb.csv",
        [
            {
                "ID": "2\n",
                "Sex": "F\n",
                "Age": "51\n",
                "Rhythms": "Sinus bradycardia",
                "Other states": "a\nb\n",
            }
        ],
    )
    records = list(read_records("ludb", tmp_path))
    assert [record.record_id for record in records] == ["1", "2", "10"]
    assert records[1].labels == ("Sinus bradycardia", "a", "b")
    assert records[0].labels == ()
    np.testing.assert_allclose(records[2].reference().signals, made_up_signals(10), atol=1e-9)
    waves = read_waves(records[1], "aVR")
    assert waves == (Wave("P", None, 12, 20), Wave("QRS", 40, 48, 50), Wave("T", 56, 70, 80))
    with pytest.raises(ValueError, match=r"there is no .*2\.v1"):
        read_waves(records[1], "V1")


def test_ludb_pages_by_ecgminer(tmp_path: Path) -> None:
    write_record(tmp_path / "005", as_printed(made_up_signals()))
    write_image(tmp_path / "005.png")
    write_image(tmp_path / "notes.png")  # without a record: no page
    (page,) = read_pages("ludb", tmp_path)
    assert (page.page_id, page.record_id, page.layout) == ("005", "5", "3x4+1")
    np.testing.assert_allclose(page.reference().signals, as_printed(made_up_signals()), atol=1e-9)


@pytest.mark.skipif(not (SHARED / "ludb").is_dir(), reason="the development pages are not here")
def test_ludb_pages_of_the_development_data() -> None:
    pages = list(read_pages("ludb", SHARED / "ludb"))
    assert len(pages) == 40
    signals = pages[0].reference().signals
    assert np.isfinite(signals[LEADS.index("II")]).all()
    assert np.isfinite(signals[LEADS.index("V6")]).mean() == pytest.approx(0.25, abs=0.01)


# --- PTB-Image ---


def test_ptb_image_pairs_scans_with_ptb_records(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = (*(lead.lower() for lead in LEADS), "vx", "vy", "vz")
    signals = np.vstack([made_up_signals(), np.zeros((3, 10 * FS))])
    write_record(tmp_path / "ptbdb" / "patient001" / "s0010_re", signals, names)
    write_record(tmp_path / "ptbdb" / "patient002" / "s0015lre", signals, names)
    write_image(tmp_path / "images" / "s0010_re.png")
    write_image(tmp_path / "images" / "s0015lre_scan.png")
    write_image(tmp_path / "images" / "s0500_re.png")
    with caplog.at_level(logging.WARNING):
        first, second, third = read_pages("ptb-image", tmp_path)
    assert (first.record_id, first.patient_id) == ("s0010_re", "patient001")
    assert (second.record_id, second.patient_id) == ("s0015lre", "patient002")
    np.testing.assert_allclose(first.reference().signals, made_up_signals(), atol=1e-9)
    assert third.load_reference is None
    assert "no record s0500_re" in caplog.text
    with pytest.raises(ValueError, match="gives none for images_s0500_re"):
        third.reference()


# --- ECG-Image-Database ---


def test_ecg_image_database_cuts_the_record_to_the_page(tmp_path: Path) -> None:
    write_record(tmp_path / "records" / "00001_hr", made_up_signals())
    for kind in ("0001", "0003", "0099"):
        write_image(tmp_path / "images" / f"00001_hr-{kind}.png")
    pages = list(read_pages("ecg-image-database", tmp_path))
    assert [page.profile for page in pages] == ["rendered", "colour scan", "0099"]
    assert {page.record_id for page in pages} == {"00001_hr"}
    np.testing.assert_allclose(pages[1].reference().signals, as_printed(made_up_signals()), atol=1e-9)


def test_a_record_that_is_cut_already_stays_as_it_is() -> None:
    signals = made_up_signals()
    signals[6] = np.nan
    signals[6, :250] = 1.0  # V1 in the first column: another layout
    shown = datasets.printed_part(signals, FS, STANDARD_PAGE)
    np.testing.assert_array_equal(shown[6], signals[6])
    assert np.isfinite(shown[7]).sum() == 250


# --- ECG-Image-Kit ---


def write_sidecar(path: Path, **more: Any) -> None:
    spans = [(lead, 250 * (k // 3), 250 * (k // 3 + 1)) for k, lead in enumerate(LEADS)]
    leads = [
        {"lead_name": lead, "start_sample": start, "end_sample": end, "plotted_pixels": [[1.0, 1.0]]}
        for lead, start, end in [*spans, ("II", 0, 1000)]
    ]
    path.write_text(json.dumps({"sampling_frequency": FS, "leads": leads, **more}))


def test_ecg_image_kit_with_and_without_sidecars(tmp_path: Path) -> None:
    place = tmp_path / "clean"
    write_record(place / "00001_hr", made_up_signals(1))
    write_record(place / "00002_hr", made_up_signals(2))
    write_image(place / "00001_hr-0.png")
    write_sidecar(place / "00001_hr-0.json", number_of_columns_in_image=4, full_mode_lead="II")
    write_image(place / "00002_hr-0.png")
    first, second = read_pages("ecg-image-kit", tmp_path)
    assert (first.page_id, first.profile, first.record_id) == ("clean_00001_hr-0", "clean", "00001_hr")
    assert (first.layout, second.layout) == ("3x4+1", None)
    for page, seed in ((first, 1), (second, 2)):
        np.testing.assert_allclose(page.reference().signals, as_printed(made_up_signals(seed)), atol=1e-9)


@pytest.mark.skipif(not (SHARED / "ecg_image_kit").is_dir(), reason="the development pages are not here")
def test_ecg_image_kit_of_the_development_data() -> None:
    pages = list(read_pages("ecg-image-kit", SHARED / "ecg_image_kit"))
    assert len(pages) == 64
    assert {page.record_id for page in pages} <= held_out_records()
    assert "severe" in {page.profile for page in pages}
    assert np.isfinite(pages[0].reference().signals).any(axis=1).all()


# --- Challenge 2024 ---


def write_challenge(folder: Path, *, hidden: bool) -> None:
    """Two records; of hidden ones only images and headers without checksums are given."""
    write_record(folder / "00001_hr", made_up_signals(), comments=["Age: 56", "Labels: NORM, BRADY"])
    header = folder / "00001_hr.hea"
    header.write_text(header.read_text() + "# Image: 00001_hr-0.png, 00001_hr-1.png\n")
    write_image(folder / "00001_hr-0.png")
    write_image(folder / "00001_hr-1.png")
    (folder / "00002_hr.hea").write_text("00002_hr 0 100 1000\n# Image: gone.png\n")
    if hidden:
        first, *lines = header.read_text().splitlines()
        signal_lines = [" ".join([*line.split()[:5], "", "", "", line.split()[8]]) for line in lines[:12]]
        header.write_text("\n".join([first, *signal_lines, lines[-1]]) + "\n")
        (folder / "00001_hr.dat").unlink()


def test_challenge_headers_name_images_and_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_challenge(tmp_path, hidden=False)
    with caplog.at_level(logging.WARNING):
        pages = list(read_pages("challenge2024", tmp_path))
    assert [page.page_id for page in pages] == ["00001_hr-0", "00001_hr-1"]
    assert pages[0].labels == ("NORM", "BRADY")
    np.testing.assert_allclose(pages[0].reference().signals, made_up_signals(), atol=1e-9)
    assert "gone.png, which is not there" in caplog.text


def test_challenge_headers_without_signals(tmp_path: Path) -> None:
    write_challenge(tmp_path, hidden=True)
    pages = list(read_pages("challenge2024", tmp_path))
    assert len(pages) == 2
    assert all(page.load_reference is None and page.labels == () for page in pages)


def test_header_values_of_both_phases() -> None:
    text = "a 1 2 3\n#Dx: NORM, CD\n# Labels: \n#Image: b.png\n# Image: c.png, d.png\n"
    assert header_values(text, "Labels", "Dx") == ["NORM", "CD"]
    assert header_values(text, "Image") == ["b.png", "c.png", "d.png"]
    assert len(LABELS) == 11


# --- Kaggle ---


def test_kaggle_train_pages(tmp_path: Path) -> None:
    signals = as_printed(made_up_signals())
    write_csv(tmp_path / "train.csv", [{"id": "77", "fs": FS, "sig_len": signals.shape[1]}])
    rows = [
        {lead: "" if np.isnan(v) else v for lead, v in zip(LEADS, column, strict=True)}
        for column in signals.T
    ]
    write_csv(tmp_path / "train" / "77" / "77.csv", rows)
    for kind in ("0001", "0005"):
        write_image(tmp_path / "train" / "77" / f"77-{kind}.png")
    pages = list(read_pages("kaggle", tmp_path))
    assert [(page.page_id, page.profile) for page in pages] == [
        ("77-0001", "rendered"),
        ("77-0005", "phone photo"),
    ]
    reference = pages[0].reference()
    assert reference.fs == FS
    np.testing.assert_allclose(reference.signals, signals, atol=1e-9)


def test_kaggle_test_rows(tmp_path: Path) -> None:
    rows = [
        {"id": page, "lead": lead, "fs": fs, "number_of_rows": int((10 if lead == "II" else 2.5) * fs)}
        for page, fs in (("5", 1025), ("6", 250))
        for lead in LEADS
    ]
    write_csv(tmp_path / "test.csv", rows)
    write_image(tmp_path / "test" / "5.png")
    write_image(tmp_path / "test" / "6" / "6.png")
    first, second = read_test(tmp_path)
    assert (first.fs, first.rows["II"], first.rows["V1"]) == (1025, 10250, 2562)
    assert second.image_path == tmp_path / "test" / "6" / "6.png"
    write_csv(tmp_path / "test.csv", [rows[0], {**rows[1], "fs": 500}])
    with pytest.raises(ValueError, match="each lead once, at one fs; 5 in"):
        read_test(tmp_path)


# --- all of them ---


@pytest.mark.parametrize(
    ("read", "name"),
    [
        *((read_pages, name) for name in datasets.PAGE_SETS),
        *((read_records, name) for name in datasets.RECORD_SETS),
    ],
)
def test_a_folder_of_something_else_is_refused(tmp_path: Path, read: Any, name: str) -> None:
    write_image(tmp_path / "holiday.png")
    with pytest.raises(ValueError, match=r"folder must hold|there is no"):
        list(read(name, tmp_path))
    with pytest.raises(ValueError, match="there is no folder"):
        list(read(name, tmp_path / "nowhere"))


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be one of challenge2024, .*; got 'mit'"):
        read_pages("mit", tmp_path)
    with pytest.raises(ValueError, match=r"must be one of chapman, .*; got 'kaggle'"):
        read_records("kaggle", tmp_path)


def test_pages_go_to_other_processes(tmp_path: Path) -> None:
    write_record(tmp_path / "005", as_printed(made_up_signals()))
    write_image(tmp_path / "005.png")
    (page,) = read_pages("ludb", tmp_path)
    assert pickle.loads(pickle.dumps(page)).reference().fs == FS


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    write_record(tmp_path / "005", made_up_signals())
    write_image(tmp_path / "005.png")
    (tmp_path / "005.dat").unlink()
    (page,) = read_pages("ludb", tmp_path)
    with pytest.raises(ValueError, match=r"must be readable WFDB; .*005"):
        page.reference()


# --- the guard ---


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    data = {"records": 2, "record_names": ["00021_hr", "7"], "patient_ids": ["900"]}
    (folder / "leads.json").write_text(json.dumps({"name": "leads", "data": data}))
    return folder


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("00021_hr", True),
        ("00021_hr-0003", True),
        ("photo_0007_00021_hr", True),
        ("00021_lr", True),
        ("00021", False),
        ("100021_hr", False),
        ("00022_hr", False),
        ("7", True),
        ("007", True),
        ("page_7", False),
    ],
)
def test_pages_are_told_by_the_record_in_their_name(weights: Path, name: str, trained: bool) -> None:
    assert bool(find_trained([name], weights=weights)) is trained


def test_another_record_of_a_trained_patient_is_refused(weights: Path) -> None:
    patients = {"00500_hr": "900", "00501_hr": "901"}
    names = ["00500_hr-0", "00501_hr-0"]
    assert find_trained(names, patients=patients, weights=weights) == {"00500_hr-0": ("leads",)}
    with pytest.raises(ValueError, match=r"1 of 2 do \(00500_hr-0: trained on by leads\).*--allow-trained"):
        refuse_trained(names, patients=patients, weights=weights)


def test_allowed_training_records_are_warned_of(weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        refuse_trained(["00021_hr"], allow=True, weights=weights)
    assert "the score is of the training data" in caplog.text


def test_a_card_without_its_records_is_warned_of(weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    (weights / "old.json").write_text(json.dumps({"name": "old", "data": {"records": 5}}))
    with caplog.at_level(logging.WARNING):
        assert find_trained(["00022_hr"], weights=weights) == {}
    assert "card of old does not list its records" in caplog.text


def test_a_card_can_be_told_its_records_later(ptbxl: Path, tmp_path: Path) -> None:
    from ecg_hough.training.export_weights import list_records

    card = tmp_path / "traces.json"
    card.write_text(json.dumps({"name": "traces", "data": {"records": 2}, "sha256": "0"}))
    list_records(card, ptbxl)
    said = json.loads(card.read_text())
    assert said["data"]["record_names"] == ["00001_hr", "00002_hr"]
    assert said["data"]["patient_ids"] == ["13243", "15709"]
    assert said["sha256"] == "0"
    card.write_text(json.dumps({"name": "traces", "data": {"records": 3}}))
    with pytest.raises(ValueError, match=r"must be those trained on: 3 by the card; .* holds 2"):
        list_records(card, ptbxl)


@pytest.mark.parametrize(
    ("fold", "source", "record"),
    [
        ("all", "00021_hr", "00021_hr"),
        ("0", "00021_hr-0.json", "00021_hr"),
        ("0", "00021_hr-3_0000.json", "00021_hr"),
    ],
)
def test_an_exported_card_lists_the_records_of_its_cases(
    tmp_path: Path, fold: str, source: str, record: str
) -> None:
    from ecg_hough.training.nnunet_run import describe_data

    cases = [
        {"name": "page_000000", "group": "15709", "source": source, "seed": 0},
        {"name": "page_000001", "group": "generated_1", "source": "generated", "seed": 1},
    ]
    write_csv(tmp_path / "cases.csv", cases)
    (tmp_path / "splits_final.json").write_text(
        json.dumps([{"train": ["page_000001"], "val": ["page_000000"]}])
    )
    about = describe_data("Dataset500_Signals", {"numTraining": 2}, fold, tmp_path, None)
    # Also those that only validated: they chose the network.
    assert about["record_names"] == [record]
    assert about["patient_ids"] == ["15709"]


def test_the_shipped_cards_list_what_was_trained_on() -> None:
    networks = trained_on()
    assert {network.network for network in networks} >= {"leads", "traces"}
    for network in networks:
        assert network.listed
        assert not network.records & held_out_records()


@pytest.mark.skipif(not (SHARED / "ptbxl").is_dir(), reason="the development data are not here")
def test_the_shipped_networks_were_trained_on_the_development_records() -> None:
    training, held_out = split_records(SHARED / "ptbxl")
    assert set(find_trained([stem.name for stem in training])) == {stem.name for stem in training}
    assert find_trained([stem.name for stem in held_out]) == {}


def test_evaluate_refuses_what_was_trained_on(tmp_path: Path) -> None:
    name = min(trained_on()[0].records)
    truth, predictions = tmp_path / "truth", tmp_path / "predictions"
    write_record(truth / name, made_up_signals())
    write_record(predictions / name, made_up_signals() * 1.1)
    with pytest.raises(ValueError, match=f"trained on; 1 of 1 do \\({name}"):
        evaluate(predictions, truth, workers=1)
    assert len(evaluate(predictions, truth, workers=1, allow_trained=True).pages) == 1
