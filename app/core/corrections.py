"""Corrections: events that were counted and should not have been are taken out again.

What an SLO leaves out (its corrections, and the maintenance windows that do not count) is its
exclusion. The source topic is recounted with those events alone, and their counts, negated, are
merged under a source of their own, named after the exclusion: so the merge law holds for them as
for all others, repeats change nothing, and late events are taken out as they come.

An exclusion counts as a whole or not at all: while a new one is being recounted the one before it
stands, and what is reverted is only a share that counts no longer. Nothing is added back.
"""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from app.core import events, maintenance
from app.core.cells import NOTHING, Cells, Counts
from app.core.chunks import CHUNK_RECORDS, Digest
from app.core.events import MAX_AHEAD_MS, MAX_LATE_MS, Event, Refused
from app.core.maintenance import Window
from app.core.reading import Record
from app.core.slos import Slo

KEPT = 200  # of one SLO at a time
_PREFIX = "correction-"


class Correction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The events of an interval (ms, its end left out), of one agent or CLI type or of all."""

    id: str
    slo: str
    begins_at: int
    ends_at: int
    by: str
    why: str
    at: int  # when it was made
    agent: str = ""
    cli_type: str = ""

    def takes(self, agent_id: str, cli_type: str, at: int) -> bool:
        """Whether such an event, at such a time, is taken out."""
        return (
            self.begins_at <= at < self.ends_at
            and self.agent in ("", agent_id)
            and self.cli_type in ("", cli_type)
        )


class Exclusion(msgspec.Struct, frozen=True):
    """All that an SLO leaves out: an event that several name is taken out once."""

    corrections: tuple[Correction, ...] = ()
    windows: tuple[Window, ...] = ()
    definition: str = ""  # of the SLO: another one counts something else

    def __bool__(self) -> bool:
        return bool(self.corrections or self.windows)

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change with what is left out; empty: nothing is."""
        if not self:
            return ""
        taken = [(c.begins_at, c.ends_at, c.agent, c.cli_type) for c in self.corrections]
        times = [(w.begins, w.lasts_s, w.zone, w.repeats) for w in self.windows]
        whole = msgspec.json.encode([self.definition, sorted(taken), sorted(times)])
        return hashlib.sha256(whole).hexdigest()[:12]

    def takes(self, agent_id: str, cli_type: str, at: int) -> bool:
        """Whether such an event, at such a time (ms), is left out."""
        return any(one.takes(agent_id, cli_type, at) for one in self.corrections) or any(
            maintenance.occurrence(window, at) is not None for window in self.windows
        )

    def begins_at(self, now: int) -> int:
        """The Kafka time (ms) before which nothing of it can lie in the source topic."""
        begins = [one.begins_at for one in self.corrections]
        begins += [maintenance.begins_at(window) for window in self.windows]
        return max(min(begins, default=now), now - MAX_LATE_MS) - MAX_AHEAD_MS


class Applied(msgspec.Struct, frozen=True, omit_defaults=True):
    """The exclusion that counts now (its fingerprint), and how far it has been recounted."""

    exclusion: str = ""
    starts: dict[str, int] = {}  # by source: the chunk that a restart begins with


def exclusion_of(
    slo: Slo, corrections: Iterable[Correction], windows: Iterable[Window]
) -> Exclusion:
    """What an SLO leaves out: its corrections, and its windows that do not count."""
    every = (*slo.maintenance, *windows)
    left_out = tuple(window for window in every if window.exclude_from_budget)
    made = Exclusion(tuple(corrections), left_out)
    return replace(made, definition=slo.definition.fingerprint()) if made else made


def added(known: Iterable[Correction], correction: Correction) -> tuple[Correction, ...]:
    """With one more, without those that no window reaches any more."""
    reach = correction.at - MAX_LATE_MS
    others = [one for one in known if one.ends_at > reach and one.id != correction.id]
    return (*others[-(KEPT - 1) :], correction)


def chunk_start(offset: int) -> int:
    """The chunk start at or before an offset, wherever else chunks are cut."""
    return offset - offset % CHUNK_RECORDS


def left_out(record: Record, exclusion: Exclusion) -> Record:
    """The record with those events alone that the exclusion takes; it stays where it is."""
    decoded = events.decode(record.value)
    takes = [_is_taken(event, record.timestamp, exclusion) for event in decoded]
    if all(takes):
        return record
    if not any(takes):
        return record._replace(value=b"[]")
    elements = msgspec.json.decode(record.value or b"[]", type=list[msgspec.Raw])
    kept = [element for element, taken in zip(elements, takes, strict=True) if taken]
    return record._replace(value=msgspec.json.encode(kept))


def _is_taken(event: Event | Refused, kafka_ms: int, exclusion: Exclusion) -> bool:
    if isinstance(event, Refused):
        return False
    try:
        at = events.event_time(event, kafka_ms)
    except Refused:
        return False
    return at is not None and exclusion.takes(event.agent_id or "", event.cli_type or "", at)


def negated(digest: Digest, exclusion: str) -> Digest:
    """A digest of what is left out, as it is merged: its counts taken away, nothing else kept."""
    return replace(
        digest,
        epoch=f"{_PREFIX}{exclusion}-{digest.epoch}",
        fine=_negated_rows(digest.fine),
        coarse=_negated_rows(digest.coarse),
        gauge=None,
    )


def _negated_rows(rows: Mapping[int, Cells]) -> dict[int, Cells]:
    return {
        row: Cells(
            slots=_negated_counts(cells.slots),
            bins={
                slot: {index: -number for index, number in bins.items()}
                for slot, bins in cells.bins.items()
            },
            tags=_negated_counts(cells.tags),
        )
        for row, cells in rows.items()
    }


def _negated_counts(counts: Mapping) -> dict:  # type: ignore[type-arg]  # by slot or by tag
    return {key: NOTHING.minus(Counts(*one)) for key, one in counts.items()}


def is_recount(source: str) -> bool:
    """Whether a row's share takes away, instead of counting events."""
    return source.startswith(_PREFIX)


def counts(source: str, exclusion: str) -> bool:
    """Whether a row's share counts while this exclusion stands; events always do."""
    if not is_recount(source):
        return True
    return bool(exclusion) and source.startswith(f"{_PREFIX}{exclusion}-")
