"""Networks from half resolution: sizes of their logits, and what the placed one sees."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("dynamic_network_architectures", reason="needs the train extra")

from ecg_hough.training.architecture import HalfUNet, PlacedUNet  # noqa: E402

pytestmark = pytest.mark.train


def network(kind: Any) -> Any:
    torch.manual_seed(0)
    return kind(
        input_channels=3, n_stages=2, features_per_stage=(4, 8), conv_op=torch.nn.Conv2d, kernel_sizes=3,
        strides=[2, 2], n_conv_per_stage=1, num_classes=5, n_conv_per_stage_decoder=1, conv_bias=True,
        norm_op=torch.nn.InstanceNorm2d, norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=False,
    )  # fmt: skip


@pytest.mark.parametrize("kind", [HalfUNet, PlacedUNet])
def test_logits_have_half_the_size_in_training_and_where_coarse(kind: Any) -> None:
    net, picture = network(kind), torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        assert net.train()(picture).shape == (2, 5, 16, 24)
        whole = net.eval()(picture)
        assert whole.shape == (2, 5, 32, 48)
        net.coarse = True
        half = net(picture)
    assert half.shape == (2, 5, 16, 24)
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(whole, 2)[..., 1:-1, 1:-1].mean(),
                               half[..., 1:-1, 1:-1].mean(), atol=0.1, rtol=0.1)  # fmt: skip


def test_only_the_placed_network_tells_places_of_one_picture_apart() -> None:
    plain = torch.full((1, 3, 64, 64), 0.5)
    for kind, same in ((HalfUNet, True), (PlacedUNet, False)):
        with torch.no_grad():
            logits = network(kind).eval()(plain)
        upper, lower = logits[..., 16:24, 16:24], logits[..., 40:48, 40:48]
        assert (float((upper - lower).abs().max()) < 1e-4) is same
