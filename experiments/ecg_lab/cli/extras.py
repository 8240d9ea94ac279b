"""Packages of the laboratory that may be missing, and what installs them."""

from __future__ import annotations

from ecg_hough.cli import screen

KAGGLE = "pip install -e 'experiments[kaggle]'"
NOTEBOOKS = "pip install -e 'experiments[notebooks]'"
PROGRAMS = "pip install -e 'experiments[programs]'"
SERVICE = "pip install -e 'experiments[service]'"
EXTRAS = (
    screen.EXTRAS
    | {"pyarrow": KAGGLE, "httpx": SERVICE, "ecg_plot": PROGRAMS, "pmecg": PROGRAMS}
    | dict.fromkeys(("neurokit2", "sklearn", "nbclient", "nbformat"), NOTEBOOKS)
)
