"""The Challenge's entry in a driver that does what the harness does, on folders made here.

The driver is written after the harness's description: find the records, load the models, run each record,
then write the header, the signals in the header's own format, and the labels.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from ecg_hough.datasets import STANDARD_PAGE, printed_part
from ecg_hough.datasets.challenge2024 import LABELS, header_values
from ecg_hough.errors import PageError
from ecg_hough.image.reading import read_page
from ecg_hough.output.ecg import Ecg
from ecg_hough.output.read_back import resample_lead
from ecg_hough.paper import LEADS
from ecg_hough.record import LeadStatus
from ecg_hough.render.ecg_model import generate_ecg
from made_up_ecg import made_up_ecg, write_page_image
from places import ROOT

pytest.importorskip("neurokit2", reason="needs the notebooks extra of the laboratory")
pytest.importorskip("sklearn", reason="needs the notebooks extra of the laboratory")
sys.path.insert(0, str(ROOT / "experiments" / "challenge2024"))
import team_code
from ecg_features import FEATURES, ecg_features

DIGITIZE = import_module("ecg_hough.pipeline")
FS = 500
RHYTHMS = {"NORM": "sinus rhythm", "TACHY": "sinus tachycardia", "BRADY": "sinus bradycardia"}
HEADER_LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", *LEADS[6:])
"""PTB-XL's spelling."""


def printed(label: str, seed: int) -> NDArray[np.float64]:
    return printed_part(generate_ecg(seed, fs=FS, rhythm=RHYTHMS[label]).signals, FS, STANDARD_PAGE)


@pytest.fixture(scope="module")
def pages() -> dict[str, NDArray[np.float64]]:
    """Image -> what it shows."""
    return {}


@pytest.fixture(scope="module")
def stand_in(pages: dict[str, NDArray[np.float64]]) -> Any:
    """A digitiser that knows what its pages show; "blurred" pages fail, "faint" ones have low confidence."""

    def digitize(page: Any, *, fs: int = 500, **options: Any) -> Ecg:
        name = read_page(page).name
        if "blurred" in name:
            raise PageError("segmentation", "a page must show leads of an ECG")
        signals = np.stack([resample_lead(lead, FS, fs) for lead in pages[name]])
        trust = 0.2 if "faint" in name else 0.9
        status = tuple(LeadStatus(lead, True, None, trust, 0.0, 10.0) for lead in LEADS)
        like = made_up_ecg(fs, seconds=signals.shape[1] / fs)
        return Ecg(**{**vars(like), "signals": signals, "lead_status": status})

    module = ModuleType("ecg_hough.pipeline")
    module.digitize = digitize  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ecg_hough.pipeline", module)
        yield module


def write_record(
    folder: Path,
    name: str,
    images: list[str],
    *,
    labels: list[str] | None = None,
    fs: int = FS,
    n: int = 5000,
) -> None:
    """A header as the Challenge has it; with labels one for training, else one without checksums."""
    folder.mkdir(parents=True, exist_ok=True)
    rest = "0 0 0" if labels is not None else "  "
    lines = [f"{name} 12 {fs} {n}"]
    lines += [f"{name}.dat 16 1000.0(0)/mV 16 0 {rest} {lead}" for lead in HEADER_LEADS]
    if labels is not None:
        lines += ["# Age: 60", f"# Labels: {', '.join(labels)}"]
    lines.append(f"# Image: {', '.join(images)}")
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")


def draw(folder: Path, pages: dict[str, NDArray[np.float64]], name: str, shown: NDArray[np.float64]) -> str:
    write_page_image(folder / name)
    pages[name] = shown
    return name


