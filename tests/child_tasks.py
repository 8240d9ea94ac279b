"""What the tests of the child process have it do: functions of a module that it can import."""

from __future__ import annotations

import os
import time


def sleep_long(seconds: float) -> None:
    time.sleep(seconds)


def crash() -> None:
    os._exit(3)


def fail() -> float:
    return 1 / 0
