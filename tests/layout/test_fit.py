"""Layout: true masks, disturbed as a network disturbs them, must give back which lead is where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from ecg_hough.datasets.split import read_signals
from ecg_hough.elements import PageLayout
from ecg_hough.errors import PageError
from ecg_hough.layout.fit import MIN_AGREEMENT, find_layout, fit_layout, fit_names
from ecg_hough.layout.names import CanvasName
from ecg_hough.paper import LEADS, Layout, make_layout
from ecg_hough.render import render_page
from ecg_hough.render.page import RenderedPage
from ecg_hough.render.style import sample_style
from places import SHARED

CANVAS = 704
PROFILES = ("clean", "scan", "worn", "photo")
PATH_TOLERANCE_MM = 1.5


def plain_ecg(seed: int, fs: int = 250, seconds: float = 10.0) -> np.ndarray:
    """(12, N) mV: Gaussian waves with lead-dependent sizes, some with tall QRS, and baseline wander."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(fs * seconds)) / fs
    beats = np.arange(rng.uniform(0.1, 0.6), seconds, rng.uniform(0.55, 1.1))
    # (time after R in s, width in s, mV) of P, Q, R, S, T
    waves = [(-0.16, 0.025, 0.12), (-0.02, 0.01, -0.15), (0.0, 0.012, 1.0), (0.025, 0.012, -0.3)]
    waves.append((0.28, 0.05, 0.3))
    signals = np.zeros((12, t.size))
    for lead in range(12):
        size = rng.choice([-1, 1], p=[0.3, 0.7]) * rng.lognormal(-0.2, 0.6)
        for at, width, height in waves:
            wave = size * height * rng.uniform(0.5, 1.4)
            signals[lead] += wave * np.exp(-(((t[:, None] - beats - at) / width) ** 2)).sum(1)
        signals[lead] += 0.12 * rng.normal() * np.sin(2 * np.pi * (0.2 * t + rng.random()))
        signals[lead] += rng.normal(0, 0.008, t.size)
    return signals


@dataclass(frozen=True)
class MaskPage:
    """A page's clean labels on the canvas; canvas px = (image px + 0.5) * scale - 0.5 + offset."""

    page: RenderedPage
    labels: np.ndarray
    scale: float
    offset: np.ndarray

    @property
    def px_per_mm(self) -> float:
        return self.page.px_per_mm * self.scale


def mask_page(
    seed: int,
    profile: str,
    *,
    layout: Layout | None = None,
    signals: np.ndarray | None = None,
    fs: int = 250,
    **sheet: object,
) -> MaskPage:
    """Render an upright page with at most 2.5 degrees of tilt and put its labels on the canvas."""
    rng = np.random.default_rng(seed)
    style = sample_style(rng, profile, layout=layout, dpi=75)
    camera = replace(style.camera, rotation_deg=float(rng.uniform(-2.5, 2.5)))
    if profile == "clean":
        camera = replace(camera, rotation_deg=0.0)
    style = replace(style, sheet=replace(style.sheet, **sheet), camera=camera)  # type: ignore[arg-type]
    page = render_page(plain_ecg(seed, fs) if signals is None else signals, fs, seed=seed, style=style)
    scale = CANVAS / max(page.image.shape[:2])
    small = page.label_map(scale=scale)
    labels = np.zeros((CANVAS, CANVAS), np.uint8)
    offset = (np.array([CANVAS, CANVAS]) - small.shape) // 2
    labels[offset[0] : offset[0] + small.shape[0], offset[1] : offset[1] + small.shape[1]] = small
    return MaskPage(page, labels, scale, offset)


