"""A record that writes itself: what `digitize` gives its user."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecg_hough.output.export import write_csv, write_json, write_wfdb
from ecg_hough.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Ecg(Record):
    """A digitised 12-lead ECG; its fields are those of `Record`."""

    def to_wfdb(self, folder: str | Path, name: str) -> tuple[Path, Path]:
        """Write `folder/name.hea` and `.dat`; see `output.export.write_wfdb`."""
        return write_wfdb(self, folder, name)

    def to_csv(self, path: str | Path) -> Path:
        """Write time and 12 leads as CSV; see `output.export.write_csv`."""
        return write_csv(self, path)

    def to_json(self, path: str | Path) -> Path:
        """Write everything but the arrays as JSON; see `output.export.write_json`."""
        return write_json(self, path)

    def plot(self) -> Figure:
        """Matplotlib figure of the 12 leads on an ECG grid; see `output.overlay.plot_ecg`."""
        from ecg_hough.output.overlay import plot_ecg  # draws with matplotlib, slow to import

        return plot_ecg(self)
