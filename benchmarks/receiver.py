"""Slack, PagerDuty and Alertmanager's webhook on this machine: who was told when, nothing more.

(Whether the messages are what the services take is what the tests check, by tests/servers.py.)
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aiohttp import web


class Receiver:
    """Remembers, by name and way, when the first request came, on the monotonic clock."""

    def __init__(self) -> None:
        self.first: dict[tuple[str, str], float] = {}  # name, way
        self.said: list[str] = []  # by Slack and PagerDuty, in order
        self.url = ""

    def told(self, name: str, *ways: str) -> float | None:
        """When all of these ways had told of it; None where one has not."""
        found = [self.first.get((name, way)) for way in ways]
        times = [at_s for at_s in found if at_s is not None]
        return max(times) if len(times) == len(ways) else None

    def env(self, names: list[str]) -> dict[str, str]:
        """What a worker is given, so that these channels and owners lead here."""
        slack = {f"SLACK_WEBHOOK_{variable(n)}": f"{self.url}/slack/{n}" for n in names}
        keys = {f"PAGERDUTY_KEY_{variable(n)}": routing_key(n) for n in names}
        return {**slack, **keys, "PAGERDUTY_EVENTS_URL": self.url}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Serve on a free port of the loopback."""
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_post("/slack/{name}", self._slack)
        app.router.add_post("/v2/enqueue", self._pagerduty)
        app.router.add_post("/alertmanager", self._alertmanager)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        try:
            yield self
        finally:
            await runner.cleanup()

    def _saw(self, name: str, way: str, at_s: float) -> None:
        self.first.setdefault((name, way), at_s)

    async def _slack(self, request: web.Request) -> web.Response:
        self._saw(request.match_info["name"], "slack", time.monotonic())
        self.said.append((await request.json())["text"])
        return web.Response(text="ok")

    async def _pagerduty(self, request: web.Request) -> web.Response:
        at_s, body = time.monotonic(), await request.json()
        self._saw(name_of(body["routing_key"]), "pagerduty", at_s)
        self.said.append("{event_action} {dedup_key}".format_map(body))
        answer = {"status": "success", "dedup_key": body["dedup_key"]}
        return web.json_response(answer, status=202)

    async def _alertmanager(self, request: web.Request) -> web.Response:
        at_s, body = time.monotonic(), await request.json()
        for alert in body["alerts"]:
            self._saw(alert["labels"]["slo"], "alertmanager", at_s)
        return web.Response()


def variable(name: str) -> str:
    """How a channel's or owner's name stands in a variable's: probe-1 → PROBE_1."""
    return name.upper().replace("-", "_")


def routing_key(name: str) -> str:
    """An owner's key of 32 characters, from which the name can be read again."""
    return name.rjust(32, "0")


def name_of(key: str) -> str:
    """The owner whose key this is."""
    return key.lstrip("0")