def to_probabilities(labels: np.ndarray, seed: int | None, *, one_column: bool = False) -> np.ndarray:
    """(13, rows, cols) float32: the labels blurred; with a seed, disturbed as networks disturb them."""
    if seed is None:
        return _blurred(labels)
    rng = np.random.default_rng(seed)
    truth, labels = labels, labels.copy()
    n_rows, n_cols = labels.shape
    width = np.ptp(np.nonzero(labels)[1])
    for lead in range(1, 13):
        mask = (truth == lead).astype(np.uint8)
        joined = cv2.dilate(mask, np.ones((9, 9), np.uint8))
        n, parts = cv2.connectedComponents(joined)
        for part in range(1, n):
            own = (parts == part) & (mask > 0)
            r, c = np.nonzero(own)
            if c.size < 20:
                continue
            # Nothing in the maps shows the right name of a misnamed rhythm strip.
            if rng.random() < 0.045 and (one_column or np.ptp(c) < 0.55 * width):
                labels[own] = rng.integers(1, 13)
            elif rng.random() < 0.5:  # the class bleeds over one of the column's edges
                reach = int(rng.integers(2, 14))
                first = c.max() + 1 if rng.random() < 0.5 else max(0, c.min() - reach)
                box = np.s_[max(0, r.min() - 2) : r.max() + 3, first : first + reach]
                labels[box][truth[box] > 0] = lead
    ink_r, ink_c = np.nonzero(truth)
    for _ in range(int(rng.integers(2, 12))):  # dropped patches of one or several rows
        k = rng.integers(ink_r.size)
        h, w = rng.integers(4, 30), rng.integers(3, 8)
        labels[max(0, ink_r[k] - h) : ink_r[k] + h, max(0, ink_c[k] - w) : ink_c[k] + w] = 0
    for _ in range(int(rng.integers(5, 40))):  # traces in a wrong class
        k = rng.integers(ink_r.size)
        box = np.s_[max(0, ink_r[k] - 6) : ink_r[k] + 6, max(0, ink_c[k] - 6) : ink_c[k] + 6]
        labels[box][labels[box] > 0] = rng.integers(1, 13)
    for _ in range(int(rng.integers(10, 80))):  # text and stains taken for traces
        r, c = rng.integers(0, n_rows - 8), rng.integers(0, n_cols - 8)
        labels[r : r + rng.integers(1, 5), c : c + rng.integers(1, 9)] = rng.integers(1, 13)
    probabilities = _blurred(labels)
    faint = cv2.resize(rng.uniform(0.45, 1.0, (6, 6)).astype(np.float32), (n_cols, n_rows))
    probabilities[1:] *= faint
    probabilities[0] = 1.0 - probabilities[1:].sum(0)
    return probabilities


def _blurred(labels: np.ndarray) -> np.ndarray:
    maps = np.stack([cv2.GaussianBlur((labels == k).astype(np.float32), (0, 0), 0.7) for k in range(13)])
    # A one-pixel line keeps only half of its probability in the blur; networks do not lose that.
    maps[1:] *= 1.6
    maps[1:] /= np.maximum(1.0, maps[1:].sum(0))
    maps[0] = 1.0 - maps[1:].sum(0)
    return maps.astype(np.float32)


@dataclass(frozen=True)
class Score:
    """What was found of one page."""

    layout_right: bool
    panels: int
    named: int
    edge_errors: list[float]  # canvas px
    failures: list[str]


