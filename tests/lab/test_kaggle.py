"""The Kaggle entry on contest folders made here, with a stand-in for the digitiser; one real run is slow."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from ecg_hough.image.reading import read_page
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS
from ecg_hough.render.ecg_model import generate_ecg
from ecg_lab.cli import app
from ecg_lab.kaggle import Pace, check_submission, lead_values, score_train, submit
from made_up_ecg import as_printed, made_up_ecg, write_page_image

pa = pytest.importorskip("pyarrow", reason="needs the kaggle extra")
pq = pytest.importorskip("pyarrow.parquet")

TEST_FS = {"1001": 250, "2002": 1025, "3003": 250}
TRAIN_FS = 250


def run(*arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    return result.output


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def rows_of(lead: str, fs: int) -> int:
    return 10 * fs if lead == "II" else fs * 5 // 2


def required(pages: dict[str, int]) -> list[str]:
    return [f"{p}_{k}_{lead}" for p, fs in pages.items() for lead in LEADS for k in range(rows_of(lead, fs))]


def full_signals(fs: int, seed: int = 3) -> NDArray[np.float64]:
    return generate_ecg(seed, fs=fs).signals[:, : 10 * fs]


@pytest.fixture
def contest(tmp_path: Path) -> Path:
    """Three test pages at two sampling frequencies, and a train record with two types."""
    data = tmp_path / "contest"
    write_csv(
        data / "test.csv",
        [
            {"id": page, "lead": lead, "fs": fs, "number_of_rows": rows_of(lead, fs)}
            for page, fs in TEST_FS.items()
            for lead in LEADS
        ],
    )
    for k, page in enumerate(TEST_FS):
        write_page_image(data / "test" / f"{page}.png", seed=k)
    write_csv(data / "train.csv", [{"id": "77", "fs": TRAIN_FS, "sig_len": 10 * TRAIN_FS}])
    table = as_printed(full_signals(TRAIN_FS)).T
    rows = [
        {lead: "" if np.isnan(v) else repr(float(v)) for lead, v in zip(LEADS, r, strict=True)} for r in table
    ]
    write_csv(data / "train" / "77" / "77.csv", rows)
    for k, kind in enumerate(("0001", "0005")):
        write_page_image(data / "train" / "77" / f"77-{kind}.png", seed=10 + k)
    return data


@pytest.fixture
def digitised(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """A stand-in that answers with the truth; page 3003 fails, 77-0005 is half as high as it should be."""
    calls: list[tuple[str, int]] = []

    def digitize(page: Any, number: int = 1, *, fs: int = 500, **options: Any) -> Ecg:
        name = Path(read_page(page).name).stem
        calls.append((name, fs))
        if name == "3003":
            raise RuntimeError("a bug")
        ecg = made_up_ecg(fs, seconds=10.0, source=f"{name}.png")
        gain = 0.5 if name == "77-0005" else 1.0
        signals = gain * as_printed(full_signals(fs))
        if name == "1001":
            signals[5] = np.nan  # aVF not read
            signals[1, 100:120] = np.nan  # a gap in II
        return Ecg(**{**vars(ecg), "signals": signals})

    module = ModuleType("ecg_hough.pipeline")
    module.digitize = digitize  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ecg_hough.pipeline", module)
    return calls


def read_submission(path: Path) -> dict[str, float]:
    table = pq.read_table(path).to_pydict()
    return dict(zip(table["id"], table["value"], strict=True))


def test_a_submission_has_exactly_the_rows_asked_for(
    contest: Path, tmp_path: Path, digitised: list[tuple[str, int]]
) -> None:
    out = tmp_path / "submission.parquet"
    result = submit(contest, out)
    table = pq.read_table(out)
    assert table.column("id").to_pylist() == required(TEST_FS)
    assert table.schema.field("value").type == pa.float64()
    assert result.rows == table.num_rows == 2 * (2500 + 11 * 625) + 10250 + 11 * 2562
    assert sorted(digitised) == [("1001", 250), ("2002", 1025), ("3003", 250)]
    assert check_submission(out, contest).problems == ()
    values = read_submission(out)
    truth = full_signals(1025)
    # V4 is in the fourth column: its first row is the sample at 7.5 s.
    assert values["2002_0_V4"] == pytest.approx(truth[9, int(7.5 * 1025)], abs=0.001)
    assert values["2002_2561_aVR"] == pytest.approx(truth[3, int(2.5 * 1025) + 2561], abs=0.001)
    assert values["2002_10249_II"] == pytest.approx(truth[1, 10249], abs=0.001)


def test_failures_and_gaps_are_filled_and_told(
    contest: Path, tmp_path: Path, digitised: list[tuple[str, int]]
) -> None:
    out = tmp_path / "submission.parquet"
    result = submit(contest, out)
    assert list(result.failed) == ["3003"]
    assert "a bug" in result.failed["3003"]
    assert result.missing_leads == {"1001": ("aVF",)}
    values = read_submission(out)
    assert not any(value for name, value in values.items() if name.startswith("3003_"))
    assert not any(values[f"1001_{k}_aVF"] for k in range(625))
    truth = full_signals(250)[1]
    bridge = np.interp(np.arange(100, 120), [99, 120], truth[[99, 120]])
    np.testing.assert_allclose([values[f"1001_{k}_II"] for k in range(100, 120)], bridge, atol=0.001)


def test_a_missing_image_is_a_failed_page(
    contest: Path, tmp_path: Path, digitised: list[tuple[str, int]]
) -> None:
    (contest / "test" / "1001.png").unlink()
    result = submit(contest, tmp_path / "s.parquet")
    assert set(result.failed) == {"1001", "3003"}
    assert check_submission(tmp_path / "s.parquet", contest).problems == ()


def test_a_stopped_run_goes_on(contest: Path, tmp_path: Path, digitised: list[tuple[str, int]]) -> None:
    out = tmp_path / "s.parquet"
    submit(contest, out)
    first = out.read_bytes()
    out.unlink()
    digitised.clear()
    paces: list[Pace] = []
    submit(contest, out, on_page=lambda _, pace: paces.append(pace))
    assert digitised == [("3003", 250)]  # only what failed is tried again
    assert out.read_bytes() == first
    assert (paces[-1].done, paces[-1].remaining) == (1, 0)


def test_rows_follow_the_sample_submission(
    contest: Path, tmp_path: Path, digitised: list[tuple[str, int]]
) -> None:
    ids = sorted(required(TEST_FS))
    pq.write_table(pa.table({"id": ids, "value": np.zeros(len(ids))}), contest / "sample_submission.parquet")
    out = tmp_path / "s.parquet"
    submit(contest, out)
    assert pq.read_table(out).column("id").to_pylist() == ids
    assert check_submission(out, contest) == check_submission(out, contest)
    assert check_submission(out, contest).problems == ()
    values = read_submission(out)
    assert values["2002_0_V4"] == pytest.approx(full_signals(1025)[9, int(7.5 * 1025)], abs=0.001)


def test_a_sample_that_asks_for_other_rows_is_refused(
    contest: Path, tmp_path: Path, digitised: list[tuple[str, int]]
) -> None:
    pq.write_table(pa.table({"id": ["1001_625_I"], "value": [0.0]}), contest / "sample_submission.parquet")
    with pytest.raises(ValueError, match=r"must ask for rows of test\.csv only; got id '1001_625_I'"):
        submit(contest, tmp_path / "s.parquet")
    assert {path.name for path in tmp_path.iterdir()} == {"contest", "s.parquet.pages"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda ids, v: (ids[:-1], v[:-1]), "lacks 3003_624_V6"),
        (lambda ids, v: ([*ids, "9_0_I"], [*v, 0.0]), "has 9_0_I"),
        (lambda ids, v: ([*ids, ids[0]], [*v, 0.0]), "has again 1001_0_I"),
        (lambda ids, v: (ids, [*v[:-1], float("nan")]), "1 are not, the first of 3003_624_V6"),
        (lambda ids, v: (ids, [float("inf"), *v[1:]]), "1 are not, the first of 1001_0_I"),
    ],
)
def test_a_check_tells_what_is_wrong(contest: Path, tmp_path: Path, change: Any, problem: str) -> None:
    ids, values = change(required(TEST_FS), [0.1] * len(required(TEST_FS)))
    path = tmp_path / "s.parquet"
    pq.write_table(pa.table({"id": ids, "value": values}), path)
    (found,) = check_submission(path, contest).problems
    assert problem in found


def test_a_check_of_columns_types_and_order(contest: Path, tmp_path: Path) -> None:
    ids, path = required(TEST_FS), tmp_path / "s.parquet"
    pq.write_table(pa.table({"id": ids, "mv": [0.1] * len(ids)}), path)
    assert "columns must be id, value; got id, mv" in check_submission(path, contest).problems[0]
    pq.write_table(pa.table({"id": ids, "value": ["0"] * len(ids)}), path)
    assert "must be a floating number; got string" in check_submission(path, contest).problems[0]
    pq.write_table(pa.table({"id": ids[::-1], "value": [30.0] + [0.0] * (len(ids) - 1)}), path)
    check = check_submission(path, contest)
    assert check.problems == ()
    assert check.notes == (
        "the rows are in another order than the contest's",
        "1 values are above 20 mV, the first of 3003_624_V6",
    )
    path.write_text("no parquet")
    assert "must be Parquet" in check_submission(path, contest).problems[0]


@pytest.mark.parametrize("fs", [250, 256, 500, 512, 1000, 1025])
def test_leads_have_their_rows_at_every_sampling_frequency(fs: int) -> None:
    shown = as_printed(np.tile(np.arange(10.0 * fs), (12, 1)))
    for k, lead in enumerate(LEADS):
        values = lead_values(shown[k], fs, lead, rows_of(lead, fs))
        assert values is not None
        assert values.size == (10 * fs if lead == "II" else int(2.5 * fs))
        assert values[0] == (0 if lead == "II" else int(k // 3 * 2.5 * fs))
        assert np.isfinite(values).all()


def test_a_lead_in_the_wrong_column_is_still_found() -> None:
    signal = np.full(2500, np.nan)
    signal[:600] = np.arange(600.0)  # V1 belongs to the third column
    values = lead_values(signal, 250, "V1", 625)
    assert values is not None
    np.testing.assert_array_equal(values, np.minimum(np.arange(625.0), 599.0))
    assert lead_values(np.full(2500, np.nan), 250, "V1", 625) is None


def test_train_pages_are_scored_under_both_caps(
    contest: Path, tmp_path: Path, digitised: list[tuple[str, int]]
) -> None:
    score = score_train(contest, tmp_path / "work")
    ratio = {row["type"]: row["ratio"] for row in score.pages}
    # The stand-in is exact to the record's step of 1 µV, and half as high on the other page.
    assert ratio["rendered"] > 384
    assert score.figures["rendered"]["cap_384_db"] == pytest.approx(10 * np.log10(384))
    assert score.figures["rendered"]["cap_1e6_db"] > 40
    # Half the amplitude leaves a quarter of the power as noise, less what the best offset takes away.
    assert 4.0 <= ratio["phone photo"] < 6.0
    assert score.figures["all"]["pages"] == 2
    only = score_train(contest, tmp_path / "work", types=["0005"])
    assert [row["page"] for row in only.pages] == ["77-0005"]


def test_a_broken_truth_is_left_out(
    contest: Path, tmp_path: Path, digitised: list[tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    (contest / "train" / "88").mkdir()
    write_page_image(contest / "train" / "88" / "88-0001.png")
    with (contest / "train.csv").open("a") as file:
        file.write("88,500,5000\n")
    score = score_train(contest, tmp_path / "work")
    assert {row["page"] for row in score.pages} == {"77-0001", "77-0005"}
    assert "88-0001 is omitted: table must hold" in caplog.text


def test_pace_says_whether_the_limit_holds() -> None:
    pace = Pace(done=100, remaining=900, seconds=360.0)
    assert pace.pages_per_hour == pytest.approx(1000)
    assert pace.expected_h == pytest.approx(1.0)
    assert "within the limit of 9 h" in str(pace)
    assert "BEYOND the limit" in str(Pace(done=10, remaining=990, seconds=360.0))
    assert str(Pace(0, 5, 1.0)) == "no page done yet, 5 to do"


def test_commands(contest: Path, tmp_path: Path, digitised: list[tuple[str, int]]) -> None:
    out = tmp_path / "submission.parquet"
    printed = run("kaggle-submit", contest, "-o", out, "--check", status=1)
    assert "3003: internal" in printed
    assert "pages/h" in printed
    assert "aVF" in printed
    assert "as the contest asks" in printed
    assert "as the contest asks" in run("kaggle-check", out, contest)
    pq.write_table(pa.table({"id": ["1"], "value": [0.0]}), out)
    assert "lacks" in run("kaggle-check", out, contest, status=1)
    scored = run("kaggle-score", contest, "--work", tmp_path / "work", "-o", tmp_path / "scores.json")
    assert "phone photo" in scored
    assert (tmp_path / "scores.json").is_file()


@pytest.mark.slow
def test_a_real_page_from_image_to_score(tmp_path: Path) -> None:
    from ecg_hough.render import render_page

    signals = generate_ecg(5, fs=500).signals[:, :5000]
    for seed in range(50):  # the contest's layout, upright and clean
        page = render_page(signals, 500, seed=seed, profile="clean", dpi=150)
        if (
            page.layout.name == "3x4+1"
            and page.layout.rhythm == ("II",)
            and page.style["sheet"]["sequential"]
        ):
            break
    data = tmp_path / "contest"
    (data / "train" / "1").mkdir(parents=True)
    cv2.imwrite(str(data / "train" / "1" / "1-0001.png"), page.image[..., ::-1])
    write_csv(data / "train.csv", [{"id": "1", "fs": 500, "sig_len": 5000}])
    rows = [
        {lead: "" if np.isnan(v) else repr(float(v)) for lead, v in zip(LEADS, r, strict=True)}
        for r in page.signals.T
    ]
    write_csv(data / "train" / "1" / "1.csv", rows)
    score = score_train(data, tmp_path / "work")
    assert score.figures["all"]["cap_1e6_db"] > 10
