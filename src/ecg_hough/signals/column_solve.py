"""Start, pitch and duration of a page's columns as one posterior over what its rows show.

In: landmarks of the rows (`traces.marks`), panels with the leads network's edges, millimetres a second.
Out: `SolvedColumns`: where every column begins and ends, and how long it lasts. Every row weighs every
hypothesis by the landmarks that it shows at the columns' starts and ends; usual durations are likely, others
possible; a landmark may be missing, or be something else. Columns that follow each other are as wide as they
last, up to the stretch of paper and print; columns with a space between them last a usual time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Columns, RowMark, RowTrace, Window

Floats = NDArray[np.float64]

DURATIONS: dict[float, float] = {
    2.5: 0.0, 5.0: -0.5, 10.0: 0.0, 5 / 3: -2.5, 2.0: -3.0, 2.4: -4.0, 3.0: -3.0, 10 / 3: -2.5, 4.0: -3.5,
    6.0: -3.0, 12.0: -3.5, 15.0: -4.0, 20.0: -4.0, 30.0: -4.0,
}  # fmt: skip
"""Durations of a column that carts and programs print, s, and their log prior."""
OTHER_PRIOR, APART_PRIOR = -12.0, -2.5
"""Log prior of columns of any other width, and of a space between columns."""
STRETCH_SD, STRETCH_MAX = 0.0008, 0.012
"""Relative error of the width of columns that follow each other: paper and print; and the largest."""
STRETCHES, UNSTRETCHED = np.linspace(-STRETCH_MAX, STRETCH_MAX, 25), np.zeros(1)
GUESSED_SD, GUESSED = 0.02, np.linspace(-0.08, 0.08, 161)
"""The same where millimetres are guessed, as without a grid."""
STRETCHED = 3
"""Likeliest durations that are tried with stretched paper."""
STEP_MM = 0.04
"""Step of the places that are tried."""
CORE_MM, TAIL_MM, TAIL_SHARE = 0.12, 0.6, 0.12
"""Error of a landmark's place, and of the few that err more."""
MISSED = 0.03
"""Likelihood of a landmark that no row shows near its place, of one that it shows for sure."""
SAME_DURATION = 0.001
"""Relative difference of durations that are the same."""
INDEPENDENT_ROWS = 3.0
"""Rows whose landmarks err independently: what misleads one row, as a pulse that is joined to the trace, is
the same in all."""
INDEPENDENT_COLUMNS, JOINED_MM = 2.0, 0.3
"""Starts of inner columns whose landmarks err independently: a name, or the first wave, misleads all alike; a
column that ends this near to the next one's start ends on the same ink."""
SAME_INK = 0.5
"""Weight of the second of two landmarks that are seen on the same ink."""
NETWORK_SD_MM = 4.0
"""Error of the leads network's edges."""
TRACED_SPACE = -10.0
"""Log likelihood of a space between columns through which all rows are traced."""
SPACE_MM = (0.8, 14.0)
"""Space between columns."""
CUT_MM, CUT_PRIOR = (0.15, 3.0), -3.0
"""End of every column that carts leave out, as MUSE draws 1238 of 1250 samples; its log prior."""
REACH_MM = 30.0
"""Farthest that the block may begin from the leads network's edge."""
EVEN_SD_MM = 0.06
"""Departure of a column's start from equal distances."""
AGREE_MM, AGREE_S = 0.3, 0.008
"""Columns by other means that begin this near to the solved ones are the same, and may be placed better."""
LATE_S, SAME_PITCH = 0.02, 0.02
"""Error of a column's start that is a fault; relative difference of durations that are one, stretched."""
NEAR_MM = 1.0
"""Landmarks this near to a column's start move it."""


