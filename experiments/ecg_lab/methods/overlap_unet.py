"""Overlapping leads (Karbasi et al. 2025): the mask of one lead, then a path through it, scale from an
adaptive grid.

Karbasi R et al. Deep learning-based digitization of overlapping ECG images with open-source Python code.
2025. arXiv:2506.10617.

Taken: two stages, a U-Net's mask of one lead that leaves its neighbours out, on a picture of that lead,
then a path through the cleaned mask and a scale from the grid's period, found at whatever darkness of the
grid shows one.

Departs: the U-Net is trained here, on crops of rendered pages whose rows cross
(`ecg_lab.networks.overlap_unet`); the paper's weights are not public. Its users cut the leads out by hand;
here a lead's box is that of its class in our leads network's label map, or of the nnU-Net folder's that is
given, wide enough for half of the neighbouring rows. Where a label map is given, its masks are read as
they are. Column and time follow from the layout. The zero line is the median of the lead.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.geometry.orientation import hough_angle
from ecg_hough.image.colours import grey_of
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS
from ecg_lab.methods.common import (
    Block,
    LeadPath,
    Options,
    millimetre_px,
    otsu_level,
    paths_to_ecg,
    turn_upright,
)
from ecg_lab.methods.masks import check_labels, network_labels
from ecg_lab.methods.paper_ecg import grid_period, viterbi
from ecg_lab.networks.overlap_unet import CROP_PX, OVERLAP_UNET, PX_PER_MM, STRIDE, crop_at, crop_matrix
from ecg_lab.networks.peers import load_peer

SPECK_SHARE = 0.02
"""Pieces of a mask smaller than this share of it are specks."""
MIN_WIDTH = 0.5
"""A lead's path must span this share of its column."""
LEVELS = (1.0, 0.9, 0.8, 0.7)
"""Shares of Otsu's level that count as ink when the grid's lines are looked at."""


def run(image: NDArray[np.uint8], labels: NDArray[np.uint8] | None, options: Options) -> Ecg:
    """Digitise one page (rows, cols, 3) with its label map (rows, cols), or with our network's where None.

    Raises:
        PageError: no masks, or no grid.
    """
    if labels is not None:
        given = check_labels(labels, image.shape)
    elif options.network is not None:
        given = check_labels(options.network.labels(image), image.shape)
    else:
        given = network_labels(image)
    page = turn_upright(image, given, angle_deg=hough_angle(image).angle_deg)
    assert page.labels is not None
    block = _block(page.labels)
    px_down, px_across = adaptive_scale(page.image, block, options)
    px_per_s, px_per_mv = px_across * options.speed_mm_s, px_down * options.gain_mm_mv
    layout = options.layout
    level = _row_levels(page.labels, options)
    paths: list[LeadPath] = []
    reasons: dict[str, str] = {}
    for k in range(layout.n_rows):
        rhythm = k >= len(layout.rows)
        leads = (layout.rhythm[k - len(layout.rows)],) if rhythm else layout.rows[k]
        span_s = options.duration_s / len(leads)
        for j, lead in enumerate(leads):
            mask = page.labels == LEADS.index(lead) + 1
            if lead in layout.rhythm:
                # The lead is printed twice: each row keeps the pixels that are nearer to it.
                own = level[k]
                rows = np.arange(mask.shape[0])
                others = [other for i, other in enumerate(level) if i != k and _holds(options, i, lead)]
                for other in others:
                    mask[np.abs(rows - other) < np.abs(rows - own)] = False
            if labels is None:
                mask = lead_mask(page.image, mask, px_across)
            mask = without_specks(mask)
            cols = np.flatnonzero(mask.any(axis=0))
            width = (block.end_col - block.start_col) / len(leads)
            if cols.size < MIN_WIDTH * width:
                reasons[lead] = f"its mask spans {cols.size} of {width:.0f} px"
                continue
            box = np.flatnonzero(mask.any(axis=1))
            path = viterbi(mask[box[0] : box[-1] + 1, cols[0] : cols[-1] + 1])
            if path is None:
                reasons[lead] = "no path through its mask"
                continue
            at = cols[0] + np.arange(path.size, dtype=float)
            start_col = block.start_col + j * span_s * px_per_s
            rows_at = path + box[0]
            paths.append(
                LeadPath(
                    lead, rhythm, at, rows_at, j * span_s, span_s, start_col, px_per_s, px_per_mv,
                    float(np.nanmedian(rows_at)),
                )
            )  # fmt: skip
    return paths_to_ecg(
        paths, options, method="overlap-unet", angle_deg=page.angle_deg,
        px_per_mm=(px_down, px_across), to_page=page.to_page, reasons=reasons,
    )  # fmt: skip