def score_page(mask: MaskPage, found: PageLayout) -> Score:
    """Compare with the truth; panels with less than 12 columns on the canvas do not count."""
    page = mask.page
    drawn = set(np.unique(mask.labels)) - {0}
    named, total, errors, failures = 0, 0, [], []
    for panel in page.panels:
        points = (panel.trace + 0.5) * mask.scale - 0.5 + mask.offset
        inside = np.isfinite(points).all(1) & (points >= -0.5).all(1) & (points < CANVAS - 0.5).all(1)
        limit = np.array(page.image.shape[:2]) * mask.scale + mask.offset
        inside &= (points < limit - 0.5).all(1) & (points >= mask.offset - 0.5).all(1)
        if inside.sum() < 2 or np.ptp(points[inside, 1]) < 12 or LEADS.index(panel.lead) + 1 not in drawn:
            continue
        total += 1
        start, end = points[inside, 1].min(), points[inside, 1].max()
        known = np.unique(np.rint(points[inside, 1]).astype(int))
        away = np.ones((CANVAS, CANVAS), np.uint8)
        cv2.polylines(away, [np.rint(points[inside][:, None, ::-1]).astype(np.int32)], False, 0)
        away_mm = cv2.distanceTransform(away, cv2.DIST_L2, 5) / mask.px_per_mm
        best = (0.0, 0.0, None)
        for other in found.panels:
            if other.lead != panel.lead:
                continue
            shared = min(end, other.end_col) - max(start, other.start_col)
            overlap = shared / max(end - start, min(other.end_col, limit[1]) - max(other.start_col, 0))
            path = np.nan_to_num(other.path_rows[known], nan=-1.0)
            near = (path >= 0) & (
                away_mm[np.clip(np.rint(path).astype(int), 0, CANVAS - 1), known] <= PATH_TOLERANCE_MM
            )
            near_share = float(near.mean()) if overlap >= 0.7 else 0.0
            best = max(best, (near_share, overlap, other), key=lambda x: x[:2])
        if best[0] >= 0.8:
            named += 1
            other = best[2]
            if not (panel.trace.shape[0] > inside.sum()):
                errors += [other.start_col - start, other.end_col - end]
        else:
            failures.append(
                f"{panel.lead}{'*' if panel.rhythm else ''} path {best[0]:.2f} overlap {best[1]:.2f}"
            )
    right = (
        found.layout is not None
        and found.layout.rows == page.layout.rows
        and sorted(found.layout.rhythm) == sorted(page.layout.rhythm)
    )
    return Score(right, total, named, [abs(e) for e in errors], failures)


def score_pages(pages: Iterable[tuple[MaskPage, int]]) -> tuple[float, float, float]:
    """Share of right layouts, share of panels found, median error of their ends in canvas px."""
    scores = [score_page(mask, find_layout(disturbed(mask, seed))) for mask, seed in pages]
    named = sum(s.named for s in scores) / sum(s.panels for s in scores)
    edges = np.median([e for s in scores for e in s.edge_errors])
    return float(np.mean([s.layout_right for s in scores])), named, float(edges)


def disturbed(mask: MaskPage, seed: int | None) -> np.ndarray:
    return to_probabilities(mask.labels, seed, one_column=mask.page.layout.n_columns == 1)


def coherence(probabilities: np.ndarray) -> float:
    fitted = fit_layout(probabilities)
    return fitted.coherence if fitted is not None else 0.0


@pytest.mark.slow
def test_pages_of_every_profile() -> None:
    pages = [(mask_page(seed, PROFILES[seed % 4]), seed) for seed in range(1000, 1012)]
    right, named, edges = score_pages(pages)
    assert right >= 11 / 12
    assert named >= 0.98
    assert edges < 1.0


@pytest.mark.slow
def test_two_hundred_pages() -> None:
    """Half of the pages print real records where those are at hand."""
    records = SHARED / "ptbxl"
    stems = sorted(path.with_suffix("") for path in records.rglob("*.hea"))

    def pages() -> Iterator[tuple[MaskPage, int]]:
        for seed in range(2000, 2200):
            signals, fs = read_signals(stems[seed % len(stems)]) if stems and seed % 2 else (None, 250)
            yield mask_page(seed, PROFILES[seed % 4], signals=signals, fs=fs), seed

    right, named, edges = score_pages(pages())
    assert right >= 0.97
    assert named >= 0.99
    assert edges < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("cabrera", [False, True])
@pytest.mark.parametrize(
    ("shape", "rhythm"),
    [
        ("3x4", ()),
        ("3x4", ("II",)),
        ("3x4", ("V1", "II", "V5")),
        ("6x2", ()),
        ("6x2", ("V3",)),
        ("6x2", ("II", "V1", "V5")),
        ("12x1", ()),
        ("4x3", ()),
        ("2x6", ()),
        ("6x1-limb", ()),
        ("6x1-precordial", ()),
    ],
)
def test_every_layout(shape: str, rhythm: tuple[str, ...], cabrera: bool) -> None:
    layout = make_layout(shape, rhythm=rhythm, cabrera=cabrera)
    mask = mask_page(7, "scan", layout=layout, missing=(), speed_mm_s=25.0, gain_mm_mv=10.0)
    found = find_layout(disturbed(mask, None))
    score = score_page(mask, found)
    assert score.layout_right
    assert score.named == score.panels
    assert len(found.panels) == len(mask.page.panels)
    assert all(0 <= panel.confidence <= 1 for panel in found.panels)


