"""Apache Kafka on this machine: one broker for each data folder, on the loopback interface only.

The broker either ends with the process that started it (`attached`), or runs until `stop`. Its
state is in `DATA/kafka/`: `data/` (the logs), `server.properties`, `broker.log`, and `broker.json`,
which remembers process and ports, so that a broker that starts again is found where it was.
"""

import os
import shutil
import subprocess
import sys
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
import psutil

from app.errors import UserError
from app.local import archive, failures, jars, java, ports
from app.local.broker_config import JVM_OPTIONS, properties
from app.local.broker_home import Home, State

_START_S = 90.0  # after a crash the logs are looked through first
_ANSWER_S = 15.0
_STOP_S = 15.0
_PORT_TRIES = 5
# What this process started, by folder. Held here: a leash lets go when its stdin is closed, which
# the garbage collector would do.
_children: dict[Path, subprocess.Popen[str]] = {}


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """A broker that runs and answers."""

    bootstrap: str  # 127.0.0.1:PORT
    pid: int  # the JVM's
    owner: int | None  # the process that it ends with; None: it runs until `stop`
    reused: bool  # it ran already
    log: Path


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a data folder's broker; `bootstrap` and `pid` where it runs."""

    state: Literal["running", "silent", "died", "stopped"]
    bootstrap: str = ""
    pid: int = 0
    owner: int | None = None
    message: str = ""  # for people: why it died, or that it does not answer


class AlreadyRunning(UserError):
    """The data folder's broker ends with another process, so nobody else can rely on it."""

    def __init__(self, data_dir: Path, bootstrap: str, owner: int) -> None:
        """Tell whose broker it is."""
        super().__init__(
            f"{data_dir} is in use: process {owner} runs a Kafka there ({bootstrap}) that ends "
            "with it.\nEnd that process first, or set BURNRATE_DATA to another folder."
        )
        self.bootstrap = bootstrap
        self.owner = owner


def start(data_dir: Path, *, attached: bool = True) -> Broker:
    """Give the data folder's broker, after starting it where it does not run.

    `attached`: it ends when this process ends, however that happens; Ctrl-C in a terminal does
    not reach it. Otherwise it stays until `stop`. One that runs already is given as it is.

    Raises AlreadyRunning where it runs and ends with another process, and UserError where it
    cannot be started: without network at the very first start, on a full disk, …
    """
    home = Home(data_dir)
    with failures.told(home.folder), home.alone():
        if (process := _process(home)) is not None:
            state = home.state()
            if state.owner is None or _lives(state.owner):
                return _reused(home, data_dir, state)
            _end(process)  # its owner is gone: it is about to end
        return _launched(home, os.getpid() if attached else None)


def stop(data_dir: Path) -> bool:
    """End the data folder's broker, whoever started it; False where none ran."""
    home = Home(data_dir)
    if not home.folder.exists():
        return False
    with failures.told(home.folder), home.alone():
        ran = _process(home) is not None
        _end_and_reap(home)
        home.write_state(msgspec.structs.replace(home.state(), pid=0, owner=None))
        return ran


def status(data_dir: Path) -> Status:
    """Look at the data folder's broker, and change nothing."""
    home = Home(data_dir)
    state = home.state()
    if not state.pid:
        return Status(state="stopped")
    if _process(home) is None:
        return Status(state="died", message=failures.why(home.log))
    bootstrap = _bootstrap(state)
    found = Status(state="running", bootstrap=bootstrap, pid=state.pid, owner=state.owner)
    if _answers(bootstrap, home, timeout_s=2.0):
        return found
    return msgspec.structs.replace(
        found, state="silent", message=f"Kafka (process {state.pid}) does not answer: {home.log}"
    )


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _bootstrap(state: State) -> str:
    return f"127.0.0.1:{state.port}"


def _process(home: Home) -> psutil.Process | None:
    """The broker's process, if the one that has its number is indeed this folder's broker."""
    state = home.state()
    try:
        process = psutil.Process(state.pid) if state.pid else None
        ours = process is not None and str(home.config) in process.cmdline()
    except psutil.Error:
        return None
    return process if ours else None


def _reused(home: Home, data_dir: Path, state: State) -> Broker:
    bootstrap = _bootstrap(state)
    if state.owner not in {None, os.getpid()}:
        raise AlreadyRunning(data_dir, bootstrap, state.owner or 0)
    if not _answers(bootstrap, home, timeout_s=_ANSWER_S):
        raise UserError(
            f"Kafka runs for {data_dir} (process {state.pid}) but has not answered on {bootstrap} "
            f"for {_ANSWER_S:.0f} s. `burnrate kafka stop` ends it; its log is {home.log}"
        )
    return Broker(bootstrap=bootstrap, pid=state.pid, owner=state.owner, reused=True, log=home.log)


