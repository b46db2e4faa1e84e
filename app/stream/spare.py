"""A spare of the alerter's own state: a file, for as long as Kafka does not take it.

People who were told directly that the alerter is blind must hear when it sees again, even where the
worker ends before Kafka is back. Which of two states is the newer one, their term and version say.
"""

import logging
from pathlib import Path

log = logging.getLogger(__name__)


class Spare:
    """One encoded state on this machine's disk; whoever cannot write it goes on without."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, state: bytes) -> None:
        """Keep a state, whole or not at all."""
        draft = self._path.with_suffix(".new")
        try:
            draft.write_bytes(state)
            draft.replace(self._path)
        except OSError as error:
            log.warning("%s: the alerter's state cannot be kept (%s)", self._path, error.strerror)

    def values(self) -> list[bytes]:
        """The state that is kept, if there is one."""
        try:
            return [self._path.read_bytes()]
        except OSError:
            return []

    def drop(self) -> None:
        """Kafka has a newer one."""
        self._path.unlink(missing_ok=True)
