"""The client of a model: any server with OpenAI's Chat Completions or Responses interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from app.config.settings import DialogSettings
from app.dialog.endpoint import BACK_OFF, Endpoint, connect, library_errors, place_of, trouble
from app.dialog.errors import ModelRefused, ModelUnavailable
from app.dialog.interface import INTERFACES, Piece, Usage
from app.dialog.reply import Reply, ReplyRequest, estimated_input, estimated_tokens

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OnText = Callable[[str], Awaitable[None]]
"""Takes all of the reply that is written so far; a reply that is begun anew may be another one."""


class _BrokenOff(Exception):
    """A stream ended before the reply did."""


class ModelClient:
    """Asks one server for replies. Belongs to one event loop; connections are kept until ``close``.

    An attempt that fails in a way that may pass (no connection, no answer in time, HTTP 408, 409, 429 and 5xx) is
    repeated ``settings.retries`` times with growing pauses, or after the pause that the server asks for.
    """

    def __init__(self, settings: DialogSettings) -> None:
        self._settings = settings
        self._interface = INTERFACES[settings.api]
        self._connecting: asyncio.Task[AsyncOpenAI] | None = None

    @property
    def patience(self) -> float:
        """Seconds after which ``reply`` gives up, all attempts and pauses included."""
        return self._settings.timeout * (self._settings.retries + 1) + BACK_OFF * self._settings.retries

    async def reply(self, request: ReplyRequest, on_text: OnText | None = None) -> Reply:
        """Return the model's reply; with ``on_text`` it is streamed, and told as it grows.

        Raises ``ModelUnavailable`` or ``ModelRefused``; what ``on_text`` raises ends the request.
        """
        client = await self._client()
        try:
            async with asyncio.timeout(self.patience) as limit:
                if on_text is None:
                    return await self._whole(client, request)
                return await self._streamed(client, request, on_text)
        except TimeoutError:
            if not limit.expired():  # it was on_text that raised
                raise
        raise self._unavailable("did not answer in time")

    async def close(self) -> None:
        """Close the connections."""
        if self._connecting:
            await (await self._connecting).close()

    async def _client(self) -> AsyncOpenAI:
        if not self._connecting:
            settings = self._settings
            endpoint = Endpoint(settings.base_url, settings.api_key, settings.timeout, settings.retries)
            self._connecting = asyncio.create_task(connect(endpoint))
        try:
            return await asyncio.shield(self._connecting)  # several replies may wait for it
        except ModelRefused:
            self._connecting = None
            raise

    async def _whole(self, client: AsyncOpenAI, request: ReplyRequest) -> Reply:
        try:
            arguments = self._interface.arguments(request, self._settings)
            text, usage = self._interface.read(await self._interface.ask(client, arguments, stream=False))
        except library_errors() as error:
            failure = self._trouble(error)
        else:
            return self._checked(request, text, usage)
        # Outside of the handler: the library's error holds the request, and with it the key.
        raise failure

    async def _streamed(self, client: AsyncOpenAI, request: ReplyRequest, on_text: OnText) -> Reply:
        text = ""
        try:
            async with aclosing(self._pieces(client, request)) as pieces:
                async for piece in pieces:
                    if piece.is_last:
                        return self._checked(request, text, piece.usage)
                    if piece.text:
                        text += piece.text
                        await on_text(text)
        except _BrokenOff:
            # The library repeats what fails before the first piece, not what breaks off later.
            if not self._settings.retries:
                raise self._unavailable("broke off in the middle of the reply") from None
        return await self._whole(client, request)

    async def _pieces(self, client: AsyncOpenAI, request: ReplyRequest) -> AsyncGenerator[Piece, None]:
        has_begun = False
        try:
            arguments = self._interface.arguments(request, self._settings)
            async with (
                await self._interface.ask(client, arguments, stream=True) as stream,
                aclosing(self._interface.pieces(stream)) as pieces,
            ):
                async for piece in pieces:
                    has_begun = True
                    yield piece
                    if piece.is_last:
                        return
            failure: Exception = _BrokenOff()
        except library_errors() as error:
            failure = _BrokenOff() if has_begun else self._trouble(error)
        raise failure

    def _checked(self, request: ReplyRequest, text: str, usage: Usage) -> Reply:
        if not text.strip():
            raise self._unavailable("answered with an empty reply")
        return Reply(text, *(usage or (estimated_input(request), estimated_tokens(text))))

    def _trouble(self, error: Exception) -> ModelUnavailable | ModelRefused:
        return trouble(error, self._settings.base_url, (self._settings.api_key,))

    def _unavailable(self, what: str) -> ModelUnavailable:
        return ModelUnavailable(f"{place_of(self._settings.base_url)} {what}")
