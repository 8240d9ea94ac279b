"""Which pages are worth correcting next, so that much is learnt from them.

In: rows of the queue. Out: `Suggestion`s, the page of greatest expected gain first. A correction is worth
most where the machine is probably wrong, and where many others of the pages that it is probably wrong on look
like it: have its layout, its cart, its warnings. Each further page of a kind is worth less than the one
before, so that not all are of one kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ecg_hough.review.queue import QueueRow

LEARNT = 0.25
"""Share of what is wrong with pages of a kind that one corrected page of it puts right, as is assumed."""
OTHER_LAYOUT, OTHER_DEVICE = 0.3, 0.5
"""How much of that a page of another layout, and one of another cart, is given."""
REFUSED_STAGE, REFUSED = "layout", 0.5
"""Stage of pages that were read and then refused, which can be corrected as those are that have a record, and
the share of them that are ECGs, as is assumed."""
ALIKE_MIN = 0.5
"""Likeness from which a page is said to look like another."""


@dataclass(frozen=True)
class Kind:
    """What makes pages look alike: layout, cart, what the warnings are about, whether they were refused."""

    layout: str
    device: str
    topics: frozenset[str]
    refused: bool

    @classmethod
    def of(cls, row: QueueRow) -> Kind:
        entry = row.entry
        return cls(entry.layout, entry.device, frozenset(entry.topics), entry.error is not None)

    def likeness(self, other: Kind) -> float:
        """0 to 1: how much of one is learnt from the other."""
        every = self.topics | other.topics
        topics = len(self.topics & other.topics) / len(every) if every else 1.0
        by_layout = 1.0 if self.layout == other.layout else OTHER_LAYOUT
        by_device = 1.0 if self.device == other.device else OTHER_DEVICE
        return by_layout * by_device * (0.5 + 0.5 * topics)


@dataclass(frozen=True)
class Suggestion:
    """A page that is worth correcting.

    Attributes:
        page_id, stem: which; risk: probability that something is wrong with it.
        alike: undecided pages that look like it, itself among them.
        gain: pages, of all that are undecided, that are expected to become right when it is learnt.
    """

    page_id: int
    stem: str
    risk: float
    alike: int
    gain: float


def suggest(rows: Iterable[QueueRow], n: int = 20) -> list[Suggestion]:
    """The n pages to correct next, of those that nobody has decided on or corrected.

    What was corrected already, and not rejected, counts as learnt. Pages that could not be read are left out,
    as they can hardly be corrected; those that were read and refused are not.

    Raises:
        ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1; got {n}")
    readable = [row for row in rows if _is_readable(row)]
    undecided = [row for row in readable if _is_open(row)]
    if not undecided:
        return []
    kinds = list(dict.fromkeys(Kind.of(row) for row in readable))
    number = {kind: k for k, kind in enumerate(kinds)}
    like = np.array([[a.likeness(b) for b in kinds] for a in kinds])
    risk, count = np.zeros(len(kinds)), np.zeros(len(kinds), int)
    waiting: dict[int, list[QueueRow]] = {}
    for row in sorted(undecided, key=lambda row: (_risk(row), row.entry.stem)):
        k = number[Kind.of(row)]
        risk[k] += _risk(row)
        count[k] += 1
        waiting.setdefault(k, []).append(row)
    wrong = np.ones(len(kinds))  # share of what is wrong that is left
    for row in readable:
        if row.standing.version and row.standing.decision.decision != "rejected":
            wrong *= 1.0 - LEARNT * like[number[Kind.of(row)]]
    out: list[Suggestion] = []
    while waiting and len(out) < n:
        gain = LEARNT * like @ (risk * wrong)
        # Of two kinds of equal worth the one with the riskier page.
        k = max(waiting, key=lambda k: (_worth(float(gain[k]), waiting[k][-1]), waiting[k][-1].entry.stem))
        row = waiting[k].pop()
        alike = int(count[like[k] >= ALIKE_MIN].sum())
        worth = round(_worth(float(gain[k]), row), 4)
        out.append(Suggestion(row.page_id, row.entry.stem, round(_risk(row), 4), alike, worth))
        if not waiting[k]:
            del waiting[k]
        wrong *= 1.0 - LEARNT * like[k]
    return out


def _is_open(row: QueueRow) -> bool:
    return row.standing.decision.decision == "open" and not row.standing.version


def _worth(gain: float, row: QueueRow) -> float:
    """Expected gain of a page: nothing is learnt where it turns out to be right."""
    return gain * _risk(row)


def _risk(row: QueueRow) -> float:
    """Probability that a page is an ECG with which something is wrong."""
    return row.risk if row.entry.error is None else REFUSED


def _is_readable(row: QueueRow) -> bool:
    return row.entry.error is None or row.entry.error.partition(":")[0] == REFUSED_STAGE
