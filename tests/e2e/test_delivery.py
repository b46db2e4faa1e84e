"""Delivery that can be trusted at three in the morning: services fail, workers are killed.

Real Kafka, one worker with all its parts, and a clock that the tests hold: ten minutes pass at
once. Every test begins an incident of its own, hours after the last one's end.
"""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka import TopicPartition as At
from confluent_kafka.admin import AdminClient

from app.topics import all_topics
from tests.e2e.harness import (
    HOUR,
    MINUTE,
    Stack,
    execution,
    integrity,
    routing_key,
    text_of,
    title_of,
    wait_for,
)
from tests.e2e.load import is_counted
from tests.servers import BOT_TOKEN, HeartbeatServer, Programmed, Server

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

BEGIN = 1_785_578_400.0  # 2026-08-01T10:00:00Z
CHANNEL = "critical-alerts"
QUIET_S = 1.5  # longer than a lane sleeps before it looks at the clock again
SECRETS = {
    "SLACK_SIGNING_SECRET": "canary-of-the-signature",
    "PAGERDUTY_WEBHOOK_SECRET": "canary-of-pagerduty",
    "BURNRATE_READ_TOKEN": "",
    "BURNRATE_LOG_LEVEL": "DEBUG",
}

BEATS = HeartbeatServer()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("delivery")
    prefix = f"t{uuid.uuid4().hex[:8]}."
    async with (
        BEATS.running(),
        Stack(kafka, prefix, folder, held_at=BEGIN, env=dict(SECRETS)) as made,
    ):
        made._more["BURNRATE_HEARTBEAT_URL_FILE"] = str(folder / "heartbeat-url")  # not there yet
        await made.worker().start()
        await made.produce([execution(BEGIN - n) for n in range(60)])
        await made.judged()
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def stack(shared: Stack) -> AsyncIterator[Stack]:
    """Hours later, everybody answers, and whatever was open is closed."""
    await shared.at(shared.now + 2 * HOUR)
    shared.slack.arrivals.clear()
    shared.pagerduty.arrivals.clear()
    yield shared
    for server in (shared.slack, shared.pagerduty):
        server.always = None
        server._next.clear()
    await recovers(shared)
    await shared.at(shared.now + 10 * MINUTE)
    await wait_for(lambda: shared.pagerduty.open == {}, "every page is resolved")


FAILED: list[str] = []  # conversations that are broken now


async def fails(stack: Stack, name: str) -> None:
    """A conversation is damaged: that pages the data team and its lead at once."""
    FAILED.append(name)
    await stack.produce([integrity(stack.now, name)])


async def recovers(stack: Stack) -> None:
    """Every damaged conversation passes again: the incident is over."""
    passed = [integrity(stack.now, name, good=True) for name in FAILED]
    FAILED.clear()
    if passed:
        stack.set_clock(stack.now + 1)
        await stack.produce(
            [{**p, "timestamp": integrity(stack.now, "")["timestamp"]} for p in passed]
        )
        await stack.judged()


async def passes(stack: Stack, seconds: float, step_s: float) -> None:
    """Time goes by in steps, each seen by everybody before the next.

    A second step before the intake has said how far it sees as of the first would be a minute and
    more in which nothing is known to be read: then the alerter rightly says that it is blind.
    """
    until = stack.now + seconds
    while stack.now < until:
        await stack.at(min(until, stack.now + step_s))
        await asyncio.sleep(QUIET_S)


def keys(stack: Stack) -> set[str]:
    return set(stack.triggers())


def titles(stack: Stack, channel: str = CHANNEL) -> list[str]:
    return [title_of(message) for message in stack.told(channel)]


async def story(stack: Stack, key: str) -> list[tuple[str, str, str]]:
    """What `slo.deliveries` says of an incident: destination, kind, outcome."""
    told = [d for d in await stack.read("slo.deliveries") if d["incident"] == key]
    told.sort(key=lambda d: d["at"])
    return [(d["destination"], d["kind"], d["outcome"]) for d in told]


async def test_ten_minutes_of_503_and_one_accepted_trigger_soon_after(stack: Stack) -> None:
    stack.pagerduty.always = Programmed(503, "down")
    await fails(stack, "while-503")
    await wait_for(lambda: len(stack.paged("data-team")) == 1, "tried")
    await passes(stack, 10 * MINUTE, 2 * MINUTE)
    refused = len(stack.paged("data-team"))
    assert refused > 3
    assert stack.pagerduty.open == {}
    stack.pagerduty.always = None
    await passes(stack, MINUTE, MINUTE)
    await wait_for(lambda: len(stack.pagerduty.open) == 2, "both pages have arrived")
    assert len(stack.paged("data-team")) == refused + 1
    await passes(stack, 10 * MINUTE, 5 * MINUTE)
    assert len(stack.paged("data-team")) == refused + 1
    assert len(keys(stack)) == 1


