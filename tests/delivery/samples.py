"""Notices as the judge makes them, for the tests of delivery."""

from datetime import datetime

from msgspec.structs import replace

from app.core.notices import Budget, Contributor, Example, Finding, NextStep, Notice, Story
from app.delivery.wording import Addresses

SLACK = "slack:#headless-alerts"
PAGER = "pagerduty:@backend-team"
KEY = "availability-20261013T140500Z"
PAGE = "https://burnrate.example"
ADDRESSES = Addresses(page_url=PAGE, slack_ids={"@backend-team": "S0BACKEND"})


def ms(text: str) -> int:
    """The time in ms: "2026-10-13 14:05:00"."""
    return round(datetime.fromisoformat(f"{text}+00:00").timestamp() * 1000)


OPENED = ms("2026-10-13 14:05:00")

BREACH = Finding(
    rule="breach",
    severity="P1",
    measure="good / total",
    value=0.972,
    comparator="<",
    threshold=0.99,
    window_s=3600,
    unit="ratio",
    bad=12,
    total=412,
)
FAST_BURN = Finding(
    rule="fast-burn",
    severity="P1",
    measure="error budget consumed",
    value=0.241,
    comparator=">",
    threshold=0.10,
    window_s=3600,
    unit="ratio",
    bad=12,
    total=412,
)

STORY = Story(
    slo="availability",
    objective=0.995,
    headline="Availability: 97.2 % of 412 good in the last hour (limit 99 %)",
    findings=(BREACH, FAST_BURN),
    budget=Budget(remaining=0.412, consumed=0.588, exhausted_in_s=6120.0, estimated=True),
    owner="@backend-team",
    next_step=NextStep(to="@platform-lead", how="page", due_at=ms("2026-10-13 14:35:00")),
    contributors=(
        Contributor(by="agent_id", name="coder-7", bad=9, total=40),
        Contributor(by="agent_id", name="planner-2", bad=3, total=118),
        Contributor(by="cli_type", name="claude-code", bad=12, total=380),
        Contributor(by="error", name="API key expired", bad=9, total=9),
    ),
    examples=(
        Example(
            at=ms("2026-10-13 14:04:57"),
            topic="kokino.events",
            partition=3,
            offset=88121,
            agent_id="coder-7",
            cli_type="claude-code",
            error="API key expired",
            duration_ms=1840,
            memory_mb=212.4,
        ),
        Example(
            at=ms("2026-10-13 14:04:31"),
            topic="kokino.events",
            partition=0,
            offset=87002,
            agent_id="planner-2",
            cli_type="claude-code",
            duration_ms=30_000,
        ),
    ),
    conversations=(),
    opened_at=OPENED,
    reason="breach, fast-burn fires",
    runbook="availability",
)

TRIGGER = Notice(
    id=f"{KEY}#1@{SLACK}",
    destination=SLACK,
    kind="trigger",
    at=OPENED,
    slo="availability",
    incident=KEY,
    severity="P1",
    rules=("breach", "fast-burn"),
    story=STORY,
    mentions=("@backend-team",),
)


def told(kind: str, at: str = "2026-10-13 14:47:00", **changes: object) -> Notice:
    """A notice of another kind; `story_…` changes the story."""
    of_story = {k.removeprefix("story_"): v for k, v in changes.items() if k.startswith("story_")}
    of_notice = {k: v for k, v in changes.items() if not k.startswith("story_")}
    story = replace(STORY, **of_story)
    return replace(TRIGGER, id=f"{kind}@{SLACK}", kind=kind, at=ms(at), story=story, **of_notice)


def notice(
    step: int,
    kind: str = "trigger",
    *,
    destination: str = SLACK,
    incident: str = KEY,
    severity: str = "P1",
    **changes: object,
) -> Notice:
    """A notice by its step, for tests of order: pages where it is for a pager."""
    pager = destination.startswith("pagerduty:")
    return replace(
        TRIGGER,
        id=f"{incident}#{step}@{destination}",
        destination=destination,
        kind=kind,
        incident=incident,
        severity=severity,
        page=pager and kind in ("trigger", "escalate"),
        dedup_key=f"{incident}/P1/1" if pager else "",
        **changes,
    )
