"""How far every lead can be trusted: the probability that its name, time, gain and shape are right.

In: the results of all stages. Out: the leads' statuses with their probability. A lead is right if all of
four things are: the page's layout, its time, the gain of its group of leads, and the lead's own shape. Each
has a logistic model, which weighs what the stages measured on the way, from the margins of their decisions to
the agreement of beats; the probabilities are multiplied. They were fitted on rendered pages of many styles
(`ecg-lab fit-trust`), none of them of a renderer that they are tested on. A lead whose probability is below
the limit is one that a person must check.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d
from scipy.signal import find_peaks
from scipy.special import expit, logit

from ecg_hough.elements import PulsePlace, RowTrace, TimeBase, Window
from ecg_hough.layout.sheet import Sheet
from ecg_hough.layout.view import SURE_WORD
from ecg_hough.networks.runtime import TRUST_NAME, WEIGHTS, weights_file
from ecg_hough.page_map import PageMap
from ecg_hough.paper import LEADS
from ecg_hough.record import LeadStatus
from ecg_hough.signals.calibrate import PEN_MM, Calibrated
from ecg_hough.signals.choose_layout import ChosenLayout
from ecg_hough.signals.scale import PaperScale
from ecg_hough.traces.ink import is_ink
from ecg_hough.traces.rows import Rows

LEADS_MODEL, PAGE_MODEL = WEIGHTS / TRUST_NAME, WEIGHTS / "is_ecg.json"
"""Of a lead that it is right, and of a page that it is a 12-lead ECG."""
MEET_MM = 2.0
"""Two rows read within this distance of each other meet: about a name's height."""
NAME_BEFORE_MM = 15.0
"""Farthest that a lead's name is printed before its panel, as in a margin or above a pulse."""
MANY = 100
"""Samples from which a lead's slopes have a distribution."""
BEYOND_MM, BEYOND_STEP_MM, LOCAL_MM, OTHERS_MM = 4.0, 0.25, 0.4, 0.8
"""How far beyond a trace ink is followed, in steps; half the width over which a trace covers its ink;
distance at which ink belongs to another row."""
TALL_MM, TOP_MM = 3.0, (0.25, 1.5)
"""Height of a wave whose top is looked at; depths below it at which its widths are compared."""
BORDER_MM = 3.0
"""Distance from the picture's border at which a panel's beginning is hardly in doubt."""
TOLD, TOLD_USUAL = (-1.0, 3.0), 1.5
"""Least and largest SNR by other leads that counts, and the usual one, dB/10."""
MARGIN_MOST = 6.0
"""Log odds of the columns beyond which they are as sure or as doubtful."""
BEAT_S, AROUND_S = 0.3, 0.12
"""Least distance of beats, and half the width of a complex."""

RIGHT_ORDER, RIGHT_GAIN = "right order", "right gain"
"""Evidence that is a probability itself: that the columns' order, and so a lead's second, is right; and that
the gain is, by its posterior."""

