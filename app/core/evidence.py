"""What an event says of a failure: its error, its conversation, itself as an example."""

from functools import lru_cache

from app.core.events import NO_METADATA, Event, Metadata
from app.core.notices import Example


def metadata_of(event: Event) -> Metadata:
    """The metadata as an object, which decoding has made sure of."""
    return event.metadata if isinstance(event.metadata, Metadata) else NO_METADATA


def error_of(event: Event) -> str:
    """The error in a line, empty where there is none."""
    error = metadata_of(event).error
    return _in_a_line(str(error)) if error else ""


@lru_cache(maxsize=1024)
def _in_a_line(text: str) -> str:
    return " ".join(text.split())[:200]


def conversation_of(event: Event) -> str:
    """The conversation that an integrity event is about."""
    return (metadata_of(event).conversationId or event.agent_id or "unknown")[:200]


def example_of(event: Event, at: int, topic: str, partition: int, offset: int) -> Example:
    """A failing execution as evidence; `at` in ms."""
    metadata = metadata_of(event)
    issues = metadata.issueTypes if isinstance(metadata.issueTypes, list) else []
    return Example(
        at=at,
        topic=topic,
        partition=partition,
        offset=offset,
        agent_id=(event.agent_id or "")[:200],
        cli_type=(event.cli_type or "")[:200],
        error=error_of(event),
        duration_ms=event.duration_ms,
        memory_mb=metadata.memoryMB,
        conversation_id=(metadata.conversationId or "")[:200],
        issue_types=tuple(str(issue)[:100] for issue in issues[:8]),
        ticket_id=str(metadata.ticketId or "")[:200],
    )
