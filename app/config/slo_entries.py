"""`slos.yaml` as it is written, and what the core makes of it."""

from typing import Annotated, Any, Literal

from pydantic import Field

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


class CountEntry(Model):
    """Which events are counted, and which of them are bad."""

    event: str
    where: Conditions = ()
    bad_when: Conditions | Literal["always"] = ()
    passes: bool = False

    def clause(self) -> Clause:
        """As the core takes it."""
        always = self.bad_when == "always"
        return Clause(
            event=self.event,
            where=self.where,
            bad_when=() if isinstance(self.bad_when, str) else self.bad_when,
            always_bad=always or self.passes,
            passes=self.passes,
        )


class HeadlineEntry(Model):
    """The figure that stands for the SLO, and its target."""

    kind: Measure
    target: float
    window: Window
    unit: Literal["ratio", "ms", "MB"]


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
    """The share of the error budget that a window has spent, against a threshold."""

    consumed: Annotated[float, Field(gt=0)]
    window: Window
    severity: Severity
    min_bad: Annotated[int, Field(ge=0)] = 3
    for_: Seconds = Field(default=0, alias="for")
    keep_firing_for: Seconds = 300

    def rule(self, name: str) -> BurnRule:
        """As the core takes it."""
        return BurnRule(
            id=name,
            consumed=self.consumed,
            window_s=self.window,
            severity=self.severity,
            min_bad=self.min_bad,
            for_s=self.for_,
            keep_firing_s=self.keep_firing_for,
        )


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
    burn: dict[Literal["fast-burn", "slow-burn"], BurnEntry] | None = None
    freeze: FreezeEntry | None = None


class SloEntry(Common):
    """One service level objective."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")]
    title: str
    objective: Share
    counts: Annotated[tuple[CountEntry, ...], Field(min_length=1)]
    headline: HeadlineEntry
    breach: BreachEntry
    value: Value | None = None
    sketch: bool = False
    distinct: Field_ | None = None
    gauge: str | None = None
    quantile_windows: tuple[Window, ...] = ()
    absent_for: Seconds | None = None

    def definition(self) -> Definition:
        """What it counts."""
        return Definition(
            clauses=tuple(count.clause() for count in self.counts),
            value=self.value,
            limit=self.breach.threshold if self.breach.measure == "quantile" else None,
            sketch=self.sketch,
            distinct=self.distinct,
            gauge=self.gauge,
        )

    def slo(self, defaults: Common) -> Slo:
        """As the core takes it, with the defaults where it says nothing itself."""

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
            burns=tuple(rule.rule(name) for name, rule in burns.items()),
            freeze=FreezeRule(consumed=freeze.consumed, lifts_below=freeze.lifts_below)
            if freeze
            else None,
            quantile_windows_s=self.quantile_windows,
            absent_for_s=self.absent_for,
            **{name: value for name, value in chosen.items() if value is not None},
        )


class SlosFile(Model):
    """The whole of `slos.yaml`."""

    defaults: Common = Common()
    slos: Annotated[tuple[SloEntry, ...], Field(min_length=1)]
