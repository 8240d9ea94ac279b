"""How many printed words the words network reads, on own renders of all layouts.

In: a number of pages, a seed, a network. Out: counts of words printed, read and misread. The pages are drawn
as by `ecg-lab render-benchmark`, of generated ECGs; every known word that lies in the picture is looked for.
Words under separators and traces count, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.table import Table

from ecg_hough.networks.runtime import Network, load_network
from ecg_hough.networks.words_net import WORDS_NETWORK, find_words
from ecg_hough.paper import GAIN_WORDS, SPEED_WORDS
from ecg_hough.render.ecg_model import generate_ecg
from ecg_lab.benchmark_pages import CHOICES, draw_evenly, render_choice

NEAR_MM = 2.0
"""A word is read where one is found this near to its middle, in both directions."""
SCALE_ERROR, ANGLE_ERROR_DEG = 0.02, 0.3
"""Standard deviations of what geometry may get wrong before words are read."""


def check_words(
    n: int,
    seed: int,
    weights: Path | None = None,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Counter[str]]:
    """Counts of "printed", "read", "misread" and "made up" (where nothing is printed) for leads and scales.

    Args:
        n: pages; seed: of the first one.
        weights: exported weights of a words network; None takes the shipped ones.
        on_progress: called with (pages done, pages).
    """
    network = load_network(WORDS_NETWORK) if weights is None else Network(weights)
    rng = np.random.default_rng(seed)
    counts: dict[str, Counter[str]] = {"leads": Counter(), "scales": Counter()}
    for k, choice in enumerate(draw_evenly(CHOICES, n, seed)):
        ecg = generate_ecg(seed * 1_000_003 + k)
        page = render_choice(ecg.signals, ecg.fs, choice, seed * 1_000_003 + k)
        scale = page.px_per_mm * float(np.exp(rng.normal(0, SCALE_ERROR)))
        angle = page.angle_deg + float(rng.normal(0, ANGLE_ERROR_DEG))
        found = list(find_words(page.image, angle, scale, network))
        for printed in page.words:
            if not _in_picture(printed.corners, page.image.shape):
                continue
            row, col = printed.corners.mean(axis=0)
            off = [max(abs(word.row - row), abs(word.col - col)) for word in found]
            kind = counts[_kind(printed.word)]
            kind["printed"] += 1
            if off and min(off) <= NEAR_MM * page.px_per_mm:
                seen = found.pop(int(np.argmin(off)))
                kind["read" if seen.word == printed.word else "misread"] += 1
        for word in found:
            counts[_kind(word.word)]["made up"] += 1
        on_progress(k + 1, n)
    return counts


def _in_picture(corners: np.ndarray, shape: tuple[int, ...]) -> bool:
    return bool(((corners >= 0) & (corners < np.array(shape[:2]) - 1)).all())


def _kind(word: str) -> str:
    return "scales" if word in SPEED_WORDS or word in GAIN_WORDS else "leads"


def summary_table(counts: dict[str, Counter[str]]) -> Table:
    """Shares of the printed words, as a rich table."""
    table = Table(title="Printed words")
    table.add_column("kind")
    for heading in ("printed", "read", "misread", "made up"):
        table.add_column(heading, justify="right")
    for kind, count in counts.items():
        read, misread = (f"{count[name] / max(1, count['printed']):.1%}" for name in ("read", "misread"))
        table.add_row(kind, str(count["printed"]), read, misread, str(count["made up"]))
    return table
