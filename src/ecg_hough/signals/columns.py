"""Where the columns of a page begin and end, to a fraction of a millimetre, and when.

In: row traces in page millimetres, panels with the leads network's edges, paper speed, places of pulses and
separators. Out: panels with common edges and the time of every column. The block's ends are where most rows'
traces end; a usual duration and separators make them more precise.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ecg_hough.elements import Columns, PulsePlace, RowTrace, Window
from ecg_hough.errors import PageError
from ecg_hough.numeric import runs
from ecg_hough.paper import PAPER_SPEED_MM_S, Layout
from ecg_hough.signals.limits import Limit, keeps_limits

log = logging.getLogger(__name__)

# Tuned on own renders and the development pages.
END_REACH_MM = 12.0
"""Largest distance of a block's end from the leads network's edge: a pulse and its feet."""
VOTE_MM = 0.3
"""Distance (standard deviation) at which a row's end still supports a place."""
EDGE_PRIOR = 0.08
"""Cost per mm of distance from the network's edge; a row in full agreement weighs 1 / rows. Less where the
edge is a pulse's (`PULSE_TRUST`): its foot may continue up to the trace."""
PEN_REACH, PEN_LEAST_MM = 0.18, 0.2
"""A round pen's stroke extends beyond the first and the last sample by this share of its width above the
least one. Measured on 173 own pages (seeds 31313, 42424) and ECG-Image-Kit's; a raster's ends are square."""
SAMPLES_PER_S = 500.0
"""Usual rate of printed signals: the last sample is one interval before the end of its time."""
EDGE_RUN_MM = 1.5
"""Length of uninterrupted trace, and of blank paper, that makes an end."""
TRACE_RUN_MM, TRIM_MM = 5.0, 3.0
"""Least uninterrupted trace at which a row begins or ends, and error that the network's edge may have."""
TOGETHER_MM, TOGETHER_SHARE = 1.0, 0.75
"""Rows begin together within this, and this share of them must."""
EQUAL_MM = 12.0
"""Columns of a block of no usual width are still equally wide where their edges are nearer to that than
this."""
NOMINAL_SHARE = 0.002
"""Blocks within twice this of a usual duration have that duration."""
NOMINAL_WORTH = 0.6
"""Weight of a usual width; an end on which all rows agree weighs 1. No more than that: measured ends
decide."""
CUT_TRUST = 0.35
"""Weight of a trace end that coincides with the image border, where the trace was cropped."""
PULSE_TRUST, PULSE_FOOT_MM = 0.15, 1.6
"""Weight of a trace end this near to a calibration pulse's stroke: it may be the end of the pulse's foot."""
PULSE_SLACK_MM = 0.3
"""Ends farther than this inside a pulse belong to the pulse."""
CUT_BETTER_MM = 1.0
"""Improvement of the fit to the network's edges with which columns of a usual width replace equal parts of
the visible block, where the image crops it."""
STRETCH_MAX = 0.006
"""Largest relative error of a whole block's width for which the grid, not the time, is corrected: where
columns are cropped, any width is as likely."""
SEPARATORS_OFF_MM = 1.5
"""Largest distance of a block's ends from those that its separators imply."""
NOMINAL_S = (2.5, 5.0, 6.0, 10.0, 12.0, 15.0, 20.0, 30.0)
"""Usual times of a block of traces, s."""
PANEL_S = (5 / 3, 2.0, 2.5, 3.0, 10 / 3, 4.0, 5.0, 6.0, 10.0, 12.0)
"""Usual times of a panel in a frame of its own, s."""
APART_MM, APART_OFF_MM = 1.5, 1.5
"""Least space between separate panels, and largest distance of their ends from those of equal panels of a
usual width."""
CUT_OUT_MM = 8.0
"""A narrower space may be part of the time shown: some carts leave a blank before a column."""
EVEN_MM = 0.05
"""Scale of the robust loss by which separate panels are placed at equal distances."""
APART_SHARE, PANEL_SHARE = 0.75, 0.5
"""Least share of the ends that must be that near; least width of a panel as a share of the widest."""


