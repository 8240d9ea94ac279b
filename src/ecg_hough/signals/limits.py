"""Limits that a candidate must keep, such as those of a calibration pulse; the log names the one it breaks.

In: measurements with their limits. Out: whether all are kept.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import NamedTuple


class Limit(NamedTuple):
    """A measurement, in words, its value, and the least and the greatest value that are accepted."""

    what: str
    value: float
    least: float = -math.inf
    most: float = math.inf


def keeps_limits(
    log: logging.Logger, candidate: tuple[str, *tuple[object, ...]], limits: Iterable[Limit]
) -> bool:
    """Whether all limits are kept; NaN keeps none. The first one that is broken is logged at DEBUG.

    Args:
        candidate: what is checked, as a format string and its arguments; formatted only if it is logged.
    """
    for what, value, least, most in limits:
        if least <= value <= most:
            continue
        if log.isEnabledFor(logging.DEBUG):
            words, *given = candidate
            side, limit = ("above", most) if value > most else ("below", least)
            log.debug(f"{words} rejected: %s %.3g is {side} %.3g", *given, what, value, limit)
        return False
    return True
