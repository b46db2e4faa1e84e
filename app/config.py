"""Configuration: `slos.yaml` and `ownership.yaml`, checked whole, each error with file and path."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import msgspec
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from app.core import budgets
from app.core.events import Event, Metadata
from app.core.figures import SHOWN_WINDOWS_S
from app.core.ownership import Growing, Ownership, Route, Step, TooMany
from app.core.slos import (
    BreachRule,
    BurnRule,
    Clause,
    Condition,
    Definition,
    FreezeRule,
    Headline,
    Measure,
    Operator,
    Slo,
)
from app.core.slots import LONGEST_FINE_WINDOW_S
from app.core.vitals import ALERTER
from app.errors import UserError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_WINDOW_S = 30 * 86_400


class Policy(msgspec.Struct, frozen=True):
    """Everything that judging and telling depend on."""

    slos: dict[str, Slo]
    ownership: Ownership


class ConfigError(UserError):
    """Configuration that cannot be used; `errors` holds every fault found, one a line."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        super().__init__("\n".join(errors), exit_code=1)


def _seconds(value: object) -> int:
    match = re.fullmatch(r"(\d+)([smhd])", str(value))
    if match is None:
        raise ValueError(f"{value!r} is no duration: write 30s, 5m, 1h or 30d")
    return int(match[1]) * _UNITS_S[match[2]]


def _window(value: object) -> int:
    seconds = _seconds(value)
    if seconds % 10 or not 10 <= seconds <= _LONGEST_WINDOW_S:
        raise ValueError(f"a window is a multiple of 10s, 30d at most, not {value}")
    return seconds


_NUMBERS = {
    "duration_ms",
    "success",
    "metadata.memoryMB",
    "metadata.tmuxSuccess",
    "metadata.headlessSuccess",
    "metadata.match",
    "metadata.count",
}
_VALUES = {"duration_ms", "metadata.memoryMB", "metadata.count"}  # bounded when decoded
_FIELDS = {*Event.__struct_fields__} | {f"metadata.{n}" for n in Metadata.__struct_fields__}
_CONDITION = re.compile(r"\s*([\w.]+)\s*(==|!=|>=|<=|>|<)\s*(.+?)\s*")


def _condition(value: object) -> Condition:
    match = _CONDITION.fullmatch(str(value))
    if match is None:
        raise ValueError(f"{value!r} is no condition: write FIELD OPERATOR VALUE")
    field, operator, text = match.groups()
    if field not in _FIELDS:
        raise ValueError(f"unknown field {field!r}; known are {', '.join(sorted(_FIELDS))}")
    literal = _literal(text)
    if operator not in ("==", "!="):
        _check_order(field, operator, literal)
    return Condition(field, _checked_operator(operator), literal)


def _literal(text: str) -> float | str:
    try:
        literal = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{text!r} cannot be read as a number or a text") from error
    if not isinstance(literal, int | float | str):
        raise ValueError(f"{text!r} is neither a number nor a text")  # noqa: TRY004 - pydantic's
    return literal


def _check_order(field: str, operator: str, literal: float | str) -> None:
    if field not in _NUMBERS:
        raise ValueError(f"{field} is no number, so {operator} says nothing of it")
    if isinstance(literal, str):
        raise ValueError(f"{field} {operator} needs a number, not {literal!r}")  # noqa: TRY004


def _checked_operator(operator: str) -> Operator:
    found: Operator = next(known for known in get_args(Operator) if known == operator)
    return found


def _field(value: object) -> str:
    if value not in _FIELDS:
        raise ValueError(f"unknown field {value!r}; known are {', '.join(sorted(_FIELDS))}")
    return str(value)


def _value(value: object) -> str:
    field = _field(value)
    if field not in _VALUES:
        raise ValueError(f"{field!r} is no number to add up; choose {', '.join(sorted(_VALUES))}")
    return field


