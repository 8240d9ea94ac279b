"""Pages of every common layout with their whole truth: the benchmark of "found, not asked".

In: a number of pages, a seed, optionally recorded ECGs. Out: PNG, WFDB and truth JSON of each page, which
`ecg-lab benchmark` scores. Every choice below takes its values in turn, in an order shuffled by the
seed, so that all are drawn evenly whatever the training pages' shares are; what happens to the paper is
the renderer's "mixed" profile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecg_hough.paper import GAIN_MM_MV, LEADS, PAPER_SPEED_MM_S, SHAPES, make_layout
from ecg_hough.render import PageStyle, RenderedPage, render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.style import SheetStyle

BENCHMARK_SEED = 2025
"""Seed of the published figures: pages of this seed were not looked at before they were scored."""
BLOCKS: tuple[tuple[str, int], ...] = tuple(
    (name, n_strips) for name, shape in SHAPES.items() for n_strips in range(shape.strips_usual + 1)
)
"""Shapes, each with every usual number of rhythm strips."""
CHOICES: dict[str, Sequence[Any]] = {
    "block": BLOCKS,
    "cabrera": (False, True),
    "sequential": (True, False),
    "speed_mm_s": (25.0, 50.0),
    "gain_mm_mv": (10.0, 5.0, 20.0),
    "named": (True, False),
    "pulse": ("left", "none", "right"),
    "separator": ("bars", "none", "ticks", "gap", "dashed"),
    "header": (True, False),
    "recorded": (True, False),
}
"""Values that are drawn evenly. "recorded": a recorded ECG, where there are any."""
CART_AMPLITUDE = {5.0: 1.3, 10.0: 1.0, 20.0: 0.6}
"""Signals' factor by gain: another gain is set where traces are very high or low."""
ATTEMPTS = 40
_FOOTER_MM = (35.0, 130.0)
"""From the block's left end: where the renderer's footer states speed and gain."""


