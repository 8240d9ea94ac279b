"""Printed 12-lead ECGs (scans, photos, screenshots) to calibrated 12xN signals in millivolts.

`digitize(page) -> Ecg` is the whole tool; a page that cannot be digitised raises `PageError`.
The names are loaded on first use, so that importing the package, and `ecg-hough --help`, cost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecg_hough.errors import PageError

if TYPE_CHECKING:
    from ecg_hough.output.ecg import Ecg
    from ecg_hough.pipeline import digitize

__version__ = "0.1.0"
__all__ = ["Ecg", "PageError", "__version__", "digitize"]


def __getattr__(name: str) -> Any:
    if name == "digitize":
        from ecg_hough.pipeline import digitize

        return digitize
    if name == "Ecg":
        from ecg_hough.output.ecg import Ecg

        return Ecg
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
