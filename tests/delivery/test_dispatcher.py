"""The dispatcher against loopback servers, on a clock that the test holds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import httpx
import pytest
import pytest_asyncio
from msgspec.structs import replace

from app.core.notices import Notice
from app.delivery import outbox
from app.delivery.dispatcher import Callbacks, Delivery, Dispatcher, Presentation, Timing
from app.delivery.outbox import Entry
from app.delivery.secrets import Secrets, fingerprint
from app.delivery.sender import open_client
from app.delivery.wording import Wording
from tests.delivery.held import HeldTime
from tests.delivery.samples import ADDRESSES, KEY, PAGER, SLACK, notice
from tests.servers import PagerDutyServer, SlackServer

ROUTING_KEY = "0123456789abcdef0123456789abcdef"
OTHER_KEY = "fedcba9876543210fedcba9876543210"
OPS = "slack:#ops-alerts"


@dataclass
class Owner:
    """Stands for the worker: a table that outlives the dispatcher, and everything it was told."""

    table: dict[str, bytes] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    shown: list[tuple[str, str]] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)
    alive: bool = True
    store_fails: int = 0

    async def store(self, entry: Entry) -> None:
        if self.store_fails:
            self.store_fails -= 1
            raise ConnectionError("Kafka is away")
        self.table[entry.id] = outbox.encoded(entry)

    async def forget(self, entry: Entry) -> None:
        self.table.pop(entry.id, None)

    async def record(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)

    def may_send(self) -> bool:
        return self.alive

    async def on_broken(self, destination: str, reason: str) -> None:
        self.broken.append((destination, reason))

    async def on_mended(self, destination: str) -> None:
        self.mended.append(destination)

    def show(self, entry: Entry, why: str) -> None:
        self.shown.append((entry.notice.kind, why))

    def queue(self, destination: str, length: int, oldest_s: float) -> None:
        self.measured["queue", destination] = (length, oldest_s)

    def configured(self, destination: str, *, yes: bool) -> None:
        self.measured["configured", destination] = yes

    def note_broken(self, destination: str, *, yes: bool) -> None:
        self.measured["broken", destination] = yes

    def callbacks(self) -> Callbacks:
        return Callbacks(
            store=self.store,
            forget=self.forget,
            record=self.record,
            may_send=self.may_send,
            on_broken=self.on_broken,
            on_mended=self.on_mended,
            show=self.show,
            meter=Gauges(self),
        )

    def outcomes(self) -> list[tuple[str, str]]:
        return [(d.kind, d.outcome) for d in self.deliveries]

    def entries(self) -> list[Entry]:
        return [outbox.decoded(data) for data in self.table.values()]


@dataclass
class Gauges:
    owner: Owner

    def queue(self, destination: str, length: int, oldest_s: float) -> None:
        self.owner.queue(destination, length, oldest_s)

    def configured(self, destination: str, *, yes: bool) -> None:
        self.owner.configured(destination, yes=yes)

    def broken(self, destination: str, *, yes: bool) -> None:
        self.owner.note_broken(destination, yes=yes)


@dataclass
class World:
    """Two services, a held clock, an owner, and a dispatcher that can be killed and begun anew."""

    slack: SlackServer
    pager: PagerDutyServer
    time: HeldTime
    owner: Owner
    env: dict[str, str]
    running: list[Dispatcher] = field(default_factory=list)
    timeout_s: float = 10.0

    def begin(self, client: httpx.AsyncClient) -> Dispatcher:
        presentation = Presentation(
            wording=Wording(), addresses=ADDRESSES, events_url=self.pager.url
        )
        timing = Timing(
            clock=self.time, sleep=self.time.sleep, jitter=lambda: 1.0, timeout_s=self.timeout_s
        )
        dispatcher = Dispatcher(
            client, Secrets(self.env), presentation, self.owner.callbacks(), timing
        )
        self.running.append(dispatcher)
        return dispatcher

    async def later(self, dispatcher: Dispatcher, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass in steps, everybody doing what is due in each."""
        for _ in range(round(seconds / step_s)):
            await self.time.advance(step_s)
            await dispatcher.settled()


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        slack, pager = SlackServer(), PagerDutyServer()
        await stack.enter_async_context(slack.running())
        await stack.enter_async_context(pager.running())
        env = {
            "SLACK_WEBHOOK_HEADLESS_ALERTS": slack.webhook(),
            "SLACK_WEBHOOK_OPS_ALERTS": slack.webhook("ops-alerts"),
            "PAGERDUTY_KEY_BACKEND_TEAM": ROUTING_KEY,
        }
        world = World(slack, pager, HeldTime(), Owner(), env)
        yield world
        for dispatcher in world.running:
            await dispatcher.close()
        assert slack.faults == []
        assert pager.faults == []


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with open_client() as client:
        yield client


