"""What the reproduced methods share: binary ink, rows of traces, the calibration pulse, columns to
seconds.

What enters: page pixels. What leaves: ink masks, row levels, the block of traces, and the package's `Ecg`
from paths in pixels. Nothing here belongs to one system; what does is in the system's own module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

import ecg_hough
from ecg_hough.errors import PageError
from ecg_hough.geometry.orientation import hough_angle
from ecg_hough.numeric import runs
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import FS_HZ, GAIN_MM_MV, LEADS, PAPER_SPEED_MM_S, RECORD_S, Layout, make_layout
from ecg_hough.record import LeadStatus, Trace

if TYPE_CHECKING:
    from ecg_lab.networks.nnunet_folder import NnunetFolder

Run = tuple[int, int]
"""First and last row of a vertical run of ink in one column."""

ROW_WINDOW_PX = 10
"""Rows of traces are peaks of the spread of the ink in windows this high (ECGMiner's value)."""
ROW_DISTANCE = 0.1
"""Least distance of two rows of traces, of the page's height (ECGMiner, ECGtizer)."""
BORDER_PX = 10
BORDER_SHARE = 0.8
"""A line of the outermost pixels that is ink over this share of its length is the page's frame."""
FRAME_PX = 2
"""Traces that begin this near to the page's edge begin at it."""
MIN_PULSE_PX = 8
FOOT_MIN_PX = 3.0
"""A shorter foot is the stroke of the pulse itself."""
PULSE_ASPECT = (0.2, 1.2)
"""Width of a calibration pulse over its height: 5 mm by 10 mm at 25 mm/s and 10 mm/mV is 0.5."""
PULSE_TOLERANCE = 0.1
"""Heights of the pulses of one page agree this well."""
PULSE_ROWS = 0.7
"""Share of the rows of traces that must show the pulse."""
GAP_S = 0.03
"""Gaps up to this long are bridged by a straight line: a light spot in the stroke, not the trace's end."""
GRID_PERIODS_MM = (1.0, 2.0, 5.0, 10.0)
BLOCK_TOLERANCE = 0.15
"""A grid's period must give the block of traces its length in millimetres this well."""


@dataclass(frozen=True)
class Options:
    """What the user knows of the page; these systems have it set by hand.

    Attributes:
        fs: sampling frequency of the result, Hz.
        speed_mm_s, gain_mm_mv: paper speed and gain.
        layout: where the leads are printed.
        duration_s: seconds printed across the page.
        network: an nnU-Net results folder that draws the masks; None takes our leads network's.
        depart: names of `krones2024.DEPARTURES`.
    """

    fs: int = FS_HZ
    speed_mm_s: float = PAPER_SPEED_MM_S
    gain_mm_mv: float = GAIN_MM_MV
    layout: Layout = field(default_factory=lambda: make_layout("3x4", rhythm=("II",)))
    duration_s: float = RECORD_S
    network: NnunetFolder | None = None
    depart: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Upright:
    """A page turned upright about its centre, on the same canvas.

    Attributes:
        image: (rows, cols, 3); labels: (rows, cols) or None.
        angle_deg: the page's angle before, counter-clockwise.
        to_page: (2, 3), upright (row, col, 1) -> px of the page as given.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    angle_deg: float
    to_page: NDArray[np.float64]


@dataclass(frozen=True)
class Pulse:
    """The calibration pulse in front of or behind the rows.

    Attributes:
        left_col, right_col: its two flanks.
        height_px: 1 mV.
        at_right: it is printed behind the traces.
    """

    left_col: float
    right_col: float
    height_px: float
    at_right: bool


@dataclass(frozen=True)
class Block:
    """Columns of the block of traces: half-open, pulse omitted."""

    start_col: float
    end_col: float


@dataclass(frozen=True)
class LeadPath:
    """One printed stretch of one lead as a path of pixels.

    Attributes:
        lead, rhythm: which.
        cols: (m,) increasing; rows: (m,), NaN where there is none.
        start_s, duration_s: its time in the record.
        start_col: column of `start_s`; px_per_s, px_per_mv, zero_row: its scale.
        bridged: short gaps are bridged by straight lines; else a sample between a row and none is NaN.
    """

    lead: str
    rhythm: bool
    cols: NDArray[np.float64]
    rows: NDArray[np.float64]
    start_s: float
    duration_s: float
    start_col: float
    px_per_s: float
    px_per_mv: float
    zero_row: float
    bridged: bool = True


def turn_upright(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8] | None = None,
    *,
    angle_deg: float | None = None,
    nearest: bool = False,
) -> Upright:
    """Turn a page and its label map about the centre, canvas kept.

    Args:
        angle_deg: the page's angle, counter-clockwise; None takes `orientation.hough_angle`.
        nearest: sample the image without interpolation; the label map always is.
    Raises:
        PageError: no line on the page gives an angle.
    """
    if labels is not None and labels.shape != image.shape[:2]:
        raise PageError(
            "segmentation",
            f"a label map must have the page's size {image.shape[:2]}; got {labels.shape}",
        )
    angle = hough_angle(image).angle_deg if angle_deg is None else angle_deg
    rows, cols = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((cols - 1) / 2, (rows - 1) / 2), -angle, 1.0)  # on (x, y)
    back = cv2.invertAffineTransform(turn)[::-1][:, [1, 0, 2]]
    if angle == 0.0:
        return Upright(image, labels, 0.0, back)
    flag = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    turned = cv2.warpAffine(image, turn, (cols, rows), flags=flag, borderValue=(255, 255, 255))
    if labels is not None:
        labels = cv2.warpAffine(labels, turn, (cols, rows), flags=cv2.INTER_NEAREST, borderValue=0)
    return Upright(turned, labels, angle, back)


def otsu_level(grey: NDArray[np.uint8]) -> float:
    """Otsu's threshold: dark is at or below it."""
    level, _ = cv2.threshold(grey.reshape(1, -1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return float(level)


def without_frame(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Ink without straight lines along the outermost pixels of the page."""
    out = ink.copy()
    rows, cols = ink.shape
    for lines in (out[:BORDER_PX], out[rows - BORDER_PX :], out.T[:BORDER_PX], out.T[cols - BORDER_PX :]):
        lines[lines.mean(axis=1) >= BORDER_SHARE] = False
    return out


def row_levels(ink: NDArray[np.bool_], n_rows: int) -> list[int]:
    """Levels of the rows of traces: the strongest peaks of the ink's spread along the page, top to bottom.

    Raises:
        PageError: fewer peaks than rows.
    """
    share = cv2.blur(ink.mean(axis=1)[:, None], (1, ROW_WINDOW_PX), borderType=cv2.BORDER_CONSTANT)[:, 0]
    spread = np.sqrt(np.maximum(share * (1 - share), 0.0))
    peaks, _ = find_peaks(spread, distance=max(1, int(ROW_DISTANCE * ink.shape[0])))
    if len(peaks) < n_rows:
        raise PageError(
            "layout",
            f"{n_rows} rows of traces are needed; the ink has {len(peaks)} levels. Is the page upright, in "
            "the layout that was given, and darker in its traces than in its grid?",
        )
    return sorted(int(k) for k in sorted(peaks, key=lambda k: -spread[k])[:n_rows])


def band(levels: Sequence[int], k: int, n_rows: int, reach: float = 0.5) -> slice:
    """Rows of the page that belong to row of traces k: `reach` of the distance to the next row."""
    gaps = np.diff(levels)
    above = gaps[k - 1] if k > 0 else (gaps[0] if len(gaps) else 0.5 * n_rows)
    below = gaps[k] if k < len(gaps) else (gaps[-1] if len(gaps) else 0.5 * n_rows)
    return slice(max(0, int(levels[k] - reach * above)), min(n_rows, int(levels[k] + reach * below) + 1))


def column_runs(ink: NDArray[np.bool_]) -> list[list[Run]]:
    """Vertical runs of ink of every column, top to bottom; rows are inclusive."""
    padded = np.zeros((ink.shape[1], ink.shape[0] + 2), np.int8)
    padded[:, 1:-1] = ink.T
    step = np.diff(padded, axis=1)
    col, first = np.nonzero(step == 1)
    _, behind = np.nonzero(step == -1)
    runs: list[list[Run]] = [[] for _ in range(ink.shape[1])]
    for c, a, b in zip(col.tolist(), first.tolist(), behind.tolist(), strict=True):
        runs[c].append((a, b - 1))
    return runs


def find_pulse(ink: NDArray[np.bool_], levels: Sequence[int]) -> Pulse | None:
    """The calibration pulse: two upright strokes of one height in all rows, joined at the top.

    QRS complexes lie in the same columns of all rows too, but not at one height and with a flat top.
    """
    n_rows, n_cols = ink.shape
    heights, tops = [], []
    for k, level in enumerate(levels):
        part = band(levels, k, n_rows, reach=0.75)
        height, top = _stroke_on(ink[part], level - part.start)
        heights.append(height)
        tops.append(top + part.start)
    tall, roof = np.array(heights, float), np.array(tops)
    middle = np.median(tall, axis=0)
    agree = np.abs(tall - middle) <= np.maximum(2.0, PULSE_TOLERANCE * middle)
    flank = (middle >= MIN_PULSE_PX) & (agree.mean(axis=0) >= PULSE_ROWS)
    strokes = [
        (0.5 * float(a + b - 1), float(middle[a:b].max()), int(a + np.argmax(middle[a:b])))
        for a, b in runs(flank)
    ]
    found = []
    for i, (left, tallest, at) in enumerate(strokes):
        for right, other, _ in strokes[i + 1 :]:
            width = right - left
            if width > PULSE_ASPECT[1] * tallest:
                break
            if width < PULSE_ASPECT[0] * tallest or abs(other - tallest) > max(3.0, 0.2 * tallest):
                continue
            inside = slice(int(left) + 2, max(int(left) + 3, int(right) - 1))
            flat = [
                ink[max(0, t - 3) : t + 6, inside].any(axis=0).mean() > 0.9 for t in roof[:, at]
            ]  # the plateau
            if np.mean(flat) >= PULSE_ROWS:
                found.append(Pulse(left, right, 0.0, left > n_cols / 2))
    if not found:
        return None
    pulse = max(found, key=lambda p: abs(0.5 * (p.left_col + p.right_col) - n_cols / 2))
    return Pulse(pulse.left_col, pulse.right_col, _pulse_height(ink, levels, pulse), pulse.at_right)


def _stroke_on(part: NDArray[np.bool_], level: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Height and top of the run of ink that begins on (or near) a level, for every column."""
    n_rows, n_cols = part.shape
    up = np.zeros(n_cols, np.intp)
    top = np.full(n_cols, level, np.intp)
    reach = max(3, n_rows // 20)
    for c, inked in enumerate(column_runs(part)):
        for a, b in inked:
            if a <= level + reach and b >= level - reach and b - a + 1 > up[c]:
                up[c], top[c] = b - a + 1, a
    return up, top


def _pulse_height(ink: NDArray[np.bool_], levels: Sequence[int], pulse: Pulse) -> float:
    """Distance of the pulse's plateau and foot, middle of stroke to middle of stroke, median over rows."""
    heights = []
    a, b = int(np.ceil(pulse.left_col)), int(pulse.right_col)
    for k in range(len(levels)):
        part = band(levels, k, ink.shape[0], reach=0.75)
        height, top = _stroke_on(ink[part], levels[k] - part.start)
        inner = ink[part, a + 3 : b - 2]
        first = np.argmax(inner, axis=0)
        stroke = [runs[0][1] - runs[0][0] + 1 for runs in column_runs(inner) if runs]
        if not stroke or not inner.any():
            continue
        thick = float(np.median(stroke))
        plateau = float(np.median(first[inner.any(axis=0)])) + (thick - 1) / 2
        at = max(0, a - 2) + int(np.argmax(height[max(0, a - 2) : a + 3]))
        foot = float(top[at] + height[at] - 1) - (thick - 1) / 2
        if foot - plateau >= MIN_PULSE_PX:
            heights.append(foot - plateau)
    return float(np.median(heights)) if heights else 0.0


def find_block(ink: NDArray[np.bool_], levels: Sequence[int], pulse: Pulse | None) -> Block:
    """First and last column of the traces, the calibration pulse and its feet omitted.

    A pulse's foot on the side of the page's edge is taken to be as long on the side of the traces
    (ECGMiner's rule).

    Raises:
        PageError: no ink in the rows.
    """
    firsts, lasts = [], []
    for k in range(len(levels)):
        cols = np.flatnonzero(ink[band(levels, k, ink.shape[0], reach=0.3)].any(axis=0))
        if cols.size:
            firsts.append(cols[0])
            lasts.append(cols[-1])
    if not firsts:
        raise PageError("layout", "the rows of traces must hold ink; found none")
    first, last = float(np.median(firsts)), float(np.median(lasts))
    if first <= FRAME_PX:
        first = 0.0  # the trace begins under the page's frame, which was taken away
    if pulse is None:
        return Block(first, last + 1)
    if pulse.at_right:
        return Block(first, pulse.left_col - max(0.0, last - pulse.right_col))
    foot = pulse.left_col - first
    return Block(pulse.right_col + (foot if foot > FOOT_MIN_PX else 0.0), last + 1)


def millimetre_px(period_px: float, block: Block, options: Options, stage: str = "grid") -> float:
    """Px per mm from a period of the grid that is 1, 2, 5 or 10 mm, by the block's known length.

    2 and 10 mm are what is found where single lines fall between pixels, or are drawn in turn.

    Raises:
        PageError: neither fits.
    """
    expected = (block.end_col - block.start_col) / (options.duration_s * options.speed_mm_s)
    best = min((period_px / mm for mm in GRID_PERIODS_MM), key=lambda px: abs(np.log(px / expected)))
    if abs(best / expected - 1.0) > BLOCK_TOLERANCE:
        raise PageError(
            stage,
            f"the grid's period must be 1, 2, 5 or 10 mm; {period_px:.2f} px fits none where "
            f"{options.duration_s:g} s span {block.end_col - block.start_col:.0f} px. Is the grid visible?",
        )
    return float(best)


def split_row(
    layout: Layout,
    k: int,
    cols: NDArray[np.float64],
    rows: NDArray[np.float64],
    block: Block,
    *,
    duration_s: float,
    px_per_mv: float,
    zero_row: float,
) -> list[LeadPath]:
    """Cut row of traces k into its leads: equal columns of the block, one after the other in time."""
    rhythm = k >= len(layout.rows)
    leads = (layout.rhythm[k - len(layout.rows)],) if rhythm else layout.rows[k]
    px_per_s = (block.end_col - block.start_col) / duration_s
    span_s = duration_s / len(leads)
    out = []
    for j, lead in enumerate(leads):
        start_col = block.start_col + j * span_s * px_per_s
        inside = (cols >= start_col - 0.5) & (cols < start_col + span_s * px_per_s + 0.5)
        out.append(
            LeadPath(
                lead, rhythm, cols[inside], rows[inside], j * span_s, span_s, start_col, px_per_s, px_per_mv,
                zero_row,
            )
        )  # fmt: skip
    return out


def paths_to_ecg(
    paths: Sequence[LeadPath],
    options: Options,
    *,
    method: str,
    angle_deg: float = 0.0,
    px_per_mm: tuple[float, float] | None = None,
    to_page: NDArray[np.float64] | None = None,
    reasons: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
) -> Ecg:
    """The record of paths in pixels: each lead at its own time, NaN elsewhere; a rhythm strip wins.

    These systems state no confidence: it is 1 where a sample was read; the expected error is unknown (NaN).

    Args:
        method: its name, for the versions.
        to_page: (2, 3), px of the paths -> px of the page as given; None where they are the same.
        reasons: why leads without a path have none.

    Raises:
        PageError: no lead has a sample.
    """
    n = round(options.duration_s * options.fs)
    signals = np.full((len(LEADS), n), np.nan)
    spans: dict[str, tuple[float, float]] = {}
    for path in sorted(paths, key=lambda p: p.rhythm):
        first, values = _resample(path, options.fs)
        values = values[: n - first]
        if not np.isfinite(values).any():
            continue
        k = LEADS.index(path.lead)
        signals[k, first : first + values.size] = np.where(
            np.isfinite(values), values, signals[k, first : first + values.size]
        )
        spans[path.lead] = (path.start_s, path.start_s + path.duration_s)
    if not spans:
        why = next(iter((reasons or {}).values()), "no row of traces could be followed")
        raise PageError("readout", f"at least one lead must be readable; {why}")
    statuses = tuple(
        LeadStatus(lead, True, None, 1.0, *spans[lead])
        if lead in spans
        else LeadStatus(lead, False, (reasons or {}).get(lead, "no trace found"))
        for lead in LEADS
    )
    if options.layout.cabrera:
        signals[LEADS.index("aVR")] *= -1
    turn = np.array([[1.0, 0, 0], [0, 1.0, 0]]) if to_page is None else to_page
    return Ecg(
        signals=signals,
        fs=options.fs,
        confidence=np.isfinite(signals).astype(float),
        sd_mv=np.full(signals.shape, np.nan),
        lead_status=statuses,
        angle_deg=angle_deg,
        quarter_turns=0,
        px_per_mm=px_per_mm,
        layout=options.layout.name,
        speed_mm_s=options.speed_mm_s,
        gain_mm_mv=options.gain_mm_mv,
        warnings=tuple(warnings),
        traces=tuple(
            Trace(p.lead, p.rhythm, np.column_stack([p.rows, p.cols]) @ turn[:, :2].T + turn[:, 2])
            for p in paths
        ),
        quality=len(spans) / len(LEADS),
        versions={"ecg_hough": ecg_hough.__version__, "method": method},
        seconds={},
        source="array",
    )


def _resample(path: LeadPath, fs: int) -> tuple[int, NDArray[np.float64]]:
    """First sample in the record and mV at fs; gaps longer than `GAP_S` stay NaN."""
    first = round(path.start_s * fs)
    last = round((path.start_s + path.duration_s) * fs)
    at = path.start_col + (np.arange(first, last) / fs - path.start_s) * path.px_per_s
    known = np.isfinite(path.rows)
    cols, rows = path.cols[known], path.rows[known]
    if cols.size == 0:
        return first, np.full(last - first, np.nan)
    if not path.bridged:
        return first, (path.zero_row - np.interp(at, path.cols, path.rows)) / path.px_per_mv
    after = np.clip(np.searchsorted(cols, at), 0, cols.size - 1)
    before = np.maximum(after - 1, 0)
    near = np.minimum(np.abs(cols[after] - at), np.abs(cols[before] - at))
    mv = (path.zero_row - np.interp(at, cols, rows)) / path.px_per_mv
    return first, np.where(near <= max(2.0, GAP_S * path.px_per_s / 2), mv, np.nan)
