"""Draw the flat sheet: paper, grid, traces, pulses, separators and text, all placed in millimetres.

In: signals in mV and a `SheetStyle`. Out: the sheet's pixels, the ink coverage kept apart from the
paper (so that wear can fade it), and every panel with the position of each sample on the sheet.
Pixel k's centre is at coordinate k; a sheet's left edge (0 mm) is therefore at -0.5 px.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.signal import butter, sosfiltfilt

from ecg_hough.networks.words_net import words_in
from ecg_hough.paper import (
    GAIN_WORDS,
    GRID_MAJOR_MM,
    GRID_MINOR_MM,
    LEADS,
    MM_PER_INCH,
    PULSE_MV,
    SPEED_WORDS,
    WORDS,
)
from ecg_hough.render.style import NAME_SHARES, NAME_VARIANTS, RGB, SheetStyle
from ecg_hough.render.text import FACES, draw_text, text_width

_Spans = tuple[tuple[float, float], ...]

_SUPERSAMPLE = 2  # traces are drawn this much finer: stroke widths in half pixels, at a fifth of 4x's cost
_SUBPIXEL_BITS = 5  # cv2 draws at 1/32 px
PULSE_MM = 5.0
"""Usual width of a calibration pulse, 0.2 s at 25 mm/s."""
_TICKS: _Spans = ((-8, -3), (3, 8))  # mm below the zero line: spans of the two other kinds of separators
_DASHES: _Spans = ((-9, -6), (-4, -1), (1, 4), (6, 9))


@dataclass(frozen=True)
class SheetPanel:
    """One lead's trace on the flat sheet.

    Attributes:
        lead: name; row, column: place in the layout; rhythm: full-width strip.
        first: index of the first printed sample in the record; mv: (n,) the samples.
        trace: (n, 2) row and column of each sample in sheet px.
        zero_mm, start_mm: zero line and left end on the sheet.
        inverted: printed upside down (-aVR of Cabrera pages); `mv` is aVR itself.
    """

    lead: str
    row: int
    column: int
    rhythm: bool
    first: int
    mv: np.ndarray
    trace: np.ndarray
    zero_mm: float
    start_mm: float
    inverted: bool


@dataclass(frozen=True)
class Mark:
    """A landmark of a row, in mm on the sheet.

    Attributes:
        kind: one of `elements.MARK_KINDS`; row: row of traces; y_mm: its zero line; x_mm: where along it.
    """

    kind: str
    row: int
    y_mm: float
    x_mm: float


@dataclass(frozen=True)
class Word:
    """A printed word of `paper.WORDS`; corners (4, 2) row and column in px, clockwise from the top left."""

    word: str
    corners: np.ndarray


@dataclass(frozen=True)
class PrintedText:
    """A piece of printed text: what it says, what it is ("name", "id", "date", "value HR", "lead", "scale",
    "other"), and its corners (4, 2) row and column in px, clockwise from the top left."""

    text: str
    kind: str
    corners: np.ndarray


@dataclass(frozen=True)
class Sheet:
    """The flat print: paper with its grid (rows, cols, 3) uint8, ink coverage (rows, cols) uint8 of
    traces and of text, the panels, and the known words of the text in sheet px."""

    paper: np.ndarray
    ink: np.ndarray
    text: np.ndarray
    panels: tuple[SheetPanel, ...]
    words: tuple[Word, ...]
    px_per_mm: float
    stroke_px: float
    marks: tuple[Mark, ...] = ()
    texts: tuple[PrintedText, ...] = ()


def draw_sheet(signals: np.ndarray, fs: int, style: SheetStyle, rng: np.random.Generator) -> Sheet:
    """Draw one sheet.

    Args:
        signals: (12, N) mV in the standard order; NaN stretches are not drawn.
        fs: sampling frequency, Hz.
        style: what to draw.
        rng: for the wording of the printed text.
    """
    px_per_mm = style.dpi / MM_PER_INCH
    rows, cols = (round(mm * px_per_mm) for mm in style.size_mm)
    panels = _place_panels(_as_printed(signals, fs, style), fs, style, px_per_mm)
    paper = _draw_grid((rows, cols), style, px_per_mm)
    ink, stroke_px, drawn = _draw_traces((rows, cols), panels, style, px_per_mm)
    text, words, texts = _draw_texts((rows, cols), panels, style, px_per_mm, rng)
    ends = [mark for panel in panels for mark in _ends_of(panel, fs, style, px_per_mm)]
    return Sheet(paper, ink, text, panels, words, px_per_mm, stroke_px, (*ends, *drawn), texts)


def _as_printed(signals: np.ndarray, fs: int, style: SheetStyle) -> np.ndarray:
    """Signals after the cart's own filter and the style's amplitude: what the page truly shows."""
    printed = signals * style.amplitude
    if style.lowpass_hz is not None and style.lowpass_hz < 0.45 * fs:
        sos = butter(2, style.lowpass_hz, fs=fs, output="sos")
        finite = np.isfinite(printed)
        smooth = sosfiltfilt(sos, np.where(finite, printed, 0.0), axis=1)
        printed = np.where(finite, smooth, np.nan)
    return printed


def _place_panels(
    signals: np.ndarray, fs: int, style: SheetStyle, px_per_mm: float
) -> tuple[SheetPanel, ...]:
    """Every printed lead with its samples and where they lie on the sheet."""
    layout = style.layout
    width_mm = min(style.block_width_mm, signals.shape[1] / fs * style.speed_mm_s)
    column_mm = width_mm / layout.n_columns
    # Columns show the samples from their start on; where that is no whole number not all hold as many.
    column_s = column_mm / style.speed_mm_s * np.arange(layout.n_columns + 1)
    column_first = np.ceil(column_s * fs - 1e-6).astype(int)
    places: list[tuple[str, int, int, bool]] = [
        (lead, r, c, False) for r, leads in enumerate(layout.rows) for c, lead in enumerate(leads)
    ]
    places += [(lead, len(layout.rows) + k, 0, True) for k, lead in enumerate(layout.rhythm)]
    panels = []
    for lead, row, column, rhythm in places:
        if lead in style.missing and not rhythm:
            continue
        first = int(column_first[column]) if style.sequential and not rhythm else 0
        shown_n = column_first[column + 1] - column_first[column] if style.sequential else column_first[1]
        n = int(width_mm / style.speed_mm_s * fs) if rhythm else int(shown_n)
        mv = signals[LEADS.index(lead), first : first + n].astype(np.float64)
        if not rhythm:
            mv = mv[: max(2, len(mv) - round(style.column_cut_s * fs))]
        gap_mm = 0.0 if rhythm else column * style.column_gap_mm
        start_mm = style.block_left_mm + column * column_mm + gap_mm
        zero_mm = _zero_line_mm(style, row, rhythm)
        inverted = style.inverted_avr and lead == "aVR" and not rhythm
        shown = -mv if inverted else mv
        first_mm = first / fs * style.speed_mm_s + gap_mm
        if not style.sequential:
            first_mm = start_mm - style.block_left_mm
        x_mm = style.block_left_mm + first_mm + np.arange(len(mv)) / fs * style.speed_mm_s
        y_mm = zero_mm - shown * style.gain_of(lead)
        trace = np.stack([y_mm, x_mm], axis=1) * px_per_mm - 0.5
        panels.append(SheetPanel(lead, row, column, rhythm, first, mv, trace, zero_mm, start_mm, inverted))
    return tuple(panels)


def _zero_line_mm(style: SheetStyle, row: int, rhythm: bool) -> float:
    """Distance of a row's zero line from the top of the sheet."""
    n_short = len(style.layout.rows)
    zero_mm = style.first_row_mm + style.row_pitch_mm * min(row, n_short)
    zero_mm += style.rhythm_pitch_mm * max(row - n_short, 0)
    if rhythm:
        zero_mm -= style.row_pitch_mm - style.rhythm_pitch_mm
    return zero_mm


