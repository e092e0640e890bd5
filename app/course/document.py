"""A YAML file as a tree of values that know their places.

YAML 1.1 as PyYAML's ``safe_load`` reads it, with three differences: a scalar also keeps the text it was written as, a
date stays text, and a key that occurs twice (the place of the first and the content of the last are used) is reported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import yaml

from app.course.report import Place, Report

MAX_CHARACTERS = 2_000_000
"""The longest file that is read; also the limit of what a file may hold with its aliases written out."""

MAX_DEPTH = 32
"""How deep values may be nested; a course needs six levels, and the C parser overflows its stack at some thousands."""

MAX_MERGED = 200_000
"""How many entries all ``<<`` of a file may bring in, those that others replace included."""

MAX_DIGITS = 100
"""The longest whole number that is one: longer ones take long to read, and Python refuses to write them out."""

Value = str | int | float | bool | None
"""A single value: a JSON type."""

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_constructor = yaml.constructor.SafeConstructor()
_YAML = "tag:yaml.org,2002:"
_NATIVE: Mapping[str, Callable[[yaml.ScalarNode], Value]] = {
    _YAML + "null": _constructor.construct_yaml_null,
    _YAML + "bool": _constructor.construct_yaml_bool,
    _YAML + "int": _constructor.construct_yaml_int,
    _YAML + "float": _constructor.construct_yaml_float,
}
_TEXT = {_YAML + name for name in ("str", "timestamp", "value", "merge")}
_REMEDIES = {
    "mapping values are not allowed in this context": (
        "a text with a colon needs quotes, or write it below a '|'; "
        "if there is none, indent the line like the one before it, and put a space after every 'key:'"
    ),
    "found character that cannot start any token": "indent with spaces, not tabs; quote texts that begin with @ or `",
    "did not find expected key": "look for a quote that is not closed, or a line that is indented differently",
    "could not find expected ':'": "write 'key: value', and indent the lines of a longer text below a '|'",
    "expected a single document in the stream": "remove the '---' line",
    "found unexpected end of stream": "look for a quote that is not closed",
    "found undefined alias": "quote the text if it begins with '*'",
    "did not find expected alphabetic or numeric character": "quote the text if it begins with '*' or '&'",
    "expected <block end>": "look for a line that is indented differently from those above it",
    "did not find expected ',' or": "close the bracket",
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value; ``text`` is how it was written (without quotes), ``value`` what YAML makes of it."""

    text: str
    value: Value
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping; ``keys`` has the place of each key, of the last one where a key occurs twice."""

    items: Mapping[str, Node]
    keys: Mapping[str, Place] = field(default_factory=dict, compare=False)
    place: Place = field(default=Place(), compare=False)


Node = Scalar | Items | Table
"""Any value of a document."""


class _RefusedError(Exception):
    """The document cannot be read at all."""

    def __init__(self, place: Place, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.place, self.text, self.remedy = place, text, remedy


def parse(text: str, report: Report) -> Node | None:
    """Read a document; ``None`` when it is empty or broken, the latter is reported."""
    try:
        root = _compose(text)
        return None if root is None else _Builder(report).node(root, "")
    except _RefusedError as error:
        report.error(error.place, "", error.text, error.remedy)
        return None


def from_data(data: Any) -> Node:
    """Wrap plain data (JSON types) as if it had been read from a file."""
    if isinstance(data, Mapping):
        return Table({str(key): from_data(value) for key, value in data.items()})
    if isinstance(data, list | tuple):
        return Items(tuple(from_data(item) for item in data))
    return Scalar("" if data is None else str(data), data)


def from_json(text: str) -> Node:
    """Read a JSON text as if it were a file. Raises ``ValueError`` that says what is wrong with it."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"has {len(text)} characters, more than {MAX_CHARACTERS}")
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels") from None
    _check_json(data, 1)
    return from_data(data)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"is not valid JSON: {name} is no number of JSON")


