"""Fits of trust, on pages whose evidence says how right they are."""

import json

import numpy as np
import pytest

from ecg_hough.paper import CHEST_LEADS, LEADS
from ecg_hough.scores.right_leads import ComparedLead
from ecg_hough.signals.trust import TrustModel
from ecg_lab import trust_fit
from ecg_lab.trust_fit import JudgedLead, JudgedPage

FEATURES = sorted({name for names in trust_fit.PARTS.values() for name in names})
GOOD = ComparedLead(24.0, 25.0, 0.001, 1.01)


def page(name: str, rng: np.random.Generator, *, late: bool = False, low: tuple[str, ...] = ()) -> JudgedPage:
    """A page with evidence of what is wrong with it: late columns, leads of half their height."""
    shared = {feature: float(rng.normal(0.0, 0.1)) for feature in FEATURES}
    shared["columns' margin"] = 0.0 if late else 8.0
    leads = []
    for lead in LEADS:
        snr, gain = (6.0, 0.5) if lead in low else (25.0, 1.01)
        leads.append(JudgedLead(lead, shared, ComparedLead(snr, snr, 0.05 if late else 0.001, gain)))
    return JudgedPage(name, shared, tuple(leads))


def pages(n: int = 80) -> list[JudgedPage]:
    rng = np.random.default_rng(0)
    return [page(f"{k}", rng, late=k % 5 == 0) for k in range(n)]


def test_what_is_right_of_a_lead_and_of_a_page():
    rng = np.random.default_rng(0)
    right = page("a", rng)
    assert right.layout
    assert right.time
    assert right.gain(True)
    assert right.gain(False)
    assert all(lead.right and not lead.wrong for lead in right.leads)
    late = page("b", rng, late=True)
    assert late.layout
    assert late.time is False
    assert all(lead.wrong for lead in late.leads)
    low = page("c", rng, low=tuple(CHEST_LEADS))
    assert low.gain(True) is False
    assert low.gain(False) is True
    absent = JudgedLead("I", {}, None)
    assert absent.wrong
    assert not absent.right
    between = JudgedLead("I", {}, ComparedLead(12.0, 12.0, 0.0, 1.0))
    assert not between.right
    assert not between.wrong


def test_a_page_whose_leads_show_others_has_the_wrong_layout():
    lead = JudgedLead("I", {}, ComparedLead(2.0, 2.0, 0.0, 0.3), shows_other=True)
    assert not JudgedPage("a", {}, (lead,) * 12).layout
    assert JudgedPage("a", {}, (JudgedLead("I", {}, GOOD),) * 9 + (lead,) * 3).layout
    assert JudgedPage("a", {}, (lead,)).time is None


def test_a_lead_is_compared_with_the_true_one_and_with_others():
    t = np.arange(2000) / 500
    one, other = np.sin(9.0 * t), np.sign(np.sin(5.0 * t))
    truth = {"I": one, "II": other, "III": np.zeros(2000), "aVR": np.full(2000, np.nan)}
    own = trust_fit._judged_lead("I", {}, one, truth, 500)
    assert own is not None
    assert own.right
    assert not own.shows_other
    swapped = trust_fit._judged_lead("I", {}, other, truth, 500)
    assert swapped is not None
    assert swapped.wrong
    assert swapped.shows_other
    assert trust_fit._judged_lead("III", {}, one, truth, 500) is None
    absent = trust_fit._judged_lead("aVR", {}, one, truth, 500)
    assert absent is not None
    assert absent.compared is None


def test_the_fit_trusts_pages_whose_evidence_is_that_of_right_ones(tmp_path):
    made = trust_fit.fit_trust(pages())
    assert made["held_out"]["wrong_at_ok"] <= trust_fit.WRONG_SHARE
    assert made["held_out"]["right_at_check"] < 0.05
    assert made["held_out"]["brier"] < 0.2 * made["held_out"]["brier_of_the_mean"]
    path = tmp_path / "trust.json"
    trust_fit.write_model(made, path, ["a", "b"], ["c"])
    assert json.loads(path.read_text())["command"] == "ecg-lab fit-trust a b --others c"
    model = TrustModel.read(path)
    assert set(model.parts) == set(trust_fit.PARTS)
    rng = np.random.default_rng(9)
    right, late = (page("new", rng, late=late).leads[0].evidence for late in (False, True))
    probability = model.probability([right, late])
    assert probability[0] > model.limit > probability[1]


def test_pages_without_leads_are_told_from_ecgs():
    rng = np.random.default_rng(1)
    others = [JudgedPage(f"o{k}", {f: float(rng.normal(0.0, 0.1)) for f in FEATURES}) for k in range(16)]
    for other in others:
        other.evidence["spiky"] = -5.0
    made = trust_fit.fit_is_ecg(pages(40), others)
    assert made["held_out"]["others_refused"] == 1.0


def test_too_few_pages_are_an_error():
    with pytest.raises(ValueError, match="at least 8 pages are needed; got 3"):
        trust_fit.fit_trust(pages(3))
