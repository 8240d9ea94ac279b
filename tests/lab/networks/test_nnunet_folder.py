"""nnU-Net results folders as networks: nnU-Net's own answers, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("nnunetv2")

from ecg_hough.errors import PageError
from ecg_hough.paper import LEADS
from ecg_hough.training import nnunet_commands
from ecg_hough.training.nnunet_run import build_network, load_checkpoint, read_network
from ecg_lab.methods import reader_of
from ecg_lab.networks.export import export_folds
from ecg_lab.networks.nnunet_folder import NnunetFolder, checkpoint_of, sliding_window
from kit_like_page import kit_like_page
from nnunet_like_run import write_plain_results

pytestmark = pytest.mark.train

PARITY = 1e-3


def page_of(shape: tuple[int, int], channels: int) -> np.ndarray:
    """Blots of all grey levels, black at the top and the left as on a turned page."""
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur((rng.random((*shape, 3)) * 255).astype(np.uint8), (0, 0), 1.5)
    image = np.clip((image.astype(float) - 128) * 4 + 128, 0, 255).astype(np.uint8)
    image[:, :7] = image[:3] = 0
    return image if channels == 3 else image[..., 0]


def answer_of_nnunet(folder: NnunetFolder, picture: Path, *, mirrored: bool = True) -> np.ndarray:
    """(classes, rows, cols) probabilities by nnU-Net's own reader, preprocessor and predictor."""
    import torch
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = PlansManager(folder.plans)
    configuration = plans.get_configuration("2d")
    states = [load_checkpoint(checkpoint_of(fold)) for fold in folder.folds]
    predictor = nnUNetPredictor(
        tile_step_size=0.5, use_gaussian=True, use_mirroring=mirrored, perform_everything_on_device=False,
        device=torch.device("cpu"), allow_tqdm=False,
    )  # fmt: skip
    predictor.manual_initialization(
        build_network(configuration, folder.n_channels, 13), plans, configuration,
        [state["network_weights"] for state in states], folder.dataset, "nnUNetTrainer",
        states[0]["inference_allowed_mirroring_axes"],
    )  # fmt: skip
    image, properties = NaturalImage2DIO().read_images([str(picture)])
    return np.asarray(predictor.predict_single_npy_array(image, properties, None, None, True)[1])[:, 0]


