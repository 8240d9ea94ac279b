"""Fit the odds of 50 against 25 mm/s (`beats.COEFFICIENTS`) on records, and print their accuracy.

`python -m ecg_hough.training.speed_fit RECORDS`: every record is laid on paper in panels of one, two and four
columns at both speeds. Held-out records are scored and never fitted to. Needs the extra `train`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_hough.datasets.split import read_signals, split_records
from ecg_hough.paper import BLOCK_MM, GAIN_MM_MV, LEADS
from ecg_hough.signals.beats import EDGE_MM, FIFTY_MIN, STEP_MM, beat_lengths

PEN_MM = 0.4
"""Width over which a printed trace is smoothed."""


def lengths_on_paper(
    stems: list[Path], columns: tuple[int, ...] = (1, 2, 4)
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n, 3) lengths of records at both speeds, and which are at 50 mm/s."""
    lengths, fifty = [], []
    for stem in stems:
        signals, fs = read_signals(stem)
        for speed in (25.0, 50.0):
            for n_columns in columns:
                width = BLOCK_MM / n_columns
                grid = np.arange(EDGE_MM, width - EDGE_MM, STEP_MM)
                pieces = []
                for k, lead in enumerate(np.nan_to_num(signals)):
                    start = (k * n_columns // len(LEADS)) * width / speed  # sequential columns
                    at = start + grid / speed
                    if at[-1] * fs < len(lead):
                        y = np.interp(at, np.arange(len(lead)) / fs, lead) * GAIN_MM_MV
                        n = round(PEN_MM / STEP_MM)
                        pieces.append(np.convolve(y, np.ones(n) / n, "valid"))
                if pieces:
                    lengths.append(beat_lengths(pieces))
                    fifty.append(speed == 50.0)
    return np.array(lengths), np.array(fifty)


def main(records: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    training, held_out = split_records(records)
    model = LogisticRegression(C=10.0).fit(*lengths_on_paper(training))
    print("COEFFICIENTS =", tuple(float(c) for c in model.coef_[0].round(2)))
    print("INTERCEPT =", float(model.intercept_[0].round(2)))
    for name, stems in (("fitted", training), ("held out", held_out)):
        lengths, fifty = lengths_on_paper(stems)
        odds = model.decision_function(lengths)
        sure = odds >= FIFTY_MIN
        print(f"{name}: {len(fifty)} pages; right side of even odds {np.mean((odds > 0) == fifty):.1%};"
              f" read as 50 mm/s: {sure[fifty].mean():.1%} of those at 50, {sure[~fifty].mean():.1%} of"
              f" those at 25")  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
