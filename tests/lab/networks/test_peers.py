"""Networks of other systems: their data have a known answer, their loop goes on, their exports are
torch's."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("nnunetv2")

from ecg_hough.networks.runtime import Network
from ecg_hough.paper import LEADS
from ecg_hough.scores.guard import trained_on
from ecg_hough.scores.metrics import unaligned_snr
from ecg_lab.methods import LAB_WEIGHTS
from ecg_lab.networks import overlap_unet, whole_page
from ecg_lab.networks.export import export_peer, read_peer_run
from ecg_lab.networks.loop import PeerSettings, train_peer
from ecg_lab.networks.peers import PEERS, find_peer, load_peer

pytestmark = pytest.mark.train


@pytest.mark.slow
def test_a_crop_shows_its_lead_and_the_mask_is_its_trace_alone() -> None:
    rng = np.random.default_rng(3)
    page = overlap_unet.draw_page([], rng)
    panel = max(page.panels, key=lambda p: len(p.trace))
    crop, mask = overlap_unet.crop_of(page, panel, rng)
    assert crop.shape == mask.shape == (1, *overlap_unet.CROP_PX)
    assert set(np.unique(mask)) == {0.0, 1.0}
    # The mask lies on ink: darker there than around, which is what the network learns from.
    assert crop[mask > 0].mean() < crop[mask == 0].mean() - 0.5


def test_places_of_a_crop_are_places_of_the_page() -> None:
    matrix = overlap_unet.crop_matrix(np.array([50.0, 70.0]), 2.0, 90.0, (41, 61))
    at = matrix[:, :2] @ np.array([50.0, 70.0]) + matrix[:, 2]
    assert at == pytest.approx([20.0, 30.0])
    # A page turned counter-clockwise by a quarter: its right is up, so up on the page is right in the crop.
    right = matrix[:, :2] @ np.array([49.0, 70.0]) + matrix[:, 2] - at
    assert right == pytest.approx([0.0, 2.0])


def test_samples_come_back_at_their_seconds() -> None:
    t = np.arange(5000) / 500
    signals = np.stack([np.sin(2 * np.pi * (1 + k / 4) * t) for k in range(12)])
    samples = whole_page.printed_samples(signals, 500)
    assert samples.shape == (whole_page.OUTPUTS,)
    back = whole_page.as_signals(samples, 500)
    for k, lead in enumerate(LEADS):
        first, n = (round(500 * v) for v in whole_page.places_s()[lead])
        assert np.isnan(back[k, :first]).all()
        assert np.isnan(back[k, first + n :]).all()
        # 100 Hz hold a sine of 4 Hz but for the ends.
        part = slice(first + 50, first + n - 50)
        assert unaligned_snr(signals[k, part], back[k, part]) > 25
    signals[3, 1250:2500] = np.nan
    gone = whole_page.as_signals(whole_page.printed_samples(signals, 500), 500)
    assert np.isnan(gone[3]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_a_stopped_training_goes_on_and_is_exported(tmp_path: Path, name: str) -> None:
    peer, run = find_peer(name), tmp_path / "run"
    for steps in (1, 2):
        settings = PeerSettings(steps=steps, batch_size=2, validation_batches=1)
        train_peer(peer, settings, records=None, out=run)
    log = (run / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in log] == ["step", "1", "2"]
    network = Network(export_peer(run, tmp_path / "weights"), precision="f32")
    assert (network.card["task"], network.card["training"]["steps"]) == (name, 2)
    assert network.card["data"]["records"] == 0
    assert trained_on(tmp_path / "weights")[0].listed

    import torch

    batch, _ = next(peer.batches([], np.random.default_rng(0), 2))
    with torch.no_grad():
        expected = read_peer_run(run).network(torch.from_numpy(batch)).numpy()
    assert np.abs(network.run(batch) - expected).max() < 0.02 * np.ptp(expected)


def test_an_unknown_peer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="method must be one of overlap-unet, taylorsamarel-v2; got 'x'"):
        find_peer("x")
    with pytest.raises(ValueError, match="of train-peer"):
        export_peer(tmp_path, tmp_path)


@pytest.mark.parametrize("path", sorted(LAB_WEIGHTS.glob("*.json")), ids=lambda path: path.stem)
def test_the_laboratorys_weights_know_their_records(path: Path) -> None:
    card = json.loads(path.read_text())
    assert path.with_suffix(".onnx").stat().st_size == card["size_bytes"] < 4e6
    assert card["training"]["minutes"] > 0
    network = load_peer(path.stem)
    assert network.card["sha256"] == card["sha256"]
    (about,) = [n for n in trained_on(LAB_WEIGHTS) if n.network == path.stem]
    assert about.listed
    assert about.records


@pytest.mark.slow
def test_batches_of_a_generator_are_repeatable() -> None:
    pairs = [list(islice(overlap_unet.batches([], np.random.default_rng(5), 1), 1)) for _ in range(2)]
    np.testing.assert_array_equal(pairs[0][0][0], pairs[1][0][0])
