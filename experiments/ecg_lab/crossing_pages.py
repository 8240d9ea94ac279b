"""Pages whose rows cross, and how many waves of their beats are read wrongly.

In: a number of pages and a seed; then what was read on them. Out: PNGs with their truth; a row for every beat
of every lead. Rows lie 15 to 20 mm apart and their waves are 3 to 6 mV high, so that a third to most of the
beats cross a neighbouring row. Grid, ink and pen are of colours that no training page has.

A wave is wrong where more than a pen's jitter of the read beat lies outside the true course within 10 ms, or
where a beat that was read as a whole does not reach its true peaks. What was not read is not wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d
from scipy.signal import find_peaks

from ecg_hough.paper import LEADS, make_layout
from ecg_hough.render import PageStyle, RenderedPage, render_page, sample_style
from ecg_hough.scores.right_leads import compare_lead
from ecg_lab.benchmark_pages import write_pages
from ecg_lab.right_leads import predicted_pages

if TYPE_CHECKING:
    import pandas as pd

CROSSING_SEED = 3939
BLOCKS = (("3x4", 1), ("6x2", 0), ("12x1", 0), ("3x4", 3), ("6x1-precordial", 0), ("6x2", 1))
CHOICES: dict[str, Sequence[Any]] = {
    "block": BLOCKS,
    "profile": ("clean", "scan", "photo", "worn"),
    "speed_mm_s": (25.0, 25.0, 25.0, 50.0),
    "separator": ("bars", "none", "full", "dotted"),
    "recorded": (True, False),
}
"""Values that are drawn evenly."""
PITCH_MM, WAVES_MV = (15.0, 20.0), (3.0, 6.0)
TALL_SHARE, TALLER_MAX = 0.6, 8.0
"""Share of leads with such waves, and how many times taller than recorded they may become."""
TEAL: dict[str, tuple[int, int, int]] = {
    "paper": (250, 246, 228), "major": (0, 128, 128), "minor": (150, 205, 200),
    "ink": (70, 20, 85), "text_ink": (70, 20, 85),
}  # fmt: skip
"""Colours that training does not draw: a teal grid on ivory, purple ink."""
BEFORE_S, AFTER_S = 0.10, 0.14
"""A beat, round the time at which all leads are steepest."""
BEAT_GAP_S = 0.3
NEAR_S = 0.010
WRONG_SHARE, WRONG_MV = 0.2, 0.25
"""A wave is wrong from this share of the beat's height, and from this many mV."""
READ_SHARE = 0.98
"""Read part of a beat from which it was read as a whole."""
SMALL_MV = 0.05
"""Beats that are lower are not counted."""


