"""Commands: what operators, and destinations, have to say; the values of `slo.commands`.

Each kind is a type of its own, told apart by `kind`. A new kind is a type here, in `Command`, and a
line in the table of whoever carries it out (`app.core.operating`, `app.core.vitals`).
"""

import msgspec

from app.core.corrections import Correction
from app.core.maintenance import Window
from app.core.silences import Silence


class Order(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all commands hold: which SLO (or "alerter") is meant, who says so, when, by which way.

    A command is carried out once, however often it is read: `id` is what it is known by.
    """

    id: str
    slo: str
    by: str
    at: int  # ms
    via: str = "api"  # api, slack, pagerduty, deliver


class Acknowledge(Order, frozen=True, kw_only=True, tag="ack"):
    """Somebody takes an incident."""

    incident: str


class Unacknowledge(Order, frozen=True, kw_only=True, tag="unack"):
    """Nobody has it any longer."""

    incident: str


class Resolve(Order, frozen=True, kw_only=True, tag="resolve"):
    """An incident is over; its rules fire again only on bad events later than this."""

    incident: str
    why: str = ""
    page: str = ""  # the dedup key it was resolved by; one that is closed already says nothing


class OverrideGate(Order, frozen=True, kw_only=True, tag="override"):
    """Deployments go on although this SLO freezes them, until then (ms)."""

    until: int
    why: str


class TickOff(Order, frozen=True, kw_only=True, tag="tick-off"):
    """Something that a freeze asked for is done; `link` leads to it."""

    what: str
    link: str


class Broken(Order, frozen=True, kw_only=True, tag="broken"):
    """A destination refuses what it is sent, for good."""

    destination: str
    why: str


class Mended(Order, frozen=True, kw_only=True, tag="mended"):
    """A destination takes what it is sent again."""

    destination: str


class BeginSilence(Order, frozen=True, kw_only=True, tag="silence"):
    """What it matches is not told while it lasts."""

    silence: Silence


class EndSilence(Order, frozen=True, kw_only=True, tag="unsilence"):
    """A silence is over before its time."""

    silence: str  # its id


class BeginMaintenance(Order, frozen=True, kw_only=True, tag="maintain"):
    """A maintenance window, once or again and again."""

    window: Window


class EndMaintenance(Order, frozen=True, kw_only=True, tag="unmaintain"):
    """A maintenance window that an operator made is none any longer."""

    window: str  # its id


class Correct(Order, frozen=True, kw_only=True, tag="correct"):
    """Events that were counted are taken out of the counts."""

    correction: Correction


class Revert(Order, frozen=True, kw_only=True, tag="revert"):
    """A correction is taken back: its events count again."""

    correction: str  # its id


Command = (
    Acknowledge
    | Unacknowledge
    | Resolve
    | BeginSilence
    | EndSilence
    | BeginMaintenance
    | EndMaintenance
    | Correct
    | Revert
    | OverrideGate
    | TickOff
    | Broken
    | Mended
)
"""What `slo.commands` carries."""
