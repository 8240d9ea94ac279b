"""Pages with headers of known content, and how well they are read and blanked.

In: a number and a seed. Out: rendered pages with their truth; counts of measurements right, missing and
wrong, of words covered and of traces touched. A measurement counts where its number lies on the page whole.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.clinical import Header
from ecg_hough.errors import PageError
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.header import LANGUAGES, PRIVATE, PrintedHeader, sample_header
from ecg_hough.render.page import RenderedPage, render_page
from ecg_hough.render.style import sample_style, with_header
from ecg_lab.published import RESULTS, results_path

log = logging.getLogger(__name__)

PUBLISHED = RESULTS / "headers.json"
READ_PROFILES = ("clean", "scan", "bw", "worn")
REDACTED = RESULTS / "redaction.json"
BLANKED_PROFILES = ("clean", "scan", "bw", "worn", "photo")
GONE_SHARE, KEPT_SHARE = 0.98, 0.9
"""A word is covered if this share of its pixels is blanked; a name of a lead is kept if this share is not."""
EDGE_PX = 2
OnProgress = Callable[[int, int], Any]


@dataclass(frozen=True)
class HeaderPage:
    """A page, its header, the mixture of distortions it was drawn from, and its seed."""

    page: RenderedPage
    header: PrintedHeader
    profile: str
    seed: int


def header_pages(n: int, seed: int, profiles: tuple[str, ...] = READ_PROFILES) -> Iterator[HeaderPage]:
    """Pages in all languages and profiles in turn; each has the seed `seed` + its number."""
    for k in range(n):
        rng = np.random.default_rng(seed + k)
        # Every language with every profile, also where there are as many of them.
        header = sample_header(rng, LANGUAGES[k // len(profiles) % len(LANGUAGES)])
        profile = profiles[k % len(profiles)]
        style = with_header(sample_style(rng, profile), header)
        signals = generate_ecg(seed + k).signals
        yield HeaderPage(render_page(signals, 500, seed=seed + k, style=style), header, profile, seed + k)


def shown_values(one: HeaderPage) -> dict[str, int]:
    """Values whose numbers are whole within the picture."""
    high, wide = one.page.image.shape[:2]
    whole = {
        text.kind.removeprefix("value ")
        for text in one.page.texts
        if text.kind.startswith("value ")
        and (text.corners >= EDGE_PX).all()
        and (text.corners < np.array([high, wide]) - EDGE_PX).all()
    }
    return {name: value for name, value in one.header.values.items() if name in whole}


def count_values(one: HeaderPage, read: Header | None) -> Counter[str]:
    """How many of the shown values were read right, were not read, and how many were read wrongly."""
    shown = shown_values(one)
    found = {} if read is None else {each.name: each.value for each in read.measurements}
    right = sum(found.get(name) == value for name, value in shown.items())
    wrong = sum(value != one.header.values.get(name) for name, value in found.items())
    return Counter(shown=len(shown), right=right, wrong=wrong, pages=1, refused=int(read is None))


def check_headers(n: int, seed: int, *, on_progress: OnProgress = lambda done, total: None) -> dict[str, Any]:
    """Digitise pages with their headers and count; rows by profile and by language, and all together.

    Raises:
        ModuleNotFoundError: RapidOCR is not installed.
    """
    import rapidocr  # noqa: F401  without it nothing could be read, and the figures would say so of the method

    from ecg_hough.pipeline import digitize

    counts: dict[str, Counter[str]] = {}
    for k, one in enumerate(header_pages(n, seed)):
        try:
            read = digitize(one.page.image, header="measurements").header
        except PageError as error:
            log.info("page %d is refused: %s", one.seed, error)
            read = None
        counted = count_values(one, read)
        if counted["right"] < counted["shown"] or counted["wrong"]:
            log.info("page %d, %s, %s: %s", one.seed, one.profile, one.header.language, dict(counted))
        for key in ("all", one.profile, one.header.language):
            counts.setdefault(key, Counter()).update(counted)
        on_progress(k + 1, n)
    return {"pages": n, "seed": seed, "counts": {key: dict(value) for key, value in counts.items()}}


def default_results(n: int, seed: int, published: Path = PUBLISHED) -> Path:
    """Where the figures go if no place is named: over the published ones only with all of their pages."""

    def covers(published: Path) -> bool:
        figures = json.loads(published.read_text(encoding="utf-8"))
        return bool(seed == figures["seed"] and n >= figures["pages"])

    return results_path(published, covers)


def count_blanked(one: HeaderPage, blank: NDArray[np.bool_]) -> Counter[str]:
    """Words that tell who and when, and how many are covered; samples of traces and lead names, and how many
    were touched.

    Args:
        one: the page; blank: (rows, cols) where it was blanked.
    """
    counts: Counter[str] = Counter(pages=1)
    for text in one.page.texts:
        box = _pixels(text.corners, blank.shape)
        if box is None or not box.any():
            continue
        covered = float(blank[box].mean())
        if text.kind in PRIVATE:
            counts["private"] += 1
            counts["covered"] += covered >= GONE_SHARE
        elif text.kind == "lead":
            counts["leads"] += 1
            counts["leads touched"] += covered > 1 - KEPT_SHARE
    for panel in one.page.panels:
        at = np.round(panel.trace[np.isfinite(panel.trace).all(axis=1)]).astype(int)
        inside = ((at >= 0) & (at < blank.shape)).all(axis=1)
        counts["samples"] += int(inside.sum())
        counts["samples touched"] += int(blank[tuple(at[inside].T)].sum())
    return counts


def _pixels(corners: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Mask of a quadrilateral; None where it lies outside the picture."""
    drawn = np.zeros(shape, np.uint8)
    cv2.fillPoly(drawn, [np.round(np.asarray(corners)[:, ::-1]).astype(np.int32)], 1)
    return drawn.astype(bool) if drawn.any() else None


def check_redaction(
    n: int, seed: int, *, on_progress: OnProgress = lambda done, total: None
) -> dict[str, Any]:
    """Blank pages with known headers and count; a page that is refused is not written and counts apart."""
    from ecg_hough.header.redact import kept_pixels
    from ecg_hough.pipeline import digitize

    counts: dict[str, Counter[str]] = {}
    for k, one in enumerate(header_pages(n, seed, BLANKED_PROFILES)):
        image = one.page.image
        try:
            keep = kept_pixels(image, digitize(image))
        except PageError as error:
            log.info("page %d is refused: %s", one.seed, error)
            counted = Counter(pages=1, refused=1)
        else:
            counted = count_blanked(one, ~keep)
            log.info("page %d, %s: %s", one.seed, one.profile, dict(counted))
        for key in ("all", one.profile):
            counts.setdefault(key, Counter()).update(counted)
        on_progress(k + 1, n)
    return {"pages": n, "seed": seed, "counts": {key: dict(value) for key, value in counts.items()}}
