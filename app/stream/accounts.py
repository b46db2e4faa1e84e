"""Accounts: one SLO's rows, ledger and state, as long as this worker owns its partition.

A book holds the rows of one definition of an SLO. An account is the book by which it is judged;
books of other definitions are kept as well, for whoever comes to judge by them.
"""

import zlib
from collections.abc import Iterator
from functools import reduce

import msgspec

from app.core import corrections, judge
from app.core import rows as merging
from app.core.cells import Cells, Gauge
from app.core.chunks import Digest
from app.core.corrections import Exclusion, counts
from app.core.history import History, Sealed, better
from app.core.ledger import Ledger
from app.core.ownership import Route
from app.core.rows import Merged, Row
from app.core.slos import Slo
from app.core.slots import FINE, GRAINS, Grain
from app.stream.records import Records
from app.stream.standing import Standing

ROWS_CACHED = 32
MONTHS = "months"
"""The table of sealed months, beside those of the rows."""

_LEVEL = 1  # higher ones take longer and save little

_encode = msgspec.msgpack.Encoder().encode
_row = msgspec.msgpack.Decoder(Row).decode
_gauge = msgspec.msgpack.Decoder(Gauge).decode
_sealed = msgspec.msgpack.Decoder(Sealed).decode


class Book:
    """Takes digests of one definition, keeps the ledger true, and knows which rows to write."""

    def __init__(self, slo: str, fingerprint: str, tables: dict[str, Records]) -> None:
        self.slo_id, self.fingerprint = slo, fingerprint
        self.ledger = Ledger()
        self._tables = tables
        self._cache: dict[str, Row] = {}
        self._dirty: dict[str, set[str]] = {name: set() for name in GRAINS}
        self._gauge_dirty = False

    @property
    def _prefix(self) -> str:
        return f"{self.slo_id}/{self.fingerprint}/"

    def recover_rows(self) -> None:
        """Rebuild the ledger from the tables' values, of all writers."""
        for grain in GRAINS.values():
            table = self._tables[grain.name]
            for name in table.under(self._prefix):
                self._recover_one(grain, name.removeprefix(self._prefix), table.get(name))

    def _recover_one(self, grain: Grain, name: str, values: list[bytes]) -> None:
        if name == "gauge":
            for value in values:
                self.ledger.read_gauge(_gauge(value))
            return
        row = _merged(values)
        self.ledger.replace(grain, int(name), self._total(row))

    def _total(self, row: Row, touched: Cells | None = None) -> Cells:
        return merging.total(row, touched)

    def take(self, digest: Digest) -> list[Merged]:
        """Merge a digest; what the law made of each of its rows."""
        outcomes = [
            self._take_row(grain, start, digest, cells)
            for grain, part in zip(GRAINS.values(), (digest.fine, digest.coarse), strict=True)
            for start, cells in part.items()
        ]
        if digest.gauge is not None:
            self.ledger.read_gauge(digest.gauge)
            self._gauge_dirty = True
        return outcomes

    def _take_row(self, grain: Grain, start: int, digest: Digest, cells: Cells) -> Merged:
        name = str(start)
        row = self._row(grain, name)
        outcome = merging.merge_digest(
            row, digest.source, digest.start, digest.upto, cells, final=digest.final
        )
        if outcome is Merged.TAKEN:
            self._dirty[grain.name].add(name)
            self.ledger.replace(grain, start, self._total(row, cells))
        return outcome

    def _row(self, grain: Grain, name: str) -> Row:
        key = f"{grain.name}/{name}"
        row = self._cache.pop(key, None)
        if row is None:
            row = _merged(self._tables[grain.name].get(self._prefix + name))
            self._trim()
        self._cache[key] = row
        return row

    def _trim(self) -> None:
        """Drop the rows used longest ago, except those that are not written yet."""
        for key in list(self._cache)[: max(0, len(self._cache) - ROWS_CACHED + 1)]:
            grain, _, name = key.partition("/")
            if name not in self._dirty[grain]:
                del self._cache[key]

    @property
    def is_news(self) -> bool:
        """Something is to be written."""
        return self._gauge_dirty or any(self._dirty.values())

    @property
    def is_full(self) -> bool:
        """So many rows are news that they had better be written now."""
        return sum(map(len, self._dirty.values())) >= ROWS_CACHED

    def news(self) -> dict[str, dict[str, bytes]]:
        """By table, the rows that are news since the last time, as they are now."""
        news = {
            grain: {self._prefix + name: _packed(self._row(GRAINS[grain], name)) for name in names}
            for grain, names in self._dirty.items()
        }
        if self._gauge_dirty and self.ledger.gauge is not None:
            news[FINE.name][self._prefix + "gauge"] = _encode(self.ledger.gauge)
        self._dirty = {name: set() for name in GRAINS}
        self._gauge_dirty = False
        self._trim()
        return news

    def still_news(self, news: dict[str, dict[str, bytes]]) -> None:
        """These rows could not be written: they are news again."""
        for grain, values in news.items():
            names = {name.removeprefix(self._prefix) for name in values}
            self._gauge_dirty |= "gauge" in names
            self._dirty[grain] |= names - {"gauge"}

    def expired(self, now_ms: int) -> Iterator[tuple[str, list[str]]]:
        """By table, the rows that no window reaches any more."""
        for grain in GRAINS.values():
            oldest = now_ms // 1000 - grain.kept_s - grain.row_s
            yield (
                grain.name,
                [
                    name
                    for name in self._tables[grain.name].under(self._prefix)
                    if (start := name.removeprefix(self._prefix)) != "gauge" and int(start) < oldest
                ],
            )


