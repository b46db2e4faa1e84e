"""What each kind of notice says in Slack, and that nothing breaks its limits."""

import string
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.core.notices import Budget, Contributor, Example, Finding, Kind, NextStep, Notice, Story
from app.delivery import slack
from app.delivery.wording import Addresses, Wording
from tests.delivery.reading import read
from tests.delivery.samples import ADDRESSES, FAST_BURN, KEY, PAGE, STORY, TRIGGER, told
from tests.servers import fault_of_slack_message

WORDING = Wording()
LINKS = (
    f"<{PAGE}/runbooks/availability?incident={KEY}|Runbook> · "
    f"<{PAGE}/incidents/{KEY}|Incident> · <{PAGE}/|Status>"
)
EVIDENCE = """\
*Agents* (bad of all): `coder-7` 9 of 40 · `planner-2` 3 of 118
*CLI types* (bad of all): `claude-code` 12 of 380
*Errors* (bad of all): `API key expired` 9 of 9"""
EXAMPLES = """\
*Latest failing*
• 2026-10-13 14:04:57 UTC `coder-7` claude-code: `API key expired` · 1.8 s · 212 MB · \
kokino.events[3]@88121
• 2026-10-13 14:04:31 UTC `planner-2` claude-code · 30.0 s · kokino.events[0]@87002"""
FINDINGS = """\
• *Breach* (P1): 97.2 % of 412 executions in the last hour succeeded; the limit is 99.0 %.
• *Fast burn* (P1): 24.1 % of the error budget went in the last hour (12 bad of 412); \
the limit is 10.0 %."""
BUDGET = "*Error budget* 41.2 % left, gone in 1 h 42 min at this rate (estimated)"
HEADLINE = "Availability: 97.2 % of 412 good in the last hour (limit 99 %)."


def written(notice: Notice, **options: bool) -> str:
    message = slack.message(notice, WORDING, ADDRESSES, **options)
    assert fault_of_slack_message(message) == ""
    return read(message)


def test_a_trigger() -> None:
    assert (
        written(TRIGGER)
        == f"""\
🔴 P1 availability: breach, fast burn
<!subteam^S0BACKEND> {HEADLINE}
{FINDINGS}
{BUDGET} | *Objective* 99.5 % | *Owner* @backend-team | *Next* @platform-lead is paged at \
14:35 UTC, in 30 min
{EVIDENCE}
{EXAMPLES}
{LINKS}
{KEY} · 2026-10-13 14:05:00 UTC"""
    )


def test_a_resolve_says_how_long_it_lasted() -> None:
    notice = told(
        "resolve",
        story_resolved_at=TRIGGER.at + 42 * 60_000,
        story_reason="recovered",
        story_findings=(),
        story_budget=Budget(remaining=0.355, consumed=0.645, exhausted_in_s=None, estimated=False),
    )
    assert (
        written(notice)
        == f"""\
🟢 Resolved: availability after 42 min
It lasted 42 min: opened 2026-10-13 14:05:00 UTC, resolved 2026-10-13 14:47:00 UTC. \
Why it ended: recovered.
*Error budget* 35.5 % left | *Objective* 99.5 % | *Owner* @backend-team
{LINKS}
{KEY} · 2026-10-13 14:47:00 UTC"""
    )


def test_an_escalation_that_comes_late_says_so() -> None:
    notice = told(
        "escalate",
        mentions=("@platform-lead",),
        late_s=600,
        story_reason="P1 unresolved 30 min: @platform-lead",
        story_next_step=None,
    )
    lines = written(notice).split("\n")
    assert lines[:2] == [
        "🚨 P1 availability: escalated to @platform-lead",
        (
            "@platform-lead P1 unresolved 30 min: @platform-lead. "
            f"This was due 10 min ago and comes late. {HEADLINE}"
        ),
    ]
    assert lines[-1] == f"{KEY} · 2026-10-13 14:47:00 UTC · late by 10 min"


