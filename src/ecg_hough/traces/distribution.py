"""From the trace network's logits to read-outs: row, expected error, presence and doubt.

In: logits over the rows of every half column of a strip. Out: `Readouts`. The row is the distribution's mean
round its highest peak, its expected error the spread there beyond that of the bells in the training masks.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.traces.crossings import PEAK_SMOOTH_PX

READOUTS_PER_COLUMN = 2
"""At c - 1/4 and c + 1/4 of every column c; see `readout_columns`."""
PEAK_REACH_PX = 20
"""The mean is taken this far round the distribution's peak, in rows of the network's output: 5 mm, the
extent of a QRS flank in one column. Mass farther away is another trace and would pull the mean."""
TARGET_SIGMA_PX = 0.8
"""Width of the bells of the network's training masks, in rows of its output (1/4 mm)."""
SD_FLOOR_PX = 0.2
"""Least expected error: 0.05 mm."""


class Readouts(NamedTuple):
    """Read-outs of a strip, (2 * cols,) each.

    Attributes:
        rows, sd: row and expected error, strip px; presence: probability of a trace.
        doubt: probability of rows away from the peak.
    """

    rows: NDArray[np.float64]
    sd: NDArray[np.float64]
    presence: NDArray[np.float64]
    doubt: NDArray[np.float64]


def readout_columns(n_cols: int) -> NDArray[np.float64]:
    """(n_cols, READOUTS_PER_COLUMN) place of every read-out of a strip, in columns."""
    offsets = (np.arange(READOUTS_PER_COLUMN) + 0.5) / READOUTS_PER_COLUMN - 0.5
    return np.arange(n_cols)[:, None] + offsets


def stride_of(logits: NDArray[np.float32]) -> int:
    """Strip px per row and column of logits: a column holds the read-outs of all of its strip columns."""
    return logits.shape[0] // READOUTS_PER_COLUMN


def read_logits(logits: NDArray[np.float32], n_cols: int) -> Readouts:
    """Read-outs of a strip of `n_cols` columns, of which logits (n, rows, cols) are given."""
    stride = stride_of(logits)
    rows, sd, presence, doubt = distribution_rows(logits)
    n = READOUTS_PER_COLUMN * n_cols
    return Readouts(((rows + 0.5) * stride - 0.5)[:n], (sd * stride)[:n], presence[:n], doubt[:n])


def distribution_rows(logits: NDArray[np.float32]) -> Readouts:
    """Mean round the peak, spread, presence and doubt of (n, rows, cols) logits, in column order (n * cols,).

    In rows of the logits. Doubt is the share of the distribution that lies away from the peak. "No trace" is
    a further class of logit 0.
    """
    n_sub, n_rows, n_cols = logits.shape
    columns = logits.transpose(2, 0, 1).reshape(n_cols * n_sub, n_rows)
    top = np.maximum(columns.max(axis=1, keepdims=True), 0.0)
    p = np.exp(columns - top)
    total = p.sum(axis=1)
    presence = total / (total + np.exp(-top[:, 0]))
    peak = cv2.blur(p, (PEAK_SMOOTH_PX, 1)).argmax(axis=1)
    mean, sd, mass = _round_peaks(p, peak)
    doubt = 1.0 - mass / np.maximum(total, 1e-30)
    return Readouts(mean, sd, presence.astype(float), doubt.astype(float))


def read_at(readouts: Readouts, logits: NDArray[np.float32], at: NDArray[np.intp], peak: NDArray) -> Readouts:
    """The same, but for some read-outs (m,), which are read round other peaks (m,), in rows of the logits."""
    n_sub, stride = logits.shape[0], stride_of(logits)
    columns = logits[at % n_sub, :, at // n_sub]
    mean, spread, _ = _round_peaks(np.exp(columns - columns.max(axis=1, keepdims=True)), peak)
    rows, sd = readouts.rows.copy(), readouts.sd.copy()
    rows[at], sd[at] = (mean + 0.5) * stride - 0.5, spread * stride
    return readouts._replace(rows=rows, sd=sd)


def _round_peaks(
    p: NDArray[np.float32], peak: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    """Mean, spread and mass, each (n,), of distributions (n, rows) round their peaks (n,)."""
    rows = np.arange(p.shape[1], dtype=np.float32)
    q = p * (np.abs(rows[None] - peak[:, None]) <= PEAK_REACH_PX)
    mass = np.maximum(q.sum(axis=1), 1e-30)
    mean = q @ rows / mass
    # Bells of the training masks have this width: what is wider is the network's own doubt.
    variance = np.maximum(q @ rows**2 / mass - mean**2 - TARGET_SIGMA_PX**2, SD_FLOOR_PX**2)
    return mean.astype(float), np.sqrt(variance).astype(float), mass