def test_missing_lead_is_absent() -> None:
    layout = make_layout("3x4", rhythm=("II",))
    mask = mask_page(11, "clean", layout=layout, missing=("V3", "aVL"), speed_mm_s=25.0, gain_mm_mv=10.0)
    found = find_layout(disturbed(mask, None))
    assert found.layout == layout
    assert {panel.lead for panel in found.panels} == set(LEADS) - {"V3", "aVL"}
    assert any("not on the page" in warning for warning in found.warnings)


def test_misnamed_panel_keeps_its_place() -> None:
    layout = make_layout("3x4", rhythm=("II",))
    mask = mask_page(12, "clean", layout=layout, missing=(), speed_mm_s=25.0, gain_mm_mv=10.0)
    mask.labels[mask.labels == LEADS.index("V4") + 1] = LEADS.index("V5") + 1
    found = find_layout(disturbed(mask, None))
    by_lead = {panel.lead: panel for panel in found.panels if not panel.rhythm}
    assert by_lead["V4"].row_index == 0
    assert by_lead["V5"].row_index == 1
    assert by_lead["V4"].confidence < 0.3 < by_lead["V5"].confidence
    rows = np.nanmedian(by_lead["V5"].path_rows) - np.nanmedian(by_lead["V4"].path_rows)
    assert rows == pytest.approx(found.row_pitch, rel=0.3)


def test_a_stray_row_hides_no_rival() -> None:
    # Six limb leads and a line below: each layout is tried on the rows that the best one uses.
    mask = mask_page(7, "scan", layout=make_layout("6x1-limb"), missing=(), speed_mm_s=25.0, gain_mm_mv=10.0)
    ink = np.argwhere(mask.labels > 0)
    (top, left), (bottom, right) = ink.min(axis=0), ink.max(axis=0)
    stray = bottom + (bottom - top) // 6
    mask.labels[stray : stray + 3, left:right] = 1 + np.arange(right - left) // 8 * 5 % 12  # of no one lead
    found = find_layout(disturbed(mask, None))
    assert found.layout == make_layout("6x1-limb")
    rows = {panel.row_index for panel in found.panels}
    twins = [r for r in found.candidates if r.layout == make_layout("6x1-limb", cabrera=True)]
    assert any({panel.row_index for panel in twin.panels} == rows for twin in twins)