class Account(Book):
    """The book by which an SLO is judged, with its route, its state and its history."""

    def __init__(
        self, slo: Slo, route: Route, tables: dict[str, Records], standing: Standing
    ) -> None:
        super().__init__(slo.id, slo.definition.fingerprint(), tables)
        self.slo, self.route = slo, route
        self.standing = standing
        self.history = History(slo, self.ledger)
        self._exclusion = self._left_out = ""  # what is left out: of the counts, of the rest
        self._unsealed: dict[str, bytes] = {}  # months that are sealed and not yet written

    def recover(self) -> None:
        """Rebuild everything but the state from the tables' values."""
        self._leave_out()
        self.recover_rows()
        self.history.recover(self._recovered_months())

    def adopt(self, slo: Slo, route: Route) -> None:
        """Judge and tell by another policy; what is counted stays the same."""
        if slo != self.slo:
            self.ledger.forget_windows()
            self.history = History(slo, self.ledger)
            self.history.recover(self._recovered_months())
        self.slo, self.route = slo, route
        self.settle()

    @property
    def exclusion(self) -> Exclusion:
        """What is to be left out, once it is recounted."""
        return judge.exclusion(self.slo, self.standing.state)

    @property
    def may_leave_out(self) -> bool:
        """Whether there is anything at all that could be left out: what is asked most often."""
        state = self.standing.state
        return bool(state.corrections or state.maintenance or self.slo.maintenance)

    def _leave_out(self) -> tuple[str, str]:
        """Leave out what the state says; of a set at once, since it needs no recount."""
        wanted, self._exclusion = self.exclusion, self.standing.state.applied.exclusion
        whole = self.slo.definition.distinct or wanted.fingerprint == self._exclusion
        if not wanted:
            self.ledger.left_out, self._left_out = None, ""
        elif whole:
            self.ledger.left_out, self._left_out = wanted.takes, wanted.fingerprint
        return self._exclusion, self._left_out

    def settle(self) -> bool:
        """Make the counts those that the state says; whether anything had to change."""
        before = self._exclusion, self._left_out
        if self._leave_out() == before:
            return False
        for grain in GRAINS.values():
            for name in self._names(grain):
                self._settle_row(grain, name)
        self.history.touch_all()
        return True

    def _names(self, grain: Grain) -> set[str]:
        stored = self._tables[grain.name].under(self._prefix)
        own = {name.removeprefix(self._prefix) for name in stored}
        return (own | self._dirty[grain.name]) - {"gauge"}

    def _settle_row(self, grain: Grain, name: str) -> None:
        """Count the shares that count now, and drop those of recounts that never will again."""
        row = self._row(grain, name)
        wanted = self.exclusion.fingerprint
        if not any(corrections.is_recount(source) for source in row.shares):
            return
        totals = self._total(row)
        for source in list(row.shares):
            if not (counts(source, self._exclusion) or counts(source, wanted)):
                del row.shares[source]
        self._dirty[grain.name].add(name)
        self.ledger.replace(grain, int(name), totals)

    def _total(self, row: Row, touched: Cells | None = None) -> Cells:
        shares = {s: share for s, share in row.shares.items() if counts(s, self._exclusion)}
        return merging.total(Row(shares), touched)

    def _is_wanted(self, source: str) -> bool:
        """Events are; a recount that nobody waits for any longer is not."""
        return counts(source, self._exclusion) or counts(source, self.exclusion.fingerprint)

    def take(self, digest: Digest) -> list[Merged]:
        """Merge a digest; what the law made of each of its rows."""
        if not self._is_wanted(digest.source):
            return []
        self.history.touch(digest)
        return super().take(digest)

    @property
    def is_news(self) -> bool:
        """Something is to be written."""
        return bool(self._unsealed) or super().is_news

    def news(self) -> dict[str, dict[str, bytes]]:
        """By table, the rows and months that are news since the last time."""
        sealed, self._unsealed = self._unsealed, {}
        return super().news() | {MONTHS: sealed}

    def still_news(self, news: dict[str, dict[str, bytes]]) -> None:
        """These could not be written: they are news again."""
        self._unsealed = news.get(MONTHS, {}) | self._unsealed
        super().still_news({grain: news[grain] for grain in GRAINS if grain in news})

    def _recovered_months(self) -> dict[str, Sealed]:
        prefix, table = f"{self.slo.id}/", self._tables[MONTHS]
        return {
            name.removeprefix(prefix): reduce(better, map(_sealed, table.get(name)))
            for name in table.under(prefix)
        }

    def seal(self, now_ms: int) -> None:
        """Add up for the months what is about to expire: news, to be written before it does."""
        for month, sealed in self.history.seal(now_ms).items():
            self._unsealed[f"{self.slo_id}/{month}"] = _encode(sealed)


def _packed(row: Row) -> bytes:
    """As it is stored. Sketches repeat themselves from slot to slot: a fifth of JSON's size."""
    return zlib.compress(_encode(row), _LEVEL)


def _merged(values: list[bytes]) -> Row:
    row = Row()
    for value in values:
        row = merging.merge_rows(row, _row(zlib.decompress(value)))
    return row
