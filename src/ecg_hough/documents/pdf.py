"""PDFs: their pages as pictures, with the strokes and words that they were drawn from.

In: a path and a page's number. Out: `PdfPage`. PDFium runs in a child process (`child`), because a hostile or
damaged file may keep it busy for ever.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecg_hough.documents.child import SHARED, ChildEndedError
from ecg_hough.elements import Drawing, DrawnPath, TextWord
from ecg_hough.errors import PageError
from ecg_hough.paper import MM_PER_INCH

log = logging.getLogger(__name__)

PDF_DPI, POINTS_PER_INCH = 300.0, 72.0
VERTICES_MAX, OBJECTS_MAX, CHARACTERS_MAX = 2_000_000, 200_000, 100_000
"""Most vertices, objects and characters of a page that are looked at; an ECG has 30,000, 500 and 3,000."""
DEPTH_MAX = 8
"""Deepest nesting of forms."""
FILTER_NAME_MAX, STORED_MAX = 64, 64 << 20
"""Most bytes of a filter's name, and of a page's pictures that are handed on as they are stored."""
THIN_PX, LONG_TIMES = 6.0, 5.0
"""A filled rectangle that is no wider than 0.5 mm, and so many times as long, is a line."""
CAPITAL = 0.7
"""Height of capital letters, as a share of the font's size."""
WORD_GAP, LINE_OFF = 0.6, 0.5
"""Characters farther apart along their line, or across it, than this share of their height belong to other
words."""


@dataclass(frozen=True)
class PdfPage:
    """A page of a PDF.

    Attributes:
        image: (rows, cols, 3) uint8 RGB, drawn at 300 dpi; drawing: its strokes and words.
        stored: its pictures as they are stored: the PDF's name of how they are packed, and the bytes.
    """

    image: NDArray[np.uint8]
    drawing: Drawing
    stored: tuple[tuple[str, bytes], ...] = ()


def count_pdf_pages(path: Path) -> int:
    """Number of pages.

    Raises:
        PageError: damaged, encrypted or hostile.
    """
    count: int = _call(_count, path, (), path.name)
    return count


def read_pdf_page(path: Path, number: int = 1, *, most_px: int, least_side_px: int) -> PdfPage:
    """A page of a PDF, drawn at 300 dpi.

    Args:
        number: 1 the first; most_px: most pixels that are drawn; least_side_px: of the shorter side.
    Raises:
        PageError: as `count_pdf_pages`, or no such page, or one of another size.
    """
    what = f"{path.name}, page {number}"
    args = (number, (most_px, least_side_px))
    image, px_per_mm, paths, words, unread, stored = _call(_read, path, args, what)
    drawing = Drawing(
        tuple(DrawnPath(*one) for one in paths),
        tuple(TextWord(*one) for one in words),
        px_per_mm,
        unread,
    )
    log.info(
        "%s, page %d: %d strokes and %d words; drawn at %.3f px/mm",
        path.name, number, len(paths), len(words), drawing.scale,
    )  # fmt: skip
    return PdfPage(image, drawing, tuple(stored))


@dataclass(frozen=True)
class PdfContents:
    """What a page of a PDF consists of, by number and size: enough to see that it is text.

    Attributes:
        words: of its text layer; n_vertices: of its strokes; picture_share: of the page that pictures cover.
    """

    words: tuple[TextWord, ...]
    n_vertices: int
    picture_share: float


def pdf_contents(path: Path, number: int) -> PdfContents:
    """What a page consists of.

    Raises:
        PageError: as `count_pdf_pages`.
    """
    what = f"{path.name}, page {number}"
    words, n_vertices, picture_share = _call(_contents, path, (number,), what)
    return PdfContents(tuple(TextWord(*one) for one in words), n_vertices, picture_share)


_hung: set[tuple[str, int, int]] = set()
"""Files, by path, time and size, of which a call had to be ended: it takes the whole limit every time."""


def _call(function: Any, path: Path, args: tuple, what: str) -> Any:
    key = _key(path)
    if key in _hung:
        raise PageError("page", f"{what} was not tried again: reading {path.name} hung its reader before")
    try:
        return SHARED.call(function, str(path), *args, what=what)
    except ChildEndedError:
        _hung.add(key)
        raise


def _key(path: Path) -> tuple[str, int, int]:
    stat = path.stat()
    return str(path), stat.st_mtime_ns, stat.st_size


# --- what follows runs in the child


_open: tuple[tuple[str, int, int], Any] | None = None
"""The document of the last call, by its path, time and size."""


