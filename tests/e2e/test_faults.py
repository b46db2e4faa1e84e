"""Whatever breaks: the counts equal a recount, and every page goes out once."""

import asyncio
import random
import time
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from app.kafka import create_topics
from app.local import kafka as local_kafka
from app.topics import EVENTS, all_topics
from tests.e2e.harness import (
    RESTART,
    Stack,
    execution,
    integrity,
    kept_running,
    recount,
    title_of,
    wait_for,
)
from tests.e2e.load import counts_are_right, under_load

pytestmark = [pytest.mark.fault, pytest.mark.kafka, pytest.mark.slow]

SEED = 20261123
SESSION_S = 6.0


async def told_once(stack: Stack, worker: int = 0) -> None:
    """One incident, one page, one message; a second message only as a possible duplicate."""
    (incident,) = await stack.incidents(worker)
    assert incident["state"] == "firing"
    assert stack.paged() == [("trigger", f"{incident['key']}/P1/1")] * len(stack.paged())
    assert stack.pagerduty.opened == 1
    messages = stack.told("headless-alerts")
    again = [m for m in messages[1:] if "possible duplicate" not in str(m)]
    assert messages, "nobody was told"
    assert again == [], [title_of(m) for m in messages]


async def test_killed_five_times_under_load(stack: Stack) -> None:
    rng = random.Random(SEED)
    worker = await stack.worker().start()
    async with under_load(stack):
        await wait_for(stack.triggers, "paged")
        for _ in range(5):
            await asyncio.sleep(rng.uniform(0.1, 3.5))  # some while it recovers
            await worker.kill()
            await worker.start(ready=False)
        await wait_for(worker.is_ready, "ready again")
    await counts_are_right(stack)
    await told_once(stack)

    # and right from the first status that it publishes
    await worker.kill()
    before = len(await stack.read("slo.status"))
    began = time.monotonic()
    await worker.start()
    took_s = time.monotonic() - began
    print(f"ready {took_s:.1f} s after SIGKILL and start")
    await stack.judged()
    after = await stack.read("slo.status")
    assert len(after) >= before
    expected = recount(stack.sent, time.time())["24h"]
    ours = [one["windows"]["24h"] for one in after if one["id"] == "availability"][-1]
    assert (ours["total"], ours["bad"]) == expected


async def test_a_worker_that_wakes_up_after_another_took_over(stack: Stack) -> None:
    first, second = stack.worker(), stack.worker()
    await first.start()
    async with under_load(stack):
        await wait_for(stack.triggers, "paged")
        await second.start(ready=False)
        await asyncio.sleep(2)
        first.suspend()
        await asyncio.sleep(SESSION_S + 2)
        await wait_for(second.is_ready, "the second has taken over")
        first.resume()
        assert await first.ended() == RESTART
        await first.start()
        await wait_for(second.is_ready, "both are ready")
    await counts_are_right(stack)
    await counts_are_right(stack, worker=1)
    await told_once(stack)


async def test_a_second_worker_joins_and_leaves(stack: Stack) -> None:
    first, second = stack.worker(), stack.worker()
    await first.start()
    async with under_load(stack):
        await wait_for(stack.triggers, "paged")
        await second.start()
        await asyncio.sleep(1)
        assert await second.stop() == 0
        await asyncio.sleep(SESSION_S + 1)  # its partitions come back
        await wait_for(first.is_ready, "the first has everything again")
    await counts_are_right(stack)
    await told_once(stack)
    assert "Traceback" not in second.log()


async def test_parts_in_processes_of_their_own_and_an_intake_that_wakes_up(stack: Stack) -> None:
    count, intake, other, deliver = (
        stack.worker("--only", part) for part in ("count", "intake", "intake", "deliver")
    )
    await asyncio.gather(*(one.start(ready=False) for one in (count, intake, deliver)))
    await wait_for(count.is_ready, "ready")
    async with under_load(stack):
        await wait_for(stack.triggers, "paged")
        await other.start()
        await asyncio.sleep(1)
        intake.suspend()
        await asyncio.sleep(SESSION_S + 2)
        intake.resume()
        await asyncio.sleep(1)
        await other.kill()
        await count.kill()
        await count.start()
    await counts_are_right(stack)
    await told_once(stack)


async def test_offsets_reset_to_the_beginning(stack: Stack) -> None:
    worker = await stack.worker().start()
    async with under_load(stack):
        await wait_for(stack.triggers, "paged")
        await asyncio.sleep(1)
    await counts_are_right(stack)
    assert await worker.stop() == 0
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    zero = [TopicPartition(stack.prefix + EVENTS, p, 0) for p in range(4)]
    group = ConsumerGroupTopicPartitions(f"{stack.prefix}burnrate-intake", zero)
    await wait_for(lambda: _reset(admin, group), "the group has let its member go")
    await worker.start()
    async with under_load(stack):
        await asyncio.sleep(1)
    await counts_are_right(stack)
    await told_once(stack)


