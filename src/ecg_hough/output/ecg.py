"""A record that writes itself: what `digitize` gives its user."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ecg_hough.measure.measured import measure
from ecg_hough.output.arrays import frame_of, mne_of
from ecg_hough.output.export import write_csv, write_format, write_json, write_wfdb
from ecg_hough.record import Record

if TYPE_CHECKING:
    import mne
    import pandas as pd
    from matplotlib.figure import Figure

    from ecg_hough.output.fhir import Release


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

    def to_dicom(self, path: str | Path, *, printed: bool = False) -> Path:
        """Write a DICOM 12-lead ECG; `printed` for one group a column. See `output.dicom.dicom_bytes`."""
        return write_format(self, "dicom-printed" if printed else "dicom", path)

    def to_edf(self, path: str | Path) -> Path:
        """Write EDF+ with annotations; see `output.edf.edf_bytes`."""
        return write_format(self, "edf", path)

    def to_fhir(self, path: str | Path, *, release: Release = "R4") -> Path:
        """Write a FHIR Observation, "R4" (also R4B) or "R5"; see `output.fhir.fhir_bytes`."""
        if release not in ("R4", "R5"):
            raise ValueError(f"release must be R4 or R5; got {release!r}")
        return write_format(self, "fhir" if release == "R4" else "fhir-r5", path)

    def to_aecg(self, path: str | Path) -> Path:
        """Write an HL7 annotated ECG; see `output.aecg.aecg_bytes`."""
        return write_format(self, "aecg", path)

    def to_npz(self, path: str | Path) -> Path:
        """Write a NumPy archive; see `output.arrays.npz_bytes`."""
        return write_format(self, "npz", path)

    def to_mat(self, path: str | Path) -> Path:
        """Write a MATLAB file; see `output.arrays.mat_bytes`."""
        return write_format(self, "mat", path)

    def to_parquet(self, path: str | Path) -> Path:
        """Write a Parquet table in microvolts; see `output.arrays.parquet_bytes`."""
        return write_format(self, "parquet", path)

    def to_frame(self) -> pd.DataFrame:
        """Pandas frame in mV; see `output.arrays.frame_of`."""
        return frame_of(self)

    def to_mne(self) -> mne.io.RawArray:
        """MNE raw object in volts, where MNE is installed; see `output.arrays.mne_of`."""
        return mne_of(self)

    def measured(self) -> Ecg:
        """The record with its measurements: rate, intervals, axes, amplitudes; see `measure.measured`."""
        return replace(self, measurements=measure(self))

    def plot(self) -> Figure:
        """Matplotlib figure of the 12 leads on an ECG grid; see `output.overlay.plot_ecg`."""
        from ecg_hough.output.overlay import plot_ecg  # draws with matplotlib, slow to import

        return plot_ecg(self)
