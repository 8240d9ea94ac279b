"""The trace network's targets and loss."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("dynamic_network_architectures", reason="needs the train extra")

from ecg_hough.training.row_truth import IGNORED, NO_TRACE  # noqa: E402
from ecg_hough.training.trace_network import OUTPUTS, make_network, output_target, trace_loss  # noqa: E402

pytestmark = pytest.mark.train


def test_a_row_of_the_strip_is_half_of_it_in_the_output() -> None:
    target = torch.tensor([[[10.5, 20.5, NO_TRACE, IGNORED], [12.5, 22.5, NO_TRACE, IGNORED]]])
    paired = output_target(target)
    assert paired.shape == (1, OUTPUTS, 2)
    assert sorted(paired[0, :, 0].tolist()) == [5.0, 6.0, 10.0, 11.0]
    assert set(paired[0, :, 1].tolist()) == {NO_TRACE, IGNORED}


def test_the_loss_is_least_for_the_right_row_and_for_no_trace_where_there_is_none() -> None:
    target = torch.full((1, OUTPUTS, 6), 7.0)
    target[..., 3:] = NO_TRACE
    target[..., 5] = IGNORED
    rows = torch.arange(16.0).view(1, 1, -1, 1)

    def logits(row: float, absent: float) -> torch.Tensor:
        out = (8 - 3 * (rows - row) ** 2).expand(1, OUTPUTS, 16, 6).clone()
        out[..., 3:] = absent
        return out

    right, figures = trace_loss(logits(7.0, -9.0), target)
    assert figures["rmse_px"] < 0.05
    assert figures["presence_error"] == 0.0
    assert right < trace_loss(logits(8.0, -9.0), target)[0]
    assert right < trace_loss(logits(7.0, 3.0), target)[0]
    ignored = logits(7.0, -9.0)
    ignored[..., 5] = 50.0
    assert trace_loss(ignored, target)[0] == pytest.approx(float(right))


def test_the_network_halves_its_strip() -> None:
    net = make_network((4, 8)).eval()
    with torch.no_grad():
        assert net(torch.zeros(1, 5, 32, 64)).shape == (1, OUTPUTS, 16, 32)
