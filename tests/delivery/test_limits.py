"""Cutting without breaking."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.limits import cut, cut_escaped, cut_lines, length, plain


@given(text=st.text(), most=st.integers(1, 40))
def test_what_is_cut_keeps_its_limit(text: str, most: int) -> None:
    for shorten in (cut, cut_escaped, cut_lines, plain):
        assert length(shorten(text, most)) <= most


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("a&amp;bcd", 6, "a…"),
        ("a&amp;bcd", 7, "a&amp;…"),
        ("see <http://a|b> now", 12, "see …"),
        ("🔥🔥🔥", 5, "🔥🔥…"),
        ("🔥🔥🔥", 4, "🔥…"),
    ],
)
def test_nothing_is_cut_in_two(text: str, most: int, kept: str) -> None:
    assert cut_escaped(text, most) == kept


def test_whole_lines_are_left_out() -> None:
    assert cut_lines("one\ntwo\nthree\nfour", 12) == "one\ntwo\n…"


def test_one_line_without_control_characters() -> None:
    assert plain("a\x00b\tc\nd\x1b[31m\u202ee\ud800") == "ab c d[31me"
