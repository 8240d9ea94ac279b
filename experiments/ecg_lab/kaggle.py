"""An entry for the Kaggle contest on ECG digitisation (2025/26): its folder enters, a submission leaves.

The contest asks for a Parquet file of `id` and `value` (mV), id = `{record}_{sample}_{lead}`: 10 s of lead
II, 2.5 s of the others, at the record's own sampling frequency. Pages go through `predict.predict_pages`, a
run a sampling frequency, so a stopped run is resumed and no page stops the others. Nothing is fetched.

The contest knows no NaN: gaps inside a lead are bridged by straight lines, a lead that was not read is 0 mV,
and so is every lead of a page that failed. `score_train` scores exactly what would be submitted.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.batch.predict import PageResult, predict_pages
from ecg_hough.batch.reader import Digitizer
from ecg_hough.datasets import STANDARD_PAGE, DatasetPage, Reference
from ecg_hough.datasets.kaggle import AskedPage, read_pages, read_test
from ecg_hough.output.export import record_name
from ecg_hough.output.read_back import read_leads
from ecg_hough.paper import GAIN_MM_MV, LEADS, PAPER_SPEED_MM_S, RECORD_S
from ecg_hough.scores import metrics
from ecg_hough.scores.evaluation import without_nan
from ecg_hough.scores.guard import refuse_trained

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from rich.table import Table

RHYTHM_LEAD = "II"
SHORT_S = RECORD_S / STANDARD_PAGE.n_columns
"""Seconds of the leads other than II."""
LIMIT_H = 9.0
"""The contest's limit for a notebook."""
CAPS: dict[str, float] = {"384": metrics.KAGGLE_CAP, "1e6": 1e6}
"""Largest ratio of a page in early and in later copies of the contest's scorer."""
IMPLAUSIBLE_MV = 20.0
"""A check warns of larger values; the largest R waves are below 10 mV."""
MIN_IN_PLACE = 0.5
"""A lead with less of its own column read is looked for elsewhere."""
SHOWN = 5
"""Problems of one kind that a check lists; the others are counted."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How fast a run is, for the contest's limit of 9 h.

    Attributes:
        done: pages finished, those of an earlier run omitted.
        remaining: pages still to do.
        seconds: since the start.
    """

    done: int
    remaining: int
    seconds: float

    @property
    def pages_per_hour(self) -> float:
        """NaN before the first page."""
        return 3600.0 * self.done / self.seconds if self.done and self.seconds > 0 else float("nan")

    @property
    def expected_h(self) -> float:
        """Hours of the whole run, those gone by included; NaN before the first page."""
        return self.seconds / 3600.0 + (self.remaining / self.pages_per_hour if self.remaining else 0.0)

    def __str__(self) -> str:
        if not self.done:
            return f"no page done yet, {self.remaining} to do"
        fits = "within" if self.expected_h <= LIMIT_H else "BEYOND"
        return (
            f"{self.done} pages, {self.pages_per_hour:.0f} pages/h, {self.expected_h:.2f} h expected in all: "
            f"{fits} the limit of {LIMIT_H:g} h"
        )


@dataclass(frozen=True)
class Submission:
    """A written submission.

    Attributes:
        path: the Parquet file.
        pages: number of pages asked for.
        rows: number of values.
        failed: page -> why all its values are 0.
        missing_leads: page -> leads that were not read and are 0.
        pace: of this run.
    """

    path: Path
    pages: int
    rows: int
    failed: dict[str, str]
    missing_leads: dict[str, tuple[str, ...]]
    pace: Pace


@dataclass(frozen=True)
class Check:
    """What is wrong with a submission (`problems`), and what a person should look at (`notes`)."""

    rows: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TrainScore:
    """The contest's score on train pages.

    Attributes:
        pages: per page its id, type, linear ratio (0 if it failed), decibels without a cap, and failure.
        figures: per type and for all: pages, failed, and the score in dB under each cap of `CAPS`.
    """

    pages: list[dict[str, Any]]
    figures: dict[str, dict[str, float]]

    def table(self) -> Table:
        """One row a type and one for all, as a rich table."""
        from rich.table import Table

        table = Table(title="Kaggle score on train pages, dB")
        for heading in ("type", "pages", "failed", *(f"cap {cap}" for cap in CAPS)):
            table.add_column(heading, justify="left" if heading == "type" else "right")
        for name, row in self.figures.items():
            scores = [f"{row[f'cap_{cap}_db']:.2f}" for cap in CAPS]
            table.add_row(name, f"{row['pages']:.0f}", f"{row['failed']:.0f}", *scores)
        return table

    def to_json(self, path: str | Path) -> None:
        """Write figures and pages; NaN and infinity as null."""
        text = json.dumps(without_nan({"figures": self.figures, "pages": self.pages}), indent=1)
        Path(path).write_text(text + "\n", encoding="utf-8")


