"""Calls of the Bot API: the hot path in plain JSON over ``app.telegram.wire``, all else through aiogram.

Building aiogram's models costs more than all the rest of an update's way (design, section 8), so polling and sending
hand over dictionaries. Files go over the connections of aiogram's session, and ``BotApi.bot`` is the full aiogram
client on it for everything else.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import ClientConnectionError, ClientConnectorError, ClientError, ClientTimeout, FormData

from app.jsontext import to_bytes
from app.telegram.encode import Upload
from app.telegram.error import Rejected, TokenRefused, Unavailable, error_from_answer
from app.telegram.lean import import_aiogram
from app.telegram.media import probe
from app.telegram.wire import CONNECT_SECONDS, NoAnswerError, NotConnectedError, Wire

if TYPE_CHECKING:
    from aiogram import Bot
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.utils.backoff import Backoff
    from aiohttp import ClientResponse

ANSWER_TIMEOUT = 30.0
"""Seconds that a call may take before its effect counts as unknown."""

DOWNLOAD_LIMIT = 20 * 1024 * 1024
"""Bytes of a file that a bot may download."""

DOWNLOAD_TIMEOUT = 60.0


def backoff(longest: float = 15.0) -> Backoff:
    """Return growing delays, in seconds, between attempts; ``next`` gives one, ``reset`` begins anew."""
    from aiogram.utils.backoff import Backoff, BackoffConfig

    return Backoff(BackoffConfig(min_delay=0.5, max_delay=longest, factor=1.6, jitter=0.1))


class BotApi:
    """One bot's calls."""

    def __init__(self, session: AiohttpSession, wire: Wire, bot: Bot) -> None:
        self._session = session
        self._wire = wire
        self._path = f"/bot{quote(bot.token, safe=':')}/"
        self.bot = bot

    async def call(self, method: str, params: Mapping[str, Any], *, patience: float = ANSWER_TIMEOUT) -> Any:
        """Call a method with JSON parameters and return its ``result``; waits ``patience`` seconds for it.

        Raises a ``TelegramError``; ``Unavailable.was_sent`` tells whether the call may have taken effect.
        """
        try:
            status, content = await self._wire.post(self._path + method, to_bytes(params), patience)
        except NotConnectedError as trouble:
            raise Unavailable(method, str(trouble), was_sent=False) from None
        except NoAnswerError as trouble:
            raise Unavailable(method, str(trouble), was_sent=True) from None
        return _result(method, status, content)

    async def upload(
        self, method: str, params: Mapping[str, Any], upload: Upload, *, patience: float = ANSWER_TIMEOUT
    ) -> Any:
        """Call a method that takes a file, as ``call`` does."""
        form = FormData(quote_fields=False)
        for name, value in params.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            form.add_field(name, text.encode("utf-8", "replace").decode())
        form.add_field(upload.name, upload.content, filename=upload.file_name)
        url = self._session.api.api_url(token=self.bot.token, method=method)
        http = await self._session.create_session()
        limits = ClientTimeout(total=patience, sock_connect=CONNECT_SECONDS)
        with _reached(method, patience):
            async with http.post(url, data=form, timeout=limits) as response:
                status, content = response.status, await response.read()
        return _result(method, status, content)

    async def download(self, file_id: str) -> bytes:
        """Return what a learner has sent; raises a ``TelegramError``, ``Rejected`` also for what is too large."""
        file = await self.call("getFile", {"file_id": file_id})
        if not isinstance(file, dict) or not isinstance(file.get("file_path"), str):
            raise Unavailable("getFile", "the answer names no path", was_sent=True, was_answered=True)
        # The address holds the token: no error of the HTTP client may carry it further.
        url = self._session.api.file_url(token=self.bot.token, path=file["file_path"])
        http = await self._session.create_session()
        limits = ClientTimeout(total=DOWNLOAD_TIMEOUT, sock_connect=CONNECT_SECONDS)
        with _reached("download", DOWNLOAD_TIMEOUT):
            async with http.get(url, timeout=limits) as response:
                return await _limited(response)

    async def commands(self, language: str) -> list[dict[str, str]]:
        """Return the menu of a language, of all without one of their own if ``language`` is empty."""
        result = await self.call("getMyCommands", _language(language))
        return result if isinstance(result, list) else []

    async def set_commands(self, language: str, commands: Sequence[Mapping[str, str]]) -> None:
        """Replace the menu of a language; no commands at all take it away."""
        await self.call("setMyCommands", {"commands": list(commands), **_language(language)})

    async def username(self) -> str:
        """Return the bot's username (``getMe``); raises ``TokenRefused`` when Telegram does not know the token."""
        async with _translated("getMe"):
            return (await self.bot.get_me()).username or ""

    async def kind_of(self, url: str) -> str | None:
        """Ask a media link's own server what it is; ``None`` when it does not say."""
        return await probe(await self._session.create_session(), url)

    async def drop_webhook(self) -> bool:
        """Remove a webhook so that polling may begin, keeping the pending updates; tell whether there was one."""
        info = await self.call("getWebhookInfo", {})
        if not isinstance(info, dict) or not info.get("url"):
            return False
        await self.call("deleteWebhook", {"drop_pending_updates": False})
        return True