Seconds = Annotated[int, BeforeValidator(_seconds)]
Window = Annotated[int, BeforeValidator(_window)]
Conditions = tuple[Annotated[Any, BeforeValidator(_condition)], ...]
Value = Annotated[str, BeforeValidator(_value)]
Field_ = Annotated[str, BeforeValidator(_field)]
Owner = Annotated[str, Field(pattern=r"^@[\w.-]{1,60}$")]
Channel = Annotated[str, Field(pattern=r"^#[\w.-]{1,80}$")]
Severity = Literal["P1", "P2"]
Share = Annotated[float, Field(gt=0, le=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Count(_Model):
    event: str
    where: Conditions = ()
    bad_when: Conditions | Literal["always"] = ()
    passes: bool = False

    def clause(self) -> Clause:
        always = self.bad_when == "always"
        return Clause(
            event=self.event,
            where=self.where,
            bad_when=() if isinstance(self.bad_when, str) else self.bad_when,
            always_bad=always or self.passes,
            passes=self.passes,
        )


class _Headline(_Model):
    kind: Measure
    target: float
    window: Window
    unit: Literal["ratio", "ms", "MB"]


class _Breach(_Model):
    measure: Measure
    threshold: float
    window: Window
    severity: Severity
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.95
    min_bad: Annotated[int, Field(ge=0)] = 3
    min_total: Annotated[int, Field(ge=0)] = 5
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    for_: Seconds = Field(default=0, alias="for")
    keep_firing_for: Seconds = 300

    def rule(self) -> BreachRule:
        return BreachRule(
            measure=self.measure,
            threshold=self.threshold,
            window_s=self.window,
            severity=self.severity,
            quantile=self.quantile,
            min_bad=self.min_bad,
            min_total=self.min_total,
            confidence=self.confidence,
            for_s=self.for_,
            keep_firing_s=self.keep_firing_for,
        )


class _Burn(_Model):
    consumed: Annotated[float, Field(gt=0)]
    window: Window
    severity: Severity
    min_bad: Annotated[int, Field(ge=0)] = 3
    for_: Seconds = Field(default=0, alias="for")
    keep_firing_for: Seconds = 300

    def rule(self, name: str) -> BurnRule:
        return BurnRule(
            id=name,
            consumed=self.consumed,
            window_s=self.window,
            severity=self.severity,
            min_bad=self.min_bad,
            for_s=self.for_,
            keep_firing_s=self.keep_firing_for,
        )


class _Freeze(_Model):
    consumed: Share = 1.0
    lifts_below: Share = 0.95


class _Common(_Model):
    period: Window | None = None
    basis: Literal["events", "time"] | None = None
    min_allowed_bad: Annotated[int, Field(ge=0)] | None = None
    stale: Seconds | None = None
    reopen: Seconds | None = None
    repage: Seconds | None = None
    burn: dict[Literal["fast-burn", "slow-burn"], _Burn] | None = None
    freeze: _Freeze | None = None


class _Slo(_Common):
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")]
    title: str
    objective: Share
    counts: Annotated[tuple[_Count, ...], Field(min_length=1)]
    headline: _Headline
    breach: _Breach
    value: Value | None = None
    sketch: bool = False
    distinct: Field_ | None = None
    gauge: str | None = None
    quantile_windows: tuple[Window, ...] = ()
    absent_for: Seconds | None = None

    def definition(self) -> Definition:
        return Definition(
            clauses=tuple(count.clause() for count in self.counts),
            value=self.value,
            limit=self.breach.threshold if self.breach.measure == "quantile" else None,
            sketch=self.sketch,
            distinct=self.distinct,
            gauge=self.gauge,
        )

    def slo(self, defaults: _Common) -> Slo:
        def either(name: str) -> Any:  # noqa: ANN401 - whatever the field holds
            own = getattr(self, name)
            return own if own is not None else getattr(defaults, name)

        burnable = self.objective < 1
        burns = {**(defaults.burn or {}), **(self.burn or {})} if burnable else {}
        freeze = either("freeze") if burnable else None
        chosen = {
            "period_s": either("period"),
            "basis": either("basis"),
            "min_allowed_bad": either("min_allowed_bad"),
            "stale_s": either("stale"),
            "reopen_s": either("reopen"),
            "repage_s": either("repage"),
        }
        return Slo(
            id=self.id,
            title=self.title,
            objective=self.objective,
            headline=Headline(
                kind=self.headline.kind,
                target=self.headline.target,
                window_s=self.headline.window,
                unit=self.headline.unit,
            ),
            definition=self.definition(),
            breach=self.breach.rule(),
            burns=tuple(rule.rule(name) for name, rule in burns.items()),
            freeze=FreezeRule(consumed=freeze.consumed, lifts_below=freeze.lifts_below)
            if freeze
            else None,
            quantile_windows_s=self.quantile_windows,
            absent_for_s=self.absent_for,
            **{name: value for name, value in chosen.items() if value is not None},
        )


class _Slos(_Model):
    defaults: _Common = _Common()
    slos: Annotated[tuple[_Slo, ...], Field(min_length=1)]


class _Owner(_Model):
    slack_id: Annotated[str, Field(pattern=r"^[SUW][A-Z0-9]+$")] | None = None


class _When(_Model):
    bad_more_than: Annotated[int, Field(ge=0)] | None = None
    window: Window = 86_400
    mean_grows_by: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.bad_more_than is None) == (self.mean_grows_by is None):
            raise ValueError("give one of bad_more_than and mean_grows_by")
        return self

    def condition(self) -> TooMany | Growing:
        if self.bad_more_than is not None:
            return TooMany(more_than=self.bad_more_than, window_s=self.window)
        return Growing(by=self.mean_grows_by or 0.0)


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class _Step(_Model):
    to: Annotated[tuple[Owner, ...], BeforeValidator(_listed), Field(min_length=1)]
    how: Literal["page", "notify"]
    after: Seconds = 0
    severity: Severity | None = None
    rule: Literal["breach", "fast-burn"] | None = None  # a slow burn escalates to nobody
    when: _When | None = None

    def step(self) -> Step:
        return Step(
            id=f"{self.how} {'+'.join(self.to)} {self.severity or self.rule or 'any'} {self.after}",
            to=self.to,
            how=self.how,
            after_s=self.after,
            severity=self.severity,
            rule=self.rule,
            condition=self.when.condition() if self.when else None,
            text=self._text(),
        )

    def _text(self) -> str:
        what = f"{self.severity} unresolved" if self.severity else f"{self.rule or 'it'} open"
        words = [f"{what} for {self.after // 60} min" if self.after else f"{what}"]
        if self.when and self.when.bad_more_than is not None:
            words.append(f"more than {self.when.bad_more_than} bad")
        if self.when and self.when.mean_grows_by is not None:
            words.append(f"mean still growing by {self.when.mean_grows_by:.0%} or more")
        return " and ".join(words)


class _Route(_Model):
    owner: Owner
    channel: Channel
    escalation: tuple[_Step, ...] = ()
    page_p2: bool = False
    stop_on: Literal["resolve", "ack"] = "resolve"


class _Ownership(_Model):
    owners: dict[Owner, _Owner]
    routes: dict[str, _Route]

    def ownership(self) -> Ownership:
        return Ownership(
            routes={
                slo: Route(
                    slo=slo,
                    owner=row.owner,
                    channel=row.channel,
                    steps=tuple(step.step() for step in row.escalation),
                    page_p2=row.page_p2,
                    stop_on=row.stop_on,
                )
                for slo, row in self.routes.items()
            },
            slack_ids={name: o.slack_id for name, o in self.owners.items() if o.slack_id},
        )


def load(config_dir: Path) -> Policy:
    """The policy of a folder; raises ConfigError with every error at once."""
    errors: list[str] = []
    slos = _read(config_dir / "slos.yaml", _Slos, errors)
    ownership = _read(config_dir / "ownership.yaml", _Ownership, errors)
    if isinstance(slos, _Slos):
        errors += _slo_faults(config_dir / "slos.yaml", slos)
    if isinstance(ownership, _Ownership):
        names = {slo.id for slo in slos.slos} if isinstance(slos, _Slos) else set()
        errors += _route_faults(config_dir / "ownership.yaml", ownership, names)
    if errors or not isinstance(slos, _Slos) or not isinstance(ownership, _Ownership):
        raise ConfigError(errors)
    return Policy({slo.id: slo.slo(slos.defaults) for slo in slos.slos}, ownership.ownership())


class _Loader(yaml.SafeLoader):
    """Reads plain YAML; refuses a key that stands twice, since one would count for nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen = set[object]()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key!r} stands twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read(path: Path, model: type[_Model], errors: list[str]) -> _Model | None:
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe one
        return model.model_validate(found)
    except FileNotFoundError:
        errors.append(f"{path}: there is no such file; BURNRATE_CONFIG names the folder")
    except (OSError, UnicodeDecodeError) as error:
        errors.append(f"{path}: cannot be read: {error}")
    except yaml.YAMLError as error:
        errors.append(f"{path}: not YAML: {' '.join(str(error).split())}")
    except ValidationError as error:
        for fault in error.errors():
            where = ".".join(str(part) for part in fault["loc"]) or "the file"
            errors.append(f"{path}: {where}: {fault['msg'].removeprefix('Value error, ')}")
    return None


def _slo_faults(path: Path, slos: _Slos) -> Iterator[str]:
    seen: set[str] = set()
    for index, one in enumerate(slos.slos):
        where = f"{path}: slos.{index} ({one.id})"
        if one.id in seen or one.id == ALERTER:
            yield f"{where}.id: {one.id!r} is taken already; every SLO needs an id of its own"
        seen.add(one.id)
        if one.breach.measure in ("quantile", "mean") and one.value is None:
            yield f"{where}.value: a {one.breach.measure} needs the field whose values it is of"
        if one.breach.measure == "distinct" and one.distinct is None:
            yield f"{where}.distinct: needs the field whose distinct values are counted"
        yield from _quantile_faults(where, one)
        yield from _breach_faults(where, one.breach)
        yield from _unreachable(where, one, slos.defaults)


def _quantile_faults(where: str, one: _Slo) -> Iterator[str]:
    """Sketches are kept in fine slots only, and only where they are asked for."""
    headline = (one.headline.window,) if one.headline.kind == "quantile" else ()
    for path, windows in (
        ("quantile_windows", one.quantile_windows),
        ("headline.window", headline),
    ):
        if any(window_s > LONGEST_FINE_WINDOW_S for window_s in windows):
            yield f"{where}.{path}: quantiles reach back 24 h at most"
        elif windows and not one.sketch:
            yield f"{where}.sketch: quantiles need one; set it to true"


def _breach_faults(where: str, breach: _Breach) -> Iterator[str]:
    if breach.measure != "ratio":
        return
    if breach.threshold <= 0:
        yield f"{where}.breach: can never fire: good / total is never below {breach.threshold:g}"
    if breach.threshold > 1:
        yield f"{where}.breach: always fires: good / total is never above 1"


def _unreachable(where: str, one: _Slo, defaults: _Common) -> Iterator[str]:
    """Rules that no traffic can ever make fire, with the arithmetic."""
    slo = one.slo(defaults)
    if slo.freeze and slo.freeze.lifts_below >= slo.freeze.consumed:
        yield (
            f"{where}.freeze: lifts_below is {slo.freeze.lifts_below:g}: it must lie below "
            f"consumed, {slo.freeze.consumed:g}, or it flickers"
        )
    ratio = budgets.error_ratio(slo.objective)
    for rule in slo.burns:
        most = rule.window_s / slo.period_s / ratio
        if slo.basis == "time" and rule.consumed >= most:
            yield (
                f"{where}.burn.{rule.id}: can never fire: with every event bad the burn rate is "
                f"1 / (1 - {slo.objective}) = {1 / ratio:g}, and {rule.window_s} s of it consume "
                f"{most:.3g} of the budget, not more than {rule.consumed}"
            )
        if slo.basis == "events" and rule.consumed >= 1 / ratio:
            yield (
                f"{where}.burn.{rule.id}: can never fire: with every event of the period bad "
                f"{1 / ratio:g} of the budget is consumed, not more than {rule.consumed}"
            )


def _route_faults(path: Path, ownership: _Ownership, slos: set[str]) -> Iterator[str]:
    for name in sorted(slos | {ALERTER}):
        if name not in ownership.routes:
            yield f"{path}: routes.{name}: missing; every SLO needs somebody who is told"
    for name, row in ownership.routes.items():
        if slos and name not in slos | {ALERTER}:
            yield f"{path}: routes.{name}: there is no SLO {name!r} in slos.yaml"
        for owner in {row.owner, *(to for step in row.escalation for to in step.to)}:
            if owner not in ownership.owners:
                yield f"{path}: routes.{name}: {owner!r} is not among the owners"
        yield from _step_faults(f"{path}: routes.{name}.escalation", row.escalation)


def _step_faults(where: str, steps: tuple[_Step, ...]) -> Iterator[str]:
    seen: set[str] = set()
    for index, one in enumerate(steps):
        step = one.step()
        if step.id in seen:
            yield f"{where}.{index}: the same step as another one"
        seen.add(step.id)
        if isinstance(step.condition, TooMany):
            window_s = step.condition.window_s
            if window_s not in SHOWN_WINDOWS_S.values():
                known = ", ".join(SHOWN_WINDOWS_S)
                at = f"{where}.{index}.when.window"
                yield f"{at}: {window_s} s is not counted; choose one of {known}"


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
