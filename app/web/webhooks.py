"""What PagerDuty and Slack have to say: taken for true by its signature alone, answered at once.

An incident of ours is known by PagerDuty's `incident_key`, which is our dedup key, and by the value
of Slack's buttons, which is our own key. Whatever it is becomes a command like any other; its id
is the sender's own, so one that is repeated is carried out once.
"""

import asyncio
import hashlib
import logging
from typing import Any
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from app.core.commands import Acknowledge, BeginSilence, Command, Resolve, Unacknowledge
from app.core.silences import Silence
from app.delivery.secrets import SIGNING_SECRET, WEBHOOK_SECRET
from app.web import signatures
from app.web.api import check_caught_up, json_answer
from app.web.orders import BY_CHARS, send
from app.web.problems import Problem
from app.web.slack_groups import GROUPS
from app.web.surroundings import SURROUNDINGS, Surroundings
from app.web.views import Document

log = logging.getLogger(__name__)

ANSWER_S = 2.0  # Slack waits for three seconds, PagerDuty for five
SILENCE_MS = 2 * 3600 * 1000
"""How long the button silences."""

routes = web.RouteTableDef()


# --- PagerDuty ----------------------------------------------------------------------------------


class _Agent(msgspec.Struct):
    type: str = ""
    summary: str = ""


class _Incident(msgspec.Struct):
    incident_key: str | None = None


class _Event(msgspec.Struct):
    id: str
    event_type: str
    agent: _Agent | None = None
    data: _Incident = msgspec.field(default_factory=_Incident)


class _Webhook(msgspec.Struct):
    event: _Event


_webhook = msgspec.json.Decoder(_Webhook).decode


@routes.post("/webhooks/pagerduty")
async def pagerduty(request: web.Request) -> web.Response:
    """Somebody has acknowledged or resolved an incident in PagerDuty, or handed it back."""
    around, body = request.app[SURROUNDINGS], await request.read()
    secrets = around.secrets.several(WEBHOOK_SECRET)
    header = request.headers.get("X-PagerDuty-Signature", "")
    if not signatures.of_pagerduty(secrets, header, body):
        raise _unsigned(WEBHOOK_SECRET, known=bool(secrets))
    try:
        event = _webhook(body).event
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Problem(400, f"This is no webhook of PagerDuty's, version 3: {error}.") from error
    name = request.headers.get("X-Webhook-Id") or event.id
    command = _said_in_pagerduty(around, event, name)
    return await _answer(around, command)


def _said_in_pagerduty(around: Surroundings, event: _Event, name: str) -> Command | None:
    """The command that an event is; None where it says nothing to us.

    What a service does (its own time-out, or our own words coming back) nobody has decided.
    """
    agent = event.agent or _Agent()
    if agent.type and not agent.type.startswith("user"):
        return None
    page = event.data.incident_key or ""
    found = _incident(around, page.partition("/")[0])
    if found is None:
        return None
    about = {
        "id": f"pagerduty/{name[:200]}",
        "slo": found["slo"],
        "incident": found["key"],
        "by": _name(agent.summary, "somebody"),
        "at": around.clock(),
        "via": "pagerduty",
    }
    match event.event_type:
        case "incident.acknowledged":
            return Acknowledge(**about)
        case "incident.unacknowledged":
            return Unacknowledge(**about)
        case "incident.resolved":
            return Resolve(why="resolved in PagerDuty", page=page, **about)
    return None


# --- Slack --------------------------------------------------------------------------------------


class _User(msgspec.Struct):
    id: str
    username: str = ""
    name: str = ""


class _Action(msgspec.Struct):
    action_id: str
    value: str = ""
    action_ts: str = ""


class _Pressed(msgspec.Struct):
    type: str
    user: _User
    actions: list[_Action] = []


_pressed = msgspec.json.Decoder(_Pressed).decode


@routes.post("/webhooks/slack")
async def slack(request: web.Request) -> web.Response:
    """Somebody has pressed a button below a message of ours."""
    around, body = request.app[SURROUNDINGS], await request.read()
    secrets = around.secrets.several(SIGNING_SECRET)
    header = request.headers.get("X-Slack-Signature", "")
    stamp = request.headers.get("X-Slack-Request-Timestamp", "")
    if not signatures.of_slack(secrets, header, stamp, body, around.clock()):
        raise _unsigned(SIGNING_SECRET, known=bool(secrets))
    pressed = _read_pressed(body)
    if pressed.type != "block_actions" or not pressed.actions:
        return await _answer(around, None)
    groups = request.app[GROUPS]
    if not await groups.is_operator(pressed.user.id, around.policy.ownership.slack_operators):
        log.warning("%s pressed a button in Slack and is no operator", pressed.user.id[:20])
        raise Problem(403, "Only those whom slack_operators in ownership.yaml names may do that.")
    return await _answer(around, _said_in_slack(around, pressed))


def _read_pressed(body: bytes) -> _Pressed:
    try:
        payload = parse_qs(body.decode(), max_num_fields=10).get("payload", [""])[0]
        return _pressed(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise Problem(400, f"This is no button of Slack's: {error}.") from error


def _said_in_slack(around: Surroundings, pressed: _Pressed) -> Command | None:
    action, user = pressed.actions[0], pressed.user
    found = _incident(around, action.value)
    if found is None:
        return None
    by, now = _name(user.username or user.name or user.id, user.id), around.clock()
    mark = f"{user.id}/{action.action_id}/{action.value}/{action.action_ts}"
    about = {"id": f"slack/{mark[:300]}", "slo": found["slo"], "by": by, "at": now, "via": "slack"}
    if action.action_id == "ack":
        return Acknowledge(incident=found["key"], **about)
    if action.action_id != "silence" or found["slo"] not in around.policy.slos:
        return None
    silence = Silence(
        id=f"s-{hashlib.sha256(mark.encode()).hexdigest()[:8]}",
        slo=found["slo"],
        begins_at=now,
        ends_at=now + SILENCE_MS,
        by=by,
        why="the button in Slack",
    )
    return BeginSilence(silence=silence, **about)


# --- both ---------------------------------------------------------------------------------------


def _unsigned(variable: str, *, known: bool) -> Problem:
    if not known:
        return Problem(401, f"{variable} is not set, so nothing can be taken for true.")
    return Problem(401, "The signature is by none of our secrets, or too old.")


def _incident(around: Surroundings, key: str) -> Document | None:
    check_caught_up(around)
    return around.mirror.incidents.get(key)


def _name(text: str, otherwise: str) -> str:
    shown = "".join(char for char in text if char.isprintable()).strip()
    return shown[:BY_CHARS] or otherwise


async def _answer(around: Surroundings, command: Command | None) -> web.Response:
    """200 in time, whatever comes of it; 503 where Kafka does not take it, to be sent again."""
    if command is None:
        return json_answer({"taken": False})
    try:
        async with asyncio.timeout(ANSWER_S):
            await send(around, command)
    except TimeoutError as error:
        raise Problem(503, "Kafka does not answer in time.", {"Retry-After": "10"}) from error
    taken: dict[str, Any] = {"taken": True, "id": command.id}
    return json_answer(taken)
