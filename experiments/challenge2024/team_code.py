"""The entry for the PhysioNet Challenge 2024's harness: headers and images enter, signals and labels leave.

`train_model.py` calls `train_models`; `run_model.py` calls `load_models`, then `run_models` for every record.
Digitisation is `ecg_hough.pipeline` with its shipped networks: nothing of it is trained here. The
classification task is answered by gradient boosted trees, one model a label, on features of the digitised
signals (`ecg_features`). A record that cannot be read is reported and omitted: the harness goes on.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from ecg_features import FEATURES, ecg_features
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import precision_recall_curve
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from ecg_hough import PageError
from ecg_hough.datasets.challenge2024 import LABELS, header_values
from ecg_hough.paper import LEADS, RECORD_S

CLASSIFICATION_FILE, DIGITIZATION_FILE = "classification.joblib", "digitization.json"
FS_FEATURES = 500
"""Hz; all records are measured at the same frequency."""
MAX_MV = 32.0
"""Format 16 at the headers' 1000 units a mV holds no more; a larger value cannot be a reading."""
FOLDS = 5
SEED = 0
THRESHOLD = 0.5
"""Probability from which a label is given, where there are too few records to choose one."""


def train_models(data_folder: str, model_folder: str, verbose: bool) -> None:
    """Digitise the training records' images and train the classifier from their labels.

    Raises:
        ValueError: no record has both labels and a page that can be read.
    """
    records = sorted(path.with_suffix("") for path in Path(data_folder).rglob("*.hea"))
    features, labels = [], []
    for k, record in enumerate(records):
        named = header_values(_header(record), "Labels", "Dx")
        known = [label for label in named if label in LABELS]
        signals = read_record(record, FS_FEATURES, verbose) if known else None
        if verbose:
            outcome = "no labels" if not known else "no page" if signals is None else ", ".join(known)
            print(f"- {k + 1}/{len(records)}: {record.name}: {outcome}")
        if signals is not None:
            features.append(ecg_features(signals, FS_FEATURES))
            labels.append(known)
    if not features:
        raise ValueError(
            f"data folder must hold records with labels (# Labels: NORM) and images that can be read "
            f"(# Image: a.png); {data_folder} has {len(records)} records, and none of them"
        )
    folder = Path(model_folder)
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(train_classifier(np.array(features), labels), folder / CLASSIFICATION_FILE)
    (folder / DIGITIZATION_FILE).write_text(json.dumps({"weights": _weights_versions()}, indent=1) + "\n")


