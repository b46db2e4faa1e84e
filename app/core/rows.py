"""The merge law: how digests become rows, exactly, under any replay.

A row keeps for every source partition the sum of its finished chunks and the open part: the chunk
that is still growing. See `docs/exactness.md` for the argument.
"""

from enum import Enum

import msgspec

from app.core.cells import Cells, fold, renew


class Share(msgspec.Struct):
    """One source partition's share of a row. Offsets: `start` inclusive, `upto` exclusive."""

    start: int
    upto: int
    folded: Cells
    open: Cells


class Row(msgspec.Struct):
    """The slots stored together, by source ("<topic epoch>/<partition>")."""

    shares: dict[str, Share] = {}


class Merged(Enum):
    """What the law made of a digest."""

    TAKEN = "taken"
    REPEATED = "repeated"  # a duplicate, a replay, a zombie
    OVERLAP = "overlap"  # cannot happen by the way chunks are cut; refused, counted, said loudly


def merge_digest(
    row: Row, source: str, start: int, upto: int, cells: Cells, *, final: bool = False
) -> Merged:
    """Merge what a digest says of one row: the chunk from `start`, read up to `upto`.

    A final digest names all cells of its chunk: it stands in the place of the open part, so that
    an earlier digest that never came leaves no hole.
    """
    share = row.shares.get(source)
    if share is None:
        row.shares[source] = Share(start, upto, Cells(), _own(cells))
        return Merged.TAKEN
    closes = final and start == share.start
    if upto < share.upto or (upto == share.upto and not closes):
        return Merged.REPEATED
    if closes:
        return _close(share, upto, cells)
    if start == share.start:
        renew(share.open, cells)
    elif start >= share.upto:
        fold(share.folded, share.open)
        share.start, share.open = start, _own(cells)
    else:
        return Merged.OVERLAP
    share.upto = upto
    return Merged.TAKEN


def _close(share: Share, upto: int, cells: Cells) -> Merged:
    whole = _own(cells)
    if upto == share.upto and whole == share.open:
        return Merged.REPEATED
    share.upto, share.open = upto, whole
    return Merged.TAKEN


def _own(cells: Cells) -> Cells:
    """Cells of the row's own, so that it never changes a digest."""
    mine = Cells()
    fold(mine, cells)
    return mine


def merge_rows(one: Row, other: Row) -> Row:
    """Of two writers' versions of a row, for each source the one that has seen more."""
    shares = dict(one.shares)
    for source, share in other.shares.items():
        mine = shares.get(source)
        if mine is None or share.upto > mine.upto:
            shares[source] = share
    return Row(shares)


def total(row: Row, touched: Cells | None = None) -> Cells:
    """The row over all sources: what has happened, whichever way it came.

    With `touched`, only the slots that it names are added up, which is what a digest changed.
    """
    cells = Cells()
    for share in row.shares.values():
        for part in (share.folded, share.open):
            fold(cells, part if touched is None else _narrowed(part, touched))
    return cells


def _narrowed(cells: Cells, touched: Cells) -> Cells:
    return Cells(
        slots={slot: cells.slots[slot] for slot in touched.slots if slot in cells.slots},
        bins={slot: cells.bins[slot] for slot in touched.bins if slot in cells.bins},
        members={slot: cells.members[slot] for slot in touched.members if slot in cells.members},
        tags=cells.tags,
        examples=cells.examples,
        last_bad_at=cells.last_bad_at,
    )
