"""What must not be read in a log: bot tokens, wherever they come from, and the secrets that a host knows."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from types import TracebackType
from urllib.parse import quote

MASK = "..."

SHORTEST = 6
"""Characters of a secret: a shorter one is part of too many words, and of times."""

TOKEN = re.compile(r"(?<![0-9])[0-9]+(?::|%3[Aa])[A-Za-z0-9_-]{30,}")
KEY = re.compile(r"\bsk-[A-Za-z0-9_-]{16,}|\bsk_[0-9A-Za-z]{32,}")
_PASSWORD = re.compile(r"(?<=://)([^\s:/@]*):[^\s/\"']+@")
_KEYWORD = re.compile(r"""\b((?:ssl)?password\s*=\s*)(?:'(?:\\+.|[^'\\])*'?|(?:\\+.|[^\s'"\\])+)""")
"""A password in an address of PostgreSQL, and in the other spelling of one: ``host=... password=...``."""

_known: list[str] = []


def keep_secret(values: Iterable[str]) -> None:
    """Mask these, and only these, beside what looks like a token or a key."""
    spellings = {spelling for value in values for spelling in _spellings(value) if len(spelling) >= SHORTEST}
    _known[:] = sorted(spellings, key=len, reverse=True)  # a token before its half


def _spellings(value: str) -> Iterable[str]:
    """Return how a secret may be written: as it is, in JSON, by Python, in an address; and half of a token."""
    for part in (value, value.partition(":")[2]):
        yield part
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield repr(part)[1:-1]
        yield quote(part, safe="")


def masked(text: str) -> str:
    """Return a text with dots in place of all secrets."""
    for secret in _known:  # first: of one that looks partly like something else the rest would be left
        if secret in text:
            text = text.replace(secret, MASK)
    return _KEYWORD.sub(rf"\1{MASK}", _PASSWORD.sub(rf"\1:{MASK}@", KEY.sub(MASK, TOKEN.sub(MASK, text))))


def mask_tracebacks() -> None:
    """Have tracebacks of defects printed without secrets: errors of libraries tell addresses, with tokens in them."""
    sys.excepthook = _print_masked


def _print_masked(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    from traceback import format_exception  # it is not wanted as a rule

    print(masked("".join(format_exception(kind, error, trace))), end="", file=sys.stderr)
