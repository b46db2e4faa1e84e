"""Populations: a batch's events of one name, narrowed and grouped without losing any."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.cells import OTHERS, TAGS_KEPT
from app.core.events import Event
from app.core.populations import Columns, Population, by_name, populate
from app.core.slots import FINE_KEPT_S, FINE_ROW_S
from tests.core.histories import BEGAN_MS

AGENTS = [None, "", "alice", "bob"]

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(AGENTS),
        st.sampled_from([0, 1, 9_999, 10_000, 300_000, 26 * 3_600_000]),
        st.sampled_from(["A", "B"]),
    ),
    max_size=40,
)


def columns(found: list[tuple[str | None, int, str]]) -> Columns:
    made = Columns([], [], [], [])
    for offset, (agent, age, name) in enumerate(found):
        made.append(Event(event=name, agent_id=agent), BEGAN_MS - age, offset, BEGAN_MS)
    return made


def populations(found: list[tuple[str | None, int, str]]) -> list[Population]:
    return [one for name, part in by_name(columns(found)) for one in populate(name, part)]


@given(EVENTS)
def test_every_event_is_in_one_population_and_one_run_of_it(
    found: list[tuple[str | None, int, str]],
) -> None:
    made = populations(found)
    assert sorted(offset for one in made for offset in one.offsets) == list(range(len(found)))
    for one in made:
        assert {event.event for event in one.events} == {one.event}
        assert all((BEGAN_MS - at <= FINE_KEPT_S * 1000) is one.fine for at in one.ats)
        for slot, begin, end in one.runs:
            assert {at // 10_000 * 10 for at in one.ats[begin:end]} == {slot}
        assert sum(end - begin for _, begin, end in one.runs) == len(one)


@given(EVENTS)
def test_holders_are_those_of_the_events(found: list[tuple[str | None, int, str]]) -> None:
    for one in populations(found):
        told = {place: holder for holder, places in one.holders.items() for place in places}
        assert told == {
            place: (at // 1000 // FINE_ROW_S * FINE_ROW_S, event.agent_id or "", "")
            for place, (event, at) in enumerate(zip(one.events, one.ats, strict=True))
        }


@given(EVENTS, st.sampled_from(["", "alice", "nobody"]))
def test_to_look_a_name_up_finds_what_looking_at_each_finds(
    found: list[tuple[str | None, int, str]], name: str
) -> None:
    for one in populations(found):
        plainly = one.where([event.agent_id == name for event in one.events])
        assert one.of("agent_id", name).offsets == plainly.offsets


def test_of_thousands_of_agents_as_many_are_named_as_a_row_keeps() -> None:
    (one,) = populations([(f"agent-{n}", 0, "A") for n in range(3000)])
    names = [agent for _, agent, _ in one.holders]
    assert len(names) == TAGS_KEPT + 1
    assert names[-1] == OTHERS
    assert sum(map(len, one.holders.values())) == 3000
