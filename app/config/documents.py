"""Plain YAML: every document of a text as a tree, in which all has a line, and as its value."""

from collections.abc import Hashable
from itertools import chain
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

_MERGE = "tag:yaml.org,2002:merge"


class _Strict(SafeConstructor):
    """Refuses a key that stands twice, since one would count for nothing."""

    merges = False

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002
        try:
            return _encodable(super().construct_object(node, deep))
        except UnicodeEncodeError as error:  # half of a pair that makes one character
            message = f"{ascii(node.value)[:40]} is no text"
            raise yaml.MarkedYAMLError(problem=message, problem_mark=node.start_mark) from error
        except (ValueError, OverflowError) as error:  # a 13th month, a number of 5000 digits
            message = f"{str(node.value)[:40]!r} is no possible date or number"
            raise yaml.MarkedYAMLError(problem=message, problem_mark=node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen = set[Hashable]()
        for key_node, _ in node.value:
            if self.merges and key_node.tag == _MERGE:
                continue
            mark = key_node.start_mark
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="a key is a plain word", problem_mark=mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"{key!r} stands twice", problem_mark=mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _SlowLoader(_Strict, yaml.SafeLoader):
    """Reads in Python, and says best what is wrong and where."""


if yaml.__with_libyaml__:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    class Loader(_Strict, Composer, CParser, SafeConstructor, Resolver):
        """Reads words in C, ten times as fast, which thousands of objectives need.

        (The tree is made in Python: in C a text that is nested too deeply ends the process.)
        """

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

else:
    Loader = _SlowLoader  # type: ignore[misc,assignment]


def documents(text: str, *, merges: bool = False) -> list[tuple[yaml.Node, Any]]:
    """Every document: its tree, and its value; `merges` lets `<<` in.

    Raises MarkedYAMLError where the text is none.
    """
    try:
        return _documents(Loader(text), merges=merges)
    except (yaml.YAMLError, RecursionError):
        return _explained(text, merges=merges)


def _explained(text: str, *, merges: bool) -> list[tuple[yaml.Node, Any]]:
    """The same, read slowly: every fault with its place."""
    try:
        loader = _SlowLoader(text)
    except yaml.reader.ReaderError as error:
        mark = mark_after(text[: error.position])
        raise yaml.MarkedYAMLError(problem=f"{error.reason}", problem_mark=mark) from error
    try:
        return _documents(loader, merges=merges)
    except RecursionError as error:
        mark = loader.get_mark()
        raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=mark) from error


def _documents(loader: Loader | _SlowLoader, *, merges: bool) -> list[tuple[yaml.Node, Any]]:
    loader.merges = merges
    found = []
    while loader.check_node() and (node := loader.get_node()):
        _refuse_loops(node, set(), set())
        found.append((node, loader.construct_document(node)))
    return found


def _encodable(value: Any) -> Any:  # noqa: ANN401 - any YAML
    if isinstance(value, str):
        value.encode()
    return value


def _refuse_loops(node: yaml.Node, above: set[int], done: set[int]) -> None:
    """An anchor may be used again, but not within itself: no file needs an endless value."""
    if id(node) in above:
        raise yaml.MarkedYAMLError(problem="an anchor within itself", problem_mark=node.start_mark)
    if id(node) in done or isinstance(node, yaml.ScalarNode):
        return
    above.add(id(node))
    parts = chain(*node.value) if isinstance(node, yaml.MappingNode) else node.value
    for part in parts:
        _refuse_loops(part, above, done)
    above.discard(id(node))
    done.add(id(node))


def mark_of(error: UnicodeDecodeError) -> yaml.Mark:
    """The place of the first byte that is no text."""
    return mark_after(error.object[: error.start].decode(errors="replace"))


def mark_after(text: str) -> yaml.Mark:
    """The place that follows a text."""
    line, column = text.count("\n"), len(text) - text.rfind("\n") - 1
    return yaml.Mark("", len(text), line, column, None, 0)
