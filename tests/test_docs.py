"""What the docs state and the code can check: names, numbers, files, keys, commands, results."""

from __future__ import annotations

import ast
import csv
import importlib
import importlib.util
import json
import re
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import test_rooms
from ecg_hough import digitize, paper
from ecg_hough.batch.predict import PageResult, predict_pages
from ecg_hough.output.ecg import Ecg
from ecg_hough.output.export import write_page
from ecg_hough.record import LeadStatus, Trace
from ecg_hough.signals.column_order import ONE, SEQUENTIAL, SIMULTANEOUS
from ecg_lab.cli_docs import PAGE, cli_page, commands, scripts
from ecg_lab.methods import METHODS
from places import ROOT

README = ROOT / "README.md"
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "ecg_hough"
LAB = ROOT / "experiments" / "ecg_lab"
RESULTS = ROOT / "experiments" / "results"
OWN = (
    README,
    *sorted(DOCS.rglob("*.md")),
    ROOT / "experiments" / "README.md",
    ROOT / "experiments" / "ablations" / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
)
ALL = (
    *OWN,
    ROOT / "experiments" / "challenge2024" / "README.md",
    *sorted((ROOT / "datasets").rglob("*.md")),
    *sorted((ROOT / "samples").glob("*.md")),
)
WORDS_MAX, LINE_MAX = 1100, 110
NEXT_DOOR = pytest.mark.skipif(
    importlib.util.find_spec("ecg_lab.cli") is None, reason="the command line of the laboratory is not there"
)
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
CONSTANT = re.compile(r"([a-z_0-9]+(?:\.[a-z_0-9]+)*)\.([A-Z][A-Z0-9_]+) = (.+)")
COMMAND = re.compile(r"(?:^|[\s/])(ecg-hough|ecg-lab)((?: -\S+)*) ((?:batch |keys )?[a-z][a-z-]*)([^`]*)")
DOTTED = re.compile(r"(?<![\w./-])[a-z_]\w*(?:\.\w+)+(?![\w/])")
DATA_SUFFIXES = {"pdf", "json", "csv", "gz", "png", "jpg", "hea", "pth", "parquet", "py", "zip"}
TABLE_LINE = re.compile(r"^\|(.*)\|$", re.MULTILINE)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def code_of(path: Path) -> list[str]:
    """Code spans, on one line each, and lines of fenced blocks."""
    text = text_of(path)
    spans = [" ".join(span.split()) for span in CODE.findall(FENCE.sub("", text))]
    lines = [line for block in FENCE.findall(text) for line in block.splitlines()[1:-1]]
    return spans + lines


def table(path: Path, head: str) -> list[list[str]]:
    """Cells of the table whose first cell of the head is `head`."""
    lines = text_of(path).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {head} |"))
    rows = []
    for line in lines[start + 2 :]:
        found = TABLE_LINE.match(line)
        if found is None:
            break
        rows.append([cell.strip() for cell in found[1].split("|")])
    return rows


def first_cells(path: Path, head: str) -> list[str]:
    return [row[0].strip("`") for row in table(path, head)]


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def in_the_code(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parent, _, last = name.rpartition(".")
    try:
        if importlib.util.find_spec(name) is not None:
            return True
    except ModuleNotFoundError:
        pass
    return hasattr(importlib.import_module(parent), last)


def test_readme_is_short() -> None:
    assert len(text_of(README).split()) <= WORDS_MAX


@pytest.mark.parametrize("path", [path for path in ALL if path != PAGE], ids=named)
def test_lines_fit(path: Path) -> None:
    long = [line for line in text_of(path).splitlines() if len(line) > LINE_MAX and line[0] not in "|!"]
    assert not long


@pytest.mark.parametrize("path", ALL, ids=named)
def test_links_resolve(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text_of(path))):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target


def test_every_page_of_the_docs_is_linked() -> None:
    linked = {
        (path.parent / target.partition("#")[0]).resolve()
        for path in OWN
        for target in re.findall(r"\]\(([^)\s]+)\)", text_of(path))
        if not target.startswith("http")
    }
    assert set(DOCS.rglob("*.md")) <= linked


