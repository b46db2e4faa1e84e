"""What is allowed but deserves a thought."""

from app.config.policy import Policy
from app.core import budgets


def hints(policy: Policy) -> list[str]:
    """What is allowed but deserves a thought."""
    found = [
        f"owners.{owner}: no slack_id, so a mention in Slack notifies nobody"
        for owner in sorted(_owners(policy))
        if owner not in policy.ownership.slack_ids
    ]
    for slo in policy.slos.values():
        for rule in slo.burns:
            if slo.basis == "events":
                share = rule.consumed * budgets.error_ratio(slo.objective)
                found.append(
                    f"{slo.id}.burn.{rule.id}: fires when bad events of one window "
                    f"({rule.window_s} s) are more than {share:.2%} of a period's traffic"
                )
    return found


def _owners(policy: Policy) -> set[str]:
    routes = policy.ownership.routes.values()
    return {r.owner for r in routes} | {to for r in routes for s in r.steps for to in s.to}
