"""The folder of one broker, and what is remembered there."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from app.local.broker_config import SCRATCH


class State(msgspec.Struct, frozen=True, kw_only=True):
    """`broker.json`: written when a broker is launched, kept when it has ended (pid 0)."""

    pid: int = 0
    port: int = 0
    controller_port: int = 0
    owner: int | None = None


class Home:
    """The folder of one broker."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir.absolute() / "kafka"
        self.data = self.folder / "data"
        self.config = self.folder / "server.properties"
        self.log = self.folder / "broker.log"
        self.class_list = self.folder / "classes.lst"
        self._state = self.folder / "broker.json"

    def fresh_scratch(self) -> None:
        """Native codecs are unpacked there, and a killed broker leaves them behind."""
        shutil.rmtree(self.folder / SCRATCH, ignore_errors=True)
        (self.folder / SCRATCH).mkdir()

    def state(self) -> State:
        """What `broker.json` says; all zero where there is none, or none that can be read."""
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=State)
        except (OSError, msgspec.DecodeError):
            return State()

    def write_state(self, state: State) -> None:
        """Remember this, all of it or nothing."""
        beside = self._state.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(state))
        beside.replace(self._state)

    def cluster_id(self) -> str:
        """The id given when the storage was formatted; empty before that."""
        with suppress(OSError):
            for line in (self.data / "meta.properties").read_text(encoding="ascii").splitlines():
                if line.startswith("cluster.id="):
                    return line.removeprefix("cluster.id=")
        return ""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else starts or stops this folder's broker meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