@pytest.mark.parametrize("path", ALL, ids=named)
def test_files_and_modules_exist(path: Path) -> None:
    """Files such as `signals/scale.py`, and modules such as `python -m ecg_hough.training.layout_fit`."""
    code = code_of(path)
    for span in code:
        for name in re.findall(r"(?:^|\s)((?:[\w.-]+/)+[\w-]+\.py)\b", span):
            folders = (PACKAGE, ROOT, LAB, ROOT / "experiments", path.parent)
            assert any((folder / name).is_file() for folder in folders), name
        for name in re.findall(r"(?:^|\s)((?:experiments|src|docs|tests)/[\w./-]+)(?=\s|$)", span):
            assert (ROOT / name).exists(), name
        for name in re.findall(r"(?<![\w./-])(ecg_(?:hough|lab)(?:\.\w+)+)", span):
            assert in_the_code(name), name


def modules() -> dict[str, Path]:
    """Files of both packages, by the names of their modules."""
    files = {package.name: package for package in (PACKAGE, LAB)}
    return {
        ".".join((name, *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__"): path
        for name, root in files.items()
        for path in root.rglob("*.py")
    }


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(text_of(path))


@cache
def names_in(path: Path) -> set[str]:
    """Functions, classes, fields and values that a module defines."""
    nodes = list(ast.walk(tree_of(path)))
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return defined | {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def is_named_rightly(name: str, known: dict[str, Path]) -> bool:
    """Whether a dotted name is the end of a module's, or something, also of a class, in such a module."""
    parts = name.split(".")
    for n in range(min(3, len(parts))):
        end, inner = ".".join(parts[: len(parts) - n]), parts[len(parts) - n :]
        for module, path in known.items():
            if f".{module}".endswith(f".{end}") and names_in(path).issuperset(inner):
                return True
    return False


def test_names_in_docstrings_exist() -> None:
    """Such as `scores.guard`, `paper.SHAPES` or `signals/scale.py`; not files of data and other packages."""
    known = modules()
    for module, path in known.items():
        for node in ast.walk(tree_of(path)):
            if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                continue
            for span in CODE.findall(str(node.value.value)):
                for name in DOTTED.findall(span):
                    foreign = importlib.util.find_spec(name.partition(".")[0]) is not None
                    of_data = name.rpartition(".")[2] in DATA_SUFFIXES
                    inner = name.startswith(("ecg_hough.", "ecg_lab."))
                    if of_data or (foreign and not inner):
                        continue
                    assert is_named_rightly(name, known), f"{module}: `{name}`"
                for name in re.findall(r"[\w./-]+\.py\b", span):
                    folders = (PACKAGE, LAB, ROOT, ROOT / "experiments", path.parent)
                    assert any((folder / name).is_file() for folder in folders), f"{module}: `{name}`"


def test_a_stale_name_in_a_docstring_is_seen() -> None:
    known = modules()
    assert is_named_rightly("column_order.COEFFICIENTS", known)
    assert is_named_rightly("signals.scale", known)
    assert is_named_rightly("elements.TimeBase.columns", known)
    for stale in ("training.records.split_records", "datasets.guard", "column_order.GONE", "paper.gone"):
        assert not is_named_rightly(stale, known), stale


def constants() -> list[Any]:
    found = [(path.stem, CONSTANT.fullmatch(span)) for path in OWN for span in code_of(path)]
    return [
        pytest.param(*match.groups(), id=f"{page}: {match[1]}.{match[2]}")
        for page, match in found
        if match is not None
    ]


@pytest.mark.parametrize(("module", "name", "value"), constants())
def test_constants_are_those_of_the_code(module: str, name: str, value: str) -> None:
    assert getattr(importlib.import_module(f"ecg_hough.{module}"), name) == ast.literal_eval(value)


def test_the_method_quotes_constants() -> None:
    assert sum(CONSTANT.fullmatch(span) is not None for span in code_of(DOCS / "method.md")) >= 20


def used_commands(program: str) -> set[tuple[str, str, tuple[str, ...]]]:
    """(page, command, its long options) of all uses of a program in the docs."""
    uses = set()
    for path in ALL:
        if path != PAGE:
            for span in code_of(path):
                for found in COMMAND.finditer(span.split("#")[0]):
                    if found[1] == program and not found[4].startswith("."):
                        options = tuple(re.findall(r"(?<=\s)--[a-z-]+", found[4]))
                        uses.add((named(path), found[3], options))
    return uses


def check_commands(program: str) -> None:
    place = scripts()[program]
    section = re.compile(rf"^### {program} ([^\n]+)\n(.*?)(?=^##|\Z)", re.DOTALL | re.MULTILINE)
    sections = dict(section.findall(cli_page()))
    assert sections.keys() == commands(place).keys()
    uses = used_commands(program)
    assert uses
    for page, command, options in uses:
        assert command in sections, f"{page}: {program} {command}"
        for option in options:
            assert f"`{option}`" in sections[command], f"{page}: {program} {command} {option}"


def test_commands_of_the_tool_exist() -> None:
    check_commands("ecg-hough")


@NEXT_DOOR
def test_commands_of_the_laboratory_exist() -> None:
    check_commands("ecg-lab")


@NEXT_DOOR
def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    used = {
        target
        for path in ALL
        for span in code_of(path)
        for target in re.findall(r"(?:^|\s)make ([a-z-]+)", span.split("#")[0])
    }
    assert used
    assert used <= targets


def test_the_page_of_the_command_line_is_the_code_s() -> None:
    """`python -m ecg_lab.cli_docs` writes it again."""
    assert text_of(PAGE) == cli_page()


def test_python_in_the_readme() -> None:
    code = "\n".join(code_of(README))
    attributes = set(re.findall(r"\becg\.(\w+)", code))
    assert attributes >= {"signals", "to_wfdb"}
    assert attributes <= set(dir(record()))
    (call,) = re.findall(r"digitize\(page, ([^)]+)\)", code)
    assert set(re.findall(r"(\w+)=", call)) <= signature(digitize).parameters.keys()
    assert "options" in signature(digitize).parameters


def record() -> Ecg:
    shape = (12, 5)
    return Ecg(
        signals=np.zeros(shape), fs=500, confidence=np.ones(shape), sd_mv=np.zeros(shape),
        lead_status=tuple(LeadStatus(lead, True) for lead in paper.LEADS), angle_deg=0.0, quarter_turns=0,
        px_per_mm=None, layout="12x1", speed_mm_s=25.0, gain_mm_mv=10.0, warnings=(),
        traces=(Trace("I", False, np.zeros((2, 2))),), quality=1.0, versions={}, seconds={}, source="a.png",
    )  # fmt: skip


def test_keys_of_the_json() -> None:
    page, written = DOCS / "output.md", record().to_dict()
    assert first_cells(page, "key") == list(written)
    assert first_cells(page, "key of `panels`") == list(written["panels"][0])
    assert first_cells(page, "key of `lead_status`") == list(written["lead_status"][0])


def test_values_of_columns() -> None:
    (stated,) = (row[1] for row in table(DOCS / "output.md", "key") if row[0] == "`columns`")
    assert CODE.findall(stated) == [SEQUENTIAL, SIMULTANEOUS, ONE]


def test_keys_of_a_page_s_file(tmp_path: Path) -> None:
    path = write_page(record(), tmp_path, "page 1", extra={"request": {}})
    added = json.loads(path.read_bytes()).keys() - record().to_dict().keys()
    assert set(first_cells(DOCS / "output.md", "key of the file")) == added


def test_keys_of_the_report(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_bytes(b"no picture")
    predict_pages([tmp_path / "page.png"], tmp_path / "out")
    written = json.loads((tmp_path / "out" / "report.json").read_bytes())
    page = DOCS / "output.md"
    assert first_cells(page, "key of the report") == list(written)
    assert first_cells(page, "key of a page in the report") == list(PageResult.__dataclass_fields__)
    assert set(written["pages"][0]) == PageResult.__dataclass_fields__.keys()


def test_layouts_are_those_of_the_code() -> None:
    stated = {row[0].strip("`"): row[1] for row in table(DOCS / "layouts.md", "name")}
    assert stated == {
        layout.name: " / ".join(" ".join(row) for row in layout.rows) for layout in paper.KNOWN_LAYOUTS
    }


def test_every_method_is_described() -> None:
    cells = " ".join(row[0] for row in table(DOCS / "methods.md", "`--method`"))
    assert set(CODE.findall(cells)) == METHODS.keys()


def test_rooms_of_the_symptoms_exist() -> None:
    rows = table(DOCS / "architecture.md", "symptom")
    assert 10 <= len(rows) <= 20
    for symptom, place in rows:
        files = CODE.findall(place)
        assert files, symptom
        for file in files:
            assert (PACKAGE / file).is_file(), f"{symptom}: {file}"


def test_the_rule_is_that_of_the_tests() -> None:
    blocks = FENCE.findall(text_of(DOCS / "architecture.md"))
    (rule,) = (block for block in blocks if "ground floor:" in block)
    found = re.search(r"ground floor:(.*?)rooms:(.*?)next door:", rule, re.DOTALL)
    assert found is not None
    ground, rooms = found.groups()
    assert set(ground.split()) == test_rooms.GROUND
    assert tuple(re.findall(r"\w+", rooms)) == test_rooms.ROOMS


def test_decisions_have_a_page_a_room_and_a_date_each() -> None:
    pages = [path for path in sorted((DOCS / "decisions").glob("*.md")) if path.stem != "README"]
    assert {path.stem for path in pages} <= {path.name for path in PACKAGE.iterdir()}
    for path in pages:
        parts = re.split(r"^##+ ", text_of(path), flags=re.MULTILINE)[1:]
        for part in parts:
            body = part.partition("\n")[2].strip()
            dated = re.match(r"\*\d{4}-\d{2}-\d{2}\.\*", body) or body.startswith("|")
            assert not body or dated, f"{path.stem}: {part[:60]}"


def shown(value: float) -> str:
    return f"{value:.1f}"


def with_interval(row: dict[str, Any]) -> str:
    low, high = row["interval_95"]["challenge_snr_db"]
    return f"{shown(row['challenge_snr_db'])} ({shown(low)} to {shown(high)})"


@cache
def benchmark() -> dict[str, dict[str, Any]]:
    runs = json.loads(text_of(RESULTS / "benchmark.json"))["runs"]
    found = {name.removesuffix(" trace"): run["all"] for name, run in runs.items()}
    return found | runs["ecg_image_kit trace"]["profiles"]


def test_results_of_the_benchmark() -> None:
    rows = table(DOCS / "results.md", "pages")
    assert len(rows) == len(benchmark()) == 12
    for name, *cells in rows:
        row = benchmark()[name]
        values = (row["unaligned_snr_db"], row["kaggle_db"], row["found_pct"], row["median_s_per_page"])
        assert cells == [str(row["pages"]), with_interval(row), *map(shown, values)], name


def test_results_in_the_readme() -> None:
    rows = table(README, "pages")
    for (name, *cells), key in zip(rows, ("ecg_image_kit", "ludb", "own_layouts", "plots"), strict=True):
        row = benchmark()[key]
        values = (row["unaligned_snr_db"], row["found_pct"])
        assert cells == [str(row["pages"]), with_interval(row), *map(shown, values)], name


def test_results_of_the_comparison() -> None:
    variants = json.loads(text_of(RESULTS / "compare.json"))["variants"]
    rows = table(DOCS / "results.md", "method")
    assert [row[0].strip("`") for row in rows] == list(variants)
    for name, *cells in rows:
        every = variants[name.strip("`")]["all"]
        assert float(cells[9]) == pytest.approx(every["challenge_snr_db"], abs=0.051)
        assert float(cells[10]) == pytest.approx(every["unaligned_snr_db"], abs=0.051)
        assert cells[11] == f"{every['failed']} of {every['pages']}"
    others = [
        every["all"]["challenge_snr_db"]
        for name, every in variants.items()
        if name != "ours" and "+" not in name
    ]
    assert len(others) == 11
    best, ours = shown(max(others)), shown(variants["ours"]["all"]["challenge_snr_db"])
    assert f"best reaches {best} dB, ours {ours} dB" in " ".join(text_of(README).split())


def test_results_of_the_ablations() -> None:
    with (ROOT / "experiments" / "ablations" / "ablations.csv").open(encoding="utf-8") as file:
        measured = {row["change"]: row for row in csv.DictReader(file) if row["profile"] == "all"}
    rows = table(DOCS / "results.md", "change")
    assert [row[0] for row in rows] == list(measured)
    for change, snr, against, *_ in rows:
        assert float(snr) == pytest.approx(float(measured[change]["challenge_snr_db"]), abs=0.051)
        assert float(against) == pytest.approx(float(measured[change]["against_full_db"]), abs=0.0051)
    described = table(ROOT / "experiments" / "ablations" / "README.md", "change")
    assert [row[0] for row in described] == list(measured)


def test_results_of_the_page_maps() -> None:
    sets = json.loads(text_of(RESULTS / "geometry.json"))["sets"]
    rows = table(DOCS / "results.md", "set of maps")
    assert [row[0] for row in rows] == list(sets)
    for name, pages, without, median, p95, worst, seconds in rows:
        row = sets[name]
        assert (int(pages), int(without)) == (row["pages"], row["without_grid"])
        stated = [float(median), float(p95), float(worst), float(seconds)]
        measured = [row[key] for key in ("median_px", "p95_px", "worst_page_px", "seconds")]
        assert stated == pytest.approx(measured, abs=0.0051), name


def test_results_of_the_robustness() -> None:
    with (RESULTS / "robustness.csv").open(encoding="utf-8") as file:
        measured = list(csv.DictReader(file))
    rows = table(DOCS / "results.md", "distortion")
    assert {row[0] for row in rows} == {row["distortion"] for row in measured}
    for name, _, mild, trace, severe, worse, centroid in rows:
        for severity, method, stated in (
            (mild, "trace", trace),
            (severe, "trace", worse),
            (severe, "centroid", centroid),
        ):
            asked = (name, float(severity), method)
            scores = [
                float(row["challenge_snr_db"])
                for row in measured
                if (row["distortion"], float(row["severity"]), row["method"]) == asked
            ]
            assert float(stated) == pytest.approx(np.mean(scores), abs=0.051), asked


def test_results_of_the_clinical_measures() -> None:
    with (RESULTS / "fidelity.csv").open(encoding="utf-8") as file:
        measured = {row["measure"]: row for row in csv.DictReader(file) if row["method"] == "ours"}
    rows = table(DOCS / "results.md", "measure")
    assert [row[0] for row in rows] == list(measured)
    for name, unit, pairs, bias, limits in rows:
        row = measured[name]
        assert (unit, pairs) == (row["unit"], row["pairs"])
        stated = [float(value) for value in (bias, *limits.split(" to "))]
        assert stated == pytest.approx([float(row[key]) for key in ("bias", "lower", "upper")], abs=5.1e-4)


def test_dates_of_the_results() -> None:
    text = text_of(DOCS / "results.md")
    created = {
        "Accuracy": [
            run["created"] for run in json.loads(text_of(RESULTS / "benchmark.json"))["runs"].values()
        ],
        "Other methods": [json.loads(text_of(RESULTS / "compare.json"))["created"]],
    }
    for title, moments in created.items():
        section = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
        assert section
        assert {moment[:10] for moment in moments} <= set(re.findall(r"\d{4}-\d{2}-\d{2}", section))


def test_confidence_in_the_results() -> None:
    coverage = json.loads(text_of(RESULTS / "confidence.json"))["coverage"]
    assert f"{shown(100 * coverage)} % lie in their 90 % intervals" in " ".join(
        text_of(DOCS / "results.md").split()
    )


def test_results_of_the_measurements() -> None:
    figures = json.loads(text_of(RESULTS / "delineators.json"))
    ours = [row for row in figures["errors"] if row["way"] == "ours"]
    rows = table(DOCS / "results.md", "seen as")
    assert [(row[0], row[1].split(",")[0]) for row in rows] == [(r["view"], r["interval"]) for r in ours]
    for (_, _, measured, *stated, within), row in zip(rows, ours, strict=True):
        assert measured == f"{row['measured']} of {row['records']}"
        found = [row[key] for key in ("median_error", "spread", "p90_abs_error")]
        assert [float(value) for value in stated] == pytest.approx(found, abs=0.051)
        assert float(within) == pytest.approx(100 * row["within_2_sd"], abs=0.51)


def test_results_of_the_headers() -> None:
    count = json.loads(text_of(RESULTS / "headers.json"))["counts"]["all"]
    said = " ".join(text_of(DOCS / "results.md").split())
    assert f"of {count['shown']} printed measurements on {count['pages']} pages" in said
    assert f"{count['right']} are read right, {count['wrong']} wrongly" in said
