"""Notices in the terminal, as they would be sent: for demo, replay, and missing secrets.

On a terminal with colour; in a pipe the same lines without it.
"""

from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from app.core.notices import Notice
from app.delivery import pagerduty, slack
from app.delivery.limits import tamed
from app.delivery.wording import PLAIN, Addresses, Wording, destination_name

_COLOURS = {"🔴": "red", "🟠": "yellow", "🚨": "bold red", "🟢": "green", "🧊": "cyan"}
_BAR = "▌"


def show(
    console: Console, notice: Notice, wording: Wording, addresses: Addresses, *, why: str = ""
) -> None:
    """Print one notice; `why` says why it is printed and not sent."""
    for line in lines(notice, wording, addresses, why=why):
        console.print(line, soft_wrap=True)


def lines(notice: Notice, wording: Wording, addresses: Addresses, *, why: str = "") -> list[Text]:
    """A notice as lines. PagerDuty's are few: the same incident is told in its channel in full."""
    tame = tamed(notice)
    colour = _COLOURS.get(slack.mark(notice), "white")
    more: dict[str, object] = {"conversation_count": len(notice.story.conversations)}

    def part(name: str) -> str:
        return wording.part(name, tame, PLAIN, addresses, **more)

    title = " ".join(part("title").split())
    head = Text.assemble((f"{slack.mark(notice)} {title}", f"bold {colour}"))
    head.append(f"  → {_whereto(notice)}", style="dim")
    if why:
        head.append(f"  ({why})", style="dim italic")
    body = (
        _pager_body(notice) if notice.destination.startswith("pagerduty:") else _body(notice, part)
    )
    return [head, *(_barred(line, colour) for line in body if line), Text("")]


def _whereto(notice: Notice) -> str:
    name = destination_name(tamed(notice).destination)
    if not notice.destination.startswith("pagerduty:"):
        return name
    return f"{name}: {pagerduty.action(notice) or 'nothing'}"


def _pager_body(notice: Notice) -> list[str]:
    return [f"dedup key {pagerduty.dedup_key(tamed(notice))}"]


def _body(notice: Notice, part: Callable[[str], str]) -> list[str]:
    told = part("lead").split("\n")
    for name in slack.SECTIONS[notice.kind]:
        if name == "fields":
            told.append(
                " · ".join(
                    _field(part(field)) for field in slack.FIELDS[notice.kind] if part(field)
                )
            )
        else:
            told += part(name).split("\n")
    return [*told, *part("context").split("\n")]


def _field(text: str) -> str:
    name, _, value = text.partition("\n")
    return f"{name.lower()}: {value}"


def _barred(line: str, colour: str) -> Text:
    return Text.assemble((_BAR, colour), f" {line}")
