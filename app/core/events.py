"""Execution events as they come from Kafka: decoding, checking, telling the time.

A record holds one JSON object or an array of them, with the columns of Kokino's `metrics` table.
Whatever cannot be read is refused with a reason; nothing is guessed.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import sub
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from app.core.slots import extent

MAX_RECORD_BYTES = 1_000_000
MAX_FIELD_BYTES = 64 * 1024
MAX_AHEAD_MS = 5 * 60 * 1000
MAX_LATE_MS = 31 * 24 * 3600 * 1000
MAX_DURATION_MS = 10**12  # 30 years: beyond it a number is a mistake, and sums stay below 2**63
MAX_MEMORY_MB = 10.0**9

HEARTBEAT = "BRIDGE_HEARTBEAT"


Count = Annotated[int, Meta(ge=0, le=2**53)]


class Metadata(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The metadata fields that an SLI or a page uses. Evidence may have any type, figures not."""

    memoryMB: Annotated[float, Meta(ge=0, le=MAX_MEMORY_MB)] | None = None
    error: Any = None
    conversationId: str | None = None
    issueTypes: Any = None
    ticketId: Any = None
    tmuxSuccess: bool | int | None = None
    headlessSuccess: bool | int | None = None
    match: bool | int | None = None
    count: Count | None = None
    backlog: int | None = None
    oldestAt: str | None = None


NO_METADATA = Metadata()


class Event(msgspec.Struct, gc=False):
    """One execution event; `metadata` is an object, or Kokino's JSON text of one."""

    event: str
    agent_id: str | None = ""
    cli_type: str | None = None
    duration_ms: Annotated[int, Meta(ge=0, le=MAX_DURATION_MS)] | None = None
    success: bool | int | None = None
    metadata: Metadata | str | None = NO_METADATA
    timestamp: str | None = None


class Refused(ValueError):
    """An event that cannot be counted; the message is the reason that people read."""


class Kinds(NamedTuple):
    """How events are decoded that keep some metadata fields beyond those of every page."""

    one: msgspec.json.Decoder[Event]
    many: msgspec.json.Decoder[list[Event]]
    metadata: msgspec.json.Decoder[Metadata]
    nothing: Metadata


@lru_cache
def kinds_of(fields: frozenset[str]) -> Kinds:
    """The kinds whose metadata keep these fields as well, whatever type they have."""
    metadata: type[Metadata] = Metadata
    event: type[Event] = Event
    if fields:
        own: Any = [(name, Any, None) for name in sorted(fields)]
        kept: Any = msgspec.defstruct("Metadata", own, bases=(Metadata,), frozen=True, gc=False)
        own = [("metadata", kept | str | None, kept())]
        made: Any = msgspec.defstruct("Event", own, bases=(Event,), gc=False)
        metadata, event = kept, made
    return Kinds(
        msgspec.json.Decoder(event),
        msgspec.json.Decoder(list[event]),  # type: ignore[valid-type]  # made just now
        msgspec.json.Decoder(metadata),
        metadata(),
    )


KNOWN = kinds_of(frozenset())
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_anything = msgspec.json.Decoder()


def decode(value: bytes | None, kinds: Kinds = KNOWN) -> list[Event | Refused]:
    """The events of one record, in order, each as an Event or as the reason why it is none."""
    try:
        if value is None:
            return [Refused("the record is empty")]
        _check_record(value)
        if value.lstrip()[:1] == b"[":
            return list(_decode_array(value, kinds))
        _check_fields(value)
        event = kinds.one.decode(value)
        _settle(event, kinds)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return [Refused(f"not an event: {error}")]
    except Refused as refused:
        return [refused]
    return [event]


def _decode_array(value: bytes, kinds: Kinds) -> Iterator[Event | Refused]:
    try:
        _check_fields(value)
        events = kinds.many.decode(value)
        for event in events:
            _settle(event, kinds)
    except (msgspec.MsgspecError, Refused):
        for raw in _raws.decode(value):
            yield from decode_element(bytes(raw), kinds)
    else:
        yield from events


