"""A whole stack for end-to-end tests: topics of its own, worker processes, loopback services.

Real Kafka, real processes. Time is the machine's, or held by the test in a file (`BURNRATE_CLOCK`):
then the source topic takes the records' own times, which the test holds as well.
"""

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app.kafka import create_topics
from app.settings import Settings
from app.topics import EVENTS, PARTITIONS, REJECTED, Topic, all_topics
from tests.servers import PagerDutyServer, SlackServer

ROOT = Path(__file__).parents[2]
CHANNELS = ("headless-alerts", "shadow-mode-alerts", "critical-alerts", "ops-alerts")
OWNERS = (
    "backend-team",
    "platform-lead",
    "qa-team",
    "qa-lead",
    "data-team",
    "data-lead",
    "ops-team",
    "ops-lead",
)
RESTART = 75  # the exit code of a worker that wants to be started again
PACED_S = 3.0
BURST_S = 0.3  # in which a tick judges all
PATIENCE_S = 40.0
MINUTE, HOUR, DAY = 60, 3600, 86_400

Event = dict[str, Any]


def iso(at_s: float) -> str:
    """A time as an event carries it."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")


def key_time(at_s: float) -> str:
    """A time as an incident's key carries it."""
    return f"{datetime.fromtimestamp(int(at_s), UTC):%Y%m%dT%H%M%SZ}"


def routing_key(owner: str) -> str:
    """The test's 32-character key of an owner's pager."""
    return f"{owner.replace('-', '')}key".ljust(32, "0")


def execution(
    at_s: float | None,
    *,
    good: bool = True,
    agent: str = "agent-1",
    cli: str = "claude",
    duration_ms: int = 1000,
    memory_mb: float | None = None,
    error: str = "exit 1",
) -> Event:
    """One of Kokino's executions that ended; `at_s` None: without a timestamp."""
    metadata: Event = {} if good else {"error": error}
    if memory_mb is not None:
        metadata["memoryMB"] = memory_mb
    event = {
        "event": "EXECUTION_COMPLETED" if good else "EXECUTION_FAILED",
        "agent_id": agent,
        "cli_type": cli,
        "duration_ms": duration_ms,
        "success": int(good),
        "metadata": metadata,
    }
    return event if at_s is None else event | {"timestamp": iso(at_s)}


def comparison(at_s: float, *, good: bool, ticket: str = "T-1") -> Event:
    """One comparison of the shadow mode."""
    return {
        "event": "SHADOW_COMPARED",
        "agent_id": "shadow",
        "metadata": {
            "tmuxSuccess": True,
            "headlessSuccess": True,
            "match": good,
            "ticketId": ticket,
        },
        "timestamp": iso(at_s),
    }


def integrity(at_s: float | None, conversation: str, *, good: bool = False) -> Event:
    """One check of a conversation."""
    event = {
        "event": f"CONVERSATION_INTEGRITY_{'PASS' if good else 'FAIL'}",
        "agent_id": conversation,
        "metadata": {"conversationId": conversation, "issueTypes": ["missing_turn"]},
    }
    return event if at_s is None else event | {"timestamp": iso(at_s)}


