"""The Bot API server: can it be reached, does it know the tokens, does it get through to webhooks."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.cli.checkup.finding import Finding, fail, ok, some, warning
from app.config.template import TemplateError, resolve
from app.config.tokens import ALERTS, redacted, sandbox_token
from app.telegram.api import BotApi, TelegramSession
from app.telegram.error import TelegramError, TokenRefused
from app.telegram.webhook import WebhookInfo, webhook_info

if TYPE_CHECKING:
    from app.config.fleet import Alerts, Bot, Fleet

ANSWER_SECONDS = 5.0
"""How long an answer may take."""

AT_ONCE = 10
"""How many bots are asked about at a time."""

CLOCK_WARNING, CLOCK_FAILURE = 10.0, 60.0
"""How many seconds the clock may be off."""

ERROR_SECONDS = 3600.0
"""For so long a failed delivery is of interest."""


@dataclass(frozen=True, slots=True)
class Reach:
    """That the server answered, in so many seconds, and by how much our clock is ahead of its own, if it says."""

    seconds: float
    clock_ahead: float | None


class OutOfReachError(Exception):
    """The server cannot be reached; the arguments are what is wrong, and the remedy."""


async def examine_telegram(fleet: Fleet) -> list[Finding]:
    """Look at the server, the clock, the tokens, the webhooks and the chat for alerts."""
    url = fleet.telegram_url or f"http://127.0.0.1:{fleet.environ.get('SANDBOX_PORT') or 8080}"
    name = "the sandbox" if fleet.sandbox else _host(url)
    try:
        reach = await _reach(url)
    except OutOfReachError as error:
        return list(_out_of_reach(fleet, name, *error.args))
    found = [ok("telegram", f"{name} answers ({1000 * reach.seconds:.0f} ms)"), *_clock(reach, name)]
    async with TelegramSession(url) as session:
        found += await _bots(fleet, session)
        found += [await _alerts(fleet, fleet.alerts, session)] if fleet.alerts else []
    return found


def _out_of_reach(fleet: Fleet, name: str, text: str, remedy: str) -> Iterator[Finding]:
    if fleet.sandbox:
        yield warning("telegram", "the sandbox does not run", "`flotilla up` or `flotilla run` starts it")
        return
    yield fail("telegram", text, remedy)
    yield from (_unset(bot) for bot in fleet.bots if not fleet.environ.get(bot.token_variable or ""))
    for check in ("clock", "tokens", "webhooks", *(["alerts"] if fleet.alerts else [])):
        yield warning(check, f"not checked: {name} cannot be reached")


async def _reach(url: str) -> Reach:
    """Resolve the server's name and get any answer of it; raises ``OutOfReachError``."""
    from aiohttp import ClientConnectorCertificateError, ClientConnectorError, ClientError, ClientSession, ClientTimeout

    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
    except (OSError, TimeoutError):
        raise OutOfReachError(f"the name {host!r} cannot be resolved", "see /etc/resolv.conf and the network") from None
    start = time.monotonic()
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=ANSWER_SECONDS)) as http,
            http.get(url, allow_redirects=False) as answer,
        ):
            date = answer.headers.get("Date")
    except ClientConnectorCertificateError:
        remedy = "see the clock, and what on the way replaces certificates"
        raise OutOfReachError(f"{host} shows a certificate that is not trusted", remedy) from None
    except ClientConnectorError as error:
        number = error.os_error.errno
        reason = os.strerror(number).lower() if number else "no connection"
        remedy = "see that the firewall lets this machine out"
        raise OutOfReachError(f"{host}:{port} cannot be connected to ({reason})", remedy) from None
    except (ClientError, TimeoutError):
        remedy = "see that the firewall lets this machine out"
        raise OutOfReachError(f"{host}:{port} does not answer within {ANSWER_SECONDS:g} s", remedy) from None
    return Reach(time.monotonic() - start, _ahead(date))


def _ahead(date: str | None) -> float | None:
    try:
        return time.time() - parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None


def _clock(reach: Reach, name: str) -> Iterator[Finding]:
    if reach.clock_ahead is None:
        return
    # Their date has whole seconds, and the answer took its time.
    off = max(0.0, abs(reach.clock_ahead) - reach.seconds - 1)
    if off < CLOCK_WARNING:
        yield ok("clock", f"as that of {name}")
        return
    way = "ahead of" if reach.clock_ahead > 0 else "behind"
    judge = warning if off < CLOCK_FAILURE else fail
    yield judge("clock", f"is {off:.0f} s {way} that of {name}", "`sudo timedatectl set-ntp true` keeps it right")


