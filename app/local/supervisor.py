"""The supervisor: starts the worker again when it dies, asks for it, or stalls."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping

import httpx

from app.local.progress import say
from app.settings import Settings

CHECK_S = 5.0
STARTING_CHECK_S = 1.0  # until it has been healthy, so that a stall soon after that is one
STARTING_S = 60.0  # so long a worker may take before it is healthy for the first time
UNHEALTHY_TIMES = 3
PAUSE_S = 1.0
QUICK_S = 10.0  # a worker that ends sooner than this has not begun to work
QUICK_DEATHS = 5
STOP_S = 15.0
_USER_MISTAKES = (1, 2)  # exit codes of a first start after which another would end the same way


class Child:
    """A process that is kept running."""

    def __init__(self, arguments: list[str], env: Mapping[str, str]) -> None:
        self._command = [sys.executable, "-m", "app", *arguments]
        self._env = dict(env)
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; it gets no Ctrl-C of the terminal's, its supervisor stops it."""
        self.process = await asyncio.create_subprocess_exec(
            *self._command, env=self._env, start_new_session=True
        )

    async def stop(self) -> None:
        """Ask it to end, and end it where it does not within 15 s."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    def hang_up(self) -> None:
        """Pass SIGHUP on: a worker takes over its configuration anew."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGHUP)

    async def ended(self) -> int:
        """Wait for its end; its exit code."""
        assert self.process is not None  # started before
        return await self.process.wait()


class Supervisor:
    """Keeps one process running, and gives up only where a person must act."""

    def __init__(self, child: Child, health_url: str = "") -> None:
        self._child = child
        self._health_url = health_url
        self._quick_deaths = 0
        self._has_worked = False  # then what was set up is right, and what fails is around it

    async def run(self) -> int:
        """Until cancelled, or until starting it again makes no sense: then its exit code."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                began = loop.time()
                await self._child.start()
                code = await self._watch()
                if self._gives_up(code, loop.time() - began):
                    return code
                say(f"the worker ended ({_how(code)}) and is started again")
                await asyncio.sleep(PAUSE_S)
        finally:
            await self._child.stop()

    def _gives_up(self, code: int, lived_s: float) -> bool:
        mistaken = code in _USER_MISTAKES
        if mistaken and not self._has_worked:
            return True
        self._has_worked |= lived_s >= QUICK_S
        self._quick_deaths = self._quick_deaths + 1 if lived_s < QUICK_S and not mistaken else 0
        return self._quick_deaths >= QUICK_DEATHS

    async def _watch(self) -> int:
        """The exit code of the worker, after killing it where it stalls."""
        ended = asyncio.ensure_future(self._child.ended())
        stalled = asyncio.ensure_future(self._stalls())
        await asyncio.wait([ended, stalled], return_when=asyncio.FIRST_COMPLETED)
        stalled.cancel()
        if not ended.done() and self._child.process is not None:
            say("the worker stalls: it is ended")
            self._child.process.send_signal(signal.SIGKILL)
        return await ended

    async def _stalls(self) -> None:
        """Return when /healthz has failed three times in a row, once it was well or should be."""
        if not self._health_url:
            await asyncio.Event().wait()
        loop = asyncio.get_running_loop()
        began, failed, was_healthy = loop.time(), 0, False
        async with httpx.AsyncClient(trust_env=False, timeout=CHECK_S) as client:
            while failed < UNHEALTHY_TIMES:
                pause_s = CHECK_S if was_healthy else STARTING_CHECK_S
                healthy, _ = await asyncio.gather(self._healthy(client), asyncio.sleep(pause_s))
                was_healthy |= healthy
                starting = not was_healthy and loop.time() - began < STARTING_S
                failed = 0 if healthy or starting else failed + 1

    async def _healthy(self, client: httpx.AsyncClient) -> bool:
        try:
            answer = await client.get(self._health_url)
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK


def _how(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


async def supervise_worker(settings: Settings, only: str | None) -> int:
    """`burnrate worker --supervised`: the exit code of the last worker."""
    arguments = ["worker", "--port", str(settings.port), "--host", settings.host]
    if only:
        arguments += ["--only", only]
    host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host  # noqa: S104
    child = Child(arguments, os.environ)
    supervisor = Supervisor(child, f"http://{host}:{settings.port}/healthz")
    running = asyncio.ensure_future(supervisor.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    loop.add_signal_handler(signal.SIGHUP, child.hang_up)
    try:
        return await running
    except asyncio.CancelledError:
        return 0
