"""Which lead stands where: from the leads network's class probabilities to panels with coarse paths.

In: class probabilities on the canvas (13, rows, cols). Out: `PageLayout`, one `LeadPanel` for every
printed piece of a lead, all in canvas pixels.

Single pixels name their lead unreliably (a lead's class bleeds into its neighbours, a panel may be
misnamed as a whole), but the page as a whole obeys one of few layouts. So rows are found from the
ink alone, the class evidence is summed per row and column, and the known layouts compete for it by
likelihood. Where none fits, each row is segmented by its own evidence, with a warning.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from ecg_hough.errors import PageError
from ecg_hough.paper import CABRERA, LEADS, Layout, make_layout

# Tuned on the true masks of ECG-Image-Kit pages and on drawn layouts with speckle, gaps and bleeding
# classes, at 2.3-2.7 px/mm.
INK_MIN = 0.35
"""Lead probability (all leads together) from which a pixel counts as trace."""
SPECK_PX = 5
"""Components whose longer side is below this are speckle: 2 mm."""
SHEAR_MAX = 0.035
"""Largest residual tilt searched for, 2 degrees."""
ROW_SIGMA_PX = 3.0
"""Smoothing of the row profile: about 1 mm, less than half the pitch of the densest layout."""
ROW_MERGE = 0.4
"""Two close rows that share fewer of their columns than this are one row with stepped baselines."""
GAIN_FLOOR = 0.02
"""Least class probability in the likelihood, so that one wrong pixel cannot veto a layout."""
EMPTY_COST = 0.35
"""Cost of a column without trace inside a panel, in nats; a column of the right class earns log 12 = 2.5."""
MISSING_COST = 30.0
"""Cost of a layout's panel that is not on the page, in nats: about 12 columns' worth."""
RHYTHM_COST = 25.0
"""Cost of calling a row a rhythm strip."""
MIN_AGREEMENT = 0.5
"""Share of the traced columns that must carry the class their layout expects."""
MIN_PANELS = 0.5
"""Share of a layout's short panels that must be on the page."""
PRESENT_MIN = 0.12
"""Share of a panel's columns that must hold trace for the lead to be there."""
GAP_PX = 14
"""Gaps of the coarse path up to this length are interpolated: 5-6 mm."""
JUMP_COST = 0.012
"""Cost per row of a jump of the path from one column to the next; a column off the ink costs 1."""


@dataclass(frozen=True)
class LeadPanel:
    """One printed piece of one lead, in canvas pixels.

    Attributes:
        lead: name as in `paper.LEADS`.
        row_index: row of traces on the page, from the top.
        column_index: column of the layout, from the left; 0 for rhythm strips and one-column layouts.
        rhythm: a full-width strip printed besides the short rows.
        start_col, end_col: half-open window in columns, sub-pixel; may lie outside the canvas when the
            page is cropped.
        path_rows: (cols,) coarse row of the trace for every canvas column, NaN where there is none.
        confidence: share of the panel's columns that hold trace of the expected class, 0 to 1.
    """

    lead: str
    row_index: int
    column_index: int
    rhythm: bool
    start_col: float
    end_col: float
    path_rows: NDArray[np.float64]
    confidence: float


@dataclass(frozen=True)
class PageLayout:
    """All panels of a page.

    Attributes:
        panels: from top to bottom, left to right.
        layout: the known layout that fits, or None.
        score: log-likelihood gain over unnamed leads, in nats; compares orientations of one page.
        agreement: share of the traced columns that carry the class expected there, 0 to 1.
        row_pitch: median distance of neighbouring rows in canvas pixels, NaN with one row.
        warnings: what a reader of the result should know.
    """

    panels: tuple[LeadPanel, ...]
    layout: Layout | None
    score: float
    agreement: float
    row_pitch: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Rows:
    """Trace rows as lines, and their evidence."""

    lines: NDArray[np.float64]  # (n, cols) row of each line per column
    pitch: float
    mass: NDArray[np.float64]  # (n, 12, cols) class probability summed over each row's band


