import csv
import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import wfdb

from ecg_hough.datasets.split import held_out_records
from ecg_hough.networks.canvas import CANVAS_PX
from ecg_hough.paper import LEADS
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.training.prepare_data import DataSettings, prepare

N = 3
TINY_DPI = 40


def prepare_tiny(out: Path, **options: Any) -> Path:
    on_progress = options.pop("on_progress", None)
    settings = DataSettings(**{"n": N, "profile": "clean", **options})
    return prepare(out, settings, workers=1, on_progress=on_progress)


def read_cases(root: Path) -> list[dict[str, str]]:
    with (root / "cases.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_records(folder: Path, names: list[str]) -> list[Path]:
    ecg = generate_ecg(1, fs=100)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        wfdb.wrsamp(
            name, fs=100, units=["mV"] * 12, sig_name=list(LEADS), p_signal=ecg.signals.T, fmt=["16"] * 12,
            write_dir=str(folder),
        )  # fmt: skip
    return [folder / name for name in names]


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_tiny(tmp_path_factory.mktemp("raw"))


def test_a_data_set_is_what_nnunet_reads(data_set: Path) -> None:
    contract = json.loads((data_set / "dataset.json").read_text())
    assert contract["numTraining"] == N
    assert contract["labels"] == {"background": 0, **{lead: k + 1 for k, lead in enumerate(LEADS)}}
    assert list(contract["channel_names"].values()) == ["rgb_to_0_1"] * 3
    seen = set()
    for case in read_cases(data_set):
        image = cv2.imread(str(data_set / "imagesTr" / f"{case['name']}_0000.png"), cv2.IMREAD_UNCHANGED)
        labels = cv2.imread(str(data_set / "labelsTr" / f"{case['name']}.png"), cv2.IMREAD_UNCHANGED)
        assert image is not None
        assert labels is not None
        assert image.shape == (CANVAS_PX, CANVAS_PX, 3)
        assert labels.shape == (CANVAS_PX, CANVAS_PX)
        seen |= set(np.unique(labels).tolist())
    assert seen == set(range(13))


def test_folds_hold_every_case_once_and_no_patient_twice(data_set: Path) -> None:
    splits = json.loads((data_set / "splits_final.json").read_text())
    names = {case["name"] for case in read_cases(data_set)}
    assert sorted(name for split in splits for name in split["val"]) == sorted(names)
    assert all(set(split["train"]) | set(split["val"]) == names for split in splits)


def test_a_stopped_run_goes_on_and_makes_the_same_page_again(tmp_path: Path) -> None:
    root = prepare_tiny(tmp_path, n=2)
    kept, lost = (root / "imagesTr" / f"page_00000{k}_0000.png" for k in range(2))
    before = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    progress: list[tuple[int, int]] = []
    prepare_tiny(tmp_path, n=2, on_progress=lambda done, total: progress.append((done, total)))
    assert (lost.read_bytes(), kept.stat().st_mtime_ns) == before
    assert progress == [(1, 2), (2, 2)]


@pytest.mark.slow
def test_more_pages_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    root = prepare_tiny(tmp_path, n=1)
    first = (root / "imagesTr" / "page_000000_0000.png").stat().st_mtime_ns
    assert len(read_cases(prepare_tiny(tmp_path, n=2))) == 2
    assert (root / "imagesTr" / "page_000000_0000.png").stat().st_mtime_ns == first


@pytest.mark.parametrize(
    ("option", "begun", "value"),
    [
        ("seed", "seed=0", 1),
        ("profile", "profile='clean'", "scan"),
        ("planes", "planes='rgb'", "red"),
        ("canvas", "canvas='canvas704'", "page"),
        ("dpi", "dpi=None", 50.0),
    ],
)
def test_other_options_for_the_same_folder_are_refused(
    data_set: Path, option: str, begun: str, value: Any
) -> None:
    before = (data_set / "prepare.json").read_bytes()
    with pytest.raises(ValueError, match=f"begun with, {begun}; got {option}={value!r}"):
        prepare_tiny(data_set.parent, **{option: value})
    assert (data_set / "prepare.json").read_bytes() == before


def test_other_records_for_the_same_folder_are_refused(data_set: Path, tmp_path: Path) -> None:
    write_records(tmp_path, ["90001_hr"])
    with pytest.raises(ValueError, match="records=None; got records="):
        prepare_tiny(data_set.parent, records=tmp_path)


@pytest.mark.slow
def test_a_folder_without_options_is_judged_by_its_cases(tmp_path: Path) -> None:
    root = prepare_tiny(tmp_path, n=1)
    (root / "prepare.json").unlink()
    with pytest.raises(ValueError, match="records and seed it was begun with; page_000000"):
        prepare_tiny(tmp_path, n=1, seed=1)
    prepare_tiny(tmp_path, n=1)
    assert (root / "prepare.json").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "paper"}, "source must be renderer, kit, ptbxl, chapman or ludb; got 'paper'"),
        ({"planes": "blue"}, "planes must be rgb or red; got 'blue'"),
        ({"canvas": "a4"}, "canvas must be canvas704, page or words; got 'a4'"),
        ({"n": 0}, "n must be 1 or more; got 0"),
        ({"split": "fold"}, "split must be patients or strat; got 'fold'"),
        ({"source": "kit"}, "needs a folder"),
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare_tiny(tmp_path, **options)