def frozen(kind: str, **changes: object) -> Notice:
    return told(
        kind,
        incident="availability-freeze-20261013T140500Z",
        severity="P2",
        rules=("exhausted",),
        story_findings=(),
        story_next_step=None,
        story_contributors=(),
        story_examples=(),
        story_runbook="exhausted",
        **changes,
    )


SPENT = Budget(remaining=-0.032, consumed=1.032, exhausted_in_s=0, estimated=False)
FREEZE_LINKS = LINKS.replace("runbooks/availability", "runbooks/exhausted").replace(
    KEY, "availability-freeze-20261013T140500Z"
)


def test_a_freeze_says_what_is_allowed_and_what_is_due() -> None:
    notice = frozen(
        "freeze",
        story_reason="103.2% of the error budget is consumed",
        story_budget=SPENT,
        story_due=("root cause analysis", "remediation plan"),
    )
    assert (
        written(notice)
        == f"""\
🧊 availability: error budget spent, deployments frozen
<!subteam^S0BACKEND> 103.2% of the error budget is consumed. Only hotfixes may be deployed \
until it recovers.
*Error budget* overspent by 3.2 % | *Objective* 99.5 % | *Owner* @backend-team
*Due* from @backend-team
• root cause analysis
• remediation plan
{FREEZE_LINKS}
availability-freeze-20261013T140500Z · 2026-10-13 14:47:00 UTC"""
    )


@pytest.mark.parametrize(
    ("notice", "title", "lead"),
    [
        (
            told("update", story_reason="slow-burn fires as well"),
            "🔴 P1 availability: update",
            f"<!subteam^S0BACKEND> Slow-burn fires as well. {HEADLINE}",
        ),
        (
            told("downgrade", severity="P2", story_reason="no P1 rule fires any longer"),
            "🟠 P2 availability: no longer P1",
            (
                "<!subteam^S0BACKEND> No P1 rule fires any longer. The incident goes on as P2. "
                f"{HEADLINE}"
            ),
        ),
        (
            told("reminder"),
            "🔴 P1 availability: still open after 42 min",
            f"<!subteam^S0BACKEND> Still open. {HEADLINE}",
        ),
        (
            told("ack", story_reason="acknowledged by @backend-team (slack)"),
            "👀 P1 availability: acknowledged",
            "Acknowledged by @backend-team (slack).",
        ),
        (
            frozen("reminder", story_budget=SPENT),
            "🧊 availability: deployments still frozen",
            (
                "<!subteam^S0BACKEND> The error budget is still spent: only hotfixes may be "
                "deployed until it recovers."
            ),
        ),
        (
            frozen("unfreeze", story_reason="the error budget is back: 94.0% consumed"),
            "🟢 availability: error budget is back, freeze lifted",
            (
                "<!subteam^S0BACKEND> The error budget is back: 94.0% consumed. Everything may be "
                "deployed again after 42 min of freeze."
            ),
        ),
        (
            told("test", mentions=()),
            "🧪 Test message for #headless-alerts in Slack",
            "This is a test sent by hand. Nothing is wrong, and nobody needs to do anything.",
        ),
    ],
)
def test_other_kinds(notice: Notice, title: str, lead: str) -> None:
    assert written(notice).split("\n")[:2] == [title, lead]


FINDING = {"severity": "P2", "window_s": 3600, "bad": 12, "total": 57}


