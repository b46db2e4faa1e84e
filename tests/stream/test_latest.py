"""Of two recoveries the later one decides, however long the earlier one would have taken."""

import asyncio

import pytest

from app.stream.recovery import Latest


class Recoveries:
    """What was recovered, and when each may go on: the first waits for Kafka for ever."""

    def __init__(self) -> None:
        self.begun, self.done = 0, list[int]()
        self.kafka_answers = {1: asyncio.Event(), 2: asyncio.Event()}

    async def recover(self) -> None:
        self.begun += 1
        number = self.begun
        await self.kafka_answers[number].wait()
        self.done.append(number)


async def test_a_recovery_that_is_overtaken_is_not_finished() -> None:
    recoveries = Recoveries()
    latest = Latest(recoveries.recover)
    first = asyncio.ensure_future(latest.begin())
    await asyncio.sleep(0)
    second = asyncio.ensure_future(latest.begin())
    recoveries.kafka_answers[2].set()
    await second
    recoveries.kafka_answers[1].set()
    await first
    assert recoveries.done == [2]


async def test_where_partitions_move_again_the_one_under_way_is_ended() -> None:
    recoveries = Recoveries()
    latest = Latest(recoveries.recover)
    first = asyncio.ensure_future(latest.begin())
    await asyncio.sleep(0)
    await latest.end()
    recoveries.kafka_answers[1].set()
    await first
    assert recoveries.done == []


async def test_its_errors_are_not_lost() -> None:
    async def fail() -> None:
        raise ValueError("unreadable")

    with pytest.raises(ValueError, match="unreadable"):
        await Latest(fail).begin()
