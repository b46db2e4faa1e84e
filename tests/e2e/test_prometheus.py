"""A real Prometheus scrapes a running worker: what it is given is valid, the dashboard finds it."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.harness import Stack, comparison, execution, free_port, integrity, wait_for
from tests.tools import needs

pytestmark = [pytest.mark.kafka, pytest.mark.slow, needs("prometheus", "promtool")]

DASHBOARD = Path(__file__).parents[2] / "monitoring" / "grafana" / "headless-dashboard.json"
SCRAPE_S = 1
KNOWN_LINT = {
    "headless_latency_p95_ms metric names should not contain abbreviated units",  # Kokino's name
}
LINT_ONLY = 3
EMPTY_WHILE_ALL_IS_WELL = {  # nothing is broken, nothing has been rejected
    "max by (destination) (burnrate_destination_broken)",
}


def queries() -> list[str]:
    """Every query of the dashboard, as Grafana would send it with all objectives chosen."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    chosen = {"$slo": ".*", "$__rate_interval": "30s", "[5m]": "[30s]", "[1h]": "[30s]"}
    for name, value in chosen.items():
        found = [query.replace(name, value) for query in found]
    assert not [query for query in found if "$" in query]
    return found


@pytest.fixture
async def stack(kafka: str, prefix: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(kafka, prefix, tmp_path) as made:
        await made.worker().start()
        yield made


@pytest.fixture
async def prometheus(stack: Stack, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    target = stack.workers[0].url.removeprefix("http://")
    config = {
        "global": {"scrape_interval": f"{SCRAPE_S}s"},
        "scrape_configs": [{"job_name": "burnrate", "static_configs": [{"targets": [target]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False
        ) as client:
            yield client
    finally:
        process.terminate()
        await process.wait()


async def asked(prometheus: httpx.AsyncClient, query: str) -> list[dict[str, Any]]:
    answer = (await prometheus.get("/api/v1/query", params={"query": query})).json()
    assert answer["status"] == "success", (query, answer)
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


async def test_every_panel_of_the_dashboard_has_something_to_show(
    stack: Stack, prometheus: httpx.AsyncClient
) -> None:
    executions = [execution(stack.now - n, good=n > 12, memory_mb=300) for n in range(120)]
    compared = [comparison(stack.now - n, good=n > 3) for n in range(40)]
    await stack.produce([*executions, *compared, integrity(stack.now - 1, "conv-17")])
    await wait_for(stack.triggers, "the outage is paged")

    async def scraped() -> bool:
        found = await asked(prometheus, "sum(increase(headless_executions_total[30s]))")
        return bool(found)

    await wait_for(scraped, "Prometheus has scraped it more than once")
    empty = [query for query in queries() if not await asked(prometheus, query)]
    assert set(empty) - EMPTY_WHILE_ALL_IS_WELL == set()

    by_slo = await asked(prometheus, 'burnrate_incident_open{severity="P1"} == 1')
    assert {one["metric"]["slo"] for one in by_slo} == {"availability", "data-integrity"}
    total = await asked(prometheus, "sum(headless_executions_total)")
    assert float(total[0]["value"][1]) == 120

    checked = await asyncio.create_subprocess_exec(
        "promtool", "check", "metrics", stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, said = await checked.communicate((await stack.get("/metrics")).content)
    assert {line.strip() for line in said.decode().splitlines() if line.strip()} <= KNOWN_LINT
    assert checked.returncode in (0, LINT_ONLY)


async def test_no_event_can_make_more_series_than_the_caps_allow(stack: Stack) -> None:
    """A thousand agents and CLI types: the rest are counted together."""
    events = [execution(stack.now - 1, agent=f"agent-{n}", cli=f"cli-{n}") for n in range(1000)]
    await stack.produce(events)
    await stack.judged()
    text = (await stack.get("/metrics")).text
    agents = set(re.findall(r'headless_executions_total\{agent_id="([^"]+)"', text))
    assert 1 < len(agents) <= 201
    assert await stack.metric('burnrate_events_total{result="counted"}') == 1000