@dataclass(frozen=True)
class SolvedColumns:
    """Columns of a page.

    Attributes:
        starts_mm: (columns,) first sample of each; width_mm: of what each shows; duration_s: of each.
        apart: there is a space between columns.
        margin: log likelihood ratio to the next hypothesis of another duration or place.
        sd_mm: (columns,) expected error of the starts.
        against: log likelihood ratio to columns that were proposed by other means.
        tried: (m, 4) log posterior of all that was tried, with duration, s, start and pitch, mm.
    """

    starts_mm: Floats
    width_mm: float
    duration_s: float
    apart: bool
    margin: float
    sd_mm: Floats
    against: float = np.inf
    tried: Floats = field(default_factory=lambda: np.zeros((0, 4)))

    @property
    def mm_per_s(self) -> float:
        """Millimetres of a second: stretched paper stretches rhythm strips as much as the columns above."""
        return self.width_mm / self.duration_s

    def agrees(self, columns: Columns) -> bool:
        """Whether other columns begin at the same places and times, within the error of landmarks."""
        off_mm, off_s = self._off(columns)
        return off_mm < AGREE_MM and off_s < AGREE_S

    def odds(self, columns: Columns) -> float:
        """Log odds of columns to the likeliest others, which begin `LATE_S` or more off somewhere or last
        another time; -inf where nothing that was tried is like them."""
        starts = np.array([start for start, _ in columns.spans_mm.values()])
        pitch_s = columns.duration_s / len(starts)
        score, duration, start, pitch = self.tried.T
        late_mm = start[:, None] + pitch[:, None] * np.arange(len(starts)) - starts
        alike = np.abs(late_mm).max(axis=1) < LATE_S * self.mm_per_s
        alike &= np.abs(duration / pitch_s - 1.0) < SAME_PITCH
        return float(score[alike].max(initial=-np.inf) - score[~alike].max(initial=-np.inf))

    def _off(self, columns: Columns) -> tuple[float, float]:
        """Largest distances in place, mm, and in time, s; infinite of another number."""
        places, times = columns.spans_mm, columns.starts_s
        if len(places) != len(self.starts_mm):
            return np.inf, np.inf
        off_mm = [abs(places[j][0] - start) for j, start in enumerate(self.starts_mm.tolist())]
        off_s = [abs(times[j] - j * self.duration_s) for j in range(len(places))]
        return max(off_mm), max(off_s)

    def columns(self, windows: tuple[Window, ...]) -> Columns:
        """The panels at the columns' edges; a rhythm strip is as long as all columns together."""
        n, starts = len(self.starts_mm), self.starts_mm
        ends = starts + self.width_mm
        if not self.apart:
            ends[:-1] = np.minimum(starts[1:], starts[:-1] + (1.0 + STRETCH_MAX) * self.width_mm)
        whole = starts[0] + n * self.width_mm if self.apart else ends[-1]
        placed = [
            replace(w, start_mm=float(starts[0]), end_mm=float(whole))
            if w.rhythm
            else replace(w, start_mm=float(starts[w.column_index]), end_mm=float(ends[w.column_index]))
            for w in windows
        ]
        starts_s = {j: j * self.duration_s for j in range(n)}
        return Columns(tuple(placed), starts_s, n * self.duration_s, apart=self.apart)


