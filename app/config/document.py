"""A YAML file read for people: its data, and the line of everything in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from app.config.tokens import redacted
from app.errors import InputError, Problem

Place = tuple[str | int, ...]
"""Keys and list positions that lead to a value: ``("bots", 2, "folder")``."""

MAX_CHARACTERS = 1_000_000
"""The longest config that is read; also the limit of what it may hold with its aliases written out."""

MAX_DEPTH = 32
"""How deep values may be nested; the C parser overflows its stack at some thousands."""

MAX_DIGITS = 100
"""The longest whole number that is one: longer ones take long to read, and Python refuses to write them out."""

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_YAML = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Document:
    """The data of a YAML file, the line of each of its places, and its scalars with their lines."""

    file: str
    data: Any
    lines: dict[Place, int] = field(repr=False)
    duplicates: tuple[Place, ...] = ()
    scalars: tuple[tuple[Place, str], ...] = field(default=(), repr=False)

    def line(self, place: Place) -> int:
        """Return the line of ``place``, or of the nearest thing around it that is in the file."""
        while place not in self.lines and place:
            place = place[:-1]
        return self.lines.get(place, 0)

    def problem(self, place: Place, text: str, remedy: str = "") -> Problem:
        """Say what is wrong at ``place``."""
        return Problem(self.file, self.line(place), 0, self._path(place), text, remedy)

    def warning(self, place: Place, text: str, remedy: str = "") -> Problem:
        """Say what is unwise at ``place``."""
        return replace(self.problem(place, text, remedy), severity="warning")

    def _path(self, place: Place) -> str:
        """Write a place as a path in which list items go by their ``name`` where they have one."""
        names, value = [], self.data
        for key in place:
            value = _item(value, key)
            name = value.get("name") if isinstance(value, dict) and isinstance(key, int) else None
            names.append(name if isinstance(name, str) else str(key + 1 if isinstance(key, int) else key))
        return redacted("/".join(names))


def read_document(path: Path, file: str) -> Document:
    """Read a YAML file; ``file`` is what messages call it.

    Raises :class:`InputError`: the file is missing, unreadable, not UTF-8 or not YAML.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError([Problem(file, 0, 0, "", "no such file", "write one with 'flotilla init'")]) from None
    except OSError as error:
        raise InputError([Problem(file, 0, 0, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise InputError([Problem(file, line, 0, "", "is not UTF-8 text", "save the file as UTF-8")]) from None
    return parse_document(text, file)


def parse_document(text: str, file: str) -> Document:
    """Parse YAML; ``file`` is what messages call it.

    Raises :class:`InputError`: the text is not one YAML document.
    """
    try:
        return _document(text, file)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise InputError([Problem(file, line, column, "", f"broken YAML: {error.problem}")]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError([Problem(file, 0, 0, "", f"broken YAML: {error}")]) from None


def _document(text: str, file: str) -> Document:
    _check_text(text, file)
    loader = _LOADER(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return Document(file, None, {})
        _check_aliases(root, file)
        lines: dict[Place, int] = {}
        duplicates: list[Place] = []
        scalars: list[tuple[Place, str]] = []
        for place, line, node in _walk(root, (), root.start_mark.line + 1, set()):
            if place in lines:
                duplicates.append(place)
            lines[place] = line
            if isinstance(node, yaml.ScalarNode):
                if node.tag == f"{_YAML}int" and len(node.value) > MAX_DIGITS:
                    node.tag = f"{_YAML}str"
                scalars.append((place, node.value))
        return Document(file, loader.construct_document(root), lines, tuple(duplicates), tuple(scalars))
    finally:
        loader.dispose()


def _check_text(text: str, file: str) -> None:
    """Refuse what would take the parser too long, or overflow its stack."""
    if len(text) > MAX_CHARACTERS:
        raise InputError([Problem(file, 0, 0, "", f"has {len(text)} characters, more than {MAX_CHARACTERS}")])
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _refused(event, file, f"is nested deeper than {MAX_DEPTH} levels")


def _check_aliases(root: yaml.Node, file: str) -> None:
    """Refuse what grows too large or too deep when its aliases are written out."""
    size, depth = _measured(root, {}, file)
    if size > MAX_CHARACTERS:
        text = f"has more than {MAX_CHARACTERS} characters with its aliases written out"
        raise _refused(root, file, text, "use fewer '*' aliases")
    if depth > MAX_DEPTH:
        raise _refused(root, file, f"is nested deeper than {MAX_DEPTH} levels", "use fewer '*' aliases")


def _measured(node: yaml.Node, known: dict[int, tuple[int, int] | None], file: str) -> tuple[int, int]:
    """Return the size (characters) and the depth of a value; ``known`` are those so far, ``None`` while under way."""
    if id(node) in known:
        measured = known[id(node)]
        if measured is None:
            raise _refused(node, file, "has an alias that contains itself", "remove the '*' alias")
        return measured
    known[id(node)] = None
    parts = [_measured(part, known, file) for part in _parts(node)]
    size = 1 + sum(size for size, _ in parts) + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
    depth = max((depth for _, depth in parts), default=0) + (not isinstance(node, yaml.ScalarNode))
    known[id(node)] = measured = size, depth
    return measured


def _parts(node: yaml.Node) -> Sequence[yaml.Node]:
    match node:
        case yaml.MappingNode():
            return [part for pair in node.value for part in pair]
        case yaml.SequenceNode():
            return list(node.value)
        case _:
            return []


def _refused(at: yaml.Node | yaml.Event, file: str, text: str, remedy: str = "") -> InputError:
    mark = at.start_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return InputError([Problem(file, line, column, "", text, remedy)])


def _walk(node: yaml.Node, place: Place, line: int, seen: set[int]) -> Iterator[tuple[Place, int, yaml.Node]]:
    """Visit ``node`` and everything in it once, also where an alias makes it part of itself."""
    yield place, line, node
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag != f"{_YAML}merge":
                yield from _walk(value, (*place, str(key.value)), key.start_mark.line + 1, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*place, index), value.start_mark.line + 1, seen)


def _item(value: Any, key: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    return value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else None
