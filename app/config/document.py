"""A YAML file read for people: its data, and the line of everything in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from app.config.tokens import redacted
from app.errors import InputError, Problem

Place = tuple[str | int, ...]
"""Keys and list positions that lead to a value: ``("bots", 2, "folder")``."""

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
    except RecursionError:
        raise InputError([Problem(file, 0, 0, "", "broken YAML: nested too deeply")]) from None


def _document(text: str, file: str) -> Document:
    loader = _LOADER(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return Document(file, None, {})
        lines: dict[Place, int] = {}
        duplicates: list[Place] = []
        scalars: list[tuple[Place, str]] = []
        for place, line, node in _walk(root, (), root.start_mark.line + 1, set()):
            if place in lines:
                duplicates.append(place)
            lines[place] = line
            if isinstance(node, yaml.ScalarNode):
                scalars.append((place, node.value))
        return Document(file, loader.construct_document(root), lines, tuple(duplicates), tuple(scalars))
    finally:
        loader.dispose()


def _walk(node: yaml.Node, place: Place, line: int, seen: set[int]) -> Iterator[tuple[Place, int, yaml.Node]]:
    """Visit ``node`` and everything in it once, also where an alias makes it part of itself."""
    yield place, line, node
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                yield from _walk(value, (*place, str(key.value)), key.start_mark.line + 1, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*place, index), value.start_mark.line + 1, seen)


def _item(value: Any, key: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    return value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else None
