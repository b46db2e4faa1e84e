"""The files of a configuration: YAML into models, and where in the text each value stands."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import yaml
from pydantic import ValidationError

from app.config.documents import documents, mark_after, mark_of
from app.config.findings import Fault, Finding, Loc
from app.config.values import Model

_Entry = TypeVar("_Entry", bound=Model)


class Read(NamedTuple, Generic[_Entry]):
    """A file as it was read: its model, None where it is unsound, and where its values stand."""

    source: "Source"
    model: _Entry | None
    findings: tuple[Finding, ...]


_Place = tuple[yaml.Node | None, yaml.Mark | None]


class Source:
    """One file's text as a tree of YAML, in which every value has a line."""

    def __init__(self, path: Path, root: yaml.Node | None = None) -> None:
        self.path = path
        self._root = root
        self._entries: dict[int, dict[str, _Place]] = {}  # of a mapping, by its node

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
            node, found = self._inner(node, part)
            mark = found or mark
            name = self._name_of(node) if isinstance(part, int) else ""
            path += f"{'.' if path else ''}{part}{f' ({name})' if name else ''}"
        return mark, path

    def _inner(self, node: yaml.Node | None, part: str | int) -> _Place:
        """The value under a key or number, and where its key (or itself) begins."""
        if isinstance(node, yaml.MappingNode):
            return self._entries_of(node).get(str(part), (None, None))
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            return node.value[part], node.value[part].start_mark
        return None, None

    def _entries_of(self, node: yaml.MappingNode) -> dict[str, _Place]:
        """Looked through once: thousands of routes have a fault each now and then."""
        if id(node) not in self._entries:
            first = {str(key.value): (value, key.start_mark) for key, value in reversed(node.value)}
            self._entries[id(node)] = first
        return self._entries[id(node)]

    def _name_of(self, node: yaml.Node | None) -> str:
        found, _ = self._inner(node, "id")
        return found.value if isinstance(found, yaml.ScalarNode) else ""


def read(path: Path, model: type[_Entry]) -> Read[_Entry]:
    """The file as its model; where that is not sound, None and what is wrong with it."""
    try:
        found = documents(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return _refused(path, "there is no such file; BURNRATE_CONFIG names the folder")
    except UnicodeDecodeError as error:
        return _refused(path, f"no UTF-8: {error.reason}", mark_of(error))
    except OSError as error:
        return _refused(path, f"cannot be read: {error.strerror}")
    except yaml.MarkedYAMLError as error:
        return _refused(path, f"not YAML: {error.problem}", error.problem_mark)
    return _modelled(path, found, model)


def _modelled(
    path: Path, found: Sequence[tuple[yaml.Node, Any]], model: type[_Entry]
) -> Read[_Entry]:
    if not found:
        return _refused(path, "empty", mark_after(""))
    if len(found) > 1:
        return _refused(path, "more than one document", found[1][0].start_mark)
    root, value = found[0]
    source = Source(path, root)
    try:
        return Read(source, model.model_validate(value), ())
    except ValidationError as error:
        return Read(source, None, source.findings(map(_fault, _of_their_own(error))))


def _of_their_own(error: ValidationError) -> Iterator[Any]:
    """Without lists that lack nothing but what is refused within them."""
    errors = error.errors()
    within = {one["loc"][:length] for one in errors for length in range(len(one["loc"]))}
    return (one for one in errors if one["type"] != "too_short" or one["loc"] not in within)


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
    return Fault("invalid", error["loc"], said(error))


_SAID = {
    "dict_type": "keys with values are needed here",
    "model_type": "keys with values are needed here",
    "tuple_type": "a list is needed here",
    "too_short": "at least one is needed",
    "missing": "missing",
    "extra_forbidden": "unknown key",
}


def said(error: Any) -> str:  # noqa: ANN401 - pydantic's details of one error
    """What is wrong, in words of the file, not of the program."""
    message: str = error["msg"]
    return _SAID.get(error["type"], message.removeprefix("Value error, "))
