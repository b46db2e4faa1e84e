"""A whole stack for end-to-end tests: topics of its own, worker processes, loopback services.

Real Kafka, real processes. Time is the machine's, or held by the test in a file (`BURNRATE_CLOCK`):
then the source topic takes the records' own times, which the test holds as well.
"""

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app.kafka import create_topics
from app.settings import Settings
from app.topics import EVENTS, REJECTED, Topic, all_topics
from tests.servers import PagerDutyServer, SlackServer

ROOT = Path(__file__).parents[2]
CHANNELS = ("headless-alerts", "shadow-mode-alerts", "critical-alerts", "ops-alerts")
OWNERS = (
    "backend-team",
    "platform-lead",
    "qa-team",
    "qa-lead",
    "data-team",
    "data-lead",
    "ops-team",
    "ops-lead",
)
SLOS = 5
PATIENCE_S = 40.0
MINUTE, HOUR, DAY = 60, 3600, 86_400

Event = dict[str, Any]


def iso(at_s: float) -> str:
    """A time as an event carries it."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")


def key_time(at_s: float) -> str:
    """A time as an incident's key carries it."""
    return f"{datetime.fromtimestamp(int(at_s), UTC):%Y%m%dT%H%M%SZ}"


def routing_key(owner: str) -> str:
    """The test's 32-character key of an owner's pager."""
    return f"{owner.replace('-', '')}key".ljust(32, "0")


def execution(
    at_s: float | None,
    *,
    good: bool = True,
    agent: str = "agent-1",
    cli: str = "claude",
    duration_ms: int = 1000,
    memory_mb: float | None = None,
    error: str = "exit 1",
) -> Event:
    """One of Kokino's executions that ended; `at_s` None: without a timestamp."""
    metadata: Event = {} if good else {"error": error}
    if memory_mb is not None:
        metadata["memoryMB"] = memory_mb
    event = {
        "event": "EXECUTION_COMPLETED" if good else "EXECUTION_FAILED",
        "agent_id": agent,
        "cli_type": cli,
        "duration_ms": duration_ms,
        "success": int(good),
        "metadata": metadata,
    }
    return event if at_s is None else event | {"timestamp": iso(at_s)}


def comparison(at_s: float, *, good: bool, ticket: str = "T-1") -> Event:
    """One comparison of the shadow mode."""
    return {
        "event": "SHADOW_COMPARED",
        "agent_id": "shadow",
        "metadata": {
            "tmuxSuccess": True,
            "headlessSuccess": True,
            "match": good,
            "ticketId": ticket,
        },
        "timestamp": iso(at_s),
    }


def integrity(at_s: float | None, conversation: str, *, good: bool = False) -> Event:
    """One check of a conversation."""
    event = {
        "event": f"CONVERSATION_INTEGRITY_{'PASS' if good else 'FAIL'}",
        "agent_id": conversation,
        "metadata": {"conversationId": conversation, "issueTypes": ["missing_turn"]},
    }
    return event if at_s is None else event | {"timestamp": iso(at_s)}


async def wait_for[T](
    what: Callable[[], T | Awaitable[T]], why: str, deadline_s: float = PATIENCE_S
) -> T:
    """Wait until it is true, and give what it gave; fails with the last value it had."""
    until = time.monotonic() + deadline_s
    found: Any = None
    while time.monotonic() < until:
        with suppress(httpx.HTTPError):
            found = what()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {deadline_s:.0f} s: {why}; last: {found!r}")
