"""Pages of every kind of file: DICOM, HEIC, JPEG 2000, AVIF, archives, streams."""

from __future__ import annotations

import base64
import io
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ecg_hough.batch.pages import find_files, find_pages
from ecg_hough.documents.archives import unpack
from ecg_hough.documents.pages import chosen_pages, contents, count_pages, parse_pages
from ecg_hough.errors import PageError
from ecg_hough.image.reading import read_page
from vector_pdf import VectorPage, signals_of, write_pdf


@pytest.fixture
def picture() -> np.ndarray:
    image = np.full((200, 260, 3), 40, np.uint8)
    image[..., 0] = np.linspace(0, 250, 260).astype(np.uint8)
    image[..., 1] = np.linspace(0, 250, 200).astype(np.uint8)[:, None]
    return image


HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABegABAAAAAAAAAZEAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA1mlwcnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAPPAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAPLoCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwA8oAhIDJ35bqSSmubgIaDAgAAADIAAAAMAhGIAAQAHRAHBcrBiQAAAABNjb2xy"
    "bmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAAEEAAAAyAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAAZlt"
    "ZGF0AAABjSgBrxkh/2nb939Oh/LfnIGaMXlYXS2fxeqErAswqZ45vzHXh+xvFkykelqOHGd27npB/XFLu4R6FE5b98G+HVr4ImxV"
    "iK0uc9VSEDcAbR7emGuO1HSeWMpJniZF0e3aVcewnMtw+PxaDcGPBgo1xSkbkmsnz7Lx9QFpBQ1JjoUmJuTeVyIv/tMrdrM99QWs"
    "M+cUBmkQg7/O9CjR3peZ1lXYuUBpaOal4aOwun1m5cNrG4tGQO0v5NAPzwab5hwdcRMatjzGHkEUZJU+/JTt1n1HSqiFKENF2wxn"
    "hNg+EuFuiFL/c1KIC9VZ3W8uV7y1T7LR1QeikHlhydBoYiHYoCWks0UGBzN/+FDACGjWHlyaWKBgiT+zwSh86jY6pYEJxiLM6QOG"
    "zyXNgbKBod/q4zLmHEDhzhbhiJmi7GBjHl212RtwcQpOd7o4OKe7RJRT8S+1glWz7eYRU4XrYtQ/6JcLzqytzWnIIlzwNP8GMkEg"
    "PBmxQJG0PCZM5dlAOImRGQGm4wrOtb70DyCFkrQ="
)
"""The fixture's picture as HEIC, by pillow-heif 1.8.1 at quality 30."""


# --- which pages


def test_page_numbers() -> None:
    assert parse_pages("") == ()
    assert parse_pages("1,3-5, 7-") == ((1, 1), (3, 5), (7, None))
    assert chosen_pages(parse_pages("1,3-5,7-"), 8) == (1, 3, 4, 5, 7, 8)
    assert chosen_pages((), 3) == (1, 2, 3)
    assert chosen_pages(parse_pages("5-"), 3) == ()
    for bad in ("0", "a", "3-1", "1,,2", "-3", "1-2-3"):
        with pytest.raises(ValueError, match="numbers from 1 and ranges"):
            parse_pages(bad)


def test_counts(tmp_path: Path, picture: np.ndarray) -> None:
    first = Image.fromarray(picture)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[first, first])
    first.save(tmp_path / "a.gif", save_all=True, append_images=[Image.fromarray(255 - picture)])
    (tmp_path / "a.png").write_bytes(b"no image")
    assert [count_pages(tmp_path / f"a.{kind}") for kind in ("tif", "gif", "png")] == [3, 1, 1]
    assert contents(tmp_path / "a.tif", 1) is None


# --- images


@pytest.mark.parametrize("suffix", ["jp2", "avif"])
def test_formats_of_pillow(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    Image.fromarray(picture).save(tmp_path / f"a.{suffix}", **({"quality": 95} if suffix == "avif" else {}))
    assert np.abs(read_page(tmp_path / f"a.{suffix}").image.astype(int) - picture).mean() < 3


def test_heic_without_its_decoder_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200)
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(PageError, match=r'HEIC.*pip install "ecg-hough\[heic\]"'):
        read_page(path)


def test_heic(tmp_path: Path, picture: np.ndarray) -> None:
    pytest.importorskip("pi_heif")
    (tmp_path / "photo.heic").write_bytes(HEIC)
    assert np.abs(read_page(tmp_path / "photo.heic").image.astype(int) - picture).mean() < 3
    (tmp_path / "cut.heic").write_bytes(HEIC[:500])
    with pytest.raises(PageError, match="damaged or cut short"):
        read_page(tmp_path / "cut.heic")