@dataclass(frozen=True)
class _Fit:
    layout: Layout
    edges: tuple[float, float]  # first column's start, last column's end
    slots: tuple[tuple[int, int], ...]  # (observed row, template row), -1 - lead for rhythm strips
    score: float


def find_layout(probabilities: NDArray[np.float32]) -> PageLayout:
    """Find which lead stands where.

    Args:
        probabilities: (13, rows, cols) class probabilities, background first, then `paper.LEADS`; the
            page is upright with at most about 2 degrees of residual tilt.

    Raises:
        PageError: no trace on the page.
    """
    ink = _clean_ink(probabilities)
    rows = _find_rows(probabilities, ink)
    if rows is None:
        share = float(ink.mean())
        raise PageError("layout", f"a page needs at least one trace row; {share:.2%} of it looks like trace")
    gains, weight = _gains(rows.mass)
    start, end = _extent(weight)
    fits = [_fit_template(template, gains, weight, (start, end)) for template in _templates()]
    fits = sorted(fits, key=lambda fit: -fit.score)[:3]
    best = max((_refine_edges(fit, gains, weight) for fit in fits), key=lambda fit: fit.score)
    best = _drop_empty_rows(best, weight)
    agreement, present = _agreement(best, rows.mass, weight)
    n_short = len(best.layout.rows) * best.layout.n_columns
    warnings: list[str] = []
    if agreement >= MIN_AGREEMENT and present >= MIN_PANELS * n_short:
        boxes, warnings = _template_boxes(best, rows.mass, weight)
        layout: Layout | None = best.layout
        score = best.score
    else:
        boxes, score = _segment_rows(gains, weight)
        layout = None
        warnings.append(
            f"layout: no known layout fits (best {best.layout.name}, {agreement:.0%} of its traces agree); "
            "leads are placed by their own evidence"
        )
    panels = _trace_panels(boxes, probabilities, rows)
    if not panels:
        raise PageError("layout", f"{len(rows.lines)} trace rows found, but no lead could be named")
    return PageLayout(panels, layout, score, agreement, rows.pitch, tuple(warnings))


def evidence(probabilities: NDArray[np.float32]) -> float:
    """How much coherent, plausibly arranged trace the maps hold; 0 for none.

    The layouts' likelihood gain per canvas column, so that quarter turns of one page can be compared:
    a wrong orientation scatters the classes and no layout fits.
    """
    try:
        layout = find_layout(probabilities)
    except PageError:
        return 0.0
    known = 1.0 if layout.layout is not None else 0.5
    return max(0.0, known * layout.score / probabilities.shape[2])


