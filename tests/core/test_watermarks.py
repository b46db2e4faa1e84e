"""Four times: of the slot, of the record, of the watermark, of the judge."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from app.core.chunks import Heartbeat, PartitionMark, Watermark
from app.core.watermarks import FRESH_MS, NEAR_MS, Board

NOW = 1_790_000_000_000


def mark(partition: int, upto: int, log_end: int, kafka_ms: int, epoch: str = "e") -> PartitionMark:
    return PartitionMark(epoch, partition, upto, log_end, kafka_ms)


def board(*marks: PartitionMark, sent_ms: int = NOW, partitions: int = 2) -> Board:
    made = Board()
    made.take(Watermark(sent_ms=sent_ms, partitions=partitions, marks=marks))
    return made


def test_judge_time_is_the_wall_clock_where_every_partition_is_read_to_its_end() -> None:
    assert (
        board(mark(0, 5, 5, NOW), mark(1, 0, 0, NOW)).judge_time(NOW + 900, replay=False)
        == NOW + 900
    )


def test_else_it_is_the_least_of_the_watermarks_times() -> None:
    behind = board(mark(0, 5, 5, NOW), mark(1, 3, 9, NOW - 70_000))
    assert behind.judge_time(NOW, replay=False) == NOW - 70_000
    assert behind.lag_ms(NOW) == 70_000


def test_under_load_something_is_unread_at_any_moment_and_time_goes_on() -> None:
    busy = board(mark(0, 5, 5, NOW), mark(1, 30, 90, NOW - NEAR_MS))
    assert busy.judge_time(NOW + 900, replay=False) == NOW + 900
    assert busy.lag_ms(NOW + 900) == NEAR_MS + 900
    assert busy.judge_time(NOW + FRESH_MS + 1, replay=False) == NOW - NEAR_MS  # no word since
    further = board(mark(0, 5, 5, NOW), mark(1, 30, 90, NOW - NEAR_MS - 1))
    assert further.judge_time(NOW + 900, replay=False) == NOW - NEAR_MS - 1


def test_in_a_replay_it_is_the_datas_own_even_at_the_end() -> None:
    assert board(mark(0, 5, 5, 1000), mark(1, 9, 9, 2000)).judge_time(NOW, replay=True) == 1000


def test_a_partition_that_nobody_spoke_of_leaves_the_time_unknown() -> None:
    half = board(mark(0, 5, 5, NOW))
    assert (half.judge_time(NOW, replay=False), half.lag_ms(NOW), half.caught_up(NOW)) == (
        None,
        None,
        False,
    )


def test_silence_of_the_intake_is_lag() -> None:
    quiet = board(mark(0, 5, 5, NOW), mark(1, 5, 5, NOW))
    assert quiet.lag_ms(NOW + FRESH_MS) == 0
    assert quiet.lag_ms(NOW + FRESH_MS + 1) == FRESH_MS + 1
    assert quiet.lag_ms(NOW + 90_000) == 90_000


def test_silence_of_the_traffic_is_none() -> None:
    quiet = board(mark(0, 5, 5, NOW), mark(1, 5, 5, NOW))
    for second in range(3600):
        at = NOW + second * 1000
        quiet.take(
            Watermark(sent_ms=at, partitions=2, marks=(mark(0, 5, 5, at), mark(1, 5, 5, at)))
        )
        assert quiet.lag_ms(at) == 0


def test_a_record_in_a_long_quiet_partition_does_not_turn_the_time_back() -> None:
    seen = board(mark(0, 5, 5, NOW), mark(1, 5, 5, NOW))
    came = (mark(0, 5, 6, NOW - 3_600_000), mark(1, 5, 5, NOW + 1000))  # its last one: an hour ago
    seen.take(Watermark(sent_ms=NOW + 1000, partitions=2, marks=came))
    assert seen.judge_time(NOW + 1001, replay=False) == NOW + 1001
    assert seen.lag_ms(NOW + 1000) == 1000
    stays = (came[0], mark(1, 5, 5, NOW + 5000))
    seen.take(Watermark(sent_ms=NOW + 5000, partitions=2, marks=stays))
    assert seen.judge_time(NOW + 5000, replay=False) == NOW


def test_a_topic_made_anew_begins_its_own_time() -> None:
    seen = board(mark(0, 5, 5, NOW), mark(1, 5, 5, NOW))
    fresh = (mark(0, 0, 3, 0, "f"), mark(1, 0, 0, NOW + 1000, "f"))
    seen.take(Watermark(sent_ms=NOW + 1000, partitions=2, marks=fresh))
    assert seen.read_until() == 0


def test_the_word_of_an_intake_that_woke_up_late_changes_nothing() -> None:
    seen = board(mark(0, 5, 5, NOW), mark(1, 5, 5, NOW))
    seen.take(Watermark(sent_ms=NOW - 20_000, partitions=2, marks=(mark(0, 2, 9, NOW - 90_000),)))
    assert seen.judge_time(NOW, replay=False) == NOW


def test_it_is_caught_up_when_the_bridge_has_nothing_left_either() -> None:
    for backlog, caught_up in ((0, True), (7, False)):
        seen = Board()
        seen.take(
            Watermark(
                sent_ms=NOW,
                partitions=1,
                marks=(mark(0, 1, 1, NOW),),
                heartbeat=Heartbeat(NOW, backlog),
            )
        )
        assert seen.caught_up(NOW) is caught_up


@given(seed=st.integers(0, 2**48))
def test_judge_time_goes_neither_back_nor_beyond_what_is_read_by_more_than_the_end_is_near(
    seed: int,
) -> None:
    """Two partitions whose records wait for a moment, an intake that tells of them each second."""
    random = Random(seed)
    log: list[list[int]] = [[], []]
    read = [0, 0]
    seen, judged, wall = Board(), 0, NOW
    for _ in range(60):
        wall += random.choice((100, 1000, 1000, 30_000, 3_600_000))
        for partition in (0, 1):
            log[partition] += [wall - random.randrange(100)] * random.choice((0, 0, 0, 1, 2))
            read[partition] = random.randint(read[partition], len(log[partition]))
        marks = tuple(
            mark(
                p,
                read[p],
                len(log[p]),
                wall if read[p] == len(log[p]) else max(log[p][: read[p]], default=0),
            )
            for p in (0, 1)
        )
        seen.take(Watermark(sent_ms=wall, partitions=2, marks=marks))
        time = seen.judge_time(wall, replay=False)
        assert time is not None
        assert judged - NEAR_MS <= time <= wall
        unread = [ms for p in (0, 1) for ms in log[p][read[p] :]]
        assert not unread or time <= min(unread) + NEAR_MS + 100
        assert seen.lag_ms(wall) >= (wall - min(unread) if unread else 0) - 100
        judged = time