@dataclass(frozen=True)
class _Evidence:
    """What the rows show.

    Attributes:
        short, rhythm: of every row of short leads and of every rhythm strip, landmarks by kind, (m, 2) place
            and probability.
        starts_mm, ends_mm: the leads network's edges, NaN where a column has none.
        cut_mm: end of every column that is not drawn.
        traced_mm: (k, 2) places along the page, and the share of rows of short leads that are traced there.
    """

    short: tuple[dict[str, Floats], ...]
    rhythm: tuple[dict[str, Floats], ...]
    starts_mm: Floats
    ends_mm: Floats
    first_mm: float
    last_mm: float
    cut_mm: float = 0.0
    traced_mm: Floats = field(default_factory=lambda: np.zeros((0, 2)))

    @property
    def n_columns(self) -> int:
        return len(self.starts_mm)

    def places(self, kind: str, *, near_mm: float | None = None, reach_mm: float = REACH_MM) -> Floats:
        """Places of all landmarks of a kind, near one if that is given, and the block's edge."""
        found = [row[kind][:, 0] for row in (*self.short, *self.rhythm)]
        places = np.concatenate([*found, [self.first_mm if kind == "start" else self.last_mm]])
        return places if near_mm is None else places[np.abs(places - near_mm) < reach_mm]

    def log_likelihood(self, start: Floats, pitch: Floats, width: Floats) -> Floats:
        """Of hypotheses (m,): start of the block, distance of columns, width of each."""
        starts = start[:, None] + pitch[:, None] * np.arange(self.n_columns)
        return self.of_edges(starts, starts + width[:, None])

    def of_edges(self, starts: Floats, ends: Floats) -> Floats:
        """Log likelihood of the starts and ends of columns, (m, columns) each."""
        start, total, inner = starts[:, 0], np.zeros(len(starts)), np.zeros(len(starts))
        together, drawn = start + (ends - starts).sum(axis=1), ends - self.cut_mm
        joined = np.abs(drawn[:, :-1] - starts[:, 1:]) < JOINED_MM
        for row in self.short:
            total += _nats(_near(row["start"], start)) + _nats(_near(row["end"], drawn[:, -1]))
            begins = np.maximum(_near(row["start"], starts[:, 1:]), _near(row["separator"], starts[:, 1:]))
            ended = _near(row["end"], drawn[:, :-1])
            # Where one column ends and the next begins, both are seen on the same ink.
            most, least = np.maximum(begins, ended), np.minimum(begins, ended)
            same = _nats(most) + SAME_INK * _nats(least)
            inner += np.where(joined, same, _nats(begins) + _nats(ended)).sum(axis=1)
        for row in self.rhythm:
            total += _nats(_near(row["start"], start))
            total += _nats(np.maximum(_near(row["end"], ends[:, -1]), _near(row["end"], together)))
        inner *= min(1.0, INDEPENDENT_COLUMNS / max(1, self.n_columns - 1))
        total = (total + inner) * min(1.0, INDEPENDENT_ROWS / (len(self.short) + len(self.rhythm)))
        known = np.isfinite(self.starts_mm)
        total += _cauchy(starts[:, known] - self.starts_mm[known], NETWORK_SD_MM).sum(axis=1)
        if np.isfinite(self.ends_mm[-1]):
            total += _cauchy(ends[:, -1] - self.ends_mm[-1], NETWORK_SD_MM)
        return total + (CUT_PRIOR if self.cut_mm else 0.0)

    def with_cut(self) -> tuple[_Evidence, ...]:
        """The same, and the same with the end of every column that landmarks suggest is not drawn."""
        gaps = [
            float(later.min() - end)
            for row in self.short
            for end in row["end"][:, 0].tolist()
            if (later := row["start"][:, 0][row["start"][:, 0] > end + CUT_MM[0]]).size
            and later.min() - end < CUT_MM[1]
        ]
        if len(gaps) < 2 or self.n_columns < 2:
            return (self,)
        return self, replace(self, cut_mm=float(np.median(gaps)))


def _near(marks: Floats, at_mm: Floats) -> Floats:
    """Probability of a landmark (k, 2) where one is expected, of the shape of `at_mm`: less off its place."""
    if not len(marks):
        return np.zeros(np.shape(at_mm))
    off = np.abs(at_mm[..., None] - marks[:, 0])
    near = np.maximum(np.exp(-0.5 * (off / CORE_MM) ** 2), TAIL_SHARE * np.exp(-off / TAIL_MM))
    return np.asarray((marks[:, 1] * near).max(axis=-1))


def _nats(probability: Floats) -> Floats:
    """Log likelihood ratio to none of a landmark that is expected."""
    return np.asarray(np.log(1.0 + probability / MISSED))


