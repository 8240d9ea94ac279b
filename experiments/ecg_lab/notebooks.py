"""Run notebooks and keep them with small outputs, so that they can be read without running.

In: notebooks as they are edited. Out: the same with their outputs: figures as PNG of few colours, tables
as text and HTML, no times, no warnings, no paths of this machine.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MAX_PICTURE_BYTES = 60_000
"""Of a figure; a larger one is made smaller."""
COLOURS = 64
SHRINK = (1.0, 0.8, 0.65, 0.5, 0.4)
"""Sizes that are tried."""
TIMEOUT_S = 1800


def store_outputs(
    paths: Sequence[Path],
    *,
    out: Path | None = None,
    on_notebook: Callable[[str], None] = lambda name: None,
) -> list[Path]:
    """Run notebooks in their own folder, and write them with small outputs.

    Args:
        paths: notebooks; out: folder of the results, None writes them in place.
        on_notebook: called with a notebook's name before it is run.
    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; that notebook and later ones stay as they are.
    """
    import nbformat
    from nbclient import NotebookClient

    written = []
    for path in paths:
        on_notebook(path.name)
        book = nbformat.read(path, as_version=4)
        place = {"metadata": {"path": str(path.parent)}}
        client = NotebookClient(
            book, timeout=TIMEOUT_S, kernel_name="python3", resources=place, record_timing=False
        )
        client.execute()
        for cell in book.cells:
            if cell.cell_type == "code":
                cell.outputs = small_outputs(cell.outputs)
                cell.metadata = {}
        target = path if out is None else out / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        nbformat.write(book, part)
        os.replace(part, target)
        written.append(target)
    return written


def small_outputs(outputs: Sequence[Any]) -> list[Any]:
    """Outputs of a cell without what is written to stderr, figures made small."""
    kept = []
    for output in outputs:
        if output.output_type == "stream" and output.name == "stderr":
            continue
        picture = output.get("data", {}).get("image/png")
        if picture is not None:
            output.data["image/png"] = base64.b64encode(small_picture(base64.b64decode(picture))).decode()
            output.data.pop("text/plain", None)
            output.metadata = {}
        kept.append(output)
    return kept


def small_picture(data: bytes) -> bytes:
    """A PNG in at most `COLOURS` colours and `MAX_PICTURE_BYTES`, as large as fits."""
    from PIL import Image

    picture = Image.open(io.BytesIO(data)).convert("RGB")
    packed = b""
    for share in SHRINK:
        size = [max(1, round(n * share)) for n in picture.size]
        smaller = picture if share == 1.0 else picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)
        drawn = io.BytesIO()
        smaller.quantize(COLOURS, dither=Image.Dither.NONE).save(drawn, format="png", optimize=True)
        packed = drawn.getvalue()
        if len(packed) <= MAX_PICTURE_BYTES:
            break
    return packed
