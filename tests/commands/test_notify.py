"""`burnrate notify-test` against servers as strict as the services."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from app.cli import burnrate
from app.commands.notify import destination_of
from app.errors import UserError
from tests.servers import BOT_TOKEN, PagerDutyServer, SlackServer
from tests.web.samples import REPO

KEY = "canary-canary-canary-canary-0123"
CHANNEL = "#headless-alerts in Slack"
PAGER = "@backend-team in PagerDuty"


@pytest_asyncio.fixture
async def slack() -> AsyncIterator[SlackServer]:
    server = SlackServer()
    async with server.running():
        yield server


@pytest_asyncio.fixture
async def pagerduty() -> AsyncIterator[PagerDutyServer]:
    server = PagerDutyServer()
    async with server.running():
        yield server


async def notify_test(destination: str, **env: str) -> Result:
    surroundings = {"BURNRATE_CONFIG": str(REPO / "config"), **env}
    invoke = CliRunner(env=surroundings).invoke
    return await asyncio.to_thread(invoke, burnrate, ["notify-test", destination])


async def in_slack(slack: SlackServer, destination: str = "#headless-alerts") -> Result:
    return await notify_test(destination, SLACK_WEBHOOK_HEADLESS_ALERTS=slack.webhook())


async def at_pager(pagerduty: PagerDutyServer, key: str = KEY) -> Result:
    env = {"PAGERDUTY_KEY_BACKEND_TEAM": key, "PAGERDUTY_EVENTS_URL": pagerduty.url}
    return await notify_test("@backend-team", **env)


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("slack:#headless-alerts", "slack:#headless-alerts"),
        ("#headless-alerts", "slack:#headless-alerts"),
        ("pagerduty:@backend-team", "pagerduty:@backend-team"),
        ("@backend-team", "pagerduty:@backend-team"),
    ],
)
def test_ways_to_name_a_destination(text: str, destination: str) -> None:
    assert destination_of(text) == destination


@pytest.mark.parametrize(
    "text", ["headless-alerts", "slack:@backend-team", "pagerduty:#x", "#", "mail:@a", "#a b", ""]
)
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(UserError, match="is no destination: write '#headless-alerts'") as caught:
        destination_of(text)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("destination", ["#headless-alerts", "slack:#headless-alerts"])
async def test_slack(slack: SlackServer, destination: str) -> None:
    result = await in_slack(slack, destination)
    assert (result.exit_code, result.output) == (0, f"{CHANNEL}: accepted (200)\n")
    (message,) = slack.bodies
    assert message["blocks"][0]["text"]["text"] == f"🧪 Test message for {CHANNEL}"
    assert "This is a test sent by hand. Nothing is wrong" in message["text"]
    assert slack.faults == []


async def test_slack_that_refuses_blocks_gets_text(slack: SlackServer) -> None:
    slack.answer(400, "invalid_payload")
    result = await in_slack(slack)
    assert (result.exit_code, result.output.splitlines()) == (
        0,
        [
            "Slack refuses the blocks (400 invalid_payload); once more as text",
            f"{CHANNEL}: accepted (200)",
        ],
    )
    assert ["blocks" in body for body in slack.bodies] == [True, False]


async def test_slack_refuses_for_good(slack: SlackServer) -> None:
    slack.answer(404, f"no_service at {slack.webhook()}")
    result = await in_slack(slack)
    assert (result.exit_code, result.output) == (
        1,
        f"{CHANNEL}: refused for good: 404 no_service at [secret]\n",
    )


async def test_slack_is_busy(slack: SlackServer) -> None:
    slack.answer(503, "rollup_error")
    result = await in_slack(slack)
    assert (result.exit_code, result.output) == (
        1,
        f"{CHANNEL}: not accepted: 503 rollup_error. A real message would be tried again\n",
    )


async def test_a_page_is_resolved_right_afterwards(pagerduty: PagerDutyServer) -> None:
    result = await at_pager(pagerduty)
    assert (result.exit_code, result.output.splitlines()) == (
        0,
        [f"{PAGER}: accepted (202)", "The alert was resolved right afterwards (202)"],
    )
    trigger, resolve = pagerduty.bodies
    assert trigger["payload"]["severity"] == "info"
    assert trigger["payload"]["summary"] == f"Test message for {PAGER}"
    assert resolve == {
        "routing_key": KEY,
        "event_action": "resolve",
        "dedup_key": trigger["dedup_key"],
    }
    assert (pagerduty.opened, pagerduty.open, pagerduty.faults) == (1, {}, [])


async def test_pagerduty_refuses(pagerduty: PagerDutyServer) -> None:
    result = await at_pager(pagerduty, key="canary")
    assert (result.exit_code, result.output.splitlines()) == (
        1,
        [
            ("hint: PAGERDUTY_KEY_BACKEND_TEAM has 6 characters, a routing key has 32"),
            (
                f"{PAGER}: refused for good: 400 Event object is invalid; "
                "'routing_key' is missing or has not 32 characters"
            ),
        ],
    )
    assert len(pagerduty.arrivals) == 1


async def test_no_answer_to_the_page_resolves_it_all_the_same(pagerduty: PagerDutyServer) -> None:
    pagerduty.cut()
    result = await at_pager(pagerduty)
    said, resolved = result.output.splitlines()
    assert result.exit_code == 1
    assert said.startswith(f"{PAGER}: not accepted: RemoteProtocolError: ")
    assert said.endswith(
        ", but it may have arrived all the same. A real message would be tried again"
    )
    assert resolved == "The alert was resolved right afterwards (202)"


async def test_a_page_that_cannot_be_resolved_says_so(pagerduty: PagerDutyServer) -> None:
    pagerduty.answer(202, "{}")
    pagerduty.answer(400, '{"message": "not now"}')
    result = await at_pager(pagerduty)
    key = pagerduty.bodies[0]["dedup_key"]
    assert (result.exit_code, result.output.splitlines()) == (
        1,
        [
            f"{PAGER}: accepted (202)",
            (
                "The alert may be open still (refused for good: 400 not now): "
                f"resolve {key} in PagerDuty yourself"
            ),
        ],
    )


async def test_no_secret() -> None:
    result = await notify_test("#nowhere")
    assert isinstance(result.exception, UserError)
    assert (result.exception.exit_code, result.exception.message) == (
        2,
        (
            "nothing was sent: SLACK_WEBHOOK_NOWHERE is not set. Set SLACK_WEBHOOK_NOWHERE, or "
            "SLACK_WEBHOOK_NOWHERE_FILE to a file that holds it"
        ),
    )


async def test_a_secret_that_is_none() -> None:
    result = await notify_test("#nowhere", SLACK_WEBHOOK_NOWHERE="http://example.org/canary")
    assert isinstance(result.exception, UserError)
    assert result.exception.message.startswith(
        "nothing was sent: SLACK_WEBHOOK_NOWHERE cannot be used: only https is called"
    )
    assert "canary" not in result.exception.message


async def test_secrets_are_shown_nowhere(slack: SlackServer, pagerduty: PagerDutyServer) -> None:
    pagerduty.answer(400, f'{{"message": "no service for {KEY}"}}')
    slack.answer(410, slack.webhook())
    output = (await in_slack(slack)).output + (await at_pager(pagerduty)).output
    assert "canary" not in output


async def test_a_bot_writes_where_there_is_one(slack: SlackServer) -> None:
    env = {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_API_URL": f"{slack.url}/api"}
    result = await notify_test("#headless-alerts", **env)
    assert (result.exit_code, result.output) == (0, f"{CHANNEL}: accepted (200)\n")
    [message] = slack.messages.values()
    assert message["text"].startswith(f"*🧪 Test message for {CHANNEL}*")


async def test_a_bot_that_is_in_no_channel_says_so(slack: SlackServer) -> None:
    env = {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_API_URL": f"{slack.url}/api"}
    slack.answer(200, '{"ok": false, "error": "not_in_channel"}')
    result = await notify_test("#headless-alerts", **env)
    assert (result.exit_code, result.output) == (
        1,
        f"{CHANNEL}: refused for good: not_in_channel\n",
    )
