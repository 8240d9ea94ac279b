"""Printed 12-lead ECGs (scans, photos, screenshots) to calibrated 12xN signals in millivolts."""

__version__ = "0.1.0"
