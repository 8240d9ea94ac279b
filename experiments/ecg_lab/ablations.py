"""What each step of the method is worth: the same pages read with one change at a time.

In: folders of pages with their true signals. Out: two CSV files: a row per page and change, from which a
stopped run is resumed, and a row per change and profile.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_hough.errors import PageError
from ecg_hough.networks.leads_net import LEADS_NETWORK
from ecg_hough.networks.runtime import load_network
from ecg_hough.options import CENTROID, SHIPPED, Options
from ecg_hough.output.read_back import read_leads
from ecg_hough.paper import LEADS
from ecg_hough.pipeline import digitize
from ecg_hough.scores import metrics
from ecg_hough.scores.evaluation import FOUND_SHARE
from ecg_hough.traces.read import TRACE_NETWORK
from ecg_lab.benchmark import first_pages
from ecg_lab.published import ABLATIONS, results_path

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

log = logging.getLogger(__name__)

PUBLISHED = ABLATIONS / "ablations.csv"

CHANGES: dict[str, Options] = {
    "full method": SHIPPED,
    "no stroke fit": Options(stroke_fit=False),
    "stroke fit, grid left in": Options(grid_out=False),
    "no separators": Options(separators=False),
    "no grid lines": Options(grid_lines=False),
    "no lead fusion": Options(lead_fusion=False),
    "no second look": Options(second_look=False),
    "not settled": Options(settled=False),
    "no usual beats": Options(usual_beats=False),
    "linear strips": Options(cubic=False),
    "flip averaged": Options(flip=True),
    "centroid": CENTROID,
    "centroid, stroke fit": Options(readout="centroid"),
}
"""Every change against the method as it ships, which comes first."""
FULL = next(iter(CHANGES))
ALL = "all"
"""Profile of the rows over all pages."""
PAGE_COLUMNS = (
    "profile",
    "page",
    "change",
    "challenge_snr_db",
    "unaligned_snr_db",
    "leads_found",
    "leads_printed",
    "seconds",
    "cpu_seconds",
    "weights",
    "failure",
)
"""Of the rows per page: means over the printed leads (0 dB where nothing was read), leads of which half was
read, time from file to record on the clock and of all cores, the networks, why a page failed."""
COLUMNS = (
    "change",
    "profile",
    "pages",
    "challenge_snr_db",
    "against_full_db",
    "against_full_se_db",
    "unaligned_snr_db",
    "leads_found_pct",
    "s_per_page",
    "cpu_s_per_page",
    "weights",
)
"""Of the rows per change and profile: means over pages, medians of the times. `against_full_db` is the mean
difference of the Challenge SNR to the full method on the same pages, `_se_` its standard error."""
OnProgress = Callable[[int, int], Any]


def default_out(folders: Sequence[Path], *, n: Sequence[int] = (), changes: Sequence[str] = ()) -> Path:
    """Where the tables go if no place is named: over the published ones only with all of their pages.

    Args:
        folders, n, changes: as for `measure_ablations`.
    """

    def covers(published: Path) -> bool:
        detail = published.with_suffix(".pages.csv")
        if changes or not detail.is_file():
            return False
        asked = {(profile, page.stem) for profile, page in _pages(folders, n)}
        return set(_read(detail)[["profile", "page"]].itertuples(index=False, name=None)) <= asked

    return results_path(PUBLISHED, covers)


def measure_ablations(
    folders: Sequence[Path],
    out: Path,
    *,
    n: Sequence[int] = (),
    changes: Sequence[str] = (),
    overwrite: bool = False,
    allow_trained: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> pd.DataFrame:
    """Read pages with every change of `CHANGES` and write both tables.

    A stopped run is resumed: rows are kept per page in `out` + ".pages.csv" in place of ".csv". Rows of other
    networks than those shipped now are made again; rows of other pages stay.

    Args:
        folders: pages and WFDB records of the same stems, flat or with a subfolder per profile.
        out: the CSV of changes and profiles, see `COLUMNS`.
        n: pages of each profile, the first ones: one number for all folders, or one for each; all, if none.
        changes: which of `CHANGES` are measured besides the full method; all, if none is named.
        overwrite: make the rows of these pages and changes again.
        allow_trained: score records that the shipped networks were trained on too, with a warning.
        on_progress: called with the pages read and pages in all, every change a page of its own.

    Returns:
        The rows of `out`.

    Raises:
        ValueError: n below 1 or of another number than the folders, an unknown change, no page in a folder,
            one that was trained on, or a file that is no such CSV.
    """
    import pandas as pd

    if unknown := set(changes) - set(CHANGES):
        raise ValueError(f"a change must be one of {', '.join(CHANGES)}; got {', '.join(sorted(unknown))}")
    asked = [name for name in CHANGES if not changes or name in (FULL, *changes)]
    pages = _pages(folders, n)
    _refuse_trained(folders, pages, allow_trained)
    detail = out.with_suffix(".pages.csv")
    weights = " ".join(load_network(name).version for name in (LEADS_NETWORK, TRACE_NETWORK))
    kept = _kept(detail, weights, {(p, page.stem, name) for p, page in pages for name in asked}, overwrite)
    done = set(kept[["profile", "page", "change"]].itertuples(index=False, name=None))
    todo = [
        (profile, page, [name for name in asked if (profile, page.stem, name) not in done])
        for profile, page in pages
    ]
    total, count = sum(len(names) for _, _, names in todo), 0
    out.parent.mkdir(parents=True, exist_ok=True)
    kept.to_csv(detail, index=False)
    for profile, page, names in todo:
        if names:
            # Not counted: networks are compiled for the heights of strips that are new with this page.
            measure_page(page, CHANGES[FULL])
        for name in names:
            row = {"profile": profile, "page": page.stem, "change": name, "weights": weights}
            row |= measure_page(page, CHANGES[name])
            # Line by line: a stopped run loses the reading it was at.
            pd.DataFrame([row], columns=list(PAGE_COLUMNS)).to_csv(
                detail, mode="a", header=False, index=False
            )
            count += 1
            on_progress(count, total)
    table = summarise(_read(detail))
    table.to_csv(out, index=False)
    return table


def _pages(folders: Sequence[Path], n: Sequence[int]) -> list[tuple[str, Path]]:
    """(profile, page): the first of every profile, then the second, so that a stopped run has all profiles.

    Raises:
        ValueError: a bad n, or no page in a folder.
    """
    if any(number < 1 for number in n) or len(n) not in (0, 1, len(folders)):
        raise ValueError(
            f"n must be at least 1, once or for each of {len(folders)} folders; got {', '.join(map(str, n))}"
        )
    numbers: list[int | None] = [*n] or [None]
    if len(numbers) != len(folders):
        numbers *= len(folders)
    by_turn: list[tuple[int, str, Path]] = []
    for folder, number in zip(folders, numbers, strict=True):
        found = first_pages(folder, number)
        if not found:
            raise ValueError(f"a folder must hold images with their WFDB records; got none in {folder}")
        seen: Counter[str] = Counter()
        for page in found:
            profile = (page.parent if page.parent != folder else folder.resolve()).name
            by_turn.append((seen[profile], profile, page))
            seen[profile] += 1
    return [(profile, page) for _, profile, page in sorted(by_turn, key=lambda entry: entry[0])]


def _refuse_trained(folders: Sequence[Path], pages: list[tuple[str, Path]], allow: bool) -> None:
    """ValueError for pages that the shipped networks were trained on."""
    from ecg_hough.datasets.ptbxl_table import patient_groups
    from ecg_hough.scores.guard import refuse_trained

    for folder in folders:
        stems = [page.stem for _, page in pages if page.is_relative_to(folder)]
        refuse_trained(stems, patients=patient_groups(folder), allow=allow)


def _kept(detail: Path, weights: str, asked: set[tuple[str, str, str]], overwrite: bool) -> pd.DataFrame:
    """Rows of an earlier run with these weights; without those asked for if they are made again."""
    import pandas as pd

    kept = _read(detail) if detail.is_file() else pd.DataFrame(columns=list(PAGE_COLUMNS))
    kept = kept[(kept["weights"] == weights) & kept["change"].isin(CHANGES)]
    if overwrite:
        key = kept[["profile", "page", "change"]].itertuples(index=False, name=None)
        kept = kept[np.array([row not in asked for row in key], bool)]
    return kept


def measure_page(path: Path, change: Options) -> dict[str, Any]:
    """Read one page and compare it with the record of the same stem; keys as `PAGE_COLUMNS`.

    The signal is read at the record's own sampling frequency. A printed lead that is not read has 0 dB, as
    in the Challenge.
    """
    truth, fs = read_leads(path.with_suffix(""))
    failure = ""
    start, cpu_start = time.perf_counter(), time.process_time()
    try:
        read = digitize(path, fs=round(fs), options=change).signals
    except PageError as error:
        read, failure = np.full((len(LEADS), 0), np.nan), str(error)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    pairs = []
    for k, lead in enumerate(LEADS):
        if lead in truth and np.isfinite(truth[lead]).any():
            estimate = np.full(truth[lead].size, np.nan)
            estimate[: read.shape[1]] = read[k, : estimate.size]
            pairs.append((truth[lead], estimate))
    found = [np.isfinite(estimate[np.isfinite(ref)]).mean() >= FOUND_SHARE for ref, estimate in pairs]
    return {
        "challenge_snr_db": round(metrics.challenge_score(metrics.challenge_snr(*p, fs) for p in pairs), 3),
        "unaligned_snr_db": round(metrics.challenge_score(metrics.unaligned_snr(*p) for p in pairs), 3),
        "leads_found": int(np.sum(found)),
        "leads_printed": len(pairs),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "failure": failure,
    }


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows per change and profile, and per change over all pages (profile `ALL`), from rows per page."""
    import pandas as pd

    full = rows[rows["change"] == FULL].set_index(["profile", "page"])["challenge_snr_db"]
    out = []
    for change in CHANGES:
        mine = rows[rows["change"] == change]
        for profile in [*sorted(mine["profile"].unique()), ALL] if len(mine) else []:
            part = mine if profile == ALL else mine[mine["profile"] == profile]
            score = part.set_index(["profile", "page"])["challenge_snr_db"]
            gain = (score - full.reindex(score.index)).dropna()
            error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else float("nan")
            out.append(
                {
                    "change": change,
                    "profile": profile,
                    "pages": len(part),
                    "challenge_snr_db": round(float(score.mean()), 2),
                    "against_full_db": round(float(gain.mean()), 2),
                    "against_full_se_db": round(float(error), 2),
                    "unaligned_snr_db": round(float(part["unaligned_snr_db"].mean()), 2),
                    "leads_found_pct": round(
                        100.0 * float(part["leads_found"].sum() / part["leads_printed"].sum()), 1
                    ),
                    "s_per_page": round(float(part["seconds"].median()), 2),
                    "cpu_s_per_page": round(float(part["cpu_seconds"].median()), 2),
                    "weights": " / ".join(sorted(part["weights"].unique())),
                }
            )
    return pd.DataFrame(out, columns=list(COLUMNS))


def summary_table(rows: pd.DataFrame) -> Table:
    """Scores of every change over all pages, as a rich table."""
    from rich.table import Table

    table = Table(title="One change at a time, all pages")
    table.add_column("change")
    for heading in ("pages", "SNR dB", "against full", "unaligned dB", "found %", "s/page", "CPU s"):
        table.add_column(heading, justify="right")
    for _, row in rows[rows["profile"] == ALL].iterrows():
        table.add_row(
            row["change"],
            str(row["pages"]),
            f"{row['challenge_snr_db']:.2f}",
            f"{row['against_full_db']:+.2f} ± {row['against_full_se_db']:.2f}",
            f"{row['unaligned_snr_db']:.2f}",
            f"{row['leads_found_pct']:.1f}",
            f"{row['s_per_page']:.1f}",
            f"{row['cpu_s_per_page']:.1f}",
        )
    return table


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    table = pd.read_csv(path, dtype={"page": str, "profile": str})
    if missing := set(PAGE_COLUMNS) - set(table.columns):
        raise ValueError(
            f"{path.name} must be a CSV of this command; it has no {', '.join(sorted(missing))}; remove it"
        )
    return table
