"""Faults on request: how a test makes Telegram misbehave."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from app.sandbox.errors import ApiError, bad_request, forbidden, too_many_requests, unauthorized


class FaultKind(StrEnum):
    """What goes wrong; ``drop_*`` close the connection without an answer, the call did not or did take effect."""

    TOO_MANY_REQUESTS = "429"
    SERVER_ERROR = "500"
    FORBIDDEN = "403"
    UNAUTHORIZED = "401"
    BAD_REQUEST = "400"
    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    DELAY = "delay"


@dataclass(slots=True, config=ConfigDict(extra="forbid"))
class Fault:
    """A fault of the next ``times`` calls that fit ``bot`` (username, token or id), ``method`` and ``chat_id``."""

    kind: FaultKind
    bot: str | None = None
    method: str | None = None
    chat_id: int | None = None
    retry_after: int = 1
    seconds: float = 0.0
    description: str = "can't parse entities: made up by the sandbox"
    times: int = 1

    def fits(self, bot_names: frozenset[str], method: str, chat_id: str) -> bool:
        """Tell whether a call is one of those that shall fail."""
        return (
            self.times > 0
            and (self.bot is None or self.bot in bot_names)
            and (self.method is None or self.method.lower() == method.lower())
            and (self.chat_id is None or str(self.chat_id) == chat_id)
        )

    def error(self) -> ApiError | None:
        """Return the error to answer with, ``None`` for the kinds that are none."""
        match self.kind:
            case FaultKind.TOO_MANY_REQUESTS:
                return too_many_requests(self.retry_after)
            case FaultKind.SERVER_ERROR:
                return ApiError(500, "Internal Server Error")
            case FaultKind.FORBIDDEN:
                return forbidden("bot was blocked by the user")
            case FaultKind.UNAUTHORIZED:
                return unauthorized()
            case FaultKind.BAD_REQUEST:
                return bad_request(self.description)
            case FaultKind.DROP_BEFORE | FaultKind.DROP_AFTER | FaultKind.DELAY:
                return None


class Faults:
    """The faults that are still to happen."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def take(self, bot_names: frozenset[str], method: str, chat_id: str) -> Fault | None:
        """Return the first fault that fits a call, used up by one."""
        fault = next((fault for fault in self.waiting if fault.fits(bot_names, method, chat_id)), None)
        if fault is not None:
            fault.times -= 1
            self.waiting = [fault for fault in self.waiting if fault.times > 0]
        return fault