def lead_mask(image: NDArray[np.uint8], coarse: NDArray[np.bool_], px_per_mm: float) -> NDArray[np.bool_]:
    """The U-Net's mask (rows, cols) of one lead on an upright page, from a coarse one that shows where it is.

    Args:
        image: (rows, cols, 3); coarse: (rows, cols) pixels of the lead, its errors included.
    """
    at = np.argwhere(coarse)
    if not len(at):
        return coarse
    first, last = int(at[:, 1].min()), int(at[:, 1].max())
    scale = PX_PER_MM / px_per_mm
    wide = max(1, round((last - first + 1) * scale))
    shape = (CROP_PX[0], -(-wide // STRIDE) * STRIDE)
    centre = np.array([np.median(at[:, 0]), (first + last) / 2])
    matrix = crop_matrix(centre, scale, 0.0, shape)
    logits = load_peer(OVERLAP_UNET.name).run(crop_at(image, matrix, shape)[None])[0, 0]
    (a, b, c), (d, e, f) = matrix
    xy = np.array([[e, d, f], [b, a, c]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found = cv2.warpAffine(logits, xy, image.shape[1::-1], flags=flags, borderValue=-1.0) > 0
    found[:, :first] = found[:, last + 1 :] = False
    return np.asarray(found)


def adaptive_scale(image: NDArray[np.uint8], block: Block, options: Options) -> tuple[float, float]:
    """Px per mm down and across, from the first darkness at which the grid's lines repeat plausibly.

    Raises:
        PageError: none does.
    """
    grey = grey_of(image)
    level = otsu_level(grey)
    for share in LEVELS:
        try:
            down, across = grid_period(grey, grey <= share * level)
            return millimetre_px(down, block, options), millimetre_px(across, block, options)
        except PageError as error:
            failure = error
    raise failure


def without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask without its smallest pieces."""
    joined = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8))
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= SPECK_SHARE * max(1, int(joined.sum()))
    keep[0] = False
    return mask & keep[pieces]


def _block(labels: NDArray[np.uint8]) -> Block:
    """Columns between the first and the last labelled pixels, single ones omitted."""
    count = (labels > 0).sum(axis=0)
    cols = np.flatnonzero(cv2.blur((count > 0).astype(np.float32)[None], (5, 1))[0] > 0.5)
    if not cols.size:
        raise PageError("segmentation", "at least one lead must have a mask; the label map is empty")
    return Block(float(cols[0]), float(cols[-1] + 1))


def _holds(options: Options, k: int, lead: str) -> bool:
    layout = options.layout
    return lead in layout.rows[k] if k < len(layout.rows) else lead == layout.rhythm[k - len(layout.rows)]


def _row_levels(labels: NDArray[np.uint8], options: Options) -> list[float]:
    """Level of every row of traces: the median of its leads' pixels; a rhythm strip's is the lower half's."""
    layout = options.layout
    out = []
    for row in layout.rows:
        alone = [LEADS.index(lead) + 1 for lead in row if lead not in layout.rhythm]
        at = np.flatnonzero(np.isin(labels, alone).any(axis=1)) if alone else np.zeros(0)
        out.append(float(np.median(np.argwhere(np.isin(labels, alone))[:, 0])) if at.size else float("nan"))
    known = [level for level in out if np.isfinite(level)]
    if not known:
        raise PageError("layout", "no row of short leads has a mask")
    out = [level if np.isfinite(level) else known[-1] for level in out]
    for lead in layout.rhythm:
        rows = np.argwhere(labels == LEADS.index(lead) + 1)[:, 0]
        below = rows[rows > max(out)]
        out.append(float(np.median(below)) if below.size else max(out) + 1.0)
    return out
