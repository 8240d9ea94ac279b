"""A file of several pages to records: every page is read, and pages of one recording become one record.

In: a path, which pages are wanted, and what reads one page. Out: `PagesRead`s in the order of the pages.
Carts print the limb leads on one page and the chest leads on the next; an archive puts any number of
recordings into one file. Pages are of one recording where their leads complement each other, their scale and
length are the same, and so is their header; where no header can be compared, their beats must coincide.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_hough.documents.pages import chosen_pages, contents, count_pages
from ecg_hough.documents.pdf import PdfContents
from ecg_hough.errors import PageError
from ecg_hough.image.reading import check_file, read_page
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import CHEST_LEADS, LEADS
from ecg_hough.record import Record

log = logging.getLogger(__name__)

SAME_LENGTH = 0.02
"""Largest difference of the lengths of two pages of one recording, as a share."""
SAME_NUMBERS = 0.8
"""Least share of a header's numbers that pages of one recording have in common."""
NUMBERS_MIN = 2
"""Fewest numbers of a header that can be compared."""
BEAT_S, LAGS_S, TOGETHER_MIN = 0.02, 0.6, 0.6
"""Smoothing of the steepness by which beats are compared; lags that are tried; least correlation at which
beats coincide."""
TEXT_VERTICES, TEXT_PICTURE = 200, 0.1
"""A page with fewer vertices of strokes, of which pictures cover a smaller share, is text or empty."""
_NUMBER, _TIME = re.compile(r"\d{2,}"), re.compile(r"\b\d{1,2}:\d{2}(?::\d{2})?\b")
_DATE = re.compile(r"\b\d{1,4}[./-]\w{1,9}[./-]\d{2,4}\b")
Ranges = tuple[tuple[int, int | None], ...]
"""First and last pages that are wanted, see `documents.pages.parse_pages`."""


@dataclass(frozen=True)
class PagesRead:
    """What became of one page of a file, or of several that are one recording.

    Attributes:
        pages: their numbers, 1 the first.
        ecg: their record; error: why there is none.
        passed: the page is text or empty: there is nothing to read.
    """

    pages: tuple[int, ...]
    ecg: Ecg | None = None
    error: PageError | None = None
    passed: bool = False


def read_document(path: str | Path, read: Callable[[int], Ecg], ranges: Ranges = ()) -> tuple[PagesRead, ...]:
    """Every page of a file, those of one recording together.

    Args:
        path: of an image, PDF or DICOM object.
        read: reads the page of a number; PageError where it cannot.
        ranges: pages that are wanted; all without.
    Raises:
        PageError: the file cannot be read at all, or has none of the pages.
    """
    path = Path(path)
    check_file(path)
    n_pages = count_pages(path)
    numbers = chosen_pages(ranges, n_pages)
    if not numbers:
        raise PageError("page", f"none of the pages asked for is in {path.name}, which has {n_pages}")
    if n_pages == 1:
        return (PagesRead((1,), read(1)),)
    parts: list[PagesRead] = []
    headers: dict[int, PdfContents | None] = {}
    for number in numbers:
        try:
            headers[number] = contents(path, number)
            part = _text_page(number, headers[number]) or PagesRead((number,), read(number))
        except PageError as error:
            part = PagesRead((number,), error=error, passed="is blank" in error.message)
        last = next((one for one in reversed(parts) if one.ecg is not None), None)
        if last is not None and part.ecg is not None and last.ecg is not None:
            why_not = why_apart(last.ecg, part.ecg, headers[last.pages[0]], headers[number])
            log.info("pages %s and %d of %s: %s", last.pages, number, path.name, why_not or "one recording")
            if why_not is None:
                above = stacked(path, last.pages).shape[0]
                parts[parts.index(last)] = PagesRead((*last.pages, number), merged(last.ecg, part.ecg, above))
                continue
            if why_not.startswith(_BEATS):
                part = replace(part, ecg=_with_warning(part.ecg, f"page {number}: {why_not}"))
        parts.append(part)
    return tuple(parts)