def _language(language: str) -> dict[str, str]:
    return {"language_code": language} if language else {}


@contextmanager
def _reached(method: str, patience: float) -> Iterator[None]:
    """Translate what keeps a call from being answered."""
    try:
        yield
    except ClientConnectorError as error:
        raise Unavailable(method, f"cannot connect to {error.host}:{error.port}", was_sent=False) from None
    except TimeoutError:
        raise Unavailable(method, f"no answer within {patience:g} s", was_sent=True) from None
    except (ClientConnectionError, ClientError) as error:
        raise Unavailable(method, f"connection lost ({type(error).__name__})", was_sent=True) from None


async def _limited(response: ClientResponse) -> bytes:
    if response.status >= 500:
        raise Unavailable("download", f"HTTP {response.status}", was_sent=True, was_answered=True)
    if response.status != 200:
        raise Rejected("download", f"HTTP {response.status}")
    content = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        content += chunk
        if len(content) > DOWNLOAD_LIMIT:
            raise Rejected("download", f"the file has more than {DOWNLOAD_LIMIT} bytes")
    return bytes(content)


def _result(method: str, status: int, content: bytes) -> Any:
    try:
        answer = json.loads(content)
    except ValueError:
        raise error_from_answer(method, status, None) from None
    if isinstance(answer, dict) and answer.get("ok") is True:
        return answer.get("result")
    raise error_from_answer(method, status, answer)


@asynccontextmanager
async def _translated(method: str) -> AsyncIterator[None]:
    from aiogram import exceptions

    statuses = {
        exceptions.TelegramUnauthorizedError: 401,
        exceptions.TelegramNotFound: 404,
        exceptions.TelegramConflictError: 409,
        exceptions.TelegramForbiddenError: 403,
        exceptions.TelegramServerError: 502,
        exceptions.RestartingTelegram: 502,
    }
    try:
        yield
    except exceptions.TelegramRetryAfter as error:
        parameters = {"description": error.message, "parameters": {"retry_after": error.retry_after}}
        raise error_from_answer(method, 429, parameters) from None
    except exceptions.TelegramNetworkError as error:
        raise Unavailable(method, error.message, was_sent=True) from None
    except exceptions.TelegramAPIError as error:
        raise error_from_answer(method, statuses.get(type(error), 400), {"description": error.message}) from None
    except exceptions.ClientDecodeError:
        raise Unavailable(method, "the answer is not the Bot API's", was_sent=True) from None


class TelegramSession:
    """The connections of one host to one Bot API server, shared by all its bots.

    Use it as an asynchronous context manager. ``url`` is the server's base, such as ``https://api.telegram.org``.
    """

    def __init__(self, url: str) -> None:
        import_aiogram()
        from aiogram.client.session.aiohttp import AiohttpSession
        from aiogram.client.telegram import TelegramAPIServer

        self._session = AiohttpSession(limit=0, api=TelegramAPIServer.from_base(url), timeout=ANSWER_TIMEOUT)
        self._wire = Wire(url)

    async def __aenter__(self) -> TelegramSession:
        await self._session.create_session()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.close()
        await self._session.close()

    def bot(self, token: str) -> BotApi:
        """Return the calls of the bot with this token; raises ``TokenRefused`` when it cannot be one."""
        from aiogram import Bot
        from aiogram.utils.token import TokenValidationError

        try:
            return BotApi(self._session, self._wire, Bot(token, session=self._session))
        except TokenValidationError:
            raise TokenRefused("getMe", "the token is malformed") from None
