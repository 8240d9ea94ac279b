from __future__ import annotations

import errno
import json
import math
import operator
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ecg_hough.batch import lineage, predict
from ecg_hough.batch.lineage import page_code
from ecg_hough.batch.pages import PageFile, find_pages
from ecg_hough.batch.predict import BatchReport, PageResult, predict_pages
from ecg_hough.batch.reader import Digitizer, digitizer_of
from ecg_hough.errors import PageError
from fast_reader import FastReader, write_pages
from made_up_ecg import OtherReader, stand_in_digitize, write_page_image
from test_rooms import PACKAGE, imports


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return stand_in_digitize(monkeypatch)


def stems(pages: list[PageFile]) -> list[str]:
    return [page.stem for page in pages]


def read_report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())


def one_result(report: BatchReport) -> tuple[str, str]:
    assert not report.done
    ((_, stage, message),) = report.failed
    return stage, message


# --- finding pages


def test_folders_are_searched_in_natural_order(tmp_path: Path) -> None:
    for name in (
        "p10.png",
        "p2.png",
        "b/p1.JPG",
        "notes.txt",
        "._p2.png",
        ".cache/p3.png",
        "p2.overlay.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert stems(find_pages([tmp_path])) == ["b/p1", "p2", "p10"]


def test_files_are_taken_whatever_their_suffix_and_only_once(tmp_path: Path) -> None:
    (tmp_path / "a.dat").touch()
    (tmp_path / "b.png").touch()
    pages = find_pages([tmp_path / "a.dat", tmp_path, tmp_path / "b.png", str(tmp_path / "." / "a.dat")])
    assert stems(pages) == ["a", "b"]
    assert all(page.problem is None for page in pages)


def test_pages_that_would_write_the_same_files(tmp_path: Path) -> None:
    for name in ("a b.png", "a_b.jpg", "c.png", "report.png"):
        (tmp_path / name).touch()
    problems = {page.path.name: page.problem for page in find_pages([tmp_path])}
    assert "a_b.jpg" in (problems["a b.png"] or "")
    assert "a b.png" in (problems["a_b.jpg"] or "")
    assert "report.json" in (problems["report.png"] or "")
    assert problems["c.png"] is None


def test_no_page_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match=r"at least one page .*found none in"):
        find_pages([tmp_path])


