"""Gallery of the docs: a rendered page of every layout and kind of paper, read, with its overlay.

In: a seed. Out: a page of Markdown and its JPEG pictures. The pages are those of the seed, however they are
read.
"""

from __future__ import annotations

import tempfile
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.image.reading import read_page
from ecg_hough.output.ecg import Ecg
from ecg_hough.output.overlay import draw_overlay
from ecg_hough.paper import KNOWN_LAYOUTS, SHAPES, Layout, make_layout
from ecg_hough.pipeline import digitize
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.page import render_page
from ecg_hough.render.style import sample_style
from ecg_hough.scores.metrics import challenge_score, challenge_snr
from ecg_lab.benchmark_pages import draw_evenly
from ecg_lab.plot_pages import CHOICES, draw_plot

SEED = 7000
STRIPS = ("II", "V1", "V5")
KINDS = {
    "clean": "Print of a program",
    "scan": "Colour scan",
    "bw": "Black and white scan",
    "fax": "Fax",
    "worn": "Worn paper, scanned",
    "photo": "Photo by a phone",
    "vendors": "Carts with unusual separators, pulses and columns",
}
DPI, WIDTH_PX, QUALITY = 150, 1000, 50
"""Of the pages, and of the pictures: all together take less than 2 MB."""
LINE_MAX = 110
HEAD = """\
# Gallery

Each picture shows the page, faded, with the traces as they were read, and to its right the twelve leads in
millivolts. The pages are made-up ECGs drawn by the own renderer with the seeds {first} to {last}, none of
them chosen by its result, so some show what goes wrong. `ecg-lab gallery` draws and reads them again and
writes this page.

The decibels are those of the [Challenge 2024](metrics.md) against the drawn signals, over the leads on the
page. A page with a warning, or with a lead that is not at `ok`, is at `check`: a person should look.
"""


@dataclass(frozen=True)
class Exhibit:
    """A page of the gallery.

    Attributes:
        title: its heading; name: of its picture.
        group: heading of its part of the page.
        picture: (rows, cols, 3) uint8 RGB, the overlay, or the page where it was refused.
        words: what was read, in one sentence.
    """

    group: str
    title: str
    name: str
    picture: NDArray[np.uint8]
    words: str


def known_layouts() -> Iterator[Layout]:
    """Every layout that carts print, with every usual number of rhythm strips."""
    for layout in KNOWN_LAYOUTS:
        most = 0 if layout.cabrera else SHAPES[layout.shape].strips_usual
        for n in range(most + 1):
            yield layout.with_strips(STRIPS[:n])


def exhibits(seed: int = SEED) -> Iterator[Exhibit]:
    """Draw and read every page, in the order of the gallery."""
    for layout in known_layouts():
        yield _rendered("Layouts", layout.name, layout.name.replace("+", "_"), "clean", layout, seed)
        seed += 1
    for profile, title in KINDS.items():
        layout = make_layout("3x4", rhythm=("II",))
        yield _rendered("Kinds of pages", title, profile, profile, layout, seed)
        seed += 1
    yield _plotted(seed)


def _rendered(group: str, title: str, name: str, profile: str, layout: Layout, seed: int) -> Exhibit:
    ecg = generate_ecg(seed)
    style = sample_style(np.random.default_rng(seed), profile, layout=layout, dpi=DPI)
    page = render_page(ecg.signals, ecg.fs, seed=seed, style=style)
    return _read(group, title, name, page.image, page.signals, page.fs)


def _plotted(seed: int) -> Exhibit:
    ecg = generate_ecg(seed)
    (choice,) = draw_evenly(CHOICES, 1, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plot.png"
        shown = draw_plot(ecg.signals, ecg.fs, choice, path)
        return _read("Kinds of pages", "Plot of a script", "plot", read_page(path).image, shown, ecg.fs)


def _read(
    group: str, title: str, name: str, image: NDArray[np.uint8], truth: NDArray[np.floating], fs: int
) -> Exhibit:
    try:
        ecg = digitize(image, fs=fs)
    except PageError as error:
        return Exhibit(group, title, name, image, f"Refused: {error}.")
    snr = challenge_score(
        challenge_snr(drawn, read, fs)
        for drawn, read in zip(truth, ecg.signals, strict=True)
        if np.isfinite(drawn).any()
    )
    words = (
        f"Read as `{ecg.layout}`, {ecg.speed_mm_s:g} mm/s, {ecg.gain_mm_mv:g} mm/mV; {snr:.1f} dB; "
        f"{_statuses(ecg)}."
    )
    return Exhibit(group, title, name, draw_overlay(image, ecg), words)


def _statuses(ecg: Ecg) -> str:
    """How many leads have each status, and what the warnings are about."""
    counts = Counter(lead.status for lead in ecg.lead_status if lead.found)
    leads = ", ".join(f"{n} lead{'s' if n > 1 else ''} at `{status}`" for status, n in counts.most_common())
    topics = dict.fromkeys(warning.partition(":")[0] for warning in ecg.warnings)
    return f"{leads}; {'warnings about ' + ', '.join(topics) if topics else 'no warning'}"


def write_gallery(
    docs: Path, *, seed: int = SEED, on_exhibit: Callable[[Exhibit], None] = lambda _: None
) -> Path:
    """Write the page and its pictures, in images/gallery, into the folder of the docs.

    Args:
        docs: that folder; pictures of an older gallery are removed.
        seed: of the first page.
        on_exhibit: called with each page that is done.

    Returns:
        The page.
    """
    folder = docs / "images" / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.jpg"):
        old.unlink()
    lines: list[str] = []
    group, n = "", 0
    for one in exhibits(seed):
        n += 1
        (folder / f"{one.name}.jpg").write_bytes(jpeg(one.picture))
        if one.group != group:
            group = one.group
            lines += [f"## {group}", ""]
        picture = f"![{one.title}](images/gallery/{one.name}.jpg)"
        lines += [f"### {one.title}", "", textwrap.fill(one.words, LINE_MAX), "", picture, ""]
        on_exhibit(one)
    page = docs / "gallery.md"
    page.write_text("\n".join([HEAD.format(first=seed, last=seed + n - 1), *lines]), encoding="utf-8")
    return page


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """A picture (rows, cols, 3) uint8 RGB as JPEG, at most `WIDTH_PX` wide."""
    scale = min(1.0, WIDTH_PX / picture.shape[1])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), options)[1].tobytes()
