"""The published schemas are those of the code, and real documents hold to them."""

import importlib.util
import json
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import msgspec
import pytest

from app import config, topics
from app.bridge.cursors import Cursor, Place
from app.core import judge, status, vitals
from app.core.chunks import Digest, Heartbeat, PartitionMark, Watermark
from app.core.commands import Acknowledge
from app.core.folding import Folder
from app.core.groups import Sighting
from app.core.history import Day, History, Month, Recent
from app.core.judge import Judged, SloState
from app.core.ledger import Ledger
from app.core.reading import PartitionReader, Record
from app.core.slots import COARSE, FINE
from app.core.vitals import ALERTER, Vitals
from app.delivery import outbox
from app.delivery.deliveries import decided

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schemas"
POLICY = config.load(ROOT / "config")
NOW = 1_760_000_000_000
BY_HAND = {topics.STATUS, topics.ALERTS}


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("made", ROOT / "docs" / "generate_schemas.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


GENERATED = script()


def validator(topic: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{topic}.json").read_text()))


def check(topic: str, value: object) -> None:
    """What Kafka would hold of this value follows the topic's schema."""
    validator(topic).validate(json.loads(msgspec.json.encode(value)))


def event(name: str, at_ms: int, **fields: object) -> dict[str, Any]:
    found = {"agent_id": "alice", "cli_type": "codex", "success": 1, "metadata": {}}
    return {"event": name, "timestamp": status.iso(at_ms), **found, **fields}


def an_hour() -> list[dict[str, Any]]:
    """An hour in which every SLO is missed."""
    told: list[dict[str, Any]] = [event("CONVERSATIONS_COUNTED", NOW, metadata={"count": 60})]
    for minute in range(60):
        at = NOW - (59 - minute) * 60_000
        slow = {"duration_ms": 70_000, "metadata": json.dumps({"memoryMB": 2000.5})}
        told += [event("EXECUTION_COMPLETED", at, **slow) for _ in range(9)]
        error = {"error": "API key rejected"}
        told.append(event("EXECUTION_FAILED", at, success=0, duration_ms=9, metadata=error))
        compared = {"tmuxSuccess": 1, "headlessSuccess": 1, "match": minute % 2, "ticketId": "t-1"}
        told.append(event("SHADOW_COMPARED", at, metadata=compared))
    broken = {"conversationId": "conv-17", "issueTypes": ["duplicate_role"]}
    return [*told, event("CONVERSATION_INTEGRITY_FAIL", NOW, agent_id="conv-17", metadata=broken)]


@cache
def reading() -> tuple[list[Digest], PartitionReader]:
    folders = [Folder(slo.id, slo.definition, topics.EVENTS) for slo in POLICY.slos.values()]
    reader = PartitionReader(folders, topic=topics.EVENTS, epoch="e1", partition=0, skip=False)
    values = [json.dumps(one).encode() for one in an_hour()]
    values.append(b'{"event": "EXECUTION_COMPLETED", "timestamp": "someday"}')
    reader.read([Record(offset, NOW, value) for offset, value in enumerate(values)])
    return reader.digests(), reader


@cache
def judged(slo_id: str) -> tuple[Judged, Ledger]:
    slo, ledger = POLICY.slos[slo_id], Ledger()
    for digest in reading()[0]:
        if digest.slo == slo_id:
            for grain, rows in ((FINE, digest.fine), (COARSE, digest.coarse)):
                for start, cells in rows.items():
                    ledger.replace(grain, start, cells)
            if digest.gauge:
                ledger.read_gauge(digest.gauge)
    route = POLICY.ownership.routes[slo_id]
    return judge.judge(slo, route, SloState(caught_up=True), ledger, NOW), ledger


def of_slo(slo_id: str) -> dict[str, Any]:
    found, ledger = judged(slo_id)
    slo, route = POLICY.slos[slo_id], POLICY.ownership.routes[slo_id]
    shown = status.of_slo(slo, route, found.state, found.figures, found.signals, ledger)
    return shown | {"lag_s": 0.2, "blind": False}


def test_every_topic_has_a_schema() -> None:
    named = {topic.name for topic in topics.all_topics(replay=False)}
    assert {path.stem for path in SCHEMAS.glob("*.json")} == named
    assert set(GENERATED.TYPES) == named - BY_HAND


@pytest.mark.parametrize("topic", sorted(GENERATED.TYPES))
def test_generated_schemas_are_those_of_the_code(topic: str) -> None:
    """`PYTHONPATH=. python docs/generate_schemas.py` writes them anew."""
    assert (SCHEMAS / f"{topic}.json").read_bytes() == GENERATED.schema_of(topic)


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_schemas_are_schemas(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("slo_id", POLICY.slos)
def test_the_status_of_an_slo_holds_to_its_schema(slo_id: str) -> None:
    check(topics.STATUS, of_slo(slo_id))


def test_the_status_before_any_event_holds_to_its_schema() -> None:
    slo, route = POLICY.slos["latency"], POLICY.ownership.routes["latency"]
    empty = judge.judge(slo, route, SloState(), Ledger(), NOW)
    shown = status.of_slo(slo, route, empty.state, empty.figures, empty.signals, Ledger())
    check(topics.STATUS, shown | {"lag_s": None, "blind": False})


@pytest.mark.parametrize("slo_id", POLICY.slos)
def test_an_incident_holds_to_its_schema(slo_id: str) -> None:
    found, ledger = judged(slo_id)
    assert found.changed
    for incident in found.changed:
        check(topics.ALERTS, status.of_incident(POLICY.slos[slo_id], incident, ledger, NOW))


def test_an_incident_of_the_alerter_itself_holds_to_its_schema() -> None:
    route = POLICY.ownership.routes[ALERTER]
    found = vitals.check(SloState(), Vitals(wrong={"input-silent": "no bridge"}), route, NOW)
    check(topics.ALERTS, status.of_own_incident(found.changed[0]))


def test_nothing_that_is_written_is_missing_in_the_schemas_by_hand() -> None:
    incident = judged("data-integrity")[0].changed[0]
    shown = status.of_incident(POLICY.slos["data-integrity"], incident, Ledger(), NOW)
    for topic, document in ((topics.STATUS, of_slo("availability")), (topics.ALERTS, shown)):
        assert set(validator(topic).schema["properties"]) == set(document)


def test_events_hold_to_their_schema() -> None:
    check(topics.EVENTS, an_hour())
    check(topics.EVENTS, an_hour()[0])


def test_digests_and_watermarks_hold_to_their_schema() -> None:
    digests, reader = reading()
    assert {digest.slo for digest in digests} == set(POLICY.slos)
    for digest in digests:
        check(topics.DIGESTS, digest)
    mark = PartitionMark(reader.epoch, 0, reader.upto, reader.upto, NOW)
    beat = Heartbeat(NOW, 0, None)
    watermark = Watermark(sent_ms=NOW, partitions=1, marks=(mark,), heartbeat=beat)
    check(topics.DIGESTS, watermark)


@pytest.mark.parametrize("slo_id", POLICY.slos)
def test_the_history_of_an_slo_holds_to_its_schema(slo_id: str) -> None:
    history = History(POLICY.slos[slo_id], judged(slo_id)[1])
    history.recover({})
    news = [told for told in history.news(NOW).values() if told is not None]
    assert {type(told) for told in news} == {Day, Recent, Month}
    for told in news:
        check(topics.HISTORY, told)


def test_what_is_told_holds_to_its_schemas() -> None:
    notices = [notice for slo_id in POLICY.slos for notice in judged(slo_id)[0].notices]
    assert {"trigger", "escalate"} <= {notice.kind for notice in notices}
    for notice in notices:
        check(topics.NOTICES, notice)
        (entry,) = outbox.Outbox().offered(notice, NOW, stale_after_ms=None)
        check(topics.DELIVERIES, decided(entry, "printed", NOW))


def test_rejections_commands_and_cursors_hold_to_their_schemas() -> None:
    (rejected,) = reading()[1].rejected
    check(topics.REJECTED, rejected)
    command = Acknowledge(id="1", slo="latency", incident="k", by="alice", at=NOW)
    check(topics.COMMANDS, command)
    seen = Sighting(slo="by-cli", by="cli_type", value="claude", at=NOW, partition=0, offset=7)
    check(topics.GROUPS, seen)
    check(topics.CURSORS, Cursor(owner="b1", metrics=Place(last_id=7, seen=("m",))))
