"""A stack under siege: every fault there is, in an order and at moments drawn from a seed.

A broker of its own, workers and a bridge that somebody keeps running as a supervisor does, traffic
all the while. What counts in the end is the log itself: whatever Kafka has is recounted.
"""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient, NewPartitions

from app.local import kafka as local_kafka
from app.topics import EVENTS
from tests.bridge.kokino import Kokino
from tests.e2e.harness import RESTART, ROOT, Event, Stack, Worker, execution, wait_for

SESSION_S = 6.0
GROUPS = ("burnrate-intake", "burnrate-count")
KAFKA_AWAY = 1  # a start while there is no Kafka: a person may have to act
BATCH, PAUSE_S = 10, 0.05  # 200 events a second, at most
MOST_JOINED = 2  # beside the first, which stay
SMALL_MB = 100.0  # nobody is told of it
BURST_ROWS = 3000
SETTLING_S = 120.0


class Bridge:
    """`burnrate bridge` as a process."""

    def __init__(self, env: dict[str, str], data: Path, log_path: Path) -> None:
        self._env, self._data, self._log_path = env, data, log_path
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *, ready: bool = False) -> None:
        assert not ready
        command = [sys.executable, "-m", "app", "bridge", "--data", str(self._data)]
        with self._log_path.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, env=self._env, cwd=ROOT, stdout=log, stderr=log
            )


class Siege:
    """What is besieged, and what keeps it going."""

    def __init__(self, stack: Stack, broker: Path, folder: Path) -> None:
        self.stack, self.broker = stack, broker
        self.first: list[Worker] = []
        self.up: list[Worker] = []  # these are kept running
        self.partitions = stack.partitions
        self.killed = 0
        self.kokino = Kokino(folder / "kokino")
        self.bridge = Bridge(stack.env(), self.kokino.folder, folder / "bridge.log")
        self.rows = 0
        self.strange: list[tuple[str, int | None]] = []

    # keeping

    async def keep(self) -> None:
        """Start again what has ended, as a supervisor does; note what should not have ended so."""
        while True:
            for one in (*self.up, self.bridge):
                code = None if one.process is None else one.process.returncode
                if one.process is None or code is not None:
                    if code not in (None, -signal.SIGKILL, RESTART, KAFKA_AWAY):
                        self.strange.append((type(one).__name__, code))
                    await one.start(ready=False)
            await asyncio.sleep(0.2)

    async def load(self) -> None:
        """Executions, one of five failing, from the first batch on; rows for the bridge besides."""
        for number in range(10**9):
            now = time.time()
            batch = [
                execution(now, good=n % 5 > 0, agent=f"agent-{n}", memory_mb=SMALL_MB + n)
                for n in range(BATCH)
            ]
            partition = number % self.partitions
            with suppress(KafkaError):  # whether Kafka has it or not, its log will tell
                if await self.stack.knows(partition):
                    await self.stack.produce(batch, partition=partition)
            if number % 20 == 0:
                self.execute(1)
            await asyncio.sleep(PAUSE_S)

    def execute(self, count: int) -> None:
        """Kokino writes so many executions at once."""
        at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        rows = range(self.rows, self.rows + count)
        self.kokino.executed(*(f"row-{number}" for number in rows), at=at)
        self.rows += count

    # faults are done to

    def kill(self, one: Worker | Bridge) -> None:
        """SIGKILL."""
        _signal(one, signal.SIGKILL)
        self.killed += 1

    async def dismiss(self, worker: Worker) -> None:
        """SIGTERM, and nobody starts it again."""
        self.up.remove(worker)
        _signal(worker, signal.SIGCONT)
        _signal(worker, signal.SIGTERM)
        if worker.process is not None:
            await asyncio.wait_for(worker.process.wait(), 30)

    async def kafka_returns(self) -> None:
        """Start the broker where it was."""
        again = await asyncio.to_thread(local_kafka.start, self.broker)
        assert again.bootstrap == self.stack.kafka

    async def settle(self) -> None:
        """Wait until every worker is ready; says what they say where one is not."""
        try:
            await wait_for(lambda: _all_ready(self), "all are ready", SETTLING_S)
        except AssertionError as error:
            said = [f"{await worker.says()}\n{worker.log()[-1500:]}" for worker in self.up]
            waiting = [await unread(self, group) for group in GROUPS]
            raise AssertionError("\n\n".join([str(error), *waiting, *said])) from error

    @property
    def admin(self) -> AdminClient:
        """For what somebody does to the topics."""
        return AdminClient({"bootstrap.servers": self.stack.kafka})


