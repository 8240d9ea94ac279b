"""The first public Kaggle baseline: markers by template matching, then a sweep from the top of each
column.

Moser A (ambrosm), notebook "ECG Original: explained baseline", PhysioNet digitization contest, 2025
(score 1.04 dB).

Taken: the printed lead names of one known page are found by template matching; a map from the known page
to the image is fitted to them; in each lead's window every column is swept from the top, and its first
dark pixels are the trace.

Departs: the notebook's templates are cut from contest pages, which are not ours to ship; here the names
are drawn in the same typeface (DejaVu Sans, 11 pt, as ECG-Image-Kit prints them) at the page's scale. The
map is affine. "Dark" is relative to the page and in the lightest of the colours (a red grid is light),
where the notebook has a fixed level. Pages of another typeface, or with names elsewhere, end in an error:
the method knows one page.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ecg_hough.errors import PageError
from ecg_hough.image.colours import grey_of, lightest_of
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import MM_PER_INCH, make_layout
from ecg_lab.methods.common import (
    LeadPath,
    Options,
    column_runs,
    paths_to_ecg,
    turn_upright,
)

PAGE_MM = (8.5 * MM_PER_INCH, 11.0 * MM_PER_INCH)
"""Height and width of the known page: ECG-Image-Kit's letter page."""
ZERO_MM = (89.95, 125.95, 161.93)
"""Zero lines of the three rows, mm from the top (708.3, 991.7 and 1275 px at 200 dpi, measured)."""
RHYTHM_ZERO_MM = 194.91
START_MM = 15.0
"""Start of the first column, mm from the left (118.1 px at 200 dpi)."""
COLUMN_MM = 62.5
NAME_BELOW_MM = 7.0
"""Foot of a name under its zero line."""
FONT_PT = 11.0
SEARCH_MM = 22.0
"""Names are looked for this far from where the known page has them."""
MIN_SCORE = 0.55
"""Normalised correlation of a marker with its template."""
MIN_MARKERS = 6
OUTLIER_MM = 2.0
"""Markers this far off the fitted map are omitted."""
SWEEP_MM = (18.0, 12.0)
"""The sweep begins this far above the zero line and ends this far below it."""
DARK_SHARE = 0.5
"""A pixel is dark below this share of the way from the darkest percentile to the page's median."""
NAME_LEADS = ("I", "aVR", "V1", "V4", "II", "aVL", "V2", "V5", "III", "aVF", "V3", "V6")


@dataclass(frozen=True)
class Marker:
    """A found name: where the known page has its corner (mm), where the image has it (px), and how sure."""

    mm: tuple[float, float]
    px: tuple[float, float]
    score: float


def run(image: NDArray[np.uint8], labels: NDArray[np.uint8] | None, options: Options) -> Ecg:
    """Digitise one page (rows, cols, 3); `labels` is not used.

    Raises:
        PageError: the names of the known page are not found, or the layout is not its layout.
    """
    layout = options.layout
    if layout != make_layout("3x4", rhythm=("II",)):
        raise PageError("layout", f"the baseline knows one page, 3x4+1 with lead II below; got {layout.name}")
    page = turn_upright(image)
    grey = grey_of(page.image)
    to_px = page_map(find_markers(grey))
    light = lightest_of(page.image)
    dark = light < _dark_level(light)
    px_per_mm = (float(np.hypot(*to_px[:, 0])), float(np.hypot(*to_px[:, 1])))
    paths: list[LeadPath] = []
    reasons: dict[str, str] = {}
    for k in range(layout.n_rows):
        rhythm = k >= len(layout.rows)
        leads = layout.rhythm if rhythm else layout.rows[k]
        zero_mm = RHYTHM_ZERO_MM if rhythm else ZERO_MM[k]
        span_s = options.duration_s / len(leads)
        for j, lead in enumerate(leads):
            start_mm = START_MM + j * COLUMN_MM
            ends = _to_px(to_px, [(zero_mm, start_mm), (zero_mm, start_mm + span_s * options.speed_mm_s)])
            first, last = (int(np.clip(round(c), 0, grey.shape[1])) for c in ends[:, 1])
            zero_row = float(ends[:, 0].mean())
            top = max(0, int(zero_row - SWEEP_MM[0] * px_per_mm[0]))
            bottom = min(grey.shape[0], int(zero_row + SWEEP_MM[1] * px_per_mm[0]))
            if last - first < 2 or bottom <= top:
                reasons[lead] = "its window lies outside the image"
                continue
            rows = sweep(dark[top:bottom, first:last]) + top
            px_per_s = px_per_mm[1] * options.speed_mm_s
            paths.append(
                LeadPath(
                    lead, rhythm, np.arange(first, last, dtype=float), rows, j * span_s, span_s,
                    float(ends[0, 1]), px_per_s, px_per_mm[0] * options.gain_mm_mv, zero_row,
                )
            )  # fmt: skip
    return paths_to_ecg(
        paths, options, method="ambrosm", angle_deg=page.angle_deg, px_per_mm=px_per_mm,
        to_page=page.to_page, reasons=reasons,
    )  # fmt: skip


