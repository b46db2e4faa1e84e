"""The dispatcher against loopback servers, on a clock that the test holds."""

import asyncio
import contextlib
from collections import Counter
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
from app.delivery.redirects import Elsewhere
from app.delivery.secrets import Secrets, fingerprint
from app.delivery.sender import open_client
from app.delivery.wording import Wording
from tests.delivery.held import HeldTime
from tests.delivery.samples import ADDRESSES, KEY, PAGER, SLACK, notice
from tests.servers import BOT_TOKEN, PagerDutyServer, SlackServer

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
    handed_over: list[Notice] = field(default_factory=list)
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

    async def hand_over(self, notice: Notice) -> None:
        self.handed_over.append(notice)

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
            hand_over=self.hand_over,
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
            wording=Wording(),
            addresses=ADDRESSES,
            elsewhere=Elsewhere(channels={"availability": SLACK}, last=OPS),
            events_url=self.pager.url,
            slack_url=f"{self.slack.url}/api",
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
            event_at=one.story.examples[0].at,
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


GROUP_TITLE = "📚 9,997 notices in one message"
BOT = {"SLACK_BOT_TOKEN": BOT_TOKEN}


def calls(world: World) -> list[tuple[str, str, bool]]:
    """What the bot was asked: method, the message it is about, whether the channel sees it."""
    return [
        (
            a.path.removeprefix("/api/"),
            a.body.get("thread_ts") or a.body.get("ts") or "new",
            a.body.get("reply_broadcast", "thread_ts" not in a.body),
        )
        for a in world.slack.arrivals
    ]


async def test_a_bot_keeps_one_message_up_to_date_and_the_rest_in_its_thread(
    world: World, client: httpx.AsyncClient
) -> None:
    world.env |= BOT
    dispatcher = world.begin(client)
    for step, kind in enumerate(("trigger", "update", "escalate", "ack", "resolve"), 1):
        await offered(dispatcher, notice(step, kind))
        await world.later(dispatcher, 3)
    first = "1700000000.000000"
    assert calls(world) == [
        ("chat.postMessage", "new", True),
        ("chat.postMessage", first, False),
        ("chat.update", first, True),
        ("chat.postMessage", first, True),  # an escalation is broadcast
        ("chat.update", first, True),
        ("chat.postMessage", first, False),
        ("chat.update", first, True),
        ("chat.postMessage", first, False),
        ("chat.update", first, True),
    ]
    colours = [b["attachments"][0]["color"] for b in world.slack.bodies if "ts" in b]
    assert colours == ["#cf222e", "#cf222e", "#0969da", "#1a7f37"]
    assert world.owner.outcomes() == [
        ("trigger", "accepted"),
        ("update", "accepted"),
        ("update", "updated"),
        ("escalate", "accepted"),
        ("escalate", "updated"),
        ("ack", "accepted"),
        ("ack", "updated"),
        ("resolve", "accepted"),
        ("resolve", "updated"),
    ]


async def test_the_thread_is_known_after_a_restart_and_a_change_under_way_is_made_again(
    world: World, client: httpx.AsyncClient
) -> None:
    world.env |= BOT
    world.timeout_s = 600
    first = world.begin(client)
    await offered(first, notice(1))
    world.slack.answer(503)
    await offered(first, notice(2, "update"))
    await first.close()
    again = world.begin(client)
    again.restore(world.owner.entries())
    world.slack.answer(200, '{"ok": true, "channel": "C0HEADLESSALERTS", "ts": "1.5"}')
    world.slack.hang()
    await world.time.advance(2)
    await world.slack.received(4)  # the first message is being changed
    await again.close()
    last = world.begin(client)
    last.restore(world.owner.entries())
    await world.later(last, 5)
    assert [method for method, _, _ in calls(world)] == [
        "chat.postMessage",
        "chat.postMessage",
        "chat.postMessage",
        "chat.update",
        "chat.update",
    ]
    assert "possible duplicate" not in str(world.slack.messages)


@pytest.mark.parametrize("error", ["invalid_auth", "not_in_channel", "is_archived", "new_error"])
async def test_a_bot_that_is_refused_tries_once_and_another_is_told(
    world: World, client: httpx.AsyncClient, error: str
) -> None:
    world.env |= BOT
    world.slack.answer(200, f'{{"ok": false, "error": "{error}"}}')
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1))
    await world.later(dispatcher, 60)
    assert len(world.slack.arrivals) == 1
    assert world.owner.broken == [(SLACK, error)]
    [instead] = world.owner.handed_over
    assert (instead.destination, instead.instead_of, instead.refused) == (OPS, (SLACK,), error)


async def test_a_bot_waits_as_long_as_it_is_asked(world: World, client: httpx.AsyncClient) -> None:
    world.env |= BOT
    world.slack.answer(200, '{"ok": false, "error": "ratelimited"}', {"Retry-After": "3"})
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1))
    await world.later(dispatcher, 2.5, 0.5)
    assert len(world.slack.arrivals) == 1
    await world.later(dispatcher, 1, 0.5)
    assert len(world.slack.arrivals) == 2
    assert world.owner.deliveries[0].cause == "ratelimited"


async def test_refused_blocks_of_a_bot_go_as_text(world: World, client: httpx.AsyncClient) -> None:
    world.env |= BOT
    world.slack.answer(200, '{"ok": false, "error": "invalid_blocks"}')
    await offered(world.begin(client), notice(1))
    assert [bool(body["attachments"]) for body in world.slack.bodies] == [True, False]


