"""OpenSLO v1 as it is written: the objects that matter here, whatever else they hold.

Field names are the specification's. What is not modelled is kept in `model_extra`, to be told of.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

VERSION = "openslo/v1"

OURS = "burnrate/"
"""Annotations with this prefix are this program's: what OpenSLO has no word for."""

KINDS = (
    "AlertCondition",
    "AlertNotificationTarget",
    "AlertPolicy",
    "DataSource",
    "SLI",
    "SLO",
    "Service",
)


class Part(BaseModel):
    """Any mapping of the file; objects that stand within others say their kind."""

    model_config = ConfigDict(extra="allow", frozen=True)

    apiVersion: str | None = None
    kind: str | None = None


class Metadata(Part):
    """Of every object."""

    name: str
    displayName: str | None = None
    labels: dict[str, Any] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class MetricSource(Part):
    """Where figures come from, in words of that system."""

    metricSourceRef: str | None = None
    type: str | None = None
    spec: dict[str, Any] = Field(default_factory=dict)


class Metric(Part):
    """One figure."""

    metricSource: MetricSource


class RatioMetric(Part):
    """Good or bad against total, or a ratio as it is."""

    counter: bool | None = None  # events are counted here, so either will do
    rawType: str | None = None
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    raw: Metric | None = None


class IndicatorSpec(Part):
    """How well it goes."""

    ratioMetric: RatioMetric | None = None
    thresholdMetric: Metric | None = None


class Indicator(Part):
    """An SLI, by itself or within an SLO."""

    metadata: Metadata | None = None
    spec: IndicatorSpec


class TimeWindow(Part):
    """The compliance period."""

    duration: Annotated[str, Field(pattern=r"^[1-9][0-9]*[mhdwMQY]$")]
    isRolling: bool = True


class Objective(Part):
    """A target; `op` and `value` are for thresholds."""

    displayName: str | None = None
    target: Annotated[float, Field(gt=0, le=1)] | None = None
    targetPercent: Annotated[float, Field(gt=0, le=100)] | None = None
    op: str | None = None
    value: float | None = None


class Condition(Part):
    """When an alert begins."""

    kind: str = "burnrate"
    op: str = "gt"
    threshold: Annotated[float, Field(gt=0)]
    lookbackWindow: str
    alertAfter: str = "0m"


class ConditionSpec(Part):
    """An alert's condition, and how bad it is."""

    description: str | None = None
    severity: str = "page"
    condition: Condition


class AlertCondition(Part):
    """By itself, or within a policy."""

    metadata: Metadata
    spec: ConditionSpec


class ConditionRef(Part):
    """One that stands elsewhere."""

    conditionRef: str


class TargetSpec(Part):
    """Which kind of messenger."""

    description: str | None = None
    target: str


class Target(Part):
    """An AlertNotificationTarget."""

    metadata: Metadata
    spec: TargetSpec


class TargetRef(Part):
    """One that stands elsewhere."""

    targetRef: str


class PolicySpec(Part):
    """What is alerted, and who is told."""

    description: str | None = None
    alertWhenNoData: bool = False
    alertWhenResolved: bool = True
    alertWhenBreaching: bool = True
    conditions: tuple[ConditionRef | AlertCondition, ...] = ()
    notificationTargets: tuple[TargetRef | Target, ...] = ()


class AlertPolicy(Part):
    """By itself, or within an SLO."""

    metadata: Metadata
    spec: PolicySpec


class AlertPolicyRef(Part):
    """One that stands elsewhere."""

    alertPolicyRef: str


class SloSpec(Part):
    """What is promised."""

    description: str | None = None
    service: str | None = None
    indicator: Indicator | None = None
    indicatorRef: str | None = None
    timeWindow: tuple[TimeWindow, ...] = ()
    budgetingMethod: str = "Occurrences"
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)]
    alertPolicies: tuple[str | AlertPolicyRef | AlertPolicy, ...] = ()


class SloObject(Part):
    """A service level objective."""

    metadata: Metadata
    spec: SloSpec


class ServiceObject(Part):
    """What objectives belong to."""

    metadata: Metadata
    spec: dict[str, Any] = Field(default_factory=dict)


MODELS: dict[str, type[Part]] = {
    "AlertCondition": AlertCondition,
    "AlertNotificationTarget": Target,
    "AlertPolicy": AlertPolicy,
    "SLI": Indicator,
    "SLO": SloObject,
    "Service": ServiceObject,
}
"""By kind; a DataSource says nothing that is needed here."""