def test_a_folder_that_cannot_be_listed(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root every folder can be listed, so the refusal is played."""
    write_page_image(tmp_path / "pages" / "a.png")
    locked = tmp_path / "pages" / "locked"
    locked.mkdir()
    list_folder = os.scandir

    def scandir(path: Any) -> Any:
        if str(path) == str(locked):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", scandir)
    report = predict_pages([tmp_path / "pages"], tmp_path / "out")
    assert [path.name for path in report.done] == ["a.png"]
    assert report.failed[0].path == locked
    assert "cannot list the folder: Permission denied" in report.failed[0].message


# --- digitising them


def test_every_page_gets_its_files_under_its_folder(tmp_path: Path, calls: list[str]) -> None:
    pages = tmp_path / "pages"
    write_page_image(pages / "a.png")
    write_page_image(pages / "sub" / "a.png")
    results: list[tuple[PageResult, int]] = []
    out = tmp_path / "out"
    report = predict_pages([pages], out, extras=["overlay"], on_page=lambda *both: results.append(both))
    assert len(report.done) == 2
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.*")} == {
        "report.json",
        *(f"{place}a.{kind}" for place in ("", "sub/") for kind in ("hea", "dat", "json", "overlay.png")),
    }
    assert [(result.status, total) for result, total in results] == [("done", 2)] * 2
    assert results[0][0].leads_found == 11
    run = read_report(out)
    assert run["counts"] == {"done": 2}
    assert run["options"]["overlay"] is True
    assert run["pages"][0]["warnings"] == ["aVR is not printed."]


def test_one_failure_does_not_stop_the_rest(tmp_path: Path, calls: list[str]) -> None:
    pages = tmp_path / "pages"
    for name in ("a.png", "bug.png", "z.png"):
        write_page_image(pages / name)
    (pages / "broken.png").write_bytes((pages / "a.png").read_bytes()[:2000])
    out = tmp_path / "out"
    report = predict_pages([pages, tmp_path / "missing.png"], out)
    assert [path.name for path in report.done] == ["a.png", "z.png"]
    failures = {failure.path.name: failure[1:] for failure in report.failed}
    assert failures["bug.png"] == ("internal", "RuntimeError: a bug")
    assert failures["broken.png"][0] == failures["missing.png"][0] == "page"
    assert "no such file" in failures["missing.png"][1]
    assert not list(out.glob("b*"))
    assert read_report(out)["counts"] == {"done": 2, "failed": 3}
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_finished_pages_are_not_done_again(tmp_path: Path, calls: list[str]) -> None:
    first, second = write_page_image(tmp_path / "a.png"), write_page_image(tmp_path / "b.png", 1)
    out = tmp_path / "out"

    def done(overwrite: bool = False, **options: Any) -> list[str]:
        report = predict_pages([first, second], out, read=Digitizer(**options), overwrite=overwrite)
        assert len(report.done) + len(report.skipped) == 2
        return [path.name for path in report.done]

    assert done() == ["a.png", "b.png"]
    assert done() == []
    assert done(overwrite=True) == ["a.png", "b.png"]
    assert done(fs=250) == ["a.png", "b.png"]
    assert done(fs=250) == []
    write_page_image(first, 2)
    assert done(fs=250) == ["a.png"]
    (out / "b.dat").unlink()
    assert done(fs=250) == ["b.png"]
    (out / "a.json").write_text("{")
    assert [f.stage for f in predict_pages([first], out, read=Digitizer(250)).failed] == ["export"]
    assert len(calls) == 9


def test_another_version_is_another_result(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_page_image(tmp_path / "a.png")
    predict_pages([page], tmp_path / "out")
    monkeypatch.setattr(predict, "versions", lambda: {"ecg_hough": "9", "weights": ""})
    assert predict_pages([page], tmp_path / "out").done == (page,)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's folder, whose files the versions are made of."""
    copy = tmp_path / "ecg_hough"
    shutil.copytree(lineage.CODE_FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(lineage, "CODE_FOLDER", copy)
    monkeypatch.setattr(lineage, "WEIGHTS_FOLDER", copy / lineage.WEIGHTS_FOLDER.relative_to(PACKAGE))
    return copy


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("pipeline.py", "code"),
        ("paper.py", "code"),
        ("signals/calibrate.py", "code"),
        ("output/export.py", "code"),
        ("networks/weights/traces.onnx", "weights"),
        ("networks/weights/words.json", "weights"),
        ("training/train.py", None),
        ("render/page.py", None),
        ("scores/metrics.py", None),
        ("datasets/ludb.py", None),
        ("cli/app.py", None),
    ],
)
def test_only_what_reads_and_writes_a_page_is_part_of_the_version(
    name: str, part: str | None, package: Path
) -> None:
    before = lineage.versions()
    path = package / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    after = lineage.versions()
    assert {key for key in after if after[key] != before[key]} == ({part} if part else set())
    path.write_bytes(content)
    assert lineage.versions() == before


def test_the_version_has_all_that_a_reading_imports() -> None:
    """What `digitize` and the writing of its files import, and what that imports."""
    todo, seen = ["pipeline", "output.export", "output.overlay"], set()
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo += imports()[module]
    files = {path.relative_to(PACKAGE).with_suffix("") for path in page_code(PACKAGE)}
    assert seen <= {".".join(path.parts).removesuffix(".__init__") for path in files}


def test_another_reader_and_its_own_files(tmp_path: Path, calls: list[str]) -> None:
    page, own, out = write_page_image(tmp_path / "a.png"), tmp_path / "method.py", tmp_path / "out"
    own.write_text("one way")
    read = OtherReader(own)
    assert predict_pages([page], out, read=read).done == (page,)
    assert json.loads((out / "a.json").read_text())["fs"] == 250
    assert read_report(out)["options"]["method"] == "other"
    assert predict_pages([page], out, read=read).skipped == (page,)
    own.write_text("another way")
    assert predict_pages([page], out, read=read).done == (page,)
    assert calls == []
    assert predict_pages([page], out).done == (page,)
    assert calls == ["a.png"]


def test_disk_full_is_a_failure_of_the_page(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_page_image(tmp_path / "a.png")
    replace_file = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target).name != "report.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", replace)
    stage, message = one_result(predict_pages([page], tmp_path / "out"))
    assert stage == "export"
    assert "No space left on device" in message
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]