async def test_where_the_first_message_is_gone_the_next_one_takes_its_place(
    world: World, client: httpx.AsyncClient
) -> None:
    world.env |= BOT
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1))
    world.slack.answer(200, '{"ok": false, "error": "thread_not_found"}')
    await offered(dispatcher, notice(2, "update"))
    await world.later(dispatcher, 2)
    await offered(dispatcher, notice(3, "resolve"))
    await world.later(dispatcher, 2)
    second = "1700000000.000001"
    assert calls(world)[2:] == [
        ("chat.postMessage", "new", True),
        ("chat.postMessage", second, False),
        ("chat.update", second, True),
    ]


async def test_a_message_that_cannot_be_changed_is_told_all_the_same(
    world: World, client: httpx.AsyncClient
) -> None:
    world.env |= BOT
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1), notice(2, "update"))
    world.slack.answer(200, '{"ok": false, "error": "edit_window_closed"}')
    await world.later(dispatcher, 3)
    assert [e.state for e in world.owner.entries()] == ["sent", "sent"]
    assert world.owner.broken == []


async def test_without_the_token_the_webhook_holds_again(
    world: World, client: httpx.AsyncClient
) -> None:
    world.env |= BOT
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1))
    del world.env["SLACK_BOT_TOKEN"]
    await offered(dispatcher, notice(2, "update"))
    assert [a.path.split("/")[1] for a in world.slack.arrivals] == ["api", "services"]


async def test_a_page_that_is_refused_for_good_is_told_in_the_channel(
    world: World, client: httpx.AsyncClient
) -> None:
    world.pager.answer(400, '{"message": "Event object is invalid"}')
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1, destination=PAGER))
    [instead] = world.owner.handed_over
    await offered(dispatcher, instead)
    [message] = world.slack.bodies
    assert message["blocks"][1]["text"]["text"].startswith(
        "For @backend-team in PagerDuty, which does not take it (400 Event object is invalid):\n"
    )


async def test_ten_thousand_at_once_are_told_in_one_message_after_the_few_p1(
    world: World, client: httpx.AsyncClient
) -> None:
    dispatcher = world.begin(client)
    worst = [notice(1, incident=f"worst-{n}") for n in range(3)]
    mild = [notice(1, incident=f"mild-{n}", severity="P2") for n in range(9_997)]
    for one in (*mild, *worst):
        await dispatcher.offer(one)
    await world.later(dispatcher, 20)
    told = titles(world.slack.bodies)
    assert told == [*["🔴 P1 availability: breach, fast burn"] * 3, GROUP_TITLE]
    group = world.slack.bodies[-1]
    assert "(9,997 P2 trigger)" in str(group)
    assert "more" in group["blocks"][-3]["text"]["text"].split("\n")[-1]
    states = Counter((d.outcome, d.reason) for d in world.owner.deliveries)
    [key] = {d.incident for d in world.owner.deliveries if d.kind == "group"}
    assert states == {("accepted", ""): 4, ("grouped", f"told in {key}"): 9_997}
    assert {e.state for e in world.owner.entries()} == {"sent"}
    assert world.owner.measured["queue", SLACK] == (0, 0.0)


async def test_a_group_names_the_worst_first(world: World, client: httpx.AsyncClient) -> None:
    dispatcher = world.begin(client)
    world.slack.answer(429, "", {"Retry-After": "3"})
    for n in range(15):
        await dispatcher.offer(notice(1, incident=f"mild-{n}", severity="P2"))
    for n in range(11):
        await dispatcher.offer(notice(1, incident=f"worst-{n}"))
    await world.later(dispatcher, 8)
    [group] = world.slack.bodies[1:]
    lines = [line for b in group["blocks"][2:-2] for line in b["text"]["text"].split("\n")]
    marks = [line[0] for line in lines]
    assert marks == sorted(marks, key="🔴🟠…".index)
    assert marks.count("🔴") == 11


async def test_a_member_that_resolves_before_the_group_goes_is_in_no_message(
    world: World, client: httpx.AsyncClient
) -> None:
    world.slack.answer(503, times=3)
    dispatcher = world.begin(client)
    await offered(dispatcher, notice(1, incident="probe"))
    for n in range(30):
        await dispatcher.offer(notice(1, incident=f"mild-{n}", severity="P2"))
    await world.later(dispatcher, 2)
    await dispatcher.offer(notice(2, "resolve", incident="mild-7"))
    await world.later(dispatcher, 30)
    assert "mild-7|" not in str(world.slack.bodies[-1])
    assert "mild-8|" in str(world.slack.bodies[-1])


async def test_killed_after_a_group_was_told_nothing_of_it_is_told_again(
    world: World, client: httpx.AsyncClient
) -> None:
    first = world.begin(client)
    for n in range(40):
        await first.offer(notice(1, incident=f"mild-{n}", severity="P2"))
    await world.later(first, 5)
    sent = len(world.slack.arrivals)
    entries = world.owner.entries()
    [group] = [e for e in entries if e.group]
    forgotten = [  # as if the stop had come before any member was stored
        replace(e, state="queued", done_at=None, reason="") if "told in" in e.reason else e
        for e in entries
    ]
    assert sum(e.state == "queued" for e in forgotten) == 40 - (sent - 1)
    await first.close()
    again = world.begin(client)
    again.restore(forgotten)
    await world.later(again, 10)
    assert len(world.slack.arrivals) == sent
    assert {e.state for e in world.owner.entries()} == {"sent"}
    assert group.state == "sent"


async def test_what_is_only_printed_is_never_grouped(
    world: World, client: httpx.AsyncClient
) -> None:
    del world.env["SLACK_WEBHOOK_HEADLESS_ALERTS"]
    dispatcher = world.begin(client)
    for n in range(100):
        await dispatcher.offer(notice(1, incident=f"mild-{n}", severity="P2"))
    await dispatcher.settled()
    assert [kind for kind, _ in world.owner.shown] == ["trigger"] * 100