def _document(path: str) -> Any:
    global _open
    import pypdfium2

    key = _key(Path(path))
    if _open is None or _open[0] != key:
        if _open is not None:
            _open[1].close()
            _open = None
        try:
            _open = (key, pypdfium2.PdfDocument(path))
        except pypdfium2.PdfiumError as error:
            name = Path(path).name
            if "password" in str(error).lower():
                message = f"{name} is encrypted with a password; save a copy without one and digitise that"
            else:
                message = (
                    f"{name} is a damaged or locked PDF ({error}); copy it again, or print it to a new PDF"
                )
            raise PageError("page", message) from error
    return _open[1]


def _count(path: str) -> int:
    count = len(_document(path))
    if count == 0:
        raise PageError("page", f"{Path(path).name} is a PDF without pages; copy it again")
    return count


def _read(path: str, number: int, sizes: tuple[int, int]) -> tuple[Any, ...]:
    """Picture, its px per mm, strokes, words, why there are no strokes, and pictures as stored."""
    import pypdfium2

    name, document = Path(path).name, _document(path)
    if not 1 <= number <= len(document):
        raise PageError("page", f"{name} has {len(document)} pages; there is no page {number}")
    try:
        page = document[number - 1]
        scale = PDF_DPI / POINTS_PER_INCH
        cols, rows = (round(side * scale) for side in page.get_size())
        if cols * rows > sizes[0] or min(cols, rows) < sizes[1]:
            raise PageError(
                "page",
                f"page {number} of {name} is {cols} x {rows} px at {PDF_DPI:g} dpi; between {sizes[1]} px for"
                f" the shorter side and {sizes[0] // 1_000_000} megapixels are read: print it to A4",
            )
        image = np.ascontiguousarray(page.render(scale=scale).to_numpy()[..., 2::-1])
    except pypdfium2.PdfiumError as error:
        raise PageError("page", f"page {number} of {name} is damaged ({error})") from error
    if image.ndim == 2 or image.shape[2] == 1:
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    to_px = _display(page, image.shape[:2])
    try:
        strokes, unread = _all_strokes(page, to_px), None
    except _TooManyError as error:
        strokes, unread = [], str(error)
    width, height = page.get_size()
    # Pictures have whole pixels: the scales differ from 300 dpi by a part of one.
    px_per_mm = tuple(
        n / size * POINTS_PER_INCH / MM_PER_INCH
        for n, size in zip(image.shape, (height, width), strict=False)
    )
    return image, px_per_mm, strokes, _words(page, to_px), unread, _stored_pictures(page)


def _stored_pictures(page: Any) -> list[tuple[str, bytes]]:
    """Filter and bytes of the pictures of a page; PDFium decodes damaged ones without a word."""
    from pypdfium2 import raw

    out, left = [], STORED_MAX
    with contextlib.suppress(_TooManyError):
        for item, _ in _objects(page, (raw.FPDF_PAGEOBJ_IMAGE,)):
            n = raw.FPDFImageObj_GetImageDataRaw(item, None, 0)
            # Bytes that are packed twice are those of the outer filter.
            if raw.FPDFImageObj_GetImageFilterCount(item) != 1 or n > left:
                continue
            name, content = ctypes.create_string_buffer(FILTER_NAME_MAX), ctypes.create_string_buffer(n)
            raw.FPDFImageObj_GetImageFilter(item, 0, name, len(name))
            raw.FPDFImageObj_GetImageDataRaw(item, content, n)
            out.append((name.value.decode("ascii", "replace"), content.raw))
            left -= n
    return out


def _contents(path: str, number: int) -> tuple[list[tuple], int, float]:
    from pypdfium2 import raw

    page = _document(path)[number - 1]
    width, height = page.get_size()
    edges = [ctypes.c_float() for _ in range(4)]
    covered, n_vertices = 0.0, 0
    try:
        for item, _ in _objects(page, (raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_IMAGE)):
            if raw.FPDFPageObj_GetType(item) == raw.FPDF_PAGEOBJ_PATH:
                n_vertices += raw.FPDFPath_CountSegments(item)
            elif raw.FPDFPageObj_GetBounds(item, *edges):
                left, bottom, right, top = (edge.value for edge in edges)
                covered += (right - left) * (top - bottom) / (width * height)
    except _TooManyError:
        n_vertices = VERTICES_MAX
    return _words(page, _display(page, (round(height), round(width)))), n_vertices, covered


class _TooManyError(Exception):
    """A page holds more than an ECG can."""


class _Affine(NamedTuple):
    """(x, y) -> (a x + c y + e, b x + d y + f)."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    def after(self, first: _Affine) -> _Affine:
        """This one applied to what another gives."""
        return _Affine(
            self.a * first.a + self.c * first.b,
            self.b * first.a + self.d * first.b,
            self.a * first.c + self.c * first.d,
            self.b * first.c + self.d * first.d,
            self.a * first.e + self.c * first.f + self.e,
            self.b * first.e + self.d * first.f + self.f,
        )

    def rows_and_cols(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) x, y -> row and column."""
        x, y = xy.T
        return np.column_stack([self.b * x + self.d * y + self.f, self.a * x + self.c * y + self.e])

    @property
    def scale(self) -> float:
        return float(np.sqrt(abs(self.a * self.d - self.b * self.c)))


