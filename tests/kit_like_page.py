"""A plain page with ECG-Image-Kit's geometry, its signals and its label map: what the old methods know."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ecg_hough.paper import LEADS, make_layout
from ecg_hough.render.ecg_model import generate_ecg

PX_PER_MM = 200 / 25.4
FS = 500
ZERO_PX = (708.3, 991.7, 1275.0, 1534.7)
START_PX = 118.1
_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@dataclass(frozen=True)
class KitLikePage:
    image: np.ndarray
    labels: np.ndarray
    signals: np.ndarray  # (12, 5000) mV, NaN where not printed


@lru_cache(maxsize=8)
def kit_like_page(*, pulse: bool = True, grid: bool = True, names: bool = True) -> KitLikePage:
    ecg = generate_ecg(11, rhythm="sinus rhythm")
    signals = np.asarray(ecg.signals, float)[:, : 10 * FS]
    signals = 0.6 * (signals - np.nanmean(signals, axis=1, keepdims=True))
    image = np.full((1700, 2200, 3), 255, np.uint8)
    labels = np.zeros(image.shape[:2], np.uint8)
    if grid:
        # Each line is shared out between two pixels: lines on whole pixels have no one period.
        depth = np.zeros(2202)
        for mm in range(279):
            first, part = divmod(mm * PX_PER_MM, 1.0)
            dark = 105.0 if mm % 5 == 0 else 40.0
            depth[int(first)] += dark * (1 - part)
            depth[int(first) + 1] += dark * part
        light = 255.0 - np.maximum(depth[:1700, None], depth[None, :2200])
        image[..., 1:] = light[..., None].astype(np.uint8)
    printed = np.full(signals.shape, np.nan)
    layout = make_layout("3x4", rhythm=("II",))
    for k, zero in enumerate(ZERO_PX):
        leads = layout.rows[k] if k < 3 else ("II",)
        for j, lead in enumerate(leads):
            i = LEADS.index(lead)
            first, last = (1250 * j, 1250 * (j + 1)) if k < 3 else (0, 5000)
            t = np.arange(first, last) / FS
            points = np.column_stack(
                [START_PX + t * 25 * PX_PER_MM, zero - signals[i, first:last] * 10 * PX_PER_MM]
            )
            fixed = np.rint(points * 16).astype(np.int32)[:, None]
            cv2.polylines(image, [fixed], False, (10, 10, 10), 2, cv2.LINE_AA, 4)
            cv2.polylines(labels, [fixed], False, i + 1, 1, cv2.LINE_8, 4)
            if lead != "II" or k == 3:
                printed[i, first:last] = signals[i, first:last]
        if pulse:
            low, high = round(zero), round(zero - 10 * PX_PER_MM)
            corners = np.array([[78, low], [78, high], [118, high], [118, low]], np.int32)
            cv2.polylines(image, [corners[:, None]], False, (20, 20, 20), 2)
    if names:
        picture = Image.fromarray(image)
        draw = ImageDraw.Draw(picture)
        font = ImageFont.truetype(str(_FONT), 11 / 72 * 200)
        for k in range(3):
            for j, lead in enumerate(layout.rows[k]):
                place = (START_PX + j * 62.5 * PX_PER_MM, ZERO_PX[k] + 7 * PX_PER_MM)
                draw.text(place, lead, font=font, fill=(0, 0, 0), anchor="ls")
        image = np.array(picture)
    return KitLikePage(image, labels, printed)
