"""Which of the known layouts it is: the leads network's view weighed with what the traces themselves say.

In: row traces, and all known layouts as they would lie on the page. Out: the likeliest one, or none. The
network names single traces unreliably where no names are printed; but limb leads obey their sums
(`limb_sums`), rhythm strips repeat short leads (`strip_names`), which needs no name, and a layout has a place
for every row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Candidate, PanelBox, RowTrace, Window
from ecg_hough.layout.sheet import Sheet
from ecg_hough.layout.windows import windows_on_rows
from ecg_hough.paper import Layout
from ecg_hough.signals.columns import place_columns, trim_windows
from ecg_hough.signals.limb_sums import limb_columns, limb_rest, renamed_columns, usual_beat_rest
from ecg_hough.signals.strip_names import measure as measure_strips
from ecg_hough.traces.rows import Rows

NAMED_MIN = 0.6
"""Share of panels with a printed name from which print is believed: it may show leads in any order."""

# Tuned on own renders without names (benchmark_pages, other seeds than the published one): on 253 pages,
# then on 193 others, 13 of them with names that were hardly read, with the panels at common edges.
WEIGHTS = (4.07, -1.5, 0.69, 1.26)
"""Log odds by the network's evidence (nats per traced column), rows without a place and places without a row,
the limb leads' sums at every instant and those of their usual beats.
By `python -m ecg_hough.training.layout_fit PAGES`, which says what they are worth."""
EVEN_REST, EVEN_BEAT_REST = 10**-1.2, 10**-1.3
"""Rest of the limb leads' sums that speaks neither for nor against a layout."""
REST_FLOOR = 1e-3
"""What reading leaves of leads that obey them."""
DECADE, LEAST, MOST = 4.0, -2.0, 5.0
"""A rest ten times smaller adds `DECADE`, within limits: tall traces are misread, columns misplaced."""
EXTENT_MM, EXTENT_POWER = 250.0, 0.75
"""Length of a column times dimensions that must be empty that counts once; more counts by this power."""
STRIP_TIMES, STRIP_EVEN, STRIPS_LEAST, STRIPS_MOST = 4.0, 1.1, -3.0, 3.0
"""Log odds of a layout by how well its rhythm strips repeat some short lead (`strip_names.measure`), less
what speaks neither for nor against it, within limits."""
LONE_EVIDENCE = 1.0
"""Network's evidence from which a layout is believed that its view does not fit and no sum supports."""
SURE = 0.9
"""Probability from which the second likeliest layout is not mentioned."""
_NONE = "layout: no known layout fits the page's traces; leads are placed by their own evidence"


@dataclass(frozen=True)
class ChosenLayout:
    """The layout and panels to go on with; warnings where they are not those that the network saw."""

    layout: Layout | None
    windows: tuple[Window, ...]
    warnings: tuple[str, ...] = ()


def choose_layout(sheet: Sheet, rows: Rows) -> ChosenLayout:
    """Choose the layout of a page that was read; panels are trimmed to their rows' traces."""
    candidates, loose = candidates_on_page(sheet, rows)
    chosen = check_layout(
        rows.traces,
        candidates,
        loose,
        known=sheet.layout.layout is not None,
        named=sheet.layout.named,
        has_grid=sheet.has_grid,
    )
    return replace(chosen, windows=trim_windows(rows.traces, chosen.windows))


def candidates_on_page(sheet: Sheet, rows: Rows) -> tuple[tuple[Candidate[Window], ...], tuple[Window, ...]]:
    """Known layouts on the rows that were read, and panels by each row's own evidence, in page mm."""
    layout, read = sheet.layout, {row.row_index for row in rows.traces}

    def as_read(candidate: Candidate[PanelBox]) -> Candidate[Window]:
        windows = windows_on_rows(layout, candidate.panels, read, sheet.canvas, sheet.page_map)
        # A row taken for a rhythm strip that shows no trace is none.
        strips = tuple(window.lead for window in windows if window.rhythm)
        fewer = len(strips) < len(candidate.layout.rhythm)
        kept = candidate.layout.with_strips(strips) if fewer else candidate.layout
        return Candidate(kept, windows, candidate.evidence)

    loose = windows_on_rows(layout, layout.loose, read, sheet.canvas, sheet.page_map)
    return tuple(as_read(candidate) for candidate in layout.candidates), loose


