"""`ownership.yaml` as it is written, and what the core makes of it."""

from collections.abc import Collection, Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from app.config.values import Channel, Model, Owner, Seconds, Severity, Window
from app.core.ownership import Growing, Ownership, Route, Step, TooMany
from app.core.slos import family_of
from app.core.vitals import ALERTER

SlackId = Annotated[str, Field(pattern=r"^[SUW][A-Z0-9]+$")]


class OwnerEntry(Model):
    """A team or a person."""

    slack_id: SlackId | None = None


class WhenEntry(Model):
    """A condition beside the time: too many bad events, or a mean that grows."""

    bad_more_than: Annotated[int, Field(ge=0)] | None = None
    window: Window = 86_400
    mean_grows_by: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.bad_more_than is None) == (self.mean_grows_by is None):
            raise ValueError("give one of bad_more_than and mean_grows_by")
        return self

    def condition(self) -> TooMany | Growing:
        """As the core takes it."""
        if self.bad_more_than is not None:
            return TooMany(more_than=self.bad_more_than, window_s=self.window)
        return Growing(by=self.mean_grows_by or 0.0)


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _step_rule(value: str) -> str:
    if value == "slow-burn":
        raise ValueError("a slow burn escalates to nobody; name breach, fast-burn or another rule")
    return value


StepRule = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$"), AfterValidator(_step_rule)]


class StepEntry(Model):
    """One step of an escalation: whom, how, when."""

    to: Annotated[
        tuple[Owner, ...],
        BeforeValidator(_listed, json_schema_input_type=Owner | tuple[Owner, ...]),
        Field(min_length=1),
    ]
    how: Literal["page", "notify"]
    after: Seconds = 0
    severity: Severity | None = None
    rule: StepRule | None = None
    when: WhenEntry | None = None

    def step(self) -> Step:
        """As the core takes it."""
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


class RouteEntry(Model):
    """One row of the ownership matrix."""

    owner: Owner
    channel: Channel
    escalation: tuple[StepEntry, ...] = ()
    page_p2: bool = False
    stop_on: Literal["resolve", "ack"] = "resolve"

    def route(self, slo: str) -> Route:
        """As the core takes it."""
        return Route(
            slo=slo,
            owner=self.owner,
            channel=self.channel,
            steps=tuple(step.step() for step in self.escalation),
            page_p2=self.page_p2,
            stop_on=self.stop_on,
        )


class OwnershipFile(Model):
    """The whole of `ownership.yaml`."""

    owners: dict[Owner, OwnerEntry]
    routes: dict[str, RouteEntry]
    slack_operators: tuple[SlackId, ...] = ()  # whose buttons count

    def ownership(self, slos: Iterable[str], growing: Collection[str] = ()) -> Ownership:
        """As the core takes it: a row for each SLO; a group without its own has its SLO's.

        `growing`: entries whose groups are those that are seen; rows of theirs wait for them.
        """
        rows = {slo: self.routes.get(slo) or self.routes[family_of(slo)] for slo in slos}
        own = {slo: row for slo, row in self.routes.items() if slo not in growing}
        rows |= {slo: row for slo, row in own.items() if family_of(slo) in growing}
        rows[ALERTER] = self.routes[ALERTER]
        return Ownership(
            routes={slo: row.route(slo) for slo, row in rows.items()},
            slack_operators=self.slack_operators,
            slack_ids={name: o.slack_id for name, o in self.owners.items() if o.slack_id},
        )
