"""Notices as Slack incoming-webhook messages: Block Kit, with a text for where blocks do not show.

Limits: https://docs.slack.dev/reference/block-kit/blocks and, for all text together, what the
service was seen to accept (`msg_blocks_too_long` comes at about 11 000 characters). Each part has
a share of its own, so that no hostile string takes the place of the facts.
"""

from typing import Any

import msgspec

from app.core.notices import Kind, Notice
from app.delivery.limits import cut_escaped, cut_lines, tamed
from app.delivery.wording import SLACK, Addresses, Wording

MOST_TEXT = 9000  # all text of a message
MOST_BLOCKS = 50
MOST_SECTION = 3000
MOST_FIELDS = 10
MOST_FIELD = 2000
MOST_HEADER = 150

SHARES = {  # characters of each part; together, with five fields, below MOST_TEXT
    "title": 140,  # the mark before it makes 150 at most
    "lead": 900,
    "findings": 1500,
    "field": 240,
    "contributors": 1200,
    "conversations": 600,
    "examples": 1500,
    "due": 500,
    "links": 700,
    "context": 300,
    "text": 300,
}

FIELDS: dict[Kind, tuple[str, ...]] = {
    "trigger": ("budget", "objective", "owner", "next"),
    "update": ("budget", "objective", "owner", "next", "since"),
    "downgrade": ("budget", "objective", "owner", "next", "since"),
    "escalate": ("budget", "objective", "owner", "next", "since"),
    "reminder": ("budget", "objective", "owner", "next", "since"),
    "ack": ("owner", "since"),
    "resolve": ("budget", "objective", "owner"),
    "freeze": ("budget", "objective", "owner"),
    "unfreeze": ("budget", "objective", "owner"),
    "test": (),
}
_EVIDENCE = ("contributors", "conversations", "examples")
SECTIONS: dict[Kind, tuple[str, ...]] = {  # after the lead and before the links
    "trigger": ("findings", "fields", *_EVIDENCE),
    "update": ("findings", "fields", *_EVIDENCE),
    "downgrade": ("findings", "fields", *_EVIDENCE),
    "escalate": ("findings", "fields", *_EVIDENCE),
    "reminder": ("findings", "fields", "due", "contributors", "conversations"),
    "ack": ("fields",),
    "resolve": ("fields", "conversations"),
    "freeze": ("fields", "due", "contributors"),
    "unfreeze": ("fields", "due"),
    "test": (),
}

MARKS: dict[Kind, str] = {  # what shows the state at a glance; a burning one has its severity's
    "escalate": "🚨",
    "ack": "👀",
    "resolve": "🟢",
    "freeze": "🧊",
    "unfreeze": "🟢",
    "test": "🧪",
}
SEVERITY_MARKS = {"P1": "🔴", "P2": "🟠"}


def mark(notice: Notice) -> str:
    """The emoji in front of a notice's title."""
    if notice.kind == "reminder" and "-freeze-" in notice.incident:
        return MARKS["freeze"]
    return MARKS.get(notice.kind, SEVERITY_MARKS[notice.severity])


class Letter(msgspec.Struct, frozen=True):
    """A tamed notice together with what writes it."""

    notice: Notice
    wording: Wording
    addresses: Addresses
    more: dict[str, object]

    def part(self, name: str) -> str:
        """One part within its share; empty where it has nothing to say."""
        text = self.wording.part(name, self.notice, SLACK, self.addresses, **self.more)
        return cut_lines(text, SHARES.get(name, SHARES["field"]))


def _letter(
    notice: Notice, wording: Wording, addresses: Addresses, *, possible_duplicate: bool
) -> Letter:
    more: dict[str, object] = {
        "possible_duplicate": possible_duplicate,
        "conversation_count": len(notice.story.conversations),
    }
    return Letter(tamed(notice), wording, addresses, more)


def message(
    notice: Notice, wording: Wording, addresses: Addresses, *, possible_duplicate: bool = False
) -> dict[str, Any]:
    """The JSON for an incoming webhook: valid and within limits, whatever the notice says."""
    letter = _letter(notice, wording, addresses, possible_duplicate=possible_duplicate)
    title = f"{mark(notice)} {_single(letter.part('title')) or notice.severity}"
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": True}}
    ]
    blocks += _section(letter.part("lead"))
    for name in SECTIONS[notice.kind]:
        blocks += _fields(letter) if name == "fields" else _section(letter.part(name))
    blocks += _section(letter.part("links") if notice.kind != "test" else "")
    blocks += _context(letter.part("context"))
    return {"text": _alone(letter, title), "blocks": blocks, **_QUIET}


_QUIET = {"link_names": False, "unfurl_links": False, "unfurl_media": False}


def fallback(
    notice: Notice, wording: Wording, addresses: Addresses, *, possible_duplicate: bool = False
) -> dict[str, Any]:
    """The same as text alone, for when Slack refuses the blocks."""
    letter = _letter(notice, wording, addresses, possible_duplicate=possible_duplicate)
    parts = [letter.part(name) for name in ("lead", "findings", "due", "links", "context")]
    title = f"{mark(notice)} *{_single(letter.part('title'))}*"
    text = "\n".join(part for part in (title, *parts) if part)
    return {"text": cut_lines(text, MOST_SECTION), **_QUIET}


def _alone(letter: Letter, title: str) -> str:
    """What a notification on a phone shows: it addresses nobody, the blocks do."""
    unaddressed = Addresses(page_url=letter.addresses.page_url)
    lead = letter.wording.part("lead", letter.notice, SLACK, unaddressed, **letter.more)
    return cut_escaped(f"{title}. {lead}" if lead else title, SHARES["text"])


def _single(text: str) -> str:
    return cut_escaped(" ".join(text.split("\n")), SHARES["title"])


def _section(text: str) -> list[dict[str, Any]]:
    return [{"type": "section", "text": _mrkdwn(text)}] if text else []


def _fields(letter: Letter) -> list[dict[str, Any]]:
    told = [text for name in FIELDS[letter.notice.kind] if (text := letter.part(name))]
    return [{"type": "section", "fields": [_mrkdwn(text) for text in told]}] if told else []


def _context(text: str) -> list[dict[str, Any]]:
    return [{"type": "context", "elements": [_mrkdwn(text)]}] if text else []


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}
