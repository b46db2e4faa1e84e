"""Notices that are not about anything: to try templates on, and to try destinations with."""

from app.core.notices import (
    Budget,
    Contributor,
    Example,
    Finding,
    Kind,
    NextStep,
    Notice,
    Story,
    headline_alone,
)


def trial(destination: str, at: int) -> Notice:
    """The test message of `burnrate notify-test`, clearly marked as one."""
    incident = f"test-{at}"
    return Notice(
        id=f"{incident}@{destination}",
        destination=destination,
        kind="test",
        at=at,
        slo="test",
        incident=incident,
        severity="P2",
        rules=(),
        story=headline_alone("This is a test", "test"),
        dedup_key=incident,
    )


def specimen(kind: Kind) -> Notice:
    """A notice with something in every field, to try templates on."""
    story = Story(
        slo="availability",
        objective=0.995,
        headline="Availability: 97.2 % of 412 good in the last hour (limit 99 %)",
        findings=(
            Finding(
                rule="breach", severity="P1", measure="good / total", value=0.972,
                comparator="<", threshold=0.99, window_s=3600, unit="ratio", bad=12, total=412,
            ),
        ),
        budget=Budget(remaining=0.4, consumed=0.6, exhausted_in_s=7200, estimated=True),
        owner="@owner",
        next_step=NextStep(to="@lead", how="page", due_at=1_800_000),
        contributors=(Contributor(by="agent_id", name="agent", bad=1, total=2, mean=3.0),),
        examples=(Example(at=0, topic="events", partition=0, offset=0, agent_id="agent"),),
        conversations=("conversation",),
        opened_at=0,
        resolved_at=60_000,
        reason="why",
        runbook="availability",
        due=("retrospective",),
    )  # fmt: skip
    return Notice(
        id="sample#1@slack:#channel", destination="slack:#channel", kind=kind,
        at=60_000, slo="availability", incident="sample", severity="P1", rules=("breach",),
        story=story, mentions=("@owner",), late_s=60,
    )  # fmt: skip
