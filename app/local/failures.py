"""Why the local Kafka failed, in words for the person who has to put it right."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import UserError

_TAIL_LINES = 20

_NOISE = ("\tat ", "\t... ", "WARNING: ")  # stack frames, and Java's own about its future

_REMEDIES = {
    "No space left on device": (
        "The disk is full. Free some space, or set BURNRATE_DATA to a folder on another disk."
    ),
    "OutOfMemoryError": "Kafka ran out of memory; it has 512 MB.",
    "insufficient memory for the Java Runtime": (
        "This machine has too little free memory: Kafka needs about 300 MB."
    ),
    "Failed to acquire lock on file": "Another Kafka uses this folder already.",
    "Permission denied": "This user may not write there.",
}
"""What a line of the log means for people."""

_OS_REMEDIES = {
    errno.ENOSPC: _REMEDIES["No space left on device"],
    errno.EDQUOT: "Your disk quota is used up. Free some space.",
    errno.EROFS: "The disk is read-only. Set BURNRATE_DATA to another folder.",
    errno.EACCES: "This user may not write there. Set BURNRATE_DATA to another folder.",
}


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Turn what the operating system says about `folder` into an error for people."""
    try:
        yield
    except OSError as error:
        remedy = _OS_REMEDIES.get(error.errno or 0, "")
        where = error.filename or folder
        raise UserError(
            f"Kafka's folder {folder}: {error.strerror or error} ({where})\n{remedy}".rstrip()
        ) from error


def tail(log: Path) -> str:
    """The last lines of a log, without stack traces; empty where there is none."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join([line for line in lines if not line.startswith(_NOISE)][-_TAIL_LINES:])


def port_taken(log: Path) -> bool:
    """Whether the broker ended because somebody else had its port."""
    return "Address already in use" in tail(log)


def jvm_crashed(log: Path) -> bool:
    """Whether it was the Java runtime itself that failed, not Kafka."""
    return "fatal error has been detected by the Java Runtime" in tail(log)


def why(log: Path) -> str:
    """What to say about a broker that ended by itself: cause, remedy, the log's tail."""
    return ended("Kafka has ended unexpectedly", tail(log), log).message


def ended(what: str, said: str, log: Path | None = None) -> UserError:
    """The error for a Kafka that ended: `what` happened, and what it `said` at the end."""
    remedies = [remedy for sign, remedy in _REMEDIES.items() if sign in said]
    where = f"The end of {log}:" if log else "It said:"
    lines = [f"  {line}" for line in said.splitlines()]
    return UserError("\n".join([f"{what}.", *remedies, where, *lines]))
