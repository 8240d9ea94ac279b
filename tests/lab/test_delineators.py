from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.render.ecg_model import generate_ecg
from ecg_lab.delineators import check_delineators, summary_table, truth_of


@pytest.mark.slow
def test_errors_of_few_records() -> None:
    seen: list[int] = []
    figures = check_delineators(2, seed=7002, on_progress=lambda done, total: seen.append(done))
    assert seen == [1, 2]
    rows = {(row["way"], row["view"], row["interval"]): row for row in figures["errors"]}
    assert abs(rows["ours", "12x1", "PR"]["median_error"]) < 15
    assert rows["prominence", "12x1", "QT"]["records"] == 2
    assert summary_table(figures).row_count == len(rows)


def test_truth_of_a_record_without_beats() -> None:
    assert truth_of(generate_ecg(0, rhythm="asystole")) == {}
    assert np.isfinite(list(truth_of(generate_ecg(0, rhythm="sinus rhythm")).values())).all()
