"""What a replay has told, at its end: against the labelled incidents where the data has any."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.backtest import scoring
from app.core.events import parse_timestamp
from app.core.labels import Label, Score, score
from app.core.notices import Notice
from app.kafka import client_options, topic_name
from app.settings import Settings
from app.topics import NOTICES, PARTITIONS

LABELS = "incidents.json"
JUDGED_WITHIN_S = 3600.0
_POLL_S = 0.5

_notice = msgspec.json.Decoder(Notice).decode


async def judged_until(url: str, until_ms: int) -> bool:
    """Wait until every SLO is judged at `until_ms` (ms of the data's time); False after an hour."""
    deadline = time.monotonic() + JUDGED_WITHIN_S
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        while time.monotonic() < deadline:
            slos = (await client.get(f"{url}/api/slo/status")).json().get("slos", [])
            times = [parse_timestamp(slo["judgedAt"]) for slo in slos]
            if times and min(times) >= until_ms:
                return True
            await asyncio.sleep(_POLL_S)
    return False


async def told(settings: Settings) -> list[Notice]:
    """Every notice of this run, by time."""
    consumer = AIOKafkaConsumer(**client_options(settings), auto_offset_reset="earliest")
    await consumer.start()
    try:
        topic = topic_name(settings, NOTICES)
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: dict[str, Notice] = {}
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found |= {n.id: n for n in (_notice(record.value) for record in records)}
    finally:
        await consumer.stop()
    return sorted(found.values(), key=lambda notice: (notice.at, notice.id))


def labels_of(data: Path) -> list[Label]:
    """The labelled incidents of a data folder; none where it has no file of them.

    Raises UserError where the file cannot be read.
    """
    path = data / LABELS
    return scoring.labels_of(path) if path.exists() else []


def lines(notices: list[Notice], labels: list[Label]) -> Iterator[str]:
    """The summary for the terminal."""
    incidents = {n.incident for n in notices if n.kind == "trigger"}
    pages = sum(n.page and n.kind == "trigger" for n in notices)
    yield f"Told: {len(incidents)} incidents, {pages} pages to owners, {len(notices)} notices"
    if labels:
        yield from _scored(score(labels, notices))


def _scored(result: Score) -> Iterator[str]:
    every = len(result.found) + len(result.missed)
    yield f"Labelled incidents found: {len(result.found)} of {every}"
    for label, after_s in result.found:
        yield f"  found  {label.slo} after {after_s // 60} min: {label.what}"
    for label in result.missed:
        yield f"  MISSED {label.slo}: {label.what}"
    if result.other_pages:
        yield f"Pages outside every labelled incident: {len(result.other_pages)}"
        yield from (f"  {key}" for key in result.other_pages)
    else:
        yield "Pages outside every labelled incident: none"