def _check_json(data: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    match data:
        case dict():
            for key, value in data.items():
                _check_json(key, depth)
                _check_json(value, depth + 1)
        case list():
            for item in data:
                _check_json(item, depth + 1)
        case str() if _NOT_STORABLE.search(data):
            raise ValueError("has a character that PostgreSQL cannot store")
        case float() if not isfinite(data):
            raise ValueError("has a number that is too large")


def _compose(text: str) -> yaml.Node | None:
    if len(text) > MAX_CHARACTERS:
        raise _RefusedError(Place(), f"has {len(text)} characters, more than {MAX_CHARACTERS}", "split the file")
    try:
        _check_depth(text)
        root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise _refused_syntax(error) from None
    except yaml.reader.ReaderError as error:
        raise _refused_character(text, error) from None
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise _RefusedError(Place(line), "is not valid Unicode", "save the file as UTF-8") from None
    return root


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _RefusedError(_place(event), f"is nested deeper than {MAX_DEPTH} levels")


def _refused_syntax(error: yaml.MarkedYAMLError) -> _RefusedError:
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else Place()
    reason = error.problem or ""
    if error.context and error.context_mark:
        reason = f"{error.context} on line {error.context_mark.line + 1}: {reason}"
    remedy = next((remedy for words, remedy in _REMEDIES.items() if words in reason), "")
    return _RefusedError(place, f"is not valid YAML: {reason}", remedy)


def _refused_character(text: str, error: yaml.reader.ReaderError) -> _RefusedError:
    line = text.encode()[: error.position].count(b"\n") + 1
    character = error.character if isinstance(error.character, int) else ord(error.character)
    return _RefusedError(Place(line), f"has the control character {chr(character)!r}", "remove it")


def _place(node: yaml.Node | yaml.Event) -> Place:
    mark = node.start_mark
    return Place(mark.line + 1, mark.column + 1) if mark else Place()


@dataclass(frozen=True, slots=True)
class _Built:
    """A finished value with its size (characters) and depth, aliases written out; ``parts`` are those of a table."""

    node: Node
    size: int
    depth: int = 1
    parts: Mapping[str, _Built] = field(default_factory=dict)


class _Builder:
    """Turns PyYAML's nodes into ours; a node that aliases share is built once."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._built: dict[int, _Built] = {}
        self._open: set[int] = set()
        self._brought_in = 0

    def node(self, node: yaml.Node, where: str) -> Node:
        return self._build(node, where).node

    def _build(self, node: yaml.Node, where: str) -> _Built:
        if id(node) in self._built:
            return self._built[id(node)]
        if id(node) in self._open:
            raise _RefusedError(_place(node), "has an alias that contains itself", "remove the '*' alias")
        self._open.add(id(node))
        built = self._built[id(node)] = self._checked(node, self._convert(node, where))
        self._open.remove(id(node))
        return built

    def _checked(self, node: yaml.Node, built: _Built) -> _Built:
        if built.size > MAX_CHARACTERS:
            text = f"has more than {MAX_CHARACTERS} characters with its aliases written out"
            raise _RefusedError(_place(node), text, "use fewer '*' aliases")
        if built.depth > MAX_DEPTH:
            raise _RefusedError(_place(node), f"is nested deeper than {MAX_DEPTH} levels", "use fewer '*' aliases")
        return built

    def _convert(self, node: yaml.Node, where: str) -> _Built:
        match node:
            case yaml.ScalarNode():
                return _Built(_scalar(node), 1 + len(node.value))
            case yaml.SequenceNode(tag=tag) if tag == _YAML + "seq":
                parts = [self._build(item, _join(where, str(n))) for n, item in enumerate(node.value, 1)]
                return _sized(Items(tuple(part.node for part in parts), _place(node)), parts)
            case yaml.MappingNode(tag=tag) if tag == _YAML + "map":
                return self._table(node, where)
            case _:
                raise _unknown_tag(node)

    def _table(self, node: yaml.MappingNode, where: str) -> _Built:
        parts: dict[str, _Built] = {}
        keys: dict[str, Place] = {}
        for key, part in self._merged(node):
            parts[key], keys[key] = part, _place(node)
        own: dict[str, Place] = {}
        for key_node, value in node.value:
            if key_node.tag == _YAML + "merge":
                continue
            key, place = _key(key_node), _place(key_node)
            if key in own:
                self._report_twice(_join(where, key), own[key], place)
            own[key] = keys[key] = place
            parts[key] = self._build(value, _join(where, key))
        table = Table({key: part.node for key, part in parts.items()}, keys, _place(node))
        return replace(_sized(table, list(parts.values())), parts=parts)

    def _merged(self, node: yaml.MappingNode) -> Iterator[tuple[str, _Built]]:
        """Yield what ``<<: *base`` and ``<<: [*a, *b]`` bring in, the strongest last."""
        for key, value in node.value:
            if key.tag == _YAML + "merge":
                bases = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for base in reversed(bases):
                    yield from self._entries(base)

    def _entries(self, base: yaml.Node) -> Iterator[tuple[str, _Built]]:
        built = self._build(base, "")
        if not isinstance(built.node, Table):
            raise _RefusedError(_place(base), "merges something that is not a mapping with '<<'")
        self._brought_in += 1 + len(built.parts)
        if self._brought_in > MAX_MERGED:
            raise _RefusedError(
                _place(base), f"brings in more than {MAX_MERGED} entries with '<<'", "use fewer of them"
            )
        yield from built.parts.items()

    def _report_twice(self, where: str, first: Place, last: Place) -> None:
        text = f"occurs twice, on lines {first.line} and {last.line}"
        self._report.warning(
            last, where, text, "the last content is used, at the place of the first; rename or remove one"
        )


def _sized(node: Node, parts: list[_Built]) -> _Built:
    return _Built(node, 1 + sum(part.size for part in parts), 1 + max((part.depth for part in parts), default=0))


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _RefusedError(_place(node), "has a key that is not a text", "write 'key: value'")
    return _scalar(node).text


def _scalar(node: yaml.ScalarNode) -> Scalar:
    if "\0" in node.value:
        raise _RefusedError(_place(node), "has the control character '\\x00'", "remove it")
    return Scalar(node.value, _value(node), _place(node))


def _value(node: yaml.ScalarNode) -> Value:
    if node.tag in _TEXT:
        return str(node.value)
    if node.tag not in _NATIVE:
        raise _unknown_tag(node)
    if node.tag == _YAML + "int" and len(node.value) > MAX_DIGITS:
        return str(node.value)
    try:
        value = _NATIVE[node.tag](node)
    except (ValueError, KeyError, IndexError, OverflowError):
        return str(node.value)
    return str(node.value) if isinstance(value, float) and not isfinite(value) else value


def _unknown_tag(node: yaml.Node) -> _RefusedError:
    return _RefusedError(_place(node), f"has the unknown tag {node.tag!r}", "quote the text if it begins with '!'")


def _join(where: str, key: str) -> str:
    return f"{where}/{key}" if where else key
