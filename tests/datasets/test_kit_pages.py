import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import wfdb

from ecg_hough.datasets.kit_pages import KitPage, find_kit_pages, read_kit_page
from ecg_hough.paper import LEADS
from places import SHARED

DATA = SHARED / "ecg_image_kit"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="development pages are not on this machine")

COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
SHIFT_BITS = 4


def draw_page(folder: Path, name: str = "rec-0", *, pad_inches: int = 0, **changes: object) -> Path:
    """A small page in the kit's format: sines at 100 dpi, drawn about the sidecar's points."""
    height, width, fs, pad = 420, 800, 100, pad_inches * 100
    grey = np.full((height + 2 * pad, width + 2 * pad), 255, np.uint8)
    leads = []

    def add(lead: str, start: int, end: int, zero_row: float, left: float) -> None:
        sample = np.arange(start, end)
        cols = left + 0.6 * (sample - start)
        rows = zero_row - 20 * np.sin(sample / 12 + LEADS.index(lead))
        points = np.stack([rows, cols], axis=1).round(2)
        leads.append(
            {
                "lead_name": lead,
                "start_sample": start,
                "end_sample": end,
                "plotted_pixels": points.tolist(),
            }
        )
        fixed = np.rint((points[:, ::-1] + pad - 0.5) * (1 << SHIFT_BITS)).astype(np.int32)
        cv2.polylines(grey, [fixed[:, None]], False, 10, 2, cv2.LINE_AA, SHIFT_BITS)

    for row in (2, 1, 0):
        for k, column in enumerate(COLUMNS):
            add(column[row], 250 * k, 250 * (k + 1), 60.0 + 90 * row, 60.0 + 150 * k)
    add("II", 0, 1000, 350.0, 60.0)
    sidecar = {
        "sampling_frequency": fs,
        "width": width,
        "height": height,
        "leads": leads,
        "x_grid": 19.685,
        "y_grid": 20.0,
        "resolution": 100,
        "pad_inches": pad_inches,
        "augment": False,
        "crop": 0,
        "rotate": 0,
    }
    sidecar.update(changes)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(sidecar))
    cv2.imwrite(str(path.with_suffix(".png")), grey)
    return path


def write_record(folder: Path, name: str, fs: int = 100) -> np.ndarray:
    signals = np.random.default_rng(0).normal(0, 0.5, (1000, 12)).round(3)
    wfdb.wrsamp(
        name, fs, ["mV"] * 12, list(LEADS), signals, fmt=["16"] * 12,
        adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=str(folder),
    )  # fmt: skip
    return signals.T


def check_traces(page: KitPage, sidecar: Path) -> None:
    """Every class holds the pixels of its own points, the rhythm strip those of its lead."""
    for entry in json.loads(sidecar.read_text())["leads"]:
        row, col = np.rint(np.array(entry["plotted_pixels"]) - 0.5).astype(int).T
        share = (page.labels[row, col] == LEADS.index(entry["lead_name"]) + 1).mean()
        assert share > 0.98, entry["lead_name"]


def test_labels_follow_the_points(tmp_path: Path) -> None:
    sidecar = draw_page(tmp_path)
    page = read_kit_page(sidecar)
    assert page.image_path == sidecar.with_suffix(".png")
    assert page.labels.shape == (420, 800)
    assert page.labels.dtype == np.uint8
    assert set(np.unique(page.labels)) == set(range(13))
    assert page.px_per_mm == pytest.approx((4.0, 3.937))
    assert page.fs == 100
    assert page.signals is None
    check_traces(read_kit_page(sidecar, stroke_px=3), sidecar)
    # Lead II is printed in its short place and on the strip.
    rows = np.flatnonzero((page.labels == LEADS.index("II") + 1).any(axis=1))
    assert rows.min() < 200
    assert rows.max() > 340


def test_label_centre_is_the_ink_centre(tmp_path: Path) -> None:
    """The half pixel: a level line at sidecar row 100.5 fills pixel row 100."""
    sidecar = draw_page(tmp_path)
    content = json.loads(sidecar.read_text())
    for entry in content["leads"]:
        entry["plotted_pixels"] = [[100.5, 60.0 + 0.5 * k] for k in range(1000)]
    sidecar.write_text(json.dumps(content))
    picture = np.full((420, 800), 255, np.uint8)
    picture[100, 55:570] = 0
    cv2.imwrite(str(sidecar.with_suffix(".png")), picture)
    labels = read_kit_page(sidecar, stroke_px=1).labels
    assert np.flatnonzero(labels.any(axis=1)).tolist() == [100]


def test_stroke_width(tmp_path: Path) -> None:
    sidecar = draw_page(tmp_path)
    sizes = [np.count_nonzero(read_kit_page(sidecar, stroke_px=width).labels) for width in (1, 3, 7)]
    assert sizes[0] < sizes[1] < sizes[2]
    with pytest.raises(ValueError, match=r"stroke_px must be 1 or more; got 0\.5"):
        read_kit_page(sidecar, stroke_px=0.5)


def test_white_padding_moves_the_points(tmp_path: Path) -> None:
    plain = read_kit_page(draw_page(tmp_path, "plain-0")).labels
    padded = read_kit_page(draw_page(tmp_path, "padded-0", pad_inches=1)).labels
    np.testing.assert_array_equal(padded[100:-100, 100:-100], plain)


@pytest.mark.parametrize("record", ["rec-0", "rec"])
def test_truth_is_nan_where_not_printed(tmp_path: Path, record: str) -> None:
    sidecar = draw_page(tmp_path)
    truth = write_record(tmp_path, record)
    signals = read_kit_page(sidecar).signals
    assert signals is not None
    np.testing.assert_allclose(signals[LEADS.index("II")], truth[LEADS.index("II")], atol=1e-6)
    printed = np.isfinite(signals[LEADS.index("aVR")])
    assert np.flatnonzero(printed)[[0, -1]].tolist() == [250, 499]