EXTREME = 10.0
"""Standard deviations from the mean beyond which evidence counts no more: nothing so far off was fitted."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LogisticModel:
    """A logistic model.

    Attributes:
        features: their names, in the order of the weights; mean, sd: by which they are made alike.
        weights, bias: of the log odds.
    """

    features: tuple[str, ...]
    mean: Floats
    sd: Floats
    weights: Floats
    bias: float

    @classmethod
    def of(cls, data: dict[str, Any]) -> LogisticModel:
        """A model from its part of a file."""
        arrays = {name: np.array(data[name], float) for name in ("mean", "sd", "weights")}
        return cls(tuple(data["features"]), **arrays, bias=float(data["bias"]))

    def terms(self, evidence: Sequence[dict[str, float]]) -> Floats:
        """(n, features) what each piece of evidence adds to the log odds, to those of its mean."""
        table = np.array([[one[name] for name in self.features] for one in evidence])
        return np.clip((table - self.mean) / self.sd, -EXTREME, EXTREME) * self.weights

    def probability(self, evidence: Sequence[dict[str, float]]) -> Floats:
        """(n,) probabilities."""
        return np.asarray(expit(self.terms(evidence).sum(axis=1) + self.bias))


@dataclass(frozen=True)
class TrustModel:
    """The probability that all of several things are right, one logistic model each.

    Attributes:
        parts: the models by what they are of; calibration: see `calibrated`.
        limit: least probability that is trusted.
    """

    parts: dict[str, LogisticModel]
    calibration: tuple[float, float] = (1.0, 0.0)
    limit: float = np.inf

    @classmethod
    def read(cls, path: Path) -> TrustModel:
        """A model from its file."""
        data: dict[str, Any] = json.loads(path.read_text())
        parts = {name: LogisticModel.of(part) for name, part in data["parts"].items()}
        factor, offset = data["calibration"]
        return cls(parts, (float(factor), float(offset)), float(data["limit"]))

    def probability(self, evidence: Sequence[dict[str, float]]) -> Floats:
        """(n,) probabilities."""
        product = np.prod([part.probability(evidence) for part in self.parts.values()], axis=0)
        known = [one.get(RIGHT_ORDER, 1.0) * one.get(RIGHT_GAIN, 1.0) for one in evidence]
        product = product * np.array(known)
        return calibrated(np.asarray(product), self.calibration)

    def against(self, evidence: dict[str, float], n: int = 3) -> tuple[str, ...]:
        """Names of the evidence that speaks most against, the worst first."""
        terms = [
            (term, name)
            for part in self.parts.values()
            for term, name in zip(part.terms([evidence])[0].tolist(), part.features, strict=True)
        ]
        return tuple(name for term, name in sorted(terms)[:n] if term < 0.0)


def calibrated(probability: Floats, calibration: tuple[float, float]) -> Floats:
    """(n,) probabilities whose log odds are multiplied by the first number, and raised by the second."""
    factor, offset = calibration
    return np.asarray(expit(factor * logit(np.clip(probability, 1e-6, 1.0 - 1e-6)) + offset))


@cache
def shipped_model(path: Path = LEADS_MODEL) -> TrustModel:
    """A model that comes with the package."""
    return TrustModel.read(path)


def with_trust(
    statuses: tuple[LeadStatus, ...], evidence: dict[str, dict[str, float]]
) -> tuple[LeadStatus, ...]:
    """Statuses with every lead's probability of being right; see `evidence_of`."""
    model = shipped_model(weights_file(TRUST_NAME))
    probabilities = model.probability([evidence[lead] for lead in LEADS])
    return tuple(
        _judged(status, float(p), model.limit) for status, p in zip(statuses, probabilities, strict=True)
    )


def _judged(status: LeadStatus, probability: float, limit: float) -> LeadStatus:
    if not status.found:
        return replace(status, status="unreadable")
    return replace(status, status="ok" if probability >= limit else "check", probability=probability)


