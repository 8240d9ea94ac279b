"""Other systems' methods, selectable as ours is. In: a page and, for some, a lead label map. Out: an `Ecg`.

`METHODS` is the one list that the command line, the comparison, the tests and docs/methods.md read. Each
module states what was taken from where and where it departs. Modules are imported when a method is run.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ecg_hough.batch.lineage import PageReader
from ecg_hough.batch.reader import Digitizer
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import FS_HZ, GAIN_MM_MV, PAPER_SPEED_MM_S
from ecg_lab.methods.common import Options

OURS = "ours"
"""The package's own pipeline."""
FOLDER = Path(__file__).parent

Run = Callable[[NDArray[np.uint8], NDArray[np.uint8] | None, Options], Ecg]
"""(page (rows, cols, 3), label map (rows, cols) or None, options) -> record; PageError where it cannot."""


@dataclass(frozen=True)
class Method:
    """One system.

    Attributes:
        name: on the command line.
        summary: one line.
        source: who published it.
        reads: "masks" (a label map, or our leads network's where none is given) or "page".
        module, function: where its `Run` is.
    """

    name: str
    summary: str
    source: str
    reads: Literal["masks", "page"]
    module: str
    function: str = "run"

    @property
    def run(self) -> Run:
        """The method itself; its module is imported here."""
        found: Run = getattr(import_module(f"ecg_lab.methods.{self.module}"), self.function)
        return found


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(OURS, "trace network on strips in page millimetres", "this package", "page", "ours"),
        Method(
            "centroid", "our pipeline, read out by column centroids", "Krones et al. 2024, read-out only",
            "masks", "centroid",
        ),
        Method(
            "krones2024", "Hough rotation, mask boxes, scale by mask width, fixed zero lines",
            "Krones et al. 2024, arXiv:2410.14185", "masks", "krones2024",
        ),
        Method(
            "overlap-unet", "one lead's mask, path through it, adaptive grid",
            "Karbasi et al. 2025, arXiv:2506.10617", "masks", "overlap_unet",
        ),
        Method(
            "ecgminer", "rows as regions, dynamic programming over ink runs, pulse scale",
            "Santamonica et al. 2024, Comput Methods Programs Biomed", "page", "ecgminer",
        ),
        Method(
            "ecgtizer-lazy", "tracks by row variance, nearest ink row", "ECGtizer, UMMISCO", "page",
            "ecgtizer", "run_lazy",
        ),
        Method(
            "ecgtizer-full", "tracks by row variance, mean ink row", "ECGtizer, UMMISCO", "page",
            "ecgtizer", "run_full",
        ),
        Method(
            "ecgtizer-fragmented", "tracks by row variance, fragments followed", "ECGtizer, UMMISCO", "page",
            "ecgtizer", "run_fragmented",
        ),
        Method(
            "paper-ecg", "adaptive Otsu, Viterbi over ink middles, grid by autocorrelation",
            "Fortune et al. 2022, Comput Methods Programs Biomed", "page", "paper_ecg",
        ),
        Method(
            "vindigitizer", "rows, Otsu, least-cost path, grid by Hough lines",
            "Nguyen et al. 2024, Comput Cardiol", "page", "vindigitizer",
        ),
        Method(
            "ambrosm", "name templates, sweep from the top of each column", "ambrosm, Kaggle 2025", "page",
            "ambrosm",
        ),
    )
}  # fmt: skip


def find_method(name: str) -> Method:
    """The method of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {name!r}")
    return METHODS[name]


def run_method(
    page: str | Path | NDArray[np.uint8],
    name: str,
    *,
    masks: Path | None = None,
    options: Options | None = None,
) -> Ecg:
    """Digitise one page with a method, timed from file to record.

    Args:
        page: path of an image, or an array.
        masks: folder of label maps with the pages' stems, for methods that read masks.
        options: what is known of the page.

    Raises:
        PageError: the page cannot be digitised, or a label map is missing or wrong.
        ValueError: no such method, or masks for one that reads none.
    """
    from ecg_hough.errors import PageError
    from ecg_hough.image.reading import read_page

    method = find_method(name)
    start = time.perf_counter()
    source = read_page(page)
    labels = None
    if masks is not None:
        if method.reads != "masks":
            raise ValueError(f"masks are read by {', '.join(mask_methods())}; {name} reads the page alone")
        from ecg_lab.methods.masks import find_label_file, read_labels

        stem = Path(source.name).stem
        path = find_label_file(Path(masks), stem)
        if path is None:
            raise PageError(
                "segmentation", f"a label map {stem}.labels.png must be in {masks}; there is none"
            )
        labels = read_labels(path)
    ecg = method.run(source.image, labels, options or Options())
    return replace(
        ecg,
        source=source.name,
        warnings=(*source.warnings, *ecg.warnings),
        seconds={"total": round(time.perf_counter() - start, 4)},
    )


def reader_of(
    name: str,
    *,
    masks: Path | None = None,
    fs: int = FS_HZ,
    speed_mm_s: float | None = None,
    gain_mm_mv: float | None = None,
) -> PageReader:
    """What `predict.predict_pages` reads pages with for the method of that name.

    Args:
        masks: folder of label maps with the pages' stems; None takes our leads network's masks.
        fs: sampling frequency of the records, Hz.
        speed_mm_s, gain_mm_mv: of the paper; None reads them (ours) or takes the standard (others).

    Raises:
        ValueError: no such method, masks that it does not read or that are no folder, or a bad number.
    """
    method = find_method(name)
    known = Digitizer(fs=fs, speed_mm_s=speed_mm_s, gain_mm_mv=gain_mm_mv)
    if masks is not None and method.reads != "masks":
        raise ValueError(f"masks are read by {', '.join(mask_methods())}; got method {name!r}")
    if masks is not None and not Path(masks).is_dir():
        raise ValueError(f"masks must be a folder; got {masks}")
    if name == OURS:
        return known
    return MethodReader(name, masks, fs, speed_mm_s or PAPER_SPEED_MM_S, gain_mm_mv or GAIN_MM_MV)


@dataclass(frozen=True)
class MethodReader:
    """Reads one page after another with a method; see `reader_of`."""

    method: str
    masks: Path | None
    fs: int
    speed_mm_s: float
    gain_mm_mv: float

    def __call__(self, path: Path) -> Ecg:
        known = Options(fs=self.fs, speed_mm_s=self.speed_mm_s, gain_mm_mv=self.gain_mm_mv)
        return run_method(path, self.method, masks=self.masks, options=known)

    def options(self) -> dict[str, Any]:
        masks = None if self.masks is None else str(self.masks)
        return {
            "method": self.method,
            "masks": masks,
            "fs": self.fs,
            "speed_mm_s": self.speed_mm_s,
            "gain_mm_mv": self.gain_mm_mv,
        }

    def sources(self, path: Path) -> Sequence[Path]:
        """The method's modules, and the page's label map where one is read."""
        files = sorted(method_files(find_method(self.method).module))
        if self.masks is not None:
            from ecg_lab.methods.masks import find_label_file

            labels = find_label_file(self.masks, path.stem)
            files += [] if labels is None else [labels]
        return files


def method_files(module: str) -> set[Path]:
    """Files of a method: its module, and the modules of this folder that it imports."""
    path = FOLDER / f"{module}.py"
    imported = re.findall(r"^from ecg_lab\.methods\.(\w+) import", path.read_text(encoding="utf-8"), re.M)
    return {path}.union(*map(method_files, imported))


def mask_methods() -> list[str]:
    """Names of the methods that read masks."""
    return [method.name for method in METHODS.values() if method.reads == "masks"]
