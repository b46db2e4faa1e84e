"""Kokino's rows as the events that are sent. Pure.

Only what an SLI or a page needs leaves the machine: prompts, answers and session ids stay behind.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.core.events import HEARTBEAT, Refused, parse_timestamp

COMPARISONS = frozenset(
    {"SHADOW_MISMATCH", "SHADOW_HEADLESS_FAILURE", "SHADOW_TMUX_FAILURE", "SHADOW_SUCCESS"}
)
"""What `shadow_results` says better: not sent where that table is there."""

NEEDED = COMPARISONS | {
    "EXECUTION_COMPLETED",
    "EXECUTION_FAILED",
    "EXECUTION_TIMEOUT",
    "CONVERSATION_INTEGRITY_FAIL",
    "CONVERSATION_INTEGRITY_PASS",
    "ORPHAN_DETECTED",
}
"""The events of `metrics` that an SLI reads; the others are counted and left behind."""

ERROR_CHARS = 512
NAME_CHARS = 256
MAX_ISSUE_TYPES = 32

Row = tuple[Any, ...]
"""A row as SQLite gives it: id, timestamp, the columns that tell rows apart, and the rest."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent: the columns of Kokino's `metrics`. `id` is the row's, None for our own."""

    event: str
    agent_id: str
    cli_type: str | None = None
    duration_ms: Any = None
    success: Any = None
    metadata: dict[str, Any]
    timestamp: str
    id: int | None = None


class _Kept(msgspec.Struct, rename="camel"):
    """The metadata fields that may leave; whatever else the text holds is not even decoded."""

    exit_code: Any = None
    memory_mb: Any = msgspec.field(default=None, name="memoryMB")
    error: Any = None
    headless_error: Any = None
    conversation_id: Any = None
    issue_types: Any = None
    turn_id: Any = None
    latency_delta: Any = None


_kept = msgspec.json.Decoder(_Kept)


def metrics_event(row: Row) -> Event:
    """A row of `metrics`, in the order of `app.bridge.tables.METRICS`.

    Metadata that cannot be read is sent as an empty object: the execution still counts.
    """
    id_, timestamp, event, agent_id, cli_type, duration_ms, success, metadata = row
    return Event(
        id=id_,
        event=event,
        agent_id=_name(agent_id),
        cli_type=None if cli_type is None else _name(cli_type),
        duration_ms=_figure(duration_ms),
        success=_figure(success),
        metadata=kept_metadata(metadata),
        timestamp=_name(timestamp),
    )


def comparison_event(row: Row) -> Event:
    """A row of `shadow_results`, in the order of `app.bridge.tables.SHADOW_RESULTS`."""
    id_, created_at, ticket_id, agent_id, tmux, headless, match, delta, error = row
    metadata = {
        "ticketId": _name(ticket_id),
        "tmuxSuccess": bool(tmux),
        "headlessSuccess": bool(headless),
        "match": bool(match),
        "latencyDelta": _figure(delta),
        "error": _text(error),
    }
    return Event(
        id=id_,
        event="SHADOW_COMPARED",
        agent_id=_name(agent_id),
        metadata={name: value for name, value in metadata.items() if value is not None},
        timestamp=_name(created_at),
    )


def conversations_event(count: int, at_ms: int) -> Event:
    """How many conversations Kokino holds: the total that data integrity is measured against."""
    return Event(
        event="CONVERSATIONS_COUNTED",
        agent_id="system",
        metadata={"count": count},
        timestamp=iso_time(at_ms),
    )


def heartbeat(bridge: str, at_ms: int, backlog: int, oldest_at: str | None) -> Event:
    """The bridge is alive: rows not yet sent, and the time of the oldest of them."""
    return Event(
        event=HEARTBEAT,
        agent_id=bridge,
        metadata={"backlog": backlog, "oldestAt": oldest_at, "bridge": bridge},
        timestamp=iso_time(at_ms),
    )


def kept_metadata(text: object) -> dict[str, Any]:
    """The fields of a metadata text that may leave, trimmed; empty where it cannot be read."""
    if not isinstance(text, str):
        return {}
    try:
        found = _kept.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return {}
    kept = {
        "exitCode": _figure(found.exit_code),
        "memoryMB": _figure(found.memory_mb),
        "error": _text(found.headless_error if found.error is None else found.error),
        "conversationId": None if found.conversation_id is None else _name(found.conversation_id),
        "issueTypes": _issue_types(found.issue_types),
        "turnId": _figure(found.turn_id),
        "latencyDelta": _figure(found.latency_delta),
    }
    return {name: value for name, value in kept.items() if value is not None}


def row_mark(row: Row) -> str:
    """Tells rows of one moment apart whatever their id: a hash of the columns before metadata."""
    return hashlib.blake2b(repr(row[1:7]).encode(), digest_size=8).hexdigest()


def moment_ms(text: object) -> int | None:
    """Milliseconds since the epoch; None where the text is no time."""
    try:
        return parse_timestamp(str(text))
    except Refused:
        return None


def iso_time(at_ms: int) -> str:
    """ISO 8601 in UTC, with milliseconds."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _figure(value: object) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _name(value: object) -> str:
    return str(value)[:NAME_CHARS]


def _text(value: object) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text[:ERROR_CHARS]


def _issue_types(value: object) -> list[str] | None:
    return [_name(one) for one in value[:MAX_ISSUE_TYPES]] if isinstance(value, list) else None


EventOf = Callable[[Row], Event]
encode = msgspec.json.Encoder().encode