def evidence_of(
    sheet: Sheet, rows: Rows, base: TimeBase, scale: PaperScale, result: Calibrated,
    of_page: dict[str, float],
) -> dict[str, dict[str, float]]:  # fmt: skip
    """By lead, what speaks for or against it, with the evidence that all share; see `page_evidence`."""
    right_gain = float(expit(scale.gain_margin))
    beats = beat_outliers(result.signals, result.fs)
    by_row = {row.row_index: row for row in rows.traces}
    pens = [row.pen_mm for row in rows.traces if np.isfinite(row.pen_mm)]
    pixel_mm = 1.0 / float(sheet.page_map.px_per_mm[1])
    fine_s = 0.5 * max(pixel_mm, float(np.median(pens)) if pens else 0.0) / base.mm_per_s
    beyond = ink_beyond_traces(sheet.page_map, rows)
    out = {}
    for k, (lead, status) in enumerate(zip(LEADS, result.statuses, strict=True)):
        windows = [window for window in base.columns.windows if window.lead == lead]
        window = max(windows, key=lambda w: w.end_mm - w.start_mm, default=None)
        row = by_row.get(window.row_index) if window is not None else None
        if window is None or row is None or not status.found:
            own = dict.fromkeys(_OF_LEAD, 0.0)
        else:
            span = slice(round(status.start_s * result.fs), round(status.end_s * result.fs))
            seen = np.isfinite(result.signals[k, span])
            sd = result.sd_mv[k, span][seen]
            tall = np.subtract(*np.percentile(result.signals[k, span][seen], [99, 1]))
            values = (
                float((lead, window.row_index) in sheet.layout.printed),
                -np.log(1.02 - min(1.0, status.confidence)),
                np.log(np.quantile(sd, 0.98) + 1e-3),
                _expected_snr(result.signals[k, span][seen], sd),
                1.0 - float(seen.mean()),
                _meets(row, window, rows.traces),
                beats[k],
                abs(np.log(tall + 1e-3)),
                _narrow(result.signals[k, span], fine_s * result.fs),
                *_beyond_trace(row, window, beyond.get(row.row_index)),
                _flat_top(row, window),
                *_told(result.by_others.get(lead)),
                _doubted(row, window),
            )
            own = dict(zip(_OF_LEAD, map(float, values), strict=True))
        first = window is None or window.rhythm or window.column_index == 0
        known = {RIGHT_ORDER: 1.0 if first else base.order_probability, RIGHT_GAIN: right_gain}
        out[lead] = of_page | own | known
    return out


_OF_LEAD = (
    "lead named", "confidence", "largest error", "expected SNR", "gaps", "meets rows", "beats differ",
    "height", "narrow waves", "ink beyond", "tall ink beyond", "flat top", "told by others",
    "SNR by others", "doubted ink",
)  # fmt: skip


def page_evidence(
    sheet: Sheet, rows: Rows, chosen: ChosenLayout, base: TimeBase, scale: PaperScale, result: Calibrated
) -> dict[str, float]:
    """Evidence of a page that all of its leads share."""
    known = np.isfinite(chosen.probability)
    p = float(np.clip(chosen.probability, 0.01, 0.999)) if known else 0.999
    placed = {window.row_index for window in base.columns.windows}
    layout = base.layout
    unplaced = len({row.row_index for row in rows.traces} - placed)
    absent = max(0, layout.n_rows - len(placed)) if layout is not None else 3
    told = list(result.by_others.values())
    px_per_mm = float(np.mean(sheet.page_map.px_per_mm))
    residual_px = sheet.geometry.residual_px if np.isfinite(sheet.geometry.residual_px) else px_per_mm
    return {
        "no grid": float(not sheet.has_grid),
        "grid residual": float(np.log(residual_px / px_per_mm + 1e-3)),
        "named": sheet.layout.named,
        "layout by traces": float(known),
        "layout odds": float(np.log(p / (1.0 - p))),
        "no layout": float(layout is None),
        "rows unplaced": float(min(unplaced, 3)),
        "rows absent": float(min(absent, 3)),
        "columns' margin": float(np.clip(np.nan_to_num(base.margin), -MARGIN_MOST, MARGIN_MOST)),
        "no landmarks": float(np.isnan(base.margin)),
        "on grid lines": float(base.columns.on_grid),
        "order odds": float(np.log(base.order_probability / (1.001 - base.order_probability))),
        "begins at border": _at_border(sheet, base.columns.windows),
        "gain margin": float(np.clip(scale.gain_margin, 0.0, 8.0)),
        "gain assumed": float(scale.gain_from == "assumed"),
        "speed assumed": float(scale.speed_from == "assumed"),
        "speed by beats": float(scale.speed_from == "beats"),
        **dict(zip(_OF_SUMS, _told(float(np.median(told)) if told else None), strict=True)),
        "warnings": float(min(4, sum(len(s.warnings) for s in (sheet, base, scale)))),
        "resolution": float(np.log(px_per_mm)),
        "rows": float(len(rows.traces)),
        "names contradicted": _contradicted(sheet, base.columns.windows),
        "outside panels": _outside(rows.traces, base.columns.windows, scale.pulse),
        "spiky": spikiness(result.signals),
        "leads alike": likeness(result.signals),
        "quality": result.quality,
    }


