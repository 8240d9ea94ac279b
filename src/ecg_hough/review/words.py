"""What people read: a correction in a sentence, and the leads that a warning is about.

In: entries of a log, warnings of a record. Out: sentences and names of leads.
"""

from __future__ import annotations

import re

from ecg_hough.paper import CHEST_LEADS, IN_I_AND_II, LEADS
from ecg_hough.record import Record
from ecg_hough.review.corrections import (
    Edge,
    Entry,
    Gain,
    HeaderValues,
    LayoutGiven,
    Names,
    Nudge,
    Pitch,
    Redo,
    Redraw,
    Reread,
    Restore,
    Speed,
    TraceCorrection,
    Undo,
    Unreadable,
    Zero,
)

_LEAD = re.compile(r"(?<![A-Za-z0-9])(aVR|aVL|aVF|III|II|I|V[1-6])(?![A-Za-z0-9])")
_GROUPS = {"limb": "the limb leads", "chest": "V1 to V6", "all": "all leads"}
_OF_LIMBS = ("limb lead", "Einthoven", "Goldberger")


def sentence(entry: Entry) -> str:
    """What a correction does, in words."""
    return _said(entry) if entry.number is None else f"page {entry.number}: {_said(entry)}"


def _said(entry: Entry) -> str:
    one, before = entry.correction, entry.before
    match one:
        case Names():
            named = [
                f"{before.get(key) or 'no lead'} to {lead or 'no lead'}" for key, lead in one.names.items()
            ]
            return f"lead names: {', '.join(named)}"
        case LayoutGiven():
            was = f" (was {before['layout']})" if "layout" in before else ""
            return f"layout: {one.leads or one.layout}{was}"
        case Edge():
            return f"edge of column {one.column + 1} moved"
        case Speed():
            return f"paper speed: {_from_to(before, 'mm_s', one.mm_s)} mm/s"
        case Gain():
            return f"gain of {_GROUPS[one.group]}: {_from_to(before, 'mm_mv', one.mm_mv)} mm/mV"
        case Pitch():
            return f"grid pitch: {one.down:.3f} x {one.across:.3f} px/mm"
        case Zero():
            by = one.down_mm - before.get("down_mm", 0.0)
            return f"zero line of {_lead(entry)} moved by {by:+.2f} mm down"
        case Nudge():
            return (
                f"trace of {_lead(entry)} moved by {one.down_mm:+.2f} mm down, {one.right_mm:+.2f} mm right"
            )
        case Reread():
            part = (
                f"rows {one.box[0]} to {one.box[2]}, columns {one.box[1]} to {one.box[3]}"
                if one.box
                else "all"
            )
            return f"read again: {part}, turned by {90 * one.turns}°"
        case HeaderValues():
            return f"header: {', '.join(one.values)}"
        case Undo():
            return "undone"
        case Redo():
            return "redone"
        case Redraw(snap=False):
            return f"trace of {_lead(entry)} drawn freehand"
        case TraceCorrection():
            return f"trace of {_lead(entry)} {_DONE[type(one)]}"
    raise ValueError(f"no such correction: {one.kind}")


_DONE = {Redraw: "drawn again", Unreadable: "marked unreadable", Restore: "restored"}


def _from_to(before: dict[str, object], key: str, value: float) -> str:
    return f"{before[key]:g} to {value:g}" if key in before else f"{value:g}"


def _lead(entry: Entry) -> str:
    return str(entry.before.get("lead") or "a row")


def leads_of(warning: str, record: Record) -> tuple[str, ...]:
    """Leads that a warning is about, in standard order; () where it is about the page."""
    if "rhythm strip" in warning:
        named = {trace.lead for trace in record.traces if trace.rhythm}
    elif any(words in warning for words in _OF_LIMBS):
        named = set(IN_I_AND_II)
    else:
        named = set(_LEAD.findall(warning))
    if "chest leads" in warning:
        named |= set(CHEST_LEADS)
    return tuple(lead for lead in LEADS if lead in named)
