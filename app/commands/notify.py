"""`burnrate notify-test`: one message that is clearly a test, sent as real ones are."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import click
import msgspec
from msgspec.structs import replace

from app.commands.terminal import console, plain
from app.commands.worker import settings
from app.core.notices import Notice
from app.core.ownership import pagerduty as at_pager
from app.core.ownership import slack as in_slack
from app.delivery import pagerduty, slack
from app.delivery.outcomes import Accepted, FallbackText, Outcome, Permanent, Retry
from app.delivery.secrets import Found, Secret, Secrets, service_of
from app.delivery.sender import Request, open_client, send_once
from app.delivery.specimen import trial
from app.delivery.wording import Addresses, Wording, destination_name
from app.errors import UserError
from app.settings import Settings

USAGE = 2
REFUSED = 1

Say = Callable[[str, str], None]  # text, style
Send = Callable[[Request], Awaitable[Outcome]]
_TARGET = re.compile(r"(?:slack:)?(?P<channel>#[\w.-]{1,80})|(?:pagerduty:)?(?P<owner>@[\w.-]{1,60})")


@click.command("notify-test")
@click.argument("destination")
@click.pass_context
def notify_test(context: click.Context, destination: str) -> None:
    r"""Send one test message to DESTINATION, and tell what came back.

    A test page is resolved right after it was triggered. The quotes keep the shell from
    reading # as the beginning of a comment.

    \b
    Examples:
      burnrate notify-test '#headless-alerts'
      burnrate notify-test 'pagerduty:@backend-team'
    """
    name = destination_of(destination)
    secrets = Secrets()
    found = secrets.lookup(name)
    if found.secret is None:
        raise _without_secret(found)
    out = console()

    def say(text: str, style: str = "") -> None:
        out.print(plain(secrets.removed_from(text), style), soft_wrap=True)

    if found.hint:
        say(f"hint: {found.hint}", "warn")
    context.exit(0 if asyncio.run(_tried(name, settings(), secrets, found.secret, say)) else REFUSED)


def destination_of(text: str) -> str:
    """#channel → slack:#channel, @owner → pagerduty:@owner; raises UserError for anything else."""
    match = _TARGET.fullmatch(text)
    if match is None:
        raise UserError(
            f"{text!r} is no destination: write '#headless-alerts' or '@backend-team', "
            "or slack: and pagerduty: before them",
            exit_code=USAGE,
        )
    return in_slack(match["channel"]) if match["channel"] else at_pager(match["owner"])


def _without_secret(found: Found) -> UserError:
    return UserError(
        f"nothing was sent: {found.hint}. Set {found.variable}, or set {found.variable}_FILE to a "
        "file that holds it",
        exit_code=USAGE,
    )


async def _tried(name: str, here: Settings, secrets: Secrets, secret: Secret, say: Say) -> bool:
    notice = trial(name, here.clock()())
    wording, addresses = Wording(here.config_dir / "templates"), Addresses(page_url=here.page_url())
    async with open_client() as client:

        async def send(request: Request) -> Outcome:
            return await send_once(client, request, secrets)

        if service_of(name) == "slack":
            return await _in_slack(notice, wording, addresses, secret, send, say)
        url = f"{here.pagerduty_url.rstrip('/')}/v2/enqueue"
        return await _at_pager(notice, wording, addresses, secret, url, send, say)
