from __future__ import annotations

import os
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ecg_hough.errors import PageError
from ecg_hough.image.reading import read_page
from made_up_ecg import header_only_png
from places import SAMPLES

ROWS, COLS = 200, 260


@pytest.fixture
def picture() -> np.ndarray:
    """Smooth colours, so that JPEG keeps them; red to the right, green downwards."""
    image = np.full((ROWS, COLS, 3), 40, np.uint8)
    image[..., 0] = np.linspace(0, 250, COLS).astype(np.uint8)
    image[..., 1] = np.linspace(0, 250, ROWS).astype(np.uint8)[:, None]
    return image


def assert_page_error(source: object, words: str) -> None:
    with pytest.raises(PageError, match=words) as caught:
        read_page(source)  # type: ignore[arg-type]
    assert caught.value.stage == "page"


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(picture).save(path, **({"lossless": True} if suffix == "webp" else {}))
    page = read_page(path)
    assert page.name == path.name
    assert page.warnings == ()
    np.testing.assert_array_equal(page.image, picture)


def test_jpeg_and_a_wrong_suffix(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "really_a_jpeg.png"
    Image.fromarray(picture).save(path, format="JPEG", quality=95)
    assert np.abs(read_page(str(path)).image.astype(int) - picture).mean() < 3


# Orientation tag -> how a viewer turns the stored pixels.
EXIF_TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("tag", EXIF_TURNS)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_exif_orientation_is_applied(tmp_path: Path, picture: np.ndarray, tag: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(picture).save(path, exif=exif)
    np.testing.assert_array_equal(read_page(path).image, EXIF_TURNS[tag](picture))


def test_damaged_exif_is_a_warning(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(picture).save(path, exif=b"Exif\0\0" + b"MM\0*\0\0\0\x08\0\x05garbage")
    assert read_page(path).image.shape == picture.shape


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey(tmp_path: Path, suffix: str) -> None:
    grey = np.linspace(0, 65535, ROWS * COLS).reshape(ROWS, COLS).astype(np.uint16)
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), grey)
    image = read_page(path).image
    np.testing.assert_array_equal(image[..., 0], np.rint(grey / 257))
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


def test_16_bit_colour_png(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), picture[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_page(path).image, picture)


def test_float_tiff_and_one_bit(tmp_path: Path, picture: np.ndarray) -> None:
    grey = picture[..., 0]
    Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / "float.tif")
    assert np.abs(read_page(tmp_path / "float.tif").image[..., 0].astype(int) - grey).max() <= 1
    Image.fromarray(grey > 100).save(tmp_path / "fax.tif")
    np.testing.assert_array_equal(read_page(tmp_path / "fax.tif").image[..., 1] > 0, grey > 100)


