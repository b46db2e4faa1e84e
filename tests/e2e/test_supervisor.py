"""When the supervisor starts a worker again, and when it leaves that to a person."""

from app.local.supervisor import QUICK_DEATHS, QUICK_S, Child, Supervisor

LONG_S, SHORT_S = QUICK_S + 1, QUICK_S - 1
CRASHED, KILLED, MISTAKEN = 75, -9, 1


def outcomes(*lives: tuple[int, float]) -> list[bool]:
    """Whether it gives up after each of a worker's lives: exit code and seconds."""
    supervisor = Supervisor(Child([], {}))
    return [supervisor._gives_up(code, lived_s) for code, lived_s in lives]


def test_a_mistake_at_the_first_start_is_left_to_a_person() -> None:
    assert outcomes((MISTAKEN, SHORT_S)) == [True]


def test_a_worker_that_has_worked_is_started_again_until_kafka_is_back() -> None:
    away = [(MISTAKEN, SHORT_S)] * 20  # "Kafka cannot be used" ends with 1 as well
    assert not any(outcomes((CRASHED, LONG_S), *away, (KILLED, LONG_S)))


def test_one_that_always_dies_at_once_is_given_up() -> None:
    assert outcomes(*[(KILLED, SHORT_S)] * QUICK_DEATHS) == [False] * (QUICK_DEATHS - 1) + [True]
