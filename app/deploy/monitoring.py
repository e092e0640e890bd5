"""The profile ``monitoring`` of the compose file: Prometheus, Alertmanager, Grafana, an exporter for PostgreSQL. Pure.

What is the same for every fleet (rules, dashboards) lies in ``monitoring/`` and comes with the image; here is the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from app.config.fleet import Fleet
from app.config.settings import RUNBOOK, TELEGRAM_API_URL
from app.deploy.text import scalar

METRICS_PORT = 9400
"""Where each container that runs bots tells its figures; reachable by its neighbours only."""

READY_URLS = ("http://prometheus:9090/-/ready", "http://alertmanager:9093/-/ready")
"""Where hosts see that they need not tell of failures themselves."""

SANDBOX_URL = "http://sandbox:8080"

VOLUMES = ("monitoring", "prometheus", "alertmanager", "grafana")

SHARED = """
# What the services of the profile 'monitoring' share.
x-monitor: &monitor
  profiles: [monitoring]
  restart: unless-stopped
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  pids_limit: 256
  logging: *logging

x-check: &check
  interval: 10s
  timeout: 5s
  retries: 3
  start_period: 1m
  start_interval: 1s
"""

SERVICES = """
  # From here on: only with 'docker compose --profile monitoring up -d --wait'.

  # Brings the rules and dashboards of this version to the others, then ends.
  monitoring:
    <<: *bot
    profiles: [monitoring]
    command: ["cp", "-R", "/usr/share/flotilla/monitoring/.", "/monitoring"]
    user: "0:0"
    restart: "no"
    depends_on: []
    volumes:
      - monitoring:/monitoring
    environment: {{}}
    healthcheck: {{disable: true}}

  # http://localhost:9090
  prometheus:
    <<: *monitor
    image: prom/prometheus:v2.53.3
    command:
      - --config.file=/etc/prometheus/prometheus.yml
      - --storage.tsdb.path=/prometheus
      - --storage.tsdb.retention.time=${{PROMETHEUS_RETENTION:-30d}}
      - --storage.tsdb.retention.size=${{PROMETHEUS_SIZE:-4GB}}
    mem_limit: 512m
    # Not read_only: Compose copies its configuration into it. It does not look for changes there: the label tells it.
    labels:
      flotilla.configs: "{prometheus}"
    depends_on:
      monitoring: {{condition: service_completed_successfully, restart: true}}
    configs:
      - source: prometheus
        target: /etc/prometheus/prometheus.yml
      - source: bots
        target: /etc/prometheus/bots.yml
    volumes:
      - monitoring:/etc/flotilla:ro
      - prometheus:/prometheus
    ports:
      - "127.0.0.1:${{PROMETHEUS_PORT:-9090}}:9090"
    healthcheck:
      <<: *check
      test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9090/-/ready"]

  # http://localhost:9093
  alertmanager:
    <<: *monitor
    image: prom/alertmanager:v0.28.1
{start}\
    mem_limit: 128m
    tmpfs: [/tmp]
    # As with Prometheus.
    labels:
      flotilla.configs: "{alertmanager}"
    depends_on:
      monitoring: {{condition: service_completed_successfully, restart: true}}
    configs:
      - source: alertmanager
        target: /etc/alertmanager/alertmanager.yml
    volumes:
      - monitoring:/etc/flotilla:ro
      - alertmanager:/alertmanager
    ports:
      - "127.0.0.1:${{ALERTMANAGER_PORT:-9093}}:9093"
    healthcheck:
      <<: *check
      test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9093/-/ready"]

  postgres-exporter:
    <<: *monitor
    image: prometheuscommunity/postgres-exporter:v0.17.1
    mem_limit: 64m
    read_only: true
    depends_on:
      postgres: {{condition: service_healthy}}
    environment:
      DATA_SOURCE_URI: postgres:5432/flotilla?sslmode=disable
      # The owner of the database: PostgreSQL keeps connections for it when all others are in use.
      DATA_SOURCE_USER: flotilla
      DATA_SOURCE_PASS: {password}
    healthcheck:
      <<: *check
      test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9187/"]

  # http://localhost:3000, user admin
  grafana:
    <<: *monitor
    image: grafana/grafana:12.4.2
    entrypoint:
      - sh
      - -c
      - test -n "$$GF_SECURITY_ADMIN_PASSWORD" || {{ echo put GRAFANA_PASSWORD into .env >&2; exit 78; }}; exec /run.sh
    mem_limit: 512m
    read_only: true
    tmpfs: [/tmp]
    depends_on:
      monitoring: {{condition: service_completed_successfully}}
    environment:
      GF_SECURITY_ADMIN_PASSWORD: {grafana}
      GF_PATHS_PROVISIONING: /etc/flotilla/grafana/provisioning
      GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: /etc/flotilla/grafana/dashboards/fleet.json
      GF_USERS_ALLOW_SIGN_UP: "false"
      GF_ANALYTICS_REPORTING_ENABLED: "false"
      GF_ANALYTICS_CHECK_FOR_UPDATES: "false"
      GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES: "false"
      GF_PLUGINS_PREINSTALL_DISABLED: "true"
    volumes:
      - monitoring:/etc/flotilla:ro
      - grafana:/var/lib/grafana
    ports:
      - "127.0.0.1:${{GRAFANA_PORT:-3000}}:3000"
    healthcheck:
      <<: *check
      test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:3000/api/health"]