async def test_down_while_it_fires_and_resolves_leaves_nothing_stale(stack: Stack) -> None:
    stack.pagerduty.always = Programmed(503, "down")
    await fails(stack, "while-down")
    await wait_for(lambda: len(stack.triggers()) == 2, "tried")
    await recovers(stack)
    await stack.told_so(CHANNEL, "Resolved: data-integrity")
    [key] = keys(stack)
    tried = len(stack.pagerduty.arrivals)
    stack.pagerduty.always = None
    await passes(stack, 20 * MINUTE, 10 * MINUTE)
    assert len(stack.pagerduty.arrivals) == tried
    told = await story(stack, key.partition("/")[0])
    for pager in ("pagerduty:@data-team", "pagerduty:@data-lead"):
        assert [came for where, _, came in told if where == pager][-2:] == ["skipped", "skipped"]


async def test_slack_429_is_silence_as_long_as_asked_within_bounds_and_then_one_success(
    stack: Stack,
) -> None:
    await fails(stack, "busy")
    await wait_for(lambda: len(titles(stack)) == 2, "trigger and escalation are told")
    asked: dict[str, tuple[dict[str, str], int]] = {
        "3 seconds": ({"Retry-After": "3"}, 3),
        "nothing": ({}, 30),
        "a day": ({"Retry-After": "86400"}, 30),
        "a date": ({"Retry-After": "a date"}, 7),
    }
    for number, (what, (headers, silence_s)) in enumerate(asked.items()):
        stack.set_clock(stack.now + 30)  # the pace allows one more
        before = len(titles(stack))
        date = {"Retry-After": formatdate(stack.now + silence_s, usegmt=True)}
        stack.slack.answer(429, "rate_limited", date if what == "a date" else headers)
        await fails(stack, f"busy-{number}")
        await wait_for(lambda n=before: len(titles(stack)) == n + 1, f"tried: {what}")
        await asyncio.sleep(0.2)  # for the answer to be read
        stack.set_clock(stack.now + silence_s - 0.1)
        await asyncio.sleep(QUIET_S)
        assert len(titles(stack)) == before + 1, what
        stack.set_clock(stack.now + 0.1)
        await wait_for(lambda n=before: len(titles(stack)) == n + 2, f"told: {what}")
        assert "possible duplicate" not in str(stack.told(CHANNEL)), "a 429 was not taken"
    assert titles(stack)[2:] == ["🔴 P1 data-integrity: update"] * 8  # each refused, then accepted


async def test_a_webhook_that_is_gone_is_tried_once_and_the_others_are_told(stack: Stack) -> None:
    stack.slack.gone.add(CHANNEL)
    await fails(stack, "no-service")
    instead = await stack.told_so("ops-alerts", "P1 data-integrity: breach")
    assert "For #critical-alerts in Slack, which does not take it (404 no_service):" in str(instead)
    broken = await stack.told_so("ops-alerts", "P2 alerter: destination broken")
    assert "Not to be reached: slack:#critical-alerts (404 no_service)." in str(broken)
    await wait_for(lambda: stack.paged("data-team"), "the owner is paged all the same")
    metric = 'burnrate_destination_broken{destination="slack:#critical-alerts"}'
    assert await stack.metric(metric) == 1
    await passes(stack, 10 * MINUTE, 5 * MINUTE)
    assert titles(stack) == [  # each once
        "🔴 P1 data-integrity: breach",
        "🚨 P1 data-integrity: escalated to @data-lead",
    ]
    stack.slack.gone.clear()
    await fails(stack, "no-service-2")
    await stack.told_so(CHANNEL, "P1 data-integrity: update")
    await stack.told_so("ops-alerts", "Resolved: alerter")
    assert await stack.metric(metric) == 0