async def offered(dispatcher: Dispatcher, *notices: Notice) -> None:
    for one in notices:
        await dispatcher.offer(one)
    await dispatcher.settled()


def kinds(bodies: list[Any]) -> list[str]:
    return [body["event_action"] for body in bodies]


def titles(bodies: list[Any]) -> list[str]:
    return [body["blocks"][0]["text"]["text"] for body in bodies]


async def test_a_notice_is_stored_sent_and_recorded(
    world: World, client: httpx.AsyncClient
) -> None:
    one = notice(1, destination=PAGER)
    await offered(world.begin(client), one)
    [body] = world.pager.bodies
    assert (body["routing_key"], body["dedup_key"]) == (ROUTING_KEY, f"{KEY}/P1/1")
    assert world.owner.deliveries == [
        Delivery(
            at=world.time(),
            notice=one.id,
            incident=KEY,
            destination=PAGER,
            kind="trigger",
            attempt=1,
            outcome="accepted",
            status=202,
            fingerprint=fingerprint(ROUTING_KEY),
            notice_at=one.at,
        )
    ]
    assert [e.state for e in world.owner.entries()] == ["sent"]


async def test_replayed_notices_send_nothing(world: World, client: httpx.AsyncClient) -> None:
    first = world.begin(client)
    await offered(first, notice(1), notice(2, "update"))
    await first.close()
    again = world.begin(client)
    again.restore(world.owner.entries())
    await offered(again, notice(1), notice(2, "update"))
    assert len(world.slack.arrivals) == 2


async def test_ten_minutes_of_503_and_one_accepted_trigger_soon_after(
    world: World, client: httpx.AsyncClient
) -> None:
    world.pager.answer(503, times=1000)
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1, destination=PAGER))
    await world.later(dispatcher, 600)
    attempts = len(world.pager.arrivals)
    assert 10 < attempts < 30
    world.pager._next.clear()
    await world.later(dispatcher, 60)
    assert len(world.pager.arrivals) == attempts + 1
    assert world.pager.opened == 1
    await world.later(dispatcher, 600)
    assert len(world.pager.arrivals) == attempts + 1


async def test_pagerduty_down_while_an_incident_comes_and_goes_leaves_nothing_stale(
    world: World, client: httpx.AsyncClient
) -> None:
    world.pager.answer(503, times=1000)
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1, destination=PAGER))
    await world.later(dispatcher, 120)
    await offered(dispatcher, notice(2, "resolve", destination=PAGER))
    world.pager._next.clear()
    before = len(world.pager.arrivals)
    await world.later(dispatcher, 600)
    assert len(world.pager.arrivals) == before
    assert world.owner.outcomes()[-2:] == [("trigger", "skipped"), ("resolve", "skipped")]