def test_record_of_another_sampling_frequency(tmp_path: Path) -> None:
    sidecar = draw_page(tmp_path)
    write_record(tmp_path, "rec", fs=500)
    with pytest.raises(ValueError, match="must agree on fs; got 500 and 100 Hz"):
        read_kit_page(sidecar)


def turn_picture(sidecar: Path, angle_deg: float) -> np.ndarray:
    picture = cv2.imread(str(sidecar.with_suffix(".png")), cv2.IMREAD_GRAYSCALE)
    turn = cv2.getRotationMatrix2D((400, 210), angle_deg, 1.0)
    cv2.imwrite(str(sidecar.with_suffix(".png")), cv2.warpAffine(picture, turn, (800, 420)))
    return turn


def test_points_of_the_unturned_page_are_refused(tmp_path: Path) -> None:
    sidecar = draw_page(tmp_path, augment=True, rotate=5)
    turn_picture(sidecar, 4.0)
    with pytest.raises(ValueError, match=r"must lie on ink; got \d+% .*rotate up to 5"):
        read_kit_page(sidecar)


def test_turned_points_are_taken_from_the_fork_s_key(tmp_path: Path) -> None:
    sidecar = draw_page(tmp_path, augment=True, rotate=5)
    turn = turn_picture(sidecar, 4.0)
    content = json.loads(sidecar.read_text())
    content["leads_augmented"] = json.loads(json.dumps(content["leads"]))
    for entry in content["leads_augmented"]:
        points = np.array(entry["plotted_pixels"])[:, ::-1] - 0.5
        entry["plotted_pixels"] = ((points @ turn[:, :2].T + turn[:, 2])[:, ::-1] + 0.5).round(2).tolist()
    sidecar.write_text(json.dumps(content))
    assert set(np.unique(read_kit_page(sidecar).labels)) == set(range(13))


def test_augmented_page_that_was_not_turned_is_read(tmp_path: Path) -> None:
    sidecar = draw_page(tmp_path, augment=True, rotate=5)
    check_traces(read_kit_page(sidecar, stroke_px=3), sidecar)


def test_missing_picture(tmp_path: Path) -> None:
    sidecar = draw_page(tmp_path)
    sidecar.with_suffix(".png").unlink()
    with pytest.raises(ValueError, match="a picture must be next to the sidecar"):
        read_kit_page(sidecar)


def test_broken_picture(tmp_path: Path) -> None:
    sidecar = draw_page(tmp_path)
    sidecar.with_suffix(".png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="must be a readable image"):
        read_kit_page(sidecar)


def test_picture_of_another_size(tmp_path: Path) -> None:
    sidecar = draw_page(tmp_path, width=900)
    with pytest.raises(ValueError, match=r"sidecar's size 420 x 900; got 420 x 800"):
        read_kit_page(sidecar)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"leads": [', "sidecar must be JSON"),
        ("[1, 2]", "must be a JSON object; .* holds a list"),
        ('{"sampling_frequency": 500}', "must have ECG-Image-Kit's fields; .*resolution"),
    ],
)
def test_bad_sidecar(tmp_path: Path, text: str, message: str) -> None:
    sidecar = draw_page(tmp_path)
    sidecar.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_kit_page(sidecar)


def test_bad_leads(tmp_path: Path) -> None:
    entry = {"lead_name": "V9", "start_sample": 0, "end_sample": 2, "plotted_pixels": [[1, 2], [3, 4]]}
    with pytest.raises(ValueError, match=r"lead_name must be one of .* got 'V9'"):
        read_kit_page(draw_page(tmp_path, "name-0", leads=[entry]))
    entry = {**entry, "lead_name": "V1", "plotted_pixels": [[1, 2, 3]]}
    with pytest.raises(ValueError, match="finite pairs of row and column"):
        read_kit_page(draw_page(tmp_path, "points-0", leads=[entry]))
    with pytest.raises(ValueError, match="sidecar must list leads"):
        read_kit_page(draw_page(tmp_path, "none-0", leads=[]))


def test_missing_sidecar(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a readable file"):
        read_kit_page(tmp_path / "absent.json")


def test_find_pages(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    paths = [draw_page(tmp_path, "b-0"), draw_page(tmp_path / "sub", "a-0")]
    (tmp_path / "dataset.json").write_text('{"labels": {}}')
    assert find_kit_pages(tmp_path) == paths
    assert find_kit_pages(tmp_path / "nowhere") == []


@needs_data
@pytest.mark.parametrize("profile", ["clean", "colour", "bw", "wrinkles"])
def test_real_pages(profile: str) -> None:
    sidecar = find_kit_pages(DATA / profile)[0]
    page = read_kit_page(sidecar)
    assert page.labels.shape == (1700, 2200)
    assert page.px_per_mm == pytest.approx((7.874, 7.874))
    assert page.signals is not None
    assert page.signals.shape == (12, 5000)
    # The kit's own NaN (not printed) and the sidecar's spans agree.
    assert np.isfinite(page.signals).sum(axis=1).tolist() == [1250, 5000] + [1250] * 10
    picture = cv2.imread(str(page.image_path), cv2.IMREAD_GRAYSCALE)
    assert np.median(picture[page.labels > 0]) < np.median(picture) - 80


@needs_data
def test_real_turned_pages_are_refused() -> None:
    for sidecar in find_kit_pages(DATA / "rot")[:2]:
        with pytest.raises(ValueError, match="must lie on ink"):
            read_kit_page(sidecar)
