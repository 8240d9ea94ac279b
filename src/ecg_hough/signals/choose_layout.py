"""Which of the known layouts a page has: the leads network's evidence weighed with that of the traces.

In: row traces, and all known layouts fitted to the page. Out: the likeliest one, or none. The network names
single traces unreliably where no names are printed; but limb leads obey their sums (`limb_sums`), rhythm
strips repeat short leads (`strip_names`), which needs no name, and a layout has a place for every row.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Candidate, PanelBox, RowTrace, Window
from ecg_hough.errors import PageError
from ecg_hough.layout.sheet import Sheet
from ecg_hough.layout.windows import windows_on_rows
from ecg_hough.paper import GivenLayout, Layout
from ecg_hough.signals.columns import place_columns, trim_windows
from ecg_hough.signals.limb_sums import limb_columns, limb_residual, renamed_columns, usual_beat_residual
from ecg_hough.signals.strip_names import measure as measure_strips
from ecg_hough.traces.rows import Rows

log = logging.getLogger(__name__)

NAMED_MIN = 0.6
"""Share of panels with a printed name from which printed names are trusted: leads may be in any order."""

# Tuned on own renders without names (benchmark_pages, other seeds than the published one): on 253 pages,
# then on 193 others, 13 of them with names that were hardly read, with the panels at common edges.
WEIGHTS = (4.07, -1.5, 0.69, 1.26)
"""Log odds by the network's evidence (nats per traced column), rows without a place and places without a row,
the limb leads' sums at every instant and those of their usual beats.
Fitted by `python -m ecg_hough.training.layout_fit PAGES`, which prints their accuracy."""
EVEN_RESIDUAL, EVEN_BEAT_RESIDUAL = 10**-1.2, 10**-1.3
"""Residual of the limb leads' sums that is evidence neither for nor against a layout."""
RESIDUAL_FLOOR = 1e-3
"""Residual that reading errors cause in leads that obey their sums."""
DECADE, LEAST, MOST = 4.0, -2.0, 5.0
"""A residual ten times smaller adds `DECADE`, within limits: tall traces are misread, columns misplaced."""
EXTENT_MM, EXTENT_POWER = 250.0, 0.75
"""Checked extent, the length of a column times the dimensions that must be empty, that has the weight 1; the
weight of a larger one grows by this power."""
STRIP_TIMES, STRIP_EVEN, STRIPS_LEAST, STRIPS_MOST = 4.0, 1.1, -3.0, 3.0
"""Log odds of a layout by how well its rhythm strips repeat some short lead (`strip_names.measure`): factor,
value that is evidence neither for nor against it, and limits."""
LONE_EVIDENCE = 1.0
"""Network's evidence from which a layout is used although the network's view fits none and no sum supports
it."""
SURE = 0.9
"""Probability from which the second likeliest layout is not mentioned."""
_NONE = "layout: no known layout fits the traces; each lead was placed by the network's evidence for it alone"


@dataclass(frozen=True)
class ChosenLayout:
    """The chosen layout and its panels; warnings where the network suggested others.

    Attributes:
        probability: of the layout among the known ones, by traces and network; NaN where printed names
            decide, 1 where a person gave it.
        strips_given: the names of the rhythm strips are a person's, and not to be changed.
    """

    layout: Layout | None
    windows: tuple[Window, ...]
    warnings: tuple[str, ...] = ()
    probability: float = np.nan
    strips_given: bool = False


def choose_layout(sheet: Sheet, rows: Rows, given: GivenLayout | None = None) -> ChosenLayout:
    """Choose the layout of a page whose rows are read; panels are trimmed to their rows' traces.

    Args:
        given: what a person knows of it.
    Raises:
        PageError: the page's rows cannot be those of the layout that is given.
    """
    candidates, loose = candidates_on_page(sheet, rows)
    if given is not None:
        chosen = as_given(candidates, given)
        return replace(chosen, windows=trim_windows(rows.traces, chosen.windows))
    chosen = check_layout(
        rows.traces,
        candidates,
        loose,
        known=sheet.layout.layout is not None,
        named=sheet.layout.named,
        has_grid=sheet.has_grid,
    )
    return replace(chosen, windows=trim_windows(rows.traces, chosen.windows))