async def unread(siege: Siege, group: str) -> str:
    """How many records of each partition a group has not acknowledged, for who looks into it."""
    options = {"bootstrap_servers": siege.stack.kafka}
    consumer, admin = AIOKafkaConsumer(**options), AIOKafkaAdminClient(**options)
    await consumer.start()
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(siege.stack.prefix + group)
        ends = await consumer.end_offsets(list(committed))
        return "\n".join(
            f"{tp.topic} {tp.partition}: {ends[tp] - at.offset} unread"
            for tp, at in committed.items()
        )
    finally:
        await consumer.stop()
        await admin.close()


def _signal(one: Worker | Bridge, number: signal.Signals) -> None:
    if one.process is not None:
        with suppress(ProcessLookupError):
            one.process.send_signal(number)


# the faults

Fault = Callable[[Siege, Random], Awaitable[None]]


async def kill_a_worker(siege: Siege, random: Random) -> None:
    siege.kill(random.choice(siege.up))


async def kill_one_that_recovers(siege: Siege, random: Random) -> None:
    victim = random.choice(siege.up)
    for _ in range(3):
        siege.kill(victim)
        await asyncio.sleep(random.uniform(0.5, 3.5))


async def suspend_beyond_the_session(siege: Siege, random: Random) -> None:
    victim = random.choice(siege.up)
    _signal(victim, signal.SIGSTOP)
    await asyncio.sleep(SESSION_S + random.uniform(1, 3))
    _signal(victim, signal.SIGCONT)


async def suspend_for_a_moment(siege: Siege, random: Random) -> None:
    victim = random.choice(siege.up)
    _signal(victim, signal.SIGSTOP)
    await asyncio.sleep(random.uniform(0.3, 2.5))
    _signal(victim, signal.SIGCONT)


async def suspend_all(siege: Siege, random: Random) -> None:
    victims = list(siege.up)
    for victim in victims:
        _signal(victim, signal.SIGSTOP)
    await asyncio.sleep(SESSION_S + random.uniform(0, 2))
    for victim in random.sample(victims, len(victims)):
        _signal(victim, signal.SIGCONT)


async def a_worker_joins(siege: Siege, random: Random) -> None:
    joined = [worker for worker in siege.up if worker not in siege.first]
    if len(joined) >= MOST_JOINED:
        await siege.dismiss(random.choice(joined))
    siege.up.append(siege.stack.worker())


async def a_worker_leaves(siege: Siege, random: Random) -> None:
    if siege.up == siege.first:
        await a_worker_joins(siege, random)
        await asyncio.sleep(random.uniform(2, 8))
    await siege.dismiss(random.choice([w for w in siege.up if w not in siege.first]))


async def stop_kafka(siege: Siege, random: Random) -> None:
    await asyncio.to_thread(local_kafka.stop, siege.broker)
    await asyncio.sleep(random.uniform(0, 4))
    await siege.kafka_returns()


async def kill_kafka(siege: Siege, random: Random) -> None:
    pid = local_kafka.status(siege.broker).pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    await asyncio.sleep(random.uniform(0, 4))
    await siege.kafka_returns()


async def kill_the_bridge_in_a_batch(siege: Siege, random: Random) -> None:
    siege.execute(BURST_ROWS)
    await asyncio.sleep(random.uniform(0, 1.2))
    siege.kill(siege.bridge)


async def reset_the_offsets(siege: Siege, random: Random) -> None:
    """To the beginning, which Kafka allows only while nobody is in the group."""
    down, siege.up = siege.up, []
    for worker in down:
        siege.kill(worker)
    name = f"{siege.stack.prefix}burnrate-intake"
    zero = [Place(siege.stack.prefix + EVENTS, p, 0) for p in range(siege.partitions)]
    admin = siege.admin
    await wait_for(
        lambda: _reset(admin, ConsumerGroupTopicPartitions(name, zero)), "the group is empty"
    )
    siege.up = down


def _reset(admin: AdminClient, group: ConsumerGroupTopicPartitions) -> bool:
    try:
        next(iter(admin.alter_consumer_group_offsets([group]).values())).result(10)
    except Exception:  # noqa: BLE001 - its members are known until their sessions end
        return False
    return True


