"""PagerDuty's webhooks and Slack's buttons: what is taken for true, and what becomes of it."""

import functools
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace

from app.core.commands import Acknowledge, BeginSilence, Resolve, Unacknowledge
from app.core.silences import Silence
from tests.web import samples
from tests.web.samples import NOON, InForce, Sent, World

AVAILABILITY = "availability-20261013T114100Z"
PAGE = f"{AVAILABILITY}/P1/1"
OLD, NEW = "an-old-secret-of-pagerduty", "a-new-secret-of-pagerduty"
SIGNING = "a-signing-secret-of-slack"
SECRETS = {"PAGERDUTY_WEBHOOK_SECRET": f"{OLD}, {NEW}", "SLACK_SIGNING_SECRET": SIGNING}

Client = TestClient[Any, Any]


@functools.cache
def outage() -> World:
    return samples.outage()


class Served:
    def __init__(self, client: Client, sent: Sent) -> None:
        self.client, self.sent = client, sent


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    sent, world = Sent(), outage()
    ownership = replace(world.policy.ownership, slack_operators=("U1", "S1"))
    policy = replace(world.policy, ownership=ownership)
    app = samples.server(
        tmp_path, world, commands=sent, configuration=InForce(policy), secrets=SECRETS
    )
    async with TestClient(TestServer(app)) as client:
        yield Served(client, sent)


def signed(secret: str, text: bytes) -> str:
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def event(kind: str = "incident.acknowledged", key: str = PAGE, **more: object) -> bytes:
    said = {
        "id": "01ABC",
        "event_type": kind,
        "agent": {"type": "user_reference", "id": "PX", "summary": "Dana Doe"},
        "data": {"id": "Q1", "type": "incident", "incident_key": key},
        **more,
    }
    return json.dumps({"event": said}).encode()


async def pagerduty(served: Served, body: bytes, header: str | None = None) -> tuple[int, Any]:
    signature = f"v1={signed(NEW, body)}" if header is None else header
    headers = {"X-PagerDuty-Signature": signature, "X-Webhook-Id": "W1"}
    answer = await served.client.post("/webhooks/pagerduty", data=body, headers=headers)
    return answer.status, await answer.json()


ABOUT = {
    "id": "pagerduty/W1",
    "slo": "availability",
    "incident": AVAILABILITY,
    "by": "Dana Doe",
    "at": NOON,
    "via": "pagerduty",
}


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("incident.acknowledged", Acknowledge(**ABOUT)),
        ("incident.unacknowledged", Unacknowledge(**ABOUT)),
        ("incident.resolved", Resolve(why="resolved in PagerDuty", page=PAGE, **ABOUT)),
    ],
)
async def test_what_pagerduty_says_is_a_command(served: Served, kind: str, command: Any) -> None:  # noqa: ANN401
    assert await pagerduty(served, event(kind)) == (200, {"taken": True, "id": "pagerduty/W1"})
    assert served.sent.commands == [command]


@pytest.mark.parametrize(
    "body",
    [
        event("incident.triggered"),
        event("pagey.ping"),
        event(key="somebody-elses"),
        event(key=""),
        event(data={}),
        event("incident.resolved", agent={"type": "service_reference", "summary": "auto"}),
        event("incident.acknowledged", agent={"type": "inbound_integration_reference"}),
    ],
)
async def test_what_says_nothing_to_us_is_heard_all_the_same(served: Served, body: bytes) -> None:
    assert await pagerduty(served, body) == (200, {"taken": False})
    assert served.sent.commands == []


def good(body: bytes) -> str:
    return f"v1={signed(OLD, body)}"


@pytest.mark.parametrize(
    "header",
    [
        lambda body: f"v1={signed(OLD, body)}",
        lambda body: f"v1={signed(NEW, body)}",
        lambda body: f"v1={signed('neither', body)},v1={signed(NEW, body)}",
        lambda body: f"v0=abc, v1={signed(OLD, body)}",
    ],
)
async def test_any_signature_by_any_secret_is_good(served: Served, header: Any) -> None:  # noqa: ANN401
    body = event()
    assert (await pagerduty(served, body, header(body)))[0] == 200


@pytest.mark.parametrize(
    "header",
    [
        lambda _: "",
        lambda _: "v1=",
        lambda body: signed(NEW, body),
        lambda body: f"v0={signed(NEW, body)}",
        lambda body: f"v1={signed(NEW, body + b' ')}",
        lambda body: f"v1={signed('neither', body)}",
        lambda body: f"v1={signed('', body)}",
        lambda body: f"v1={signed(f'{OLD}, {NEW}', body)}",
        lambda _: "v1=\u00e9",
    ],
)
async def test_bad_signatures_are_refused(served: Served, header: Any) -> None:  # noqa: ANN401
    body = event()
    status, problem = await pagerduty(served, body, header(body))
    assert (status, problem["detail"]) == (
        401,
        "The signature is by none of our secrets, or too old.",
    )
    assert served.sent.commands == []


