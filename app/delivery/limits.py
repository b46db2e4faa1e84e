"""Keeping text within limits: what comes from events is tamed before anybody formats it.

Lengths are counted in UTF-16 units, as services written in JavaScript and Java count them; so an
emoji at the limit never makes a text too long, whichever way it is counted.
"""

import re
import unicodedata

import msgspec

from app.core.notices import Notice

LEAF_LENGTH = 300
"""No single string of a notice is shown longer than this."""

LIST_LENGTH = 50

ELLIPSIS = "…"

_DROPPED = {"Cc", "Cs"}  # control characters, halves of surrogate pairs
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")  # would show a text backwards
_UNFINISHED = re.compile(r"(?:&[#\w]{0,8}|<[^<>]*)\Z")


def length(text: str) -> int:
    """UTF-16 units."""
    return len(text) + sum(char > "\uffff" for char in text)


def cut(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis, at most `most` long."""
    if length(text) <= most:
        return text
    kept = text[: max(0, most - 1)]
    while kept and length(kept) > most - 1:
        kept = kept[: -max(1, (length(kept) - most + 2) // 2)]
    return (kept + ELLIPSIS)[:most]


def cut_escaped(text: str, most: int) -> str:
    """As `cut`, without leaving half an escape (`&am`) or half a link or mention (`<!subte`)."""
    if length(text) <= most:
        return text
    kept = cut(text, most).removesuffix(ELLIPSIS)
    return _UNFINISHED.sub("", kept) + ELLIPSIS


def cut_lines(text: str, most: int) -> str:
    """Leaves out whole lines from the end; cuts within a line only where it is the first."""
    if length(text) <= most:
        return text
    first, *lines = text.split("\n")
    kept = cut_escaped(first, most)
    for line in lines:
        if length(kept) + length(line) + 3 > most:
            return kept if length(kept) + 2 > most else f"{kept}\n{ELLIPSIS}"
        kept = f"{kept}\n{line}"
    return kept


def plain(text: str, most: int = LEAF_LENGTH) -> str:
    """One line without control characters, at most `most` long."""
    text = _BIDI.sub("", text[: 4 * most + 100])
    text = "".join(
        " " if char in "\n\r\t\v\f\u2028\u2029" else char
        for char in text
        if char in "\n\r\t\v\f" or unicodedata.category(char) not in _DROPPED
    )
    return cut(text, most)


def tamed(notice: Notice) -> Notice:
    """The notice with every string made plain and every list bounded."""
    return msgspec.convert(_tamed(msgspec.to_builtins(notice)), Notice)


def _tamed(value: object) -> object:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {key: _tamed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_tamed(item) for item in value[:LIST_LENGTH]]
    return value
