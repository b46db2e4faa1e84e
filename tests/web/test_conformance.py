"""The API does what `/openapi.json` says: whatever is asked, schemathesis checks the answer."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.web import openapi
from tests.web import samples
from tests.web.samples import TOKEN

AVAILABILITY = "availability-20261013T114100Z"
KNOWN: dict[str, str] = {"key": AVAILABILITY, "name": "availability", "slo": "availability"}
ENDLESS = "/events"  # a stream: `test_live` reads it

api = schemathesis.openapi.from_dict(openapi.DOCUMENT).exclude(path=ENDLESS)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with incidents, a freeze and a history, on the loopback."""
    folder: Path = tmp_path_factory.mktemp("conformance")
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(samples.server(folder, samples.outage()), access_log=None)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def check(case: Any, url: str) -> None:  # noqa: ANN401
    """An order may be well-formed and yet name an objective or a rule that is not there: 400."""
    meant = [positive_data_acceptance] if case.method != "GET" else []
    headers = {"Authorization": f"Bearer {TOKEN}"}
    case.call_and_validate(base_url=url, headers=headers, excluded_checks=meant)


@api.parametrize()
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_whatever_is_asked_the_answer_is_as_described(case: Any, url: str) -> None:  # noqa: ANN401
    check(case, url)


@api.parametrize()
@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_what_exists_is_answered_as_described(case: Any, url: str) -> None:  # noqa: ANN401
    """The same with keys and names that exist, so that more than 404 is seen."""
    for name in set(case.path_parameters or {}) & set(KNOWN):
        case.path_parameters[name] = KNOWN[name]
    if case.path == "/api/history":
        case.query = {"slo": "availability"}
    check(case, url)