def _cauchy(residual: Floats | float, scale: float) -> Floats:
    return np.asarray(-np.log(1.0 + (np.asarray(residual) / scale) ** 2))


def solve_columns(
    marks: tuple[RowMark, ...],
    windows: tuple[Window, ...],
    n_columns: int,
    mm_per_s: float,
    proposed: Columns | None = None,
    rows: tuple[RowTrace, ...] = (),
    *,
    guessed_mm: bool = False,
) -> SolvedColumns:
    """The likeliest columns.

    Args:
        marks: landmarks of the rows; windows: panels with the leads network's edges.
        mm_per_s: paper speed.
        proposed: columns by other means, whose margin is against the best of these.
        rows: traces: no trace runs through a space between columns.
        guessed_mm: millimetres, and so the speed in them, are known to a few percent only.
    """
    views = _evidence(marks, windows, n_columns, rows).with_cut()
    solved = [_tried(view, mm_per_s, guessed_mm=guessed_mm) for view in views]
    best = sorted((kind for kinds in solved for kind in kinds), key=lambda kind: -kind.best)
    seen = views[int(np.argmax([max(kind.best for kind in kinds) for kinds in solved]))]
    first = best[0]
    start, pitch, width, _ = first.likeliest
    others = [
        kind.best
        for kind in best[1:]
        if kind.duration_s != first.duration_s or abs(kind.likeliest[0] - start) > NEAR_MM
    ]
    starts, sd = _refined(seen, start + pitch * np.arange(n_columns), width, apart=first.apart)
    seconds = first.duration_s if first.duration_s is not None else width / mm_per_s
    against = np.inf
    if proposed is not None:
        against = first.best - max(_log_posterior(view, proposed) for view in views)
    tried = np.concatenate([kind.table(mm_per_s) for kind in best])
    margin = first.best - max(others, default=-np.inf)
    return SolvedColumns(starts, width, seconds, first.apart, margin, sd, against, tried)


@dataclass(frozen=True)
class _Kind:
    """Hypotheses of one duration, with a space between columns or without, and their log posterior.

    Attributes:
        duration_s: None where it is as wide as the columns happen to be.
        tried: (m, 4) start, pitch and width, mm, with a log prior each; score: (m,).
    """

    duration_s: float | None
    apart: bool
    tried: Floats
    score: Floats

    @property
    def best(self) -> float:
        """Log posterior of the likeliest; -inf without any."""
        return float(self.score.max(initial=-np.inf))

    @property
    def likeliest(self) -> Floats:
        """(4,) as in `tried`; zeros without any."""
        return self.tried[int(self.score.argmax())] if len(self.tried) else np.zeros(4)

    def table(self, mm_per_s: float) -> Floats:
        """(m, 4), see `SolvedColumns.tried`."""
        start, pitch, width, _ = self.tried.T
        seconds = width / mm_per_s if self.duration_s is None else np.full(len(start), self.duration_s)
        return np.column_stack([self.score, seconds, start, pitch])


def _tried(seen: _Evidence, mm_per_s: float, *, guessed_mm: bool) -> list[_Kind]:
    """All kinds of hypotheses, scored."""
    kinds = [_scored(seen, *one) for one in _hypotheses(seen, mm_per_s)]
    if seen.n_columns == 1:
        # Both ends of one column may be seen inside of it, at the foot of a pulse: that is no stretch.
        return kinds
    # Paper and print stretch what is right otherwise.
    stretches, sd = (GUESSED, GUESSED_SD) if guessed_mm else (STRETCHES, STRETCH_SD)
    kinds.sort(key=lambda kind: -kind.best)
    likeliest = kinds if guessed_mm else kinds[:STRETCHED]
    durations = {kind.duration_s for kind in likeliest if kind.duration_s is not None and not kind.apart}
    return kinds + [
        _scored(seen, duration, False, DURATIONS[duration], _joined(seen, duration * mm_per_s, stretches, sd))
        for duration in sorted(durations)
    ]