def _display(page: Any, shape: tuple[int, ...]) -> _Affine:
    """From the page's points to (column, row) of its picture, pixel centres."""
    left, bottom, right, top = page.get_bbox()
    width, height = right - left, top - bottom
    turns = page.get_rotation() // 90
    # Clockwise turns of the page, each from points of the upright picture in the range 0 to 1.
    unit = (
        _Affine(1 / width, 0, 0, -1 / height, -left / width, top / height),
        _Affine(0, 1 / width, 1 / height, 0, -bottom / height, -left / width),
        _Affine(-1 / width, 0, 0, 1 / height, right / width, -bottom / height),
        _Affine(0, -1 / width, -1 / height, 0, top / height, right / width),
    )[turns]
    return _Affine(shape[1], 0, 0, shape[0], -0.5, -0.5).after(unit)


class _Stroke(NamedTuple):
    """An object of a page, and the matrix from its points to the page's."""

    item: Any
    matrix: _Affine


def _strokes(page: Any) -> Iterator[_Stroke]:
    """The paths of a page and of the forms on it."""
    from pypdfium2 import raw

    return _objects(page, (raw.FPDF_PAGEOBJ_PATH,))


def _objects(page: Any, kinds: tuple[int, ...]) -> Iterator[_Stroke]:
    """Objects of some kinds, on a page and on the forms on it."""
    from pypdfium2 import raw

    seen = 0

    def walk(count: int, get: Any, outer: _Affine, depth: int) -> Iterator[_Stroke]:
        nonlocal seen
        for k in range(count):
            seen += 1
            if seen > OBJECTS_MAX:
                raise _TooManyError(f"the page holds more than {OBJECTS_MAX} objects")
            item = get(k)
            kind = raw.FPDFPageObj_GetType(item)
            if kind not in (*kinds, raw.FPDF_PAGEOBJ_FORM):
                continue
            own = raw.FS_MATRIX()
            raw.FPDFPageObj_GetMatrix(item, own)
            matrix = outer.after(_Affine(own.a, own.b, own.c, own.d, own.e, own.f))
            if kind in kinds:
                yield _Stroke(item, matrix)
            elif depth < DEPTH_MAX:
                within = raw.FPDFFormObj_CountObjects(item)
                yield from walk(within, lambda i, f=item: raw.FPDFFormObj_GetObject(f, i), matrix, depth + 1)

    n_objects = raw.FPDFPage_CountObjects(page.raw)
    yield from walk(n_objects, lambda i: raw.FPDFPage_GetObject(page.raw, i), _Affine(1, 0, 0, 1, 0, 0), 0)


def _all_strokes(page: Any, to_px: _Affine) -> list[tuple]:
    """The arguments of a `DrawnPath` for every stroke of a page: subpaths, each by itself."""
    out: list[tuple] = []
    n_vertices = 0
    for stroke in _strokes(page):
        for one in _subpaths(stroke, to_px):
            n_vertices += len(one[0])
            if n_vertices > VERTICES_MAX:
                raise _TooManyError(f"the page's strokes have more than {VERTICES_MAX} vertices")
            out.append(one)
    return out


def _subpaths(stroke: _Stroke, to_px: _Affine) -> Iterator[tuple]:
    """Points, colour, width and closedness of what one path object strokes.

    Of curves the ends are taken: a program that smooths a trace puts the samples there. Thin filled
    rectangles, as which some programs draw lines, are strokes along their middle.
    """
    from pypdfium2 import raw

    fill, is_stroked = ctypes.c_int(), ctypes.c_int()
    raw.FPDFPath_GetDrawMode(stroke.item, fill, is_stroked)
    if not (is_stroked.value or fill.value):
        return
    to_picture = to_px.after(stroke.matrix)
    channels = [ctypes.c_uint() for _ in range(4)]
    colour_of = raw.FPDFPageObj_GetStrokeColor if is_stroked.value else raw.FPDFPageObj_GetFillColor
    colour_of(stroke.item, *channels)
    colour = tuple(channel.value for channel in channels[:3])
    width = ctypes.c_float()
    raw.FPDFPageObj_GetStrokeWidth(stroke.item, width)
    width_px = max(1.0, width.value * to_picture.scale)
    for xy, closed in _lines(stroke.item):
        points = to_picture.rows_and_cols(xy)
        if is_stroked.value:
            yield points, colour, width_px, closed
        elif len(points) in (4, 5) and (middle := _middle_of_thin(points)) is not None:
            yield middle[0], colour, middle[1], False


