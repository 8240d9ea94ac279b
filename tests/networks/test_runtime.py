import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ecg_hough.networks.canvas import CANVAS_PX, to_canvas
from ecg_hough.networks.leads_net import lead_probabilities
from ecg_hough.networks.runtime import (
    CLASSES,
    COMPILED_MAX,
    WEIGHTS,
    Network,
    check_weights,
    load_network,
    use_weights,
)
from ecg_hough.paper import LEADS, WORDS
from ecg_hough.render import render_page

MAX_DIFFERENCE = 1e-3
"""Of a class probability."""


def write_network(folder: Path) -> Path:
    """A network that doubles its input, with its card."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    free = ["n", "c", "rows", "cols"]
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, free) for name in ("image", "logits")
    ]
    graph = helper.make_graph(
        [helper.make_node("Add", ["image", "image"], ["logits"])], "double", values[:1], values[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "double.onnx"
    path.write_bytes(model.SerializeToString())
    card = {"name": "double", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (2, 1, 5, 7)])
def test_run_takes_any_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    batch = np.random.default_rng(0).random(shape, np.float32)
    got = Network(write_network(tmp_path), threads=1, precision="f32").run(batch)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, 2 * batch)


def test_the_version_names_the_weights(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert Network(path).version == f"double-{digest[:8]}"


def test_a_network_without_its_card_is_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    path.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match=r"double.json is missing"):
        Network(path)


def test_a_replaced_network_is_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(ValueError, match="must have the sha256 of its card"):
        Network(path)


def test_int8_needs_the_ranges_of_the_card(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    assert Network(path).precision in ("bf16", "f32")
    with pytest.raises(ValueError, match=r"double.json must hold ranges for int8"):
        Network(path, precision="int8")
    with pytest.raises(ValueError, match="precision must be one of auto, int8, bf16, f32; got 'fp16'"):
        Network(path, precision="fp16")


def described_as(folder: Path, task: str, labels: list[str] | None) -> Path:
    """A file with a card of that task; it is refused before anything is read of the network."""
    path = folder / f"{task}.onnx"
    path.write_bytes(b"weights")
    numbered = None if labels is None else {label: k for k, label in enumerate(labels)}
    digest = hashlib.sha256(b"weights").hexdigest()
    path.with_suffix(".json").write_text(json.dumps({"task": task, "labels": numbered, "sha256": digest}))
    return path


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("leads", ["background", *LEADS[::-1]]),
        ("leads", ["background", *LEADS[:-1]]),
        ("leads", None),
        ("words", ["background", *LEADS]),
        ("words", [*WORDS, "background"]),
    ],
)
def test_a_network_of_other_labels_is_refused(tmp_path: Path, task: str, labels: list[str] | None) -> None:
    with pytest.raises(ValueError, match=rf"{task}.json must have the labels background, I, II, .*; got"):
        Network(described_as(tmp_path, task, labels))


def test_batches_can_be_recorded(tmp_path: Path) -> None:
    network, seen = Network(write_network(tmp_path), threads=1), []
    network.on_batch = seen.append
    batch = np.ones((1, 3, 8, 8), np.float32)
    network.run(batch)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], batch)


@pytest.mark.parametrize("path", sorted(WEIGHTS.glob("*.onnx")), ids=lambda path: path.stem)
def test_shipped_networks_fit_their_cards(path: Path) -> None:
    network = Network(path, threads=1)
    assert network.card["name"] == path.stem
    assert network.labels == CLASSES.get(network.card["task"], ())
    assert path.stat().st_size < 20e6


@pytest.mark.train
def test_probabilities_are_nnunets_own(tmp_path: Path) -> None:
    """The whole way: nnU-Net's reading, normalisation, tiling and softmax against ours."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("nnunetv2")
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from ecg_hough.render.ecg_model import generate_ecg
    from ecg_hough.training.export_weights import export, load_run
    from made_up_run import make_dataset_json, make_plans, write_nnunet_run

    ecg = generate_ecg(3)
    canvas = to_canvas(render_page(ecg.signals, ecg.fs, seed=3, profile="scan", dpi=100).image)
    # nnU-Net crops black borders away; this page has none.
    assert canvas.image[[0, -1]].all()
    # Small logits: nnU-Net keeps them in half precision, and at 8 its steps are 0.008.
    run = write_nnunet_run(tmp_path / "run", output_scale=0.3)
    plans = PlansManager(make_plans())
    predictor = nnUNetPredictor(
        tile_step_size=1.0,
        use_gaussian=False,
        use_mirroring=False,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    # The trainer is named, not looked up: the look-up would import every trainer of nnU-Net.
    predictor.manual_initialization(
        load_run(run),
        plans,
        plans.get_configuration("2d"),
        None,
        make_dataset_json(),
        "EcgHoughTrainer",
        None,
    )
    predictor.list_of_parameters = [predictor.network.state_dict()]
    image = canvas.image.transpose(2, 0, 1)[:, None].astype(np.float32)
    labels, expected = predictor.predict_single_npy_array(
        image, {"spacing": (999, 1, 1)}, save_or_return_probabilities=True
    )
    network = Network(export(run, tmp_path / "weights", half=False), precision="f32")
    got = lead_probabilities(canvas, network)
    assert got.shape == (13, CANVAS_PX, CANVAS_PX)
    assert np.abs(got - expected[:, 0]).max() < MAX_DIFFERENCE
    # Where two classes are equally likely, rounding decides.
    assert (got.argmax(axis=0) == labels[0]).mean() > 0.995


def test_threads_do_not_change_what_is_read() -> None:
    """One thread an inference: the same bits on any number of cores."""
    batch = np.random.default_rng(0).random((1, 5, 256, 576), np.float32)
    one, four = (Network(WEIGHTS / "traces.onnx", threads=threads).run(batch) for threads in (1, 4))
    np.testing.assert_array_equal(one, four)


def test_memory_of_activations_is_given_back_by_the_last_of_several_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what the others read is not disturbed by it."""
    network = Network(WEIGHTS / "words.onnx", threads=2)
    batches = [np.random.default_rng(k).random((1, 3, 256, 256), np.float32) for k in range(6)]
    running, release = [], network._release

    def watched() -> None:
        running.append(network._running)
        release()

    monkeypatch.setattr(network, "_release", watched)
    alone = [network.run(batch, few_shapes=False) for batch in batches]
    assert running == [0] * len(batches)
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda batch: network.run(batch, few_shapes=False), batches))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(running) == {0}
    assert len(running) > len(batches)


def test_few_shapes_stay_compiled(tmp_path: Path) -> None:
    """And a shape that was given up gives the same again."""
    network = Network(write_network(tmp_path), threads=1)
    shapes = [(1, 1, 8, 8 + k) for k in range(COMPILED_MAX + 3)]
    for shape in [*shapes, shapes[0]]:
        np.testing.assert_allclose(network.run(np.ones(shape, np.float32)), 2, rtol=1e-2)
    assert list(network._compiled) == [*shapes[-COMPILED_MAX + 1 :], shapes[0]]


def test_networks_of_a_folder_replace_shipped_ones_of_their_name(tmp_path: Path) -> None:
    shutil.copy(WEIGHTS / "marks.onnx", tmp_path / "marks.onnx")
    card = json.loads((WEIGHTS / "marks.json").read_text())
    (tmp_path / "marks.json").write_text(json.dumps(card | {"name": "mine"}))
    check_weights(tmp_path)
    try:
        use_weights(tmp_path)
        assert load_network("marks").version.startswith("mine-")
        assert load_network("leads").version.startswith("leads-")  # the folder has none
    finally:
        use_weights(None)
    assert load_network("marks").version.startswith("marks-")


def test_folders_that_cannot_replace_a_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"weights must be a folder with leads\.onnx"):
        check_weights(tmp_path)
    (tmp_path / "leads.onnx").touch()
    with pytest.raises(ValueError, match=r"leads\.json is missing"):
        check_weights(tmp_path)
    foreign = {"input": {"channels": ["Signals"], "scale": None}}
    (tmp_path / "leads.json").write_text(json.dumps(foreign))
    with pytest.raises(ValueError, match=r"must take channels .*--network"):
        check_weights(tmp_path)
