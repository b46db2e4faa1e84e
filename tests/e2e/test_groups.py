"""One SLO for each CLI type that is seen: found while it runs, counted exactly, capped, kept."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Event, Stack, execution, wait_for
from tests.e2e.test_reload import BEGIN, Folder, against_live, filled, reload

pytestmark = pytest.mark.kafka

MOST = 3
SLO = f"""
  - id: by-cli
    title: By CLI
    objective: 0.99
    by: {{cli_type: {{most: {MOST}}}}}
    counts:
      - {{event: EXECUTION_COMPLETED, bad_when: ["success != 1"]}}
      - {{event: EXECUTION_FAILED, bad_when: always}}
    headline: {{kind: ratio, target: 0.99, window: 24h, unit: ratio}}
    breach: {{measure: ratio, threshold: 0.5, window: 1h, severity: P1}}
"""
ROUTES = """
  by-cli: {owner: "@qa-team", channel: "#shadow-mode-alerts"}
  "by-cli:codex": {owner: "@ops-team", channel: "#ops-alerts"}
"""
GARBAGE = ("", "  ", "\N{PILE OF POO}", "x" * 5000, "other", "a/b:c", "Claude Code")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "config")
    made.write("slos.yaml", made.read("slos.yaml") + SLO)
    made.edit("ownership.yaml", ("  alerter:", ROUTES + "  alerter:"))
    return made


def of(cli: str | None, good: int, bad: int = 0) -> list[Event]:
    made = [execution(BEGIN - 60 - n, good=n >= bad) for n in range(good + bad)]
    return [event | {"cli_type": cli} for event in made]


def recount(stack: Stack, groups: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Each group's events, and its bad ones, from what was sent."""
    total, bad = Counter[str](), Counter[str]()
    for _, event in stack.sent:
        cli = event["cli_type"]
        name = f"by-cli:{cli if cli in groups else 'other'}"
        total[name] += 1
        bad[name] += event["event"] == "EXECUTION_FAILED"
    return {f"by-cli:{name}": (total[f"by-cli:{name}"], bad[f"by-cli:{name}"])
            for name in (*groups, "other")}  # fmt: skip


async def shown(stack: Stack, worker: int = 0) -> dict[str, tuple[int, int]]:
    """What the groups count in the hour, those that are filled."""
    slos = (await stack.api("/api/slo/status", worker))["slos"]
    return {
        slo["id"]: (slo["windows"]["1h"]["total"], slo["windows"]["1h"]["bad"])
        for slo in slos
        if slo["id"].startswith("by-cli:") and not slo["filling"]
    }


async def has_groups(stack: Stack, *groups: str, worker: int = 0) -> None:
    """Wait until exactly these are there, and each counts what was sent."""
    wanted, seen = recount(stack, groups), dict[str, Any]()

    async def same() -> bool:
        seen.update(now=await shown(stack, worker))
        return bool(seen["now"] == wanted)

    try:
        await wait_for(same, "the groups", 60)
    except AssertionError as error:
        raise AssertionError(f"{error}: {wanted}, not {seen}") from None
    assert list(seen["now"]) == list(wanted)  # by discovery, the rest last
    whole = (await stack.windows("availability", worker))["1h"]
    assert tuple(map(sum, zip(*wanted.values(), strict=True))) == whole


async def test_a_value_that_is_seen_becomes_an_slo_and_stays_one(
    kafka: str, prefix: str, tmp_path: Path, folder: Folder
) -> None:
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN, config=folder.path) as stack:
        first = await stack.worker().start()
        second = await stack.worker().start()
        await has_groups(stack)

        # garbage has no group; what is seen has one, wherever it is read
        await stack.produce([*of("claude", 30, 2), *of(None, 4), *of("claude", 1)])
        await stack.produce([event for one in GARBAGE for event in of(one, 2, 1)], partition=1)
        await has_groups(stack, "claude")
        await has_groups(stack, "claude", worker=1)

        # one more while it runs; who reads it dies before anything of it is certain
        await stack.produce(of("gemini", 5, 20), partition=2)
        await first.kill()
        await stack.produce(of("gemini", 3), partition=3)
        await has_groups(stack, "claude", "gemini", worker=1)
        await stack.told_so("shadow-mode-alerts", "P1 by-cli:gemini: breach")
        await first.start()
        await has_groups(stack, "claude", "gemini")

        # a row of its own waits for a group; then there are as many as it may have
        await stack.produce(of("codex", 0, 10), partition=1)
        await has_groups(stack, "claude", "gemini", "codex")
        await stack.told_so("ops-alerts", "P1 by-cli:codex: breach")
        await stack.produce([*of("aider", 7, 1), *of("qwen", 2)], partition=3)
        await has_groups(stack, "claude", "gemini", "codex")
        (rest,) = [
            slo["rest"]
            for slo in (await stack.api("/api/slo/status"))["slos"]
            if slo["id"] == "by-cli:other"
        ]
        assert rest == {"by": "cli_type", "groups": MOST, "most": MOST}
        assert await stack.metric('burnrate_slo_groups{slo="by-cli"}') == MOST
        beyond = 'burnrate_slo_left_over_events_total{slo="by-cli",why="beyond"}'
        assert sum([await stack.metric(beyond, worker) for worker in (0, 1)]) == 10
        assert "further values of cli_type count in by-cli:other" in first.log() + second.log()

        # the same configuration changes nothing; fewer at most end the last, with its incident
        assert "no SLO and no open incident is touched" in await against_live(stack, folder)
        assert (await reload(stack)).json()["changed"] is False
        after = folder.copy()
        after.edit("slos.yaml", (f"most: {MOST}", "most: 2"))
        said = await against_live(stack, after)
        assert "ends, because by-cli:codex is configured no more; its pages are resolved" in said
        folder.take(after)
        await reload(stack)
        await filled(stack, "by-cli:other")
        await has_groups(stack, "claude", "gemini")
        await stack.told_so("ops-alerts", "Resolved: by-cli:codex")