def _reset(admin: AdminClient, group: ConsumerGroupTopicPartitions) -> bool:
    try:
        [altered] = admin.alter_consumer_group_offsets([group]).values()
        done = altered.result(10).topic_partitions
    except KafkaException:
        return False  # its member is known until its session ends
    return all(tp.error is None for tp in done)


async def test_partitions_are_added_while_it_runs(stack: Stack) -> None:
    await stack.worker().start()
    async with under_load(stack):
        await wait_for(stack.triggers, "paged")
        admin = AdminClient({"bootstrap.servers": stack.kafka})
        made = admin.create_partitions([NewPartitions(stack.prefix + EVENTS, 6)])
        next(iter(made.values())).result(10)
        await wait_for(lambda: stack.knows(5), "the producer hears of them")
        async with under_load(stack, partitions=6):
            await asyncio.sleep(3)
    await counts_are_right(stack)
    await told_once(stack)


async def test_partitions_that_came_while_the_leader_was_dead_find_a_reader(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    """It comes back under its name and gets what it had: Kafka asks nobody to share out anew."""
    async with Stack(kafka, prefix, tmp_path, partitions=1) as stack:
        worker = await stack.worker().start()
        await stack.produce([execution(time.time(), good=n > 1) for n in range(50)])
        await counts_are_right(stack)
        await worker.kill()
        admin = AdminClient({"bootstrap.servers": stack.kafka})
        made = admin.create_partitions([NewPartitions(stack.prefix + EVENTS, 3)])
        next(iter(made.values())).result(10)
        await worker.start(ready=False)
        await wait_for(lambda: stack.knows(2), "the producer hears of them")
        for partition in range(3):
            events = [execution(time.time(), good=n > 1) for n in range(50)]
            await stack.produce(events, partition=partition)
        await wait_for(worker.is_ready, "every partition is heard of", 60)
        await counts_are_right(stack)


async def test_kafka_is_stopped_and_started(prefix: str, tmp_path: Path) -> None:
    data_dir = tmp_path / "kafka"
    broker = await asyncio.to_thread(local_kafka.start, data_dir)
    try:
        async with Stack(broker.bootstrap, prefix, tmp_path) as stack:
            worker = await stack.worker().start()
            async with under_load(stack):
                await wait_for(stack.triggers, "paged")
                await asyncio.to_thread(local_kafka.stop, data_dir)
                await asyncio.sleep(4)
                again = await asyncio.to_thread(local_kafka.start, data_dir)
                assert again.bootstrap == broker.bootstrap
                await kept_running(worker)
                await asyncio.sleep(2)
            await counts_are_right(stack)
            await told_once(stack)
            await asyncio.to_thread(local_kafka.stop, data_dir)
            assert await worker.stop() == 0  # though it cannot take its leave of Kafka
    finally:
        await asyncio.to_thread(local_kafka.stop, data_dir)


async def test_a_zero_tolerance_page_survives_a_kill_at_once(stack: Stack) -> None:
    worker = await stack.worker().start()
    await stack.produce([integrity(None, "conv-1")])
    await asyncio.sleep(0.05)
    await worker.kill()
    await worker.start()
    await wait_for(lambda: len(set(stack.paged())) == 1 and stack.pagerduty.opened == 2, "paged")
    await stack.judged()
    (incident,) = await stack.incidents()
    assert {key for _, key in stack.paged()} == {f"{incident['key']}/P1/1"}


async def test_a_topic_made_anew_is_counted_from_its_beginning(stack: Stack) -> None:
    """Its offsets begin at 0 again, yet nothing of it is taken for what was counted already."""
    await stack.worker().start()
    now = time.time()
    for partition in range(4):
        events = [execution(now - 60 - n, good=n > 1) for n in range(50)]
        await stack.produce(events, partition=partition)
    await counts_are_right(stack)
    admin, topic = AdminClient({"bootstrap.servers": stack.kafka}), stack.prefix + EVENTS
    admin.delete_topics([topic])[topic].result(10)
    await wait_for(lambda: topic not in admin.list_topics(timeout=5).topics, "it is deleted")
    await create_topics(stack.settings, [t for t in all_topics(replay=False) if t.name == EVENTS])
    for partition in range(4):  # fewer than before, then more: within the old offsets, and beyond
        for count in (30, 40):
            events = [execution(now - n, good=n > 2) for n in range(count)]
            await stack.produce(events, partition=partition)
    await counts_are_right(stack)