def _log_posterior(seen: _Evidence, columns: Columns) -> float:
    """Of columns that were found by other means; -inf of another number of columns."""
    if len(columns.spans_mm) != seen.n_columns:
        return -np.inf
    edges = np.array([columns.spans_mm[j] for j in range(seen.n_columns)])
    each_s = columns.duration_s / seen.n_columns
    usual = min(DURATIONS, key=lambda duration: abs(duration / each_s - 1.0))
    prior = DURATIONS[usual] if abs(usual / each_s - 1.0) < SAME_DURATION else OTHER_PRIOR
    prior += APART_PRIOR if columns.apart else 0.0
    return float(seen.of_edges(edges[None, :, 0], edges[None, :, 1])[0]) + prior


def _evidence(
    marks: tuple[RowMark, ...], windows: tuple[Window, ...], n_columns: int, traces: tuple[RowTrace, ...]
) -> _Evidence:
    def edges(of: str) -> Floats:
        each = [
            [getattr(w, of) for w in windows if w.column_index == j and not w.rhythm]
            for j in range(n_columns)
        ]
        return np.array([np.median(some) if some else np.nan for some in each])

    def rows(rhythm: bool) -> tuple[dict[str, Floats], ...]:
        indices = sorted({w.row_index for w in windows if w.rhythm == rhythm})
        out = []
        for index in indices:
            mine = [mark for mark in marks if mark.row_index == index]
            out.append(
                {
                    kind: np.array([(m.x_mm, m.probability) for m in mine if m.kind == kind], float).reshape(
                        -1, 2
                    )
                    for kind in ("start", "end", "separator")
                }
            )
        return tuple(out)

    first, last = min(w.start_mm for w in windows), max(w.end_mm for w in windows)
    short = {w.row_index for w in windows if not w.rhythm}
    seen = [row for row in traces if row.row_index in short]
    traced = np.zeros((0, 2))
    if seen:
        at = np.arange(first - REACH_MM, last + REACH_MM, 0.5)
        here = [np.interp(at, row.x_mm, np.isfinite(row.y_mm), left=0.0, right=0.0) for row in seen]
        traced = np.column_stack([at, np.mean(here, axis=0)])
    return _Evidence(
        rows(False), rows(True), edges("start_mm"), edges("end_mm"), first, last, traced_mm=traced
    )


def _scored(seen: _Evidence, duration: float | None, apart: bool, prior: float, tried: Floats) -> _Kind:
    """Hypotheses (m, 4), see `_hypotheses`, with their log posterior."""
    score = seen.log_likelihood(*tried[:, :3].T) + tried[:, 3] + prior if len(tried) else np.zeros(0)
    return _Kind(duration, apart, tried, score)


def _hypotheses(seen: _Evidence, mm_per_s: float) -> Iterator[tuple[float | None, bool, float, Floats]]:
    """All that some landmark suggests: duration, whether there is a space between columns, log prior, and
    (m, 4) start, pitch and width, mm, with a log prior each."""
    n, extent = seen.n_columns, seen.last_mm - seen.first_mm
    for duration, prior in DURATIONS.items():
        nominal_mm = duration * mm_per_s
        if 0.5 * extent - 5.0 < n * nominal_mm < 1.35 * extent + 25.0:
            yield duration, False, prior, _joined(seen, nominal_mm)
            if n > 1:
                yield duration, True, prior + APART_PRIOR, _apart(seen, nominal_mm)
    starts, ends = seen.places("start", near_mm=seen.first_mm), seen.places("end", near_mm=seen.last_mm)
    start, end = (v.ravel() for v in np.meshgrid(starts, ends))
    width = (end - start) / n
    yield None, False, OTHER_PRIOR, np.column_stack([start, width, width, np.zeros(len(start))])[width > 10.0]


