"""A plan: which pages, cut into shards, and the name of the part that each shard becomes.

In: a manifest (Parquet or CSV: uri, and where known sha256, size, page), folders or single pages. Out: under
a root folder `manifest.parquet`, a row group a shard, and `plan.json`. A part's name is the hash of its slice
of the manifest, the options, the code and the weights: who makes it again writes the same name.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ecg_hough.batch import storage
from ecg_hough.batch.lineage import PageReader, versions, weights
from ecg_hough.batch.pages import is_page, printable
from ecg_hough.batch.parts import FORMAT
from ecg_hough.documents.pages import count_pages
from ecg_hough.errors import PageError
from ecg_hough.output.export import json_bytes

PLAN, MANIFEST, PARTS, DONE = "plan.json", "manifest.parquet", "parts", "done"
TRIES, RUNNING, OVERLAYS = "tries", "running", "overlays"
SHARD_PAGES = 500
MANIFEST_BYTES = 20_000_000_000
WHICH_OVERLAYS = ("check", "all", "none")
COLUMNS = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("page", pa.int32(), nullable=False),
        pa.field("sha256", pa.string()),
        pa.field("size", pa.int64()),
    ]
)
"""Of a manifest."""
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Plan:
    """A plan as written.

    Attributes:
        root: URI of the folder that it lies in.
        options: of the reader, `PageReader.options`.
        versions: of package, code and weights.
        weights: sha256 of every file of weights, by name.
        overlays: for which pages pictures of the traces are kept.
        shard_pages: pages of a shard; the last may have fewer.
        n_pages: of the manifest; n_twice: rows that named a page again and were omitted.
        parts: names of the parts, by shard.
    """

    root: str
    options: dict[str, Any]
    versions: dict[str, str]
    weights: dict[str, str]
    overlays: str
    shard_pages: int
    n_pages: int
    n_twice: int
    parts: tuple[str, ...]

    @property
    def lineage(self) -> dict[str, Any]:
        """What a part was made of, besides its pages."""
        return {
            "format": FORMAT,
            "options": self.options,
            "versions": self.versions,
            "weights": self.weights,
            "overlays": self.overlays,
        }

    def place(self, *names: str) -> str:
        """URI of a file under the root."""
        return storage.join(self.root, *names)

    def pages_of(self, shard: int) -> int:
        """Number of pages of a shard."""
        return min(self.shard_pages, self.n_pages - shard * self.shard_pages)

    def rows(self, shard: int) -> list[dict[str, Any]]:
        """The manifest's rows of a shard, each with its number, `row`.

        Raises:
            PageError: stage "fetch".
            ValueError: the manifest is not the one that was planned.
        """
        rows: list[dict[str, Any]] = (
            _manifest_of(self.place(MANIFEST)).read_row_group(shard, use_threads=False).to_pylist()
        )
        if part_name(rows, self.lineage) != self.parts[shard]:
            raise ValueError(f"{MANIFEST} must be that of {PLAN} in {self.root}; shard {shard} differs")
        return [row | {"row": shard * self.shard_pages + k} for k, row in enumerate(rows)]

    def done(self) -> set[int]:
        """Shards that have their part and their marker."""
        markers = storage.names_in(self.place(DONE))
        return {k for k, name in enumerate(self.parts) if markers.get(f"{name}.json", 0) > 0}


@lru_cache(maxsize=4)
def _manifest_of(uri: str) -> pq.ParquetFile:
    path = storage.local_path(uri)
    if path is not None:
        return pq.ParquetFile(path)
    return pq.ParquetFile(io.BytesIO(storage.read_bytes(uri, most_bytes=MANIFEST_BYTES)))


def part_name(rows: Sequence[dict[str, Any]], lineage: dict[str, Any]) -> str:
    """Name of the part that these rows of a manifest become."""
    text = json.dumps([[row["uri"], row["page"], row["sha256"], row["size"]] for row in rows])
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    digest.update(json.dumps(lineage, sort_keys=True).encode())
    return digest.hexdigest()[:24]


def make_plan(
    sources: Sequence[str],
    root: str,
    *,
    read: PageReader,
    shard_pages: int = SHARD_PAGES,
    overlays: str = "check",
    all_pages: bool = False,
    replace: bool = False,
) -> Plan:
    """Write a plan; the same one again changes nothing.

    Args:
        sources: a manifest, or folders and pages.
        root: folder of the plan and of all results; a path or a URI.
        read: what will read the pages, such as `reader.Digitizer`.
        shard_pages: pages of a shard, which is done or not done as a whole.
        overlays: for which pages pictures are kept, one of `WHICH_OVERLAYS`.
        all_pages: plan every page of the files that are found, which opens each of them; else the first.
        replace: put this plan in place of another one; parts that both have are kept.
    Raises:
        ValueError: a bad argument or manifest, no pages, or another plan is there.
        PageError: stage "fetch" or "export".
    """
    if shard_pages < 1:
        raise ValueError(f"shard_pages must be positive; got {shard_pages}")
    if overlays not in WHICH_OVERLAYS:
        raise ValueError(f"overlays must be one of {', '.join(WHICH_OVERLAYS)}; got {overlays!r}")
    table, n_twice = _pages_of(sources, all_pages)
    plan = Plan(
        root=root.rstrip("/") or "/",
        options=read.options(),
        versions=versions(),
        weights=weights(),
        overlays=overlays,
        shard_pages=shard_pages,
        n_pages=len(table),
        n_twice=n_twice,
        parts=(),
    )
    slices = [table.slice(k, shard_pages) for k in range(0, len(table), shard_pages)]
    names = tuple(part_name(part.to_pylist(), plan.lineage) for part in slices)
    plan = Plan(**(asdict(plan) | {"parts": names}))
    if storage.exists(plan.place(PLAN)):
        there = load_plan(plan.root)
        if there == plan:
            return plan
        if not replace:
            raise ValueError(
                f"{plan.root} must be empty or hold this plan; it has one of {there.n_pages} pages with "
                f"other {_difference(there, plan)}: choose another folder, or replace it by --replace"
            )
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, COLUMNS, compression="zstd") as writer:
        for part in slices:
            writer.write_table(part, row_group_size=shard_pages)
    storage.put_bytes(plan.place(MANIFEST), sink.getvalue())
    document = asdict(plan)
    document.pop("root")
    storage.put_bytes(plan.place(PLAN), json_bytes({"program": "ecg-hough", "format": FORMAT, **document}))
    _manifest_of.cache_clear()
    return plan


def load_plan(root: str) -> Plan:
    """The plan in a folder.

    Raises:
        ValueError: there is none, or it is damaged.
    """
    root = root.rstrip("/") or "/"
    try:
        document = json.loads(storage.read_bytes(storage.join(root, PLAN)))
        if document.pop("program") != "ecg-hough" or document.pop("format") != FORMAT:
            raise ValueError("it is of another program or version")
        return Plan(root, **(document | {"parts": tuple(document["parts"])}))
    except (PageError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{root} must hold a plan, made by: ecg-hough batch plan PAGES -o {root}; {error}"
        ) from error


def check_versions(plan: Plan, read: PageReader) -> None:
    """Check that this installation makes the parts that were planned.

    Raises:
        ValueError: code, weights or options are others.
    """
    here = Plan(**(asdict(plan) | {"options": read.options(), "versions": versions(), "weights": weights()}))
    if here.lineage != plan.lineage:
        raise ValueError(
            f"this installation must be that of the plan in {plan.root}; it has other "
            f"{_difference(plan, here)}: install that one, or plan again by --replace"
        )


def _difference(one: Plan, other: Plan) -> str:
    names = ("options", "versions", "weights", "overlays", "shard_pages", "parts")
    parts = [name for name in names if getattr(one, name) != getattr(other, name)]
    return ", ".join(parts).replace("parts", "pages")


def _pages_of(sources: Sequence[str], all_pages: bool) -> tuple[pa.Table, int]:
    """Pages as a manifest without repetitions, and how many rows were repetitions."""
    tables = [_table_of(source, all_pages) for source in sources]
    table = pa.concat_tables(tables) if tables else COLUMNS.empty_table()
    if not len(table):
        raise ValueError(f"at least one page is needed; found none in {', '.join(sources) or 'nothing'}")
    seen: set[tuple[str, int]] = set()
    kept = []
    for pair in zip(table["uri"].to_pylist(), table["page"].to_pylist(), strict=True):
        kept.append(pair not in seen)
        seen.add(pair)
    return table.filter(pa.array(kept)).combine_chunks(), kept.count(False)


def _table_of(source: str, all_pages: bool) -> pa.Table:
    """A manifest, or the pages in a folder."""
    suffix = source.lower().rpartition(".")[2]
    if suffix in ("csv", "parquet"):
        return _manifest(source, suffix)
    found = storage.files_below(source)
    if not storage.exists(source):
        found = {uri: size for uri, size in found.items() if is_page(uri.rpartition("/")[2])}
    files = {printable(uri): size for uri, size in found.items()}
    rows = [
        {"uri": uri, "page": page, "sha256": None, "size": size}
        for uri, size in files.items()
        for page in range(1, 1 + (_n_pages(uri) if all_pages else 1))
    ]
    return pa.Table.from_pylist(rows, schema=COLUMNS)


def _n_pages(uri: str) -> int:
    """Pages of a file; 1 of a file that cannot be opened, so that reading it says why."""
    try:
        with tempfile.TemporaryDirectory(prefix="ecg-hough-") as folder:
            path = Path(folder, uri.rpartition("/")[2])
            path.write_bytes(storage.read_bytes(uri))
            return count_pages(path)
    except PageError:
        return 1


def _manifest(uri: str, suffix: str) -> pa.Table:
    data = io.BytesIO(storage.read_bytes(uri, most_bytes=MANIFEST_BYTES))
    try:
        if suffix == "csv":
            as_text = pa.csv.ConvertOptions(column_types={"uri": pa.string(), "sha256": pa.string()},
                                            strings_can_be_null=True)  # fmt: skip
            table = pa.csv.read_csv(data, convert_options=as_text)
        else:
            table = pq.read_table(data)
    except pa.ArrowException as error:
        raise ValueError(f"{uri} must be a manifest; {error}") from error
    if "uri" not in table.column_names:
        raise ValueError(f"{uri} must have a column uri; got {', '.join(table.column_names) or 'none'}")
    rows = table.to_pylist()
    folder = uri.rpartition("/")[0]
    for k, row in enumerate(rows):
        _check_row(f"{uri}, row {k + 1}", row)
        row["page"] = row.get("page") or 1
        if not storage.is_uri(row["uri"]) and not os.path.isabs(row["uri"]) and folder:
            row["uri"] = storage.join(folder, row["uri"])
        row["sha256"] = row["sha256"].lower() if row.get("sha256") else None
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in COLUMNS.names} for row in rows], schema=COLUMNS
    )


def _check_row(where: str, row: dict[str, Any]) -> None:
    if not row["uri"]:
        raise ValueError(f"{where}: uri must not be empty")
    if row.get("sha256") and not _HEX.fullmatch(str(row["sha256"]).lower()):
        raise ValueError(f"{where}: sha256 must have 64 hexadecimal digits; got {row['sha256']!r}")
    for name, least in (("page", 1), ("size", 0)):
        value = row.get(name)
        if value is not None and not (isinstance(value, int) and value >= least):
            raise ValueError(f"{where}: {name} must be a whole number of at least {least}; got {value!r}")
