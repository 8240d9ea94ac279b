"""Packages of the laboratory that may be missing, and what installs them."""

from __future__ import annotations

from ecg_hough.cli.screen import TRAIN_EXTRA

KAGGLE = "pip install -e 'experiments[kaggle]'"
NOTEBOOKS = "pip install -e 'experiments[notebooks]'"
EXTRAS = TRAIN_EXTRA | {"pyarrow": KAGGLE, "neurokit2": NOTEBOOKS, "sklearn": NOTEBOOKS}
