"""What is told to people: a notice is one message for one destination.

A notice holds facts, not text: `app.delivery` turns it into Slack blocks, a PagerDuty event or
terminal lines. Times are milliseconds since the epoch, durations seconds, ratios 0 to 1.
"""

from typing import Literal

import msgspec

Severity = Literal["P1", "P2"]

Kind = Literal[
    "trigger",  # an incident begins, or rises to P1
    "update",  # a further rule, a further conversation
    "downgrade",  # no P1 rule fires any longer, the incident goes on as P2
    "escalate",  # a step of the escalation path is due
    "reminder",  # it is still open, or still frozen
    "ack",
    "resolve",
    "freeze",  # the error budget is spent
    "unfreeze",  # and back
    "override",  # deployments go on for a while all the same
    "test",  # sent by hand, to try a destination
    "group",  # many that wait for one destination, told together; made by delivery
    "heartbeat",  # a probe has gone the whole way: somebody outside hears that we live
]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A firing rule with the numbers that made it fire."""

    rule: str  # "breach", "fast-burn", …
    severity: Severity
    measure: str  # "good / total", "P95", "mean", "budget consumed", "failing conversations"
    value: float
    comparator: Literal["<", ">", ">="]
    threshold: float
    window_s: int
    unit: Literal["ratio", "ms", "MB", "count"]
    bad: int  # events behind the value
    total: int


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The error budget as it stands."""

    remaining: float  # 1 - consumed over the compliance period; below 0 when overspent
    consumed: float
    exhausted_in_s: float | None  # None: no forecast; 0: it is spent
    estimated: bool  # less than the whole period of history


class Contributor(msgspec.Struct, frozen=True, kw_only=True):
    """How much one agent, CLI type or error has to do with it."""

    by: Literal["agent_id", "cli_type", "error"]
    name: str
    bad: int
    total: int
    mean: float | None = None  # of the SLO's value, in its unit


class Example(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One failing execution, and where in Kafka it lies."""

    at: int
    topic: str
    partition: int
    offset: int
    agent_id: str = ""
    cli_type: str = ""
    error: str = ""
    duration_ms: int | None = None
    memory_mb: float | None = None
    conversation_id: str = ""
    issue_types: tuple[str, ...] = ()
    ticket_id: str = ""


class NextStep(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told next if nothing changes."""

    to: str
    how: Literal["page", "notify"]
    due_at: int | None  # None: when a condition comes true, not at a time
    when: str = ""  # the condition in words


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a person needs who has just been woken up."""

    slo: str
    objective: float
    headline: str  # "Availability over the last hour is 97.2 %, below 99.0 %"
    findings: tuple[Finding, ...]
    budget: Budget | None
    owner: str
    next_step: NextStep | None
    contributors: tuple[Contributor, ...]
    examples: tuple[Example, ...]
    conversations: tuple[str, ...]  # data integrity: every conversation of the incident
    opened_at: int | None
    resolved_at: int | None = None
    reason: str = ""  # of a resolve, an escalation, a freeze: why this notice
    runbook: str = ""  # name under /runbooks/
    due: tuple[str, ...] = ()  # freeze: what is due from the owner


def headline_alone(headline: str, slo: str = "") -> Story:
    """The story of a notice that is about no incident: one line, and nothing behind it."""
    return Story(
        slo=slo,
        objective=1.0,
        headline=headline,
        findings=(),
        budget=None,
        owner="",
        next_step=None,
        contributors=(),
        examples=(),
        conversations=(),
        opened_at=None,
    )


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message for one destination; the same `id` is the same message, however often."""

    id: str  # "<incident>#<step>@<destination>"
    destination: str  # "slack:#headless-alerts", "pagerduty:@backend-team"
    kind: Kind
    at: int  # judge time
    slo: str
    incident: str  # the incident's key, or "<slo>-freeze-<start>"
    severity: Severity
    rules: tuple[str, ...]
    story: Story
    page: bool = False  # wakes somebody up
    dedup_key: str = ""  # PagerDuty's, "<incident>/<severity>/<n>"
    mentions: tuple[str, ...] = ()  # owners to address, "@backend-team"
    late_s: int = 0  # escalation: so much later than it was due
    instead_of: tuple[str, ...] = ()  # destinations that refused it, each for good
    refused: str = ""  # why the last of them did
