"""What a printed page looks like: every choice the renderer makes, drawn from a seed.

A page is three frozen records in the order in which things happen to paper: `SheetStyle` (layout,
paper, ink, text), `WearStyle` (creases, stains, handwriting) and `CameraStyle` (scanner, fax or
phone). `sample_style` draws them for a named profile; a caller that needs one fixed thing replaces
that field with `dataclasses.replace`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_hough.paper import (
    BLOCK_MM,
    GAIN_MM_MV,
    KNOWN_LAYOUTS,
    LEADS,
    MM_PER_INCH,
    PAPER_SPEED_MM_S,
    Layout,
    make_layout,
)
from ecg_hough.render.text import FACES

if TYPE_CHECKING:
    from ecg_hough.render.header import PrintedHeader

RGB = tuple[int, int, int]

PROFILES = ("clean", "scan", "bw", "fax", "worn", "photo", "mixed", "vendors", "kit")
"""Named mixtures of distortions; "mixed" draws one of those before it for every page, and so does "vendors",
whose separators, pulses and columns are those of many carts; "kit" draws pages as the 2024 Challenge's winner
had them drawn (Krones et al. 2024), all of one layout."""

NAME_VARIANTS = ("plain", "upper", "long", "roman", "chest")
NAME_SHARES = (0.77, 0.12, 0.05, 0.03, 0.03)
"""How leads are written (see `sheet.lead_label`), and how often."""

_STRIP_SHARES: dict[str, dict[int, float]] = {
    # shape: {rhythm strips: share of pages}; rare ones are as hard to learn as common ones
    "3x4": {1: 0.17, 0: 0.09, 2: 0.05, 3: 0.07},
    "6x2": {0: 0.09, 1: 0.09},
    "12x1": {0: 0.09},
    "4x3": {0: 0.1},
    "2x6": {0: 0.09},
    "6x1-limb": {0: 0.08},
    "6x1-precordial": {0: 0.08},
}
_LAYOUT_SHARES: tuple[tuple[str, int, float], ...] = tuple(
    (layout.shape, n_strips, share)
    for layout in KNOWN_LAYOUTS
    if not layout.cabrera
    for n_strips, share in _STRIP_SHARES[layout.shape].items()
)
"""Shape, rhythm strips and share of every known layout."""
_CABRERA_SHARE = 0.2
_SPEED_SHARES = {PAPER_SPEED_MM_S: 0.88, 50.0: 0.12}
_GAIN_SHARES = {GAIN_MM_MV: 0.84, 5.0: 0.08, 20.0: 0.08}
_COLUMN_S = (10.0, 5.0, 10 / 3, 3.0, 2.5, 2.4, 2.0, 5 / 3)
"""Times that carts show in a column, s, longest first."""
_SHEETS_MM = {"letter": (215.9, 279.4), "a4": (210.0, 297.0)}
"""Height and width, landscape."""

_GRIDS: dict[str, tuple[RGB, RGB, RGB]] = {
    # name: (paper, major line, minor line)
    "pink": ((255, 255, 255), (255, 180, 190), (254, 225, 232)),
    "red": ((255, 255, 255), (240, 70, 70), (254, 200, 195)),
    "salmon": ((255, 240, 234), (236, 130, 110), (247, 200, 186)),
    "orange": ((255, 250, 240), (240, 150, 60), (250, 215, 170)),
    "brown": ((255, 255, 255), (120, 60, 50), (165, 120, 110)),
    "green": ((255, 255, 255), (40, 140, 70), (150, 215, 165)),
    "lightgreen": ((244, 252, 240), (120, 190, 120), (195, 230, 190)),
    "blue": ((255, 255, 255), (50, 70, 170), (150, 165, 225)),
    "lightblue": ((246, 250, 255), (130, 175, 225), (200, 222, 245)),
    "grey": ((255, 255, 255), (120, 120, 120), (195, 195, 195)),
    "black": ((255, 255, 255), (50, 50, 50), (120, 120, 120)),
}

_KIT_DPI = 200.0
_KIT_ROWS_MM = (89.95, 35.98, 32.98)
"""Of ECG-Image-Kit's letter page: zero line of the first row, and distances between rows and to the rhythm
strip (708.3, 283.3 and 259.7 px at 200 dpi, measured on its pages)."""
_KIT_START_MM, _KIT_PULSE_MM = 10.0, 5.0
"""Start of the kit's traces, and what a calibration pulse before them shifts them by."""
_PT_MM = MM_PER_INCH / 72.0
_KIT_SHARES = {"header": 0.7, "pulse": 0.6, "grey": 0.1, "worn": 0.5}
"""Shares of the winner's pages with a header, with pulses, in grey, and with each of handwriting, wrinkles
and
noise: --random_print_header 0.7 --calibration_pulse 0.6 --random_bw 0.1 --fully_random."""
_KIT_TURN_DEG, _KIT_NOISE, _KIT_CROP = 5, 50.0, 0.01


