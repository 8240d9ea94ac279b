"""The layout of the PhysioNet Challenge 2024: headers that name images enter, pages leave.

From the Challenge's public example code (physionetchallenges/python-example-2024): a WFDB header a record,
with `# Image: a.png, b.png` (images in the header's folder) and `# Labels: NORM, STTC`; age and sex in
`# Age:`, `# Sex:`. Hidden records have headers without checksums and no signal file. Lines of an earlier
phase, `#Image:` and `#Dx:`, are read too. Records have all samples unless the kit was set to mask them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ecg_hough.datasets import DatasetPage, Reference, load_wfdb, log
from ecg_hough.datasets.kit_pages import read_kit_truth

DATASET = "challenge2024"
LABELS = (
    "NORM", "Acute MI", "Old MI", "STTC", "CD", "HYP", "PAC", "PVC", "AFIB/AFL", "TACHY", "BRADY",
)  # fmt: skip
"""The classes of the classification task."""
_LABEL_NAMES = ("Labels", "Dx")


def read_pages(folder: Path) -> Iterator[DatasetPage]:
    """A page for every image that a header below `folder` names; missing images are skipped with a warning.

    Raises:
        ValueError: no header there names an image.
    """
    from ecg_hough.datasets.ptbxl_table import patient_groups

    folder = Path(folder)
    patients = patient_groups(folder)
    named = 0
    for header in sorted(folder.rglob("*.hea")):
        text = header.read_text(encoding="utf-8", errors="replace")
        images = header_values(text, "Image")
        named += len(images)
        for name in images:
            image = header.with_name(name)
            if not image.is_file():
                log.warning("%s: %s names %s, which is not there: skipped", DATASET, header, name)
                continue
            stem = header.with_suffix("")
            yield DatasetPage(
                DATASET,
                "_".join(image.relative_to(folder).with_suffix("").parts),
                image,
                "",
                stem.name,
                patients.get(stem.name, stem.name),
                partial(_load_reference, stem, image) if _has_signals(header, text) else None,
                labels=tuple(header_values(text, *_LABEL_NAMES)),
            )
    if not named:
        raise ValueError(
            f"folder must hold headers that name images (# Image: a.png); found none in {folder}"
        )


def header_values(text: str, *names: str) -> list[str]:
    """Values of the comments `# Name: a, b` of a header, of all names together; without empty values."""
    pattern = re.compile(rf"^#\s*(?:{'|'.join(map(re.escape, names))}):(.*)$", re.MULTILINE)
    values = [value.strip() for line in pattern.findall(text) for value in line.split(",")]
    return [value for value in values if value]


def _has_signals(header: Path, text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    files = {line.split()[0] for line in lines[1:]}
    return bool(files) and all(header.with_name(name).is_file() for name in files)


def _load_reference(stem: Path, image: Path) -> Reference:
    """The record; only what is printed, where the kit's sidecar states that."""
    sidecar = image.with_suffix(".json")
    if sidecar.is_file():
        signals, fs = read_kit_truth(sidecar)
        return Reference(signals, fs)
    return load_wfdb(stem)
