"""Paper to pixels: one smooth warp (rotation, perspective, curl, lens) and what light and sensor add.

`Warp` holds the map between flat sheet px and image px in both directions, so that the truth
(sample positions, the mm map) goes through exactly the map that the pixels went through.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ecg_hough.render.style import CameraStyle
from ecg_hough.render.wear import smooth_noise

_FOCAL = 1.3  # focal length of the simulated camera in page diagonals: a phone's main lens
_LATTICE_PX = 8  # the inverse map is computed on this lattice and interpolated: it is smooth

_CV2_INTERPOLATION = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "nearest": cv2.INTER_NEAREST}


@dataclass(frozen=True)
class Warp:
    """Map between sheet px and image px.

    Attributes:
        shape: rows, cols of the image.
        homography: (3, 3), acts on (col, row, 1) of the sheet without its curl.
        waves: (n, 5) curl: amplitude in cols, rows (px), wave vector in cols, rows (rad/px), phase;
            empty when the paper is flat.
        lens: radial distortion at the image corner.
    """

    shape: tuple[int, int]
    homography: np.ndarray
    waves: np.ndarray
    lens: float

    def _curl(self, points: np.ndarray) -> np.ndarray:
        out = np.zeros_like(points)
        for ax, ay, kx, ky, phase in self.waves:
            wave = np.sin(points[..., 0] * kx + points[..., 1] * ky + phase)
            out[..., 0] += ax * wave
            out[..., 1] += ay * wave
        return out

    def _centre(self) -> tuple[np.ndarray, float]:
        rows, cols = self.shape
        return np.array([(cols - 1) / 2, (rows - 1) / 2]), float(np.hypot(rows, cols) / 2)

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) row, col on the sheet -> row, col in the image."""
        target = np.asarray(points, float)[..., ::-1]
        flat = target.copy()
        for _ in range(8 if len(self.waves) else 0):  # a contraction: the curl is a small, smooth field
            flat = target - self._curl(flat)
        ideal = _project(self.homography, flat)
        if self.lens:
            centre, radius = self._centre()
            seen = ideal.copy()
            for _ in range(8):
                r2 = (((seen - centre) / radius) ** 2).sum(-1, keepdims=True)
                seen = centre + (ideal - centre) / (1 + self.lens * r2)
            ideal = seen
        return ideal[..., ::-1]

    def to_sheet(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) row, col in the image -> row, col on the sheet."""
        seen = np.asarray(points, float)[..., ::-1]
        if self.lens:
            centre, radius = self._centre()
            r2 = (((seen - centre) / radius) ** 2).sum(-1, keepdims=True)
            seen = centre + (seen - centre) * (1 + self.lens * r2)
        flat = _project(np.linalg.inv(self.homography), seen)
        return (flat + self._curl(flat))[..., ::-1]


def _project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    x, y = points[..., 0], points[..., 1]
    w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    u = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / w
    v = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / w
    return np.stack([u, v], axis=-1)


def make_warp(shape: tuple[int, int], px_per_mm: float, style: CameraStyle, rng: np.random.Generator) -> Warp:
    """The warp of one page of `shape` (rows, cols) sheet px."""
    rows, cols = shape
    centre = np.array([(cols - 1) / 2, (rows - 1) / 2])
    to_centre = np.array([[1, 0, -centre[0]], [0, 1, -centre[1]], [0, 0, 1.0]])
    theta = np.deg2rad(style.rotation_deg)
    cos, sin = np.cos(theta), np.sin(theta)
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1.0]])  # counter-clockwise with rows downward
    a, b = np.deg2rad(style.tilt_deg)
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    focal = _FOCAL * float(np.hypot(rows, cols))
    tilt = (rx @ ry)[:, :2]
    project = np.vstack([tilt[:2], tilt[2] / focal])
    project = np.column_stack([project, [0, 0, 1.0]])
    matrix = turn @ project @ to_centre
    corners = np.array([[0, 0], [cols - 1, 0], [cols - 1, rows - 1], [0, rows - 1]], float)
    if style.keep_size:
        scale = 1 / (1 + 2 * style.margin)
        place = np.array([[scale, 0, centre[0]], [0, scale, centre[1]], [0, 0, 1.0]])
        out_shape = shape
    else:
        seen = _project(matrix, corners)
        low, high = seen.min(0), seen.max(0)
        pad = style.margin * (high - low)
        low, high = low - pad, high + pad
        place = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1.0]])
        out_shape = (int(np.ceil(high[1] - low[1])) + 1, int(np.ceil(high[0] - low[0])) + 1)
    waves = []
    if style.curl_mm > 0:
        for _ in range(3):
            amplitude = rng.normal(0, style.curl_mm / 2, 2) * px_per_mm * [0.5, 1.0]
            wavelength = rng.uniform(0.6, 2.0) * cols
            direction = rng.normal(0, 0.5)
            k = 2 * np.pi / wavelength
            waves.append(
                [*amplitude, k * np.cos(direction), k * np.sin(direction), rng.uniform(0, 2 * np.pi)]
            )
    return Warp(out_shape, place @ matrix, np.asarray(waves, float).reshape(-1, 5), style.lens)


def apply_warp(image: np.ndarray, warp: Warp, style: CameraStyle, rng: np.random.Generator) -> np.ndarray:
    """Warp the sheet's pixels and lay them on the background. (rows, cols, 3) uint8 in and out."""
    identity = np.allclose(warp.homography / warp.homography[2, 2], np.eye(3), atol=1e-9)
    if identity and not len(warp.waves) and not warp.lens and warp.shape == image.shape[:2]:
        return image
    rows, cols = warp.shape
    flag = _CV2_INTERPOLATION[style.interpolation]
    backdrop = _background((rows, cols), style, image, rng)
    if not len(warp.waves) and not warp.lens:
        return cv2.warpPerspective(
            image, warp.homography, (cols, rows), dst=backdrop, flags=flag, borderMode=cv2.BORDER_TRANSPARENT
        )
    n_rows, n_cols = rows // _LATTICE_PX + 2, cols // _LATTICE_PX + 2
    node_r, node_c = np.meshgrid(
        np.arange(n_rows) * _LATTICE_PX, np.arange(n_cols) * _LATTICE_PX, indexing="ij"
    )
    lattice = warp.to_sheet(np.stack([node_r, node_c], -1).astype(float)).astype(np.float32)
    # warpAffine evaluates the lattice at pixel k exactly at k / _LATTICE_PX; cv2.resize would shift by half.
    # Linear: OpenCV's cubic kernel (a = -0.75) bends a straight ramp by 0.76 px between nodes 16 px apart.
    zoom = np.array([[_LATTICE_PX, 0, 0], [0, _LATTICE_PX, 0]], float)
    maps = [
        cv2.warpAffine(
            np.ascontiguousarray(lattice[..., k]),
            zoom,
            (cols, rows),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for k in (1, 0)
    ]
    return cv2.remap(image, maps[0], maps[1], flag, dst=backdrop, borderMode=cv2.BORDER_TRANSPARENT)


def _background(
    shape: tuple[int, int], style: CameraStyle, image: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    out = np.empty((*shape, 3), np.uint8)
    if style.background == "table":
        base = rng.uniform(40, 210, 3)
        coarse: np.ndarray = np.zeros(shape, np.float32)
        if rng.random() < 0.5:  # wood: stripes bent by noise
            ramp = np.linspace(0, rng.uniform(20, 120), shape[1], dtype=np.float32)[None]
            coarse = np.sin(ramp + 2 * smooth_noise(shape, 300, rng)) * rng.uniform(3, 20)
        coarse = coarse + smooth_noise(shape, rng.uniform(3, 200), rng) * rng.uniform(2, 25)
        out[:] = np.clip(base + coarse[..., None] * rng.uniform(0.5, 1.2, 3), 0, 255)
    else:
        paper = np.median(image[::37, ::37].reshape(-1, 3), axis=0)
        out[:] = {"black": np.zeros(3), "white": np.full(3, 255.0)}.get(style.background, paper)
    return out


def expose(image: np.ndarray, style: CameraStyle, rng: np.random.Generator) -> np.ndarray:
    """Light, lens blur, sensor noise and file compression. (rows, cols, 3) uint8 in and out."""
    image = _tone(image, style, rng)
    if style.blur_px > 0:
        image = cv2.GaussianBlur(image, (0, 0), style.blur_px)
    if style.motion_px >= 1:
        image = cv2.filter2D(image, -1, _motion_kernel(style.motion_px, rng.uniform(0, np.pi)))
    if style.moire > 0:
        image = _moire(image, style.moire, rng)
    if style.noise > 0:
        n_planes = 1 if style.grey_noise else 3
        noise = rng.standard_normal((*image.shape[:2], n_planes), dtype=np.float32) * style.noise
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if style.grey or style.threshold:
        image = _grey(image, style.threshold, rng)
    if style.jpeg is not None:
        ok, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, style.jpeg])
        if ok:
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    return np.ascontiguousarray(image)