async def test_a_server_that_never_answers_holds_up_nobody_else(stack: Stack) -> None:
    stack.slack.hang()
    await fails(stack, "hangs")
    await wait_for(lambda: len(stack.triggers()) == 2, "both pagers are told meanwhile")
    judged = await stack.metric("burnrate_judge_seconds_count")
    await stack.judged()
    assert await stack.metric("burnrate_judge_seconds_count") > judged
    assert len(titles(stack)) == 1
    await asyncio.sleep(10.5)  # the time-out of a request is the machine's own time
    stack.set_clock(stack.now + 2)
    await wait_for(lambda: len(titles(stack)) > 1, "tried again")
    assert "possible duplicate" in text_of(stack.told(CHANNEL)[1])


async def test_a_heartbeat_has_gone_the_whole_way_and_changes_no_count(stack: Stack) -> None:
    assert BEATS.arrivals == [], "off without an address"
    address = stack.folder / "heartbeat-url"
    address.write_text(f"{BEATS.url}/canary-of-the-heartbeat")
    await wait_for(lambda: BEATS.arrivals, "called")
    stack.set_clock(stack.now + MINUTE)
    await wait_for(lambda: len(BEATS.arrivals) > 1, "called again")
    assert BEATS.faults == []
    told = await story(stack, "alerter-heartbeat")
    assert told[-1] == ("heartbeat:url", "heartbeat", "accepted")
    await is_counted(stack)
    probes = [d for d in await stack.read("slo.digests") if d.get("slo") == "alerter"]
    assert probes, "it is counted, by a definition of its own"

    await stack.workers[0].kill()
    called = len(BEATS.arrivals)
    stack.set_clock(stack.now + 2 * MINUTE)
    await asyncio.sleep(QUIET_S)
    assert len(BEATS.arrivals) == called, "who is dead does not call"
    stack.expected_read = 1
    await stack.workers[0].start()
    await wait_for(lambda: len(BEATS.arrivals) > called, "called again after the start")
    address.unlink()


async def killed_before_the_record(stack: Stack, server: Server, name: str) -> None:
    """The worker is killed while the service's answer is on its way, and started again."""
    worker = stack.workers[0]
    assert worker.process is not None
    process = worker.process
    server.once = lambda: process.send_signal(signal.SIGKILL)
    await fails(stack, name)
    await worker.ended()
    stack.expected_read = 1
    await worker.start()
    await stack.judged()
    stack.set_clock(stack.now + 5)
    await stack.judged()


async def test_killed_between_pagerdutys_202_and_its_record(stack: Stack) -> None:
    opened = stack.pagerduty.opened
    await killed_before_the_record(stack, stack.pagerduty, "killed-at-202")
    await wait_for(lambda: len(stack.pagerduty.open) == 2, "both are paged")
    assert len(keys(stack)) == 1, "the same dedup key, so PagerDuty knows that it is the same"
    assert len(stack.triggers()) in (3, 4)
    assert stack.pagerduty.opened == opened + 2


async def test_killed_between_slacks_200_and_its_record(stack: Stack) -> None:
    await killed_before_the_record(stack, stack.slack, "killed-at-200")
    await wait_for(lambda: len(titles(stack)) > 1, "told again")
    told = [text_of(m) for m in stack.told(CHANNEL) if "P1 data-integrity: breach" in title_of(m)]
    assert ["possible duplicate" in text for text in told] == [False, True]


async def test_hostile_names_arrive_escaped_valid_and_within_limits(stack: Stack) -> None:
    shown = {
        "<!channel>": "`&lt;!channel&gt;`",
        "<script>alert(1)</script>": "`&lt;script&gt;alert(1)&lt;/script&gt;`",
        "a\x00b": "`ab`",
        "x" * 60 * 1024: f"`{'x' * 200}`",
        "y" * 199 + "🔥": f"`{'y' * 199}🔥`",
    }
    failed = [
        execution(stack.now - n, good=False, agent=name, cli=name[:30], error=name[:30])
        for n, name in enumerate(shown)
    ]
    await stack.produce(failed)
    message = await stack.told_so("headless-alerts", "P1 availability: breach")
    await wait_for(lambda: stack.paged("backend-team"), "paged")
    said = text_of(message)
    assert [name[:30] for name, text in shown.items() if text not in said] == []
    assert "<!channel" not in said
    assert "<script" not in said
    assert stack.slack.faults == stack.pagerduty.faults == []

    stack.set_clock(stack.now + HOUR + 6 * MINUTE)
    await stack.produce([execution(stack.now - n) for n in range(20)])
    await stack.judged()
    stack.set_clock(stack.now + 6 * MINUTE)
    await stack.told_so("headless-alerts", "Resolved: availability")


