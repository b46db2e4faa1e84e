"""Many notices in one message: what a channel is told when more comes than it can take.

Slack takes about one message a second; ten thousand would take three hours, and nobody would read
them. So what waits is told together, the worst first, by one message that says what it holds.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from markupsafe import escape

from app.core.notices import Notice, Severity, headline_alone
from app.delivery import slack
from app.delivery.drafts import Draft
from app.delivery.limits import cut_escaped, length, tamed
from app.delivery.wording import SLACK, Addresses, Wording

_MOST_TITLE = 240
_MOST_LINK = 600
_MOST_IN_SECTION = 2800  # of Slack's 3000
_MOST_LINES = 5000  # all of them; with title, lead and links below Slack's 9000
_MOST_ALONE = 1500  # in a message of text alone, of 3000


def notice(destination: str, severity: Severity, now: int) -> Notice:
    """The notice that stands for a group; what it holds is found when it is sent."""
    key = f"group-{datetime.fromtimestamp(now / 1000, UTC):%Y%m%dT%H%M%S}{now % 1000:03}Z"
    return Notice(
        id=f"{key}@{destination}",
        destination=destination,
        kind="group",
        at=now,
        slo="",
        incident=key,
        severity=severity,
        rules=(),
        story=headline_alone("Many notices at once"),
    )


def message(draft: Draft, wording: Wording, addresses: Addresses) -> dict[str, Any]:
    """The JSON for Slack: how many of what, then the worst in a line each."""
    letter = slack.letter(
        draft.notice,
        wording,
        addresses,
        possible_duplicate=draft.possible_duplicate,
        grouped=summary(draft.grouped),
        grouped_count=len(draft.grouped),
    )
    title, lead = slack.title(letter), letter.part("lead")
    if draft.text_alone:
        lines = _lines(draft.grouped, wording, addresses, _MOST_ALONE)
        return {"text": "\n".join([f"*{title}*", lead, *lines]), **slack.QUIET}
    lines = _lines(draft.grouped, wording, addresses, _MOST_LINES)
    blocks = [
        slack.header(title),
        *slack.section(lead),
        *(block for text in _pieces(lines) for block in slack.section(text)),
        *slack.section(letter.part("links")),
        *slack.context(letter.part("context")),
    ]
    return {"text": title, "blocks": blocks, **slack.QUIET}


def summary(notices: Sequence[Notice]) -> str:
    """How many of each severity and kind: "12 P1 trigger, 9,988 P2 trigger"."""
    counts = Counter((one.severity, one.kind) for one in notices)
    return ", ".join(
        f"{number:,} {severity} {kind}"
        for (severity, kind), number in sorted(counts.items(), key=lambda c: (c[0][0], -c[1]))
    )


def _lines(
    notices: Sequence[Notice], wording: Wording, addresses: Addresses, most: int
) -> list[str]:
    """A line for each as long as they fit, then how many more there are."""
    lines: list[str] = []
    left = most
    for one in notices:
        line = _line(one, wording, addresses)
        left -= length(line) + 1
        if left < 0:
            break
        lines.append(line)
    more = len(notices) - len(lines)
    return [*lines, f"… and {more:,} more"] if more else lines


def _line(one: Notice, wording: Wording, addresses: Addresses) -> str:
    tame = tamed(one)
    title = " ".join(wording.part("title", tame, SLACK, addresses).split())
    told = f"{slack.mark(one)} {cut_escaped(title, _MOST_TITLE)}"
    link = SLACK.link(escape(addresses.incident(tame)), escape(tame.incident[:100]))
    return f"{told} · {SLACK.finish(str(link))}" if length(link) <= _MOST_LINK else told


def _pieces(lines: Sequence[str]) -> Iterator[str]:
    """The lines in texts that a section can hold."""
    piece: list[str] = []
    for line in lines:
        if sum(length(one) + 1 for one in [*piece, line]) > _MOST_IN_SECTION:
            yield "\n".join(piece)
            piece = []
        piece.append(line)
    yield "\n".join(piece)
