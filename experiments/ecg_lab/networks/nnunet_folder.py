"""Any nnU-Net results folder as a network: plans, dataset.json and checkpoints enter, label maps of pages
leave.

A page is read as `nnUNetv2_predict` (2.8) reads a picture: cropped to what is not black, normalised by the
plans' schemes, in tiles of the plans' patch that overlap by half, each mirrored where the trainer
mirrored, summed in half precision under a Gaussian, folds averaged before the softmax. nnU-Net itself is
not needed for that: a network runs in torch where it is installed, and in OpenVINO where its fold holds
network.onnx (`export_folds`).

A network of one channel sees one plane of a page. The 2024 winner's fork of nnU-Net read the three planes
of a picture as three slices of one volume, normalised together, and kept the first one's answer. Plans
that were made so have a median shape of three slices; for them the red plane is read, normalised over all
three. Other networks of one channel see the red plane alone.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ecg_hough.errors import PageError
from ecg_hough.networks.runtime import Network
from ecg_hough.paper import LEADS

TILE_STEP = 0.5
"""Distance of tiles, in tiles; nnU-Net's own."""
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth", "checkpoint_latest.pth")
"""The first that a fold has is taken."""
EXPORTED = "network.onnx"
_GAUSSIAN_SIGMA, _GAUSSIAN_PEAK = 1 / 8, 10
_RGB_SLICES = 3

log = logging.getLogger(__name__)