def submit(
    data: Path,
    out: Path,
    *,
    work: Path | None = None,
    workers: int = 1,
    on_page: Callable[[PageResult, Pace], None] | None = None,
) -> Submission:
    """Digitise the contest's test pages and write a submission.

    Rows are in the order of sample_submission.parquet where there is one, else of test.csv.

    Args:
        data: the contest's folder (test.csv, test/).
        out: the Parquet file; written whole or not at all.
        work: folder of the digitised pages, from which a stopped run goes on; None takes `<out>.pages`.
        workers: processes.
        on_page: called after each page with its result and the pace so far.

    Raises:
        ValueError: no test.csv, a broken one, or a sample submission that asks for what test.csv does not.
        ModuleNotFoundError: pyarrow is not installed (extra `kaggle`).
    """
    import pyarrow.parquet as pq

    data, out = Path(data), Path(out)
    asked = read_test(data)
    if not asked:
        raise ValueError(f"test.csv must ask for pages; {data / 'test.csv'} has no row")
    work = out.with_name(f"{out.name}.pages") if work is None else Path(work)
    images = [(page.image_path, page.fs) for page in asked]
    failed_by_path, pace = _digitise(images, work, workers, on_page)
    by_id = {page.page_id: page for page in asked}
    failed = {p.page_id: failed_by_path[p.image_path] for p in asked if p.image_path in failed_by_path}
    missing: dict[str, tuple[str, ...]] = {}
    rows = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    answers = _Answers(by_id, work, failed, missing)
    schema = _schema()
    try:
        with pq.ParquetWriter(part, schema) as writer:
            for ids in required_ids(data, asked):
                writer.write_table(_as_table(ids, answers.values(ids), schema))
                rows += len(ids)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return Submission(out, len(asked), rows, failed, missing, pace)


def required_ids(data: Path, asked: Sequence[AskedPage]) -> Iterator[list[str]]:
    """The ids of a submission in their order, in pieces of some ten thousand."""
    sample = Path(data) / "sample_submission.parquet"
    if sample.is_file():
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(sample).iter_batches(columns=["id"]):
            yield batch.column(0).to_pylist()
        return
    for page in asked:
        yield [f"{page.page_id}_{k}_{lead}" for lead, n in page.rows.items() for k in range(n)]


def lead_values(signal: NDArray[np.floating], fs: float, lead: str, rows: int) -> NDArray[np.float64] | None:
    """The stretch of a digitised lead that the contest asks for.

    That is the lead's own column of the page; where little of that was read, the stretch with most read
    samples, so that a page whose columns were placed wrongly still answers. Gaps are bridged by straight
    lines, ends held.

    Args:
        signal: (N,) mV from the page's first second on, NaN where not read.
        fs: of the signal and the answer.
        lead: its name.
        rows: samples asked for.

    Returns:
        (rows,) mV, all finite; None if nothing of the lead was read.
    """
    read = np.isfinite(signal)
    if not read.any():
        return None
    column = next((row.index(lead) for row in STANDARD_PAGE.rows if lead in row), 0)
    start = 0 if lead == RHYTHM_LEAD else int(column * SHORT_S * fs)
    if read[start : start + rows].sum() < MIN_IN_PLACE * rows:
        counts = np.concatenate([[0], np.cumsum(read)])
        last = max(signal.size - rows, 0)
        starts = np.arange(last + 1)
        elsewhere = int(np.argmax(counts[np.minimum(starts + rows, signal.size)] - counts[starts]))
        if read[elsewhere : elsewhere + rows].sum() > read[start : start + rows].sum():
            start = elsewhere
    stretch = np.full(rows, np.nan)
    taken = signal[start : start + rows]
    stretch[: taken.size] = taken
    there = np.flatnonzero(np.isfinite(stretch))
    return np.interp(np.arange(rows), there, stretch[there]) if there.size else None


