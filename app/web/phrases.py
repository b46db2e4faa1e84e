"""A status and an incident in words, for the page and the terminal. Pure."""

from math import inf
from typing import Literal, NamedTuple

from app.core.ownership import Route
from app.delivery import words
from app.web.views import Document, ms_of

Tone = Literal["good", "warn", "bad", "quiet"]

NOT_KNOWN = "\u2013"  # a dash
_LOW_IS_GOOD = frozenset({"quantile", "mean"})
_LITTLE_LEFT = 0.25


class State(NamedTuple):
    """How an SLO stands, and how much that should worry."""

    text: str
    tone: Tone


class Step(NamedTuple):
    """A step of the escalation in words."""

    text: str
    when: str
    state: Literal["done", "due", "waiting", "stopped"]
    at: str | None = None  # when it is due


def state(slo: Document, incidents: dict[str, Document]) -> State:
    """An SLO in a word or two: the worst that is to be said of it."""
    found = [incidents[key] for key in slo["incidents"] if key in incidents]
    if found:
        worst = min(found, key=lambda one: (one["severity"], one["state"] != "firing"))
        text = f"{worst['severity']} {worst['state']}"
        return State(text, "bad" if worst["severity"] == "P1" else "warn")
    if slo["incidents"]:
        return State("firing", "bad")
    if not slo["judged"]:
        return State("not judged yet", "quiet")
    if slo["frozen"]:
        return State("budget spent", "bad")
    if slo["noData"]:
        return State("no data", "quiet")
    return State("good", "good") if meets_target(slo) else State("misses target", "warn")


def full(slo: Document) -> str:
    """That an SLO has the events of values for which there is no group left; "" where it is not."""
    rest = slo.get("rest")
    if rest is None or rest["groups"] < rest["most"]:
        return ""
    groups = "its only group is" if rest["most"] == 1 else f"all {rest['most']} groups are"
    return f"{groups} taken, further values of {rest['by']} count here"


def meets_target(slo: Document) -> bool:
    """Whether the headline figure is where it should be."""
    headline = slo["headline"]
    value, target = headline["value"], headline["target"]
    if value is None:
        return True
    return bool(value < target if headline["kind"] in _LOW_IS_GOOD else value >= target)


def headline(slo: Document) -> str:
    """The headline figure."""
    found = slo["headline"]
    return amount(found["value"], found["unit"], found["target"])


def target(slo: Document) -> str:
    """What the headline figure should be, and over which time."""
    found = slo["headline"]
    sign = "<" if found["kind"] in _LOW_IS_GOOD else "≥"
    name = {"quantile": "P95 ", "mean": "mean "}.get(found["kind"], "")
    written = limit(found["target"], found["unit"])
    return f"{name}{sign} {written} over {words.window(found['window'])}"


def limit(value: float, unit: str) -> str:
    """A limit as it was written: 0.995 → "99.5 %", 30000 ms → "30 s"."""
    scaled = {"ratio": value * 100, "ms": value / 1000}.get(unit, value)
    return f"{round(scaled, 6):g} { ({'ratio': '%', 'ms': 's', 'MB': 'MB'}.get(unit, '')) }".strip()


def amount(value: float | str | None, unit: str, apart_from: float | None = None) -> str:
    """A value in its unit, a dash where it is not known."""
    return NOT_KNOWN if value is None else words.amount(float(value), unit, apart_from)


def burn(rate: float | str | None) -> str:
    """A burn rate: 1.0 spends the budget in exactly the compliance period."""
    if rate is None:
        return NOT_KNOWN
    number = float(rate)
    return "∞" if number == inf else f"{number:.1f}×" if number < 100 else f"{number:.0f}×"  # noqa: RUF001


def burns_fast(rate: float | str | None) -> bool:
    """Whether this rate spends more than the budget."""
    return rate is not None and float(rate) > 1


def budget_left(slo: Document) -> float | None:
    """Share of the budget that is left, below 0 when overspent; None without a budget."""
    remaining = slo["budget"]["remaining"]
    if remaining is None or slo["objective"] >= 1:
        return None
    return float(remaining)


def budget_words(slo: Document) -> str:
    """The budget that is left."""
    if slo["objective"] >= 1:
        return "none: any failure counts"
    left = budget_left(slo)
    return NOT_KNOWN if left is None else words.amount(left, "ratio")


def budget_tone(slo: Document) -> Tone:
    """How much the budget should worry."""
    left = budget_left(slo)
    if left is None:
        return "quiet"
    if left <= 0:
        return "bad"
    return "warn" if left < _LITTLE_LEFT else "good"


def forecast(slo: Document) -> str:
    """When the budget will be gone; empty where nobody can say."""
    left_s = slo["budget"]["exhaustedIn_s"]
    if left_s is None or slo["objective"] >= 1 or float(left_s) == inf:
        return ""
    return f"gone in {words.span(float(left_s))}" if left_s else "spent"


def time(text: str | None) -> str:
    """A document's time as people read it."""
    return words.utc(ms_of(text)) if text else NOT_KNOWN


