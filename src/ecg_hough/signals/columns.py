"""Where the columns of a page begin and end, to a fraction of a millimetre, and when.

In: row traces in page millimetres, panels with the leads network's edges, paper speed, what pulses and
separators say. Out: panels with common edges and the time of every column. The block's ends are where most
rows' traces end; a usual duration and separators make them sharper.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ecg_hough.elements import Columns, PulsePlace, RowTrace, Window
from ecg_hough.errors import PageError
from ecg_hough.numeric import runs
from ecg_hough.paper import PAPER_SPEED_MM_S, Layout

# Tuned on own renders and the development pages.
END_REACH_MM = 12.0
"""Farthest that a block's end may stand off the leads network's edge: a pulse and its feet."""
VOTE_MM = 0.3
"""Distance at which a row's end still speaks for a place."""
EDGE_PRIOR = 0.08
"""Cost per mm off the network's edge; one row in full agreement is worth 1 / rows. Less where the edge is a
pulse's (`PULSE_TRUST`): its foot may go on to the trace."""
PEN_REACH, PEN_LEAST_MM = 0.18, 0.2
"""A round pen's stroke is seen before the first sample and behind the last by this share of its width beyond
the least one. Of 173 own pages (seeds 31313, 42424) and ECG-Image-Kit's; a raster's ends are square."""
SAMPLES_PER_S = 500.0
"""Usual rate of what is printed: the last sample stands one interval before the end of its time."""
EDGE_RUN_MM = 1.5
"""Length of uninterrupted trace (or of none) that makes an end."""
TRACE_RUN_MM, TRIM_MM = 5.0, 3.0
"""Least uninterrupted trace with which a row begins or ends, and how far off it the network may be."""
TOGETHER_MM, TOGETHER_SHARE = 1.0, 0.75
"""Rows begin together within this, and this share of them must."""
EQUAL_MM = 12.0
"""Columns of a block of no usual width are equally wide, too, where their edges stand closer to that."""
NOMINAL_SHARE = 0.002
"""Blocks within twice this of a usual duration have that duration."""
NOMINAL_WORTH = 0.6
"""Worth of a usual width; one end on which all rows agree is worth 1. No more: a page shows what it shows."""
CUT_TRUST = 0.35
"""Say of an end that is the image's border: the trace was cut there."""
PULSE_TRUST, PULSE_FOOT_MM = 0.15, 1.6
"""Say of an end this near to a calibration pulse's stroke: it may be the end of the pulse's foot."""
PULSE_SLACK_MM = 0.3
"""Ends farther than this within a pulse are the pulse's."""
CUT_BETTER_MM = 1.0
"""By how much better the columns of a usual width must fit the network's edges, where the image cuts the
block off, than equal parts of what it shows."""
STRETCH_MAX = 0.006
"""Farthest that a whole block may be off a usual width for the paper, not the time, to be blamed: where
columns are cut short, any width is as likely."""
SEPARATORS_OFF_MM = 1.5
"""Farthest that a block's ends stand off where its separators say."""
NOMINAL_S = (2.5, 5.0, 6.0, 10.0, 12.0, 15.0, 20.0, 30.0)
"""Usual times of a block of traces, s."""
PANEL_S = (5 / 3, 2.0, 2.5, 3.0, 10 / 3, 4.0, 5.0, 6.0, 10.0, 12.0)
"""Usual times of a panel in a frame of its own, s."""
APART_MM, APART_OFF_MM = 1.5, 1.5
"""Least space between panels that stand apart, and farthest that their ends are off equal panels of a usual
width."""
CUT_OUT_MM = 8.0
"""A space narrower than this may belong to the time shown: carts leave some before a column."""
EVEN_MM = 0.05
"""Scale of the robust loss by which panels that stand apart are laid at equal distances."""
APART_SHARE, PANEL_SHARE = 0.75, 0.5
"""Least share of the ends that must be that near; least width of a panel in parts of the widest."""


