"""What is counted: cells, which add up or merge in any order, so that replays cannot matter."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from app.core import sketch
from app.core.notices import Example
from app.core.sketch import Bins

_Key = TypeVar("_Key", int, str)

MICRO = 1_000_000
"""Sums are kept in millionths of the SLO's unit: integers, whose sum has no order."""

EXAMPLES_KEPT = 5  # the newest failing executions of a row
MEMBERS_KEPT = 1000  # distinct conversations of a slot
TAGS_KEPT = 64  # names of one kind (agents, CLI types, errors) of a row and chunk
OTHERS = "…others"


class Counts(NamedTuple):
    """Events counted. `over`: beyond the quantile's limit; `sum_u`: values in millionths."""

    total: int = 0
    bad: int = 0
    over: int = 0
    sum_u: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """The two added."""
        return Counts(
            self.total + other.total,
            self.bad + other.bad,
            self.over + other.over,
            self.sum_u + other.sum_u,
        )

    def minus(self, other: "Counts") -> "Counts":
        """What is left when the other is taken away."""
        return Counts(
            self.total - other.total,
            self.bad - other.bad,
            self.over - other.over,
            self.sum_u - other.sum_u,
        )


NOTHING = Counts()


class Member(NamedTuple):
    """When one conversation last failed and last passed (ms; 0: never)."""

    failed_at: int = 0
    passed_at: int = 0


class Gauge(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A newest value: by event time, then by where it lies in the log."""

    at: int
    source: str
    offset: int
    value: int


class Cells(msgspec.Struct, omit_defaults=True):
    """Everything that one row holds, by slot (seconds) where it has slots."""

    slots: dict[int, Counts] = {}
    bins: dict[int, Bins] = {}
    tags: dict[str, Counts] = {}  # "agent_id=alice"
    members: dict[int, dict[str, Member]] = {}
    examples: list[Example] = []
    last_bad_at: int = 0


def add_counts(into: dict[_Key, Counts], more: Mapping[_Key, Counts]) -> None:
    """Add counts key by key."""
    if not into:
        into.update(more)
        return
    for key, counts in more.items():
        have = into.get(key)
        into[key] = counts if have is None else have.plus(counts)


def newest(examples: Iterable[Example]) -> list[Example]:
    """The newest few, each once, newest first."""
    once = {
        (e.topic, e.partition, e.offset, e.at, e.agent_id, e.conversation_id): e for e in examples
    }
    ordered = sorted(once.values(), key=lambda e: (e.at, e.offset, e.partition), reverse=True)
    return ordered[:EXAMPLES_KEPT]


def unite(into: dict[str, Member], more: Mapping[str, Member]) -> None:
    """Unite two sets of conversations; of each the latest times. The first by name are kept."""
    for name, member in more.items():
        have = into.get(name, Member())
        into[name] = Member(
            max(have.failed_at, member.failed_at), max(have.passed_at, member.passed_at)
        )
    if len(into) > MEMBERS_KEPT:
        for name in sorted(into)[MEMBERS_KEPT:]:
            del into[name]


def fold(into: Cells, more: Cells) -> None:
    """Add a finished chunk's cells to the sums."""
    add_counts(into.slots, more.slots)
    add_counts(into.tags, more.tags)
    for slot, bins in more.bins.items():
        sketch.add(into.bins.setdefault(slot, {}), bins)
    for slot, members in more.members.items():
        unite(into.members.setdefault(slot, {}), members)
    into.examples = newest([*into.examples, *more.examples])
    into.last_bad_at = max(into.last_bad_at, more.last_bad_at)


def renew(into: Cells, later: Cells) -> None:
    """Take over a later state of the same chunk: its cells are cumulative, so they replace."""
    into.slots.update(later.slots)
    into.bins.update(later.bins)
    into.tags.update(later.tags)
    into.members.update(later.members)
    into.examples = newest([*into.examples, *later.examples])
    into.last_bad_at = max(into.last_bad_at, later.last_bad_at)
