"""``compose.yaml``: one container per bot or group, and what they need. Pure: a fleet in, text out."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from textwrap import indent
from typing import Any
from urllib.parse import urlsplit

from app.config.dialog import Dialog
from app.config.environment import BOTS_VARIABLE, DIALOG_VARIABLE, HostedBot
from app.config.fleet import Bot, Fleet
from app.config.options import COMMANDS
from app.config.rules import memory_bytes, split_url
from app.config.settings import MAX_CONNECTIONS, Mode
from app.config.template import Reference, rewrite
from app.config.tokens import ALERTS, SANDBOX_TOKEN, sandbox_token
from app.config.version import is_ordered, newest
from app.deploy import monitoring
from app.deploy.proxy import BOT_PORT, CERTIFICATE, HEALTH_PORT, KEY, caddyfile, ports, routes
from app.deploy.text import Value, Verbatim, lines, scalar

LOCAL_IMAGE = "flotilla"
"""Name of the image that is built from the checkout."""

CONNECTIONS_PER_HOST = 6
"""Connections of one container at most: its pool, its locks and its listener."""

SPARE_CONNECTIONS = 20
"""Connections for migrations, backups and people."""

ALERTS_TOKEN = "ALERTS_BOT_TOKEN"  # noqa: S105 - the variable's name
BOT_CERTIFICATE = "/run/flotilla/certificate.pem"
LOG_FOLDER = "/var/log/flotilla"

HEADER = """\
# Written by 'flotilla generate' from {config}; change that file and run it again instead of changing this one.
#
#   docker compose up -d --build --wait    start, or apply what has changed
#   docker compose logs -f [BOT...]        watch
#   docker compose restart BOT             restart one bot
#   docker compose down                    stop; the database stays in its volume
#
# Secrets come from .env beside this file; .env.example lists them.

x-logging: &logging
  driver: json-file
  options: {{max-size: 10m, max-file: "3"}}
"""

SHARED = """
# What all bots share.
x-bot: &bot
  image: {image}
{pull_policy}\
  restart: unless-stopped
  init: true
  user: "10001:10001"
  read_only: true
  tmpfs: [/tmp]
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  mem_limit: {memory}
  pids_limit: 256
  stop_grace_period: 30s
  logging: *logging
  depends_on:
    migrate: {{condition: service_completed_successfully}}
{sandbox}\
  volumes:
    - {scripts}
  healthcheck:
    # A healthy host touches this file every 5 seconds; looking at it costs next to nothing.
    test: ["CMD-SHELL", "test -n \\"$$(find /tmp/flotilla-heartbeat -newermt '-30 seconds')\\""]
    interval: 10s
    timeout: 5s
    retries: 3
    start_period: 2m
    start_interval: 1s
  environment: &environment
{environment}
"""

POSTGRES = """
  postgres:
    image: postgres:17
    # Grows with the fleet, in steps.
    command: ["postgres", "-c", "max_connections={connections}"]
    restart: unless-stopped
    cap_drop: [ALL]
    cap_add: [CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID]
    security_opt: ["no-new-privileges:true"]
    shm_size: 128m
    stop_grace_period: 1m
    logging: *logging
    environment:
      POSTGRES_USER: flotilla
      POSTGRES_PASSWORD: {password}
    volumes:
      - postgres:/var/lib/postgresql/data
    healthcheck:
      # Over TCP: while it sets itself up for the first time it listens on its socket only.
      test: ["CMD", "pg_isready", "--quiet", "--host=127.0.0.1", "--username=flotilla"]
      interval: 10s
      timeout: 5s
      retries: 5
      start_period: 2m
      start_interval: 1s
"""

DATABASE_URL = "postgresql://flotilla@postgres/flotilla"

MIGRATE = """
  # Brings the database to the schema of this version, then ends.
  migrate:
    <<: *bot
{image}\
{build}\
    command: ["flotilla", "migrate"]
    restart: "no"
    depends_on:
      postgres: {{condition: service_healthy}}
    volumes: []
    environment:
      DATABASE_URL: {database}
      PGPASSWORD: {password}
    healthcheck: {{disable: true}}
