"""`burnrate route`: who is told of an incident, how and when."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from app import config
from app.commands.rehearsal import BURNING, STILL_BURNS, Case, Telling, cases
from app.commands.terminal import console, plain, say_json, table
from app.commands.worker import Document, settings
from app.config import Policy
from app.core.notices import Severity
from app.core.ownership import Route
from app.core.vitals import ALERTER
from app.delivery import words
from app.delivery.pagerduty import SEVERITIES
from app.delivery.secrets import Found, Secrets, service_of
from app.delivery.wording import destination_name
from app.errors import UserError

USAGE = 2


@click.command()
@click.option("--slo", required=True, help=f"Its id, or {ALERTER!r} for the alerter itself.")
@click.option("--severity", required=True, type=click.Choice(["P1", "P2"], case_sensitive=False))
@click.option("--config", "folder", type=click.Path(path_type=Path), help="BURNRATE_CONFIG's.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def route(slo: str, severity: Severity, folder: Path | None, *, as_json: bool) -> None:
    """Who is told of an incident, how and when, and whether their secrets are here.

    \b
    Example:
      burnrate route --slo availability --severity P1
    """  # noqa: D301 - \b is click's
    policy = config.load(folder or settings().config_dir)
    family, _, value = slo.partition(":")
    policy = policy.seeing({family: [value]})  # so that a group's route is told before it is seen
    if slo not in policy.ownership.routes:
        known = ", ".join(policy.ownership.routes)
        raise UserError(f"there is no SLO {slo!r}; known are {known}", exit_code=USAGE)
    found = cases(policy, slo, severity)
    names = dict.fromkeys(name for case in found for name in case.destinations)
    secrets = Secrets()
    looked_up = {name: secrets.lookup(name) for name in names}
    if as_json:
        say_json(_document(policy, slo, severity, found, looked_up))
    else:
        _say(console(), policy, slo, severity, found, looked_up)


def _title(policy: Policy, slo: str) -> str:
    return "The alerter itself" if slo == ALERTER else policy.slos[slo].title


def _unheard(policy: Policy, found: Iterable[Case]) -> list[str]:
    """Owners whom a mention in Slack does not notify."""
    mentioned = {name for case in found for telling in case.timeline for name in telling.mentions}
    return sorted(mentioned - policy.ownership.slack_ids.keys())


def _say(
    out: Console,
    policy: Policy,
    slo: str,
    severity: Severity,
    found: Sequence[Case],
    looked_up: dict[str, Found],
) -> None:
    row = policy.ownership.routes[slo]
    head = f"{_title(policy, slo)}, {severity}: {row.owner}, {row.channel}"
    out.print(plain(head, "bold"), soft_wrap=True)
    if not found:
        out.print(plain(f"None of its rules is {severity}, so nobody is told."))
        return
    for case in found:
        out.print()
        apart = ", an incident of its own" if case.apart else ""
        out.print(plain(f"When {_either(case.rules)} fires{apart}:"), soft_wrap=True)
        out.print(_timeline(case, row, severity))
    out.print()
    for line in _remarks(policy, found):
        out.print(plain(line, "quiet"), soft_wrap=True)
    out.print(_secrets(looked_up))


def _either(rules: Sequence[str]) -> str:
    *most, last = rules
    return f"{', '.join(most)} or {last}" if most else last


def _timeline(case: Case, row: Route, severity: Severity) -> Table:
    made = table("When", "Who", "How", "Only if")
    for telling in case.timeline:
        when, only = _moment(telling), telling.only
        for name in telling.destinations:
            how = _how(telling, name, severity)
            made.add_row(plain(when), plain(destination_name(name)), plain(how), plain(only))
            when = only = ""
    for name in case.reminded:
        hours = f"{case.reminder_s // 3600} h"
        silence = f"nothing was told for {hours}"
        made.add_row(*map(plain, (f"every {hours}", destination_name(name), "reminder", silence)))
    when = "resolved"
    for name in case.resolved:
        how = "message" if service_of(name) == "slack" else "resolve, where it was paged"
        made.add_row(*map(plain, (when, destination_name(name), how, "")))
        when = ""
    if row.stop_on == "ack":
        made.add_row(*map(plain, ("taken", "", "ends the escalation", "")))
    return made


def _moment(telling: Telling) -> str:
    after = words.span(telling.after_s) if telling.after_s else "0 min"
    return f"from +{after}" if telling.conditional else f"+{after}"


def _how(telling: Telling, name: str, severity: Severity) -> str:
    if service_of(name) == "pagerduty":
        return f"page, {SEVERITIES[severity]}"
    return f"message to {', '.join(telling.mentions)}"


def _remarks(policy: Policy, found: Sequence[Case]) -> Iterable[str]:
    if any(STILL_BURNS in telling.only for case in found for telling in case.timeline):
        yield BURNING
    if unheard := _unheard(policy, found):
        yield f"No slack_id, so a mention in Slack notifies nobody: {', '.join(unheard)}."


def _secrets(looked_up: dict[str, Found]) -> Table:
    made = table("Destination", "Secret", "Here")
    for name, found in looked_up.items():
        here = found.hint.removeprefix(f"{found.variable} ") or "is set"
        style = "good" if not found.hint else "warn" if found.secret else "bad"
        made.add_row(plain(destination_name(name)), plain(found.variable), plain(here, style))
    return made


def _document(
    policy: Policy,
    slo: str,
    severity: Severity,
    found: Sequence[Case],
    looked_up: dict[str, Found],
) -> Document:
    row = policy.ownership.routes[slo]
    return {
        "slo": slo,
        "severity": severity,
        "owner": row.owner,
        "channel": row.channel,
        "stopOn": row.stop_on,
        "cases": [_case(case) for case in found],
        "destinations": [
            {
                "destination": name,
                "variable": one.variable,
                "configured": one.secret is not None,
                "hint": one.hint,
            }
            for name, one in looked_up.items()
        ],
        "withoutSlackId": _unheard(policy, found),
    }


def _case(case: Case) -> Document:
    return {
        "rules": case.rules,
        "timeline": [
            {
                "after_s": telling.after_s,
                "kind": telling.kind,
                "destinations": telling.destinations,
                "mentions": telling.mentions,
                "onlyIf": telling.only,
            }
            for telling in case.timeline
        ],
        "reminder": {"every_s": case.reminder_s, "destinations": case.reminded},
        "resolve": {"destinations": case.resolved},
    }