def load_models(model_folder: str, verbose: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `train_models` has stored: about the digitiser, and the classifier."""
    digitization: dict[str, Any] = json.loads((Path(model_folder) / DIGITIZATION_FILE).read_text())
    if verbose and digitization["weights"] != _weights_versions():
        print(f"the classifier was trained with other networks: {digitization['weights']}")
    return digitization, joblib.load(Path(model_folder) / CLASSIFICATION_FILE)


def run_models(
    record: str, digitization: dict[str, Any], classification: dict[str, Any], verbose: bool
) -> tuple[NDArray[np.float64] | None, list[str] | None]:
    """Signal (samples, leads) in mV as the record's header asks, NaN where not read, and labels.

    Both are None where no image of the record is there or can be read.
    """
    import wfdb

    header = wfdb.rdheader(str(record))
    fs = round(header.fs)
    signals = read_record(Path(record), fs, verbose)
    if signals is None:
        return None, None
    signal = np.full((header.sig_len, header.n_sig), np.nan)
    rows = {lead.casefold(): k for k, lead in enumerate(LEADS)}
    n = min(header.sig_len, signals.shape[1])
    for column, name in enumerate(header.sig_name):
        if name.strip().casefold() in rows:
            signal[:n, column] = signals[rows[name.strip().casefold()], :n]
    signal[np.abs(signal) > MAX_MV] = np.nan
    if fs != FS_FEATURES:
        from ecg_hough.output.read_back import resample_lead

        signals = np.stack([resample_lead(lead, fs, FS_FEATURES) for lead in signals])
    return signal, classify(ecg_features(signals, FS_FEATURES), classification)


def read_record(record: Path, fs: int, verbose: bool) -> NDArray[np.float64] | None:
    """Digitise the images that a record's header names: (12, N) mV at fs, or None.

    As many images as the record has pieces of 10 s show one piece each, in their order; else all show the
    same, and each lead is taken from the image where it was read with the most confidence.
    """
    from ecg_hough.pipeline import digitize

    text = _header(record)
    names = header_values(text, "Image")
    seconds = _seconds(text)
    pieces = math.ceil(round(seconds / RECORD_S, 3))
    successive = len(names) == pieces > 1
    n = round((seconds if successive else RECORD_S) * fs)
    signals, confidence = np.full((len(LEADS), n), np.nan), np.zeros(len(LEADS))
    read = 0
    for k, name in enumerate(names):
        image = record.with_name(name)
        try:
            if not image.is_file():
                raise FileNotFoundError("there is no such file")
            ecg = digitize(image, fs=fs)
        except (PageError, OSError, ValueError) as error:
            if verbose:
                print(f"{record.name}: {name}: {error}")
            continue
        read += 1
        if successive:
            start = round(k * RECORD_S * fs)
            part = signals[:, start : start + round(RECORD_S * fs)]
            part[:, : ecg.signals.shape[1]] = ecg.signals[:, : part.shape[1]]
            continue
        for lead, status in enumerate(ecg.lead_status):
            if status.found and status.confidence > confidence[lead]:
                confidence[lead] = status.confidence
                taken = ecg.signals[lead, :n]
                signals[lead] = np.nan
                signals[lead, : taken.size] = taken
    return signals if read else None


def train_classifier(features: NDArray[np.float64], labels: list[list[str]]) -> dict[str, Any]:
    """One model a label, and the probability from which it is given: where cross-validation's F is greatest.

    Args:
        features: (n, `FEATURES`); labels: of each record.
    """
    # scikit-learn fails on a feature that was never measured; a constant is as little evidence.
    features = np.where(np.isfinite(features).any(axis=0), features, 0.0)
    models: dict[str, Any] = {}
    thresholds: dict[str, float] = {}
    for label in LABELS:
        given = np.array([label in of_record for of_record in labels])
        least = int(min(given.sum(), (~given).sum()))
        if least == 0:
            models[label], thresholds[label] = float(given.mean()), THRESHOLD
            continue
        model = HistGradientBoostingClassifier(
            learning_rate=0.08,
            max_iter=120,
            max_leaf_nodes=8,
            # A leaf of 20, as by default, splits nothing where a label is given 20 times.
            min_samples_leaf=int(np.clip(len(labels) // 50, 2, 20)),
            l2_regularization=1.0,
            class_weight="balanced",
            random_state=SEED,
        )
        thresholds[label] = THRESHOLD
        if least >= FOLDS:
            folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
            p = cross_val_predict(model, features, given, cv=folds, method="predict_proba")[:, 1]
            thresholds[label] = _best_threshold(given, p)
        models[label] = model.fit(features, given)
    return {"models": models, "thresholds": thresholds, "features": FEATURES}


def classify(features: NDArray[np.float64], classification: dict[str, Any]) -> list[str]:
    """Labels of one record; the likeliest against its threshold where none reaches it.

    Raises:
        ValueError: the model was trained on other features.
    """
    if tuple(classification["features"]) != FEATURES:
        raise ValueError("the model must have been trained on these features; train it again")
    odds = {}
    for label, model in classification["models"].items():
        p = model if isinstance(model, float) else float(model.predict_proba(features[None])[0, 1])
        odds[label] = p / classification["thresholds"][label]
    given = [label for label in LABELS if odds[label] >= 1.0]
    return given or [max(odds, key=lambda label: odds[label])]


def _best_threshold(given: NDArray[np.bool_], p: NDArray[np.float64]) -> float:
    precision, recall, thresholds = precision_recall_curve(given, p)
    f = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    # At least a little above 0: the odds are probabilities over it.
    return max(float(thresholds[int(np.argmax(f[:-1]))]), 0.01)


def _header(record: Path) -> str:
    return record.with_name(record.name + ".hea").read_text(encoding="utf-8", errors="replace")


def _seconds(text: str) -> float:
    """Duration of a record by the first line of its header."""
    fields = text.split("\n", 1)[0].split()
    return float(fields[3]) / float(fields[2].split("/")[0])


def _weights_versions() -> dict[str, str]:
    from ecg_hough.networks.runtime import WEIGHTS

    cards = [json.loads(path.with_suffix(".json").read_text()) for path in sorted(WEIGHTS.glob("*.onnx"))]
    return {card["name"]: card["sha256"][:8] for card in cards}
