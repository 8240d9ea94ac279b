"""ECGtizer: tracks by the variance of rows, and three ways to read a track: lazy, full, fragmented.

UMMISCO, github.com/UMMISCO/ecgtizer.

Taken: grey, blur 5 x 5, Otsu, or the fixed level 40 where the image's variance calls it noisy; connected
pieces narrower than a third of the page, once widened, are text and go; tracks are cut halfway between
the peaks of the rows' variance; *lazy* starts at the mean ink row of the track's first column and goes to
the nearest ink row of each next one; *full* is the mean ink row of each column; *fragmented* groups each
column's ink into fragments and takes the mean of the lowest one, for text stands above the trace; a column
without ink keeps the row before, or the track's middle at its start (the public code's
`fragmented_extraction`, commit 229ca00); scale and zero from the reference pulse; the remainder is
stretched to the record's length and cut into equal columns.

Departs: the pulse is found in the ink, not by the format's fixed number of samples; a page without one
ends in an error, not in a scale from the dpi; *lazy* and *full* have NaN in columns without ink; unprinted
seconds are not completed; the input is an image, not a PDF.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.image.colours import grey_of
from ecg_hough.output.ecg import Ecg
from ecg_lab.methods.common import (
    LeadPath,
    Options,
    band,
    column_runs,
    find_block,
    find_pulse,
    paths_to_ecg,
    row_levels,
    split_row,
    without_frame,
)

BLUR_PX = 5
PLAIN_VARIANCE = (600.0, 2000.0)
"""An image whose values' variance lies outside is called noisy."""
NOISY_LEVEL = 40
"""Darkest grey level that is no ink there."""
TEXT_REACH = 0.0075
"""Ink is widened by this share of the page's height before pieces are measured (ECGtizer's value)."""
TEXT_WIDTH = 1 / 3
"""Narrower pieces, of the page's width, are text."""

Extract = Callable[[NDArray[np.bool_]], NDArray[np.float64]]
"""(rows, cols) ink of a track -> (cols,) row, NaN where the column has none."""


def run(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8] | None,
    options: Options,
    *,
    extract: Extract,
    name: str,
) -> Ecg:
    """Digitise one page (rows, cols, 3) with one of the three extractors; `labels` is not used.

    Raises:
        PageError: tracks or the pulse are not found.
    """
    dark = without_frame(binarise(image))
    layout = options.layout
    levels = row_levels(dark, layout.n_rows)
    pulse = find_pulse(dark, levels)  # a pulse apart from the traces would go with the text
    ink = without_text(dark)
    if pulse is None or pulse.height_px <= 0:
        raise PageError(
            "calibration", "ECGtizer takes its scale from the reference pulse; found none in the tracks"
        )
    block = find_block(dark, levels, pulse)
    first, last = max(0, int(block.start_col)), min(ink.shape[1], int(np.ceil(block.end_col)))
    paths: list[LeadPath] = []
    for k, level in enumerate(levels):
        track = band(levels, k, ink.shape[0])
        rows = extract(ink[track, first:last]) + track.start
        paths += split_row(
            layout, k, np.arange(first, last, dtype=float), rows, block,
            duration_s=options.duration_s, px_per_mv=pulse.height_px, zero_row=float(level),
        )  # fmt: skip
    scale = (pulse.height_px / options.gain_mm_mv, paths[0].px_per_s / options.speed_mm_s)
    return paths_to_ecg(paths, options, method=name, px_per_mm=scale)


def binarise(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Dark pixels (rows, cols): grey, blurred, Otsu; on an image called noisy a fixed level."""
    if not PLAIN_VARIANCE[0] <= float(image.var()) <= PLAIN_VARIANCE[1]:
        return grey_of(image) <= NOISY_LEVEL
    smooth = cv2.GaussianBlur(grey_of(image), (BLUR_PX, BLUR_PX), 0)
    level, _ = cv2.threshold(smooth, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return smooth <= level


def without_text(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Ink without pieces that are narrower than a third of the page once widened."""
    size = max(1, int(TEXT_REACH * ink.shape[0]))
    wide = cv2.dilate(ink.astype(np.uint8), np.ones((size, size), np.uint8))
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(wide, connectivity=8)
    keep = stats[:, cv2.CC_STAT_WIDTH] >= TEXT_WIDTH * ink.shape[1]
    keep[0] = False
    return ink & keep[pieces]


def lazy(track: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The nearest ink row to the last one."""
    out = np.full(track.shape[1], np.nan)
    anchor: int | None = None
    for c in range(track.shape[1]):
        ink = np.flatnonzero(track[:, c])
        if not ink.size:
            continue
        anchor = int(ink.mean()) if anchor is None else anchor
        if not track[anchor, c]:
            anchor = int(ink[np.abs(ink - anchor).argmin()])
        out[c] = anchor
    return out


def full(track: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean ink row of each column."""
    count = track.sum(axis=0)
    mean = (track * np.arange(track.shape[0])[:, None]).sum(axis=0) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.nan)


def fragmented(track: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean row of the lowest fragment of each column; of a column without ink, the row before."""
    out = np.empty(track.shape[1])
    row = track.shape[0] / 2
    for c, column in enumerate(column_runs(track)):
        if column:
            row = (column[-1][0] + column[-1][1]) / 2
        out[c] = row
    return out


run_lazy = partial(run, extract=lazy, name="ecgtizer-lazy")
run_full = partial(run, extract=full, name="ecgtizer-full")
run_fragmented = partial(run, extract=fragmented, name="ecgtizer-fragmented")
