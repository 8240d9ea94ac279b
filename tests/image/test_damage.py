"""Files with flipped bits are known as damaged where their format shows it."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ecg_hough.image.damage import damage_of, damage_of_stored
from ecg_hough.image.reading import PageError, read_page
from places import ROOT

PAGE = ROOT / "samples" / "clean_3x4.jpg"
HOSTILE = ROOT.parent / "shared" / "data" / "hostile"


def encoded(suffix: str) -> bytes:
    image = cv2.imread(str(PAGE))
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif"])
def test_whole_files(suffix: str) -> None:
    assert damage_of(encoded(suffix)) is None


@pytest.mark.parametrize("kind", ["RGB", "L", "CMYK", "progressive"])
def test_whole_jpegs_of_all_kinds(kind: str) -> None:
    with Image.open(PAGE) as picture:
        out = io.BytesIO()
        picture.convert("RGB" if kind == "progressive" else kind).save(
            out, "JPEG", progressive=kind == "progressive"
        )
    assert damage_of(out.getvalue()) is None


def flipped(content: bytes, seed: int, n: int = 1) -> bytes:
    changed = bytearray(content)
    for at in np.random.default_rng(seed).integers(1000, len(content) - 20, n):
        changed[at] ^= 255
    return bytes(changed)


def test_any_flipped_byte_of_a_png_is_seen() -> None:
    whole = encoded(".png")
    for seed in range(20):
        assert "does not match" in (damage_of(flipped(whole, seed)) or ""), seed
    assert damage_of(whole[:-20]) == "its end is missing"


def test_the_decoder_of_jpeg_complains(capfd: pytest.CaptureFixture[str]) -> None:
    whole = PAGE.read_bytes()
    seen = [damage_of(flipped(whole, seed, 5)) for seed in range(10)]
    assert sum(one is not None for one in seen) >= 6
    assert "Corrupt JPEG data" in str(seen)
    assert capfd.readouterr().err == ""


def test_a_damaged_page_is_read_with_a_note(tmp_path: Path) -> None:
    damaged = [flipped(PAGE.read_bytes(), seed, 3) for seed in range(6)]
    noted = 0
    for content in damaged:
        (tmp_path / "page.jpg").write_bytes(content)
        try:
            notes = read_page(tmp_path / "page.jpg").warnings
        except PageError:
            continue
        if damage_of(content) is not None:
            noted += 1
            assert any("page.jpg is damaged" in note for note in notes)
    assert noted


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="the development data are not there")
@pytest.mark.parametrize("name", ["jpg_5flips.jpg", "jpg_zero5pct.jpg"])
def test_damaged_files_of_the_development_data(name: str) -> None:
    assert any("is damaged" in note for note in read_page(HOSTILE / name).warnings)


def test_the_decoder_of_tiff_complains() -> None:
    out = io.BytesIO()
    with Image.open(PAGE) as picture:
        picture.convert("RGB").save(out, "TIFF", compression="tiff_deflate")
    whole = out.getvalue()
    assert damage_of(whole) is None
    seen = [damage_of(flipped(whole, seed)) for seed in range(6)]
    assert any(seen), seen


def test_a_damaged_picture_in_a_pdf_is_noted(tmp_path: Path) -> None:
    """PDFium decodes it without a word."""
    path = tmp_path / "page.pdf"
    with Image.open(PAGE) as picture:
        picture.convert("RGB").save(path, "PDF", resolution=200.0)
    whole = path.read_bytes()
    assert not any("is damaged" in note for note in read_page(path).warnings)
    first = whole.index(b"\xff\xd8\xff")
    seen = []
    for seed in range(6):
        changed = bytearray(whole)
        for at in np.random.default_rng(seed).integers(first + 1000, first + 100_000, 5):
            changed[at] ^= 255
        path.write_bytes(changed)
        seen.append(any("page.pdf is damaged" in note for note in read_page(path).warnings))
    assert sum(seen) >= 3, seen


def test_the_sum_of_a_deflated_picture() -> None:
    whole = zlib.compress(bytes(5_000_000) + np.random.default_rng(0).bytes(10_000))
    assert damage_of_stored("FlateDecode", whole) is None
    assert damage_of_stored("FlateDecode", whole[:-1] + bytes([whole[-1] ^ 1])) is not None
    assert damage_of_stored("FlateDecode", whole[: len(whole) // 2]) == "its end is missing"
    assert damage_of_stored("CCITTFaxDecode", b"anything") is None
