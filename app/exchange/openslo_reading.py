"""Reading an OpenSLO file: every object by kind and name, every fault of it told."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from app.config.documents import documents, mark_of
from app.config.findings import Fault, Loc
from app.config.sources import Source, said
from app.errors import UserError
from app.exchange.losses import Loss
from app.exchange.openslo import KINDS, MODELS, VERSION, Part

_T = TypeVar("_T", bound=Part)

_ALSO = ("openslo.com/v1",)
"""The same under the name that a Kubernetes resource needs."""


class Objects:
    """What a file holds."""

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self._found: dict[tuple[str, str], Part] = {}

    def add(self, kind: str, name: str, found: Part) -> None:
        """Take an object; the first of a name stands."""
        if (kind, name) in self._found:
            self.lose(f"{kind} {name}", "stands twice; the first one counts", "left out")
            return
        self._found[kind, name] = found

    def lose(self, where: str, what: str, then: Any) -> None:  # noqa: ANN401 - a Then
        """Something cannot be said."""
        self.losses.append(Loss(where=where, what=what, then=then))

    def all_of(self, model: type[_T]) -> list[_T]:
        """Every object of this kind."""
        return [found for found in self._found.values() if isinstance(found, model)]

    def get(self, kind: str, name: str, model: type[_T]) -> _T | None:
        """An object that is referred to."""
        found = self._found.get((kind, name))
        return found if isinstance(found, model) else None


def read(path: Path) -> Objects:
    """The file's objects; raises UserError with everything that is wrong with it."""
    objects, errors = Objects(), list[str]()
    for root, document in _documents(path):
        _take(document, Source(path, root), objects, errors)
    if errors:
        raise UserError("\n".join(errors))
    return objects


def _documents(path: Path) -> list[tuple[yaml.Node, Any]]:
    """All documents of the stream, those of lists one by one."""
    try:
        found = documents(path.read_text(encoding="utf-8"), merges=True)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}", exit_code=2) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:{_line(mark_of(error))}: no UTF-8: {error.reason}") from error
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{path}:{_line(error.problem_mark)}: not YAML: {error.problem}") from error
    each = [part for root, value in found for part in _parts(root, value)]
    if all(value is None for _, value in each):
        raise UserError(f"{path} holds no OpenSLO object")
    return [(root, value) for root, value in each if value is not None]


def _parts(root: yaml.Node, value: Any) -> Iterable[tuple[yaml.Node, Any]]:  # noqa: ANN401
    return zip(root.value, value, strict=True) if isinstance(value, list) else [(root, value)]


def _line(mark: yaml.Mark | None) -> int:
    return mark.line + 1 if mark else 1


def _take(document: Any, source: Source, objects: Objects, errors: list[str]) -> None:  # noqa: ANN401
    where = _at(source, ())
    if not isinstance(document, dict) or "kind" not in document:
        errors.append(f"{where}: no OpenSLO object: it has no kind")
        return
    kind, version = document["kind"], document.get("apiVersion")
    if version not in (VERSION, *_ALSO):
        errors.append(f"{where}: {kind}: apiVersion is {version!r}; only {VERSION} is read")
    elif kind not in KINDS:
        errors.append(f"{where}: kind {kind!r} is none of {', '.join(KINDS)}")
    elif kind in MODELS:
        _model(document, kind, source, objects, errors)
    elif not _is_ours(document):
        objects.lose(f"{kind} {_name_of(document)}", "this program has its own source", "left out")


def _at(source: Source, loc: Loc) -> str:
    return f"{source.path}:{source.finding(Fault('invalid', loc, '')).line}"


def _is_ours(source: dict[str, Any]) -> bool:
    spec = source.get("spec")
    return isinstance(spec, dict) and spec.get("type") == "burnrate"


def _name_of(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name")) if isinstance(metadata, dict) else ""


def _model(
    document: dict[str, Any], kind: str, source: Source, objects: Objects, errors: list[str]
) -> None:
    name = _name_of(document)
    try:
        found = MODELS[kind].model_validate(_without_nothing(document))
    except ValidationError as error:
        for fault in error.errors():
            path = ".".join(str(part) for part in fault["loc"])
            where = _at(source, fault["loc"])
            errors.append(f"{where}: {kind} {name}: {path}: {said(fault)}")
        return
    for path in _unknown(found, ""):
        objects.lose(f"{kind} {name}: {path}", "is not read", "left out")
    objects.add(kind, name, found)


def _without_nothing(value: Any) -> Any:  # noqa: ANN401 - any YAML
    """A key without a value is one that is not there."""
    if isinstance(value, dict):
        return {key: _without_nothing(one) for key, one in value.items() if one is not None}
    return [_without_nothing(one) for one in value] if isinstance(value, list) else value


def _unknown(found: BaseModel, path: str) -> Iterator[str]:
    """Paths of the fields that no model knows."""
    for extra in found.model_extra or {}:
        yield f"{path}{extra}"
    for field in type(found).model_fields:
        value = getattr(found, field)
        parts: Iterable[tuple[str, Any]] = [(field, value)]
        if isinstance(value, tuple):
            parts = [(f"{field}.{place}", one) for place, one in enumerate(value)]
        for where, part in parts:
            if isinstance(part, BaseModel):
                yield from _unknown(part, f"{path}{where}.")
