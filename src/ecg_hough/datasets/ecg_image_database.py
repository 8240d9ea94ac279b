"""ECG-Image-Database: printed, scanned, photographed and soiled pages; a folder enters, pages leave.

From the paper (Shivashankara et al. 2024, arXiv:2409.16612): 35,595 images of 1,977 records, 977 of PTB-XL
and 1,000 of Emory Healthcare, drawn by ECG-Image-Kit (3x4+II, 25 mm/s, 10 mm/mV), then distorted by
software, or printed, soaked, stained, grown mouldy, scanned and photographed.

Not checked: how a copy names its folders. Read here is the naming of the Kaggle contest, which was made of
this data: `<record>-<type>.png`, the type a number of `TYPES`, and the WFDB record `<record>` anywhere below
the folder. The types are the contest's; another number is kept as it is. A record is cut to what the page
shows unless it is cut already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ecg_hough.datasets import STANDARD_PAGE, DatasetPage, index_records, log, wfdb_loader
from ecg_hough.documents.kinds import PAGE_SUFFIXES

DATASET = "ecg-image-database"
TYPES: dict[str, str] = {
    "0001": "rendered",
    "0003": "colour scan",
    "0004": "b/w scan",
    "0005": "phone photo",
    "0006": "photo of a screen",
    "0009": "stained photo",
    "0010": "damaged photo",
    "0011": "mould, colour scan",
    "0012": "mould, b/w scan",
}
"""Number of an image -> how it came about (data description of the Kaggle contest of 2025/26)."""
_NAME = re.compile(r"(?P<record>.+)-(?P<type>\d{4})")


def read_pages(folder: Path) -> Iterator[DatasetPage]:
    """Images below `folder`; one without its record has no reference, which is logged as a warning.

    Raises:
        ValueError: no image is named <record>-<type>.
    """
    from ecg_hough.datasets.ptbxl_table import patient_groups

    images = [path for path in sorted(Path(folder).rglob("*")) if path.suffix.lower() in PAGE_SUFFIXES]
    named = [(path, match) for path in images if (match := _NAME.fullmatch(path.stem))]
    if not named:
        raise ValueError(f"folder must hold images <record>-<type>, such as 00009_hr-0003.png; got {folder}")
    records, patients = index_records(folder), patient_groups(folder)
    for image, match in named:
        name = match["record"]
        stem = records.get(name) or records.get(f"{name}_hr")
        if stem is None:
            log.warning("%s: no record %s below %s; %s has no reference", DATASET, name, folder, image.name)
        record = name if stem is None else stem.name
        yield DatasetPage(
            DATASET,
            image.stem,
            image,
            TYPES.get(match["type"], match["type"]),
            record,
            patients.get(record, record),
            None if stem is None else wfdb_loader(stem, STANDARD_PAGE),
            STANDARD_PAGE.name,
        )
