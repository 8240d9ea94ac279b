"""Run an exported network on the processor: ONNX in OpenVINO, with the card that describes it.

In: the name of a shipped network or the path of an ONNX file. Out: a `Network` whose `run` takes
and returns arrays. Neither torch nor nnunetv2 is needed.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, cached_property, lru_cache
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import MARK_KINDS
from ecg_hough.networks import int8
from ecg_hough.networks.compiled import compiled_network
from ecg_hough.networks.int8 import quantize, without_joins
from ecg_hough.paper import LEADS, WORDS

WEIGHTS = Path(__file__).with_name("weights")
"""Folder of the shipped networks: `<name>.onnx` and its card `<name>.json`."""

PRECISIONS = ("auto", "int8", "bf16", "f32")
STREAMS_MAX = 4
"""Inferences at once: each has its own memory, and the networks are a quarter of a page's time."""
KERNELS_MAX = 16
"""Kernels of single layers that are kept for shapes to come."""
COMPILED_MAX = 6
"""Shapes for which a network stays compiled: strips of usual pages need four."""
TRUST_NAME = "trust.json"
"""Of the model that judges leads (`signals.trust`)."""
RANGES = "ranges"
"""Of a card: lowest and highest activation by node, which `int8.quantize` takes."""
CLASSES: dict[str, tuple[str, ...]] = {
    "leads": ("background", *LEADS),
    "words": ("background", *WORDS),
    "marks": MARK_KINDS,
}
"""What the outputs of a network are, by its task; other tasks have no classes."""


class Network:
    """An ONNX network, compiled once and kept loaded.

    Args:
        path: the ONNX file; its card is the JSON file of the same name.
        threads: inferences at once, of one thread each; None takes a few, as far as there are cores.
        precision: "int8", "bf16" or "f32"; "auto" takes the first that the processor has, and int8 only where
            the card holds the activations' ranges. "f32" is for exact comparisons.
    Attributes:
        precision: the one taken.
        on_batch: called with every batch that is run; None, or what records them.
    Raises:
        ValueError: file or card missing, or the file is not the one that the card describes; its classes are
            not those of its task; no such precision, or int8 of a card without ranges.
    """

    def __init__(self, path: Path, *, threads: int | None = None, precision: str = "auto") -> None:
        import openvino as ov

        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
        self.path = Path(path)
        card_path = self.path.with_suffix(".json")
        for needed in (self.path, card_path):
            if not needed.is_file():
                raise ValueError(f"network must have an ONNX file and a card; {needed.name} is missing")
        self.card: dict[str, Any] = json.loads(card_path.read_text())
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        if digest != self.card["sha256"]:
            raise ValueError(
                f"{self.path.name} must have the sha256 of its card, {self.card['sha256'][:12]}...; "
                f"got {digest[:12]}... (damaged or replaced: reinstall or export again)"
            )
        self._check_labels(card_path.name)
        self._core = ov.Core()
        # The first access of a process to a tensor's values, made by two threads at once, waits for ever: one
        # waits for the interpreter's lock, the other holds it. `load_network` is in one thread at a time.
        _ = ov.Tensor(np.zeros(1, np.float32)).data
        # One thread an inference, several inferences at once: more threads of one inference round otherwise,
        # so that a page would be read otherwise on another number of cores, and take more time in all.
        n = threads if threads is not None else min(STREAMS_MAX, cv2.getNumThreads())
        self._config: dict[str, Any] = {"NUM_STREAMS": n, "INFERENCE_NUM_THREADS": n}
        # Kernels of shapes that come once would be kept for ever.
        self._config["CPU_RUNTIME_CACHE_CAPACITY"] = KERNELS_MAX
        self.precision = self._auto() if precision == "auto" else precision
        if self.precision == "int8" and RANGES not in self.card:
            raise ValueError(
                f"{card_path.name} must hold {RANGES} for int8 (ecg-hough quantize measures them)"
            )
        if self.precision == "f32":
            self._config["INFERENCE_PRECISION_HINT"] = "f32"
        self.on_batch: Callable[[NDArray[np.float32]], Any] | None = None
        self._compiled: OrderedDict[tuple[int, ...] | None, Any] = OrderedDict()
        self._compiling, self._counting, self._running = Lock(), Lock(), 0

    def _check_labels(self, card: str) -> None:
        expected = CLASSES.get(self.card.get("task", ""))
        if expected is not None and self.labels != expected:
            raise ValueError(
                f"{card} must have the labels {', '.join(expected)}; got {', '.join(self.labels) or 'none'}"
                " (export the network again with this version)"
            )

    def _auto(self) -> str:
        # Where there is bfloat16 there is VNNI, too; sums of eight-bit products overflow without.
        if "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            return "f32"
        return "int8" if RANGES in self.card else "bf16"

    @cached_property
    def _model(self) -> Any:
        """Of no shape yet; every compilation takes a copy."""
        model = self._core.read_model(str(self.path))
        if self.precision == "int8":
            without_joins(model)
            quantize(model, self.card[RANGES])
        return model

    def _model_of(self, shape: tuple[int, ...] | None) -> Any:
        model = self._model.clone()
        if shape is not None:
            model.reshape(list(shape))
        return model

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes in the order of the outputs; () of a network without classes."""
        labels: dict[str, int] = self.card.get("labels") or {}
        return tuple(sorted(labels, key=labels.__getitem__))

    @property
    def version(self) -> str:
        """Name and first digits of the weights' sha256, for reports."""
        return f"{self.card['name']}-{self.card['sha256'][:8]}"

    def run(self, batch: NDArray[np.float32], *, few_shapes: bool = True) -> NDArray[np.float32]:
        """(n, channels, rows, cols) float32 -> (n, outputs, rows, cols) float32 logits.

        Args:
            few_shapes: compile for this shape: faster where few occur, as the canvas, and strips of few
                heights. Without, one compilation serves all shapes.
        """
        if self.on_batch is not None:
            self.on_batch(batch)
        compiled = self._compiled_for(batch.shape if few_shapes else None)
        with self._counting:
            self._running += 1
        try:
            result = compiled.create_infer_request().infer([np.ascontiguousarray(batch, np.float32)])
            return np.array(result[0], np.float32)
        finally:
            with self._counting:
                self._running -= 1
                if not self._running:
                    self._release()

    def _release(self) -> None:
        """Give activations' memory back, 250 MB of all networks: taking it again costs nothing measurable."""
        for compiled in tuple(self._compiled.values()):
            compiled.release_memory()

    def _compiled_for(self, shape: tuple[int, ...] | None) -> Any:
        """The network compiled for a shape, or for all; those used longest ago are given up."""
        with self._compiling:
            if shape not in self._compiled:
                made_of = [self.card["sha256"], self.card.get(RANGES), self.precision, shape, _int8_code()]
                self._compiled[shape] = compiled_network(
                    self._core, self._config, made_of, lambda: self._model_of(shape)
                )
                while len(self._compiled) > COMPILED_MAX:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(shape)
            return self._compiled[shape]