def panels_apart(
    rows: list[RowTrace], n_columns: int, nominal_mm: list[float], sample_mm: float = 0.0
) -> tuple[NDArray[np.float64], float] | None:
    """Starts (columns,) and width, mm, of separate panels, each in a frame of its own.

    There is no trace between them, and each shows a usual time; None where columns follow each other without
    a space. Where a space is part of the time shown, as in some carts' columns, the panels show less than a
    usual time.

    Args:
        rows: of short leads; nominal_mm: usual widths; sample_mm: from a panel's last sample to its end.
    """
    if not rows:
        return None
    step = float(rows[0].x_mm[1] - rows[0].x_mm[0])
    at = np.arange(min(row.x_mm[0] for row in rows), max(row.x_mm[-1] for row in rows), step)
    traced = [np.interp(at, row.x_mm, np.isfinite(row.y_mm).astype(float)) > 0.5 for row in rows]
    pieces: list[tuple[float, float]] = []
    for a, b in runs(np.mean(traced, axis=0) > 0.5):
        first, last = float(at[a] - step / 2), float(at[b - 1] + step / 2)
        if pieces and first - pieces[-1][1] < APART_MM:
            first, _ = pieces.pop()
        pieces.append((first, last))
    # A piece much shorter than a panel is a pulse.
    longest = max((last - first for first, last in pieces), default=0.0)
    least = max(TRACE_RUN_MM, PANEL_SHARE * longest)
    ends = np.array([piece for piece in pieces if piece[1] - piece[0] >= least])
    if len(ends) != n_columns:
        return None
    nominal = np.array(nominal_mm)
    width = float(nominal[np.abs(nominal - np.median(ends[:, 1] - ends[:, 0])).argmin()])
    # Both ends of a panel give its start; a trace may break off before a panel's end.
    starts = ends - (0.0, width)
    pitch = float(np.median(np.diff(starts, axis=0)))
    off = starts - pitch * np.arange(n_columns)[:, None]
    fits = np.abs(off - np.median(off)) < APART_OFF_MM
    cut_out = pitch - width < CUT_OUT_MM and np.abs(nominal - pitch).min() < APART_OFF_MM
    if cut_out or fits.mean() < APART_SHARE:
        log.debug("separate panels rejected: share of ends that fit %.2f, limit %g; space is in the time: %s",
                  fits.mean(), APART_SHARE, cut_out)  # fmt: skip
        return None
    log.debug("separate panels, %.2f mm wide at a pitch of %.2f mm", width, pitch)
    near = np.asarray(np.median(off) + pitch * np.arange(n_columns), float)
    return _even_starts(rows, near, width, sample_mm), width


def _even_starts(
    rows: list[RowTrace], near_mm: NDArray[np.float64], width: float, sample_mm: float
) -> NDArray[np.float64]:
    """Starts of panels at equal distances, mm, near places, fitted to most rows' sharp ends."""
    seen = []
    for j, start in enumerate(near_mm):
        for side, direction, back in ((start, +1, 0.0), (start + width, -1, width - sample_mm)):
            for row in rows:
                places = _ends(row, side, direction)[:, 0]
                off = np.abs(places - side)
                if off.size and off.min() < APART_OFF_MM:
                    seen.append((j, places[off.argmin()] - back))
    at, starts = np.array(seen).T
    columns = np.arange(len(near_mm))

    def off_even(even: NDArray[np.float64]) -> NDArray[np.float64]:
        return even[0] + even[1] * at - starts

    even = least_squares(off_even, (near_mm[0], near_mm[1] - near_mm[0]), loss="soft_l1", f_scale=EVEN_MM).x
    return np.asarray(even[0] + even[1] * columns, float)


def _columns_apart(
    windows: tuple[Window, ...], starts: NDArray[np.float64], width: float, speed_mm_s: float
) -> Columns:
    """Separate panels; a rhythm strip continues without a space."""
    whole = width * len(starts)
    moved = [
        replace(w, start_mm=float(starts[0]), end_mm=float(starts[0] + whole))
        if w.rhythm
        else replace(w, start_mm=float(starts[w.column_index]), end_mm=float(starts[w.column_index] + width))
        for w in windows
    ]
    starts_s = {j: j * width / speed_mm_s for j in range(len(starts))}
    return Columns(tuple(moved), starts_s, whole / speed_mm_s, apart=True)


