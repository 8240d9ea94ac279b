"""The command line `ecg-lab` of the laboratory: parses, calls the laboratory and prints.

Heavy modules are imported inside the commands, so that `ecg-lab --help` is instant.
"""

from ecg_lab.cli.app import app

__all__ = ["app"]
