"""Groups of values that are seen: who has one, who is left over, and that together they are all."""

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import config
from app.config import ConfigError, Policy
from app.core.groups import Census, Finder, Grouping, Sighting
from app.core.reading import Record
from tests.core.books import Library
from tests.core.histories import BEGAN_MS, iso
from tests.core.test_declared_slos import EXECUTIONS, HEAD

SEEN = f"""
  - id: by-cli
    title: By CLI
    objective: 0.99
    by: FIELD{EXECUTIONS}{HEAD}"""
VALUES = ("claude", "gemini", "Gemini", "a b", "a-b", "other", "", None, "é", "x" * 61, "-", "..")


def policy_of(folder: Path, by: str = "cli_type", rows: str = "", windows: str = "") -> Policy:
    (folder / "slos.yaml").write_text(f"slos:{SEEN.replace('FIELD', by)}")
    route = '{owner: "@a", channel: "#a"}'
    names = "".join(f"  {name}: {route}\n" for name in ("by-cli", "alerter"))
    owners = 'owners: {"@a": {}, "@b": {}}'
    (folder / "ownership.yaml").write_text(f"{owners}\nroutes:\n{names}{rows}")
    if windows:
        (folder / "maintenance.yaml").write_text(windows)
    return config.load(folder)


@pytest.fixture
def grouping(tmp_path: Path) -> Grouping:
    return policy_of(tmp_path).groupings["by-cli"]


def event(cli: str | None, *, bad: bool = False, at: int = BEGAN_MS) -> dict[str, Any]:
    name = "EXECUTION_FAILED" if bad else "EXECUTION_COMPLETED"
    return {"event": name, "cli_type": cli, "success": int(not bad), "timestamp": iso(at)}


# who has a group


def test_there_is_one_for_all_others_before_anything_is_seen(tmp_path: Path) -> None:
    assert list(policy_of(tmp_path).slos) == ["by-cli:other"]


def test_each_value_that_is_seen_makes_one_by_its_turn(tmp_path: Path) -> None:
    policy = policy_of(tmp_path).seeing({"by-cli": ["gemini", "Codex_2.0"]})
    assert list(policy.slos) == ["by-cli:gemini", "by-cli:Codex_2.0", "by-cli:other"]
    assert policy.slos["by-cli:Codex_2.0"].title == "By CLI (Codex_2.0)"
    assert policy.seeing({"by-cli": ["Codex_2.0", "gemini", "Codex 2"]}) is policy


def test_it_counts_as_a_listed_one_does(tmp_path: Path) -> None:
    """Their definitions are the same, so going over from the one to the other fills nothing."""
    seen = policy_of(tmp_path).seeing({"by-cli": ["gemini", "codex"]})
    listed = policy_of(tmp_path, "{cli_type: [gemini, codex]}")
    assert {slo.id: slo.definition for slo in seen.slos.values()} == {
        slo.id: slo.definition for slo in listed.slos.values()
    }


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "missing"),
        ("", "missing"),
        ("other", "unfit"),
        ("Claude Code", "unfit"),
        ("-", "unfit"),
        ("..", "unfit"),
        ("a/b", "unfit"),
        ("by:cli", "unfit"),
        ("é", "unfit"),
        ("x" * 61, "unfit"),
        ("line\nline", "unfit"),
        ("claude", "beyond"),
    ],
)
def test_who_is_left_over_and_why(grouping: Grouping, value: str | None, why: str) -> None:
    grouping = msgspec.structs.replace(grouping, most=1)
    assert grouping.why_left_over(value) == (None if why == "beyond" else why)
    assert grouping.seeing(["gemini"]).why_left_over(value) == why


@given(st.lists(st.text(max_size=70) | st.sampled_from(["a", "b", "A", "a b", "a-b", "other"])))
def test_ids_are_plain_and_each_is_one_value_s(values: list[str]) -> None:
    whole = msgspec.convert(WHOLE, Grouping).seeing(values)
    ids = [slo.id for slo in whole.slos()]
    assert len(ids) == len(set(ids)) == len(whole.values) + 1 <= whole.most + 1
    assert all(name.isascii() and " " not in name and len(name) < 70 for name in ids)
    assert list(whole.values) == [value for value in dict.fromkeys(values) if value in whole.values]


def _whole() -> Any:  # noqa: ANN401 - as the API tells it
    from tests.core.policies import POLICY

    slo = POLICY.slos["availability"]
    made = Grouping(whole=slo, route=POLICY.ownership.routes[slo.id], by="cli_type", most=4)
    return msgspec.to_builtins(made)


WHOLE = _whole()


def test_a_group_has_its_entry_s_route_and_windows_unless_it_has_its_own(tmp_path: Path) -> None:
    windows = """
windows:
  - {id: codex-night, slos: ["by-cli:codex"], begins: 2026-01-01T00:00, for: 1h, by: "@a", why: w}
"""
    rows = '  "by-cli:codex": {owner: "@b", channel: "#b"}\n'
    policy = policy_of(tmp_path, rows=rows, windows=windows)
    assert policy.ownership.destinations() == (
        "pagerduty:@a", "pagerduty:@b", "slack:#a", "slack:#b",
    )  # fmt: skip
    policy = policy.seeing({"by-cli": ["claude", "codex"]})
    routes = policy.ownership.routes
    assert {name: (routes[name].slo, routes[name].owner) for name in policy.slos} == {
        "by-cli:claude": ("by-cli:claude", "@a"),
        "by-cli:codex": ("by-cli:codex", "@b"),
        "by-cli:other": ("by-cli:other", "@a"),
    }
    kept = {slo.id: [window.id for window in slo.maintenance] for slo in policy.slos.values()}
    assert kept == {"by-cli:claude": [], "by-cli:codex": ["codex-night"], "by-cli:other": []}


