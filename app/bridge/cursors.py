"""How far a table was read, and how it is told that the file is another one. Pure.

A place is trusted by content, not by name: the row that was read last must still be what it was.
So a vacuumed or moved file goes on by id, and a replaced one after the last timestamp that was
sent. Rows of that same moment are told apart by their content (Kokino's times are whole seconds):
one that was sent is not sent again, a new one is.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from app.bridge.events import Row, row_mark

MAX_SEEN = 1000  # rows of one moment that are remembered; Kokino writes a few a second


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """What of a new file counts as sent: rows up to an id that are no later than a moment."""

    at_ms: int
    seen: tuple[str, ...]  # marks of the rows of that very moment that were sent
    upto_id: int  # the file's newest row when it was found: later ones are new, whatever their time


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far one table was read."""

    last_id: int = 0
    at: str = ""  # timestamp of the last row, as it is written there
    at_ms: int = 0
    seen: tuple[str, ...] = ()  # marks of the rows of that moment, the last row's at the end
    file: str = ""  # device and inode
    floor: Floor | None = None


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """How far a bridge has sent Kokino's tables, and which process says so."""

    owner: str = ""
    metrics: Place = Place()
    shadow_results: Place | None = None  # None: that table was never seen


class Line(msgspec.Struct, frozen=True):
    """One row with its time; a row whose time cannot be read has that of its predecessor."""

    row: Row
    at_ms: int


def settled(place: Place, *, mark: str | None, newest_id: int, file: str) -> Place:
    """The place in the file as it is now found.

    `mark` is that of the row with the place's last id, None where there is none; `newest_id` the
    highest id that was ever given out; `file` the device and inode.
    """
    if _is_same(place, mark, newest_id, file):
        return replace(place, file=file)
    return Place(file=file, floor=_floor(place, newest_id))


def _is_same(place: Place, mark: str | None, newest_id: int, file: str) -> bool:
    if place.last_id == 0:
        return place.file in ("", file)
    if mark is not None:
        return mark == place.seen[-1]
    return newest_id >= place.last_id and file == place.file  # retention has deleted the row


def _floor(place: Place, newest_id: int) -> Floor | None:
    """Nothing up to the last moment sent; the later of two where the file changed twice."""
    old = place.floor
    if old is not None and old.at_ms > place.at_ms:
        return replace(old, upto_id=newest_id)
    if place.last_id == 0:
        return None
    return Floor(at_ms=place.at_ms, seen=place.seen, upto_id=newest_id)


def after(metrics: Place, newest_id: int) -> Place:
    """Where to begin in a `shadow_results` that turns up late.

    What `metrics` told until now about comparisons has been sent.
    """
    if metrics.last_id == 0:
        return Place()
    return Place(floor=Floor(at_ms=metrics.at_ms + 1, seen=(), upto_id=newest_id))


def advanced(place: Place, lines: Sequence[Line]) -> Place:
    """The place behind these rows."""
    if not lines:
        return place
    last = lines[-1]
    marks = tuple(row_mark(line.row) for line in _same_moment(lines))
    goes_on = len(marks) == len(lines) and place.last_id > 0 and place.at_ms == last.at_ms
    return replace(
        place,
        last_id=last.row[0],
        at=str(last.row[1]),
        at_ms=last.at_ms,
        seen=((place.seen if goes_on else ()) + marks)[-MAX_SEEN:],
    )


def _same_moment(lines: Sequence[Line]) -> Sequence[Line]:
    start = len(lines)
    while start and lines[start - 1].at_ms == lines[-1].at_ms:
        start -= 1
    return lines[start:]


def unsent(place: Place, lines: Sequence[Line]) -> tuple[list[Line], Place]:
    """Those of the rows that were not sent from the file before, and the place that knows it."""
    floor = place.floor
    if floor is None:
        return list(lines), place
    left = list(floor.seen)
    new = [line for line in lines if not _was_sent(line, floor, left)]
    over = bool(lines) and lines[-1].row[0] >= floor.upto_id
    return new, replace(place, floor=None if over else replace(floor, seen=tuple(left)))


def _was_sent(line: Line, floor: Floor, left: list[str]) -> bool:
    if line.row[0] > floor.upto_id or line.at_ms > floor.at_ms:
        return False
    if line.at_ms < floor.at_ms:
        return True
    mark = row_mark(line.row)
    if mark not in left:
        return False
    left.remove(mark)
    return True
