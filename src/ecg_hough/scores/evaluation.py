"""Digitised records against the recorded ones: two folders of WFDB pairs enter, a table of metrics leaves.

A page is a record of the truth folder; its profile is the subfolder it is in. The prediction of
`truth/<profile>/<stem>.hea` is `predictions/<profile>/<stem>.hea`. NaN in the truth means "not printed
there", so a short lead is compared at its own column's time only.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.output.export import LABELS_SUFFIX
from ecg_hough.output.read_back import read_leads, record_stems, resample_lead
from ecg_hough.paper import LEADS
from ecg_hough.scores import metrics

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

logger = logging.getLogger(__name__)

FOUND_SHARE = 0.5
"""A lead is found if at least this share of its printed samples was read."""
METRIC_COLUMNS = (
    "challenge_snr_db",
    "unaligned_snr_db",
    "shift_s",
    "shift_mv",
    "ks",
    "asci",
    "weighted_difference_mv",
    "pearson_r",
    "rmse_mv",
    "mae_mv",
    "range_mae",
    "gain_error",
    "timing_error_s",
    "relative_lag_s",
    "dtw_mv",
    "dice",
    "mask_f1",
)
"""Metric columns of the per-lead table. KS, ASCI and the weighted difference are taken after the Challenge's
shift, as its scorer does, the gain's error after that of the best cross-correlation; all others where the
estimate lies."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a folder of predictions.

    Attributes:
        leads: one row per page and printed lead: page, profile, lead, found, coverage (share of the printed
            samples that was read) and `METRIC_COLUMNS`.
        pages: one row per page: page, profile, predicted, kaggle_ratio (linear; 0 without a prediction).
        missing: pages without a readable prediction, "profile/stem", and why. Their leads score 0.
    """

    leads: pd.DataFrame
    pages: pd.DataFrame
    missing: dict[str, str]

    @property
    def summary(self) -> dict[str, Any]:
        """Figures of all pages ("all"), of each profile ("profiles") and of each lead ("leads")."""
        profiles = sorted(self.pages["profile"].unique())
        present = set(self.leads["lead"])
        return {
            "all": summarise(self.leads, self.pages),
            "profiles": {
                name: summarise(
                    self.leads[self.leads["profile"] == name], self.pages[self.pages["profile"] == name]
                )
                for name in profiles
            },
            "leads": {
                lead: summarise(self.leads[self.leads["lead"] == lead], None)
                for lead in [*LEADS, *sorted(present - set(LEADS))]
                if lead in present
            },
            "missing": self.missing,
        }

    def to_csv(self, path: str | Path) -> None:
        """Write the per-lead table; NaN as an empty field."""
        self.leads.to_csv(path, index=False)

    def to_json(self, path: str | Path) -> None:
        """Write the summary; NaN as null."""
        text = json.dumps(without_nan(self.summary), indent=2, ensure_ascii=False, allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    def plot(self, path: str | Path) -> None:
        """Draw the Challenge SNR per profile (box over leads) and per lead (mean), and save the figure."""
        from matplotlib.figure import Figure

        profiles = sorted(self.pages["profile"].unique())
        scores = self.leads.dropna(subset=["challenge_snr_db"])
        figure = Figure(figsize=(max(9.0, 1.1 * len(profiles) + 6.0), 4.0), layout="constrained")
        by_profile, by_lead = figure.subplots(1, 2)
        by_profile.boxplot([scores.loc[scores["profile"] == name, "challenge_snr_db"] for name in profiles])
        by_profile.set_xticks(range(1, len(profiles) + 1), [name or "all" for name in profiles], rotation=30)
        by_profile.set_title("Per profile (leads)")
        means = self.summary["leads"]
        by_lead.bar(list(means), [row["challenge_snr_db"] for row in means.values()], color="0.5")
        by_lead.set_title("Per lead (mean)")
        for axes in (by_profile, by_lead):
            axes.set_ylabel("Challenge SNR, dB")
            axes.grid(axis="y", alpha=0.3)
        figure.savefig(path, dpi=150)

    def table(self) -> Table:
        """The summary per profile, and of all pages, as a rich table."""
        from rich.table import Table

        table = Table(title="Digitised against recorded leads")
        table.add_column("profile")
        for heading in (
            "pages",
            "SNR dB",
            "unaligned dB",
            "Kaggle dB",
            "found %",
            "r",
            "RMSE mV",
            "timing ms",
        ):
            table.add_column(heading, justify="right")
        summary = self.summary
        rows = dict(summary["profiles"]) if len(summary["profiles"]) > 1 else {}
        for name, row in [*rows.items(), ("all", summary["all"])]:
            table.add_row(
                name or ".",
                str(row["pages"]),
                f"{row['challenge_snr_db']:.2f}",
                f"{row['unaligned_snr_db']:.2f}",
                f"{row['kaggle_db']:.2f}",
                f"{row['found_pct']:.1f}",
                f"{row['pearson_r']:.4f}",
                f"{row['rmse_mv']:.4f}",
                f"{1000.0 * row['abs_timing_error_s']:.1f}",
            )
        return table


def evaluate(
    predictions: Path,
    truth: Path,
    *,
    workers: int = 2,
    failed: Mapping[str, str] | None = None,
    allow_trained: bool = False,
    weights: Path | None = None,
) -> Evaluation:
    """Compare every record of `truth` with its prediction.

    An estimate at another fs is resampled to the reference's; one of another length is cut or padded with
    NaN. A missing channel is zeros for the Challenge's ratio, as in its scorer, and NaN for all else. A lead
    that the truth does not hold has no row.

    Args:
        predictions: folder of WFDB records with the truth's relative stems.
        truth: folder of WFDB records in mV, NaN where not printed.
        workers: threads; the correlations run outside the interpreter's lock.
        failed: pages known to have failed, "profile/stem", and why: missing, whatever older file is there.
        allow_trained: score records too that the networks were trained on, or may have been, with a warning.
        weights: folder with the cards of networks that are not shipped.

    Raises:
        ValueError: a folder does not exist, the truth holds no record or one that was trained on, it is not
            known what a network was trained on (see `scores.guard`), or workers is below 1.
    """
    import pandas as pd

    from ecg_hough.datasets.ptbxl_table import patient_groups
    from ecg_hough.networks.runtime import WEIGHTS
    from ecg_hough.scores.guard import networks_of, refuse_trained

    predictions, truth = Path(predictions), Path(truth)
    if workers < 1:
        raise ValueError(f"workers must be at least 1; got {workers}")
    stems = record_stems(predictions, truth)
    refuse_trained(
        [stem.name for stem in stems],
        patients=patient_groups(truth),
        allow=allow_trained,
        weights=[WEIGHTS] if weights is None else [WEIGHTS, weights],
        used=networks_of(predictions),
    )
    known, failed = set(stems), failed or {}
    extra = sum(p.relative_to(predictions).with_suffix("") not in known for p in predictions.rglob("*.hea"))
    if extra:
        logger.warning("%d predictions have no record in the truth folder and are not scored", extra)
    with ThreadPoolExecutor(workers) as pool:
        scored = list(
            pool.map(lambda stem: _score_page(predictions, truth, stem, failed.get(stem.as_posix())), stems)
        )
    return Evaluation(
        leads=pd.DataFrame(
            [row for rows, _, _ in scored for row in rows],
            columns=["page", "profile", "lead", "found", "coverage", *METRIC_COLUMNS],
        ),
        pages=pd.DataFrame([page for _, page, _ in scored]),
        missing={
            stem.as_posix(): reason for stem, (_, _, reason) in zip(stems, scored, strict=True) if reason
        },
    )


def summarise(leads: pd.DataFrame, pages: pd.DataFrame | None) -> dict[str, float | int]:
    """Figures of a choice of rows of `Evaluation.leads` and `.pages`.

    Means over leads with NaN ignored; `gain_error`, `abs_timing_error_s` and `abs_relative_lag_s` are
    medians. The page figures (pages, kaggle_db) are there only if pages are given.
    """
    figures: dict[str, float | int] = {
        "leads": len(leads),
        "found_pct": 100.0 * float(leads["found"].mean()) if len(leads) else float("nan"),
        "challenge_snr_p5_db": float(leads["challenge_snr_db"].quantile(0.05)),
        "gain_error": float(leads["gain_error"].median()),
        "abs_timing_error_s": float(leads["timing_error_s"].abs().median()),
        "abs_relative_lag_s": float(leads["relative_lag_s"].abs().median()),
    }
    for name in METRIC_COLUMNS:
        if name not in ("gain_error", "timing_error_s", "relative_lag_s", "shift_s", "shift_mv"):
            figures[name] = float(leads[name].mean())
    if pages is not None:
        figures["pages"] = len(pages)
        figures["kaggle_db"] = metrics.kaggle_score(pages["kaggle_ratio"])
    return figures


def without_nan(value: Any) -> Any:
    """The same nested dicts and lists with None for numbers that JSON cannot hold."""
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def _score_page(
    predictions: Path, truth: Path, stem: Path, failure: str | None
) -> tuple[list[dict[str, Any]], dict[str, Any], str | None]:
    """Lead rows and page row of one record, and why its prediction is missing (None if it is not)."""
    reference, fs = read_leads(truth / stem)
    reference = {lead: ref for lead, ref in reference.items() if np.isfinite(ref).any()}
    estimate, reason = ({}, failure) if failure else _read_prediction(predictions / stem, fs)
    overlap = _overlap_per_lead(predictions / stem, truth / stem)
    profile = "" if stem.parent == Path(".") else stem.parent.as_posix()
    rows = []
    pairs = list(_pairs(reference, estimate))
    lags = _relative_lags(pairs, fs)
    for lead, ref, est in pairs:
        row = {"page": stem.name, "profile": profile, "lead": lead, "relative_lag_s": lags[lead]}
        row |= overlap.get(lead, {"dice": float("nan"), "mask_f1": float("nan")})
        # The scorer fills a missing channel with zeros and a missing record with nothing at all.
        zeros = reason is None and lead not in estimate
        rows.append(row | _score_lead(ref, est, fs, np.zeros_like(ref) if zeros else est))
    page = {"page": stem.name, "profile": profile, "predicted": reason is None, "kaggle_ratio": 0.0}
    if reason is None and rows:
        refs, ests = zip(*[(ref, est) for _, ref, est in pairs], strict=True)
        page["kaggle_ratio"] = metrics.kaggle_page_ratio(np.stack(refs), np.stack(ests), fs)
    return rows, page, reason


def _score_lead(
    ref: NDArray[np.float64], est: NDArray[np.float64], fs: float, scored: NDArray[np.float64]
) -> dict[str, Any]:
    aligned = metrics.challenge_align(ref, scored, fs)
    printed = np.isfinite(ref)
    coverage = float((printed & np.isfinite(est)).sum() / printed.sum())
    return {
        "found": coverage >= FOUND_SHARE,
        "coverage": coverage,
        "challenge_snr_db": metrics.unaligned_snr(ref, aligned.signal),
        "unaligned_snr_db": metrics.unaligned_snr(ref, est),
        "shift_s": aligned.shift_s,
        "shift_mv": aligned.shift_mv,
        "ks": metrics.ks_metric(ref, aligned.signal),
        "asci": metrics.asci_metric(ref, aligned.signal),
        "weighted_difference_mv": metrics.weighted_absolute_difference(ref, aligned.signal, fs),
        "pearson_r": metrics.pearson_r(ref, est),
        "rmse_mv": metrics.rmse_mv(ref, est),
        "mae_mv": metrics.mae_mv(ref, est),
        "range_mae": metrics.range_mae(ref, est),
        "gain_error": metrics.gain_error(ref, est, fs),
        "timing_error_s": metrics.timing_error_s(ref, est, fs),
        "dtw_mv": metrics.dtw_distance(ref, est, fs),
    }


def _pairs(
    reference: dict[str, NDArray[np.float64]], estimate: dict[str, NDArray[np.float64]]
) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Lead by lead the reference and the estimate of the same length, NaN where there is none."""
    for lead, ref in reference.items():
        est = np.full(ref.size, np.nan)
        read = estimate.get(lead, est)[: ref.size]
        est[: read.size] = read
        yield lead, ref, est


