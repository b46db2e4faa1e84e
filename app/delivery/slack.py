"""Notices as Slack messages: Block Kit, with a text for where blocks do not show.

Limits: https://docs.slack.dev/reference/block-kit/blocks and, for all text together, what the
service was seen to accept (`msg_blocks_too_long` comes at about 11 000 characters). Each part has
a share of its own, so that no hostile string takes the place of the facts.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from markupsafe import escape

from app.core.notices import Kind, Notice
from app.delivery.limits import cut_escaped, cut_lines, tamed
from app.delivery.wording import SLACK, Addresses, Wording

MOST_TEXT = 9000  # all text of a message
MOST_BLOCKS = 50
MOST_SECTION = 3000
MOST_FIELDS = 10
MOST_FIELD = 2000
MOST_HEADER = 150
MOST_VALUE = 2000

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
    "override": ("budget", "owner"),
    "test": (),
    "group": (),
    "heartbeat": (),
}
EVIDENCE = ("contributors", "conversations", "examples")
SECTIONS: dict[Kind, tuple[str, ...]] = {  # after the lead and before the links
    "trigger": ("findings", "fields", *EVIDENCE),
    "update": ("findings", "fields", *EVIDENCE),
    "downgrade": ("findings", "fields", *EVIDENCE),
    "escalate": ("findings", "fields", *EVIDENCE),
    "reminder": ("findings", "fields", "due", "contributors", "conversations"),
    "ack": ("fields",),
    "resolve": ("fields", "conversations"),
    "freeze": ("fields", "due", "contributors"),
    "unfreeze": ("fields", "due"),
    "override": ("fields", "due"),
    "test": (),
    "group": (),
    "heartbeat": (),
}

BUTTONED: frozenset[Kind] = frozenset(
    {"trigger", "update", "downgrade", "escalate", "reminder", "ack"}
)
"""Notices of an incident that is still open: it can be acknowledged and silenced."""

MARKS: dict[Kind, str] = {  # what shows the state at a glance; a burning one has its severity's
    "escalate": "🚨",
    "ack": "👀",
    "resolve": "🟢",
    "freeze": "🧊",
    "unfreeze": "🟢",
    "override": "⏩",
    "test": "🧪",
    "group": "📚",
    "heartbeat": "💓",
}
SEVERITY_MARKS = {"P1": "🔴", "P2": "🟠"}


def mark(notice: Notice) -> str:
    """The emoji in front of a notice's title."""
    if notice.kind == "reminder" and of_freeze(notice):
        return MARKS["freeze"]
    return MARKS.get(notice.kind, SEVERITY_MARKS[notice.severity])


def of_freeze(notice: Notice) -> bool:
    """It is about a freeze, not about an incident."""
    return "-freeze-" in notice.incident


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


def letter(
    notice: Notice,
    wording: Wording,
    addresses: Addresses,
    *,
    possible_duplicate: bool,
    **more: object,
) -> Letter:
    """The notice made harmless, together with what writes it; `more` is for its templates."""
    known: dict[str, object] = {
        "possible_duplicate": possible_duplicate,
        "conversation_count": len(notice.story.conversations),
    }
    return Letter(tamed(notice), wording, addresses, known | more)


def message(
    notice: Notice,
    wording: Wording,
    addresses: Addresses,
    *,
    possible_duplicate: bool = False,
    buttons: bool = False,
) -> dict[str, Any]:
    """The JSON for an incoming webhook: valid and within limits, whatever the notice says."""
    written = letter(notice, wording, addresses, possible_duplicate=possible_duplicate)
    headline = title(written)
    blocks = [
        header(headline),
        *section(written.part("lead")),
        *body(written, SECTIONS[notice.kind]),
        *(to_press(notice, acknowledged=notice.kind == "ack") if buttons else []),
        *context(written.part("context")),
    ]
    return {"text": _alone(written, headline), "blocks": blocks, **QUIET}


QUIET = {"link_names": False, "unfurl_links": False, "unfurl_media": False}


def fallback(
    notice: Notice, wording: Wording, addresses: Addresses, *, possible_duplicate: bool = False
) -> dict[str, Any]:
    """The same as text alone, for when Slack refuses the blocks."""
    written = letter(notice, wording, addresses, possible_duplicate=possible_duplicate)
    parts = [written.part(name) for name in ("lead", "findings", "due", "links", "context")]
    headline = f"{mark(notice)} *{_single(written.part('title'))}*"
    text = "\n".join(part for part in (headline, *parts) if part)
    return {"text": cut_lines(text, MOST_SECTION), **QUIET}


def title(written: Letter) -> str:
    """The headline with its mark, at most 150 long."""
    notice = written.notice
    return f"{mark(notice)} {_single(written.part('title')) or notice.severity}"


def body(written: Letter, sections: Sequence[str]) -> list[dict[str, Any]]:
    """The blocks between the lead and the context."""
    blocks: list[dict[str, Any]] = []
    for name in sections:
        blocks += _fields(written) if name == "fields" else section(written.part(name))
    return blocks + section(written.part("links") if written.notice.kind != "test" else "")


def to_press(notice: Notice, *, acknowledged: bool) -> list[dict[str, Any]]:
    """Buttons for an incident that is open; their value is its key."""
    key = notice.incident
    if notice.kind not in BUTTONED or of_freeze(notice) or not key or not key.isprintable():
        return []
    offered = [_button("silence", "Silence", key)]
    if not acknowledged:
        offered = [_button("ack", "Acknowledge", key), *offered]
    return [{"type": "actions", "block_id": "incident", "elements": offered}]


def _button(action: str, text: str, key: str) -> dict[str, Any]:
    shown = {"type": "plain_text", "text": text}
    return {"type": "button", "action_id": action, "text": shown, "value": key[:MOST_VALUE]}


def escaped(text: str) -> str:
    """Text that stands in a message as it is."""
    return SLACK.finish(str(escape(text)))


def _alone(written: Letter, headline: str) -> str:
    """What a notification on a phone shows: it addresses nobody, the blocks do."""
    unaddressed = Addresses(page_url=written.addresses.page_url)
    lead = written.wording.part("lead", written.notice, SLACK, unaddressed, **written.more)
    return cut_escaped(f"{headline}. {lead}" if lead else headline, SHARES["text"])


def _single(text: str) -> str:
    return cut_escaped(" ".join(text.split("\n")), SHARES["title"])


def header(headline: str) -> dict[str, Any]:
    """The block with the headline."""
    return {"type": "header", "text": {"type": "plain_text", "text": headline, "emoji": True}}


def section(text: str) -> list[dict[str, Any]]:
    """A block of text; none where there is none."""
    return [{"type": "section", "text": _mrkdwn(text)}] if text else []


def _fields(written: Letter) -> list[dict[str, Any]]:
    told = [text for name in FIELDS[written.notice.kind] if (text := written.part(name))]
    return [{"type": "section", "fields": [_mrkdwn(text) for text in told]}] if told else []


def context(text: str) -> list[dict[str, Any]]:
    """The small print; none where there is none."""
    return [{"type": "context", "elements": [_mrkdwn(text)]}] if text else []


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}
