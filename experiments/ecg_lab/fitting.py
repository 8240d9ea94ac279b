"""What fits of probabilities share: pages read up to their signals, many at once, and logistic regression.

In: images of rendered pages. Out: `PlacedPage`, what each stage found, and weights of log odds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from ecg_hough.elements import TimeBase
from ecg_hough.image.reading import read_page
from ecg_hough.layout.find_page import find_page
from ecg_hough.layout.sheet import Sheet
from ecg_hough.paper import FS_HZ
from ecg_hough.signals.calibrate import Calibrated, calibrate
from ecg_hough.signals.choose_layout import ChosenLayout, choose_layout
from ecg_hough.signals.scale import PaperScale, find_scale
from ecg_hough.signals.time_base import find_time_base
from ecg_hough.traces.read import read_rows
from ecg_hough.traces.rows import Rows

Floats = NDArray[np.float64]
Out = TypeVar("Out")


@dataclass(frozen=True)
class PlacedPage:
    """A page up to its signals, before anything is judged or refused: what its stages found."""

    sheet: Sheet
    rows: Rows
    chosen: ChosenLayout
    scale: PaperScale
    base: TimeBase
    result: Calibrated


def sheet_and_rows(image: Path) -> tuple[Sheet, Rows]:
    """A page whose rows are read.

    Raises:
        PageError: the page cannot be read.
    """
    sheet = find_page(read_page(image).image)
    return sheet, read_rows(sheet)


def placed_page(sheet: Sheet, rows: Rows) -> PlacedPage:
    """A page whose rows are read, up to its signals.

    Raises:
        PageError: no layout fits.
    """
    chosen = choose_layout(sheet, rows)
    scale = find_scale(sheet, rows, chosen.windows)
    base = find_time_base(sheet, rows, chosen, scale)
    return PlacedPage(sheet, rows, chosen, scale, base, calibrate(rows.beside_bars, base, fs=FS_HZ))


def of_pages(
    work: Callable[[Path], Out],
    images: Sequence[Path],
    *,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Out]:
    """What `work`, a function of a module, makes of every page, in their order."""
    out: list[Out] = []
    with get_context("spawn").Pool(workers) as pool:
        for k, one in enumerate(pool.imap(work, images)):
            out.append(one)
            if on_progress:
                on_progress(k + 1, len(images))
    return out


def logistic(x: Floats, y: Floats, ridge: float) -> tuple[Floats, float]:
    """Weights (k,) and bias of the log odds that y (n,) is 1, given x (n, k).

    Args:
        ridge: strength of the penalty of the weights' squares, per observation.
    """

    def loss(v: Floats) -> tuple[float, Floats]:
        odds = x @ v[:-1] + v[-1]
        residual = expit(odds) - y
        value = float(np.mean(np.logaddexp(0.0, odds) - y * odds)) + ridge * float((v[:-1] ** 2).sum())
        gradient = np.append(x.T @ residual / len(y) + 2 * ridge * v[:-1], residual.mean())
        return value, gradient

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return found[:-1], float(found[-1])


def pages_in(folders: Sequence[Path]) -> list[Path]:
    """Images of folders of rendered pages, label maps excepted.

    Raises:
        ValueError: a folder without images.
    """
    found = []
    for folder in folders:
        images = [path for path in sorted(folder.glob("*.png")) if not path.name.endswith(".labels.png")]
        if not images:
            raise ValueError(f"folders must hold rendered pages (*.png); {folder} has none")
        found += images
    return found
