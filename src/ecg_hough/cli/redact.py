"""The command that takes names off pages: `redact`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_hough.cli.arguments import OutFolder, Verbose
from ecg_hough.cli.predict import Overwrite, Pages
from ecg_hough.cli.screen import FAILED, plain_errors, progress_bar

if TYPE_CHECKING:
    from ecg_hough.batch.pages import PageFile


def redact(
    inputs: Pages,
    out: OutFolder,
    measurements: Annotated[
        bool, typer.Option("--measurements/--no-measurements", help="Keep printed heart rate and intervals.")
    ] = True,
    overwrite: Overwrite = False,
    verbose: Verbose = 0,
) -> None:
    """Write pages without names: STEM.redacted.png for each, without the metadata of the file.

    Examples:

    - a folder of scans: `ecg-hough redact scans/ -o shared/`
    - every page of a PDF, without printed measurements:
      `ecg-hough redact report.pdf -o shared/ --no-measurements`

    All is blanked but the rows of traces, and words that tell nobody: names of leads, paper speed, gain,
    filter, printed measurements. Such words are kept only where they can be read: pictures need
    `pip install "ecg-hough[ocr]"`. Of a DICOM object STEM.redacted.dcm is written too, de-identified.
    A page whose rows are not found is not written. **Look at the pages before you share them**; the name of a
    file may itself hold a patient's name.
    """
    failed = written = 0
    with plain_errors():
        from ecg_hough.batch.pages import find_pages

        pages = find_pages(inputs)
        with progress_bar("redacting") as bar:
            for k, page in enumerate(pages):
                for name, problem in _redact_file(page, out, measurements, overwrite):
                    failed += problem is not None
                    written += problem is None
                    if problem is not None:
                        bar.print(f"{name}: {problem}")
                bar(k + 1, len(pages))
    typer.echo(f"{written} pages without names, {failed} failed. Results in {out}")
    if failed:
        raise typer.Exit(FAILED)


def _redact_file(
    file: PageFile, out: Path, measurements: bool, overwrite: bool
) -> Iterator[tuple[str, str | None]]:
    """Names of the pages of a file, each with what is wrong with it."""
    from ecg_hough.documents.kinds import Kind, kind_of
    from ecg_hough.documents.pages import count_pages
    from ecg_hough.errors import PageError
    from ecg_hough.header.redact import redacted
    from ecg_hough.image.reading import read_page
    from ecg_hough.output.dicom import picture_bytes
    from ecg_hough.output.export import REDACTED_SUFFIX, png_bytes
    from ecg_hough.output.files import write_whole
    from ecg_hough.pipeline import digitize

    if file.problem is not None:
        yield file.path.name, file.problem
        return
    try:
        n_pages = count_pages(file.path)
        is_dicom = kind_of(file.path) is Kind.dicom
    except PageError as error:
        yield file.path.name, str(error)
        return
    for number in range(1, n_pages + 1):
        stem = file.stem if n_pages == 1 else f"{file.stem}_p{number}"
        name = file.path.name if n_pages == 1 else f"{file.path.name}, page {number}"
        target = out / f"{stem}{REDACTED_SUFFIX}"
        if target.exists() and not overwrite:
            yield name, f"export: {target} exists; allow it with --overwrite"
            continue
        try:
            read = read_page(file.path, number)
            words = () if read.drawing is None else read.drawing.words
            ecg = digitize(file.path, number)
            image = redacted(read.image, ecg, words=words, measurements=measurements)
            write_whole(target, png_bytes(image))
            if is_dicom:
                write_whole(target.with_suffix(".dcm"), picture_bytes(image))
        except PageError as error:
            yield name, str(error)
        else:
            yield name, None
