"""Corrections: the counts are those of a log in which the events that are left out never were."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from app.core import corrections, judge
from app.core.cells import Member
from app.core.chunks import CHUNK_RECORDS
from app.core.commands import Correct, Revert
from app.core.corrections import Correction, Exclusion
from app.core.figures import SHOWN_WINDOWS_S
from app.core.folding import Folder
from app.core.judge import SloState
from app.core.maintenance import Window
from app.core.reading import PartitionReader, Record
from app.core.slos import Slo
from tests.core.books import TOPIC, Book, Library
from tests.core.histories import BEGAN_MS, iso
from tests.core.policies import AVAILABILITY, CORRECTNESS, INTEGRITY, LATENCY, RESOURCES
from tests.core.watch import DAY_MS, HOUR_MS, MINUTE_MS, Watch

AGENTS, CLIS = ("a", "b", "c"), ("claude", "codex")
WINDOW = Window(
    id="w",
    begins="2026-09-20T03:00",
    lasts_s=2 * 3600,
    by="ops",
    why="w",
    repeats="FREQ=DAILY",
    exclude_from_budget=True,
)


def an_event(random: Random, at: int) -> bytes:
    failed = random.random() < 0.3
    made = {
        "event": "EXECUTION_FAILED" if failed else "EXECUTION_COMPLETED",
        "success": int(not failed),
        "duration_ms": random.choice((900, 40_000, 90_000)),
        "agent_id": random.choice(AGENTS),
        "cli_type": random.choice(CLIS),
        "metadata": {"memoryMB": random.choice((100.5, 900.25, 2000))},
        "timestamp": iso(at),
    }
    return msgspec.json.encode(made)


def a_log(random: Random, records: int) -> Iterator[Record]:
    """Records of a few days: single events and arrays, some late, some not to be read."""
    kafka_ms, offset = BEGAN_MS - 3 * DAY_MS, 0
    for _ in range(records):
        kafka_ms += random.randrange(2 * 3 * DAY_MS // records)
        offset += random.choice((1, 1, 1, 2, CHUNK_RECORDS // 8))
        late = [random.choice((0, 0, MINUTE_MS, HOUR_MS, 2 * DAY_MS)) for _ in range(3)]
        found = [an_event(random, kafka_ms - one) for one in late[: random.randrange(1, 4)]]
        if random.random() < 0.1:
            found.append(b'{"event": 7}')
        single = len(found) == 1 and random.random() < 0.7
        yield Record(offset, kafka_ms, found[0] if single else b"[" + b",".join(found) + b"]")


def an_exclusion(random: Random) -> Exclusion:
    """Intervals that may overlap, of everybody, an agent or a CLI type; perhaps a window."""
    made = []
    for number in range(random.randrange(1, 4)):
        begins_at = BEGAN_MS - random.randrange(4 * DAY_MS)
        made.append(
            Correction(
                id=str(number),
                slo="",
                begins_at=begins_at,
                ends_at=begins_at + random.choice((1, MINUTE_MS, HOUR_MS, DAY_MS)),
                by="kim",
                why="w",
                at=BEGAN_MS,
                agent=random.choice(("", "", *AGENTS)),
                cli_type=random.choice(("", "", *CLIS)),
            )
        )
    return Exclusion(tuple(made), (WINDOW,) if random.random() < 0.3 else ())


def recounted(
    slo: Slo, log: list[Record], exclusion: Exclusion, random: Random
) -> Iterator[corrections.Digest]:
    """The digests of a recount that is killed now and then, and begins again at a chunk's start."""
    starts = [0]
    while starts[-1] < len(log):
        folder = Folder(slo.id, slo.definition, TOPIC)
        reader = PartitionReader([folder], topic=TOPIC, epoch="e", partition=0, skip=False)
        place = starts[-1]
        while place < len(log):
            size = random.randrange(1, 40)
            before = reader.start
            batch = log[place : place + size]
            finals, _ = reader.read([corrections.left_out(one, exclusion) for one in batch])
            place += size
            for digest in [*finals, *reader.digests()]:
                yield corrections.negated(digest, exclusion.fingerprint)
            if reader.start != before:
                starts.append(next(i for i, r in enumerate(log) if r.offset >= reader.start))
            if random.random() < 0.05:
                starts.append(random.choice(starts))
                break
        else:
            return


def remaining(log: Iterable[Record], exclusion: Exclusion) -> Iterator[Record]:
    """The log without what is left out, by the plainest means."""
    for record in log:
        if record.value is None or record.value[:1] != b"[":
            value = b"[" + (record.value or b"") + b"]"
        else:
            value = record.value
        kept = []
        for raw in msgspec.json.decode(value, type=list[msgspec.Raw]):
            event = msgspec.json.decode(raw)
            stamp = event.get("timestamp")
            at = int(msgspec.convert(stamp, type=datetime).timestamp() * 1000) if stamp else 0
            if not exclusion.takes(event.get("agent_id", ""), event.get("cli_type", ""), at):
                kept.append(raw)
        yield record._replace(value=msgspec.json.encode(kept))


