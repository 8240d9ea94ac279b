"""How well intervals are measured: generated ECGs with known waves enter, errors of each way leave.

The package's own way looks at all leads together (`measure.waves`). The others are NeuroKit2's delineators of
single leads (Makowski et al. 2021, Behav Res Methods 53:1689) on the same median beats, a wave beginning with
the earliest quarter of the leads and ending with the latest. The records are seen whole (12x1), as a 3x4 page
with a rhythm strip shows them, without the strip, and read back from rendered pages.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.clinical import Measurement
from ecg_hough.errors import PageError
from ecg_hough.measure.beats import MedianBeats, median_beats
from ecg_hough.measure.measured import measure
from ecg_hough.measure.waves import Waves
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS, make_layout
from ecg_hough.record import LeadStatus
from ecg_hough.render.ecg_model import GeneratedEcg, generate_ecg
from ecg_lab.published import RESULTS, results_path

if TYPE_CHECKING:
    from rich.table import Table

log = logging.getLogger(__name__)

PUBLISHED = RESULTS / "delineators.json"
RHYTHMS = (
    "sinus rhythm", "sinus bradycardia", "sinus tachycardia", "first-degree AV block",
    "right bundle branch block", "left bundle branch block", "sinus arrhythmia",
    "premature ventricular complexes",
)  # fmt: skip
"""Drawn in turn: rhythms with one P wave and one QRS a beat."""
INTERVALS = ("HR", "PR", "QRS", "QT")
NEUROKIT = ("dwt", "prominence")
VIEWS = ("12x1", "3x4+1", "3x4")
SD_MV = 0.01
"""Expected error that is stated for records that were not read from a page."""
REPEATS, QUANTILE = 5, 0.25
INSIDE_S = 0.6
OnProgress = Callable[[int, int], Any]


def truth_of(generated: GeneratedEcg) -> dict[str, float]:
    """True values (1/min, ms) of a record: medians over the beats that it shows whole."""
    waves = generated.waves
    if waves is None:
        return {}
    seconds = generated.signals.shape[1] / generated.fs
    inside = (waves.r > INSIDE_S) & (waves.r < seconds - INSIDE_S)
    spans = {
        "PR": waves.qrs_on - waves.p_on,
        "QRS": waves.qrs_end - waves.qrs_on,
        "QT": waves.t_end - waves.qrs_on,
    }
    return {"HR": generated.heart_rate_bpm} | {
        name: 1000.0 * float(np.nanmedian(span[inside])) for name, span in spans.items()
    }


def as_shown(signals: NDArray[np.float64], view: str) -> NDArray[np.float64]:
    """What a page of a layout shows of 10 s, columns one after the other."""
    if view == "12x1":
        return signals
    shown, quarter = np.full(signals.shape, np.nan), signals.shape[1] // 4
    for k in range(len(LEADS)):
        part = slice(k // 3 * quarter, (k // 3 + 1) * quarter)
        shown[k, part] = signals[k, part]
    if view == "3x4+1":
        shown[LEADS.index("II")] = signals[LEADS.index("II")]
    return shown


def neurokit_waves(median: MedianBeats, method: str) -> Waves:
    """Waves of a median beat by NeuroKit2's delineator of single leads.

    Raises:
        ModuleNotFoundError: NeuroKit2 is not installed.
    """
    found = [
        _neurokit_lead(beat, median.r, median.fs, method)
        for beat in median.beats
        if np.isfinite(beat).all() and np.ptp(beat) > 0
    ]
    each = np.stack(found) if found else np.full((1, 5), np.nan)
    ends = []
    for k, quantile in enumerate((QUANTILE, 1 - QUANTILE, QUANTILE, 1 - QUANTILE, 1 - QUANTILE)):
        known = each[np.isfinite(each[:, k]), k]
        ends.append(float(np.quantile(known, quantile)) if known.size else float("nan"))
    return Waves(*ends)


def _neurokit_lead(beat: NDArray[np.float64], r: int, fs: int, method: str) -> NDArray[np.float64]:
    """Onset and end of P, of QRS, and end of T (5,) in samples of the beat; NaN where it finds none."""
    import neurokit2

    first, last = beat[:5].mean(), beat[-5:].mean()
    strip = np.tile(beat - first - (last - first) * np.linspace(0.0, 1.0, beat.size), REPEATS)
    peaks = r + beat.size * np.arange(REPEATS)
    names = ("ECG_P_Onsets", "ECG_P_Offsets", "ECG_R_Onsets", "ECG_R_Offsets", "ECG_T_Offsets")
    out = np.full(len(names), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of every wave that it does not find
        try:
            clean = neurokit2.ecg_clean(strip, sampling_rate=fs)
            waves = neurokit2.ecg_delineate(clean, peaks, sampling_rate=fs, method=method)[1]
        except (ValueError, IndexError, KeyError, ZeroDivisionError, TypeError) as error:
            log.info("no waves: %s", error)
            return out
        for k, name in enumerate(names):
            values = np.asarray(waves.get(name, ()), np.float64)
            if values.size == REPEATS and np.isfinite(values[1:-1]).any():
                out[k] = float(np.nanmedian((values - peaks)[1:-1])) + r
    return out


def check_delineators(
    n: int, *, pages: int = 0, seed: int = 0, on_progress: OnProgress = lambda done, total: None
) -> dict[str, Any]:
    """Errors of every way to measure on `n` generated records, and of ours on `pages` rendered ones.

    Returns:
        Counts and seeds, and under "errors" a row for every way, view and interval.

    Raises:
        ModuleNotFoundError: NeuroKit2 is not installed.
    """
    errors: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for k in range(n):
        generated = generate_ecg(seed + k, rhythm=RHYTHMS[k % len(RHYTHMS)])
        truth = truth_of(generated)
        views = {view: _record(as_shown(generated.signals, view), generated.fs) for view in VIEWS}
        if k < pages and (read := _read_back(generated, seed + k)) is not None:
            views["rendered 3x4+1"] = read
        for view, record in views.items():
            found = {("ours", one.name): one for one in measure(record) if one.lead is None}
            if view in VIEWS:
                found |= _by_neurokit(record)
            for way in ("ours", *NEUROKIT) if view in VIEWS else ("ours",):
                for name in INTERVALS if way == "ours" else INTERVALS[1:]:
                    one = found.get((way, name))
                    pair = (np.nan, np.nan) if one is None else (one.value - truth[name], one.sd)
                    errors.setdefault((way, view, name), []).append(pair)
        on_progress(k + 1, n)
    rows = [_row(key, np.array(pairs)) for key, pairs in errors.items()]
    return {"records": n, "pages": pages, "seed": seed, "errors": rows}


def _by_neurokit(record: Ecg) -> dict[tuple[str, str], Measurement]:
    signals, sd_mv = record.signals.astype(np.float64), record.sd_mv.astype(np.float64)
    median = median_beats(signals, sd_mv, record.fs)
    found: dict[tuple[str, str], Measurement] = {}
    if median is None:
        return found
    for method in NEUROKIT:
        waves, ms = neurokit_waves(median, method), 1000.0 / record.fs
        for name, span in (
            ("PR", waves.qrs_on - waves.p_on),
            ("QRS", waves.qrs_end - waves.qrs_on),
            ("QT", waves.t_end - waves.qrs_on),
        ):
            if np.isfinite(span):
                found[method, name] = Measurement(name, span * ms, "ms")
    return found


def _row(key: tuple[str, str, str], pairs: NDArray[np.float64]) -> dict[str, Any]:
    known = pairs[np.isfinite(pairs[:, 0])]
    error = known[:, 0]
    median = float(np.median(error)) if error.size else float("nan")
    row: dict[str, Any] = dict(zip(("way", "view", "interval"), key, strict=True))
    row |= {"records": len(pairs), "measured": len(known)}
    if error.size:
        row["median_error"] = round(median, 1)
        row["spread"] = round(1.4826 * float(np.median(np.abs(error - median))), 1)
        row["p90_abs_error"] = round(float(np.quantile(np.abs(error), 0.9)), 1)
        if np.isfinite(known[:, 1]).all():
            row["within_2_sd"] = round(float(np.mean(np.abs(error) <= 2 * known[:, 1])), 3)
    return row


def _record(signals: NDArray[np.float64], fs: int) -> Ecg:
    known = np.isfinite(signals)
    return Ecg(
        signals=signals, fs=fs, confidence=known.astype(float), sd_mv=np.where(known, SD_MV, np.nan),
        lead_status=tuple(LeadStatus(lead, True) for lead in LEADS), angle_deg=0.0, quarter_turns=0,
        px_per_mm=None, layout="unknown", speed_mm_s=25.0, gain_mm_mv=10.0, warnings=(), traces=(),
        quality=1.0, versions={}, seconds={}, source="generated",
    )  # fmt: skip


def _read_back(generated: GeneratedEcg, seed: int) -> Ecg | None:
    """The record as read from a rendered page; None where the page cannot be read."""
    from ecg_hough.pipeline import digitize
    from ecg_hough.render.page import render_page
    from ecg_hough.render.style import sample_style

    style = sample_style(np.random.default_rng(seed), "scan", layout=make_layout("3x4", rhythm=("II",)))
    sheet = replace(style.sheet, speed_mm_s=25.0, sequential=True, amplitude=1.0, missing=())
    page = render_page(generated.signals, generated.fs, seed=seed, style=replace(style, sheet=sheet))
    try:
        return digitize(page.image)
    except PageError as error:
        log.info("page %d: %s", seed, error)
        return None


def default_results(n: int, pages: int, seed: int) -> Path:
    """Where the figures go if no place is named: over the published ones only with all of their records."""

    def covers(published: Path) -> bool:
        figures = json.loads(published.read_text(encoding="utf-8"))
        return bool(seed == figures["seed"] and n >= figures["records"] and pages >= figures["pages"])

    return results_path(PUBLISHED, covers)


def summary_table(figures: dict[str, Any]) -> Table:
    """The errors as a rich table."""
    from rich.table import Table

    table = Table(title="Measured - true: median, spread (1.48 MAD), 90 % of the errors below")
    for heading in ("way", "view", "interval"):
        table.add_column(heading)
    for heading in ("measured", "median", "spread", "90 %", "within 2 sd"):
        table.add_column(heading, justify="right")
    for row in figures["errors"]:
        names = ("median_error", "spread", "p90_abs_error", "within_2_sd")
        values = [str(row.get(name, "-")) for name in names]
        table.add_row(
            row["way"], row["view"], row["interval"], f"{row['measured']}/{row['records']}", *values
        )
    return table
