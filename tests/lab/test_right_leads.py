import numpy as np
import pytest
from typer.testing import CliRunner

from ecg_hough.scores.right_leads import compare_lead
from ecg_lab.cli.app import app
from made_up_ecg import made_up_ecg

FS = 500


@pytest.fixture
def lead():
    signal = made_up_ecg(FS).signals[1].copy()
    assert np.isfinite(signal).any()
    return signal


def test_an_offset_is_no_error_and_noise_is(lead):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1 * np.sqrt(np.nanmean(lead**2)), lead.size)
    found = compare_lead(lead, lead + 0.3 + noise, FS)
    assert found.free_snr_db == pytest.approx(20.0, abs=0.5)
    assert abs(found.start_s) < 0.001
    assert not found.is_wrong


@pytest.mark.parametrize("late", [-40, 7, 60])
def test_a_shift_is_found_and_counts_from_20_ms_on(lead, late):
    moved = np.full(lead.size, np.nan)
    finite = np.flatnonzero(np.isfinite(lead))
    at = finite[(finite + late >= 0) & (finite + late < lead.size)]
    moved[at + late] = lead[at]
    found = compare_lead(lead, moved, FS)
    assert found.start_s == pytest.approx(late / FS, abs=1e-3)
    assert found.aligned_snr_db > found.free_snr_db + 10.0
    assert found.is_wrong == (abs(late) > 10)


def test_a_wrong_gain_and_a_missing_lead_are_wrong(lead):
    assert compare_lead(lead, 0.5 * lead, FS).gain == pytest.approx(0.5, abs=0.01)
    assert compare_lead(lead, 0.9 * lead, FS).is_wrong
    assert not compare_lead(lead, 0.95 * lead, FS).is_wrong
    missing = compare_lead(lead, np.zeros(0), FS)
    assert missing.free_snr_db == 0.0
    assert missing.is_wrong


def test_folders_are_compared_on_the_command_line(tmp_path):
    ecg = made_up_ecg(FS)
    for folder in ("out", "truth"):
        (tmp_path / folder).mkdir()
        ecg.to_wfdb(tmp_path / folder, "a")
    ecg.to_json(tmp_path / "out" / "a.json")
    table = tmp_path / "leads.csv"
    result = CliRunner().invoke(
        app, ["right-leads", str(tmp_path / "out"), str(tmp_path / "truth"), "-o", str(table)]
    )
    assert result.exit_code == 0, result.output
    assert "wrong leads: 0" in result.output
    assert len(table.read_text().splitlines()) == 12