def _tone(image: np.ndarray, style: CameraStyle, rng: np.random.Generator) -> np.ndarray:
    """Uneven light, colour temperature, contrast and brightness."""
    shape = image.shape[:2]
    gain = _light(shape, style, rng)
    if gain is None and not style.temperature and style.contrast == 1 and not style.brightness:
        return image
    tint = np.array([1 + 0.25 * style.temperature, 1.0, 1 - 0.45 * style.temperature], np.float32)
    tint = tint / max(tint.max(), 1.0) if style.temperature else np.ones(3, np.float32)
    out = np.empty(image.shape, np.uint8)
    for k in range(3):
        plane = cv2.LUT(image[..., k], np.arange(256, dtype=np.float32)).reshape(shape)
        if gain is not None:
            plane *= gain
        shift = 128 * (1 - style.contrast) + style.brightness
        # The paper stays below white where contrast is lost: scanners clip, they do not wrap.
        out[..., k] = np.clip(plane * (tint[k] * style.contrast) + shift, 0, 255)
    return out


def _grey(image: np.ndarray, threshold: bool, rng: np.random.Generator) -> np.ndarray:
    """Grey levels, or black and white as a fax has them."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if threshold:
        block = int(rng.integers(12, 40)) * 2 + 1
        grey = cv2.adaptiveThreshold(
            grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, block, float(rng.uniform(18, 45))
        )
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


def _light(shape: tuple[int, int], style: CameraStyle, rng: np.random.Generator) -> np.ndarray | None:
    if not style.light and not style.shadow:
        return None
    small = (max(shape[0] // 8, 2), max(shape[1] // 8, 2))
    y, x = np.mgrid[-1 : 1 : small[0] * 1j, -1 : 1 : small[1] * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    gain = 1 - style.light * 0.5 * (1 + np.cos(angle) * x + np.sin(angle) * y) / 1.4
    gain -= style.light * 0.25 * smooth_noise(small, small[1] / 2.5, rng)
    if style.shadow:
        offset, edge = rng.uniform(-0.6, 0.6), rng.uniform(0.03, 0.5)
        angle = rng.uniform(0, 2 * np.pi)
        side = (np.cos(angle) * x + np.sin(angle) * y - offset) / edge
        gain *= 1 - style.shadow * np.clip(0.5 + side, 0, 1)
    return cv2.resize(np.clip(gain, 0.08, 1.2), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)


def _motion_kernel(length_px: float, angle: float) -> np.ndarray:
    n = int(np.ceil(length_px)) | 1
    kernel = np.zeros((n, n), np.float32)
    c = (n - 1) / 2
    step = c * np.array([np.cos(angle), np.sin(angle)])
    cv2.line(kernel, (round(c - step[0]), round(c - step[1])), (round(c + step[0]), round(c + step[1])), 1.0)
    return kernel / max(kernel.sum(), 1)


def _moire(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Beats of a screen's pixel rows with the sensor's, a different phase per colour."""
    rows, cols = image.shape[:2]
    wave = np.zeros((rows, cols, 3), np.float32)
    bend = smooth_noise((rows, cols), 400, rng) * 3
    y, x = np.arange(rows, dtype=np.float32)[:, None], np.arange(cols, dtype=np.float32)[None]
    for _ in range(2):
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 30)
        phase = (np.cos(angle) * x + np.sin(angle) * y) * (2 * np.pi / period) + bend
        for k in range(3):
            wave[..., k] += np.sin(phase + k * 0.9)
    return np.clip(image * (1 + 0.5 * strength * wave), 0, 255).astype(np.uint8)