@dataclass(frozen=True)
class SheetStyle:
    """The flat print. Lengths in mm, colours RGB 0..255."""

    layout: Layout
    size_mm: tuple[float, float]  # height, width
    dpi: float
    speed_mm_s: float = PAPER_SPEED_MM_S
    gain_mm_mv: float = GAIN_MM_MV
    sequential: bool = True  # columns follow each other in time; else all start at 0 s
    inverted_avr: bool = False  # Cabrera pages print -aVR
    block_left_mm: float = 15.0  # start of the first column's trace
    block_width_mm: float = BLOCK_MM  # all columns together
    first_row_mm: float = 60.0  # zero line of the first row
    row_pitch_mm: float = 30.0
    rhythm_pitch_mm: float = 30.0
    grid: str = "lines"  # lines, dots, major, none
    paper: RGB = (255, 255, 255)
    major: RGB = (240, 70, 70)
    minor: RGB = (254, 200, 195)
    major_width_mm: float = 0.18
    minor_width_mm: float = 0.1
    minor_over_major: bool = False  # horizontal minors painted over vertical majors (ECG-Image-Kit)
    grid_origin_mm: tuple[float, float] = (0.0, 0.0)
    grid_block_only: bool = False  # grid only behind the traces, white margins round it
    ink: RGB = (0, 0, 0)
    ink_alpha: float = 1.0
    stroke_mm: float = 0.35
    stroke: str = "line"  # line: polyline as plotters and PDFs; raster: a vertical bar per printer dot
    joined: bool = False  # the pen jumps from one column to the next without lifting
    pulse: str = "left"  # left, right, none
    pulse_rows: str = "all"  # all, last
    pulse_gap_mm: float = 1.0  # between the pulse and the trace; 0 joins them, below 0 they overlap
    pulse_foot_mm: float = 0.8  # flat lead-in and lead-out; 0 none
    pulse_pen: float = 1.3  # width of the pulse's stroke, in strokes of the trace
    separator: str = "bars"  # bars, double, ticks, dashed, dotted, full (height of the block), gap, none
    separator_mm: float = 3.1  # half the height of bars
    separator_pen: float = 2.6  # width of bars, in strokes of the trace
    separator_at_ends: bool = False  # also before the first and behind the last column
    names: str = "below"  # above, below, margin, none
    name_variant: str = "plain"  # plain, upper, long, roman, chest (see sheet.lead_label)
    font: str = "DejaVuSans.ttf"
    font_mm: float = 3.9
    text_ink: RGB = (0, 0, 0)
    name_inset_mm: float = 1.0  # from the trace's start to its name
    header_lines: int = 3
    stray_texts: int = 0  # words among the traces: scales, filters, notes
    word_texts: int = 0  # names and scales of no meaning all over the page, in all faces: to train reading
    intervals: bool = False
    footer: bool = True
    frame: bool = False
    amplitude: float = 1.0
    lowpass_hz: float | None = None  # the cart's own filter; the truth is the filtered signal
    missing: tuple[str, ...] = ()  # leads not printed
    chest_gain_mm_mv: float | None = None  # gain of V1 to V6 where it differs
    pulse_stepped: bool = False  # the pulse steps down from the limb leads' gain to the chest leads'
    pulse_width_mm: float | None = None  # between its strokes; with its feet 5 mm where not given
    pulse_columns: bool = False  # a pulse before every column, not the first alone
    column_gap_mm: float = 0.0  # space between columns
    column_cut_s: float = 0.0  # end of every column that is not drawn
    header: PrintedHeader | None = None  # a header of known content, instead of `header_lines`

    def gain_of(self, lead: str) -> float:
        """Gain of a lead, mm/mV: some carts draw chest leads lower."""
        chest = lead.startswith("V") and self.chest_gain_mm_mv is not None
        return float(self.chest_gain_mm_mv) if chest else self.gain_mm_mv  # type: ignore[arg-type]


