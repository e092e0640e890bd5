"""The leader's care for its bot's webhook: set when it differs, watched, and replaced by polling while it fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from app.config.settings import WebhookSettings
from app.errors import FlotillaError
from app.observe.logs import get_log
from app.pause import pause
from app.store.errors import StoreUnavailable
from app.telegram.api import BotApi
from app.telegram.backoff import Backoff
from app.telegram.decode import ALLOWED_UPDATES
from app.telegram.error import FloodWait, TelegramError, TokenRefused, Unavailable
from app.telegram.poller import Poller
from app.telegram.webhook import Registration, WebhookInfo, register, webhook_info

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a webhook is looked at and how long its failures are borne, in seconds.

    ``check`` is between two looks, ``trial`` between those at a webhook in doubt, ``patience`` how long deliveries fail
    before they count as broken, ``polling`` how long the bot is polled before the webhook is tried again.
    """

    check: float = 60.0
    trial: float = 5.0
    patience: float = 120.0
    polling: float = 600.0


PACE = Pace()

LONGEST_PAUSE = 60.0
"""Seconds between attempts to set a webhook that is refused."""

FAILURES = 3
"""How many looks in a row have to see failing deliveries."""

_SIGNS_OF_AGE = ("401", "ssl", "certificate")
"""What Telegram's error says when its secret or certificate is not ours; it shows neither."""


class CertificateUnreadableError(FlotillaError):
    """The certificate that Telegram should get cannot be read."""


class Judge:
    """Tells from several looks whether Telegram's deliveries are broken; those on trial have no second chance."""

    def __init__(self, pace: Pace, now: float, *, on_trial: bool) -> None:
        self.on_trial = on_trial
        self._pace = pace
        self._began = now
        self._accepted: object = None
        self._failures = 0
        self._failing_since = now

    def is_broken(self, info: WebhookInfo, accepted: object, now: float) -> bool:
        """Take in what Telegram says until ``now`` (seconds of any clock).

        ``accepted`` is something that is another one whenever updates came in meanwhile.
        """
        before, self._accepted = self._accepted, accepted
        has_failed = before == accepted and info.pending > 0 and info.error_date is not None
        if before is not None and (accepted != before or now - self._began > self._pace.patience):
            self.on_trial = False
        if not has_failed:
            self._failures = 0
            return False
        self._failing_since = self._failing_since if self._failures else now
        self._failures += 1
        return self.on_trial or (self._failures >= FAILURES and now - self._failing_since >= self._pace.patience)


