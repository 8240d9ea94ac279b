"""Of what a result was made: the reader's options, code and weights.

In: files of this installation. Out: hashes by which a result is known again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import ecg_hough
from ecg_hough.output.ecg import Ecg

CODE_FOLDER = Path(__file__).parents[1]
WEIGHTS_FOLDER = CODE_FOLDER / "networks" / "weights"
OTHER_ROOMS = (
    "web", "batch", "service", "review", "render", "datasets", "scores", "support", "training", "cli",
)  # fmt: skip
"""Rooms of the package whose code changes neither what is read from a page nor what is written for it."""


class PageReader(Protocol):
    """What reads one page: the package's own `Digitizer`, or another system's method.

    With several processes it is sent to each of them, so it must be picklable: a frozen dataclass at the top
    of a module is.
    """

    def __call__(self, path: Path) -> Ecg:
        """Read the page; `PageError` where it cannot be read."""

    def options(self) -> dict[str, Any]:
        """What it takes as known of the pages, and how it reads them; ready for JSON."""

    def sources(self, path: Path) -> Sequence[Path]:
        """Files that decide the record besides the page and this package: own code, masks of the page."""


def versions() -> dict[str, str]:
    """The package, and hashes of the code that reads and writes a page and of the weights.

    The version alone stays the same while the code is worked on, and a benchmark must not score the files of
    older code. Code that only renders, trains, scores or prints changes no page.
    """
    weights = sorted(path for path in WEIGHTS_FOLDER.glob("*") if path.is_file())
    return {
        "ecg_hough": ecg_hough.__version__,
        "code": digest_of(page_code(CODE_FOLDER), CODE_FOLDER),
        "weights": digest_of(weights, WEIGHTS_FOLDER),
    }


def page_code(folder: Path) -> list[Path]:
    """Modules of the package in `folder` that read and write a page: all but `OTHER_ROOMS`."""
    modules = (path.relative_to(folder) for path in folder.rglob("*.py"))
    return sorted(folder / one for one in modules if one.parts[0] not in (*OTHER_ROOMS, "__init__.py"))


def digest_of(paths: Iterable[Path], folder: Path) -> str:
    """First digits of the sha256 of files' names, relative to `folder`, and contents."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def weights() -> dict[str, str]:
    """The sha256 of every file of weights, by its name."""
    files = sorted(path for path in WEIGHTS_FOLDER.glob("*") if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
