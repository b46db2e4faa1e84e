"""Declared SLOs on recorded data: groups that are seen and fields of their own, told by SQL as well."""

# ruff: noqa: E501 - the query reads across

import json
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app import config
from app.backtest.grouping import grouped
from app.backtest.running import run, wanted_events
from app.backtest.sources import Lines, kinds_for
from app.config import Policy
from app.core.events import parse_timestamp
from tests.backtest.random_data import BEGAN_MS, Event, iso
from tests.backtest.test_command import backtest
from tests.backtest.test_expectations import burnrate_test

MOST, MORE_THAN = 3, 4
SLOW = """
slos:
  - id: slow
    title: Slow for those who pay
    objective: 0.9
    by: {cli_type: BY}
    counts:
      - event: [EXECUTION_COMPLETED, EXECUTION_FAILED]
        where: ["metadata.region in [eu, us]"]
        bad_when: ["metadata.latency > 250", "metadata.tier == lost"]
    headline: {kind: ratio, target: 0.9, window: 24h, unit: ratio}
    breach: {measure: count, threshold: 4, window: 1h, severity: P1}
"""
ROUTES = """
owners: {"@a": {}, "@b": {}}
routes:
  slow: {owner: "@a", channel: "#a"}
  alerter: {owner: "@a", channel: "#a"}
"""
CLIS = ("claude", "codex", "gemini", "aider", None, "", "n/a")
COUNTED = ("EXECUTION_COMPLETED", "EXECUTION_FAILED")
QUERY = """
WITH counted AS (
  SELECT rowid AS number, at, cli,
         COALESCE(typeof(json_extract(metadata, '$.latency')) IN ('integer', 'real')
                  AND json_extract(metadata, '$.latency') > 250, 0)
         OR COALESCE(json_extract(metadata, '$.tier') = 'lost', 0) AS bad
  FROM events
  WHERE event <> 'EXECUTION_TIMEOUT' AND json_extract(metadata, '$.region') IN ('eu', 'us')),
ranked AS (
  SELECT cli, ROW_NUMBER() OVER (ORDER BY MIN(number)) AS place
  FROM counted WHERE cli GLOB '[a-z]*' AND cli NOT LIKE '%/%' GROUP BY cli),
named AS (
  SELECT at, bad, CASE WHEN cli IN (SELECT cli FROM ranked WHERE place <= :most) THEN cli ELSE 'other' END AS name
  FROM counted)
SELECT 'slow:' || name, MIN(at) FROM named AS one
WHERE (SELECT SUM(bad) FROM named AS before WHERE before.name = one.name AND before.at <= one.at
       AND before.at >= (one.at / 10000 + 1) * 10000 - 3600000) > :more_than  -- slots of ten seconds
GROUP BY name
"""


def policy_in(folder: Path, by: str = f"{{most: {MOST}}}") -> Policy:
    folder.mkdir(exist_ok=True)
    (folder / "slos.yaml").write_text(SLOW.replace("BY", by))
    (folder / "ownership.yaml").write_text(ROUTES)
    return config.load(folder)


def events_of(random: Random) -> list[Event]:
    at, found = float(BEGAN_MS), list[Event]()
    for _ in range(1000):
        at += random.expovariate(1 / random.choice((200, 2_000, 10_000)))
        found.append(
            {
                "event": random.choice((*COUNTED, "EXECUTION_TIMEOUT")),
                "cli_type": random.choice(CLIS),
                "timestamp": iso(int(at)),
                "metadata": metadata(random),
            }
        )
    return found


def metadata(random: Random) -> dict[str, Any]:
    """Fields that producers of one's own may send, of any type."""
    return {
        "region": random.choice(("eu", "us", "mars", 7, None)),
        "latency": random.choice((100, 250, 250.5, 300, "300", None, [300])),
        "tier": random.choice(("free", "paid", "lost", {"lost": 1}) if random.random() < 0.2 else ("free",)),
    }  # fmt: skip


def by_sql(events: list[Event]) -> dict[str, int]:
    """When each group's breach is first true, ms."""
    with sqlite3.connect(":memory:") as db:
        db.execute("CREATE TABLE events (event, cli, at INTEGER, metadata)")
        rows = (
            (e["event"], e["cli_type"], parse_timestamp(e["timestamp"]), json.dumps(e["metadata"]))
            for e in events
        )
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
        return dict(db.execute(QUERY, {"most": MOST, "more_than": MORE_THAN}))


