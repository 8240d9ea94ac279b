"""The exception for a page that cannot be digitised."""

from __future__ import annotations

import pickle

from ecg_hough.errors import PageError


def test_a_page_error_comes_whole_out_of_another_process() -> None:
    error = pickle.loads(pickle.dumps(PageError("grid", "no lines")))
    assert (error.stage, error.message, str(error)) == ("grid", "no lines", "grid: no lines")
