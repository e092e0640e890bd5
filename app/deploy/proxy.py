"""The proxy in front of the bots that Telegram calls: Caddy, with the routes that exist and no others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from app.config.fleet import Fleet
from app.config.rules import split_url
from app.config.template import TemplateError, resolve

BOT_PORT = 8080
"""Where the host of a bot with ``mode: webhook`` or ``mini_apps`` listens."""

HEALTH_PORT = 2020
"""Where Caddy says, inside its container, that it is well."""

CERTIFICATE = "/etc/caddy/certificate.pem"
KEY = "/etc/caddy/certificate.key"

OLD_APP_PATHS = ("/api/questions", "/api/submit_response", "/get_questions", "/submit_response")
"""What pages made for the old program call."""

TELEGRAM_ADDRESSES = "149.154.160.0/20 91.108.4.0/22"
"""Whence Telegram calls webhooks (https://core.telegram.org/bots/webhooks)."""

_HEAD = """\
{
	admin off
	servers {
		protocols h1 h2
		timeouts {
			read_header 10s
			read_body 30s
			idle 5m
		}
	}
	# Requests are logged when a bot is out of reach: without what lets them in.
	log {
		format filter {
			wrap json
			fields {
				request>headers>X-Telegram-Bot-Api-Secret-Token delete
				request>headers>Authorization delete
			}
		}
	}
}

# For the health check.
http://127.0.0.1:%d {
	bind 127.0.0.1
	respond 200
}
"""

_SITE = """
%(site)s {
%(certificate)s\
	request_body {
		max_size 1MiB
	}
%(outside)s\
%(routes)s\
	respond 404
}
"""

_ROUTE = """\
	handle %(path)s {
%(gate)s\
		reverse_proxy {
			dynamic a %(service)s %(port)d {
				refresh 2s
			}
			# Only what could not be handed over is tried again, with another replica if there is one.
			lb_try_duration 5s
			transport http {
				dial_timeout 2s
			}
		}
	}
"""

_OUTSIDE = f"\t@outside not remote_ip {TELEGRAM_ADDRESSES}\n"
_GATE = "\t\trespond @outside 403\n"


def routes(fleet: Fleet) -> dict[str, dict[str, str]]:
    """List what the proxy serves: per site (``https://bots.example.org``, or a reference) its paths and services."""
    sites: dict[str, dict[str, str]] = {}
    for bot in fleet.bots:
        url = fleet.webhook_url(bot)
        if url is not None:
            site, path = split_url(url)
            sites.setdefault(site, {})[path] = bot.service
        page = fleet.app_url(bot)
        if page is not None:
            site, path = split_url(page)
            # Each page calls the API below its own path. Pages made for the old program call it without a bot's name,
            # and only one host can answer there: the first.
            bare = dict.fromkeys(OLD_APP_PATHS, bot.service)
            sites[site] = {**bare, **sites.get(site, {}), f"{path}*": bot.service}
    return sites


def caddyfile(fleet: Fleet) -> str:
    """Write Caddy's configuration; references to variables stay in it."""
    hook = fleet.webhook
    certificate = f"\ttls {CERTIFICATE} {KEY}\n" if hook is not None and hook.ssl_cert_path is not None else ""
    gated = _webhooks(fleet) if hook is not None and hook.only_telegram else frozenset()
    sites = (_site(site, paths, certificate, gated) for site, paths in routes(fleet).items())
    return _HEAD % HEALTH_PORT + "".join(sites)


def ports(fleet: Fleet) -> list[int]:
    """List the ports that the proxy publishes: those of the sites, and 80 where it obtains certificates itself."""
    found = {_port(site) for site in routes(fleet)}
    own = fleet.webhook is not None and fleet.webhook.ssl_cert_path is not None
    return sorted(found if own else found | {80})


def _webhooks(fleet: Fleet) -> frozenset[tuple[str, str]]:
    """Return site and path of all webhooks, which only Telegram has to reach."""
    urls = (fleet.webhook_url(bot) for bot in fleet.bots)
    return frozenset(split_url(url) for url in urls if url is not None)


def _site(site: str, paths: Mapping[str, str], certificate: str, gated: frozenset[tuple[str, str]]) -> str:
    text = "".join(
        _ROUTE % {"path": path, "service": service, "port": BOT_PORT, "gate": _GATE if (site, path) in gated else ""}
        for path, service in paths.items()
    )
    outside = _OUTSIDE if _GATE in text else ""
    return _SITE % {"site": site, "certificate": certificate, "outside": outside, "routes": text}


def _port(site: str) -> int:
    """Find the port in the text alone: the same config gives the same file, whatever the variables hold."""
    try:
        site = resolve(site, {})
    except TemplateError:
        written = re.search(r":(\d+)$", site)
        return int(written[1]) if written else 443
    parts = urlsplit(site)
    return parts.port or (80 if parts.scheme == "http" else 443)