def test_palette_with_transparency(tmp_path: Path) -> None:
    indices = np.zeros((ROWS, COLS), np.uint8)
    indices[:, COLS // 2 :] = 1
    palette = Image.frombytes("P", (COLS, ROWS), indices.tobytes())
    palette.putpalette([200, 10, 20, 0, 0, 0])
    palette.save(tmp_path / "plain.png")
    palette.save(tmp_path / "clear.png", transparency=1)
    assert read_page(tmp_path / "plain.png").image[0, [0, -1]].tolist() == [[200, 10, 20], [0, 0, 0]]
    assert read_page(tmp_path / "clear.png").image[0, [0, -1]].tolist() == [[200, 10, 20], [255, 255, 255]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_over_white(tmp_path: Path, mode: str) -> None:
    black = Image.new(mode, (COLS, ROWS), 0)
    alpha = np.zeros((ROWS, COLS), np.uint8)
    alpha[:100], alpha[100:120] = 255, 51
    black.putalpha(Image.fromarray(alpha))
    black.save(tmp_path / "a.png")
    image = read_page(tmp_path / "a.png").image
    assert image[[0, 110, 150], 5, 1].tolist() == [0, 204, 255]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path: Path, suffix: str) -> None:
    sheet = Image.new("CMYK", (COLS, ROWS), (0, 0, 0, 0))
    sheet.paste((0, 255, 255, 0), (0, 0, COLS // 2, ROWS))
    sheet.save(tmp_path / f"a.{suffix}")
    image = read_page(tmp_path / f"a.{suffix}").image
    assert image[50, 20, 0] > 240
    assert image[50, 20, 1:].max() < 15
    assert image[50, -20].min() > 240


def test_pages_of_a_tiff(tmp_path: Path, picture: np.ndarray) -> None:
    first, second = Image.fromarray(picture), Image.fromarray(255 - picture)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    for number, expected in ((1, picture), (2, 255 - picture)):
        page = read_page(tmp_path / "a.tif", number)
        np.testing.assert_array_equal(page.image, expected)
        assert (page.number, page.warnings) == (number, ())
    with pytest.raises(PageError, match="has 2 pages; there is no page 3"):
        read_page(tmp_path / "a.tif", 3)


def test_an_animation_is_one_page(tmp_path: Path, picture: np.ndarray) -> None:
    first, second = Image.fromarray(picture), Image.fromarray(255 - picture)
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second], lossless=True)
    page = read_page(tmp_path / "a.webp")
    assert "animation of 2 pictures" in page.warnings[0]
    with pytest.raises(PageError, match="no page 2"):
        read_page(tmp_path / "a.webp", 2)


def test_pages_of_a_pdf(tmp_path: Path, picture: np.ndarray) -> None:
    first, second = Image.fromarray(picture), Image.fromarray(255 - picture)
    first.save(tmp_path / "a.pdf", save_all=True, append_images=[second], resolution=100.0)
    for number, expected in ((1, picture), (2, 255 - picture)):
        page = read_page(tmp_path / "a.pdf", number)
        assert np.abs(page.image[300, 300].astype(int) - expected[100, 100]).max() < 12
    with pytest.raises(PageError, match="has 2 pages; there is no page 3"):
        read_page(tmp_path / "a.pdf", 3)


def test_a_page_may_not_be_a_thread(tmp_path: Path) -> None:
    Image.new("RGB", (160, 160 * 41), "white").save(tmp_path / "a.png")
    assert_page_error(tmp_path / "a.png", "longer side may be 40 times")


def test_pdf(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "a.pdf", resolution=100.0)
    image = read_page(tmp_path / "a.pdf").image
    assert abs(image.shape[0] - 3 * ROWS) <= 2
    assert abs(image.shape[1] - 3 * COLS) <= 2
    assert np.abs(image[300, 300].astype(int) - picture[100, 100]).max() < 12


def test_damaged_pdf(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 rubbish")
    assert_page_error(tmp_path / "a.pdf", "damaged")


# --- arrays


@pytest.mark.parametrize("shape", [(ROWS, COLS), (ROWS, COLS, 1), (ROWS, COLS, 3), (ROWS, COLS, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_arrays(shape: tuple[int, ...], dtype: type) -> None:
    unit = np.random.default_rng(0).random(shape)
    if len(shape) == 3 and shape[2] == 4:
        unit[..., 3] = 1.0
    top = {np.uint8: 255, np.uint16: 65535, np.float32: 1.0}[dtype]
    page = read_page((unit * top).astype(dtype))
    assert page.name == "array"
    assert page.image.shape == (ROWS, COLS, 3)
    assert page.image.dtype == np.uint8
    expected = unit[..., None] if unit.ndim == 2 else unit[..., :3]
    assert np.abs(page.image / 255 - expected).max() < 1.01 / 255


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((ROWS, COLS, 2), np.uint8),
        np.zeros(400, np.uint8),
        np.zeros((ROWS, COLS), np.int32),
        np.full((ROWS, COLS), 1.5),
        np.full((ROWS, COLS), np.nan),
    ],
)
def test_arrays_of_another_kind(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a page"):
        read_page(array)


def test_not_a_path() -> None:
    with pytest.raises(ValueError, match="int"):
        read_page(3)  # type: ignore[arg-type]


# --- bad input


def test_not_an_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("this is not an image\n" * 50)
    assert_page_error(tmp_path / "a.png", "not an image")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "webp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_truncated(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert_page_error(path, "damaged|cut short|not an image")


def test_empty_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert_page_error(tmp_path / "a.png", "empty")
    assert_page_error(tmp_path / "b.png", "no such file")
    assert_page_error(tmp_path, "folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert_page_error(tmp_path / "a.png", "pipe")


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root reads everything")
def test_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    path.chmod(0)
    assert_page_error(path, "Permission denied")


def test_unreadable_is_a_page_error_for_root_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert_page_error(path, "Permission denied")


@pytest.mark.parametrize("side", [1, 149])
def test_too_small(tmp_path: Path, side: int) -> None:
    Image.new("RGB", (400 if side > 1 else 1, side)).save(tmp_path / "a.png")
    assert_page_error(tmp_path / "a.png", f"at least 150 px; got .* x {side}")
    assert_page_error(np.zeros((side, 400), np.uint8), "at least 150 px")


def test_too_large_is_refused_by_the_header(tmp_path: Path) -> None:
    path = header_only_png(tmp_path / "a.png", 30_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_page_error(path, "200 megapixels; got 30000 x 30000")


def test_pillows_limit_is_given_back(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    # 196 megapixels: above Pillow's own limit, below ours, so it fails for its missing pixels only.
    assert_page_error(header_only_png(tmp_path / "a.png", 14_000), "damaged")
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("level", [0, 128, 255])
def test_blank(tmp_path: Path, level: int) -> None:
    Image.new("L", (COLS, ROWS), level).save(tmp_path / "a.png")
    assert_page_error(tmp_path / "a.png", "blank")


@pytest.mark.parametrize("name", ["clean_3x4", "bw_3x4", "clean_12x1"])
def test_a_dark_screen_is_inverted(name: str) -> None:
    page = read_page(SAMPLES / f"{name}.jpg")
    dark = read_page(255 - page.image)
    assert (dark.image == page.image).all()
    assert any("inverted" in note for note in dark.warnings)
    assert not any("inverted" in note for note in page.warnings)


def test_a_sheet_on_a_dark_table_is_not_inverted() -> None:
    sheet = read_page(SAMPLES / "clean_3x4.jpg").image
    rows, cols = sheet.shape[:2]
    table = np.full((3 * rows, 3 * cols, 3), 25, np.uint8)
    table[rows : 2 * rows, cols : 2 * cols] = sheet
    assert (read_page(table).image == table).all()
