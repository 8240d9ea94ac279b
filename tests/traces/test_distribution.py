"""From logits to read-outs: mean round the peak, spread, presence and doubt."""

import numpy as np
import pytest

from ecg_hough.traces.distribution import (
    READOUTS_PER_COLUMN,
    TARGET_SIGMA_PX,
    distribution_rows,
    read_at,
    read_logits,
    readout_columns,
)


def bell(centre, n=64, height=9.0, sigma=1.2):
    return height - 0.5 * ((np.arange(n) - centre) / sigma) ** 2


def test_distribution_gives_sub_pixel_rows_in_column_order():
    true = np.array([[20.3, 30.8], [20.6, 31.4], [21.0, 32.0], [21.9, 33.3]])  # sub-column, column
    logits = np.stack([np.stack([bell(r) for r in sub], axis=1) for sub in true]).astype(np.float32)
    rows, sd, presence, doubt = distribution_rows(logits)
    assert np.allclose(rows, true.T.ravel(), atol=0.01)
    assert np.allclose(sd, np.sqrt(1.2**2 - TARGET_SIGMA_PX**2), atol=0.05)
    assert (presence > 0.99).all()
    assert (doubt < 1e-3).all()


def test_no_trace_where_all_rows_are_unlikely():
    _, _, presence, _ = distribution_rows(np.full((4, 64, 8), -9.0, np.float32))
    assert (presence < 0.05).all()


def test_a_far_second_peak_does_not_pull_the_mean():
    logits = np.maximum(bell(12.0, height=9), bell(55.0, height=7.5))[None, :, None].astype(np.float32)
    rows, _, _, doubt = distribution_rows(logits)
    assert rows[0] == pytest.approx(12.0, abs=0.05)
    assert doubt[0] == pytest.approx(np.exp(-1.5) / (1 + np.exp(-1.5)), abs=0.02)


def test_readouts_are_a_quarter_column_before_and_behind_the_centre() -> None:
    assert readout_columns(3).tolist() == [[-0.25, 0.25], [0.75, 1.25], [1.75, 2.25]]


def test_read_outs_of_a_strip_are_in_its_pixels() -> None:
    # Logits of half the strip's resolution, of one column of output more than the strip needs.
    rows = 20.0 + np.arange(6)
    logits = np.stack([np.stack([bell(r) for r in rows], axis=1)] * 4).astype(np.float32)
    read = read_logits(logits, 10)
    assert all(values.shape == (10 * READOUTS_PER_COLUMN,) for values in read)
    np.testing.assert_allclose(read.rows, np.repeat((rows[:5] + 0.5) * 2 - 0.5, 4), atol=0.05)
    np.testing.assert_allclose(read.sd, 2 * np.sqrt(1.2**2 - TARGET_SIGMA_PX**2), atol=0.1)


def test_single_read_outs_can_be_read_round_another_peak() -> None:
    logits = np.maximum(bell(12.0, height=9), bell(50.0, height=7))[None, :, None].repeat(4, axis=0)
    logits = logits.repeat(5, axis=2).astype(np.float32)
    own = read_logits(logits, 10)
    other = read_at(own, logits, np.array([3, 7]), np.array([50.0, 49.0]))
    moved = np.flatnonzero(other.rows != own.rows)
    assert moved.tolist() == [3, 7]
    assert other.rows[moved] == pytest.approx((50.0 + 0.5) * 2 - 0.5, abs=0.05)
    assert own.rows == pytest.approx((12.0 + 0.5) * 2 - 0.5, abs=0.05)
    assert other.presence is own.presence
