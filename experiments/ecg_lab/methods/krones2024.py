"""The winner of the PhysioNet Challenge 2024, step by step, on any lead masks.

Krones F et al. Combining Hough transform and deep learning approaches to reconstruct ECG signals from
printouts. 2024. arXiv:2410.14185; source ECG-Digitiser (BSD-2).

Taken: the Hough rotation with bins of 1 degree and 1200 votes; rotation about the centre, nearest
neighbour, canvas kept; a lead's mask is all pixels of its class, in their bounding box, speckle included;
2.5 s over the mean width of the short leads gives seconds per px, a mask over 5 s wide is a long lead; 25
mm/s, 10 mm/mV and square pixels; the zero lines at fixed fractions of the page's height; the signal is
the mean row of each column of the mask, stretched linearly to 1250 or 5000 samples at 500 Hz; short leads
begin at 0, 2.5, 5 and 7.5 s and are NaN elsewhere (the Challenge entry's placement).

Departs: the masks come from a file or from our leads network, not from a network of the paper's size (see
the configuration krones2024). Its steps measure the masks themselves, so they need masks as fine as the
trace, which the paper's network draws; ours are made so (`masks.network_labels`). Where the original goes
on with a wrong number, this gives a reason: no Hough line (NaN there) and stray pixels that spoil the
mean width end the page; a lead whose mask is stretched by stray pixels, lies at another row's zero line,
or exceeds 10 mV (rescaled there) has no signal. The winner's labels know no short copy of the rhythm
lead, so class pixels above the last short row's zero line are omitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.geometry.orientation import hough_angle_krones2024
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS, make_layout
from ecg_lab.methods.common import LeadPath, Options, paths_to_ecg, turn_upright
from ecg_lab.methods.masks import check_labels, network_labels

SHORT_S, LONG_S = 2.5, 10.0
LONG_FROM_S = 5.0
"""A mask wider than this is a long lead."""
PAGE_MV = 21.59
"""Height of the generator's page in mV; the zero lines are fractions of it, from below."""
ZERO_MV = (12.6, 9.0, 5.4)
RHYTHM_ZERO_MV = 2.1
ROW_MV = 3.6
"""Distance of two rows of the page; a trace half of it off its zero line belongs to another row, or page."""
WIDE_RATIO = 1.5
"""A first guess at long leads: masks this much wider than the median."""
WIDTH_SPREAD = 0.10
"""Short masks must have their median width this well, else stray pixels have stretched their boxes."""
MEAN_SPREAD = 0.03
"""The mean of the short widths, which is the page's scale, must be this near to their median."""
MAX_MV = 10.0


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
    """Digitise one page (rows, cols, 3) with its label map (rows, cols), or with our network's where None.

    Raises:
        PageError: no Hough line, no mask, or stray pixels in the widths that give the scale.
    """
    layout = options.layout
    if [len(row) for row in layout.rows] != [4, 4, 4] or len(layout.rhythm) > 1:
        raise PageError("layout", f"the 2024 method knows 3x4 with one rhythm strip; got {layout.name}")
    page = turn_upright(image, labels, angle_deg=hough_angle_krones2024(image), nearest=True)
    found = network_labels(page.image) if page.labels is None else check_labels(page.labels, image.shape)
    masks = lead_masks(found, layout.rhythm)
    s_per_px, long_leads, reasons = time_scale(masks)
    mv_per_px = s_per_px * options.speed_mm_s / options.gain_mm_mv
    n_rows = image.shape[0]
    columns = make_layout("3x4").rows
    paths = []
    for mask in masks:
        if mask.lead in reasons:
            continue
        row, column = next((i, r.index(mask.lead)) for i, r in enumerate(columns) if mask.lead in r)
        rhythm = mask.lead in long_leads
        zero_mv = RHYTHM_ZERO_MV if rhythm else ZERO_MV[row]
        zero_row = n_rows * (1.0 - zero_mv / PAGE_MV)
        rows = centroids(mask)
        mv = (zero_row - rows) * mv_per_px
        if abs(float(np.median(mv))) > ROW_MV / 2:
            reasons[mask.lead] = (
                f"the trace lies {np.median(mv):+.1f} mV from the method's fixed zero line of its row; "
                "the page has other proportions than the one it knows"
            )
            continue
        if float(np.abs(mv).max()) > MAX_MV:
            reasons[mask.lead] = f"{np.abs(mv).max():.1f} mV exceeds {MAX_MV:g} mV: stray pixels in the mask"
            continue
        duration = LONG_S if rhythm else SHORT_S
        # Linear stretch: the first column is the first sample, the last column the last one.
        n = round(duration * options.fs)
        px_per_s = (mask.width - 1) / ((n - 1) / options.fs)
        cols = mask.first_col + np.arange(mask.width, dtype=float)
        start_s = 0.0 if rhythm else column * SHORT_S
        paths.append(
            LeadPath(
                mask.lead, rhythm, cols, rows, start_s, duration, cols[0], px_per_s, 1.0 / mv_per_px, zero_row
            )
        )
    px_per_mm = 1.0 / (s_per_px * options.speed_mm_s)
    return paths_to_ecg(
        paths, options, method="krones2024", angle_deg=page.angle_deg,
        px_per_mm=(px_per_mm, px_per_mm), to_page=page.to_page, reasons=reasons,
    )  # fmt: skip