def test_a_folder_of_truth_is_not_overwritten(tmp_path: Path, calls: list[str]) -> None:
    page = write_page_image(tmp_path / "a.png")
    (tmp_path / "a.hea").write_text("truth")
    assert "was not written by" in one_result(predict_pages([page], tmp_path))[1]
    assert (tmp_path / "a.hea").read_text() == "truth"


def test_an_output_folder_that_cannot_be_made(tmp_path: Path, calls: list[str]) -> None:
    page = write_page_image(tmp_path / "a.png")
    (tmp_path / "out").touch()
    with pytest.raises(PageError, match="cannot write into"):
        predict_pages([page], tmp_path / "out")
    assert calls == []


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", ["fs", "speed_mm_s", "gain_mm_mv"])
def test_numbers_are_positive_and_finite(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be positive and finite; got {value}"):
        Digitizer(**{name: value})


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="readout must be trace or centroid; got 'x'"):
        Digitizer(readout="x")  # type: ignore[arg-type]
    for options in ({"workers": 0}, {"extras": ["pdf"]}):
        with pytest.raises(ValueError, match=next(iter(options))):
            predict_pages([tmp_path], tmp_path / "out", **options)


def test_a_reader_is_made_again_from_its_options(tmp_path: Path) -> None:
    for name in ("marks.onnx", "marks.json"):
        shutil.copy(lineage.WEIGHTS_FOLDER / name, tmp_path / name)
    reader = Digitizer(250, pages="2-", layout="6x2", weights=tmp_path)
    assert digitizer_of(json.loads(json.dumps(reader.options()))) == reader


def test_a_worker_that_dies_costs_only_its_page(tmp_path: Path) -> None:
    for name in ("a.png", "deadly.png", "z.png"):
        write_page_image(tmp_path / "pages" / name)
    own = tmp_path / "method.py"
    own.touch()
    report = predict_pages([tmp_path / "pages"], tmp_path / "out", read=OtherReader(own), workers=2)
    assert [path.name for path in report.done] == ["a.png", "z.png"]
    assert report.failed[0].path.name == "deadly.png"
    assert "process died" in report.failed[0].message


# --- faults that were found by experiment