class Keeper:
    """Keeps the webhook of one bot while this process leads it; see ``run``.

    ``accepted`` returns another value whenever updates came in, here or at a replica; ``verified`` is called whenever
    the webhook is as it should be. With ``polling`` the bot is polled while the webhook is refused or deliveries fail.
    ``kinds`` are the types of updates to ask for, asked for at each look.
    """

    def __init__(
        self,
        name: str,
        api: BotApi,
        settings: WebhookSettings,
        accepted: Callable[[], Awaitable[object]],
        verified: Callable[[], None],
        polling: Callable[[], Poller] | None = None,
        kinds: Callable[[], Sequence[str]] = lambda: ALLOWED_UPDATES,
    ) -> None:
        self._name = name
        self._api = api
        self._settings = settings
        self._accepted = accepted
        self._verified = verified
        self._polling = polling
        self._kinds = kinds
        self._pace = PACE
        self._stop = asyncio.Event()
        self._doubt = asyncio.Event()
        self._known_error: int | None = None
        self._poller: Poller | None = None
        self.info: WebhookInfo | None = None
        """What Telegram said at the last look, and when that was."""
        self.looked_at: datetime | None = None

    def doubt(self) -> None:
        """Look again soon: somebody called with another secret, which may be Telegram with an old one."""
        self._doubt.set()

    def stop(self, *, is_lost: bool = False) -> None:
        """End ``run``; the webhook stays, so that Telegram keeps what comes meanwhile."""
        self._stop.set()
        self._doubt.set()
        if self._poller is not None:
            self._poller.stop(is_lost=is_lost)

    async def run(self) -> None:
        """Keep the webhook until ``stop``; raises ``TokenRefused`` when the token is revoked."""
        on_trial = False
        while not self._stop.is_set():
            await self._keep(Judge(self._pace, time.monotonic(), on_trial=on_trial))
            await self._poll()
            on_trial = True

    async def _keep(self, judge: Judge) -> None:
        """Keep the webhook until it fails for long and the bot can be polled instead."""
        waits = Backoff(LONGEST_PAUSE)
        while not self._stop.is_set():
            try:
                info, accepted = await self._look(), await self._accepted()
            except TokenRefused:
                raise
            except FloodWait as flood:
                await pause(flood.retry_after, self._stop)
            except (Unavailable, StoreUnavailable) as trouble:
                log.warning("cannot look at the webhook", bot=self._name, reason=str(trouble))
                await pause(next(waits), self._stop)
            except (TelegramError, CertificateUnreadableError) as refusal:
                self._report("the webhook cannot be set", str(refusal))
                if self._polling is not None:
                    return
                await pause(next(waits), self._stop)
            else:
                waits.reset()
                self.info, self.looked_at = info, datetime.now(UTC)
                self._verified()
                if judge.is_broken(info, accepted, time.monotonic()):
                    self._report("telegram cannot deliver updates", info.error, pending=info.pending)
                    if self._polling is not None:
                        return
                await self._wait(self._pace.trial if judge.on_trial else self._pace.check)

    async def _look(self) -> WebhookInfo:
        """Return how the webhook does; one that is not as it should be is set first."""
        wanted, info = self._wanted(), await webhook_info(self._api)
        if wanted.is_shown_by(info) and not self._is_outdated(info):
            return info
        after = await register(self._api, wanted)
        self._known_error = after.error_date
        log.info("webhook set", bot=self._name, url=wanted.url, pending=after.pending)
        return info if wanted.is_shown_by(info) else after

    def _is_outdated(self, info: WebhookInfo) -> bool:
        """Tell whether deliveries failed, since it was set, in a way that setting it once more may cure."""
        is_new = info.error_date is not None and info.error_date != self._known_error
        return is_new and any(sign in info.error.lower() for sign in _SIGNS_OF_AGE)

    def _wanted(self) -> Registration:
        hook, certificate = self._settings, None
        if hook.certificate is not None:
            try:
                certificate = hook.certificate.read_bytes()
            except OSError as error:
                text = f"{hook.certificate} cannot be read ({(error.strerror or str(error)).lower()})"
                raise CertificateUnreadableError(f"{text}; see webhook/ssl_cert_path") from error
        return Registration(hook.url, hook.secret_token, hook.max_connections, certificate, self._kinds())

    async def _poll(self) -> None:
        """Poll for a while; what is pending comes that way, and what comes both ways counts once."""
        await self._drop()
        if self._polling is None or self._stop.is_set():
            return
        log.warning("polling instead, and trying the webhook again", bot=self._name, seconds=self._pace.polling)
        self._poller = self._polling()
        ending = asyncio.get_running_loop().call_later(self._pace.polling, self._poller.stop)
        try:
            await self._poller.run()
        finally:
            ending.cancel()
            self._poller = None

    async def _drop(self) -> None:
        waits = Backoff()
        while not self._stop.is_set():
            try:
                await self._api.drop_webhook()
                return
            except TokenRefused:
                raise
            except TelegramError as trouble:
                log.warning("cannot remove the webhook yet", bot=self._name, reason=trouble.description)
                await pause(next(waits), self._stop)

    def _report(self, text: str, reason: str, **more: object) -> None:
        remedy = f"see that {self._settings.url} reaches the proxy from outside, or give the bot fallback: polling"
        log.error(text, bot=self._name, reason=reason, **more, **({} if self._polling else {"remedy": remedy}))

    async def _wait(self, seconds: float) -> None:
        """Wait for the next look; doubt brings it forward, though not at once: Telegram has to hear of its failure."""
        self._doubt.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._doubt.wait()
                await pause(self._pace.trial, self._stop)
