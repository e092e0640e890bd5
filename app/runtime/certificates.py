"""When the certificates of webhooks expire: looked at from outside, where Telegram looks at them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from yarl import URL

from app.runtime.bot import Bot

PATIENCE = 10.0
"""Seconds to wait for an address."""

_NO_CHECK_TIME = 0x200000
"""OpenSSL's ``X509_V_FLAG_NO_CHECK_TIME``: one that has expired is to be seen too."""


async def look_at_certificates(bots: Sequence[Bot]) -> None:
    """Note for each bot with a webhook when its certificate expires; ``None`` when it cannot be seen from here."""
    wanted: dict[tuple[URL, Path | None], list[Bot]] = {}
    for bot in bots:
        hook = bot.settings.webhook
        if hook is not None:
            wanted.setdefault((URL(hook.url).origin(), hook.certificate), []).append(bot)
    for (origin, certificate), served in wanted.items():
        expiry = await expiry_of(origin, certificate)
        for bot in served:
            bot.certificate_expiry = expiry


async def expiry_of(origin: URL, certificate: Path | None) -> float | None:
    """Return when the certificate of an address expires, as a Unix time; ``certificate`` is our own, if it is one.

    ``None`` when there is none, nobody answers, or it is not to be trusted: Telegram will complain of that.
    """
    if origin.scheme != "https" or origin.host is None:
        return None
    with suppress(OSError, ValueError):
        async with asyncio.timeout(PATIENCE):
            trust = await asyncio.to_thread(_trust, certificate)
            _, writer = await asyncio.open_connection(origin.host, origin.port, ssl=trust)
            found = writer.get_extra_info("peercert")
            writer.close()
            return ssl.cert_time_to_seconds(found["notAfter"])
    return None


def _trust(certificate: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate)
    if certificate is not None:
        # Telegram takes one that names its host as openssl's manual of old does: neither strictly right nor by the SAN.
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    # The last: Python does not know this flag, and may drop it when it changes others.
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return context