@dataclass(frozen=True)
class WearStyle:
    """What happened to the paper; counts and strengths, 0 = not at all."""

    creases: int = 0
    crease_strength: float = 0.0
    wrinkles: float = 0.0
    stains: int = 0
    mould: int = 0
    handwriting: int = 0
    highlighter: int = 0
    stamps: int = 0
    punch_holes: bool = False
    fading: float = 0.0  # smooth loss of ink
    broken_ink: float = 0.0  # fine-grained loss of ink


@dataclass(frozen=True)
class CameraStyle:
    """How the paper became pixels."""

    rotation_deg: float = 0.0  # positive = counter-clockwise
    tilt_deg: tuple[float, float] = (0.0, 0.0)  # about the horizontal and the vertical axis
    curl_mm: float = 0.0  # amplitude of the smooth displacement
    lens: float = 0.0  # radial distortion at the image corner, fraction
    margin: float = 0.0  # background round the page, fraction of its size; negative crops
    keep_size: bool = True  # the image keeps the sheet's size (corners are lost), else it grows
    background: str = "black"  # black, white, paper, table
    light: float = 0.0  # strength of uneven light
    shadow: float = 0.0
    temperature: float = 0.0  # -1 blue .. 1 orange
    blur_px: float = 0.0
    motion_px: float = 0.0
    moire: float = 0.0
    noise: float = 0.0  # standard deviation, grey levels
    grey_noise: bool = True
    contrast: float = 1.0
    brightness: float = 0.0
    grey: bool = False
    threshold: bool = False  # fax
    jpeg: int | None = None
    interpolation: str = "linear"  # linear, cubic, nearest


@dataclass(frozen=True)
class PageStyle:
    """Everything about one page except its signals."""

    sheet: SheetStyle
    wear: WearStyle = field(default_factory=WearStyle)
    camera: CameraStyle = field(default_factory=CameraStyle)
    profile: str = "clean"


def sample_style(
    rng: np.random.Generator,
    profile: str = "mixed",
    *,
    layout: Layout | None = None,
    dpi: float | None = None,
) -> PageStyle:
    """Draw a page style.

    Args:
        rng: the page's generator; the same state gives the same style.
        profile: one of `PROFILES`.
        layout: fixed layout; drawn from `_LAYOUT_SHARES` when None.
        dpi: fixed resolution; drawn between 100 and 300 when None.
    Raises:
        ValueError: unknown profile, or another layout than the kit's for "kit".
    """
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}; got {profile!r}")
    if profile == "kit":
        style = _kit_style(rng, dpi=dpi)
        if layout not in (None, style.sheet.layout):
            raise ValueError(f"pages of profile kit have the layout {style.sheet.layout.name}; got {layout}")
        return style
    as_vendors = profile == "vendors"
    if profile in ("mixed", "vendors"):
        shares = {"clean": 0.12, "scan": 0.26, "bw": 0.1, "fax": 0.05, "worn": 0.22, "photo": 0.25}
        profile = str(rng.choice(list(shares), p=list(shares.values())))
    sheet = _sample_sheet(rng, layout or _sample_layout(rng), dpi)
    wear, camera = WearStyle(), CameraStyle()
    if profile == "clean":
        camera = CameraStyle(jpeg=None if rng.random() < 0.6 else int(rng.integers(80, 98)))
    elif profile in ("bw", "fax"):
        paper, major, minor = (255, 255, 255), *_grey_grid(rng)
        sheet = replace(sheet, paper=paper, major=major, minor=minor, ink=(0, 0, 0), text_ink=(0, 0, 0))
        camera = replace(_scanner(rng), temperature=0.0, grey=True, threshold=profile == "fax")
        if profile == "fax" and sheet.grid == "lines" and rng.random() < 0.5:
            sheet = replace(sheet, minor=(225, 225, 225))  # falls below the threshold
    elif profile == "scan":
        camera = _scanner(rng)
        if rng.random() < 0.3:
            wear = _light_wear(rng)
    elif profile == "worn":
        wear = _heavy_wear(rng)
        camera = _scanner(rng)
    elif profile == "photo":
        camera = _phone(rng)
        wear = _heavy_wear(rng) if rng.random() < 0.35 else _light_wear(rng)
    return PageStyle(vendor_sheet(sheet, rng) if as_vendors else sheet, wear, camera, profile)


