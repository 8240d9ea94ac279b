"""A page whose traces a program drew as paths, as every later stage takes it: `Sheet` and `Rows`.

In: `Picture` with its drawing. Out: `DrawnPage`, or why there is none. The networks see the same picture as
always, but what is ink is known: the leads network's opinion of which lead it is counts on the paths alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_hough.elements import Box
from ecg_hough.geometry.page_geometry import PageGeometry
from ecg_hough.image.reading import Picture
from ecg_hough.layout.fit import find_layout, fit_layout, fit_names
from ecg_hough.layout.sheet import Sheet
from ecg_hough.layout.view import look_upright, on_canvas, read_words
from ecg_hough.traces.rows import Rows
from ecg_hough.vectors.content import Content, find_content
from ecg_hough.vectors.names import contradictions, count_names, names_at_rows, uneven_pulses
from ecg_hough.vectors.rows import known_ink, pulses_of_rows, row_traces
from ecg_hough.vectors.scale import geometry_of
from ecg_hough.vectors.strokes import NotDrawnError

EVIDENCE_MIN, NAMES_MIN = 0.25, 3
"""Least layout evidence of the leads network, or number of named leads, of a page that shows an ECG."""


@dataclass(frozen=True)
class DrawnPage:
    """A page read from its paths: what `layout.find_page` and `traces.read` give of a picture."""

    sheet: Sheet
    rows: Rows


def find_drawn_page(picture: Picture) -> tuple[DrawnPage | None, tuple[str, ...]]:
    """The page by its paths, or None where none of them are traces; and a sentence where some are, but
    cannot be used."""
    try:
        content = find_content(picture)
        return (_as_page(content, geometry_of(content)) if content is not None else None), ()
    except NotDrawnError as reason:
        return None, (f"vector: {reason}; the page was read as a picture",)


def _as_page(content: Content, geometry: PageGeometry) -> DrawnPage:
    page_map, px_per_mm = geometry.page_map, geometry.px_per_mm
    assert page_map is not None
    assert px_per_mm is not None
    canvas, seen, coherence = look_upright(content.image)
    read = read_words(content.image, 0.0, float(np.mean(px_per_mm)))
    warnings = contradictions(content.words, read, px_per_mm)
    n_names = count_names(content.words)
    words = content.words if n_names >= NAMES_MIN else (*content.words, *read)
    if coherence < EVIDENCE_MIN and n_names < NAMES_MIN:
        raise NotDrawnError(
            f"its paths do not look like leads of an ECG (evidence {coherence:.2f}, at least {EVIDENCE_MIN})"
        )
    probabilities = known_ink(seen, canvas, content.traces)
    fitted = fit_layout(probabilities)
    if fitted is None:
        raise NotDrawnError("its paths form no rows")
    fitted = fit_names(fitted, on_canvas(words, canvas))
    layout = find_layout(probabilities, fitted)
    traces = row_traces(fitted.rows, canvas, content.traces, px_per_mm)
    pulses = pulses_of_rows(content.pulses, traces, px_per_mm)
    names, names_mm = names_at_rows(content.names, fitted, canvas, px_per_mm)
    sheet = Sheet(
        turns=content.turns,
        part=Box.of(np.rot90(content.image, content.turns).shape),
        image=content.image,
        geometry=geometry,
        page_map=page_map,
        canvas=canvas,
        probabilities=probabilities,
        layout=layout,
        words=words,
        sides_mm=(),
        warnings=(*geometry.warnings, *warnings, *uneven_pulses(pulses), *layout.warnings),
    )
    return DrawnPage(sheet, Rows(traces, None, pulses=pulses, names=names, names_mm=names_mm))