def find_markers(grey: NDArray[np.uint8]) -> list[Marker]:
    """Printed names of the known page, each near its place there."""
    scale = grey.shape[1] / PAGE_MM[1]
    reach = round(SEARCH_MM * scale)
    found = []
    for i, lead in enumerate(NAME_LEADS):
        template, foot = name_template(lead, round(FONT_PT / 72 * MM_PER_INCH * scale, 1))
        mm = (ZERO_MM[i // 4] + NAME_BELOW_MM, START_MM + (i % 4) * COLUMN_MM)
        row, col = round(mm[0] * scale) - foot, round(mm[1] * scale)
        top, left = max(0, row - reach), max(0, col - reach)
        window = grey[top : row + reach + template.shape[0], left : col + reach + template.shape[1]]
        if window.shape[0] <= template.shape[0] or window.shape[1] <= template.shape[1]:
            continue
        match = cv2.matchTemplate(window, template, cv2.TM_CCOEFF_NORMED)
        _, score, _, (x, y) = cv2.minMaxLoc(match)
        if score >= MIN_SCORE:
            found.append(Marker(mm, (top + y + foot, left + x), score))
    return found


def page_map(markers: list[Marker]) -> NDArray[np.float64]:
    """(2, 3) affine map (mm down, mm across, 1) -> px row, col, fitted to the markers without outliers.

    Raises:
        PageError: too few markers agree.
    """
    kept = markers
    while len(kept) >= MIN_MARKERS:
        mm = np.array([[*m.mm, 1.0] for m in kept])
        px = np.array([m.px for m in kept])
        fit, *_ = np.linalg.lstsq(mm, px, rcond=None)
        scale = float(np.sqrt(abs(np.linalg.det(fit[:2]))))
        off = np.hypot(*(mm @ fit - px).T) / max(scale, 1e-9)
        if off.max() <= OUTLIER_MM:
            return np.asarray(fit.T)
        kept = [m for i, m in enumerate(kept) if i != int(off.argmax())]
    raise PageError(
        "layout",
        f"{MIN_MARKERS} names of the known page must be found in place; {len(kept)} of {len(markers)} agree. "
        "The method knows one page, ECG-Image-Kit's",
    )


def sweep(dark: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Middle of the first dark run from the top of every column, (cols,); NaN without one."""
    return np.array([(runs[0][0] + runs[0][1]) / 2 if runs else np.nan for runs in column_runs(dark)])


@lru_cache(maxsize=64)
def name_template(lead: str, size_px: float) -> tuple[NDArray[np.uint8], int]:
    """A lead's name in black on white, cropped to its ink at the left, and the row of its foot."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    font = ImageFont.truetype(str(path), max(4.0, size_px))
    _, top, right, bottom = (round(v) for v in font.getbbox(lead, anchor="ls"))
    picture = Image.new("L", (right + 4, bottom - top + 4), 255)
    ImageDraw.Draw(picture).text((2, 2 - top), lead, font=font, fill=0, anchor="ls")
    return np.asarray(picture, np.uint8)[:, 2:], 2 - top


def _dark_level(grey: NDArray[np.uint8]) -> float:
    low, middle = np.percentile(grey, [0.5, 50])
    return float(low + DARK_SHARE * (middle - low))


def _to_px(to_px: NDArray[np.float64], points: list[tuple[float, float]]) -> NDArray[np.float64]:
    return np.array([[*p, 1.0] for p in points]) @ to_px.T
