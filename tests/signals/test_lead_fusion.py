"""Panels that show the same signals: generated limb leads with known read-out errors."""

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.paper import IN_I_AND_II, LEADS
from ecg_hough.signals.lead_fusion import PanelSignal, fuse, lead_residuals, snr_by_others

FS = 500
N = 1250


def behind(seed=0):
    """(2, N) I and II: smooth signals of about 0.5 mV."""
    rng = np.random.default_rng(seed)
    kernel = np.hanning(25) / np.hanning(25).sum()
    return np.stack([np.convolve(rng.normal(0, 1.5, N), kernel, mode="same") for _ in range(2)])


def limb_panels(error=0.01, seed=1, leads=tuple(IN_I_AND_II)):
    """Panels and the true signals of limb leads, read with the given error."""
    rng = np.random.default_rng(seed)
    truth = {lead: np.array(IN_I_AND_II[lead]) @ behind() for lead in leads}
    panels = tuple(
        PanelSignal(lead, 0, False, mv + rng.normal(0, error, N), np.full(N, error), np.ones(N))
        for lead, mv in truth.items()
    )
    return panels, truth


def rmse(a, b):
    return float(np.sqrt(np.nanmean((a - b) ** 2)))


@pytest.mark.parametrize(
    ("leads", "remaining"),
    # k leads of two signals: the remaining error is sqrt(2 / k) of a lead's own, on average.
    [(("I", "II", "III"), np.sqrt(2 / 3)), (tuple(IN_I_AND_II), np.sqrt(2 / 6))],
)
def test_errors_shrink_by_the_number_of_leads_that_agree(leads, remaining):
    # Errors that match their expectation give a median disagreement of one: nothing is moved at that.
    panels, truth = limb_panels(leads=leads)
    panels = tuple(PanelSignal(p.lead, 0, False, p.mv, 3 * p.sd, p.presence) for p in panels)
    fused = fuse(panels, FS)
    assert fused.agree
    before = np.mean([rmse(p.mv, truth[p.lead]) ** 2 for p in panels])
    after = np.mean([rmse(p.mv, truth[p.lead]) ** 2 for p in fused.panels])
    assert np.sqrt(after / before) == pytest.approx(remaining, rel=0.1)
    assert all((f.sd <= p.sd + 1e-12).all() for f, p in zip(fused.panels, panels, strict=True))


def test_a_doubtful_stretch_is_put_right_by_the_sure_leads():
    panels, truth = limb_panels(leads=("I", "II", "III"), error=0.002)
    mv, sd = panels[2].mv.copy(), np.full(N, 0.01)
    mv[100:150] += 0.3
    sd[100:150] = 0.5
    sure = [PanelSignal(p.lead, 0, False, p.mv, 5 * p.sd, p.presence) for p in panels[:2]]
    fused = fuse((*sure, PanelSignal("III", 0, False, mv, sd, np.ones(N))), FS)
    assert rmse(fused.panels[2].mv[100:150], truth["III"][100:150]) < 0.03
    assert rmse(fused.panels[0].mv[100:150], truth["I"][100:150]) < 0.02


def test_misnamed_leads_are_left_alone():
    panels, _ = limb_panels(leads=("I", "II", "III"))
    swapped = (panels[0], panels[2], panels[1])
    named = tuple(
        PanelSignal(lead, 0, False, p.mv, p.sd, p.presence)
        for lead, p in zip(("I", "II", "III"), swapped, strict=True)
    )
    fused = fuse(named, FS)
    assert fused.agree is False
    assert all((f.mv == p.mv).all() for f, p in zip(fused.panels, named, strict=True))


def test_a_rhythm_strip_and_its_short_copy_are_averaged_and_levels_stay():
    truth = behind()[0]
    rng = np.random.default_rng(2)
    short = PanelSignal("V1", 400, False, truth[400:900] + rng.normal(0, 0.01, 500) + 0.2,
                        np.full(500, 0.03), np.ones(500))  # fmt: skip
    strip = PanelSignal("V1", 0, True, truth + rng.normal(0, 0.01, N), np.full(N, 0.03), np.ones(N))
    fused = fuse((short, strip), FS)
    moved = fused.panels[1].mv
    assert rmse(moved[400:900], truth[400:900]) < 0.8 * rmse(strip.mv[400:900], truth[400:900])
    assert (moved[:400] == strip.mv[:400]).all()
    assert np.median(fused.panels[0].mv - truth[400:900]) == pytest.approx(0.2, abs=0.01)


def test_a_lead_that_may_be_anothers_ink_follows_the_others():
    panels, truth = limb_panels()
    panels = tuple(replace(p, sd=3 * p.sd) for p in panels)
    k = [p.lead for p in panels].index("aVR")
    cut = panels[k].mv.copy()
    cut[600:640] = 0.0  # its wave was cut where another row crosses it
    stray = np.zeros(N)
    stray[600:640] = 0.5
    apart = fuse(tuple(replace(p, mv=cut) if p.lead == "aVR" else p for p in panels), FS)
    told = fuse(tuple(replace(p, mv=cut, stray=stray) if p.lead == "aVR" else p for p in panels), FS)
    true = truth["aVR"][600:640]
    assert rmse(told.panels[k].mv[600:640], true) < 0.3 * rmse(apart.panels[k].mv[600:640], true)
    assert told.panels[k].error[600:640].max() < 0.1
    others = [p for p in range(len(panels)) if p != k]
    assert max(rmse(told.panels[p].mv, panels[p].mv) for p in others) < 0.05


