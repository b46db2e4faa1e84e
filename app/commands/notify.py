"""`burnrate notify-test`: one message that is clearly a test, sent as real ones are."""

import asyncio
import re
from collections.abc import Callable

import click
import httpx
from msgspec.structs import replace

from app.commands.terminal import console, plain
from app.commands.worker import settings
from app.core.notices import Notice
from app.core.ownership import pagerduty as at_pager
from app.core.ownership import slack as in_slack
from app.delivery import pagerduty, requests
from app.delivery.drafts import Draft
from app.delivery.outcomes import Accepted, FallbackText, Outcome, Retry
from app.delivery.requests import Presentation
from app.delivery.secrets import Found, Secret, Secrets, service_of
from app.delivery.sender import open_client, send_once
from app.delivery.specimen import trial
from app.delivery.wording import Addresses, Wording, destination_name
from app.errors import UserError
from app.settings import Settings

REFUSED = 1
USAGE = 2

_TARGET = re.compile(r"(?:slack:)?(#[\w.-]{1,80})|(?:pagerduty:)?(@[\w.-]{1,60})")


@click.command("notify-test")
@click.argument("destination")
@click.pass_context
def notify_test(context: click.Context, destination: str) -> None:
    """Send one test message to DESTINATION, and tell what came back.

    A test page is resolved right after it was triggered. Quotes keep the shell from taking # for
    the beginning of a comment.

    \b
    Examples:
      burnrate notify-test '#headless-alerts'
      burnrate notify-test 'pagerduty:@backend-team'
    """  # noqa: D301 - \b is click's
    name = destination_of(destination)
    here, secrets = settings(), Secrets()
    found = secrets.lookup(name)
    if found.secret is None:
        raise _without_secret(found)
    out = console()

    def say(text: str, style: str = "") -> None:
        out.print(plain(secrets.removed_from(text), style), soft_wrap=True)

    if found.hint:
        say(f"hint: {found.hint}", "warn")
    sent = asyncio.run(_tried(trial(name, here.clock()()), here, secrets, found.secret, say))
    context.exit(0 if sent else REFUSED)


def destination_of(text: str) -> str:
    """#channel → slack:#channel, @owner → pagerduty:@owner; raises UserError for anything else."""
    match = _TARGET.fullmatch(text)
    if match is None:
        raise UserError(
            f"{text!r} is no destination: write '#headless-alerts' or '@backend-team', "
            "with slack: or pagerduty: before it if you like",
            exit_code=USAGE,
        )
    channel, owner = match.groups()
    return in_slack(channel) if channel else at_pager(owner)


def _without_secret(found: Found) -> UserError:
    return UserError(
        f"nothing was sent: {found.hint}. Set {found.variable}, or {found.variable}_FILE to a file "
        "that holds it",
        exit_code=USAGE,
    )


async def _tried(
    notice: Notice, here: Settings, secrets: Secrets, secret: Secret, say: Callable[..., None]
) -> bool:
    async with open_client() as client:
        test = _Trial(client, here, secrets, secret, say)
        if service_of(notice.destination) == "slack":
            return await test.in_slack(notice)
        return await test.at_pager(notice)


class _Trial:
    """Sends the test message, and says what comes of it."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        here: Settings,
        secrets: Secrets,
        secret: Secret,
        say: Callable[..., None],
    ) -> None:
        self._client, self._secrets, self._secret = client, secrets, secret
        self._say = say
        self._shown = Presentation(
            wording=Wording(here.config_dir / "templates"),
            addresses=Addresses(page_url=here.page_url()),
            events_url=here.pagerduty_url,
            slack_url=here.slack_url,
        )

    async def in_slack(self, notice: Notice) -> bool:
        """Post it, as text alone where Slack refuses the blocks. Whether it was accepted."""
        outcome = await self._post(notice, text_alone=False)
        if isinstance(outcome, FallbackText):
            self._say(f"Slack refuses the blocks ({outcome.reason}); once more as text", "warn")
            outcome = await self._post(notice, text_alone=True)
        return self._told(notice, outcome)

    async def at_pager(self, notice: Notice) -> bool:
        """Trigger an alert and resolve it. Whether both were accepted."""
        outcome = await self._sent(Draft(notice=notice))
        accepted = self._told(notice, outcome)
        if not accepted and not _unsure(outcome):
            return False
        end = await self._sent(Draft(notice=replace(notice, kind="resolve")))
        if isinstance(end, Accepted):
            self._say(f"The alert was resolved right afterwards ({end.status})")
            return accepted
        key = pagerduty.dedup_key(notice)
        self._say(
            f"The alert may be open still ({_words(end)}): resolve {key} in PagerDuty yourself",
            "bad",
        )
        return False

    async def _post(self, notice: Notice, *, text_alone: bool) -> Outcome:
        return await self._sent(Draft(notice=notice, text_alone=text_alone))

    async def _sent(self, draft: Draft) -> Outcome:
        request = requests.request(draft, self._secret, self._shown, buttons=False)
        return await send_once(self._client, request, self._secrets)

    def _told(self, notice: Notice, outcome: Outcome) -> bool:
        accepted = isinstance(outcome, Accepted)
        name = destination_name(notice.destination)
        self._say(f"{name}: {_words(outcome)}", "good" if accepted else "bad")
        return accepted


def _unsure(outcome: Outcome) -> bool:
    """It may have been accepted all the same."""
    return isinstance(outcome, Retry) and outcome.unsure


def _words(outcome: Outcome) -> str:
    if isinstance(outcome, Accepted):
        return f"accepted ({outcome.status})"
    if not isinstance(outcome, Retry):
        return f"refused for good: {outcome.reason}"
    doubt = ", but it may have arrived all the same" if outcome.unsure else ""
    return f"not accepted: {outcome.reason}{doubt}. A real message would be tried again"
