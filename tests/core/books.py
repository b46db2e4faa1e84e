"""An SLO's ledger, fed as the counting worker feeds it: digests, rows, totals."""

from collections.abc import Iterable, Sequence

from app.core import rows
from app.core.chunks import Digest
from app.core.folding import Folder
from app.core.ledger import Ledger
from app.core.reading import PartitionReader, Record
from app.core.rows import Row
from app.core.slos import Slo
from app.core.slots import GRAINS, Grain

TOPIC = "kokino.events"


class Book:
    """One SLO's rows and ledger."""

    def __init__(self, slo: Slo) -> None:
        self.slo = slo
        self.ledger = Ledger()
        self._rows: dict[tuple[str, int], Row] = {}

    def take(self, digest: Digest) -> None:
        """Merge a digest, and let the ledger have what it changed."""
        for grain, part in zip(GRAINS.values(), (digest.fine, digest.coarse), strict=True):
            for start, cells in part.items():
                row = self._rows.setdefault((grain.name, start), Row())
                place = (digest.source, digest.start, digest.upto)
                if rows.merge_digest(row, *place, cells, final=digest.final) is rows.Merged.TAKEN:
                    self.ledger.replace(grain, start, rows.total(row, cells))
        if digest.gauge is not None:
            self.ledger.read_gauge(digest.gauge)

    def forget_before(self, oldest: int) -> None:
        """Delete the rows that are over before this moment (s)."""
        for grain, start in list(self._rows):
            if start + _grain(grain).row_s <= oldest:
                del self._rows[grain, start]

    def recovered(self) -> Ledger:
        """A ledger made anew from the rows, as after a crash."""
        ledger = Ledger()
        for (grain, start), row in self._rows.items():
            ledger.replace(_grain(grain), start, rows.total(row))
        if self.ledger.gauge is not None:
            ledger.read_gauge(self.ledger.gauge)
        return ledger


def _grain(name: str) -> Grain:
    return GRAINS[name]


class Library:
    """The books of some SLOs, and the reader of one partition that fills them."""

    def __init__(self, slos: Sequence[Slo]) -> None:
        self.books = {slo.id: Book(slo) for slo in slos}
        folders = [Folder(slo.id, slo.definition, TOPIC) for slo in slos]
        self.reader = PartitionReader(folders, topic=TOPIC, epoch="e", partition=0, skip=False)

    def read(self, records: Iterable[Record]) -> None:
        """Read records and count them at once."""
        finals, _ = self.reader.read(list(records))
        for digest in [*finals, *self.reader.digests()]:
            self.books[digest.slo].take(digest)

    def ledger(self, slo: Slo) -> Ledger:
        """The ledger of an SLO."""
        return self.books[slo.id].ledger
