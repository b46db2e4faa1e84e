"""What a changed policy would do to what is open, said before it is taken over."""

from typing import Any

import msgspec
from msgspec.structs import replace

from app.commands.live import effects
from app.config import Policy
from app.core.groups import Grouping
from app.core.slos import Slo
from tests.core.policies import POLICY

KEY = "availability-20261013T140500Z"
OPEN: list[dict[str, Any]] = [{"key": KEY, "slo": "availability", "rules": ["breach"]}]
NOW = {("availability", "breach"): 0.97}
AVAILABILITY = POLICY.slos["availability"]


def with_slo(slo: Slo) -> Policy:
    return Policy({**POLICY.slos, slo.id: slo}, POLICY.ownership)


def breaching_below(threshold: float) -> Policy:
    breach = replace(AVAILABILITY.breach, threshold=threshold)
    return with_slo(replace(AVAILABILITY, breach=breach))


def test_nothing_is_touched_by_the_same_policy() -> None:
    assert effects(POLICY, POLICY, OPEN, NOW) == ["no SLO and no open incident is touched"]


def test_groups_that_are_seen_are_those_of_the_worker() -> None:
    slo, route = AVAILABILITY, POLICY.ownership.routes["availability"]
    plain = Policy(POLICY.slos | {"availability:other": slo}, POLICY.ownership)
    grouping = Grouping(whole=slo, route=route, by="cli_type", most=5)
    before = replace(plain, groupings={slo.id: grouping}).seeing({slo.id: ["codex"]})
    more = replace(plain, groupings={slo.id: replace(grouping, most=6)})
    assert "availability:codex" in before.slos
    assert effects(before, more.like(before), [], NOW) == [
        "availability: each cli_type that is seen is an SLO of its own, 6 at most"
    ]


def test_an_slo_that_goes_ends_its_incident() -> None:
    fewer = {name: slo for name, slo in POLICY.slos.items() if name != "availability"}
    assert effects(POLICY, Policy(fewer, POLICY.ownership), OPEN, NOW) == [
        f"{KEY}: ends, because availability is configured no more; its pages are resolved",
        "availability: is configured no more",
    ]


def test_a_new_threshold_is_held_against_what_the_rule_sees_now() -> None:
    def lowered(threshold: float) -> list[str]:
        return effects(POLICY, breaching_below(threshold), OPEN, NOW)

    assert lowered(0.95) == [
        f"{KEY}: breach clears after 300 s: 0.97 is within the new threshold",
        "availability: breach has other values",
    ]
    assert lowered(0.98) == [
        f"{KEY}: breach goes on: 0.97 is beyond the new threshold as well",
        "availability: breach has other values",
    ]


def test_a_change_is_told_where_nothing_is_open() -> None:
    calm = {("availability", "breach"): 0.993}
    assert effects(POLICY, breaching_below(0.98), [], calm) == [
        "availability: breach has other values"
    ]
    assert effects(POLICY, breaching_below(0.995), [], calm) == [
        "availability: breach has other values: 0.993 is beyond them, so it may fire at once"
    ]
    promised = replace(AVAILABILITY, objective=0.99, burns=AVAILABILITY.burns[:1])
    assert effects(POLICY, with_slo(promised), [], calm) == [
        "availability: slow-burn is configured no more",
        "availability: changed: objective",
    ]
    burning = replace(AVAILABILITY.burns[0], id="steady")
    assert effects(
        POLICY, with_slo(replace(AVAILABILITY, burns=(*AVAILABILITY.burns, burning))), [], calm
    ) == ["availability: steady is new"]


def test_another_window_cannot_be_told_beforehand() -> None:
    breach = replace(AVAILABILITY.breach, window_s=300)
    after = with_slo(replace(AVAILABILITY, breach=breach))
    assert effects(POLICY, after, OPEN, NOW) == [
        f"{KEY}: breach is judged by its new values at once",
        "availability: breach has other values",
    ]


def test_a_new_definition_holds_the_incident_until_it_is_filled() -> None:
    definition = replace(AVAILABILITY.definition, clauses=AVAILABILITY.definition.clauses[:1])
    after = with_slo(replace(AVAILABILITY, definition=definition))
    assert effects(POLICY, after, OPEN, NOW) == [
        f"{KEY}: stays as it is until the new definition is filled, then it is judged anew",
        "availability: counts something else now; it is not judged until that is filled from Kafka",
    ]


def test_a_new_owner_is_named_beside_the_one_who_was_told() -> None:
    route = replace(POLICY.ownership.routes["availability"], owner="@new", steps=())
    routes = {**POLICY.ownership.routes, "availability": route}
    after = Policy(POLICY.slos, replace(POLICY.ownership, routes=routes))
    assert effects(POLICY, after, OPEN, NOW) == [
        (
            f"{KEY}: @new and #headless-alerts are told from the next step on; whoever was told "
            "before (@backend-team, #headless-alerts) hears how it ends, and nobody is paged anew"
        ),
        f"{KEY}: what is left of its escalation follows the new route",
        "availability: its route changes: who is told, or when",
    ]


def test_a_rule_that_goes_ends_what_it_alone_kept_open() -> None:
    burning = [{**OPEN[0], "rules": ["fast-burn"]}]
    after = with_slo(replace(AVAILABILITY, burns=()))
    assert effects(POLICY, after, burning, {}) == [
        f"{KEY}: fast-burn is configured no more",
        f"{KEY}: ends, because none of its rules is left",
        "availability: fast-burn is configured no more",
        "availability: slow-burn is configured no more",
    ]


def test_the_policy_comes_back_from_the_api_as_it_was() -> None:
    sent = msgspec.json.encode(msgspec.to_builtins(POLICY))
    assert msgspec.convert(msgspec.json.decode(sent), Policy) == POLICY