def test_an_entry_without_a_row_is_refused_though_its_groups_may_have_some(tmp_path: Path) -> None:
    policy_of(tmp_path)
    rows = '"by-cli:other": {owner: "@a", channel: "#a"}'
    text = (tmp_path / "ownership.yaml").read_text().replace("by-cli:", f"{rows}\n  never:", 1)
    (tmp_path / "ownership.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        config.load(tmp_path)
    assert [line.partition("yaml:")[2] for line in refused.value.errors] == [
        "2: routes.by-cli: missing; every SLO needs somebody who is told",
        "4: routes.never: there is no SLO 'never' in slos.yaml",
    ]


@pytest.mark.parametrize("value", ["Claude Code", "", "a:b", "x" * 61])
def test_a_row_or_a_window_of_a_group_that_can_never_be_is_refused(
    tmp_path: Path, value: str
) -> None:
    name = f"by-cli:{value}"
    windows = f"""
windows:
  - {{id: night, slos: ["{name}"], begins: 2026-01-01T00:00, for: 1h, by: "@a", why: w}}
"""
    with pytest.raises(ConfigError) as refused:
        policy_of(tmp_path, rows=f'  "{name}": {{owner: "@a", channel: "#a"}}\n', windows=windows)
    why = f"there can be no group of {value!r}: such events count in by-cli:other"
    assert [line.partition("yaml:")[2] for line in refused.value.errors] == [
        f"3: windows.0 (night).slos: {why}",
        f"5: routes.{name}: {why}",
    ]


def test_another_policy_keeps_the_groups_of_the_same_field_only(tmp_path: Path) -> None:
    before = policy_of(tmp_path).seeing({"by-cli": ["claude", "codex"]})
    assert policy_of(tmp_path, "{cli_type: {most: 1}}").like(before).groupings["by-cli"].values == (
        "claude",
    )
    by_agent = policy_of(tmp_path, "agent_id")
    assert by_agent.like(before) is by_agent


def test_the_order_of_the_topic_decides(grouping: Grouping) -> None:
    census = Census()
    for value in ("b", "a", "b", "c", "a"):
        census.take(Sighting(slo="by-cli", by="cli_type", value=value, at=0, partition=0, offset=0))
    assert census.of(grouping) == ("b", "a", "c")
    assert census.of(msgspec.structs.replace(grouping, by="agent_id")) == ()


# what is found, and that nothing is lost


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_read_in_whatever_pieces_each_value_is_found_once(
    grouping: Grouping, seed: int
) -> None:
    random = Random(seed)
    grouping = msgspec.structs.replace(grouping, most=random.choice((1, 2, 50)))
    told = [event(random.choice(VALUES), bad=random.random() < 0.3) for _ in range(200)]
    told = [random.choice((one, one, one | {"event": "PROCESS_STARTED"})) for one in told]
    since = random.randrange(200)
    found, left = found_in(grouping, told, random, since)
    plain = {"claude", "gemini", "Gemini", "a-b"}
    seen = {one["cli_type"] for one in told if counts(one)} & plain
    assert len(found) == len(set(found) & seen) == min(grouping.most, len(seen))
    assert left == left_over(told[since:], plain, found)
    grown = grouping.seeing(found)
    assert grown.values == tuple(found)
    recount(grown, told, random)


def found_in(
    grouping: Grouping, told: list[dict[str, Any]], random: Random, since: int
) -> tuple[list[str], Counter[str]]:
    """What a finder finds in batches of any size: values, and how many events are left over."""
    library, finder = Library(list(grouping.slos())), Finder({"by-cli": grouping}, "t")
    found: list[str] = []
    left = Counter[str]()
    records = records_of(told)
    while records:
        piece, records = records[: (size := random.choice((1, 7, 60)))], records[size:]
        looked = finder.look(library.reader.read(piece)[1], 0, since)
        found += [sighting.value for sighting in looked.sightings]
        left.update({why: number for (_, why), number in looked.left_over.items()})
    return found, left


def records_of(told: list[dict[str, Any]]) -> list[Record]:
    return [Record(n, BEGAN_MS, msgspec.json.encode(one)) for n, one in enumerate(told)]


def counts(one: dict[str, Any]) -> bool:
    """Whether the entry counts the event."""
    return bool(one["event"] != "PROCESS_STARTED")


def left_over(told: list[dict[str, Any]], plain: set[str], found: list[str]) -> Counter[str]:
    """By the rules alone."""
    values = [one["cli_type"] for one in told if counts(one) and one["cli_type"] not in found]
    return Counter(
        "missing" if not value else "beyond" if value in plain else "unfit" for value in values
    )


def recount(grouping: Grouping, told: list[dict[str, Any]], random: Random) -> None:
    """Each group is what was sent of it; together they are the whole."""
    library = Library([*grouping.slos(), grouping.whole])
    records = records_of(told)
    while records:
        size = random.choice((1, 7, 60))
        library.read(records[:size])
        records = records[size:]
    total, bad = Counter[str](), Counter[str]()
    for one in told:
        if counts(one):
            known = one["cli_type"] in grouping.values
            name = f"by-cli:{one['cli_type'] if known else 'other'}"
            for slo in (name, "by-cli"):
                total[slo] += 1
                bad[slo] += one["event"] == "EXECUTION_FAILED"
    counted = {slo: book.ledger.window(BEGAN_MS, 3600)[:2] for slo, book in library.books.items()}
    assert counted == {slo: (total[slo], bad[slo]) for slo in library.books}
