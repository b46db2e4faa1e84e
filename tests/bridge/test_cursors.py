import pytest

from app.bridge.cursors import Floor, Line, Place, advanced, after, settled, unsent
from app.bridge.events import Row, row_mark


def row(id_: int, at_s: int, name: str = "alice") -> Row:
    return (id_, f"2026-03-01 10:00:{at_s:02d}", "EXECUTION_FAILED", name, None, None, 0, "{}")


def line(id_: int, at_s: int, name: str = "alice") -> Line:
    return Line(row(id_, at_s, name), at_s * 1000)


READ = advanced(Place(file="1:1"), [line(8, 4), line(9, 5, "bob"), line(10, 5)])
FROM_THE_LAST_MOMENT = Floor(at_ms=5000, seen=READ.seen, upto_id=6)


def test_a_place_remembers_its_last_moment_row_by_row() -> None:
    assert (
        Place(
            last_id=10,
            at="2026-03-01 10:00:05",
            at_ms=5000,
            seen=(row_mark(row(9, 5, "bob")), row_mark(row(10, 5))),
            file="1:1",
        )
        == READ
    )


def test_a_moment_that_goes_on_in_the_next_batch_is_remembered_whole() -> None:
    assert advanced(READ, [line(11, 5, "carol")]).seen == (
        *READ.seen,
        row_mark(row(11, 5, "carol")),
    )
    assert advanced(READ, [line(11, 6)]).seen == (row_mark(row(11, 6)),)


@pytest.mark.parametrize(
    ("mark", "newest_id", "file", "expected"),
    [
        pytest.param(READ.seen[-1], 10, "1:1", READ, id="the same file"),
        pytest.param(READ.seen[-1], 12, "1:9", READ, id="a vacuumed copy"),
        pytest.param(None, 12, "1:1", READ, id="the last row fell to retention"),
        pytest.param(None, 6, "1:1", None, id="ids start over in the same file"),
        pytest.param(None, 6, "1:9", None, id="ids start over in another file"),
        pytest.param("else", 12, "1:1", None, id="another row has that id"),
        pytest.param(None, 12, "1:9", None, id="another file without that row"),
    ],
)
def test_a_file_is_known_by_its_content(
    mark: str | None, newest_id: int, file: str, expected: Place | None
) -> None:
    found = settled(READ, mark=mark, newest_id=newest_id, file=file)
    if expected:
        assert (found.last_id, found.floor, found.file) == (expected.last_id, None, file)
    else:
        floor = Floor(at_ms=5000, seen=READ.seen, upto_id=newest_id)
        assert found == Place(file=file, floor=floor)


def test_a_file_that_is_swapped_twice_before_it_was_read_keeps_the_last_moment() -> None:
    empty = settled(READ, mark=None, newest_id=0, file="1:2")
    restored = settled(empty, mark=None, newest_id=10, file="1:3")
    assert restored.floor == Floor(at_ms=5000, seen=READ.seen, upto_id=10)


def test_of_a_replaced_file_only_what_is_new_is_sent() -> None:
    place = Place(file="1:2", floor=FROM_THE_LAST_MOMENT)
    lines = [
        line(1, 4),  # older than the last moment sent
        line(2, 5, "bob"),  # sent from the file before
        line(3, 5, "bob"),  # the same content once more: a second execution
        line(4, 5, "dave"),  # of that very second, but new
        line(5, 6),
        line(7, 3),  # written after the file was found: new, whatever its time says
    ]
    new, place = unsent(place, lines)
    assert [one.row[0] for one in new] == [3, 4, 5, 7]
    assert place == Place(file="1:2")


def test_the_rest_of_a_replaced_file_is_judged_in_the_next_batch() -> None:
    place = Place(file="1:2", floor=FROM_THE_LAST_MOMENT)
    new, place = unsent(place, [line(2, 5, "bob")])
    assert new == []
    assert place.floor == Floor(at_ms=5000, seen=READ.seen[1:], upto_id=6)
    new, _ = unsent(place, [line(3, 5, "bob"), line(4, 5)])
    assert [one.row[0] for one in new] == [3]


def test_comparisons_that_turn_up_late_begin_where_metrics_stood() -> None:
    assert after(Place(), 40) == Place()
    new, _ = unsent(after(READ, 40), [line(1, 5), line(2, 6)])
    assert [one.row[0] for one in new] == [2]
