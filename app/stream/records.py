"""Values in a Faust table, written so that a worker that wakes up late cannot undo anything.

Changelogs are not fenced: a process that was stopped and goes on may write old values over newer
ones. So every writer has keys of its own. Recovery gives all writers' values of a name, the caller
merges them, and the older writers' keys are deleted once the new writer has written that name.
"""

import asyncio
import secrets
import time
from collections.abc import Iterator

import faust

_SEPARATOR = "|"


class Records:
    """Named bytes in one Faust table, by the partition that owns them."""

    def __init__(self, table: faust.Table) -> None:
        self._table = table
        self._writer = ""
        self._others: dict[str, list[bytes]] = {}
        self._names: dict[str, dict[str, None]] = {}  # by what stands before their first "/"

    def recover(self) -> dict[str, list[bytes]]:
        """Every name with the values of all its writers; from now on this is a new writer."""
        self._writer = f"{time.time_ns():x}-{secrets.token_hex(2)}"
        self._others, self._names = {}, {}
        found: dict[str, list[bytes]] = {}
        for key, value in list(self._table.data.items()):
            name = key.decode().rpartition(_SEPARATOR)[0]
            found.setdefault(name, []).append(value)
            self._others.setdefault(name, []).append(key)
            self._know(name)
        return found

    def get(self, name: str) -> list[bytes]:
        """The values of a name: this writer's, or those that were recovered."""
        keys = [self._key(name), *self._others.get(name, ())]
        return [value for key in keys if (value := self._table.data.get(key)) is not None]

    def names(self) -> Iterator[str]:
        """Every name that holds a value."""
        for names in list(self._names.values()):
            yield from list(names)

    def under(self, prefix: str) -> list[str]:
        """The names that begin so, with an SLO and a "/": only its own are looked at."""
        own = self._names.get(_slo(prefix), {})
        return [name for name in own if name.startswith(prefix)]

    def keep(self, values: dict[str, bytes]) -> None:
        """Hold values here; `put` makes them durable."""
        for name, value in values.items():
            self._table.data[self._key(name)] = value
            self._know(name)

    async def put(self, partition: int, values: dict[str, bytes]) -> None:
        """Write values and wait until Kafka has them; then delete the older writers' keys."""
        others = self._others  # those of now: a recovery meanwhile finds others anew
        self.keep(values)
        sent = [
            self._table.send_changelog(partition, self._key(name), value)
            for name, value in values.items()
        ]
        await _acknowledged(sent)
        await self._bury(partition, [k for name in values for k in others.pop(name, ())])

    async def delete(self, partition: int, names: list[str]) -> None:
        """Delete names, whoever wrote them."""
        keys = [key for name in names for key in (self._key(name), *self._others.pop(name, ()))]
        for name in names:
            self._names.get(_slo(name), {}).pop(name, None)
        await self._bury(partition, [key for key in keys if key in self._table.data])

    async def _bury(self, partition: int, keys: list[bytes]) -> None:
        sent = []
        for key in keys:
            self._table.data.pop(key, None)
            sent.append(self._table.send_changelog(partition, key, None))
        await _acknowledged(sent)

    def _know(self, name: str) -> None:
        self._names.setdefault(_slo(name), {})[name] = None

    def _key(self, name: str) -> bytes:
        return f"{name}{_SEPARATOR}{self._writer}".encode()


def _slo(name: str) -> str:
    return name.partition("/")[0]


async def _acknowledged(sent: list[faust.types.FutureMessage]) -> None:
    if sent:
        await asyncio.gather(*sent)
