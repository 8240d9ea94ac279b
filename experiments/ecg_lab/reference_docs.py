"""docs/models.md and docs/licences.md: cards of the weights, licences of packages and of training data.

`python -m ecg_lab.reference_docs` writes both again. In: the weights' cards, the requirements of the project,
the metadata of the installed packages, and the table of the data sets. Out: Markdown.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ecg_hough.support.weights import FOLDER, WeightsFile, shipped

ROOT = Path(__file__).parents[2]
MODELS, LICENCES = ROOT / "docs" / "models.md", ROOT / "docs" / "licences.md"
MODELS_HEAD = """\
# Model cards

What each of the shipped networks and fitted models is. `python -m ecg_lab.reference_docs` writes this page
from the cards beside the weights. How they were made is in [training](training.md), what they were measured
on in [results](results.md), whose data they saw in [licences](licences.md).

**Intended use.** Research on printed 12-lead ECGs. **Not intended**: diagnosis, and pages outside the
[limits](limits.md). The networks see pixels of paper, ink and print; they show where leads, words and traces
are, and nothing about the heart. The recorded ECGs that they saw are of PTB-XL, adults of one centre in
Germany; paper, layouts and wear are made up.
"""
LICENCES_HEAD = """\
# Licences

Written by `python -m ecg_lab.reference_docs` from the metadata of the installed packages and the weights'
cards. `make sbom` writes the packages of an installation as CycloneDX. No legal advice.

