"""Coverage of expected errors: the digitiser is replaced by one whose errors are known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ecg_hough.errors import PageError
from ecg_hough.render import render_page
from ecg_lab import confidence_check
from ecg_lab.confidence_check import check_confidence
from made_up_ecg import made_up_ecg

ERROR_MV = 0.1


@pytest.fixture
def pages(monkeypatch):
    """What was rendered; the digitiser reads it with normal errors of ERROR_MV and states `claimed`."""
    seen = SimpleNamespace(claimed=ERROR_MV, refuse=set(), pages=[])

    def rendered(signals, fs, *, seed, profile):
        seen.pages.append(render_page(signals, fs, seed=seed, profile="clean", dpi=60))
        return seen.pages[-1]

    def read(image, *, fs):
        if len(seen.pages) - 1 in seen.refuse:
            raise PageError("segmentation", "a page must show leads of an ECG")
        page = seen.pages[-1]
        rng = np.random.default_rng(len(seen.pages))
        signals = page.signals + rng.normal(0, ERROR_MV, page.signals.shape)
        sd = np.where(np.isfinite(signals), seen.claimed, np.nan)
        return replace(
            made_up_ecg(), signals=signals, fs=fs, sd_mv=sd,
            confidence=np.where(np.isfinite(signals), 0.5, 0.0),
            speed_mm_s=page.style["sheet"]["speed_mm_s"], gain_mm_mv=page.style["sheet"]["gain_mm_mv"],
        )  # fmt: skip

    monkeypatch.setattr(confidence_check, "render_page", rendered)
    monkeypatch.setattr(confidence_check, "digitize", read)
    return seen


@pytest.mark.parametrize(
    ("claimed", "coverage"), [(ERROR_MV, 0.9), (ERROR_MV / 2, 0.59), (3 * ERROR_MV, 1.0)]
)
def test_coverage_is_that_of_the_errors(pages, claimed, coverage):
    pages.claimed = claimed
    figures = check_confidence(1, seed=1)
    assert figures["coverage"] == pytest.approx(coverage, abs=0.03)
    assert figures["misunderstood"] == figures["refused"] == 0
    assert figures["profiles"]["clean"]["rms_mv"] == pytest.approx(ERROR_MV, rel=0.05)
    assert sum(row["samples_share"] for row in figures["sd_bins"]) == pytest.approx(1.0)
    assert [row["share"] for row in figures["surest_leads"]] == list(confidence_check.SHARES)


def test_refused_pages_are_counted_and_stop_nothing(pages):
    pages.refuse = {0}
    done = []
    figures = check_confidence(2, seed=1, on_progress=lambda k, n: done.append((k, n)))
    assert (figures["refused"], figures["pages"]) == (1, 2)
    assert done == [(1, 2), (2, 2)]


def test_nothing_readable_is_an_error(pages):
    pages.refuse = {0}
    with pytest.raises(ValueError, match="at least one of the 1 pages"):
        check_confidence(1, seed=1)
