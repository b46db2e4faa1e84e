"""Where it is measured: this machine, a real Kafka, real worker processes."""

import argparse
import asyncio
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from app.core.events import parse_timestamp
from app.local import kafka, ports
from app.settings import Settings

ROOT = Path(__file__).parents[1]
LOOK_S = 0.1
READY_S = 180.0
COUNTED = 'burnrate_events_total{result="counted"}'
SECRETS = ("BURNRATE_", "SLACK_", "PAGERDUTY_")  # of whoever measures: none reaches a worker


def end_in_order() -> None:
    """SIGTERM ends as Ctrl-C does: what was started is ended first."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def machine() -> str:
    """What this was measured on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "?")
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"


@contextmanager
def broker(given: str = "") -> Iterator[str]:
    """Bootstrap servers: those that are given, else of a Kafka that ends with the block."""
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield kafka.start(Path(folder)).bootstrap
        finally:
            kafka.stop(Path(folder))


@contextmanager
def site(kafka: str, *, own_config: bool = False) -> Iterator[Settings]:
    """Settings with topics, a folder and a port of their own, which end with the block.

    A worker that is started here again comes back as the same, as it would on its machine: another
    port would be another worker, that waits until the session of the first has ended.
    `own_config`: a folder for a policy that is still to be written; else the shipped one.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield Settings(
            kafka=kafka,
            topic_prefix=f"b{uuid.uuid4().hex[:6]}.",
            config_dir=Path(folder) / "config" if own_config else ROOT / "config",
            data_dir=Path(folder) / "data",
            port=ports.free(0),
        )


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Of a script's command line, with what all of them have."""
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    made.add_argument("--kafka", default="", help="host:port; without it one is started")
    return made


class Worker:
    """One worker process, with the configuration, data folder and port of its settings."""

    def __init__(self, settings: Settings, more: Mapping[str, str] | None = None) -> None:
        kept = {name: v for name, v in os.environ.items() if not name.startswith(SECRETS)}
        env = kept | {
            "BURNRATE_KAFKA": settings.kafka,
            "BURNRATE_TOPIC_PREFIX": settings.topic_prefix,
            "BURNRATE_DATA": str(settings.data_dir),
            "BURNRATE_CONFIG": str(settings.config_dir.absolute()),
            "BURNRATE_LOG_LEVEL": "WARNING",
        }
        self.url = f"http://127.0.0.1:{settings.port}"
        self.began = time.monotonic()
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process lives
        self.process = psutil.Popen(
            [sys.executable, "-m", "app", "worker", "--port", str(settings.port)],
            env=env | dict(more or {}),
            cwd=ROOT,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._http = httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=60)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.aclose()
        self.kill()

    async def ready(self) -> float:
        """Seconds from its start until `/readyz` says so."""
        while not await self._is_ready():
            await asyncio.sleep(0.02)
        return time.monotonic() - self.began

    async def _is_ready(self) -> bool:
        self._check(READY_S)
        with suppress(httpx.HTTPError):
            return (await self._http.get("/readyz")).is_success
        return False

    def _check(self, most_s: float = math.inf) -> None:
        """Raises where it has ended, or has taken too long."""
        if self.process.poll() is not None or time.monotonic() - self.began > most_s:
            raise RuntimeError(f"the worker does not get on; it said:\n{self.said()[-3000:]}")

    def said(self) -> str:
        """Its output."""
        self._log.seek(0)
        return self._log.read()

    async def slos(self) -> list[dict[str, Any]]:
        """Every SLO's status; empty where it does not answer yet."""
        self._check()
        with suppress(httpx.ConnectError, ValueError, KeyError):
            found: list[dict[str, Any]] = (await self._http.get("/api/slo/status")).json()["slos"]
            return found
        return []

    async def judging(self, slos: int, since_ms: int, look_s: float = 0.02) -> float:
        """Seconds from its start until so many SLOs, all of them, have been judged anew."""
        while True:
            found = await self.slos()
            judged = [slo for slo in found if parse_timestamp(slo["judgedAt"]) > since_ms]
            if len(found) == len(judged) == slos:
                return time.monotonic() - self.began
            await asyncio.sleep(look_s)

    async def metric(self, name: str) -> float:
        """A sample of `/metrics`, its labels as they stand there; 0 where there is none yet."""
        [found] = await self.metrics(name)
        return found

    async def metrics(self, *names: str) -> list[float]:
        """Samples of one moment, as `metric`."""
        self._check()
        found: dict[str, float] = {}
        with suppress(httpx.ConnectError):  # it does not listen yet
            lines = (await self._http.get("/metrics")).text.splitlines()
            samples = (line.rpartition(" ") for line in lines if line[:1] != "#")
            found = {name: float(value) for name, _, value in samples}
        return [found.get(name, 0.0) for name in names]

    def memory_mb(self) -> float:
        """Resident memory."""
        return self.process.memory_info().rss / 1e6

    def cpu_s(self) -> float:
        """The processor's time that it has used."""
        return sum(self.process.cpu_times()[:2])

    def kill(self) -> None:
        """SIGKILL."""
        with suppress(psutil.NoSuchProcess):  # it has ended
            self.process.kill()
            self.process.wait()

    def stop(self) -> float:
        """SIGTERM, and the seconds until it has ended."""
        began = time.monotonic()
        self.process.terminate()
        self.process.wait()
        return time.monotonic() - began
