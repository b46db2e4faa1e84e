"""SLOs that are declared, not coded: groups, conditions, windows and rules, each told a second way."""

# ruff: noqa: E501 - the queries read across

import json
import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import yaml

from app import config
from app.bridge import history
from app.bridge.events import encode
from app.config import ConfigError, Policy
from app.core import judge as judging
from app.core.judge import SloState
from app.core.reading import Record
from app.core.slos import Slo
from tests.core.books import Library
from tests.core.histories import BEGAN_MS, iso
from tests.core.policies import ROOT, ROUTES
from tests.core.watch import HOUR_MS, MINUTE_MS, Watch

DATA = ROOT.parent / "shared/data/kokino-30d"
SLOT_MS = 10_000
DAY_S = 86_400

HEAD = """
    headline: {kind: ratio, target: 0.99, window: 24h, unit: ratio}
    breach: {measure: ratio, threshold: 0.98, window: 1h, severity: P2}
"""
EXECUTIONS = """
    counts:
      - {event: EXECUTION_COMPLETED, bad_when: ["success != 1"]}
      - {event: [EXECUTION_FAILED, EXECUTION_TIMEOUT], bad_when: always}
"""
BY_CLI = f"""
  - id: by-cli
    title: By CLI
    objective: 0.99
    by: {{cli_type: [claude-code, gemini]}}{EXECUTIONS}{HEAD}"""


def made(folder: Path, slos: str) -> Policy:
    """The policy of some SLOs, all of one owner."""
    (folder / "slos.yaml").write_text(f"slos:{slos}")
    ids = [entry["id"] for entry in yaml.safe_load(f"slos:{slos}")["slos"]]
    rows = {name: {"owner": "@a", "channel": "#a"} for name in {*ids, "alerter"}}
    (folder / "ownership.yaml").write_text(yaml.safe_dump({"owners": {"@a": {}}, "routes": rows}))
    return config.load(folder)


def only(policy: Policy) -> Slo:
    (slo,) = policy.slos.values()
    return slo


# groups


def test_a_grouped_slo_is_one_for_each_value_and_one_for_all_others(tmp_path: Path) -> None:
    policy = made(tmp_path, BY_CLI)
    assert list(policy.slos) == ["by-cli:claude-code", "by-cli:gemini", "by-cli:other"]
    assert {slo.title for slo in policy.slos.values()} == {
        "By CLI (claude-code)",
        "By CLI (gemini)",
        "By CLI (other)",
    }
    routes = {name: route.slo for name, route in policy.ownership.routes.items()}
    assert routes == {name: name for name in (*policy.slos, "alerter")}


@pytest.mark.parametrize(
    ("by", "fault"),
    [
        ("{cli_type: [A, a]}", "two values make the same id"),
        ("{cli_type: [other]}", "one is called other"),
        ("{cli_type: []}", "by.cli_type: at least one is needed"),
        ("{colour: [red]}", "Input should be 'cli_type' or 'agent_id'"),
        ("{cli_type: }", "list the values, or write {most: 20}"),
        (f"{{cli_type: {[f'c{n}' for n in range(51)]}}}", "at most 50 items"),
        ("{cli_type: {least: 3}}", "list the values, or write {most: 20}"),
        ("{cli_type: {most: true}}", "list the values, or write {most: 20}"),
        ("colour", "Input should be 'cli_type' or 'agent_id'"),
    ],
)
def test_groups_are_bounded_and_told_apart(tmp_path: Path, by: str, fault: str) -> None:
    slos = BY_CLI.replace("{cli_type: [claude-code, gemini]}", by)
    with pytest.raises(ConfigError, match=fault) as refused:
        made(tmp_path, slos)
    assert len(refused.value.errors) == 1


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="the shared data are not beside the checkout")
def test_groups_of_the_thirty_days_are_what_sql_counts(tmp_path: Path) -> None:
    """Over windows that nothing else uses, at odd moments; together they are the whole."""
    slos = list(made(tmp_path, BY_CLI).slos.values())
    library = Library(slos)
    moments = [
        1_790_985_600_000 + ms
        for ms in (6 * HOUR_MS + 17_003, 200 * HOUR_MS + 1, 601 * HOUR_MS + 9_999)
    ]
    asked, offset = list(moments), 0
    with (
        history.opened(DATA) as kokino,
        sqlite3.connect(f"file:{DATA / 'metrics.db'}?mode=ro", uri=True) as db,
    ):
        for slot in kokino.slots(tail_s=0):
            while asked and asked[0] < slot.end_ms - SLOT_MS:
                at = asked.pop(0)
                for window_s in (1800, 3 * 3600, 3 * DAY_S):
                    counted = {slo.id: library.ledger(slo).window(at, window_s)[:2] for slo in slos}
                    assert counted == by_sql(db, at, window_s)
            found = []
            for moment in slot.moments:
                found.append(Record(offset, moment.at_ms, encode(moment.event)))
                offset += 1
            library.read(found)
    assert not asked