def counted(slo: Slo, log: Iterable[Record]) -> Book:
    library = Library([slo])
    library.read(list(log))
    return library.books[slo.id]


@pytest.mark.parametrize("seed", range(40))
def test_every_window_is_that_of_a_log_without_them(seed: int) -> None:
    random = Random(seed)
    slo = random.choice((AVAILABILITY, LATENCY, RESOURCES))
    log, exclusion = list(a_log(random, 300)), an_exclusion(random)
    book, plain = counted(slo, log), counted(slo, remaining(log, exclusion))
    for digest in recounted(slo, log, exclusion, random):
        book.take(digest)
    for now in (BEGAN_MS, log[-1].timestamp, log[-1].timestamp + 5 * HOUR_MS):
        for window_s in SHOWN_WINDOWS_S.values():
            assert book.ledger.window(now, window_s) == plain.ledger.window(now, window_s)
        assert book.ledger.quantile_bins(now, 86_400) == plain.ledger.quantile_bins(now, 86_400)


def test_a_record_that_is_not_left_out_stays_in_its_place_and_is_empty() -> None:
    record = Record(7, BEGAN_MS, an_event(Random(1), BEGAN_MS))
    assert corrections.left_out(record, Exclusion()) == Record(7, BEGAN_MS, b"[]")
    for value in (None, b"", b"no json", b"[1]", b'{"event": 7}'):
        assert corrections.left_out(Record(7, BEGAN_MS, value), Exclusion())[:2] == record[:2]


# --- of sets, and of the state ------------------------------------------------------------------


def correct(watch: Watch, begins_at: int, ends_at: int, **more: str) -> None:
    watch.commands += 1
    about = {"id": str(watch.commands), "slo": watch.slo.id, "by": "kim", "at": watch.now}
    correction = Correction(
        id=f"c{watch.commands}",
        slo=watch.slo.id,
        begins_at=begins_at,
        ends_at=ends_at,
        by="kim",
        why="w",
        at=watch.now,
        **more,
    )
    assert watch.obey(Correct(correction=correction, **about)) == []


def test_an_exclusion_is_another_with_anything_that_changes_what_is_left_out() -> None:
    watch = Watch(AVAILABILITY)
    known = {judge.exclusion(AVAILABILITY, watch.state).fingerprint}
    assert known == {""}
    for more in ({}, {"agent": "a"}, {"cli_type": "a"}):
        correct(watch, BEGAN_MS - HOUR_MS, BEGAN_MS, **more)
        known.add(judge.exclusion(AVAILABILITY, watch.state).fingerprint)
    known.add(judge.exclusion(CORRECTNESS, watch.state).fingerprint)
    known.add(
        judge.exclusion(replace(AVAILABILITY, maintenance=(WINDOW,)), watch.state).fingerprint
    )
    assert len(known) == 6


def test_what_is_taken_back_counts_again_at_the_next_judgement() -> None:
    watch = Watch(AVAILABILITY)
    correct(watch, BEGAN_MS - HOUR_MS, BEGAN_MS)
    wanted = judge.exclusion(AVAILABILITY, watch.state).fingerprint
    watch.state = replace(watch.state, applied=corrections.Applied(wanted, {"e/0": 8192}))
    watch.judge()
    assert watch.state.applied.exclusion == wanted
    about = {"id": "r", "slo": "availability", "by": "lee", "at": watch.now}
    watch.obey(Revert(correction="c1", **about))
    watch.judge()
    assert (watch.state.corrections, watch.state.applied) == ((), corrections.Applied())


def test_conversations_that_failed_within_an_interval_are_left_out_of_the_set() -> None:
    watch = Watch(INTEGRITY)
    watch.broken("c1", at=BEGAN_MS - 20 * MINUTE_MS)
    watch.broken("c2", at=BEGAN_MS)
    ledger = watch.library.ledger(INTEGRITY)
    correct(watch, BEGAN_MS - 30 * MINUTE_MS, BEGAN_MS - 10 * MINUTE_MS)
    ledger.left_out = judge.exclusion(INTEGRITY, watch.state).takes
    assert ledger.members(watch.now, 86_400) == {"c1": Member(), "c2": Member(BEGAN_MS)}
    assert [one.conversation_id for one in ledger.examples(watch.now, 86_400)] == ["c2"]
    watch.judge()
    assert watch.incident().conversations == ("c2",)


def test_the_same_correction_read_twice_is_one() -> None:
    watch = Watch(AVAILABILITY)
    correct(watch, BEGAN_MS - HOUR_MS, BEGAN_MS)
    once: SloState = watch.state
    watch.commands -= 1
    correct(watch, BEGAN_MS - HOUR_MS, BEGAN_MS)
    assert watch.state == once