async def test_every_topic_read_again_from_its_beginning_tells_nobody(stack: Stack) -> None:
    await fails(stack, "told-before")
    await stack.told_so(CHANNEL, "P1 data-integrity: breach")
    await wait_for(lambda: len(stack.triggers()) == 2, "paged")
    await asyncio.sleep(QUIET_S)
    told = (len(stack.slack.arrivals), len(stack.pagerduty.arrivals))
    worker = stack.workers[0]
    assert await worker.stop() == 0
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    for group in ("intake", "count", "deliver"):
        await wait_for(lambda g=group: rewound(admin, stack, g), f"{group} begins anew")
    stack.expected_read = len(stack.sent)
    await worker.start()
    await stack.judged()
    await passes(stack, 10, 5)
    assert (len(stack.slack.arrivals), len(stack.pagerduty.arrivals)) == told


def rewound(admin: AdminClient, stack: Stack, part: str) -> bool:
    """Whether a part's consumer group begins every topic anew."""
    name = f"{stack.prefix}burnrate-{part}"
    try:
        [listed] = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)]).values()
        starts = [At(tp.topic, tp.partition, 0) for tp in listed.result(10).topic_partitions]
        assert starts, f"{name} has committed nothing"
        request = [ConsumerGroupTopicPartitions(name, starts)]
        [altered] = admin.alter_consumer_group_offsets(request).values()
        done = altered.result(10).topic_partitions
    except KafkaException:
        return False  # its member is known until its session ends
    return all(tp.error is None for tp in done)


async def test_no_secret_is_in_any_log_metric_page_answer_or_topic(stack: Stack) -> None:
    pages = ["/", "/metrics", "/api/slo/status", "/api/incidents", "/api/incidents/nobody", "/no"]
    shown = {page: (await stack.get(page)).text for page in pages}
    refused = await httpx_post(f"{stack.workers[0].url}/api/incidents/nobody/ack")
    shown |= {"a problem": refused, "the log": stack.workers[0].log()}
    for topic in all_topics(replay=False):
        shown[topic.name] = await raw(stack, topic.name)
    assert "DEBUG" in shown["the log"]
    assert len(shown["slo.deliveries"]) > 1000
    canaries = [
        "canary",
        "a-token-of-the-tests",
        *(routing_key(owner) for owner in ("data-team", "data-lead", "backend-team")),
    ]
    found = {where: c for where, text in shown.items() for c in canaries if c in text}
    assert found == {}


async def httpx_post(url: str) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {"Authorization": "Bearer a-token-of-the-tests"}
        return (await client.post(url, headers=headers, json={"by": "ann"})).text


async def raw(stack: Stack, topic: str) -> str:
    """Everything that a topic holds, keys and values."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        known = await consumer._client.fetch_all_metadata()
        numbers = known.partitions_for_topic(stack.prefix + topic) or ()
        partitions = [TopicPartition(stack.prefix + topic, p) for p in numbers]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        found: list[Any] = []
        for tp, end in ends.items():
            while await consumer.position(tp) < end:
                batches = await consumer.getmany(tp, timeout_ms=500)
                found += [(r.key, r.value) for r in batches.get(tp, [])]
    finally:
        await consumer.stop()
    return str(found)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_bot_keeps_to_its_message_through_a_kill(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    env = {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_SIGNING_SECRET": "a-signing-secret"}
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN, env=env) as stack:
        stack._more["SLACK_API_URL"] = f"{stack.slack.url}/api"
        worker = await stack.worker().start()
        await fails(stack, "by-bot")
        calls = stack.slack.arrivals
        await wait_for(lambda: len(calls) >= 1, "told")
        await stack.judged()
        await passes(stack, 10, 5)  # the escalation goes into the thread
        posted = calls[0].body
        assert [e["action_id"] for e in posted["attachments"][0]["blocks"][-2]["elements"]] == [
            "ack",
            "silence",
        ]
        await worker.kill()
        stack.expected_read = 0
        await worker.start()
        before = len(calls)
        await recovers(stack)
        await passes(stack, 10, 5)
        await wait_for(lambda: len(calls) >= before + 2, "resolved")
        ts = "1700000000.000000"
        assert [(c.path, c.body.get("thread_ts"), c.body.get("ts")) for c in calls[before:]] == [
            ("/api/chat.postMessage", ts, None),
            ("/api/chat.update", None, ts),
        ]
        assert calls[-1].body["attachments"][0]["color"] == "#1a7f37"
        assert {c.token for c in calls} == {BOT_TOKEN}
