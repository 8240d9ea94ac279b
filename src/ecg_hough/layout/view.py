"""Which way up the page is and which lead is printed where: both networks that see the page as a whole.

In: the page's pixels, its small angle and, where known, its scale. Out: `FoundLeads`: quarter turns, class
probabilities on the canvas, the layout, and the known words. The leads network was trained to find nothing on
wrongly turned pages, and letters on their side spell no name, so the turn with the most coherent layout and
the most names is the right one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Box, PageLayout, PrintedWord
from ecg_hough.errors import PageError
from ecg_hough.geometry.sheet_edges import USUAL_LONG_MM
from ecg_hough.layout.fit import LayoutFit, find_layout, fit_layout, fit_names
from ecg_hough.layout.names import CanvasName, canvas_names
from ecg_hough.layout.rows import clean_ink
from ecg_hough.networks.canvas import CANVAS_PX, Canvas, to_canvas, to_flat_canvas
from ecg_hough.networks.leads_net import LEADS_NETWORK, lead_probabilities
from ecg_hough.networks.runtime import load_network
from ecg_hough.networks.words_net import WORDS_NETWORK, find_words
from ecg_hough.page_map import PageMap, turn_back
from ecg_hough.paper import GAIN_WORDS, LEADS, SPEED_WORDS

logger = logging.getLogger(__name__)

LEVEL_EVIDENCE = 4.0
"""Layout evidence, nats per canvas column, from which a page's rows are level: sideways it shows less. Upside
down one page in ten shows as much, of few rows and without names more than the right way up."""
NAME_EVIDENCE, SCALE_EVIDENCE = 0.75, 5.0
"""What a name, or a paper speed or gain, that is surely read in a turn adds to its layout evidence, each word
once: of 720 wrong turns of 240 own renders one showed a speed, of the right ones 209 a speed or gain. Of 240
others (seeds 31313, 50505) one upright page is turned by a weight of 3 and five upside-down ones are not; by
one of 5 none is turned and two are not."""
SURE_WORD = 0.9
"""Score of such a word: one blob in a few pages that is no word has it."""
WORD_EVIDENCE_MIN = 2.0
"""Evidence of words from which the page is not tried upside down: a speed, or three names."""
TURNED_TIMES = 1.2
"""A turned page must have this many times the evidence of the page as it is: most pages are upright. Of these
240 none is turned then, and two are taken as upright where they are given upside down."""
NEAR_PX, FAR_PX = (40.0, 50.0), (95.0, 70.0)
"""Distances of rows on the canvas from which they are too near, or too far, for the network to read leads
well; and to which they are drawn then."""
SMALL_SHARE = 0.67
"""Traces that, with their surroundings, fill no more of the image's longer side are looked at closer."""
AROUND_SHARE = 0.25
"""Surroundings that are seen then, of their longer extent: the network may have missed some traces, and words
are printed there."""
WIDE_SHARE = 0.2
"""Least width of connected ink, of the widest one's, that is a row's and not a texture next to the page: a
quarter of a rhythm strip is the shortest part of one."""
INK_PERCENTILES = (2.0, 98.0)
"""Of such ink, within which the traces lie: beyond are specks."""
DRAWN_TIMES, SHOWN_MIN = 1.1, 2.0
"""How much coherence that must show, as `FLAT_TIMES`; and at least, on a page that shows too little as it is:
rendered pages show 3.5 and more then, a page of text up to 1.0."""
WIDE_TIMES = 2.0
"""A picture that is wider than high by more is drawn taller, as high as wide, where it shows too little: of a
banner of 10 s at 50 mm/s with twelve rows, in margins, their distance is a few px."""
TALL_TIMES = 1.5
"""A picture that is higher than wide by more, as a column of plots is, may be drawn wider, as wide as high: a
second of it takes a few px."""
CURLED_MM = 1.5
"""Departure of rows from straight lines from which they may be taken for each other."""
FLAT_TIMES = 1.3
"""The same for a curled page flattened along its map: the network was trained on such pages as they are, and
reads most of them as well; but rows that curl by more than their distance are distinguished only when
flattened."""
AROUND_MM = 25.0
"""Margin round a flattened page's traces, as most pages have."""
MIN_EVIDENCE = 0.25
"""Below this in the best turn the page is not a 12-lead ECG, or beyond reading. Pictures, noise and most
empty grids are below it; of 680 own renders one is. Text, tables and other curves are refused later."""
NAMED_EVIDENCE = 0.2
"""The same for a page with `NAMED_LEADS` printed names at its traces: it may show few leads."""
NAMED_LEADS = 3


