"""PTB-Image: 549 scanned paper printouts of the PTB data base; a folder enters, pages leave.

From the paper (arXiv:2502.14909): one scan for each record of the PTB Diagnostic ECG Database, printed and
scanned; the digital signals are PTB's, changed to match what is printed. PTB (physionet.org/content/ptbdb/
1.0.0) holds `patient001/s0010_re.hea`, 1000 Hz, 15 leads in lower case: the 12 and Frank's vx, vy, vz.

Not checked: how the release names its folders. So a scan is any image whose name holds the name of a PTB
record (`s0010_re`, or `s0010` alone), and its signals are the WFDB record of that name anywhere below the
folder; the patient is the folder `patientNNN` that either lies in. What is not printed must be NaN in that
record: nothing is assumed of the layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ecg_hough.datasets import DatasetPage, index_records, log, wfdb_loader
from ecg_hough.documents.kinds import PAGE_SUFFIXES

DATASET = "ptb-image"
_RECORD = re.compile(r"s\d{4}(?:_?[a-z]{2,3})?", re.IGNORECASE)
_PATIENT = re.compile(r"patient\d{3}", re.IGNORECASE)


def read_pages(folder: Path) -> Iterator[DatasetPage]:
    """Scans below `folder`; one without its record has no reference, which is logged as a warning.

    Raises:
        ValueError: no image is named after a PTB record.
    """
    images = [path for path in sorted(Path(folder).rglob("*")) if path.suffix.lower() in PAGE_SUFFIXES]
    named = [(path, match[0]) for path in images if (match := _RECORD.search(path.stem))]
    if not named:
        raise ValueError(
            f"folder must hold scans named after PTB's records (s0010_re); found none in {folder}"
        )
    records = index_records(folder)
    by_number = {name[:5].lower(): path for name, path in records.items() if _RECORD.fullmatch(name)}
    for image, name in named:
        stem = records.get(name) or by_number.get(name[:5].lower())
        if stem is None:
            log.warning("ptb-image: no record %s below %s; %s has no reference", name, folder, image.name)
        patient = _patient([image] if stem is None else [image, stem], folder)
        record = name if stem is None else stem.name
        yield DatasetPage(
            DATASET,
            "_".join(image.relative_to(folder).with_suffix("").parts),
            image,
            "scan",
            record,
            patient or record,
            None if stem is None else wfdb_loader(stem),
        )


def _patient(paths: list[Path], folder: Path) -> str | None:
    """The folder `patientNNN` that one of the paths lies in."""
    places = [path.relative_to(folder).as_posix() for path in paths]
    return next((found[0].lower() for place in places if (found := _PATIENT.search(place))), None)