@pytest.mark.parametrize(
    ("header", "silence_s"),
    [
        ("3", 3),
        (None, 30),
        ("soon", 30),
        ("86400", 30),
        ("date", 7),
        ("-5", 30),
    ],
)
async def test_slack_429_is_silence_as_asked_within_bounds(
    world: World, client: httpx.AsyncClient, header: str | None, silence_s: int
) -> None:
    if header == "date":
        header = formatdate(world.time() / 1000 + 7, usegmt=True)
    world.slack.answer(429, "rate_limited", {} if header is None else {"Retry-After": header})
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1), notice(1, incident="another"))
    await world.later(dispatcher, silence_s - 0.5, 0.5)
    assert len(world.slack.arrivals) == 1
    await world.later(dispatcher, 0.5, 0.5)
    assert len(world.slack.arrivals) == 3
    assert world.owner.outcomes() == [
        ("trigger", "retry"),
        ("trigger", "accepted"),
        ("trigger", "accepted"),
    ]


async def test_a_webhook_that_is_gone_is_tried_once_and_told_of_once(
    world: World, client: httpx.AsyncClient
) -> None:
    world.slack.answer(404, "no_service", times=2)
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1), notice(1, incident="another"))
    await world.later(dispatcher, 120)
    assert len(world.slack.arrivals) == 2
    assert world.owner.broken == [(SLACK, "404 no_service")]
    assert world.owner.measured["broken", SLACK] is True
    await offered(dispatcher, notice(1, incident="third"))
    assert world.owner.mended == [SLACK]


async def test_refused_blocks_go_once_more_as_text(world: World, client: httpx.AsyncClient) -> None:
    world.slack.answer(400, "invalid_payload", times=2)
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1))
    await world.later(dispatcher, 60)
    assert ["blocks" in body for body in world.slack.bodies] == [True, False]
    assert world.owner.outcomes() == [("trigger", "fallback"), ("trigger", "failed")]
    assert world.owner.broken == [(SLACK, "400 invalid_payload")]


async def test_a_bad_event_is_never_sent_again_and_its_errors_are_told(
    world: World, client: httpx.AsyncClient
) -> None:
    world.pager.answer(400, '{"message": "Event object is invalid", "errors": ["bad key"]}')
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1, destination=PAGER))
    await world.later(dispatcher, 600)
    assert len(world.pager.arrivals) == 1
    assert world.owner.deliveries[0].reason == "400 Event object is invalid; bad key"


async def test_a_destination_that_hangs_changes_nothing_for_the_others(
    world: World, client: httpx.AsyncClient
) -> None:
    world.timeout_s = 600
    world.pager.hang()
    dispatcher = world.begin(client)
    await dispatcher.offer(notice(1, destination=PAGER))
    await world.pager.received(1)
    for step in range(3):
        await dispatcher.offer(notice(step, "update"))
    assert len(await world.slack.received(3)) == 3


async def test_a_server_that_never_answers_is_left_after_the_time_out(
    world: World, client: httpx.AsyncClient
) -> None:
    world.timeout_s = 0.05
    world.slack.hang()
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1))
    await world.later(dispatcher, 5)
    assert world.owner.outcomes() == [("trigger", "retry"), ("trigger", "accepted")]
    assert world.owner.deliveries[0].reason == "no answer within 0.05 s"
    assert "possible duplicate" in world.slack.bodies[1]["blocks"][-1]["elements"][0]["text"]


@pytest.mark.parametrize("destination", [SLACK, PAGER])
async def test_killed_between_the_answer_and_its_record(
    world: World, client: httpx.AsyncClient, destination: str
) -> None:
    first = world.begin(client)
    world.timeout_s = 600
    server = world.slack if destination == SLACK else world.pager
    server.hang()
    await first.offer(notice(1, destination=destination))
    await server.received(1)
    await first.close()  # as by SIGKILL: what was stored is all that is left
    again = world.begin(client)
    again.restore(world.owner.entries())
    await again.settled()
    assert len(server.arrivals) == 2
    last = server.bodies[1]
    if destination == PAGER:
        assert last == server.bodies[0]
        assert world.pager.opened == 1
    else:
        assert "possible duplicate" in last["blocks"][-1]["elements"][0]["text"]
    await offered(again, notice(1, destination=destination))
    assert len(server.arrivals) == 2


