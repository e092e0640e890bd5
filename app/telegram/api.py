"""Calls of the Bot API in plain JSON over ``app.telegram.wire``, and files over aiohttp.

Building aiogram's models costs more than all the rest of an update's way (design, section 8), so dictionaries are
handed over. ``BotApi.bot`` is the full aiogram client, for plugins: only who asks for it has aiogram imported, which
takes 15 MiB and half a second.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import certifi
from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    FormData,
    TCPConnector,
)

from app.jsontext import to_bytes
from app.telegram.encode import Upload
from app.telegram.error import Rejected, TokenRefused, Unavailable, error_from_answer
from app.telegram.lean import import_aiogram
from app.telegram.media import probe
from app.telegram.wire import CONNECT_SECONDS, NoAnswerError, NotConnectedError, Wire

if TYPE_CHECKING:
    from aiogram import Bot
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiohttp import ClientResponse

ANSWER_TIMEOUT = 30.0
"""Seconds that a call may take before its effect counts as unknown."""

DOWNLOAD_LIMIT = 20 * 1024 * 1024
"""Bytes of a file that a bot may download."""

DOWNLOAD_TIMEOUT = 60.0


class BotApi:
    """One bot's calls."""

    def __init__(self, session: TelegramSession, wire: Wire, token: str) -> None:
        self._session = session
        self._wire = wire
        self._token = token
        self._path = f"/bot{quote(token, safe=':')}/"

    @cached_property
    def bot(self) -> Bot:
        """The aiogram client of this bot."""
        return self._session.aiogram_bot(self._token)

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
        url = f"{self._session.url}/bot{self._token}/{method}"
        http = self._session.http
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
        url = f"{self._session.url}/file/bot{self._token}/{file['file_path']}"
        http = self._session.http
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
        me = await self.call("getMe", {})
        return str(me.get("username") or "") if isinstance(me, dict) else ""

    async def kind_of(self, url: str) -> str | None:
        """Ask a media link's own server what it is; ``None`` when it does not say."""
        return await probe(self._session.http, url)

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


class TelegramSession:
    """The connections of one host to one Bot API server, shared by all its bots.

    Use it as an asynchronous context manager. ``url`` is the server's base, such as ``https://api.telegram.org``.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._wire = Wire(url)
        self._http: ClientSession | None = None
        self._aiogram: AiohttpSession | None = None

    async def __aenter__(self) -> TelegramSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.close()
        if self._http is not None:
            await self._http.close()
        if self._aiogram is not None:
            await self._aiogram.close()

    @property
    def http(self) -> ClientSession:
        """Connections for files; made when they are first needed."""
        if self._http is None:
            tls = self._wire.tls or ssl.create_default_context(cafile=certifi.where())
            self._http = ClientSession(connector=TCPConnector(limit=0, ssl=tls))
        return self._http

    def bot(self, token: str) -> BotApi:
        """Return the calls of the bot with this token; raises ``TokenRefused`` when it cannot be one."""
        number, _, secret = token.partition(":")
        if not (number.isdigit() and secret) or any(letter.isspace() for letter in token):
            raise TokenRefused("getMe", "the token is malformed")
        return BotApi(self, self._wire, token)

    def aiogram_bot(self, token: str) -> Bot:
        """Return aiogram's client of a bot."""
        import_aiogram()
        from aiogram import Bot
        from aiogram.client.session.aiohttp import AiohttpSession
        from aiogram.client.telegram import TelegramAPIServer

        if self._aiogram is None:
            self._aiogram = AiohttpSession(limit=0, api=TelegramAPIServer.from_base(self.url), timeout=ANSWER_TIMEOUT)
        return Bot(token, session=self._aiogram)
