"""`burnrate deliveries`: every attempt to tell somebody of an incident."""

from collections import Counter
from collections.abc import Sequence

import click
import msgspec
from rich.table import Table

from app.commands import topic
from app.commands.terminal import console, plain, say_json, table
from app.commands.worker import Document, settings
from app.core.status import iso
from app.delivery import words
from app.delivery.deliveries import Came, Delivery
from app.delivery.wording import destination_name
from app.kafka import topic_name
from app.local.connection import connected
from app.settings import Settings
from app.topics import DELIVERIES, partition_of

TONES: dict[Came, str] = {
    "accepted": "good",
    "updated": "good",
    "grouped": "good",
    "retry": "warn",
    "fallback": "warn",
    "failed": "bad",
    "skipped": "quiet",
    "printed": "quiet",
}
_decode = msgspec.json.Decoder(Delivery).decode


@click.command()
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def deliveries(key: str, *, as_json: bool) -> None:
    """Every attempt to tell of an incident: KEY as `burnrate incidents` shows it.

    Read from Kafka itself, so no worker need run.
    """
    here = connected(settings())
    found = _read(here, key)
    if as_json:
        say_json({"incident": key, "deliveries": [_document(one) for one in found]})
        return
    out = console()
    if found:
        out.print(_table(found))
        out.print()
    out.print(plain(_summary(found, key, topic_name(here, DELIVERIES))), soft_wrap=True)


def _read(here: Settings, key: str) -> list[Delivery]:
    found = topic.values(here, DELIVERIES, _decode, partition=partition_of(key), key=key)
    return sorted(found, key=lambda one: one.at)


def _table(found: Sequence[Delivery]) -> Table:
    made = table("Time", "Destination", "Kind", "Attempt", "Outcome", "Took", "Reason")
    for one in found:
        made.add_row(
            plain(words.utc(one.at)),
            plain(destination_name(one.destination)),
            plain(one.kind),
            plain(one.attempt),
            plain(f"{one.outcome} {one.status or ''}".rstrip(), TONES[one.outcome]),
            plain(f"{one.duration_ms} ms" if one.status or one.duration_ms else ""),
            plain(_remarks(one)),
        )
    return made


def _remarks(one: Delivery) -> str:
    late = f"late by {words.span(one.late_s)}" if one.late_s else ""
    duplicate = "possible duplicate" if one.possible_duplicate else ""
    return ", ".join(part for part in (one.reason, late, duplicate) if part)


def _summary(found: Sequence[Delivery], key: str, name: str) -> str:
    if not found:
        return f"Nothing was sent: {name} holds no attempt for {key}."
    counts = Counter(one.outcome for one in found)
    told = ", ".join(f"{counts[came]} {came}" for came in TONES if counts[came])
    nothing = "" if counts["accepted"] else " Nothing was sent: no destination has accepted any."
    return f"{len(found)} in all: {told}.{nothing}"


def _document(one: Delivery) -> Document:
    return {
        "at": iso(one.at),
        "destination": one.destination,
        "kind": one.kind,
        "attempt": one.attempt,
        "outcome": one.outcome,
        "status": one.status,
        "reason": one.reason,
        "duration_ms": one.duration_ms,
        "late_s": one.late_s,
        "possibleDuplicate": one.possible_duplicate,
        "notice": one.notice,
    }
