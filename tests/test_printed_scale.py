"""Speed and gain in printed words, in typefaces of the pictures and in others."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from ecg_hough.geometry import PageMap
from ecg_hough.ink import InkModel
from ecg_hough.printed_scale import read_printed_scale

PX_PER_MM = 8.0
INK = InkModel(-np.ones(3) / 765.0, -1.0, 3.0)


def read(image: np.ndarray):
    height, width = (n / PX_PER_MM for n in image.shape[:2])
    matrix = np.array([[PX_PER_MM, 0.0, -0.5], [0.0, PX_PER_MM, -0.5]])
    return read_printed_scale(image, PageMap.from_affine(matrix, (height, width)), INK)


def page(texts: list[tuple[float, float, str]], font: str = "DejaVuSans.ttf", size_mm: float = 3.5):
    image = Image.new("RGB", (1600, 900), "white")
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / font
    face = ImageFont.truetype(str(path), round(size_mm * PX_PER_MM))
    for y, x, text in texts:
        ImageDraw.Draw(image).text((x * PX_PER_MM, y * PX_PER_MM), text, fill="black", font=face)
    return np.array(image)


@pytest.mark.parametrize("speed", [25, 50])
@pytest.mark.parametrize("gain", [5, 10, 20])
@pytest.mark.parametrize(("font", "space"), [("DejaVuSans.ttf", " "), ("STIXGeneral.ttf", "")])
def test_scales_are_read(speed: int, gain: int, font: str, space: str) -> None:
    image = page([(100, 20, f"{speed}{space}mm/s"), (100, 70, f"{gain}{space}mm/mV")], font)
    scale = read(image)
    assert (scale.speed_mm_s, scale.gain_mm_mv) == (speed, gain)


@pytest.mark.parametrize(("speed", "gain"), [(25, 10), (50, 5), (50, 20)])
def test_an_unknown_typeface_is_read_or_left(speed: int, gain: int) -> None:
    scale = read(page([(100, 20, f"{speed} mm/s"), (100, 70, f"{gain} mm/mV")], "cmtt10.ttf"))
    assert scale.speed_mm_s == speed
    assert scale.gain_mm_mv in (gain, None)


def test_one_line_among_others() -> None:
    image = page([(5, 10, "ID: 12345   Name: Silva"), (100, 20, "50 mm/s   20 mm/mV   0.05-150 Hz")])
    scale = read(image)
    assert (scale.speed_mm_s, scale.gain_mm_mv) == (50, 20)


def test_a_plotters_strokes_and_noise() -> None:
    image = page([])
    cv2.putText(image, "25 mm/s  10 mm/mV", (100, 800), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 2)
    noise = np.random.default_rng(0).normal(0, 12, image.shape)
    scale = read(np.clip(image + noise, 0, 255).astype(np.uint8))
    assert scale.speed_mm_s in (25, None)
    assert scale.gain_mm_mv in (10, None)


@pytest.mark.parametrize("text", ["QT 250 ms", "100 mm/s", "2.5 mm/mV", "Height 175 cm", "V5", "rate 50 bpm"])
def test_other_words_say_nothing(text: str) -> None:
    scale = read(page([(100, 20, text)]))
    assert (scale.speed_mm_s, scale.gain_mm_mv) == (None, None)


def test_two_speeds_on_a_page_are_not_believed() -> None:
    assert read(page([(5, 20, "25 mm/s"), (100, 20, "50 mm/s")])).speed_mm_s is None


def test_blank_page() -> None:
    assert read(page([])).speed_mm_s is None