def traced_block(
    rows: list[RowTrace], nominal_mm: list[float], share: float = 2 * NOMINAL_SHARE
) -> tuple[float, float] | None:
    """Start and end of the block in mm, where most rows' traces begin and end together, a usual width apart.

    Such a block is whole, wherever the leads network puts its edges; None where the traces show none. `share`
    is the relative error of its width that is allowed.
    """
    ends = np.array([_first_and_last(row) for row in rows])
    middle = np.median(ends, axis=0)
    if not np.isfinite(middle).all():
        return None
    together = (np.abs(ends - middle) <= TOGETHER_MM).mean(axis=0)
    width = middle[1] - middle[0]
    if together.min() < TOGETHER_SHARE or abs(_times_usual(width, nominal_mm) - 1.0) > share:
        return None
    return float(middle[0]), float(middle[1])


def _times_usual(width_mm: float, nominal_mm: list[float]) -> float:
    """A width relative to the nearest usual one; infinite without usual ones."""
    return min((width_mm / nominal for nominal in nominal_mm), key=lambda t: abs(t - 1.0), default=np.inf)


def paper_stretch(rows: tuple[RowTrace, ...], columns: Columns, speed_mm_s: float) -> float:
    """Length of the traces relative to the grid, 1 where it cannot be measured.

    Carts show 10 s, or another usual time, to the sample; the motor of a cart that writes on preprinted
    paper, and a renderer that draws the grid independently, match the grid within about half a per cent.

    Args:
        rows: traces in page millimetres; columns: as placed on the grid.
    """
    nominal_mm = [seconds * speed_mm_s for seconds in NOMINAL_S]
    traced = traced_block(list(rows), nominal_mm, STRETCH_MAX)
    if traced is None or _is_cut(list(rows), traced[0], -1) or _is_cut(list(rows), traced[1], +1):
        return 1.0
    width = traced[1] - traced[0]
    if abs(width - columns.duration_s * speed_mm_s) > TOGETHER_MM:
        return 1.0
    stretch = _times_usual(width, nominal_mm)
    return 1.0 if abs(stretch - 1.0) <= 2 * NOMINAL_SHARE else stretch


def trim_windows(rows: tuple[RowTrace, ...], windows: tuple[Window, ...]) -> tuple[Window, ...]:
    """Panels without the stretches before a row's first trace and behind its last.

    At the block's ends the leads network takes stains and pulses for trace where the trace network sees none.
    """
    ends = {row.row_index: _first_and_last(row) for row in rows}
    out = []
    for window in windows:
        first, last = ends.get(window.row_index, (-np.inf, np.inf))
        start = first if first - TRIM_MM > window.start_mm else window.start_mm
        end = last if last + TRIM_MM < window.end_mm else window.end_mm
        out.append(replace(window, start_mm=start, end_mm=end) if start < end else window)
    return tuple(out)


def _first_and_last(row: RowTrace) -> tuple[float, float]:
    """Where the first long run of trace begins and the last one ends, mm."""
    step = row.x_mm[1] - row.x_mm[0]
    long = [(a, b) for a, b in runs(np.isfinite(row.y_mm)) if (b - a) * step >= TRACE_RUN_MM]
    if not long:
        return -np.inf, np.inf
    return float(row.x_mm[long[0][0]] - step / 2), float(row.x_mm[long[-1][1] - 1] + step / 2)


def on_read_rows(rows: tuple[RowTrace, ...], windows: tuple[Window, ...]) -> tuple[Window, ...]:
    """Panels whose row was read.

    Raises:
        PageError: there is none.
    """
    read = {row.row_index for row in rows}
    kept = tuple(window for window in windows if window.row_index in read)
    if not kept:
        raise PageError("calibration", "at least one lead must be readable; none of the found rows is")
    return kept


