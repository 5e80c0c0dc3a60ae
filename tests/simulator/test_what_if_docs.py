"""The page on what-ifs shows what its examples print."""

from __future__ import annotations

from support.pages import printed_and_shown


def test_the_examples_print_what_the_page_says() -> None:
    printed, shown = printed_and_shown("what-if.md")
    assert printed == shown
