"""The one exception for a page that cannot be digitised."""

from __future__ import annotations


class PageError(Exception):
    """A page that cannot be read, with the stage that gave up and what it measured.

    Args:
        stage: the module's name: "page", "orientation", "grid", "segmentation", "layout",
            "readout", "calibration", "export".
        message: the rule, then the value found, then what the user can do.
    """

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(stage, message)
        self.stage = stage
        self.message = message

    def __str__(self) -> str:
        return f"{self.stage}: {self.message}"
