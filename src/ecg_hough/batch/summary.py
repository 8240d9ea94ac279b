"""What became of a plan's pages: counts, the slowest and the worst pages, as a page for a browser.

In: a plan with the parts that are done. Out: `Summary`, and a page of HTML with pictures of the pages that
most need a person. Parts are read one by one, without their signals, so that ten million pages fit.
"""

from __future__ import annotations

import base64
import heapq
import html
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ecg_hough.batch import storage
from ecg_hough.batch.parts import LIGHT, STATUSES, read_part
from ecg_hough.batch.plan import DONE, PARTS, Plan
from ecg_hough.errors import PageError

REPORT = "report.html"
WORST_PAGES, SLOWEST_PAGES = 20, 20
SHOWN_MAX = 30
"""Longest table of counts."""
PART_BYTES = 4_000_000_000


@dataclass
class Summary:
    """Counts over the parts that are done, and the pages at the ends.

    Attributes:
        n_pages: pages of these parts.
        statuses, stages, layouts, warnings, hosts: pages by each; a warning's numbers are left out.
        page_s: seconds of all pages together.
        slowest: (seconds, row) of the slowest pages, the slowest first.
        worst: rows of pages to check with a picture, the least likely to be right first.
        damaged: names of parts that are not what their marker says.
    """

    n_pages: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    layouts: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    page_s: float = 0.0
    slowest: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    worst: list[dict[str, Any]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Counts, ready for JSON."""
        names = ("statuses", "stages", "layouts", "warnings", "hosts")
        counts = {name: dict(getattr(self, name).most_common()) for name in names}
        slowest = [{"seconds": seconds, "uri": row["uri"]} for seconds, row in self.slowest]
        return {"pages": self.n_pages, **counts, "page_s": self.page_s, "slowest": slowest,
                "damaged": self.damaged}  # fmt: skip


def done_parts(plan: Plan) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    """Name, marker and content of every part that is done, in the order of the manifest."""
    for shard in sorted(plan.done()):
        name = plan.parts[shard]
        marker = json.loads(storage.read_bytes(plan.place(DONE, f"{name}.json")))
        yield name, marker, storage.read_bytes(plan.place(PARTS, f"{name}.parquet"), most_bytes=PART_BYTES)


def summarize(plan: Plan, *, worst: int = WORST_PAGES) -> Summary:
    """Read all parts that are done.

    Raises:
        PageError: stage "fetch": the storage failed.
    """
    found = Summary()
    slow: list[tuple[float, int, dict[str, Any]]] = []
    bad: list[tuple[float, int, dict[str, Any]]] = []
    for name, marker, data in done_parts(plan):
        try:
            rows = read_part(data, LIGHT).rows
        except ValueError:
            found.damaged.append(name)
            continue
        _count(found, rows, marker)
        for row, seconds in zip(rows, marker["page_s"], strict=True):
            _keep(slow, (seconds, -row["row"], row), SLOWEST_PAGES)
            if row["overlay"] is not None and row["status"] == "check":
                _keep(bad, (-_trust(row), -row["row"], row), worst)
    found.slowest = [(seconds, row) for seconds, _, row in sorted(slow, key=_order, reverse=True)]
    found.worst = [row for _, _, row in sorted(bad, key=_order, reverse=True)]
    return found


def _trust(row: Mapping[str, Any]) -> float:
    """Probability that a page is right, or its quality where that was not estimated."""
    known = row["probability"] if row["probability"] is not None else row["quality"]
    return float(known or 0.0)


def _order(entry: tuple[float, int, dict[str, Any]]) -> tuple[float, int]:
    return entry[:2]


def _keep(heap: list[tuple[float, int, dict[str, Any]]], entry: Any, n: int) -> None:
    """The n largest entries; no two have the same row, so rows are never compared."""
    (heapq.heappush if len(heap) < n else heapq.heappushpop)(heap, entry)
    del heap[n:]


def _count(found: Summary, rows: Iterable[dict[str, Any]], marker: Mapping[str, Any]) -> None:
    for row in rows:
        found.n_pages += 1
        found.statuses[row["status"]] += 1
        if row["stage"] is not None:
            found.stages[row["stage"]] += 1
        if row["layout"] is not None:
            found.layouts[row["layout"]] += 1
        found.warnings.update({_without_numbers(warning) for warning in row["warnings"] or ()})
    found.hosts[marker["host"]] += marker["rows"]
    found.page_s += sum(marker["page_s"])


def _without_numbers(text: str) -> str:
    """A warning with every number as #, so that warnings of one kind are counted together."""
    out, was_digit = [], False
    for char in text:
        is_digit = char.isdigit() or (was_digit and char in ".,")
        if not is_digit:
            out.append(char)
        elif not was_digit:
            out.append("#")
        was_digit = is_digit
    return "".join(out)


def write_report(plan: Plan, summary: Summary) -> str:
    """Write the report (`REPORT`) under the plan's root, pictures within; its URI.

    Raises:
        PageError: stage "export".
    """
    uri = plan.place(REPORT)
    storage.put_bytes(uri, _page(plan, summary).encode("utf-8", "backslashreplace"))
    return uri


_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 0 0 1.5rem }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd }
td.n { text-align: right; font-variant-numeric: tabular-nums }
figure { margin: 0 0 2rem } figcaption { word-break: break-all }
img { max-width: 100%; border: 1px solid #ccc }
"""


def _page(plan: Plan, summary: Summary) -> str:
    done = f"{summary.n_pages} of {plan.n_pages} pages"
    mean_s = summary.page_s / summary.n_pages if summary.n_pages else 0.0
    lines = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>ecg-hough batch</title>",
        f"<style>{_STYLE}</style><h1>Batch in {html.escape(plan.root)}</h1>",
        f"<p>{done} are done; a page took {mean_s:.2f} s on average.</p>",
    ]
    if summary.damaged:
        names = ", ".join(summary.damaged)
        lines.append(f"<p><strong>Damaged parts, to be removed and made again:</strong> {names}</p>")
    ordered = Counter({name: summary.statuses[name] for name in STATUSES})
    for title, counts in {
        "status": ordered,
        "stage of pages without a record": summary.stages,
        "layout": summary.layouts,
        "warning": summary.warnings,
        "machine": summary.hosts,
    }.items():
        lines.append(_table(title, counts, summary.n_pages))
    lines.append("<h2>Slowest pages</h2><table><tr><th>page<th>s")
    for seconds, row in summary.slowest:
        lines.append(f"<tr><td>{_named(row)}<td class=n>{seconds:.2f}")
    lines.append("</table><h2>Pages to look at first</h2>")
    lines += [_figure(plan, row) for row in summary.worst]
    lines.append("<h2>Made by</h2><pre>" + html.escape(json.dumps(plan.lineage, indent=1)) + "</pre></html>")
    return "\n".join(lines)


def _table(title: str, counts: Counter[str], n_pages: int) -> str:
    rows = [
        f"<tr><td>{html.escape(name)}<td class=n>{n}<td class=n>{100 * n / max(1, n_pages):.2f} %"
        for name, n in counts.most_common(SHOWN_MAX)
    ]
    more = len(counts) - SHOWN_MAX
    note = f"<tr><td>and {more} more<td><td>" if more > 0 else ""
    head = f"<tr><th>{html.escape(title)}<th>pages<th>share"
    return f"<table>{head}{''.join(rows)}{note}</table>" if rows else ""


def _named(row: Mapping[str, Any]) -> str:
    page = f", page {row['page']}" if row["page"] != 1 else ""
    return html.escape(f"{row['uri']}{page}")


def _figure(plan: Plan, row: Mapping[str, Any]) -> str:
    words = f"{_named(row)}: {_trust(row):.2f}. " + html.escape(" ".join(row["warnings"] or ()))
    try:
        picture = base64.b64encode(storage.read_bytes(plan.place(row["overlay"]))).decode()
    except PageError as error:
        return f"<p>{words} ({html.escape(error.message)})</p>"
    image = f"<img alt='the page with its traces' src='data:image/jpeg;base64,{picture}'>"
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"