def check_submission(path: Path, data: Path) -> Check:
    """Compare a submission with what the contest asks for.

    Args:
        path: the Parquet file.
        data: the contest's folder: test.csv, and sample_submission.parquet where it is there.

    Raises:
        ValueError: no such file, or the contest's own files are missing or contradict each other.
        ModuleNotFoundError: pyarrow is not installed (extra `kaggle`).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, data = Path(path), Path(data)
    if not path.is_file():
        raise ValueError(f"submission must be a Parquet file; there is no {path}")
    asked = read_test(data)
    problems: list[str] = []
    notes = _check_asked(asked)
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        return Check(0, (f"the file must be Parquet; {path}: {error}",), ())
    names = file.schema_arrow.names
    if names != ["id", "value"]:
        problems.append(f"columns must be id, value; got {', '.join(names)}")
        if not {"id", "value"} <= set(names):
            return Check(file.metadata.num_rows, tuple(problems), tuple(notes))
    if not pa.types.is_floating(file.schema_arrow.field("value").type):
        kind = file.schema_arrow.field("value").type
        return Check(file.metadata.num_rows, (*problems, f"value must be a floating number; got {kind}"), ())

    def submitted() -> Iterator[str]:
        for batch in file.iter_batches(columns=["id"]):
            yield from batch.column(0).to_pylist()

    def wanted() -> Iterator[str]:
        for piece in required_ids(data, asked):
            yield from piece

    if (data / "sample_submission.parquet").is_file():
        problems += _differences(wanted, lambda: _ids_of(asked), "sample_submission.parquet", "test.csv")
    found = _differences(submitted, wanted, "the submission", "the contest")
    if not found and not _same(submitted(), wanted()):
        notes.append("the rows are in another order than the contest's")
    problems += found
    rows, wrong, odd = _check_values(file)
    return Check(rows, (*problems, *wrong), (*notes, *odd))


def _check_values(file: pq.ParquetFile) -> tuple[int, list[str], list[str]]:
    """Number of rows of a submission, and problems and notes of its values."""
    rows, bad, large, zero = 0, _Found(), _Found(), True
    for batch in file.iter_batches(columns=["id", "value"]):
        values = batch.column("value").to_numpy(zero_copy_only=False)
        bad.add(batch, ~np.isfinite(values))
        large.add(batch, np.abs(values) > IMPLAUSIBLE_MV)
        zero &= not np.any(values)
        rows += batch.num_rows
    problems, notes = [], []
    if bad.n:
        problems.append(f"values must be finite; {bad.n} are not, the first of {bad.first}")
    if large.n:
        notes.append(f"{large.n} values are above {IMPLAUSIBLE_MV:g} mV, the first of {large.first}")
    if rows and zero:
        notes.append("all values are 0")
    return rows, problems, notes


def score_train(
    data: Path,
    work: Path,
    *,
    types: Sequence[str] = (),
    n: int | None = None,
    workers: int = 1,
    allow_trained: bool = False,
    on_page: Callable[[PageResult, Pace], None] | None = None,
) -> TrainScore:
    """Digitise train pages and score them as the contest does, under each cap of `CAPS`.

    Args:
        data: the contest's folder (train.csv, train/).
        work: folder of the digitised pages, from which a stopped run goes on.
        types: only these, such as "0005" or "phone photo"; empty takes all.
        n: only the first n pages.
        workers: processes.
        allow_trained: score pages that the shipped networks were trained on too. The contest's ids do not
            name the records, so this is only noticed where ids were replaced by names.
        on_page: called after each page with its result and the pace so far.

    Raises:
        ValueError: no train.csv, a broken one, or no page of the types.
    """
    pages = _train_pages(data, types)[:n]
    refuse_trained([page.page_id for page in pages], allow=allow_trained)
    fs_of = _sampling_frequencies(pages)
    pages = [page for page in pages if page.record_id in fs_of]
    failed, _ = _digitise([(p.image_path, fs_of[p.record_id]) for p in pages], Path(work), workers, on_page)
    rows = []
    for _, group in groupby(pages, key=lambda page: page.record_id):
        of_record = list(group)
        truth = of_record[0].reference()
        for page in of_record:
            stem = _stem(work, page.image_path, fs_of[page.record_id])
            rows.append(_score_row(page, truth, stem, failed.get(page.image_path)))
    kinds = [*sorted({page.profile for page in pages}), "all"]
    return TrainScore(
        rows, {kind: _summary([r for r in rows if kind in ("all", r["type"])]) for kind in kinds}
    )


def _train_pages(data: Path, types: Sequence[str]) -> list[DatasetPage]:
    """Train pages of these types; ValueError without any."""
    pages = [p for p in read_pages(data) if not types or p.profile in types or p.page_id[-4:] in types]
    if not pages:
        raise ValueError(f"train.csv must name pages of type {', '.join(types) or 'any'}; got none in {data}")
    return pages


def _sampling_frequencies(pages: Sequence[DatasetPage]) -> dict[str, int]:
    """Sampling frequency of every record whose truth can be read, Hz."""
    first = {page.record_id: page for page in reversed(pages)}
    references = {record: _reference(page) for record, page in first.items()}
    return {record: round(reference.fs) for record, reference in references.items() if reference is not None}


def _score_row(page: DatasetPage, truth: Reference, stem: Path, failure: str | None) -> dict[str, Any]:
    """One page's row of `TrainScore.pages`; `stem` is its record."""
    ratio = 0.0 if failure is not None else _page_ratio(truth.signals, read_leads(stem)[0], truth.fs)
    return {
        "page": page.page_id,
        "type": page.profile,
        "ratio": ratio,
        "db": _db(ratio),
        "failed": failure,
    }


