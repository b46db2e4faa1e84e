"""Slack and PagerDuty on this machine, as strict as the real ones about what they accept.

Each server checks every request against what the services document, collects it with the time of
its arrival, and answers as the test has programmed: by default as the service does.
"""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Json = Any  # whatever came

MOST_TEXT = 9000
PAGERDUTY_SEVERITIES = {"critical", "error", "warning", "info"}
MOST_EVENT_BYTES = 512 * 1024


@dataclass(frozen=True)
class Arrival:
    """One request as it came."""

    path: str
    body: Json
    raw: bytes
    at_s: float  # monotonic
    token: str = ""  # a bearer's


@dataclass
class Programmed:
    """One answer. `hang`: none at all; `cut`: the connection closes after the request was read."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    cut: bool = False


class Server:
    """One loopback server. `answer` programs the next answers, then the default holds again."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.faults: list[str] = []  # what a request did that the service would refuse
        self.always: Programmed | None = None
        self.once: Callable[[], None] | None = None  # just before the next answer goes out
        self._next: deque[Programmed] = deque()
        self._news = asyncio.Condition()
        self._stopping = asyncio.Event()
        self.url = ""

    def answer(
        self,
        status: int = 200,
        body: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        times: int = 1,
    ) -> None:
        """Answer so, `times` times."""
        self._next.extend(Programmed(status, body, headers or {}) for _ in range(times))

    def hang(self, times: int = 1) -> None:
        """Accept, and never answer."""
        self._next.extend(Programmed(hang=True) for _ in range(times))

    def cut(self, times: int = 1) -> None:
        """Read the request, then close the connection."""
        self._next.extend(Programmed(cut=True) for _ in range(times))

    @property
    def bodies(self) -> list[Any]:
        """What has arrived, in order."""
        return [arrival.body for arrival in self.arrivals]

    async def received(self, count: int) -> list[Any]:
        """Wait until so many requests have arrived; gives all bodies."""
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: len(self.arrivals) >= count), 10)
        return self.bodies

    async def _handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        refusal = self._refusal(request, body)
        if refusal and refusal != "no_service":
            self.faults.append(refusal)
        async with self._news:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            self.arrivals.append(Arrival(request.path, body, raw, time.monotonic(), token))
            self._news.notify_all()
        answer = await self._answer(request, body, refusal)
        once, self.once = self.once, None
        if once is not None:
            once()
        return answer

    async def _answer(self, request: web.Request, body: Json, refusal: str) -> web.Response:
        programmed = self._next.popleft() if self._next else self.always
        if programmed is None:
            return self._default(body, refusal)
        if programmed.hang:
            await self._stopping.wait()
        if programmed.cut or programmed.hang:
            if request.transport:
                request.transport.abort()
            return web.Response()
        return web.Response(
            status=programmed.status, text=programmed.body, headers=dict(programmed.headers)
        )

    def _refusal(self, request: web.Request, body: Json) -> str:
        raise NotImplementedError

    def _default(self, body: Json, refusal: str) -> web.Response:
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Server"]:
        """Serve on a free port."""
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)  # it holds secrets
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        try:
            yield self
        finally:
            self._stopping.set()
            await runner.cleanup()


BOT_TOKEN = "xoxb-canary-0123456789"


class SlackServer(Server):
    """Incoming webhooks, any path is a channel's own; and the Web API for a bot under /api."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: dict[tuple[str, str], Json] = {}  # a bot's, by channel id and ts
        self.gone: set[str] = set()  # channels whose webhook was taken away

    def webhook(self, channel: str = "headless-alerts") -> str:
        """The secret address of a channel."""
        return f"{self.url}/services/T000/B000/{channel}-canary"

    def _refusal(self, request: web.Request, body: Json) -> str:
        if request.path.startswith("/api/"):
            return self._api_refusal(request, body)
        if not request.path.startswith("/services/"):
            return "not a webhook's path"
        if "application/json" not in request.headers.get("Content-Type", ""):
            return "not sent as JSON"
        if any(request.path.endswith(f"/{channel}-canary") for channel in self.gone):
            return "no_service"
        return fault_of_slack_message(body)

    def _api_refusal(self, request: web.Request, body: Json) -> str:
        if request.headers.get("Authorization") != f"Bearer {BOT_TOKEN}":
            return "invalid_auth"
        known = (body.get("channel"), body.get("thread_ts") or body.get("ts"))
        if known[1] and known not in self.messages:
            return "thread_not_found" if "thread_ts" in body else "message_not_found"
        return fault_of_slack_message(body)

    def _default(self, body: Json, refusal: str) -> web.Response:
        if "channel" in body:
            return self._api(body, refusal)
        if refusal == "no_service":
            return web.Response(status=404, text=refusal)
        if refusal:
            return web.Response(status=400, text="invalid_payload")
        return web.Response(text="ok")

    def _api(self, body: Json, refusal: str) -> web.Response:
        if refusal:
            return web.json_response({"ok": False, "error": refusal})
        channel = channel_id(body["channel"])
        ts = body.get("ts") or f"1700000000.{len(self.messages):06}"
        self.messages[channel, ts] = body
        return web.json_response({"ok": True, "channel": channel, "ts": ts})


class HeartbeatServer(Server):
    """Somebody outside who notices when nobody calls any more."""

    def _refusal(self, request: web.Request, body: Json) -> str:
        return "" if request.method == "POST" and body is None else "not a heartbeat"

    def _default(self, body: Json, refusal: str) -> web.Response:  # noqa: ARG002
        return web.Response(text="OK")


def channel_id(channel: str) -> str:
    """What the Web API calls a channel, #headless-alerts → C0HEADLESSALERTS; an id stays."""
    return f"C0{channel[1:].upper().replace('-', '')}" if channel[0] == "#" else channel


