"""A backtest judges only where it can matter, and gives what judging all the time gives."""

import os
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from app.backtest.running import run, wanted_events
from app.backtest.sources import TAIL_S, databases, json_lines
from app.bridge import replay
from app.config import Policy
from app.config.slo_entries import PERIOD_S, PRESETS
from app.core.events import parse_timestamp
from app.core.notices import Notice
from app.errors import UserError
from app.local.demo import write_demo
from tests.backtest.plainly import run_plainly
from tests.backtest.random_data import (
    BEGAN_MS,
    HOUR_MS,
    Event,
    iso,
    lines_of,
    random_events,
    random_policy,
)
from tests.core.policies import POLICY

pytestmark = pytest.mark.timeout(400)  # judging all the time takes its time

START_MS = BEGAN_MS - BEGAN_MS % HOUR_MS


def executed(at_ms: int, *, good: bool = True) -> Event:
    return {
        "event": "EXECUTION_COMPLETED" if good else "EXECUTION_FAILED",
        "agent_id": "alice",
        "success": int(good),
        "duration_ms": 900,
        "timestamp": iso(at_ms),
    }


FOUND_FAULTS = (23, 137, 176)
"""Seeds that once gave something else: time alone turned a rule, in the end or for a moment."""


@pytest.mark.parametrize("seed", [*FOUND_FAULTS, *range(int(os.environ.get("SEEDS", "3")))])
def test_judging_where_something_changes_gives_what_judging_all_the_time_gives(
    seed: int,
) -> None:
    random = Random(seed)
    policy, events = random_policy(random), random_events(random)
    assert run(lines_of(events), [policy]).outcomes[0] == run_plainly(lines_of(events), policy)


@pytest.mark.parametrize("seed", range(2))
def test_two_windows_are_looked_at_where_either_changes(seed: int) -> None:
    random = Random(seed)
    policy, events = random_policy(random), random_events(random)
    rules = PRESETS["google-30d"].items()
    burns = tuple(rule.rule(name, PERIOD_S) for name, rule in rules)
    slow = tuple(replace(rule, rate=(rule.rate or 0) / 8, min_bad=1) for rule in burns)
    slos = {
        name: replace(slo, burns=slow) if slo.burns else slo for name, slo in policy.slos.items()
    }
    policy = Policy(slos, policy.ownership)
    assert run(lines_of(events), [policy]).outcomes[0] == run_plainly(lines_of(events), policy)


@pytest.mark.parametrize("seed", range(4))
def test_policies_judged_together_get_what_each_gets_alone(seed: int) -> None:
    random = Random(seed)
    policies, events = [random_policy(random) for _ in range(3)], random_events(random)
    alone = [run(lines_of(events), [policy]).outcomes[0] for policy in policies]
    assert run(lines_of(events), policies).outcomes == tuple(alone)


def told_of_the_main_lane(events: list[Event]) -> list[Notice]:
    told = run(lines_of(events), [POLICY]).outcomes[0].notices
    return [notice for notice in told if "-slow-burn-" not in notice.incident]


def test_an_outage_is_told_from_its_first_page_to_its_resolve() -> None:
    outage = [executed(START_MS + minute * 60_000, good=minute >= 5) for minute in range(130)]
    told = told_of_the_main_lane(outage)
    third_bad_s, last_true_s = 120, 240 + 3600 - 1
    assert [((n.at - START_MS) / 1000, n.kind, n.destination, n.page) for n in told] == [
        (third_bad_s, "trigger", "slack:#headless-alerts", False),
        (third_bad_s, "trigger", "pagerduty:@backend-team", True),
        (third_bad_s + 1800, "escalate", "slack:#headless-alerts", False),
        (third_bad_s + 1800, "escalate", "pagerduty:@platform-lead", True),
        (last_true_s + 300, "resolve", "slack:#headless-alerts", False),
        (last_true_s + 300, "resolve", "pagerduty:@backend-team", False),
        (last_true_s + 300, "resolve", "pagerduty:@platform-lead", False),
    ]


def test_an_event_is_judged_at_its_own_moment() -> None:
    late_goods = [executed(START_MS + 9_000)] * 400
    told = told_of_the_main_lane([executed(START_MS + 1, good=False)] * 3 + late_goods)
    assert [n.at for n in told if n.kind == "trigger"] == [START_MS + 1] * 2


