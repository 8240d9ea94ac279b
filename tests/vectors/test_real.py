"""Real vector PDFs against their own vertices, read here without the package; skipped where they are not."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pypdfium2
import pypdfium2.raw as raw
import pytest
from numpy.typing import NDArray

from ecg_hough import digitize
from ecg_hough.document import read_document
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS
from places import SHARED

REAL = SHARED / "real" / "vector"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="no development data")
MM_PT = 72 / 25.4


def paths(path: Path, page: int) -> list[NDArray[np.float64]]:
    """(n, 2) x and y in points of every path of a page."""
    document, out = pypdfium2.PdfDocument(path), []
    held = document[page]
    for k in range(raw.FPDFPage_CountObjects(held.raw)):
        item = raw.FPDFPage_GetObject(held.raw, k)
        if raw.FPDFPageObj_GetType(item) != raw.FPDF_PAGEOBJ_PATH:
            continue
        m, x, y = raw.FS_MATRIX(), ctypes.c_float(), ctypes.c_float()
        raw.FPDFPageObj_GetMatrix(item, m)
        points = []
        for i in range(raw.FPDFPath_CountSegments(item)):
            raw.FPDFPathSegment_GetPoint(raw.FPDFPath_GetPathSegment(item, i), x, y)
            points.append((m.a * x.value + m.c * y.value + m.e, m.b * x.value + m.d * y.value + m.f))
        out.append(np.array(points))
    return out


def error_uv(ecg: Ecg, lead: str, time_s: NDArray[np.float64], mv: NDArray[np.float64]) -> float:
    """Root mean square error at the vertices, the better of shifts up to 2 ms; no offset is taken out."""
    signal = ecg.signals[LEADS.index(lead)]
    known = np.flatnonzero(np.isfinite(signal))
    out = []
    for shift in np.arange(-0.002, 0.0021, 0.0005):
        at = time_s + shift
        inside = (at >= known[0] / ecg.fs - 1e-6) & (at <= known[-1] / ecg.fs + 1e-6)
        assert inside.mean() > 0.99
        seen = np.interp(at[inside], known / ecg.fs, signal[known])
        out.append(float(np.sqrt(np.mean((seen - mv[inside]) ** 2))))
    return 1e3 * min(out)


def test_muse() -> None:
    """15 traces of 2 ms and 4.9 µV a step; a row's zero line is its pulse's foot."""
    path = REAL / "muse_fictitious.pdf"
    ecg = digitize(path)
    assert (ecg.source_kind, ecg.layout, ecg.warnings) == ("vector", "3x4+3", ())
    drawn = paths(path, 0)
    feet = [p[0, 0] for p in drawn if len(p) == 60]
    traces = [p for p in drawn if len(p) > 1000]
    # On the page turned by 90 degrees x runs downwards and y to the right.
    for lead, trace in zip((*LEADS, "V1", "II", "V5"), traces, strict=True):
        foot = min(feet, key=lambda x: abs(x - np.median(trace[:, 0])))
        time_s = (trace[:, 1] - traces[0][0, 1]) / (25 * MM_PT)
        assert error_uv(ecg, lead, time_s, (foot - trace[:, 0]) / (10 * MM_PT)) < 5.0, lead
    assert np.nanmax(ecg.sd_mv) < 0.005


def test_cardiosoft() -> None:
    """Limb leads on page 1, chest leads on page 2, 50 mm/s, one pulse; names, as rows, are 61.2 pt apart."""
    path = REAL / "cardiosoft_test_2_pages.pdf"
    (both,) = read_document(path, lambda number: digitize(path, number))
    ecg = both.ecg
    assert ecg is not None
    assert (both.pages, ecg.source_kind, ecg.speed_mm_s, ecg.warnings) == ((1, 2), "vector", 50.0, ())
    for page in (0, 1):
        drawn = paths(path, page)
        foot = min(p[0, 1] for p in drawn if len(p) == 2 and 70 < p[0, 1] < 90)
        for k, trace in enumerate(p for p in drawn if len(p) > 500):
            time_s = (trace[:, 0] - trace[0, 0]) / (50 * MM_PT)
            mv = (trace[:, 1] - foot - 61.2 * (5 - k)) / (10 * MM_PT)
            assert error_uv(ecg, LEADS[6 * page + k], time_s, mv) < 10.0


def test_dicom_ecg_plot() -> None:
    """A path a row, through four columns; its squares are 14.17 by 14.18 pt."""
    path = REAL / "dicom_ecg_plot_3x4_1.pdf"
    ecg = digitize(path)
    assert (ecg.source_kind, ecg.layout) == ("vector", "3x4+1")
    drawn = paths(path, 0)
    rows = [p for p in drawn if len(p) > 1000]
    columns = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
    for row, leads in zip(rows[:3], columns, strict=True):
        time_s = (row[:, 0] - row[0, 0]) / (708.484 / 10)
        for k, lead in enumerate(leads):
            signal = ecg.signals[LEADS.index(lead)]
            at = np.arange(round((2.5 * k + 0.1) * 500), round((2.5 * k + 2.4) * 500))
            fits = []
            for shift in np.arange(-0.004, 0.0041, 0.0005):
                drawn_mv = np.interp(at / 500 + shift, time_s, row[:, 1]) / (2 * 14.177)
                slope, offset = np.polyfit(drawn_mv, signal[at], 1)
                fits.append((float(np.std(signal[at] - slope * drawn_mv - offset)), slope, shift))
            _, slope, shift = min(fits)
            assert abs(slope - 1) < 0.01, lead
            assert abs(shift) <= 0.002, lead
