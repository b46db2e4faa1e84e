"""The merge law: whatever happens on the way, the rows are those of one clean pass."""

from random import Random

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from app.core import rows
from app.core.cells import Cells, fold
from app.core.rows import Merged, Row
from tests.core.histories import (
    EATEN_CHUNK,
    HISTORIES,
    SLOW_TWIN,
    SMALL_CHUNK,
    History,
    clean_pass,
    play,
)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.core.chunks.CHUNK_RECORDS", SMALL_CHUNK)
    monkeypatch.setattr("app.core.reading.CHUNK_RECORDS", SMALL_CHUNK)


@example(SLOW_TWIN)
@example(EATEN_CHUNK)
@given(HISTORIES)
def test_whatever_happens_the_rows_are_those_of_one_clean_pass(history: History) -> None:
    world = play(history)

    assert world.counted() == clean_pass(world)


@given(history=HISTORIES, seed=st.integers(0, 2**32))
def test_a_digest_that_never_came_leaves_no_hole_once_its_chunk_is_finished(
    history: History, seed: int
) -> None:
    world = play(history, lost=Random(seed))

    assert world.counted() == clean_pass(world)


# --- taking any part of the law away breaks it --------------------------------------------------


def accepts_an_older_chunk(
    row: Row, source: str, start: int, upto: int, cells: Cells, *, final: bool = False
) -> Merged:
    share = row.shares.get(source)
    if share is not None and start < share.start:
        fold(share.folded, cells)
        return Merged.TAKEN
    return LAW(row, source, start, upto, cells, final=final)


def accepts_what_is_not_newer(
    row: Row, source: str, start: int, upto: int, cells: Cells, *, final: bool = False
) -> Merged:
    share = row.shares.get(source)
    if share is not None and start == share.start and upto <= share.upto:
        share.open, share.upto = rows._own(cells), upto
        return Merged.TAKEN
    return LAW(row, source, start, upto, cells, final=final)


def takes_the_same_upto_again(
    row: Row, source: str, start: int, upto: int, cells: Cells, *, final: bool = False
) -> Merged:
    """`upto < share.upto` in place of `<=`."""
    share = row.shares.get(source)
    if share is None or upto != share.upto:
        return LAW(row, source, start, upto, cells, final=final)
    share.upto -= 1
    outcome = LAW(row, source, start, upto, cells, final=final)
    share.upto = upto
    return outcome


def forgets_the_folded_sum(
    row: Row, source: str, start: int, upto: int, cells: Cells, *, final: bool = False
) -> Merged:
    share = row.shares.get(source)
    if share is not None and start >= share.upto:
        share.folded = Cells()
    return LAW(row, source, start, upto, cells, final=final)


def forgets_the_open_part(
    row: Row, source: str, start: int, upto: int, cells: Cells, *, final: bool = False
) -> Merged:
    share = row.shares.get(source)
    if share is not None and start >= share.upto:
        share.open = Cells()
    return LAW(row, source, start, upto, cells, final=final)


def folds_twice(
    row: Row, source: str, start: int, upto: int, cells: Cells, *, final: bool = False
) -> Merged:
    share = row.shares.get(source)
    if share is not None and start >= share.upto:
        fold(share.folded, share.open)
    return LAW(row, source, start, upto, cells, final=final)


LAW = rows.merge_digest


MUTATIONS = {
    "an older chunk is accepted": ("app.core.rows.merge_digest", accepts_an_older_chunk),
    "an older state of the open chunk is accepted": (
        "app.core.rows.merge_digest",
        accepts_what_is_not_newer,
    ),
    "the same upto is taken again": ("app.core.rows.merge_digest", takes_the_same_upto_again),
    "the folded sum is forgotten": ("app.core.rows.merge_digest", forgets_the_folded_sum),
    "the open part is forgotten": ("app.core.rows.merge_digest", forgets_the_open_part),
    "the open part is folded twice": ("app.core.rows.merge_digest", folds_twice),
    "a later state is added, not taken over": ("app.core.rows.renew", fold),
    "the last writer wins": ("app.core.rows.merge_rows", lambda _, other: other),
    "a reader begins wherever it is": ("app.core.chunks.where_to_begin", lambda **_: "here"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_law_without_any_of_its_parts_is_found_out(
    mutation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*MUTATIONS[mutation])

    @settings(max_examples=1500, phases=[Phase.explicit, Phase.generate], database=None)
    @example(SLOW_TWIN)
    @example(EATEN_CHUNK)
    @given(HISTORIES)
    def law_holds(history: History) -> None:
        world = play(history)
        assert world.counted() == clean_pass(world)

    with pytest.raises(AssertionError):
        law_holds()