def vendor_sheet(sheet: SheetStyle, rng: np.random.Generator) -> SheetStyle:
    """The sheet in another cart's manner: its landmarks are drawn anew.

    Where carts leave a gap between columns they cut the end of each: MUSE draws 1238 of 1250 samples, and
    every column begins where a rhythm strip shows its time. So the pen never lifts at a column's start.
    """
    separators = ("bars", "double", "ticks", "dashed", "dotted", "full", "none")
    changes: dict[str, object] = {
        "separator": str(rng.choice(separators, p=(0.22, 0.1, 0.12, 0.08, 0.1, 0.06, 0.32))),
        "separator_mm": float(rng.uniform(1.5, 5.0)),
        "separator_pen": float(rng.uniform(0.8, 3.0)),
        "pulse": str(rng.choice(["left", "right", "none"], p=[0.6, 0.15, 0.25])),
        "pulse_pen": float(rng.uniform(0.7, 2.0)),
    }
    if sheet.speed_mm_s != PAPER_SPEED_MM_S or (
        sheet.gain_mm_mv != GAIN_MM_MV and changes["pulse"] == "none"
    ):
        changes["footer"] = True  # no cart leaves an unusual scale unsaid
    if rng.random() < 0.2:
        changes["pulse_gap_mm"] = float(rng.uniform(1.0, 9.0))
    if rng.random() < 0.5:
        changes["pulse_width_mm"] = sheet.speed_mm_s * float(rng.choice([0.1, 0.2, 0.2, 0.2]))
    if changes["pulse"] != "none" and rng.random() < 0.3:
        # Carts state two gains by a pulse with a step.
        chest = 5.0 if sheet.gain_mm_mv == 10.0 else 10.0
        changes |= {"chest_gain_mm_mv": chest, "pulse_stepped": True, "pulse_rows": "all"}
    n = sheet.layout.n_columns
    gap_mm = 0.0
    if n > 1 and sheet.sequential:
        if rng.random() < 0.25:
            gap_mm = float(rng.uniform(1.0, 9.0))
        if rng.random() < 0.35:
            changes["column_cut_s"] = float(rng.uniform(0.005, 0.08))
        if changes["pulse"] == "left" and rng.random() < 0.3:
            changes["pulse_columns"] = True
    room = sheet.size_mm[1] - sheet.block_left_mm - 2.0 - gap_mm * (n - 1)
    usual = [s for s in _COLUMN_S if s * n <= 10.0 + 1e-6 and s * sheet.speed_mm_s * n <= room]
    if usual and (gap_mm or rng.random() < 0.85):
        # Where there is a space between columns, nothing but the usual times tells how long they last.
        longest = rng.random() < 0.7
        column_s = usual[0] if longest else usual[int(rng.integers(len(usual)))]
        changes["block_width_mm"] = column_s * sheet.speed_mm_s * n
    else:
        gap_mm = 0.0
        room = sheet.size_mm[1] - sheet.block_left_mm - 2.0
        changes["block_width_mm"] = max(40.0, min(sheet.block_width_mm, room))
    changes["column_gap_mm"] = gap_mm
    return replace(sheet, **changes)  # type: ignore[arg-type]


def with_header(style: PageStyle, header: PrintedHeader) -> PageStyle:
    """The page with room for a header above its traces, and without other text there."""
    sheet = style.sheet
    wanted = header.height_mm + 6.0
    room = sheet.first_row_mm - 0.5 * sheet.row_pitch_mm
    more = max(wanted - room, 0.0)
    return replace(
        style,
        sheet=replace(
            sheet,
            size_mm=(sheet.size_mm[0] + more, sheet.size_mm[1]),
            first_row_mm=sheet.first_row_mm + more,
            header=header,
            header_lines=0,
            stray_texts=0,
        ),
    )