def check_layout(
    rows: tuple[RowTrace, ...],
    candidates: tuple[Candidate[Window], ...],
    loose: tuple[Window, ...] = (),
    *,
    known: bool = True,
    named: float = 0.0,
    has_grid: bool = True,
) -> ChosenLayout:
    """Choose the layout that the network's view and the traces make likeliest.

    Args:
        rows: traces in page millimetres.
        candidates: known layouts, the network's own choice first; panels of rows in `rows` only.
        loose: panels to go on with where no known layout convinces.
        known: whether the network's view fits its choice.
        named: share of the panels whose name is printed beside them.
        has_grid: the page map is a grid's, whose millimetres are equal everywhere.
    """
    if known and named >= NAMED_MIN:
        return ChosenLayout(candidates[0].layout, candidates[0].panels)
    if not candidates or not rows or named >= NAMED_MIN:
        return ChosenLayout(None, loose, (_NONE,))
    placed = [at_common_edges(rows, candidate, has_grid=has_grid) for candidate in candidates]
    features = np.array([measure(rows, candidate) for candidate in placed])
    odds = features @ np.array(WEIGHTS)
    for k in np.flatnonzero(odds > odds.max() - STRIPS_MOST + STRIPS_LEAST):
        odds[k] += strip_odds(rows, placed[k])
    best, second = np.argsort(-odds, kind="stable")[[0, min(1, len(odds) - 1)]]
    chosen, other = candidates[best], candidates[second]
    supported = features[best, 2:].sum() > 0 or chosen.evidence >= LONE_EVIDENCE
    if not (supported or known):
        return ChosenLayout(None, loose, (_NONE,))
    warnings = []
    if best != 0 or not known:
        seen = candidates[0].layout.name if known else "no known layout"
        warnings.append(
            f"layout: looked like {seen}, but traces and limb leads' sums fit {chosen.layout.name} best;"
            " that was taken"
        )
    probability = 1.0 / np.exp(odds - odds[best]).sum()
    if probability < SURE and other is not chosen:
        warnings.append(
            f"layout: {chosen.layout.name} with a probability of {probability:.0%}; it may be"
            f" {other.layout.name}"
        )
    return ChosenLayout(chosen.layout, chosen.panels, tuple(warnings))


def at_common_edges(
    rows: tuple[RowTrace, ...], candidate: Candidate[Window], *, has_grid: bool = True
) -> Candidate[Window]:
    """The candidate with its panels at their columns' common edges: the network's may be a sixth of a column
    off."""
    windows, layout = candidate.panels, candidate.layout
    if {row.row_index for row in rows}.isdisjoint(window.row_index for window in windows):
        return candidate
    columns = place_columns(rows, windows, layout, on_guessed_scale=True, has_grid=has_grid)
    return replace(candidate, panels=columns.windows)


def measure(rows: tuple[RowTrace, ...], candidate: Candidate[Window]) -> NDArray[np.float64]:
    """(4,) what `WEIGHTS` weigh of a layout whose panels are `at_common_edges`."""
    by_row = {row.row_index: row for row in rows}
    windows, layout = candidate.panels, candidate.layout
    placed = len({w.row_index for w in windows})
    unplaced = len(by_row) + layout.n_rows - 2 * placed
    columns = limb_columns(by_row, windows, layout)
    rest, beat_rest = limb_rest(columns), usual_beat_rest(columns)
    against = limb_rest(renamed_columns(by_row, windows, layout))
    sums = beats = 0.0
    if rest is not None:
        sums = _nats(rest[0], EVEN_REST) * (rest[1] / EXTENT_MM) ** EXTENT_POWER
    if against is not None:
        sums -= max(0.0, _nats(against[0], EVEN_REST)) * (against[1] / EXTENT_MM) ** EXTENT_POWER
    if beat_rest is not None:
        beats = _nats(beat_rest, EVEN_BEAT_REST)
    return np.array([candidate.evidence, unplaced, sums, beats])


def strip_odds(rows: tuple[RowTrace, ...], candidate: Candidate[Window]) -> float:
    """Log odds of a layout, its panels `at_common_edges`, by its rhythm strips: what is no strip repeats no
    short lead. 0 without any."""
    strips, _, features = measure_strips(rows, candidate.panels, candidate.layout)
    if not strips:
        return 0.0
    best = features[:, :, 0].max(axis=1)
    return float(np.clip(STRIP_TIMES * (best.mean() - STRIP_EVEN), STRIPS_LEAST, STRIPS_MOST))


def _nats(rest: float, even: float) -> float:
    return float(np.clip(-DECADE * np.log10((rest + REST_FLOOR) / even), LEAST, MOST))
