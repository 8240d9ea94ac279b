"""Reading WFDB records: our own, to score or resume them, and the truth that they are compared with.

In: paths of records. Out: leads by name in mV, at any sampling frequency. NaN is "not recorded" and survives.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_hough.paper import LEADS


def record_stems(predictions: Path, truth: Path) -> list[Path]:
    """True records below `truth`, as paths relative to it without suffix.

    Raises:
        ValueError: a folder does not exist, or the truth holds no record.
    """
    for name, folder in (("predictions", predictions), ("truth", truth)):
        if not folder.is_dir():
            raise ValueError(f"{name} must be a folder; got {folder}")
    stems = [path.relative_to(truth).with_suffix("") for path in sorted(truth.rglob("*.hea"))]
    if not stems:
        raise ValueError(f"truth must hold WFDB records (*.hea); got none in {truth}")
    return stems


def read_leads(stem: Path) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Leads of a WFDB record by name in mV, and fs. NaN survives. Names of the 12 leads get their usual case.

    Raises:
        ValueError: a signal is not in mV, two have the same name, or wfdb cannot read the header.
    """
    import wfdb

    try:
        record = wfdb.rdrecord(str(stem))
    except ValueError as error:
        raise ValueError(f"{stem.name}.hea must be a WFDB header: {error}") from error
    if wrong := {unit for unit in record.units if unit.casefold() != "mv"}:
        raise ValueError(f"units must be mV; got {sorted(wrong)} in {stem.name}")
    usual = {lead.casefold(): lead for lead in LEADS}
    names = [usual.get(name.strip().casefold(), name.strip()) for name in record.sig_name]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"names of signals must differ; got {', '.join(sorted(twice))} twice in {stem.name}")
    return {name: record.p_signal[:, k] for k, name in enumerate(names)}, float(record.fs)


def resample_lead(lead: NDArray[np.float64], fs: float, new_fs: float) -> NDArray[np.float64]:
    """A lead at another sampling frequency (polyphase filter), NaN where the nearest old sample is NaN.

    Gaps are bridged by straight lines before filtering, so that they do not ring into the signal.
    """
    if fs == new_fs:
        return lead
    from scipy.signal import resample_poly

    n = round(lead.size * new_fs / fs)
    finite = np.isfinite(lead)
    if not finite.any():
        return np.full(n, np.nan)
    ratio = Fraction(new_fs / fs).limit_denominator(5000)
    filled = np.interp(np.arange(lead.size), np.flatnonzero(finite), lead[finite])
    resampled = resample_poly(filled, ratio.numerator, ratio.denominator, padtype="line")[:n]
    nearest = np.minimum(np.round(np.arange(resampled.size) * fs / new_fs).astype(int), lead.size - 1)
    return np.where(finite[nearest], resampled, np.nan)