_OF_SUMS = ("sums known", "SNR by sums")


def _told(snr: float | None) -> tuple[float, float]:
    """Whether other leads foretell one, and how well (`lead_fusion.snr_by_others`), from the usual."""
    return (0.0, 0.0) if snr is None else (1.0, float(np.clip(snr, *TOLD)) - TOLD_USUAL)


def _at_border(sheet: Sheet, windows: tuple[Window, ...]) -> float:
    """How near the first panel begins to the picture's border, as a cut page's does: 1 on it, less beyond
    some millimetres."""
    start = min((window.start_mm for window in windows), default=np.inf)
    _, border = sheet.page_map.to_mm(np.array([0.5 * sheet.image.shape[0]]), np.array([0.0]))
    return float(np.exp(-max(0.0, start - float(border[0])) / BORDER_MM))


def _contradicted(sheet: Sheet, windows: tuple[Window, ...]) -> float:
    """Share of the surely read lead names at whose place along the page no panel of that lead is."""
    names = [w for w in sheet.words if w.word.removeprefix("-") in LEADS and w.score >= SURE_WORD]
    if not names:
        return 0.0
    _, x_mm = sheet.page_map.to_mm(np.array([w.row for w in names]), np.array([w.col for w in names]))
    agree = [
        any(
            window.lead == name.word.removeprefix("-")
            and window.start_mm - NAME_BEFORE_MM <= x <= window.end_mm
            for window in windows
        )
        for name, x in zip(names, x_mm.tolist(), strict=True)
    ]
    return 1.0 - float(np.mean(agree))


def _outside(rows: tuple[RowTrace, ...], windows: tuple[Window, ...], pulse: PulsePlace | None) -> float:
    """Share of the read traces that lies in no panel; a pulse and its feet, as wide as it, do not count."""
    total = outside = 0
    for row in rows:
        seen = row.x_mm[np.isfinite(row.y_mm)]
        if pulse is not None:
            width = pulse.right_mm - pulse.left_mm
            seen = seen[(seen < pulse.left_mm - width) | (seen > pulse.right_mm + width)]
        inside = np.zeros(seen.size, bool)
        for window in windows:
            if window.row_index == row.row_index:
                inside |= (seen >= window.start_mm) & (seen < window.end_mm)
        total, outside = total + seen.size, outside + int((~inside).sum())
    return outside / max(1, total)


def spikiness(signals: Floats) -> float:
    """Log of the kurtosis of the leads' slopes, their median: QRS complexes are steep and short, other waves
    are not.

    Args:
        signals: (12, N) mV, NaN where nothing is read.
    """
    found = []
    for lead in signals:
        slope = np.diff(lead)
        slope = slope[np.isfinite(slope)]
        if slope.size > MANY and slope.std() > 0:
            found.append(float(np.log(np.mean((slope / slope.std()) ** 4))))
    return float(np.median(found)) if found else 0.0


def likeness(signals: Floats) -> float:
    """How alike the leads of an instant are: -log of one minus their correlation, its median over pairs.

    The leads of an ECG look at one heart from twelve sides; a signal that is repeated in every channel is
    none. 0 without leads of the same instant.

    Args:
        signals: (12, N) mV, NaN where nothing is read.
    """
    found = []
    for k, one in enumerate(signals):
        for other in signals[k + 1 :]:
            both = np.isfinite(one) & np.isfinite(other)
            a, b = one[both], other[both]
            if len(a) > MANY and a.std() > 0 and b.std() > 0:
                found.append(float(-np.log(1.001 - abs(np.corrcoef(a, b)[0, 1]))))
    return float(np.median(found)) if found else 0.0


