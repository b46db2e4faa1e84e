"""`burnrate check`: whether the configuration is sound."""

from pathlib import Path

import click

from app import config
from app.commands.terminal import console, plain
from app.commands.worker import settings
from app.config import ConfigError

FINDINGS = 1


@click.command()
@click.argument("config_dir", type=click.Path(path_type=Path), required=False)
@click.pass_context
def check(context: click.Context, config_dir: Path | None) -> None:
    """Check a configuration folder, BURNRATE_CONFIG's unless one is given.

    Every error is a line with file and path, and the exit code 1. Hints are no errors.
    """
    folder = config_dir or settings().config_dir
    out = console()
    try:
        policy = config.load(folder)
    except ConfigError as error:
        for line in error.errors:
            out.print(plain(line), soft_wrap=True)
        context.exit(FINDINGS)
    for hint in config.hints(policy):
        out.print(plain(f"hint: {hint}", "quiet"), soft_wrap=True)
    routes = policy.ownership.routes.values()
    owners = {route.owner for route in routes}
    out.print(plain(f"fine: {len(policy.slos)} SLOs, {len(owners)} owners", "good"))
