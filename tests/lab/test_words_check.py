"""Counting of read words: what is found, mistaken and made up on rendered pages."""

from __future__ import annotations

import pytest

from ecg_hough.elements import PrintedWord
from ecg_hough.networks import words_net as words
from ecg_lab import words_check
from ecg_lab.words_check import summary_table


@pytest.mark.slow
def test_words_are_counted_where_they_are_printed(monkeypatch):
    pages = []

    def perfect(image, angle, scale, network):
        return tuple(
            PrintedWord(w.word, float(w.corners[:, 0].mean()), float(w.corners[:, 1].mean()), 1.0)
            for w in pages[-1].words
            if words_check._in_picture(w.corners, image.shape)
        )

    draw = words_check.render_choice

    def kept(*args):
        pages.append(draw(*args))
        return pages[-1]

    monkeypatch.setattr(words_check, "render_choice", kept)
    monkeypatch.setattr(words_check, "find_words", perfect)
    counts = words_check.check_words(2, 3)
    for count in counts.values():
        assert count["read"] == count["printed"]
        assert count["misread"] == count["made up"] == 0
    assert sum(count["printed"] for count in counts.values()) > 5

    def wrong(*args):
        found = perfect(*args)
        return (
            *(PrintedWord("V9", w.row, w.col, 1.0) for w in found),
            PrintedWord(words.WORDS[0], -99, 0, 1.0),
        )

    monkeypatch.setattr(words_check, "find_words", wrong)
    counts = words_check.check_words(2, 3)
    assert counts["leads"]["read"] == counts["scales"]["read"] == 0
    assert counts["leads"]["misread"] == counts["leads"]["printed"]
    assert counts["leads"]["made up"] >= 2
    assert summary_table(counts).row_count == 2