@dataclass(frozen=True)
class FoundLeads:
    """What the page shows as a whole.

    Attributes:
        turns: quarter turns of the page, counter-clockwise; all else is of the page turned back.
        canvas: the picture that the leads network saw; probabilities: (13, rows, cols) on it.
        layout: which lead is printed where, on the canvas.
        words: the known words, in px of the page turned back.
        coherence: layout evidence, nats per canvas column.
        part: the part of the image as given that the page seems to take; None where it fills the image.
    """

    turns: int
    canvas: Canvas
    probabilities: NDArray[np.float32]
    layout: PageLayout
    words: tuple[PrintedWord, ...]
    coherence: float
    part: Box | None


@dataclass(frozen=True)
class _Turn:
    turns: int
    image: NDArray[np.uint8]
    canvas: Canvas
    probabilities: NDArray[np.float32]
    fitted: LayoutFit | None
    of_part: bool = False

    @property
    def coherence(self) -> float:
        return self.fitted.coherence if self.fitted is not None else 0.0


def find_leads(
    image: NDArray[np.uint8],
    angle_deg: float,
    px_per_mm: tuple[float, float] | None = None,
    page_map: PageMap | None = None,
) -> FoundLeads:
    """Find the page's turn, its leads and its words.

    Args:
        image: (rows, cols, 3) as given; angle_deg: its small angle; px_per_mm: its vertical and
            horizontal scale, None without a grid.
        page_map: its map, where one is known; a curled page is flattened where that shows its leads better.

    Raises:
        PageError: no turn shows leads.
    """
    best, words = _best_turn(image, angle_deg, scale_of_words(image.shape, px_per_mm))
    if page_map is not None:
        best = _flattened(best, page_map.turned(best.turns, image.shape))
    if best.fitted is not None:
        best = replace(best, fitted=fit_names(best.fitted, on_canvas(words, best.canvas)))
    _refuse_without_leads(best)
    layout = find_layout(best.probabilities, best.fitted)
    part = None
    if best.of_part and is_small(box := _box_of_traces(best), image):
        part = _turned_back(box, best.turns, image)
    return FoundLeads(best.turns, best.canvas, best.probabilities, layout, words, best.coherence, part)


def scale_of_words(shape: tuple[int, ...], px_per_mm: tuple[float, float] | None) -> float:
    """Scale at which words are read, px per mm: the page's, or that of a usual page, (rows, cols, ...), whose
    scale is not known."""
    return max(shape[:2]) / USUAL_LONG_MM if px_per_mm is None else float(np.mean(px_per_mm))


def with_words_at(
    found: FoundLeads, image: NDArray[np.uint8], angle_deg: float, px_per_mm: float
) -> FoundLeads:
    """The same with the words read at another scale, and the layout by what names these are.

    Args:
        image: (rows, cols, 3), upright; angle_deg: its small angle.
    Raises:
        PageError: no lead could be named.
    """
    words = read_words(image, angle_deg, px_per_mm)
    fitted = fit_layout(found.probabilities)
    if fitted is not None:
        fitted = fit_names(fitted, on_canvas(words, found.canvas))
    return replace(found, words=words, layout=find_layout(found.probabilities, fitted))


def _best_turn(
    image: NDArray[np.uint8], angle_deg: float, px_per_mm: float
) -> tuple[_Turn, tuple[PrintedWord, ...]]:
    """The quarter turn with the most evidence of leads and words, and the words read in it."""
    tried: list[_Turn] = []
    words: dict[int, tuple[PrintedWord, ...]] = {}
    weighed: dict[int, float] = {}
    for turns in (0, 2, 1, 3):
        turn = _try_turn(image, angle_deg, turns)
        words[turns] = read_words(turn.image, angle_deg, px_per_mm)
        of_words = _word_evidence(words[turns]) if _shows_leads(turn, words[turns]) else 0.0
        weighed[turns] = (turn.coherence + of_words) * (TURNED_TIMES if turns == 0 else 1.0)
        logger.debug(
            "quarter turns %d: layout evidence %.2f, word evidence %.2f, weighed %.2f",
            turns, turn.coherence, of_words, weighed[turns],
        )  # fmt: skip
        tried.append(turn)
        level = max(seen.coherence for seen in tried) >= LEVEL_EVIDENCE
        # Rows are as level upside down: words decide, or both ways must be compared.
        if level and (of_words >= WORD_EVIDENCE_MIN or turns == 2):
            logger.debug(
                "no further turn is tried: layout evidence of at least %g shows that rows are level; %s",
                LEVEL_EVIDENCE,
                "both ways up were compared" if turns == 2 else "words show which way is up",
            )  # fmt: skip
            break
    best = max(tried, key=lambda turn: weighed[turn.turns])
    return best, words[best.turns]