def as_given(candidates: tuple[Candidate[Window], ...], given: GivenLayout) -> ChosenLayout:
    """The layout that a person gave, on the page: the likeliest candidate of its shape, with its leads.

    Raises:
        PageError: no candidate has as many rows, columns and strips.
    """
    rows, shape = given.rows, (len(given.rows), len(given.rows[0]), given.n_strips)
    alike = [c for c in candidates if (len(c.layout.rows), c.layout.n_columns, len(c.layout.rhythm)) == shape]
    if not alike:
        seen = ", ".join(list(dict.fromkeys(c.layout.name for c in candidates))[:3]) or "none that is known"
        raise PageError(
            "layout",
            f"the page must have the rows of the layout that was given, {given.name}; its rows fit {seen}. "
            "Omit the layout, or give the one that is printed",
        )
    chosen = next((c for c in alike if c.layout.rows == rows), alike[0])
    place = {lead: (r, k) for r, row in enumerate(chosen.layout.rows) for k, lead in enumerate(row)}
    strips = sorted({w.row_index for w in chosen.panels if w.rhythm})
    renamed = []
    for w in chosen.panels:
        if not w.rhythm:
            r, k = place[w.lead]
            renamed.append(replace(w, lead=rows[r][k]))
        else:
            renamed.append(replace(w, lead=given.rhythm[strips.index(w.row_index)]) if given.rhythm else w)
    layout = given.layout.with_strips(given.rhythm or chosen.layout.rhythm)
    log.info("layout: %s, as given", layout.name)
    return ChosenLayout(layout, tuple(renamed), strips_given=bool(given.rhythm), probability=1.0)


def candidates_on_page(sheet: Sheet, rows: Rows) -> tuple[tuple[Candidate[Window], ...], tuple[Window, ...]]:
    """Known layouts on the rows that are read, and panels by each row's own evidence, in page mm."""
    layout, read = sheet.layout, {row.row_index for row in rows.traces}

    def as_read(candidate: Candidate[PanelBox]) -> Candidate[Window]:
        windows = windows_on_rows(layout, candidate.panels, read, sheet.canvas, sheet.page_map)
        # A row without trace that was taken for a rhythm strip is none.
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
    """Choose the layout that the network's evidence and the traces make likeliest.

    Args:
        rows: traces in page millimetres.
        candidates: known layouts, the network's own choice first; panels of rows in `rows` only.
        loose: panels to use where no known layout has enough evidence.
        known: whether the network's view fits its choice.
        named: share of the panels whose name is printed next to them.
        has_grid: the page map is a grid's, whose millimetres are equal everywhere.
    """
    if known and named >= NAMED_MIN:
        log.info("layout: %s by printed names at %.2f of the panels", candidates[0].layout.name, named)
        return ChosenLayout(candidates[0].layout, candidates[0].panels)
    if not candidates or not rows or named >= NAMED_MIN:
        log.info("layout: none, %d candidates, names at %.2f of the panels", len(candidates), named)
        return ChosenLayout(None, loose, (_NONE,), 0.0)
    placed = [at_common_edges(rows, candidate, has_grid=has_grid) for candidate in candidates]
    features = np.array([measure(rows, candidate) for candidate in placed])
    odds = _log_odds(rows, placed, features)
    best, second = np.argsort(-odds, kind="stable")[[0, min(1, len(odds) - 1)]]
    chosen, other = candidates[best], candidates[second]
    sums = features[best, 2:].sum()
    supported = known or sums > 0 or chosen.evidence >= LONE_EVIDENCE
    if not supported:
        log.info(
            "layout: %s rejected, limb sums %.2f are not above 0 and the network's evidence %.2f is below %g",
            chosen.layout.name, sums, chosen.evidence, LONE_EVIDENCE,
        )  # fmt: skip
        return ChosenLayout(None, loose, (_NONE,), 0.0)
    probability = float(1.0 / np.exp(odds - odds[best]).sum())
    log.info(
        "layout: %s, log odds %.1f, probability %.3f;"
        " next likeliest: %s, log odds %.1f; network's choice: %s",
        chosen.layout.name, odds[best], probability, other.layout.name, odds[second],
        candidates[0].layout.name if known else "none",
    )  # fmt: skip
    suggested = candidates[0] if known else None
    warnings = _warnings(chosen, suggested, other, probability)
    return ChosenLayout(chosen.layout, chosen.panels, warnings, probability)