class PagerDutyServer(Server):
    """The Events API v2, with its alerts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[tuple[str, str], str] = {}  # by key and dedup key: triggered, acknowledged
        self.opened = 0  # how many alerts were ever opened

    def _refusal(self, request: web.Request, body: Json) -> str:
        if request.path != "/v2/enqueue":
            return f"no such path: {request.path}"
        if (request.content_length or 0) > MOST_EVENT_BYTES:
            return "more than 512 KB"
        return fault_of_event(body)

    def _default(self, body: Json, refusal: str) -> web.Response:
        if refusal:
            answer = {"status": "invalid event", "message": "Event object is invalid"}
            return web.json_response(answer | {"errors": [refusal]}, status=400)
        self._track(body)
        answer = {"status": "success", "message": "Event processed"}
        return web.json_response(answer | {"dedup_key": body["dedup_key"]}, status=202)

    def _track(self, body: dict[str, Any]) -> None:
        alert = (body["routing_key"], body["dedup_key"])
        if body["event_action"] == "trigger":
            self.opened += alert not in self.open
            self.open[alert] = "triggered"
        elif body["event_action"] == "resolve":
            self.open.pop(alert, None)
        elif alert in self.open:
            self.open[alert] = "acknowledged"


def fault_of_slack_message(body: Json) -> str:
    """What Slack would refuse in a message; empty: nothing."""
    if not isinstance(body, dict) or not body.get("text"):
        return "no_text"
    if body.get("link_names"):
        return "link_names is on"
    blocks = body.get("blocks", [])
    blocks = [*blocks, *(one for a in body.get("attachments", []) for one in a["blocks"])]
    if len(blocks) > 50:
        return f"{len(blocks)} blocks"
    for block in blocks:
        if fault := _fault_of_block(block):
            return fault
    texts = [body["text"], *(text for block in blocks for text in _texts(block))]
    if sum(_length(text) for text in texts) >= MOST_TEXT:
        return "msg_blocks_too_long"
    return next((fault for text in texts if (fault := _fault_of_text(text))), "")


def _length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _texts(block: dict[str, Any]) -> list[str]:
    held = [block.get("text"), *block.get("fields", []), *block.get("elements", [])]
    return [item["text"] for item in held if item and isinstance(item["text"], str)]


def _fault_of_block(block: dict[str, Any]) -> str:
    kind = block.get("type")
    if kind == "header":
        if block["text"].get("type") != "plain_text":
            return "a header that is not plain_text"
        return "" if 0 < _length(block["text"]["text"]) <= 150 else "a header's length"
    if kind == "section":
        return _fault_of_section(block)
    if kind == "context":
        return "" if 0 < len(block["elements"]) <= 10 else "a context's elements"
    if kind == "actions":
        return _fault_of_actions(block)
    return "" if kind == "divider" else f"block type {kind}"


def _fault_of_actions(block: dict[str, Any]) -> str:
    names = [one["action_id"] for one in block["elements"]]
    if not 0 < len(names) <= 25 or len(set(names)) < len(names):
        return "an actions block's elements"
    return "" if all(0 < len(one["value"]) <= 2000 for one in block["elements"]) else "a value"


def _fault_of_section(block: dict[str, Any]) -> str:
    if "text" not in block and "fields" not in block:
        return "a section with nothing in it"
    if "text" in block and not 0 < _length(block["text"]["text"]) <= 3000:
        return "a section's length"
    fields = block.get("fields", [{"text": "-"}])
    if not 0 < len(fields) <= 10:
        return "a section's number of fields"
    return "" if all(0 < _length(f["text"]) <= 2000 for f in fields) else "a field's length"


def _fault_of_text(text: str) -> str:
    """Only links and mentions may stand in angle brackets, only the three escapes after an &."""
    if any(ord(char) < 32 and char != "\n" for char in text):
        return "a control character"
    rest = text
    for escape in ("&amp;", "&lt;", "&gt;"):
        rest = rest.replace(escape, "")
    if "&" in rest:
        return f"an unescaped or broken & in {text[:200]!r}"
    for piece in rest.split("<")[1:]:
        inner, closed, _ = piece.partition(">")
        if not closed or not inner.startswith(("http://", "https://", "@U", "@W", "!subteam^S")):
            return f"an unescaped or broken < in {text[:200]!r}"
    return "an unescaped >" if rest.count(">") != rest.count("<") else ""


def fault_of_event(body: Json) -> str:
    """What the Events API would refuse in an event; empty: nothing."""
    if not isinstance(body, dict):
        return "not a JSON object"
    if len(body.get("routing_key") or "") != 32:
        return "'routing_key' is missing or has not 32 characters"
    key = body.get("dedup_key")
    if not isinstance(key, str) or not 0 < len(key) <= 255:
        return "'dedup_key' is missing or longer than 255"
    if body.get("event_action") not in {"trigger", "acknowledge", "resolve"}:
        return "'event_action' is invalid"
    return _fault_of_payload(body) if body["event_action"] == "trigger" else ""


def _fault_of_payload(body: dict[str, Any]) -> str:
    payload = body.get("payload") or {}
    if not 0 < _length(payload.get("summary") or "") <= 1024:
        return "'payload.summary' is missing or longer than 1024"
    if not payload.get("source"):
        return "'payload.source' is missing"
    if payload.get("severity") not in PAGERDUTY_SEVERITIES:
        return "'payload.severity' is invalid"
    if any(not link.get("href") for link in body.get("links", [])):
        return "a link without href"
    return ""