def ago(text: str | None, as_of: str | None) -> str:
    """How long before or after `as_of` a time lies; empty where it cannot be told."""
    if not text or not as_of:
        return ""
    ahead_s = (ms_of(text) - ms_of(as_of)) / 1000
    if abs(ahead_s) < 1:
        return "now"
    return f"in {words.span(ahead_s)}" if ahead_s > 0 else f"{words.span(-ahead_s)} ago"


def window(window_s: int) -> str:
    """A window: 3600 → "hour"."""
    return words.window(window_s)


def span(seconds: float) -> str:
    """A span of time: 13480 → "3 h 44 min"."""
    return words.span(seconds)


def burning(slo: Document | None, incident: Document) -> str:
    """What the incident's rules see now, against where they begin to fire."""
    rules = slo["rules"] if slo else []
    found = [
        f"{rule['id']} {rule_value(slo, rule)} ({rule_threshold(slo, rule)}, "
        f"{window(rule['window'])})"
        for rule in rules
        if slo and rule["id"] in incident["rules"]
    ]
    return "; ".join(found)


def next_step(incident: Document, as_of: str | None) -> str:
    """What happens next if nobody does anything; empty where nothing does."""
    if incident["state"] == "resolved":
        return ""
    waiting = [step for step in incident["escalation"] if step["doneAt"] is None]
    if not waiting:
        return ""
    soonest = min(waiting, key=lambda step: (step["dueAt"] is None, step["dueAt"] or ""))
    found = step_of(soonest)
    when = found.when
    if found.at:
        when = f"due {time(found.at)} ({ago(found.at, as_of)}): {soonest['when']}"
    return f"{found.text}, {when}"


def is_stopped(incident: Document, route: Route | None) -> bool:
    """Whether an acknowledgement, or the resolve, has stopped the escalation."""
    taken = incident["acknowledged"] is not None and route is not None and route.stop_on == "ack"
    return taken or incident["state"] == "resolved"


def steps(incident: Document, stopped: bool) -> list[Step]:  # noqa: FBT001 - from templates
    """The escalation, step by step; what is stopped happens no more."""
    return [_stopped(step) if stopped else step for step in map(step_of, incident["escalation"])]


def _stopped(step: Step) -> Step:
    return step if step.state == "done" else Step(step.text, "stopped: does not happen", "stopped")


def step_of(step: Document) -> Step:
    """A step of the escalation."""
    text = f"{step['how']} {step['to']}"
    if step["doneAt"]:
        late = f", {words.span(step['late_s'])} late" if step["late_s"] else ""
        return Step(text, f"done {time(step['doneAt'])}{late}", "done")
    if step["dueAt"] is None:
        return Step(text, f"when: {step['when']}", "waiting")
    return Step(text, f"due {time(step['dueAt'])}: {step['when']}", "due", step["dueAt"])


def is_web(link: str | None) -> bool:
    """Whether a link may be shown as one: no javascript, no file."""
    return bool(link) and str(link).startswith(("https://", "http://"))


def affected(incident: Document) -> str:
    """Where it comes from: the agent, CLI type and error that have most to do with it."""
    worst = {one["by"]: one for one in reversed(incident["evidence"]["contributors"])}
    found = [_share(worst[by]) for by in ("agent_id", "cli_type", "error") if by in worst]
    if incident["conversations"]:
        number = len(incident["conversations"])
        found.append(f"{number:,} conversation{'s'[: number != 1]}")
    return "; ".join(found)


def _share(one: Document) -> str:
    if one["by"] == "error":
        return f"“{one['name']}” {one['bad']:,}\u00d7"
    return f"{one['name']} {one['bad']:,} of {one['total']:,}"


def measure(slo: Document) -> str:
    """What the SLI is."""
    names = {"ratio": "Good share", "quantile": "P95", "mean": "Mean", "distinct": "Sound share"}
    return names[slo["headline"]["kind"]]


def rule_value(slo: Document, rule: Document) -> str:
    """What a rule sees."""
    return amount(rule["value"], _rule_unit(slo, rule))


def rule_threshold(slo: Document, rule: Document) -> str:
    """Where a rule begins to fire."""
    kind = slo["headline"]["kind"]
    if rule["id"] == "breach" and kind == "quantile":
        return f"share slower than {limit(rule['threshold'], 'ms')}"
    sign = "<" if rule["id"] == "breach" and kind == "ratio" else ">"
    return f"{sign} {limit(rule['threshold'], _rule_unit(slo, rule))}"


def _rule_unit(slo: Document, rule: Document) -> str:
    if rule["id"] != "breach":
        return "ratio"
    own: str = slo["headline"]["unit"]
    return {"distinct": "count", "mean": own}.get(slo["headline"]["kind"], "ratio")


def incident(title: str, one: Document) -> str:
    """What an incident is about: its objective and, while any fires, its rules."""
    rules = ", ".join(one["rules"])
    return f"{title}: {rules}" if rules else title


def example_of(example: Document) -> str:
    """A failing execution in a line."""
    parts = [
        example["error"],
        ", ".join(example["issueTypes"]),
        f"conversation {example['conversationId']}" if example["conversationId"] else "",
        f"ticket {example['ticketId']}" if example["ticketId"] else "",
        amount(example["duration_ms"], "ms") if example["duration_ms"] is not None else "",
        amount(example["memory_mb"], "MB") if example["memory_mb"] is not None else "",
    ]
    return " · ".join(part for part in parts if part)