def _kit_style(rng: np.random.Generator, *, dpi: float | None) -> PageStyle:
    """A page of the 2024 winner's training set (Krones et al. 2024): the kit's sheet, places, widths and
    colours; handwriting, wrinkles and noise are this renderer's own."""
    shares, (first_mm, row_mm, rhythm_mm) = _KIT_SHARES, _KIT_ROWS_MM
    pulse = rng.random() < shares["pulse"]
    grey = rng.random() < shares["grey"]
    ink = 0 if grey else int(rng.uniform(0, 51))
    sheet = SheetStyle(
        layout=make_layout("3x4", rhythm=("II",)),
        size_mm=_SHEETS_MM["letter"],
        dpi=dpi or _KIT_DPI,
        block_left_mm=_KIT_START_MM + _KIT_PULSE_MM * pulse,
        first_row_mm=first_mm,
        row_pitch_mm=row_mm,
        rhythm_pitch_mm=rhythm_mm,
        major=(102, 102, 102),
        minor=(191, 191, 191),
        major_width_mm=0.5 * _PT_MM,
        minor_width_mm=0.5 * _PT_MM,
        minor_over_major=True,
        ink=(ink,) * 3,
        text_ink=(ink,) * 3,
        stroke_mm=0.75 * _PT_MM,
        pulse="left" if pulse else "none",
        pulse_gap_mm=0.0,
        pulse_foot_mm=0.0,
        pulse_pen=1.5,
        separator_mm=3.15,
        separator_pen=3.0,
        name_inset_mm=0.0,
        header_lines=3 if rng.random() < shares["header"] else 0,
        frame=True,
    )
    if not grey:
        sheet = with_random_grid(sheet, rng)
    wear = WearStyle(handwriting=int(rng.integers(1, 3)) if rng.random() < shares["worn"] else 0)
    if rng.random() < shares["worn"]:
        wear = WearStyle(
            handwriting=wear.handwriting,
            creases=int(rng.integers(2, 20)),
            crease_strength=float(rng.uniform(0.05, 0.25)),
            wrinkles=float(rng.uniform(0.2, 0.6)),
        )
    camera = CameraStyle()
    if rng.random() < shares["worn"]:
        camera = CameraStyle(
            rotation_deg=float(rng.integers(-_KIT_TURN_DEG, _KIT_TURN_DEG + 1)),
            noise=float(rng.uniform(1, _KIT_NOISE)),
            margin=-float(rng.uniform(0, _KIT_CROP)),
            temperature=float(rng.uniform(0.3, 1.0) * rng.choice([-1, 1])),
        )
    return PageStyle(sheet, wear, camera, "kit")


def _sample_layout(rng: np.random.Generator) -> Layout:
    shares = np.array([share for *_, share in _LAYOUT_SHARES])
    shape, n_rhythm, _ = _LAYOUT_SHARES[int(rng.choice(len(shares), p=shares / shares.sum()))]
    rhythm: tuple[str, ...] = ()
    if n_rhythm == 1:
        rhythm = ("II",) if rng.random() < 0.8 else (str(rng.choice(LEADS)),)
    elif n_rhythm > 1:
        first = ("V1", "II", "V5")[:n_rhythm] if rng.random() < 0.6 else None
        rhythm = first or tuple(str(x) for x in rng.choice(LEADS, n_rhythm, replace=False))
    return make_layout(shape, rhythm=rhythm, cabrera=bool(rng.random() < _CABRERA_SHARE))


def _jitter(rng: np.random.Generator, colour: RGB, spread: float) -> RGB:
    values = np.clip(np.asarray(colour) + rng.normal(0, spread, 3), 0, 255)
    return (int(values[0]), int(values[1]), int(values[2]))


def _grey_grid(rng: np.random.Generator) -> tuple[RGB, RGB]:
    major = int(rng.uniform(50, 190))
    minor = int(rng.uniform(major, 235))
    return (major,) * 3, (minor,) * 3


def with_random_grid(sheet: SheetStyle, rng: np.random.Generator) -> SheetStyle:
    """The sheet with a grid of random colours."""
    paper, major, minor = _random_grid(rng)
    return replace(sheet, paper=paper, major=major, minor=minor)


def _random_grid(rng: np.random.Generator) -> tuple[RGB, RGB, RGB]:
    """ECG-Image-Kit's random colours: the minor grid may be as dark as the major one, of another hue."""
    major = rng.uniform(0, [0.8, 0.5, 0.5])
    shift = rng.uniform(0, 0.2)
    minor = np.array([major[0], rng.uniform(0, 0.5), rng.uniform(0, 0.5)]) + shift
    as_rgb = [tuple(int(v) for v in np.clip(c, 0, 1) * 255) for c in (major, minor)]
    return (255, 255, 255), as_rgb[0], as_rgb[1]  # type: ignore[return-value]


