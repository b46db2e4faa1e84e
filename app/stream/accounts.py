"""Accounts: one SLO's rows, ledger and state, as long as this worker owns its partition."""

from collections.abc import Iterator
from functools import reduce

import msgspec

from app.core import rows as merging
from app.core.cells import Cells, Gauge
from app.core.chunks import Digest
from app.core.history import History, Sealed, better
from app.core.ledger import Ledger
from app.core.ownership import Route
from app.core.rows import Merged, Row
from app.core.slos import Slo
from app.core.slots import FINE, GRAINS, Grain
from app.stream.records import Records
from app.stream.standing import Standing

ROWS_CACHED = 128
MONTHS = "months"
"""The table of sealed months, beside those of the rows."""

_encode = msgspec.json.Encoder().encode
_row = msgspec.json.Decoder(Row)
_gauge = msgspec.json.Decoder(Gauge)
_sealed = msgspec.json.Decoder(Sealed)


class Account:
    """Takes digests, keeps the ledger true, and knows which rows must be written."""

    def __init__(
        self, slo: Slo, route: Route, tables: dict[str, Records], standing: Standing
    ) -> None:
        self.slo, self.route = slo, route
        self.standing = standing
        self.ledger = Ledger()
        self.history = History(slo, self.ledger)
        self.fingerprint = slo.definition.fingerprint()
        self._tables = tables
        self._cache: dict[str, Row] = {}
        self._dirty: dict[str, set[str]] = {name: set() for name in GRAINS}
        self._gauge_dirty = False
        self._unsealed: dict[str, bytes] = {}  # months that are sealed and not yet written

    @property
    def _prefix(self) -> str:
        return f"{self.slo.id}/{self.fingerprint}/"

    def recover(
        self, found: dict[str, dict[str, list[bytes]]], states: dict[str, list[bytes]]
    ) -> None:
        """Rebuild everything from the tables' values, of all writers."""
        for grain in GRAINS.values():
            for name, values in found[grain.name].items():
                if name.startswith(self._prefix):
                    self._recover_one(grain, name.removeprefix(self._prefix), values)
        self.history.recover(self._recovered_months(found[MONTHS]))
        self.standing.recover(states.get(self.slo.id, []))

    def _recovered_months(self, found: dict[str, list[bytes]]) -> dict[str, Sealed]:
        prefix = f"{self.slo.id}/"
        return {
            name.removeprefix(prefix): reduce(better, map(_sealed.decode, values))
            for name, values in found.items()
            if name.startswith(prefix)
        }

    def _recover_one(self, grain: Grain, name: str, values: list[bytes]) -> None:
        if name == "gauge":
            for value in values:
                self.ledger.read_gauge(_gauge.decode(value))
            return
        row = _merged(values)
        self.ledger.replace(grain, int(name), merging.total(row))

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
        self.history.touch(digest)
        return outcomes

    def _take_row(self, grain: Grain, start: int, digest: Digest, cells: Cells) -> Merged:
        name = str(start)
        row = self._row(grain, name)
        outcome = merging.merge_digest(
            row, digest.source, digest.start, digest.upto, cells, final=digest.final
        )
        if outcome is Merged.TAKEN:
            self._dirty[grain.name].add(name)
            self.ledger.replace(grain, start, merging.total(row, cells))
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
        if len(self._cache) < ROWS_CACHED:
            return
        for key in list(self._cache)[: ROWS_CACHED // 2]:
            grain, _, name = key.partition("/")
            if name not in self._dirty[grain]:
                del self._cache[key]

    def news(self) -> dict[str, dict[str, bytes]]:
        """By table, the rows that are news since the last time, as they are now."""
        news = {
            grain: {self._prefix + name: _encode(self._row(GRAINS[grain], name)) for name in names}
            for grain, names in self._dirty.items()
        }
        if self._gauge_dirty and self.ledger.gauge is not None:
            news[FINE.name][self._prefix + "gauge"] = _encode(self.ledger.gauge)
        news[MONTHS], self._unsealed = self._unsealed, {}
        self._dirty = {name: set() for name in GRAINS}
        self._gauge_dirty = False
        return news

    def still_news(self, news: dict[str, dict[str, bytes]]) -> None:
        """These rows could not be written: they are news again."""
        self._unsealed = news.pop(MONTHS) | self._unsealed
        for grain, values in news.items():
            names = {name.removeprefix(self._prefix) for name in values}
            self._gauge_dirty |= "gauge" in names
            self._dirty[grain] |= names - {"gauge"}

    def seal(self, now_ms: int) -> None:
        """Add up for the months what is about to expire: news, to be written before it does."""
        for month, sealed in self.history.seal(now_ms).items():
            self._unsealed[f"{self.slo.id}/{month}"] = _encode(sealed)

    def expired(self, now_ms: int) -> Iterator[tuple[str, list[str]]]:
        """By table, the rows that no window reaches any more."""
        for grain in GRAINS.values():
            oldest = now_ms // 1000 - grain.kept_s - grain.row_s
            yield (
                grain.name,
                [
                    name
                    for name in self._tables[grain.name].names()
                    if name.startswith(self._prefix)
                    and (start := name.removeprefix(self._prefix)) != "gauge"
                    and int(start) < oldest
                ],
            )


def _merged(values: list[bytes]) -> Row:
    row = Row()
    for value in values:
        row = merging.merge_rows(row, _row.decode(value))
    return row
