"""Damaged files by the thousand: does any of them hang, crash, or change a lead without a word?

In: pages, a number and a seed. Out: a row a damaged file, and counts. A page is stored in every format that
is read, and bits are flipped, bytes zeroed, ends cut, parts moved.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ecg_hough.batch.workers import Ended, Limits, Workers
from ecg_hough.errors import PageError
from ecg_hough.image.damage import damage_of
from ecg_hough.image.reading import read_page
from ecg_hough.pipeline import digitize

LIMIT_S = 60.0
CHANGED = 0.1
"""Root mean square change of a lead, as a share of the lead's own, above which it is another lead."""
FORMATS = ("png", "jpg", "webp", "tif", "bmp", "gif", "pdf")
WAYS = ("flip a bit", "flip 20 bytes", "zero 5 %", "cut the end", "move a part", "flip in the head")


@dataclass(frozen=True)
class Mutation:
    """A damaged file, by what makes it again: page, format, way, seed."""

    page: Path
    format: str
    way: str
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What became of a damaged file.

    Attributes:
        result: "refused", "same pixels", "same leads", "changed", "traceback", or the stage of `Ended`.
        reported: what the decoder reports of the file; None if nothing.
        noted: whether a warning states that the file is damaged.
        change: largest change of a lead, as a share of it; infinite where one is lost.
    """

    page: str
    format: str
    way: str
    seed: int
    result: str
    reported: str | None
    noted: bool
    change: float
    seconds: float
    message: str = ""


def mutations_of(pages: Sequence[Path], n: int, seed: int) -> list[Mutation]:
    """`n` damaged files, over all pages, formats and ways alike."""
    ways = np.random.default_rng(seed).integers(len(WAYS), size=n)
    return [
        Mutation(pages[k % len(pages)], FORMATS[k % len(FORMATS)], WAYS[int(ways[k])], seed + k)
        for k in range(n)
    ]


@lru_cache(maxsize=16)
def stored(page: Path, kind: str) -> bytes:
    """A page as a file of a format."""
    out = io.BytesIO()
    with Image.open(page) as picture:
        if kind == "gif":
            picture.convert("P", palette=Image.Palette.ADAPTIVE).save(out, "GIF")
        elif kind == "tif":
            picture.convert("RGB").save(out, "TIFF", compression="tiff_deflate")
        elif kind == "pdf":
            picture.convert("RGB").save(out, "PDF", resolution=200.0)
        else:
            name = {"jpg": "JPEG"}.get(kind, kind.upper())
            picture.convert("RGB").save(out, name)
    return out.getvalue()


def damaged(whole: bytes, way: str, rng: np.random.Generator) -> bytes:
    """A file with damage of a kind."""
    content, n = bytearray(whole), len(whole)
    if way == "flip a bit":
        content[int(rng.integers(n))] ^= 1 << int(rng.integers(8))
    elif way == "flip 20 bytes":
        for at in rng.integers(n, size=20):
            content[at] ^= int(rng.integers(1, 256))
    elif way == "zero 5 %":
        start = int(rng.integers(n))
        length = len(content[start : start + n // 20])
        content[start : start + length] = bytes(length)
    elif way == "cut the end":
        del content[int(rng.integers(n)) :]
    elif way == "move a part":
        first, last, to = sorted(int(at) for at in rng.integers(n, size=3))
        content = content[:first] + content[last:to] + content[first:last] + content[to:]
    else:
        content[int(rng.integers(min(n, 600)))] ^= int(rng.integers(1, 256))
    return bytes(content)


@lru_cache(maxsize=16)
def _undamaged(page: Path, kind: str) -> tuple[NDArray[np.uint8], NDArray[np.floating]]:
    """Pixels and signals of a page in a format."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"page.{kind}")
        path.write_bytes(stored(page, kind))
        return read_page(path).image, digitize(path).signals


def judge(mutation: Mutation) -> Outcome:
    """Read a damaged file and compare it with the undamaged one; never raises."""
    start = time.perf_counter()
    whole = stored(mutation.page, mutation.format)
    content = damaged(whole, mutation.way, np.random.default_rng(mutation.seed))
    result, noted, change, message = "refused", False, 0.0, ""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"page.{mutation.format}")
            path.write_bytes(content)
            result, noted, change = _compare(path, *_undamaged(mutation.page, mutation.format))
    except PageError as error:
        message = str(error)
    except Exception as error:
        result, message = "traceback", f"{type(error).__name__}: {error}"
    return Outcome(
        mutation.page.name, mutation.format, mutation.way, mutation.seed, result, damage_of(content), noted,
        change, round(time.perf_counter() - start, 3), message,
    )  # fmt: skip


def _compare(path: Path, image: NDArray[np.uint8], signals: NDArray[np.floating]) -> tuple[str, bool, float]:
    """Result, whether the damage is noted, and the largest change of a lead."""
    picture = read_page(path)
    noted = any("is damaged" in note for note in picture.warnings)
    if np.array_equal(picture.image, image):
        return "same pixels", noted, 0.0
    ecg = digitize(path)
    noted = any("is damaged" in note for note in ecg.warnings)
    change = max(_change(old, new) for old, new in zip(signals, ecg.signals, strict=True))
    return ("changed" if change > CHANGED else "same leads"), noted, change


def _change(old: NDArray[np.floating], new: NDArray[np.floating]) -> float:
    """Root mean square change of a lead as a share of its own size; infinite where it is lost."""
    n = min(old.size, new.size)
    both = np.isfinite(old[:n]) & np.isfinite(new[:n])
    if not np.isfinite(old).any():
        return 0.0
    if both.sum() < 0.5 * np.isfinite(old).sum():
        return float("inf")
    size = float(np.sqrt(np.mean((old[:n][both] - old[:n][both].mean()) ** 2)))
    return float(np.sqrt(np.mean((old[:n][both] - new[:n][both]) ** 2))) / max(size, 1e-3)


def run_mutations(
    pages: Sequence[Path],
    n: int,
    *,
    seed: int = 0,
    workers: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Outcome]:
    """Judge `n` damaged files, in processes that are ended after `LIMIT_S`."""
    outcomes: list[Outcome] = []
    limits = Limits(seconds=LIMIT_S, tries=1)
    with Workers(workers, judge, limits) as pool:
        for mutation, result in pool.run(mutations_of(pages, n, seed)):
            if isinstance(result, Ended):
                result = Outcome(
                    mutation.page.name, mutation.format, mutation.way, mutation.seed, result.stage, None,
                    False, 0.0, LIMIT_S, result.message,
                )  # fmt: skip
            outcomes.append(result)
            on_progress(len(outcomes), n)
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts; the issue's bars are `tracebacks`, `hangs` and `silent_though_reported`, all to be 0."""
    changed = [one for one in outcomes if one.result == "changed"]
    results = sorted({one.result for one in outcomes})
    return {
        "n": len(outcomes),
        "results": {name: sum(one.result == name for one in outcomes) for name in results},
        "tracebacks": sum(one.result == "traceback" for one in outcomes),
        "hangs": sum(one.result == "time" for one in outcomes),
        "deaths": sum(one.result in ("died", "memory") for one in outcomes),
        "silent_though_reported": sum(one.reported is not None and not one.noted for one in changed),
        "silent": sum(not one.noted for one in changed),
        "silent_by_format": {
            name: sum(one.format == name and not one.noted for one in changed) for name in FORMATS
        },
        "seconds_max": max((one.seconds for one in outcomes), default=0.0),
        "first_bad": [
            asdict(one) for one in outcomes if one.result in ("traceback", "time", "died", "memory")
        ][:10],
    }
