"""`burnrate up`: everything on this machine, in the foreground, ended by Ctrl-C."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import click
import httpx
import msgspec

from app.bridge.replay import Progress, replay
from app.bridge.source import check_folder
from app.errors import UserError
from app.local import kafka, summary
from app.local.demo import write_demo
from app.local.progress import say
from app.local.supervisor import Child, Supervisor
from app.settings import DEFAULT_PORT, Settings

DEMO_SPEED = 1400.0  # two days in a little over two minutes
REPLAY_SPEED = 20_000.0
PORTS_TRIED = 20
READY_S = 90.0
JUDGED_BUT_MS = 60_000  # the last heartbeats need not have been judged
_POLL_S = 0.2
_PROGRESS_S = 10.0


@click.command()
@click.option("--demo", is_flag=True, help="Play the shipped demo (the default without --data).")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="A folder with Kokino's metrics.db: tail it.",
)
@click.option("--replay", "as_replay", is_flag=True, help="Play --data on its own, old time.")
@click.option("--speed", type=click.FloatRange(min=0.1), help="Data seconds a second.")
@click.option("--send", is_flag=True, help="Send the notices of a demo or replay for real.")
@click.option("--port", type=click.IntRange(1, 65535), help="Of the page (default 5050).")
def up(
    *,
    demo: bool,
    data: Path | None,
    as_replay: bool,
    speed: float | None,
    send: bool,
    port: int | None,
) -> None:
    """Start Kafka, the worker and the page here, and feed them.

    \b
    Examples:
      burnrate up                       the demo: two days in three minutes
      burnrate up --data ~/kokino/data  tail Kokino's databases
      burnrate up --data DIR --replay   old data on its own time
    """  # noqa: D301 - \b is click's
    if demo and data is not None:
        raise UserError("--demo and --data exclude each other", exit_code=2)
    if as_replay and data is None:
        raise UserError("--replay needs --data DIR", exit_code=2)
    settings = Settings.from_env()
    settings = msgspec.structs.replace(
        settings,
        port=free_port(settings.host, port or settings.port),
        replay=as_replay or data is None,
        send=send,
    )
    if data is None:
        say("Writing the demo's data: two days of traffic with one incident of each kind")
        data = settings.data_dir / "demo"
        data.mkdir(parents=True, exist_ok=True)
        write_demo(data)
    check_folder(data)
    speed = speed or (REPLAY_SPEED if as_replay else DEMO_SPEED)
    raise SystemExit(asyncio.run(_up(settings, data.absolute(), speed)))


def free_port(host: str, wanted: int) -> int:
    """The wanted port, or the next one that is free, said aloud; raises UserError."""
    for port in range(wanted, min(wanted + PORTS_TRIED, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                if port != wanted:
                    say(f"Port {wanted} is taken, so the page is on {port}")
                return port
    raise UserError(
        f"ports {wanted} to {wanted + PORTS_TRIED - 1} are all taken: name another by --port"
    )


async def _up(settings: Settings, data: Path, speed: float) -> int:
    async with _broker(settings) as bootstrap:
        settings = msgspec.structs.replace(
            settings,
            kafka=bootstrap,
            topic_prefix=settings.topic_prefix
            or (f"replay-{time.time_ns() // 1_000_000}." if settings.replay else ""),
        )
        env = _environment(settings)
        worker = Child(["worker", "--port", str(settings.port)], env)
        supervisor = Supervisor(worker, f"http://{settings.host}:{settings.port}/healthz")
        running = [asyncio.ensure_future(supervisor.run())]
        try:
            await _when_stopped(running, settings, data, speed, env)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
    code = running[0].result() if running[0].done() and not running[0].cancelled() else 0
    say("Everything has ended")
    return code


@contextlib.asynccontextmanager
async def _broker(settings: Settings) -> AsyncIterator[str]:
    """The Kafka that is named, or one of our own that ends with us."""
    if settings.kafka:
        yield settings.kafka
        return
    broker = await asyncio.to_thread(kafka.start, settings.data_dir)
    say(f"Kafka {'runs already' if broker.reused else 'is up'} at {broker.bootstrap}")
    try:
        yield broker.bootstrap
    finally:
        if broker.owner == os.getpid():
            await asyncio.to_thread(kafka.stop, settings.data_dir)


def _environment(settings: Settings) -> dict[str, str]:
    """What the worker and the bridge are told."""
    return {
        **os.environ,
        "BURNRATE_KAFKA": settings.kafka,
        "BURNRATE_TOPIC_PREFIX": settings.topic_prefix,
        "BURNRATE_DATA": str(settings.data_dir),
        "BURNRATE_CONFIG": str(settings.config_dir),
        "BURNRATE_HOST": settings.host,
        "BURNRATE_REPLAY": "1" if settings.replay else "",
        "BURNRATE_SEND": "1" if settings.send else "",
    }


async def _when_stopped(
    running: Sequence[asyncio.Future[int]],
    settings: Settings,
    data: Path,
    speed: float,
    env: dict[str, str],
) -> None:
    """Feed the worker when it is ready, until Ctrl-C or until something ends by itself."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # its terminal was closed
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.ensure_future(stop.wait())
    feeding = asyncio.ensure_future(_feed(settings, data, speed, env))
    waiting: set[asyncio.Future[object]] = {stopping, feeding, *running}  # type: ignore[arg-type]
    while not stopping.done() and not running[0].done():
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if feeding in done:
            feeding.result()
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)


async def _feed(settings: Settings, data: Path, speed: float, env: dict[str, str]) -> None:
    url = f"http://{settings.host}:{settings.port}"
    await _ready(url)
    say(f"The page: {url}/   the status: {url}/api/slo/status   Ctrl-C ends everything")
    if settings.port != DEFAULT_PORT:
        say(f"Commands in other terminals find it with: export BURNRATE_URL={url}")
    if not settings.replay:
        await Supervisor(Child(["bridge", "--data", str(data)], env)).run()
        return
    report = await replay(settings, data, speed=speed, on_progress=Teller())
    say(f"The data is played: {sum(report.events.values())} events in {report.took_s:.0f} s")
    if await summary.judged_until(url, (report.until_ms or 0) - JUDGED_BUT_MS):
        for line in summary.lines(await summary.told(settings), summary.labels_of(data)):
            say(line)
    say(f"The page stays at {url}/ until Ctrl-C")


async def _ready(url: str) -> None:
    """Wait for /readyz; the worker itself says what is wrong where it ends."""
    deadline = time.monotonic() + READY_S
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{url}/readyz")).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(_POLL_S)
    raise UserError(f"the worker is not ready after {READY_S:.0f} s; its log above says why")


class Teller:
    """Says now and then where the replay is."""

    def __init__(self) -> None:
        self._said_at = 0.0

    def __call__(self, progress: Progress) -> None:
        """Called at each step of the replay."""
        if time.monotonic() - self._said_at < _PROGRESS_S:
            return
        self._said_at = time.monotonic()
        at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(progress.at_ms / 1000))
        say(f"── the data's time is {at} UTC, {progress.events} events played")
