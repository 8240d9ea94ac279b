"""Hooks of mkdocs: pages and files outside docs/ become part of the site, and links to them stay right.

In: Markdown that is also read on a forge, with links relative to its own file. Out: the same links, relative
to the page of the site.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "datasets/**/*.md",
    "samples/*.md",
    "experiments/**/*.md",
)
"""Pages of the site that are not in docs/."""
LINK = re.compile(r"(?<=\]\()(?!https?://|#|mailto:)([^)\s#]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside docs/, and whatever file a page links to."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            files.append(_file(path, config))
    for page in list(files.documentation_pages()):
        source = Path(page.abs_src_path)
        for target in LINK.findall(source.read_text(encoding="utf-8")):
            path = (source.parent / target).resolve()
            uri = _uri(path)
            if path.is_file() and files.get_file_from_path(uri) is None:
                files.append(_file(path, config))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links that lead out of docs/, or into it from outside."""
    source = Path(page.file.abs_src_path)
    here = os.path.dirname(page.file.src_uri)

    def turned(found: re.Match[str]) -> str:
        path = (source.parent / found[1]).resolve()
        return os.path.relpath(_uri(path), here or ".") if path.is_file() else found[1]

    return LINK.sub(turned, markdown)


def _uri(path: Path) -> str:
    """Where a file of the repository is in the site: docs/ is its root."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def _file(path: Path, config: Any) -> File:
    return File.generated(config, _uri(path), abs_src_path=str(path))
