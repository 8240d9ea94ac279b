"""Wider networks go on from narrower ones: `training.widen`."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("dynamic_network_architectures", reason="needs the train extra")

from ecg_hough.training.architecture import HalfUNet  # noqa: E402
from ecg_hough.training.widen import widen  # noqa: E402


def _network(features: list[int], seed: int) -> HalfUNet:
    torch.manual_seed(seed)
    n = len(features)
    norm = {"eps": 1e-5, "affine": True}
    return HalfUNet(3, n, features, torch.nn.Conv2d, 3, [2] * n, 2, 5, 1, conv_bias=True,
                    norm_op=torch.nn.InstanceNorm2d, norm_op_kwargs=norm,
                    nonlin=torch.nn.LeakyReLU, nonlin_kwargs={}).eval()  # fmt: skip


def test_a_widened_network_gives_the_same_logits_and_learns_with_its_new_channels() -> None:
    narrow, wide = _network([4, 6, 8], 0), _network([6, 12, 9], 1)
    picture = torch.rand(2, 3, 32, 64)
    wide.load_state_dict(widen(narrow.state_dict(), wide.state_dict()))
    torch.testing.assert_close(wide(picture), narrow(picture), rtol=1e-4, atol=1e-5)
    wide(picture).square().mean().backward()
    new_to_old = wide.encoder.stages[1][0].convs[0].conv.weight.grad[:6, 4:]
    assert float(new_to_old.abs().max()) > 0


def test_networks_of_other_depth_or_fewer_channels_are_refused() -> None:
    narrow = _network([4, 6, 8], 0).state_dict()
    with pytest.raises(ValueError, match="same stages"):
        widen(narrow, _network([6, 12], 1).state_dict())
    with pytest.raises(ValueError, match="must not shrink"):
        widen(narrow, _network([4, 5, 8], 1).state_dict())
