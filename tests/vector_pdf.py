"""Vector PDFs with known traces, drawn in many makers' ways: content streams written here, no library."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_hough.paper import LEADS, Layout, make_layout
from ecg_hough.render.ecg_model import generate_ecg

MM = 72.0 / 25.4
WIDTH_MM, HEIGHT_MM = 297.0, 210.0


def signals_of(seed: int = 1, fs: int = 500, seconds: float = 10.0) -> NDArray[np.float64]:
    """(12, n) mV that no two seeds share."""
    return generate_ecg(seed, fs=fs).signals[:, : round(fs * seconds)]


@dataclass(frozen=True)
class VectorPage:
    """How one page is drawn; the defaults are those of a plain cart.

    Attributes:
        signals: (12, n) mV at fs; layout: its name and rhythm strips; leads: those shown, of a one-column
            layout.
        speed, gain: mm/s and mm/mV; scale: of all on the page, 1 true size; stretch: across, more than that.
        pieces: vertices of every stroke a trace is drawn in, 0 for all; shuffled: strokes in any order.
        a_row: one path for a whole row of panels.
        turn: the page's /Rotate; drawn: quarter turns, counter-clockwise, of what is drawn, without /Rotate.
        grid_mm: distances of the grid's lines; pulse: "own", "pieces", "joined" or "none".
        names, scale_text, header: what is written.
        clip_mm: traces are cut this far above their zero lines; cover: a white box over the third row's end.
        gap_mm: between columns, no time; origin_mm: of the block of traces.
    """

    signals: NDArray[np.float64]
    fs: int = 500
    layout: str = "3x4"
    rhythm: tuple[str, ...] = ("II",)
    leads: tuple[str, ...] | None = None
    speed: float = 25.0
    gain: float = 10.0
    scale: float = 1.0
    stretch: float = 1.0
    pieces: int = 0
    shuffled: bool = False
    a_row: bool = False
    turn: int = 0
    drawn: int = 0
    grid_mm: tuple[float, ...] = (1.0, 5.0)
    pulse: str = "own"
    names: bool = True
    scale_text: bool = True
    header: tuple[str, ...] = ("Doe, Jane", "ID 4711-22", "12.03.2024 10:11:12", "HR 61 /min", "QT 402 ms")
    clip_mm: float | None = None
    cover: bool = False
    gap_mm: float = 0.0
    origin_mm: tuple[float, float] = (20.0, 55.0)
    ink: tuple[float, float, float] = (0.0, 0.0, 0.0)
    extra: tuple[str, ...] = field(default=())

    @property
    def form(self) -> Layout:
        """The layout; one column of `leads`, if these are given."""
        if self.leads is not None:
            return Layout("lone", tuple((lead,) for lead in self.leads))
        return make_layout(self.layout, rhythm=self.rhythm)

    def rows(self) -> list[list[tuple[str, int, int, float]]]:
        """For every row its panels: lead, first sample, one behind the last, and where it begins, mm."""
        form, n = self.form, self.signals.shape[1]
        out = []
        for row in form.rows:
            edges = np.round(np.linspace(0, n, len(row) + 1)).astype(int)
            out.append(
                [
                    (lead, int(a), int(b), a / self.fs * self.speed + k * self.gap_mm)
                    for k, (lead, a, b) in enumerate(zip(row, edges[:-1], edges[1:], strict=True))
                ]
            )
        return out + [[(lead, 0, n, 0.0)] for lead in form.rhythm]

    @property
    def truth(self) -> NDArray[np.float64]:
        """(12, n) mV, NaN where not printed."""
        out = np.full((12, self.signals.shape[1]), np.nan)
        for row in self.rows():
            for lead, a, b, _ in row:
                out[LEADS.index(lead), a:b] = self.signals[LEADS.index(lead), a:b]
        return out

    def content(self) -> bytes:
        """The page's content stream, millimetres from the top left corner."""
        rows = self.rows()
        pitch = min(26.0, 130.0 / max(1, len(rows) - 1))
        top, left = self.origin_mm[1] + 10.0, self.origin_mm[0]
        out = [self._matrix()]
        width = max(r[-1][3] + (r[-1][2] - r[-1][1]) / self.fs * self.speed for r in rows)
        out += self._grid(left - 12.0, self.origin_mm[1] - 10.0, width + 20.0, pitch * (len(rows) - 1) + 45.0)
        out.append(f"{_rgb(self.ink)} RG 0.25 w")
        for k, row in enumerate(rows):
            out += self._row(row, left, top + k * pitch, pitch)
        if self.cover:
            out.append(f"1 g {left + 30:.3f} {top + 2 * pitch - 9:.3f} 60 18 re f 0 g")
        out += [_text(left - 10.0, 12.0 + 5.0 * k, 4.0, line) for k, line in enumerate(self.header)]
        if self.scale_text:
            out.append(
                _text(left, HEIGHT_MM - 8.0, 4.0, f"{self.speed:g} mm/s  {self.gain:g} mm/mV  0.05-40 Hz")
            )
        return "\n".join([*out, *self.extra]).encode("latin-1")

    def _matrix(self) -> str:
        """From millimetres, down the page, to points; scaled, and turned about the page's middle."""
        x, y = self.scale * self.stretch * MM, self.scale * MM
        turn = np.deg2rad(90.0 * self.drawn)
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        linear = spin @ np.diag([x, -y])
        size = np.array(self.size_pt)
        offset = size / 2 - linear @ (np.array([WIDTH_MM, HEIGHT_MM]) / 2)
        return "{:.6f} {:.6f} {:.6f} {:.6f} {:.4f} {:.4f} cm".format(*linear.T.ravel(), *offset)

    @property
    def size_pt(self) -> tuple[float, float]:
        """Width and height of the page before /Rotate."""
        size = (WIDTH_MM * MM, HEIGHT_MM * MM)
        return size[::-1] if self.drawn % 2 else size

    def _grid(self, left: float, top: float, width: float, height: float) -> list[str]:
        out = []
        for step in self.grid_mm:
            out.append("1 0.8 0.8 RG 0.06 w" if step < 5 else "1 0.6 0.6 RG 0.15 w")
            for x in np.arange(0.0, width + 0.01, step):
                out.append(f"{left + x:.3f} {top:.3f} m {left + x:.3f} {top + height:.3f} l S")
            for y in np.arange(0.0, height + 0.01, step):
                out.append(f"{left:.3f} {top + y:.3f} m {left + width:.3f} {top + y:.3f} l S")
        return out

    def _row(
        self, row: list[tuple[str, int, int, float]], left: float, zero: float, pitch: float
    ) -> list[str]:
        out = []
        pulse = [(-8.0, 0.0), (-7.0, 0.0), (-7.0, -1.0), (-2.0, -1.0), (-2.0, 0.0), (-1.0, 0.0)]
        places = [(left + x, zero + y * self.gain) for x, y in pulse]
        if self.pulse == "own":
            out += _strokes(np.array(places), 0)
        elif self.pulse == "pieces":
            out += _strokes(np.array(places), 2)
        if self.clip_mm is not None:
            out.append(f"q 0 {zero - self.clip_mm:.3f} {WIDTH_MM} {self.clip_mm + 12:.3f} re W n")
        drawn = []
        for k, (lead, a, b, x_mm) in enumerate(row):
            at = left + x_mm + np.arange(b - a) / self.fs * self.speed
            points = np.column_stack([at, zero - self.signals[LEADS.index(lead), a:b] * self.gain])
            if k == 0 and self.pulse == "joined":
                points = np.vstack([places[:-1], [(left - 0.05, zero)], points])
            drawn.append(points)
            if self.names:
                out.append(_text(left + x_mm + 1.0, zero + 0.35 * pitch, 3.5, lead))
        if self.a_row:
            drawn = [np.vstack(drawn)]
        for points in drawn:
            out += _strokes(points, self.pieces, seed=len(out) if self.shuffled else None)
        if self.clip_mm is not None:
            out.append("Q")
        return out