def _text_page(number: int, page: PdfContents | None) -> PagesRead | None:
    """What becomes of a page that is text or empty; None of another."""
    if page is None or page.n_vertices >= TEXT_VERTICES or page.picture_share >= TEXT_PICTURE:
        return None
    reason = f"it holds {len(page.words)} words, and no traces or pictures" if page.words else "it is empty"
    return PagesRead((number,), error=PageError("page", reason), passed=True)


_BEATS = "it shows the leads that the page before lacks, but"


def why_apart(
    first: Record, second: Record, header: PdfContents | None = None, other: PdfContents | None = None
) -> str | None:
    """Why two pages are not of one recording; None where they are.

    Args:
        header, other: what is written on them; None of pictures.
    """
    here, there = ({s.lead for s in one.lead_status if s.found} for one in (first, second))
    if here & there or not (here and there):
        return f"both show {', '.join(sorted(here & there, key=LEADS.index))}"
    same_scale = (first.speed_mm_s, first.gain_mm_mv) == (second.speed_mm_s, second.gain_mm_mv)
    lengths = [one.signals.shape[1] / one.fs for one in (first, second)]
    if not same_scale or abs(lengths[0] - lengths[1]) > SAME_LENGTH * max(lengths):
        return "their scale or length differs"
    same = same_header(header, other)
    if same is not None:
        return None if same else "their headers differ"
    together = beats_together(first, second)
    if together < TOGETHER_MIN:
        return f"{_BEATS} its beats do not coincide with that page's ({together:.2f} of {TOGETHER_MIN:g})"
    return None


def same_header(one: PdfContents | None, two: PdfContents | None) -> bool | None:
    """Whether two pages have the same header: times and dates, and most other numbers; None where unknown."""
    if one is None or two is None:
        return None
    texts = [" ".join(word.text for word in page.words) for page in (one, two)]
    numbers = [set(_NUMBER.findall(text)) for text in texts]
    if min(map(len, numbers)) < NUMBERS_MIN:
        return None
    for pattern in (_TIME, _DATE):
        if set(pattern.findall(texts[0])) != set(pattern.findall(texts[1])):
            return False
    return len(numbers[0] & numbers[1]) >= SAME_NUMBERS * len(numbers[0] | numbers[1])