async def test_without_a_secret_nothing_is_taken_for_true(tmp_path: Path) -> None:
    app = samples.server(tmp_path, outage())
    async with TestClient(TestServer(app)) as client:
        for path in ("pagerduty", "slack"):
            stamp = str(NOON // 1000)
            headers = {
                "X-PagerDuty-Signature": f"v1={signed('', event())}",
                "X-Slack-Signature": f"v0={signed('', f'v0:{stamp}:'.encode() + event())}",
                "X-Slack-Request-Timestamp": stamp,
            }
            answer = await client.post(f"/webhooks/{path}", data=event(), headers=headers)
            assert answer.status == 401
            assert "is not set" in (await answer.json())["detail"]


async def test_what_is_no_webhook_is_refused(served: Served) -> None:
    for body in (b"", b"{}", b"[]", b"\xff", b'{"event": {"id": 7}}'):
        assert (await pagerduty(served, body))[0] == 400


# --- Slack --------------------------------------------------------------------------------------


def press(action: str = "ack", user: str = "U1", value: str = AVAILABILITY) -> bytes:
    payload = {
        "type": "block_actions",
        "user": {"id": user, "username": "dana"},
        "actions": [{"action_id": action, "value": value, "action_ts": "1.5"}],
    }
    return urlencode({"payload": json.dumps(payload)}).encode()


async def slack(
    served: Served, body: bytes, *, late_s: int = 0, header: str | None = None
) -> tuple[int, Any]:
    stamp = str(NOON // 1000 - late_s)
    given = f"v0={signed(SIGNING, f'v0:{stamp}:'.encode() + body)}" if header is None else header
    headers = {
        "X-Slack-Signature": given,
        "X-Slack-Request-Timestamp": stamp,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    answer = await served.client.post("/webhooks/slack", data=body, headers=headers)
    return answer.status, await answer.json()


PRESSED = {"slo": "availability", "by": "dana", "at": NOON, "via": "slack"}


async def test_acknowledge_is_an_acknowledgement(served: Served) -> None:
    assert (await slack(served, press()))[0] == 200
    known = f"slack/U1/ack/{AVAILABILITY}/1.5"
    assert served.sent.commands == [Acknowledge(id=known, incident=AVAILABILITY, **PRESSED)]


async def test_silence_is_two_hours_of_silence(served: Served) -> None:
    assert (await slack(served, press("silence")))[0] == 200
    (command,) = served.sent.commands
    assert isinstance(command, BeginSilence)
    assert command.silence == Silence(
        id=command.silence.id,
        slo="availability",
        begins_at=NOON,
        ends_at=NOON + 2 * 3_600_000,
        by="dana",
        why="the button in Slack",
    )


async def test_only_operators_buttons_count(served: Served) -> None:
    status, problem = await slack(served, press(user="U2"))
    assert (status, problem["detail"][:16]) == (403, "Only those whom ")
    assert served.sent.commands == []


async def test_members_of_a_named_group_are_operators(tmp_path: Path) -> None:
    asked = []

    async def members(request: web.Request) -> web.Response:
        asked.append((request.query["usergroup"], request.headers["Authorization"]))
        return web.json_response({"ok": True, "users": ["U7", "U8"]})

    slack_api = web.Application()
    slack_api.router.add_get("/usergroups.users.list", members)
    async with TestServer(slack_api) as api:
        world, sent = outage(), Sent()
        ownership = replace(world.policy.ownership, slack_operators=("S1",))
        app = samples.server(
            tmp_path,
            world,
            commands=sent,
            configuration=InForce(replace(world.policy, ownership=ownership)),
            secrets=SECRETS | {"SLACK_BOT_TOKEN": "xoxb-token-of-the-tests"},
            slack_url=str(api.make_url("")).rstrip("/"),
        )
        async with TestClient(TestServer(app)) as client:
            served = Served(client, sent)
            assert (await slack(served, press(user="U7")))[0] == 200
            assert (await slack(served, press(user="U9")))[0] == 403
    assert asked == [("S1", "Bearer xoxb-token-of-the-tests")]
    assert len(sent.commands) == 1


@pytest.mark.parametrize("late_s", [-300, 300])
async def test_five_minutes_are_no_replay(served: Served, late_s: int) -> None:
    assert (await slack(served, press(), late_s=late_s))[0] == 200


@pytest.mark.parametrize("late_s", [-301, 301, 10**9, -(10**18)])
async def test_stale_timestamps_are_refused(served: Served, late_s: int) -> None:
    assert (await slack(served, press(), late_s=late_s))[0] == 401
    assert served.sent.commands == []


async def test_bad_signatures_of_slack_are_refused(served: Served) -> None:
    for header in ("", "v0=", "v0=abc", f"v0={signed(SIGNING, press())}"):
        assert (await slack(served, press(), header=header))[0] == 401


async def test_other_buttons_and_shapes_do_nothing(served: Served) -> None:
    assert await slack(served, press("other")) == (200, {"taken": False})
    assert await slack(served, press(value="unknown")) == (200, {"taken": False})
    for body in (b"", b"payload=", b"payload=%7B%7D", b"\xff", b"payload=[]"):
        assert (await slack(served, body))[0] == 400
    assert served.sent.commands == []