def test_ink_in_doubt_that_agrees_with_the_others_is_not_moved():
    panels, _ = limb_panels()
    panels = tuple(replace(p, sd=3 * p.sd) for p in panels)
    stray = np.where((np.arange(N) >= 600) & (np.arange(N) < 640), 0.5, 0.0)
    plain = fuse(panels, FS)
    doubted = fuse(tuple(replace(p, stray=stray) if p.lead in ("aVR", "aVL") else p for p in panels), FS)
    assert plain.agree
    for before, after in zip(plain.panels, doubted.panels, strict=True):
        assert after.mv == pytest.approx(before.mv, abs=1e-9)


def test_of_three_leads_two_in_doubt_are_left_as_they_are_but_for_their_error():
    panels, _ = limb_panels(leads=("I", "II", "III"))
    stray = np.where((np.arange(N) >= 600) & (np.arange(N) < 640), 0.5, 0.0)
    one, two, three = (replace(p, sd=3 * p.sd) for p in panels)
    doubted = (one, replace(two, mv=two.mv + 0.8 * stray, stray=stray), replace(three, stray=stray))
    moved = fuse(doubted, FS)
    assert moved.agree
    assert max(np.abs(a.mv - b.mv).max() for a, b in zip(moved.panels, doubted, strict=True)) < 0.2


def test_gaps_stay_gaps_and_lone_leads_stay():
    panels, _ = limb_panels(leads=("I", "II", "III"))
    mv = panels[1].mv.copy()
    mv[300:400] = np.nan
    chest = PanelSignal("V3", 0, False, panels[0].mv, panels[0].sd, panels[0].presence)
    fused = fuse((panels[0], PanelSignal("II", 0, False, mv, panels[1].sd, np.ones(N)), panels[2], chest), FS)
    assert np.isnan(fused.panels[1].mv[300:400]).all()
    assert np.isfinite(np.delete(fused.panels[1].mv, np.arange(300, 400))).all()
    assert (fused.panels[3].mv == chest.mv).all()
    assert fuse((chest,), FS).agree is None


def on_record(panels, n=N):
    """(12, n) mV of panels, rhythm strips last."""
    signals = np.full((12, n), np.nan)
    for p in sorted(panels, key=lambda p: p.rhythm):
        signals[LEADS.index(p.lead), p.first : p.first + p.mv.size] = p.mv
    return signals


def test_residuals_are_those_of_the_equations():
    panels, _ = limb_panels(error=0.01)
    raised = tuple(PanelSignal(p.lead, 0, False, p.mv + k, p.sd, p.presence) for k, p in enumerate(panels))
    residuals = lead_residuals(on_record(raised), raised)
    # Independent errors of 0.01 mV: variances of the equations add up; levels are no matter.
    assert residuals.einthoven_mv == pytest.approx(0.01 * np.sqrt(3), rel=0.1)
    assert residuals.goldberger_mv == pytest.approx(0.01 * np.sqrt((3 * 1.5 + 3) / 4), rel=0.1)
    assert np.isnan(residuals.repeat_mv)


def test_residuals_of_exchanged_leads_are_as_large_as_the_leads():
    panels, truth = limb_panels(error=0.01)
    other = {"II": "III", "III": "II"}
    exchanged = tuple(
        PanelSignal(other.get(p.lead, p.lead), 0, False, p.mv, p.sd, p.presence) for p in panels
    )
    residuals = lead_residuals(on_record(exchanged), exchanged)
    # I + II - III is 2 I.
    assert residuals.einthoven_mv == pytest.approx(2 * np.std(truth["I"]), rel=0.1)
    assert residuals.goldberger_mv > 0.3 * np.std(truth["I"])


def test_residuals_only_of_the_same_instant():
    panels, truth = limb_panels(error=0.01)
    later = [
        PanelSignal(p.lead, p.first + N * (p.lead[0] == "a"), False, p.mv, p.sd, p.presence) for p in panels
    ]
    apart = lead_residuals(on_record(later, 2 * N), tuple(later))
    assert apart.einthoven_mv == pytest.approx(0.01 * np.sqrt(3), rel=0.1)
    # Of Goldberger's equations their sum remains: aVR + aVL + aVF.
    assert apart.goldberger_mv == pytest.approx(0.01 * np.sqrt(3), rel=0.1)
    two = [p for p in later if p.lead in ("I", "II", "aVR")]
    none = lead_residuals(on_record(two, 2 * N), tuple(two))
    assert np.isnan([none.einthoven_mv, none.goldberger_mv, none.repeat_mv]).all()
    strip = PanelSignal("II", 0, True, np.append(truth["II"], truth["II"]) + 0.5, np.full(2 * N, 0.01),
                        np.ones(2 * N))  # fmt: skip
    repeated = (*two, strip)
    assert lead_residuals(on_record(repeated, 2 * N), repeated).repeat_mv == pytest.approx(0.01, rel=0.1)


def test_leads_of_one_instant_foretell_each_other_by_their_errors():
    error = 0.02
    panels, truth = limb_panels(error=error)
    found = snr_by_others(panels)
    assert set(found) == set(IN_I_AND_II)
    for lead, snr in found.items():
        # What the others foretell errs as well: less than by two leads' errors together, more than by none.
        own = np.log10(np.var(truth[lead]) / error**2)
        assert own - np.log10(4.0) < snr < own


def test_a_lead_under_anothers_name_is_not_foretold():
    panels, _ = limb_panels()
    names = {"III": "aVL", "aVL": "III"}
    swapped = tuple(replace(p, lead=names.get(p.lead, p.lead)) for p in panels)
    assert max(snr_by_others(swapped).values()) < min(snr_by_others(panels).values()) - 0.5


def test_of_two_leads_nothing_is_foretold_and_a_strip_foretells_its_copy():
    panels, _ = limb_panels(leads=("I", "II"))
    assert snr_by_others(panels) == {}
    copy = replace(panels[1], rhythm=True)
    assert set(snr_by_others((*panels, copy))) == {"II"}
