"""The API of what is held back or left out: silences, maintenance windows, corrections."""

import secrets
from collections.abc import Sequence

import msgspec
from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from app.config.values import Seconds
from app.core import maintenance, silences
from app.core.commands import (
    BeginMaintenance,
    BeginSilence,
    Correct,
    EndMaintenance,
    EndSilence,
    Revert,
)
from app.core.corrections import Correction
from app.core.events import MAX_LATE_MS, Refused, parse_timestamp
from app.core.maintenance import Window
from app.core.notices import Severity
from app.core.silences import Silence
from app.web import forms
from app.web.api import check_caught_up, json_answer
from app.web.orders import about, checked_why, taken
from app.web.problems import Problem
from app.web.surroundings import SURROUNDINGS, Surroundings
from app.web.views import Document, known

ALL = "all"
_SHORTEST_S = 60
_LONGEST_S = silences.LONGEST_MS // 1000

routes = web.RouteTableDef()
_seconds = TypeAdapter(Seconds)


class SilenceOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a silence: of which SLO (or "all"), how long (2h), why; the rest narrows it."""

    slo: str
    why: str
    for_: str = msgspec.field(name="for", default="")
    for_s: int | None = None  # the same in seconds
    by: str = "api"
    severity: Severity | None = None
    rule: str | None = None


class MaintenanceOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a maintenance window; `begins` is on the clock of the zone."""

    slo: str
    begins: str
    why: str
    for_: str = msgspec.field(name="for")
    by: str = "api"
    zone: str = "UTC"
    repeats: str = ""
    exclude_from_budget: bool = False


class CorrectionOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a correction: the events of an SLO from when to when, and why; ISO 8601."""

    slo: str
    from_: str = msgspec.field(name="from")
    to: str
    why: str
    by: str = "api"
    agent: str = ""
    cli_type: str = ""


class End(msgspec.Struct, frozen=True):
    """The body of a DELETE, which may have none."""

    by: str = "api"


@routes.get("/api/silences")
async def list_silences(request: web.Request) -> web.Response:
    """The silences in force, those of maintenance windows among them."""
    return json_answer({"silences": _shown(request.app[SURROUNDINGS], "silences")})


@routes.post("/api/silences")
async def begin_silence(request: web.Request) -> web.Response:
    """Hold back what a silence matches."""
    around = request.app[SURROUNDINGS]
    order = await forms.read(request, SilenceOrder)
    why = checked_why(order.why, "why nobody is to be told")
    lasts_s = _duration(order.for_) if order.for_s is None else _bounded(order.for_s)
    slos = _meant(around, order.slo)
    _check_rule(around, slos, order.rule)
    name, now = f"s-{secrets.token_hex(4)}", around.clock()
    commands = []
    for slo in slos:
        common = about(around, slo, order.by)
        silence = Silence(
            id=name,
            slo=slo,
            begins_at=now,
            ends_at=now + lasts_s * 1000,
            by=common["by"],
            why=why,
            severity=order.severity,
            rule=order.rule,
        )
        commands.append(BeginSilence(silence=silence, **common))
    return await taken(around, commands, silence=name, slos=slos)


@routes.delete("/api/silences/{id}")
async def end_silence(request: web.Request) -> web.Response:
    """End a silence before its time."""
    around, name = request.app[SURROUNDINGS], request.match_info["id"]
    found = [one for one in _shown(around, "silences") if one["id"] == name]
    if any(one["kind"] == "maintenance" for one in found):
        raise Problem(409, f"{name} is a maintenance window's: end that, or change its file.")
    order = await forms.read(request, End)
    slos = _slos_of(found, "silence")
    commands = [EndSilence(silence=name, **about(around, slo, order.by)) for slo in slos]
    return await taken(around, commands, silence=name, slos=slos)


@routes.get("/api/maintenance")
async def list_maintenance(request: web.Request) -> web.Response:
    """The maintenance windows, configured ones and those made by operators."""
    return json_answer({"maintenance": _shown(request.app[SURROUNDINGS], "maintenance")})


@routes.post("/api/maintenance")
async def begin_maintenance(request: web.Request) -> web.Response:
    """Make a maintenance window."""
    around = request.app[SURROUNDINGS]
    order = await forms.read(request, MaintenanceOrder)
    slos = _meant(around, order.slo)
    window = Window(
        id=f"m-{secrets.token_hex(4)}",
        begins=order.begins,
        lasts_s=_duration(order.for_),
        by=about(around, order.slo, order.by)["by"],
        why=checked_why(order.why, "what is done then"),
        zone=order.zone,
        repeats=order.repeats,
        exclude_from_budget=order.exclude_from_budget,
    )
    if fault := maintenance.fault_of(window) or _endless(window):
        raise Problem(400, f"{fault}.")
    if (
        maintenance.next_occurrence(window, around.clock()) is None
        and not order.exclude_from_budget
    ):
        raise Problem(400, "This window is over already.")
    commands = [BeginMaintenance(window=window, **about(around, s, order.by)) for s in slos]
    return await taken(around, commands, maintenance=window.id, slos=slos)


@routes.delete("/api/maintenance/{id}")
async def end_maintenance(request: web.Request) -> web.Response:
    """Unmake a maintenance window that an operator made."""
    around, name = request.app[SURROUNDINGS], request.match_info["id"]
    configured = (w.id for slo in around.policy.slos.values() for w in slo.maintenance)
    if name in configured:
        raise Problem(409, f"{name} is configured: take it out of maintenance.yaml.")
    slos = _slos_of([o for o in _shown(around, "maintenance") if o["id"] == name], "window")
    order = await forms.read(request, End)
    commands = [EndMaintenance(window=name, **about(around, slo, order.by)) for slo in slos]
    return await taken(around, commands, maintenance=name, slos=slos)


@routes.get("/api/corrections")
async def list_corrections(request: web.Request) -> web.Response:
    """The corrections that stand, whether they are applied yet or not."""
    return json_answer({"corrections": _shown(request.app[SURROUNDINGS], "corrections")})


@routes.post("/api/corrections")
async def correct(request: web.Request) -> web.Response:
    """Take events out of the counts."""
    around = request.app[SURROUNDINGS]
    order = await forms.read(request, CorrectionOrder)
    if order.slo == ALL:
        raise Problem(400, "A correction is of one SLO.")
    (slo,) = _meant(around, order.slo)
    begins_at, ends_at = _interval(order, around.clock())
    if around.policy.slos[slo].definition.distinct and (order.agent or order.cli_type):
        raise Problem(400, f"{slo} counts distinct ones: take out a whole interval.")
    common = about(around, slo, order.by)
    correction = Correction(
        id=f"c-{secrets.token_hex(4)}",
        slo=slo,
        begins_at=begins_at,
        ends_at=ends_at,
        by=common["by"],
        why=checked_why(order.why, "why these events are not to count"),
        at=common["at"],
        agent=order.agent,
        cli_type=order.cli_type,
    )
    return await taken(
        around, [Correct(correction=correction, **common)], correction=correction.id, slos=[slo]
    )


@routes.delete("/api/corrections/{id}")
async def revert(request: web.Request) -> web.Response:
    """Take a correction back: its events count again."""
    around, name = request.app[SURROUNDINGS], request.match_info["id"]
    slos = _slos_of([o for o in _shown(around, "corrections") if o["id"] == name], "correction")
    order = await forms.read(request, End)
    commands = [Revert(correction=name, **about(around, slo, order.by)) for slo in slos]
    return await taken(around, commands, correction=name, slos=slos)


def _interval(order: CorrectionOrder, now: int) -> tuple[int, int]:
    """Begin and end, ms; raises a Problem where they are none, or not in the past."""
    try:
        begins_at, ends_at = parse_timestamp(order.from_), parse_timestamp(order.to)
    except Refused as error:
        raise Problem(400, f"{error}: write it like 2026-10-13T14:00Z.") from error
    if not begins_at < ends_at:
        raise Problem(400, "from lies before to.")
    if ends_at > now:
        raise Problem(400, "to lies ahead: for what is still to come make a maintenance window.")
    if begins_at < now - MAX_LATE_MS:
        raise Problem(400, "from lies more than 31 days back: nothing of it counts any longer.")
    return begins_at, ends_at


def _shown(around: Surroundings, what: str) -> list[Document]:
    check_caught_up(around)
    shown = known(around.mirror.slos, around.order)
    return [one for slo in shown.values() for one in slo[what]]


def _slos_of(found: Sequence[Document], what: str) -> list[str]:
    if not found:
        raise Problem(404, f"There is no {what} of this id.")
    return [str(one["slo"]) for one in found]


def _meant(around: Surroundings, slo: str) -> list[str]:
    """The SLO that is named, or all; raises a Problem for one that is not known."""
    if slo == ALL:
        return around.order
    if slo not in around.policy.slos:
        raise Problem(400, f"There is no SLO {slo!r}; known are {', '.join(around.order)}, or all.")
    return [slo]


def _check_rule(around: Surroundings, slos: Sequence[str], rule: str | None) -> None:
    found = [around.policy.slos[name] for name in slos]
    rules = {slo.breach.id for slo in found} | {one.id for slo in found for one in slo.burns}
    if rule is not None and rule not in rules:
        raise Problem(400, f"There is no rule {rule!r}; known are {', '.join(sorted(rules))}.")


def _duration(text: str) -> int:
    try:
        seconds = _seconds.validate_python(text)
    except ValidationError as error:
        raise Problem(400, f"for is {text!r}: write it like 30m, 2h or 1d.") from error
    return _bounded(seconds)


def _bounded(seconds: int) -> int:
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise Problem(400, "for is a minute at least and 7d at most: nothing is silent for ever.")
    return seconds


def _endless(window: Window) -> str:
    """What an operator makes by hand has an end; what has none belongs into the configuration."""
    parts = window.repeats.upper()
    if parts and "UNTIL=" not in parts and "COUNT=" not in parts:
        return "repeats needs UNTIL= or COUNT=: what has no end belongs into maintenance.yaml"
    return ""
