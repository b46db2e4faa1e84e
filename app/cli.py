"""`burnrate`: the commands, each imported when it is called, so that `--help` stays quick."""

import sys
import traceback
from importlib import import_module
from typing import NamedTuple, NoReturn

import click
from click.shell_completion import CompletionItem

from app.errors import UserError

EXIT_SOFTWARE = 70  # an error of our own: a supervisor may start the process again


class Command(NamedTuple):
    """Where a command is (`module:name`), and its line in `burnrate --help`."""

    target: str
    help: str


COMMANDS = {
    "up": Command("app.local.up:up", "Everything on this machine: Kafka, worker, page, data."),
    "worker": Command("app.local.worker_command:worker", "One worker, for production."),
    "bridge": Command("app.bridge.command:bridge", "Kokino's databases into Kafka."),
    "check": Command("app.commands.check:check", "Is the configuration sound?"),
    "status": Command("app.commands.show:status", "SLOs, budgets, burn rates, open incidents."),
    "incidents": Command("app.commands.show:incidents", "Incidents, newest first."),
    "ack": Command("app.commands.operate:ack", "Take an incident."),
    "resolve": Command("app.commands.operate:resolve", "End an incident."),
    "silence": Command("app.commands.operate:silence", "Hold back what an SLO has to tell."),
    "silences": Command("app.commands.operate:silences", "What is held back now."),
    "unsilence": Command("app.commands.operate:unsilence", "End a silence."),
    "maintenance": Command("app.commands.maintain:maintenance", "Windows nobody is told of."),
    "correct": Command("app.commands.correct:correct", "Take wrongly counted events out."),
    "deliveries": Command("app.commands.deliveries:deliveries", "Every attempt to tell."),
    "rejected": Command("app.commands.rejected:rejected", "Events that could not be read."),
    "route": Command("app.commands.route:route", "Who is told, how and when."),
    "notify-test": Command("app.commands.notify:notify_test", "Send one test message."),
    "gate": Command("app.commands.gate:gate", "May this be deployed?"),
    "report": Command("app.commands.report:report", "Month by month: the seed's table."),
    "backtest": Command("app.backtest.command:backtest", "What a policy would have told."),
    "test": Command(
        "app.backtest.expectations_command:test", "Does the policy do as its tests say?"
    ),
    "export": Command("app.exchange.command:export", "The policy for Prometheus or as OpenSLO."),
    "import": Command("app.exchange.command:import_", "A policy from OpenSLO."),
    "completion": Command("app.commands.completion:completion", "Completion for your shell."),
    "kafka": Command("app.local.kafka_cli:kafka", "Start, stop and look at the local Kafka."),
}
"""Every command. A new one is a line here; its module is imported when it is called."""


class _Lazy(click.Group):
    """A group whose commands are imported on use, with `COMMANDS` for their names and help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].target.partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)  # the table is wrong otherwise
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names come from the table, so that no module is imported for a press of the tab key."""
        known = [(n, c) for n, c in COMMANDS.items() if n.startswith(incomplete)]
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=command.help) for name, command in known]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="burnrate")
def burnrate() -> None:
    """SLO burn rates of Kokino's headless executions: judged, told to people, shown."""


def _fail(message: str, exit_code: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(exit_code)


def main() -> None:
    """Run `burnrate`; a UserError becomes `error: …` on stderr and its exit code."""
    try:
        burnrate(prog_name="burnrate")
    except UserError as error:
        _fail(error.message, error.exit_code)
    except Exception:  # noqa: BLE001 - the process ends here, and says so
        traceback.print_exc()
        _fail("this is a fault in burnrate itself, shown above", EXIT_SOFTWARE)


if __name__ == "__main__":
    main()