async def wait_for(  # noqa: ANN201 - what it waits for
    what: Callable[[], Any], why: str, deadline_s: float = PATIENCE_S
):
    """Wait until it is true, and give what it gave; fails with the last value it had."""
    until = time.monotonic() + deadline_s
    found: Any = None
    while time.monotonic() < until:
        with suppress(httpx.HTTPError):
            found = what()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {deadline_s:.0f} s: {why}; last: {found!r}")


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Worker:
    """One worker process. It keeps its port and data folder, so it comes back as the same."""

    def __init__(self, folder: Path, env: dict[str, str], arguments: Sequence[str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = folder / f"worker-{self.port}.log"
        self._env = env
        self._arguments = arguments
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *, ready: bool = True) -> Self:
        """Start it, and wait until it is ready."""
        command = [sys.executable, "-m", "app", *self._arguments, "--port", str(self.port)]
        with self.log_path.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, env=self._env, cwd=ROOT, stdout=log, stderr=log
            )
        if ready:
            await wait_for(self.is_ready, f"ready; its log ends: {self.log()[-2000:]}")
        return self

    async def is_ready(self) -> bool:
        """What `/readyz` says; an ended process is an error."""
        assert self.process is not None
        assert self.process.returncode is None, f"it has ended: {self.log()[-3000:]}"
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            return (await client.get(f"{self.url}/readyz")).status_code == httpx.codes.OK

    async def says(self) -> str:
        """Why it is not ready, by its own words."""
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            try:
                return f"{self.url} {(await client.get(f'{self.url}/readyz')).text}"
            except httpx.HTTPError as error:
                return f"{self.url} {error!r}"

    async def kill(self) -> None:
        """SIGKILL, and nothing is tidied up."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM, as a supervisor does; the exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 20)

    def suspend(self) -> None:
        """SIGSTOP: it stands still and knows nothing of it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    async def ended(self, deadline_s: float = PATIENCE_S) -> int:
        """Wait for it to end by itself; the exit code."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), deadline_s)

    def log(self) -> str:
        """What it has said."""
        return self.log_path.read_text("utf-8", "replace") if self.log_path.exists() else ""


TOKEN = "a-token-of-the-tests"


async def kept_running(worker: Worker) -> int:
    """As a supervisor does: started again where it ended to be started again; how often."""
    for restarts in range(3):
        try:
            await wait_for(worker.is_ready, "ready again", 30)
        except AssertionError:
            assert worker.process is not None
            assert worker.process.returncode == RESTART, worker.log()[-3000:]
            await worker.start(ready=False)
        else:
            return restarts
    raise AssertionError("it ends whenever it is started")


class Stack:
    """Everything of one test. `held_at`: the time (s) at which its clock is held at first."""

    def __init__(
        self,
        kafka: str,
        prefix: str,
        folder: Path,
        *,
        held_at: float | None = None,
        replay: bool = False,
        config: Path = ROOT / "config",
        partitions: int = 4,
        env: dict[str, str] | None = None,
    ) -> None:
        self.kafka, self.prefix, self.folder = kafka, prefix, folder
        self.settings = Settings(kafka=kafka, topic_prefix=prefix, replay=replay)
        self.slack, self.pagerduty = SlackServer(), PagerDutyServer()
        self.workers: list[Worker] = []
        self.sent: list[tuple[float, Event]] = []  # every event, with its event time
        self._clock = folder / "clock"
        self._held = held_at is not None
        self._replay = replay
        self._config = config
        self.partitions = partitions
        self._more = env or {}
        self._exits = AsyncExitStack()
        if held_at is not None:
            self.set_clock(held_at)

    async def __aenter__(self) -> Self:
        for server in (self.slack, self.pagerduty):
            await self._exits.enter_async_context(server.running())
        await create_topics(self.settings, [self._source()])
        await create_topics(self.settings, all_topics(replay=self._replay))
        self._http = await self._exits.enter_async_context(
            httpx.AsyncClient(trust_env=False, timeout=5)
        )
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self.kafka,
            enable_idempotence=True,  # so that a Kafka that comes back gets nothing twice
            metadata_max_age_ms=2000,
            max_batch_size=900_000,
            max_request_size=4_000_000,
        )
        await self._producer.start()
        self._exits.push_async_callback(self._producer.stop)
        self._exits.push_async_callback(self._end_workers)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()
        assert self.slack.faults == []
        assert self.pagerduty.faults == []

    def _source(self) -> Topic:
        """The source topic; where the test holds the clock its records carry their own times."""
        own_times = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
        found = next(t for t in all_topics(replay=False) if t.name == EVENTS)
        config = own_times if self._held or self._replay else found.config
        return Topic(EVENTS, self.partitions, config)

    async def _end_workers(self) -> None:
        for worker in self.workers:
            if worker.process is not None and worker.process.returncode is None:
                worker.resume()
                await worker.kill()

    def worker(self, *arguments: str) -> Worker:
        """A further worker; not started."""
        return self._process("worker", *arguments)

    def up(self, data: Path) -> Worker:
        """Everything by one command, on Kokino's databases; not started."""
        return self._process("up", "--data", str(data))

    def _process(self, *arguments: str) -> Worker:
        made = Worker(self.folder, self.env(), arguments)
        self.workers.append(made)
        return made

    def env(self) -> dict[str, str]:
        """What its processes are started with."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("BURNRATE_", "SLACK_"))}
        hooks = {
            f"SLACK_WEBHOOK_{channel.upper().replace('-', '_')}": self.slack.webhook(channel)
            for channel in CHANNELS
        }
        keys = {
            f"PAGERDUTY_KEY_{owner.upper().replace('-', '_')}": routing_key(owner)
            for owner in OWNERS
        }
        own = {
            "BURNRATE_KAFKA": self.kafka,
            "BURNRATE_TOPIC_PREFIX": self.prefix,
            "BURNRATE_CONFIG": str(self._config),
            "BURNRATE_DATA": str(self.folder / "state"),
            "BURNRATE_API_TOKEN": TOKEN,
            "BURNRATE_PUBLIC_URL": "http://status.test",
            "PAGERDUTY_EVENTS_URL": self.pagerduty.url,
        }
        if self._held:
            own["BURNRATE_CLOCK"] = str(self._clock)
        if self._replay:
            own |= {"BURNRATE_REPLAY": "1", "BURNRATE_SEND": "1"}
        return kept | hooks | keys | own | self._more

    # time

    @property
    def now(self) -> float:
        """The stack's time, s."""
        return int(self._clock.read_text()) / 1000 if self._held else time.time()

    def set_clock(self, at_s: float) -> None:
        """Hold the clock at another moment; the file is replaced at once."""
        new = self._clock.with_suffix(".new")
        new.write_text(str(round(at_s * 1000)))
        new.replace(self._clock)

    async def at(self, at_s: float) -> None:
        """Move the clock, and wait until everything is judged as of then."""
        self.set_clock(at_s)
        await self.judged()

    async def judged(self) -> None:
        """Wait until every SLO was judged anew, on all that had been sent before."""
        await wait_for(self._sees, "the watermarks are of this moment")
        for _ in range(2):  # the first may be of one SLO alone, that a digest has touched
            before = await self.metric("burnrate_judge_seconds_count")

            async def again(before: float = before) -> bool:
                return await self.metric("burnrate_judge_seconds_count") > before

            await wait_for(again, "judged again")
            await asyncio.sleep(BURST_S)
        await wait_for(self._sees, "the alerter's own vital signs are of this moment too")

    async def _sees(self) -> bool:
        """Every partition is read to its end, as of the clock's time."""
        lag = await self.metric("burnrate_consumer_lag_seconds")
        return lag == 0 and await self.readers_at_end()

    async def readers_at_end(self) -> bool:
        """The intake has read every record that was sent."""
        results = ("counted", "ignored", "late", "rejected", "left_out")
        read = [await self.metric(f'burnrate_events_total{{result="{r}"}}') for r in results]
        return sum(read) >= self.expected_read

    # input

    expected_read = 0

    async def produce(
        self, events: Sequence[Event], *, partition: int = 0, kafka_s: float | None = None
    ) -> None:
        """Send events as one batch, which is read as one, and wait until Kafka has it."""
        at_ms = round((self.now if kafka_s is None else kafka_s) * 1000)
        batch = self._producer.create_batch()
        for event in events:
            value = msgspec.json.encode(event)
            assert batch.append(key=None, value=value, timestamp=at_ms), "too much for one batch"
            stamp = event.get("timestamp")
            at_s = datetime.fromisoformat(stamp).timestamp() if stamp else at_ms / 1000
            self.sent.append((at_s, event))
        await (await self._producer.send_batch(batch, self.prefix + EVENTS, partition=partition))
        self.expected_read += len(events)

    async def knows(self, partition: int) -> bool:
        """Whether the producer has heard of this partition, which may be new or away with Kafka."""
        return partition in await self._producer.partitions_for(self.prefix + EVENTS)

    async def produce_array(self, events: Sequence[Event]) -> None:
        """Send events as one record, an array."""
        value = msgspec.json.encode(list(events))
        await self._producer.send_and_wait(
            self.prefix + EVENTS, value, timestamp_ms=round(self.now * 1000)
        )
        self.sent += [(datetime.fromisoformat(e["timestamp"]).timestamp(), e) for e in events]
        self.expected_read += len(events)

    async def produce_raw(self, value: bytes | None, *, key: bytes = b"raw") -> tuple[int, int]:
        """Send a record as it is; its partition and offset."""
        sent = await self._producer.send_and_wait(self.prefix + EVENTS, value, key=key)
        self.expected_read += 1
        return sent.partition, sent.offset

    # what is seen

    async def get(self, path: str, worker: int = 0) -> httpx.Response:
        """Ask a worker."""
        return await self._http.get(f"{self.workers[worker].url}{path}")

    async def order(self, method: str, path: str, body: object = None, worker: int = 0) -> Any:  # noqa: ANN401
        """Change something, as the API's token allows."""
        answer = await self._http.request(
            method,
            f"{self.workers[worker].url}{path}",
            json=body,
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        return answer.raise_for_status().json()

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str], worker: int = 0
    ) -> httpx.Response:
        """Send what others send: bytes, with headers of theirs."""
        url = f"{self.workers[worker].url}{path}"
        return await self._http.post(url, content=body, headers=dict(headers))

    async def api(self, path: str, worker: int = 0) -> Any:  # noqa: ANN401 - any JSON
        """Ask a worker's API."""
        return (await self.get(path, worker)).raise_for_status().json()

    async def slo(self, name: str, worker: int = 0) -> dict[str, Any]:
        """One SLO's status; empty where there is none yet."""
        status = await self.api("/api/slo/status", worker)
        return next((slo for slo in status["slos"] if slo["id"] == name), {})

    async def incidents(self, worker: int = 0) -> list[dict[str, Any]]:
        """Every incident, oldest first."""
        return list(reversed((await self.api("/api/incidents", worker))["incidents"]))

    async def metric(self, name: str, worker: int = 0) -> float:
        """A sample of `/metrics`, with its labels as they stand there; 0 where there is none."""
        text = (await self.get("/metrics", worker)).text
        lines = (line.rpartition(" ") for line in text.splitlines())
        return next((float(value) for found, _, value in lines if found == name), 0.0)

    async def windows(self, slo: str, worker: int = 0) -> dict[str, tuple[int, int]]:
        """Total and bad of an SLO's windows."""
        shown = (await self.slo(slo, worker)).get("windows", {})
        return {name: (w["total"], w["bad"]) for name, w in shown.items()}

    def told(self, channel: str) -> list[dict[str, Any]]:
        """The messages that have come to a channel, by its webhook's address."""
        path = f"/services/T000/B000/{channel}-canary"
        return [arrival.body for arrival in self.slack.arrivals if arrival.path == path]

    def paged(self, owner: str | None = None) -> list[tuple[str, str]]:
        """What PagerDuty was told for an owner's key: action and dedup key."""
        key = None if owner is None else routing_key(owner)
        return [
            (body["event_action"], body["dedup_key"])
            for body in self.pagerduty.bodies
            if key is None or body["routing_key"] == key
        ]

    def triggers(self) -> list[str]:
        """The dedup keys that were triggered, in order."""
        return [key for action, key in self.paged() if action == "trigger"]

    async def told_so(self, channel: str, title: str) -> dict[str, Any]:
        """Wait for the message with this in its title."""

        began, held_at = time.monotonic(), self.now

        def find() -> dict[str, Any] | None:
            waited_s = time.monotonic() - began
            if self._held and waited_s > PACED_S:  # a channel's pace needs time to pass
                self.set_clock(held_at + waited_s - PACED_S)
            return next((m for m in self.told(channel) if title in title_of(m)), None)

        try:
            return await wait_for(find, f"{channel} is told of {title!r}")
        except AssertionError:
            titles = [title_of(message) for message in self.told(channel)]
            raise AssertionError(f"{channel} was told {titles}, not {title!r}") from None

    async def rejected(self) -> list[dict[str, Any]]:
        """The values of `slo.rejected`."""
        return await self.read(REJECTED)

    async def read(self, topic: str) -> list[dict[str, Any]]:
        """All values of a topic that holds JSON, by partition."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka, auto_offset_reset="earliest", enable_auto_commit=False
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(self.prefix + topic, p) for p in range(PARTITIONS)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[Any] = []
            for tp, end in ends.items():
                while await consumer.position(tp) < end:
                    batches = await consumer.getmany(tp, timeout_ms=500)
                    found += [msgspec.json.decode(r.value) for r in batches.get(tp, [])]
            return found
        finally:
            await consumer.stop()


def title_of(message: dict[str, Any]) -> str:
    """A Slack message's headline."""
    return str(message["blocks"][0]["text"]["text"])