Forward = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(1, channels, rows, cols) -> (1, classes, rows, cols) logits."""


@dataclass(frozen=True)
class NnunetFolder:
    """A results folder of nnU-Net, such as `nnUNetTrainer__nnUNetPlans__2d`; or a folder with one below it.

    Attributes:
        path: the folder.
        fast: one pass a tile, without mirroring.
        tile_step: distance of tiles, in tiles.
        backend: "auto", "torch" or "openvino"; auto takes torch where it is installed.
    Raises:
        ValueError: no such folder, or several; plans that no page can be read by.
    """

    path: Path
    fast: bool = False
    tile_step: float = TILE_STEP
    backend: str = "auto"
    root: Path = field(init=False)

    def __post_init__(self) -> None:
        if not 0 < self.tile_step <= 1:
            raise ValueError(f"tile_step must be above 0 and at most 1; got {self.tile_step:g}")
        if self.backend not in ("auto", "torch", "openvino"):
            raise ValueError(f"backend must be auto, torch or openvino; got {self.backend!r}")
        object.__setattr__(self, "root", find_results(Path(self.path)))
        self.check()

    def check(self) -> None:
        """Refuse plans whose pages are not pages as they are."""
        made = self.root / "prepare.json"
        canvas = json.loads(made.read_text())["options"].get("canvas") if made.is_file() else None
        if canvas not in (None, "page"):
            raise ValueError(
                f"network must read whole pages; {self.root.name} was trained on the canvas {canvas}. Export "
                "it (ecg-hough export) and give the weights' folder to ecg-hough predict --weights"
            )
        if list(self.configuration["spacing"]) != [1.0, 1.0]:
            raise ValueError(
                f"network must have a spacing of 1 px, as pictures have; {self.root.name} has "
                f"{self.configuration['spacing']}"
            )
        labels = self.dataset["labels"]
        if sorted(v for v in labels.values() if isinstance(v, int)) != list(range(len(labels))):
            raise ValueError(f"network must have one label a class, from 0; {self.root.name} has {labels}")
        if self.n_channels not in (1, 3):
            raise ValueError(f"network must have 1 or 3 channels; {self.root.name} has {self.n_channels}")

    @cached_property
    def plans(self) -> dict[str, Any]:
        return dict(json.loads((self.root / "plans.json").read_text()))

    @cached_property
    def dataset(self) -> dict[str, Any]:
        return dict(json.loads((self.root / "dataset.json").read_text()))

    @cached_property
    def configuration_name(self) -> str:
        """Of the plans' configurations the one that the folder's name ends in, or the two-dimensional one."""
        name = self.root.name.rpartition("__")[2]
        return name if name in self.plans["configurations"] else "2d"

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The configuration; what it inherits is filled in."""
        known = self.plans["configurations"]
        chosen = dict(known.get(self.configuration_name, {}))
        while "inherits_from" in chosen:
            chosen = {**known[chosen.pop("inherits_from")], **chosen}
        if len(chosen.get("patch_size", ())) != 2:
            raise ValueError(
                f"network must be two-dimensional; {self.root.name} has {', '.join(known)} and no 2d"
            )
        return chosen

    @property
    def n_channels(self) -> int:
        return len(self.dataset.get("channel_names") or self.dataset["modality"])

    @cached_property
    def folds(self) -> tuple[Path, ...]:
        """Numbered folds; where there is none, the one that was trained on all cases."""
        found = sorted(self.root.glob("fold_[0-9]*")) or sorted(self.root.glob("fold_all"))
        return tuple(found)

    def files(self) -> list[Path]:
        """What decides its answers."""
        return [self.root / "plans.json", self.root / "dataset.json", *map(self._weights, self.folds)]

    @property
    def _in_torch(self) -> bool:
        return self.backend == "torch" or (self.backend == "auto" and find_spec("torch") is not None)

    def _weights(self, fold: Path) -> Path:
        if not self._in_torch:
            if not (fold / EXPORTED).is_file():
                raise ValueError(
                    f"{fold} must hold {EXPORTED} where torch is not installed; make it where it is: "
                    f"ecg-lab export-network {self.root}"
                )
            return fold / EXPORTED
        return checkpoint_of(fold)

    def probabilities(self, page: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(classes, rows, cols) probabilities of an upright page (rows, cols, 3) or (rows, cols).

        Raises:
            PageError: the page is black.
        """
        data, box = self._preprocessed(page)
        total: NDArray[np.float16] | None = None
        for fold in self.folds:
            forward, mirrors = _loaded(self, self._weights(fold))
            logits = sliding_window(
                data, forward, tuple(self.configuration["patch_size"]), () if self.fast else mirrors,
                step=self.tile_step,
            )  # fmt: skip
            total = logits if total is None else _half_sum(total, logits)
        assert total is not None
        mean = total if len(self.folds) == 1 else (total / np.float16(len(self.folds))).astype(np.float16)
        p = _softmax(mean.astype(np.float32))
        out = np.zeros((p.shape[0], *page.shape[:2]), np.float32)
        out[0] = 1.0
        out[:, box[0], box[1]] = p
        return out

    def labels(self, page: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(rows, cols) label map of a page, in this package's order of leads.

        Raises:
            PageError: the page is black.
            ValueError: the network's classes are not the twelve leads.
        """
        by_name = {name.upper(): int(value) for name, value in self.dataset["labels"].items()}
        missing = [lead for lead in LEADS if lead.upper() not in by_name]
        if missing:
            raise ValueError(f"network must name the 12 leads; {self.root.name} lacks {', '.join(missing)}")
        winner = self.probabilities(page).argmax(axis=0)
        table = np.zeros(len(by_name), np.uint8)
        for k, lead in enumerate(LEADS):
            table[by_name[lead.upper()]] = k + 1
        return np.asarray(table[winner])

    def _preprocessed(self, page: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[slice, slice]]:
        """(channels, rows, cols) as the network sees it, and the part of the page that it is."""
        planes = page[None] if page.ndim == 2 else page.transpose(2, 0, 1)[:3]
        if self.n_channels == 3 and len(planes) == 1:
            planes = np.repeat(planes, 3, axis=0)
        together = self.n_channels == 1 and self._reads_slices
        if self.n_channels == 1 and not together:
            planes = planes[:1]
        seen = (planes != 0).any(axis=0)
        if not seen.any():
            raise PageError("segmentation", "a page must have a pixel that is not black; it has none")
        rows, cols = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
        box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
        data = planes[:, box[0], box[1]].astype(np.float32)
        schemes = self.configuration["normalization_schemes"]
        use_mask = self.configuration.get("use_mask_for_norm") or [False] * len(schemes)
        about = self.plans.get("foreground_intensity_properties_per_channel", {})
        if together:  # one channel of several slices
            data = _normalised(data, schemes[0], use_mask[0], about.get("0", {}))[:1]
        else:
            data = np.stack(
                [
                    _normalised(plane, schemes[k], use_mask[k], about.get(str(k), {}), seen[box])
                    for k, plane in enumerate(data)
                ]
            )
        return np.ascontiguousarray(data, np.float32), box

    @property
    def _reads_slices(self) -> bool:
        shape = self.plans.get("original_median_shape_after_transp") or [1]
        return round(shape[0]) == _RGB_SLICES


def find_results(path: Path) -> Path:
    """The results folder at or below a path: it holds plans.json, dataset.json and folds.

    Raises:
        ValueError: none, or several.
    """
    if not path.is_dir():
        raise ValueError(f"network must be a folder of nnU-Net's results; got {path}")
    found = sorted(
        plans.parent
        for plans in path.rglob("plans.json")
        if (plans.parent / "dataset.json").is_file() and any(plans.parent.glob("fold_*"))
    )
    if len(found) != 1:
        seen = ", ".join(str(folder.relative_to(path)) for folder in found) or "none"
        raise ValueError(
            f"network must be one folder with plans.json, dataset.json and fold_*; {path} holds {seen}"
        )
    return found[0]


def checkpoint_of(fold: Path) -> Path:
    """The checkpoint that is taken of a fold.

    Raises:
        ValueError: it has none, or only a pointer of Git LFS.
    """
    found = [fold / name for name in CHECKPOINTS if (fold / name).is_file()]
    if not found:
        raise ValueError(f"{fold} must hold {', '.join(CHECKPOINTS)}; it holds none")
    with found[0].open("rb") as file:
        if file.read(40).startswith(b"version https://git-lfs"):
            raise ValueError(
                f"{found[0]} must be a checkpoint; it is a pointer of Git LFS. Fetch the file (git lfs pull)"
            )
    return found[0]


def sliding_window(
    data: NDArray[np.float32],
    forward: Forward,
    patch: tuple[int, ...],
    mirrors: tuple[int, ...],
    *,
    step: float = TILE_STEP,
) -> NDArray[np.float16]:
    """(classes, rows, cols) logits of a picture (channels, rows, cols), tile by tile, as nnU-Net sums them.

    Args:
        patch: rows and columns of a tile; mirrors: axes that are mirrored, 0 down and 1 across.
        step: distance of tiles, in tiles.
    """
    size = [max(n, p) for n, p in zip(data.shape[1:], patch, strict=True)]
    before = [(s - n) // 2 for s, n in zip(size, data.shape[1:], strict=True)]
    after = [s - n - b for s, n, b in zip(size, data.shape[1:], before, strict=True)]
    padded = np.pad(data, ((0, 0), *zip(before, after, strict=True)))
    weight = _gaussian(tuple(patch))
    total: NDArray[np.float16] | None = None
    count = np.zeros(padded.shape[1:], np.float16)
    for top, left in itertools.product(*(_starts(n, p, step) for n, p in zip(size, patch, strict=True))):
        at = slice(top, top + patch[0]), slice(left, left + patch[1])
        answer = _mirrored(padded[:, at[0], at[1]], forward, mirrors) * weight.astype(np.float32)
        if total is None:
            total = np.zeros((answer.shape[0], *padded.shape[1:]), np.float16)
        total[:, at[0], at[1]] = _half_sum(total[:, at[0], at[1]], answer)
        count[at] = _half_sum(count[at], weight)
    assert total is not None
    mean = (total.astype(np.float32) / count.astype(np.float32)).astype(np.float16)
    inside = [slice(b, b + n) for b, n in zip(before, data.shape[1:], strict=True)]
    return np.asarray(mean[:, inside[0], inside[1]])


def _mirrored(tile: NDArray[np.float32], forward: Forward, mirrors: tuple[int, ...]) -> NDArray[np.float32]:
    """Mean answer to a tile and its mirror images along every choice of the axes."""
    choices = [c for n in range(len(mirrors) + 1) for c in itertools.combinations(mirrors, n)]
    total: NDArray[np.float32] | None = None
    for axes in choices:
        turned = np.flip(tile, tuple(a + 1 for a in axes))
        answer = np.flip(forward(np.ascontiguousarray(turned)[None])[0], tuple(a + 1 for a in axes))
        total = answer.copy() if total is None else total + answer
    assert total is not None
    return np.asarray(total / len(choices), np.float32)


def _half_sum(total: NDArray[np.float16], more: NDArray[Any]) -> NDArray[np.float16]:
    """A sum kept in half precision: each term is added in single precision and rounded."""
    return np.asarray((total.astype(np.float32) + more.astype(np.float32)).astype(np.float16))


def _starts(size: int, patch: int, step: float) -> list[int]:
    """First pixels of evenly spaced tiles, at most `step` tiles apart."""
    n = int(np.ceil((size - patch) / (patch * step))) + 1
    return [round((size - patch) / (n - 1) * k) for k in range(n)] if n > 1 else [0]


@lru_cache(maxsize=4)
def _gaussian(patch: tuple[int, ...]) -> NDArray[np.float16]:
    """Weight of a tile's pixels: the middle counts most."""
    peak = np.zeros(patch)
    peak[tuple(n // 2 for n in patch)] = 1
    weight = gaussian_filter(peak, [n * _GAUSSIAN_SIGMA for n in patch], 0, mode="constant", cval=0)
    half = (weight / (weight.max() / _GAUSSIAN_PEAK)).astype(np.float16)
    half[half == 0] = half[half != 0].min()
    return np.asarray(half)


def _normalised(
    data: NDArray[np.float32],
    scheme: str,
    use_mask: bool,
    about: dict[str, float],
    seen: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """One channel by one of nnU-Net's schemes.

    Raises:
        ValueError: another scheme.
    """
    if scheme == "ZScoreNormalization":
        if use_mask and seen is not None:
            out = data.copy()
            out[seen] = (data[seen] - data[seen].mean()) / max(float(data[seen].std()), 1e-8)
            return out
        out = data - data.mean()
        return np.asarray(out / max(float(data.std()), 1e-8), np.float32)
    if scheme == "RGBTo01Normalization":
        return np.asarray(data / 255.0, np.float32)
    if scheme == "NoNormalization":
        return data
    if scheme == "RescaleTo01Normalization":
        out = data - data.min()
        return np.asarray(out / max(float(out.max()), 1e-8), np.float32)
    if scheme == "CTNormalization":
        clipped = np.clip(data, about["percentile_00_5"], about["percentile_99_5"])
        return np.asarray((clipped - about["mean"]) / max(about["std"], 1e-8), np.float32)
    raise ValueError(f"network must be normalised by one of nnU-Net's schemes; got {scheme}")


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.exp(logits - logits.max(axis=0, keepdims=True))
    return np.asarray(out / out.sum(axis=0, keepdims=True))


@lru_cache(maxsize=5)
def _load(path: Path, root: Path, modified_ns: int) -> tuple[Forward, tuple[int, ...]]:
    """A fold's network, and the axes that it was trained to be mirrored along."""
    if path.suffix == ".onnx":
        network = Network(path, precision="f32")
        return network.run, tuple(network.card["input"]["mirror_axes"])
    import torch

    from ecg_hough.training.nnunet_run import read_network

    model, state = read_network(path, root)

    def forward(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(model(torch.from_numpy(batch)).numpy(), np.float32)

    return forward, tuple(state.get("inference_allowed_mirroring_axes") or ())


def _loaded(folder: NnunetFolder, path: Path) -> tuple[Forward, tuple[int, ...]]:
    return _load(path, folder.root, path.stat().st_mtime_ns)