async def test_slack_is_told_about_one_a_second_after_a_short_burst(
    world: World, client: httpx.AsyncClient
) -> None:
    dispatcher = world.begin(client)
    await offered(dispatcher, *(notice(1, incident=f"i{n}") for n in range(20)))
    assert len(world.slack.arrivals) == 3
    await world.later(dispatcher, 10, 0.5)
    assert len(world.slack.arrivals) == 13


async def test_a_pager_key_takes_120_a_minute(world: World, client: httpx.AsyncClient) -> None:
    dispatcher = world.begin(client)
    await offered(dispatcher, *(notice(1, destination=PAGER, incident=f"i{n}") for n in range(300)))
    await world.later(dispatcher, 60, 0.5)
    assert len(world.pager.arrivals) == 20 + 120


async def test_what_has_no_secret_is_printed(world: World, client: httpx.AsyncClient) -> None:
    del world.env["SLACK_WEBHOOK_HEADLESS_ALERTS"]
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1))
    await offered(dispatcher, notice(2, "resolve"))
    why = "SLACK_WEBHOOK_HEADLESS_ALERTS is not set"
    assert world.owner.shown == [("trigger", why), ("resolve", why)]
    assert world.owner.outcomes() == [("trigger", "printed"), ("resolve", "printed")]
    assert world.owner.measured["configured", SLACK] is False


async def test_a_pager_is_not_told_of_news_that_page_nobody(
    world: World, client: httpx.AsyncClient
) -> None:
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1, destination=PAGER), notice(2, "update", destination=PAGER))
    assert kinds(world.pager.bodies) == ["trigger"]
    assert world.owner.outcomes() == [("trigger", "accepted"), ("update", "skipped")]


async def test_an_alert_is_resolved_with_the_key_it_was_opened_with(
    world: World, client: httpx.AsyncClient
) -> None:
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1, destination=PAGER))
    world.env["PAGERDUTY_KEY_BACKEND_TEAM"] = OTHER_KEY
    await offered(dispatcher, notice(1, destination=PAGER, incident="next"))
    await offered(dispatcher, notice(2, "resolve", destination=PAGER))
    assert [body["routing_key"] for body in world.pager.bodies] == [
        ROUTING_KEY,
        OTHER_KEY,
        ROUTING_KEY,
    ]


async def test_where_that_key_is_gone_it_says_so(world: World, client: httpx.AsyncClient) -> None:
    first = world.begin(client)
    await offered(first, notice(1, destination=PAGER))
    await first.close()
    world.env["PAGERDUTY_KEY_BACKEND_TEAM"] = OTHER_KEY
    again = world.begin(client)
    again.restore(world.owner.entries())
    await offered(again, notice(2, "resolve", destination=PAGER))
    assert kinds(world.pager.bodies) == ["trigger"]
    mark = fingerprint(ROUTING_KEY)
    last = world.owner.deliveries[-1]
    assert (last.kind, last.outcome) == ("resolve", "failed")
    assert (
        last.reason == f"the key {mark} that it was triggered with is gone: resolve it in PagerDuty"
    )


async def test_a_changed_secret_mends_a_broken_destination(
    world: World, client: httpx.AsyncClient
) -> None:
    world.slack.answer(403, "action_prohibited")
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1))
    world.env["SLACK_WEBHOOK_HEADLESS_ALERTS"] = world.slack.webhook("anew")
    await offered(dispatcher, notice(1, incident="next"))
    assert world.owner.mended == [SLACK]
    assert world.slack.arrivals[-1].path.endswith("anew-canary")


async def test_nothing_is_sent_while_the_worker_may_not(
    world: World, client: httpx.AsyncClient
) -> None:
    world.owner.alive = False
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1))
    await world.later(dispatcher, 30)
    assert world.slack.arrivals == []
    world.owner.alive = True
    await world.later(dispatcher, 2)
    assert len(world.slack.arrivals) == 1


