"""State of an installation: versions, processor, weights, extras, and a page drawn in memory, read and timed.

In: this installation. Out: an `Installation`, whose `problems` are what a user must mend.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from time import perf_counter
from typing import Any

import ecg_hough
from ecg_hough.support import weights

BASE = (
    "matplotlib", "numpy", "opencv-python-headless", "openvino", "pandas", "pillow", "pypdfium2", "rich",
    "scipy", "threadpoolctl", "typer", "wfdb",
)  # fmt: skip
"""Distributions that the package cannot do without: its dependencies."""
FEATURES = (
    "avx2",
    "f16c",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_int8",
    "amx_bf16",
)
"""Flags of processors that the networks profit from, as Linux names them."""
SAMPLE_SEED, SAMPLE_DPI = 1, 150
SNR_MIN_DB = 20.0
"""The sample page is read to 28 dB; with less something computes wrongly."""


@dataclass(frozen=True)
class Extra:
    """An extra of the package.

    Attributes:
        name: of the extra; install: the command that installs it.
        versions: of its distributions that are there.
        missing: modules that are not.
    """

    name: str
    install: str
    versions: dict[str, str]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """A made-up page, read twice.

    Attributes:
        first_s, second_s: wall time of the first reading, which loads the networks, and of the second.
        layout, leads_found: what was read; snr_db: of the signals, as in the Challenge.
        precision: number format of the networks, "int8", "bf16" or "f32".
    """

    first_s: float
    second_s: float
    layout: str
    leads_found: int
    snr_db: float
    precision: str


@dataclass(frozen=True)
class Installation:
    """What `ecg-hough doctor` shows.

    Attributes:
        version: of the package; python, system: what it runs on.
        processor: its name; features: those of `FEATURES` that it has, where the system tells; cores: usable.
        cache: folder of compiled networks, or why none is kept.
        packages: distributions that must be there, with their versions; "" is missing.
        weights: version of each, and what is wrong with it or None.
        extras: all of them; sample: None where it was not asked for, or could not be read.
        problems: what must be mended, in sentences.
    """

    version: str
    python: str
    system: str
    processor: str
    features: tuple[str, ...]
    cores: int
    cache: str
    packages: dict[str, str]
    weights: dict[str, str | None]
    extras: tuple[Extra, ...]
    sample: Sample | None
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def examine(extras: Mapping[str, tuple[str, ...]], *, sample: bool = True) -> Installation:
    """The state of this installation.

    Args:
        extras: modules of each extra.
        sample: also draw a page, read it twice and compare.
    """
    packages = {name: version_of(name) for name in BASE}
    distributions = packages_distributions()
    files = {one.version: one.problem() for one in weights.shipped()}
    problems = [f"{name} is missing: pip install ecg-hough" for name, found in packages.items() if not found]
    problems += [problem for problem in files.values() if problem]
    read = None
    if sample and not problems:
        try:
            read = read_sample()
        except Exception as error:  # whatever it is, it is what the user must know
            problems.append(f"the sample page cannot be read: {type(error).__name__}: {error}")
        if read is not None and not read.snr_db >= SNR_MIN_DB:
            problems.append(
                f"the sample page must be read to {SNR_MIN_DB:g} dB; got {read.snr_db:.1f} dB: report it"
            )
    return Installation(
        version=ecg_hough.__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(),
        features=_features(),
        cores=_cores(),
        cache=_cache(),
        packages=packages,
        weights=files,
        extras=tuple(_extra(name, modules, distributions) for name, modules in extras.items()),
        sample=read,
        problems=tuple(problems),
    )


def version_of(distribution: str) -> str:
    """Version of an installed distribution, "" where it is missing."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _extra(name: str, modules: tuple[str, ...], known: Mapping[str, list[str]]) -> Extra:
    missing = tuple(module for module in modules if importlib.util.find_spec(module) is None)
    there = {known[module][0] for module in modules if module not in missing and module in known}
    versions = {one: version_of(one) for one in sorted(there)}
    return Extra(name, f'pip install "ecg-hough[{name}]"', versions, missing)


def _cpu_info(key: str) -> str:
    """The first line of that key in Linux's description of the processor; "" elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else ""


def _processor() -> str:
    return _cpu_info("model name") or platform.processor() or platform.machine()


def _features() -> tuple[str, ...]:
    flags = _cpu_info("flags").split()
    return tuple(name for name in FEATURES if name in flags)


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cache() -> str:
    from ecg_hough.networks.compiled import VARIABLE, cache_folder

    folder = cache_folder()
    if folder is None:
        return f"none ({VARIABLE} is off)"
    at = next(one for one in (folder, *folder.parents) if one.exists())
    writable = "" if os.access(at, os.W_OK) else ", which cannot be written: every process compiles anew"
    return f"{folder}{writable}"


def read_sample() -> Sample:
    """Draw a page of a made-up ECG in memory and read it twice.

    Raises:
        PageError: it cannot be read, which a sound installation does not do.
    """
    import numpy as np

    from ecg_hough.networks.runtime import load_network
    from ecg_hough.paper import make_layout
    from ecg_hough.pipeline import digitize
    from ecg_hough.render.ecg_model import generate_ecg
    from ecg_hough.render.page import render_page
    from ecg_hough.render.style import sample_style
    from ecg_hough.scores.metrics import challenge_snr

    layout = make_layout("3x4", rhythm=("II",))
    style = sample_style(np.random.default_rng(SAMPLE_SEED), "clean", layout=layout, dpi=SAMPLE_DPI)
    ecg = generate_ecg(SAMPLE_SEED, rhythm="sinus rhythm")
    page = render_page(ecg.signals, ecg.fs, seed=SAMPLE_SEED, style=style)
    read = partial(digitize, page.image, fs=page.fs)
    seconds = []
    for _ in range(2):
        start = perf_counter()
        record = read()
        seconds.append(perf_counter() - start)
    snrs = [challenge_snr(*pair, page.fs) for pair in zip(page.signals, record.signals, strict=True)]
    return Sample(
        first_s=seconds[0],
        second_s=seconds[1],
        layout=record.layout,
        leads_found=sum(status.found for status in record.lead_status),
        snr_db=float(np.nanmean(snrs)),
        precision=load_network("traces").precision,
    )