@pytest.mark.slow
def test_red_pages_have_one_channel_and_labels_of_their_size(tmp_path: Path) -> None:
    root = prepare_tiny(tmp_path, n=1, planes="red", canvas="page", dpi=TINY_DPI)
    assert json.loads((root / "dataset.json").read_text())["channel_names"] == {"0": "red"}
    image = cv2.imread(str(root / "imagesTr" / "page_000000_0000.png"), cv2.IMREAD_UNCHANGED)
    labels = cv2.imread(str(root / "labelsTr" / "page_000000.png"), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert labels is not None
    assert image.ndim == 2
    assert image.shape == labels.shape
    assert image.shape != (CANVAS_PX, CANVAS_PX)
    # Ink is dark where traces are labelled, also on a dark grid.
    assert image[labels > 0].mean() < image[labels == 0].mean() - 30


@pytest.mark.slow
def test_whole_pages_are_the_winners(tmp_path: Path) -> None:
    """Profile kit unless another is asked for: 3x4 with II below, upright, labels of single pixels."""
    root = prepare_tiny(tmp_path, n=3, planes="red", canvas="page", dpi=TINY_DPI, profile=None)
    options = json.loads((root / "prepare.json").read_text())["options"]
    assert (options["profile"], options["split"]) == ("kit", "patients")
    for case in read_cases(root):
        labels = cv2.imread(str(root / "labelsTr" / f"{case['name']}.png"), cv2.IMREAD_UNCHANGED)
        assert labels is not None
        assert labels.shape == (340, 440)
        assert set(np.unique(labels)) <= set(range(13))
        # The short copy of II, in the second row, is background.
        assert not (labels[170:215] == LEADS.index("II") + 1).any()
        level = [np.median(np.nonzero(labels == k + 1)[0]) for k in (0, 3, 6, 9)]
        assert np.ptp(level) < 12  # the first row is level: the page was turned upright


def write_strat_table(folder: Path, folds: dict[str, int]) -> None:
    rows = ["ecg_id,patient_id,strat_fold,filename_lr,filename_hr"]
    for k, (name, fold) in enumerate(folds.items()):
        rows.append(f"{k},{100 + k},{fold},records100/{name.replace('_hr', '_lr')},records500/{name}")
    (folder / "ptbxl_database.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.slow
def test_ptbxls_own_folds_train_validate_and_test(tmp_path: Path) -> None:
    folds = {"90001_hr": 1, "90002_hr": 8, "90003_hr": 9, "90004_hr": 10, "90005_hr": 10}
    records = tmp_path / "records"
    write_records(records, list(folds))
    write_strat_table(records, folds)
    options = {"records": records, "generated": 0.2, "split": "strat", "canvas": "page", "dpi": TINY_DPI}
    root = prepare_tiny(tmp_path, n=24, **options)
    fold_of = {case["name"]: folds.get(case["source"]) for case in read_cases(root)}
    part_of = {case["name"]: case["part"] for case in read_cases(root)}
    (split,) = json.loads((root / "splits_final.json").read_text())
    assert {fold_of[name] for name in split["train"]} == {1, 8, None}
    assert {fold_of[name] for name in split["val"]} == {9}
    tested = {name for name, part in part_of.items() if part == "Ts"}
    assert {fold_of[name] for name in tested} == {10}
    assert {path.stem for path in (root / "labelsTs").glob("*.png")} == tested
    contract = json.loads((root / "dataset.json").read_text())
    assert contract["numTraining"] == 24 - len(tested) == len(list((root / "imagesTr").glob("*.png")))
    with pytest.raises(ValueError, match=r"needs ptbxl_database\.csv"):
        prepare_tiny(tmp_path / "other", n=1, split="strat")


@pytest.mark.slow
def test_held_out_records_among_kit_pages_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kit = tmp_path / "kit"
    kit.mkdir()
    held_out = min(held_out_records())
    draw_kit_page(kit, f"{held_out}-0")
    draw_kit_page(kit, "a-0")
    with caplog.at_level(logging.WARNING):
        prepare_tiny(tmp_path / "raw", source="kit", folder=kit)
    assert f"1 of the records on these pages are held out for benchmarks ({held_out})" in caplog.text


def draw_kit_page(folder: Path, name: str, *, shift_px: int = 0) -> None:
    """Twelve sines in ECG-Image-Kit's format; shifted points do not lie on the ink."""
    grey = np.full((420, 800), 255, np.uint8)
    leads = []
    for k, lead in enumerate(LEADS):
        sample = np.arange(250 * (k // 3), 250 * (k // 3 + 1))
        cols = 60 + 0.6 * sample
        rows = 60 + 90 * (k % 3) - 20 * np.sin(sample / 12 + k)
        line = np.stack([cols, rows], axis=1).round().astype(np.int32)
        cv2.polylines(grey, [line[:, None]], False, 10, 2, cv2.LINE_AA)
        points = np.stack([rows + shift_px, cols], axis=1) + 0.5
        leads.append(
            {"lead_name": lead, "start_sample": int(sample[0]), "end_sample": int(sample[-1]) + 1,
             "plotted_pixels": points.tolist()}
        )  # fmt: skip
    sidecar = {
        "sampling_frequency": 100, "width": 800, "height": 420, "leads": leads, "x_grid": 20.0,
        "y_grid": 20.0, "resolution": 100, "pad_inches": 0, "augment": False, "crop": 0, "rotate": 0,
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(sidecar))
    cv2.imwrite(str(folder / f"{name}.png"), grey)


@pytest.mark.slow
def test_a_refused_kit_page_is_skipped_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kit = tmp_path / "kit"
    kit.mkdir()
    draw_kit_page(kit, "a-0")
    draw_kit_page(kit, "b-0", shift_px=37)
    draw_kit_page(kit, "c-0")
    with caplog.at_level(logging.WARNING):
        root = prepare_tiny(tmp_path / "raw", source="kit", folder=kit)
    assert [case["name"] for case in read_cases(root)] == ["a-0", "c-0"]
    assert json.loads((root / "dataset.json").read_text())["numTraining"] == 2
    assert not list((root / "imagesTr").glob("b-0*"))
    assert "must lie on ink" in caplog.text
    assert "1 of 3 pages were skipped" in caplog.text


@pytest.mark.slow
def test_kit_pages_that_are_all_refused_are_an_error(tmp_path: Path) -> None:
    draw_kit_page(tmp_path, "b-0", shift_px=37)
    with pytest.raises(ValueError, match="all 1 were skipped"):
        prepare_tiny(tmp_path / "raw", source="kit", folder=tmp_path)


@pytest.mark.slow
def test_ptbxl_fetches_as_many_records_as_pages_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = [f"{k:05d}_hr" for k in range(1, 40)]
    held_out = held_out_records() & set(database[:9])
    assert held_out  # else this test shows less than it should
    fetches: list[int] = []

    def fetch(folder: Path, *, n: int) -> list[Path]:
        fetches.append(n)
        return write_records(folder, database[:n])

    monkeypatch.setattr("ecg_hough.datasets.ptbxl_table.fetch_ptbxl", fetch)
    options = {"source": "ptbxl", "folder": tmp_path / "ptbxl", "dpi": TINY_DPI}
    root = prepare_tiny(tmp_path, n=8, generated=0.0, **options)
    shown = [case["source"] for case in read_cases(root)]
    fetched = {path.stem for path in (tmp_path / "ptbxl").glob("*.hea")}
    assert len(set(shown)) == 8
    assert set(shown) == fetched - held_out_records()
    assert fetches[0] == 8
    # More pages show more records, and the first pages stay.
    more = [case["source"] for case in read_cases(prepare_tiny(tmp_path, n=9, generated=0.0, **options))]
    assert more[:8] == shown


@pytest.mark.slow
def test_ptbxl_is_not_fetched_for_generated_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(folder: Path, *, n: int) -> list[Path]:
        raise AssertionError(f"fetched {n} records")

    monkeypatch.setattr("ecg_hough.datasets.ptbxl_table.fetch_ptbxl", fetch)
    root = prepare_tiny(tmp_path, n=1, source="ptbxl", generated=1.0, dpi=TINY_DPI)
    assert read_cases(root)[0]["source"] == "generated"


@pytest.mark.slow
@pytest.mark.parametrize("source", ["chapman", "ludb"])
def test_records_of_a_data_set_are_drawn(tmp_path: Path, source: str) -> None:
    names = {"chapman": ["JS00001", "JS00002"], "ludb": ["1", "2"]}[source]
    for stem in write_records(tmp_path / source, names):
        if source == "chapman":  # there the signals are in .mat files, which WFDB reads by its offset
            header = stem.with_suffix(".hea")
            header.write_text(header.read_text().replace(".dat 16 ", ".mat 16+24 "))
            stem.with_suffix(".mat").write_bytes(bytes(24) + stem.with_suffix(".dat").read_bytes())
            stem.with_suffix(".dat").unlink()
    root = prepare_tiny(
        tmp_path, n=4, source=source, folder=tmp_path / source, generated=0.0, dpi=TINY_DPI, canvas="page"
    )
    cases = read_cases(root)
    assert {case["source"] for case in cases} <= set(names)
    assert all(case["group"] == case["source"] for case in cases)
    assert len(list((root / "imagesTr").glob("*.png"))) == 4
    with pytest.raises(ValueError, match="needs the folder of its records"):
        prepare_tiny(tmp_path / "other", source=source)


def test_hard_pages_are_drawn_where_asked_for(tmp_path: Path) -> None:
    usual = prepare_tiny(tmp_path / "usual", dpi=TINY_DPI)
    hard = prepare_tiny(tmp_path / "hard", dpi=TINY_DPI, hard_share=1.0)
    for k in range(N):
        name = f"imagesTr/page_{k:06d}_0000.png"
        assert (usual / name).read_bytes() != (hard / name).read_bytes()
    with pytest.raises(ValueError, match="hard_share"):
        DataSettings(canvas="page", hard_share=0.5)
