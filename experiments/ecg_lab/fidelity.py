"""What a cardiologist measures: true and digitised records (WFDB) enter, pairs of measured values leave.

Beats and their waves are found by NeuroKit2 (Makowski et al. 2021, Behav Res Methods 53:1689; wavelet
delineation after Martinez et al. 2004, IEEE Trans Biomed Eng 51:570) in one lead of each page, the rhythm
strip. Truth and prediction are measured in the same way and apart from each other, so the delineator's own
errors are in both. A value that cannot be measured is NaN and counted, never omitted.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.output.read_back import read_leads, record_stems, resample_lead
from ecg_hough.paper import LEADS
from ecg_lab.published import RESULTS, results_path

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

logger = logging.getLogger(__name__)

PUBLISHED = RESULTS / "fidelity.csv"
INTERVALS: dict[str, str] = {"HR": "1/min", "PR": "ms", "QRS": "ms", "QT": "ms", "QTc": "ms"}
"""Measures of a page, from its rhythm strip, and their units. QTc is Bazett's, QT / sqrt(RR / 1 s)."""
AMPLITUDES: dict[str, str] = {"R": "mV", "S": "mV", "ST": "mV"}
"""Measures of a lead: its highest point in the QRS, its lowest (a Q that is deeper than S counts), and the
level 60 ms after the J point, each against the level just before the QRS."""
MEASURES = INTERVALS | AMPLITUDES
RHYTHM_LEAD = "II"
MIN_RHYTHM_S = 4.5
"""Least length of the strip that is delineated: 5 s columns can be, 2.5 s columns cannot."""
MIN_BEATS = 3
"""Beats that NeuroKit2 must find in the strip."""
MAX_BRIDGED_S = 0.06
"""Gaps in the strip up to this long are bridged by a straight line before it is delineated; no amplitude is
taken there."""
BASELINE_S = 0.04
"""From this long before the QRS onset to it: the level amplitudes are measured against (median)."""
ST_AFTER_J_S = 0.06
ST_HALF_WIDTH_S = 0.01
LIMITS_SD = 1.96
"""Half the width of the 95% limits in standard deviations (Bland and Altman 1986, Lancet 1:307)."""
COLUMNS = ("method", "data", "profile", "page", "lead", "measure", "true", "digitised")
"""Of the pairs, one row per method, page, lead (empty for intervals) and measure; `data` is the truth's
folder."""
OnProgress = Callable[[int, int], Any]


@dataclass(frozen=True)
class Beats:
    """Beats of one strip, in samples of the record; NaN where a wave was not found.

    Attributes:
        p_on, qrs_on, r, j, t_off: (n,) onset of P, onset of QRS, R peak, end of QRS, end of T.
    """

    p_on: NDArray[np.float64]
    qrs_on: NDArray[np.float64]
    r: NDArray[np.float64]
    j: NDArray[np.float64]
    t_off: NDArray[np.float64]


def default_out(pairs: pd.DataFrame) -> Path:
    """Where the agreement goes if no place is named: over the published one only with all of its pages.

    Args:
        pairs: rows of `compare_measures`.
    """

    def covers(published: Path) -> bool:
        keys = ["method", "data", "profile", "page"]
        known = read_pairs(_pairs_file(published))
        new = set(pairs[keys].itertuples(index=False, name=None))
        sets = {row[:2] for row in new}
        old = {row for row in known[keys].itertuples(index=False, name=None) if row[:2] in sets}
        return sets == {row[:2] for row in old} and old <= new

    return results_path(PUBLISHED, covers)


def _pairs_file(agreement: Path) -> Path:
    return agreement.with_name(f"{agreement.stem}_pairs.csv.gz")


def compare_measures(
    predictions: Path,
    truth: Path,
    *,
    method: str = "ours",
    on_progress: OnProgress = lambda done, total: None,
) -> pd.DataFrame:
    """Measure every record of `truth` and its prediction; rows as `COLUMNS`.

    Each page has a row for every interval and, for every printed lead, one for every amplitude. A prediction
    that is missing or cannot be read has NaN in all of its rows.

    Args:
        predictions: folder of WFDB records with the truth's relative stems.
        truth: folder of WFDB records in mV, NaN where not printed.
        method: name of what made the predictions.

    Raises:
        ValueError: a folder does not exist, or the truth holds no record.
    """
    import pandas as pd

    predictions, truth = Path(predictions), Path(truth)
    stems = record_stems(predictions, truth)
    rows = []
    for k, stem in enumerate(stems):
        reference, fs = read_leads(truth / stem)
        reference = {lead: ref for lead, ref in reference.items() if np.isfinite(ref).any()}
        true = measure(reference, fs)
        digitised = measure(_prediction(predictions / stem, fs), fs)
        profile = "" if stem.parent == Path(".") else stem.parent.as_posix()
        wanted = [("", name) for name in INTERVALS]
        wanted += [(lead, name) for lead in reference for name in AMPLITUDES]
        for lead, name in wanted:
            pair = (true.get((lead, name), np.nan), digitised.get((lead, name), np.nan))
            rows.append((method, truth.resolve().name, profile, stem.name, lead, name, *pair))
        on_progress(k + 1, len(stems))
    return pd.DataFrame(rows, columns=list(COLUMNS)).round({"true": 3, "digitised": 3})