def beats_together(first: Record, second: Record) -> float:
    """Correlation of two pages' steepness at the same instants, -1 to 1; -1 where another lag fits better."""
    fs = min(first.fs, second.fs)
    n = min(first.signals.shape[1] * fs // first.fs, second.signals.shape[1] * fs // second.fs)
    one, two = (_steepness(record, fs, n) for record in (first, second))
    reach = round(LAGS_S * fs)
    if n <= 4 * reach:
        return -1.0
    lags = np.arange(-reach, reach + 1)
    inner = one[reach : n - reach]
    found = np.array([np.corrcoef(inner, two[reach + lag : n - reach + lag])[0, 1] for lag in lags])
    near = np.abs(lags) <= 2 * BEAT_S * fs
    return float(found[near].max()) if found[near].max() >= found.max() - 1e-9 else -1.0


def _steepness(record: Record, fs: int, n: int) -> NDArray[np.float64]:
    """(n,) mean steepness of all leads, smoothed, at fs."""
    from scipy.ndimage import gaussian_filter1d

    signals = record.signals[np.isfinite(record.signals).any(axis=1)]
    slope = np.abs(np.diff(signals, axis=1, prepend=signals[:, :1]))
    scale = np.nanquantile(slope, 0.99, axis=1, keepdims=True)
    known = np.isfinite(slope)
    total = np.where(known, np.nan_to_num(slope / np.maximum(scale, 1e-6)), 0.0).sum(axis=0)
    mean = total / np.maximum(known.sum(axis=0), 1)
    at = np.arange(n) / fs
    level = np.interp(at, np.arange(mean.size) / record.fs, mean)
    return np.asarray(gaussian_filter1d(level, BEAT_S * fs))


def merged(first: Ecg, second: Ecg, above_px: int) -> Ecg:
    """One record of two pages of one recording, each lead from the page that shows it.

    Places of traces are those on the pages' pictures, one below the other, see `stacked`. Measurements are to
    be made of the whole record.

    Args:
        first: of one page, or merged of several; second: of the page behind.
        above_px: height of the first's pictures.
    """
    n = max(first.signals.shape[1], second.signals.shape[1])
    theirs = [s.found for s in second.lead_status]

    def joined(name: str, empty: float) -> NDArray[np.float64]:
        out = np.full((len(LEADS), n), empty)
        for one, rows in ((first, [not t for t in theirs]), (second, theirs)):
            values = getattr(one, name)
            out[rows, : values.shape[1]] = values[rows]
        return out

    down = np.array([above_px, 0.0])
    moved = tuple(replace(trace, points=trace.points + down) for trace in second.traces)
    of_page = _of_page(second.pages[0])
    with_chest = any(theirs[LEADS.index(lead)] for lead in CHEST_LEADS)
    return replace(
        first,
        signals=joined("signals", np.nan),
        sd_mv=joined("sd_mv", np.nan),
        confidence=joined("confidence", 0.0),
        lead_status=tuple(
            b if b.found else a for a, b in zip(first.lead_status, second.lead_status, strict=True)
        ),
        layout=f"{first.layout} + {second.layout}",
        traces=(*first.traces, *moved),
        quality=_mean_quality(first, second),
        warnings=(*first.warnings, *(of_page + warning for warning in second.warnings)),
        notes=(*first.notes, *(of_page + note for note in second.notes)),
        seconds={k: first.seconds.get(k, 0.0) + second.seconds.get(k, 0.0) for k in first.seconds},
        einthoven_mv=_known(first.einthoven_mv, second.einthoven_mv),
        goldberger_mv=_known(first.goldberger_mv, second.goldberger_mv),
        repeat_mv=_known(first.repeat_mv, second.repeat_mv),
        leads_agree=_both(first.leads_agree, second.leads_agree),
        source_kind=first.source_kind if first.source_kind == second.source_kind else "picture",
        pages=(*first.pages, *second.pages),
        chest_gain_mm_mv=(second if with_chest else first).chest_gain_mm_mv,
        measurements=(),
    )


def warnings_of(record: Record, number: int) -> tuple[str, ...]:
    """Warnings of one page of a merged record, in the page's own words."""
    own = (one for one in record.warnings if page_of(record, one) == number)
    return tuple(one.removeprefix(_of_page(number)) for one in own)


def page_of(record: Record, warning: str) -> int:
    """Number of the page that a warning of a merged record is about; the first page's where it names none."""
    behind = (number for number in record.pages[1:] if warning.startswith(_of_page(number)))
    return next(behind, record.pages[0])


def _of_page(number: int) -> str:
    """What a merged record's warnings and notes of a page behind the first begin with."""
    return f"page {number}: "


def stacked(path: str | Path, pages: Sequence[int]) -> NDArray[np.uint8]:
    """The pictures of some pages of a file, (rows, cols, 3), one below the other."""
    images = [read_page(path, number).image for number in pages]
    out = np.full((sum(i.shape[0] for i in images), max(i.shape[1] for i in images), 3), 255, np.uint8)
    top = 0
    for image in images:
        out[top : top + image.shape[0], : image.shape[1]] = image
        top += image.shape[0]
    return out


def _mean_quality(*records: Record) -> float:
    weights = [sum(s.found for s in one.lead_status) for one in records]
    return float(np.average([one.quality for one in records], weights=weights))


def _known(one: float, two: float) -> float:
    return one if np.isfinite(one) else two


def _both(one: bool | None, two: bool | None) -> bool | None:
    known = [value for value in (one, two) if value is not None]
    return all(known) if known else None


def _with_warning(ecg: Ecg | None, warning: str) -> Ecg | None:
    return replace(ecg, warnings=(*ecg.warnings, warning)) if ecg is not None else None
