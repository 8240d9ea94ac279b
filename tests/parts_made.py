"""What a batch made, for comparison."""

from __future__ import annotations

import hashlib

from ecg_hough.batch.plan import Plan
from ecg_hough.batch.summary import done_parts


def parts_of(plan: Plan) -> dict[str, str]:
    """The sha256 of every part that is done, by its name."""
    return {name: hashlib.sha256(data).hexdigest() for name, _, data in done_parts(plan)}
