"""Plans and their parts: the same bits whatever made them, and whatever was killed on the way."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")
from ecg_hough.batch import plan as plans
from ecg_hough.batch import storage
from ecg_hough.batch.parts import NO_VALUE, part_bytes, read_part, row_of_record, signals_of
from ecg_hough.batch.plan import Plan, load_plan, make_plan
from ecg_hough.batch.run import Progress, run_here, share_of, status_of
from ecg_hough.batch.shard import work
from ecg_hough.batch.summary import done_parts, summarize, write_report
from ecg_hough.batch.verify import verify
from ecg_hough.batch.workers import Limits
from fast_reader import FastReader, write_pages
from made_up_ecg import made_up_ecg, write_page_image
from parts_made import parts_of

READ = FastReader()
FAULTS = {1: "check", 3: "refused", 7: "dies", 9: "bug"}


def planned(tmp_path: Path, root: str | Path = "out", n: int = 24, **options: Any) -> Plan:
    """A plan of pages, some of them bad, in shards of ten."""
    pages = tmp_path / "pages"
    if not pages.exists():
        write_pages(pages, n, FAULTS)
    chosen = {"shard_pages": 10, "overlays": "none", "read": READ} | options
    return make_plan([str(pages)], str(tmp_path / root if isinstance(root, Path) else root), **chosen)


def run(plan: Plan, read: FastReader, **options: Any) -> Progress:
    """A run in which a page that ends its worker is given up at once: every start of one takes time."""
    return run_here(plan, read, **{"limits": Limits(tries=1)} | options)


def here(tmp_path: Path, root: str, **options: Any) -> Plan:
    return planned(tmp_path, str(tmp_path / root), **options)


def rows_of(plan: Plan) -> list[dict[str, Any]]:
    return [row for _, _, data in done_parts(plan) for row in read_part(data).rows]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    """An undisturbed run of one worker."""
    folder = tmp_path_factory.mktemp("reference")
    plan = here(folder, "out")
    run(plan, READ)
    return folder, plan


def test_every_page_is_a_row(reference: tuple[Path, Plan]) -> None:
    folder, plan = reference
    rows = rows_of(plan)
    assert [row["row"] for row in rows] == list(range(24))
    assert [row["uri"] for row in rows] == sorted(str(path) for path in (folder / "pages").iterdir())
    by_name = {Path(row["uri"]).name: row for row in rows}
    stages = {name: (row["status"], row["stage"]) for name, row in by_name.items() if row["stage"]}
    assert stages == {
        "p3.png": ("refused", "layout"), "p7.png": ("failed", "died"), "p9.png": ("failed", "internal"),
    }  # fmt: skip
    assert by_name["p1.png"]["status"] == "check"
    assert by_name["p1.png"]["warnings"] == ["Check the gain."]
    page = folder / "pages" / "p5.png"
    assert by_name["p5.png"]["sha256"] == hashlib.sha256(page.read_bytes()).hexdigest()
    truth = READ(page)
    np.testing.assert_allclose(signals_of(by_name["p5.png"]), truth.signals, atol=0.51e-3)
    np.testing.assert_allclose(signals_of(by_name["p5.png"], "sd"), truth.sd_mv, atol=0.51e-3)
    assert json.loads(by_name["p5.png"]["record"])["layout"] == truth.layout
    with pytest.raises(ValueError, match="has no signals"):
        signals_of(by_name["p3.png"])


@pytest.mark.slow
def test_parts_are_the_same_bits_whoever_makes_them(reference: tuple[Path, Plan]) -> None:
    folder, plan = reference
    expected = parts_of(plan)
    two = here(folder, "two")
    seen: list[Progress] = []
    end = run(two, READ, workers=2, on_page=lambda progress, row: seen.append(progress))
    assert end.counts == {"ok": 20, "check": 1, "refused": 1, "failed": 2}
    assert [progress.done for progress in seen] == list(range(1, 25))
    assert parts_of(two) == expected
    jobs = here(folder, "jobs")
    for job in range(2):
        run(jobs, READ, shard=f"{job}/2")
    assert parts_of(jobs) == expected
    one = here(folder, "one")
    assert [work(one, k, READ, limits=Limits(tries=1))["rows"] for k in range(3)] == [10, 10, 4]
    assert parts_of(one) == expected


def test_a_stopped_run_goes_on(reference: tuple[Path, Plan]) -> None:
    folder, plan = reference
    stopped = here(folder, "stopped")

    def stop(progress: Progress, row: dict[str, Any]) -> None:
        if progress.done == 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stopped, READ, on_page=stop)
    status = status_of(stopped)
    assert (status.shards_done, status.pages_done, status.runs) == (1, 10, ())
    end = run(stopped, READ)
    assert (end.before, end.done) == (10, 14)
    assert run(stopped, READ).done == 0
    assert parts_of(stopped) == parts_of(plan)
    assert not storage.names_in(stopped.place(plans.TRIES))


@pytest.mark.slow
def test_the_status_of_a_run_elsewhere(reference: tuple[Path, Plan]) -> None:
    folder, _ = reference
    plan = here(folder, "watched")
    seen = []
    run(plan, READ, on_page=lambda progress, row: seen.append(status_of(plan)))
    assert [len(status.runs) for status in seen] == [1] * 24
    assert seen[-1].shards_done == 3
    assert seen[-1].pages_per_s > 0
    assert not status_of(plan).runs


@pytest.mark.slow
def test_storage_is_s3(reference: tuple[Path, Plan], s3_root: str) -> None:
    """Pages, plan and parts in a bucket, with workers that reach it themselves."""
    folder, _ = reference
    for path in (folder / "pages").iterdir():
        storage.put_bytes(f"{s3_root}/pages/{path.name}", path.read_bytes())
    plan = make_plan([f"{s3_root}/pages"], f"{s3_root}/out", read=READ, shard_pages=10, overlays="none")
    end = run(plan, READ, workers=2)
    assert end.counts == {"ok": 20, "check": 1, "refused": 1, "failed": 2}
    assert [row["uri"] for row in rows_of(plan)] == [
        f"{s3_root}/pages/{name}" for name in sorted(path.name for path in (folder / "pages").iterdir())
    ]
    assert verify(plan, READ, n=5).problems == ()
    assert storage.exists(write_report(plan, summarize(plan)))


# --- plans


def test_a_manifest(tmp_path: Path) -> None:
    pages = write_pages(tmp_path, 3)
    digest = hashlib.sha256(pages[0].read_bytes()).hexdigest()
    rows = [
        {"uri": "p0.png", "sha256": digest.upper(), "size": 12 + 0, "page": 1},
        {"uri": str(pages[1]), "sha256": "", "size": "", "page": ""},
        {"uri": "p2.png", "sha256": "1" * 64, "size": "", "page": 1},
        {"uri": "p0.png", "sha256": digest, "size": 12, "page": 1},
        {"uri": "none.png", "sha256": "", "size": "", "page": 1},
    ]
    rows[0]["size"] = rows[3]["size"] = len(pages[0].read_bytes())
    with (tmp_path / "pages.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["uri", "sha256", "size", "page"])
        writer.writeheader()
        writer.writerows(rows)
    plan = make_plan([str(tmp_path / "pages.csv")], str(tmp_path / "out"), read=READ, overlays="none")
    assert (plan.n_pages, plan.n_twice) == (4, 1)
    run(plan, READ)
    found = [(Path(row["uri"]).name, row["status"], row["stage"]) for row in rows_of(plan)]
    assert found == [
        ("p0.png", "ok", None), ("p1.png", "ok", None), ("p2.png", "failed", "fetch"),
        ("none.png", "failed", "fetch"),
    ]  # fmt: skip
    assert "must have the sha256 1111" in rows_of(plan)[2]["reason"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path\na.png\n", "must have a column uri; got path"),
        ("uri,page\na.png,0\n", "row 1: page must be a whole number of at least 1; got 0"),
        ("uri,sha256\na.png,12\n", "row 1: sha256 must have 64 hexadecimal digits; got '12'"),
        ("uri\n", "at least one page is needed"),
    ],
)
def test_bad_manifests(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "pages.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        make_plan([str(tmp_path / "pages.csv")], str(tmp_path / "out"), read=READ)


def test_a_part_s_name_is_what_it_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = here(tmp_path, "a")
    assert here(tmp_path, "b").parts == first.parts
    assert here(tmp_path, "a") == first
    assert set(here(tmp_path, "c", overlays="all").parts).isdisjoint(first.parts)
    more = write_pages(tmp_path / "pages", 26, FAULTS)
    assert len(more) == 26
    longer = here(tmp_path, "d")
    # Sorted by name, p24 and p25 come after p23, before p3: the first shard has the same pages.
    assert longer.parts[0] == first.parts[0]
    assert longer.parts[1] != first.parts[1]
    monkeypatch.setattr(plans, "versions", lambda: {"ecg_hough": "9", "code": "", "weights": ""})
    assert set(here(tmp_path, "e").parts).isdisjoint(longer.parts)


@pytest.mark.slow
def test_one_plan_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = here(tmp_path, "out")
    run(first, READ, shard="0/3")
    with pytest.raises(ValueError, match="other overlays, pages: choose another folder"):
        here(tmp_path, "out", overlays="all")
    write_pages(tmp_path / "pages", 26, FAULTS)
    second = here(tmp_path, "out", replace=True)
    # The part that both have is kept.
    assert second.done() == {0}
    assert run(second, READ).done == 16
    monkeypatch.setattr(plans, "versions", lambda: {"ecg_hough": "9", "code": "", "weights": ""})
    with pytest.raises(ValueError, match="this installation must be that of the plan"):
        work(second, 0, READ)
    with pytest.raises(ValueError, match="must hold a plan"):
        load_plan(str(tmp_path / "nowhere"))


def test_shares() -> None:
    assert share_of(None, 3) == [0, 1, 2]
    assert [share_of(f"{job}/2", 5) for job in range(2)] == [[0, 2, 4], [1, 3]]
    for bad in ("2/2", "x", "1", "-1/2", "0/0"):
        with pytest.raises(ValueError, match="shard must be i/n"):
            share_of(bad, 3)


def test_all_pages_of_a_file(tmp_path: Path) -> None:
    first, second = (Image.new("L", (300, 200), level) for level in (0, 255))
    first.save(tmp_path / "two.tif", save_all=True, append_images=[second])
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-")
    made = [
        make_plan([str(tmp_path)], str(tmp_path / f"out{every}"), read=READ, all_pages=every)
        for every in (False, True)
    ]
    names = [[(Path(row["uri"]).name, row["page"]) for row in plan.rows(0)] for plan in made]
    assert names[0] == [("bad.pdf", 1), ("two.tif", 1)]
    assert names[1] == [("bad.pdf", 1), ("two.tif", 1), ("two.tif", 2)]


# --- parts


def test_large_voltages_have_a_larger_step() -> None:
    ecg = made_up_ecg()
    row = row_of_record(replace(ecg, signals=ecg.signals * 100))
    assert row["uv_per_step"] == 4
    back = read_part(part_bytes([row | {"row": 0, "uri": "a", "page": 1}], {})).rows[0]
    np.testing.assert_allclose(signals_of(back), ecg.signals * 100, atol=2.1e-3)
    assert NO_VALUE in back["signals"]


def test_a_damaged_part() -> None:
    with pytest.raises(ValueError, match="must be a Parquet file"):
        read_part(b"PAR1")


def test_parts_are_read_by_other_programs(reference: tuple[Path, Plan]) -> None:
    """The query in docs/scale.md."""
    duckdb = pytest.importorskip("duckdb")
    folder, _ = reference
    query = f"select status, count(*) from '{folder}/out/parts/*.parquet' group by status"
    assert dict(duckdb.sql(query).fetchall()) == {"ok": 20, "check": 1, "refused": 1, "failed": 2}


# --- report and verify


def test_report_counts_and_shows(tmp_path: Path) -> None:
    """Real pictures, so that the page to check has its own in the report."""
    pages = tmp_path / "pages"
    write_page_image(pages / "a<b.png")
    for name, fault in (("b.png", b"refused"), ("c.png", b"fine")):
        (pages / name).write_bytes(fault)
    read = FastReader(checks_pictures=True)
    plan = make_plan([str(pages)], str(tmp_path / "out"), read=read)
    run(plan, read)
    summary = summarize(plan)
    assert summary.statuses == {"check": 1, "refused": 1, "ok": 1}
    assert summary.stages == {"layout": 1}
    assert summary.warnings == {"Gain # mm/mV was assumed.": 1}
    assert len(summary.slowest) == 3
    assert [Path(row["uri"]).name for row in summary.worst] == ["a<b.png"]
    text = Path(write_report(plan, summary)).read_text()
    assert "a&lt;b.png" in text
    assert "data:image/jpeg;base64," in text
    assert "a<b.png" not in text
    assert summary.to_dict()["statuses"]["refused"] == 1


@pytest.mark.slow
def test_verify_finds_what_is_wrong(tmp_path: Path) -> None:
    plan = here(tmp_path, "out")
    run(plan, READ)
    found = verify(plan, READ, n=24)
    assert (found.n_parts, found.n_read, found.problems) == (3, 23, ())
    page = tmp_path / "pages" / "p0.png"
    page.write_bytes(b"fine\nanother")
    part = Path(plan.place(plans.PARTS, f"{plan.parts[1]}.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    (Path(plan.root) / plans.PARTS / f"{plan.parts[2]}.parquet").unlink()
    problems = verify(plan, READ, n=24).problems
    assert any("p0.png: the file is not the one that was read" in one for one in problems)
    assert any(f"part {plan.parts[1]}: its sha256" in one for one in problems)
    assert any(f"part {plan.parts[2]}: " in one and "no such file" in one for one in problems)


@pytest.mark.slow
def test_verify_reads_again(tmp_path: Path) -> None:
    plan = here(tmp_path, "out")
    run(plan, READ)
    problems = verify(plan, FastReader(drift_mv=0.01), n=24).problems
    assert len(problems) == 21
    assert all("signals differ" in one for one in problems)


# --- ends of all kinds


@pytest.mark.slow
def test_a_page_that_ends_the_whole_run_is_given_up(tmp_path: Path) -> None:
    """As a container that is killed for its memory: nobody is there to count but the notes in the storage."""
    plan = here(tmp_path, "out", n=12)
    uri = plan.place(plans.TRIES, f"{plan.parts[0]}.json")

    class EndsTheRun(BaseException):
        pass

    def end(progress: Progress, row: dict[str, Any]) -> None:
        raise EndsTheRun

    storage.put_bytes(uri, json.dumps({"starts": 2, "in_flight": [4], "deaths": {"4": 1}}).encode())
    with pytest.raises(EndsTheRun):
        run(plan, READ, on_page=end)
    note = json.loads(storage.read_bytes(uri))
    assert (note["starts"], note["deaths"]) == (3, {"4": 2})
    # The run has ended at pages that it had noted; the fourth is among them once more.
    storage.put_bytes(uri, json.dumps(note | {"in_flight": [4]}).encode())
    run(plan, READ, limits=Limits(tries=3))
    rows = [row for row in rows_of(plan) if row["row"] < 10 and row["stage"] == "died"]
    assert [row["row"] for row in rows] == [4, 9]  # the ninth is p7, which ends its worker
    assert rows[0]["status"] == "failed"
    assert "the run ended 3 times while this page was read" in rows[0]["reason"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists processes in /proc")
def test_killed_at_random_times(tmp_path: Path) -> None:
    """`ecg-lab kills` does this with 1000 pages and 20 kills."""
    kill_at_random = pytest.importorskip("ecg_lab.kills").kill_at_random

    figures = kill_at_random(tmp_path, n_pages=120, n_kills=4, shard_pages=20, seed=1)
    assert figures.n_killed == 4
    assert figures.same_result
    assert figures.rows_twice == 0
    assert figures.orphans_after_5_s == 0