def place_columns(
    rows: tuple[RowTrace, ...],
    windows: tuple[Window, ...],
    layout: Layout | None,
    speed_mm_s: float = PAPER_SPEED_MM_S,
    pulse: PulsePlace | None = None,
    separators: dict[int, float] | None = None,
    *,
    on_guessed_scale: bool = False,
    has_grid: bool = True,
) -> Columns:
    """Find the columns' common edges.

    Columns of a block are equally wide. Where the image crops the block, or the page has no grid to flatten
    it, this is assumed only if the network's edges agree with it.

    Args:
        rows: traces in page millimetres; windows: panels with the leads network's edges.
        layout: the known layout, if any.
        pulse: where calibration pulses are; None without any.
        separators: middle of the strokes before inner columns, mm, by column (`separators`).
        on_guessed_scale: millimetres or speed are guessed: a usual width is no evidence.
        has_grid: the page map is a grid's, whose millimetres are equal everywhere.
    Raises:
        PageError: none of the panels' rows was read.
    """
    by_row = {row.row_index: row for row in rows}
    windows = on_read_rows(rows, windows)
    n_columns = layout.n_columns if layout is not None else max(w.column_index for w in windows) + 1
    nominal_mm = [] if on_guessed_scale else [seconds * speed_mm_s for seconds in NOMINAL_S]
    if layout is not None and n_columns > 1 and not on_guessed_scale:
        panel_mm = [seconds * speed_mm_s for seconds in PANEL_S]
        short = tuple(window for window in windows if not window.rhythm)
        sample_mm = speed_mm_s / SAMPLES_PER_S
        apart = panels_apart(_rows_of(short, by_row), n_columns, panel_mm, sample_mm)
        if apart is not None:
            return _columns_apart(windows, *apart, speed_mm_s)
    start, width = _block(by_row, windows, n_columns, nominal_mm, pulse, speed_mm_s)
    block = _rows_of(windows, by_row)
    # A whole block's columns are equally wide, a cropped one lost part of a column. A usual width is whole.
    cut = (_is_cut(block, start, -1), _is_cut(block, start + width, +1))
    seen = {
        j: float(np.median(at))
        for j in range(1, n_columns)
        if (at := [w.start_mm for w in windows if w.column_index == j and not w.rhythm])
    }
    if has_grid and any(cut) and not _is_usual(width, nominal_mm):
        start, width = _beyond_image(start, width, cut, seen, n_columns, nominal_mm)
    usual = _is_usual(width, nominal_mm)
    whole = has_grid and not any(cut)
    inside = {j: mm for j, mm in (separators or {}).items() if 0 < j < n_columns}
    start, width = _by_separators(start, width, inside, n_columns, usual=usual)
    edges = start + width * np.arange(n_columns + 1) / n_columns
    for j in range(1, n_columns) if not usual else ():
        if j in inside:
            edges[j] = inside[j]
        elif not whole and j in seen and abs(seen[j] - edges[j]) > EQUAL_MM:
            edges[j] = seen[j]
    moved, starts_s = [], {0: 0.0}
    for window in windows:
        j = window.column_index
        a, b = (start, start + width) if window.rhythm else (edges[j], edges[j + 1])
        if layout is None and not window.rhythm:
            a, b = window.start_mm, window.end_mm
        moved.append(replace(window, start_mm=float(a), end_mm=float(b)))
        if not window.rhythm:
            starts_s[j] = float(max(0.0, (a - start) / speed_mm_s)) if layout is None else 0.0
    if layout is not None:
        starts_s = {j: float((edges[j] - start) / speed_mm_s) for j in range(n_columns)}
    log.debug(
        "block of traces as %s: from %.2f mm, %.2f mm wide; usual width: %s, cropped left and right: %s, %s",
        layout.name if layout is not None else "unknown layout", start, width, usual, *cut,
    )  # fmt: skip
    return Columns(tuple(moved), starts_s, float(width / speed_mm_s))


def _rows_of(windows: tuple[Window, ...], by_row: dict[int, RowTrace]) -> list[RowTrace]:
    """The rows that hold panels, from the top."""
    return [by_row[k] for k in sorted({window.row_index for window in windows})]


