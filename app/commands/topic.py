"""A topic read by a plain consumer, from its beginning to its end; nothing is committed."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from app.errors import UserError
from app.kafka import ANSWER_TIMEOUT_S, admin_options, topic_name
from app.local.progress import say
from app.settings import Settings

_T = TypeVar("_T")
_BATCH = 1000
_WAIT_S = 0.5


class Record(NamedTuple):
    """A record, as far as it matters."""

    key: bytes
    value: bytes


def values(
    settings: Settings,
    name: str,
    decode: Callable[[bytes], _T],
    *,
    partition: int | None = None,
    key: str | None = None,
) -> Iterator[_T]:
    """The values of a topic, or those with one key; what is none is left out, and said on stderr.

    Raises UserError where Kafka does not answer.
    """
    wanted = None if key is None else key.encode()
    left_out = 0
    for record in records(settings, name, partition):
        if wanted is not None and record.key != wanted:
            continue
        try:
            value = decode(record.value)
        except msgspec.DecodeError:
            left_out += 1
        else:
            yield value
    if left_out:
        say(f"{topic_name(settings, name)}: {left_out} records are not ours, and left out")


def records(settings: Settings, name: str, partition: int | None = None) -> Iterator[Record]:
    """Every record of a topic of `app.topics`, or of one of its partitions, to its end.

    Within a partition in order. A topic that is not there is empty. Raises UserError where Kafka
    does not answer.
    """
    consumer = Consumer(
        {
            **admin_options(settings),
            "group.id": "burnrate-reading",  # asked for, and not used: nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        topic = topic_name(settings, name)
        numbers = _partitions(consumer, topic)
        wanted = [n for n in numbers if partition in (None, n)]
        consumer.assign([TopicPartition(topic, n, OFFSET_BEGINNING) for n in wanted])
        yield from _read(consumer, len(wanted))
    except KafkaException as error:
        raise _silent(settings, error.args[0].str()) from error
    except TimeoutError as error:
        raise _silent(settings, str(error)) from error
    finally:
        consumer.close()


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=ANSWER_TIMEOUT_S).topics[topic]
    if found.error is None:
        return list(found.partitions)
    if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return []
    raise KafkaException(found.error)


def _read(consumer: Consumer, unfinished: int) -> Iterator[Record]:
    heard_at = time.monotonic()
    while unfinished:
        messages = consumer.consume(_BATCH, timeout=_WAIT_S)
        for message in messages:
            if _is_end(message):
                unfinished -= 1
            else:
                yield Record(message.key() or b"", message.value() or b"")
        if messages:
            heard_at = time.monotonic()
        elif time.monotonic() - heard_at > ANSWER_TIMEOUT_S:
            raise TimeoutError(f"nothing came for {ANSWER_TIMEOUT_S:g} s")


def _is_end(message: Any) -> bool:  # noqa: ANN401 - confluent-kafka has no types
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
        raise KafkaException(error)
    return error is not None


def _silent(settings: Settings, why: str) -> UserError:
    return UserError(f"Kafka at {settings.kafka} cannot be read: {why}")