"""

SANDBOX = """
  # Takes the place of Telegram; its chat page is http://localhost:8080
  sandbox:
    <<: *bot
    command: ["flotilla", "sandbox", "--host", "0.0.0.0", "--port", "8080"]
    depends_on: []
    volumes: []
    ports:
      - "127.0.0.1:${SANDBOX_PORT:-8080}:8080"
    environment: {}
    healthcheck:
      test: ["CMD", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080"]
      interval: 10s
      timeout: 5s
      retries: 3
      start_period: 1m
      start_interval: 1s
"""

PROXY = """
  # Takes Telegram's calls and hands each to its bot.
  proxy:
    image: caddy:2
    restart: unless-stopped
    cap_drop: [ALL]
    cap_add: [{capabilities}]
    security_opt: ["no-new-privileges:true"]
    mem_limit: 128m
    pids_limit: 256
    logging: *logging
    # Not read_only: Compose copies the Caddyfile into it. It does not look for changes there: the label tells it.
    labels:
      flotilla.caddyfile: "{digest}"
    configs:
      - source: caddyfile
        target: /etc/caddy/Caddyfile
    volumes:
{volumes}
    ports:
{ports}
{networks}\
    healthcheck:
      test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:{health_port}/"]
      interval: 10s
      timeout: 5s
      retries: 3
      start_period: 1m
      start_interval: 1s
"""

CONFIG = """\
  {name}:
    content: |
{content}
"""


def compose(fleet: Fleet) -> str:
    """Write the whole compose file of a fleet."""
    hosts = hosts_of(fleet)
    proxy = bool(routes(fleet))
    parts = [HEADER.format(config=fleet.path.name), _shared(fleet), monitoring.SHARED]
    parts += ["\nservices:", _postgres(fleet, hosts)]
    image, build = _newest_image(fleet), _build(fleet)
    parts.append(MIGRATE.format(image=image, build=build, database=DATABASE_URL, password=_password(fleet)))
    parts += [SANDBOX] if fleet.sandbox else []
    parts += [_proxy(fleet)] if proxy else []
    parts += [_block({service: _host(fleet, bots)}, 2) for service, bots in hosts.items()]
    parts.append(monitoring.services(fleet, _password(fleet), _alerts(fleet).get(ALERTS_TOKEN)))
    parts.append(_block({"volumes": dict.fromkeys(_volumes(fleet, proxy), Verbatim(""))}, 0))
    parts += ["\nconfigs:\n", *_configs(fleet, proxy)]
    return "".join(parts)


def unset_variables(text: str, environ: Mapping[str, str]) -> list[str]:
    """Name the variables that a compose file asks for and that ``environ`` does not have, in order."""
    asked = dict.fromkeys(re.findall(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*):\?", text))
    return [name for name in asked if not environ.get(name)]


def hosts_of(fleet: Fleet) -> dict[str, list[Bot]]:
    """List the services that run bots, each with its bots, in the order of the config."""
    hosts: dict[str, list[Bot]] = {}
    for bot in fleet.bots:
        hosts.setdefault(bot.service, []).append(bot)
    return hosts


def image_of(fleet: Fleet, version: str | None = None) -> str:
    """Return image and tag of a bot that is pinned to ``version``, or of one that is not pinned."""
    default = "latest" if fleet.image else "local"
    return f"{fleet.image or LOCAL_IMAGE}:{version or fleet.version or default}"


def max_connections(hosts: int) -> int:
    """Return PostgreSQL's limit for so many containers: the first of 100, 200, 400, ... that is enough."""
    limit = 100
    while limit < hosts * CONNECTIONS_PER_HOST + SPARE_CONNECTIONS:
        limit *= 2
    return limit


def _shared(fleet: Fleet) -> str:
    environment = {
        "DATABASE_URL": DATABASE_URL,
        "PGPASSWORD": _password(fleet),
        **_server(fleet),
        **_dialog(fleet.dialog),
        **_alerts(fleet),
        "METRICS_PORT": str(monitoring.METRICS_PORT),
    }
    return SHARED.format(
        image=scalar(image_of(fleet)),
        pull_policy="" if fleet.image else "  pull_policy: never\n",
        memory=fleet.defaults.memory,
        sandbox="    sandbox: {condition: service_healthy}\n" if fleet.sandbox else "",
        scripts=scalar(_scripts_mount(fleet)),
        environment="\n".join(lines(environment, 4)),
    )


def _postgres(fleet: Fleet, hosts: dict[str, list[Bot]]) -> str:
    containers = sum(bots[0].replicas for bots in hosts.values())
    return POSTGRES.format(connections=max_connections(containers), password=_password(fleet))


def _newest_image(fleet: Fleet) -> str:
    """Have the newest version of the fleet migrate, if one that a bot is pinned to is newer than the fleet's own."""
    if not fleet.image or not is_ordered(fleet.version):
        return ""
    version = newest([fleet.version or "", *(bot.version for bot in fleet.bots if bot.version)])
    image = image_of(fleet, version)
    return "" if image == image_of(fleet) else f"    image: {scalar(image)}\n"


def _build(fleet: Fleet) -> str:
    """Have one service build the image that all of them use."""
    if fleet.image:
        return ""
    build: dict[str, Value] = {"context": "."}
    if fleet.version:
        build["args"] = {"VERSION": fleet.version}
    return "".join(f"{line}\n" for line in lines({"build": build}, 4))


def _proxy(fleet: Fleet) -> str:
    text, published = caddyfile(fleet), ports(fleet)
    mounts = ["caddy:/data"]
    if fleet.webhook and fleet.webhook.ssl_cert_path:
        mounts += [_mount(fleet.webhook.ssl_cert_path, CERTIFICATE), _mount(fleet.webhook.key_path or "", KEY)]
    return PROXY.format(
        # The key of an own certificate may belong to somebody else than root.
        capabilities="NET_BIND_SERVICE" + (", DAC_OVERRIDE" if len(mounts) > 1 else ""),
        digest=hashlib.sha256(text.encode()).hexdigest()[:12],
        volumes="\n".join(f"      - {scalar(mount)}" for mount in mounts),
        ports="\n".join(f'      - "{port}:{port}"' for port in published),
        health_port=HEALTH_PORT,
        networks=_aliases(fleet),
    )


def _configs(fleet: Fleet, proxy: bool) -> Iterator[str]:
    """Write the files that Compose copies into containers."""
    files = {"caddyfile": _compose_text(caddyfile(fleet))} if proxy else {}
    files |= {name: _escaped(text) for name, text in monitoring.configs(fleet).items()}
    return (CONFIG.format(name=name, content=_literal(text, 6)) for name, text in files.items())


def _aliases(fleet: Fleet) -> str:
    """Let the sandbox find the proxy under its public name."""
    if not fleet.sandbox or not _has_certificate(fleet):
        return ""
    hosts = {urlsplit(site).hostname for site in routes(fleet) if "${" not in site}
    names = ", ".join(sorted(scalar(host) for host in hosts if host))
    return f"    networks:\n      default: {{aliases: [{names}]}}\n" if names else ""


def _host(fleet: Fleet, bots: Sequence[Bot]) -> dict[str, Value]:
    """Describe a bot's or a group's service: what it does not share with the others."""
    first = bots[0]
    service: dict[str, Value] = {"<<": Verbatim("*bot")}
    if first.version and image_of(fleet, first.version) != image_of(fleet):
        service["image"] = image_of(fleet, first.version)
    memory = max((bot.memory for bot in bots), key=lambda size: memory_bytes(size) or 0)
    if memory != fleet.defaults.memory:
        service["mem_limit"] = memory
    if first.replicas > 1:
        service["deploy"] = {"replicas": first.replicas}
    mounts = _mounts(fleet, bots)
    if mounts:
        service["volumes"] = [_scripts_mount(fleet), *mounts]
    service["environment"] = {"<<": Verbatim("*environment"), **_environment(fleet, bots)}
    return service


def _mounts(fleet: Fleet, bots: Sequence[Bot]) -> list[str]:
    mounts = []
    certificate = fleet.webhook and fleet.webhook.ssl_cert_path
    if certificate and any(bot.mode is Mode.WEBHOOK for bot in bots):
        mounts.append(_mount(certificate, BOT_CERTIFICATE))
    if any(bot.log_file for bot in bots):
        mounts.append(f"logs:{LOG_FOLDER}")
    return mounts


def _environment(fleet: Fleet, bots: Sequence[Bot]) -> dict[str, Value]:
    own = _group(fleet, bots) if bots[0].group else _single(fleet, bots[0])
    if fleet.alerts is not None and bots[0] is fleet.bots[0]:
        own["ALERTS_SPEAKER"] = "true"
    if any(bot.mode is Mode.WEBHOOK for bot in bots) and fleet.webhook:
        own["WEBHOOK_SECRET_TOKEN"] = _compose_text(fleet.webhook.secret_token)
        if fleet.webhook.max_connections != MAX_CONNECTIONS:
            own["WEBHOOK_MAX_CONNECTIONS"] = str(fleet.webhook.max_connections)
        if fleet.webhook.ssl_cert_path:
            own["WEBHOOK_SSL_CERT"] = BOT_CERTIFICATE
    for bot in bots:
        own |= {name: _compose_text(value) for name, value in bot.env.items() if name != "LANGUAGE" or not bot.group}
    return own


def _single(fleet: Fleet, bot: Bot) -> dict[str, Value]:
    url, page, log_file = _webhook_url(fleet, bot), fleet.app_url(bot), _log_file(bot)
    variables = {
        "BOT_API_TOKEN": _token(fleet, bot),
        "BOT_NAME": _escaped(bot.bot_name),
        "BOT_SERVICE": bot.name if bot.name != bot.bot_name else None,
        "BOT_FOLDER": _escaped(bot.folder),
        "BOT_MODE": bot.mode.value if bot.mode is not Mode.POLLING else None,
        "BOT_FALLBACK": bot.fallback,
        "BOT_LOG_FILE": log_file and _escaped(log_file),
        "LANGUAGE": bot.language,
        "WEBHOOK_URL": url and _compose_text(url),
        "BOT_COMMANDS": (",".join(bot.commands) or "none") if bot.commands != COMMANDS else None,
        "BOT_KEYWORDS": "true" if bot.keywords else None,
        "BOT_ADMINS": ",".join(map(str, bot.admins)) or None,
        "BOT_APP_URL": page and _compose_text(page),
    }
    own = _dialog(fleet.dialog_of(bot)) if bot.dialog else {}
    return {**{name: value for name, value in variables.items() if value is not None}, **own}


def _group(fleet: Fleet, bots: Sequence[Bot]) -> dict[str, Value]:
    tokens = {} if fleet.sandbox else {bot.token_variable: _token(fleet, bot) for bot in bots if bot.token_variable}
    listed = [_compose_text(_hosted(fleet, bot).model_dump_json(exclude_defaults=True)) for bot in bots]
    own = [bot.dialog and fleet.dialog_of(bot) for bot in bots]
    keys = {name: key for section in own if section for name, key in _keys(section).items()}
    return {**tokens, **keys, BOTS_VARIABLE: Verbatim("|\n" + _literal(_json_list(listed), 8))}


def _hosted(fleet: Fleet, bot: Bot) -> HostedBot:
    return hosted_bot(
        fleet,
        bot,
        log_file=_log_file(bot),
        webhook_url=_webhook_url(fleet, bot),
        app_url=fleet.app_url(bot),
        dialog=fleet.dialog_of(bot) if bot.dialog else None,
    )


def hosted_bot(fleet: Fleet, bot: Bot, **more: Any) -> HostedBot:
    """Describe a bot to its host; ``more`` are those of its fields that depend on where that runs."""
    return HostedBot(
        name=bot.name,
        bot_name=bot.bot_name,
        token_env=None if fleet.sandbox else bot.token_variable,
        folder=bot.folder,
        mode=bot.mode,
        language=bot.language,
        fallback=bot.fallback,
        commands=bot.commands,
        keywords=bot.keywords,
        admins=bot.admins,
        **more,
    )


def _webhook_url(fleet: Fleet, bot: Bot) -> str | None:
    """Return where a bot is called; the sandbox gets through the proxy only with a certificate that it is given."""
    url = fleet.webhook_url(bot)
    if url is None or not fleet.sandbox or _has_certificate(fleet):
        return url
    return f"http://{bot.service}:{BOT_PORT}{split_url(url)[1]}"


def _has_certificate(fleet: Fleet) -> bool:
    return fleet.webhook is not None and fleet.webhook.ssl_cert_path is not None


def _log_file(bot: Bot) -> str | None:
    """Return where a bot's log file is in its container; a folder for each service, as they have one volume."""
    return str(PurePosixPath(LOG_FOLDER, bot.service, PurePosixPath(bot.log_file).name)) if bot.log_file else None


def _token(fleet: Fleet, bot: Bot) -> str:
    if fleet.sandbox:
        return SANDBOX_TOKEN  # a real token has no business there
    return f"${{{bot.token_variable}:?put the token of {bot.name} into .env}}"


def _password(fleet: Fleet) -> str:
    return "${POSTGRES_PASSWORD:-sandbox}" if fleet.sandbox else "${POSTGRES_PASSWORD:?put a password into .env}"


def _server(fleet: Fleet) -> dict[str, str]:
    url = monitoring.SANDBOX_URL if fleet.sandbox else fleet.telegram
    return {"TELEGRAM_API_URL": _escaped(url)} if url else {}


def _dialog(section: Dialog | None) -> dict[str, Value]:
    """Write a ``dialog`` section as one variable, and the keys that it names under their own names."""
    if section is None:
        return {}
    return {DIALOG_VARIABLE: _quoted(_compose_text(section.model_dump_json(exclude_defaults=True))), **_keys(section)}


def _keys(section: Dialog) -> dict[str, str]:
    return {name: f"${{{name}:?put the key of {what} into .env}}" for name, what in section.key_variables.items()}


def _quoted(json: str) -> Verbatim:
    """Write JSON as a YAML scalar in single quotes, in which it looks as it is."""
    return Verbatim("'" + json.replace("'", "''") + "'")


def _alerts(fleet: Fleet) -> dict[str, str]:
    if fleet.alerts is None:
        return {}
    token = f"${{{fleet.alerts.token_env}:?put the token of the bot that sends alerts into .env}}"
    return {
        "ALERTS_CHAT_ID": _escaped(str(fleet.alerts.chat_id)),
        ALERTS_TOKEN: sandbox_token(ALERTS) if fleet.sandbox else token,
        **({"ALERTS_RUNBOOK": _escaped(fleet.alerts.runbook)} if fleet.alerts.runbook else {}),
        "ALERTS_MONITORING": " ".join(monitoring.READY_URLS),
    }


def _volumes(fleet: Fleet, proxy: bool) -> list[str]:
    wanted = {"postgres": True, "caddy": proxy, "logs": any(bot.log_file for bot in fleet.bots)}
    return [name for name, needed in wanted.items() if needed] + list(monitoring.VOLUMES)


def _scripts_mount(fleet: Fleet) -> str:
    return _mount(os.path.relpath(fleet.scripts, fleet.path.parent), "/app/scripts")


def _mount(path: str, target: str) -> str:
    """Mount a file or folder, relative to the compose file, where a container can read it."""
    return f"{_escaped(path if path.startswith(('/', '..')) else f'./{path}')}:{target}:ro"


def _escaped(text: str) -> str:
    """Write a text so that Compose leaves it as it is."""
    return text.replace("$", "$$")


def _compose_text(text: str) -> str:
    """Write a text with references in Compose's notation; it asks for variables that must be set."""
    return rewrite(text, _escaped, _reference)


def _reference(reference: Reference) -> str:
    if reference.default is not None:
        return f"${{{reference.name}:-{_escaped(reference.default)}}}"
    return f"${{{reference.name}:?{_escaped(reference.message) or f'put {reference.name} into .env'}}}"


def _json_list(items: Sequence[str]) -> str:
    """Write a JSON list with a line per item, so that a new item is one more line."""
    return "[\n" + ",\n".join(f"  {item}" for item in items) + "\n]"


def _literal(text: str, margin: int) -> str:
    return indent(text.rstrip("\n"), " " * margin)


def _block(mapping: dict[str, Value], margin: int) -> str:
    return "\n" + "\n".join(lines(mapping, margin)) + "\n"
