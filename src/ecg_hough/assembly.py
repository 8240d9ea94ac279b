"""The record of a page, assembled from the results of all stages: the one place that knows all its fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

import ecg_hough
from ecg_hough.cores import Clock
from ecg_hough.elements import RowTrace, TimeBase, Window
from ecg_hough.header.read import disagreements, read_header, speed_by_rate
from ecg_hough.image.reading import Picture
from ecg_hough.layout.sheet import Sheet
from ecg_hough.measure.measured import compared, measure
from ecg_hough.networks.runtime import load_network, own_versions
from ecg_hough.options import HeaderLevel, Options
from ecg_hough.output.ecg import Ecg
from ecg_hough.page_map import turn_back
from ecg_hough.record import Trace
from ecg_hough.signals.calibrate import Calibrated
from ecg_hough.signals.scale import PaperScale


def record_of(
    picture: Picture,
    sheet: Sheet,
    rows: tuple[RowTrace, ...],
    base: TimeBase,
    scale: PaperScale,
    result: Calibrated,
    *,
    versions: dict[str, str],
    seconds: dict[str, float],
) -> Ecg:
    """The record of a page, with the warnings of all stages in their order."""
    stages = (picture, sheet, scale, base, result)
    residuals = result.residuals
    return Ecg(
        signals=result.signals,
        fs=result.fs,
        confidence=result.confidence,
        sd_mv=result.sd_mv,
        lead_status=result.statuses,
        angle_deg=sheet.geometry.angle_deg,
        quarter_turns=sheet.turns,
        px_per_mm=sheet.geometry.px_per_mm,
        layout=base.layout.name if base.layout is not None else "unknown",
        speed_mm_s=scale.speed_mm_s,
        gain_mm_mv=scale.gain_mm_mv,
        warnings=tuple(warning for stage in stages for warning in stage.warnings),
        notes=(*(note for stage in (scale, base, result) for note in stage.notes), *_pacing(rows)),
        traces=_traces_on_picture(rows, result.windows, sheet),
        quality=result.quality,
        versions=versions,
        seconds=seconds,
        source=picture.name,
        columns=base.order,
        speed_from=scale.speed_from,
        gain_from=scale.gain_from,
        einthoven_mv=residuals.einthoven_mv,
        goldberger_mv=residuals.goldberger_mv,
        repeat_mv=residuals.repeat_mv,
        leads_agree=result.leads_agree,
        source_kind="vector" if any(row.drawn for row in rows) else "picture",
        pages=(picture.number,),
        chest_gain_mm_mv=scale.chest_gain_mm_mv,
    )


def with_header(
    ecg: Ecg, picture: Picture, level: HeaderLevel, record_at: Callable[[float], Ecg], clock: Clock
) -> Ecg:
    """The record with its header; with another paper speed where the printed heart rate demands it.

    Args:
        ecg: the record; picture: its page; level: what is read.
        record_at: the record at a paper speed in mm/s.
        clock: gets the time as "header".
    """
    with clock("header"):
        words = () if picture.drawing is None else picture.drawing.words
        header = read_header(picture.image, ecg, level, words)
        measured = measure(ecg) if header.measurements else ()
        speed = speed_by_rate(header, ecg, measured)
    if speed is not None:
        ecg = replace(record_at(speed), speed_from="heart rate")
        measured = measure(ecg)
    disagree = disagreements(compared(one, header) for one in measured)
    return replace(ecg, header=header, seconds=clock.seconds(), warnings=(*ecg.warnings, *disagree))


def versions_of(options: Options) -> dict[str, str]:
    """Versions of the package and of every network that these options use."""
    names = ["leads", "words"]
    if options.readout == "trace":
        names += ["traces", "marks"] if options.marks else ["traces"]
    versions = {"ecg_hough": ecg_hough.__version__} | {name: load_network(name).version for name in names}
    return versions | own_versions()


def _pacing(rows: tuple[RowTrace, ...]) -> tuple[str, ...]:
    """A note on pacing spikes, if there are any."""
    n = sum(row.spikes for row in rows)
    return (
        (f"pacing spikes: {n} were read at their printed height; they are as wide as the pen",) if n else ()
    )


def _traces_on_picture(
    rows: tuple[RowTrace, ...], windows: tuple[Window, ...], sheet: Sheet
) -> tuple[Trace, ...]:
    """The read traces in pixels of the whole picture as given, not of the upright part that was read."""
    by_row = {row.row_index: row for row in rows}
    out = []
    for window in windows:
        row = by_row[window.row_index]
        mine = (row.x_mm >= window.start_mm) & (row.x_mm < window.end_mm)
        r, c = sheet.page_map.to_pixels(np.nan_to_num(row.y_mm[mine]), row.x_mm[mine])
        points = np.column_stack([r, c])
        points[~np.isfinite(row.y_mm[mine])] = np.nan
        on_picture = turn_back(points, sheet.turns, sheet.part.shape) + sheet.part[:2]
        out.append(Trace(window.lead, window.rhythm, on_picture))
    return tuple(out)