def measure(leads: dict[str, NDArray[np.float64]], fs: float) -> dict[tuple[str, str], float]:
    """Measures of one record by (lead, name), the lead being "" for intervals; what fails is NaN.

    The beats are those of lead II where it is printed for `MIN_RHYTHM_S`, else of the lead that is printed
    longest. A lead that is printed at other times than the strip has no amplitudes.

    Args:
        leads: (N,) mV by name, NaN where not printed, on one time axis; fs: Hz.
    """
    strip = _rhythm_strip(leads, fs)
    beats = None if strip is None else find_beats(strip, fs)
    if beats is None:
        return {}
    rr_s = np.diff(beats.r) / fs
    qt = _median(beats.t_off - beats.qrs_on) / fs
    found = {
        ("", "HR"): 60.0 / float(np.mean(rr_s)),
        ("", "PR"): 1000.0 * _median(beats.qrs_on - beats.p_on) / fs,
        ("", "QRS"): 1000.0 * _median(beats.j - beats.qrs_on) / fs,
        ("", "QT"): 1000.0 * qt,
        ("", "QTc"): 1000.0 * qt / float(np.sqrt(np.mean(rr_s))),
    }
    for name, lead in leads.items():
        levels = np.array(
            [_beat_levels(lead, on, j, fs) for on, j in zip(beats.qrs_on, beats.j, strict=True)]
        )
        for column, measured in enumerate(AMPLITUDES):
            found[name, measured] = _median(levels[:, column])
    return found


def find_beats(strip: NDArray[np.float64], fs: float) -> Beats | None:
    """Delineate a lead; None where NeuroKit2 gives up or finds fewer than `MIN_BEATS` beats.

    Args:
        strip: (N,) mV; its longest stretch without a gap is used.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NeuroKit2 warns of every wave it does not find: those are NaN here
        import neurokit2

        first, stretch = _longest_stretch(strip, round(MAX_BRIDGED_S * fs))
        if stretch.size < MIN_RHYTHM_S * fs or np.ptp(stretch) == 0.0:
            return None
        try:
            clean = neurokit2.ecg_clean(stretch, sampling_rate=round(fs))
            peaks = neurokit2.ecg_peaks(clean, sampling_rate=round(fs))[1]["ECG_R_Peaks"]
            if len(peaks) < MIN_BEATS:
                return None
            waves = neurokit2.ecg_delineate(clean, peaks, sampling_rate=round(fs), method="dwt")[1]
        except (ValueError, IndexError, KeyError, ZeroDivisionError, TypeError) as error:
            # Its steps fail in these ways on signals without clear beats.
            logger.info("no beats: %s", error)
            return None
    named = ("ECG_P_Onsets", "ECG_R_Onsets", "ECG_R_Offsets", "ECG_T_Offsets")
    p_on, qrs_on, j, t_off = (np.asarray(waves[name], dtype=np.float64) + first for name in named)
    return Beats(p_on, qrs_on, np.asarray(peaks, dtype=np.float64) + first, j, t_off)


def bland_altman(pairs: pd.DataFrame) -> pd.DataFrame:
    """Agreement of digitised with true values for every method and measure.

    Columns: method, measure, unit, pairs (both measured), only_true, only_digitised, neither (numbers of rows
    where a measurement failed), bias (mean of digitised - true), sd, lower and upper (95% limits of
    agreement, bias -/+ 1.96 sd). Leads of one page are taken as independent.
    """
    import pandas as pd

    rows = []
    for method in pairs["method"].unique():
        for measured, unit in MEASURES.items():
            part = pairs[(pairs["method"] == method) & (pairs["measure"] == measured)]
            true, digitised = (part[name].to_numpy(dtype=float) for name in ("true", "digitised"))
            has_true, has_digitised = np.isfinite(true), np.isfinite(digitised)
            error = (digitised - true)[has_true & has_digitised]
            bias = float(error.mean()) if error.size else float("nan")
            sd = float(error.std(ddof=1)) if error.size > 1 else float("nan")
            rows.append(
                {
                    "method": method,
                    "measure": measured,
                    "unit": unit,
                    "pairs": error.size,
                    "only_true": int((has_true & ~has_digitised).sum()),
                    "only_digitised": int((~has_true & has_digitised).sum()),
                    "neither": int((~has_true & ~has_digitised).sum()),
                    "bias": bias,
                    "sd": sd,
                    "lower": bias - LIMITS_SD * sd,
                    "upper": bias + LIMITS_SD * sd,
                }
            )
    return pd.DataFrame(rows)


def store(pairs: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Write the agreement into the CSV `path`, and the pairs into `<stem>_pairs.csv.gz` of its folder.

    Pairs of other methods and data stay; the agreement is that of all pairs. Returns the agreement.

    Raises:
        ValueError: the file of the pairs is no such CSV.
    """
    import pandas as pd

    file = _pairs_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if file.is_file():
        kept, keys = read_pairs(file), ["method", "data"]
        new = pd.MultiIndex.from_frame(pairs[keys])
        pairs = pd.concat([kept[~pd.MultiIndex.from_frame(kept[keys]).isin(new)], pairs], ignore_index=True)
    # Without a time stamp, the same pairs give the same file.
    pairs.to_csv(file, index=False, compression={"method": "gzip", "mtime": 0})
    agreement = bland_altman(pairs)
    agreement.round(4).to_csv(path, index=False)
    return agreement


