"""The method in one function: a page in, a record out. Reading `digitize` is reading the method."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

import ecg_hough
from ecg_hough.elements import Box, Candidate, Columns, PageLayout, PrintedWord, Rival, RowTrace, Window
from ecg_hough.errors import PageError
from ecg_hough.geometry.grid.lines import GridLines, find_lines
from ecg_hough.geometry.page_geometry import PageGeometry, find_geometry
from ecg_hough.geometry.sheet_edges import find_sheet
from ecg_hough.image.frames import Framed, find_frames, left_sides, without_frames
from ecg_hough.image.reading import MIN_SIDE_PX, read_page
from ecg_hough.layout.guessed_map import map_without_grid
from ecg_hough.layout.view import SHOWN_MIN, SURE_WORD, FoundLeads, find_leads, is_small
from ecg_hough.layout.windows import block_mm, windows_on_rows
from ecg_hough.networks.leads_net import LEADS_NETWORK
from ecg_hough.networks.runtime import load_network
from ecg_hough.networks.words_net import WORDS_NETWORK
from ecg_hough.options import CENTROID, SHIPPED, Steps
from ecg_hough.page_map import PageMap, turn_back
from ecg_hough.paper import FS_HZ, GAIN_WORDS, SPEED_WORDS
from ecg_hough.record import Ecg, Trace
from ecg_hough.signals.calibrate import calibrate
from ecg_hough.signals.choose_layout import NAMED_MIN, check_layout
from ecg_hough.signals.column_order import find_column_order
from ecg_hough.signals.columns import paper_stretch, place_columns, trim_windows
from ecg_hough.signals.scale import PaperScale, find_paper_scale, true_millimetre
from ecg_hough.signals.separators import find_separators
from ecg_hough.signals.strip_names import check_strips
from ecg_hough.signals.zero_lines import zero_lines
from ecg_hough.traces.ink import find_ink
from ecg_hough.traces.read import TRACE_NETWORK, read_rows, without_ruled_lines

READOUTS = ("trace", "centroid")
STRANGE_QUALITY, STRANGE_NAMED = 0.25, 0.25
"""Quality and share of named panels below which rows of no known layout are no ECG: tables and curves of
other kinds stay below 0.2, and a stray mark may be read as a name; pages of unknown layout seldom do."""
BARE_QUALITY = 0.6
"""The same for a page without names, pulse or printed scale, whatever its layout: sheet music and EEGs stay
below 0.25, share prices below 0.55, empty grids and letters or handwriting on them below 0.4; of 680 own
renders ten are such pages, two of 0.2, which were misread, and eight above 0.7. Without a grid leads must
agree, too: chest leads alone have nothing to disagree with."""
SEEN_SHARE = 0.6
"""Evidence that a part of the picture must show of that of the whole, or leads were cut off."""
CLEARER, SHEET_SHARE = 1.5, 0.04
"""Where the picture shows less than `SHOWN_MIN`, a sheet of paper is sought in it: it must show so many times
as much, and take at least this share of the picture."""
AROUND_MM = 12.0
"""Above and below the outer rows' levels the grid is looked at, too."""
FRAME_MM = 1.0
"""Traces that end this near to a frame's side are hidden by it: they begin on its line."""
FLAT_MV = 0.05
"""Rows of which none rises and falls by more are ruled lines; of 150 own renders the flattest has 0.3."""


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Linear algebra here is small and banded: a second thread of it only waits, and keeps a core busy."""
    with _blas().limit(limits=1):
        yield


@_one_blas_thread()
def digitize(
    page: str | Path | NDArray,
    *,
    fs: int = FS_HZ,
    speed_mm_s: float | None = None,
    gain_mm_mv: float | None = None,
    readout: str = "trace",
    steps: Steps | None = None,
) -> Ecg:
    """Digitise one page.

    Args:
        page: path of an image, or an array (rows, cols[, channels]).
        fs: sampling frequency of the result, Hz.
        speed_mm_s, gain_mm_mv: paper speed and gain; None reads them, or takes 25 mm/s and 10 mm/mV.
        readout: "trace" (the trace network) or "centroid" (the winner's, for comparison).
        steps: what is left out or added, to measure its worth; None takes the read-out's own steps.
    Raises:
        PageError: the page cannot be digitised; says which stage gave up and why.
        ValueError: a bad argument.
    """
    if readout not in READOUTS:
        raise ValueError(f"readout must be one of {', '.join(READOUTS)}; got {readout!r}")
    if fs <= 0:
        raise ValueError(f"fs must be positive; got {fs}")
    if steps is None:
        steps = SHIPPED if readout == "trace" else CENTROID
    watch = _Stopwatch()
    source = read_page(page)
    watch("page")
    reading = read_traces(source.image, readout=readout, steps=steps, watch=watch)
    geometry, page_map, rows, turns = reading.geometry, reading.page_map, reading.rows, reading.turns
    warnings = [*source.warnings, *reading.warnings]
    checked = check_layout(
        rows,
        reading.candidates,
        reading.loose,
        known=reading.layout.layout is not None,
        named=reading.layout.named,
        has_grid=geometry.grid_found,
    )
    warnings += checked.warnings
    windows = trim_windows(rows, checked.windows)
    ink = find_ink(reading.image, page_map, rows)
    scale = find_paper_scale(
        reading.image,
        page_map,
        ink,
        rows,
        windows,
        reading.words,
        speed_mm_s=speed_mm_s,
        gain_mm_mv=gain_mm_mv,
        has_grid=geometry.grid_found,
    )
    warnings += scale.warnings
    watch("scale")
    speed, gain = scale.speed_mm_s, scale.gain_mm_mv
    printed = reading.layout.printed if reading.layout.named >= NAMED_MIN else frozenset()
    guessed = not geometry.grid_found
    place = partial(place_columns, rows, windows, checked.layout, pulse=scale.pulse, has_grid=not guessed)
    columns = place(speed_mm_s=speed, on_guessed_scale=guessed)
    if guessed:
        # The map's millimetres were guessed; pulses and the traces' own ends tell more.
        true_mm = true_millimetre(
            scale, columns.duration_s * speed, on_known_paper=geometry.paper is not None
        )
        warnings.append(true_mm.warning)
        speed, gain = speed * true_mm.in_guessed, true_mm.mm_per_mv
        columns = place(speed_mm_s=speed)
    elif (stretch := paper_stretch(rows, columns, speed)) != 1.0:
        warnings.append(
            f"time: traces are {abs(stretch - 1):.1%} {'longer' if stretch > 1 else 'shorter'} than"
            f" {columns.duration_s / stretch:.3g} s by the grid, which is a usual time; that time was taken"
        )
        speed *= stretch
        columns = place(speed_mm_s=speed)
    if ink is not None and steps.separators:
        levels = zero_lines(rows, columns.windows, speed_mm_s=speed, gain_mm_mv=gain, pulse=scale.pulse)
        separators = find_separators(reading.image, page_map, ink, levels.mm, columns.windows)
        if separators:
            columns = place(speed_mm_s=speed, separators=separators)
    down = None
    box = _box_mm(rows, columns)
    if geometry.grid_found and checked.layout is not None and steps.grid_lines and box is not None:
        down, across = find_lines(reading.image, page_map, box)
        columns = _on_lines(columns, across, reading.image, page_map, box)
        if reading.sides_mm and not columns.on_grid:
            # A frame's side hides where the traces begin; it is a line itself.
            columns = _on_frames(columns, reading.sides_mm)
            columns = _on_lines(columns, across, reading.image, page_map, box)
    strips = check_strips(rows, columns.windows, checked.layout, printed=printed)
    warnings += strips.warnings
    layout, columns = strips.layout, replace(columns, windows=strips.windows)
    order = find_column_order(rows, columns.windows, layout)
    warnings += order.warnings
    columns = columns.with_pitch(order.pitch_off_mm)
    result = calibrate(
        rows,
        columns,
        layout,
        fs=fs,
        speed_mm_s=speed,
        gain_mm_mv=gain,
        order=order.name,
        pulse=scale.pulse,
        lines=down,
        fused_leads=steps.lead_fusion,
    )
    warnings += result.warnings
    watch("calibration")
    versions = {"ecg_hough": ecg_hough.__version__}
    versions |= {name: load_network(name).version for name in (LEADS_NETWORK, WORDS_NETWORK)}
    if readout == "trace":
        versions["traces"] = load_network(TRACE_NETWORK).version
    surest = [status.confidence for status in result.statuses if status.found]
    quality = float(np.mean(surest)) * result.agreement if surest else 0.0
    if reading.layout.named < STRANGE_NAMED and _is_flat(result.signals):
        raise PageError(
            "layout",
            f"leads must show beats; all rows are straight within {FLAT_MV} mV, and no names stand at them."
            " Is it a 12-lead ECG?",
        )
    if layout is None and reading.layout.named < STRANGE_NAMED and quality < STRANGE_QUALITY:
        raise PageError(
            "layout",
            "rows must show a known layout, printed names or leads that agree; none fits, none is printed,"
            f" quality {quality:.2f} is below {STRANGE_QUALITY}. Is it a 12-lead ECG?",
        )
    unsaid = reading.layout.named < STRANGE_NAMED and not _is_stated(scale, reading.words)
    if unsaid and (layout is None or quality < BARE_QUALITY or (guessed and result.leads_agree is None)):
        raise PageError(
            "layout",
            "a page must show names of leads, a calibration pulse, its speed and gain, or clear leads of a"
            f" known layout; none is seen, and quality {quality:.2f} is below {BARE_QUALITY}, no layout"
            " fits, or there is no grid and no leads can be compared. Is it a 12-lead ECG?",
        )
    return Ecg(
        signals=result.signals,
        fs=fs,
        confidence=result.confidence,
        sd_mv=result.sd_mv,
        lead_status=result.statuses,
        angle_deg=geometry.angle_deg,
        quarter_turns=turns,
        px_per_mm=geometry.px_per_mm,
        layout=layout.name if layout is not None else "unknown",
        speed_mm_s=scale.speed_mm_s,
        gain_mm_mv=scale.gain_mm_mv,
        warnings=tuple(warnings),
        traces=page_traces(rows, result.windows, page_map, turns, reading.part),
        quality=quality,
        versions=versions,
        seconds=watch.seconds(),
        source=source.name,
        columns=order.name,
        speed_from=scale.speed_from,
        gain_from=scale.gain_from,
        einthoven_mv=result.residuals.einthoven_mv,
        goldberger_mv=result.residuals.goldberger_mv,
        repeat_mv=result.residuals.repeat_mv,
        leads_agree=result.leads_agree,
    )


def _box_mm(rows: tuple[RowTrace, ...], columns: Columns) -> tuple[float, float, float, float] | None:
    """Top, left, bottom and right of the traces on the page, mm, with what is about them; None without."""
    levels = [float(np.nanmedian(row.y_mm)) for row in rows if np.isfinite(row.y_mm).any()]
    if not levels:
        return None
    right = max(window.end_mm for window in columns.windows)
    return min(levels) - AROUND_MM, columns.start_mm, max(levels) + AROUND_MM, right


def _on_frames(columns: Columns, sides_mm: tuple[float, ...]) -> Columns:
    """Columns that begin where their frames do; as they are without frames, or where these are wider than the
    traces.

    Args:
        sides_mm: left sides of the frames, mm along the page.
    """
    shifts = {}
    for j, (start, _) in _spans_mm(columns).items():
        near = [side - start for side in sides_mm if abs(side - start) <= FRAME_MM]
        if near and (columns.apart or j == 0):
            shifts[j] = float(np.median(near))
    enough = 2 * len(shifts) > len(columns.starts_s) if columns.apart else bool(shifts)
    return replace(columns.moved_to_lines(shifts), on_grid=False) if enough else columns


def _spans_mm(columns: Columns) -> dict[int, tuple[float, float]]:
    """Where each column's panels begin and end, mm along the page."""
    return {w.column_index: (w.start_mm, w.end_mm) for w in columns.windows if not w.rhythm}


def _on_lines(
    columns: Columns,
    across: GridLines | None,
    image: NDArray[np.uint8],
    page_map: PageMap,
    box_mm: tuple[float, float, float, float],
) -> Columns:
    """Columns that begin on the next lines of the grid; as they are where none is near.

    Args:
        across: lines over the page's width. Panels that stand apart have lines of their own, of which half of
            them must be near one.
    """
    if not columns.apart:
        shift_mm = across.shift_to(columns.start_mm) if across is not None else None
        return columns.moved_to_lines({0: shift_mm}) if shift_mm is not None else columns
    shifts = {}
    for j, (start, end) in _spans_mm(columns).items():
        _, own = find_lines(image, page_map, (box_mm[0], start, box_mm[2], end))
        shifts[j] = own.shift_to(start) if own is not None else None
    seen = {j: shift for j, shift in shifts.items() if shift is not None}
    return columns.moved_to_lines(seen) if seen and 2 * len(seen) >= len(shifts) else columns


def _is_stated(scale: PaperScale, words: tuple[PrintedWord, ...]) -> bool:
    """Whether the user or the page tells its scale: a pulse, or speed and gain. One word may be misread, and
    in lines of letters many are: none of them surely, and they contradict each other."""
    sources = (scale.speed_from, scale.gain_from)
    if "given" in sources or scale.gain_from == "pulse":
        return True
    read = [word for word in words if word.word in SPEED_WORDS or word.word in GAIN_WORDS]
    sure = any(word.score >= SURE_WORD for word in read)
    alike = all(len({w.word for w in read if w.word in kind}) <= 1 for kind in (SPEED_WORDS, GAIN_WORDS))
    return "assumed" not in sources and (sure or alike)


def _is_flat(signals: NDArray[np.float64]) -> bool:
    """Whether no lead of (12, N) mV rises and falls, stray marks aside."""
    leads = [lead[np.isfinite(lead)] for lead in signals if np.isfinite(lead).any()]
    return all(np.subtract(*np.percentile(lead, [99, 1])) < FLAT_MV for lead in leads)


@dataclass(frozen=True)
class PageReading:
    """What is read of a page before it is settled which lead is which.

    Attributes:
        turns: quarter turns of the page as given.
        part: the part of the page as given that was read; image: that part turned back.
        geometry, page_map: of that image; without a grid the map is a guess.
        layout: as the leads network saw it; words: the known words on the page.
        rows: traces in page millimetres.
        candidates, loose: what `layout_check.check_layout` chooses from, of the rows that were read.
        sides_mm: left sides of the panels' frames, along the page.
        warnings: sentences.
    """

    turns: int
    part: Box
    image: NDArray[np.uint8]
    geometry: PageGeometry
    page_map: PageMap
    layout: PageLayout
    words: tuple[PrintedWord, ...]
    rows: tuple[RowTrace, ...]
    candidates: tuple[Candidate, ...]
    loose: tuple[Window, ...]
    sides_mm: tuple[float, ...]
    warnings: tuple[str, ...]


def read_traces(
    given: NDArray[np.uint8],
    *,
    readout: str = "trace",
    steps: Steps = SHIPPED,
    watch: Callable[[str], None] = lambda stage: None,
) -> PageReading:
    """Geometry, leads and traces of a page.

    Args:
        given: (rows, cols, 3); readout, steps: as for `digitize`.
        watch: called with every stage's name at its end.

    Raises:
        PageError: see `digitize`.
    """
    framed = find_frames(given)
    page = _find_page(without_frames(framed), framed, watch)
    found = page.leads
    canvas, layout = found.canvas, found.layout
    image = np.ascontiguousarray(np.rot90(page.image, -found.turns))
    geometry = page.geometry.turned(found.turns, page.image.shape)
    if geometry.ambiguous and geometry.page_map is not None:
        known = geometry.with_block(block_mm(layout, canvas, geometry.page_map))
        if known is not geometry:
            geometry = known
            found = find_leads(image, geometry.angle_deg, page_scale(geometry), geometry.page_map)
            canvas, layout = found.canvas, found.layout
    watch("leads")
    warnings = [*geometry.warnings, *layout.warnings]
    page_map = geometry.page_map
    if page_map is None or not geometry.grid_found:
        page_map = map_without_grid(geometry, canvas, layout, image.shape[:2])
    sides = left_sides(framed.cut(page.part)) if not found.turns else []
    network = load_network(TRACE_NETWORK) if readout == "trace" else None
    rows = read_rows(image, page_map, canvas, found.probabilities, layout, network, steps)
    rows = without_ruled_lines(rows)
    watch("traces")
    read = {row.row_index for row in rows}
    return PageReading(
        turns=found.turns,
        part=page.part,
        image=image,
        geometry=geometry,
        page_map=page_map,
        layout=layout,
        words=found.words,
        rows=rows,
        candidates=tuple(
            _candidate(rival, windows_on_rows(layout, rival.panels, read, canvas, page_map))
            for rival in layout.rivals
        ),
        loose=windows_on_rows(layout, layout.loose, read, canvas, page_map),
        sides_mm=tuple(float(page_map.to_mm(*side)[1]) for side in sides),
        warnings=tuple(warnings),
    )


@dataclass(frozen=True)
class _Page:
    """A part of a picture as if it were the page: its geometry, and its leads or why there are none."""

    part: Box
    image: NDArray[np.uint8]
    geometry: PageGeometry
    found: FoundLeads | PageError

    @property
    def leads(self) -> FoundLeads:
        if isinstance(self.found, PageError):
            raise self.found
        return self.found

    @property
    def coherence(self) -> float:
        return self.found.coherence if isinstance(self.found, FoundLeads) else 0.0


def _find_page(picture: NDArray[np.uint8], framed: Framed, watch: Callable[[str], None]) -> _Page:
    """The part of the picture that the page takes, with its geometry and leads.

    Lines of the grid and words are found at the scale of a page that fills its picture, and wood looks like
    traces. So all is sought once more where the traces of a small page were seen; and where no clear ones
    were, on the sheet of paper in the picture. A part without a grid is no page where the whole has one.

    Args:
        picture: (rows, cols, 3); framed: the same with the frames round its panels.
    """
    page = _look_at(picture, framed, Box.of(picture.shape), watch)
    while (smaller := _smaller(page)) is not None:
        again = _look_at(picture, framed, smaller, watch)
        clear = page.coherence >= SHOWN_MIN
        least = SEEN_SHARE * page.coherence if clear else max(SHOWN_MIN, CLEARER * page.coherence)
        lost_grid = page.geometry.grid_found and not again.geometry.grid_found
        if lost_grid or again.coherence < least:
            break
        page = again
    return page


def _look_at(picture: NDArray[np.uint8], framed: Framed, part: Box, watch: Callable[[str], None]) -> _Page:
    image = part.cut(picture)
    geometry = find_geometry(image, framed.cut(part))
    watch("geometry")
    page = _Page(part, image, geometry, _leads_or_error(image, geometry))
    if page.coherence < SHOWN_MIN and geometry.method == "hough-only" and geometry.angle_deg:
        # Creases are straight lines, too; most pages are scanned upright.
        upright = replace(geometry, angle_deg=0.0)
        page = max(
            page,
            _Page(part, image, upright, _leads_or_error(image, upright)),
            key=lambda seen: seen.coherence,
        )
    watch("leads")
    return page


def _leads_or_error(image: NDArray[np.uint8], geometry: PageGeometry) -> FoundLeads | PageError:
    try:
        return find_leads(image, geometry.angle_deg, page_scale(geometry), geometry.page_map)
    except PageError as error:
        return error


def _smaller(page: _Page) -> Box | None:
    """A part of a page's picture that seems to be all there is of the page."""
    box = page.found.part if isinstance(page.found, FoundLeads) else None
    if box is None and page.coherence < SHOWN_MIN:
        sheet = find_sheet(page.image, SHEET_SHARE)
        box = sheet.box if sheet is not None and is_small(sheet.box, page.image) else None
    return box.within(page.part) if box is not None and min(box.shape) >= MIN_SIDE_PX else None


def _candidate(rival: Rival, windows: tuple[Window, ...]) -> Candidate:
    """A known layout as it was read: a row taken for a rhythm strip that shows no trace is none."""
    layout, strips = rival.layout, tuple(window.lead for window in windows if window.rhythm)
    if len(strips) < len(layout.rhythm):
        layout = layout.with_strips(strips)
    return Candidate(layout, windows, rival.evidence)


def page_scale(geometry: PageGeometry) -> tuple[float, float] | None:
    """Px per mm of a page, true or guessed; None where neither grid nor edges tell it."""
    if geometry.px_per_mm is not None or geometry.page_map is None:
        return geometry.px_per_mm
    return geometry.page_map.px_per_mm


def page_traces(
    rows: tuple[RowTrace, ...],
    windows: tuple[Window, ...],
    page_map: PageMap,
    turns: int,
    part: Box,
) -> tuple[Trace, ...]:
    """The read traces in pixels of the image as given, of which a part was read."""
    by_row = {row.row_index: row for row in rows}
    out = []
    for window in windows:
        row = by_row[window.row_index]
        mine = (row.x_mm >= window.start_mm) & (row.x_mm < window.end_mm)
        r, c = page_map.to_pixels(np.nan_to_num(row.y_mm[mine]), row.x_mm[mine])
        points = np.column_stack([r, c])
        points[~np.isfinite(row.y_mm[mine])] = np.nan
        on_page = turn_back(points, turns, part.shape) + part[:2]
        out.append(Trace(window.lead, window.rhythm, on_page))
    return tuple(out)


class _Stopwatch:
    """Wall time of each stage."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._stages: dict[str, float] = {}

    def __call__(self, stage: str) -> None:
        now = time.perf_counter()
        self._stages[stage] = round(self._stages.get(stage, 0.0) + now - self._last, 4)
        self._last = now

    def seconds(self) -> dict[str, float]:
        return {**self._stages, "total": round(time.perf_counter() - self._start, 4)}
