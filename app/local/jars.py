"""Kafka's jars: named and hashed in `kafka-jars.lock`, fetched once for each user, checked always.

A jar comes from Maven Central by its coordinates, without Maven. `python -m app.local.jars
VERSION` makes the lock anew.
"""

import errno
import fcntl
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec

from app.errors import UserError
from app.local.progress import steps

LOCK = Path(__file__).with_name("kafka-jars.lock")

_AT_ONCE = 4  # downloads: each is mostly waiting
_TRIES = 3
_TIMEOUT_S = 30


class Jar(msgspec.Struct, frozen=True):
    """One locked jar: Maven coordinates `group:artifact:version`, and its SHA-256 in hex."""

    coordinates: str
    sha256: str

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a line of the lock; raises ValueError where it is not `g:a:v sha256=hex`."""
        coordinates, separator, sha256 = line.partition(" sha256=")
        if not separator or coordinates.count(":") != 2 or len(sha256) != 64:
            raise ValueError(f"{LOCK.name}: cannot read the line {line!r}")
        return cls(coordinates, sha256)

    @property
    def filename(self) -> str:
        """The jar's file name, as Maven has it."""
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"


Download = Callable[[Jar, Path], Path]
"""Brings a jar somewhere below the folder and gives its path; raises where it cannot."""


def locked(path: Path = LOCK) -> tuple[Jar, ...]:
    """The jars of the lock, in its order."""
    lines = (line.strip() for line in path.read_text(encoding="ascii").splitlines())
    return tuple(Jar.parse(line) for line in lines if line and not line.startswith("#"))


def user_cache() -> Path:
    """The folder that all data folders of this user share: `$XDG_CACHE_HOME/burnrate`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "burnrate"


def from_maven(jar: Jar, folder: Path) -> Path:
    """Bring one jar from Maven Central."""
    from jgo.maven import MavenContext  # noqa: PLC0415  (slow to import, needed once)

    context = MavenContext(repo_cache=folder, timeout=_TIMEOUT_S)
    return Path(context.create_dependency(jar.coordinates).artifact.resolve())


def ready(
    cache: Path, jars: Sequence[Jar] = (), download: Download = from_maven
) -> tuple[Path, ...]:
    """Every jar's path in `cache`, after fetching those that are missing.

    Raises UserError where a jar cannot be fetched, or is not the one that was locked.
    """
    wanted = jars or locked()
    folder = cache / "jars"
    paths = tuple(folder / jar.filename for jar in wanted)
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):  # a second starter waits here, then finds everything
            missing = [jar for jar in wanted if not (folder / jar.filename).exists()]
            _fetch_all(missing, folder, download)
    return paths


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch_all(jars: Sequence[Jar], folder: Path, download: Download) -> None:
    # beside their final place, so that the move into it is a rename: all of a jar or nothing
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as fetching,
        ThreadPoolExecutor(_AT_ONCE) as pool,
        steps("Fetching Apache Kafka (once, 44 MB)", len(jars)) as step,
    ):
        fetches = [pool.submit(_fetch, jar, folder, Path(fetching), download) for jar in jars]
        try:
            for fetch in as_completed(fetches):
                fetch.result()
                step()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            wait(fetches, return_when=FIRST_EXCEPTION)
            raise


def _fetch(jar: Jar, folder: Path, fetching: Path, download: Download) -> None:
    fetched = _try_to_fetch(jar, fetching, download)
    sha256 = hashlib.sha256(fetched.read_bytes()).hexdigest()
    if sha256 != jar.sha256:
        raise UserError(
            f"{jar.filename} is not the file that was locked, so it was not used: its SHA-256 is "
            f"{sha256}, {LOCK.name} says {jar.sha256}.\n"
            "Something between here and Maven Central changes files (a proxy?), or the lock is "
            "wrong. BURNRATE_KAFKA=host:port uses another broker and needs none of these files."
        )
    fetched.replace(folder / jar.filename)


def _try_to_fetch(jar: Jar, fetching: Path, download: Download) -> Path:
    fault: Exception | None = None
    for attempt in range(_TRIES):
        try:
            return download(jar, fetching / str(attempt))
        except Exception as error:  # whatever the HTTP client raises: try again
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            fault = error
    raise UserError(
        f"Apache Kafka could not be fetched: {jar.coordinates} did not come from Maven Central "
        f"({_cause(fault)}).\n"
        "Look at the network (HTTPS_PROXY is honoured) and try again: what has arrived is kept. "
        "Or name a broker that runs already: BURNRATE_KAFKA=host:port"
    ) from fault


def _cause(error: BaseException | None) -> str:
    """The innermost cause in one line: HTTP clients wrap theirs several times over."""
    while error is not None and (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no answer'}"


def resolve(kafka_version: str) -> tuple[str, ...]:
    """The coordinates of everything that Kafka of this version needs at run time, sorted."""
    from jgo.maven import MavenContext  # noqa: PLC0415  (slow to import, needed once)

    with tempfile.TemporaryDirectory() as poms:
        context = MavenContext(repo_cache=Path(poms), timeout=_TIMEOUT_S)
        kafka = context.create_dependency(f"org.apache.kafka:kafka_2.13:{kafka_version}")
        found = [part for parts in context.resolver.resolve([kafka]) for part in parts]
        names = {f"{one.groupId}:{one.artifactId}:{one.version}" for one in found}
    # Kafka logs through slf4j; the simple backend of the same version writes lines to a stream
    api = next(name for name in names if name.startswith("org.slf4j:slf4j-api:"))
    return tuple(sorted({*names, api.replace("slf4j-api", "slf4j-simple")}))


def _lock_line(coordinates: str, folder: Path) -> str:
    path = from_maven(Jar(coordinates, ""), folder)
    return f"{coordinates} sha256={hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def main(kafka_version: str) -> None:
    """Write the lock for this version of Kafka."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        names = resolve(kafka_version)
        lines = pool.map(lambda name: _lock_line(name, Path(folder)), names)
        head = (
            f"# Apache Kafka {kafka_version}; made by `python -m app.local.jars {kafka_version}`\n"
        )
        LOCK.write_text(head + "".join(lines), encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1])