def _reference(page: DatasetPage) -> Reference | None:
    """A page's truth; None, with a warning, where its table is broken: that page cannot be scored."""
    try:
        return page.reference()
    except ValueError as error:
        log.warning("%s is omitted: %s", page.page_id, error)
        return None


def _page_ratio(reference: NDArray[np.float64], leads: dict[str, NDArray[np.float64]], fs: float) -> float:
    """Linear ratio without a cap of what would be submitted for a page."""
    estimate = np.zeros(reference.shape)
    for k, lead in enumerate(LEADS):
        printed = np.flatnonzero(np.isfinite(reference[k]))
        if not printed.size or lead not in leads:
            continue
        n = int(printed[-1] - printed[0] + 1)
        values = lead_values(leads[lead], fs, lead, n)
        if values is not None:
            estimate[k, printed[0] : printed[-1] + 1] = values
    return metrics.kaggle_page_ratio(reference, estimate, fs, cap=float("inf"))


def _summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    ratios = np.array([row["ratio"] for row in rows])
    scores = {f"cap_{name}_db": metrics.kaggle_score(np.minimum(ratios, cap)) for name, cap in CAPS.items()}
    return {"pages": len(rows), "failed": sum(row["failed"] is not None for row in rows), **scores}


def _db(ratio: float) -> float:
    return 10.0 * float(np.log10(ratio)) if ratio > 0 else float("-inf")


def _digitise(
    images: Sequence[tuple[Path, int]],
    work: Path,
    workers: int,
    on_page: Callable[[PageResult, Pace], None] | None,
) -> tuple[dict[Path, str], Pace]:
    """Digitise images at their sampling frequencies into `work/<fs>`; why some failed, and the pace."""
    start = time.perf_counter()
    failed: dict[Path, str] = {}
    done = before = 0

    def pace() -> Pace:
        return Pace(done, len(images) - done - before, time.perf_counter() - start)

    def count(result: PageResult, _: int) -> None:
        nonlocal done, before
        if result.status == "skipped":
            before += 1
        else:
            done += 1
        if result.status == "failed":
            failed[result.path] = f"{result.stage}: {result.message}"
        if on_page is not None:
            on_page(result, pace())

    for fs, group in groupby(sorted(images, key=lambda image: image[1]), key=lambda image: image[1]):
        predict_pages(
            [path for path, _ in group],
            Path(work) / str(fs),
            read=Digitizer(fs, PAPER_SPEED_MM_S, GAIN_MM_MV),
            workers=workers,
            on_page=count,
        )
    return failed, pace()


