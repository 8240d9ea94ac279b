"""The winner of the PhysioNet Challenge 2024, step by step, on any lead masks.

Krones F et al. Combining Hough transform and deep learning approaches to reconstruct ECG signals from
printouts. 2024. arXiv:2410.14185; source ECG-Digitiser (BSD-2; read for facts, nothing copied).

Taken: the Hough rotation with bins of 1 degree and 1200 votes; rotation about the centre, nearest
neighbour, canvas kept; the network's masks on the turned page; a lead's mask is all pixels of its class, in
their bounding box, speckle included; 2.5 s over the mean width of the masks under twice the median width
gives seconds per px, a mask over 5 s wide is a long lead; 25 mm/s, 10 mm/mV and square pixels; the zero lines
at fixed fractions of the page's height; the signal is the mean row of each column of the mask, resampled to
1250 or 5000 samples at 500 Hz as `torch.nn.functional.interpolate(mode="linear")` does; short leads begin at
0, 2.5, 5 and 7.5 s and are NaN elsewhere (the Challenge entry's placement). A column without a pixel gives
NaN, as in the Challenge entry (its public script then writes 0).

The masks come from a file, from an nnU-Net results folder (`--network`: the winner's own, or one's own), or
from our leads network where neither is given. Ours are made as fine as the trace, which this method needs,
and without the short copy of the rhythm lead, which the winner's labels do not know.

Departs: where the original goes on with a wrong number, no Hough line (NaN there) and no mask end the page.
It may also depart in ways that have a name (`DEPARTURES`, `--depart`): they raise its score, and are off.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.geometry.orientation import hough_angle_krones2024
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS, make_layout
from ecg_lab.methods.common import LeadPath, Options, paths_to_ecg, turn_upright
from ecg_lab.methods.masks import check_labels, network_labels

DEPARTURES: dict[str, str] = {
    "ends": "a mask's first and last column are the first and the last sample",
    "gaps": "columns without a pixel are filled by a straight line",
    "strip": "of the rhythm lead only pixels below the last short row count: labels that know its short copy",
    "guards": "masks that stray pixels have stretched, or that lie at another row, are refused with a reason",
}
"""Ways to depart from the original, by name."""
SHORT_S, LONG_S = 2.5, 10.0
LONG_FROM_S = 5.0
"""A mask wider than this is a long lead."""
PAGE_MV = 21.59
"""Height of the generator's page in mV; the zero lines are fractions of it, from below."""
ZERO_MV = (12.6, 9.0, 5.4)
ZERO_V1_V4_MV = 12.59
"""The original has this for V1 and V4, in the first row."""
RHYTHM_ZERO_MV = 2.1
ROW_MV = 3.6
"""Distance of two rows of the page; a trace half of it off its zero line belongs to another row, or page."""
WIDE_RATIO = 2.0
"""Masks under this many times the median width count for the scale."""
WIDTH_SPREAD = 0.10
"""Guard: short masks must have their median width this well, else stray pixels have stretched their boxes."""
MEAN_SPREAD = 0.03
"""Guard: the mean of the short widths, the page's scale, must be this near to their median."""
MAX_MV = 10.0
"""Guard: the public script rescales records that exceed this to -1..1."""


@dataclass(frozen=True)
class LeadMask:
    """A class's pixels in their bounding box.

    Attributes:
        lead: name; first_row, first_col: corner of the box; mask: (rows, cols) bool.
    """

    lead: str
    first_row: int
    first_col: int
    mask: NDArray[np.bool_]

    @property
    def width(self) -> int:
        return self.mask.shape[1]


def run(image: NDArray[np.uint8], labels: NDArray[np.uint8] | None, options: Options) -> Ecg:
    """Digitise one page (rows, cols, 3) with its label map (rows, cols), the network of the options, or ours.

    Raises:
        PageError: no Hough line, no mask, or a mask that a guard refuses.
    """
    layout = options.layout
    if [len(row) for row in layout.rows] != [4, 4, 4] or len(layout.rhythm) > 1:
        raise PageError("layout", f"the 2024 method knows 3x4 with one rhythm strip; got {layout.name}")
    page = turn_upright(image, labels, angle_deg=hough_angle_krones2024(image), nearest=True)
    if page.labels is not None:
        found = check_labels(page.labels, image.shape)
    elif options.network is not None:
        found = check_labels(options.network.labels(page.image), image.shape)
    else:
        found = without_short_copy(network_labels(page.image), layout.rhythm)
    if "strip" in options.depart:
        found = without_short_copy(found, layout.rhythm)
    masks = lead_masks(found)
    s_per_px, long_leads = time_scale(masks)
    reasons = guard_widths(masks, s_per_px, long_leads) if "guards" in options.depart else {}
    mv_per_px = s_per_px * options.speed_mm_s / options.gain_mm_mv
    paths = []
    for mask in masks:
        if mask.lead in reasons:
            continue
        path = lead_path(mask, mask.lead in long_leads, image.shape[0], mv_per_px, options)
        refused = guard_values(path) if "guards" in options.depart else None
        if refused is None:
            paths.append(path)
        else:
            reasons[mask.lead] = refused
    px_per_mm = 1.0 / (s_per_px * options.speed_mm_s)
    return paths_to_ecg(
        paths, options, method="krones2024", angle_deg=page.angle_deg,
        px_per_mm=(px_per_mm, px_per_mm), to_page=page.to_page, reasons=reasons,
    )  # fmt: skip