CASES: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "one channel, mirrored": ({}, (140, 180)),
    "two folds of colours": ({"channels": ("R", "G", "B"), "folds": ("0", "1")}, (140, 180)),
    "smaller than a tile": (
        {
            "channels": ("rgb_to_0_1",) * 3,
            "scheme": "RGBTo01Normalization",
            "mirrors": None,
            "folds": ("all",),
        },
        (50, 200),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_answer_is_nnunets(tmp_path: Path, case: str) -> None:
    options, shape = CASES[case]
    write_plain_results(tmp_path / "results", **options)
    folder = NnunetFolder(tmp_path)
    image = page_of(shape, folder.n_channels)
    picture = tmp_path / "page_0000.png"
    cv2.imwrite(str(picture), image if image.ndim == 2 else image[..., ::-1])
    expected = answer_of_nnunet(folder, picture)
    got = folder.probabilities(image)
    assert got.shape == expected.shape == (13, *shape)
    assert np.abs(got - expected).max() <= PARITY
    assert expected.max(axis=0).std() > 0.05  # else any answer would do
    assert (folder.labels(image) == expected.argmax(axis=0)).all()


def test_one_pass_is_nnunets_without_mirroring(tmp_path: Path) -> None:
    write_plain_results(tmp_path)
    image = page_of((100, 150), 1)
    picture = tmp_path / "page_0000.png"
    cv2.imwrite(str(picture), image)
    fast, slow = (NnunetFolder(tmp_path, fast=fast) for fast in (True, False))
    expected = answer_of_nnunet(slow, picture, mirrored=False)
    assert np.abs(fast.probabilities(image) - expected).max() <= PARITY
    assert np.abs(slow.probabilities(image) - expected).max() > 10 * PARITY


@pytest.mark.slow
def test_exported_folds_give_torchs_answer(tmp_path: Path) -> None:
    """Where torch is not installed. Logits are kept small: nnU-Net's sums in half precision magnify."""
    write_plain_results(tmp_path, gain=1.0)
    paths = export_folds(tmp_path)
    assert [path.parent.name for path in paths] == ["fold_0"]
    card = json.loads(paths[0].with_suffix(".json").read_text())
    assert (card["input"]["mirror_axes"], card["input"]["canvas_px"]) == ([0, 1], [64, 96])
    image = page_of((100, 150), 1)
    in_torch, exported = (
        NnunetFolder(tmp_path, backend=b).probabilities(image) for b in ("torch", "openvino")
    )
    assert np.abs(in_torch - exported).max() <= PARITY


def test_a_foreign_network_says_nothing_of_local_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set of the same name lies here; the network was trained on another."""
    local = tmp_path / "data" / "nnUNet_raw" / "Dataset500_Signals"
    local.mkdir(parents=True)
    (local / "cases.csv").write_text("name,group,source,seed\npage_0,1,00021_hr,0\n")
    monkeypatch.chdir(tmp_path)
    write_plain_results(tmp_path / "results")
    card = json.loads(export_folds(tmp_path / "results")[0].with_suffix(".json").read_text())
    assert card["data"] == {"dataset": "Dataset500_Signals", "cases": 34134, "records": None}
    assert card["training"]["trainer"] == "nnUNetTrainer"


def test_planes_as_slices_are_normalised_together_and_the_red_one_is_read(tmp_path: Path) -> None:
    write_plain_results(tmp_path / "winner", slices=3)
    write_plain_results(tmp_path / "red", slices=1)
    winner, red = NnunetFolder(tmp_path / "winner"), NnunetFolder(tmp_path / "red")
    image = page_of((100, 150), 3)
    image[..., 1:] //= 4
    (as_winner, box), (as_red, _) = winner._preprocessed(image), red._preprocessed(image)
    part = image[box].astype(float)
    np.testing.assert_allclose(as_winner[0], (part[..., 0] - part.mean()) / part.std(), atol=1e-4)
    np.testing.assert_allclose(
        as_red[0], (part[..., 0] - part[..., 0].mean()) / part[..., 0].std(), atol=1e-4
    )
    assert np.abs(winner.probabilities(image) - red.probabilities(image)).max() > PARITY


def test_classes_in_another_order_become_the_packages(tmp_path: Path) -> None:
    root = write_plain_results(tmp_path)
    image = page_of((100, 150), 1)
    before = NnunetFolder(tmp_path).labels(image)
    dataset = json.loads((root / "dataset.json").read_text())
    dataset["labels"] = {"background": 0, **{lead.lower(): 12 - k for k, lead in enumerate(LEADS)}}
    (root / "dataset.json").write_text(json.dumps(dataset))
    after = NnunetFolder(tmp_path).labels(image)
    np.testing.assert_array_equal(after, np.where(before > 0, 13 - before, 0))


def test_tiles_of_a_constant_answer_sum_to_it() -> None:
    def forward(batch: np.ndarray) -> np.ndarray:
        return np.stack([np.ones_like(batch[:, 0]), -np.ones_like(batch[:, 0])], axis=1)

    logits = sliding_window(np.zeros((1, 90, 130), np.float32), forward, (32, 48), (0, 1))
    assert logits.shape == (2, 90, 130)
    np.testing.assert_allclose(logits[0], 1.0, atol=2e-3)
    np.testing.assert_allclose(logits[1], -1.0, atol=2e-3)


def test_folders_that_are_no_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a folder"):
        NnunetFolder(tmp_path / "none")
    with pytest.raises(ValueError, match="holds none"):
        NnunetFolder(tmp_path)
    root = write_plain_results(tmp_path / "a")
    pointer = root / "fold_0" / "checkpoint_final.pth"
    pointer.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    with pytest.raises(ValueError, match="pointer of Git LFS"):
        NnunetFolder(tmp_path).probabilities(page_of((80, 100), 1))
    (root / "prepare.json").write_text(json.dumps({"options": {"canvas": "canvas704"}}))
    with pytest.raises(ValueError, match=r"canvas704.*--weights"):
        NnunetFolder(tmp_path)
    write_plain_results(tmp_path / "b")
    with pytest.raises(ValueError, match="must be one folder"):
        NnunetFolder(tmp_path)
    with pytest.raises(PageError, match="not black"):
        NnunetFolder(tmp_path / "b").probabilities(np.zeros((80, 100), np.uint8))


def test_a_checkpoint_with_code_is_not_run(tmp_path: Path) -> None:
    import torch

    class Evil:
        def __reduce__(self) -> Any:
            return (sys.exit, (7,))

    root = write_plain_results(tmp_path)
    path = root / "fold_0" / "checkpoint_final.pth"
    torch.save({"network_weights": {}, "init_args": Evil()}, path)
    with pytest.raises(ValueError, match="holds code, which is not run"):
        read_network(path, root)


@pytest.mark.slow
def test_the_method_reads_pages_with_a_folder(tmp_path: Path) -> None:
    """A page goes through the reader; random weights draw no lead where the method looks."""
    write_plain_results(tmp_path / "results", patch=(256, 320), mirrors=None)
    path = tmp_path / "page.png"
    cv2.imwrite(str(path), kit_like_page().image[..., ::-1])
    read = reader_of("krones2024", network=tmp_path / "results", fast=True)
    options = json.loads(json.dumps(read.options()))
    assert options["network"].startswith("nnUNetTrainer__nnUNetPlans__2d-")
    ecg = read(path)
    assert ecg.versions["network"] == options["network"]
    with pytest.raises(ValueError, match="are read by centroid, krones2024"):
        reader_of("ecgminer", network=tmp_path / "results")
    with pytest.raises(ValueError, match="folder or from a network"):
        reader_of("krones2024", network=tmp_path / "results", masks=tmp_path)


def test_our_trainers_are_found_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    from nnunetv2.utilities import find_objects

    def search(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(find_objects, "recursive_find_trainer_class_by_name", search)
    nnunet_commands.find_trainers_by_name()
    for name in nnunet_commands.TRAINERS:
        assert find_objects.recursive_find_trainer_class_by_name(name).__name__ == name
    with pytest.raises(ValueError, match=r"torchvision must fit torch.*EcgHoughTrainer"):
        find_objects.recursive_find_trainer_class_by_name("nnUNetTrainerBenchmark_5epochs")
    assert {"train", "predict", "plan_and_preprocess"} <= set(nnunet_commands.known_commands())
    with pytest.raises(ValueError, match="command must be one of nnU-Net's"):
        nnunet_commands.run_command("trian", [], data=Path("data"), results=Path("runs"))
