"""What a model is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.course.element import Line


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """A conversation to be continued; ``None`` leaves a choice to the server.

    ``temperature`` and ``reasoning`` are wishes: a model that does not take them is not sent them.
    """

    model: str
    messages: tuple[Line, ...] = field(repr=False)
    temperature: float | None = None
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The model's text as it wrote it, and its cost; tokens are estimated when the server does not count them."""

    text: str
    input_tokens: int
    output_tokens: int


def estimated_tokens(*texts: str) -> int:
    """Guess the tokens of texts: a token for each four bytes of UTF-8.

    About right for English, and too many for Cyrillic, so that a limit is kept rather than passed.
    """
    return sum(-(-len(text.encode()) // 4) for text in texts)


def estimated_input(request: ReplyRequest) -> int:
    """Guess the tokens of a request, a few for the frame of each message included."""
    return estimated_tokens(*(line.content for line in request.messages)) + 4 * len(request.messages)
