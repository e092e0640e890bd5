"""What the sandbox answers when it refuses a call, in Telegram's words."""

from __future__ import annotations

from collections.abc import Mapping

from app.errors import FlotillaError

_STATUS_WORDS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict"}


class ApiError(FlotillaError):
    """A refused call: ``code`` is also the HTTP status, ``parameters`` what Telegram adds (``retry_after``)."""

    def __init__(self, code: int, description: str, parameters: Mapping[str, int] | None = None) -> None:
        self.code = code
        self.description = description
        self.parameters = parameters
        super().__init__(description)


def bad_request(words: str) -> ApiError:
    """Return the error of a call with wrong arguments."""
    return ApiError(400, f"{_STATUS_WORDS[400]}: {words}")


def forbidden(words: str) -> ApiError:
    """Return the error of a call that the learner does not allow."""
    return ApiError(403, f"{_STATUS_WORDS[403]}: {words}")


def conflict(words: str) -> ApiError:
    """Return the error of two ways of taking updates that exclude each other."""
    return ApiError(409, f"{_STATUS_WORDS[409]}: {words}")


def not_found() -> ApiError:
    """Return the error of an unknown method or a token that cannot be one."""
    return ApiError(404, _STATUS_WORDS[404])


def unauthorized() -> ApiError:
    """Return the error of a revoked token."""
    return ApiError(401, _STATUS_WORDS[401])


def too_many_requests(retry_after: int) -> ApiError:
    """Return the error of a bot that is too fast."""
    return ApiError(429, f"Too Many Requests: retry after {retry_after}", {"retry_after": retry_after})
