"""`slos.yaml` as it is written, and what the core makes of it."""

from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WrapValidator, model_validator

from app.config.values import (
    Conditions,
    Field_,
    Model,
    Seconds,
    Severity,
    Share,
    Value,
    Window,
)
from app.core.groups import MOST_GROUPS, OTHER, group_name, is_fit, slos_of
from app.core.slos import (
    BreachRule,
    BurnRule,
    Clause,
    Definition,
    FreezeRule,
    Headline,
    Measure,
    Slo,
)

PERIOD_S = 30 * 86_400
Preset = Literal["google-30d"]
GROUPS_MOST = 500  # each has rows of its own: docs/scale.md


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Events = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_listed, json_schema_input_type=str | tuple[str, ...]),
    Field(min_length=1),
]
GroupField = Literal["cli_type", "agent_id"]
ListedValues = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=60)], ...],
    Field(min_length=1, max_length=MOST_GROUPS),
]
RuleId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]


class CountEntry(Model):
    """Which events are counted, and which of them are bad."""

    event: Events
    where: Conditions = ()
    bad_when: Conditions | Literal["always"] = ()
    passes: bool = False

    def clauses(self) -> Iterator[Clause]:
        """As the core takes it, one for each event."""
        always = self.bad_when == "always"
        for event in self.event:
            yield Clause(
                event=event,
                where=self.where,
                bad_when=() if isinstance(self.bad_when, str) else self.bad_when,
                always_bad=always or self.passes,
                passes=self.passes,
            )


class HeadlineEntry(Model):
    """The figure that stands for the SLO, and its target."""

    kind: Literal["ratio", "quantile", "mean", "distinct"]
    target: float
    window: Window
    unit: Literal["ratio", "ms", "MB", "count"]


class BreachEntry(Model):
    """The SLI itself against a threshold over a trailing window."""

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
        """As the core takes it."""
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


class BurnEntry(Model):
    """How fast the error budget goes: a share of it in a window, or a burn rate over it."""

    consumed: Annotated[float, Field(gt=0)] | None = None
    rate: Annotated[float, Field(gt=0)] | None = None
    window: Window
    short_window: Window | None = None
    severity: Severity
    min_bad: Annotated[int, Field(ge=0)] = 3
    for_: Seconds = Field(default=0, alias="for")
    keep_firing_for: Seconds = 300

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if (self.consumed is None) == (self.rate is None):
            raise ValueError("give one of consumed and rate")
        if self.short_window is not None and self.short_window >= self.window:
            raise ValueError("short_window must be shorter than window")
        return self

    def rule(self, name: str, period_s: int) -> BurnRule:
        """As the core takes it."""
        consumed = self.consumed or (self.rate or 0.0) * self.window / period_s
        return BurnRule(
            id=name,
            consumed=consumed,
            rate=self.rate,
            window_s=self.window,
            short_window_s=self.short_window,
            severity=self.severity,
            min_bad=self.min_bad,
            for_s=self.for_,
            keep_firing_s=self.keep_firing_for,
        )


_PRESETS: dict[str, dict[str, dict[str, object]]] = {
    "google-30d": {  # the SRE Workbook's recommendation for 30 days: 2 %, 5 %, 10 % of the budget
        "fast-burn": {"rate": 14.4, "window": "1h", "short_window": "5m", "severity": "P1"},
        "medium-burn": {"rate": 6, "window": "6h", "short_window": "30m", "severity": "P1"},
        "slow-burn": {"rate": 1, "window": "3d", "short_window": "6h", "severity": "P2"},
    },
}
PRESETS = {
    preset: {name: BurnEntry.model_validate(rule) for name, rule in rules.items()}
    for preset, rules in _PRESETS.items()
}
"""Sets of burn rules by name; what a file says beside a preset adds to it or replaces a rule."""


class FreezeEntry(Model):
    """When deployments are frozen, and when no longer."""

    consumed: Share = 1.0
    lifts_below: Share = 0.95


class Common(Model):
    """What is the same for all SLOs unless one says otherwise."""

    period: Window | None = None
    basis: Literal["events", "time"] | None = None
    min_allowed_bad: Annotated[int, Field(ge=0)] | None = None
    stale: Seconds | None = None
    reopen: Seconds | None = None
    repage: Seconds | None = None
    flapping_after: Annotated[int, Field(ge=1)] | None = None
    flapping_quiet: Seconds | None = None
    preset: Preset | None = None
    burn: dict[RuleId, BurnEntry] | None = None
    freeze: FreezeEntry | None = None


class SeenValues(Model):
    """Every value that is seen makes a group, so many at most."""

    most: Annotated[int, Field(ge=1, le=GROUPS_MOST)] = MOST_GROUPS


def _by(value: object) -> object:
    """`cli_type` alone: its values are those that are seen."""
    return {value: {}} if isinstance(value, str) else value


def _values(value: object, listed: Callable[[object], object]) -> object:
    if isinstance(value, list):
        return listed(value)
    if isinstance(value, dict) and {*value} <= {"most"}:
        most = value.get("most", MOST_GROUPS)
        if type(most) is int and 1 <= most <= GROUPS_MOST:
            return SeenValues(most=most)
    raise ValueError(f"list the values, or write {{most: 20}}, {GROUPS_MOST} at most")