def _expected_snr(signal: Floats, sd_mv: Floats) -> float:
    """SNR in dB/10 that the expected errors leave, its excess over 4 cut off.

    Args:
        signal, sd_mv: (n,) mV, where the lead is read.
    """
    return min(4.0, float(np.log10((np.var(signal) + 1e-6) / (np.mean(sd_mv**2) + 1e-6))))


def _narrow(signal: Floats, sigma: float) -> float:
    """How much of a lead's variance a pen's width hides: log of its share that is left, with the sign turned.

    Args:
        signal: (n,) mV, NaN where nothing is read; sigma: half a pen's width, or half a pixel, in samples.
    """
    seen = np.isfinite(signal)
    level = np.where(seen, signal, np.median(signal[seen]))
    return float(-np.log((gaussian_filter1d(level, sigma).var() + 1e-9) / (level.var() + 1e-9)))


def ink_beyond_traces(page_map: PageMap, rows: Rows) -> dict[int, Floats]:
    """By row, (n,) millimetres of ink that go on above or below a read-out, and belong to no row's trace; NaN
    where it was not looked for.

    A wave that was cut, a pacing spike that was passed over, or a neighbour's wave that was taken leaves ink
    in plain view that is connected with the trace.
    """
    if rows.dark is None:
        return {}
    steps = np.arange(0.0, BEYOND_MM, BEYOND_STEP_MM)
    out = {}
    for row in rows.traces:
        n = max(1, round(LOCAL_MM / float(row.x_mm[1] - row.x_mm[0])))
        pen = row.pen_mm if np.isfinite(row.pen_mm) else PEN_MM
        seen = np.isfinite(row.y_mm)
        low, high = np.where(seen, row.y_mm, np.inf), np.where(seen, row.y_mm, -np.inf)
        top, foot = minimum_filter1d(low, 2 * n + 1) - pen, maximum_filter1d(high, 2 * n + 1) + pen
        lengths = np.full((2, row.x_mm.size), np.nan)
        at = np.flatnonzero(seen)[:: max(1, n // 2)]
        for side, begin in enumerate((top[at, None] - steps, foot[at, None] + steps)):
            x = np.broadcast_to(row.x_mm[at, None], begin.shape)
            ink = is_ink(rows.dark, page_map, begin.ravel(), x.ravel()).reshape(begin.shape)
            ink &= ~_of_others(begin, row, rows.traces, at)
            lengths[side, at] = np.cumprod(ink, axis=1).sum(axis=1) * BEYOND_STEP_MM
        out[row.row_index] = lengths.max(axis=0)
    return out


def _of_others(
    at_mm: Floats, row: RowTrace, rows: tuple[RowTrace, ...], readouts: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Which places (n, steps) down the page another row's trace takes."""
    taken = np.zeros(at_mm.shape, bool)
    for other in rows:
        if other is not row:
            y = np.interp(row.x_mm[readouts], other.x_mm, other.y_mm, left=np.nan, right=np.nan)
            taken |= np.abs(at_mm - y[:, None]) < OTHERS_MM
    return taken


def _beyond_trace(row: RowTrace, window: Window, beyond: Floats | None) -> tuple[float, float]:
    """Root of the share of a panel with ink beyond its trace, and log of the most of it."""
    if beyond is None:
        return 0.0, 0.0
    mine = beyond[(row.x_mm >= window.start_mm) & (row.x_mm < window.end_mm) & np.isfinite(beyond)]
    if not mine.size:
        return 0.0, 0.0
    return float(np.sqrt((mine > 1.0).mean())), float(np.log1p(np.quantile(mine, 0.998)))


def _flat_top(row: RowTrace, window: Window) -> float:
    """How flat a panel's highest or lowest wave is: -log of one minus its width near the peak over its width
    farther off. That ratio is 0.2 of a pointed wave, 0.4 of a rounded one, nearly 1 of a clipped one."""
    mine = (row.x_mm >= window.start_mm) & (row.x_mm < window.end_mm) & np.isfinite(row.y_mm)
    y = row.y_mm[mine]
    if y.size < MANY:
        return 0.0
    level, out = float(np.median(y)), 0.0
    for height in (level - y, y - level):
        peak = float(height.max())
        if peak > TALL_MM:
            near, far = (int((height > peak - depth).sum()) for depth in TOP_MM)
            out = max(out, near / far)
    return float(-np.log(1.05 - out))


def _doubted(row: RowTrace, window: Window) -> float:
    """Root of the share of a panel that lies as likely as not on another row's ink, or in a wave whose tip is
    not seen, weighed by its probability."""
    if row.wrong is None:
        return 0.0
    mine = (row.x_mm >= window.start_mm) & (row.x_mm < window.end_mm) & np.isfinite(row.y_mm)
    return float(np.sqrt(row.wrong[mine].mean())) if mine.any() else 0.0


def _meets(row: RowTrace, window: Window, rows: tuple[RowTrace, ...]) -> float:
    """Share of a panel that runs next to another row's trace, its root."""
    mine = (row.x_mm >= window.start_mm) & (row.x_mm < window.end_mm) & np.isfinite(row.y_mm)
    if not mine.any():
        return 0.0
    near = np.zeros(int(mine.sum()), bool)
    for other in rows:
        if other is not row:
            y = np.interp(row.x_mm[mine], other.x_mm, other.y_mm, left=np.nan, right=np.nan)
            near |= np.abs(row.y_mm[mine] - y) < MEET_MM
    return float(np.sqrt(near.mean()))


def beat_outliers(signals: Floats, fs: int) -> Floats:
    """(12,) how far a beat of a lead departs in height from the lead's others, log ratio.

    What all leads of an instant share, as an extrasystole does, is not counted: a wave that is cut, or taken
    from a neighbour, is one lead's own.

    Args:
        signals: (12, N) mV at fs, NaN where nothing is read.
    """
    seen = np.isfinite(signals)
    reach = round(AROUND_S * fs)
    steep = np.abs(np.diff(np.where(seen, signals, 0.0), axis=1, append=0.0))
    steep[~(seen & np.roll(seen, -1, axis=1))] = 0.0
    usual = np.array([np.quantile(one[one > 0], 0.95) if (one > 0).any() else 1.0 for one in steep])
    counts = np.maximum(seen.sum(axis=0), 1)
    energy = gaussian_filter1d((steep / np.maximum(usual, 1e-6)[:, None]).sum(axis=0) / counts, 0.02 * fs)
    places, _ = find_peaks(
        energy, height=0.4 * np.quantile(energy, 0.99), distance=max(1, round(BEAT_S * fs))
    )
    heights = np.full((len(signals), len(places)), np.nan)
    for b, at in enumerate(places):
        part = slice(max(0, at - reach), at + reach + 1)
        whole = seen[:, part].mean(axis=1) > 0.95
        spread = np.ptp(np.where(seen[whole, part], signals[whole, part], 0.0), axis=1)
        heights[whole, b] = np.log(spread + 0.05)
    out = np.zeros(len(signals))
    if heights.shape[1] < 2:
        return out
    off = heights - _medians(heights, axis=1)
    off -= _medians(off, axis=0)
    for k, one in enumerate(off):
        known = one[np.isfinite(one)]
        out[k] = min(2.0, float(np.abs(known).max())) if len(known) > 1 else 0.0
    return out


def _medians(values: Floats, axis: int) -> Floats:
    """Medians of the finite values along an axis, kept as one; 0 without any."""
    masked = np.ma.masked_invalid(values)
    return np.asarray(np.ma.median(masked, axis=axis, keepdims=True).filled(0.0))
