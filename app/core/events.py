"""Execution events as they come from Kafka: decoding, checking, telling the time.

A record holds one JSON object or an array of them, with the columns of Kokino's `metrics` table.
Whatever cannot be read is refused with a reason; nothing is guessed.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

MAX_RECORD_BYTES = 1_000_000
MAX_FIELD_BYTES = 64 * 1024
MAX_AHEAD_MS = 5 * 60 * 1000
MAX_LATE_MS = 31 * 24 * 3600 * 1000
MAX_DURATION_MS = 10**12  # 30 years: beyond it a number is a mistake, and sums stay below 2**63
MAX_MEMORY_MB = 10.0**9

HEARTBEAT = "BRIDGE_HEARTBEAT"


class Metadata(msgspec.Struct, gc=False, omit_defaults=True):
    """The metadata fields that an SLI or a page uses. Evidence may have any type, figures not."""

    memoryMB: float | None = None
    error: Any = None
    conversationId: str | None = None
    issueTypes: Any = None
    ticketId: Any = None
    tmuxSuccess: bool | int | None = None
    headlessSuccess: bool | int | None = None
    match: bool | int | None = None
    count: int | None = None
    backlog: int | None = None
    oldestAt: str | None = None


NO_METADATA = Metadata()


class Event(msgspec.Struct, gc=False):
    """One execution event; `metadata` is an object, or Kokino's JSON text of one."""

    event: str
    agent_id: str | None = ""
    cli_type: str | None = None
    duration_ms: int | None = None
    success: bool | int | None = None
    metadata: Metadata | str | None = None
    timestamp: str | None = None


class Refused(ValueError):
    """An event that cannot be counted; the message is the reason that people read."""


_one = msgspec.json.Decoder(Event)
_many = msgspec.json.Decoder(list[Event])
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_metadata = msgspec.json.Decoder(Metadata)
_anything = msgspec.json.Decoder()


def decode(value: bytes | None) -> list[Event | Refused]:
    """The events of one record, in order, each as an Event or as the reason why it is none."""
    try:
        if value is None:
            return [Refused("the record is empty")]
        _check_record(value)
        if value.lstrip()[:1] == b"[":
            return list(_decode_array(value))
        _check_fields(value)
        event = _one.decode(value)
        _settle(event)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return [Refused(f"not an event: {error}")]
    except Refused as refused:
        return [refused]
    return [event]


def _decode_array(value: bytes) -> Iterator[Event | Refused]:
    try:
        _check_fields(value)
        events = _many.decode(value)
        for event in events:
            _settle(event)
    except (msgspec.MsgspecError, Refused):
        for raw in _raws.decode(value):
            yield from decode_element(bytes(raw))
    else:
        yield from events


def decode_element(raw: bytes) -> list[Event | Refused]:
    """One element of an array; an array within an array is refused."""
    if raw.lstrip()[:1] == b"[":
        return [Refused("not an event: an array within an array")]
    return decode(raw.lstrip())


def _settle(event: Event) -> None:
    """Put the metadata into one form and check the figures; raises Refused."""
    metadata = event.metadata
    if metadata is None:
        event.metadata = NO_METADATA
    elif isinstance(metadata, str):
        event.metadata = metadata = _metadata.decode(metadata) if metadata else NO_METADATA
    duration = event.duration_ms
    if duration is not None and not 0 <= duration <= MAX_DURATION_MS:
        raise Refused(f"duration_ms is {duration}: it must lie between 0 and {MAX_DURATION_MS}")
    if metadata is not None:
        _check_figures(event.metadata)  # type: ignore[arg-type]


def _check_figures(metadata: Metadata) -> None:
    memory = metadata.memoryMB
    if memory is not None and not 0 <= memory <= MAX_MEMORY_MB:
        raise Refused(f"metadata.memoryMB is {memory}: it must lie between 0 and {MAX_MEMORY_MB}")
    count = metadata.count
    if count is not None and not 0 <= count <= 2**53:
        raise Refused(f"metadata.count is {count}: it must lie between 0 and 2**53")


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


_minutes: dict[str, int] = {}
_SECONDS = {f"{second:02d}": second * 1000 for second in range(60)}


def parse_timestamp(text: str) -> int:
    """Milliseconds since the epoch of an ISO 8601 or SQLite time; without a zone it is UTC.

    Raises Refused where the text is no time.
    """
    if len(text) == 19:  # SQLite's form, or ISO without zone: seconds looked up, minutes remembered
        minute, second = _minutes.get(text[:16]), _SECONDS.get(text[17:])
        if minute is not None and second is not None and text[16] == ":":
            return minute + second
    return _parse_any(text)


def _parse_any(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
        zoned = moment.tzinfo is not None  # "2026-10-13T14+05:30" has 19 characters as well
        if not zoned:
            moment = moment.replace(tzinfo=UTC)
        since = moment - _EPOCH
    except (ValueError, OverflowError) as error:
        raise Refused(f"timestamp {text[:40]!r} cannot be read as a time") from error
    ms = since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
    if len(text) == 19 and text[16] == ":" and not zoned:
        if len(_minutes) > 4096:
            _minutes.clear()
        _minutes[text[:16]] = ms - moment.second * 1000
    return ms


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