def run_harness(data: Path, model: Path, out: Path) -> None:
    """What the Challenge does with an entry, failures not allowed."""
    records = sorted(path.relative_to(data).with_suffix("").as_posix() for path in data.rglob("*.hea"))
    digitization, classification = team_code.load_models(str(model), False)
    for record in records:
        signal, labels = team_code.run_models(str(data / record), digitization, classification, False)
        text = (data / f"{record}.hea").read_text()
        header = wfdb.rdheader(str(data / record))
        place = out / Path(record).parent
        place.mkdir(parents=True, exist_ok=True)
        (out / f"{record}.hea").write_text(text)
        if signal is not None:
            wfdb.wrsamp(
                Path(record).name, fs=header.fs, units=header.units, sig_name=header.sig_name,
                p_signal=signal, fmt=header.fmt, adc_gain=header.adc_gain, baseline=header.baseline,
                comments=[line[1:].strip() for line in text.splitlines() if line[0] == "#"],
                write_dir=str(place),
            )  # fmt: skip
        if labels is not None:
            with (out / f"{record}.hea").open("a") as file:
                file.write(f"# Labels: {', '.join(labels)}\n")


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory, pages: dict[str, NDArray[np.float64]], stand_in: Any
) -> Path:
    """Trained on three records each of two labels, one without a page, one without labels we know."""
    data, folder = tmp_path_factory.mktemp("training"), tmp_path_factory.mktemp("model") / "new"
    for label in ("TACHY", "BRADY"):
        for seed in range(3):
            name = f"{label}{seed}"
            image = draw(data, pages, f"{name}-0.png", printed(label, seed))
            write_record(data, name, [image], labels=[label])
    write_record(data, "gone", ["gone-0.png"], labels=["NORM"])
    write_record(data, "other", ["gone-0.png"], labels=["FLU"])
    team_code.train_models(str(data), str(folder), False)
    return folder