def _sample_sheet(rng: np.random.Generator, layout: Layout, dpi: float | None) -> SheetStyle:
    """Draw a sheet, one group of choices after the other: their order makes a seed's page what it is."""
    size_mm, is_strip = _sample_size(rng, layout)
    speed, gain = (_choice(rng, shares) for shares in (_SPEED_SHARES, _GAIN_SHARES))
    block = _sample_block(rng, size_mm[1], layout.n_columns)
    rows = _sample_rows(rng, size_mm[0], layout.n_rows, is_strip)
    colours = _sample_colours(rng)
    major_width = float(rng.uniform(0.1, 0.3))
    missing: tuple[str, ...] = ()
    if rng.random() < 0.04:
        missing = tuple(str(x) for x in rng.choice(LEADS, int(rng.integers(1, 4)), replace=False))
    return SheetStyle(
        layout=layout,
        size_mm=size_mm,
        dpi=float(dpi) if dpi is not None else float(rng.uniform(100, 300)),
        speed_mm_s=speed,
        gain_mm_mv=gain,
        sequential=bool(rng.random() < 0.75),
        inverted_avr=layout.cabrera and bool(rng.random() < 0.7),
        missing=missing,
        **block,
        **rows,
        **colours,
        **_sample_grid(rng, major_width),
        **_sample_pens(rng),
        **_sample_text(rng, colours["ink"]),
        frame=bool(rng.random() < 0.25),
        amplitude=float(np.exp(rng.normal(0.0, 0.25))),
        lowpass_hz=float(rng.choice([40.0, 100.0, 150.0])) if rng.random() < 0.2 else None,
    )


def _choice(rng: np.random.Generator, shares: dict[float, float]) -> float:
    return float(rng.choice(list(shares), p=list(shares.values())))


def _sample_size(rng: np.random.Generator, layout: Layout) -> tuple[tuple[float, float], bool]:
    """Height and width of the sheet, mm, and whether it is a strip of roll paper."""
    portrait = layout.n_rows >= 12 and rng.random() < 0.5
    kind = str(rng.choice(["letter", "a4", "strip", "free"], p=[0.4, 0.28, 0.16, 0.16]))
    strip = rng.uniform(110, 160), rng.uniform(255, 300)
    free = rng.uniform(150, 230), rng.uniform(262, 310)
    height, width = {**_SHEETS_MM, "strip": strip, "free": free}[kind]
    if portrait:
        height, width = width, height
    if height / layout.n_rows < 12:  # a strip is too low for many rows
        height = layout.n_rows * rng.uniform(12, 16)
    return (float(height), float(width)), kind == "strip"


def _sample_block(rng: np.random.Generator, width: float, n_columns: int) -> dict[str, Any]:
    """Place and width of the block of traces, and the calibration pulse next to it."""
    pulse = str(rng.choice(["left", "right", "none"], p=[0.5, 0.2, 0.3]))
    # The usual 10 s fit where the sheet is wide enough; else the columns are shortened, as carts do.
    room = width - 8 - (8 if pulse != "none" else 0)
    block_width = min(BLOCK_MM, room) if rng.random() < 0.85 else rng.uniform(0.8, 1.0) * min(260.0, room)
    if n_columns > 1 and rng.random() < 0.8:
        block_width = min(block_width, BLOCK_MM)
    slack = width - block_width - (6 if pulse == "right" else 0)
    low = 7.0 if pulse == "left" else 0.0
    left = low + rng.uniform(0.0, 1.0) * max(slack - low - 1.5, 0.0)
    # Half of the carts let the pulse touch the trace.
    pulse_gap = rng.uniform(-0.15, 0.1) if rng.random() < 0.5 else rng.uniform(0.1, 1.8)
    return {
        "pulse": pulse,
        "block_left_mm": float(left),
        "block_width_mm": float(block_width),
        "pulse_gap_mm": float(pulse_gap),
    }


def _sample_rows(rng: np.random.Generator, height: float, n_rows: int, is_strip: bool) -> dict[str, Any]:
    """Zero line of the first row, and distances between rows."""
    top_share = rng.uniform(0.02, 0.12) if rng.random() < 0.4 else rng.uniform(0.1, 0.36)
    if is_strip or height / n_rows < 18:
        top_share = rng.uniform(0.01, 0.08)
    bottom_share = rng.uniform(0.03, 0.12)
    pitch = height * (1 - top_share - bottom_share) / n_rows
    pitch = min(pitch, rng.uniform(26, 40))
    rhythm_pitch = pitch * (rng.uniform(0.85, 1.0) if rng.random() < 0.3 else 1.0)
    first_row = height * top_share + 0.5 * pitch
    spare = height * (1 - bottom_share) - (first_row + pitch * (n_rows - 0.5))
    first_row += rng.uniform(0, 1) * max(spare, 0)
    return {
        "first_row_mm": float(first_row),
        "row_pitch_mm": float(pitch),
        "rhythm_pitch_mm": float(rhythm_pitch),
    }


