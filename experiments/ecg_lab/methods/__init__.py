"""Other systems' methods, selectable as ours is. In: a page and, for some, a lead label map. Out: an `Ecg`.

`METHODS` is the one list that the command line, the comparison, the tests and docs/methods.md read. Each
module states what was taken from where and where it departs. Modules are imported when a method is run.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ecg_hough.batch.lineage import PageReader, digest_of
from ecg_hough.batch.reader import SHIPPED_READER, Digitizer
from ecg_hough.networks.runtime import use_weights
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import GAIN_MM_MV, PAPER_SPEED_MM_S, given_layout
from ecg_lab.methods.common import Options

if TYPE_CHECKING:
    from ecg_lab.networks.nnunet_folder import NnunetFolder

OURS = "ours"
"""The package's own pipeline."""
FOLDER = Path(__file__).parent
LAB_WEIGHTS = FOLDER.parent / "weights"
"""Weights of other systems' networks, trained here, each with its card."""

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
        labels: what a perfect network would give it: "strokes" as wide as the pen, or "points" as the 2024
            winner labelled his pages.
        module, function: where its `Run` is.
    """

    name: str
    summary: str
    source: str
    reads: Literal["masks", "page"]
    module: str
    function: str = "run"
    labels: Literal["strokes", "points"] = "strokes"

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
            "Krones et al. 2024, arXiv:2410.14185", "masks", "krones2024", labels="points",
        ),
        Method(
            "overlap-unet", "U-Net's mask of one lead, path through it, adaptive grid",
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
            "ecgtizer-fragmented", "tracks by row variance, lowest fragment", "ECGtizer, UMMISCO", "page",
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
            "image-kit", "darkest pixel of each column, five filters, median", "ECG-Image-Kit, Sameni 2023",
            "page", "image_kit",
        ),
        Method(
            "taylorsamarel-v2", "whole page in, twelve waveforms out of a CNN", "taylorsamarel, Kaggle 2025",
            "page", "taylorsamarel",
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
    network: Path | None = None,
    fast: bool = False,
    depart: Sequence[str] = (),
    **known: Any,
) -> PageReader:
    """What `predict.predict_pages` reads pages with for the method of that name.

    Args:
        masks: folder of label maps with the pages' stems; network: nnU-Net results folder that draws them,
            in one pass a tile if `fast`; where both are None our leads network draws them.
        depart: names of `krones2024.DEPARTURES`.
        known: arguments of `reader.Digitizer`; where speed, gain or layout is None, ours reads it and others
            take 25 mm/s, 10 mm/mV and 3x4+1.

    Raises:
        ValueError: no such method, masks or a network for one that reads none, no such folder, departures
            that it has not, or a bad argument.
    """
    method = find_method(name)
    reader = Digitizer(**known)
    for given, what in ((masks, "masks"), (network, "a network that draws them")):
        if given is not None and method.reads != "masks":
            raise ValueError(f"{what} are read by {', '.join(mask_methods())}; got method {name!r}")
    if masks is not None and network is not None:
        raise ValueError("masks come from a folder or from a network; got both")
    if masks is not None and not Path(masks).is_dir():
        raise ValueError(f"masks must be a folder; got {masks}")
    if fast and network is None:
        raise ValueError("fast is a way to run a network; got none")
    if network is not None:
        _network(network, fast)
    _check_departures(name, depart)
    if name == OURS:
        return reader
    return MethodReader(name, masks, network, fast, tuple(sorted(set(depart))), reader)


def _check_departures(name: str, depart: Sequence[str]) -> None:
    from ecg_lab.methods.krones2024 import DEPARTURES

    unknown = sorted(set(depart) - set(DEPARTURES))
    if unknown or (depart and name != "krones2024"):
        raise ValueError(
            f"depart must be names among {', '.join(DEPARTURES)}, for krones2024; got {', '.join(depart)} "
            f"for {name}"
        )


@lru_cache(maxsize=2)
def _network(path: Path, fast: bool) -> NnunetFolder:
    from ecg_lab.networks.nnunet_folder import NnunetFolder

    return NnunetFolder(Path(path), fast=fast)


@lru_cache(maxsize=2)
def _network_version(path: Path) -> str:
    """Name of a results folder and the first digits of the sha256 of all that decides its answers."""
    folder = _network(path, False)
    return f"{folder.root.name}-{digest_of(folder.files(), folder.root)[:8]}"


@dataclass(frozen=True)
class MethodReader:
    """Reads one page after another with a method; see `reader_of`."""

    method: str
    masks: Path | None = None
    network: Path | None = None
    fast: bool = False
    depart: tuple[str, ...] = ()
    known: Digitizer = SHIPPED_READER

    def __call__(self, path: Path) -> Ecg:
        use_weights(self.known.weights)
        known = Options(
            fs=self.known.fs,
            speed_mm_s=self.known.speed_mm_s or PAPER_SPEED_MM_S,
            gain_mm_mv=self.known.gain_mm_mv or GAIN_MM_MV,
            network=None if self.network is None else _network(self.network, self.fast),
            depart=frozenset(self.depart),
        )
        given = given_layout(self.known.layout, self.known.leads)
        if given is not None:
            known = replace(known, layout=given.layout.with_strips(given.rhythm or ("II",) * given.n_strips))
        ecg = run_method(path, self.method, masks=self.masks, options=known)
        if self.network is None:
            return ecg
        return replace(ecg, versions=ecg.versions | {"network": _network_version(self.network)})

    def options(self) -> dict[str, Any]:
        options = {
            **self.known.options(),
            "method": self.method,
            "masks": None if self.masks is None else str(self.masks),
            "speed_mm_s": self.known.speed_mm_s or PAPER_SPEED_MM_S,
            "gain_mm_mv": self.known.gain_mm_mv or GAIN_MM_MV,
            "depart": list(self.depart),
        }
        if self.network is not None:
            options |= {"network": _network_version(self.network), "fast": self.fast}
        return options

    def sources(self, path: Path) -> Sequence[Path]:
        """The method's modules, its networks' cards, and the page's label map where one is read."""
        files = sorted(method_files(find_method(self.method).module))
        card = LAB_WEIGHTS / f"{self.method}.json"
        files += [card] if card.is_file() else []
        files += [] if self.known.weights is None else self.known.sources(path)
        if self.masks is not None:
            from ecg_lab.methods.masks import find_label_file

            labels = find_label_file(self.masks, path.stem)
            files += [] if labels is None else [labels]
        return files


def method_files(module: str) -> set[Path]:
    """Files of a method: its module, and the laboratory's modules that it imports."""
    path = FOLDER / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    imported = re.findall(r"^from ecg_lab\.methods\.(\w+) import", text, re.M)
    networks = re.findall(r"^from ecg_lab\.networks\.(\w+) import", text, re.M)
    own = {path, *(FOLDER.parent / "networks" / f"{name}.py" for name in networks)}
    return own.union(*map(method_files, imported))


def mask_methods() -> list[str]:
    """Names of the methods that read masks."""
    return [method.name for method in METHODS.values() if method.reads == "masks"]
