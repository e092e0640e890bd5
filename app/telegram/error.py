"""What can go wrong in a call of the Bot API, by what it means for the caller."""

from __future__ import annotations

from app.errors import FlotillaError


class TelegramError(FlotillaError):
    """A call failed; ``description`` is Telegram's own sentence."""

    def __init__(self, method: str, description: str) -> None:
        self.method = method
        self.description = description
        super().__init__(f"{method}: {description}")


class FloodWait(TelegramError):
    """Telegram wants a pause of ``retry_after`` seconds (429)."""

    def __init__(self, method: str, description: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(method, description)


class TokenRefused(TelegramError):
    """The token is wrong or was revoked (401; 404 when it is malformed)."""


class Conflict(TelegramError):
    """Somebody else takes this bot's updates: another poller, or a webhook (409)."""


class ChatBlocked(TelegramError):
    """The learner blocked the bot or deleted the account (403)."""


class Rejected(TelegramError):
    """Telegram refuses this request and would refuse it again (400 and other 4xx)."""

    @property
    def is_markup(self) -> bool:
        """Whether the text's markup is what Telegram cannot read."""
        return "parse entities" in self.description

    @property
    def is_unchanged(self) -> bool:
        """Whether an edit would change nothing: it was made before."""
        return "message is not modified" in self.description

    @property
    def is_media(self) -> bool:
        """Whether a media link is what Telegram cannot use: wrong type, or it could not be fetched."""
        text = self.description.lower()
        return any(
            sign in text
            for sign in ("web page content", "http url", "webpage_", "wrong file identifier", "wrong remote file")
        )


class Unavailable(TelegramError):
    """Telegram could not be reached, failed (5xx) or did not answer.

    ``was_sent`` says that the request left this machine, so that its effect is unknown; ``was_answered`` that there was
    an answer, if only one of something in between.
    """

    def __init__(self, method: str, description: str, *, was_sent: bool, was_answered: bool = False) -> None:
        self.was_sent = was_sent
        self.was_answered = was_answered
        super().__init__(method, description)


_BY_STATUS: dict[int, type[TelegramError]] = {401: TokenRefused, 404: TokenRefused, 409: Conflict, 403: ChatBlocked}


def error_from_answer(method: str, status: int, answer: object) -> TelegramError:
    """Make the error for an answer that is not ok; ``answer`` is the decoded body, of any shape.

    Only the Bot API itself can refuse a token or a chat: what is not its JSON comes from something in between.
    """
    if not isinstance(answer, dict) or "description" not in answer:
        return Unavailable(method, f"HTTP {status} without an answer of the Bot API", was_sent=True, was_answered=True)
    description, parameters = str(answer["description"]), answer.get("parameters")
    if status == 429:
        wait = parameters.get("retry_after") if isinstance(parameters, dict) else None
        return FloodWait(method, description, float(wait) if isinstance(wait, int | float) else 1.0)
    if status >= 500:
        return Unavailable(method, description, was_sent=True, was_answered=True)
    return _BY_STATUS.get(status, Rejected)(method, description)
