import csv
import functools
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecg_hough.datasets import ptbxl_table as ptbxl
from ecg_hough.datasets.ptbxl_table import fetch_ptbxl, patient_groups, strat_folds
from ecg_hough.datasets.split import read_signals
from ecg_hough.paper import LEADS

NAMES = ["records500/00000/00001_hr", "records500/00000/00002_hr", "records500/01000/01001_hr"]
PATIENTS = ["15709.0", "13243.0", "15709.0"]
FOLDS = ["3", "10", "3"]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the mirror, counts requests, and can break one file."""

    requested: list[str]
    broken: dict[str, bytes]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.requested.append(self.path)
        if self.path in self.broken:
            body = self.broken[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        super().do_GET()


class Mirror:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requested: list[str] = []
        self.broken: dict[str, bytes] = {}
        handler = type("OneHandler", (Handler,), {"requested": self.requested, "broken": self.broken})
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
        )
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptbxl, "RETRY_WAITS_S", (0.0,))


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    """Three tiny records with PTB-XL's names, list and table."""
    folder = tmp_path / "mirror"
    for k, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        signals = np.random.default_rng(k).normal(0, 0.5, (50, 12)).round(3)
        wfdb.wrsamp(
            path.name, 500, ["mV"] * 12, list(LEADS), signals, fmt=["16"] * 12,
            adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=str(path.parent),
        )  # fmt: skip
    low = [name.replace("records500", "records100").replace("_hr", "_lr") for name in NAMES]
    (folder / "RECORDS").write_text("\n".join(low + NAMES) + "\n")
    with (folder / "ptbxl_database.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["ecg_id", "patient_id", "report", "strat_fold", "filename_lr", "filename_hr"])
        for row in zip(PATIENTS, FOLDS, low, NAMES, strict=True):
            table.writerow([1, row[0], "sinusrhythmus, ecg\nnormal", *row[1:]])
    server = Mirror(folder)
    yield server
    server.server.shutdown()
    server.server.server_close()


def test_fetch_all(mirror: Mirror, tmp_path: Path) -> None:
    out = tmp_path / "ptbxl"
    progress: list[tuple[int, int]] = []
    stems = fetch_ptbxl(out, base_url=mirror.url, on_progress=lambda *step: progress.append(step))
    assert stems == [out / name for name in NAMES]
    for stem, name in zip(stems, NAMES, strict=True):
        signals, fs = read_signals(stem)
        assert fs == 500
        np.testing.assert_array_equal(signals, read_signals(mirror.folder / name)[0])
    assert progress == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert not any("records100" in path for path in mirror.requested)
    assert not (out / ".partial").exists()


def test_second_run_fetches_nothing(mirror: Mirror, tmp_path: Path) -> None:
    out = tmp_path / "ptbxl"
    fetch_ptbxl(out, base_url=mirror.url)
    mirror.requested.clear()
    assert len(fetch_ptbxl(out, base_url=mirror.url)) == 3
    assert mirror.requested == []
    # Complete records need no network at all.
    assert len(fetch_ptbxl(out, base_url="http://127.0.0.1:9")) == 3


def test_it_goes_on_where_it_was(mirror: Mirror, tmp_path: Path) -> None:
    out = tmp_path / "ptbxl"
    first = fetch_ptbxl(out, n=1, base_url=mirror.url)
    assert first == [out / NAMES[0]]
    # Another program left a cut signal file and a file without its header.
    data = (out / NAMES[1]).with_suffix(".dat")
    data.write_bytes((mirror.folder / NAMES[1]).with_suffix(".dat").read_bytes()[:100])
    (out / NAMES[1]).with_suffix(".hea").write_bytes(
        (mirror.folder / NAMES[1]).with_suffix(".hea").read_bytes()
    )
    mirror.requested.clear()
    fetch_ptbxl(out, base_url=mirror.url)
    assert not any(NAMES[0] in path for path in mirror.requested)
    assert data.stat().st_size == 50 * 12 * 2
    np.testing.assert_array_equal(read_signals(out / NAMES[1])[0], read_signals(mirror.folder / NAMES[1])[0])


def test_folds(mirror: Mirror, tmp_path: Path) -> None:
    stems = fetch_ptbxl(tmp_path / "a", folds=[3], base_url=mirror.url)
    assert [stem.name for stem in stems] == ["00001_hr", "01001_hr"]
    assert len(fetch_ptbxl(tmp_path / "b", folds=[3], n=1, base_url=mirror.url)) == 1
    (mirror.folder / "ptbxl_database.csv").unlink()
    with pytest.raises(ValueError, match=r"folds need ptbxl_database\.csv"):
        fetch_ptbxl(tmp_path / "c", folds=[3], base_url=mirror.url)


def test_a_mirror_without_the_table(mirror: Mirror, tmp_path: Path) -> None:
    (mirror.folder / "ptbxl_database.csv").unlink()
    out = tmp_path / "ptbxl"
    assert len(fetch_ptbxl(out, base_url=mirror.url)) == 3
    assert patient_groups(out) == {name: name for name in ("00001_hr", "00002_hr", "01001_hr")}


@pytest.mark.parametrize("ending", [".dat", ".hea"])
def test_a_broken_record_leaves_nothing(mirror: Mirror, tmp_path: Path, ending: str) -> None:
    out = tmp_path / "ptbxl"
    mirror.broken["/" + NAMES[1] + ending] = b"00002_hr 12 500"
    with pytest.raises(ConnectionError, match=r"a record must be whole; .*00002_hr is not"):
        fetch_ptbxl(out, base_url=mirror.url)
    assert not list(out.rglob("00002_hr.*"))
    assert not (out / ".partial").exists()
    mirror.broken.clear()
    assert len(fetch_ptbxl(out, base_url=mirror.url)) == 3


def test_a_missing_record_is_named(mirror: Mirror, tmp_path: Path) -> None:
    (mirror.folder / NAMES[2]).with_suffix(".dat").unlink()
    with pytest.raises(ConnectionError, match=r"01001_hr\.dat must be reachable; got 404"):
        fetch_ptbxl(tmp_path / "ptbxl", base_url=mirror.url)


def test_remains_of_a_killed_run_are_removed(mirror: Mirror, tmp_path: Path) -> None:
    out = tmp_path / "ptbxl"
    remains = out / ".partial" / "records500" / "00000" / "00009_hr.hea"
    remains.parent.mkdir(parents=True)
    remains.write_text("00009_hr 12 500 5000")
    fetch_ptbxl(out, n=1, base_url=mirror.url)
    assert not list(out.rglob("00009_hr.*"))


def test_no_network(tmp_path: Path) -> None:
    with socket.socket() as free:  # a port where nobody listens
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ConnectionError, match=r"must be reachable; got .*Check the network"):
        fetch_ptbxl(tmp_path / "ptbxl", base_url=url)
    assert list((tmp_path / "ptbxl").iterdir()) == []