def opened(events: list[Event], policy: Policy) -> dict[str, int]:
    """When each group's first incident opens in a backtest, ms."""
    content = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    source = Lines(content, "e", wanted_events([policy]), kinds_for([policy]))
    (known,) = grouped(source, [policy])
    found: dict[str, int] = {}
    for one in run(source, [known]).outcomes[0].incidents:
        found.setdefault(one["slo"], parse_timestamp(one["openedAt"]))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_each_group_s_incident_opens_when_sql_says(seed: int, tmp_path: Path) -> None:
    events = events_of(Random(seed))
    found = opened(events, policy_in(tmp_path))
    assert found == by_sql(events)
    assert len(found) >= 2


def written(folder: Path, events: list[Event]) -> Path:
    file = folder / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    return file


def test_the_same_data_give_the_same_bytes_and_what_a_list_of_the_groups_gives(
    tmp_path: Path,
) -> None:
    events = events_of(Random(1))
    first = [e["cli_type"] for e in events if e["metadata"]["region"] in ("eu", "us")
             and e["event"] in COUNTED and e["cli_type"] in CLIS[:4]]  # fmt: skip
    listed = list(dict.fromkeys(first))[:MOST]
    policy_in(tmp_path / "seen")
    policy_in(tmp_path / "listed", str(listed))
    words = ("--config", tmp_path / "seen", "--events", written(tmp_path, events))
    told = [backtest(*words, "--json") for _ in range(2)]
    assert told[0].returncode == 0
    assert told[0].stdout == told[1].stdout
    assert {one["slo"] for one in json.loads(told[0].stdout)["incidents"]} == by_sql(events).keys()
    compared = backtest(*words, "--compare", tmp_path / "listed")
    assert "What differs: none" in compared.stdout
    whole, one = (pages(words, slo) for slo in ("slow", f"slow:{listed[0]}"))
    assert whole[0] == one[0] > one[1] > whole[1] == 0


def pages(words: tuple[str | Path, ...], slo: str) -> list[int]:
    """The pages with the threshold as it is, and with one that nothing reaches."""
    swept = backtest(*words, "--sweep", f"alerts.{slo}.breach.threshold=4,1000", "--json")
    return [one["scores"]["pages"] for one in json.loads(swept.stdout)["values"]]


POLICY_TEST = """
policy: seen
events:
  slow: {event: EXECUTION_COMPLETED, cli_type: codex, metadata: {region: eu, latency: 251}}
  far: {event: EXECUTION_COMPLETED, cli_type: gemini, metadata: {region: mars, latency: 999}}
  text: {event: EXECUTION_COMPLETED, cli_type: codex, metadata: {region: us, latency: "999"}}
  lost: {event: EXECUTION_COMPLETED, cli_type: "n/a", metadata: {region: us, tier: lost}}
tests:
  - name: a CLI that nobody has listed is slow
    series:
      - {event: slow, times: 4x1m _1m 1}
      - {event: far, times: 60x1m}
      - {event: text, times: 60x1m}
    expect:
      - {at: 5m, incidents: [], told: []}
      - at: 6m
        incidents: [{slo: "slow:codex", severity: P1, rules: [breach]}]
        told: [{slo: "slow:codex", page: true, to: "pagerduty:@a"}, {slo: "slow:codex"}]
  - name: what has no name is among the others
    series: [{event: lost, times: 5x10s}]
    expect: [{at: 1m, incidents: [{slo: "slow:other"}]}]
"""


def test_policy_tests_know_groups_and_fields_of_one_s_own(tmp_path: Path) -> None:
    policy_in(tmp_path / "seen")
    (tmp_path / "test.yaml").write_text(POLICY_TEST)
    done = burnrate_test(tmp_path / "test.yaml")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "2 of 2 tests hold"), done.stdout
    otherwise = POLICY_TEST.replace("latency: 251", "latency: 250")
    (tmp_path / "test.yaml").write_text(otherwise)
    assert burnrate_test(tmp_path / "test.yaml").returncode == 1
