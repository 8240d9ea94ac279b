"""Printed words that name a lead, a paper speed or a gain: "aVR", "25 mm/s", "10 mm/mV".

In: the page's pixels, its angle and scale. Out: `PrintedWord`s with their places. The words network (nnU-Net,
a class per word) sees the page at a fixed scale, so that letters have one size; each blob of one class
is a word. Words are evidence, not truth: the layout weighs them together with the places of the traces.
"""

from __future__ import annotations

import re

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import PrintedWord
from ecg_hough.networks.canvas import Canvas, to_canvas
from ecg_hough.networks.runtime import Network
from ecg_hough.paper import GAIN_WORDS, INVERTED_AVR, SPEED_WORDS, WORDS

WORDS_NETWORK = "words"
WORD_PX_PER_MM = 4.0
"""Scale of the picture: the smallest names, 1.8 mm high, have 7 px."""
BLOB_MM = (1.4, 4.0)
"""Least and greatest width of a word's label, which lies in the word's middle."""
BLOB_SHARE = 0.7
"""Width of the label as a share of the word's, between those limits."""
STRIDE = 32
"""Rows and columns of the picture are multiples of it."""
PIXELS_MAX = 3_000_000
"""Larger pictures are those of pages whose scale is not known: they are reduced."""
WORD_MIN = 0.55
"""Share of a word's pixels' probability that its class must hold. Of 40 rendered pages' words 98% have more;
of the blobs that are no words a quarter has less, and most others lie where no name can be."""
BLOB_MIN_PX = 10
"""Fewest pixels (of the network's half resolution) of a word, 2.5 mm²: true ones have 17 and more, half of
the blobs that are no words have fewer."""

_NUMBER = r"(?<![\d.,])(\d+(?:[.,]\d+)?)"
_LEAD = re.compile(
    r"(?<![\w.\-+/])(?P<minus>[-−–])?(?:(?P<limb>aV[RLF])|[VC](?P<chest>[1-6])|D?(?P<roman>I{1,3}))(?![\w\-+/%])",
    re.IGNORECASE,
)
_SPEED = re.compile(_NUMBER + r"\s*mm\s*/\s*s(?:ec)?\b", re.IGNORECASE)
_GAIN = re.compile(_NUMBER + r"\s*(?P<unit>[mc]m)\s*/\s*mV\b", re.IGNORECASE)


def words_in(text: str) -> list[tuple[str, int, int]]:
    """The known words in a printed text, and where each begins and ends: (word, first, behind last).

    Capitals do not matter to leads ("AVR", "DII"), and a gain may be stated in centimetres.
    """
    found = []
    for match in _LEAD.finditer(text):
        if match["limb"]:
            lead = "aV" + match["limb"][2].upper()
        else:
            lead = f"V{match['chest']}" if match["chest"] else match["roman"].upper()
        if match["minus"]:
            if lead != "aVR":
                continue
            lead = INVERTED_AVR
        found.append((lead, match.start(), match.end()))
    for pattern, values in ((_SPEED, SPEED_WORDS), (_GAIN, GAIN_WORDS)):
        for match in pattern.finditer(text):
            number = float(match[1].replace(",", "."))
            if pattern is _GAIN and match["unit"].lower() == "cm":
                number *= 10.0
            found += [(word, *match.span()) for word, value in values.items() if value == number]
    return sorted(found, key=lambda word: word[1])


def word_picture(image: NDArray[np.uint8], angle_deg: float, px_per_mm: float) -> Canvas:
    """The page upright at `WORD_PX_PER_MM`, cut to the page, sides multiples of `STRIDE`.

    Args:
        image: (rows, cols, 3); angle_deg: its angle, counter-clockwise; px_per_mm: its scale.
    """
    rows, cols = image.shape[:2]
    angle = np.deg2rad(abs(angle_deg))
    extent = max(rows * np.cos(angle) + cols * np.sin(angle), cols * np.cos(angle) + rows * np.sin(angle))
    scale = min(WORD_PX_PER_MM / px_per_mm, float(np.sqrt(PIXELS_MAX / (rows * cols))))
    side = max(STRIDE, round(extent * scale / STRIDE) * STRIDE)
    canvas = to_canvas(image, angle_deg, side)
    cuts = []
    for axis in (1, 0):
        there = np.flatnonzero(canvas.covered.any(axis=axis))
        n = -(-(int(there[-1]) + 1 - int(there[0])) // STRIDE) * STRIDE
        first = min(int(there[0]), side - n)
        cuts.append(slice(first, first + n))
    matrix = canvas.matrix.copy()
    matrix[:, 2] -= [c.start for c in cuts]
    where = tuple(cuts)
    return Canvas(canvas.image[where], matrix, canvas.covered[where])


def find_words(
    image: NDArray[np.uint8], angle_deg: float, px_per_mm: float, network: Network
) -> tuple[PrintedWord, ...]:
    """Find the known words on a page that is upright up to its small angle.

    Args:
        image: (rows, cols, 3); angle_deg: its angle, counter-clockwise; px_per_mm: its scale, within 20%.
    """
    picture = word_picture(image, angle_deg, px_per_mm)
    pixels = picture.image.astype(np.float32).transpose(2, 0, 1)[None] / 255.0
    logits = network.run(pixels, few_shapes=False)[0]
    zoom = picture.image.shape[0] / logits.shape[1]
    out = []
    for word, row, col, score in blobs(logits):
        place = picture.to_page((np.array([row, col]) + 0.5) * zoom - 0.5)
        out.append(PrintedWord(word, float(place[0]), float(place[1]), score))
    return tuple(out)


def blobs(logits: NDArray[np.float32]) -> list[tuple[str, float, float, float]]:
    """Words in the network's logits (1 + len(WORDS), rows, cols): word, row, col, score.

    Touching pixels that are no background are one word; its name is the class that holds most of them.
    """
    text = (logits[1:].max(axis=0) > logits[0]).astype(np.uint8)
    n, labels, stats, centres = cv2.connectedComponentsWithStats(text, connectivity=8)
    at = np.flatnonzero(labels)
    label = labels.ravel()[at]
    part = logits.reshape(len(logits), -1)[:, at]
    part = np.exp(part - part.max(axis=0))
    part /= part.sum(axis=0)
    out = []
    mass = np.stack([np.bincount(label, plane, minlength=n) for plane in part[1:]])
    for k in range(1, n):
        size = int(stats[k, cv2.CC_STAT_AREA])
        best = int(mass[:, k].argmax())
        score = float(mass[best, k]) / size
        if size >= BLOB_MIN_PX and score >= WORD_MIN:
            out.append((WORDS[best], float(centres[k][1]), float(centres[k][0]), score))
    return out