@cache
def _int8_code() -> str:
    """Hash of the code that puts a network into eight bits."""
    return hashlib.sha256(Path(int8.__file__).read_bytes()).hexdigest()


def load_network(name: str, threads: int | None = None) -> Network:
    """The network of that name, of the folder in use or shipped; the second call returns the loaded one."""
    path = weights_file(f"{name}.onnx")
    with _loading:
        return _loaded(path, threads)


@lru_cache(maxsize=8)
def _loaded(path: Path, threads: int | None) -> Network:
    return Network(path, threads=threads)


_loading = Lock()


def load_ahead(shapes: Mapping[str, tuple[int, ...] | None]) -> None:
    """Begin to load networks while the caller prepares its first page, where there is a core for it.

    Args:
        shapes: by the name of the network the shape that it will see first; None where it sees any.
    """
    if _loaded.cache_info().currsize or cv2.getNumThreads() == 1:
        return

    def load() -> None:
        for name, shape in shapes.items():
            with suppress(ValueError):  # the caller will meet it, too
                load_network(name)._compiled_for(shape)

    Thread(target=load, daemon=True, name="networks").start()


_weights: Path | None = None
"""Folder whose networks replace shipped ones of the same names in this process; see `use_weights`."""


def use_weights(folder: Path | None) -> None:
    """Take the networks of a folder in place of the shipped ones of the same names, in this process.

    Args:
        folder: of ONNX files and their cards; networks that it lacks are the shipped ones. None takes those
            alone.
    """
    global _weights
    _weights = folder


def weights_file(name: str) -> Path:
    """A file of weights, of the folder in use or shipped."""
    own = None if _weights is None else _weights / name
    return own if own is not None and own.is_file() else WEIGHTS / name


def own_versions() -> dict[str, str]:
    """Versions of what the folder in use holds besides networks; shipped files have the package's version."""
    path = weights_file(TRUST_NAME)
    if path.parent == WEIGHTS:
        return {}
    return {path.stem: f"{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"}


def check_weights(folder: Path) -> None:
    """Refuse a folder that holds no weights that could replace shipped ones.

    Raises:
        ValueError: no folder, no network of a shipped one's name, or one that takes another input.
    """
    shipped = sorted(path.stem for path in WEIGHTS.glob("*.onnx"))
    found = [name for name in shipped if (folder / f"{name}.onnx").is_file()]
    if not found and not (folder / TRUST_NAME).is_file():
        raise ValueError(
            f"weights must be a folder with {', '.join(f'{name}.onnx' for name in shipped)} or some of them "
            f"(ecg-hough export writes them); got {folder}"
        )
    for name in found:
        card_path = folder / f"{name}.json"
        if not card_path.is_file():
            raise ValueError(f"network must have an ONNX file and a card; {card_path} is missing")
        given, known = (
            json.loads(path.read_text()).get("input", {}) for path in (card_path, WEIGHTS / card_path.name)
        )
        for key in ("channels", "scale"):
            if given.get(key) != known.get(key):
                raise ValueError(
                    f"{card_path} must take {key} {known.get(key)}, as the shipped network does; it takes "
                    f"{given.get(key)}. A network of other pages is run by ecg-lab predict --network"
                )
