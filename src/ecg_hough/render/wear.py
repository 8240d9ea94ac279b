"""What happens to the paper before it meets a camera: creases, wrinkles, stains, pens, stamps, fading.

Every function paints on the flat sheet in place, in sheet px; none moves a pixel.
"""

from __future__ import annotations

import cv2
import numpy as np

from ecg_hough.render.sheet import Sheet, blend
from ecg_hough.render.style import RGB, SheetStyle, WearStyle

_PENS: tuple[RGB, ...] = ((20, 20, 30), (25, 45, 150), (160, 30, 35), (20, 90, 60))
_MARKERS: tuple[RGB, ...] = ((255, 245, 60), (130, 255, 120), (255, 150, 200), (120, 220, 255))


def smooth_noise(shape: tuple[int, int], cell_px: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth random field (rows, cols) float32, about zero mean, unit deviation, of the given cell size."""
    rows, cols = (max(int(np.ceil(n / cell_px)), 2) for n in shape)
    coarse = rng.standard_normal((rows + 2, cols + 2), dtype=np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def worn_print(sheet: Sheet, style: SheetStyle, wear: WearStyle, rng: np.random.Generator) -> np.ndarray:
    """Put ink on paper and age the print. Returns (rows, cols, 3) uint8."""
    image = sheet.paper.copy()
    shape = image.shape[:2]
    for _ in range(wear.highlighter):
        _highlight(image, sheet.px_per_mm, rng)
    ink = sheet.ink
    if wear.fading > 0 or wear.broken_ink > 0:
        kept = np.ones(shape, np.float32)
        if wear.fading > 0:
            kept -= wear.fading * np.clip(0.5 + smooth_noise(shape, 25 * sheet.px_per_mm, rng), 0, 1)
        if wear.broken_ink > 0:
            fleck = smooth_noise(shape, max(0.25 * sheet.px_per_mm, 1.5), rng)
            kept[fleck > np.quantile(fleck[::7, ::7], 1 - 0.4 * wear.broken_ink)] *= 0.25
        ink = (ink * np.clip(kept, 0, 1)).astype(np.uint8)
    blend(image, ink, style.ink, style.ink_alpha)
    blend(image, sheet.text, style.text_ink, style.ink_alpha)
    for _ in range(wear.handwriting):
        _handwrite(image, sheet.px_per_mm, rng)
    for _ in range(wear.stamps):
        _stamp(image, sheet.px_per_mm, rng)
    for _ in range(wear.stains):
        _stain(image, sheet.px_per_mm, rng)
    if wear.mould:
        _mould(image, sheet.px_per_mm, wear.mould, rng)
    if wear.creases:
        _crease(image, wear.creases, wear.crease_strength, sheet.px_per_mm, rng)
    if wear.wrinkles > 0:
        image = _wrinkle(image, wear.wrinkles, sheet.px_per_mm, rng)
    if wear.punch_holes:
        for share in (0.35, 0.65):
            centre = (int(6 * sheet.px_per_mm), int(share * shape[0]))
            cv2.circle(image, centre, int(3 * sheet.px_per_mm), (35, 35, 35), -1, cv2.LINE_AA)
    return image


def _shade(image: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Multiply (rows, cols, 3) uint8 by (rows, cols) float; above 1 the paper burns out at 255."""
    return np.clip(image * factor[..., None], 0, 255).astype(np.uint8)


def _crease(image: np.ndarray, n: int, strength: float, px_per_mm: float, rng: np.random.Generator) -> None:
    """Parallel families of light or dark streaks at random angles, as a folded sheet shows."""
    rows, cols = image.shape[:2]
    layer = np.zeros((rows, cols), np.float32)
    length = float(np.hypot(rows, cols))
    base = rng.uniform(0, np.pi)
    for _ in range(n):
        angle = base + (np.pi / 2 if rng.random() < 0.5 else 0) + rng.normal(0, 0.05)
        centre = np.array([rng.uniform(0, cols), rng.uniform(0, rows)])
        step = length * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(int(v) for v in centre + s * step) for s in (-1, 1)]
        width = max(int(rng.uniform(0.15, 2.2) * px_per_mm), 1)
        cv2.line(layer, ends[0], ends[1], float(rng.choice([1.0, 1.0, -1.0])), width)
    layer = cv2.GaussianBlur(layer, (0, 0), max(0.25 * px_per_mm, 0.8))
    image[:] = _shade(image, 1 + strength * layer)


