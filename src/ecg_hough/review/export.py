"""Records of a review, written with all corrections, in any format.

In: an `Engine` and formats. Out: files, which say who corrected them and whether a person accepted them.
Pages that were rejected, and pages without a record, are named and not written.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ecg_hough.document import stacked
from ecg_hough.errors import PageError
from ecg_hough.output.ecg import Ecg
from ecg_hough.output.export import FORMATS, SIGNAL_FORMATS, check_formats, write_page
from ecg_hough.review.corrections import in_force
from ecg_hough.review.engine import Engine
from ecg_hough.review.words import sentence


@dataclass(frozen=True)
class Exported:
    """What became of one page: its JSON, or why nothing was written; `failed` where it should have been."""

    stem: str
    path: Path | None = None
    reason: str = ""
    failed: bool = False


def reviewed_record(engine: Engine, page_id: int) -> Ecg:
    """The record of a page as a person left it. Without corrections it is the machine's, as it was written.

    Raises:
        PageError: the page cannot be read, or has no record.
        ValueError: it was rejected.
    """
    entry, log = engine.entries[page_id], engine.store.log(page_id)
    decision = engine.store.standing(page_id).decision
    if decision.decision == "rejected":
        raise ValueError(f"rejected by {decision.who}: {decision.reason}")
    holding = in_force(log)
    if holding:
        record = engine.now(page_id)[0].record
        notes = (f"corrected by {one.who}: {sentence(one)}" for one in holding)
        saved = engine.open(page_id).saved
        record = replace(record, notes=(*record.notes, *notes))
        record = record.measured() if saved is not None and saved.measurements else record
    else:
        saved = engine.library.record(entry)
        if saved is None:
            raise PageError("page", f"there is no record: {entry.error}")
        record = saved
    return replace(record, review="accepted" if decision.decision == "accepted" else "open")


def export_reviewed(
    engine: Engine,
    folder: Path,
    formats: Collection[str] = (),
    *,
    overwrite: bool = False,
    on_page: Callable[[Exported, int], None] | None = None,
) -> list[Exported]:
    """Write every record of a review that was not rejected.

    Args:
        folder: made if missing; another one than that of the machine's records.
        formats: names in `output.export.FORMATS` besides WFDB and JSON, which are always written.
        overwrite: replace files that are there.
        on_page: called after each page with what became of it and the number of pages.

    Raises:
        ValueError: no such format, or the folder is that of the machine's records.
    """
    check_formats(formats)
    if folder.resolve() == engine.library.out.resolve():
        raise ValueError(
            f"corrected records must not replace the machine's; give another folder than {folder}"
        )
    done = []
    for page_id, entry in engine.entries.items():
        place = folder / PurePosixPath(entry.stem)
        try:
            path = _write(engine, page_id, place.parent, place.name, formats, overwrite)
            result = Exported(entry.stem, path)
        except (PageError, ValueError) as error:
            rejected = engine.store.standing(page_id).decision.decision == "rejected"
            result = Exported(entry.stem, reason=str(error), failed=not rejected and entry.error is None)
        done.append(result)
        if on_page is not None:
            on_page(result, len(engine.entries))
    return done


def zipped(engine: Engine, page_id: int, formats: Collection[str]) -> bytes:
    """A ZIP archive of one page's files, WFDB and JSON always among them.

    Raises:
        PageError, ValueError: see `reviewed_record` and `output.export.check_formats`.
    """
    check_formats(formats)
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="ecg-hough-") as folder:
        name = PurePosixPath(engine.entries[page_id].stem).name
        _write(engine, page_id, Path(folder), name, formats, overwrite=True)
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(Path(folder).iterdir()):
                archive.write(path, path.name)
    return buffer.getvalue()


def export_formats() -> list[str]:
    """Formats that this installation can write."""
    out = []
    for name in SIGNAL_FORMATS:
        try:
            check_formats([name])
        except ModuleNotFoundError:
            continue
        out.append(name)
    return out


def _write(
    engine: Engine, page_id: int, folder: Path, stem: str, formats: Collection[str], overwrite: bool
) -> Path:
    record = reviewed_record(engine, page_id)
    drawn = any(FORMATS[name].needs_image for name in formats)
    entry = engine.entries[page_id]
    image = stacked(engine.library.file_of(entry), entry.numbers) if drawn else None
    return write_page(record, folder, stem, formats=formats, image=image, overwrite=overwrite)
