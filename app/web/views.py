"""The API's documents, made of the values of `slo.status` and `slo.alerts`. Pure.

Times are ISO 8601 in UTC, which sort as text; durations seconds, ratios 0 to 1.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from app.core.events import parse_timestamp
from app.web.compat import kokino_fields

Document = dict[str, Any]
Documents = Mapping[str, Document]

STATES: dict[str, frozenset[str]] = {
    "open": frozenset({"firing", "acknowledged"}),
    "firing": frozenset({"firing"}),
    "acknowledged": frozenset({"acknowledged"}),
    "resolved": frozenset({"resolved"}),
}
"""What `?state=` may be, and the states of incidents that it stands for."""

Change = Literal["hotfix", "feature"]
CHANGES: tuple[Change, ...] = ("hotfix", "feature")

STALE_MS = 300_000
"""A status older than this says nothing about whether to deploy."""


class Standing(NamedTuple):
    """How the worker is: whether it judges, and whether it sees what it judges."""

    ready: bool
    blind: bool


def ms_of(time: str) -> int:
    """A document's time as milliseconds since the epoch."""
    return parse_timestamp(time)


def known(slos: Documents, order: Iterable[str]) -> dict[str, Document]:
    """The configured SLOs that have a status, in their order; a topic remembers others as well."""
    return {slo: slos[slo] for slo in order if slo in slos}


def slo_status(slos: Documents, order: Sequence[str], standing: Standing) -> Document:
    """`GET /api/slo/status`: Kokino's fields, and every SLO."""
    shown = known(slos, order)
    times = [slo["judgedAt"] for slo in shown.values()]
    lags = [lag for slo in shown.values() if (lag := slo.get("lag_s")) is not None]
    as_of = min(times, default=None)
    judged = len(shown) == len(order) and all(slo["judged"] for slo in shown.values())
    return {
        **kokino_fields(shown, as_of),
        "asOf": as_of,
        "lag_s": max(lags, default=None),
        "ready": standing.ready and judged,
        "blind": standing.blind or any(slo.get("blind", False) for slo in shown.values()),
        "slos": list(shown.values()),
    }


def incident_list(incidents: Documents, state: str | None = None) -> Document:
    """`GET /api/incidents`: newest first. Raises KeyError for a state that is none."""
    wanted = None if state is None else STATES[state]
    found = [one for one in incidents.values() if wanted is None or one["state"] in wanted]
    return {"incidents": sorted(found, key=_opened, reverse=True)}


def _opened(incident: Document) -> tuple[str, str]:
    return incident["openedAt"], incident["key"]


def why_unknown(
    slos: Documents, order: Sequence[str], *, now: int, stale_ms: int | None
) -> str | None:
    """Why nobody can tell whether deployments are frozen; None where it is known.

    `stale_ms` None: data on its own time (a replay) is never too old.
    """
    shown = known(slos, order)
    if missing := [slo for slo in order if slo not in shown]:
        return f"there is no status of {', '.join(missing)}"
    if unjudged := [name for name, slo in shown.items() if not slo["judged"]]:
        return f"not judged yet, since the first catch-up goes on: {', '.join(unjudged)}"
    for name, slo in shown.items():
        if stale_ms is not None and now - ms_of(slo["judgedAt"]) > stale_ms:
            return f"the status of {name} is of {slo['judgedAt']}, which is too long ago"
    return None


def gate(
    slos: Documents, incidents: Documents, order: Sequence[str], change: Change, now: int
) -> Document:
    """`GET /api/slo/gate`: whether this kind of change may be deployed now (ms)."""
    shown = known(slos, order)
    frozen = {name: slo for name, slo in shown.items() if slo["frozen"]}
    since = [time for slo in frozen.values() if (time := _frozen_since(slo, incidents))]
    overrides = [_override(slo, incidents, now) for slo in frozen.values()]
    override = min(filter(None, overrides), key=lambda one: str(one["until"]), default=None)
    open_ = bool(frozen) and None not in overrides
    return {
        "frozen": bool(frozen),
        "change": change,
        "allowed": not frozen or change == "hotfix" or open_,
        "slos": list(frozen),
        "since": min(since, default=None),
        "override": override if open_ else None,
        "due": [due for slo in shown.values() for due in _due(slo)],
    }


def _override(slo: Document, incidents: Documents, now: int) -> Document | None:
    """The override in force; one of an earlier freeze counts no more."""
    newest: Document | None = next(reversed(slo.get("overrides", [])), None)
    since = _frozen_since(slo, incidents)
    if newest is None or now >= ms_of(newest["until"]):
        return None
    return newest if since is None or newest["at"] >= since else None


def _frozen_since(slo: Document, incidents: Documents) -> str | None:
    """Since when: of the freeze itself, else of the zero-tolerance incident that is open."""
    since: str | None = slo["freeze"]["since"]
    return since or incidents.get(slo["incident"] or "", {}).get("openedAt")


def _due(slo: Document) -> list[Document]:
    """What a freeze asks for: all of it while it lasts, afterwards what is still to be done."""
    return [
        {**due, "slo": slo["id"]}
        for due in slo["freeze"]["due"]
        if slo["frozen"] or due["doneAt"] is None
    ]