def read_pairs(path: Path) -> pd.DataFrame:
    """The pairs in a CSV that `store` wrote.

    Raises:
        ValueError: it lacks a column.
    """
    import pandas as pd

    table = pd.read_csv(
        path, dtype={"page": str}, keep_default_na=False, na_values={"true": "", "digitised": ""}
    )
    if missing := set(COLUMNS) - set(table.columns):
        raise ValueError(
            f"{path.name} must be a CSV of this command; it has no {', '.join(sorted(missing))}; remove it"
        )
    return table


def summary_table(agreement: pd.DataFrame) -> Table:
    """The result of `bland_altman` as a rich table."""
    from rich.table import Table

    table = Table(title="Digitised - true: bias and 95% limits of agreement")
    for heading in ("method", "measure"):
        table.add_column(heading)
    for heading in ("pairs", "failed*", "bias", "95% limits", "unit"):
        table.add_column(heading, justify="right")
    for row in agreement.to_dict("records"):
        digits = 3 if row["unit"] == "mV" else 1
        limits = [float(row[name]) for name in ("bias", "lower", "upper")]
        bias, low, high = (f"{value:.{digits}f}" if np.isfinite(value) else "-" for value in limits)
        failed = "/".join(str(row[name]) for name in ("only_true", "only_digitised", "neither"))
        names = str(row["method"]), str(row["measure"]), str(row["pairs"])
        table.add_row(*names, failed, bias, f"{low} to {high}", str(row["unit"]))
    table.caption = "* measured in the truth only / digitised only / neither"
    return table


def _prediction(stem: Path, fs: float) -> dict[str, NDArray[np.float64]]:
    """Leads of a prediction at fs; none where it is missing or damaged."""
    if not stem.with_name(stem.name + ".hea").is_file():
        logger.warning("%s: no predicted record", stem.name)
        return {}
    try:
        leads, own_fs = read_leads(stem)
    except (OSError, ValueError, IndexError, KeyError) as error:
        logger.error("prediction %s cannot be read: %s", stem.name, error)
        return {}
    return {lead: resample_lead(values, own_fs, fs) for lead, values in leads.items()}


def _rhythm_strip(leads: dict[str, NDArray[np.float64]], fs: float) -> NDArray[np.float64] | None:
    """Lead II if it is long enough, else the lead with most samples; None without leads."""
    strip = leads.get(RHYTHM_LEAD)
    if strip is not None and np.isfinite(strip).sum() >= MIN_RHYTHM_S * fs:
        return strip
    known = [leads[lead] for lead in LEADS if lead in leads]
    return max(known, key=lambda lead: int(np.isfinite(lead).sum()), default=None)


def _longest_stretch(lead: NDArray[np.float64], bridged: int) -> tuple[int, NDArray[np.float64]]:
    """First sample and samples of the longest stretch, gaps of up to `bridged` samples filled in."""
    finite = np.flatnonzero(np.isfinite(lead))
    if not finite.size:
        return 0, np.zeros(0)
    parts = np.split(finite, np.flatnonzero(np.diff(finite) > bridged + 1) + 1)
    longest = max(parts, key=lambda part: int(part[-1] - part[0]))
    at = np.arange(longest[0], longest[-1] + 1)
    return int(longest[0]), np.interp(at, longest, lead[longest])


def _beat_levels(lead: NDArray[np.float64], qrs_on: float, j: float, fs: float) -> tuple[float, float, float]:
    """R, S and ST of one beat in mV against the level before its QRS; NaN where it is not shown whole."""
    nothing = (float("nan"),) * 3
    if not (np.isfinite(qrs_on) and np.isfinite(j)) or j <= qrs_on:
        return nothing
    on, off = round(qrs_on), round(j)
    start, stop = on - round(BASELINE_S * fs), off + round((ST_AFTER_J_S + ST_HALF_WIDTH_S) * fs) + 1
    if start < 0 or stop > lead.size or not np.isfinite(lead[start:stop]).all():
        return nothing
    level = float(np.median(lead[start : on + 1]))
    qrs = lead[on : off + 1] - level
    st = lead[stop - 1 - 2 * round(ST_HALF_WIDTH_S * fs) : stop] - level
    return float(qrs.max()), float(qrs.min()), float(st.mean())


def _median(values: NDArray[np.float64]) -> float:
    """Median of the finite values; NaN without any."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")
