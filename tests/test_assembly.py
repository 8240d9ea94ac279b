"""The record's fields: each comes from its stage, and traces are given in pixels of the whole picture."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import ecg_hough
from ecg_hough.assembly import record_of, versions_of
from ecg_hough.elements import Box, Columns, RowTrace, TimeBase, Window
from ecg_hough.networks.runtime import load_network
from ecg_hough.options import CENTROID, SHIPPED
from ecg_hough.page_map import PageMap
from ecg_hough.paper import LEADS, make_layout
from ecg_hough.record import LeadStatus
from ecg_hough.signals.calibrate import Calibrated
from ecg_hough.signals.lead_fusion import LeadResiduals
from ecg_hough.signals.scale import PaperScale

PX_PER_MM = 8.0


def assembled(turns: int):
    """A page of 100 x 200 mm in the lower right part of a picture: one row at 30 mm with a gap."""
    x = np.arange(10.0, 150.0, 0.5)
    y = np.where(x < 20.0, np.nan, 30.0)
    row = RowTrace(0, x, y, np.full(x.size, 0.05), np.ones(x.size))
    windows = (Window("I", 0, 0, False, 10.0, 60.0), Window("V1", 0, 1, False, 60.0, 110.0))
    base = TimeBase(Columns(windows, {0: 0.0, 1: 2.0}, 4.0), make_layout("3x4"), warnings=("base",))
    shape = (1600, 800) if turns % 2 else (800, 1600)
    sheet = SimpleNamespace(
        geometry=SimpleNamespace(angle_deg=1.5, px_per_mm=(8.0, 8.0)),
        turns=turns,
        page_map=PageMap.from_affine(np.array([[PX_PER_MM, 0, 0], [0, PX_PER_MM, 0]]), (100.0, 200.0)),
        part=Box(40, 60, 40 + shape[0], 60 + shape[1]),
        warnings=("sheet",),
    )
    picture = SimpleNamespace(name="a.png", warnings=("picture",), number=3)
    scale = PaperScale(25.0, 10.0, "text", "pulse", 5.0, warnings=("scale",), notes=("gain",))
    signals = np.zeros((12, 2000))
    result = Calibrated(
        signals=signals, fs=500, sd_mv=signals + 0.1, confidence=signals + 0.5,
        statuses=tuple(LeadStatus(lead, True, None, 0.5, 0.0, 4.0) for lead in LEADS),
        windows=windows, duration_s=4.0, residuals=LeadResiduals(0.01, 0.02, 0.03), leads_agree=True,
        warnings=("signals",), agreement=0.8,
    )  # fmt: skip
    return record_of(
        picture, sheet, (row,), base, scale, result, versions={"ecg_hough": "1"}, seconds={"total": 1.0}
    )


def test_fields_come_from_their_stages() -> None:
    ecg = assembled(0)
    assert ecg.warnings == ("picture", "sheet", "scale", "base", "signals")
    assert (ecg.source, ecg.angle_deg, ecg.quarter_turns) == ("a.png", 1.5, 0)
    assert (ecg.source_kind, ecg.pages) == ("picture", (3,))
    assert (ecg.layout, ecg.columns) == ("3x4", "sequential")
    assert (ecg.speed_mm_s, ecg.speed_from, ecg.gain_mm_mv, ecg.gain_from) == (25.0, "text", 10.0, "pulse")
    assert (ecg.einthoven_mv, ecg.goldberger_mv, ecg.repeat_mv, ecg.leads_agree) == (0.01, 0.02, 0.03, True)
    assert ecg.quality == pytest.approx(0.4)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_traces_are_in_pixels_of_the_picture_as_given(turns: int) -> None:
    trace, other = assembled(turns).traces
    assert (trace.lead, other.lead, trace.rhythm) == ("I", "V1", False)
    assert np.isnan(trace.points[:20]).all()
    upright = np.array([30.0, 25.0]) * PX_PER_MM  # row and column of the point at 25 mm
    expected = {
        0: upright,
        1: np.array([1600 - 1 - upright[1], upright[0]]),
        2: np.array([800 - 1 - upright[0], 1600 - 1 - upright[1]]),
        3: np.array([upright[1], 800 - 1 - upright[0]]),
    }[turns]
    assert trace.points[30] == pytest.approx(expected + np.array([40, 60]))


def test_versions_name_the_networks_that_are_used() -> None:
    assert versions_of(SHIPPED) == {
        "ecg_hough": ecg_hough.__version__,
        **{name: load_network(name).version for name in ("leads", "words", "traces", "marks")},
    }
    assert set(versions_of(CENTROID)) == {"ecg_hough", "leads", "words"}