def _rgb(colour: tuple[float, float, float]) -> str:
    return " ".join(f"{part:g}" for part in colour)


def _strokes(points: NDArray[np.float64], pieces: int, seed: int | None = None) -> list[str]:
    """A polyline as one path, or as strokes of so many vertices that share their ends."""
    step = max(1, pieces - 1) if pieces else len(points)
    parts = [points[k : k + step + 1] for k in range(0, len(points) - 1, step)]
    if seed is not None:
        parts = [parts[k] for k in np.random.default_rng(seed).permutation(len(parts))]
    return [
        " ".join(f"{x:.5f} {y:.5f} {'l' if k else 'm'}" for k, (x, y) in enumerate(part)) + " S"
        for part in parts
    ]


def _text(x: float, y: float, size: float, text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"BT /F1 {size} Tf 1 0 0 -1 {x:.3f} {y:.3f} Tm ({escaped}) Tj ET"


def write_pdf(path: Path, pages: list[VectorPage | bytes]) -> Path:
    """Write pages; bytes are the content stream of a page of A4, landscape."""
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    kids = []
    for page in pages:
        content = page if isinstance(page, bytes) else page.content()
        width, height = (WIDTH_MM * MM, HEIGHT_MM * MM) if isinstance(page, bytes) else page.size_pt
        turn = 0 if isinstance(page, bytes) else page.turn
        packed = zlib.compress(content)
        objects.append(
            f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode() + packed + b"\nendstream"
        )
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.3f} {height:.3f}] /Rotate {turn} /Contents"
            f" {len(objects)} 0 R /Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    out, places = b"%PDF-1.4\n", []
    for k, one in enumerate(objects):
        places.append(len(out))
        out += f"{k + 1} 0 obj\n".encode() + one + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    out += f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out)
    return path
