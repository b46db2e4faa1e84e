"""The chronicle: what has changed in the history goes out now and then, hours, days and months."""

import asyncio
import time

from app.stream.accounts import Account
from app.stream.publisher import Publisher

EVERY_S = 15.0
REPLAY_EVERY_S = 2.0


class Chronicle:
    """Tells the history of the accounts that are ours, each at its own turn."""

    def __init__(self, publisher: Publisher, every_s: float) -> None:
        self._publisher = publisher
        self._every_s = every_s
        self._told_at: dict[str, tuple[Account, float]] = {}

    async def tick(self, accounts: dict[str, Account]) -> None:
        """Tell of those whose turn has come; with many SLOs others go on in between."""
        for slo, account in list(accounts.items()):
            known, at = self._told_at.get(slo, (None, 0.0))
            if known is account and time.monotonic() - at < self._every_s:
                continue
            if now := account.standing.state.judged_at:
                self._told_at[slo] = (account, time.monotonic())
                for key, told in account.history.news(now).items():
                    self._publisher.history(key, told)
                await asyncio.sleep(0)