async def _bots(fleet: Fleet, session: TelegramSession) -> list[Finding]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(bot: Bot) -> tuple[Finding | str, Finding | None]:
        async with limit:
            return await _bot(fleet, bot, session)

    results = await asyncio.gather(*(one(bot) for bot in fleet.bots))
    accepted = [name for name, _ in results if isinstance(name, str)]
    found = [finding for finding, _ in results if isinstance(finding, Finding)]
    found += [ok("tokens", f"{len(accepted)} accepted: {some(accepted)}")] if accepted else []
    webhooks = [finding for _, finding in results if finding is not None]
    return [*found, *(webhooks or ([ok("webhooks", "as they should be")] if accepted else []))]


async def _bot(fleet: Fleet, bot: Bot, session: TelegramSession) -> tuple[Finding | str, Finding | None]:
    """Return the bot's username, or what is wrong with its token; and what is wrong with its webhook, if anything."""
    variable = bot.token_variable or ""
    token = sandbox_token(bot.name) if fleet.sandbox else fleet.environ.get(variable)
    if not token:
        return _unset(bot), None
    try:
        api = session.bot(token)
        username = await _username(api)
        return f"@{username}", _webhook(fleet, bot, await webhook_info(api))
    except TokenRefused:
        return _refused(fleet, bot), None
    except TelegramError as trouble:
        return warning("token", f"of {bot.name}: not checked: {trouble}"), None


def _unset(bot: Bot) -> Finding:
    variable = bot.token_variable
    return fail("token", f"of {bot.name}: {variable} is not set", f"put {variable}=... into .env")


def _refused(fleet: Fleet, bot: Bot) -> Finding:
    if fleet.sandbox:
        return fail("token", f"of {bot.name}: the sandbox was told to refuse it", "start the sandbox again")
    remedy = f"get a new one from @BotFather, put it into .env as {bot.token_variable}, then `flotilla up`"
    return fail("token", f"of {bot.name}: Telegram refuses it", remedy)


async def _username(api: BotApi) -> str:
    result = await api.call("getMe", {}, patience=ANSWER_SECONDS)
    return str(result.get("username")) if isinstance(result, dict) else "?"


def _webhook(fleet: Fleet, bot: Bot, info: WebhookInfo) -> Finding | None:
    wanted = _wanted(fleet, bot)
    where = f"of {bot.name}"
    if wanted is None:
        if bot.mode != "webhook" and info.url:
            text = f"{where}: it is polled, but Telegram has a webhook for it at {_host(info.url)}"
            return warning("webhook", text, "the bot removes it at its start; who sets it?")
    elif not info.url:
        return warning("webhook", f"{where}: not set", "the bot sets it when it starts")
    elif info.url != wanted:
        text = f"{where}: is at {_host(info.url)}, not at {wanted}"
        return warning("webhook", text, "the bot sets it again while it runs; who else uses its token?")
    is_recent = info.error_date is not None and time.time() - info.error_date < ERROR_SECONDS
    if info.url and is_recent and info.pending:
        text = f"{where}: Telegram cannot deliver ({redacted(info.error)}); {info.pending} updates wait"
        return fail("webhook", text, "see DNS, port and certificate of its address, and `flotilla logs proxy`")
    return None


def _wanted(fleet: Fleet, bot: Bot) -> str | None:
    """Return where Telegram should deliver; ``None`` for polled bots, and in the sandbox, which calls otherwise."""
    url = fleet.webhook_url(bot)
    if url is None or fleet.sandbox:
        return None
    try:
        return resolve(url, fleet.environ)
    except TemplateError:
        return None


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


async def _alerts(fleet: Fleet, alerts: Alerts, session: TelegramSession) -> Finding:
    chat_id, variable = alerts.chat_id, alerts.token_env
    token = sandbox_token(ALERTS) if fleet.sandbox else fleet.environ.get(variable)
    if not token:
        return fail("alerts", f"{variable} is not set", f"put {variable}=... into .env")
    try:
        await session.bot(token).call("getChat", {"chat_id": chat_id}, patience=ANSWER_SECONDS)
    except TokenRefused:
        return fail("alerts", f"Telegram refuses the token in {variable}", "get a new one from @BotFather")
    except TelegramError as trouble:
        remedy = "add the bot to the chat, or write to it first; see alerts/chat_id"
        return fail("alerts", f"chat {chat_id} cannot be written to: {trouble.description}", remedy)
    return ok("alerts", f"go to chat {chat_id}")
