"""Rate limit and circuit."""

from app.delivery.outcomes import Accepted, Permanent, Retry
from app.delivery.pace import CLOSED, Circuit, Rate, TokenBucket
from tests.delivery.held import HeldTime


async def test_a_bucket_gives_a_burst_and_then_its_rate() -> None:
    time = HeldTime()
    bucket = TokenBucket(Rate(per_s=2.0, burst=3), time)
    for _ in range(3):
        assert bucket.wait_s() == 0
        bucket.take()
    assert bucket.wait_s() == 0.5
    await time.advance(0.5)
    assert bucket.wait_s() == 0
    await time.advance(3600)
    for _ in range(3):
        bucket.take()
    assert bucket.wait_s() == 0.5


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    now = [10_000]
    bucket = TokenBucket(Rate(per_s=1.0, burst=1), lambda: now[0])
    now[0] = 0
    assert bucket.wait_s() == 0


def test_three_failures_in_a_row_open_the_circuit_and_success_closes_it() -> None:
    circuit = CLOSED
    for now in (0, 1000):
        circuit = circuit.after(Retry("503"), now, 2.0)
        assert circuit.wait_s(now) == 0
    circuit = circuit.after(Retry("503"), 2000, 8.0)
    assert circuit == Circuit(failures=3, failing_since=0, open_until=10_000)
    assert circuit.wait_s(4000) == 6.0
    assert circuit.after(Accepted(), 10_000, 1.0) == CLOSED


def test_being_told_to_wait_opens_it_at_once() -> None:
    assert CLOSED.after(Retry("429", after_s=3.0), 0, 3.0).wait_s(0) == 3.0


def test_a_refused_message_says_nothing_about_the_destination() -> None:
    assert CLOSED.after(Permanent("400"), 0, 1.0) == CLOSED
