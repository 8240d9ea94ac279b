"""How many printed words the words network reads, on own renders of all layouts.

`python -m ecg_lab.words_check PAGES SEED [WEIGHTS]`: draws pages as `ecg-hough render-benchmark`
does, of generated ECGs, and looks for every known word that lies in the picture. Words under separators and
traces count, too.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from rich.progress import track

from ecg_hough.networks.runtime import Network, load_network
from ecg_hough.networks.words_net import WORD_PX_PER_MM, WORDS_NETWORK, find_words
from ecg_hough.paper import GAIN_WORDS, SPEED_WORDS
from ecg_hough.render.ecg_model import generate_ecg
from ecg_lab.benchmark_pages import CHOICES, draw_evenly, render_choice

NEAR_MM = 2.0
"""A word is read where one is found this near to its middle, in both directions."""
SCALE_ERROR, ANGLE_ERROR_DEG = 0.02, 0.3
"""Standard deviations of what geometry may get wrong before words are read."""


def check_words(n: int, seed: int, network: Network) -> dict[str, Counter[str]]:
    """Counts of "printed", "read", "misread" and "made up" (where nothing stands) for leads and scales."""
    rng = np.random.default_rng(seed)
    counts: dict[str, Counter[str]] = {"leads": Counter(), "scales": Counter()}
    for k, choice in enumerate(track(draw_evenly(CHOICES, n, seed), "reading")):
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
    return counts


def _in_picture(corners: np.ndarray, shape: tuple[int, ...]) -> bool:
    return bool(((corners >= 0) & (corners < np.array(shape[:2]) - 1)).all())


def _kind(word: str) -> str:
    return "scales" if word in SPEED_WORDS or word in GAIN_WORDS else "leads"


def main(n: int, seed: int, weights: Path | None = None) -> None:
    network = Network(weights) if weights is not None else load_network(WORDS_NETWORK)
    print(f"{n} pages of seed {seed} at {WORD_PX_PER_MM:g} px/mm")
    for kind, count in check_words(n, seed, network).items():
        read, misread = (count[name] / max(1, count["printed"]) for name in ("read", "misread"))
        made_up = count["made up"]
        print(
            f"{kind}: {count['printed']} printed, {read:.1%} read, {misread:.1%} misread, {made_up} made up"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
