"""Which page is looked at next: the riskiest first.

In: pages and where they stand. Out: rows of the queue, filtered and in order, and how far the review is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ecg_hough.review.library import PageEntry
from ecg_hough.review.store import DECISIONS, Standing

STATUSES = ("check", "ok", "failed")
"""Of records; "failed": the page has none."""
NO_WARNING = "none"
"""Filter for pages without a warning."""


@dataclass(frozen=True)
class QueueRow:
    """A page in the queue: its number in the store, what it is, and where it stands."""

    page_id: int
    entry: PageEntry
    standing: Standing

    @property
    def risk(self) -> float:
        """Probability that something is wrong: 1 for a page without a record, or of unknown probability."""
        known = self.entry.error is None and math.isfinite(self.entry.probability)
        return 1.0 - self.entry.probability if known else 1.0

    @property
    def status(self) -> str:
        """One of `STATUSES`."""
        return "failed" if self.entry.error is not None else self.entry.page_status


@dataclass(frozen=True)
class Filters:
    """What is shown; "" is everything.

    Attributes:
        decision: of `store.DECISIONS`; status: of `STATUSES`.
        warning: a topic, see `PageEntry.topics`, or `NO_WARNING`; layout: its name.
    """

    decision: str = ""
    status: str = ""
    warning: str = ""
    layout: str = ""

    def show(self, row: QueueRow) -> bool:
        """Whether a row is shown."""
        topics = row.entry.topics or (NO_WARNING,)
        return (
            self.decision in ("", row.standing.decision.decision)
            and self.status in ("", row.status)
            and (not self.warning or self.warning in topics)
            and self.layout in ("", row.entry.layout)
        )


def queue(
    entries: Mapping[int, PageEntry], standings: Mapping[int, Standing], filters: Filters | None = None
) -> list[QueueRow]:
    """Rows that are shown, the riskiest first; of equal risk by name."""
    filters = filters or Filters()
    rows = [QueueRow(number, entry, standings[number]) for number, entry in entries.items()]
    return sorted(filter(filters.show, rows), key=lambda row: (-row.risk, row.entry.stem))


def progress(standings: Mapping[int, Standing]) -> dict[str, int]:
    """Number of pages by decision, and `corrected`: pages that have corrections."""
    counts = Counter(one.decision.decision for one in standings.values())
    by_decision = {name: counts[name] for name in DECISIONS}
    return by_decision | {"corrected": sum(one.version > 0 for one in standings.values())}


def choices(entries: Mapping[int, PageEntry]) -> dict[str, list[str]]:
    """Values that the filters may have, by the filter's name."""
    topics = {topic for entry in entries.values() for topic in entry.topics}
    return {
        "decision": list(DECISIONS),
        "status": list(STATUSES),
        "warning": [*sorted(topics), NO_WARNING],
        "layout": sorted({entry.layout for entry in entries.values()}),
    }