def _block(
    by_row: dict[int, RowTrace],
    windows: tuple[Window, ...],
    n_columns: int,
    nominal_mm: list[float],
    pulse: PulsePlace | None,
    speed_mm_s: float,
) -> tuple[float, float]:
    """Start and width of the block, mm, from its outer panels' traces."""
    first, last = _outer_panels(windows, 0), _outer_panels(windows, n_columns - 1)
    earliest, latest = _beyond_pulse(pulse, windows)
    near_start = max(float(np.median([w.start_mm for w in first])), earliest)
    near_end = min(float(np.median([w.end_mm for w in last])), latest)
    traced = traced_block(_rows_of(windows, by_row), nominal_mm)
    whole = traced is not None and earliest <= traced[0] and traced[1] <= latest
    if traced is not None and whole:
        near_start, near_end = traced
    log.debug("block: edges near %.2f and %.2f mm, by traces that begin and end together: %s",
              near_start, near_end, whole)  # fmt: skip
    one_sample = np.array([speed_mm_s / SAMPLES_PER_S, 0.0])
    return find_block(
        [_ends(by_row[w.row_index], near_start if whole else w.start_mm, +1, pulse) for w in first],
        [_ends(by_row[w.row_index], near_end if whole else w.end_mm, -1, pulse) + one_sample for w in last],
        near_start,
        near_end,
        nominal_mm,
        (earliest, latest),
    )


def _outer_panels(windows: tuple[Window, ...], column: int) -> list[Window]:
    """Rhythm strips and the panels of one column; all panels without any."""
    return [w for w in windows if w.rhythm or w.column_index == column] or list(windows)


def _beyond_pulse(pulse: PulsePlace | None, windows: tuple[Window, ...]) -> tuple[float, float]:
    """Earliest start and latest end of the block, mm, that a pulse before or behind it allows."""
    if pulse is None:
        return -np.inf, np.inf
    if pulse.left_mm < 0.5 * (min(w.start_mm for w in windows) + max(w.end_mm for w in windows)):
        return pulse.right_mm - PULSE_SLACK_MM, np.inf
    return -np.inf, pulse.left_mm + PULSE_SLACK_MM


def _is_usual(width: float, nominal_mm: list[float]) -> bool:
    return any(np.isclose(width, nominal) for nominal in nominal_mm)


def _beyond_image(
    start: float,
    width: float,
    cut: tuple[bool, bool],
    seen: dict[int, float],
    n_columns: int,
    nominal_mm: list[float],
) -> tuple[float, float]:
    """Start and width of a block that the image crops, mm: the usual width that fits the columns' starts.

    Unchanged where no usual width, from the end that is not cropped, fits the columns clearly better than
    equal parts of the visible block.

    Args:
        start, width: of the visible block; cut: whether the image crops its start, and its end.
        seen: starts of inner columns by the leads network, mm.
        nominal_mm: usual widths.
    """
    if not seen:
        return start, width
    parts, places = np.array(list(seen)) / n_columns, np.array(list(seen.values()))
    off = float(np.abs(start + width * parts - places).mean())
    best = (off - CUT_BETTER_MM, start, width)
    for nominal in nominal_mm:
        if not 0.0 < nominal - width < nominal / n_columns:
            continue
        first = float(np.median(places - nominal * parts))
        if not all(cut):
            first = start + width - nominal if cut[0] else start
        first = float(np.clip(first, start + width - nominal, start))
        best = min(best, (float(np.abs(first + nominal * parts - places).mean()), first, nominal))
    return best[1:]


def _by_separators(
    start: float, width: float, inside: dict[int, float], n_columns: int, *, usual: bool
) -> tuple[float, float]:
    """Start and width of a block whose separators are seen, mm: they are more precise than traces' round
    ends.

    They give the start and the end of a block of any width, and the start of one of a usual width.
    """
    if usual and inside:
        first_mm = float(np.median([mm - width * j / n_columns for j, mm in inside.items()]))
        # At a larger distance, dark lines of the grid were taken for separators.
        limit = Limit("distance to the block's start in mm", abs(first_mm - start), most=SEPARATORS_OFF_MM)
        return (first_mm if keeps_limits(log, ("separators",), [limit]) else start), width
    if len(inside) > 1:
        pitch, first_mm = np.polyfit(list(inside), list(inside.values()), 1)
        last_mm = first_mm + pitch * n_columns
        off_mm = max(abs(first_mm - start), abs(last_mm - start - width))
        limit = Limit("distance to the block's ends in mm", off_mm, most=SEPARATORS_OFF_MM)
        if keeps_limits(log, ("separators",), [limit]):
            return float(first_mm), float(last_mm - first_mm)
    return start, width