_one = Field(min_length=1, max_length=1)
_InFile = GroupField | Annotated[dict[GroupField, ListedValues | SeenValues], _one]
Groups = Annotated[
    dict[GroupField, Annotated[ListedValues, WrapValidator(_values)]],
    _one,
    BeforeValidator(_by, json_schema_input_type=_InFile),
]
"""The field whose values make an SLO each: those that are listed, or those that are seen."""


class SloEntry(Common):
    """One service level objective."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")]
    title: str
    objective: Share
    counts: Annotated[tuple[CountEntry, ...], Field(min_length=1)]
    by: Groups | None = None
    headline: HeadlineEntry
    breach: BreachEntry
    value: Value | None = None
    sketch: bool = False
    distinct: Field_ | None = None
    gauge: str | None = None
    quantile_windows: tuple[Window, ...] = ()
    absent_for: Seconds | None = None

    @model_validator(mode="after")
    def _groupable(self) -> Self:
        if self.by and (self.gauge or self.distinct):
            raise ValueError("by: conversations and their number cannot be grouped")
        names = [*map(group_name, self.listed)]
        if names and len({*names, OTHER}) <= len(names):
            raise ValueError(f"by: two values make the same id, or one is called {OTHER}")
        return self

    @property
    def field(self) -> str:
        """The field whose values make a group each; "" where it has none."""
        return next(iter(self.by or ()), "")

    @property
    def listed(self) -> tuple[str, ...]:
        """The values of its groups, where they are listed."""
        return self._groups if isinstance(self._groups, tuple) else ()

    @property
    def seen(self) -> SeenValues | None:
        """How its groups are made of values that are seen, where they are."""
        return self._groups if isinstance(self._groups, SeenValues) else None

    @property
    def _groups(self) -> object:
        """Which values of the field make one."""
        return next(iter((self.by or {}).values()), None)

    def definition(self) -> Definition:
        """What it counts, all of its groups together."""
        return Definition(
            clauses=tuple(chain.from_iterable(count.clauses() for count in self.counts)),
            value=self.value,
            limit=self.breach.threshold if self.breach.measure == "quantile" else None,
            sketch=self.sketch,
            distinct=self.distinct,
            gauge=self.gauge,
        )

    def _burns(self, defaults: Common) -> dict[str, BurnEntry]:
        """Its own preset, else what is the same for all; what it says itself adds or replaces."""
        own = self.burn or {}
        if self.preset is not None:
            return PRESETS[self.preset] | own
        shared = PRESETS[defaults.preset] if defaults.preset else {}
        return shared | (defaults.burn or {}) | own

    def slos(self, defaults: Common) -> Iterator[Slo]:
        """As the core takes it: itself, or one for each listed group and one for all others."""
        whole = self.slo(defaults)
        listed = {group_name(value): value for value in self.listed}
        yield from slos_of(whole, self.field, listed) if self.by else (whole,)

    def slo(self, defaults: Common) -> Slo:
        """The whole of it, with the defaults where it says nothing itself."""

        def either(name: str) -> Any:  # noqa: ANN401 - whatever the field holds
            own = getattr(self, name)
            return own if own is not None else getattr(defaults, name)

        burnable = self.objective < 1
        burns = self._burns(defaults) if burnable else {}
        freeze = either("freeze") if burnable else None
        chosen = {
            "period_s": either("period"),
            "basis": either("basis"),
            "min_allowed_bad": either("min_allowed_bad"),
            "stale_s": either("stale"),
            "reopen_s": either("reopen"),
            "repage_s": either("repage"),
            "flapping_after": either("flapping_after"),
            "flapping_quiet_s": either("flapping_quiet"),
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
            burns=tuple(
                rule.rule(name, either("period") or PERIOD_S) for name, rule in burns.items()
            ),
            freeze=FreezeRule(consumed=freeze.consumed, lifts_below=freeze.lifts_below)
            if freeze
            else None,
            quantile_windows_s=self.quantile_windows,
            absent_for_s=self.absent_for,
            **{name: value for name, value in chosen.items() if value is not None},
        )


def name_fault(name: str, known: Collection[str], growing: Collection[str]) -> str | None:
    """Why there is no SLO of this name; None: there is one, or will be once its value is seen.

    `growing`: entries whose groups are those that are seen.
    """
    entry, _, value = name.partition(":")
    if name in known or (entry in growing and is_fit(value)):
        return None
    if entry in growing:
        return f"there can be no group of {value!r}: such events count in {entry}:{OTHER}"
    return f"there is no SLO {name!r} in slos.yaml"


class SlosFile(Model):
    """The whole of `slos.yaml`."""

    defaults: Common = Common()
    slos: Annotated[tuple[SloEntry, ...], Field(min_length=1)]

    def made(self) -> Iterator[tuple[int, Slo]]:
        """Every SLO with the number of its entry; an entry with groups makes several."""
        for index, entry in enumerate(self.slos):
            for slo in entry.slos(self.defaults):
                yield index, slo

    def grouped_as_seen(self) -> frozenset[str]:
        """The entries whose groups are not known before their values are seen."""
        return frozenset(entry.id for entry in self.slos if entry.seen)