def _flattened(seen: _Turn, page_map: PageMap) -> _Turn:
    """The page flattened along its map, where its rows are curled and its leads are clearer then."""
    bend_mm = page_map.row_bend_mm
    if bend_mm <= CURLED_MM:
        return seen
    flat = _look_flat(seen, page_map)
    clearer = flat.coherence > FLAT_TIMES * seen.coherence
    logger.debug(
        "rows bend by %.1f mm (limit %.1f): layout evidence %.2f when flattened, more than %.2f needed; %s",
        bend_mm, CURLED_MM, flat.coherence, FLAT_TIMES * seen.coherence, "used" if clearer else "not used",
    )  # fmt: skip
    return flat if clearer else seen


def _refuse_without_leads(best: _Turn) -> None:
    """Raise PageError where a page shows too little evidence of leads."""
    fitted, coherence = best.fitted, best.coherence
    n_names = len(fitted.names) if fitted is not None else 0
    least = NAMED_EVIDENCE if n_names >= NAMED_LEADS else MIN_EVIDENCE
    logger.debug(
        "quarter turns %d: layout evidence %.2f with %d names, at least %.2f needed",
        best.turns, coherence, n_names, least,
    )  # fmt: skip
    if coherence < least:
        raise PageError(
            "segmentation",
            f"a page must show leads of an ECG; evidence {coherence:.2f} is below {least} in the best"
            " of four turns of the page. Is it a printed 12-lead ECG, in focus and whole?",
        )


def _turned_back(box: Box, turns: int, image: NDArray[np.uint8]) -> Box:
    """A part of the page turned upright, in the image as given."""
    return Box.around(turn_back(box.corners, turns, image.shape[:2]), image.shape)


def read_words(image: NDArray[np.uint8], angle_deg: float, px_per_mm: float) -> tuple[PrintedWord, ...]:
    """`words_net.find_words` with the shipped network."""
    return find_words(image, angle_deg, px_per_mm, load_network(WORDS_NETWORK))


def _try_turn(image: NDArray[np.uint8], angle_deg: float, turns: int) -> _Turn:
    """The page in one turn."""
    upright = np.ascontiguousarray(np.rot90(image, -turns))
    seen = _look(turns, upright, to_canvas(upright, angle_deg))
    n_rows, n_cols = upright.shape[:2]
    if seen.coherence < SHOWN_MIN and n_cols > WIDE_TIMES * n_rows:
        taller = _look(turns, upright, to_canvas(upright, angle_deg, tall=n_cols / n_rows))
        logger.debug(
            "a wide picture drawn taller: layout evidence %.2f, more than %.2f needed",
            taller.coherence, SHOWN_MIN,
        )  # fmt: skip
        seen = taller if taller.coherence > SHOWN_MIN else seen
    if n_rows > TALL_TIMES * n_cols:
        seen = _look_wider(seen, angle_deg)
    return _look_closer(seen, angle_deg)


def _look_wider(seen: _Turn, angle_deg: float) -> _Turn:
    """A tall picture drawn as wide as high, where each second shows its leads more clearly then."""
    n_rows, n_cols = seen.image.shape[:2]
    wide = n_rows / n_cols
    again = _look(seen.turns, seen.image, to_canvas(seen.image, angle_deg, wide=wide))
    # Evidence is per canvas column; where it is nearly the same the finer picture is better for what follows.
    least = max(SHOWN_MIN, wide * seen.coherence / DRAWN_TIMES)
    logger.debug(
        "a tall picture drawn wider: layout evidence %.2f, more than %.2f needed", again.coherence, least
    )
    return again if again.coherence > least else seen