def test_a_pen_s_stroke_below_the_rows_is_no_rhythm_strip() -> None:
    """As long as a third of the block, and of one lead to the network."""
    layout = make_layout("3x4", rhythm=("II",))
    mask = mask_page(7, "scan", layout=layout, missing=(), speed_mm_s=25.0, gain_mm_mv=10.0)
    ink = np.argwhere(mask.labels > 0)
    (top, left), (bottom, right) = ink.min(axis=0), ink.max(axis=0)
    stroke = bottom + (bottom - top) // 6
    mask.labels[stroke : stroke + 3, left + (right - left) // 3 : left + 2 * (right - left) // 3] = 7
    found = find_layout(disturbed(mask, None))
    assert found.layout == layout
    below = max(np.nanmax(panel.path_rows) for panel in found.panels)
    assert [float(line.min()) > below for line in found.unplaced] == [True]


def test_tall_waves_cross_neighbouring_rows() -> None:
    mask = mask_page(15, "clean", layout=make_layout("6x2"), missing=(), gain_mm_mv=20.0, speed_mm_s=25.0)
    score = score_page(mask, find_layout(disturbed(mask, None)))
    assert score.named == score.panels


def test_cropped_page() -> None:
    layout = make_layout("3x4", rhythm=("II",))
    mask = mask_page(16, "clean", layout=layout, missing=(), speed_mm_s=25.0, gain_mm_mv=10.0)
    cols = np.flatnonzero(mask.labels.any(0))
    mask.labels[:, : cols[0] + 60] = 0
    found = find_layout(disturbed(mask, None))
    assert found.layout == layout
    assert len(found.panels) == 13


def test_upright_turn_has_most_evidence() -> None:
    for seed in (1001, 1004, 1007):
        probabilities = disturbed(mask_page(seed, PROFILES[seed % 4]), seed)
        turns = [coherence(np.ascontiguousarray(np.rot90(probabilities, k, (1, 2)))) for k in range(4)]
        assert turns[0] > 3 * max(turns[1:])


def test_twelve_rows_are_twelve_leads() -> None:
    """Rows V1 to V4 under the names V2 to V5: not a missing V1 and a row that is no lead's."""
    layout = make_layout("12x1")
    mask = mask_page(7, "scan", layout=layout, missing=(), speed_mm_s=25.0, gain_mm_mv=5.0)
    named = np.arange(13, dtype=np.uint8)
    named[7:11] += 1
    found = find_layout(disturbed(replace(mask, labels=named[mask.labels]), None))
    assert found.layout == layout
    assert [panel.lead for panel in found.panels] == list(LEADS)


def test_printed_names_make_up_for_faint_traces() -> None:
    """Most of the traces under wrong names, or none: the layout of the names that are read next to them."""
    layout = make_layout("3x4")
    mask = mask_page(17, "clean", layout=layout, missing=(), speed_mm_s=25.0, gain_mm_mv=10.0)
    panels = find_layout(disturbed(mask, None)).panels
    names = tuple(
        CanvasName(LEADS.index(p.lead), float(np.nanmedian(p.path_rows)) - 12.0, p.start_col + 10.0, 0.3)
        for p in panels
    )
    # Pieces of 30 px under three names by turns, of which one is true.
    wrong = (mask.labels - 1 + 4 * (np.arange(CANVAS) // 30 % 3)).astype(int) % 12 + 1
    probabilities = to_probabilities(np.where(mask.labels > 0, wrong, 0).astype(np.uint8), None)
    fitted = fit_layout(probabilities)
    found = find_layout(probabilities, fit_names(fitted, names))
    assert found.agreement < MIN_AGREEMENT
    assert found.layout == layout
    assert find_layout(probabilities, fit_names(fitted, names[:6])).layout is None


def test_unknown_arrangement_has_no_layout() -> None:
    mask = mask_page(17, "clean", layout=make_layout("3x4"), missing=(), speed_mm_s=25.0, gain_mm_mv=10.0)
    shuffle = np.array([0, 8, 3, 11, 5, 1, 12, 6, 10, 2, 9, 4, 7], np.uint8)
    known = find_layout(disturbed(mask, None))
    found = find_layout(to_probabilities(shuffle[mask.labels], None))
    assert found.layout is None
    assert found.score < 0.5 * known.score
    assert {panel.lead for panel in found.loose} == set(LEADS)
    assert {panel.row_index for panel in found.loose} <= {panel.row_index for panel in found.panels}
    assert any("no known layout fits" in warning for warning in found.warnings)


def test_printed_names_make_a_layout() -> None:
    """The same page with its names: as they are, and the remaining lead where one cannot be read."""
    mask = mask_page(17, "clean", layout=make_layout("3x4"), missing=(), speed_mm_s=25.0, gain_mm_mv=10.0)
    shuffle = np.array([0, 8, 3, 11, 5, 1, 12, 6, 10, 2, 9, 4, 7], np.uint8)
    usual = find_layout(disturbed(mask, None)).panels
    leads = [int(shuffle[1 + LEADS.index(panel.lead)]) - 1 for panel in usual]
    names = tuple(
        CanvasName(lead, float(np.nanmedian(panel.path_rows)) - 12.0, panel.start_col + 10.0, 0.95)
        for lead, panel in zip(leads, usual, strict=True)
    )
    probabilities = to_probabilities(shuffle[mask.labels], None)
    fitted = fit_layout(probabilities)
    for read in (names, names[1:]):
        found = find_layout(probabilities, fit_names(fitted, read))
        assert found.layout is not None
        assert found.layout.name == "3x4-named"
        where = {(panel.row_index, panel.column_index): panel.lead for panel in found.panels}
        expected = zip(leads, usual, strict=True)
        assert where == {(p.row_index, p.column_index): LEADS[lead] for lead, p in expected}
    assert find_layout(probabilities, fit_names(fitted, names[2:])).layout is None
    twice = (*names[:-1], replace(names[-1], lead=names[0].lead))
    assert find_layout(probabilities, fit_names(fitted, twice)).layout is None


def test_names_at_every_row_make_a_layout_of_any_leads() -> None:
    """Eight leads and a rhythm strip: not where a row has no name, or a strip's lead is nowhere else."""
    rows = (("I", "V3"), ("II", "V4"), ("III", "V5"), ("aVR", "V6"))
    printed = Layout("4x2-named+1", rows, ("II",))
    mask = mask_page(17, "clean", layout=printed, missing=(), speed_mm_s=25.0, gain_mm_mv=10.0)
    probabilities = to_probabilities(mask.labels, None)
    fitted = fit_layout(probabilities)
    assert fitted is not None
    lines = fitted.rows.lines + fitted.rows.curl
    # Columns begin where their leads do on the labels.
    starts = [
        int(np.flatnonzero((mask.labels == LEADS.index(lead) + 1).any(axis=0))[0]) for lead in ("I", "V3")
    ]
    names = tuple(
        CanvasName(LEADS.index(lead), float(np.nanmedian(lines[i])) - 12.0, starts[j] + 10.0, 0.95)
        for i, row in enumerate((*rows, ("II",)))
        for j, lead in enumerate(row)
    )
    found = find_layout(probabilities, fit_names(fitted, names))
    assert found.layout == printed
    assert {(p.row_index, p.column_index, p.lead, p.rhythm) for p in found.panels} == {
        *((i, j, lead, False) for i, row in enumerate(rows) for j, lead in enumerate(row)),
        (4, 0, "II", True),
    }
    no_strip, other_strip = names[:-1], (*names[:-1], replace(names[-1], lead=LEADS.index("aVF")))
    first_column = tuple(name for name in names if name.col < starts[1])
    for read in (no_strip, other_strip, first_column):
        other = find_layout(probabilities, fit_names(fitted, read))
        assert other.layout is None or "named" not in other.layout.name


def test_some_names_show_a_plotting_program_s_order() -> None:
    """3x4 along its rows, eight names read; a name that is elsewhere in it is evidence against it."""
    mask = mask_page(17, "clean", layout=make_layout("3x4"), missing=(), speed_mm_s=25.0, gain_mm_mv=10.0)
    usual = find_layout(disturbed(mask, None)).panels
    leads = [4 * panel.row_index + panel.column_index for panel in usual]
    order = np.arange(13, dtype=np.uint8)
    order[[1 + LEADS.index(panel.lead) for panel in usual]] = [lead + 1 for lead in leads]
    names = tuple(
        CanvasName(lead, float(np.nanmedian(panel.path_rows)) - 12.0, panel.start_col + 10.0, 0.95)
        for lead, panel in zip(leads, usual, strict=True)
    )
    probabilities = to_probabilities(order[mask.labels], None)
    fitted = fit_layout(probabilities)
    read = tuple(name for name in names if LEADS[name.lead] not in ("III", "aVL", "V2", "V4"))
    found = find_layout(probabilities, fit_names(fitted, read))
    assert found.layout is not None
    assert found.layout.rows == (LEADS[:4], LEADS[4:8], LEADS[8:])
    astray = (*read[1:], replace(read[0], lead=LEADS.index("V5")))
    assert find_layout(probabilities, fit_names(fitted, astray)).layout is None


def test_page_without_trace() -> None:
    blank = np.zeros((13, 96, 96), np.float32)
    blank[0] = 1.0
    with pytest.raises(PageError, match="layout: a page needs a row of traces"):
        find_layout(blank)
    assert fit_layout(blank) is None


def test_scattered_classes_have_no_evidence() -> None:
    rng = np.random.default_rng(3)
    labels = np.where(rng.random((200, 200)) < 0.3, rng.integers(1, 13, (200, 200)), 0).astype(np.uint8)
    assert coherence(_blurred(labels)) < 0.1


def test_rejects_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"must be \(13, rows, cols\)"):
        find_layout(np.zeros((12, 20, 20), np.float32))
