"""Pages by ECG-Image-Kit: a JSON sidecar and its picture enter, a label map leaves.

The kit (Shivashankara et al. 2024, github.com/alphanumericslab/ecg-image-kit) writes `leads[]` with one
[row, col] per printed sample, in pixels counted from the page's top left EDGE: the centre of pixel k is
at k + 0.5. Here it is at k, so half a pixel is taken off both coordinates. Measured on 8 unaugmented
200 dpi pages: the ink's centroid lies -0.500 px (mean over 14,318 columns on flat stretches, SD 0.07)
from the sidecar's rows, and -0.494 px (median over 16,178 rows of steep flanks) from its columns.

Augmented pages are turned and cropped after drawing. The sidecar records the largest angle and crop that
were allowed, not the drawn ones, and upstream turns `leads[]` only where boxes of leads or names were
asked for, without padding and crop. So metadata do not show whether the points fit the picture, but
the ink does: a page whose points do not lie on dark lines is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.datasets.split import read_signals
from ecg_hough.paper import GRID_MAJOR_MM, LEADS

EDGE_TO_CENTRE_PX = 0.5
"""Sidecar coordinate of the centre of pixel 0, both axes; measured, see above."""
TRACE_PT = 0.75
"""Line width of the kit's traces in points of 1/72 inch (ECG-Image-Kit source)."""
MIN_ON_INK = 0.7
"""Least share of sidecar points on ink. On 200 dpi pages with right points 0.94 or more (plain, black and
white, random grid colours, wrinkles, noise: 34 pages), with points of the unturned page 0.38 or less (22)."""

_INK_CONTRAST = 0.3  # of the range from the darkest percentile to the median of the page
_PAPER_MM = 0.75  # distance from the trace at which the paper is measured
_SUBPIXEL_BITS = 4
_HEAD_BYTES = 4096


@dataclass(frozen=True, eq=False)
class KitPage:
    """A page with its label map.

    Attributes:
        image_path: the picture.
        labels: (rows, cols) uint8 of the picture's size; 0 background, k + 1 = `LEADS[k]`. The rhythm
            strip has the class of its lead, as has the short copy.
        signals: (12, N) mV from the WFDB record next to the sidecar, NaN where not printed; None where
            there is no record.
        fs: sampling frequency in Hz.
        px_per_mm: vertical, horizontal.
        traces: name and points (n, 2) row, col of every printed stretch, in the sidecar's order.
        turn_deg: angle by which the picture was turned after the points were noted, counter-clockwise;
            points, labels and `traces` are those of the page before. 0 unless asked for.
    """

    image_path: Path
    labels: NDArray[np.uint8]
    signals: NDArray[np.float64] | None
    fs: int
    px_per_mm: tuple[float, float]
    traces: tuple[tuple[str, NDArray[np.float64]], ...] = ()
    turn_deg: float = 0.0


def find_kit_pages(folder: Path) -> list[Path]:
    """Sidecars below `folder`, sorted; other JSON files are skipped."""
    return [path for path in sorted(Path(folder).rglob("*.json")) if _is_sidecar(path)]