def text_of(message: dict[str, Any]) -> str:
    """Everything that a Slack message says."""
    lines = []
    for block in message["blocks"]:
        parts = [block.get("text"), *block.get("fields", []), *block.get("elements", [])]
        lines += [p["text"] for p in parts if p and isinstance(p["text"], str)]
    return "\n".join(lines)


# recounting


def trailing(at_s: float, window_s: int) -> tuple[int, int]:
    """A window's slots by the book, begin and end, s: written a second time on purpose."""
    slot = 10 if window_s <= DAY else 300
    end = (int(at_s) // slot + 1) * slot
    if window_s <= DAY:
        return end - window_s, end
    return -(-(int(at_s * 1000) - window_s * 1000) // (slot * 1000)) * slot, end


WINDOWS = {"5m": 300, "1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}


def recount(sent: Iterable[tuple[float, Event]], at_s: float) -> dict[str, tuple[int, int]]:
    """Availability's windows, counted from the events themselves."""
    found = {}
    executions = [(at, e["success"]) for at, e in sent if e["event"].startswith("EXECUTION_")]
    for name, window_s in WINDOWS.items():
        begin, end = trailing(at_s, window_s)
        within = [success for at, success in executions if begin <= at < end]
        found[name] = (len(within), sum(not success for success in within))
    return found


def traffic(at_s: float, count: int, bad: int, seed: int = 0) -> list[Event]:
    """Executions of a few agents, all at about the same time, some of them failed."""
    rng = random.Random(seed)
    made = [
        execution(at_s - rng.random(), good=number >= bad, agent=f"agent-{rng.randrange(8)}")
        for number in range(count)
    ]
    rng.shuffle(made)
    return made


def assert_says(message: dict[str, Any], *lines: str) -> None:
    """Every line stands in the message as a whole line."""
    said = text_of(message).split("\n")
    missing = [line for line in lines if line not in said]
    assert not missing, f"missing: {missing}\nsaid:\n" + "\n".join(said)
