"""Lead label maps for the methods that read masks: our leads network's, or given ones.

What enters: page pixels, or a label map (rows, cols) uint8 with 0 background and k + 1 for LEADS[k], such
as `overlay.draw_label_map` draws and `export.LABELS_SUFFIX` files hold. What leaves: such a map, checked.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.geometry.orientation import hough_angle
from ecg_hough.layout.view import find_leads
from ecg_hough.networks.canvas import Canvas
from ecg_hough.output.export import LABELS_SUFFIX, record_name
from ecg_hough.paper import LEADS
from ecg_hough.traces.ink import pen_under
from ecg_hough.traces.masks import MASK_MIN, row_masks

BESIDE_MM = 8.0
"""Paper is sampled up to about this far above and below a row of traces, on a page that is 280 mm wide."""


def network_labels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Label map (rows, cols) of a page by our leads network, as thin as the pen's stroke.

    The network names panels, not pixels: its masks are some millimetres wide on a coarse canvas, and single
    pixels of them are often misnamed, which stretches a class's bounding box over its neighbour's. So every
    panel of the layout that the masks show is labelled with its lead: the pen's pixels (`ink.pen_under`)
    under the row's mask, from the panel's start to its end.

    Raises:
        PageError: no lines, no leads, or a page turned by a quarter.
    """
    found = find_leads(image, hough_angle(image).angle_deg)
    turns, canvas, probabilities, layout = found.turns, found.canvas, found.probabilities, found.layout
    if turns:
        raise PageError(
            "segmentation", f"this method needs an upright page; it is turned by {90 * turns} deg"
        )
    rows, cols = image.shape[:2]
    (a, b, c), (d, e, f) = canvas.matrix  # page (row, col) -> canvas (row, col)
    xy = np.array([[e, d, f], [b, a, c]])
    # As a map from the page's pixels back to the canvas, warpAffine takes it as it is.
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    labels = np.zeros((rows, cols), np.uint8)
    margin = round(BESIDE_MM * max(rows, cols) / 280.0)
    indices = sorted({panel.row_index for panel in layout.panels})
    for index, masks in zip(indices, row_masks(probabilities, layout), strict=True):
        under = cv2.warpAffine(masks[0], xy, (cols, rows), flags=flags) > MASK_MIN
        at = np.flatnonzero(under.any(axis=1))
        if not at.size:
            continue
        top = max(0, int(at[0]) - margin)
        band = slice(top, int(at[-1]) + 1 + margin)
        pen = np.argwhere(pen_under(image[band], under[band])) + np.array([top, 0])
        col = canvas.from_page(pen.astype(float))[:, 1]
        for panel in layout.panels:
            if panel.row_index == index:
                mine = pen[(col >= panel.start_col - 0.5) & (col < panel.end_col - 0.5)]
                labels[tuple(mine.T)] = LEADS.index(panel.lead) + 1
    if not labels.any():
        raise PageError("segmentation", "a page must show leads; the network's masks are empty")
    return labels


def canvas_probabilities(labels: NDArray[np.uint8], canvas: Canvas) -> NDArray[np.float32]:
    """(13, side, side) class probabilities that a perfect network would give for a label map.

    Strokes are widened to a canvas pixel and softened a little, as the network's are.
    """
    side = canvas.image.shape[0]
    size = 2 * int(np.ceil(0.5 / canvas.scale)) + 1
    wide = np.asarray(cv2.dilate(labels, np.ones((size, size), np.uint8)), np.uint8)
    (a, b, c), (d, e, f) = canvas.matrix
    xy = np.array([[e, d, f], [b, a, c]])
    small = cv2.warpAffine(wide, xy, (side, side), flags=cv2.INTER_NEAREST, borderValue=0)
    maps = np.stack(
        [cv2.GaussianBlur((small == k).astype(np.float32), (0, 0), 0.6) for k in range(len(LEADS) + 1)]
    )
    return maps / maps.sum(axis=0, keepdims=True)


def check_labels(labels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The label map, if it fits the page.

    Raises:
        PageError: another size, other values than 0 to 12, or no lead at all.
    """
    if labels.shape != tuple(shape[:2]):
        raise PageError(
            "segmentation", f"a label map must have the page's size {tuple(shape[:2])}; got {labels.shape}"
        )
    if labels.dtype != np.uint8 or labels.max(initial=0) > len(LEADS):
        raise PageError(
            "segmentation", f"a label map must be uint8, 0 to {len(LEADS)}; got {labels.dtype} {labels.max()}"
        )
    if not labels.any():
        raise PageError("segmentation", "a label map must hold at least one lead; it is empty")
    return labels


def find_label_file(folder: Path, stem: str) -> Path | None:
    """The label map of the page `stem`: stem.labels.png, else stem.png; None without one."""
    for name in (f"{record_name(stem)}{LABELS_SUFFIX}", f"{stem}{LABELS_SUFFIX}", f"{stem}.png"):
        if (folder / name).is_file():
            return folder / name
    return None


def read_labels(path: Path) -> NDArray[np.uint8]:
    """A label map from a PNG.

    Raises:
        PageError: not a readable picture with one plane.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 2:
        raise PageError("segmentation", f"a label map must be a picture with one plane; {path} is none")
    return np.asarray(picture)
