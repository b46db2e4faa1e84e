"""Sweeps: one setting of the rules over a range of values, counted once and judged for each.

`alerts.fast-burn.consumed=0.02..0.2` is ten values; `…=0.02..0.2/5` five, `…=0.05,0.1,0.2` those.
`alerts.availability.fast-burn.consumed` means one SLO alone. Durations are written as 5m or 1h.
"""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from msgspec.structs import replace

from app.backtest.running import Run
from app.backtest.scoring import Card, card
from app.config import Policy
from app.core.labels import Label
from app.core.slos import Slo, family_of
from app.errors import UserError

VALUES = 10
MOST_VALUES = 100

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATIONS = {"window": "window_s", "for": "for_s", "keep_firing_for": "keep_firing_s"}
_WHOLE = {"min_bad", "min_total"}
_SHARES = {"threshold", "consumed", "confidence", "lifts_below"}
_FIELDS = (*_DURATIONS, *sorted(_WHOLE), *sorted(_SHARES))
_RULES = ("breach", "fast-burn", "slow-burn", "freeze")
_EXPRESSION = re.compile(
    r"alerts\.(?:(?P<slo>[a-z0-9-]+(?::[\w.-]+)?)\.)?(?P<rule>[a-z-]+)\.(?P<field>\w+)=(?P<values>.+)"
)
_RANGE = re.compile(r"(?P<low>[^/]+?)\.\.(?P<high>[^/]+?)(?:/(?P<number>\d+))?")
EXAMPLE = "alerts.fast-burn.consumed=0.02..0.2"


class Axis(NamedTuple):
    """What is swept: the setting, and its values as they are written."""

    slo: str | None
    rule: str
    field: str
    values: tuple[Decimal, ...]  # durations in seconds

    @property
    def name(self) -> str:
        """The setting, as it is written."""
        return ".".join(part for part in ("alerts", self.slo, self.rule, self.field) if part)

    def text(self, value: Decimal) -> str:
        """A value as people write it."""
        if self.field not in _DURATIONS:
            return f"{value.normalize():f}"
        whole = int(value)
        unit = next(u for u in ("d", "h", "m", "s") if whole % _UNITS_S[u] == 0)
        return f"{whole // _UNITS_S[unit]}{unit}" if whole else "0s"


class Tried(NamedTuple):
    """One value, and how the policy did with it."""

    value: float
    text: str
    card: Card


class Sweep(NamedTuple):
    """The trade-off."""

    axis: Axis
    tried: tuple[Tried, ...]


def axis_of(expression: str) -> Axis:
    """Read a sweep's expression; raises UserError saying what is wrong."""
    match = _EXPRESSION.fullmatch(expression.strip())
    if match is None:
        raise _bad(expression, "it has the form alerts.RULE.FIELD=LOW..HIGH")
    slo, rule, field, values = match["slo"], match["rule"], match["field"], match["values"]
    if rule not in _RULES:
        raise _bad(expression, f"there is no rule {rule!r}; rules are {', '.join(_RULES)}")
    if field not in _FIELDS:
        raise _bad(expression, f"no rule has {field!r}; there are {', '.join(_FIELDS)}")
    axis = Axis(slo, rule, field, tuple(_values(expression, field, values)))
    for value in axis.values:
        _check(expression, field, value)
    return axis


def _bad(expression: str, why: str) -> UserError:
    return UserError(f"--sweep {expression}: {why}; for example {EXAMPLE}", exit_code=2)


def _values(expression: str, field: str, text: str) -> list[Decimal]:
    match = _RANGE.fullmatch(text)
    if match is None:
        return [_value(expression, field, one) for one in text.split(",")]
    low, high = (_value(expression, field, match[end]) for end in ("low", "high"))
    if low >= high:
        raise _bad(expression, f"{match['low']} is not below {match['high']}")
    is_whole = field in _WHOLE and high - low < VALUES
    number = int(match["number"] or (high - low + 1 if is_whole else VALUES))
    if not 2 <= number <= MOST_VALUES:
        raise _bad(expression, f"{number} values: give 2 to {MOST_VALUES}")
    steps = [low + (high - low) * step / (number - 1) for step in range(number)]
    return list(dict.fromkeys(_rounded(field, step) for step in steps))


