"""Progress yields all items, on a terminal and in a log."""

import logging

from recam.runtime.progress import progress


def test_everything_is_passed_on_in_order():
    items = progress(iter("abc"), total=3, what="letters", unit="letter")
    assert list(items) == ["a", "b", "c"]


def test_a_log_gets_lines_with_rate_and_time_left(monkeypatch, caplog):
    monkeypatch.setattr("recam.runtime.progress.SECONDS_BETWEEN_LINES", -1)  # a line for every item
    with caplog.at_level(logging.INFO, logger="recam.runtime.progress"):
        list(progress(iter("ab"), total=4, what="letters", unit="letter"))
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("letters: 1 of 4, ")
    assert second.startswith("letters: 2 of 4, ")
    assert "letter/s" in second
    assert second.endswith("s left")
