"""The folder that `ecg-hough predict` wrote: its pages, their records, and the files they were read from.

In: the output folder, and folders where the pages are. Out: `PageEntry`s. A record names its page without its
place, as that may hold a patient's name; the file is known by its sha256.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ecg_hough.batch.pages import REPORT_NAME
from ecg_hough.errors import PageError
from ecg_hough.output.ecg import Ecg
from ecg_hough.output.files import sum_of
from ecg_hough.output.samples import PROGRAM
from ecg_hough.output.saved import read_record


@dataclass(frozen=True)
class PageEntry:
    """One record of the folder, or a page that has none because it could not be read.

    Attributes:
        stem: of the record's files, relative to the folder, with / between.
        source: name of the page's file; numbers: its pages, 1 the first.
        sha256: of the file; "" where it is not known.
        request: options that the page was read with.
        layout, probability, page_status, warnings: of the record; NaN where not estimated.
        device: name of the cart in its header; "" where none was read.
        error: why there is no record; None where there is one.
    """

    stem: str
    source: str
    sha256: str
    numbers: tuple[int, ...] = (1,)
    request: dict[str, Any] = field(default_factory=dict)
    layout: str = "unknown"
    probability: float = math.nan
    page_status: str = "check"
    warnings: tuple[str, ...] = ()
    error: str | None = None
    device: str = ""

    @property
    def topics(self) -> tuple[str, ...]:
        """What its warnings are about: their words before the colon, each once."""
        return tuple(dict.fromkeys(one.partition(":")[0] for one in self.warnings))


class Pages(Protocol):
    """Pages that are reviewed, with their records and files.

    Attributes:
        out: folder of the machine's records.
    """

    out: Path

    @property
    def entries(self) -> tuple[PageEntry, ...]:
        """All of them, as they are now."""

    def record(self, entry: PageEntry) -> Ecg | None:
        """See `Library.record`."""

    def file_of(self, entry: PageEntry) -> Path:
        """See `Library.file_of`."""


class Library:
    """The pages of an output folder.

    Args:
        out: the folder; pages: folders and files where the pages are, besides the places in the folder's
            report.
    Raises:
        ValueError: there is no such folder, or nothing in it.
    """

    def __init__(self, out: Path, pages: Sequence[Path] = ()) -> None:
        if not out.is_dir():
            raise ValueError(f"a folder that `{PROGRAM} predict` wrote is needed; got {out}")
        self.out = out
        self._report = load_json(out / REPORT_NAME) or {}
        self._places = list(pages)
        self._known = tuple(self._entries())
        if not self._known:
            raise ValueError(f"{out} holds no record of {PROGRAM}; write some with `{PROGRAM} predict`")

    @property
    def entries(self) -> tuple[PageEntry, ...]:
        """All pages of the folder, as it was when it was opened."""
        return self._known

    def record(self, entry: PageEntry) -> Ecg | None:
        """The record as it was written; None of a page without one.

        Raises:
            ValueError: it cannot be read.
        """
        return None if entry.error is not None else read_record(self.out / f"{entry.stem}.json")

    def file_of(self, entry: PageEntry) -> Path:
        """The file that a record was read from.

        Raises:
            PageError: stage "page": it is not found, or has changed.
        """
        seen = False
        for path in self._candidates(entry):
            if path.is_file():
                seen = True
                if not entry.sha256 or sum_of(path) == entry.sha256:
                    return path
        why = "has changed since it was read" if seen else "is not where it was read"
        raise PageError("page", f"{entry.source} {why}; name the folder that holds it with --pages")

    def _candidates(self, entry: PageEntry) -> Iterator[Path]:
        """Where the file of a record may be, the likeliest place first."""
        reported = [one for one in self._report.get("pages", ()) if one.get("stem") == entry.stem]
        for one in reported:
            yield Path(one["path"])
        for place in (*self._places, *map(Path, self._report.get("inputs", ()))):
            if place.is_dir():
                yield from sorted(place.rglob(entry.source))
            else:
                yield place

    def _entries(self) -> Iterator[PageEntry]:
        known = set()
        for path in sorted(self.out.rglob("*.json")):
            place = path.relative_to(self.out)
            if any(part.startswith(".") for part in place.parts):
                continue
            entry = load_json(path)
            if entry is None or entry.get("program") != PROGRAM or "lead_status" not in entry:
                continue
            stem = place.with_suffix("").as_posix()
            known.add(stem)
            yield entry_of(stem, entry)
        for one in self._report.get("pages", ()):
            if one.get("status") == "failed" and one.get("stem") and one["stem"] not in known:
                path = Path(one["path"])
                digest = sum_of(path) if path.is_file() else ""
                message = f"{one.get('stage')}: {one.get('message')}"
                numbers = tuple(one.get("pages", (1,)))
                request = self._report.get("options", {})
                yield PageEntry(one["stem"], path.name, digest, numbers, request, error=message)


def entry_of(stem: str, entry: dict[str, Any]) -> PageEntry:
    """The entry of a record by its JSON."""
    request, probability = entry.get("request", {}), entry.get("probability")
    return PageEntry(
        stem=stem,
        source=str(entry["source"]),
        sha256=str(request.get("sha256", "")),
        numbers=tuple(entry.get("pages", (1,))),
        request=request.get("options", {}),
        layout=str(entry.get("layout", "unknown")),
        probability=math.nan if probability is None else float(probability),
        page_status=str(entry.get("page_status", "check")),
        warnings=tuple(entry.get("warnings", ())),
        device=str((entry.get("header") or {}).get("device") or ""),
    )


def load_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none that can be read."""
    try:
        entry = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return entry if isinstance(entry, dict) else None