"""

START = """\
    # The token belongs into no configuration and no list of processes; Alertmanager logs it when Telegram is away.
    entrypoint:
      - sh
      - -c
      - |
        umask 077
        token=$$ALERTS_BOT_TOKEN
        unset ALERTS_BOT_TOKEN
        printf %s "$$token" >/tmp/token
        mkfifo /tmp/log
        while IFS= read -r line; do
          while case $$line in *"$${{token:-no token}}"*) ;; *) false ;; esac; do
            line="$${{line%%"$$token"*}}...$${{line#*"$$token"}}"
          done
          printf '%s\\n' "$$line"
        done </tmp/log &
        /bin/alertmanager "$$@" >/tmp/log 2>&1 &
        trap "kill $$!" TERM INT
        wait $$!
        code=$$?
        wait
        exit $$code
      - alertmanager
    environment:
      ALERTS_BOT_TOKEN: {token}
"""

COMMAND = """\
    command:
      - --config.file=/etc/alertmanager/alertmanager.yml
      - --storage.path=/alertmanager
      - --cluster.listen-address=
"""

PROMETHEUS = """\
global:
  scrape_interval: 15s
  evaluation_interval: 15s
  external_labels: {{runbook: {runbook}}}

alerting:
  alert_relabel_configs:
    - {{action: labeldrop, regex: runbook}}
  alertmanagers:
    - static_configs:
        - targets: ["alertmanager:9093"]

