"""Pages for training, as an nnU-Net raw data set.

In: records (WFDB folder, PTB-XL, generated ECGs) or pages by ECG-Image-Kit. Out:
`DatasetXXX_Name/{imagesTr,labelsTr,dataset.json,splits_final.json,cases.csv}` with canvases as the
leads network sees them, or with whole pages. Every case is seeded by its number, made whole or not at
all, and not made again: a stopped run goes on where it was. `prepare.json` keeps the options, so that
one folder never holds cases of two kinds.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.datasets import RECORD_SETS, read_records
from ecg_hough.datasets.split import held_out_records, read_signals, split_records
from ecg_hough.networks.canvas import CANVAS_PX, to_canvas
from ecg_hough.networks.words_net import BLOB_MM, BLOB_SHARE, WORD_PX_PER_MM, word_picture
from ecg_hough.output.export import LABELS_SUFFIX, write_signals
from ecg_hough.output.overlay import LABEL_MM
from ecg_hough.paper import LEADS, WORDS
from ecg_hough.record import trace_box
from ecg_hough.render import RenderedPage, draw_labels, render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg

MIN_STROKE_PX = 3.0
"""Traces are labelled at least this wide on the canvas: one pixel wide classes are slow to learn."""
TURNED_SHARE = 0.12
"""Share of pages shown in a wrong quarter turn with nothing labelled: the network keeps silent there,
and the pipeline finds the right turn by that."""
TRAIN_DPI = (85.0, 150.0)
"""Pages are shrunk to about 70 dpi on the canvas; finer ones cost time and change nothing."""
PAGE_DPI = 200.0
"""Of whole pages, as the winner of the 2024 Challenge trained on (Krones et al. 2024)."""
PAGE_MIN_STROKE_PX = 1.0
N_FOLDS = 5
SOURCES = ("renderer", "kit", "ptbxl", "chapman", "ludb")
PLANES = ("rgb", "red")
CANVASES = ("canvas704", "page", "words")
WORD_TEXTS = (60, 160)
"""Fewest and most words strewn over a page on which reading is learned."""
WORD_DPI = (90.0, 220.0)
WORD_SCALE_ERROR, WORD_ANGLE_ERROR_DEG = 0.06, 0.8
"""Standard deviations of what the pipeline may get wrong before words are read."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Case:
    """One page to make: `group` is the patient, `source` a record, a sidecar or "generated"."""

    name: str
    group: str
    source: str
    seed: int


@dataclass(frozen=True)
class Drawing:
    """How cases are made: see `prepare`."""

    profile: str = "mixed"
    planes: str = "rgb"
    canvas: str = "canvas704"
    dpi: float | None = None