def test_default_address_is_physionet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def refuse(url: str, _: str) -> None:
        asked.append(url)
        raise OSError("no network")

    monkeypatch.setattr(ptbxl.download, "dl_full_file", refuse)
    with pytest.raises(ConnectionError, match="no network"):
        fetch_ptbxl(tmp_path / "ptbxl")
    assert set(asked) == {"https://physionet.org/files/ptb-xl/1.0.3/ptbxl_database.csv"}


def test_patient_groups(mirror: Mirror) -> None:
    groups = patient_groups(mirror.folder)
    assert groups["00001_hr"] == groups["01001_hr"] == groups["00001_lr"] == "15709"
    assert groups["00002_hr"] == "13243"


def test_patient_groups_of_an_unlisted_record(mirror: Mirror) -> None:
    (mirror.folder / "other.hea").write_text("other 12 500 5000\n")
    assert patient_groups(mirror.folder)["other"] == "other"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be 1 or more; got 0"),
        ({"folds": [0, 3]}, r"folds must be among 1\.\.10; got \[0, 3\]"),
        ({"folds": []}, r"folds must be among 1\.\.10; got \[\]"),
    ],
)
def test_bad_arguments(arguments: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        fetch_ptbxl(tmp_path, **arguments)


def test_a_list_without_500_hz_records(mirror: Mirror, tmp_path: Path) -> None:
    (mirror.folder / "RECORDS").write_text("records100/00000/00001_lr\n")
    with pytest.raises(ValueError, match="must list records at 500 Hz"):
        fetch_ptbxl(tmp_path / "ptbxl", base_url=mirror.url)


def test_a_table_without_its_columns_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ptbxl_database.csv").write_text(
        "ecg_id,patient_id,filename_hr\n1,15709,records500/00001_hr\n"
    )
    with pytest.raises(ValueError, match=r"must have PTB-XL's columns; it lacks filename_lr\."):
        patient_groups(tmp_path)
    with pytest.raises(ValueError, match="it lacks strat_fold, filename_lr"):
        strat_folds(tmp_path)
    assert strat_folds(tmp_path / "none") == {}
