"""Who may press buttons in Slack: users that are named, and the members of groups that are."""

import logging
import time

import httpx
from aiohttp import web

from app.delivery.secrets import BOT_TOKEN, Secrets

log = logging.getLogger(__name__)

KEPT_S = 300.0
LOOK_UP_S = 1.5  # Slack waits for its answer three seconds in all


class SlackGroups:
    """Members of user groups, looked up with the bot's token and kept for five minutes."""

    def __init__(self, url: str, secrets: Secrets) -> None:
        self._url, self._secrets = url, secrets
        self._known: dict[str, tuple[float, frozenset[str]]] = {}

    async def is_operator(self, user: str, operators: tuple[str, ...]) -> bool:
        """Whether the user is named, or a member of a group that is."""
        if user in operators:
            return True
        groups = [name for name in operators if name.startswith("S")]
        return any([user in await self._members(group) for group in groups])

    async def _members(self, group: str) -> frozenset[str]:
        """As they were at most five minutes ago; nobody where Slack does not say."""
        at, members = self._known.get(group, (-KEPT_S, frozenset[str]()))
        if time.monotonic() - at < KEPT_S:
            return members
        found = await self._ask(group)
        if found is None:
            return members
        self._known[group] = (time.monotonic(), found)
        return found

    async def _ask(self, group: str) -> frozenset[str] | None:
        tokens = self._secrets.several(BOT_TOKEN)
        if not tokens:
            log.warning("%s: a group's members are known by a bot alone: set %s", group, BOT_TOKEN)
            return None
        try:
            async with httpx.AsyncClient(timeout=LOOK_UP_S) as client:
                answer = await client.get(
                    f"{self._url}/usergroups.users.list",
                    params={"usergroup": group},
                    headers={"Authorization": f"Bearer {tokens[0]}"},
                )
                said = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            log.warning("%s: Slack does not say who belongs to it: %s", group, type(error).__name__)
            return None
        if not said.get("ok"):
            log.warning("%s: Slack does not say who belongs to it: %s", group, said.get("error"))
            return None
        return frozenset(map(str, said.get("users", ())))


GROUPS = web.AppKey("slack_groups", SlackGroups)
