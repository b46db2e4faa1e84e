"""JSON Schemas of what the topics carry, and of the configuration, made from the types in the code.

`python docs/generate_schemas.py` writes docs/schemas/ and config/schemas/ anew; a test fails while
they differ. The
documents of slo.status and slo.alerts have no type: their schemas are written by hand.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from app import topics
from app.bridge.cursors import Cursor
from app.config import schemas
from app.core.chunks import Message
from app.core.commands import Command
from app.core.events import Event
from app.core.groups import Sighting
from app.core.history import Told
from app.core.notices import Notice
from app.core.reading import Rejected
from app.delivery.deliveries import Delivery

SCHEMAS = Path(__file__).parent / "schemas"
CONFIG_SCHEMAS = Path(__file__).parents[1] / "config" / "schemas"

TYPES: dict[str, tuple[Any, str]] = {
    topics.EVENTS: (
        Event | list[Event],
        "One execution event, or an array of them. Further fields are ignored.",
    ),
    topics.DIGESTS: (
        Message,
        (
            "Counts of one SLO from one chunk of the source topic, or how far the intake has got. "
            "Internal: it may change with any version."
        ),
    ),
    topics.HISTORY: (Told, "Hours and months of one SLO: exact counts, for charts and reports."),
    topics.NOTICES: (Notice, "One message for one destination, as facts."),
    topics.DELIVERIES: (Delivery, "One attempt to tell somebody, or why there was none."),
    topics.COMMANDS: (Command, "What an operator, or a destination, has to say."),
    topics.REJECTED: (Rejected, "An event that could not be read, with the reason."),
    topics.CURSORS: (Cursor, "How far a bridge has sent Kokino's tables. Internal."),
    topics.GROUPS: (Sighting, "A value that was seen for the first time and has a group since."),
}


def schema_of(topic: str) -> bytes:
    """The schema of a topic's values, as its file holds it."""
    of_type, description = TYPES[topic]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": topic,
        "description": description,
    }
    made = _in_one_line(msgspec.json.schema(of_type))
    schema = head | {k: v for k, v in made.items() if k not in head}
    return (json.dumps(schema, indent=1, ensure_ascii=False) + "\n").encode()


def _in_one_line(schema: Any) -> Any:  # noqa: ANN401 - any JSON
    """The schema with descriptions (docstrings) freed of their line breaks."""
    if isinstance(schema, list):
        return [_in_one_line(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: " ".join(value.split())
        if name == "description" and isinstance(value, str)
        else _in_one_line(value)
        for name, value in schema.items()
    }


def main() -> None:
    """Write every file."""
    for topic in TYPES:
        (SCHEMAS / f"{topic}.json").write_bytes(schema_of(topic))
    for name in schemas.FILES:
        (CONFIG_SCHEMAS / f"{name}.schema.json").write_text(schemas.schema_of(name), "utf-8")


if __name__ == "__main__":
    main()