# ---------------------------------------------------------------- grid


def _coverage(n: int, centres_px: np.ndarray, width_px: float) -> np.ndarray:
    """Share of each of n pixels that lines of the given centres and width cover."""
    out = np.zeros(n, np.float32)
    low, high = centres_px - width_px / 2, centres_px + width_px / 2
    for step in range(int(np.ceil(width_px)) + 2):
        pixel = np.floor(low + 0.5).astype(int) + step
        share = np.minimum(high, pixel + 0.5) - np.maximum(low, pixel - 0.5)
        ok = (pixel >= 0) & (pixel < n) & (share > 0)
        np.maximum.at(out, pixel[ok], np.minimum(share[ok], 1).astype(np.float32))
    return out


def _paint_rows(image: np.ndarray, cover: np.ndarray, colour: RGB, along: np.ndarray | None = None) -> None:
    """Paint horizontal lines in place; `along` (cols,) modulates them, for dots."""
    hit = np.flatnonzero(cover > 0.02)
    alpha = cover[hit, None, None] * (1.0 if along is None else along[None, :, None])
    image[hit] = (image[hit] * (1 - alpha) + np.asarray(colour, np.float32) * alpha).astype(np.uint8)


def _draw_grid(shape: tuple[int, int], style: SheetStyle, px_per_mm: float) -> np.ndarray:
    rows, cols = shape
    image = np.empty((rows, cols, 3), np.uint8)
    image[:] = style.paper
    if style.grid == "none":
        return image
    turned = image.transpose(1, 0, 2)  # a view: painting its rows paints columns

    def centres(n: int, origin_mm: float, step_mm: float) -> np.ndarray:
        first = origin_mm % step_mm
        return np.arange(first, n / px_per_mm, step_mm) * px_per_mm - 0.5

    cover = {}
    for step, width in ((GRID_MINOR_MM, style.minor_width_mm), (GRID_MAJOR_MM, style.major_width_mm)):
        for axis, n in ((0, rows), (1, cols)):
            width_px = max(width * px_per_mm, 0.7 if step == GRID_MINOR_MM else 1.0)
            cover[step, axis] = _coverage(n, centres(n, style.grid_origin_mm[axis], step), width_px)
    if style.grid == "lines":
        _paint_rows(turned, cover[GRID_MINOR_MM, 1], style.minor)
        if style.minor_over_major:
            _paint_rows(turned, cover[GRID_MAJOR_MM, 1], style.major)
            _paint_rows(image, cover[GRID_MINOR_MM, 0], style.minor)
        else:
            _paint_rows(image, cover[GRID_MINOR_MM, 0], style.minor)
            _paint_rows(turned, cover[GRID_MAJOR_MM, 1], style.major)
        _paint_rows(image, cover[GRID_MAJOR_MM, 0], style.major)
    elif style.grid == "dots":
        _paint_rows(image, cover[GRID_MINOR_MM, 0], style.major, along=cover[GRID_MINOR_MM, 1])
        _paint_rows(turned, cover[GRID_MAJOR_MM, 1], style.minor)
        _paint_rows(image, cover[GRID_MAJOR_MM, 0], style.minor)
    else:  # major lines only
        _paint_rows(turned, cover[GRID_MAJOR_MM, 1], style.major)
        _paint_rows(image, cover[GRID_MAJOR_MM, 0], style.major)
    if style.grid_block_only:
        last = style.first_row_mm + style.row_pitch_mm * (style.layout.n_rows - 0.3)
        top = int(max(style.first_row_mm - 0.7 * style.row_pitch_mm, 0) * px_per_mm)
        left = int(max(style.block_left_mm - 9, 0) * px_per_mm)
        right = int((style.block_left_mm + style.block_width_mm + 9) * px_per_mm)
        inside = image[top : int(last * px_per_mm), left:right].copy()
        image[:] = style.paper
        image[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    if style.frame:
        cv2.rectangle(image, (0, 0), (cols - 1, rows - 1), (0, 0, 0), 1)
    return image


# ---------------------------------------------------------------- ink


def _polyline(layer: np.ndarray, points: np.ndarray, width_px: float) -> None:
    """Draw (n, 2) row/col points in place, breaking at NaN."""
    bad = ~np.isfinite(points).all(axis=1)
    for piece in np.split(points, np.flatnonzero(bad)):
        piece = piece[np.isfinite(piece).all(axis=1)]
        if len(piece) > 1:
            fixed = np.round(piece[:, ::-1] * (1 << _SUBPIXEL_BITS)).astype(np.int32)
            cv2.polylines(
                layer, [fixed[:, None]], False, 255, max(round(width_px), 1), cv2.LINE_AA, _SUBPIXEL_BITS
            )


def _raster_trace(layer: np.ndarray, points: np.ndarray, width_px: float) -> None:
    """Draw points as a printer head does: per column one bar from the lowest to the highest value."""
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < 2:
        return
    columns = np.arange(int(np.ceil(points[0, 1])), int(points[-1, 1]) + 1)
    columns = columns[(columns >= 0) & (columns < layer.shape[1])]
    if len(columns) == 0:
        return
    # Each bar spans the values met in its column, its borders included, so that bars always touch.
    border = np.interp(np.append(columns - 0.5, columns[-1] + 0.5), points[:, 1], points[:, 0])
    low, high = np.minimum(border[:-1], border[1:]), np.maximum(border[:-1], border[1:])
    index = np.clip(np.round(points[:, 1]).astype(int) - columns[0], 0, len(columns) - 1)
    np.minimum.at(low, index, points[:, 0])
    np.maximum.at(high, index, points[:, 0])
    top = np.clip(np.round(low - width_px / 2).astype(int), 0, layer.shape[0] - 1)
    bottom = np.clip(np.round(high + width_px / 2).astype(int), 1, layer.shape[0])
    for column, a, b in zip(columns, top, bottom, strict=True):
        layer[a : max(b, a + 1), column] = 255


@dataclass(frozen=True)
class _Pen:
    """The enlarged layer of ink (rows, cols) uint8, its px per mm, and the width of a trace in its px."""

    layer: np.ndarray
    scale: float
    width: int

    def line(self, points_mm: list[tuple[float, float]], strokes: float) -> None:
        """Draw through points (y, x) in mm, with a pen of so many strokes of the trace."""
        _polyline(self.layer, np.asarray(points_mm, float) * self.scale - 0.5, self.width * strokes)


def _draw_traces(
    shape: tuple[int, int], panels: tuple[SheetPanel, ...], style: SheetStyle, px_per_mm: float
) -> tuple[np.ndarray, float, tuple[Mark, ...]]:
    """Coverage of traces, pulses and separators, the width of the traces' stroke, px, and where they are."""
    rows, cols = shape
    scale = px_per_mm * _SUPERSAMPLE
    width = max(round(style.stroke_mm * scale), 1)
    pen = _Pen(np.zeros((rows * _SUPERSAMPLE, cols * _SUPERSAMPLE), np.uint8), scale, width)
    at_place = {(p.row, p.column): p for p in panels}
    for panel in panels:
        _draw_trace(pen, panel, at_place.get((panel.row, panel.column - 1)), style)
    marks: list[Mark] = []
    last_row = max((p.row for p in panels), default=0)
    block_end = max((float(p.trace[-1, 1] + 0.5) / px_per_mm for p in panels if len(p.trace)), default=0.0)
    for panel in panels:
        in_row = style.pulse_rows == "all" or panel.row == last_row
        if (panel.column == 0 or style.pulse_columns) and style.pulse != "none" and in_row:
            marks += _draw_pulse(pen, panel, block_end, style)
        if style.separator not in ("gap", "none"):
            marks += _draw_separators(pen, panel, block_end, style)
    ink = cv2.resize(pen.layer, (cols, rows), interpolation=cv2.INTER_AREA)
    return ink, width / _SUPERSAMPLE, tuple(marks)


def _ends_of(panel: SheetPanel, fs: int, style: SheetStyle, px_per_mm: float) -> list[Mark]:
    """Where a panel begins and ends; none where nothing of it is drawn."""
    drawn = np.flatnonzero(np.isfinite(panel.trace).all(axis=1))
    if not len(drawn):
        return []
    first, last = (float(panel.trace[k, 1] + 0.5) / px_per_mm for k in drawn[[0, -1]])
    behind = last + style.speed_mm_s / fs
    return [Mark("start", panel.row, panel.zero_mm, first), Mark("end", panel.row, panel.zero_mm, behind)]


def _draw_trace(pen: _Pen, panel: SheetPanel, before: SheetPanel | None, style: SheetStyle) -> None:
    """One panel's trace, joined to the one before it where the pen does not lift."""

    def at(points: np.ndarray) -> np.ndarray:
        return (points + 0.5) * _SUPERSAMPLE - 0.5

    points = at(panel.trace)
    if style.joined and before is not None and style.separator != "gap" and not style.column_gap_mm:
        points = np.vstack([at(before.trace[-1:]), points])
    if style.separator == "gap" and not panel.rhythm and panel.column > 0:
        # The pen lifts for a millimetre: those samples are not printed, but stay in the truth.
        points = points[points[:, 1] > points[0, 1] + 1.0 * pen.scale]
    (_raster_trace if style.stroke == "raster" else _polyline)(pen.layer, points, pen.width)


def _draw_pulse(pen: _Pen, panel: SheetPanel, block_end: float, style: SheetStyle) -> list[Mark]:
    """The calibration pulse of a row, before its trace or behind the block."""
    z, gap, foot = panel.zero_mm, style.pulse_gap_mm, style.pulse_foot_mm
    up = z - PULSE_MV * style.gain_mm_mv
    length = PULSE_MM if style.pulse_width_mm is None else style.pulse_width_mm + 2 * foot
    start = panel.start_mm - length - gap if style.pulse == "left" else block_end + gap
    end = start + length
    left, right = start + foot, end - foot
    top = [(up, left), (up, right)]
    if style.pulse_stepped and style.chest_gain_mm_mv is not None:
        down, middle = z - PULSE_MV * style.chest_gain_mm_mv, 0.5 * (start + end)
        top = [(up, left), (up, middle), (down, middle), (down, right)]
    pen.line([(z, start), (z, left), *top, (z, right), (z, end)], style.pulse_pen)
    return [Mark("pulse_left", panel.row, z, left), Mark("pulse_right", panel.row, z, right)]


def _draw_separators(pen: _Pen, panel: SheetPanel, block_end: float, style: SheetStyle) -> list[Mark]:
    """Marks between this panel's column and the one before it, and at the ends of the block."""
    z, x = panel.zero_mm, panel.start_mm
    places = [x] if panel.column > 0 else []
    if style.separator_at_ends and (panel.rhythm or panel.column in (0, style.layout.n_columns - 1)):
        places.append(x if panel.column == 0 else block_end)
    half, strokes = style.separator_mm, 1.3
    sides: tuple[float, ...] = (0.0,)
    spans: _Spans = ((-half, half),)
    if style.separator == "bars":
        strokes = style.separator_pen
    elif style.separator == "double":
        sides = (-0.25 * half, 0.25 * half)
    elif style.separator == "dotted":
        spans = tuple((d - 0.25, d + 0.25) for d in np.arange(-3.0 * half, 3.0 * half + 0.1, 1.25).tolist())
    elif style.separator == "full":
        spans = ((-0.5 * style.row_pitch_mm, 0.5 * style.row_pitch_mm),)
    else:
        spans = _TICKS if style.separator == "ticks" else _DASHES
    for place in places:
        for side in sides:
            for a, b in spans:
                pen.line([(z + a, place + side), (z + b, place + side)], strokes)
    return [Mark("separator", panel.row, z, place) for place in places]


# ---------------------------------------------------------------- text

_SURNAMES = ("Miller", "Okafor", "Schmidt", "Tanaka", "Rossi", "Novak", "Silva", "Larsen", "Dubois", "Kim")
_STATEMENTS = (
    "Sinus rhythm", "Normal ECG", "Sinus bradycardia", "Atrial fibrillation", "Left axis deviation",
    "Nonspecific T wave abnormality", "Right bundle branch block", "Borderline ECG", "UNCONFIRMED",
    "Left ventricular hypertrophy", "Old inferior infarct", "Confirmed by: Dr. Weber",
)  # fmt: skip


def lead_label(lead: str, variant: str, inverted: bool = False) -> str:
    """The name as printed: "aVR", "AVR" (upper), "Lead aVR" (long), "DII" (roman), "C1" (chest); "-aVR" where
    inverted."""
    text = {
        "upper": lead.upper(),
        "long": f"Lead {lead}",
        "roman": f"D{lead}" if set(lead) == {"I"} else lead,
        "chest": lead.replace("V", "C") if lead[0] == "V" else lead,
    }.get(variant, lead)
    return text.replace("aV", "-aV").replace("AV", "-AV") if inverted else text


def _header(style: SheetStyle, rng: np.random.Generator) -> list[tuple[float, float, str]]:
    """(y mm, x mm, text) of the lines above and below the traces."""
    lines: list[tuple[float, float, str]] = []
    room = style.first_row_mm - 0.5 * style.row_pitch_mm
    pool = [
        f"ID: {rng.integers(10000, 99999)}", f"Name: {rng.choice(_SURNAMES)}", f"Age: {rng.integers(18, 95)}",
        f"Date: {rng.integers(1, 29)}.{rng.integers(1, 13)}.{rng.integers(1990, 2027)}"
        f" {rng.integers(0, 24)}:15",
        f"Sex: {rng.choice(['M', 'F'])}", f"Height: {rng.integers(150, 200)} cm",
        f"Weight: {rng.integers(45, 120)} kg",
        str(rng.choice(_STATEMENTS)), str(rng.choice(_STATEMENTS)),
    ]  # fmt: skip
    if style.intervals:
        pool += [
            f"Vent. rate {rng.integers(40, 150)} BPM", f"PR interval {rng.integers(110, 240)} ms",
            f"QRS duration {rng.integers(70, 160)} ms",
            f"QT/QTc {rng.integers(340, 460)}/{rng.integers(380, 500)} ms",
            f"P-R-T axes {rng.integers(-20, 90)} {rng.integers(-60, 120)} {rng.integers(-30, 120)}",
        ]  # fmt: skip
    step = style.font_mm * 1.5
    columns = np.linspace(2, style.size_mm[1] * 0.7, 3)
    for k in range(style.header_lines * 3):
        y = 3.0 + (k // 3) * step
        if y + step > room or rng.random() < 0.35:
            continue
        lines.append((y, float(columns[k % 3]), str(rng.choice(pool))))
    if style.footer:
        foot = f"{style.speed_mm_s:g} mm/s" if rng.random() < 0.5 else f"{style.speed_mm_s:g}mm/s"
        gain = f"{style.gain_mm_mv:g} mm/mV" if rng.random() < 0.5 else f"{style.gain_mm_mv:g}mm/mV"
        y = style.size_mm[0] - rng.uniform(1.2, 2.2) * style.font_mm
        lines += [(y, style.block_left_mm + 40.0, foot), (y, style.block_left_mm + 90.0, gain)]
        if rng.random() < 0.4:
            lines.append(
                (
                    y,
                    style.block_left_mm + 140.0,
                    str(rng.choice(["0.05-150 Hz", "F 50~ 0.5-40 Hz", "100 Hz"])),
                )
            )
    return lines


_REMARKS = (
    "0.5-40 Hz", "50~", "*", "12", "IV", "VI", "V", "aV", "mm", "12.5 mm/s", "100 mm/s", "2.5 mm/mV", "Hz",
    "mV", "V1-V6", "25 Hz", "10 s", "5 mm", "II-III", "VR", "40 Hz", "25", "50", "10", "PVC", "III/IV", "V7",
)  # fmt: skip
"""Texts without meaning for the reader of a page; some resemble names of leads or scales."""
_FILTERS = ("0.05-150 Hz", "0.5-40 Hz", "100 Hz", "F 50~ 0.5-40 Hz", "W 100", "50~ 0.15-100 Hz", "ADS 35 Hz")
SCALE_LINES = 0.2
"""Share of scales among the texts from which reading is learned, in addition to those of `stray_text`."""


def _scale_text(word: str, rng: np.random.Generator) -> str:
    """A speed or gain as some cart writes it."""
    number, unit = word.split()
    form = rng.random()
    if form < 0.15:
        number = f"{float(number):.1f}"
    elif form < 0.2 and unit == "mm/mV":
        number, unit = f"{float(number) / 10:g}", "cm/mV"
    if unit == "mm/s" and rng.random() < 0.25:
        unit = "mm/sec"
    space = "" if rng.random() < 0.45 else " "
    before = str(rng.choice(["", "", "", "", "", "Speed: ", "Gain: ", "Chest: ", "Limb: ", "~ "]))
    return f"{before}{number}{space}{unit}"


def scale_line(rng: np.random.Generator) -> str:
    """A speed, a gain or both as a cart states them, alone or in one line with its filters."""
    speed, gain = (_scale_text(str(rng.choice(list(words))), rng) for words in (SPEED_WORDS, GAIN_WORDS))
    form = rng.random()
    if form < 0.6:
        return speed if form < 0.3 else gain
    parts = [speed, gain] if rng.random() < 0.7 else [gain, speed]
    if rng.random() < 0.5:
        parts.append(str(rng.choice(_FILTERS)))
    return str(rng.choice(["  ", "   ", ", ", " / ", "    "])).join(parts)


def stray_text(rng: np.random.Generator, known: float) -> str:
    """A text for any place; with probability `known` a word of `WORDS`, of a lead or a scale."""
    if rng.random() >= known:
        return str(rng.choice(_REMARKS))
    word = str(rng.choice(WORDS))
    if "mm" in word:
        return _scale_text(word, rng)
    inverted = word.startswith("-")
    return lead_label(word.removeprefix("-"), str(rng.choice(NAME_VARIANTS, p=NAME_SHARES)), inverted)


def _names(
    panels: tuple[SheetPanel, ...], style: SheetStyle, rng: np.random.Generator
) -> list[tuple[float, float, str]]:
    """(y mm, x mm, text) of the leads' names."""
    # One place for every name of a page, as a cart prints them; it varies between pages.
    lift, drop, inset = rng.uniform(4.0, 9.0), rng.uniform(4.5, 8.0), style.name_inset_mm
    lift = min(lift, 0.45 * style.row_pitch_mm)
    drop = min(drop, 0.4 * style.row_pitch_mm)
    places: list[tuple[float, float, str]] = []
    if style.names != "none":
        for panel in panels:
            text = lead_label(panel.lead, style.name_variant, panel.inverted)
            y, x = panel.zero_mm, panel.start_mm
            if style.names == "above":
                y, x = y - lift - style.font_mm * 0.5, x + inset
            elif style.names == "below":
                y, x = y + drop - style.font_mm * 0.5, x + inset
            elif panel.column == 0:
                y, x = y - 2.0 - style.font_mm, x - min(9.0, x - 0.5)
            else:
                y, x = y - 3.0 - style.font_mm, x + 1.0
            places.append((y, x, text))
    return places


def _draw_texts(
    shape: tuple[int, int],
    panels: tuple[SheetPanel, ...],
    style: SheetStyle,
    px_per_mm: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, tuple[Word, ...], tuple[PrintedText, ...]]:
    layer = np.zeros(shape, np.uint8)
    words: list[Word] = []
    texts: list[PrintedText] = []

    def write(y_mm: float, x_mm: float, text: str, face: str, size_mm: float, kind: str = "other") -> None:
        write_parts(y_mm, x_mm, ((text, kind),), face, size_mm)

    def write_parts(
        y_mm: float, x_mm: float, parts: tuple[tuple[str, str], ...], face: str, size_mm: float
    ) -> None:
        size = max(int(size_mm * px_per_mm), 5)
        row, col = y_mm * px_per_mm, x_mm * px_per_mm
        text = "".join(piece for piece, _ in parts)
        draw_text(layer, text, row, col, face, size)

        def corners(first: int, behind: int) -> np.ndarray:
            left, right = (col + text_width(text[:k], face, size) for k in (first, behind))
            top, bottom = row + 0.2 * size, row + 0.95 * size
            return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])

        words.extend(Word(word, corners(first, behind)) for word, first, behind in words_in(text))
        first = 0
        for piece, kind in parts:
            if piece.strip():
                texts.append(PrintedText(piece.strip(), kind, corners(first, first + len(piece.rstrip()))))
            first += len(piece)

    for y, x, text in _names(panels, style, rng):
        write(y, x, text, style.font, style.font_mm, "lead")
    for y, x, text in _header(style, rng):
        write(y, x, text, style.font, style.font_mm, "scale" if words_in(text) else "other")
    for line in style.header.texts if style.header is not None else ():
        write_parts(line.y_mm + 1.5, line.x_mm, line.parts, style.font, style.header.font_mm)  # type: ignore[union-attr]
    height = style.row_pitch_mm * style.layout.n_rows
    for _ in range(style.stray_texts):
        y = style.first_row_mm + float(rng.uniform(-0.5, 1.0)) * height
        x = style.block_left_mm + float(rng.uniform(0.0, 0.95)) * style.block_width_mm
        text = stray_text(rng, 0.5)
        if "mm" in text and words_in(text):  # a page states one scale
            text = str(rng.choice([f"{style.speed_mm_s:g}mm/s", f"{style.gain_mm_mv:g}mm/mV"]))
        write(y, x, text, style.font, style.font_mm)
    for _ in range(style.word_texts):
        y, x = (float(rng.uniform(0.0, 0.96)) * side for side in style.size_mm)
        face, size_mm = str(rng.choice(FACES)), float(rng.uniform(2.3, 5.5))
        text = scale_line(rng) if rng.random() < SCALE_LINES else stray_text(rng, 0.75)
        high = int(size_mm * px_per_mm)
        r, c = int(y * px_per_mm), int(x * px_per_mm)
        if not layer[r : r + high, c : c + text_width(text, face, high)].any():
            write(y, x, text, face, size_mm)
    return layer, tuple(words), tuple(texts)


def blend(image: np.ndarray, cover: np.ndarray, colour: RGB, alpha: float = 1.0) -> None:
    """Paint `colour` over (rows, cols, 3) uint8 in place, where cover (rows, cols) uint8 > 0."""
    at = np.nonzero(cover)
    share = (cover[at].astype(np.float32) * (alpha / 255.0))[:, None]
    image[at] = (image[at] * (1 - share) + np.asarray(colour, np.float32) * share).astype(np.uint8)
