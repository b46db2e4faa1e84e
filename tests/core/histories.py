"""A model of everything between the source topic and the tables, small enough to try at random.

The log, `slo.digests` and the changelogs are lists in memory; what is decided is decided by the
real code: `where_to_begin`, `PartitionReader`, `merge_digest`, `merge_rows`. A history is a log
and a list of moves; `play` makes the moves, then one intake and one worker finish in peace.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st
from msgspec.structs import replace

from app.core import cells as folding_cells
from app.core import chunks, rows
from app.core.cells import Cells, Gauge
from app.core.chunks import Digest, Mark
from app.core.folding import Folder
from app.core.reading import PartitionReader, Record
from app.core.rows import Merged, Row
from app.core.slots import GRAINS
from tests.core.policies import INTEGRITY, LATENCY

TOPIC = "kokino.events"
PARTITIONS = 2
INTAKES = 2
SMALL_CHUNK = 6
"""Records to a chunk in place of 8192: borders are where things break."""

HOUR_MS = 3_600_000
BEGAN_MS = 1_790_000_000_000 - 1_790_000_000_000 % HOUR_MS

_encode = msgspec.json.Encoder().encode
_digest = msgspec.json.Decoder(Digest).decode
_row = msgspec.json.Decoder(Row).decode
_gauge = msgspec.json.Decoder(Gauge).decode

NOW_DEFINED = (
    Folder("latency", LATENCY.definition, TOPIC),
    Folder("data-integrity", INTEGRITY.definition, TOPIC),
)
SOON_DEFINED = (
    Folder("latency", replace(LATENCY.definition, limit=90_000.0), TOPIC),
    NOW_DEFINED[1],
)
SLOS = tuple(folder.slo for folder in NOW_DEFINED)


def definitions_of(folders: Sequence[Folder]) -> str:
    """What the intake's mark says of its definitions."""
    return "-".join(f"{folder.slo}:{folder.fingerprint}" for folder in folders)


class RowName(NamedTuple):
    """Where a row lies: a gauge lies in the row "gauge" of its SLO."""

    slo: str
    definition: str
    grain: str
    start: int


# --- the log ------------------------------------------------------------------------------------


class Line(NamedTuple):
    """What a record is made of: offsets left out before it, Kafka time after its predecessor's,
    its events, and how old they are when Kafka gets them."""

    partition: int
    gap: int
    step_ms: int
    kinds: tuple[str, ...]
    age_ms: int


KINDS = ("good", "slow", "failed", "broken", "mended", "gauge", "other", "nonsense")

