"""A page as the browser gets it."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason='needs pip install "ecg-hough[serve]"')
from ecg_hough.paper import LEADS
from ecg_hough.review.corrected import CorrectedRecord, corrected
from ecg_hough.review.corrections import Gain, HeaderValues, Undo, Zero
from ecg_hough.review.state import page_state
from ecg_hough.review.store import Decision, Standing
from made_review import log_of, sample


def numbers(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def test_all_that_is_drawn() -> None:
    log = log_of(Gain(5.0), Zero("0.1", 0.5), HeaderValues({"HR": 61.0, "name": "Doe"}), Gain(20.0), Undo())
    result = corrected(sample(), log)
    whole = CorrectedRecord(result.record, {1: result})
    state = json.loads(json.dumps(page_state(whole, 1, log, Standing(Decision("accepted"), 5))))
    assert [lead["lead"] for lead in state["leads"]] == list(LEADS)
    lead = state["leads"][1]
    signal = numbers(lead["signal"], "<i2").astype(float) * lead["uv"] / 1000
    mine = result.record.signals[1]
    assert signal.size == mine.size
    known = np.isfinite(mine)
    assert np.abs(signal - mine)[known].max() <= 0.0006
    assert len(state["panels"]) == 13
    panel = next(one for one in state["panels"] if one["key"] == "0.1")
    assert (panel["lead"], panel["zero_mm"], panel["rhythm"]) == ("aVR", 0.5, False)
    points = numbers(state["rows"][0]["points"], "<f4").reshape(-1, 2)[panel["first"] : panel["stop"]]
    rows, cols = sample().picture.image.shape[:2]
    seen = points[np.isfinite(points).all(axis=1)]
    assert len(seen) > 300
    assert (seen >= 0).all()
    assert (seen < (rows, cols)).all()
    assert panel["zero"][0][1] < seen[:, 1].min() + 3
    assert [one["column"] for one in state["edges"]] == [0, 1, 2, 3, 4]
    down, along = np.array(state["mm_px"])
    assert down == pytest.approx((5.9, 0), abs=0.1)
    assert along == pytest.approx((0, 5.9), abs=0.1)
    assert [one["holds"] for one in state["history"]] == [True, True, True, False, False]
    assert (state["can_undo"], state["can_redo"], state["version"]) == (True, True, 5)
    assert (state["header"]["HR"], state["header"]["name"]) == (61.0, "Doe")
    assert state["warnings"] == [] or set(state["warnings"][0]) == {"text", "number", "leads"}
    assert state["decision"]["decision"] == "accepted"