@pytest.mark.parametrize(
    ("slo", "finding", "words"),
    [
        (
            "latency",
            Finding(
                rule="breach", measure="P95: share slower than 60 s (limit 5 %)", value=0.211,
                comparator=">", threshold=0.05, unit="ratio", **FINDING | {"window_s": 300},
            ),
            ("21.1 % of 57 executions in the last 5 minutes took longer than 60 s; "
            "the limit is 5.0 %."),
        ),
        (
            "correctness",
            Finding(
                rule="breach", measure="good / total", value=0.8999, comparator="<",
                threshold=0.9, unit="ratio", **FINDING | {"window_s": 86_400},
            ),
            "89.99 % of 57 comparisons in the last 24 hours matched; the limit is 90.00 %.",
        ),
        (
            "resource-efficiency",
            Finding(
                rule="breach", measure="mean", value=1310.4, comparator=">",
                threshold=1024, unit="MB", **FINDING,
            ),
            "1,310 MB on average over 57 executions in the last hour; the limit is 1,024 MB.",
        ),
        (
            "data-integrity",
            Finding(
                rule="breach", measure="failing conversations", value=2, comparator=">",
                threshold=0, unit="count", **FINDING | {"window_s": 86_400},
            ),
            "2 conversations failed in the last 24 hours; none is allowed.",
        ),
        (
            "alerter",
            Finding(
                rule="blind", measure="oldest unread record", value=75_000, comparator=">",
                threshold=60_000, unit="ms", **FINDING,
            ),
            ("oldest unread record was 75.0 s over the last hour (12 bad of 57); "
            "the limit is 60.0 s."),
        ),
    ],
)  # fmt: skip
def test_findings_in_plain_words(slo: str, finding: Finding, words: str) -> None:
    text = written(told("trigger", slo=slo, story_findings=(finding,)))
    line = next(line for line in text.split("\n") if line.startswith("• *"))
    assert line == f"• *{finding.rule.capitalize()}* (P2): {words}"


def test_means_are_told_in_the_unit_of_the_slo() -> None:
    slow = Contributor(by="agent_id", name="coder-7", bad=9, total=40, mean=71_230)
    text = written(told("trigger", slo="latency", story_contributors=(slow,)))
    assert "`coder-7` 9 of 40, mean 71.2 s" in text


def test_conversations_are_counted_in_full_and_named_in_part() -> None:
    names = tuple(f"c{n}" for n in range(120))
    text = written(told("update", story_conversations=names))
    assert "*Conversations* (120): `c0`, " in text
    assert "`c9` and 110 more" in text


def test_a_second_copy_after_a_crash_says_so() -> None:
    assert written(TRIGGER, possible_duplicate=True).endswith("UTC · possible duplicate")


def test_the_notification_on_a_phone_addresses_nobody_twice() -> None:
    assert slack.message(TRIGGER, WORDING, ADDRESSES)["text"] == (
        f"🔴 P1 availability: breach, fast burn. @backend-team {HEADLINE}"
    )


def test_the_fallback_is_text_alone() -> None:
    message = slack.fallback(TRIGGER, WORDING, ADDRESSES)
    assert fault_of_slack_message(message) == ""
    assert "blocks" not in message
    assert (
        message["text"]
        == f"""\
🔴 *P1 availability: breach, fast burn*
<!subteam^S0BACKEND> {HEADLINE}
{FINDINGS}
{LINKS}
{KEY} · 2026-10-13 14:05:00 UTC"""
    )


HOSTILE = [
    "<!channel>",
    "<script>alert('x')</script> & \"more\"",
    "a\x00b\x1b[31m\nc",
    "x" * 60 * 1024,
    "&" * 60 * 1024,
    "🔥" * 30_000,
    "x" * 299 + "🔥",
    "`*_~> <@U1> <https://evil.example|click>",
    "\u202egnp.exe",
    "\ud800",
    "&amp;" * 1000,
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name[:12]))
@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_hostile_name_arrives_escaped_valid_and_within_limits(kind: str, name: str) -> None:
    example = Example(
        at=0, topic=name, partition=0, offset=0, agent_id=name, cli_type=name, error=name,
        conversation_id=name, issue_types=(name,) * 9, ticket_id=name,
    )  # fmt: skip
    contributors = tuple(
        Contributor(by=by, name=name, bad=1, total=2) for by in ("agent_id", "cli_type", "error")
    )
    notice = told(
        kind,
        slo=name,
        incident=name,
        rules=(name,),
        mentions=(name,),
        story_headline=name,
        story_reason=name,
        story_owner=name,
        story_runbook=name,
        story_examples=(example,) * 5,
        story_contributors=contributors * 3,
        story_conversations=(name,) * 100,
        story_due=(name,) * 100,
        story_findings=(replace(FAST_BURN, rule=name, measure=name),) * 9,
    )
    for write in (slack.message, slack.fallback):
        message = write(notice, WORDING, ADDRESSES)
        assert fault_of_slack_message(message) == ""
        sent = msgspec.json.encode(message).decode()
        assert "<!channel" not in sent
        assert "<script" not in sent
        assert "<https://evil" not in sent
        assert "<@U1>" not in sent


