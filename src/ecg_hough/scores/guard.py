"""A guard against scoring on what was trained on: names of records enter, a refusal leaves.

The weights' cards list the records, and where known the patients, that the networks were trained on
("data.record_names", "data.patient_ids"). A page is recognised by its name: it shows a record if the record's
name is a part of it between separators, so `00021_hr-0003` and `photo_0007_00021_hr` show `00021_hr`. The two
rates of PTB-XL are one recording: `00021_lr` is `00021_hr`. A name of digits alone must be the whole name of
the page, because many data sets count from 1; leading zeros do not count (LUDB's `5` and its page `005`).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ecg_hough.networks.runtime import WEIGHTS

SHOWN = 5
"""Names that the refusal lists; the others are counted."""
_NO_NETWORKS = ("ecg_hough", "trust", "method", "code", "weights")
"""Of a report's versions those that are not of networks; the last two are of a batch as a whole."""
_PARTS = re.compile(r"[-_.\s]")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedOn:
    """What one network was trained on.

    Attributes:
        network: its name.
        records: names of the records.
        patients: ids of the patients, where known.
        listed: whether the card lists all records that it counts; False where it does not know them.
        version: as in the reports of pages that the network read.
    """

    network: str
    records: frozenset[str]
    patients: frozenset[str]
    listed: bool
    version: str = ""


def trained_on(weights: Path | None = None) -> tuple[TrainedOn, ...]:
    """What the networks of a folder were trained on, from their cards; None takes the shipped weights."""
    found = []
    for path in sorted((WEIGHTS if weights is None else Path(weights)).glob("*.json")):
        card = json.loads(path.read_text())
        if "parts" in card:
            continue  # a model of trust (`ecg-lab fit-trust`): no signal depends on it
        data = card.get("data", {})
        names = frozenset(_canonical(name) for name in data.get("record_names", ()))
        patients = frozenset(str(patient) for patient in data.get("patient_ids", ()))
        # A network by another program: what it was trained on is not known.
        counted = data.get("records", "unknown") if data else 0
        listed = isinstance(counted, int) and len(names) >= counted
        version = f"{card.get('name', path.stem)}-{str(card.get('sha256', ''))[:8]}"
        found.append(TrainedOn(path.stem, names, patients, listed, version))
    return tuple(found)


def networks_of(predictions: Path) -> frozenset[str]:
    """Versions of the networks that read the pages whose reports (JSON) lie in a folder of predictions."""
    used: set[str] = set()
    for path in Path(predictions).rglob("*.json"):
        try:
            versions = json.loads(path.read_text()).get("versions", {})
        except (OSError, ValueError, AttributeError):
            continue
        used |= (
            {str(v) for k, v in versions.items() if k not in _NO_NETWORKS}
            if isinstance(versions, dict)
            else set()
        )
    return frozenset(used)


def find_trained(
    names: Iterable[str],
    *,
    patients: Mapping[str, str] | None = None,
    weights: Path | Iterable[Path] | None = None,
) -> dict[str, tuple[str, ...]]:
    """Those of the names that some network was trained on -> the networks.

    Args:
        names: of records or pages.
        patients: name of a record -> its patient, such as from `datasets.ptbxl_table.patient_groups`.
        weights: folders of the weights; None takes the shipped ones.
    """
    networks = _networks(weights)
    patient_of = {_canonical(record): patient for record, patient in (patients or {}).items()}
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        shown = _shown_records(name)
        persons = {patient_of[record] for record in shown if record in patient_of}
        seen = tuple(n.network for n in networks if shown & n.records or persons & n.patients)
        if seen:
            found[name] = seen
    return found


def find_unknown(used: Iterable[str], *, weights: Path | Iterable[Path] | None = None) -> tuple[str, ...]:
    """Networks of which it is not known what they were trained on.

    Args:
        used: versions of the networks that read the pages (`networks_of`); where none is known, all of the
            folders are meant.
        weights: folders of the weights; None takes the shipped ones.
    """
    networks, used = _networks(weights), frozenset(used)
    listed = {network.version for network in networks if network.listed}
    unlisted = [n.version for n in networks if not n.listed and (not used or n.version in used)]
    return tuple(sorted({*unlisted, *(used - listed)}))


def _networks(weights: Path | Iterable[Path] | None) -> tuple[TrainedOn, ...]:
    folders = [None] if weights is None else [weights] if isinstance(weights, Path) else list(weights)
    return tuple(network for folder in folders for network in trained_on(folder))


def refuse_trained(
    names: Iterable[str],
    *,
    patients: Mapping[str, str] | None = None,
    allow: bool = False,
    weights: Path | Iterable[Path] | None = None,
    used: Iterable[str] = (),
) -> None:
    """Refuse to score records or patients that the networks were trained on, or may have been.

    Args:
        names, patients, weights: as for `find_trained`; used: as for `find_unknown`.
        allow: only warn.

    Raises:
        ValueError: some were trained on, or it is not known what a network was trained on.
    """
    names = list(names)
    unknown = find_unknown(used, weights=weights)
    if unknown:
        words = f"it must be known what the networks were trained on; it is not for {', '.join(unknown)}"
        if not allow:
            raise ValueError(
                f"{words}. Give the folder of their cards (--weights), or give --allow-trained: the score "
                "may then be of the training data"
            )
        log.warning("%s: the score may be of the training data", words)
    found = find_trained(names, patients=patients, weights=weights)
    if not found:
        return
    networks = sorted({network for seen in found.values() for network in seen})
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    words = (
        f"no page may show a record or patient that a network was trained on; {len(found)} of {len(names)} "
        f"do ({', '.join(sorted(found)[:SHOWN])}{more}: trained on by {', '.join(networks)})"
    )
    if not allow:
        raise ValueError(
            f"{words}. Take others, or give --allow-trained: the score then is of the training data"
        )
    log.warning("%s: the score is of the training data", words)


def _canonical(name: str) -> str:
    name = name.strip()
    return str(int(name)) if name.isdecimal() else re.sub(r"_lr$", "_hr", name)


def _shown_records(name: str) -> frozenset[str]:
    """Names of records that a page of this name may show."""
    separators = [match.span() for match in _PARTS.finditer(name)]
    starts = [0, *(end for _, end in separators)]
    ends = [*(start for start, _ in separators), len(name)]
    parts = {name[a:b] for a in starts for b in ends if a < b}
    return frozenset(_canonical(part) for part in parts if part == name or not part.isdecimal())