def panels_apart(
    rows: list[RowTrace], n_columns: int, nominal_mm: list[float], sample_mm: float = 0.0
) -> tuple[NDArray[np.float64], float] | None:
    """Starts (columns,) and width, mm, of panels that stand apart, each in a frame of its own.

    Nothing is traced between them, and each shows a usual time; None where columns follow each other without
    a space. A space that belongs to the time shown, as some carts leave before a column, leaves less than
    a usual time on both sides.

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
    # What is much shorter than a panel is a pulse.
    longest = max((last - first for first, last in pieces), default=0.0)
    least = max(TRACE_RUN_MM, PANEL_SHARE * longest)
    ends = np.array([piece for piece in pieces if piece[1] - piece[0] >= least])
    if len(ends) != n_columns:
        return None
    nominal = np.array(nominal_mm)
    width = float(nominal[np.abs(nominal - np.median(ends[:, 1] - ends[:, 0])).argmin()])
    # Each panel's start as both of its ends have it; a trace may break off before a panel's end.
    starts = ends - (0.0, width)
    pitch = float(np.median(np.diff(starts, axis=0)))
    off = starts - pitch * np.arange(n_columns)[:, None]
    fits = np.abs(off - np.median(off)) < APART_OFF_MM
    cut_out = pitch - width < CUT_OUT_MM and np.abs(nominal - pitch).min() < APART_OFF_MM
    if cut_out or fits.mean() < APART_SHARE:
        return None
    near = np.asarray(np.median(off) + pitch * np.arange(n_columns), float)
    return _even_starts(rows, near, width, sample_mm), width


def _even_starts(
    rows: list[RowTrace], near_mm: NDArray[np.float64], width: float, sample_mm: float
) -> NDArray[np.float64]:
    """Starts of panels at equal distances, mm, near places and as most rows' sharp ends have them."""
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
    """Panels that stand apart; a rhythm strip goes on without a space."""
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

    Such a block is whole, whatever the leads network took for its edges; None where the traces show none.
    `share` is what its width may be off a usual one.
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
    """A width in parts of the usual one that it is nearest to; infinite where none is usual."""
    return min((width_mm / nominal for nominal in nominal_mm), key=lambda t: abs(t - 1.0), default=np.inf)


def paper_stretch(rows: tuple[RowTrace, ...], columns: Columns, speed_mm_s: float) -> float:
    """How many times longer the traces are drawn than the grid says, 1 where nothing tells.

    Carts show 10 s, or another usual time, to the sample; the motor of one that writes on printed paper, and
    a renderer that draws the grid by itself, keep to that grid within half a per cent or so.

    Args:
        rows: traces in page millimetres; columns: as placed by the grid.
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

    The leads network takes stains and pulses at the block's ends for trace where the trace network sees none.
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

    Inside the block columns are equal, but where the image cuts it off or no grid makes the page flat; there
    they are equal where the network's edges agree with that.

    Args:
        rows: traces in page millimetres; windows: panels with the leads network's edges.
        layout: the known layout, if any.
        pulse: where calibration pulses stand; None without any.
        separators: middle of the strokes before inner columns, mm, by column (`separators`).
        on_guessed_scale: millimetres or speed are guessed: a usual width speaks for no place.
        has_grid: the page map is a grid's, whose millimetres are equal everywhere.
    Raises:
        PageError: none of the panels' rows was read.
    """
    by_row = {row.row_index: row for row in rows}
    windows = tuple(window for window in windows if window.row_index in by_row)
    if not windows:
        raise PageError("calibration", "at least one lead must be readable; none of the found rows is")
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
    # A whole block's columns are equally wide, a cut one lost part of a column. A usual width is whole.
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
    return Columns(tuple(moved), starts_s, float(width / speed_mm_s))