def decode_element(raw: bytes, kinds: Kinds = KNOWN) -> list[Event | Refused]:
    """One element of an array; an array within an array is refused."""
    if raw.lstrip()[:1] == b"[":
        return [Refused("not an event: an array within an array")]
    return decode(raw.lstrip(), kinds)


def _settle(event: Event, kinds: Kinds) -> None:
    """Put the metadata into one form."""
    text = event.metadata
    if not isinstance(text, Metadata):
        event.metadata = kinds.metadata.decode(text) if text else kinds.nothing


def decode_plain(values: Sequence[bytes | None], kinds: Kinds = KNOWN) -> list[Event] | None:
    """The events of records that hold one each; None where any record wants a closer look.

    What `decode` makes of each, at a third of the cost.
    """
    try:
        if max(map(len, values)) > MAX_FIELD_BYTES:  # type: ignore[arg-type]  # caught below
            return None
        decode_one, known = kinds.one.decode, type(kinds.nothing)
        found = [decode_one(value) for value in values]  # type: ignore[arg-type]
        for event in found:
            if type(event.metadata) is not known:
                _settle(event, kinds)
    except (TypeError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found


def _check_record(value: bytes) -> None:
    if len(value) > MAX_RECORD_BYTES:
        raise Refused(f"the record has {len(value)} bytes, more than {MAX_RECORD_BYTES}")


def _check_fields(value: bytes) -> None:
    if len(value) <= MAX_FIELD_BYTES:
        return
    for name, text in _strings(_anything.decode(value), "the record"):
        if len(text.encode()) > MAX_FIELD_BYTES:
            raise Refused(f"{name} has more than {MAX_FIELD_BYTES} bytes")


def _strings(value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield "a field's name", key
            yield from _strings(inner, str(key)[:64])
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner, name)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
TIMES_KEPT = 65536


class _Times(dict[str, int]):
    """Times by their texts. Events of one moment come together, so most have been read before."""

    def __missing__(self, text: str) -> int:
        if len(self) >= TIMES_KEPT:
            self.clear()
        self[text] = ms = _parse(text)
        return ms


_times = _Times()


def parse_timestamp(text: str) -> int:
    """Milliseconds since the epoch of an ISO 8601 or SQLite time; without a zone it is UTC.

    Raises Refused where the text is no time.
    """
    return _times[text]


def _parse(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MS
    except (ValueError, OverflowError) as error:
        raise Refused(f"timestamp {text[:40]!r} cannot be read as a time") from error


def event_time(event: Event, kafka_ms: int) -> int | None:
    """When it happened, in ms; None where it is too old to count.

    Both limits are measured from the record's Kafka time, not from a clock, so that a second
    reading decides the same. Raises Refused for a time that cannot be read or lies ahead.
    """
    if event.timestamp is None:
        return kafka_ms
    at = parse_timestamp(event.timestamp)
    if at > kafka_ms + MAX_AHEAD_MS:
        raise Refused(f"timestamp {event.timestamp!r} lies more than 5 minutes ahead")
    return at if at >= kafka_ms - MAX_LATE_MS else None


def event_times(events: Sequence[Event], kafka_ms: Sequence[int]) -> list[int] | None:
    """When each happened, in ms; None where `event_time` refuses any or finds it too old."""
    try:
        found = [
            ms if event.timestamp is None else _times[event.timestamp]
            for event, ms in zip(events, kafka_ms, strict=True)
        ]
    except Refused:
        return None
    (earliest, latest), (first, last) = extent(found), extent(kafka_ms)
    if latest - first <= MAX_AHEAD_MS and last - earliest <= MAX_LATE_MS:
        return found  # none is late or ahead: nearly always
    ages = list(map(sub, kafka_ms, found))
    return found if min(ages) >= -MAX_AHEAD_MS and max(ages) <= MAX_LATE_MS else None
