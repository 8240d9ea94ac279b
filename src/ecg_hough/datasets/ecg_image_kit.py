"""ECG-Image-Kit's folders: pages with a JSON sidecar and a WFDB record enter, pages leave.

The sidecar's format is in `datasets.kit_pages`; checked on 64 pages that the kit drew. A page without a
sidecar (`--store_config 0`, or photographs of its pages) is recognised by its record `<record>.hea` next to
`<record>.png` or `<record>-<k>.png`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ecg_hough.datasets import STANDARD_PAGE, DatasetPage, Reference, wfdb_loader
from ecg_hough.datasets.kit_pages import find_kit_pages, kit_image_path, read_kit_truth

DATASET = "ecg-image-kit"
_NUMBER = re.compile(r"(?:-\d+)+(?:_0000)?$")


def read_pages(folder: Path) -> Iterator[DatasetPage]:
    """Pages below `folder`; the profile is the subfolder, the patient PTB-XL's where its table is there.

    Raises:
        ValueError: no page of the kit there, or a sidecar without its picture.
    """
    from ecg_hough.datasets.ptbxl_table import patient_groups

    folder = Path(folder)
    sidecars = find_kit_pages(folder)
    images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    drawn = {kit_image_path(sidecar) for sidecar in sidecars}
    bare = [image for image in images if image not in drawn and _header(image).is_file()]
    if not sidecars and not bare:
        raise ValueError(f"folder must hold ECG-Image-Kit pages (PNG, JSON or WFDB); found none in {folder}")
    patients = patient_groups(folder)
    for sidecar in sidecars:
        record = _record_of(sidecar).name
        yield DatasetPage(
            DATASET,
            "_".join(sidecar.relative_to(folder).with_suffix("").parts),
            kit_image_path(sidecar),
            _profile(sidecar, folder),
            record,
            patients.get(record, record),
            partial(_load_truth, sidecar),
            _layout(sidecar),
        )
    for image in bare:
        stem = _record_of(image)
        yield DatasetPage(
            DATASET,
            "_".join(image.relative_to(folder).with_suffix("").parts),
            image,
            _profile(image, folder),
            stem.name,
            patients.get(stem.name, stem.name),
            wfdb_loader(stem, STANDARD_PAGE),
        )


def _load_truth(sidecar: Path) -> Reference:
    signals, fs = read_kit_truth(sidecar)
    return Reference(signals, fs)


def _record_of(path: Path) -> Path:
    """The kit numbers the pages of one record as <record>-<k>, the fork of 2024 as <record>-<n>-<k>_0000."""
    return path.with_name(_NUMBER.sub("", path.stem))


def _header(image: Path) -> Path:
    stem = _record_of(image)
    return stem.with_name(stem.name + ".hea")


def _profile(path: Path, folder: Path) -> str:
    parent = path.parent.relative_to(folder).as_posix()
    return "" if parent == "." else parent


def _layout(sidecar: Path) -> str | None:
    """The layout's name where the sidecar shows that the page is the kit's standard one."""
    content: dict[str, Any] = json.loads(sidecar.read_text())
    standard = content.get("number_of_columns_in_image") == 4 and content.get("full_mode_lead") == "II"
    return STANDARD_PAGE.name if standard else None