TEXT = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=50), st.text(string.printable, max_size=400)
)
NUMBER = st.floats()
COUNT = st.integers(-(2**62), 2**62)
STRUCTS = {
    struct: st.builds(struct, **fields)
    for struct, fields in {
        Finding: {
            "rule": TEXT,
            "measure": TEXT,
            "value": NUMBER,
            "threshold": NUMBER,
            "window_s": COUNT,
            "bad": COUNT,
            "total": COUNT,
        },
        Budget: {"remaining": NUMBER, "consumed": NUMBER, "exhausted_in_s": NUMBER | st.none()},
        Contributor: {"name": TEXT, "bad": COUNT, "total": COUNT, "mean": NUMBER | st.none()},
        Example: {
            "at": COUNT,
            "topic": TEXT,
            "offset": COUNT,
            "agent_id": TEXT,
            "error": TEXT,
            "duration_ms": COUNT | st.none(),
            "memory_mb": NUMBER | st.none(),
            "issue_types": st.lists(TEXT, max_size=3).map(tuple),
        },
        NextStep: {"to": TEXT, "due_at": COUNT | st.none(), "when": TEXT},
    }.items()
}


def many(struct: type) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(STRUCTS[struct], max_size=4).map(tuple)


STORIES = st.builds(
    Story,
    slo=TEXT,
    objective=NUMBER,
    headline=TEXT,
    findings=many(Finding),
    budget=STRUCTS[Budget] | st.none(),
    owner=TEXT,
    next_step=STRUCTS[NextStep] | st.none(),
    contributors=many(Contributor),
    examples=many(Example),
    conversations=st.lists(TEXT, max_size=4).map(tuple),
    opened_at=COUNT | st.none(),
    resolved_at=COUNT | st.none(),
    reason=TEXT,
    runbook=TEXT,
    due=st.lists(TEXT, max_size=4).map(tuple),
)
NOTICES = st.builds(
    Notice,
    id=TEXT,
    destination=TEXT.map("slack:{}".format),
    kind=st.sampled_from(get_args(Kind)),
    at=COUNT,
    slo=TEXT,
    incident=TEXT,
    severity=st.sampled_from(["P1", "P2"]),
    rules=st.lists(TEXT, max_size=3).map(tuple),
    story=STORIES,
    page=st.booleans(),
    dedup_key=TEXT,
    mentions=st.lists(TEXT, max_size=3).map(tuple),
    late_s=COUNT,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(notice=NOTICES)
def test_whatever_the_notice_says_the_message_is_valid(notice: Notice) -> None:
    addresses = Addresses(page_url=PAGE, slack_ids={})
    assert fault_of_slack_message(slack.message(notice, WORDING, addresses)) == ""
    assert fault_of_slack_message(slack.fallback(notice, WORDING, addresses)) == ""


def test_the_shares_of_all_parts_together_keep_the_limit() -> None:
    fields = max(len(names) for names in slack.FIELDS.values())
    whole = sum(n for name, n in slack.SHARES.items() if name != "field")
    assert whole + fields * slack.SHARES["field"] + 10 < slack.MOST_TEXT


def test_a_mention_needs_an_id_that_slack_knows() -> None:
    ids = {"@a": "S01", "@b": "U02", "@c": "", "@d": "S<!channel>", "@e": "nonsense"}
    addresses = Addresses(page_url=PAGE, slack_ids=ids)
    mentions = [str(addresses.mention(owner)) for owner in (*ids, "@<x>")]
    assert mentions == ["<!subteam^S01>", "<@U02>", "@c", "@d", "@e", "@&lt;x&gt;"]
    assert STORY.owner == "@backend-team"