def _is_cut(rows: list[RowTrace], end_mm: float, direction: int) -> bool:
    """Whether the image ends where the block does, beyond (+1) or before (-1) `end_mm`."""
    cut = []
    for row in rows:
        beyond = direction * (row.x_mm - end_mm)
        near = row.presence[(beyond > 0) & (beyond < EDGE_RUN_MM)]
        # Outside the image the presence is exactly 0.
        cut.append(not near.size or np.mean(near == 0) > 0.5)
    return bool(np.mean(cut) > 0.5)


def find_block(
    starts: list[NDArray[np.float64]],
    ends: list[NDArray[np.float64]],
    near_start: float,
    near_end: float,
    nominal_mm: list[float],
    within: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, float]:
    """Start and width of the block of traces, mm.

    A row's trace may begin with a pulse that is joined to it, or end in one. So every beginning and end of a
    row is a candidate, and so are places at a usual width from these: the best pair is shared by most rows,
    has a usual width and is near the leads network's edges. Where a usual width and the ends differ slightly,
    the end with the greater weight is kept.

    Args:
        starts, ends: per row (k, 2), places where its trace begins and ends, and their weights (0 to 1).
        near_start, near_end: the network's edges.
        nominal_mm: usual widths; within: the block is inside this stretch, which pulses bound.
    """
    start_places = np.unique(np.concatenate([*(row[:, 0] for row in starts), [near_start]]))
    end_places = np.unique(np.concatenate([*(row[:, 0] for row in ends), [near_end]]))
    widths = np.asarray(nominal_mm)
    from_ends = (end_places[:, None] - widths).ravel()
    from_starts = (start_places[:, None] + widths).ravel()
    s = np.concatenate([start_places, from_ends[np.abs(from_ends - near_start) < END_REACH_MM]])
    e = np.concatenate([end_places, from_starts[np.abs(from_starts - near_end) < END_REACH_MM]])
    s, e = s[s >= within[0]], e[e <= within[1]]
    width = e[None] - s[:, None]
    off = np.abs(width[..., None] - widths).min(axis=-1, initial=np.inf) / np.maximum(width, 1.0)
    start_votes, end_votes = _votes(starts, s), _votes(ends, e)
    start_prior, end_prior = (
        EDGE_PRIOR * (PULSE_TRUST if abs(edge - bound) < PULSE_FOOT_MM else 1.0)
        for edge, bound in zip((near_start, near_end), within, strict=True)
    )
    score = (
        start_votes[:, None]
        + end_votes[None]
        + NOMINAL_WORTH * np.exp(-0.5 * (off / NOMINAL_SHARE) ** 2)
        - start_prior * np.abs(s - near_start)[:, None]
        - end_prior * np.abs(e - near_end)[None]
    )
    i, j = np.unravel_index(int(np.argmax(score)), score.shape)
    start, end = _common_end(starts, s[i]), _common_end(ends, e[j])
    nearest = widths[np.abs(width[i, j] - widths).argmin()] if widths.size else np.inf
    if abs(width[i, j] / nearest - 1) < 2 * NOMINAL_SHARE:
        # Squared: an end that half of the rows show is less than half as certain.
        weight = np.maximum(np.array([start_votes[i], end_votes[j]]) ** 2, 1e-6)
        return float(start + (end - nearest - start) * weight[1] / weight.sum()), float(nearest)
    return start, end - start


def _common_end(rows: list[NDArray[np.float64]], at_mm: float) -> float:
    """Weighted mean, mm, of the places where rows begin or end near `at_mm`; `at_mm` where none does."""
    ends = np.array([row[np.abs(row[:, 0] - at_mm).argmin()] for row in rows if row.size]).reshape(-1, 2)
    near = ends[np.abs(ends[:, 0] - at_mm) < VOTE_MM]
    return float(np.average(near[:, 0], weights=near[:, 1])) if near.size else float(at_mm)