def render_benchmark(
    out: Path,
    *,
    n: int = 200,
    seed: int = BENCHMARK_SEED,
    records: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Render `n` pages into `out`: <stem>.png, <stem>.hea, <stem>.dat and <stem>.truth.json each.

    Args:
        seed: same seed and records, same pages.
        records: WFDB folder, of which half of the pages show the held-out records
            (`datasets.split.split_records`); None shows made-up ECGs only.
        on_progress: called with (pages done, pages in all).
    Returns:
        Paths of the images.
    Raises:
        ValueError: n below 1, or a folder without held-out records.
    """
    from ecg_hough.datasets.rendered import write_rendered

    def write(k: int, seed: int, choice: dict[str, Any], signals: np.ndarray, fs: int) -> Path:
        page = render_choice(signals, fs, choice, seed)
        return write_rendered(out, f"{k:04d}_{page.layout.name.replace('+', 'r')}", page)

    return write_pages(out, CHOICES, write, n=n, seed=seed, records=records, on_progress=on_progress)


def write_pages(
    out: Path,
    choices: dict[str, Sequence[Any]],
    write: Callable[[int, int, dict[str, Any], np.ndarray, int], Path],
    *,
    n: int,
    seed: int,
    records: Path | None,
    on_progress: Callable[[int, int], None] | None,
) -> list[Path]:
    """Write `n` pages of choices drawn evenly into `out`; returns their images.

    Args:
        choices: values of each; "recorded" among them is whether a record is shown.
        write: given the page's number, its seed, its choice, signals (12, N) mV and fs, writes it.
        seed, records, on_progress: see `render_benchmark`.
    Raises:
        ValueError: n below 1, or a folder without held-out records.
    """
    stems = held_out_stems(n, records)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for k, choice in enumerate(draw_evenly(choices, n, seed)):
        page_seed = seed * 1_000_003 + k
        signals, fs = signals_of(stems, page_seed, recorded=choice["recorded"])
        paths.append(write(k, page_seed, choice, signals, fs))
        if on_progress:
            on_progress(k + 1, n)
    return paths


def held_out_stems(n: int, records: Path | None) -> list[Path]:
    """Records of a folder that no network trained on; none without a folder.

    Raises:
        ValueError: n, the number of pages, below 1, or a folder without held-out records.
    """
    from ecg_hough.datasets.split import split_records

    if n < 1:
        raise ValueError(f"n must be 1 or more; got {n}")
    stems = split_records(records)[1] if records is not None else []
    if records is not None and not stems:
        raise ValueError(f"records must hold some that are held out; {records} has none")
    return stems


def signals_of(stems: list[Path], seed: int, *, recorded: bool) -> tuple[np.ndarray, int]:
    """(12, N) mV and fs in Hz of one of the records where one is wanted and there are any, or made up."""
    from ecg_hough.datasets.split import read_signals

    if stems and recorded:
        return read_signals(stems[int(np.random.default_rng(seed).integers(len(stems)))])
    ecg = generate_ecg(seed)
    return ecg.signals, ecg.fs


def draw_evenly(choices: dict[str, Sequence[Any]], n: int, seed: int) -> list[dict[str, Any]]:
    """The choices of `n` pages: each takes its values in turn, shuffled independently of the others."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[Any]] = {}
    for name, values in choices.items():
        order = rng.permutation(n)
        drawn[name] = [values[int(order[k]) % len(values)] for k in range(n)]
    return [{name: values[k] for name, values in drawn.items()} for k in range(n)]


def render_choice(signals: np.ndarray, fs: int, choice: dict[str, Any], seed: int) -> RenderedPage:
    """One page of the given choices whose speed and gain can be known.

    A page states its speed in printed text and its gain in text or by a pulse, unless they are the standard
    ones. Where the drawn crop or turn hides that text or pulse, distortions are drawn again.

    Raises:
        RuntimeError: no drawn page shows its scale.
    """
    for attempt in range(ATTEMPTS):
        style = _style(choice, np.random.default_rng([seed, attempt]))
        page = render_page(signals, fs, seed=seed + 7919 * attempt, style=style)
        if _shows_scale(page, style):
            return page
    raise RuntimeError(f"no page of seed {seed} in {ATTEMPTS} shows its speed and gain; choices {choice}")


def _style(choice: dict[str, Any], rng: np.random.Generator) -> PageStyle:
    shape, n_rhythm = choice["block"]
    rhythm = tuple(str(lead) for lead in rng.choice(LEADS, n_rhythm, replace=False))
    layout = make_layout(shape, rhythm=rhythm, cabrera=choice["cabrera"] and SHAPES[shape].first == 0)
    style = sample_style(rng, "mixed", layout=layout)
    speed, gain = choice["speed_mm_s"], choice["gain_mm_mv"]
    standard = speed == PAPER_SPEED_MM_S and gain == GAIN_MM_MV
    shown_by_pulse = speed == PAPER_SPEED_MM_S and choice["pulse"] != "none"
    sheet = replace(
        style.sheet,
        missing=(),
        sequential=choice["sequential"] or layout.n_columns == 1,
        speed_mm_s=speed,
        gain_mm_mv=gain,
        amplitude=style.sheet.amplitude * CART_AMPLITUDE[gain],
        names=str(rng.choice(["above", "below", "margin"])) if choice["named"] else "none",
        pulse=choice["pulse"],
        separator=choice["separator"],
        header_lines=int(rng.integers(1, 6)) if choice["header"] else 0,
        intervals=choice["header"] and style.sheet.intervals,
        footer=style.sheet.footer or not (standard or shown_by_pulse),
        # The renderer's stray words name the standard scale, and names of leads.
        stray_texts=style.sheet.stray_texts if standard and choice["named"] else 0,
    )
    return replace(style, sheet=_with_room_for_the_pulse(sheet))


def _with_room_for_the_pulse(sheet: SheetStyle) -> SheetStyle:
    """The sheet, drawn for another pulse, with its block where it leaves room for this one."""
    low = 8.0 if sheet.pulse == "left" else 1.0
    high = sheet.size_mm[1] - sheet.block_width_mm - (8.0 if sheet.pulse == "right" else 1.0)
    if high < low:
        sheet = replace(sheet, block_width_mm=sheet.block_width_mm - (low - high))
        high = low
    return replace(sheet, block_left_mm=float(np.clip(sheet.block_left_mm, low, high)))


def _shows_scale(page: RenderedPage, style: PageStyle) -> bool:
    """Whether what states a speed or gain other than the standard ones lies in the image."""
    sheet = style.sheet
    bottom, left = sheet.size_mm[0], sheet.block_left_mm
    text = sheet.footer and _inside(
        page, (bottom - 2.3 * sheet.font_mm, bottom - 0.3), (left + _FOOTER_MM[0], left + _FOOTER_MM[1])
    )
    last = sheet.first_row_mm + sheet.row_pitch_mm * (sheet.layout.n_rows - 1)
    x = left - 7 if sheet.pulse == "left" else left + sheet.block_width_mm + 7
    high = last - sheet.gain_mm_mv - 1
    pulse = sheet.pulse != "none" and _inside(page, (high, last + 1), (x, x))
    return (text or sheet.speed_mm_s == PAPER_SPEED_MM_S) and (
        text or pulse or sheet.gain_mm_mv == GAIN_MM_MV
    )


def _inside(page: RenderedPage, y_mm: tuple[float, float], x_mm: tuple[float, float]) -> bool:
    """Whether a box of the sheet lies in the image."""
    y, x = np.meshgrid(y_mm, x_mm)
    rows, cols = page.page_map.to_pixels(y.ravel(), x.ravel())
    n_rows, n_cols = page.image.shape[:2]
    return bool(((rows >= 0) & (rows < n_rows) & (cols >= 0) & (cols < n_cols)).all())