def by_sql(db: sqlite3.Connection, at_ms: int, window_s: int) -> dict[str, tuple[int, int]]:
    slot_s = 10 if window_s <= DAY_S else 300
    end = (at_ms // 1000 // slot_s + 1) * slot_s
    begin = (
        end - window_s
        if window_s <= DAY_S
        else -((window_s * 1000 - at_ms) // (slot_s * 1000)) * slot_s
    )
    end = min(end, at_ms // 10_000 * 10 + 10)
    query = """
        SELECT CASE WHEN cli_type IN ('claude-code', 'gemini') THEN cli_type ELSE 'other' END,
               COUNT(*), SUM(NOT (event = 'EXECUTION_COMPLETED' AND success = 1))
        FROM metrics
        WHERE event IN ('EXECUTION_COMPLETED', 'EXECUTION_FAILED', 'EXECUTION_TIMEOUT')
          AND timestamp >= ? AND timestamp < ? GROUP BY 1"""
    span = [f"{datetime.fromtimestamp(s, UTC):%Y-%m-%d %H:%M:%S}" for s in (begin, end)]
    found = {f"by-cli:{name}": (total, bad) for name, total, bad in db.execute(query, span)}
    return dict.fromkeys(("by-cli:claude-code", "by-cli:gemini", "by-cli:other"), (0, 0)) | found


# conditions

CONDITIONS = {
    "cli_type in [gemini, codex]": lambda e: e.get("cli_type") in ("gemini", "codex"),
    "cli_type not in [gemini]": lambda e: e.get("cli_type") != "gemini",
    "agent_id == bob": lambda e: e["agent_id"] == "bob",
    "cli_type != codex": lambda e: e.get("cli_type") != "codex",
    "duration_ms >= 500": lambda e: e.get("duration_ms") is not None and e["duration_ms"] >= 500,
    "duration_ms < 500": lambda e: e.get("duration_ms") is not None and e["duration_ms"] < 500,
    "duration_ms in [100, 500]": lambda e: e.get("duration_ms") in (100, 500),
    "success == 0": lambda e: e.get("success") in (0, False) and e.get("success") is not None,
    "metadata.memoryMB > 10.5": lambda e: e["metadata"].get("memoryMB", 0) > 10.5,
}  # fmt: skip


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("where", [True, False], ids=["where", "bad_when"])
def test_a_condition_means_what_it_says(tmp_path: Path, condition: str, *, where: bool) -> None:
    place = f'where: ["{condition}"], bad_when: always' if where else f'bad_when: ["{condition}"]'
    slo = only(made(tmp_path, f"""
  - id: x
    title: X
    objective: 0.9
    counts:
      - {{event: E, {place}}}{HEAD}"""))  # fmt: skip
    rng, library, events = Random(condition), Library([slo]), []
    for offset in range(300):
        event = random_event(rng)
        events.append(event)
        value = msgspec.json.encode(event | {"timestamp": iso(BEGAN_MS)})
        library.read([Record(offset, BEGAN_MS, value)])
    held = [CONDITIONS[condition](event) for event in events]
    counts = library.ledger(slo).window(BEGAN_MS, 3600)
    assert 0 < sum(held) < len(events)
    assert counts[:2] == (sum(held), sum(held)) if where else (len(events), sum(held))


def random_event(rng: Random) -> dict[str, Any]:
    optional = {
        "cli_type": rng.choice((None, "gemini", "codex", "claude-code")),
        "duration_ms": rng.choice((None, 100, 499, 500, 900)),
        "success": rng.choice((None, 0, 1)),
    }
    memory = rng.choice(({}, {"memoryMB": 10.5}, {"memoryMB": 11}))
    known = {name: value for name, value in optional.items() if value is not None}
    return {"event": "E", "agent_id": rng.choice(("alice", "bob")), "metadata": memory} | known


# rules

GOOGLE = f"""
  - id: g
    title: G
    objective: 0.999
    preset: google-30d{EXECUTIONS}{HEAD}"""


def test_the_preset_is_the_workbooks_table(tmp_path: Path) -> None:
    slo = only(made(tmp_path, GOOGLE))
    assert [(r.id, r.rate, *r.windows_s, r.severity) for r in slo.burns] == [
        ("fast-burn", 14.4, 3600, 300, "P1"),
        ("medium-burn", 6.0, 21_600, 1800, "P1"),
        ("slow-burn", 1.0, 259_200, 21_600, "P2"),
    ]
    assert [round(rule.consumed, 10) for rule in slo.burns] == [0.02, 0.05, 0.1]


@pytest.mark.parametrize("seed", range(4))
def test_both_windows_must_burn_as_a_recount_says(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    slo = only(made(tmp_path, GOOGLE))
    library, events = Library([slo]), list[tuple[int, bool]]()
    fails, state, seen = 0.0, SloState(caught_up=True), set[tuple[str, bool]]()
    for minute in range(400):
        at = BEGAN_MS + minute * MINUTE_MS
        fails = rng.choice((0.0, 0.004, 0.02, 0.3)) if rng.random() < 0.03 else fails
        batch = [(at + rng.randrange(MINUTE_MS), rng.random() < fails) for _ in range(15)]
        events += batch
        library.read(
            Record(len(events) * 100 + n, at + MINUTE_MS, msgspec.json.encode({
                "event": "EXECUTION_FAILED" if bad else "EXECUTION_COMPLETED",
                "success": int(not bad), "timestamp": iso(when)}))
            for n, (when, bad) in enumerate(batch)
        )  # fmt: skip
        now = at + MINUTE_MS - 1
        judged = judging.judge(slo, ROUTES["availability"], state, library.ledger(slo), now)
        state = judged.state
        for signal, rule in zip(judged.signals[1:], slo.burns, strict=True):
            rates = [burn_rate(events, now, window_s) for window_s in rule.windows_s]
            assert signal.true == all(rate > rule.rate for rate in rates), (minute, rule.id, rates)
            assert signal.value == pytest.approx(rates[0])
            seen.add((rule.id, bool(signal.true)))
    assert ("fast-burn", False) in seen


def burn_rate(events: list[tuple[int, bool]], now: int, window_s: int) -> float:
    slot_ms = 10_000 if window_s <= DAY_S else 300_000
    end = (now // slot_ms + 1) * slot_ms
    begin = (
        end - window_s * 1000
        if window_s <= DAY_S
        else -((window_s * 1000 - now) // slot_ms) * slot_ms
    )
    within = [bad for at, bad in events if begin <= at < end]
    return sum(within) / len(within) / 0.001


def test_a_short_window_ends_the_page_soon_after_the_burning(tmp_path: Path) -> None:
    """An hour's window alone would stay bad for an hour."""
    slo = only(made(tmp_path, GOOGLE))
    watch = Watch(slo, ROUTES["availability"])
    for _ in range(120):
        watch.good(20)
        watch.wait(MINUTE_MS)
    watch.bad(30)
    assert [told for told in watch.judge() if told.page] == [
        ("trigger", "pagerduty:@backend-team", True)
    ]
    assert "fast-burn" in watch.incident().rules
    for _ in range(40):
        watch.good(20)
        watch.wait(MINUTE_MS)
        if "fast-burn" not in watch.incident().rules:
            break
    assert 9 * MINUTE_MS <= watch.now - watch.incident().opened_at <= 12 * MINUTE_MS


def test_a_rate_that_no_failing_reaches_is_an_error_with_the_arithmetic(tmp_path: Path) -> None:
    said = "with every event bad the burn rate is 1 / (1 - 0.95) = 20, not more than 20"
    with pytest.raises(ConfigError, match=re.escape(said)):
        made(tmp_path, GOOGLE.replace("0.999", "0.95").replace(
            "preset: google-30d", "burn: {x: {rate: 20, window: 1h, severity: P1}}"))  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("{rate: 2, consumed: 0.1, window: 1h, severity: P1}", "give one of consumed and rate"),
        ("{window: 1h, severity: P1}", "give one of consumed and rate"),
        ("{rate: 2, window: 1h, short_window: 1h, severity: P1}", "short_window must be shorter"),
        ("{rate: 2, window: 15s, severity: P1}", "a window is a multiple of 10s"),
    ],
)
def test_a_rule_that_says_two_things_is_refused(tmp_path: Path, rule: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        made(tmp_path, GOOGLE.replace("preset: google-30d", f"burn: {{x: {rule}}}"))


def test_zero_tolerance_needs_no_conversations(tmp_path: Path) -> None:
    """Any bad event fires at once, and clears when it has left the window."""
    slo = only(made(tmp_path, f"""
  - id: never
    title: Never
    objective: 1.0{EXECUTIONS}
    headline: {{kind: ratio, target: 1.0, window: 24h, unit: ratio}}
    breach: {{measure: count, threshold: 0, window: 30m, severity: P1, keep_firing_for: 0s}}
"""))  # fmt: skip
    watch = Watch(slo, ROUTES["availability"])
    watch.good(50)
    assert watch.judge() == []
    watch.bad()
    assert [told.kind for told in watch.judge()] == ["trigger", "trigger"]
    assert watch.notices[0].story.headline == "Never: 1 bad event in the last 30 minutes (limit 0)"
    watch.wait(31 * MINUTE_MS)  # an empty window says nothing
    assert watch.incident().open
    watch.good()
    told = watch.judge()
    assert [one.to for one in told if one.kind == "resolve"] == [
        "slack:#headless-alerts",
        "pagerduty:@backend-team",
    ]
    assert watch.incident().state == "resolved"


# fields of one's own

OWN = f"""
  - id: tokens
    title: Tokens
    objective: 0.9
    value: metadata.tokens
    counts:
      - {{event: E, where: ["metadata.model in [large, small]"], bad_when: ["metadata.tokens > 100"]}}{HEAD}"""


def wild_metadata(rng: Random) -> dict[str, Any]:
    """Fields of any type: nobody has promised one."""
    tokens = rng.choice((None, 0, 50, 101, 100.5, -7, "200", True, [300], {"n": 1}, 10**40))
    model = rng.choice((None, "large", "small", "other", 5, ["large"]))
    return {name: v for name, v in (("tokens", tokens), ("model", model)) if v is not None}


@pytest.mark.parametrize("as_text", [True, False], ids=["text", "object"])
@pytest.mark.parametrize("at_once", [1, 50])
def test_any_metadata_field_is_counted_whatever_it_holds(
    tmp_path: Path, *, as_text: bool, at_once: int
) -> None:
    slo = only(made(tmp_path, OWN))
    rng, library, records, known = Random(5), Library([slo]), list[Record](), list[dict[str, Any]]()
    for offset in range(400):
        known.append(wild_metadata(rng))
        shown = json.dumps(known[-1]) if as_text else known[-1]
        event = {"event": "E", "metadata": shown, "timestamp": iso(BEGAN_MS)}
        records.append(Record(offset, BEGAN_MS, json.dumps(event).encode()))
    for begin in range(0, len(records), at_once):
        library.read(records[begin : begin + at_once])
    numbers = [
        m["tokens"]
        for m in known
        if m.get("model") in ("large", "small")
        and type(m.get("tokens")) in (int, float)
        and abs(m["tokens"]) <= 10**12
    ]
    counts = library.ledger(slo).window(BEGAN_MS, 3600)
    bad = sum(number > 100 for number in numbers)
    assert len(numbers) > 20
    assert (counts.total, counts.bad, counts.sum_u) == (
        len(numbers),
        bad,
        round(sum(numbers) * 10**6),
    )


def test_a_field_that_looks_like_a_known_one_is_asked_about(tmp_path: Path) -> None:
    made(tmp_path, OWN.replace("metadata.tokens > 100", "metadata.memoryMb > 100"))
    found = [f for f in config.examine(tmp_path).findings if f.code == "unfamiliar-field"]
    assert [f.message for f in found] == [
        "metadata.memoryMb looks like metadata.memoryMB; is that meant?"
    ]


def test_a_quantile_of_ones_own_field_is_told_in_its_own_unit(tmp_path: Path) -> None:
    slo = only(made(tmp_path, """
  - id: tokens
    title: Tokens
    objective: 0.9
    value: metadata.tokens
    sketch: true
    counts:
      - {event: E, bad_when: ["metadata.tokens > 100"]}
    headline: {kind: quantile, target: 100, window: 1h, unit: count}
    breach: {measure: quantile, quantile: 0.95, threshold: 200, window: 10m, severity: P2}
"""))  # fmt: skip
    watch = Watch(slo, ROUTES["availability"])
    watch.happen(20, event="E", metadata={"tokens": 150})
    watch.happen(20, event="E", metadata={"tokens": 500})
    watch.judge()
    assert watch.notices[0].story.headline == (
        "Tokens: P95 above 200 over the last 10 minutes, 20 of 40 were above 200"
    )
    (finding,) = [f for f in watch.notices[0].story.findings if f.rule == "breach"]
    assert (finding.measure, finding.value) == ("P95: share above 200", 0.5)
