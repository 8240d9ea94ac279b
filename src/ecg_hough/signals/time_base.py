"""Which second and which lead each millimetre shows: columns, rhythm strips' names, order of columns in time.

In: the page, its traces, the chosen layout and the paper scale. Out: `TimeBase`, all that `calibrate` needs
to turn millimetres into millivolts and seconds.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from ecg_hough.elements import TimeBase
from ecg_hough.layout.sheet import Sheet
from ecg_hough.options import SHIPPED, Options
from ecg_hough.signals.choose_layout import NAMED_MIN, ChosenLayout
from ecg_hough.signals.column_order import SEQUENTIAL, find_column_order
from ecg_hough.signals.find_columns import find_columns
from ecg_hough.signals.print_skew import find_skew
from ecg_hough.signals.scale import PaperScale
from ecg_hough.signals.strip_names import NamedStrips, check_strips
from ecg_hough.traces.rows import Rows

log = logging.getLogger(__name__)

ASKEW = 0.5
"""Probability of rows that are shifted against each other from which columns are found without the shift."""


def find_time_base(
    sheet: Sheet, rows: Rows, chosen: ChosenLayout, scale: PaperScale, options: Options = SHIPPED
) -> TimeBase:
    """Find where columns begin and end, which lead each rhythm strip shows, and how columns go on in time.

    Raises:
        PageError: none of the panels' rows was read.
    """
    base = _named(find_columns(sheet, rows, chosen, scale, options), sheet, rows, chosen)
    if rows.drawn:
        return base
    skew = find_skew(base.columns, rows, base.mm_per_s, sequential=base.order == SEQUENTIAL)
    if skew is None:
        return base
    if skew.probability > ASKEW:
        # Landmarks of rows that are shifted contradict each other: columns are found again without the skew.
        straight = skew.taken_off(rows)
        base = _named(find_columns(sheet, straight, chosen, scale, options), sheet, straight, chosen)
    return replace(base, columns=skew.put_on(base.columns))


def _named(base: TimeBase, sheet: Sheet, rows: Rows, chosen: ChosenLayout) -> TimeBase:
    """The same with rhythm strips' names checked, and with the order of the columns."""
    strips = NamedStrips(base.layout, base.columns.windows)
    if not chosen.strips_given:
        printed = trusted_names(sheet)
        strips = check_strips(rows.traces, base.columns.windows, base.layout, printed=printed)
    columns = replace(base.columns, windows=strips.windows)
    order = find_column_order(rows.traces, columns.windows, strips.layout)
    return replace(
        base,
        columns=columns if rows.drawn else columns.with_pitch(order.pitch_off_mm),
        layout=strips.layout,
        order=order.name,
        order_probability=order.probability,
        warnings=(*base.warnings, *strips.warnings, *order.warnings),
    )


def trusted_names(sheet: Sheet) -> frozenset[tuple[str, int]]:
    """Printed names, with their rows, where enough panels have one to trust them."""
    if sheet.layout.named < NAMED_MIN:
        log.debug("printed names are not trusted: share of panels with a name %.2f, below %.2f",
                  sheet.layout.named, NAMED_MIN)  # fmt: skip
        return frozenset()
    return sheet.layout.printed