def test_damaged_heic(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif")
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200)
    with pytest.raises(PageError, match=r"damaged or cut short|not an image"):
        read_page(path)


# --- DICOM


def dicom(path: Path, pixels: np.ndarray, kind: str, **fields: object) -> Path:
    """A secondary capture of (frames, rows, cols[, 3]) pixels."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian, MultiFrameTrueColorSecondaryCaptureImageStorage

    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    data.NumberOfFrames, data.Rows, data.Columns = pixels.shape[:3]
    data.SamplesPerPixel = 3 if pixels.ndim == 4 else 1
    if pixels.ndim == 4:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = kind
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    for name, value in fields.items():
        setattr(data, name, value)
    data.PixelData = pixels.tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def test_frames_of_colour(tmp_path: Path, picture: np.ndarray) -> None:
    path = dicom(tmp_path / "a", np.stack([picture, 255 - picture]), "RGB")
    assert count_pages(path) == 2
    np.testing.assert_array_equal(read_page(path, 1).image, picture)
    np.testing.assert_array_equal(read_page(path, 2).image, 255 - picture)
    with pytest.raises(PageError, match="has 2 frames; there is no page 3"):
        read_page(path, 3)


@pytest.mark.parametrize(
    ("kind", "dtype", "top", "fields"),
    [
        ("MONOCHROME2", np.uint8, 255, {}),
        ("MONOCHROME1", np.uint8, 255, {}),
        ("MONOCHROME2", np.uint16, 4095, {"BitsStored": 12, "HighBit": 11}),
        ("MONOCHROME2", np.uint16, 65535, {}),
        ("MONOCHROME2", np.int16, 2000, {"RescaleSlope": "1", "RescaleIntercept": "-1000"}),
        ("MONOCHROME2", np.uint16, 1000, {"WindowCenter": "500", "WindowWidth": "1001"}),
    ],
)
def test_grey_frames(
    tmp_path: Path, picture: np.ndarray, kind: str, dtype: type, top: int, fields: dict[str, object]
) -> None:
    grey = np.linspace(0, 1, 260) * np.ones((200, 1))
    stored = np.rint((1 - grey if kind == "MONOCHROME1" else grey) * top).astype(dtype)
    image = read_page(dicom(tmp_path / "a.dcm", stored[None], kind, **fields)).image
    assert np.abs(image[..., 0] - grey * 255).max() < 2.5


def test_a_palette(tmp_path: Path) -> None:
    table = np.arange(256, dtype=np.uint16) * 257
    words = {
        f"{colour}PaletteColorLookupTableData": (table if colour == "Red" else table[::-1]).tobytes()
        for colour in ("Red", "Green", "Blue")
    }
    described = {f"{c}PaletteColorLookupTableDescriptor": [256, 0, 16] for c in ("Red", "Green", "Blue")}
    pixels = (np.arange(200 * 260) % 256).astype(np.uint8).reshape(1, 200, 260)
    image = read_page(dicom(tmp_path / "a.dcm", pixels, "PALETTE COLOR", **words, **described)).image
    assert np.abs(image[..., 0].astype(int) - pixels[0]).max() <= 1
    assert np.abs(255 - image[..., 1].astype(int) - pixels[0]).max() <= 1


def test_luminance_and_chroma(tmp_path: Path, picture: np.ndarray) -> None:
    coded = np.asarray(Image.fromarray(picture).convert("YCbCr"))
    image = read_page(dicom(tmp_path / "a.dcm", coded[None], "YBR_FULL")).image
    assert np.abs(image.astype(int) - picture).max() <= 3


def test_an_encapsulated_pdf(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    pdf = write_pdf(tmp_path / "a.pdf", [VectorPage(signals_of(1)), VectorPage(signals_of(2))])
    path = dicom(tmp_path / "a.dcm", np.zeros((1, 2, 2), np.uint8), "MONOCHROME2")
    data = pydicom.dcmread(path)
    del data.PixelData
    data.EncapsulatedDocument, data.MIMETypeOfEncapsulatedDocument = pdf.read_bytes(), "application/pdf"
    data.save_as(path)
    assert count_pages(path) == 2
    page = read_page(path, 2)
    assert page.name == "a.dcm"
    assert page.drawing is not None
    np.testing.assert_array_equal(page.image, read_page(pdf, 2).image)
    assert contents(path, 1) is not None


def test_objects_without_a_page(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    path = dicom(tmp_path / "a.dcm", np.zeros((1, 2, 2), np.uint8), "MONOCHROME2")
    whole = path.read_bytes()
    data = pydicom.dcmread(path)
    del data.PixelData
    data.save_as(path)
    with pytest.raises(PageError, match="without pixels or a PDF"):
        read_page(path)
    data.WaveformSequence = [pydicom.Dataset()]
    data.save_as(path)
    with pytest.raises(PageError, match="holds the ECG's own samples"):
        read_page(path)
    path.write_bytes(whole[:200])
    with pytest.raises(PageError, match=r"damaged|not a DICOM object"):
        read_page(path)
    path.write_bytes(b"\0" * 128 + b"DICM" + b"rubbish" * 40)
    with pytest.raises(PageError, match="DICOM"):
        read_page(path)


# --- archives and streams


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return path


def png(picture: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "png")
    return out.getvalue()


def test_pages_of_an_archive(tmp_path: Path, picture: np.ndarray) -> None:
    page = png(picture)
    members = {
        "a.png": page,
        "sub/b.png": page,
        "notes.txt": b"hi",
        "__MACOSX/._a.png": b"",
        "inner.zip": b"PK",
    }
    path = archive(tmp_path / "ward.zip", **members)
    found = find_files([path], _folder(tmp_path))
    assert [page.stem for page in found if not page.passed] == ["ward/a", "ward/sub/b"]
    assert [page.name.as_posix().split("ward.zip/")[1] for page in found if page.passed] == [
        "notes.txt",
        "inner.zip",
    ]
    np.testing.assert_array_equal(read_page(found[0].path).image, picture)


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "unpacked"
    folder.mkdir(exist_ok=True)
    return folder


def test_members_stay_in_their_folder(tmp_path: Path) -> None:
    names = ["../out.png", "/abs.png", "a/../../b.png", "C:\\x.png", "..\\..\\w.png"]
    members = unpack(archive(tmp_path / "a.zip", **dict.fromkeys(names, b"x")), _folder(tmp_path))
    assert all(member.path is None and "leads out of the archive" in member.why_not for member in members)
    assert not list(tmp_path.glob("*.png"))
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as out:
        out.writestr(link, "/etc/passwd")
    (member,) = unpack(tmp_path / "b.zip", _folder(tmp_path))
    assert "it is a link" in member.why_not


def test_bombs_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.zip", **{"a.png": b"\0" * (64 << 20)})
    (member,) = unpack(path, _folder(tmp_path))
    assert member.path is None
    assert "would take 64 MiB unpacked" in member.why_not
    assert find_files([path, tmp_path / "x.png"], _folder(tmp_path))[0].problem == member.why_not
    monkeypatch.setattr("ecg_hough.documents.archives.TOTAL_BYTES_MAX", 1 << 20)
    with pytest.raises(PageError, match="GiB unpacked, at most"):
        unpack(path, _folder(tmp_path))
    monkeypatch.setattr("ecg_hough.documents.archives.MEMBERS_MAX", 0)
    with pytest.raises(PageError, match="holds 1 files, at most 0"):
        unpack(path, _folder(tmp_path))


def test_damaged_archives(tmp_path: Path, picture: np.ndarray) -> None:
    path = archive(tmp_path / "a.zip", **{"a.png": png(picture)})
    whole = bytearray(path.read_bytes())
    whole[60] ^= 0xFF
    path.write_bytes(whole)
    (member,) = unpack(path, _folder(tmp_path))
    assert "damaged in the archive" in member.why_not
    path.write_bytes(whole[:50])
    with pytest.raises(PageError, match="damaged archive"):
        unpack(path, _folder(tmp_path))
    (found,) = find_files([path], _folder(tmp_path))
    assert "damaged archive" in (found.problem or "")


def test_other_files_of_a_folder_are_named(tmp_path: Path, picture: np.ndarray) -> None:
    for name in ("a.png", "a.json", "a.overlay.png", "notes.txt", "sub/list", ".hidden"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(picture))
    archive(tmp_path / "b.zip", **{"c.png": png(picture)})
    assert [page.stem for page in find_pages([tmp_path])] == ["a"]
    found = find_files([tmp_path])
    assert {page.name.name for page in found if page.passed} == {"notes.txt", "list", "b.zip"}
    unpacked = tmp_path.parent / "elsewhere"
    unpacked.mkdir()
    assert [page.stem for page in find_files([tmp_path], unpacked) if not page.passed] == ["a", "b/c"]


def test_standard_input_is_a_page(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(png(picture))))
    (page,) = find_files(["-"], _folder(tmp_path))
    assert (page.stem, page.name) == ("stdin", Path("stdin"))
    np.testing.assert_array_equal(read_page(page.path).image, picture)
    (page,) = find_files(["-"], _folder(tmp_path))
    assert "standard input is empty" in (page.problem or "")
