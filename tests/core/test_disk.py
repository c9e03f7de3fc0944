"""Errors of the operating system become one sentence each."""

import errno

import pytest

from recam.core.disk import REASONS, disk_sentence


@pytest.mark.parametrize("number", sorted(REASONS))
def test_a_known_error_names_the_file_and_the_remedy(number):
    error = OSError(number, "reason", "results/a.pt")
    assert disk_sentence(error) == f"results/a.pt: {REASONS[number]}"
    assert ";" in REASONS[number]


def test_an_unknown_error_has_the_words_of_the_system():
    words = disk_sentence(OSError(errno.EXDEV, "reason", "a"))
    assert words == "a: Invalid cross-device link; remove the cause"


def test_a_long_name_is_cut():
    words = disk_sentence(OSError(errno.ENAMETOOLONG, "reason", 5000 * "a"))
    assert words.startswith(100 * "a" + "...: ")