def test_records_get_signals_and_labels(
    model: Path, tmp_path: Path, pages: dict[str, NDArray[np.float64]], stand_in: Any
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    for label in ("TACHY", "BRADY"):
        image = draw(data / "p1", pages, f"new_{label}.png", printed(label, 50))
        write_record(data / "p1", f"r_{label}", [image])
    run_harness(data, model, out)
    for label in ("TACHY", "BRADY"):
        record = wfdb.rdrecord(str(out / "p1" / f"r_{label}"))
        assert record.sig_name == list(HEADER_LEADS)
        assert (record.fs, record.sig_len, record.units) == (FS, 5000, ["mV"] * 12)
        np.testing.assert_allclose(record.p_signal.T, printed(label, 50)[:, :5000], atol=0.0006)
        assert header_values((out / "p1" / f"r_{label}.hea").read_text(), "Labels") == [label]


@pytest.mark.slow
def test_missing_and_unreadable_images_do_not_stop_the_harness(
    model: Path, tmp_path: Path, pages: dict[str, NDArray[np.float64]], stand_in: Any
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    shown = printed("NORM", 60)
    good = draw(data, pages, "good.png", shown)
    blurred = draw(data, pages, "blurred.png", shown)
    write_record(data, "none", ["nowhere.png"])
    write_record(data, "bad", [blurred])
    write_record(data, "some", ["nowhere.png", blurred, good])
    run_harness(data, model, out)
    for name in ("none", "bad"):
        assert (out / f"{name}.hea").read_text() == (data / f"{name}.hea").read_text()
        assert not (out / f"{name}.dat").exists()
    np.testing.assert_allclose(wfdb.rdrecord(str(out / "some")).p_signal.T, shown[:, :5000], atol=0.0006)


def test_of_several_images_the_surer_one_counts_lead_by_lead(
    tmp_path: Path, pages: dict[str, NDArray[np.float64]], stand_in: Any
) -> None:
    shown = printed("NORM", 61)
    half = shown.copy()
    images = [
        draw(tmp_path, pages, "faint.png", 3 * half),
        draw(tmp_path, pages, "sharp.png", shown),
    ]
    write_record(tmp_path, "r", images)
    read = team_code.read_record(tmp_path / "r", FS, False)
    np.testing.assert_allclose(read, shown[:, :5000], atol=1e-9)


def test_images_of_a_long_record_follow_each_other(
    tmp_path: Path, pages: dict[str, NDArray[np.float64]], stand_in: Any
) -> None:
    first, second = printed("NORM", 62)[:, :5000], printed("TACHY", 62)[:, :5000]
    images = [draw(tmp_path, pages, "a.png", first), draw(tmp_path, pages, "b.png", second)]
    write_record(tmp_path, "r", images, n=10_000)
    read = team_code.read_record(tmp_path / "r", FS, False)
    np.testing.assert_allclose(read, np.hstack([first, second]), atol=1e-9)


def test_another_sampling_frequency_and_length(
    model: Path, tmp_path: Path, pages: dict[str, NDArray[np.float64]], stand_in: Any
) -> None:
    image = draw(tmp_path, pages, "slow.png", printed("BRADY", 51))
    write_record(tmp_path, "r", [image], fs=100, n=900)
    signal, labels = team_code.run_models(
        str(tmp_path / "r"), *team_code.load_models(str(model), False), False
    )
    assert signal is not None
    assert signal.shape == (900, 12)
    assert np.isfinite(signal[:, 1]).all()
    assert labels == ["BRADY"]


def test_training_without_labels_or_pages_is_refused(tmp_path: Path) -> None:
    write_record(tmp_path, "r", ["nowhere.png"], labels=["NORM"])
    with pytest.raises(ValueError, match="has 1 records, and none of them"):
        team_code.train_models(str(tmp_path), str(tmp_path / "model"), False)


def test_features_tell_rate_rhythm_and_voltage() -> None:
    rng = np.random.default_rng(0)
    slow, fast = (
        dict(zip(FEATURES, ecg_features(printed(x, 7), FS), strict=True)) for x in ("BRADY", "TACHY")
    )
    assert slow["HR"] < 60 < 100 < fast["HR"]
    irregular = printed_part(generate_ecg(3, fs=FS, rhythm="atrial fibrillation").signals, FS, STANDARD_PAGE)
    assert dict(zip(FEATURES, ecg_features(irregular, FS), strict=True))["rr_cv"] > 3 * slow["rr_cv"]
    low, tall = (
        dict(zip(FEATURES, ecg_features(gain * printed("NORM", 3), FS), strict=True)) for gain in (1, 2)
    )
    for name in ("R_V5", "S_V1", "T_V4", "Q_III", "sokolow_lyon_mv"):
        assert tall[name] == pytest.approx(2 * low[name], rel=0.02)
    assert tall["axis_deg"] == pytest.approx(low["axis_deg"], abs=1)
    nothing = ecg_features(np.full((12, 5000), np.nan), FS)
    assert np.isnan(nothing).all()
    assert ecg_features(rng.normal(0, 0.01, (12, 5000)), FS).shape == (len(FEATURES),)


@pytest.mark.slow
def test_a_classifier_learns_thresholds_and_answers_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team_code, "FOLDS", 2)
    rng = np.random.default_rng(1)
    features = rng.normal(size=(120, len(FEATURES)))
    features[:, 5] = np.nan
    labels = [[*(["CD"] if row[0] > 1.0 else []), *(["PVC"] if row[1] > 0 else ["NORM"])] for row in features]
    classification = team_code.train_classifier(features, labels)
    assert 0 < classification["thresholds"]["CD"] < 1
    right = 0
    for row in rng.normal(size=(20, len(FEATURES))):
        row[5] = np.nan
        labels = team_code.classify(row, classification)
        assert labels
        assert set(labels) <= set(LABELS)
        right += ("CD" in labels) == (row[0] > 1.0) and ("PVC" in labels) == (row[1] > 0)
    assert right >= 16
    with pytest.raises(ValueError, match="must have been trained on these features"):
        team_code.classify(row, {**classification, "features": ("HR",)})


@pytest.mark.slow
def test_real_pages_from_image_to_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ecg_hough.render import render_page

    monkeypatch.setitem(sys.modules, "ecg_hough.pipeline", DIGITIZE)  # no stand-in here
    data, hidden, model = tmp_path / "training", tmp_path / "hidden", tmp_path / "model"
    for k, label in enumerate(("TACHY", "BRADY", "TACHY", "BRADY", "TACHY")):
        ecg = generate_ecg(70 + k, fs=FS, rhythm=RHYTHMS[label])
        # The Challenge's own layout, of those that the renderer draws.
        drawn = (render_page(ecg.signals, FS, seed=seed, profile="clean", dpi=120) for seed in range(8, 100))
        page = next(page for page in drawn if page.layout.name == "3x4+1")
        folder = hidden if k == 4 else data
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f"r{k}-0.png"), page.image[..., ::-1])
        write_record(folder, f"r{k}", [f"r{k}-0.png"], labels=None if k == 4 else [label])
    team_code.train_models(str(data), str(model), True)
    run_harness(hidden, model, tmp_path / "out")
    record = wfdb.rdrecord(str(tmp_path / "out" / "r4"))
    assert np.isfinite(record.p_signal).any(axis=0).sum() >= 10
    assert header_values((tmp_path / "out" / "r4.hea").read_text(), "Labels")
