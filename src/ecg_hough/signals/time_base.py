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
from ecg_hough.signals.print_skew import without_skew
from ecg_hough.signals.scale import PaperScale
from ecg_hough.signals.strip_names import NamedStrips, check_strips
from ecg_hough.traces.rows import Rows

log = logging.getLogger(__name__)


def find_time_base(
    sheet: Sheet, rows: Rows, chosen: ChosenLayout, scale: PaperScale, options: Options = SHIPPED
) -> TimeBase:
    """Find where columns begin and end, which lead each rhythm strip shows, and how columns go on in time.

    Raises:
        PageError: none of the panels' rows was read.
    """
    base = find_columns(sheet, rows, chosen, scale, options)
    printed = trusted_names(sheet)
    strips = NamedStrips(base.layout, base.columns.windows)
    if not chosen.strips_given:
        strips = check_strips(rows.traces, base.columns.windows, base.layout, printed=printed)
    columns = replace(base.columns, windows=strips.windows)
    order = find_column_order(rows.traces, columns.windows, strips.layout)
    if not rows.drawn:
        columns = without_skew(
            columns.with_pitch(order.pitch_off_mm), rows.traces, rows.marks, base.mm_per_s,
            sequential=order.name == SEQUENTIAL,
        )  # fmt: skip
    return replace(
        base,
        columns=columns,
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