def _lines(item: Any) -> Iterator[tuple[NDArray[np.float64], bool]]:
    """Vertices (n, 2) of each subpath, in its own units, and whether it is closed."""
    from pypdfium2 import raw

    x, y = ctypes.c_float(), ctypes.c_float()
    points: list[tuple[float, float]] = []
    closed, n_controls = False, 0
    for k in range(raw.FPDFPath_CountSegments(item)):
        segment = raw.FPDFPath_GetPathSegment(item, k)
        raw.FPDFPathSegment_GetPoint(segment, x, y)
        kind = raw.FPDFPathSegment_GetType(segment)
        if kind == raw.FPDF_SEGMENT_MOVETO and points:
            yield np.array(points), closed
            points, closed = [], False
        if kind == raw.FPDF_SEGMENT_BEZIERTO:
            n_controls += 1
            if n_controls % 3:
                continue
        points.append((x.value, y.value))
        closed = closed or bool(raw.FPDFPathSegment_GetClose(segment))
    if points:
        yield np.array(points), closed


def _middle_of_thin(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float] | None:
    """Ends of the middle line of a rectangle that is as thin as a pen, px, and its width; else None."""
    low, high = points.min(axis=0), points.max(axis=0)
    size, across = high - low, int(np.argmin(high - low))
    if size[across] > THIN_PX or size[1 - across] < LONG_TIMES * max(size[across], 1.0):
        return None
    ends = np.array([low, high])
    ends[:, across] = ends[:, across].mean()
    return ends, max(1.0, float(size[across]))


def _words(page: Any, to_px: _Affine) -> list[tuple]:
    """The arguments of a `TextWord` for every word of the text layer."""
    from pypdfium2 import raw

    text = page.get_textpage()
    edges = [ctypes.c_double() for _ in range(4)]
    base = [ctypes.c_double() for _ in range(2)]
    letters: list[tuple | None] = []
    for k in range(min(text.count_chars(), CHARACTERS_MAX)):
        code = raw.FPDFText_GetUnicode(text.raw, k)
        raw.FPDFText_GetCharBox(text.raw, k, *edges)
        left, right, bottom, top = (edge.value for edge in edges)
        letter = chr(code) if 0 < code < 0x110000 else " "
        if letter.isspace() or not (right > left or top > bottom):
            letters.append(None)
            continue
        own = raw.FS_MATRIX()
        raw.FPDFText_GetMatrix(text.raw, k, own)
        box = to_px.rows_and_cols(np.array([[left, bottom], [right, top]]))
        along = np.array([[0.0, 0.0], [own.a, own.b]])
        down, across = np.diff(to_px.rows_and_cols(along), axis=0)[0]
        turns = round(float(np.arctan2(down, across)) / (np.pi / 2)) % 4
        # Letters of one font have their middles in one line, whatever their own heights are.
        raw.FPDFText_GetCharOrigin(text.raw, k, *base)
        size = raw.FPDFText_GetFontSize(text.raw, k) * float(np.hypot(own.c, own.d))
        up = np.array([[own.c, own.d]]) / max(float(np.hypot(own.c, own.d)), 1e-9)
        middle = np.array([[base[0].value, base[1].value]]) + 0.5 * CAPITAL * size * up
        middle = to_px.rows_and_cols(middle)[0]
        letters.append((letter, box.min(axis=0), box.max(axis=0), turns, middle))
    return [_word(group) for group in _grouped(letters)]


def _grouped(letters: list) -> Iterator[list]:
    """Letters that make a word: next to each other in one line."""
    group: list = []
    for letter in [*letters, None]:
        if group and (letter is None or not _continues(group[-1], letter)):
            yield group
            group = []
        if letter is not None:
            group.append(letter)


def _continues(one: tuple, two: tuple) -> bool:
    if one[3] != two[3]:
        return False
    along = 1 - one[3] % 2  # the axis of the line: 1 is columns
    size = max(one[2][1 - along] - one[1][1 - along], two[2][1 - along] - two[1][1 - along], 1.0)
    forwards = 1 if one[3] in (0, 1) else -1
    gap = two[1][along] - one[2][along] if forwards > 0 else one[1][along] - two[2][along]
    off = abs((one[1] + one[2] - two[1] - two[2])[1 - along]) / 2
    return bool(-size < gap < WORD_GAP * size and off < size * LINE_OFF * 2)


def _word(group: list) -> tuple:
    low, high = np.min([g[1] for g in group], axis=0), np.max([g[2] for g in group], axis=0)
    middle, size, turns = (low + high) / 2, high - low, group[0][3]
    middle[turns % 2] = group[0][4][turns % 2]
    height, width = size if turns % 2 == 0 else size[::-1]
    return (
        "".join(g[0] for g in group),
        float(middle[0]),
        float(middle[1]),
        float(height),
        float(width),
        turns,
    )
