"""Ports on the loopback interface."""

import random
import socket
import time

from app.errors import UserError

# Below the range that systems hand out to clients (32768 on, Linux): while the broker is away,
# a client that keeps trying a port of that range can be given it itself, and then holds it.
_RANGE = range(20_000, 32_000)

_LET_GO_S = 3.0


def wait_for(port: int) -> None:
    """Give a broker that was killed the moment that its last threads take to let go of the port."""
    deadline = time.monotonic() + _LET_GO_S
    while not _is_free(port) and time.monotonic() < deadline:
        time.sleep(0.02)


def free(preferred: int, *, but: int = 0) -> int:
    """The preferred port where it is free, else another, never `but`; UserError where none is."""
    for port in (preferred, *random.sample(_RANGE, 100)):
        if port not in {0, but} and _is_free(port):
            return port
    raise UserError(f"No free port among 127.0.0.1:{_RANGE.start} to {_RANGE.stop - 1} for Kafka.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # as Kafka itself binds: connections of an earlier broker that linger are no hindrance
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