def _sample_colours(rng: np.random.Generator) -> dict[str, Any]:
    """Kind of grid, colours of paper and grid, and the pen's ink."""
    grid = str(rng.choice(["lines", "dots", "major", "none"], p=[0.84, 0.05, 0.07, 0.04]))
    if rng.random() < 0.25:
        paper, major, minor = _random_grid(rng)
    else:
        paper, major, minor = _GRIDS[str(rng.choice(list(_GRIDS)))]
        paper, major, minor = paper, _jitter(rng, major, 14), _jitter(rng, minor, 10)
        if rng.random() < 0.15:
            fade = rng.uniform(0.3, 0.7)
            minor = _jitter(rng, tuple(int(m + (p - m) * fade) for m, p in zip(minor, paper, strict=True)), 1)  # type: ignore[arg-type]
    ink = (0, 0, 0)
    pen = rng.random()
    if pen < 0.35:
        ink = (int(rng.uniform(0, 55)),) * 3
    elif pen < 0.5:
        ink = _jitter(rng, (40, 45, 70), 15)
    elif pen < 0.58:
        ink = _jitter(rng, (25, 40, 150), 15)
    elif pen < 0.64:
        ink = (int(rng.uniform(60, 115)),) * 3
    return {"grid": grid, "paper": paper, "major": major, "minor": minor, "ink": ink}


def _sample_grid(rng: np.random.Generator, major_width: float) -> dict[str, Any]:
    """Lines of the grid and where it lies."""
    return {
        "major_width_mm": major_width,
        "minor_width_mm": float(major_width * rng.uniform(0.5, 1.0)),
        "minor_over_major": bool(rng.random() < 0.25),
        "grid_origin_mm": (float(rng.uniform(0, 5)), float(rng.uniform(0, 5))),
        "grid_block_only": bool(rng.random() < 0.15),
    }


def _sample_pens(rng: np.random.Generator) -> dict[str, Any]:
    """Strokes of traces, pulses and separators."""
    separators = ["bars", "ticks", "dashed", "gap", "none"]
    return {
        "ink_alpha": float(rng.uniform(0.75, 1.0)),
        "stroke_mm": float(np.exp(rng.uniform(np.log(0.2), np.log(0.75)))),
        "stroke": str(rng.choice(["line", "raster"], p=[0.75, 0.25])),
        "joined": bool(rng.random() < 0.2),
        "pulse_rows": "all" if rng.random() < 0.75 else "last",
        "pulse_foot_mm": float(rng.uniform(0.4, 1.0)) if rng.random() < 0.6 else 0.0,
        "pulse_pen": float(rng.uniform(1.0, 2.0)),
        "separator": str(rng.choice(separators, p=[0.4, 0.15, 0.08, 0.12, 0.25])),
        "separator_mm": float(rng.uniform(2.0, 5.0)),
        "separator_pen": float(rng.uniform(1.2, 3.2)),
        "separator_at_ends": bool(rng.random() < 0.2),
    }


def _sample_text(rng: np.random.Generator, ink: RGB) -> dict[str, Any]:
    """Names of the leads and other printed text."""
    return {
        "names": str(rng.choice(["above", "below", "margin", "none"], p=[0.5, 0.34, 0.08, 0.08])),
        "name_variant": str(rng.choice(NAME_VARIANTS, p=NAME_SHARES)),
        "font": str(rng.choice(FACES)),
        "font_mm": float(rng.uniform(2.6, 4.6)),
        "text_ink": ink if rng.random() < 0.8 else _jitter(rng, (60, 60, 60), 30),
        "name_inset_mm": 0.0 if rng.random() < 0.4 else float(rng.uniform(-0.5, 4.0)),
        "header_lines": int(rng.integers(0, 6)),
        "stray_texts": int(rng.integers(1, 7)) if rng.random() < 0.45 else 0,
        "intervals": bool(rng.random() < 0.4),
        "footer": bool(rng.random() < 0.8),
    }