def lead_masks(labels: NDArray[np.uint8], rhythm: tuple[str, ...]) -> list[LeadMask]:
    """Every class's pixels, all of them, cropped to their bounding box.

    Args:
        labels: (rows, cols) upright label map; rhythm: leads of which only the strip counts.
    """
    out = []
    lowest_zero = labels.shape[0] * (1.0 - ZERO_MV[-1] / PAGE_MV)
    for k, lead in enumerate(LEADS):
        at = np.argwhere(labels == k + 1)
        if lead in rhythm:
            strip = at[at[:, 0] > lowest_zero]
            at = strip if len(strip) else at
        if not len(at):
            continue
        low, high = at.min(axis=0), at.max(axis=0)
        mask = np.zeros(high - low + 1, bool)
        mask[tuple((at - low).T)] = True
        out.append(LeadMask(lead, int(low[0]), int(low[1]), mask))
    if not out:
        raise PageError("segmentation", "at least one lead must have a mask; the label map is empty")
    return out


def time_scale(masks: list[LeadMask]) -> tuple[float, set[str], dict[str, str]]:
    """Seconds per px from the short masks' mean width, the long leads, and why masks cannot be used.

    Raises:
        PageError: no short mask, or a mean width that stray pixels have spoilt.
    """
    widths = {mask.lead: mask.width for mask in masks}
    median = float(np.median(list(widths.values())))
    short = {lead: w for lead, w in widths.items() if w < WIDE_RATIO * median}
    if not short or median < 2:
        raise PageError("calibration", "the 2024 method takes its scale from short leads; found none")
    mean, middle = float(np.mean(list(short.values()))), float(np.median(list(short.values())))
    if abs(mean / middle - 1.0) > MEAN_SPREAD:
        worst = max(short, key=lambda lead: abs(short[lead] - middle))
        raise PageError(
            "calibration",
            f"the mean width of the short masks, {mean:.0f} px, must be within {MEAN_SPREAD:.0%} of their "
            f"median {middle:.0f} px; {worst} is {short[worst]} px wide. Stray pixels? No speckle is removed",
        )
    s_per_px = SHORT_S / mean
    long_leads = {lead for lead, w in widths.items() if w * s_per_px > LONG_FROM_S}
    reasons = {}
    for lead, width in widths.items():
        expected = mean * LONG_S / SHORT_S if lead in long_leads else mean
        if abs(width / expected - 1.0) > WIDTH_SPREAD:
            reasons[lead] = (
                f"its mask is {width} px wide where {expected:.0f} px are due; stray or missing pixels "
                "change its bounding box"
            )
    return s_per_px, long_leads, reasons


def centroids(mask: LeadMask) -> NDArray[np.float64]:
    """(width,) mean row of each column of the mask, on the page; empty columns by a straight line."""
    count = mask.mask.sum(axis=0)
    rows = mask.first_row + np.arange(mask.mask.shape[0])
    mean = (mask.mask * rows[:, None]).sum(axis=0) / np.maximum(count, 1)
    known = np.flatnonzero(count)
    return np.interp(np.arange(mask.width), known, mean[known])