def prepare(
    out: Path,
    *,
    source: str = "renderer",
    n: int = 200,
    records: Path | None = None,
    folder: Path | None = None,
    generated: float = 0.35,
    profile: str = "mixed",
    planes: str = "rgb",
    canvas: str = "canvas704",
    dpi: float | None = None,
    dataset: str = "Dataset500_Signals",
    seed: int = 0,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make an nnU-Net raw data set and return its folder.

    Args:
        out: the nnUNet_raw folder.
        source: "renderer" (own pages of `records`, or of generated ECGs where None), "kit" (pages and
            sidecars by ECG-Image-Kit in `folder`; unusable ones are skipped with a warning), "ptbxl"
            (as many records as there are pages for them are fetched into `folder`, then rendered), or
            "chapman" or "ludb" (own pages of that data set's records in `folder`, see `datasets`).
        n: number of pages; a larger one for the same folder adds pages.
        records: folder of WFDB records; those in `records.held_out_records` are left out.
        generated: share of pages that show generated ECGs, when records are given.
        profile: mixture of distortions, see `render.style.PROFILES`.
        planes: "rgb", or "red" for pictures of one channel.
        canvas: "canvas704" for the leads network's square; "page" for whole pages and labels of their
            size, never in a wrong quarter turn; "words" for pages at `words.WORD_PX_PER_MM` with words all
            over them, and the words as labels.
        dpi: of rendered pages; None draws from `TRAIN_DPI`, or takes `PAGE_DPI` for whole pages.
        seed: same seed and records, same data set.
        workers: processes.
        on_progress: called with (pages done, pages in all).
    Raises:
        ValueError: an unknown choice, nothing to make pages of, or a folder with pages made with other
            options.
    """
    chosen = ("source", source, SOURCES), ("planes", planes, PLANES), (
        "canvas", canvas, CANVASES)  # fmt: skip
    for option, value, known in chosen:
        if value not in known:
            raise ValueError(f"{option} must be {', '.join(known[:-1])} or {known[-1]}; got {value!r}")
    if not n >= 1:
        raise ValueError(f"n must be 1 or more; got {n}")
    root = out / dataset
    drawing = Drawing(profile, planes, canvas, dpi)
    options = {"source": source, "seed": seed, "generated": generated, **asdict(drawing)}
    _check_options(root, options)
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True, exist_ok=True)
    cases: list[Case]
    if source == "kit":
        if folder is None:
            raise ValueError("source kit needs a folder of ECG-Image-Kit pages; got none")
        cases = _kit_cases(folder, n)
    elif source == "ptbxl":
        cases = _ptbxl_cases(folder or out.parent / "ptbxl", n, generated, seed)
    elif source in RECORD_SETS:
        if folder is None:
            raise ValueError(f"source {source} needs the folder of its records; got none")
        cases = _dataset_cases(source, folder, n, generated, seed)
    else:
        cases = _record_cases(records, n, generated, seed)
        options["records"] = _records_digest(records)
    _keep_options(root, options, cases)
    jobs = [case for case in cases if not _is_made(root, case)]
    done = len(cases) - len(jobs)
    if on_progress:
        on_progress(done, len(cases))
    # Spawned, not forked: a fork of a process that has run networks waits for their threads for ever.
    spawn = get_context("spawn")
    with ProcessPoolExecutor(max_workers=workers, mp_context=spawn, initializer=_single_thread) as pool:
        results = pool.map(_make_case, jobs, [root] * len(jobs), [drawing] * len(jobs), chunksize=4)
        refused = set()
        for case, refusal in zip(jobs, results, strict=True):
            if refusal is not None:
                log.warning("skipped %s: %s", case.source, refusal)
                refused.add(case.name)
            done += 1
            if on_progress:
                on_progress(done, len(cases))
    if refused:
        log.warning("%d of %d pages were skipped", len(refused), len(cases))
    cases = [case for case in cases if case.name not in refused]
    if not cases:
        raise ValueError(f"at least one page must be usable; all {len(refused)} were skipped, see the log")
    _write_contract(root, cases, planes, WORDS if canvas == "words" else LEADS)
    return root


def _check_options(root: Path, options: dict[str, Any]) -> None:
    """Refuse a folder whose cases were made with other options."""
    path = root / "prepare.json"
    if not path.is_file():
        return
    made: dict[str, Any] = json.loads(path.read_text())["options"]
    changed = [k for k, value in options.items() if k in made and made[k] != value]
    if changed:
        begun, now = (", ".join(f"{k}={of[k]!r}" for k in changed) for of in (made, options))
        raise ValueError(
            f"{root.name} must go on with the options it was begun with, {begun}; got {now}. Take those, or "
            "another data set or folder"
        )


def _keep_options(root: Path, options: dict[str, Any], cases: list[Case]) -> None:
    """Write the options, after a last look at the cases that are there."""
    _check_options(root, options)
    table = root / "cases.csv"
    if table.is_file():
        with table.open(newline="") as file:
            made = {row["name"]: (row["source"], int(row["seed"])) for row in csv.DictReader(file)}
        for case in cases:
            now = (Path(case.source).name, case.seed)
            if made.get(case.name, now) != now:
                raise ValueError(
                    f"{root.name} must go on with the records and seed it was begun with; {case.name} shows "
                    f"{made[case.name]}, and would show {now}. Take another data set or folder"
                )
        if not (root / "prepare.json").is_file():
            log.warning("%s has no prepare.json: that its pages are %s is not known", root.name, options)
    part = root / ".prepare.json.part"
    part.write_text(json.dumps({"options": options}, indent=1))
    os.replace(part, root / "prepare.json")


def render_samples(
    out: Path,
    *,
    n: int = 10,
    profile: str = "mixed",
    seed: int = 0,
    records: Path | None = None,
    dpi: float | None = None,
    held_out: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Render pages with their truth, for demonstration and benchmarks: PNG, WFDB and JSON each.

    Args:
        out: folder; page k of a run with the same arguments is always the same.
        records: WFDB folder; generated ECGs where None.
        held_out: only records that no network was trained on.
    """
    out.mkdir(parents=True, exist_ok=True)
    stems: list[Path] = []
    if records is not None:
        training, validation = split_records(records)
        stems = validation if held_out else training + validation
    paths = []
    for k in range(n):
        page_seed = seed * 1_000_003 + k
        if stems:
            stem = stems[k % len(stems)]
            signals, fs = read_signals(stem)
            name = f"{profile}_{k:04d}_{stem.name}"
        else:
            ecg = generate_ecg(page_seed)
            signals, fs = ecg.signals, ecg.fs
            name = f"{profile}_{k:04d}"
        page = render_page(signals, fs, seed=page_seed, profile=profile, dpi=dpi)
        paths.append(write_rendered(out, name, page))
        if on_progress:
            on_progress(k + 1, n)
    return paths


def write_rendered(out: Path, name: str, page: RenderedPage) -> Path:
    """Write a page and its truth: <name>.png, .labels.png, .hea, .dat, .truth.json. Returns the image."""
    path = out / f"{name}.png"
    _write_image(path, page.image)
    _write_image(out / f"{name}{LABELS_SUFFIX}", page.label_map(min_stroke_px=LABEL_MM * page.px_per_mm))
    write_signals(out, name, page.signals, page.fs, comments=[f"layout {page.layout.name}"])
    sheet = page.style["sheet"]
    columns = "sequential" if sheet["sequential"] else "simultaneous"
    truth = {
        "layout": page.layout.name,
        "rhythm": list(page.layout.rhythm),
        "columns": columns if page.layout.n_columns > 1 else "one",
        "speed_mm_s": sheet["speed_mm_s"],
        "gain_mm_mv": sheet["gain_mm_mv"],
        "names_printed": sheet["names"] != "none",
        "profile": page.style["profile"],
        "angle_deg": page.angle_deg,
        "px_per_mm": page.px_per_mm,
        "panels": [
            {
                "lead": p.lead,
                "row": p.row,
                "column": p.column,
                "rhythm": p.rhythm,
                "start_s": p.start_s,
                "box_px": trace_box(_on_image(p.trace, page.image.shape)),
            }
            for p in page.panels
        ],
        "style": page.style,
    }
    # Named apart from the digitiser's own report, which would stand at <name>.json.
    (out / f"{name}.truth.json").write_text(json.dumps(truth, default=str, indent=1))
    return path


def _on_image(trace: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.floating]:
    """A trace (n, 2) in px with NaN where it lies outside an image of `shape`."""
    inside = ((trace > -0.5) & (trace < np.array(shape[:2]) - 0.5)).all(axis=1, keepdims=True)
    return np.where(inside, trace, np.nan)


def _record_cases(records: Path | None, n: int, generated: float, seed: int) -> list[Case]:
    stems: list[Path] = []
    groups: dict[str, str] = {}
    if records is not None:
        stems, _ = split_records(records)
        groups = _patients(records)
        if not stems:
            raise ValueError(f"records must hold some that are not held out; {records} has none")
    return _drawn_cases(stems, groups, n, generated, seed)


def _dataset_cases(source: str, folder: Path, n: int, generated: float, seed: int) -> list[Case]:
    records = list(read_records(source, folder))
    groups = {record.path.name: record.patient_id for record in records}
    return _drawn_cases([record.path for record in records], groups, n, generated, seed)


def _drawn_cases(
    stems: list[Path], groups: dict[str, str], n: int, generated: float, seed: int
) -> list[Case]:
    """n pages, each of a record drawn by its number, or of a generated ECG."""
    cases = []
    for k in range(n):
        case_seed = seed * 1_000_003 + k
        rng = np.random.default_rng([case_seed, 1])
        if stems and rng.random() >= generated:
            stem = stems[int(rng.integers(len(stems)))]
            cases.append(Case(f"page_{k:06d}", groups.get(stem.name, stem.name), str(stem), case_seed))
        else:
            cases.append(Case(f"page_{k:06d}", f"generated_{case_seed}", "generated", case_seed))
    return cases


def _records_digest(records: Path | None) -> str | None:
    """Short sha256 of the names of the records trained on; None where there are none."""
    if records is None:
        return None
    names = "\n".join(stem.name for stem in split_records(records)[0])
    return hashlib.sha256(names.encode()).hexdigest()[:12]


def _ptbxl_cases(folder: Path, n: int, generated: float, seed: int) -> list[Case]:
    """The database's records in its own order, so that more pages go on where fewer ended."""
    from ecg_hough.datasets.ptbxl_table import fetch_ptbxl

    held_out = held_out_records()
    shows_record = [np.random.default_rng([seed * 1_000_003 + k, 1]).random() >= generated for k in range(n)]
    needed = sum(shows_record)
    stems: list[Path] = []
    to_fetch = needed
    while len(stems) < needed:
        fetched = fetch_ptbxl(folder, n=to_fetch)
        stems = [stem for stem in fetched if stem.name not in held_out]
        if len(fetched) < to_fetch:
            break  # the whole database
        to_fetch = needed + len(fetched) - len(stems)
    if needed and not stems:
        raise ValueError(f"records must hold some that are not held out; {folder} has none")
    groups = _patients(folder)
    cases = []
    n_shown = 0
    for k, shown in enumerate(shows_record):
        case_seed = seed * 1_000_003 + k
        if shown:
            stem = stems[n_shown % len(stems)]
            n_shown += 1
            cases.append(Case(f"page_{k:06d}", groups.get(stem.name, stem.name), str(stem), case_seed))
        else:
            cases.append(Case(f"page_{k:06d}", f"generated_{case_seed}", "generated", case_seed))
    return cases


def _kit_cases(folder: Path, n: int) -> list[Case]:
    from ecg_hough.datasets.kit_pages import find_kit_pages

    sidecars = find_kit_pages(folder)[:n]
    if not sidecars:
        raise ValueError(f"folder must hold ECG-Image-Kit pages (PNG and JSON); found none in {folder}")
    groups = _patients(folder)
    return [
        # The kit numbers the pages of one record as <record>-<k>.
        Case(
            "_".join(path.relative_to(folder).with_suffix("").parts),
            groups.get(path.stem, path.stem.rsplit("-", 1)[0]),
            str(path),
            k,
        )
        for k, path in enumerate(sidecars)
    ]


def _patients(folder: Path) -> dict[str, str]:
    from ecg_hough.datasets.ptbxl_table import patient_groups

    return {name: str(group) for name, group in patient_groups(folder).items()}


def _paths(root: Path, case: Case) -> tuple[Path, Path]:
    return root / "imagesTr" / f"{case.name}_0000.png", root / "labelsTr" / f"{case.name}.png"


def _is_made(root: Path, case: Case) -> bool:
    return all(path.is_file() for path in _paths(root, case))


def _single_thread() -> None:
    cv2.setNumThreads(1)


def _make_case(case: Case, root: Path, drawing: Drawing) -> str | None:
    """Make a case's picture and label map; returns why it cannot be made, None where it was."""
    whole, reading = drawing.canvas == "page", drawing.canvas == "words"
    if case.source.endswith(".json"):
        try:
            image, labels = (kit_page if whole else kit_canvas)(Path(case.source))
        except ValueError as refusal:
            return str(refusal)
    else:
        rng = np.random.default_rng([case.seed, 2])
        if case.source == "generated":
            ecg = generate_ecg(case.seed)
            signals, fs = ecg.signals, ecg.fs
        else:
            signals, fs = read_signals(Path(case.source))
        drawn_dpi = PAGE_DPI if whole else float(rng.uniform(*(WORD_DPI if reading else TRAIN_DPI)))
        dpi, style = drawing.dpi or drawn_dpi, None
        if reading:
            style = sample_style(np.random.default_rng(case.seed), drawing.profile, dpi=dpi)
            style = replace(style, sheet=replace(style.sheet, word_texts=int(rng.integers(*WORD_TEXTS))))
        page = render_page(signals, fs, seed=case.seed, profile=drawing.profile, dpi=dpi, style=style)
        if reading:
            image, labels = reading_case(page, rng)
        elif whole:
            image = page.image
            labels = draw_labels(page.image.shape[:2], page.panels, min_stroke_px=PAGE_MIN_STROKE_PX)
        else:
            image, labels = page_canvas(page)
            if rng.random() < TURNED_SHARE:
                image, labels = np.rot90(image, int(rng.integers(1, 4))), np.zeros_like(labels)
    if drawing.planes == "red":
        image = image[..., 0]
    image_path, label_path = _paths(root, case)
    _write_image(label_path, np.ascontiguousarray(labels))
    _write_image(image_path, np.ascontiguousarray(image))
    return None


def reading_case(page: RenderedPage, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A rendered page as the words network sees it, and its label map; some are turned, with no label."""
    angle = page.angle_deg + float(rng.normal(0, WORD_ANGLE_ERROR_DEG))
    scale = page.px_per_mm * float(np.exp(rng.normal(0, WORD_SCALE_ERROR)))
    picture = word_picture(page.image, angle, scale)
    labels = np.zeros(picture.image.shape[:2], np.uint8)
    for printed in page.words:
        corners = picture.from_page(printed.corners)
        ends = np.round(corners).astype(int)
        if (ends < 0).any() or (ends >= labels.shape).any() or not picture.covered[tuple(ends.T)].all():
            continue  # cut off
        across, down = corners[1] - corners[0], corners[3] - corners[0]
        width = float(np.linalg.norm(across))
        low, high = (mm * WORD_PX_PER_MM for mm in BLOB_MM)
        kept = float(np.clip(BLOB_SHARE * width, low, high)) / max(width, 1e-6)
        middle = corners.mean(axis=0)
        box = [middle + a * kept * across / 2 + b * down / 2 for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        points = np.round(np.array(box)[:, ::-1] * 16).astype(np.int32)
        cv2.fillConvexPoly(labels, points, WORDS.index(printed.word) + 1, cv2.LINE_8, 4)
    image = picture.image
    if rng.random() < TURNED_SHARE:
        turns = int(rng.integers(1, 4))
        image, labels = np.rot90(image, turns), np.zeros_like(np.rot90(labels, turns))
    return image, labels


def page_canvas(page: RenderedPage, side: int = CANVAS_PX) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A rendered page as the leads network sees it: image (side, side, 3) and label map (side, side)."""
    canvas = to_canvas(page.image, 0.0, side)
    top, left = canvas.matrix[:, 2] - 0.5 * canvas.scale + 0.5
    labels = draw_labels(
        (side, side),
        page.panels,
        scale=canvas.scale,
        offset=(float(top), float(left)),
        min_stroke_px=MIN_STROKE_PX,
    )
    return canvas.image, labels


def kit_page(sidecar: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An ECG-Image-Kit page as it is: image (rows, cols, 3) and label map (rows, cols)."""
    from ecg_hough.datasets.kit_pages import read_kit_page
    from ecg_hough.image.reading import read_page

    page = read_kit_page(sidecar)
    return read_page(page.image_path).image, page.labels


def kit_canvas(sidecar: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An ECG-Image-Kit page as the leads network sees it."""
    image, page_labels = kit_page(sidecar)
    canvas = to_canvas(image)
    rows, cols = (round(n * canvas.scale) for n in page_labels.shape)
    small = cv2.resize(page_labels, (cols, rows), interpolation=cv2.INTER_NEAREST)
    labels = np.zeros(canvas.image.shape[:2], np.uint8)
    top, left = (round(v) for v in canvas.matrix[:, 2] - 0.5 * canvas.scale + 0.5)
    labels[top : top + rows, left : left + cols] = small
    # As wide as on our own pages: the larger label wins where leads touch.
    return canvas.image, np.asarray(cv2.dilate(labels, np.ones((2, 2), np.uint8)), np.uint8)


def _write_image(path: Path, image: NDArray[np.uint8]) -> None:
    part = path.with_name(f".{path.stem}.part.png")
    rgb = image[..., ::-1] if image.ndim == 3 else image
    if not cv2.imwrite(str(part), rgb):
        raise OSError(f"could not write {path}; is the disk full?")
    os.replace(part, path)


def _write_contract(root: Path, cases: list[Case], planes: str, names: tuple[str, ...]) -> None:
    """dataset.json, folds grouped by patient, and where every case came from."""
    # The names tell nnU-Net how to normalise; it takes the z-score for those it does not know.
    channels = ["red"] if planes == "red" else ["rgb_to_0_1"] * 3
    dataset_json = {
        "channel_names": {str(k): channel for k, channel in enumerate(channels)},
        "labels": {"background": 0, **{name: k + 1 for k, name in enumerate(names)}},
        "numTraining": len(cases),
        "file_ending": ".png",
        "overwrite_image_reader_writer": "NaturalImage2DIO",
    }
    (root / "dataset.json").write_text(json.dumps(dataset_json, indent=1))
    groups = sorted({case.group for case in cases})
    rng = np.random.default_rng(0)
    fold_of = dict(zip(groups, rng.permutation(len(groups)) % N_FOLDS, strict=True))
    splits = [
        {
            "train": [case.name for case in cases if fold_of[case.group] != fold],
            "val": [case.name for case in cases if fold_of[case.group] == fold],
        }
        for fold in range(N_FOLDS)
    ]
    (root / "splits_final.json").write_text(json.dumps(splits, indent=1))
    with (root / "cases.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=["name", "group", "source", "seed"])
        writer.writeheader()
        for case in cases:
            writer.writerow({**asdict(case), "source": Path(case.source).name})
