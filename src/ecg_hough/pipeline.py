"""The method in one function: a page in, a record out. Reading `digitize` is reading the method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from numpy.typing import NDArray

from ecg_hough.assembly import Ecg, record_of, versions_of, with_header
from ecg_hough.cores import Clock, one_blas_thread
from ecg_hough.image.reading import read_page
from ecg_hough.layout.find_page import find_page
from ecg_hough.options import SHIPPED, HeaderLevel, Options, check_arguments
from ecg_hough.paper import FS_HZ, given_layout
from ecg_hough.signals.calibrate import calibrate
from ecg_hough.signals.choose_layout import choose_layout
from ecg_hough.signals.quality import judge
from ecg_hough.signals.scale import find_scale
from ecg_hough.signals.time_base import find_time_base
from ecg_hough.traces.read import read_rows
from ecg_hough.vectors.page import find_drawn_page


@one_blas_thread()
def digitize(
    page: str | Path | NDArray,
    number: int = 1,
    *,
    fs: int = FS_HZ,
    speed_mm_s: float | None = None,
    gain_mm_mv: float | None = None,
    header: HeaderLevel = "none",
    layout: str | None = None,
    leads: str | None = None,
    options: Options = SHIPPED,
) -> Ecg:
    """Digitise one page.

    Args:
        page: path of an image, PDF or DICOM object, or an array (rows, cols[, channels]).
        number: of the page in a file of several, 1 the first.
        fs: sampling frequency of the result, Hz.
        speed_mm_s, gain_mm_mv: paper speed and gain; None reads them, or assumes 25 mm/s and 10 mm/mV.
        header: "measurements" reads the printed measurements, "all" patient and time too; from pictures with
            the extra `ocr`, from text layers without.
        layout, leads: what is known of the arrangement, such as "3x4+1" and "I aVR V1 V4 / II aVL V2 V5 /
            ..."; see `paper.given_layout`.
        options: the read-out, and steps to omit or add, to measure their effect.
    Raises:
        PageError: the page cannot be digitised; it states the stage, the measurement and the limit.
        ValueError: a bad argument.
    """
    check_arguments(fs=fs, speed_mm_s=speed_mm_s, gain_mm_mv=gain_mm_mv)
    known = given_layout(layout, leads)
    clock = Clock()
    with clock("page"):
        picture = read_page(page, number)  # RGB pixels
    with clock("vectors"):
        drawn, notes = find_drawn_page(picture) if options.paths else (None, ())  # a PDF holds the samples
    if drawn is not None:
        sheet, rows = drawn.sheet, drawn.rows
    else:
        sheet = find_page(picture.image, clock)  # upright pixels, mm <-> px, what both page networks see
        with clock("traces"):
            rows = read_rows(sheet, options)  # where each trace runs, mm, and how surely
    with clock("layout"):
        chosen = choose_layout(sheet, rows, known)  # networks, printed names, limb leads' sums, rhythm strips

    def record_at(speed: float | None) -> Ecg:
        with clock("scale"):
            scale = find_scale(sheet, rows, chosen.windows, given=(speed, gain_mm_mv))
        with clock("columns"):
            base = find_time_base(sheet, rows, chosen, scale, options)  # lead and second of every millimetre
        with clock("signals"):  # mm to s and mV
            result = calibrate(rows.beside_bars, base, fs=fs, fused_leads=options.lead_fusion)
        result = judge(sheet, rows, chosen, base, scale, result)  # refused, or how far leads can be trusted
        return record_of(
            replace(picture, warnings=picture.warnings + notes), sheet, rows.beside_bars, base, scale, result,
            versions=versions_of(options), seconds=clock.seconds(),
        )  # fmt: skip

    ecg = record_at(speed_mm_s)
    return ecg if header == "none" else with_header(ecg, picture, header, record_at, clock)
