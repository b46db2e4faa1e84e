"""Two policies side by side: which incidents only one of them has, and how the others differ."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from app.backtest.running import Outcome
from app.core.notices import Notice
from app.core.status import Document, iso

What = Literal["only before", "only after", "differs"]


class Difference(NamedTuple):
    """One incident that two policies do not see alike; keys None where there is none."""

    slo: str
    at: str  # the earlier opening, ISO 8601
    what: What
    before: str | None
    after: str | None
    details: tuple[str, ...]


class _Told(NamedTuple):
    """An incident with what was told of it."""

    incident: Document
    notices: tuple[tuple[Any, ...], ...]


def differences(before: Outcome, after: Outcome) -> list[Difference]:
    """What the second policy sees otherwise, by time."""
    found = [*_incidents(before, after), *_freezes(before, after)]
    return sorted(found, key=lambda one: (one.at, one.slo, one.before or "", one.after or ""))


def _incidents(before: Outcome, after: Outcome) -> Iterator[Difference]:
    left = [_Told(one, _notices_of(one["key"], after.notices)) for one in after.incidents]
    for incident in before.incidents:
        mine = _Told(incident, _notices_of(incident["key"], before.notices))
        match = next((other for other in left if _overlap(incident, other.incident)), None)
        if match is None:
            yield _alone(incident, "only before")
            continue
        left.remove(match)
        if details := tuple(_details(mine, match)):
            at = min(incident["openedAt"], match.incident["openedAt"])
            keys = incident["key"], match.incident["key"]
            yield Difference(incident["slo"], at, "differs", *keys, details)
    for other in left:
        yield _alone(other.incident, "only after")


def _alone(incident: Document, what: What) -> Difference:
    key, until = incident["key"], incident["resolvedAt"] or "the end"
    detail = f"{incident['severity']}, {incident['openedAt']} to {until}"
    before, after = (key, None) if what == "only before" else (None, key)
    return Difference(incident["slo"], incident["openedAt"], what, before, after, (detail,))


def _overlap(one: Document, other: Document) -> bool:
    """The same lane, and open at the same time at least for a moment."""
    if (one["slo"], one["lane"]) != (other["slo"], other["lane"]):
        return False
    ends = [each["resolvedAt"] or "9999" for each in (one, other)]
    return bool(max(one["openedAt"], other["openedAt"]) <= min(ends))


def _details(one: _Told, other: _Told) -> Iterator[str]:
    for name in ("severity", "openedAt", "resolvedAt", "why"):
        was, now = one.incident[name], other.incident[name]
        if was != now:
            yield f"{name}: {was} → {now}"
    if one.notices != other.notices:
        only = [n for n in one.notices if n not in other.notices]
        more = [n for n in other.notices if n not in one.notices]
        yield f"told otherwise or not at all: {len(only)}; newly told: {len(more)}"


def _notices_of(key: str, notices: Sequence[Notice]) -> tuple[tuple[Any, ...], ...]:
    told = [n for n in notices if n.incident == key]
    return tuple((n.at, n.kind, n.severity, n.rules, n.destination, n.page) for n in told)


def _freezes(before: Outcome, after: Outcome) -> Iterator[Difference]:
    """Freezes are no incidents: they are compared by their beginnings and ends."""
    was, now = _frozen(before), _frozen(after)
    for slo in sorted({*was, *now}):
        if was.get(slo) != now.get(slo):
            one, other = was.get(slo, ()), now.get(slo, ())
            at = min((*one, *other))[0]
            detail = f"freezes: {_spans(one)} → {_spans(other)}"
            yield Difference(slo, at, "differs", None, None, (detail,))


def _frozen(outcome: Outcome) -> dict[str, tuple[tuple[str, str], ...]]:
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for n in outcome.notices:
        if n.kind in ("freeze", "unfreeze"):
            found[n.slo] = (*found.get(n.slo, ()), (iso(n.at) or "", n.kind))
    return found


def _spans(turns: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{kind} {at}" for at, kind in turns) or "none"