async def test_a_notice_is_refused_while_it_cannot_be_stored(
    world: World, client: httpx.AsyncClient
) -> None:
    dispatcher = world.begin(client)
    world.owner.store_fails = 1
    with pytest.raises(ConnectionError):
        await dispatcher.offer(notice(1))
    await offered(dispatcher, notice(1))
    assert len(world.slack.arrivals) == 1


async def test_an_outcome_that_cannot_be_stored_yet_is_not_sent_again(
    world: World, client: httpx.AsyncClient
) -> None:
    world.timeout_s = 600
    dispatcher = world.begin(client)
    world.slack.hang()
    await dispatcher.offer(notice(1))
    await world.slack.received(1)
    world.owner.store_fails = 3
    world.slack._stopping.set()
    for _ in range(40):
        await world.time.advance(1)
        await asyncio.sleep(0.001)
    await dispatcher.settled()
    assert world.owner.store_fails == 0
    assert [e.attempts for e in world.owner.entries()] == [len(world.slack.arrivals)]


async def test_a_destination_that_is_away_for_a_quarter_of_an_hour_is_told_of(
    world: World, client: httpx.AsyncClient
) -> None:
    world.pager.answer(500, times=1000)
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1, destination=PAGER))
    await world.later(dispatcher, 14 * 60, 5)
    assert world.owner.broken == []
    await world.later(dispatcher, 3 * 60, 5)
    assert world.owner.broken == [(PAGER, "500")]
    world.pager._next.clear()
    await world.later(dispatcher, 120, 5)
    assert world.owner.mended == [PAGER]


async def test_no_secret_is_in_anything_that_is_stored_recorded_or_logged(
    world: World, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    world.slack.answer(404, f"no_service {world.slack.webhook()}")
    world.pager.answer(400, f'{{"message": "bad key {ROUTING_KEY}"}}')
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1), notice(1, destination=PAGER))
    everything = f"{world.owner}{caplog.text}{dispatcher.entries()}"
    assert "canary" not in everything.replace(str(world.env), "")
    assert ROUTING_KEY not in everything


async def test_released_destinations_send_no_more(world: World, client: httpx.AsyncClient) -> None:
    dispatcher = world.begin(client)
    world.slack.answer(503)
    await offered(dispatcher, notice(1))
    await dispatcher.release([SLACK])
    await world.later(dispatcher, 120)
    assert len(world.slack.arrivals) == 1
    assert dispatcher.entries() == []


async def test_a_reload_changes_how_the_next_notice_is_written(
    world: World, client: httpx.AsyncClient
) -> None:
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1))
    addresses = replace(ADDRESSES, slack_ids={"@backend-team": "U7"})
    dispatcher.present(Presentation(wording=Wording(), addresses=addresses))
    await offered(dispatcher, notice(2, "update"))
    leads = [body["blocks"][1]["text"]["text"].split()[0] for body in world.slack.bodies]
    assert leads == ["<!subteam^S0BACKEND>", "<@U7>"]


async def test_a_storm_is_sent_worst_first(world: World, client: httpx.AsyncClient) -> None:
    dispatcher = world.begin(client)
    mild = [notice(1, incident=f"mild{n}", severity="P2") for n in range(500)]
    await offered(dispatcher, *mild, notice(1, incident="worst"))
    await world.later(dispatcher, 2, 0.5)
    assert "🔴 P1 availability: breach, fast burn" in titles(world.slack.bodies)
    assert world.owner.measured["queue", SLACK][0] >= 490


async def test_a_clock_that_is_set_by_hand_is_noticed_within_a_second(
    world: World, client: httpx.AsyncClient
) -> None:
    world.slack.answer(429, "", {"Retry-After": "200"})
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1))
    world.time._now += 199_000
    await world.later(dispatcher, 1)
    assert len(world.slack.arrivals) == 2