def _read_prediction(stem: Path, fs: float) -> tuple[dict[str, NDArray[np.float64]], str | None]:
    """Leads of a prediction at fs, or none and the reason."""
    if not stem.with_name(stem.name + ".hea").is_file():
        return {}, "no record"
    try:
        leads, own_fs = read_leads(stem)
    except (OSError, ValueError, IndexError, KeyError) as error:
        logger.error("prediction %s cannot be read: %s", stem.name, error)
        return {}, f"cannot be read: {error}"
    return {lead: resample_lead(values, own_fs, fs) for lead, values in leads.items()}, None


def _relative_lags(
    pairs: list[tuple[str, NDArray[np.float64], NDArray[np.float64]]], fs: float
) -> dict[str, float]:
    """Lag of every lead against the leads of the same seconds; they have one length in a WFDB record."""
    if not pairs:
        return {}
    refs, ests = (np.stack([pair[k] for pair in pairs]) for k in (1, 2))
    lags = metrics.relative_lags_s(refs, ests, fs)
    return {lead: float(lag) for (lead, _, _), lag in zip(pairs, lags, strict=True)}


def _overlap_per_lead(predicted: Path, true: Path) -> dict[str, dict[str, float]]:
    """Dice and F1 of the two label maps by lead; empty unless both records have one."""
    paths = [stem.with_name(stem.name + LABELS_SUFFIX) for stem in (predicted, true)]
    if not all(path.is_file() for path in paths):
        return {}
    import cv2

    maps = []
    for path in paths:
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        maps.append(np.zeros(0, np.uint8) if labels is None else labels.astype(np.uint8))
        if maps[-1].ndim != 2:
            raise ValueError(f"a label map must be a readable one-channel image; got {path.name}")
    overlaps = metrics.dice(maps[0], maps[1]).tolist(), metrics.mask_f1(maps[0], maps[1]).tolist()
    return {lead: {"dice": a, "mask_f1": b} for lead, a, b in zip(LEADS, *overlaps, strict=True)}