def _rows_of(windows: tuple[Window, ...], by_row: dict[int, RowTrace]) -> list[RowTrace]:
    """The rows that panels stand in, from the top."""
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
    first = [w for w in windows if w.rhythm or w.column_index == 0] or list(windows)
    last = [w for w in windows if w.rhythm or w.column_index == n_columns - 1] or list(windows)
    middle = 0.5 * (min(w.start_mm for w in windows) + max(w.end_mm for w in windows))
    earliest, latest = -np.inf, np.inf
    if pulse is not None and pulse.left_mm < middle:
        earliest = pulse.right_mm - PULSE_SLACK_MM
    elif pulse is not None:
        latest = pulse.left_mm + PULSE_SLACK_MM
    near_start = max(float(np.median([w.start_mm for w in first])), earliest)
    near_end = min(float(np.median([w.end_mm for w in last])), latest)
    traced = traced_block(_rows_of(windows, by_row), nominal_mm)
    if traced is not None and earliest <= traced[0] and traced[1] <= latest:
        near_start, near_end = traced
        first, last = (
            [replace(w, start_mm=near_start, end_mm=near_end) for w in some] for some in (first, last)
        )
    ends = [_ends(by_row[w.row_index], w.end_mm, -1, pulse) for w in last]
    return find_block(
        [_ends(by_row[w.row_index], w.start_mm, +1, pulse) for w in first],
        [row + np.array([speed_mm_s / SAMPLES_PER_S, 0.0]) for row in ends],
        near_start,
        near_end,
        nominal_mm,
        (earliest, latest),
    )


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
    """Start and width of a block that the image cuts off, mm: the usual width whose columns begin where seen.

    As they are where no usual width, from the end that is not cut, fits the columns clearly better than equal
    parts of what the image shows.

    Args:
        start, width: of what the image shows; cut: whether it ends there, at the start and at the end.
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
    """Start and width of a block whose separators are seen, mm: they are sharper than the traces' round ends.

    Of a block of any width they show where it begins and ends, of one of a usual width where it begins.
    """
    if usual and inside:
        first_mm = float(np.median([mm - width * j / n_columns for j, mm in inside.items()]))
        # Farther off dark lines of the grid were taken for separators.
        return (first_mm if abs(first_mm - start) <= SEPARATORS_OFF_MM else start), width
    if len(inside) > 1:
        pitch, first_mm = np.polyfit(list(inside), list(inside.values()), 1)
        last_mm = first_mm + pitch * n_columns
        if max(abs(first_mm - start), abs(last_mm - start - width)) <= SEPARATORS_OFF_MM:
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

    A row's trace may begin with a pulse that is joined to it, or end in one. So every beginning and end
    of a row is a candidate, and so is what lies a usual width off: the pair wins that most rows share,
    that has a usual width and stands near the leads network's edges. Where a usual width and the ends differ
    by a hair, the end with more say stays.

    Args:
        starts, ends: per row (k, 2), places where its trace begins and ends, and their say (0 to 1).
        near_start, near_end: the network's edges.
        nominal_mm: usual widths; within: the block lies in this stretch, as pulses bound it.
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
        # The squares: an end that half the rows show is less than half as sure.
        say = np.maximum(np.array([start_votes[i], end_votes[j]]) ** 2, 1e-6)
        return float(start + (end - nearest - start) * say[1] / say.sum()), float(nearest)
    return start, end - start


def _common_end(rows: list[NDArray[np.float64]], at_mm: float) -> float:
    """Mean by their say, mm, of where the rows begin or end near a place; the place where none does."""
    ends = np.array([row[np.abs(row[:, 0] - at_mm).argmin()] for row in rows if row.size]).reshape(-1, 2)
    near = ends[np.abs(ends[:, 0] - at_mm) < VOTE_MM]
    return float(np.average(near[:, 0], weights=near[:, 1])) if near.size else float(at_mm)


def _votes(rows: list[NDArray[np.float64]], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say of the rows that have a candidate at each place, 1 where all fully have."""
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
    what say each has."""
    step = row.x_mm[1] - row.x_mm[0]
    run = max(3, round(EDGE_RUN_MM / step)) | 1  # odd: an even run moves every start by a read-out
    seen = np.isfinite(row.y_mm).astype(float)
    smooth = np.convolve(seen, np.ones(run) / run, mode="same") > 0.5
    change = np.flatnonzero(np.diff(smooth.astype(int)) == direction)
    change = change[np.abs(row.x_mm[change] + step / 2 - near_mm) <= END_REACH_MM]
    places = _half_seen(row, change, direction) + direction * _seen_beyond(row)
    say = np.ones(change.size)
    # Outside the image the presence is exactly 0, where the network says "no trace" it never is. Centroids
    # only say yes or no.
    tells = bool(((row.presence > 0) & (row.presence < 1)).any())
    for k, at in enumerate(change if tells else ()):
        beyond = row.presence[max(0, at - run) : at] if direction > 0 else row.presence[at + 2 : at + 2 + run]
        if beyond.size and np.mean(beyond == 0) > 0.5:
            say[k] = CUT_TRUST
    if pulse is not None and np.sign(np.nanmean(row.x_mm) - pulse.left_mm) == direction:
        beside = places - pulse.right_mm if direction > 0 else pulse.left_mm - places
        say[beside < PULSE_FOOT_MM] *= PULSE_TRUST
        places, say = places[beside >= -PULSE_SLACK_MM], say[beside >= -PULSE_SLACK_MM]
    return np.column_stack([places, say])


def _half_seen(row: RowTrace, change: NDArray[np.intp], direction: int) -> NDArray[np.float64]:
    """Where, within two read-outs of each change, the presence passes one half, mm; else at the change."""
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
    """How far the trace is seen before its first sample and behind its last, mm: a pen's ends are round."""
    if row.bars or not np.isfinite(row.pen_mm):
        return 0.0
    return max(0.0, PEN_REACH * (row.pen_mm - PEN_LEAST_MM))


def places_on_strip(starts: list[float], ends: list[float]) -> list[float]:
    """Where on a rhythm strip each column starts, mm, if the columns follow each other.

    Args:
        starts, ends: of the columns (`column_edges`); between panels that stand apart a strip has no space.
    """
    widths = np.subtract(ends, starts)
    return [float(starts[0] + width) for width in np.cumsum([0.0, *widths[:-1]])]


def column_edges(windows: tuple[Window, ...], n_columns: int) -> tuple[list[float], list[float]]:
    """Start and end of every column, mm: medians over its panels, equal division where it has none."""
    left, right = min(w.start_mm for w in windows), max(w.end_mm for w in windows)
    starts, ends = [], []
    for j in range(n_columns):
        mine = [w for w in windows if w.column_index == j and not w.rhythm]
        width = (right - left) / n_columns
        starts.append(float(np.median([w.start_mm for w in mine])) if mine else left + j * width)
        ends.append(float(np.median([w.end_mm for w in mine])) if mine else left + (j + 1) * width)
    return starts, ends
