"""What commands show: errors in one line, progress, tables. In: results of the library. Out: text.

Progress and errors go to stderr, results to stdout.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ecg_hough.errors import PageError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

log = logging.getLogger("ecg_hough")

FAILED, BAD_ARGUMENT, INTERRUPTED = 1, 2, 130
"""Exit statuses: some page or step failed; the command line makes no sense; Ctrl-C."""
PACKAGES: dict[str, tuple[str, ...]] = {
    "ocr": ("rapidocr",),
    "dicom": ("pydicom", "openjpeg"),
    "edf": ("edfio",),
    "heic": ("pi_heif",),
    "serve": (
        "fastapi",
        "jinja2",
        "prometheus_client",
        "psycopg",
        "pynetdicom",
        "python_multipart",
        "sqlalchemy",
        "starlette",
        "uvicorn",
    ),
    "batch": ("aiohttp", "fsspec", "psutil", "pyarrow", "s3fs"),
    "ray": ("ray",),
    "train": ("batchgeneratorsv2", "nnunetv2", "onnx", "onnxruntime", "sklearn", "torch"),
}
"""Modules of the extras, which may be missing."""
EXTRAS = {name: f'pip install "ecg-hough[{extra}]"' for extra, names in PACKAGES.items() for name in names}
"""What installs a package that may be missing, by the package's name."""


def show_log(verbose: int) -> None:
    """Write the package's log to stderr: warnings, with 1 what each stage found, with 2 every detail."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    log.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)])


class _Decisions(logging.Handler):
    """Collects what stages log at INFO: what was seen, with its weight, and what was used."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.INFO:
            self.lines.append(record.getMessage())


@contextmanager
def decisions() -> Iterator[list[str]]:
    """The decisions that stages log while this is open, whether or not the log is shown."""
    collected, level, shown = _Decisions(), log.level, log.propagate
    log.addHandler(collected)
    if level > logging.INFO:
        log.setLevel(logging.INFO)
        log.propagate = False  # collected, not shown
    try:
        yield collected.lines
    finally:
        log.removeHandler(collected)
        log.setLevel(level)
        log.propagate = shown


@contextmanager
def plain_errors(extras: Mapping[str, str] = EXTRAS) -> Iterator[None]:
    """Foreseen errors as one line and an exit status; -v shows where they came from.

    Args:
        extras: what installs a package that may be missing, by the package's name.
    """
    try:
        yield
    except PageError as error:
        _stop(str(error), FAILED, error)
    except ValueError as error:
        _stop(str(error), BAD_ARGUMENT, error)
    except ModuleNotFoundError as error:
        install = extras.get((error.name or "").partition(".")[0])
        if install is None:
            raise
        extra = install[install.index("[") + 1 : install.index("]")]
        _stop(f"{error}: this needs the {extra} extra: {install}", FAILED, error)
    except OSError as error:
        _stop(str(error), FAILED, error)


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Ctrl-C in a long run as one line that tells how to go on, and the exit status of shells for it."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(
            f"Stopped. The same command goes on from the last checkpoint in {folder}.",
            err=True,
        )
        raise typer.Exit(INTERRUPTED) from None


def _stop(message: str, status: int, error: Exception) -> None:
    log.info("stopped by %s", type(error).__name__, exc_info=error)
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(status) from error


@dataclass(frozen=True)
class OnProgress:
    """Callback (done, total) of a progress bar, which can print lines above itself."""

    progress: Progress
    bar: TaskID

    def __call__(self, done: int, total: int) -> None:
        self.progress.update(self.bar, completed=done, total=total)

    def print(self, line: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(verb: str) -> Iterator[OnProgress]:
    """A progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield OnProgress(progress, progress.add_task("", total=None))


def duration(seconds: float) -> str:
    """A time for people, such as 2 h 05 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


@contextmanager
def page_progress() -> Iterator[Callable[[Any, Mapping[str, Any]], None]]:
    """A progress bar with pages a second and the time left, for `batch.run.run_here`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def show(progress: Any, row: Mapping[str, Any]) -> None:
            left = "" if progress.left_s is None else f", {duration(progress.left_s)} left"
            failed = progress.counts.get("failed", 0) + progress.counts.get("refused", 0)
            words = f"{progress.pages_per_s:.2f} pages/s{left}, {failed} without a record"
            done = progress.before + progress.done
            bar.update(task, completed=done, total=progress.total, description=words)

        yield show


@contextmanager
def live_line(text: str) -> Iterator[Callable[[str], None]]:
    """A line that shows what a long run is doing, with the time it has taken."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(text)
        yield lambda words: bar.update(task, description=f"{text}  {words}")


def print_table(table: Any) -> None:
    """Print a rich table, or nothing for None."""
    from rich.console import Console

    if table is not None:
        Console().print(table)
