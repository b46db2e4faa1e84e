"""Files that are no configuration: each is told with its line, none ends in a traceback."""

# ruff: noqa: E501 - the table of faults reads across

import shutil
from pathlib import Path

import pytest

from app import config
from tests.core.policies import ROOT

SLOS = (ROOT / "config/slos.yaml").read_bytes()
LINES = SLOS.count(b"\n")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "1: empty"),
        (b"# only a comment\n", "1: empty"),
        (b"slos:\n\t- id: x", "2: not YAML: found character '\\t' that cannot start any token"),
        (b"slos:\n  \xff", "2: no UTF-8: invalid start byte"),
        (SLOS + b"\0", f"{LINES + 1}: not YAML: special characters are not allowed"),
        (SLOS + b"slos: []", f"{LINES + 1}: not YAML: 'slos' stands twice"),
        (b"a: 1\n? [b, c]\n: 1", "2: not YAML: a key is a plain word"),
        (b"slos:\n  2026-99-99", "2: not YAML: '2026-99-99' is no possible date or number"),
        (b"slos:\n " + b"9" * 5000, f"2: not YAML: '{'9' * 40}' is no possible date or number"),
        (b"slos:\n " + b"[" * 3000, "2: not YAML: nested too deeply"),
        (b"slos: *nobody", "1: not YAML: found undefined alias 'nobody'"),
        (b"slos:\n  &a [1, {b: *a}]", "2: not YAML: an anchor within itself"),
        (b'slos:\n  "\\ud800"', "2: not YAML: '\\ud800' is no text"),
        (b"<<: {}", "1: not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:merge'"),
        (SLOS + b"---\nslos: []", f"{LINES + 2}: more than one document"),
        (b"- 1", "1: the file: keys with values are needed here"),
        (b"slos: {a: 1}", "1: slos: a list is needed here"),
        (b"slos: []", "1: slos: at least one is needed"),
        (SLOS.replace(b"    objective: 0.995", b"    by: {cli_type: {most: 501}}\n    objective: 0.995"), "20: slos.0 (availability).by.cli_type: list the values, or write {most: 20}, 500 at most"),
        (b"defaults: {}", "1: slos: missing"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_told_with_its_line(
    tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "slos.yaml"
    file.write_bytes(content)
    shutil.copy(ROOT / "config/ownership.yaml", tmp_path)
    assert f"{file}:{told}" in list(map(str, config.examine(tmp_path).findings))