ecg-hough, its code and its weights: Apache-2.0, see [LICENSE](../LICENSE).
"""
TASKS = {
    "leads": "which pixel of the whole page belongs to which lead",
    "words": "printed names of leads, paper speeds and gains",
    "traces": "for every column of a row, where the trace runs",
    "marks": "where columns of a row start and end, separators and pulses",
    "is_ecg": "whether a page shows a 12-lead ECG that can be read",
    "trust": "the probability that a lead is right",
}
PTBXL_RECORD = re.compile(r"\d{5}_[hl]r")
SHORT = {
    "The MIT License (MIT)": "MIT", "MIT License": "MIT", "ISC License (ISCL)": "ISC", "BSD License": "BSD",
    "Apache License 2.0": "Apache-2.0", "Apache Software License": "Apache-2.0", "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0", "Apache License": "Apache-2.0", "3-Clause BSD License": "BSD-3-Clause",
    "Python Software Foundation License": "PSF-2.0", "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}  # fmt: skip


def models_page() -> str:
    """The page docs/models.md."""
    return "\n".join([MODELS_HEAD, *(_section(one) for one in shipped())])


def _card(one: WeightsFile) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((FOLDER / f"{one.name}.json").read_bytes())
    return card


def _section(one: WeightsFile) -> str:
    card = _card(one)
    rows = _network_rows(card) if "architecture" in card else _fitted_rows(card)
    lines = [f"## {one.name}", "", f"`{one.version}`: {TASKS[one.name]}.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows if value]
    return "\n".join(lines) + "\n"


def _network_rows(card: dict[str, Any]) -> Iterator[tuple[str, str]]:
    size, given = card["size_bytes"] / 1e6, card["input"]
    yield "file", f"ONNX, {card['precision']}, {size:.1f} MB, sha256 `{card['sha256'][:16]}…`"
    yield "made", f"{card['date']}, {card['package']}"
    where = "{} x {} px".format(*given["canvas_px"]) if given.get("canvas_px") else "of any size"
    yield "input", f"{len(given['normalization'])} channels, {where}"
    parameters = card["architecture"].get("parameters")
    kind = str(card["architecture"].get("class", "")).rpartition(".")[2]
    yield "architecture", ", ".join(filter(None, (kind, f"{parameters:,} parameters" if parameters else "")))
    labels = card.get("labels")
    yield "classes", ", ".join(labels) if labels else ""
    yield "trained on", _data(card["data"])
    command = re.sub(r"\S+/(?=\w+\.onnx)", "SHIPPED/", card["training"].get("command", ""))
    yield "command", f"`{command}`" if command else ""
    yield (
        "steps",
        f"{card['training'].get('steps', 0):,}, the last of several runs; [training](training.md) has all",
    )
    ranges = card.get("ranges_from")
    yield (
        "eight bits",
        f"ranges of {ranges['pages']} pages" if ranges else "no ranges: runs in bfloat16 or float32",
    )
    scores = card.get("figures", {}).get("challenge_snr_db")
    measured = ", ".join(f"{name} {value:g}" for name, value in scores.items()) if scores else ""
    yield "SNR in dB of all networks together, when it was exported", measured


def _fitted_rows(card: dict[str, Any]) -> Iterator[tuple[str, str]]:
    parts = card["parts"]
    yield "form", "logistic regression" + (f"; product of {', '.join(parts)}" if len(parts) > 1 else "")
    for name, part in parts.items():
        yield f"features of {name}", ", ".join(part["features"])
    yield "limit", f"{card['limit']:g}" if isinstance(card["limit"], float) else ""
    for name, value in card["held_out"].items():
        if not isinstance(value, list):
            yield f"held out: {name.replace('_', ' ')}", f"{value:g}"
    yield "command", f"`{card['command']}`"


def _data(data: dict[str, Any]) -> str:
    """Whose records a network saw, from its card."""
    names = data.get("record_names", [])
    known = sum(PTBXL_RECORD.fullmatch(name) is not None for name in names)
    pages = f"{data['cases']:,} pages" if "cases" in data else str(data.get("pages", "pages"))
    made_up = f", {data['generated_cases']:,} of them of made-up ECGs" if "generated_cases" in data else ""
    others = len(names) - known
    return f"{pages}{made_up}; {known} records of PTB-XL" + (f" and {others} others" if others else "")


def licences_page() -> str:
    """The page docs/licences.md."""
    lines = [LICENCES_HEAD, "## Data that trained the weights", ""]
    lines += ["| weights | saw | licence |", "|---|---|---|"]
    sources = dict(
        re.findall(r"^\| \[([^\]]+)\]\([^)]+\) \| [^|]+ \| ([^|]+) \|$", _datasets(), re.MULTILINE)
    )
    for one in shipped():
        card = _card(one)
        names = card.get("data", {}).get("record_names", [])
        # Fitted models have no list of records; `ecg-lab fit-trust --help` draws their pages.
        saw = _data(card["data"]) if names else "rendered pages of PTB-XL's records and of made-up ECGs"
        licence = f"{sources['PTB-XL']}; pages and made-up ECGs are this package's own"
        lines.append(f"| `{one.version}` | {saw} | {licence} |")
    lines += ["", _FONTS, ""]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    done: dict[str, None] = {}
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    for name, requirements in groups.items():
        if name in ("all", "dev", "docs", "release"):
            continue
        packages = sorted(set(_closure(requirements)) - done.keys())
        done |= dict.fromkeys(packages)
        lines += [
            f"## Packages of the extra `{name}`" if name else "## Packages that are always installed",
            "",
        ]
        lines += ["| package | licence |", "|---|---|"]
        lines += [f"| {package} | {licence_of(package)} |" for package in packages] + [""]
    return "\n".join(lines)


_FONTS = """\
The renderer writes with fonts that matplotlib brings and with those on the machine; none is in the wheel.
RapidOCR, in the extra `ocr`, brings networks of PaddleOCR (Apache-2.0).
PTB-XL and pages by other programs are not in the repository: [data](../datasets/README.md)."""


def _datasets() -> str:
    return (ROOT / "datasets" / "README.md").read_text(encoding="utf-8")


def _closure(requirements: list[str]) -> set[str]:
    """Names of the distributions that requirements bring on this platform, themselves included.

    Raises:
        PackageNotFoundError: one is not installed.
    """
    found: set[str] = set()
    asked: set[tuple[str, str]] = set()
    waiting = [(Requirement(line), "") for line in requirements]
    while waiting:
        requirement, of_extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": of_extra}):
            continue
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in asked or name == "ecg-hough":
                continue
            asked.add((name, extra))
            found.add(name)
            waiting += [(Requirement(line), extra) for line in distribution(name).requires or ()]
    return found


def licence_of(name: str) -> str:
    """The licence that a distribution states: its expression, its classifiers or its field, in this order."""
    try:
        about: Any = distribution(name).metadata
    except PackageNotFoundError:
        return "not installed"
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = about.get_all("Classifier") or []
    stated = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License ::")]
    first = (about.get("License") or "").strip().splitlines()
    chosen = [word for word in stated if word != "OSI Approved"] or first[:1] or ["not stated"]
    return ", ".join(SHORT.get(word, word) for word in chosen).replace("|", "\\|")


def main() -> None:
    """Write both pages."""
    for path, text in ((MODELS, models_page()), (LICENCES, licences_page())):
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
