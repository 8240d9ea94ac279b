"""Chapman-Shaoxing-Ningbo: 45,152 12-lead ECGs of 10 s at 500 Hz; a folder enters, records leave.

Format (physionet.org/content/ecg-arrhythmia/1.0.0): `WFDBRecords/01/010/JS00001.hea` and `.mat`, the
signals in MATLAB 4 files that WFDB reads as format 16 after 24 bytes ("16+24"), 1000 units a mV, leads
I to V6. Comments `#Age:`, `#Sex:` and `#Dx:` with SNOMED CT codes, separated by commas. Headers as public
copies of JS00001 quote them; the whole data set could not be checked here. Each person has one record.

The smaller first release (10,646 records; Zheng et al. 2020, Sci Data 7:48) holds CSV files and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ecg_hough.datasets import DatasetRecord, log
from ecg_hough.paper import LEADS

DATASET = "chapman"
_DIAGNOSES = re.compile(r"^#\s*Dx:(.*)$", re.MULTILINE)


def read_records(folder: Path) -> Iterator[DatasetRecord]:
    """Records below `folder`, labels the SNOMED CT codes; damaged headers are skipped with a warning.

    Raises:
        ValueError: no record JS*.hea there.
    """
    headers = sorted(Path(folder).rglob("JS*.hea"))
    if not headers:
        raise ValueError(f"folder must hold Chapman-Shaoxing's records (JS*.hea); found none in {folder}")
    for header in headers:
        text = header.read_text(encoding="utf-8", errors="replace")
        first = text.split("\n", 1)[0].split()
        if first[1:2] != [str(len(LEADS))] or not header.with_suffix(".mat").is_file():
            log.warning("chapman: %s is damaged or has no .mat file next to it: skipped", header)
            continue
        codes = ",".join(_DIAGNOSES.findall(text)).split(",")
        labels = tuple(code.strip() for code in codes if code.strip())
        yield DatasetRecord(DATASET, header.stem, header.with_suffix(""), header.stem, labels)
