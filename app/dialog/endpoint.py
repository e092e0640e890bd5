"""A server of a model API: the client of the ``openai`` library, and what its errors mean."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.dialog.errors import ModelRefused, ModelUnavailable

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

BACK_OFF = 8.0
"""Seconds that the library waits at most between two attempts, unless the server asks for more."""

_SHOWN = 300
_REFUSING_KEYS = (401, 403)
_SPENT = "insufficient_quota"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server: where it is, and how patient we are with it (seconds of an attempt, further attempts)."""

    base_url: str
    api_key: str = field(repr=False)
    timeout: float
    retries: int


class Reported(Exception):
    """An answer that came through says that the model failed."""


async def connect(endpoint: Endpoint) -> AsyncOpenAI:
    """Return a client; proxies come from the environment (``HTTPS_PROXY``, ``NO_PROXY``). Raise ``ModelRefused``.

    In a thread and at first use, because the library's import costs 1.2 s of CPU and 35 MiB: no start pays for it, no
    bot without dialogs, and the learners of other bots do not wait meanwhile.
    """
    try:
        return await asyncio.to_thread(_client, endpoint)
    except Exception as error:  # whatever a base URL or a proxy variable makes it raise, with passwords in its text
        what = type(error).__name__
    place = place_of(endpoint.base_url)
    raise ModelRefused(f"{place} cannot be used ({what}); correct base_url, or the proxy variables of the environment")


def _client(endpoint: Endpoint) -> AsyncOpenAI:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key.strip() or "none",  # the library wants some key, local servers want none
        timeout=endpoint.timeout,
        max_retries=endpoint.retries,
    )
    _ = client.chat.completions, client.responses, client.audio  # imported when first touched
    return client


def library_errors() -> tuple[type[Exception], ...]:
    """Return what a request can raise: the library's errors, and those of reading an answer of another shape."""
    from openai import OpenAIError

    return OpenAIError, Reported, ValueError, TypeError, AttributeError, LookupError


def place_of(base_url: str) -> str:
    """Return a URL as it may stand in an error: without user, password and query."""
    return re.sub(r"//.*@", "//", base_url.partition("?")[0])


def trouble(error: Exception, base_url: str, secrets: Sequence[str]) -> ModelUnavailable | ModelRefused:
    """Return our error for one of the library; ``secrets`` are taken out of what the server said."""
    from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

    place = place_of(base_url)
    if not all(secret.strip().isascii() and secret.strip().isprintable() for secret in secrets):
        return ModelRefused(f"the key for {place} holds letters that no key has; copy it again into its variable")
    match error:
        case APITimeoutError():
            return ModelUnavailable(f"{place} did not answer in time")
        case APIConnectionError():
            cause = type(error.__cause__ or error).__name__
            return ModelUnavailable(f"{place} cannot be reached, or broke off ({cause})")
        case APIStatusError():
            return _status_trouble(error, place, secrets)
        case APIError():
            return ModelUnavailable(f"{place} answered with an error: {_said(error.message, secrets)}")
        case Reported():
            return ModelUnavailable(f"{place} answered with an error: {_said(str(error), secrets)}")
    return ModelUnavailable(f"{place} answered with something that is not a reply ({type(error).__name__})")


def _status_trouble(error: APIStatusError, place: str, secrets: Sequence[str]) -> ModelUnavailable | ModelRefused:
    status = error.status_code
    if status in _REFUSING_KEYS:
        # What the server says is left out: some repeat the key.
        return ModelRefused(f"{place} refuses the key (HTTP {status}); set the right one in the key's variable")
    message = error.message.removeprefix(f"Error code: {status} - ")
    said = f"{place} answered HTTP {status}: {_said(message, secrets)}"
    if error.code == _SPENT:
        return ModelRefused(f"{said}; pay the provider's bill or raise its limit")
    if status >= 500 or status in (408, 409, 429):
        return ModelUnavailable(said)
    return ModelRefused(f"{said}; correct the model's name, base_url or settings")


def _said(message: str, secrets: Sequence[str]) -> str:
    for secret in filter(None, map(str.strip, secrets)):
        message = message.replace(secret, "***")
    return repr(" ".join(message.split())[:_SHOWN])
