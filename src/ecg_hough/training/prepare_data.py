"""Pages for training, as an nnU-Net raw data set.

In: records (WFDB folder, PTB-XL, generated ECGs) or pages by ECG-Image-Kit. Out:
`DatasetXXX_Name/{imagesTr,labelsTr,dataset.json,splits_final.json,cases.csv}` with canvases as the
leads network sees them. Every case is seeded by its number, made whole or not at all, and not made
again: a stopped run goes on where it was.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.ecg_model import generate_ecg
from ecg_hough.paper import LEADS
from ecg_hough.render import RenderedPage, draw_labels, render_page
from ecg_hough.segmentation import CANVAS_PX, to_canvas
from ecg_hough.training.records import read_signals, split_records

MIN_STROKE_PX = 3.0
"""Traces are labelled at least this wide on the canvas: one pixel wide classes are slow to learn."""
TURNED_SHARE = 0.12
"""Share of pages shown in a wrong quarter turn with nothing labelled: the network keeps silent there,
and the pipeline finds the right turn by that."""
TRAIN_DPI = (85.0, 150.0)
"""Pages are shrunk to about 70 dpi on the canvas; finer ones cost time and change nothing."""
N_FOLDS = 5


@dataclass(frozen=True)
class Case:
    """One page to make: `group` is the patient, `source` a record, a sidecar or "generated"."""

    name: str
    group: str
    source: str
    seed: int


def prepare(
    out: Path,
    *,
    source: str = "renderer",
    n: int = 200,
    records: Path | None = None,
    folder: Path | None = None,
    generated: float = 0.35,
    profile: str = "mixed",
    dataset: str = "Dataset500_Signals",
    seed: int = 0,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make an nnU-Net raw data set and return its folder.

    Args:
        out: the nnUNet_raw folder.
        source: "renderer" (own pages of `records`, or of generated ECGs where None), "kit" (pages and
            sidecars by ECG-Image-Kit in `folder`), or "ptbxl" (records fetched into `folder`, then
            rendered).
        n: number of pages.
        records: folder of WFDB records; those in `records.held_out_records` are left out.
        generated: share of pages that show generated ECGs, when records are given.
        profile: mixture of distortions, see `render.style.PROFILES`.
        seed: same seed and records, same data set.
        workers: processes.
        on_progress: called with (pages done, pages in all).
    Raises:
        ValueError: unknown source, or nothing to make pages of.
    """
    if source not in ("renderer", "kit", "ptbxl"):
        raise ValueError(f"source must be renderer, kit or ptbxl; got {source!r}")
    if source == "ptbxl":
        from ecg_hough.training.ptbxl import fetch_ptbxl

        folder = folder or out.parent / "ptbxl"
        fetch_ptbxl(folder, n=n)
        records = folder
    root = out / dataset
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True, exist_ok=True)
    if source == "kit":
        if folder is None:
            raise ValueError("source kit needs a folder of ECG-Image-Kit pages; got none")
        cases = _kit_cases(folder, n)
    else:
        cases = _record_cases(records, n, generated, seed)
    jobs = [case for case in cases if not _is_made(root, case)]
    done = len(cases) - len(jobs)
    if on_progress:
        on_progress(done, len(cases))
    with ProcessPoolExecutor(max_workers=workers, initializer=_single_thread) as pool:
        for _ in pool.map(_make_case, jobs, [root] * len(jobs), [profile] * len(jobs), chunksize=4):
            done += 1
            if on_progress:
                on_progress(done, len(cases))
    _write_contract(root, cases)
    return root


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
    from ecg_hough.export import write_signals

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
        path = out / f"{name}.png"
        _write_image(path, page.image)
        write_signals(out, name, page.signals, page.fs, comments=[f"layout {page.layout.name}"])
        truth = {
            "layout": page.layout.name,
            "angle_deg": page.angle_deg,
            "px_per_mm": page.px_per_mm,
            "style": page.style,
            "panels": [
                {"lead": p.lead, "row": p.row, "column": p.column, "rhythm": p.rhythm, "start_s": p.start_s}
                for p in page.panels
            ],
        }
        # Named apart from the digitiser's own report, which would stand at <name>.json.
        (out / f"{name}.truth.json").write_text(json.dumps(truth, default=str, indent=1))
        paths.append(path)
        if on_progress:
            on_progress(k + 1, n)
    return paths