def lead_path(mask: LeadMask, rhythm: bool, n_rows: int, mv_per_px: float, options: Options) -> LeadPath:
    """The path of a mask, at its time and scale on a page of n_rows."""
    columns = make_layout("3x4").rows
    row, column = next((i, r.index(mask.lead)) for i, r in enumerate(columns) if mask.lead in r)
    zero_mv = RHYTHM_ZERO_MV if rhythm else ZERO_V1_V4_MV if mask.lead in ("V1", "V4") else ZERO_MV[row]
    duration = LONG_S if rhythm else SHORT_S
    n = round(duration * options.fs)
    if "ends" in options.depart:
        step = (mask.width - 1) / (n - 1)
        start_col = float(mask.first_col)
    else:
        # Samples stand in the middle of n equal parts of the box: linear interpolation without aligned
        # corners.
        step = mask.width / n
        start_col = mask.first_col + 0.5 * step - 0.5
    bridged = "gaps" in options.depart
    return LeadPath(
        mask.lead, rhythm, mask.first_col + np.arange(mask.width, dtype=float), centroids(mask, bridged),
        0.0 if rhythm else column * SHORT_S, duration, start_col, step * options.fs, 1.0 / mv_per_px,
        n_rows * (1.0 - zero_mv / PAGE_MV), bridged,
    )  # fmt: skip


def without_short_copy(labels: NDArray[np.uint8], rhythm: tuple[str, ...]) -> NDArray[np.uint8]:
    """The label map, of rhythm leads only what lies below the last short row's zero line, if anything
    does."""
    lowest = int(np.ceil(labels.shape[0] * (1.0 - ZERO_MV[-1] / PAGE_MV)))
    out = labels.copy()
    for lead in rhythm:
        value = LEADS.index(lead) + 1
        if (labels[lowest:] == value).any():
            above = out[:lowest]
            above[above == value] = 0
    return out


def lead_masks(labels: NDArray[np.uint8]) -> list[LeadMask]:
    """Every class's pixels, all of them, cropped to their bounding box.

    Args:
        labels: (rows, cols) upright label map.

    Raises:
        PageError: no class has a pixel.
    """
    out = []
    for k, lead in enumerate(LEADS):
        at = np.argwhere(labels == k + 1)
        if not len(at):
            continue
        low, high = at.min(axis=0), at.max(axis=0)
        mask = np.zeros(high - low + 1, bool)
        mask[tuple((at - low).T)] = True
        out.append(LeadMask(lead, int(low[0]), int(low[1]), mask))
    if not out:
        raise PageError("segmentation", "at least one lead must have a mask; the label map is empty")
    return out


def time_scale(masks: list[LeadMask]) -> tuple[float, set[str]]:
    """Seconds per px from the short masks' mean width, and the long leads."""
    widths = {mask.lead: mask.width for mask in masks}
    median = float(np.median(list(widths.values())))
    s_per_px = SHORT_S / float(np.mean([w for w in widths.values() if w < WIDE_RATIO * median]))
    # The original rounds to tenths of a second first.
    return s_per_px, {lead for lead, w in widths.items() if round(w * s_per_px, 1) > LONG_FROM_S}


def guard_widths(masks: list[LeadMask], s_per_px: float, long_leads: Collection[str]) -> dict[str, str]:
    """Leads whose masks have a width that they cannot have, with the reason.

    Raises:
        PageError: stray pixels have spoilt the mean width, which is the page's scale.
    """
    short = {mask.lead: mask.width for mask in masks if mask.lead not in long_leads}
    mean, middle = SHORT_S / s_per_px, float(np.median(list(short.values()))) if short else float("nan")
    if not abs(mean / middle - 1.0) <= MEAN_SPREAD:
        worst = max(short, key=lambda lead: abs(short[lead] - middle)) if short else "none"
        raise PageError(
            "calibration",
            f"the mean width of the short masks, {mean:.0f} px, must be within {MEAN_SPREAD:.0%} of their "
            f"median {middle:.0f} px; {worst} is {short.get(worst, 0)} px wide. Stray pixels? No speckle is "
            "removed",
        )
    reasons = {}
    for mask in masks:
        expected = mean * LONG_S / SHORT_S if mask.lead in long_leads else mean
        if abs(mask.width / expected - 1.0) > WIDTH_SPREAD:
            reasons[mask.lead] = (
                f"its mask is {mask.width} px wide where {expected:.0f} px are due; stray or missing pixels "
                "change its bounding box"
            )
    return reasons


def guard_values(path: LeadPath) -> str | None:
    """Why a path cannot be this lead's; None where it can."""
    mv = (path.zero_row - path.rows) / path.px_per_mv
    if not np.isfinite(mv).any():
        return "no column of its mask has a pixel"
    middle, largest = float(np.nanmedian(mv)), float(np.nanmax(np.abs(mv)))
    if abs(middle) > ROW_MV / 2:
        return (
            f"the trace lies {middle:+.1f} mV from the method's fixed zero line of its row; the page has "
            "other proportions than the one it knows"
        )
    if largest > MAX_MV:
        return f"{largest:.1f} mV exceeds {MAX_MV:g} mV: stray pixels in the mask"
    return None


def centroids(mask: LeadMask, bridged: bool = False) -> NDArray[np.float64]:
    """(width,) mean row of each column of the mask, on the page; empty columns NaN, or by a straight line."""
    count = mask.mask.sum(axis=0)
    rows = mask.first_row + np.arange(mask.mask.shape[0])
    mean = (mask.mask * rows[:, None]).sum(axis=0) / np.maximum(count, 1)
    known = np.flatnonzero(count)
    if bridged:
        return np.interp(np.arange(mask.width), known, mean[known])
    return np.where(count > 0, mean, np.nan)