GAPS = (0, 0, 0, 0, 1, 2, SMALL_CHUNK, 3 * SMALL_CHUNK + 1)
STEPS_MS = (0, 1, 7_000, 7_000, 240_000, HOUR_MS // 2, HOUR_MS, -HOUR_MS, -HOUR_MS // 2)
AGES_MS = (0, 0, 0, 9_000, 400_000, 3 * HOUR_MS, 26 * HOUR_MS, 800 * HOUR_MS, -60_000, -HOUR_MS)


def random_line(random: Random) -> Line:
    """Any line."""
    return Line(
        partition=random.randrange(PARTITIONS),
        gap=random.choice(GAPS),
        step_ms=random.choice(STEPS_MS),
        kinds=tuple(random.choices(KINDS, k=random.choice((1, 1, 2)))),
        age_ms=random.choice(AGES_MS),
    )


def iso(ms: int) -> str:
    """ISO 8601 with milliseconds."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds")


def event(kind: str, at: int, number: int) -> dict[str, Any]:
    """An event of a kind; the number varies agents, conversations and figures."""
    conversation = {"conversationId": f"conversation-{number % 4}", "issueTypes": ["orphan"]}
    own: dict[str, dict[str, Any]] = {
        "good": {"event": "EXECUTION_COMPLETED", "success": 1, "duration_ms": 900 + number},
        "slow": {
            "event": "EXECUTION_COMPLETED",
            "success": 1,
            "duration_ms": 85_000 + 1000 * number,
        },
        "failed": {
            "event": "EXECUTION_COMPLETED",
            "success": 0,
            "duration_ms": 40_000,
            "metadata": {"error": f"E{number % 2}"},
        },
        "broken": {"event": "CONVERSATION_INTEGRITY_FAIL", "metadata": conversation},
        "mended": {"event": "CONVERSATION_INTEGRITY_PASS", "metadata": conversation},
        "gauge": {"event": "CONVERSATIONS_COUNTED", "metadata": {"count": 10 + number}},
        "other": {"event": "EXECUTION_STARTED"},
        "nonsense": {"event": 17},
    }
    return {
        "agent_id": f"agent-{number % 3}",
        "cli_type": "claude-code",
        "timestamp": iso(at),
        **own[kind],
    }


def written(lines: Sequence[Line]) -> list[list[Record]]:
    """The records of each partition."""
    logs: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    for number, line in enumerate(lines):
        log = logs[line.partition]
        offset = (log[-1].offset + 1 if log else 0) + line.gap
        kafka_ms = max(
            (log[-1].timestamp if log else BEGAN_MS) + line.step_ms, BEGAN_MS - 48 * HOUR_MS
        )
        events = [
            event(kind, kafka_ms - line.age_ms, number + i) for i, kind in enumerate(line.kinds)
        ]
        log.append(Record(offset, kafka_ms, _encode(events if len(events) > 1 else events[0])))
    return logs


# --- what happens -------------------------------------------------------------------------------


class Move(NamedTuple):
    """One thing that happens, and two numbers that say to what, and how far."""

    what: str
    who: int
    much: int


INTAKE_MOVES = (
    "begin",
    "read",
    "read",
    "read",
    "flush",
    "flush",
    "commit",
    "commit",
    "crash",
    "flush-breaks",
    "read-breaks",
)
LOG_MOVES = (
    "reset-to-start",
    "reset-somewhere",
    "forget-offsets",
    "retain",
    "recreate",
    "redefine",
)
WORKER_MOVES = (
    "take",
    "take",
    "take",
    "write",
    "write-breaks",
    "worker-crash",
    "worker-freezes",
    "zombie-takes",
    "zombie-writes",
)

MOVES = INTAKE_MOVES * 3 + LOG_MOVES + WORKER_MOVES * 2


class History(NamedTuple):
    """A log, and what happens while it is read."""

    lines: tuple[Line, ...]
    moves: tuple[Move, ...]


def history(seed: int, lines: int, moves: int) -> History:
    """The history of a seed; sizes stand apart, so that a failing one shrinks."""
    random = Random(seed)
    return History(
        lines=tuple(random_line(random) for _ in range(lines)),
        moves=tuple(
            Move(random.choice(MOVES), random.randrange(8), random.randrange(64))
            for _ in range(moves)
        ),
    )


HISTORIES = st.builds(
    history, seed=st.integers(0, 2**48), lines=st.integers(1, 60), moves=st.integers(0, 150)
)

_THREE = tuple(Line(0, 0, step_ms, ("slow",), 0) for step_ms in (0, 1000, HOUR_MS))
_READ_ALL = (Move("begin", 0, 0), Move("read", 0, 15), Move("commit", 0, 0))

SLOW_TWIN = History(
    _THREE,
    (Move("begin", 1, 0), *_READ_ALL, Move("read", 1, 0), Move("flush", 1, 0), Move("crash", 1, 0)),
)
"""Two intakes at once: the slower one tells half of a chunk that is finished, and dies."""

EATEN_CHUNK = History(_THREE, (*_READ_ALL, Move("retain", 0, 1), Move("forget-offsets", 0, 0)))
"""The log begins within a finished chunk, and nobody remembers that it was counted."""


class Intake:
    """A session of `app.intake.Intake`: readers begin at chunk starts, a failure ends them."""

    def __init__(self, world: "World", folders: Sequence[Folder]) -> None:
        self.world = world
        self.folders = folders
        self.readers: dict[int, PartitionReader] = {}

    def begin(self, partition: int) -> None:
        """As `_begin` does it."""
        world = self.world
        committed, mark = world.committed.get(partition, (None, None))
        log_start = world.log_starts[partition]
        begin = chunks.where_to_begin(
            committed=committed,
            mark=mark,
            epoch=world.epoch,
            log_start=log_start,
            covered=mark is not None and mark.definitions == definitions_of(self.folders),
        )
        offset = committed
        if begin == "log-start" or offset is None or offset < log_start:
            offset = log_start
        reader = PartitionReader(
            self.folders,
            topic=TOPIC,
            epoch=world.epoch,
            partition=partition,
            skip=begin == "next-cut",
        )
        reader.start = reader.upto = offset
        self.readers[partition] = reader

    def read(self, partition: int, most: int, arrives: int | None = None) -> None:
        """As `_take_piece` does it: the last digests of finished chunks are sent at once."""
        reader = self.readers.get(partition)
        if reader is None:
            self.begin(partition)
            return
        finals, _ = reader.read(self.world.fetch(partition, reader.upto, most))
        self.send(finals, arrives)

    def flush(self, arrives: int | None = None) -> None:
        """As `_flush` does it."""
        self.send([d for reader in self.readers.values() for d in reader.digests()], arrives)

    def send(self, digests: Sequence[Digest], arrives: int | None) -> None:
        """Kafka keeps the order of an SLO's digests; a session that breaks has sent some."""
        for number, slo in enumerate(SLOS):
            mine = [_encode(digest) for digest in digests if digest.slo == slo]
            if arrives is not None:
                mine = mine[: (arrives >> 3 * number) % (len(mine) + 1)]
            self.world.digests[slo] += [value for value in mine if self.world.arrives(value)]
        if arrives is not None:
            self.readers.clear()

    def commit(self) -> None:
        """As `_tick` does it: only after a flush, chunk starts only."""
        self.flush()
        for partition, reader in self.readers.items():
            if not reader.skipping:
                mark = Mark(
                    epoch=reader.epoch,
                    start=reader.start,
                    upto=reader.upto,
                    definitions=definitions_of(self.folders),
                )
                self.world.committed[partition] = (reader.start, mark)


class Worker:
    """A counting worker: rows in memory, written under keys of its own, acknowledged afterwards."""

    def __init__(self, world: "World", number: int) -> None:
        self.world, self.number = world, number
        self.positions = dict(world.acknowledged)
        self.known = {name: dict(values) for name, values in world.changelog.items()}
        self.rows: dict[RowName, Row] = {}
        self.gauges: dict[RowName, Gauge] = {}
        self.dirty: dict[RowName, None] = {}

    def row(self, name: RowName) -> Row:
        """The row, of all writers known at recovery."""
        if name not in self.rows:
            row = Row()
            for value in self.known.get(name, {}).values():
                row = rows.merge_rows(row, _row(value))
            self.rows[name] = row
        return self.rows[name]

    def gauge(self, name: RowName) -> Gauge | None:
        """The newest value that any writer known at recovery had read."""
        found = [_gauge(value) for value in self.known.get(name, {}).values()]
        return max([*found, *filter(None, [self.gauges.get(name)])], default=None)

    def take(self, slo: str, most: int) -> None:
        """Merge the next digests of an SLO."""
        for value in self.world.digests[slo][self.positions[slo] :][:most]:
            self.positions[slo] += 1
            self.merge(_digest(value))

    def merge(self, digest: Digest) -> None:
        """Merge a digest into the rows it names."""
        for grain, part in zip(GRAINS, (digest.fine, digest.coarse), strict=True):
            for start, cells in part.items():
                name = RowName(digest.slo, digest.definition, grain, start)
                merged = rows.merge_digest(
                    self.row(name),
                    digest.source,
                    digest.start,
                    digest.upto,
                    cells,
                    final=digest.final,
                )
                assert merged is not Merged.OVERLAP, digest
                if merged is Merged.TAKEN:
                    self.dirty[name] = None
        if digest.gauge is not None:
            name = RowName(digest.slo, digest.definition, "gauge", 0)
            self.gauges[name] = max(filter(None, [self.gauge(name), digest.gauge]))
            self.dirty[name] = None

    def write(self, breaks_after: int | None = None, *, zombie: bool = False) -> None:
        """Write what is news, bury the older writers' keys, acknowledge; or break on the way."""
        names = list(self.dirty)[:breaks_after]
        for name in names:
            value = _encode(self.gauges[name] if name.grain == "gauge" else self.rows[name])
            entry = self.world.changelog.setdefault(name, {})
            entry[self.number] = value
            for writer in self.known.pop(name, {}):
                if writer != self.number and breaks_after is None:
                    entry.pop(writer, None)
            self.known[name] = {self.number: value}
        if breaks_after is None:
            self.dirty.clear()
            if not zombie:
                self.world.acknowledged = dict(self.positions)

    def totals(self) -> dict[RowName, Cells | Gauge | None]:
        """Every row that holds anything, over all sources."""
        names = {*self.known, *self.rows, *self.gauges}
        return {
            name: self.gauge(name) if name.grain == "gauge" else rows.total(self.row(name))
            for name in names
        }


class World:
    """Kafka, and who works on it."""

    def __init__(self, lines: Sequence[Line], lost: Random | None = None) -> None:
        self.lost = lost
        self.epoch = "epoch-0"
        self.logs = written(lines)
        self.lines = lines
        self.log_starts = [0] * PARTITIONS
        self.committed: dict[int, tuple[int | None, Mark | None]] = {}
        self.digests: dict[str, list[bytes]] = {slo: [] for slo in SLOS}
        self.changelog: dict[RowName, dict[int, bytes]] = {}
        self.acknowledged = dict.fromkeys(SLOS, 0)
        self.folders: Sequence[Folder] = NOW_DEFINED
        self.defined_at = [("epoch-0", [0] * PARTITIONS, self.logs)]  # for what was just defined
        self.ever = [("epoch-0", [0] * PARTITIONS, self.logs)]  # for what never changed
        self.intakes = [Intake(self, self.folders) for _ in range(INTAKES)]
        self.writers = 1
        self.worker = Worker(self, 0)
        self.zombie: Worker | None = None

    # what Kafka gives

    def arrives(self, digest: bytes) -> bool:
        """Whether a digest arrives; where some are `lost`, only a last one is sure to."""
        return self.lost is None or _digest(digest).final or self.lost.random() < 0.5

    def fetch(self, partition: int, position: int, most: int) -> list[Record]:
        """The next records from a position."""
        start = max(position, self.log_starts[partition])
        return [record for record in self.logs[partition] if record.offset >= start][:most]

    def closed_upto(self, partition: int) -> int | None:
        """The chunk start that is committed, if those who committed it count as we do now."""
        offset, mark = self.committed.get(partition, (None, None))
        mine = mark is not None and (mark.epoch, mark.definitions) == (
            self.epoch,
            definitions_of(self.folders),
        )
        return offset if mine else None

    # what happens

    def make(self, move: Move) -> None:
        """Make one move."""
        getattr(self, "_" + move.what.replace("-", "_"))(move.who, move.much)

    def _intake(self, who: int) -> Intake:
        return self.intakes[who % INTAKES]

    def _begin(self, who: int, much: int) -> None:
        self._intake(who).begin(much % PARTITIONS)

    def _read(self, who: int, much: int) -> None:
        self._intake(who).read(who // INTAKES % PARTITIONS, 1 + much % 16)

    def _read_breaks(self, who: int, much: int) -> None:
        self._intake(who).read(who // INTAKES % PARTITIONS, 1 + much % 16, arrives=much)

    def _flush(self, who: int, _: int) -> None:
        self._intake(who).flush()

    def _flush_breaks(self, who: int, much: int) -> None:
        self._intake(who).flush(arrives=much)

    def _commit(self, who: int, _: int) -> None:
        self._intake(who).commit()

    def _crash(self, who: int, _: int) -> None:
        self.intakes[who % INTAKES] = Intake(self, self.folders)

    def _reset_to_start(self, who: int, _: int) -> None:
        """Somebody resets the group to the beginning, while nobody reads."""
        self._reset(who % PARTITIONS, 0)

    def _reset_somewhere(self, who: int, much: int) -> None:
        """Somebody commits an offset that is no chunk's start, as a rule."""
        self._reset(who % PARTITIONS, much)

    def _reset(self, partition: int, number: int) -> None:
        """(Into finished chunks only: the rest of an open one would be left out, as it must.)"""
        closed = self.closed_upto(partition)
        start = self.log_starts[partition]
        finished = [r.offset for r in self.logs[partition] if start <= r.offset < (closed or 0)]
        if finished:
            self._stop_reading()
            offset = finished[number % len(finished)] if number else start
            self.committed[partition] = (offset, None)

    def _forget_offsets(self, who: int, _: int) -> None:
        """The group is deleted. (Not where the log begins within a chunk that is still open.)"""
        partition = who % PARTITIONS
        if self.closed_upto(partition) is not None:
            self._stop_reading()
            self.committed.pop(partition)

    def _stop_reading(self) -> None:
        self.intakes = [Intake(self, self.folders) for _ in range(INTAKES)]

    def _retain(self, who: int, much: int) -> None:
        """Retention deletes the oldest records, as far as their chunks are finished."""
        partition = who % PARTITIONS
        closed = self.closed_upto(partition)
        reading = [i.readers[partition].upto for i in self.intakes if partition in i.readers]
        if closed is not None:
            start = self.log_starts[partition]
            self.log_starts[partition] = max(start, min([start + much, closed, *reading]))

    def _recreate(self, who: int, _: int) -> None:
        """The source topic is deleted and made anew, when all of it had been read."""
        if len(self.ever) > 1:
            return
        if self.lost is not None:
            self.close_chunks()
        self._finish_intake()
        self._stop_reading()
        self.epoch = "epoch-1"
        self.logs = written([line for line in self.lines[who:] if "mended" not in line.kinds])
        self.log_starts = [0] * PARTITIONS
        self.ever.append((self.epoch, [0] * PARTITIONS, self.logs))
        self.defined_at.append((self.epoch, [0] * PARTITIONS, self.logs))

    def _redefine(self, *_: int) -> None:
        """Latency gets another limit. Intakes that run count on as before until they end.

        (Not while an offset stands that somebody else committed: everything begins there, then.)
        """
        foreign = any(mark is None for _, mark in self.committed.values())
        if self.folders is not SOON_DEFINED and not foreign:
            self.folders = SOON_DEFINED
            self.defined_at = [(self.epoch, list(self.log_starts), self.logs)]

    def _take(self, who: int, much: int) -> None:
        self.worker.take(SLOS[who % len(SLOS)], 1 + much % 8)

    def _write(self, *_: int) -> None:
        self.worker.write()

    def _write_breaks(self, _: int, much: int) -> None:
        self.worker.write(breaks_after=much % 8)
        self._worker_crash()

    def _worker_crash(self, *_: int) -> None:
        self.worker = Worker(self, self.writers)
        self.writers += 1

    def _worker_freezes(self, *_: int) -> None:
        """SIGSTOP: another one takes over, and this one may wake up at any time."""
        self.zombie = self.worker
        self._worker_crash()

    def _zombie_takes(self, who: int, much: int) -> None:
        if self.zombie:
            self.zombie.take(SLOS[who % len(SLOS)], 1 + much % 4)

    def _zombie_writes(self, *_: int) -> None:
        if self.zombie:
            self.zombie.write(zombie=True)

    # the end

    def close_chunks(self) -> None:
        """One record more in each partition, which nobody counts, ends the last chunk."""
        for log in self.logs:
            last = log[-1] if log else Record(0, BEGAN_MS, None)
            after = Record(last.offset + SMALL_CHUNK, last.timestamp, _encode({"event": "ENDED"}))
            log.append(after)

    def _finish_intake(self) -> None:
        self.intakes[0] = last = Intake(self, self.folders)
        for partition in range(PARTITIONS):
            last.begin(partition)
            last.read(partition, 10_000)
        last.commit()

    def finish(self) -> None:
        """One intake and one worker, undisturbed."""
        self._finish_intake()
        self._worker_crash()
        for slo in SLOS:
            self.worker.take(slo, 1_000_000)
        self.worker.write()
        self._worker_crash()  # what counts is what can be recovered

    def counted(self) -> dict[RowName, Cells | Gauge | None]:
        """What the tables hold in the end, for the definitions that are in force."""
        mine = {(folder.slo, folder.fingerprint) for folder in self.folders}
        return {name: cells for name, cells in self.worker.totals().items() if name[:2] in mine}


def play(history: History, lost: Random | None = None) -> World:
    """The world after all moves, and a peaceful end; `lost` loses digests that are not final."""
    world = World(history.lines, lost)
    for move in history.moves:
        world.make(move)
    if lost is not None:
        world.close_chunks()
    world.finish()
    return world


def clean_pass(world: World) -> dict[RowName, Cells | Gauge | None]:
    """Each record read once, in order, nothing going wrong, and no law needed to merge it."""
    totals: dict[RowName, Any] = {}
    for folder in world.folders:
        changed = folder is not NOW_DEFINED[SLOS.index(folder.slo)]
        for epoch, starts, logs in world.defined_at if changed else world.ever:
            for partition, log in enumerate(logs):
                reader = PartitionReader(
                    [folder], topic=TOPIC, epoch=epoch, partition=partition, skip=False
                )
                finals, _ = reader.read([r for r in log if r.offset >= starts[partition]])
                for digest in [*finals, *reader.digests()]:
                    _add(totals, digest)
    return totals


def _add(totals: dict[RowName, Any], digest: Digest) -> None:
    for grain, part in zip(GRAINS, (digest.fine, digest.coarse), strict=True):
        for start, cells in part.items():
            name = RowName(digest.slo, digest.definition, grain, start)
            folding_cells.fold(totals.setdefault(name, Cells()), cells)
    if digest.gauge is not None:
        name = RowName(digest.slo, digest.definition, "gauge", 0)
        totals[name] = max(filter(None, [totals.get(name), digest.gauge]))
