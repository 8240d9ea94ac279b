"""Commands that work on records made before: `convert`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_hough.cli.arguments import RECORD_FORMATS, Verbose, formats_of
from ecg_hough.cli.screen import FAILED, OnProgress, plain_errors, progress_bar

if TYPE_CHECKING:
    from ecg_hough.clinical import Patient
    from ecg_hough.output.saved import Conversion

ISO_DATE = "%Y-%m-%d"
ISO_TIMES = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", ISO_DATE)
WHO = "Patient and time"


def _sex(value: str | None) -> str | None:
    if value is not None and value.upper() not in ("F", "M", "O"):
        raise typer.BadParameter(f"must be F, M or O; got {value}")
    return None if value is None else value.upper()


def convert(
    records: Annotated[
        list[Path], typer.Argument(metavar="RECORD...", help="STEM.json or STEM.hea, or folders of them.")
    ],
    to: Annotated[
        list[str],
        typer.Option(
            "--to", callback=formats_of, help=f"Formats, comma between: {', '.join(RECORD_FORMATS)}."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Output folder.", show_default="beside each record")
    ] = None,
    patient_id: Annotated[
        str | None, typer.Option(help="Of the patient.", show_default="as read", rich_help_panel=WHO)
    ] = None,
    patient_name: Annotated[
        str | None, typer.Option(help='As "Family, Given".', show_default="as read", rich_help_panel=WHO)
    ] = None,
    birth_date: Annotated[
        datetime | None,
        typer.Option(formats=[ISO_DATE], help="Of the patient.", show_default="as read", rich_help_panel=WHO),
    ] = None,
    sex: Annotated[
        str | None,
        typer.Option(callback=_sex, help="F, M or O.", show_default="as read", rich_help_panel=WHO),
    ] = None,
    recorded: Annotated[
        datetime | None,
        typer.Option(
            formats=list(ISO_TIMES), help="When it was recorded.", show_default="as read", rich_help_panel=WHO
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    verbose: Verbose = 0,
) -> None:
    """Write records made before in other formats.

    Examples:

    - one record as DICOM and EDF+, beside it: `ecg-hough convert out/scan.json --to dicom,edf`
    - all of a folder as FHIR resources: `ecg-hough convert out/ --to fhir -o fhir/`
    - with the patient, which the page's record does not have:
      `ecg-hough convert out/scan.json --to dicom --patient-id 4711 --recorded 2019-03-04`

    Records are those of `predict`, old ones too, and WFDB records of other programs with leads of the 12. A
    record that fails is named with the reason, the others go on, and the exit status is then 1. What each
    format holds, and how it marks seconds that are not printed, is in docs/output.md.
    """
    with plain_errors():
        from ecg_hough.output.saved import convert_records

        with progress_bar("converting") as bar:
            done = convert_records(
                records,
                to,
                out=out,
                patient=_patient(patient_id, patient_name, birth_date, sex),
                recorded=None if recorded is None else recorded.isoformat(),
                overwrite=overwrite,
                on_record=_record_printer(bar),
            )
    failed = sum(one.message is not None for one in done)
    written = sum(len(one.files) for one in done)
    typer.echo(f"{len(done) - failed} records converted, {failed} failed; {written} files written")
    if failed:
        raise typer.Exit(FAILED)


def _patient(
    patient_id: str | None, name: str | None, birth_date: datetime | None, sex: str | None
) -> Patient | None:
    from ecg_hough.clinical import Patient

    if patient_id is name is birth_date is sex is None:
        return None
    born = None if birth_date is None else f"{birth_date:{ISO_DATE}}"
    return Patient(patient_id, name, born, sex)  # type: ignore[arg-type]


def _record_printer(bar: OnProgress):  # type: ignore[no-untyped-def]
    """Prints a record's failure above the bar, and moves it on."""
    n_done = 0

    def show(result: Conversion, total: int) -> None:
        nonlocal n_done
        n_done += 1
        if result.message is not None:
            bar.print(f"{result.record.name}: {result.message}")
        bar(n_done, total)

    return show