def _look_closer(seen: _Turn, angle_deg: float) -> _Turn:
    """The page looked at once more where its traces are small, or their rows too near or far.

    Then the traces fill the canvas, drawn taller or lower: twice as tall they are those of a page at twice
    the gain with rows twice as far apart, and such the network knows.
    """
    box = _box_of_traces(seen)
    closer = CANVAS_PX / (max(box.shape) * seen.canvas.scale)
    pitch = seen.fitted.rows.pitch if seen.fitted is not None else np.nan  # NaN with one row, too
    near, far = pitch < NEAR_PX[0], pitch > FAR_PX[0]
    if not (near or far or is_small(box, seen.image)):
        return seen
    tall = 1.0
    if near:
        tall = max(1.0, NEAR_PX[1] / (closer * pitch))
    elif far:
        tall = FAR_PX[1] / (closer * pitch)
    again = _look(seen.turns, seen.image, to_canvas(seen.image, angle_deg, tall=tall, box=box), of_part=True)
    least = SHOWN_MIN if seen.coherence < MIN_EVIDENCE else DRAWN_TIMES * seen.coherence
    clearer = again.coherence > least
    logger.debug(
        "rows %.0f px apart (limits %.0f and %.0f), traces in %s: layout evidence %.2f when drawn anew,"
        " more than %.2f needed; %s",
        pitch, NEAR_PX[0], FAR_PX[0], tuple(box), again.coherence, least, "used" if clearer else "not used",
    )  # fmt: skip
    return again if clearer else seen


def is_small(box: Box, image: NDArray[np.uint8]) -> bool:
    """Whether a part of an image is so small that it is looked at by itself."""
    return max(box.shape) <= SMALL_SHARE * max(image.shape[:2])


def _box_of_traces(seen: _Turn) -> Box:
    """The page's part with what looked like traces, and their surroundings."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(clean_ink(seen.probabilities).astype(np.uint8))
    widths = stats[:, cv2.CC_STAT_WIDTH].copy()
    widths[0] = 0  # what is no ink
    points = np.argwhere((widths >= max(1.0, WIDE_SHARE * widths.max()))[labels]).astype(float)
    if not points.size:
        return Box.of(seen.image.shape)
    low, high = np.percentile(seen.canvas.to_page(points), INK_PERCENTILES, axis=0)
    around = AROUND_SHARE * float((high - low).max())
    return Box.around([low - around, high + around], seen.image.shape)


def _look(turns: int, upright: NDArray[np.uint8], canvas: Canvas, *, of_part: bool = False) -> _Turn:
    probabilities = lead_probabilities(canvas, load_network(LEADS_NETWORK))
    probabilities[0][~canvas.covered] = 1.0
    probabilities[1:, ~canvas.covered] = 0.0
    return _Turn(turns, upright, canvas, probabilities, fit_layout(probabilities), of_part)


def _look_flat(seen: _Turn, page_map: PageMap) -> _Turn:
    """The same page, flattened along its map: what looked like traces, and a margin round it."""
    points = np.argwhere(clean_ink(seen.probabilities)).astype(float)
    if not points.size:
        return seen
    page = seen.canvas.to_page(points)
    mm = np.stack(page_map.to_mm(page[:, 0], page[:, 1]))
    (top, left), (bottom, right) = mm.min(axis=1) - AROUND_MM, mm.max(axis=1) + AROUND_MM
    return _look(seen.turns, seen.image, to_flat_canvas(seen.image, page_map, (top, left, bottom, right)))


def _shows_leads(turn: _Turn, words: tuple[PrintedWord, ...]) -> bool:
    """Whether a turn shows leads, by its traces or by the names at them: plots have names on their side."""
    if turn.fitted is None or turn.coherence >= NAMED_EVIDENCE:
        return turn.fitted is not None
    return fit_names(turn.fitted, on_canvas(words, turn.canvas)).coherence >= NAMED_EVIDENCE


def _word_evidence(words: tuple[PrintedWord, ...]) -> float:
    """Evidence of words for the turn in which they were read; I, II and III read alike upside down."""
    sure = {word.word for word in words if word.score >= SURE_WORD} - set(LEADS[:3])
    scales = sum(word in SPEED_WORDS or word in GAIN_WORDS for word in sure)
    return SCALE_EVIDENCE * scales + NAME_EVIDENCE * (len(sure) - scales)


def look_upright(image: NDArray[np.uint8]) -> tuple[Canvas, NDArray[np.float32], float]:
    """An upright page as the leads network sees it, looked at closer where its rows are too near or far.

    Args:
        image: (rows, cols, 3).

    Returns:
        The canvas, (13, rows, cols) class probabilities on it, and the layout evidence, nats per column.
    """
    seen = _try_turn(image, 0.0, 0)
    return seen.canvas, seen.probabilities, seen.coherence


def on_canvas(words: tuple[PrintedWord, ...], canvas: Canvas) -> tuple[CanvasName, ...]:
    """Names of leads among words on the page, on the canvas."""
    places = canvas.from_page(np.array([(w.row, w.col) for w in words], float).reshape(-1, 2))
    return canvas_names(
        [(w.word, float(r), float(c), w.score) for w, (r, c) in zip(words, places, strict=True)]
    )
