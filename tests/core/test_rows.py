"""The merge law: whatever happens on the way, the rows are those of one clean pass."""

import pytest
from hypothesis import given

from tests.core import histories
from tests.core.histories import LINES, MOVES, SMALL_CHUNK, Line, Move, clean_pass, play


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.core.chunks.CHUNK_RECORDS", SMALL_CHUNK)
    monkeypatch.setattr("app.core.reading.CHUNK_RECORDS", SMALL_CHUNK)


@given(lines=LINES, moves=MOVES)
def test_whatever_happens_the_rows_are_those_of_one_clean_pass(
    lines: list[Line], moves: list[Move]
) -> None:
    world = play(lines, moves)

    assert world.counted() == clean_pass(world)