def predict_fast(pages: Path | list[Path], out: Path, **options: Any) -> BatchReport:
    return predict_pages(pages if isinstance(pages, list) else [pages], out, read=FastReader(), **options)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    pages, out = tmp_path / "pages", tmp_path / "out"
    write_pages(pages, 2)
    try:
        os.rename(os.fsencode(pages / "p0.png"), os.fsencode(pages) + b"/p\xff.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    shutil.copy(pages / "p1.png", os.fsdecode(os.fsencode(pages) + b"/q\xfe.png"))
    os.truncate(os.fsencode(pages) + b"/q\xfe.png", 0)
    report = predict_fast(pages, out)
    assert len(report.done) == 2
    assert "q\\udcfe.png is empty" in report.failed[0].message
    rows = {Path(row["path"]).name: row["status"] for row in read_report(out)["pages"]}
    assert rows == {"p\\udcff.png": "done", "p1.png": "done", "q\\udcfe.png": "failed"}
    written = json.loads((out / "p_.json").read_bytes())
    assert os.fsencode(written["source"]) == b"p\xff.png"
    assert len(predict_fast(pages, out).skipped) == 2


def test_the_report_of_a_resumed_run_is_that_of_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after two pages, with a report on the disk that is whole and holds them."""
    write_pages(tmp_path / "pages", 5, {1: "check", 3: "refused"})
    monkeypatch.setattr(predict, "REPORT_EVERY_S", 0.0)
    monkeypatch.setattr(predict, "REPORT_SHARE", 1e9)

    def stop(result: PageResult, total: int) -> None:
        if result.stem == "p1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_fast(tmp_path / "pages", tmp_path / "out", on_page=stop)
    stopped = read_report(tmp_path / "out")
    assert (stopped["finished"], stopped["counts"]) == (False, {"done": 2})
    predict_fast(tmp_path / "pages", tmp_path / "out")
    predict_fast(tmp_path / "pages", tmp_path / "whole")
    assert read_report(tmp_path / "out")["finished"] is True
    both = [read_report(tmp_path / name)["pages"] for name in ("out", "whole")]
    rows = [[row | {"seconds": 0, "status": row["status"].replace("skipped", "done")} for row in one]
            for one in both]  # fmt: skip
    key = operator.itemgetter("stem")
    assert sorted(rows[0], key=key) == sorted(rows[1], key=key)


def test_the_report_of_the_last_run_stays_until_there_is_a_new_one(tmp_path: Path) -> None:
    write_pages(tmp_path / "pages", 2)
    predict_fast(tmp_path / "pages", tmp_path / "out")
    kept: list[dict[str, Any]] = []
    predict_fast(
        tmp_path / "pages", tmp_path / "out", on_page=lambda *_: kept.append(read_report(tmp_path / "out"))
    )
    assert [report["counts"] for report in kept] == [{"done": 2}] * 2


def test_a_page_of_the_same_name_from_another_folder(tmp_path: Path) -> None:
    """Two patients' pages may have one name; a page that was scanned again, or moved, is the same page."""
    first, other = (write_pages(tmp_path / name, 1)[0] for name in ("a", "b"))
    out = tmp_path / "out"
    assert predict_fast([first], out).done
    assert predict_fast([other], out).skipped  # moved, or copied
    other.write_bytes(b"fine\nanother patient")
    before = (out / "p0.dat").read_bytes()
    stage, message = one_result(predict_fast([other], out))
    assert (stage, "the record of another page of this name" in message) == ("export", True)
    assert (out / "p0.dat").read_bytes() == before
    first.write_bytes(b"fine\nscanned again")
    assert predict_fast([first], out).done
    assert predict_fast([other], out, overwrite=True).done


def test_emptied_and_changed_records_are_made_again(tmp_path: Path) -> None:
    (page,) = write_pages(tmp_path, 1)
    out = tmp_path / "out"
    predict_fast([page], out)
    whole = (out / "p0.dat").read_bytes()
    for damaged in (b"", whole[:-2], whole[:-1] + bytes([whole[-1] ^ 1])):
        (out / "p0.dat").write_bytes(damaged)
        assert predict_fast([page], out).done
        assert (out / "p0.dat").read_bytes() == whole
    assert predict_fast([page], out).skipped


def test_a_page_that_changes_while_it_is_read(tmp_path: Path) -> None:
    (page,) = write_pages(tmp_path, 1, {0: "changes"})
    stage, message = one_result(predict_fast([page], tmp_path / "out"))
    assert (stage, "changed while it was read" in message) == ("page", True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]


@pytest.mark.parametrize("suffix", [".dat", ".csv", ".hea", ".json"])
def test_a_person_s_own_files_are_not_overwritten(tmp_path: Path, suffix: str) -> None:
    (page,) = write_pages(tmp_path / "pages", 1)
    out = tmp_path / "out"
    out.mkdir()
    (out / f"p0{suffix}").write_text("mine")
    assert "was not written by" in one_result(predict_fast([page], out, extras=["csv"]))[1]
    assert (out / f"p0{suffix}").read_text() == "mine"
    assert predict_fast([page], out, extras=["csv"], overwrite=True).done


def test_a_run_killed_while_files_get_their_names_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the signals have their name and before the header has: what is there is known as ours."""
    (page,) = write_pages(tmp_path / "pages", 1)
    out, rename = tmp_path / "out", os.replace

    class Killed(BaseException):
        pass

    def replace_until_killed(source: Path, target: Path) -> None:
        if Path(target).suffix == ".hea":
            raise Killed
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_until_killed)
        # As a kill, nothing is tidied up.
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            predict_fast([page], out)
    assert {path.suffix for path in out.glob("p0.*")} == {".dat"}
    assert len(list(out.glob(".ecg-hough-*"))) > 1
    assert predict_fast([page], out).done
    assert {path.name for path in out.iterdir()} == {"report.json", "p0.dat", "p0.hea", "p0.json"}


def test_files_are_on_the_disk_before_they_have_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (page,) = write_pages(tmp_path, 1)
    flushed: set[int] = set()
    flush, rename = os.fsync, os.replace

    def fsync(handle: int) -> None:
        flushed.add(os.fstat(handle).st_ino)
        flush(handle)

    def replace(source: Path, target: Path) -> None:
        assert os.stat(source).st_ino in flushed, target
        rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    out = tmp_path / "out"
    assert predict_fast([page], out).done
    assert os.stat(out).st_ino in flushed