def _votes(rows: list[NDArray[np.float64]], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Summed weight of the rows that have a candidate at each place, 1 where all have one of full weight."""
    votes = np.zeros(places.size)
    for row in rows:
        if row.size:
            near = np.exp(-0.5 * ((row[None, :, 0] - places[:, None]) / VOTE_MM) ** 2)
            votes += (near * row[:, 1]).max(axis=1)
    return votes / max(1, len(rows))


def _ends(
    row: RowTrace, near_mm: float, direction: int, pulse: PulsePlace | None = None
) -> NDArray[np.float64]:
    """(k, 2) places where the row's trace begins (direction +1) or ends (-1) near the network's edge, and
    their weights."""
    step = row.x_mm[1] - row.x_mm[0]
    run = max(3, round(EDGE_RUN_MM / step)) | 1  # odd: an even run moves every start by a read-out
    seen = np.isfinite(row.y_mm).astype(float)
    smooth = np.convolve(seen, np.ones(run) / run, mode="same") > 0.5
    change = np.flatnonzero(np.diff(smooth.astype(int)) == direction)
    change = change[np.abs(row.x_mm[change] + step / 2 - near_mm) <= END_REACH_MM]
    places = _half_seen(row, change, direction) + direction * _seen_beyond(row)
    weight = np.ones(change.size)
    # Outside the image the presence is exactly 0, where the network sees no trace it never is. Centroids give
    # 0 or 1 only.
    graded = bool(((row.presence > 0) & (row.presence < 1)).any())
    for k, at in enumerate(change if graded else ()):
        beyond = row.presence[max(0, at - run) : at] if direction > 0 else row.presence[at + 2 : at + 2 + run]
        if beyond.size and np.mean(beyond == 0) > 0.5:
            weight[k] = CUT_TRUST
    if pulse is not None and np.sign(np.nanmean(row.x_mm) - pulse.left_mm) == direction:
        from_pulse = places - pulse.right_mm if direction > 0 else pulse.left_mm - places
        weight[from_pulse < PULSE_FOOT_MM] *= PULSE_TRUST
        outside = from_pulse >= -PULSE_SLACK_MM
        places, weight = places[outside], weight[outside]
    return np.column_stack([places, weight])


def _half_seen(row: RowTrace, change: NDArray[np.intp], direction: int) -> NDArray[np.float64]:
    """Place where the presence passes one half within two read-outs of each change, mm; else the change."""
    step = row.x_mm[1] - row.x_mm[0]
    before, after = row.presence[:-1], row.presence[1:]
    passes = (before < 0.5) != (after < 0.5)
    passes &= np.sign(after - before) == direction
    share = np.divide(0.5 - before, after - before, out=np.full(before.size, 0.5), where=passes)
    at = np.flatnonzero(passes)
    places = row.x_mm[change] + step / 2
    if not at.size:
        return places
    passed = row.x_mm[at] + share[at] * step
    nearest = passed[np.abs(passed[None] - places[:, None]).argmin(axis=1)]
    return np.where(np.abs(nearest - places) <= 2.5 * step, nearest, places)


def _seen_beyond(row: RowTrace) -> float:
    """Length of the stroke before the first sample and behind the last, mm: a pen's ends are round."""
    if row.bars or not np.isfinite(row.pen_mm):
        return 0.0
    return max(0.0, PEN_REACH * (row.pen_mm - PEN_LEAST_MM))


def places_on_strip(starts: list[float], ends: list[float]) -> list[float]:
    """Place on a rhythm strip at which each column starts, mm, if the columns follow each other.

    Args:
        starts, ends: of the columns (`column_edges`); a strip has no space where separate panels have one.
    """
    widths = np.subtract(ends, starts)
    return [float(starts[0] + width) for width in np.cumsum([0.0, *widths[:-1]])]


def column_edges(windows: tuple[Window, ...], n_columns: int) -> tuple[list[float], list[float]]:
    """Start and end of every column, mm: medians over its panels; an equal part of the block without
    panels."""
    left, right = min(w.start_mm for w in windows), max(w.end_mm for w in windows)
    starts, ends = [], []
    for j in range(n_columns):
        mine = [w for w in windows if w.column_index == j and not w.rhythm]
        width = (right - left) / n_columns
        starts.append(float(np.median([w.start_mm for w in mine])) if mine else left + j * width)
        ends.append(float(np.median([w.end_mm for w in mine])) if mine else left + (j + 1) * width)
    return starts, ends