def _wrinkle(image: np.ndarray, strength: float, px_per_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Shading of crumpled paper: ridged noise over several scales, lit from one side."""
    shape = image.shape[:2]
    half = (shape[0] // 2, shape[1] // 2)
    height = np.zeros(half, np.float32)
    for octave, cell_mm in enumerate((70, 35, 16, 7)):
        height -= np.abs(smooth_noise(half, cell_mm * px_per_mm / 2, rng)) * cell_mm * 0.75**octave
    height = cv2.GaussianBlur(height, (0, 0), 0.5 * px_per_mm)
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * cv2.Sobel(height, cv2.CV_32F, 1, 0) + np.sin(angle) * cv2.Sobel(
        height, cv2.CV_32F, 0, 1
    )
    slope /= np.abs(slope[::5, ::5]).mean() * 3 + 1e-6
    shade = 1 - 0.35 * strength + strength * 0.6 * np.clip(slope, -1.2, 1.0)
    return _shade(image, cv2.resize(shade, (shape[1], shape[0])))


def _highlight(image: np.ndarray, px_per_mm: float, rng: np.random.Generator) -> None:
    rows, cols = image.shape[:2]
    layer = np.zeros((rows, cols), np.uint8)
    x, y = rng.uniform(0, 0.7) * cols, rng.uniform(0.1, 0.9) * rows
    end = (int(x + rng.uniform(15, 90) * px_per_mm), int(y + rng.normal(0, 3) * px_per_mm))
    cv2.line(layer, (int(x), int(y)), end, 255, int(rng.uniform(4, 9) * px_per_mm))
    blend(image, layer, _MARKERS[rng.integers(len(_MARKERS))], 0.55)


def _handwrite(image: np.ndarray, px_per_mm: float, rng: np.random.Generator) -> None:
    """A word-like scribble, an arrow, a circle or a caliper mark."""
    rows, cols = image.shape[:2]
    layer = np.zeros((rows, cols), np.uint8)
    x, y = rng.uniform(0.02, 0.9) * cols, rng.uniform(0.02, 0.95) * rows
    size = rng.uniform(3, 9) * px_per_mm
    width = max(int(rng.uniform(0.3, 0.8) * px_per_mm), 1)
    kind = rng.choice(["word", "circle", "line", "calipers"])
    if kind == "word":
        n = int(rng.integers(12, 40))
        dx = np.abs(rng.normal(0.35, 0.25, n)).cumsum() * size * 0.5
        dy = np.convolve(rng.normal(0, 1, n + 2), np.ones(3) / 2, "valid") * size * 0.4
        fine = np.linspace(0, n - 1, n * 6)
        points = np.stack([x + np.interp(fine, np.arange(n), dx), y + np.interp(fine, np.arange(n), dy)], 1)
        cv2.polylines(layer, [points.astype(np.int32)[:, None]], False, 255, width, cv2.LINE_AA)
    elif kind == "circle":
        axes = (int(size * rng.uniform(0.6, 2.5)), int(size * rng.uniform(0.6, 1.5)))
        cv2.ellipse(
            layer,
            (int(x), int(y)),
            axes,
            rng.uniform(0, 180),
            0,
            rng.uniform(320, 360),
            255,
            width,
            cv2.LINE_AA,
        )
    elif kind == "line":
        end = (int(x + rng.normal(0, 30) * px_per_mm), int(y + rng.normal(0, 6) * px_per_mm))
        cv2.line(layer, (int(x), int(y)), end, 255, width, cv2.LINE_AA)
    else:
        gap = int(rng.uniform(5, 25) * px_per_mm)
        for k in range(int(rng.integers(2, 5))):
            foot = (int(x) + k * gap, int(y))
            cv2.line(layer, foot, (foot[0], int(y + size)), 255, width, cv2.LINE_AA)
    blend(image, layer, _PENS[rng.integers(len(_PENS))], float(rng.uniform(0.6, 1)))


def _stamp(image: np.ndarray, px_per_mm: float, rng: np.random.Generator) -> None:
    rows, cols = image.shape[:2]
    layer = np.zeros((rows, cols), np.uint8)
    centre = (int(rng.uniform(0.1, 0.9) * cols), int(rng.uniform(0.1, 0.9) * rows))
    radius = int(rng.uniform(8, 16) * px_per_mm)
    width = max(int(0.6 * px_per_mm), 1)
    cv2.circle(layer, centre, radius, 200, width, cv2.LINE_AA)
    cv2.circle(layer, centre, int(radius * 0.7), 200, width, cv2.LINE_AA)
    scale = radius / 45
    cv2.putText(
        layer,
        "CARDIO",
        (centre[0] - int(radius * 0.6), centre[1]),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale * 0.55,
        200,
        width,
    )
    blend(image, layer, _PENS[rng.integers(1, len(_PENS))], float(rng.uniform(0.3, 0.8)))


def _stain(image: np.ndarray, px_per_mm: float, rng: np.random.Generator) -> None:
    rows, cols = image.shape[:2]
    layer = np.zeros((rows, cols), np.uint8)
    centre = (int(rng.uniform(0, cols)), int(rng.uniform(0, rows)))
    axes = (int(rng.uniform(8, 45) * px_per_mm), int(rng.uniform(8, 35) * px_per_mm))
    ring = rng.random() < 0.5
    cv2.ellipse(layer, centre, axes, rng.uniform(0, 180), 0, 360, 255, int(2 * px_per_mm) if ring else -1)
    layer = cv2.GaussianBlur(layer, (0, 0), max(rng.uniform(0.5, 4) * px_per_mm, 1))
    colour = np.array([rng.uniform(0.55, 0.9), rng.uniform(0.45, 0.8), rng.uniform(0.25, 0.7)])
    share = layer[..., None].astype(np.float32) / 255 * rng.uniform(0.4, 1.0)
    image[:] = (image * (1 - share * (1 - colour))).astype(np.uint8)


def _mould(image: np.ndarray, px_per_mm: float, n: int, rng: np.random.Generator) -> None:
    rows, cols = image.shape[:2]
    layer = np.zeros((rows, cols), np.uint8)
    home = np.array([rng.uniform(0, cols), rng.uniform(0, rows)])
    for _ in range(n):
        at = home + rng.normal(0, 35, 2) * px_per_mm
        cv2.circle(layer, (int(at[0]), int(at[1])), max(int(rng.exponential(1.2) * px_per_mm), 1), 255, -1)
    layer = cv2.GaussianBlur(layer, (0, 0), max(0.5 * px_per_mm, 0.7))
    blend(image, layer, (70, 80, 60), float(rng.uniform(0.3, 0.8)))