def _clean_ink(probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Trace pixels (rows, cols) of any lead, without speckle."""
    ink = (1.0 - probabilities[0] > INK_MIN).astype(np.uint8)
    n, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    keep = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) >= SPECK_PX
    keep[0] = False
    return keep[labels]


def _find_rows(probabilities: NDArray[np.float32], ink: NDArray[np.bool_]) -> _Rows | None:
    """Trace rows from the ink alone: projection along the best shear, then one line per row."""
    n_rows, n_cols = ink.shape
    r, c = np.nonzero(ink)
    if r.size < 2 * SPECK_PX:
        return None
    # Vertical strokes would count once per pixel; one vote per column and run keeps the profile to
    # where the trace dwells, its baseline.
    top = ink & ~np.vstack([np.zeros((1, n_cols), bool), ink[:-1]])
    bottom = ink & ~np.vstack([ink[1:], np.zeros((1, n_cols), bool)])
    tc, tr = np.nonzero(top.T)
    bc, br = np.nonzero(bottom.T)
    mid, length = (tr + br) / 2.0, br - tr + 1
    vote = 1.0 / (1.0 + (length / 6.0) ** 2)
    shears = np.linspace(-SHEAR_MAX, SHEAR_MAX, 29)
    profiles = np.stack(
        [
            np.bincount(
                np.clip(np.rint(mid - s * (tc - n_cols / 2)), 0, n_rows - 1).astype(int), vote, minlength=n_rows
            )
            for s in shears
        ]
    )
    smooth = gaussian_filter1d(profiles, ROW_SIGMA_PX, axis=1)
    best = int(np.argmax((smooth**2).sum(1)))
    shear, profile = float(shears[best]), smooth[best]
    peaks, _ = find_peaks(profile, height=0.12 * profile.max(), prominence=0.06 * profile.max(), distance=8)
    if peaks.size == 0:
        return None
    tilt = shear * (np.arange(n_cols) - n_cols / 2)
    lines = peaks[:, None] + tilt[None, :]
    lines = _merge_rows(lines, profile[peaks], tc, mid, n_cols)
    lines = _straighten(lines, tc, mid, vote, n_cols)
    pitch = float(np.median(np.diff(lines.mean(1)))) if len(lines) > 1 else float("nan")
    mass = _band_mass(probabilities, ink, lines)
    return _Rows(lines, pitch, mass)


def _nearest_line(lines: NDArray[np.float64], r: NDArray, c: NDArray) -> NDArray[np.intp]:
    """Index of the line nearest to each point; lines are sorted from the top."""
    middle = (lines[1:] + lines[:-1]) / 2.0
    return (r[None, :] > middle[:, c]).sum(0) if len(middle) else np.zeros(r.size, np.intp)


def _merge_rows(
    lines: NDArray[np.float64], height: NDArray, c: NDArray, r: NDArray, n_cols: int
) -> NDArray[np.float64]:
    """Join rows that never stand in the same columns: one row whose leads have different baselines."""
    lines, height = lines.copy(), height.astype(float).copy()
    while len(lines) > 1:
        gaps = np.diff(lines[:, 0])
        near = min(0.6 * float(np.median(gaps)) if len(gaps) > 2 else np.inf, 0.08 * n_cols)
        member = _nearest_line(lines, r, c)
        occupied = np.zeros((len(lines), n_cols), bool)
        occupied[member, c] = True
        both = (occupied[1:] & occupied[:-1]).sum(1)
        share = both / np.maximum(1, np.minimum(occupied[1:].sum(1), occupied[:-1].sum(1)))
        # A peak that is much closer than the others and lower is a dwelling of the same trace (ST, T).
        weak = np.minimum(height[1:], height[:-1]) < 0.35 * np.maximum(height[1:], height[:-1])
        merge = (gaps < near) & ((share < ROW_MERGE) | (weak & (share < 0.75)))
        if not merge.any():
            break
        i = int(np.argmin(np.where(merge, gaps, np.inf)))
        keep = i if height[i] >= height[i + 1] else i + 1
        lines[i] = lines[keep]
        height[i] = height[i] + height[i + 1]
        lines = np.delete(lines, i + 1, axis=0)
        height = np.delete(height, i + 1)
    return lines


def _straighten(
    lines: NDArray[np.float64], c: NDArray, r: NDArray, vote: NDArray, n_cols: int
) -> NDArray[np.float64]:
    """Give each row its own slope (perspective), by medians over eight parts of the width."""
    member = _nearest_line(lines, r, c)
    cols = np.arange(n_cols, dtype=np.float64)
    out = lines.copy()
    for i in range(len(lines)):
        mine = (member == i) & (vote > 0.5)
        part = (c[mine] * 8) // n_cols
        off = r[mine] - lines[i, c[mine]]
        x, y = [], []
        for k in range(8):
            if (part == k).sum() >= n_cols // 32:
                x.append((k + 0.5) * n_cols / 8)
                y.append(float(np.median(off[part == k])))
        if len(x) >= 4:
            slopes = [(y[b] - y[a]) / (x[b] - x[a]) for a in range(len(x)) for b in range(a + 1, len(x))]
            slope = float(np.clip(np.median(slopes), -0.02, 0.02))
            level = float(np.median(np.array(y) - slope * np.array(x)))
            out[i] = lines[i] + level + slope * cols
    # Lines must stay in order; a slope from noise that crosses a neighbour is worse than none.
    return out if np.all(np.diff(out, axis=0) > 0) else lines


def _band_mass(
    probabilities: NDArray[np.float32], ink: NDArray[np.bool_], lines: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Class probability (n, 12, cols) summed over the band nearest to each line."""
    n, n_cols = lines.shape
    r, c = np.nonzero(ink)
    key = _nearest_line(lines, r, c) * n_cols + c
    values = probabilities[1:, r, c]
    mass = np.stack([np.bincount(key, values[k], minlength=n * n_cols) for k in range(12)], axis=1)
    return np.ascontiguousarray(mass.reshape(n, n_cols, 12).transpose(0, 2, 1))


def _gains(mass: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cumulated log-likelihood gain (n, 12, cols + 1) of each class, and occupancy (n, cols)."""
    total = mass.sum(1)
    weight = np.minimum(1.0, total)
    share = mass / np.maximum(total, 1e-9)[:, None, :]
    gain = weight[:, None, :] * (np.log(np.maximum(share, GAIN_FLOOR)) + np.log(12.0))
    gain -= EMPTY_COST * (1.0 - weight)[:, None, :]
    cumulated = np.zeros((*gain.shape[:2], gain.shape[2] + 1))
    np.cumsum(gain, axis=2, out=cumulated[:, :, 1:])
    return cumulated, weight


def _extent(weight: NDArray[np.float64]) -> tuple[float, float]:
    """First and last column of the traces: where a good part of the rows begins and ends."""
    spans = []
    for row in weight:
        cols = np.flatnonzero(row > 0.3)
        if cols.size > 0.1 * row.size:
            spans.append((np.percentile(cols, 0.5), np.percentile(cols, 99.5) + 1))
    if not spans:
        cols = np.flatnonzero(weight.max(0) > 0.1)
        return float(cols[0]), float(cols[-1] + 1)
    start, end = np.array(spans).T
    return float(np.percentile(start, 30)), float(np.percentile(end, 70))


def _templates() -> tuple[Layout, ...]:
    """The known short blocks; rhythm strips are added by the fit. 3x4 first: it wins ties."""
    shapes = ("3x4", "6x2", "12x1", "4x3", "2x6", "6x1-limb")
    return (
        *(make_layout(shape) for shape in shapes),
        *(make_layout(shape, cabrera=True) for shape in shapes),
        make_layout("6x1-precordial"),
    )


def _at(cumulated: NDArray[np.float64], col: float) -> NDArray[np.float64]:
    """Cumulated gain at a sub-pixel column, held constant outside the canvas."""
    last = cumulated.shape[-1] - 1
    col = min(max(col, 0.0), float(last))
    k = min(int(col), last - 1)
    return cumulated[..., k] + (col - k) * (cumulated[..., k + 1] - cumulated[..., k])


def _fit_template(
    template: Layout,
    gains: NDArray[np.float64],
    weight: NDArray[np.float64],
    edges: tuple[float, float],
) -> _Fit:
    """Best monotone assignment of page rows to template rows, rhythm strips or nothing."""
    start, end = edges
    n, n_t = len(weight), len(template.rows)
    bounds = np.linspace(start, end, template.n_columns + 1)
    at = np.stack([_at(gains, b) for b in bounds])  # (columns + 1, n, 12)
    panel = np.diff(at, axis=0)
    lead_index = np.array([[LEADS.index(lead) for lead in row] for row in template.rows])
    # An expected lead that is not there at all costs the same however wide the panel is.
    per_panel = np.maximum(panel[np.arange(template.n_columns)[None, :], :, lead_index], -MISSING_COST)
    short = per_panel.sum(1).T  # (n, n_t)
    strip = at[-1] - at[0]
    rhythm_lead = strip.argmax(1)
    rhythm = strip.max(1) - RHYTHM_COST
    missing = MISSING_COST * template.n_columns
    # best[i, t]: score of page rows from i on, when template rows from t on are still open
    best = np.full((n + 1, n_t + 1), -np.inf)
    move = np.zeros((n + 1, n_t + 1), int)
    best[n] = -missing * (n_t - np.arange(n_t + 1))
    for i in range(n - 1, -1, -1):
        for t in range(n_t, -1, -1):
            options = [
                best[i + 1, t],
                best[i + 1, t] + rhythm[i],
                short[i, t] + best[i + 1, t + 1] if t < n_t else -np.inf,
                best[i, t + 1] - missing if t < n_t else -np.inf,
            ]
            move[i, t] = int(np.argmax(options))
            best[i, t] = options[move[i, t]]
    slots, i, t = [], 0, 0
    while i < n:
        step = move[i, t]
        if step == 3:
            t += 1
            continue
        if step == 1:
            slots.append((i, -1 - int(rhythm_lead[i])))
        elif step == 2:
            slots.append((i, t))
            t += 1
        i += 1
    rhythm_names = tuple(LEADS[-1 - t] for _, t in slots if t < 0)
    shape = template.name.removesuffix("-cabrera")
    layout = make_layout(shape, rhythm=rhythm_names, cabrera=template.cabrera)
    return _Fit(layout, edges, tuple(slots), float(best[0, 0]))


def _slots_score(fit: _Fit, gains: NDArray[np.float64], edges: tuple[float, float]) -> float:
    """The fit's gain for other edges, rows' assignment kept."""
    bounds = np.linspace(edges[0], edges[1], fit.layout.n_columns + 1)
    at = [_at(gains, b) for b in bounds]
    score = 0.0
    for i, t in fit.slots:
        if t < 0:
            score += float(at[-1][i, -1 - t] - at[0][i, -1 - t])
            continue
        for j, lead in enumerate(fit.layout.rows[t]):
            k = LEADS.index(lead)
            score += max(float(at[j + 1][i, k] - at[j][i, k]), -MISSING_COST)
    return score


def _refine_edges(fit: _Fit, gains: NDArray[np.float64], weight: NDArray[np.float64]) -> _Fit:
    """Move the common start and end to the best likelihood, coarse to fine; then assign rows again."""
    edges = fit.edges
    width = edges[1] - edges[0]
    for radius, step in ((0.12 * width, 0.02 * width), (0.02 * width, 4.0), (5.0, 1.0), (1.0, 0.25)):
        offsets = np.arange(-radius, radius + step / 2, step)
        # A cropped page continues beyond the canvas, so the edges may leave it.
        candidates = [(edges[0] + a, edges[1] + b) for a in offsets for b in offsets]
        scores = [_slots_score(fit, gains, pair) - 1e-3 * abs(sum(pair) - sum(fit.edges)) for pair in candidates]
        edges = candidates[int(np.argmax(scores))]
    template = make_layout(fit.layout.name.split("+")[0].removesuffix("-cabrera"), cabrera=fit.layout.cabrera)
    return _fit_template(template, gains, weight, edges)


def _drop_empty_rows(fit: _Fit, weight: NDArray[np.float64]) -> _Fit:
    return fit


def _panel_window(fit: _Fit, t: int, j: int) -> tuple[float, float]:
    if t < 0:
        return fit.edges
    bounds = np.linspace(*fit.edges, fit.layout.n_columns + 1)
    return float(bounds[j]), float(bounds[j + 1])


def _panel_leads(fit: _Fit, t: int) -> tuple[str, ...]:
    return (LEADS[-1 - t],) if t < 0 else fit.layout.rows[t]


def _pixels(window: tuple[float, float], n_cols: int) -> slice:
    """Canvas columns whose centre lies in a window."""
    a = int(np.clip(np.ceil(window[0] - 0.5), 0, n_cols))
    return slice(a, int(np.clip(np.ceil(window[1] - 0.5), a, n_cols)))


def _agreement(fit: _Fit, mass: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, int]:
    """Share of all traced columns that carry the expected class, and number of short panels present."""
    good, present = 0.0, 0
    for i, t in fit.slots:
        for j, lead in enumerate(_panel_leads(fit, t)):
            cols = _pixels(_panel_window(fit, t, j), weight.shape[1])
            k = LEADS.index(lead)
            share = mass[i, k, cols] / np.maximum(mass[i, :, cols].sum(1), 1e-9)
            good += float((share * weight[i, cols]).sum())
            if weight[i, cols].size and weight[i, cols].mean() >= PRESENT_MIN:
                present += t >= 0
    return good / max(1e-9, float(weight.sum())), present
