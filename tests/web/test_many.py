"""Two hundred objectives and five hundred incidents: the pages stay quick, and short enough."""

import functools
import time
from copy import deepcopy
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request
from msgspec.structs import replace

from app.config import Policy
from app.core.status import iso
from app.web import pages, scenes
from app.web.surroundings import SURROUNDINGS
from tests.web import samples
from tests.web.samples import NOON, World

SLOS, INCIDENTS = 200, 500
MOST_MS = 100
MOST_BYTES = 1_500_000
MINUTE = 60_000


@functools.cache
def many() -> World:
    """One outage, told two hundred times over; every second incident is still open."""
    world = samples.outage()
    slo, route = world.policy.slos["availability"], world.policy.ownership.routes["availability"]
    names = [f"service-{n:03}" for n in range(SLOS)]
    status, past = world.slos["availability"], world.history["availability"]
    incident = next(one for one in world.incidents.values() if one["slo"] == "availability")
    world.policy = Policy(
        slos={name: replace(slo, id=name, title=f"Service {name}") for name in names},
        ownership=replace(
            world.policy.ownership, routes={name: replace(route, slo=name) for name in names}
        ),
    )
    world.slos = {name: deepcopy(status) | {"id": name, "title": name} for name in names}
    world.history = {name: dict(past) for name in names}
    world.incidents = {}
    for n in range(INCIDENTS):
        name, opened = names[n % SLOS], iso(NOON - n * 10 * MINUTE)
        key = f"{name}-{n}"
        ended = {"state": "resolved", "resolvedAt": iso(NOON - n * 9 * MINUTE)} if n % 2 else {}
        world.incidents[key] = incident | {"key": key, "slo": name, "openedAt": opened} | ended
        if not ended:
            world.slos[name]["incidents"].append(key)
    return world


@pytest.mark.parametrize("path", ["/", "/incidents", "/slos/service-007", "/report"])
def test_a_page_is_made_in_under_a_tenth_of_a_second(path: str, tmp_path: Path) -> None:
    app = samples.server(tmp_path, many())
    around = app[SURROUNDINGS]
    request = make_mocked_request("GET", path, app=app)
    made = {
        "/": ("overview.html", lambda: scenes.overview(around)),
        "/incidents": ("incidents.html", lambda: scenes.incidents(around, None, 1)),
        "/slos/service-007": ("slo.html", lambda: scenes.slo(around, "service-007")),
        "/report": (
            "report.html",
            lambda: scenes.report(pages.asked_reports(around, None)),
        ),
    }
    template, scene = made[path]
    took_ms = []
    for _ in range(5):
        began = time.process_time()
        answer = pages.render(request, template, scene())
        took_ms.append((time.process_time() - began) * 1000)
    assert answer.body is not None
    print(f"{path}: {min(took_ms):.0f} ms, {len(answer.body) / 1000:.0f} kB")
    assert min(took_ms) < MOST_MS
    assert len(answer.body) < MOST_BYTES
