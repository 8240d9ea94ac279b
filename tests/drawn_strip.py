"""A strip with a stroke on a printed grid, drawn along known rows."""

import cv2
import numpy as np

PX_PER_MM = 8.0
SHAPE = (256, 800)
PERIOD = 40


def true_rows(height=60.0):
    """(2 * cols,) a wave with a narrow peak every 100 columns."""
    x = (np.arange(SHAPE[1])[:, None] + [-0.25, 0.25]).ravel()
    phase = (x % 100) - 50
    return 140 - height * np.exp(-0.5 * (phase / 3.0) ** 2) + 6 * np.sin(x / 40), x


def strip_of(y, x, *, grid=True, width=2.0, blur=0.6, noise=0.0):
    """The stroke on paper with a grid of 1 and 5 mm, drawn 8 times finer."""
    fine = np.zeros((SHAPE[0] * 8, SHAPE[1] * 8), np.uint8)
    points = np.stack([(x + 0.5) * 8 - 0.5, (y + 0.5) * 8 - 0.5], axis=1)
    cv2.polylines(fine, [np.round(points * 16).astype(np.int32)[:, None]], False, 255, round(8 * width), 8, 4)
    ink = cv2.GaussianBlur(cv2.resize(fine, SHAPE[::-1], interpolation=cv2.INTER_AREA), (0, 0), blur) / 255.0
    paper = np.full((*SHAPE, 3), 255.0)
    if grid:
        paper[:, ::8] = paper[::8] = (250, 170, 170)
        paper[:, ::PERIOD] = paper[::PERIOD] = (200, 60, 60)
    image = paper * (1 - ink[..., None]) + 20 * ink[..., None]
    image += np.random.default_rng(0).normal(0, noise, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
