"""The templates in docs/templates do the shards of their job: each is run as its program would run it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")
from ecg_hough.batch.plan import make_plan
from ecg_hough.batch.run import run_here, share_of
from ecg_hough.cli import batch
from fast_reader import FastReader, write_pages
from parts_made import parts_of
from places import ROOT

TEMPLATES = ROOT / "docs" / "templates"


def call_of(script: str, tmp_path: Path, **variables: str) -> tuple[str, list[int], int]:
    """Root, shards of ten and processes that a shell script asks `ecg-hough` for."""
    called = tmp_path / "called"
    program = tmp_path / "ecg-hough"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {called}\n')
    program.chmod(0o755)
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", script], check=True, timeout=60, env=os.environ | path | variables)
    words = called.read_text().splitlines()
    assert words[:2] == ["batch", "run"]
    parsed = get_command(batch.app).commands["run"].make_context("run", words[2:]).params  # type: ignore[attr-defined]
    return parsed["root"], share_of(parsed["shard"], 10), parsed["workers"]


def test_slurm(tmp_path: Path) -> None:
    script = (TEMPLATES / "slurm.sh").read_text()
    assert "#SBATCH --requeue" in script
    array = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_CPUS_PER_TASK": "8"}
    assert call_of(script, tmp_path, ROOT="/data/a b", **array) == ("/data/a b", [1, 5, 9], 8)


def test_kubernetes(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((TEMPLATES / "kubernetes.yaml").read_text())
    assert (job["kind"], job["spec"]["completionMode"]) == ("Job", "Indexed")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    assert int(variables["JOBS"]) == job["spec"]["completions"] == 100
    assert container["command"] == ["/bin/sh", "-c"]
    (script,) = container["args"]
    called = call_of(script, tmp_path, **variables | {"JOB_COMPLETION_INDEX": "3"})
    assert called == ("s3://bucket/batch", [3], 4)


def test_nextflow(tmp_path: Path) -> None:
    text = (TEMPLATES / "nextflow.nf").read_text()
    reading, report = re.findall(r'script:\n    """\n(.*?)    """', text, re.DOTALL)
    assert 'batch report "${params.root}"' in report
    for name, value in {"params.root": "x", "job": "2", "params.jobs": "5", "task.cpus": "4"}.items():
        assert f"${{{name}}}" in reading
        reading = reading.replace(f"${{{name}}}", value)
    assert call_of(reading, tmp_path) == ("x", [2, 7], 4)


def test_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts are those of a run on this machine."""
    pyspark = pytest.importorskip("pyspark")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    spec = importlib.util.spec_from_file_location("spark_batch", TEMPLATES / "spark_batch.py")
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    read = FastReader()
    write_pages(tmp_path / "pages", 12, {1: "check", 3: "refused", 7: "dies"})
    plans = [
        make_plan([str(tmp_path / "pages")], str(tmp_path / root), read=read, shard_pages=5, overlays="none")
        for root in ("here", "there")
    ]
    run_here(plans[0], read)
    session = pyspark.sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = session.getOrCreate()
    try:
        assert recipe.run_on_spark(spark, plans[1].root, read) == 12
        assert recipe.run_on_spark(spark, plans[1].root, read) == 0
    finally:
        spark.stop()
    assert parts_of(plans[1]) == parts_of(plans[0])