def _joined(
    seen: _Evidence, nominal_mm: float, stretches: Floats = UNSTRETCHED, sd: float = STRETCH_SD
) -> Floats:
    """Columns that follow each other, each as wide as it lasts."""
    n, out = seen.n_columns, []
    for stretch in stretches.tolist():
        width = nominal_mm * (1.0 + stretch)
        suggested = [seen.places("end", near_mm=seen.last_mm) - n * width]
        for j in range(n):
            suggested.append(seen.places("start", near_mm=seen.first_mm + j * width) - j * width)
        start = np.unique(np.round(np.concatenate(suggested) / STEP_MM) * STEP_MM)
        start = start[np.abs(start - seen.first_mm) < REACH_MM]
        prior, widths = (np.full(len(start), v) for v in (float(_cauchy(stretch, sd)), width))
        out.append(np.column_stack([start, widths, widths, prior]))
    return np.concatenate(out)


def _apart(seen: _Evidence, width_mm: float) -> Floats:
    """Columns of a usual duration with a space between them."""
    first, later = seen.places("start", near_mm=seen.first_mm), seen.places("start")
    out = []
    for j in range(1, seen.n_columns):
        pitch = (later[:, None] - first[None]) / j
        fits = (pitch > width_mm + SPACE_MM[0]) & (pitch < width_mm + SPACE_MM[1])
        start = np.broadcast_to(first[None], pitch.shape)[fits]
        even = np.unique(np.round(np.column_stack([start, pitch[fits]]) / STEP_MM) * STEP_MM, axis=0)
        prior = TRACED_SPACE * _traced_between(seen, even, width_mm)
        out.append(np.column_stack([even, np.full(len(even), width_mm), prior]))
    return np.concatenate(out)


def _traced_between(seen: _Evidence, even: Floats, width_mm: float) -> Floats:
    """(m,) share of rows that are traced in the spaces between columns of start and pitch (m, 2)."""
    if not len(seen.traced_mm):
        return np.zeros(len(even))
    middles = even[:, :1] + even[:, 1:] * np.arange(1, seen.n_columns) - 0.5 * (even[:, 1:] - width_mm)
    return np.asarray(np.interp(middles, *seen.traced_mm.T).mean(axis=1))


def _refined(seen: _Evidence, starts: Floats, width: float, *, apart: bool) -> tuple[Floats, Floats]:
    """Each column's start and its expected error: robust mean of landmarks near it, tied to even starts."""
    n = len(starts)
    column = np.arange(n)
    terms = np.column_stack([np.ones(n), column])[:, : min(2, n)]
    for _ in range(6):
        value, weight = np.zeros(n), np.zeros(n)
        for rows, rhythm in ((seen.short, False), (seen.rhythm, True)):
            for row in rows:
                for j in column[: 1 if rhythm else n]:
                    ends = not rhythm and (apart or j == n - 1)
                    for places in (row["start"], row["separator"] if j and not rhythm else None,
                                   row["end"] - (width - seen.cut_mm, 0.0) if ends else None):  # fmt: skip
                        _add_nearest(places, float(starts[j]), value, weight, int(j))
        mean = np.where(weight > 0, value / np.maximum(weight, 1e-9), starts)
        root = np.sqrt(weight + 1e-6)
        even = terms @ np.linalg.lstsq(terms * root[:, None], mean * root, rcond=None)[0]
        tie = EVEN_SD_MM**-2
        starts = (value + tie * even) / (weight + tie)
    return starts, 1.0 / np.sqrt(weight + tie)


def _add_nearest(places: Floats | None, at: float, value: Floats, weight: Floats, j: int) -> None:
    """Add the landmark nearest to a place to the weighted mean of column j, in place."""
    if places is None or not len(places):
        return
    off = places[:, 0] - at
    k = int(np.abs(off).argmin())
    if abs(off[k]) < NEAR_MM:
        w = places[k, 1] / CORE_MM**2 / (1.0 + (off[k] / (1.5 * CORE_MM)) ** 2) ** 2
        value[j] += w * places[k, 0]
        weight[j] += w
