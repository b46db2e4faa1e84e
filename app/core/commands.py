"""Commands: what operators, and destinations, have to say; the values of `slo.commands`.

Each kind is a type of its own, told apart by `kind`. A new kind is a type here, in `Command`, and a
line in the table of whoever carries it out (`app.core.operating`, `app.core.vitals`).
"""

import msgspec


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


class Broken(Order, frozen=True, kw_only=True, tag="broken"):
    """A destination refuses what it is sent, for good."""

    destination: str
    why: str


class Mended(Order, frozen=True, kw_only=True, tag="mended"):
    """A destination takes what it is sent again."""

    destination: str


Command = Acknowledge | Unacknowledge | Resolve | Broken | Mended
"""What `slo.commands` carries."""
