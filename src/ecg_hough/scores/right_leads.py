"""Whether a lead is right: its time, gain and shape against the truth, apart from its zero line.

In: a true and an estimated lead. Out: `ComparedLead`. A lead is wrong if its SNR is below 10 dB after the
best shift, its gain is off by more than 8 %, or it starts more than 20 ms early or late; right
from 15 dB, within 5 % and 20 ms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_hough.numeric import peak_offset

RIGHT_SNR_DB, RIGHT_GAIN, RIGHT_START_S = 15.0, 0.05, 0.02
WRONG_SNR_DB, WRONG_GAIN, WRONG_START_S = 10.0, 0.08, 0.02
MAX_SHIFT_S = 0.5
SAMPLES_MIN = 20
"""Fewest samples in common that are compared."""


@dataclass(frozen=True)
class ComparedLead:
    """One lead against the truth, any offset allowed.

    Attributes:
        free_snr_db: without a shift in time; aligned_snr_db: after the best one.
        start_s: that shift, positive = late; gain: slope of the estimate against the truth after it.
    """

    free_snr_db: float
    aligned_snr_db: float
    start_s: float
    gain: float

    @property
    def is_right(self) -> bool:
        """Whether shape, gain and time are surely right; between this and wrong a lead is neither."""
        right = self.aligned_snr_db >= RIGHT_SNR_DB and abs(self.gain - 1.0) <= RIGHT_GAIN
        return right and abs(self.start_s) <= RIGHT_START_S

    @property
    def is_wrong(self) -> bool:
        """Whether shape, gain or time are wrong; a lead that was not read is."""
        right = self.aligned_snr_db >= WRONG_SNR_DB and abs(self.gain - 1.0) <= WRONG_GAIN
        return not (right and abs(self.start_s) <= WRONG_START_S)


def compare_lead(reference: NDArray[np.float64], estimate: NDArray[np.float64], fs: float) -> ComparedLead:
    """Compare a lead with the truth at every shift of whole samples up to half a second.

    The SNR is alpha * 10 log10(mean(ref^2) / var(ref - est)) over the samples finite in both, alpha their
    share of the reference's finite samples; the shift is refined by a parabola.

    Args:
        reference, estimate: mV at fs, NaN where nothing is printed or read.
    """
    est = np.full(reference.size, np.nan)
    est[: min(est.size, estimate.size)] = estimate[: est.size]
    ref_seen, est_seen = np.isfinite(reference), np.isfinite(est)
    ref, given = np.where(ref_seen, reference, 0.0), np.where(est_seen, est, 0.0)
    n_fft, reach = 1 << int(np.ceil(np.log2(2 * est.size))), round(MAX_SHIFT_S * fs)
    lags = np.arange(-reach, reach + 1)

    def products(a: NDArray, b: NDArray) -> NDArray[np.float64]:
        """Sum of a[t] * b[t + lag] for every lag."""
        spectrum = np.conj(np.fft.rfft(a, n_fft)) * np.fft.rfft(b, n_fft)
        return np.asarray(np.fft.irfft(spectrum, n_fft)[lags])

    n = np.maximum(products(ref_seen * 1.0, est_seen * 1.0).round(), 1.0)
    power, both = products(ref**2, est_seen * 1.0) / n, products(ref, given) / n
    ref_mean, est_mean = products(ref, est_seen * 1.0) / n, products(ref_seen * 1.0, given) / n
    error = power + products(ref_seen * 1.0, given**2) / n - 2.0 * both - (ref_mean - est_mean) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = n / ref_seen.sum() * 10.0 * np.log10(power / np.maximum(error, 1e-12))
    snr = np.where((n >= SAMPLES_MIN) & np.isfinite(snr), snr, 0.0)
    k = int(snr.argmax())
    off = float(peak_offset(*-error[k - 1 : k + 2])) if 0 < k < lags.size - 1 else 0.0
    variance = max(float(power[k] - ref_mean[k] ** 2), 1e-12)
    gain = float(both[k] - ref_mean[k] * est_mean[k]) / variance
    return ComparedLead(float(snr[reach]), float(snr[k]), (float(lags[k]) + off) / fs, gain)