def test_time_goes_on_after_the_data_as_long_as_in_a_replay() -> None:
    outcome = run(lines_of([executed(START_MS)]), [POLICY]).outcomes[0]
    assert (outcome.begin_ms, outcome.end_ms) == (
        START_MS + 10_000,
        START_MS + 10_000 + TAIL_S * 1000,
    )
    assert TAIL_S == replay.TAIL_S


def test_an_incident_ends_within_a_silence_that_is_left_out() -> None:
    year_ms = 365 * 24 * HOUR_MS
    outage = [executed(START_MS + second * 1000, good=False) for second in range(5)]
    outcome = run(lines_of([*outage, executed(START_MS + year_ms)]), [POLICY]).outcomes[0]
    main = [one for one in outcome.incidents if one["lane"] == "main"]
    assert [(one["state"], one["why"]) for one in main] == [("resolved", "no data")]
    assert parse_timestamp(main[0]["resolvedAt"]) < START_MS + 8 * HOUR_MS


def test_events_in_any_order_and_in_arrays_give_the_same() -> None:
    random = Random(5)
    events = random_events(random)
    told = run(lines_of(events), [POLICY]).outcomes[0]
    shuffled = random.sample(events, len(events))
    assert [(n.at, n.id) for n in run(lines_of([shuffled]), [POLICY]).outcomes[0].notices] == [
        (n.at, n.id) for n in told.notices
    ]


def test_a_data_folder_gives_what_its_events_as_lines_give(tmp_path: Path) -> None:
    from app.bridge.events import encode
    from app.bridge.history import opened

    write_demo(tmp_path)
    wanted = wanted_events([POLICY])
    with opened(tmp_path) as history:
        moments = [m for slot in history.slots(TAIL_S) for m in slot.moments]
    lines = tmp_path / "events.jsonl"
    lines.write_bytes(b"".join(encode(moment.event) + b"\n" for moment in moments))
    with databases(tmp_path, wanted) as source:
        one = run(source, [POLICY]).outcomes[0]
    with json_lines(lines, wanted) as source:
        other = run(source, [POLICY]).outcomes[0]
    assert [(n.at, n.id) for n in one.notices] == [(n.at, n.id) for n in other.notices]
    assert len(one.notices) > 20


@pytest.mark.slow
def test_the_demo_judged_all_the_time_gives_the_same(tmp_path: Path) -> None:
    write_demo(tmp_path)
    with databases(tmp_path, wanted_events([POLICY])) as source:
        found = run(source, [POLICY]).outcomes[0]
    with databases(tmp_path, wanted_events([POLICY])) as source:
        assert found == run_plainly(source, POLICY)


def test_lines_that_cannot_be_read_are_counted_and_said(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    good = '{"event": "EXECUTION_COMPLETED", "success": 1, "timestamp": "2026-10-02 00:00:00"}'
    started = '{"event": "EXECUTION_STARTED", "timestamp": "2026-10-02 00:00:00"}'
    timeless = '{"event": "EXECUTION_COMPLETED", "success": 1}'
    file.write_text(f"{good}\n{{broken\n\n{started}\n{timeless}\n[{good}, 17]\n")
    with json_lines(file, wanted_events([POLICY])) as source:
        readings = run(source, [POLICY]).readings
    seen = readings.seen
    assert (seen.counted, seen.ignored, seen.rejected) == (2, 1, 3)
    assert [fault.split(":")[0] for fault in readings.faults] == ["line 2", "line 5", "line 6"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is empty"),
        ("\n\n", "it is empty"),
        ("nonsense\n", "1 unreadable; line 1: not an event"),
        ('{"event": "OTHER", "timestamp": "2026-10-02"}\n', "1 of other names"),
    ],
)
def test_a_file_without_events_is_refused(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(content)
    with pytest.raises(UserError, match=why), json_lines(file, wanted_events([POLICY])):
        pass


def test_what_is_no_data_folder_is_refused(tmp_path: Path) -> None:
    wanted = wanted_events([POLICY])
    with pytest.raises(UserError, match="is no folder"), databases(tmp_path / "none", wanted):
        pass
    with pytest.raises(UserError, match=r"holds no metrics\.db"), databases(tmp_path, wanted):
        pass
    (tmp_path / "metrics.db").write_text("this is no database, whatever its name may say")
    with pytest.raises(UserError, match="not an SQLite database"), databases(tmp_path, wanted):
        pass
    with pytest.raises(UserError, match="cannot be read"), json_lines(tmp_path / "x", wanted):
        pass
