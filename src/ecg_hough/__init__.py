"""Printed 12-lead ECGs (scans, photos, screenshots) to calibrated 12xN signals in millivolts.

`digitize(page) -> Ecg` is the whole tool; a page that cannot be digitised raises `PageError`.
The names are loaded on first use, so that importing the package, and `ecg-hough --help`, cost nothing.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ecg_hough.errors import PageError

if TYPE_CHECKING:
    from ecg_hough.pipeline import digitize
    from ecg_hough.record import Ecg

__version__ = "0.1.0"
__all__ = ["Ecg", "PageError", "__version__", "digitize"]


class _Package(ModuleType):
    """The package's module type.

    Importing the submodule `ecg_hough.pipeline` binds the name `digitize` here to the module; a
    property keeps it the function, whoever imports what first.
    """

    @property
    def digitize(self) -> Any:
        from ecg_hough.pipeline import digitize

        return digitize

    @digitize.setter
    def digitize(self, module: ModuleType) -> None:
        """The import system's binding, ignored."""

    @property
    def Ecg(self) -> Any:
        from ecg_hough.record import Ecg

        return Ecg


sys.modules[__name__].__class__ = _Package