def read_kit_page(json_path: Path, *, stroke_px: float | None = None, may_be_turned: bool = False) -> KitPage:
    """Read a sidecar and draw its label map.

    Args:
        json_path: the sidecar; picture and record are in its folder under the same name.
        stroke_px: width of the drawn traces, at least 1; None takes the kit's 0.75 pt.
        may_be_turned: where the points do not lie on the ink, look for the whole degree, within the sidecar's
            limit, by which the picture was turned afterwards.

    Raises:
        ValueError: no picture, a broken or incomplete sidecar, a picture of another size, or points
            that do not lie on the picture's ink (turned or cropped after drawing).
    """
    json_path = Path(json_path)
    if stroke_px is not None and not stroke_px >= 1:
        raise ValueError(f"stroke_px must be 1 or more; got {stroke_px}")
    sidecar = _read_sidecar(json_path)
    image_path = kit_image_path(json_path)
    picture = cv2.imread(str(image_path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ValueError(f"picture must be a readable image; got {image_path}")
    grey = np.asarray(picture, np.uint8)
    try:
        fs = int(sidecar["sampling_frequency"])
        dpi = float(sidecar["resolution"])
        pad_px = float(sidecar["pad_inches"]) * dpi
        size = (sidecar["height"] + 2 * pad_px, sidecar["width"] + 2 * pad_px)
        px_per_mm = (sidecar["y_grid"] / GRID_MAJOR_MM, sidecar["x_grid"] / GRID_MAJOR_MM)
        # A fork of the kit keeps the unturned points in "leads" and the turned ones here.
        leads = [_lead_points(entry, pad_px) for entry in sidecar.get("leads_augmented", sidecar["leads"])]
        spans = [(_lead_index(entry), *_span(entry)) for entry in sidecar["leads"]]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"sidecar must have ECG-Image-Kit's fields; {json_path}: {error!r}") from error
    if not leads:
        raise ValueError(f"sidecar must list leads; {json_path} lists none")
    if max(abs(grey.shape[0] - size[0]), abs(grey.shape[1] - size[1])) > 1:
        raise ValueError(
            f"picture must have the sidecar's size {size[0]:.0f} x {size[1]:.0f}; "
            f"got {grey.shape[0]} x {grey.shape[1]} in {image_path}"
        )
    points = np.concatenate([points for _, points in leads])
    share, turn = share_on_ink(grey, points, px_per_mm[0]), 0.0
    if share < MIN_ON_INK and may_be_turned:
        share, turn = _best_turn(grey, points, px_per_mm[0], float(sidecar.get("rotate") or 0))
    if share < MIN_ON_INK:
        raise ValueError(
            f"at least {MIN_ON_INK:.0%} of the sidecar's points must lie on ink; got {share:.0%} in "
            f"{json_path} (augment {sidecar.get('augment')}, rotate up to {sidecar.get('rotate')}, crop up "
            f"to {sidecar.get('crop')}): it describes the page before it was turned or cropped. Draw pages "
            "without --augment, or with --lead_bbox"
        )
    width = TRACE_PT / 72 * dpi if stroke_px is None else stroke_px
    labels = _draw(grey.shape[:2], leads, max(round(width), 1))
    traces = tuple((LEADS[index], points) for index, points in leads)
    return KitPage(image_path, labels, _read_truth(json_path, fs, spans), fs, px_per_mm, traces, turn)


def _best_turn(
    grey: NDArray[np.uint8], points: NDArray[np.float64], px_per_mm: float, limit_deg: float
) -> tuple[float, float]:
    """Largest share of points on ink among the pictures turned back by whole degrees, and that angle."""
    rows, cols = grey.shape
    found = [(0.0, 0.0)]
    for angle in range(-int(limit_deg), int(limit_deg) + 1):
        turn = cv2.getRotationMatrix2D(((cols - 1) / 2, (rows - 1) / 2), -angle, 1.0)
        back = np.asarray(cv2.warpAffine(grey, turn, (cols, rows), borderValue=255), np.uint8)
        found.append((share_on_ink(back, points, px_per_mm), float(angle)))
    return max(found)


def read_kit_truth(json_path: Path) -> tuple[NDArray[np.float64], int]:
    """(12, N) mV, NaN where the page shows nothing, and fs in Hz, of a sidecar and its WFDB record.

    Raises:
        ValueError: a broken sidecar, no record next to it, or one at another fs.
    """
    sidecar = _read_sidecar(Path(json_path))
    try:
        fs = int(sidecar["sampling_frequency"])
        spans = [(_lead_index(entry), *_span(entry)) for entry in sidecar["leads"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"sidecar must have ECG-Image-Kit's fields; {json_path}: {error!r}") from error
    signals = _read_truth(Path(json_path), fs, spans)
    if signals is None:
        raise ValueError(f"a WFDB record must be next to the sidecar; found none for {json_path}")
    return signals, fs


def share_on_ink(grey: NDArray[np.uint8], points: NDArray[np.float64], px_per_mm: float) -> float:
    """Share of points (n, 2) row, col that are clearly darker than the paper around them, above and below or
    to the left and right.

    Points outside the picture count as not on ink.
    """
    away = max(round(_PAPER_MM * px_per_mm), 3)
    row, col = np.rint(points).astype(int).T
    inside = (np.minimum(row, col) >= away) & (row < grey.shape[0] - away) & (col < grey.shape[1] - away)
    row, col = row[inside], col[inside]
    dark, typical = np.percentile(grey, [1, 50])
    page = grey.astype(float)
    # On steep flanks the points above and below are on ink too.
    around = np.maximum(
        page[row - away, col] + page[row + away, col], page[row, col - away] + page[row, col + away]
    )
    on_ink = around / 2 - page[row, col] > _INK_CONTRAST * (typical - dark)
    return float(np.count_nonzero(on_ink)) / max(len(points), 1)


def _is_sidecar(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return b'"plotted_pixels"' in head or b'"sampling_frequency"' in head


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        sidecar = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"sidecar must be JSON; {path}: {error}") from error
    except OSError as error:
        raise ValueError(f"sidecar must be a readable file; {path}: {error}") from error
    if not isinstance(sidecar, dict):
        raise ValueError(f"sidecar must be a JSON object; {path} holds a {type(sidecar).__name__}")
    return sidecar


def kit_image_path(json_path: Path) -> Path:
    """The picture of a sidecar. Raises ValueError where there is none."""
    for ending in (".png", "_0000.png", ".jpg", ".jpeg"):
        candidate = json_path.with_name(json_path.stem + ending)
        if candidate.exists():
            return candidate
    raise ValueError(f"a picture must be next to the sidecar; found no {json_path.with_suffix('.png')}")


def _lead_index(entry: dict[str, Any]) -> int:
    names = [lead.upper() for lead in LEADS]
    name = str(entry["lead_name"]).upper()
    if name not in names:
        raise ValueError(f"lead_name must be one of {', '.join(LEADS)}; got {entry['lead_name']!r}")
    return names.index(name)


def _lead_points(entry: dict[str, Any], pad_px: float) -> tuple[int, NDArray[np.float64]]:
    """Index of the lead and its points (n, 2) row, col in this package's pixels."""
    points = np.asarray(entry["plotted_pixels"], float)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"plotted_pixels must be finite pairs of row and column; got shape {points.shape}")
    return _lead_index(entry), points + pad_px - EDGE_TO_CENTRE_PX


def _span(entry: dict[str, Any]) -> tuple[int, int]:
    return int(entry["start_sample"]), int(entry["end_sample"])


def _draw(
    shape: tuple[int, ...], leads: list[tuple[int, NDArray[np.float64]]], stroke_px: int
) -> NDArray[np.uint8]:
    """Polylines without anti-aliasing: a mixed grey value would be another lead's class."""
    labels = np.zeros(shape, np.uint8)
    for index, points in leads:
        fixed = np.rint(points[:, ::-1] * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        cv2.polylines(labels, [fixed[:, None]], False, index + 1, stroke_px, cv2.LINE_8, _SUBPIXEL_BITS)
    return labels


def _read_truth(json_path: Path, fs: int, spans: list[tuple[int, int, int]]) -> NDArray[np.float64] | None:
    """The record next to the sidecar, NaN outside the printed samples (the kit may keep the full record)."""
    # Pages are named <record>-<segment>; their record may be named either way.
    stems = [json_path.with_suffix(""), json_path.with_name(json_path.stem.rsplit("-", 1)[0])]
    stem = next((s for s in stems if s.with_name(s.name + ".hea").exists()), None)
    if stem is None:
        return None
    signals, record_fs = read_signals(stem)
    if record_fs != fs:
        raise ValueError(f"record and sidecar must agree on fs; got {record_fs} and {fs} Hz in {json_path}")
    printed = np.zeros(signals.shape, bool)
    for lead, start, end in spans:
        printed[lead, start:end] = True
    return np.where(printed, signals, np.nan)
