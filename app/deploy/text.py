"""YAML as one would write it by hand: plain where that is safe, quoted where not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import yaml

Value: TypeAlias = "str | int | Sequence[Value] | Mapping[str, Value]"

_PLAIN = re.compile(r"[A-Za-z/$.][A-Za-z0-9_./$@{},?'()+=;~ :-]*|[0-9]+[kmg]")
_SPECIAL = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that one of the YAML versions takes for something else than text."""

_RESOLVER = yaml.SafeLoader("")


class Verbatim(str):
    """Text that is YAML already: an alias, a list in brackets."""

    __slots__ = ()


@lru_cache(maxsize=4096)
def scalar(text: str) -> str:
    """Write a text as a YAML scalar for block context."""
    plain = _PLAIN.fullmatch(text) and not text.endswith((" ", ":")) and ": " not in text
    if plain and text.lower() not in _SPECIAL and _is_text(text):
        return text
    quoted = yaml.dump(text, default_style='"', allow_unicode=True, width=float("inf"))
    return quoted.rstrip("\n")


def lines(mapping: Mapping[str, Value], indent: int = 0) -> Iterator[str]:
    """Write a mapping in block style, in its own order; ``indent`` counts spaces."""
    margin = " " * indent
    for key, value in mapping.items():
        name = key if key == "<<" else scalar(key)
        if isinstance(value, str | int):
            yield f"{margin}{name}: {_written(value)}".rstrip()
        elif isinstance(value, Mapping):
            yield f"{margin}{name}:"
            yield from lines(value, indent + 2)
        else:
            yield f"{margin}{name}:"
            yield from (f"{margin}  - {_written(item)}" for item in value)


def _written(value: Value) -> str:
    if isinstance(value, str):
        return value if isinstance(value, Verbatim) else scalar(value)
    return str(value)


def _is_text(plain: str) -> bool:
    """Whether YAML reads this word, unquoted, as text (and not as a number, a date, ...)."""
    tag = _RESOLVER.resolve(yaml.ScalarNode, plain, (True, False))  # type: ignore[no-untyped-call]
    return bool(tag == "tag:yaml.org,2002:str")