def _value(expression: str, field: str, text: str) -> Decimal:
    duration = re.fullmatch(r"(\d+)([smhd])", text.strip())
    if field in _DURATIONS:
        if duration is None:
            raise _bad(expression, f"{text!r} is no duration such as 30s, 5m or 1h")
        return Decimal(duration[1]) * _UNITS_S[duration[2]]
    if re.fullmatch(r"\d+(\.\d+)?", text.strip()) is None:
        raise _bad(expression, f"{text!r} is no number")
    return Decimal(text.strip())


def _rounded(field: str, value: Decimal) -> Decimal:
    """To what can be written: whole numbers, windows of whole slots, six digits."""
    if field == "window":
        return (value / 10).quantize(Decimal(1)) * 10
    if field in _DURATIONS or field in _WHOLE:
        return value.quantize(Decimal(1))
    return value.quantize(Decimal("0.000001"))


def _check(expression: str, field: str, value: Decimal) -> None:
    if field == "window" and (value % 10 or not 10 <= value <= 30 * 86_400):
        raise _bad(expression, "a window is a multiple of 10s, 30d at most")
    if field in _WHOLE and value % 1:
        raise _bad(expression, f"{field} is a whole number")
    if field == "confidence" and not Decimal("0.5") <= value < 1:
        raise _bad(expression, "confidence lies between 0.5 and 1")
    if field in ("consumed", "lifts_below") and value <= 0:
        raise _bad(expression, f"{field} is above 0")


def policies(axis: Axis, policy: Policy) -> list[Policy]:
    """The policy with each of the values; raises UserError where nothing has that setting."""
    if axis.slo is not None and not list(_concerned(axis, policy)):
        known = ", ".join(policy.slos)
        raise UserError(f"--sweep {axis.name}: no SLO {axis.slo!r}; there are {known}", exit_code=2)
    swept = [_with(axis, policy, value) for value in axis.values]
    if all(one.slos == policy.slos for one in swept) and not _has_setting(axis, policy):
        raise UserError(f"--sweep {axis.name}: no SLO has that setting", exit_code=2)
    return swept


def _concerned(axis: Axis, policy: Policy) -> Iterator[Slo]:
    """The SLO that is named, all groups of the one that is named, or all there are."""
    slos = policy.slos.values()
    return (slo for slo in slos if axis.slo in (None, slo.id, family_of(slo.id)))


def _has_setting(axis: Axis, policy: Policy) -> bool:
    return any(_holder(axis, slo) is not None for slo in _concerned(axis, policy))


def _holder(axis: Axis, slo: Slo) -> Any | None:  # noqa: ANN401 - one of three kinds of rule
    """The rule that has the setting."""
    rules = {"breach": slo.breach, "freeze": slo.freeze, **{rule.id: rule for rule in slo.burns}}
    rule = rules.get(axis.rule)
    name = _DURATIONS.get(axis.field, axis.field)
    return rule if rule is not None and name in rule.__struct_fields__ else None


def _with(axis: Axis, policy: Policy, value: Decimal) -> Policy:
    changed = {slo.id: _changed(axis, slo, value) for slo in _concerned(axis, policy)}
    return replace(policy, slos={**policy.slos, **changed})


def _changed(axis: Axis, slo: Slo, value: Decimal) -> Slo:
    rule = _holder(axis, slo)
    if rule is None:
        return slo
    whole = axis.field in _DURATIONS or axis.field in _WHOLE
    name = _DURATIONS.get(axis.field, axis.field)
    new = replace(rule, **{name: int(value) if whole else float(value)})
    if axis.rule == "breach":
        return _with_breach(slo, new)
    if axis.rule == "freeze":
        return replace(slo, freeze=new)
    return replace(slo, burns=tuple(new if old.id == new.id else old for old in slo.burns))


def _with_breach(slo: Slo, breach: Any) -> Slo:  # noqa: ANN401 - replace() gives Any
    """A quantile's threshold is also what is counted as beyond it."""
    slo = replace(slo, breach=breach)
    if breach.measure != "quantile":
        return slo
    return replace(slo, definition=replace(slo.definition, limit=breach.threshold))


def sweep_of(axis: Axis, run: Run, labels: Sequence[Label]) -> Sweep:
    """The scores of every value, given the run of their policies."""
    tried = [
        Tried(float(value), axis.text(value), card(outcome, labels))
        for value, outcome in zip(axis.values, run.outcomes, strict=True)
    ]
    return Sweep(axis, tuple(tried))