rule_files:
  - /etc/prometheus/bots.yml
  - /etc/flotilla/prometheus/*.yml

scrape_configs:
  - job_name: bots
{static}\
{replicated}\
    relabel_configs:
      - {{source_labels: [__address__], regex: "(.*):{port}", target_label: service}}
      - {{source_labels: [__meta_dns_name], regex: (.+), target_label: service}}

  - job_name: postgres
    static_configs:
      - targets: ["postgres-exporter:9187"]

  - job_name: alertmanager
    static_configs:
      - targets: ["alertmanager:9093"]

  - job_name: prometheus
    static_configs:
      - targets: ["localhost:9090"]
"""

STATIC = """\
    static_configs:
      - targets:
{targets}
"""

REPLICATED = """\
    # One address per replica.
    dns_sd_configs:
      - names:
{names}
        type: A
        port: {port}
        refresh_interval: 15s
"""

EXPECTED = """\
      - record: flotilla_expected_bot
        expr: vector(1)
        labels: {{bot: {bot}, service: {service}}}
"""

ALERTMANAGER = """\
route:
  receiver: {receiver}
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 12h

# Whoever knows why does not want to hear what follows from it.
inhibit_rules:
  - source_matchers: [alertname = DatabaseDown, severity = critical]
    target_matchers: ['alertname =~ "BotDown|BotNotPolling|BotErrors|WebhookErrors|OutboxStuck|TimersLate"']
  - source_matchers: [alertname = TokenRevoked]
    target_matchers: ['alertname =~ "BotDown|BotCrashLoop"']
    equal: [bot]
  - source_matchers: ['alertname =~ "TokenRevoked|BotDown|BotCrashLoop"']
    target_matchers: ['alertname =~ "BotNotPolling|WebhookErrors|BotErrors|OutboxStuck|TimersLate"']
    equal: [bot]

receivers:
"""

NOBODY = """\
  # bots_config.yaml has no alerts; what fires is to be seen in Alertmanager itself.
  - name: nobody
"""

TELEGRAM = """\
  - name: telegram
    telegram_configs:
      - api_url: {url}
        bot_token_file: /tmp/token
        chat_id: {chat}
        parse_mode: HTML
        message: '{{{{ template "flotilla.telegram" . }}}}'
        send_resolved: true

templates: [/etc/flotilla/alertmanager/*.tmpl]
"""


def services(fleet: Fleet, password: str, token: str | None) -> str:
    """Write the services; ``password`` is PostgreSQL's, ``token`` that of the bot that sends alerts, if one does."""
    files = configs(fleet)
    return SERVICES.format(
        prometheus=_digest(files["prometheus"], files["bots"]),
        alertmanager=_digest(files["alertmanager"]),
        start=(START.format(token=token) if token else "") + COMMAND,
        password=password,
        grafana="${GRAFANA_PASSWORD:-sandbox}" if fleet.sandbox else "${GRAFANA_PASSWORD:-}",
    )


def configs(fleet: Fleet) -> dict[str, str]:
    """Write the configurations that follow the fleet, by their names in the compose file."""
    return {"prometheus": _prometheus(fleet), "bots": _expected(fleet), "alertmanager": _alertmanager(fleet)}


def _prometheus(fleet: Fleet) -> str:
    replicas = {bot.service: bot.replicas for bot in fleet.bots}
    single = [scalar(f"{service}:{METRICS_PORT}") for service, count in replicas.items() if count == 1]
    several = [scalar(service) for service, count in replicas.items() if count > 1]
    return PROMETHEUS.format(
        runbook=_json((fleet.alerts and fleet.alerts.runbook) or RUNBOOK),
        static=STATIC.format(targets=_list(single, 10)) if single else "",
        replicated=REPLICATED.format(names=_list(several, 10), port=METRICS_PORT) if several else "",
        port=METRICS_PORT,
    )


def _expected(fleet: Fleet) -> str:
    """Write a rule file with a constant series per bot, so that one that never came up is missed as well."""
    rules = (EXPECTED.format(bot=_json(bot.name), service=_json(bot.service)) for bot in fleet.bots)
    return "groups:\n  - name: bots\n    rules:\n" + "".join(rules)


def _alertmanager(fleet: Fleet) -> str:
    if fleet.alerts is None:
        return ALERTMANAGER.format(receiver="nobody") + NOBODY
    url = SANDBOX_URL if fleet.sandbox else fleet.telegram or TELEGRAM_API_URL
    return ALERTMANAGER.format(receiver="telegram") + TELEGRAM.format(url=scalar(url), chat=fleet.alerts.chat_id)


def _digest(*texts: str) -> str:
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:12]


def _list(items: Sequence[str], margin: int) -> str:
    return "\n".join(f"{' ' * margin}- {item}" for item in items)


def _json(text: str) -> str:
    """Write a text so that YAML takes it for text within braces."""
    return json.dumps(text, ensure_ascii=False)