def render_crossings(
    out: Path,
    *,
    n: int = 40,
    seed: int = CROSSING_SEED,
    records: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Draw `n` pages into `out`: <stem>.png, <stem>.hea, <stem>.dat and <stem>.truth.json each.

    Args:
        seed: same seed and records, same pages.
        records: WFDB folder, of which half of the pages show the held-out records; None: made-up ECGs only.
        on_progress: called with (pages done, pages in all).
    Returns:
        Paths of the images.
    Raises:
        ValueError: n below 1, or a folder without held-out records.
    """
    from ecg_hough.datasets.rendered import write_rendered

    def write(k: int, seed: int, choice: dict[str, Any], signals: NDArray, fs: int) -> Path:
        page = crossing_page(signals, fs, choice, seed)
        return write_rendered(out, f"{k:04d}_{page.layout.name.replace('+', 'r')}", page)

    return write_pages(out, CHOICES, write, n=n, seed=seed, records=records, on_progress=on_progress)


def crossing_page(signals: NDArray, fs: int, choice: dict[str, Any], seed: int) -> RenderedPage:
    """A page of the given choices whose rows cross.

    Args:
        signals: (12, N) mV at fs, Hz; choice: a value of each of `CHOICES`.
    """
    rng = np.random.default_rng(seed)
    shape, n_rhythm = choice["block"]
    layout = make_layout(shape, rhythm=("V1", "II", "V5")[3 - n_rhythm :] if n_rhythm != 1 else ("II",))
    style = sample_style(rng, choice["profile"], layout=layout, dpi=float(rng.uniform(120, 250)))
    pitch = float(rng.uniform(*PITCH_MM))
    height = pitch * (layout.n_rows + 3.5) + 30.0
    sheet = replace(
        style.sheet,
        size_mm=(max(height, style.sheet.size_mm[0]), style.sheet.size_mm[1]),
        row_pitch_mm=pitch,
        rhythm_pitch_mm=pitch,
        first_row_mm=20.0 + 2.0 * pitch,
        speed_mm_s=choice["speed_mm_s"],
        gain_mm_mv=10.0,
        amplitude=1.0,
        lowpass_hz=None,
        separator=choice["separator"],
        missing=(),
        sequential=True,
        names="above",
        pulse="left",
        footer=True,
        grid="lines",
        grid_block_only=False,
        stroke_mm=float(rng.uniform(0.25, 0.5)),
        ink_alpha=1.0,
        **TEAL,  # type: ignore[arg-type]
    )
    return render_page(_tall(signals, rng), fs, seed=seed, style=_whole(replace(style, sheet=sheet)))


def _whole(style: PageStyle) -> PageStyle:
    """The style without cropped edges: no wave leaves the image."""
    camera = replace(style.camera, margin=max(style.camera.margin, 0.01), keep_size=False)
    return replace(style, camera=camera)


def _tall(signals: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Signals of which many leads have QRS complexes of `WAVES_MV`; other waves grow less."""
    out = signals.copy()
    for k in np.flatnonzero(rng.random(len(out)) < TALL_SHARE):
        off = out[k] - np.nanmedian(out[k])
        peak = float(np.nanquantile(np.abs(off), 0.998))
        times = float(np.clip(rng.uniform(*WAVES_MV) / max(peak, 0.05), 1.0, TALLER_MAX))
        share = np.clip(np.abs(off) / max(peak, 0.05), 0.0, 1.0)
        out[k] += off * (times - 1.0) * share
    return out


def wrong_waves(predictions: Path, truth: Path) -> pd.DataFrame:
    """A row for every beat of every printed lead: page, lead, beat_s, height_mv, read, wrong, status.

    Raises:
        ValueError: a folder is missing, or the truth holds no record.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for page in predicted_pages(predictions, truth):
        beats = beat_times(np.stack([page.true[lead] for lead in LEADS if lead in page.true]), page.fs)
        for lead in page.printed:
            read = page.read.get(lead, np.zeros(0))
            for beat in compare_beats(page.true[lead], read, beats, page.fs):
                rows.append({"page": page.stem.as_posix(), "lead": lead, **beat, "status": page.status(lead)})
    return pd.DataFrame(rows)


def beat_times(signals: NDArray[np.float64], fs: float) -> NDArray[np.float64]:
    """Times, s, at which all leads (n, N) together are steepest."""
    slope = np.nanmean(np.abs(np.diff(signals, axis=1)), axis=0)
    slope = np.convolve(np.nan_to_num(slope), np.ones(round(0.03 * fs)), "same")
    at, _ = find_peaks(slope, height=0.35 * np.quantile(slope, 0.99), distance=round(BEAT_GAP_S * fs))
    return np.asarray(at / fs, float)


def compare_beats(
    reference: NDArray[np.float64], estimate: NDArray[np.float64], beats: NDArray[np.float64], fs: float
) -> list[dict[str, Any]]:
    """Beats of one lead, whose level and best shift in time are taken out.

    Args:
        reference, estimate: mV at fs, NaN where nothing is printed or read; beats: times, s.
    """
    est = np.full(reference.size, np.nan)
    est[: min(est.size, estimate.size)] = estimate[: est.size]
    shift = round(compare_lead(reference, est, fs).start_s * fs)
    est = np.roll(est, -shift)
    both = np.isfinite(reference) & np.isfinite(est)
    if both.any():
        est = est - np.median(est[both] - reference[both])
    near = 2 * round(NEAR_S * fs) + 1
    # What is not printed is no limit.
    high = maximum_filter1d(np.where(np.isfinite(reference), reference, -np.inf), near)
    low = minimum_filter1d(np.where(np.isfinite(reference), reference, np.inf), near)
    out = []
    for beat in beats:
        span = slice(max(0, round((beat - BEFORE_S) * fs)), round((beat + AFTER_S) * fs))
        ref, got = reference[span], est[span]
        if not np.isfinite(ref).all():
            continue
        height = float(np.ptp(ref))
        if height < SMALL_MV:
            continue
        limit = max(WRONG_SHARE * height, WRONG_MV)
        seen = np.isfinite(got)
        off = float(np.maximum(got - high[span], low[span] - got)[seen].max()) if seen.any() else 0.0
        if seen.mean() >= READ_SHARE:
            off = max(off, abs(np.nanmax(got) - ref.max()), abs(np.nanmin(got) - ref.min()))
        out.append(
            {
                "beat_s": float(beat),
                "height_mv": height,
                "read": float(seen.mean()),
                "off_mv": off,
                "wrong": off > limit,
            }
        )
    return out


def summary(beats: pd.DataFrame) -> dict[str, float]:
    """Beats, those with a wrong wave, and the same at status ok."""
    ok = beats["status"] == "ok"
    return {
        "pages": float(beats["page"].nunique()),
        "beats of a lead": float(len(beats)),
        "wrong, %": 100.0 * float(beats["wrong"].mean()),
        "not read as a whole, %": 100.0 * float((beats["read"] < READ_SHARE).mean()),
        "beats at ok": float(ok.sum()),
        "wrong at ok, %": 100.0 * float(beats.loc[ok, "wrong"].mean()) if ok.any() else 0.0,
    }