def _launched(home: Home, owner: int | None) -> Broker:
    cache = jars.user_cache()
    classpath = ":".join(map(str, jars.ready(cache)))
    runtime = java.find()
    classes = archive.archive_of(cache, runtime, JVM_OPTIONS, classpath)
    flags = archive.flags(classes, home.class_list)
    command = [str(runtime.program), *flags, *JVM_OPTIONS, "-cp", classpath]
    home.fresh_scratch()
    if not home.cluster_id():
        _format(home, command)
    try:
        broker = _on_some_port(home, command, owner)
    except UserError:
        if not failures.jvm_crashed(home.log) or not classes.exists():
            raise
        classes.unlink()  # the one part of this that nobody else has tried: go on without it
        return _launched(home, owner)
    archive.make_in_background(classes, home.class_list, runtime, JVM_OPTIONS, classpath)
    return broker


def _format(home: Home, command: Sequence[str]) -> None:
    # into a folder beside, renamed when it is whole: a start that is cut short leaves nothing
    beside = home.folder / "data.new"
    shutil.rmtree(beside, ignore_errors=True)
    shutil.rmtree(home.data, ignore_errors=True)
    config = home.folder / "format.properties"
    config.write_text(properties(port=1, controller_port=2, folder=beside.name), encoding="ascii")
    tool = ["kafka.tools.StorageTool", "format", "-t", _new_cluster_id(), "-c", str(config)]
    done = subprocess.run(  # noqa: S603  (Kafka's own tool)
        [*command, *tool], cwd=home.folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise failures.ended("Kafka could not prepare its folder", done.stdout + done.stderr)
    beside.rename(home.data)
    config.unlink()


def _new_cluster_id() -> str:
    """A random UUID as Kafka writes it: base64, and no "-" in front, which reads as an option."""
    while (text := urlsafe_b64encode(uuid.uuid4().bytes).decode()).startswith("-"):
        pass
    return text.rstrip("=")


def _on_some_port(home: Home, command: Sequence[str], owner: int | None) -> Broker:
    known = home.state()
    for _ in range(_PORT_TRIES):
        if known.pid:  # it was killed
            ports.wait_for(known.port)
        port = ports.free(known.port)
        state = State(port=port, controller_port=ports.free(known.controller_port, but=port))
        pid = _spawn(home, command, state, owner)
        state = msgspec.structs.replace(state, pid=pid, owner=owner)
        home.write_state(state)
        if _up(home, state):
            bootstrap = _bootstrap(state)
            return Broker(bootstrap=bootstrap, pid=pid, owner=owner, reused=False, log=home.log)
        _end_and_reap(home)
        if not failures.port_taken(home.log):
            break
        known = State()  # somebody was quicker: choose anew
    home.write_state(msgspec.structs.replace(known, pid=0, owner=None))
    raise failures.ended("Kafka did not start", failures.tail(home.log), home.log)


def _spawn(home: Home, command: Sequence[str], state: State, owner: int | None) -> int:
    config = properties(state.port, state.controller_port, home.data.name)
    home.config.write_text(config, encoding="ascii")
    if home.log.exists():
        home.log.replace(home.log.with_suffix(".log.1"))
    arguments = [*command, "kafka.Kafka", str(home.config)]
    # a session of its own: Ctrl-C and a closed terminal are for its owner, which ends it in order
    leash = [sys.executable, "-I", "-S", str(Path(__file__).with_name("leash.py"))]
    with home.log.open("w") as log:
        child = subprocess.Popen(  # noqa: S603  (Kafka)
            arguments if owner is None else [*leash, *arguments],
            cwd=home.folder,
            stdin=subprocess.DEVNULL if owner is None else subprocess.PIPE,
            stdout=log if owner is None else subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    _children[home.folder] = child
    # the leash's first line is the number of the process on it
    return int(child.stdout.readline()) if child.stdout else child.pid


def _up(home: Home, state: State) -> bool:
    """Wait until the broker answers; False where it ended instead."""
    deadline = time.monotonic() + _START_S
    while _children[home.folder].poll() is None and time.monotonic() < deadline:
        if _answers(_bootstrap(state), home, timeout_s=0.5):
            return True
    return False


def _answers(bootstrap: str, home: Home, timeout_s: float) -> bool:
    """Whether this folder's broker answers there, and not a stranger that took its port."""
    from confluent_kafka import KafkaException  # noqa: PLC0415  (slow to import)
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    settings = {
        "bootstrap.servers": bootstrap,
        "log_level": 0,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 50,
    }
    try:
        found = AdminClient(settings).list_topics(timeout=timeout_s)
    except KafkaException:
        return False
    return bool(found.cluster_id == home.cluster_id())


def _reap(home: Home) -> None:
    if child := _children.pop(home.folder, None):
        child.communicate()


def _end_and_reap(home: Home) -> None:
    if (process := _process(home)) is not None:
        _end(process)
    _reap(home)


def _end(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(_STOP_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)
