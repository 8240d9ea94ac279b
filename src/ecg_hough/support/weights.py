"""The shipped weights as files: names, versions, and whether each is the file that its card describes.

In: the folder of weights. Out: one `WeightsFile` each. Nothing is loaded, so that this is instant.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "networks" / "weights"
DIGITS = 8
"""Of a sha256, in the versions of weights."""


@dataclass(frozen=True)
class WeightsFile:
    """A network with its card, or weights that are wholly in one file.

    Attributes:
        name: of the weights; path: the file that holds them.
        sha256: that its card states; None where the weights have no card of their own.
    """

    name: str
    path: Path
    sha256: str | None

    @property
    def version(self) -> str:
        """As in the records of pages: the name and the first digits of the stated sha256."""
        return f"{self.name}-{(self.sha256 or self.found())[:DIGITS]}"

    def found(self) -> str:
        """The sha256 of the file, "" where it is missing."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest() if self.path.is_file() else ""

    def problem(self) -> str | None:
        """What is wrong with the file, None if nothing."""
        found = self.found()
        if not found:
            return f"{self.path.name} is missing: reinstall"
        if self.sha256 not in (None, found):
            return f"{self.path.name} is not the file of its card: reinstall, or export it again"
        return None


def shipped(folder: Path = FOLDER) -> tuple[WeightsFile, ...]:
    """The weights in a folder by name: networks first, then what is fitted."""
    networks, fitted = [], []
    for card_path in sorted(folder.glob("*.json")):
        card = json.loads(card_path.read_bytes())
        if "sha256" in card:
            path = card_path.with_suffix(".onnx")
            networks.append(WeightsFile(card_path.stem, path, card["sha256"]))
        else:
            fitted.append(WeightsFile(card_path.stem, card_path, None))
    return (*networks, *fitted)
