"""What stands in the files: durations, windows, conditions, fields, each checked when read."""

import re
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from app.config.documents import Loader
from app.core.events import Event, Metadata
from app.core.slos import Condition, Operator

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_WINDOW_S = 30 * 86_400


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
_OWN_FIELD = re.compile(r"metadata\.[A-Za-z_]\w{0,60}")
_CONDITION = re.compile(r"\s*([\w.]+)(?:\s*(==|!=|>=|<=|>|<)\s*|\s+(not in|in)\s+)(.+?)\s*")


def _condition(value: object) -> Condition:
    match = _CONDITION.fullmatch(str(value))
    if match is None:
        raise ValueError(f"{value!r} is no condition: write FIELD OPERATOR VALUE")
    field, comparison, membership, text = match.groups()
    _check_known(field)
    if membership:
        return Condition(field, _checked_operator(membership), _several(text))
    literal = _literal(text)
    if comparison not in ("==", "!="):
        _check_order(field, comparison, literal)
    return Condition(field, _checked_operator(comparison), literal)


def _check_known(field: object) -> None:
    if field not in _FIELDS and not _OWN_FIELD.fullmatch(str(field)):
        known = ", ".join(sorted(_FIELDS))
        raise ValueError(f"unknown field {field!r}; known are {known}, and metadata.NAME")


def _several(text: str) -> tuple[float | str, ...]:
    if not (text.startswith("[") and text.endswith("]")):
        raise ValueError(f"{text!r} is no list: write [A, B]")
    return tuple(_literal(part.strip()) for part in text[1:-1].split(",") if part.strip())


def _literal(text: str) -> float | str:
    try:
        literal = yaml.load(text, Loader)  # type: ignore[arg-type] # noqa: S506 - a safe one
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{text!r} cannot be read as a number or a text") from error
    if not isinstance(literal, int | float | str):
        raise ValueError(f"{text!r} is neither a number nor a text")  # noqa: TRY004 - pydantic's
    return literal


def _check_order(field: str, operator: str, literal: float | str) -> None:
    if field not in _NUMBERS and field in _FIELDS:
        raise ValueError(f"{field} is no number, so {operator} says nothing of it")
    if isinstance(literal, str):
        raise ValueError(f"{field} {operator} needs a number, not {literal!r}")  # noqa: TRY004


def _checked_operator(operator: str) -> Operator:
    found: Operator = next(known for known in get_args(Operator) if known == operator)
    return found


def _field(value: object) -> str:
    _check_known(value)
    return str(value)


def _value(value: object) -> str:
    field = _field(value)
    if field not in _VALUES and field in _FIELDS:
        raise ValueError(f"{field!r} is no number to add up; choose {', '.join(sorted(_VALUES))}")
    return field


_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": r"^[0-9]+[smhd]$"})
_CONDITION_SCHEMA = WithJsonSchema(
    {"type": "string", "description": "FIELD OPERATOR VALUE, as in duration_ms > 30000"}
)

Seconds = Annotated[int, BeforeValidator(_seconds), _DURATION_SCHEMA]
Window = Annotated[int, BeforeValidator(_window), _DURATION_SCHEMA]
Conditions = tuple[Annotated[Any, BeforeValidator(_condition), _CONDITION_SCHEMA], ...]
Value = Annotated[
    str, BeforeValidator(_value), WithJsonSchema({"type": "string", "examples": sorted(_VALUES)})
]
Field_ = Annotated[
    str, BeforeValidator(_field), WithJsonSchema({"type": "string", "examples": sorted(_FIELDS)})
]
Owner = Annotated[str, Field(pattern=r"^@[\w.-]{1,60}$")]
Channel = Annotated[str, Field(pattern=r"^#[\w.-]{1,80}$")]
Severity = Literal["P1", "P2"]
Share = Annotated[float, Field(gt=0, le=1)]


class Model(BaseModel):
    """One mapping of a file; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