def _stem(work: Path, image: Path, fs: int) -> Path:
    """Where `_digitise` has put a page's record."""
    return Path(work) / str(fs) / record_name(image.stem)


class _Answers:
    """Values by id; keeps the last page read, because ids come page by page."""

    def __init__(
        self,
        asked: dict[str, AskedPage],
        work: Path,
        failed: dict[str, str],
        missing: dict[str, tuple[str, ...]],
    ) -> None:
        self._asked, self._work, self._failed, self._missing = asked, work, failed, missing
        self._page: str | None = None
        self._leads: dict[str, NDArray[np.float64]] = {}

    def values(self, ids: Sequence[str]) -> NDArray[np.float64]:
        """(n,) mV. Raises ValueError for an id that test.csv does not ask for."""
        out = np.empty(len(ids))
        for k, name in enumerate(ids):
            page, sample, lead = [*name.rsplit("_", 2), "", ""][:3]
            if page != self._page:
                self._read(page)
            values = self._leads.get(lead)
            if values is None or not sample.isdigit() or int(sample) >= values.size:
                raise ValueError(f"a sample submission must ask for rows of test.csv only; got id {name!r}")
            out[k] = values[int(sample)]
        return out

    def _read(self, page_id: str) -> None:
        page = self._asked.get(page_id)
        self._page, self._leads = page_id, {}
        if page is None:
            return
        read: dict[str, NDArray[np.float64]] = {}
        if page_id not in self._failed:
            read, _ = read_leads(_stem(self._work, page.image_path, page.fs))
        missing = []
        for lead, rows in page.rows.items():
            values = lead_values(read[lead], page.fs, lead, rows) if lead in read else None
            if values is None:
                missing.append(lead)
            self._leads[lead] = np.zeros(rows) if values is None else values
        if missing and page_id not in self._failed:
            self._missing[page_id] = tuple(missing)


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("id", pa.string()), ("value", pa.float64())])


def _as_table(ids: list[str], values: NDArray[np.float64], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    return pa.table({"id": ids, "value": values}, schema=schema)


def _check_asked(asked: Sequence[AskedPage]) -> list[str]:
    """Pages of which test.csv asks for another number of rows than the contest's description states."""
    odd = [
        f"{page.page_id} {lead}: {n} rows, {expected} by its description"
        for page in asked
        for lead, n in page.rows.items()
        if n != (expected := int((RECORD_S if lead == RHYTHM_LEAD else SHORT_S) * page.fs))
    ]
    return [f"test.csv asks for odd numbers of rows: {_some(odd)}"] if odd else []


def _ids_of(asked: Sequence[AskedPage]) -> Iterator[str]:
    for page in asked:
        for lead, n in page.rows.items():
            for k in range(n):
                yield f"{page.page_id}_{k}_{lead}"


def _same(one: Iterator[str], other: Iterator[str]) -> bool:
    return all(a == b for a, b in zip_longest(one, other))


def _differences(
    ids: Callable[[], Iterator[str]], wanted: Callable[[], Iterator[str]], name: str, other: str
) -> list[str]:
    """Ids that only one of two lists has, or has twice, in words; the lists may be in different orders."""
    # Tens of millions of ids: no sets of them where the lists are the same.
    if _same(ids(), wanted()):
        return []
    have, want = Counter(ids()), set(wanted())
    words = []
    if lacking := sorted(want - have.keys()):
        words.append(f"{name} must have all {len(want)} ids of {other}; it lacks {_some(lacking)}")
    if extra := sorted(have.keys() - want):
        words.append(f"{name} must have no other ids than {other}; it has {_some(extra)}")
    if again := sorted(key for key, n in have.items() if n > 1):
        words.append(f"{name} must have each id once; it has again {_some(again)}")
    return words


@dataclass
class _Found:
    """Rows of a submission that a check stumbles over: how many, and the first one's id."""

    n: int = 0
    first: str = ""

    def add(self, batch: pa.RecordBatch, where: NDArray[np.bool_]) -> None:
        found = np.flatnonzero(where)
        if found.size and not self.n:
            self.first = str(batch.column("id")[int(found[0])])
        self.n += found.size


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
