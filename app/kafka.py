"""How Kafka is reached: the settings turned into what each client wants, and the topics made."""

import asyncio
import ssl
import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.helpers import create_ssl_context
from confluent_kafka import (
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from app.errors import UserError
from app.settings import KafkaSecurity, Settings
from app.topics import Topic

ANSWER_TIMEOUT_S = 10.0
SESSION_MS = 6000  # of every consumer group
COMPRESSION = "snappy"  # aiokafka's lz4 is that of level 9: thirty times as slow, measured
FETCH_WAIT_MS = 100
"""How long Kafka holds back a fetch for which there is nothing yet.

A consumer asks for one fetch at a time, of the partitions that it has nothing of at that moment: if
none of these has anything new, the others wait as long as the fetch does.
"""


def topic_name(settings: Settings, name: str) -> str:
    """The topic's name in Kafka: the prefix and the name of `app.topics`."""
    return settings.topic_prefix + name


def client_options(settings: Settings) -> dict[str, Any]:
    """What every aiokafka client is made with. Raises UserError where no Kafka is named."""
    security = settings.security
    options: dict[str, Any] = {
        "bootstrap_servers": _bootstrap(settings),
        "security_protocol": security.protocol,
    }
    if security.protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(security)
    if security.protocol.startswith("SASL"):
        options["sasl_mechanism"] = security.sasl_mechanism or "PLAIN"
        options["sasl_plain_username"] = security.sasl_username
        options["sasl_plain_password"] = security.sasl_password
    return options


def admin_options(settings: Settings) -> dict[str, str | int]:
    """The same for confluent-kafka's clients."""
    security = settings.security
    named = {
        "sasl.mechanism": security.sasl_mechanism,
        "sasl.username": security.sasl_username,
        "sasl.password": security.sasl_password,
        "ssl.ca.location": security.ssl_cafile,
        "ssl.certificate.location": security.ssl_certfile,
        "ssl.key.location": security.ssl_keyfile,
    }
    options: dict[str, str | int] = {
        "bootstrap.servers": _bootstrap(settings),
        "security.protocol": security.protocol,
        "socket.timeout.ms": int(ANSWER_TIMEOUT_S * 1000),
        "log_level": 0,  # it writes to standard error; failures come back as exceptions anyway
    }
    if security.protocol.startswith("SASL"):
        named["sasl.mechanism"] = security.sasl_mechanism or "PLAIN"
    return options | {name: value for name, value in named.items() if value}


async def create_topics(settings: Settings, topics: Iterable[Topic]) -> None:
    """Make the topics that are not there yet; those that are stay as they are.

    When it returns, all of them can be used.
    Raises confluent_kafka.KafkaException where Kafka does not answer within 10 s or refuses.
    """
    await asyncio.to_thread(_create_topics, settings, list(topics))


def topic_id(settings: Settings, name: str) -> str:
    """The topic's unique id: a topic that was deleted and made anew has another one.

    It waits for Kafka, so call it in a thread. Raises confluent_kafka.KafkaException where the
    topic does not exist or Kafka does not answer within 10 s.
    """
    topic = topic_name(settings, name)
    admin = _admin(settings)  # kept: its end would end the request
    asked = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_TIMEOUT_S)
    return str(asked[topic].result(ANSWER_TIMEOUT_S + 1).topic_id)


async def end_offsets(settings: Settings, name: str, partitions: Iterable[int]) -> dict[int, int]:
    """Where a topic's partitions end now. Raises as `topic_id` does."""
    return await asyncio.to_thread(_end_offsets, settings, topic_name(settings, name), partitions)


def _end_offsets(settings: Settings, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    admin = _admin(settings)
    wanted = {TopicPartition(topic, number): OffsetSpec.latest() for number in partitions}
    asked = admin.list_offsets(wanted, request_timeout=ANSWER_TIMEOUT_S) if wanted else {}
    return {tp.partition: found.result(ANSWER_TIMEOUT_S + 1).offset for tp, found in asked.items()}


async def unread_partitions(settings: Settings, group: str, name: str) -> set[int]:
    """The topic's partitions that no member of a consumer group has, where the group is at rest.

    A leader that knew a topic's partitions only in part has shared out only those, and Kafka does
    not ask it again: a member that comes back under its name finds everything as it was. Raises
    aiokafka.errors.KafkaError where Kafka does not answer.

    (By aiokafka: librdkafka ends the process where such a request of its own times out.)
    """
    topic = topic_name(settings, name)
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        (answer,) = await admin.describe_consumer_groups([group])
        (about,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    found = answer.to_object()["groups"][0]
    if found["state"] != "Stable":
        return set()
    had = {
        partition
        for member in found["members"]
        for one in ConsumerProtocol.ASSIGNMENT.decode(member["member_assignment"]).assignment
        if one[0] == topic
        for partition in one[1]
    }
    return {one["partition"] for one in about["partitions"]} - had


def topic_config(settings: Settings, name: str) -> dict[str, str]:
    """The topic's settings as they are in force. Waits and raises as `topic_id` does."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic_name(settings, name))
    admin = _admin(settings)
    asked = admin.describe_configs([resource], request_timeout=ANSWER_TIMEOUT_S)
    entries = asked[resource].result(ANSWER_TIMEOUT_S + 1)
    return {entry.name: entry.value for entry in entries.values()}


def _create_topics(settings: Settings, topics: list[Topic]) -> None:
    wanted = [
        NewTopic(
            topic_name(settings, topic.name),
            num_partitions=topic.partitions,
            replication_factor=-1,  # the broker's own default
            config=topic.config,
        )
        for topic in topics
    ]
    admin = _admin(settings)  # kept: its end would end the requests
    made = admin.create_topics(wanted, request_timeout=ANSWER_TIMEOUT_S)
    for answer in made.values():
        try:
            answer.result(ANSWER_TIMEOUT_S + 1)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    _wait_until_known(admin, list(made))


def _wait_until_known(admin: AdminClient, names: list[str]) -> None:
    """A broker answers for a new topic only when it has heard of it itself, moments later."""
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while names:
        asked = admin.describe_topics(TopicCollection(names), request_timeout=ANSWER_TIMEOUT_S)
        names = [name for name, answer in asked.items() if not _is_known(answer, deadline)]
        time.sleep(0.02 if names else 0)


def _is_known(answer: Future[Any], deadline: float) -> bool:
    try:
        answer.result(ANSWER_TIMEOUT_S + 1)
    except KafkaException as error:
        unknown = error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
        if not unknown or time.monotonic() > deadline:
            raise
        return False
    return True


def _admin(settings: Settings) -> AdminClient:
    return AdminClient(admin_options(settings))


def _bootstrap(settings: Settings) -> str:
    if not settings.kafka:
        raise UserError(
            "no Kafka is named: set BURNRATE_KAFKA, or run `burnrate kafka start`", exit_code=2
        )
    return settings.kafka


def _ssl_context(security: KafkaSecurity) -> ssl.SSLContext:
    context: ssl.SSLContext = create_ssl_context(
        cafile=security.ssl_cafile or None,
        certfile=security.ssl_certfile or None,
        keyfile=security.ssl_keyfile or None,
    )
    return context
