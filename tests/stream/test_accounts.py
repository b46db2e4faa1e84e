"""Rows between memory and Kafka: what is being written is never read as it was before."""

import asyncio
from pathlib import Path

import pytest

from app import config
from app.core.cells import Cells, Counts
from app.core.chunks import Digest
from app.core.judge import SloState
from app.core.slots import COARSE
from app.stream.accounts import ROWS_CACHED, Account
from app.stream.pulse import Asleep, Pulse
from app.stream.records import Records
from app.stream.standing import Standing, store

POLICY = config.load(Path(__file__).parents[2] / "config")
SLO = POLICY.slos["availability"]
HOUR = 3600


class Table:
    """Stands for a Faust table; Kafka acknowledges when the test says so."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.acknowledged = asyncio.Event()
        self.changelog: list[tuple[bytes, bytes | None]] = []

    def send_changelog(
        self, _partition: int, key: bytes, value: bytes | None
    ) -> asyncio.Future[bool]:
        self.changelog.append((key, value))
        return asyncio.ensure_future(self.acknowledged.wait())


@pytest.fixture
def account() -> Account:
    tables = {name: Records(Table()) for name in ("fine", "coarse", "months")}
    for records in tables.values():
        records.recover()
    standing = Standing(SLO.id, Records(Table()), Pulse())
    return Account(SLO, POLICY.ownership.routes[SLO.id], tables, standing)


def digest(hour: int, upto: int, total: int) -> Digest:
    cells = Cells(slots={hour * HOUR: Counts(total=total)})
    return Digest(
        slo=SLO.id,
        definition=SLO.definition.fingerprint(),
        epoch="e",
        partition=0,
        start=0,
        upto=upto,
        kafka_ms=0,
        coarse={hour * HOUR: cells},
    )


async def test_a_row_that_leaves_the_cache_while_it_is_written_is_not_forgotten(
    account: Account,
) -> None:
    for hour in range(ROWS_CACHED):
        account.take(digest(hour, upto=hour + 1, total=1))
    news = account.news()
    for table, values in news.items():
        account._tables[table].keep(values)
    for hour in range(ROWS_CACHED, 2 * ROWS_CACHED):  # Kafka has not answered yet
        account.take(digest(hour, upto=hour + 1, total=1))
    late = Digest(
        slo=SLO.id,
        definition=SLO.definition.fingerprint(),
        epoch="e",
        partition=0,
        start=1000,
        upto=1001,
        kafka_ms=0,
        coarse={0: Cells(slots={300: Counts(total=2)})},
    )
    account.take(late)
    row = account._row(COARSE, "0")
    assert row.shares["e/0"].folded.slots == {0: Counts(total=1)}
    assert row.shares["e/0"].open.slots == {300: Counts(total=2)}


async def test_rows_that_could_not_be_written_are_news_again_from_cache_or_table(
    account: Account,
) -> None:
    account.take(digest(0, upto=1, total=1))
    news = account.news()
    for table, values in news.items():
        account._tables[table].keep(values)
    for hour in range(1, 3 * ROWS_CACHED):
        account.take(digest(hour, upto=hour + 1, total=1))
        account.news()
    account.still_news(news)
    assert account.news()["coarse"] == news["coarse"]


async def test_a_backlog_leaves_few_rows_in_memory(account: Account) -> None:
    for hour in range(10 * ROWS_CACHED):
        account.take(digest(hour, upto=hour + 1, total=1))
        assert account.is_full == (hour % ROWS_CACHED == ROWS_CACHED - 1)
        if account.is_full:
            for table, values in account.news().items():
                account._tables[table].keep(values)
    assert len(account._cache) < ROWS_CACHED


async def test_a_recovery_while_kafka_answers_loses_no_value() -> None:
    table = Table()
    records = Records(table)
    records.recover()
    putting = asyncio.create_task(records.put(0, {"row": b"new"}))
    await asyncio.sleep(0)
    assert records.recover() == {"row": [b"new"]}
    table.acknowledged.set()
    await putting
    assert records.get("row") == [b"new"]
    assert None not in [value for _, value in table.changelog]


async def test_the_names_of_an_slo_are_found_among_others_and_forgotten_when_deleted() -> None:
    table = Table()
    table.acknowledged.set()
    table.data = {b"a/1/0|w": b"", b"ab/1/0|w": b""}
    records = Records(table)
    records.recover()
    records.keep({"a/1/300": b"", "a/2/0": b""})
    assert records.under("a/1/") == ["a/1/0", "a/1/300"]
    await records.delete(0, ["a/1/0"])
    assert records.under("a/") == ["a/1/300", "a/2/0"]
    assert set(records.names()) == {"a/1/300", "a/2/0", "ab/1/0"}


async def test_states_are_stored_side_by_side_and_are_no_news_then() -> None:
    table = Table()
    records = Records(table)
    records.recover()
    standings = [Standing(slo, records, Pulse()) for slo in ("a", "b")]
    for standing in standings:
        standing.state = SloState(judged_at=1)
    storing = asyncio.create_task(store(standings))
    await asyncio.sleep(0.01)
    assert len(table.changelog) == 2  # and Kafka has answered neither
    assert all(standing.is_news for standing in standings)
    table.acknowledged.set()
    await storing
    assert not any(standing.is_news for standing in standings)


def test_who_has_slept_never_counts_as_awake_again() -> None:
    pulse = Pulse()
    assert pulse.awake()
    pulse._slept_s = 4.0
    assert not pulse.awake()
    with pytest.raises(Asleep):
        pulse.check()
