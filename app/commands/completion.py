"""`burnrate completion`: what a shell needs to complete commands, options and names."""

import click
from click.shell_completion import get_completion_class

PROGRAM, VARIABLE = "burnrate", "_BURNRATE_COMPLETE"
SHELLS = ("bash", "zsh", "fish")

_EPILOG = """\b
Examples:
  source <(burnrate completion bash)                 in this shell; put it into ~/.bashrc to keep it
  burnrate completion zsh > ~/.zfunc/_burnrate       with ~/.zfunc in $fpath before compinit
  burnrate completion fish > ~/.config/fish/completions/burnrate.fish
"""


@click.command(epilog=_EPILOG)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """A script that makes SHELL complete burnrate's commands and options."""
    made = get_completion_class(shell)
    assert made is not None  # of SHELLS each has one
    click.echo(made(context.find_root().command, {}, PROGRAM, VARIABLE).source())
