"""The same worker under Faust's own command line: `faust -A app worker`."""

import asyncio
from collections.abc import Awaitable, Callable

import faust

from app import config
from app.delivery.secrets import Secrets
from app.settings import Settings
from app.worker import Worker, log_to_stderr, named, prepare


def _build() -> faust.App:
    settings = named(Settings.from_env())
    secrets = Secrets({}) if settings.replay and not settings.send else Secrets()
    log_to_stderr(settings, secrets)
    policy = asyncio.run(prepare(settings, config.load(settings.config_dir)))
    worker = Worker(settings, policy, secrets)
    count = worker.made.counting
    assert count is not None  # a whole worker counts
    for name, start in worker.running().items():
        if name != "count":
            count.app.task(_task(name, start))
    return count.app


def _task(name: str, start: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def task() -> None:
        await start()

    task.__name__ = task.__qualname__ = name
    return task


app = _build()
