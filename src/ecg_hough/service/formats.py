"""Records in the format that a client asks for: `output.export.FORMATS` by media type or by name.

In: an `Accept` header or a name, and a record's files. Out: bytes.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from ecg_hough.output.export import FORMATS, Format, Page, check_formats
from ecg_hough.output.files import STAGING_PREFIX
from ecg_hough.output.saved import read_record
from ecg_hough.service.intake import RefusedError

DEFAULT = "json"


def wanted_format(accept: str, name: str | None = None) -> Format:
    """The format that a client likes best, or names.

    Args:
        accept: the header; "" accepts everything.
        name: in `FORMATS`; it goes before the header.
    Raises:
        RefusedError: 406 none of those it accepts, 422 no such name.
    """
    if name is not None:
        if name not in FORMATS:
            raise RefusedError(
                422, f"format must be one of {', '.join(FORMATS)}; got {name[:40]!r}", "export"
            )
        return FORMATS[name]
    for media_range in _by_preference(accept or "*/*"):
        for one in (FORMATS[DEFAULT], *FORMATS.values()):
            if _matches(media_range, one.media_type):
                return one
    known = ", ".join(dict.fromkeys(one.media_type for one in FORMATS.values()))
    raise RefusedError(406, f"records are there as {known}", "export")


def _by_preference(accept: str) -> list[str]:
    """Media ranges in falling order of their weights (RFC 9110, 12.5.1), parameters kept."""
    found = []
    for part in accept.lower().split(","):
        media_range, *parameters = [piece.strip() for piece in part.split(";")]
        weight = 1.0
        kept = []
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
            elif parameter:
                kept.append(parameter)
        if weight > 0:
            found.append((weight, "; ".join([media_range, *kept])))
    return [media_range for _, media_range in sorted(found, key=lambda pair: -pair[0])]


def _matches(media_range: str, media_type: str) -> bool:
    if media_range == "*/*" or media_range == media_type:
        return True
    group, _, kind = media_range.partition("/")
    return kind == "*" and media_type.startswith(f"{group}/")


def record_bytes(place: Path, one: Format) -> tuple[bytes, str]:
    """A record in a format, and a name for its file; several files come as a zip archive.

    Args:
        place: of the record's files, without suffix.
    Raises:
        RefusedError: 404 a picture that was not kept, 406 the record does not fit the format, or a package
            for it is missing.
    """
    files = [place.with_name(place.name + suffix) for suffix in one.suffixes]
    if all(file.is_file() for file in files):
        return _packed(files, place.name)
    if one.needs_image:
        raise RefusedError(
            404, f"no {one.name} was kept of this record: ask for it with the upload", "export"
        )
    try:
        check_formats([one.name])
        with tempfile.TemporaryDirectory(prefix=STAGING_PREFIX, dir=place.parent) as folder:
            one.write(Page(read_record(place.with_name(f"{place.name}.json"))), Path(folder), place.name)
            return _packed([Path(folder, file.name) for file in files], place.name)
    except (ValueError, ModuleNotFoundError) as error:
        raise RefusedError(406, f"the record cannot be had as {one.name}: {error}", "export") from error


def _packed(files: list[Path], name: str) -> tuple[bytes, str]:
    if len(files) == 1:
        return files[0].read_bytes(), files[0].name
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return buffer.getvalue(), f"{name}.zip"
