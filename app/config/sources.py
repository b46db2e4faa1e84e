"""The files of a configuration: YAML into models, and where in the text each value stands."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import yaml
from pydantic import ValidationError

from app.config.findings import Fault, Finding, Loc
from app.config.values import Model

_Entry = TypeVar("_Entry", bound=Model)


class Read(NamedTuple, Generic[_Entry]):
    """A file as it was read: its model, None where it is unsound, and where its values stand."""

    source: "Source"
    model: _Entry | None
    findings: tuple[Finding, ...]


class Source:
    """One file's text as a tree of YAML, in which every value has a line."""

    def __init__(self, path: Path, root: yaml.Node | None = None) -> None:
        self.path = path
        self._root = root

    def findings(self, faults: Iterable[Fault]) -> tuple[Finding, ...]:
        """The faults with their lines."""
        return tuple(map(self.finding, faults))

    def finding(self, fault: Fault) -> Finding:
        """A fault with the line of its place, or of the innermost place that the file has."""
        mark, path = self._trace(fault.loc)
        return Finding(
            level=fault.level,
            code=fault.code,
            message=fault.message,
            file=str(self.path),
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
            path=path or "the file",
        )

    def _trace(self, loc: Loc) -> tuple[yaml.Mark | None, str]:
        node, mark = self._root, self._root.start_mark if self._root else None
        path = ""
        for part in loc:
            node, found = _inner(node, part)
            mark = found or mark
            name = _name_of(node) if isinstance(part, int) else ""
            path += f"{'.' if path else ''}{part}{f' ({name})' if name else ''}"
        return mark, path


def _inner(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node | None, yaml.Mark | None]:
    """The value under a key or number, and where its key (or itself) begins."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark
    return None, None


def _name_of(node: yaml.Node | None) -> str:
    found, _ = _inner(node, "id")
    return found.value if isinstance(found, yaml.ScalarNode) else ""


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


def read(path: Path, model: type[_Entry]) -> Read[_Entry]:
    """The file as its model; where that is not sound, None and what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, _Loader)
        value = yaml.load(text, _Loader)  # noqa: S506 - a safe one
    except FileNotFoundError:
        return _refused(path, "there is no such file; BURNRATE_CONFIG names the folder")
    except (OSError, UnicodeDecodeError) as error:
        return _refused(path, f"cannot be read: {error}")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        return _refused(path, f"not YAML: {problem}", mark)
    source = Source(path, root)
    try:
        return Read(source, model.model_validate(value), ())
    except ValidationError as error:
        return Read(source, None, source.findings(map(_fault, error.errors())))


def _refused(path: Path, message: str, mark: yaml.Mark | None = None) -> Read[Any]:
    finding = Finding(
        level="error",
        code="unreadable",
        message=message,
        file=str(path),
        line=mark.line + 1 if mark else None,
        column=mark.column + 1 if mark else None,
    )
    return Read(Source(path), None, (finding,))


def _fault(error: Any) -> Fault:  # noqa: ANN401 - pydantic's details of one error
    return Fault("invalid", error["loc"], error["msg"].removeprefix("Value error, "))
