"""`burnrate rejected`: events that could not be read."""

import re
from collections import Counter
from collections.abc import Iterable
from heapq import nlargest

import click
import msgspec
from rich.table import Table

from app.commands import topic
from app.commands.terminal import console, plain, say_json, table
from app.commands.worker import Document, settings
from app.core.reading import Rejected
from app.core.status import iso
from app.delivery import words
from app.kafka import topic_name
from app.local.connection import connected
from app.topics import REJECTED

MOST_REASONS = 10
HEAD_SHOWN = 80

_VARIES = re.compile(  # in a reason what an event brought: quoted texts, figures
    r"""
    '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*"
    | (?<=\bis\ )-?\d[^\s:]*(?=:) | \b\d+(?=\ bytes,|\))
    """,
    re.VERBOSE,
)
_decode = msgspec.json.Decoder(Rejected).decode


@click.command()
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="So many.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def rejected(last: int, *, as_json: bool) -> None:
    """Events that could not be read, newest first, and how many for each reason.

    Read from Kafka itself, so no worker need run.
    """
    here = connected(settings())
    reasons, found = _newest(topic.values(here, REJECTED, _decode), last)
    if as_json:
        say_json(_document(reasons, found))
    elif not found:
        click.echo(f"Nothing was rejected: {topic_name(here, REJECTED)} is empty.")
    else:
        out = console()
        out.print(_listed(found))
        out.print()
        out.print(_counted(reasons))


def _newest(every: Iterable[Rejected], last: int) -> tuple[Counter[str], list[Rejected]]:
    """Counts by reason of all, and the newest. What was written twice counts once."""
    reasons: Counter[str] = Counter()

    def fresh() -> Iterable[Rejected]:
        seen: set[tuple[object, ...]] = set()
        for one in every:
            # with the time: a topic that is made anew counts its offsets from 0 again
            place = (one.topic, one.partition, one.offset, one.index, one.kafka_ms)
            if place not in seen:
                seen.add(place)
                reasons[kind_of(one.reason)] += 1
                yield one

    newest = nlargest(
        last, fresh(), key=lambda one: (one.kafka_ms, one.partition, one.offset, one.index)
    )
    return reasons, newest


def kind_of(reason: str) -> str:
    """The reason without what differs from event to event."""
    return _VARIES.sub("…", reason)


def _listed(found: Iterable[Rejected]) -> Table:
    made = table("Time", "Record", "Reason", "Head")
    for one in found:
        within = f" #{one.index}" if one.index else ""
        cut = "…" if len(one.head) > HEAD_SHOWN else ""
        made.add_row(
            plain(words.utc(one.kafka_ms)),
            plain(f"{one.topic}[{one.partition}]@{one.offset}{within}"),
            plain(one.reason),
            plain(one.head[:HEAD_SHOWN] + cut, "quiet"),
        )
    return made


def _counted(reasons: Counter[str]) -> Table:
    made = table("Events", "Reason")
    for reason, count in reasons.most_common(MOST_REASONS):
        made.add_row(plain(words.number(count)), plain(reason))
    if (others := len(reasons) - MOST_REASONS) > 0:
        rest = reasons.total() - sum(count for _, count in reasons.most_common(MOST_REASONS))
        made.add_row(plain(words.number(rest)), plain(f"({others} other reasons)", "quiet"))
    made.add_row(plain(words.number(reasons.total()), "bold"), plain("in all", "bold"))
    return made


def _document(reasons: Counter[str], found: Iterable[Rejected]) -> Document:
    return {
        "total": reasons.total(),
        "reasons": dict(reasons.most_common()),
        "rejected": [
            {
                "at": iso(one.kafka_ms),
                "topic": one.topic,
                "partition": one.partition,
                "offset": one.offset,
                "index": one.index,
                "reason": one.reason,
                "head": one.head,
            }
            for one in found
        ],
    }
