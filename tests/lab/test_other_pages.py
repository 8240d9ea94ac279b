"""Pages that are no 12-lead ECG."""

import numpy as np
import pytest

from ecg_lab import other_pages


@pytest.mark.parametrize("kind", ["one", "mirrored", "two"])
def test_a_kind_is_drawn_and_depends_on_its_seed_alone(kind):
    first, again = (other_pages.render_other(kind, np.random.default_rng(5)) for _ in range(2))
    assert first.dtype == np.uint8
    assert first.shape[2] == 3
    assert min(first.shape[:2]) > 100
    assert np.array_equal(first, again)
    assert first.std() > 5.0


def test_channels_are_named_by_what_is_no_lead(monkeypatch):
    monkeypatch.setattr(other_pages, "LABELS", ("A#",))
    written: list[str] = []
    monkeypatch.setattr(other_pages, "draw_text", lambda layer, text, *_: written.append(text))
    for seed in range(3):
        other_pages.render_other("one", np.random.default_rng(seed))
    assert written
    assert written[0] == "A1"
    assert all(text == f"A{int(text[1:])}" for text in written)


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="kind must be one of"):
        other_pages.render_other("ecg", np.random.default_rng(0))
