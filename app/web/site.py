"""The web server together with what it reads and writes, as one thing that runs."""

import asyncio
from collections.abc import Callable

from app.delivery.secrets import Secrets
from app.metrics import Metrics
from app.settings import Settings
from app.web.mirror import Mirror
from app.web.sending import CommandSender
from app.web.server import make_server, serving
from app.web.surroundings import Configuration, Health


class Site:
    """Serves until cancelled."""

    def __init__(
        self,
        settings: Settings,
        configuration: Configuration,
        metrics: Metrics,
        health: Callable[[], Health],
        secrets: Secrets,
    ) -> None:
        self._settings = settings
        self._mirror = Mirror(settings)
        self._commands = CommandSender(settings)
        self._app = make_server(
            settings, self._mirror, metrics, health, self._commands, configuration, secrets
        )

    async def run(self) -> None:
        """Serve, and follow the topics that are shown."""
        try:
            async with serving(self._app, self._settings.host, self._settings.port):
                await self._mirror.run()
        finally:
            await asyncio.shield(self._commands.close())