def _record_cases(records: Path | None, n: int, generated: float, seed: int) -> list[Case]:
    stems: list[Path] = []
    groups: dict[str, str] = {}
    if records is not None:
        stems = split_records(records)[0]
        groups = _patients(records)
        if not stems:
            raise ValueError(f"records must hold some that are not held out; {records} has none")
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


def _kit_cases(folder: Path, n: int) -> list[Case]:
    from ecg_hough.training.kit_pages import find_kit_pages

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
    from ecg_hough.training.ptbxl import patient_groups

    return {name: str(group) for name, group in patient_groups(folder).items()}


def _paths(root: Path, case: Case) -> tuple[Path, Path]:
    return root / "imagesTr" / f"{case.name}_0000.png", root / "labelsTr" / f"{case.name}.png"


def _is_made(root: Path, case: Case) -> bool:
    return all(path.is_file() for path in _paths(root, case))


def _single_thread() -> None:
    cv2.setNumThreads(1)


def _make_case(case: Case, root: Path, profile: str) -> None:
    if case.source.endswith(".json"):
        image, labels = kit_canvas(Path(case.source))
    else:
        rng = np.random.default_rng([case.seed, 2])
        if case.source == "generated":
            ecg = generate_ecg(case.seed)
            signals, fs = ecg.signals, ecg.fs
        else:
            signals, fs = read_signals(Path(case.source))
        page = render_page(signals, fs, seed=case.seed, profile=profile, dpi=float(rng.uniform(*TRAIN_DPI)))
        image, labels = page_canvas(page)
        if rng.random() < TURNED_SHARE:
            image, labels = np.rot90(image, int(rng.integers(1, 4))), np.zeros_like(labels)
    image_path, label_path = _paths(root, case)
    _write_image(label_path, np.ascontiguousarray(labels))
    _write_image(image_path, np.ascontiguousarray(image))


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


def kit_canvas(sidecar: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An ECG-Image-Kit page as the leads network sees it."""
    from ecg_hough.page import read_page
    from ecg_hough.training.kit_pages import read_kit_page

    page = read_kit_page(sidecar)
    canvas = to_canvas(read_page(page.image_path).image)
    rows, cols = (round(n * canvas.scale) for n in page.labels.shape)
    small = cv2.resize(page.labels, (cols, rows), interpolation=cv2.INTER_NEAREST)
    labels = np.zeros(canvas.image.shape[:2], np.uint8)
    top, left = (round(v) for v in canvas.matrix[:, 2] - 0.5 * canvas.scale + 0.5)
    labels[top : top + rows, left : left + cols] = small
    # As wide as on our own pages: the larger label wins where leads touch.
    return canvas.image, cv2.dilate(labels, np.ones((2, 2), np.uint8))


def _write_image(path: Path, image: NDArray[np.uint8]) -> None:
    part = path.with_name(f".{path.stem}.part.png")
    rgb = image[..., ::-1] if image.ndim == 3 else image
    if not cv2.imwrite(str(part), rgb):
        raise OSError(f"could not write {path}; is the disk full?")
    os.replace(part, path)


def _write_contract(root: Path, cases: Iterable[Case]) -> None:
    """dataset.json, folds grouped by patient, and where every case came from."""
    cases = list(cases)
    dataset_json = {
        "channel_names": {"0": "rgb_to_0_1", "1": "rgb_to_0_1", "2": "rgb_to_0_1"},
        "labels": {"background": 0, **{lead: k + 1 for k, lead in enumerate(LEADS)}},
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
