"""Prometheus and Alertmanager as real processes, given what the alerter is given.

Failures are counted straight into the counters that Prometheus scrapes, by the process that times
them: no Kafka is in between, which is in the pair's favour. One rule, equal in meaning to a probe's
`fast-burn`, `for: 0`; each objective is a group of its own, so that none waits for another.
"""

import asyncio
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml
from probes import BAD_BEFORE, CONSUMED, GOOD, HOURS, OBJECTIVE
from prometheus_client import CollectorRegistry, Counter, start_http_server
from receiver import Receiver

from app.errors import UserError
from app.local import ports

PROGRAMS = {
    "prometheus": ("prometheus",),
    "prometheus-alertmanager": ("prometheus-alertmanager", "alertmanager"),
}
EXPR = (
    "sum by (slo) (increase(bad_total[1h]))"
    f" / ({1 - OBJECTIVE:.3f} * {HOURS} * sum by (slo) (increase(events_total[1h]))) > {CONSUMED}"
)
SETTLE_SCRAPES, SETTLE_S = 2, 1.0
BEYOND = 3  # times the slowest that the settings allow: then it is not coming


class Pace(NamedTuple):
    """How often Prometheus looks, and how long Alertmanager waits for more. Seconds."""

    scrape_s: int
    evaluation_s: int
    group_wait_s: int

    def __str__(self) -> str:
        return f"{self.scrape_s} s / {self.evaluation_s} s / {self.group_wait_s} s"

    @property
    def slowest_s(self) -> int:
        """The longest that an alert should take."""
        return self.scrape_s + self.evaluation_s + self.group_wait_s


COMMON, TUNED = Pace(15, 15, 30), Pace(1, 1, 0)


def programs() -> dict[str, str]:
    """Where both are. Raises UserError that says what to install."""
    found = {
        package: next((path for name in names if (path := shutil.which(name))), "")
        for package, names in PROGRAMS.items()
    }
    if missing := [package for package, path in found.items() if not path]:
        raise UserError(
            f"not installed: {', '.join(missing)}. On Debian and Ubuntu: "
            f"apt install {' '.join(missing)}; elsewhere: https://prometheus.io/download/"
        )
    return found


class Counters:
    """What a service that counts its own executions shows at `/metrics`."""

    def __init__(self, names: Sequence[str]) -> None:
        registry = CollectorRegistry()
        self._all = Counter("events", "Executions.", ["slo"], registry=registry)
        self._bad = Counter("bad", "Failed ones.", ["slo"], registry=registry)
        for name in names:  # a counter whose beginning was never seen has no increase
            self._all.labels(name)
            self._bad.labels(name)
        self.port = ports.free(0)
        self._server, self._thread = start_http_server(self.port, "127.0.0.1", registry)

    def count(self, name: str, good: int, bad: int) -> None:
        """So many executions have ended."""
        self._all.labels(name).inc(good + bad)
        self._bad.labels(name).inc(bad)

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._thread.join()


async def measure(pace: Pace, incidents: int, within_s: float) -> dict[str, float | None]:
    """Seconds from the last failure to the webhook, by objective; None where none came.

    The incidents begin at moments spread over `within_s`.
    """
    names = [f"probe-{number}" for number in range(incidents)]
    counters, receiver = Counters(names), Receiver()
    try:
        async with receiver.running(), _pair(pace, counters.port, receiver.url):
            settle_s = SETTLE_SCRAPES * pace.scrape_s + SETTLE_S
            await asyncio.sleep(settle_s)  # the zeros are scraped
            for name in names:
                counters.count(name, GOOD, BAD_BEFORE)
            await asyncio.sleep(settle_s)
            sent = await _fail(counters, names, within_s)
            until = time.monotonic() + BEYOND * (pace.slowest_s + 1)
            while len(receiver.first) < incidents and time.monotonic() < until:
                await asyncio.sleep(0.1)
    finally:
        counters.stop()
    told = {name: receiver.told(name, "alertmanager") for name in names}
    return {name: at_s and at_s - sent[name] for name, at_s in told.items()}


async def _fail(counters: Counters, names: Sequence[str], within_s: float) -> dict[str, float]:
    """Tip each at a moment of its own; when that was."""
    chance, began = random.Random(1), time.monotonic()
    sent = {}
    for at_s, name in zip(sorted(chance.uniform(0, within_s) for _ in names), names, strict=True):
        await asyncio.sleep(max(0.0, began + at_s - time.monotonic()))
        sent[name] = time.monotonic()
        counters.count(name, 0, 1)
    return sent


@asynccontextmanager
async def _pair(pace: Pace, target: int, webhook: str) -> AsyncIterator[None]:
    """Both run, and Prometheus has scraped."""
    found = programs()
    alertmanager, prometheus = ports.free(0), ports.free(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / "alertmanager.yml", _routing(pace, f"{webhook}/alertmanager"))
        _write(folder / "rules.yml", _rules())
        _write(folder / "prometheus.yml", _scraping(pace, target, alertmanager))
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                _running(
                    found["prometheus-alertmanager"],
                    f"--config.file={folder}/alertmanager.yml",
                    f"--storage.path={folder}/alertmanager",
                    f"--web.listen-address=127.0.0.1:{alertmanager}",
                    "--cluster.listen-address=",
                )
            )
            await stack.enter_async_context(
                _running(
                    found["prometheus"],
                    f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={folder}/tsdb",
                    f"--web.listen-address=127.0.0.1:{prometheus}",
                )
            )
            for port in (alertmanager, prometheus):
                await _ready(port)
            yield


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def _routing(pace: Pace, webhook: str) -> dict[str, Any]:
    route = {
        "receiver": "webhook",
        "group_by": ["slo"],
        "group_wait": f"{pace.group_wait_s}s",
        "group_interval": "1s",  # its groups hold one alert each: this never counts
    }
    hook = {"url": webhook, "send_resolved": False}
    return {"route": route, "receivers": [{"name": "webhook", "webhook_configs": [hook]}]}


def _rules() -> dict[str, Any]:
    alert = {"alert": "FastBurn", "expr": EXPR, "for": "0s", "labels": {"severity": "P1"}}
    return {"groups": [{"name": "probes", "rules": [alert]}]}


def _scraping(pace: Pace, target: int, alertmanager: int) -> dict[str, Any]:
    every = {"scrape_interval": f"{pace.scrape_s}s", "evaluation_interval": f"{pace.evaluation_s}s"}
    return {
        "global": every | {"scrape_timeout": f"{min(10, pace.scrape_s)}s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "probes", "static_configs": [_at(target)]}],
        "alerting": {"alertmanagers": [{"static_configs": [_at(alertmanager)]}]},
    }


def _at(port: int) -> dict[str, list[str]]:
    return {"targets": [f"127.0.0.1:{port}"]}


@asynccontextmanager
async def _running(*command: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def _ready(port: int) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        for _ in range(300):
            try:
                if (await client.get(f"http://127.0.0.1:{port}/-/ready")).is_success:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)
    raise RuntimeError(f"nothing is ready on 127.0.0.1:{port}")
