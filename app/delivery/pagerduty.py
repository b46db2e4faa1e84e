"""Notices as PagerDuty Events API v2 bodies, without the routing key (`keyed` adds it).

| notice                                       | event                                       |
|----------------------------------------------|---------------------------------------------|
| trigger, escalate, update, reminder, page    | trigger                                     |
| the same without `page`                      | none: news of what was paged go to Slack    |
| downgrade, resolve                           | resolve of that dedup key                   |
| ack                                          | acknowledge of that dedup key               |
| freeze, override, unfreeze                   | none: a freeze wakes nobody                 |
| test                                         | trigger of severity info, a key of its own  |

An update that pages is a trigger with the same dedup key: PagerDuty adds it to the open alert.
"""

import hashlib
from typing import Any, Literal

import msgspec

from app.core.notices import Kind, Notice
from app.delivery import words
from app.delivery.limits import cut, plain, tamed
from app.delivery.wording import PLAIN, Addresses, Wording

Action = Literal["trigger", "acknowledge", "resolve"]

MOST_SUMMARY = 1024
MOST_DEDUP_KEY = 255
MOST_BYTES = 512 * 1024
KEY_LENGTH = 32
SEVERITIES = {"P1": "critical", "P2": "error"}
CLIENT = "burn-rate alerter"
SOURCE = "kokino"

_ALWAYS: dict[Kind, Action] = {
    "downgrade": "resolve",
    "resolve": "resolve",
    "ack": "acknowledge",
    "test": "trigger",
}
_PAGING: frozenset[Kind] = frozenset({"trigger", "escalate", "update", "reminder"})
_SHARE = 4000  # characters of each part in words


def action(notice: Notice) -> Action | None:
    """What PagerDuty is told; None: nothing."""
    if notice.kind in _PAGING:
        return "trigger" if notice.page else None
    return _ALWAYS.get(notice.kind)


def dedup_key(notice: Notice) -> str:
    """The alert that a notice is about, at most 255 characters; longer ones end in their hash."""
    key = notice.dedup_key or notice.incident or notice.id or SOURCE
    if len(key) <= MOST_DEDUP_KEY and key.isprintable():
        return key
    digest = hashlib.sha256(key.encode(errors="replace")).hexdigest()[:32]
    return f"{plain(key, 200)}/{digest}"


def event(notice: Notice, wording: Wording, addresses: Addresses) -> dict[str, Any] | None:
    """The body of an event, without its routing key; None where nothing is sent."""
    done = action(notice)
    if done is None:
        return None
    body: dict[str, Any] = {"event_action": done, "dedup_key": dedup_key(notice)}
    if done != "trigger":
        return body
    tame = tamed(notice)
    return body | {
        "payload": _payload(notice, tame, wording, addresses),
        "client": CLIENT,
        "client_url": addresses.incident(tame),
        "links": _links(tame, addresses),
    }


def keyed(body: dict[str, Any], routing_key: str) -> bytes:
    """The request's JSON, with the routing key that is in nothing else."""
    return msgspec.json.encode({"routing_key": routing_key, **body})


def _payload(
    notice: Notice, tame: Notice, wording: Wording, addresses: Addresses
) -> dict[str, Any]:
    title = " ".join(wording.part("title", tame, PLAIN, addresses).split())
    told = title if notice.kind == "test" else f"{title}. {tame.story.headline}"
    payload = {
        "summary": cut(told, MOST_SUMMARY),
        "source": SOURCE,
        "severity": "info" if notice.kind == "test" else SEVERITIES[notice.severity],
        "component": tame.slo,
        "group": "slo",
        "class": ", ".join(tame.rules)[:200] or notice.kind,
        "custom_details": _details(notice, tame, wording, addresses),
    }
    at = words.iso(notice.at)
    return payload | {"timestamp": at} if at else payload


def _details(
    notice: Notice, tame: Notice, wording: Wording, addresses: Addresses
) -> dict[str, Any]:
    """Words first, for the phone; then the same as data, for what reads it."""
    more: dict[str, object] = {"conversation_count": len(notice.story.conversations)}
    names = ("lead", "findings", "budget", "objective", "owner", "next", "contributors", "examples")
    said = {name: cut(wording.part(name, tame, PLAIN, addresses, **more), _SHARE) for name in names}
    story = tame.story
    facts = {
        "incident": tame.incident,
        "rules": tame.rules,
        "conversations": story.conversations,
        "findings_data": story.findings,
        "budget_data": story.budget,
        "contributors_data": story.contributors,
        "examples_data": story.examples[:5],
    }
    kept = {name: value for name, value in (said | facts).items() if value}
    return {name: msgspec.to_builtins(value) for name, value in kept.items()}


def _links(notice: Notice, addresses: Addresses) -> list[dict[str, str]]:
    links = [
        (addresses.runbook(notice), "Runbook"),
        (addresses.incident(notice), "Incident"),
        (addresses.status(), "Status"),
    ]
    return [{"href": href, "text": text} for href, text in links if href]