def _scanner(rng: np.random.Generator) -> CameraStyle:
    wide = rng.random() < 0.45
    return CameraStyle(
        rotation_deg=float(rng.uniform(-10, 10) if wide else rng.normal(0, 1.2)),
        margin=float(rng.uniform(-0.04, 0.0) if rng.random() < 0.4 else rng.uniform(0, 0.06)),
        keep_size=bool(rng.random() < 0.8),
        background=str(rng.choice(["black", "white", "paper"])),
        temperature=float(rng.uniform(-1, 1)) if rng.random() < 0.4 else 0.0,
        light=float(rng.uniform(0, 0.15)) if rng.random() < 0.3 else 0.0,
        blur_px=float(rng.uniform(0.3, 0.9)) if rng.random() < 0.5 else 0.0,
        noise=float(rng.uniform(1, 50) if rng.random() < 0.35 else rng.uniform(0, 6)),
        grey_noise=bool(rng.random() < 0.6),
        contrast=float(rng.uniform(0.7, 1.15)),
        brightness=float(rng.uniform(-25, 15)),
        grey=bool(rng.random() < 0.08),
        jpeg=int(rng.integers(45, 96)) if rng.random() < 0.7 else None,
        interpolation=str(rng.choice(["linear", "cubic", "nearest"], p=[0.5, 0.3, 0.2])),
    )


def _phone(rng: np.random.Generator) -> CameraStyle:
    screen = rng.random() < 0.12
    rotation = float(rng.normal(0, 4))
    tilt = (float(rng.normal(0, 9)), float(rng.normal(0, 9)))
    aside = rng.spawn(1)[0]  # a stream of its own: all other choices of a seed stay as they are
    if aside.random() < 0.15:  # photographed from the side
        steep, towards = aside.uniform(15, 30), aside.uniform(0, 2 * np.pi)
        tilt = (float(steep * np.cos(towards)), float(steep * np.sin(towards)))
    return CameraStyle(
        rotation_deg=rotation,
        tilt_deg=tilt,
        curl_mm=0.0 if screen else float(abs(rng.normal(0, 2.0))),
        lens=float(rng.normal(0, 0.012)),
        margin=float(rng.uniform(-0.01, 0.12)),
        keep_size=False,
        background=str(rng.choice(["table", "table", "black", "white"])),
        light=float(rng.uniform(0.05, 0.5)),
        shadow=float(rng.uniform(0.1, 0.5)) if rng.random() < 0.5 else 0.0,
        temperature=float(rng.normal(0, 0.35)),
        blur_px=float(rng.uniform(0.3, 1.6)),
        motion_px=float(rng.uniform(1, 4)) if rng.random() < 0.2 else 0.0,
        moire=float(rng.uniform(0.03, 0.15)) if screen else 0.0,
        noise=float(rng.uniform(0, 12)),
        grey_noise=False,
        contrast=float(rng.uniform(0.65, 1.1)),
        brightness=float(rng.uniform(-40, 15)),
        jpeg=int(rng.integers(40, 95)),
        interpolation="linear",
    )


def _light_wear(rng: np.random.Generator) -> WearStyle:
    return WearStyle(
        creases=int(rng.integers(0, 3)),
        crease_strength=float(rng.uniform(0.05, 0.2)),
        handwriting=int(rng.integers(0, 3)),
        highlighter=int(rng.random() < 0.15),
        stamps=int(rng.random() < 0.15),
        punch_holes=bool(rng.random() < 0.15),
        fading=float(rng.uniform(0, 0.35)) if rng.random() < 0.25 else 0.0,
        broken_ink=float(rng.uniform(0, 0.3)) if rng.random() < 0.2 else 0.0,
    )


def _heavy_wear(rng: np.random.Generator) -> WearStyle:
    return WearStyle(
        creases=int(rng.integers(0, 18)),
        crease_strength=float(rng.uniform(0.05, 0.3)),
        wrinkles=float(rng.uniform(0.1, 0.6)) if rng.random() < 0.7 else 0.0,
        stains=int(rng.integers(0, 4)) if rng.random() < 0.4 else 0,
        mould=int(rng.integers(5, 60)) if rng.random() < 0.15 else 0,
        handwriting=int(rng.integers(0, 5)),
        highlighter=int(rng.random() < 0.25),
        stamps=int(rng.random() < 0.2),
        punch_holes=bool(rng.random() < 0.15),
        fading=float(rng.uniform(0, 0.5)) if rng.random() < 0.4 else 0.0,
        broken_ink=float(rng.uniform(0, 0.5)) if rng.random() < 0.3 else 0.0,
    )