def _warnings(
    chosen: Candidate[Window],
    suggested: Candidate[Window] | None,
    other: Candidate[Window],
    probability: float,
) -> tuple[str, ...]:
    """Sentences where the network suggested another candidate, or none, and where another one is likely,
    too."""
    out = []
    if chosen is not suggested:
        seen = suggested.layout.name if suggested is not None else "no known layout"
        out.append(
            f"layout: the network suggested {seen}; traces and Einthoven sums support {chosen.layout.name},"
            " which was used"
        )
    if probability < SURE and other is not chosen:
        out.append(
            f"layout: {chosen.layout.name} has a probability of {probability:.0%}; the next likeliest is"
            f" {other.layout.name}"
        )
    return tuple(out)


def _log_odds(
    rows: tuple[RowTrace, ...], placed: list[Candidate[Window]], features: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(candidates,) log odds, by their features and, of those that may win, by their rhythm strips."""
    odds = np.asarray(features @ np.array(WEIGHTS))
    for k in np.flatnonzero(odds > odds.max() - STRIPS_MOST + STRIPS_LEAST):
        odds[k] += strip_odds(rows, placed[k])
    for candidate, one, total in zip(placed, features, odds, strict=True):
        log.debug(
            "layout: %s has log odds %.2f;"
            " network's evidence %.2f, unplaced rows %g, limb sums %.2f, beats %.2f",
            candidate.layout.name, total, *one,
        )  # fmt: skip
    return odds


def at_common_edges(
    rows: tuple[RowTrace, ...], candidate: Candidate[Window], *, has_grid: bool = True
) -> Candidate[Window]:
    """The candidate with its panels at their columns' common edges: the network's edges may be wrong by a
    sixth of a column."""
    windows, layout = candidate.panels, candidate.layout
    if {row.row_index for row in rows}.isdisjoint(window.row_index for window in windows):
        return candidate
    columns = place_columns(rows, windows, layout, on_guessed_scale=True, has_grid=has_grid)
    return replace(candidate, panels=columns.windows)


def measure(rows: tuple[RowTrace, ...], candidate: Candidate[Window]) -> NDArray[np.float64]:
    """(4,) features, in the order of `WEIGHTS`, of a layout whose panels are `at_common_edges`."""
    by_row = {row.row_index: row for row in rows}
    windows, layout = candidate.panels, candidate.layout
    placed = len({w.row_index for w in windows})
    unplaced = len(by_row) + layout.n_rows - 2 * placed
    columns = limb_columns(by_row, windows, layout)
    residual, beat_residual = limb_residual(columns), usual_beat_residual(columns)
    against = limb_residual(renamed_columns(by_row, windows, layout))
    sums = beats = 0.0
    if residual is not None:
        sums = _nats(residual[0], EVEN_RESIDUAL) * (residual[1] / EXTENT_MM) ** EXTENT_POWER
    if against is not None:
        sums -= max(0.0, _nats(against[0], EVEN_RESIDUAL)) * (against[1] / EXTENT_MM) ** EXTENT_POWER
    if beat_residual is not None:
        beats = _nats(beat_residual, EVEN_BEAT_RESIDUAL)
    return np.array([candidate.evidence, unplaced, sums, beats])


def strip_odds(rows: tuple[RowTrace, ...], candidate: Candidate[Window]) -> float:
    """Log odds of a layout, its panels `at_common_edges`, by its rhythm strips: a row that is no strip
    repeats no short lead. 0 without strips."""
    strips, _, features = measure_strips(rows, candidate.panels, candidate.layout)
    if not strips:
        return 0.0
    best = features[:, :, 0].max(axis=1)
    return float(np.clip(STRIP_TIMES * (best.mean() - STRIP_EVEN), STRIPS_LEAST, STRIPS_MOST))


def _nats(residual: float, even: float) -> float:
    return float(np.clip(-DECADE * np.log10((residual + RESIDUAL_FLOOR) / even), LEAST, MOST))
