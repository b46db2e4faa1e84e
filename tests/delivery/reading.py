"""A Slack message as lines, as a person reads it."""

from typing import Any


def read(message: dict[str, Any]) -> str:
    """The blocks' text, one part after the other; fields as ` | `."""
    return "\n".join(_block(block) for block in message["blocks"])


def _block(block: dict[str, Any]) -> str:
    if "fields" in block:
        return " | ".join(field["text"].replace("\n", " ") for field in block["fields"])
    if "elements" in block:
        return " ".join(element["text"] for element in block["elements"])
    return str(block["text"]["text"])
