"""Lengths on which the odds of 50 mm/s are fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.training import speed_fit
from ecg_hough.training.speed_fit import lengths_on_paper


def test_a_record_is_laid_on_paper_at_both_speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    ecg = generate_ecg(3)
    monkeypatch.setattr(speed_fit, "read_signals", lambda stem: (ecg.signals, ecg.fs))
    lengths, fifty = lengths_on_paper([Path("a")], columns=(1, 2))
    assert lengths.shape == (4, 3)
    np.testing.assert_array_equal(fifty, [False, False, True, True])
    # Steep places are twice as wide and frequencies half as high at twice the speed; these are logarithms.
    change = lengths[fifty].mean(axis=0) - lengths[~fifty].mean(axis=0)
    assert change[0] == pytest.approx(-np.log(2), abs=0.35)
    assert change[2] == pytest.approx(np.log(2), abs=0.35)
