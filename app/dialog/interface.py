"""The two interfaces of a model's server: how a request is put, and how an answer is read.

Answers are read without trust in their shape: what is missing raises one of ``app.dialog.endpoint.library_errors``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol

from app.config.settings import Api, DialogSettings, ModelTraits
from app.course.element import Line
from app.dialog.endpoint import Reported
from app.dialog.reply import ReplyRequest

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Usage = tuple[int, int] | None
"""Tokens (input, output) as the server counted them, if it did."""

_UNKNOWN_MODEL = ModelTraits("*")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a streamed reply; ``is_last`` says that the model has finished, not just the connection."""

    text: str = ""
    is_last: bool = False
    usage: Usage = None


class Interface(Protocol):
    """One way to ask a model."""

    def arguments(self, request: ReplyRequest, settings: DialogSettings) -> dict[str, Any]:
        """Return what the library is called with."""

    async def ask(self, client: AsyncOpenAI, arguments: dict[str, Any], *, stream: bool) -> Any:
        """Send the request; return the answer, or its stream, which is an asynchronous context manager."""

    def read(self, answer: Any) -> tuple[str, Usage]:
        """Return the text of a whole answer."""

    def pieces(self, stream: AsyncIterator[Any]) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of a streamed answer; no last one when it broke off."""


class ChatCompletions:
    """``POST /chat/completions``, which nearly every server speaks."""

    def arguments(self, request: ReplyRequest, settings: DialogSettings) -> dict[str, Any]:
        """Return the request as this interface takes it; what the model does not take is left out."""
        traits = traits_of(request.model, settings.traits)
        arguments = {"model": request.model, "messages": _messages(request.messages)}
        if traits.takes_temperature and request.temperature is not None:
            arguments["temperature"] = request.temperature
        if traits.takes_reasoning and request.reasoning is not None:
            arguments["reasoning_effort"] = request.reasoning
        if settings.max_tokens is not None:
            # Reasoning models refuse the old name; many compatible servers know only that.
            arguments["max_completion_tokens" if traits.takes_reasoning else "max_tokens"] = settings.max_tokens
        return arguments

    async def ask(self, client: AsyncOpenAI, arguments: dict[str, Any], *, stream: bool) -> Any:
        """Send the request; a stream also brings the count of its tokens."""
        if stream:
            arguments = {**arguments, "stream": True, "stream_options": {"include_usage": True}}
        return await client.chat.completions.create(**arguments)

    def read(self, answer: Any) -> tuple[str, Usage]:
        """Return the text of a whole answer."""
        message = answer.choices[0].message
        return message.content or message.refusal or "", _usage_of(answer, "prompt_tokens", "completion_tokens")

    async def pieces(self, stream: AsyncIterator[Any]) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of a streamed answer."""
        is_finished, usage = False, None
        async for chunk in stream:  # the count comes after the end of the text
            usage = _usage_of(chunk, "prompt_tokens", "completion_tokens") or usage
            for choice in chunk.choices or ():
                is_finished = is_finished or choice.finish_reason is not None
                if choice.delta:
                    yield Piece(choice.delta.content or choice.delta.refusal or "")
        if is_finished:
            yield Piece(is_last=True, usage=usage)


class Responses:
    """``POST /responses``, OpenAI's newer interface; system messages become instructions."""

    def arguments(self, request: ReplyRequest, settings: DialogSettings) -> dict[str, Any]:
        """Return the request as this interface takes it; what the model does not take is left out."""
        traits = traits_of(request.model, settings.traits)
        said = [line for line in request.messages if line.role != "system"]
        system = [line.content for line in request.messages if line.role == "system"]
        # Not stored: what learners say is kept here, and sent whole each time.
        arguments = {"model": request.model, "input": _messages(said), "store": False}
        if system:
            arguments["instructions"] = "\n\n".join(system)
        if traits.takes_temperature and request.temperature is not None:
            arguments["temperature"] = request.temperature
        if traits.takes_reasoning and request.reasoning is not None:
            arguments["reasoning"] = {"effort": request.reasoning}
        if settings.max_tokens is not None:
            arguments["max_output_tokens"] = settings.max_tokens
        return arguments

    async def ask(self, client: AsyncOpenAI, arguments: dict[str, Any], *, stream: bool) -> Any:
        """Send the request; a stream also brings the count of its tokens."""
        return await client.responses.create(**arguments, stream=stream)

    def read(self, answer: Any) -> tuple[str, Usage]:
        """Return the text of a whole answer."""
        _raise_reported(answer)
        return answer.output_text, _usage_of(answer, "input_tokens", "output_tokens")

    async def pieces(self, stream: AsyncIterator[Any]) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of a streamed answer."""
        async for event in stream:
            match event.type:
                case "response.output_text.delta" | "response.refusal.delta":
                    yield Piece(event.delta)
                case "response.completed" | "response.incomplete":
                    yield Piece(is_last=True, usage=_usage_of(event.response, "input_tokens", "output_tokens"))
                case "response.failed":
                    _raise_reported(event.response)
                case "error":
                    raise Reported(str(event.message))


INTERFACES: dict[Api, Interface] = {Api.CHAT_COMPLETIONS: ChatCompletions(), Api.RESPONSES: Responses()}


def traits_of(model: str, traits: tuple[ModelTraits, ...]) -> ModelTraits:
    """Return what a model understands: the first pattern that matches its name counts."""
    return next((known for known in traits if fnmatchcase(model, known.pattern)), _UNKNOWN_MODEL)


def _messages(lines: tuple[Line, ...] | list[Line]) -> Any:
    return [{"role": line.role, "content": line.content} for line in lines]


def _usage_of(answer: Any, input_name: str, output_name: str) -> Usage:
    usage = getattr(answer, "usage", None)
    input_tokens: Any = getattr(usage, input_name, None)
    output_tokens: Any = getattr(usage, output_name, None)
    is_counted = isinstance(input_tokens, int) and isinstance(output_tokens, int)
    return (input_tokens, output_tokens) if is_counted else None


def _raise_reported(answer: Any) -> None:
    if (error := getattr(answer, "error", None)) is not None:
        raise Reported(str(error.message))
