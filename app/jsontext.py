"""Compact JSON texts.

pydantic's serializer writes them: in an eighth of the time of Python's (0.7 us instead of 5.9 for an element's body).
Reading is left to ``json.loads``, than which pydantic's parser is no faster.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, to_json


def to_text(value: Any, *, is_ascii: bool = False) -> str:
    """Return the value as JSON; all but ASCII is escaped in it if ``is_ascii``.

    Raises ``TypeError`` and ``ValueError`` as ``json.dumps`` does.
    """
    try:
        return to_json(value, ensure_ascii=is_ascii).decode()
    except PydanticSerializationError:  # half a surrogate pair, nested very deeply, or no JSON at all
        return json.dumps(value, ensure_ascii=is_ascii, separators=(",", ":"))


def to_bytes(value: Any) -> bytes:
    """Return the value as JSON in UTF-8; halves of surrogate pairs, which it does not know, become question marks."""
    try:
        return to_json(value)
    except PydanticSerializationError:
        return to_text(value).encode("utf-8", "replace")
