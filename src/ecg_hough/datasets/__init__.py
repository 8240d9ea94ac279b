"""The field's data sets: a folder enters, pages or records of one type leave.

One module a data set. Pages (`DatasetPage`) are images whose signals are known or wanted; records
(`DatasetRecord`) are signals without an image, for the renderer. Nothing is loaded before it is needed.
Each module states which parts of its format are from a source, and what could not be checked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_hough.paper import LEADS, RECORD_S, Layout, make_layout

PAGE_SETS: dict[str, str] = {
    "challenge2024": "ecg_hough.datasets.challenge2024",
    "ecg-image-database": "ecg_hough.datasets.ecg_image_database",
    "ecg-image-kit": "ecg_hough.datasets.ecg_image_kit",
    "kaggle": "ecg_hough.datasets.kaggle",
    "ludb": "ecg_hough.datasets.ludb",
    "ptb-image": "ecg_hough.datasets.ptb_image",
}
"""Data sets of pages; each module has `read_pages(folder)`."""
RECORD_SETS: dict[str, str] = {
    "chapman": "ecg_hough.datasets.chapman",
    "ludb": "ecg_hough.datasets.ludb",
    "ptbxl": "ecg_hough.datasets.ptbxl",
}
"""Data sets of signals; each module has `read_records(folder)`."""
STANDARD_PAGE = make_layout("3x4", rhythm=("II",))
"""The page of ECG-Image-Kit, and of all data sets that were printed with it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Reference:
    """The true signals of a page or record.

    Attributes:
        signals: (12, N) mV in the order of `paper.LEADS`, NaN where not printed or not recorded.
        fs: sampling frequency in Hz.
    """

    signals: NDArray[np.float64]
    fs: float

    def __post_init__(self) -> None:
        if self.signals.ndim != 2 or self.signals.shape[0] != len(LEADS):
            raise ValueError(f"signals must be (12, N); got {self.signals.shape}")
        if not self.fs > 0:
            raise ValueError(f"fs must be positive; got {self.fs}")


@dataclass(frozen=True)
class DatasetPage:
    """An image of an ECG, and where its truth is.

    Attributes:
        dataset: name, a key of `PAGE_SETS`.
        page_id: unique in the data set.
        image_path: the image.
        profile: kind of page ("clean", "phone photo"), for tables.
        record_id: the recording; several pages may show one.
        patient_id: the person where known, else the recording.
        load_reference: loads the true signals; None where they are not given.
        layout: name as `paper.Layout.name` where all pages of the data set have it; never needed to digitise.
        labels: diagnostic statements that come with the page.
    """

    dataset: str
    page_id: str
    image_path: Path
    profile: str
    record_id: str
    patient_id: str
    load_reference: Callable[[], Reference] | None = None
    layout: str | None = None
    labels: tuple[str, ...] = ()

    def reference(self) -> Reference:
        """The true signals.

        Raises:
            ValueError: the data set gives none for this page, or they are broken.
        """
        if self.load_reference is None:
            raise ValueError(
                f"a page must have true signals here; {self.dataset} gives none for {self.page_id}"
            )
        return self.load_reference()


@dataclass(frozen=True)
class DatasetRecord:
    """A recording without an image.

    Attributes:
        dataset: name, a key of `RECORD_SETS`.
        record_id: unique in the data set.
        path: the WFDB record, without suffix; `training.cases` makes pages of it.
        patient_id: the person where known, else the recording.
        labels: diagnostic statements, in the data set's own codes.
    """

    dataset: str
    record_id: str
    path: Path
    patient_id: str
    labels: tuple[str, ...] = ()

    def reference(self) -> Reference:
        """The recorded signals. Raises ValueError where the files are broken."""
        return load_wfdb(self.path)


def read_pages(name: str, folder: Path) -> Iterator[DatasetPage]:
    """Pages of the data set `name` below `folder`, in the order of their names.

    Raises:
        ValueError: an unknown name, or a folder that does not hold the data set.
    """
    if name not in PAGE_SETS:
        raise ValueError(f"data set must be one of {', '.join(PAGE_SETS)}; got {name!r}")
    pages: Iterator[DatasetPage] = import_module(PAGE_SETS[name]).read_pages(existing_folder(folder))
    return pages


def read_records(name: str, folder: Path) -> Iterator[DatasetRecord]:
    """Records of the data set `name` below `folder`, in the order of their names.

    Raises:
        ValueError: an unknown name, or a folder that does not hold the data set.
    """
    if name not in RECORD_SETS:
        raise ValueError(f"data set must be one of {', '.join(RECORD_SETS)}; got {name!r}")
    records: Iterator[DatasetRecord] = import_module(RECORD_SETS[name]).read_records(existing_folder(folder))
    return records


def existing_folder(folder: Path) -> Path:
    """The folder. Raises ValueError where there is none."""
    if not Path(folder).is_dir():
        raise ValueError(f"folder must hold a data set; there is no folder {folder}")
    return Path(folder)


def load_wfdb(stem: Path, printed: Layout | None = None) -> Reference:
    """Signals of a WFDB record; with a layout only what a page of it shows.

    Raises:
        ValueError: the record cannot be read, is not in mV, or lacks one of the 12 leads.
    """
    from ecg_hough.output.read_back import read_leads

    try:
        leads, fs = read_leads(stem)
    # wfdb answers a damaged header or signal file with any of these.
    except (OSError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"record must be readable WFDB; {stem}: {error!r}") from error
    if missing := [lead for lead in LEADS if lead not in leads]:
        raise ValueError(f"record must hold the 12 leads; {stem} lacks {', '.join(missing)}")
    signals = np.stack([leads[lead] for lead in LEADS])
    return Reference(signals if printed is None else printed_part(signals, fs, printed), fs)


def wfdb_loader(stem: Path, printed: Layout | None = None) -> Callable[[], Reference]:
    """`load_wfdb` for later; it can go to another process."""
    return partial(load_wfdb, stem, printed)


def printed_part(signals: NDArray[np.float64], fs: float, layout: Layout) -> NDArray[np.float64]:
    """The part of a full record that a page of successive columns over 10 s shows, NaN elsewhere.

    A lead that is already cut short (NaN in a quarter of its 10 s or more) stays as it is.
    """
    shown = np.full(signals.shape, np.nan)
    n = min(round(RECORD_S * fs), signals.shape[1])
    edges = [round(k * RECORD_S * fs / layout.n_columns) for k in range(layout.n_columns + 1)]
    for row in layout.rows:
        for column, lead in enumerate(row):
            part = slice(edges[column], min(edges[column + 1], n))
            shown[LEADS.index(lead), part] = signals[LEADS.index(lead), part]
    for lead in layout.rhythm:
        shown[LEADS.index(lead), :n] = signals[LEADS.index(lead), :n]
    cut = np.isnan(signals[:, :n]).mean(axis=1) >= 0.25
    shown[cut] = signals[cut]
    return shown


def index_records(folder: Path) -> dict[str, Path]:
    """Name -> WFDB record (path without suffix) of all headers below `folder`.

    The first in the order of paths where a name occurs twice.
    """
    found: dict[str, Path] = {}
    for path in sorted(Path(folder).rglob("*.hea")):
        found.setdefault(path.stem, path.with_suffix(""))
    return found
