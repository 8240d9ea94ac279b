"""ECG-Image-Kit's own digitiser: the brightest pixel of each column of the inverted picture, five ways,
and their median.

Shivashankara KK et al. 2024 (arXiv:2307.01946); source alphanumericslab/ecg-image-kit, `ecg-image-digitizer`:
`image_to_sequence` and its test script (R. Sameni, BSD-3; read for facts, nothing copied).

Taken: a single-channel picture of one lead is turned to grey and inverted; it is left as it is, or
filtered by a mean of 3 along the row, a mean of 3 x 3, a mean of the pixel and its six left and right
neighbours, or the least of the means along the row and both diagonals; the row of the largest value in
each column is the trace, the first one where several are equal; the median of the five answers is what its
test script draws ("voting"). Filters round to whole grey levels, as they do on its pictures of bytes. The
grid's period is the kit's own estimator, the marginal distribution (`grid_estimators`).

Departs: the kit says itself that this is a proof of concept for pictures of one lead, and that a whole
digitiser needs more. Leads are cut here as its user would cut them: the page is turned upright by our
angle, rows are peaks of the ink's spread, columns are equal parts of the block of traces; the zero line is
the lead's median; which millimetres the period is follows from the block's known length.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.image.colours import grey_of, lightest_of
from ecg_hough.output.ecg import Ecg
from ecg_lab.methods.common import (
    Block,
    LeadPath,
    Options,
    band,
    find_block,
    find_pulse,
    millimetre_px,
    otsu_level,
    paths_to_ecg,
    row_levels,
    turn_upright,
    without_frame,
)
from ecg_lab.methods.grid_estimators import GRID_ESTIMATORS

WINDOW = 3
BESIDE = np.array([[1, 0, 1], [1, 1, 1], [1, 0, 1]]) / 7
DIAGONAL = np.eye(3) / 3


def run(image: NDArray[np.uint8], labels: NDArray[np.uint8] | None, options: Options) -> Ecg:
    """Digitise one page (rows, cols, 3); `labels` is not used.

    Raises:
        PageError: rows or grid are not found.
    """
    page = turn_upright(image)
    grey = grey_of(page.image)
    light = lightest_of(page.image)
    ink = without_frame(light <= otsu_level(light))
    layout = options.layout
    levels = row_levels(ink, layout.n_rows)
    block = find_block(ink, levels, find_pulse(ink, levels))
    px_down, px_across = scale(page.image, block, options)
    px_per_s = px_across * options.speed_mm_s
    paths: list[LeadPath] = []
    reasons: dict[str, str] = {}
    for k in range(layout.n_rows):
        rhythm = k >= len(layout.rows)
        leads = (layout.rhythm[k - len(layout.rows)],) if rhythm else layout.rows[k]
        part = band(levels, k, ink.shape[0])
        width, span_s = (block.end_col - block.start_col) / len(leads), options.duration_s / len(leads)
        for j, lead in enumerate(leads):
            first = max(0, round(block.start_col + j * width))
            last = min(grey.shape[1], round(block.start_col + (j + 1) * width))
            if last - first < WINDOW:
                reasons[lead] = "its box lies outside the image"
                continue
            rows = image_to_sequence(grey[part, first:last]) + part.start
            paths.append(
                LeadPath(
                    lead, rhythm, np.arange(first, last, dtype=float), rows, j * span_s, span_s, float(first),
                    px_per_s, px_down * options.gain_mm_mv, float(np.median(rows)),
                )
            )  # fmt: skip
    return paths_to_ecg(
        paths, options, method="image-kit", angle_deg=page.angle_deg, px_per_mm=(px_down, px_across),
        to_page=page.to_page, reasons=reasons,
    )  # fmt: skip


def scale(image: NDArray[np.uint8], block: Block, options: Options) -> tuple[float, float]:
    """Px per mm down and across: the first of the kit's estimates, in its order, that the block's length
    allows.

    Raises:
        PageError: none does.
    """
    failure = PageError("grid", "none of the kit's estimators finds a grid")
    for estimate in GRID_ESTIMATORS.values():
        try:
            downs, acrosses = estimate(image)
            return millimetre_px(downs[0], block, options), millimetre_px(acrosses[0], block, options)
        except PageError as error:
            failure = error
    raise failure


def image_to_sequence(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(cols,) row of the trace of a picture of one lead (rows, cols): the median of the kit's five
    answers."""
    inverted = 255 - grey
    answers = [answer.argmax(axis=0) for answer in filtered(inverted).values()]
    return np.asarray(np.median(answers, axis=0), float)


def filtered(inverted: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """The inverted picture (rows, cols) as each of the kit's ways to find a trace sees it, by its name
    there."""
    along = np.ones((1, WINDOW)) / WINDOW
    means = [_mean(inverted, kernel) for kernel in (along, DIAGONAL, DIAGONAL[:, ::-1])]
    return {
        "max_finder": inverted,
        "hor_smoothing": means[0],
        "all_left_right_neighbors": _mean(inverted, BESIDE),
        "combined_all_neighbors": np.minimum(np.minimum(means[0], means[1]), means[2]),
        "moving_average": _mean(inverted, np.ones((WINDOW, WINDOW)) / WINDOW**2),
    }


def _mean(image: NDArray[np.uint8], kernel: NDArray[np.float64]) -> NDArray[np.uint8]:
    filtered = cv2.filter2D(image, -1, np.ascontiguousarray(kernel), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(filtered, np.uint8)