async def add_partitions(siege: Siege, random: Random) -> None:
    more = siege.partitions + random.randint(1, 3)
    admin = siege.admin  # kept: its end would end the request
    made = admin.create_partitions([NewPartitions(siege.stack.prefix + EVENTS, more)])
    await asyncio.to_thread(next(iter(made.values())).result, 10)
    await wait_for(lambda: siege.stack.knows(more - 1), "the producer hears of them")
    siege.partitions = more


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill_a_worker,
        kill_one_that_recovers,
        suspend_beyond_the_session,
        suspend_for_a_moment,
        suspend_all,
        a_worker_joins,
        a_worker_leaves,
        stop_kafka,
        kill_kafka,
        kill_the_bridge_in_a_batch,
        reset_the_offsets,
        add_partitions,
    )
}


# the plan


class Move(NamedTuple):
    """One fault, what it draws from, and how long nothing happens after it."""

    fault: str
    seed: int
    pause_s: float


class Plan(NamedTuple):
    """How it begins, and what happens."""

    partitions: int
    only: tuple[str, ...]  # parts in processes of their own; none: whole workers
    moves: tuple[Move, ...]


def plan(seed: int) -> Plan:
    """The plan of a seed: every fault once, a second worker and three more kills, in any order."""
    random = Random(seed)
    names = [*FAULTS, "a_worker_joins", *["kill_a_worker"] * 3]
    random.shuffle(names)
    return Plan(
        partitions=random.choice((1, 2, 4, 7)),  # fewer than workers, and more
        only=random.choice(((), (), ("intake", "count", "deliver"))),
        moves=tuple(Move(n, random.randrange(2**32), random.uniform(0, 3)) for n in names),
    )


@asynccontextmanager
async def besieged(seed: int, prefix: str, broker: Path, folder: Path) -> AsyncIterator[Siege]:
    """The stack after the plan of this seed, with everything running again, and at rest."""
    begin = plan(seed)
    kafka = await asyncio.to_thread(local_kafka.start, broker)
    async with Stack(kafka.bootstrap, prefix, folder, partitions=begin.partitions) as stack:
        siege = Siege(stack, broker, folder)
        parts = [("--only", part) for part in begin.only] or [()]
        siege.first = [stack.worker(*arguments) for arguments in parts]
        siege.up = list(siege.first)
        keeping = asyncio.create_task(siege.keep())
        try:
            await siege.settle()
            await play(siege, begin.moves)
            await siege.settle()
            assert not keeping.done(), keeping.exception()
            yield siege
        finally:
            keeping.cancel()
            for one in (*siege.up, siege.bridge):
                _signal(one, signal.SIGKILL)
            siege.kokino.close()


async def _all_ready(siege: Siege) -> bool:
    try:
        return all([await worker.is_ready() for worker in siege.up])
    except AssertionError:  # it has ended, and is started again
        return False


async def play(siege: Siege, moves: Sequence[Move]) -> None:
    """Make the moves, under traffic."""
    loading = asyncio.create_task(siege.load())
    try:
        for move in moves:
            print(f"  {move.fault}")
            await FAULTS[move.fault](siege, Random(move.seed))
            await asyncio.sleep(move.pause_s)
    finally:
        loading.cancel()
        with suppress(asyncio.CancelledError):
            await loading


# what Kafka has


async def logged(siege: Siege) -> list[tuple[float, Event]]:
    """Every committed event of the source topic with its event time, s."""
    stack = siege.stack
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stack.kafka, isolation_level="read_committed", enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(stack.prefix + EVENTS, p) for p in range(siege.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[tuple[float, Event]] = []
        for tp, end in (await consumer.end_offsets(partitions)).items():
            while await consumer.position(tp) < end:
                for record in (await consumer.getmany(tp, timeout_ms=200)).get(tp, []):
                    event: dict[str, Any] = msgspec.json.decode(record.value)
                    found.append((_time_of(event, record.timestamp), event))
        return found
    finally:
        await consumer.stop()


def _time_of(event: Event, kafka_ms: int) -> float:
    stamp = event.get("timestamp")
    if not stamp:
        return kafka_ms / 1000
    at = datetime.fromisoformat(stamp)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def by_row(events: Sequence[tuple[float, Event]]) -> Counter[str]:
    """How often each of Kokino's rows was sent."""
    names = (str(event.get("agent_id")) for _, event in events)
    return Counter(name for name in names if name.startswith("row-"))
