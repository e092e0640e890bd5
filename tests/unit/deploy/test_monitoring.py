"""The profile ``monitoring``: what follows the fleet, and what all of its parts have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from app.config.fleet import Alerts, Bot, Fleet
from app.config.load import load_fleet
from app.config.rules import RESERVED_NAMES
from app.deploy.compose import compose, unset_variables
from app.deploy.monitoring import configs

ROOT = Path(__file__).parents[3]
CASES = ROOT / "tests" / "cases" / "compose"
RULES = ROOT / "monitoring" / "prometheus" / "alerts.yml"
DASHBOARDS = sorted((ROOT / "monitoring" / "grafana" / "dashboards").glob("*.json"))
PROFILE = ["monitoring"]


def fleet_of(*bots: Bot, telegram: str | None = None, alerts: Alerts | None = None) -> Fleet:
    keys: dict[str, Any] = {"bots": bots, "telegram": telegram, "alerts": alerts}
    return Fleet.model_construct(path=Path("bots_config.yaml"), scripts=Path("scripts"), environ={}, **keys)


def bot(name: str, **keys: Any) -> Bot:
    return Bot.model_construct(**{"name": name, "bot_name": name, "token_env": f"{name.upper()}_TOKEN", **keys})


def config(fleet: Fleet, name: str) -> Any:
    return yaml.safe_load(configs(fleet)[name])


def test_targets_are_the_services_that_run_bots_each_replica_for_itself() -> None:
    bots = bot("first"), bot("second", group="web"), bot("third", group="web"), bot("fourth", replicas=3)
    (job, *others) = config(fleet_of(*bots), "prometheus")["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["first:9400", "web:9400"]}]
    assert job["dns_sd_configs"] == [{"names": ["fourth"], "type": "A", "port": 9400, "refresh_interval": "15s"}]
    assert [other["job_name"] for other in others] == ["postgres", "alertmanager", "prometheus"]
    (replicated, *_) = config(fleet_of(bots[3]), "prometheus")["scrape_configs"]
    assert "static_configs" not in replicated


def test_a_runbook_is_one_text_whatever_is_in_it() -> None:
    runbook = "https://wiki.example.org/a, b}: {c}"
    alerts = Alerts.model_construct(chat_id="7", token_env="T", runbook=runbook)
    assert config(fleet_of(bot("a"), alerts=alerts), "prometheus")["global"]["external_labels"] == {"runbook": runbook}


def test_every_bot_is_expected() -> None:
    rules = config(fleet_of(bot("first"), bot("no", group="web")), "bots")["groups"][0]["rules"]
    assert [(rule["record"], rule["expr"], rule["labels"]) for rule in rules] == [
        ("flotilla_expected_bot", "vector(1)", {"bot": "first", "service": "first"}),
        ("flotilla_expected_bot", "vector(1)", {"bot": "no", "service": "web"}),
    ]


@pytest.mark.parametrize(
    ("telegram", "url"),
    [
        (None, "https://api.telegram.org"),
        ("sandbox", "http://sandbox:8080"),
        ("https://bots.example.org:8081", "https://bots.example.org:8081"),
    ],
)
def test_alerts_go_where_the_bots_live(telegram: str | None, url: str) -> None:
    alerts = Alerts(chat_id="-100200300", token_env="ALERTS_TOKEN")
    (receiver,) = config(fleet_of(bot("first"), telegram=telegram, alerts=alerts), "alertmanager")["receivers"]
    (telegram_config,) = receiver["telegram_configs"]
    assert (telegram_config["api_url"], telegram_config["chat_id"]) == (url, -100200300)
    assert telegram_config["bot_token_file"] == "/tmp/token"


def test_without_alerts_nobody_is_told() -> None:
    text = config(fleet_of(bot("first")), "alertmanager")
    assert (text["route"]["receiver"], text["receivers"]) == ("nobody", [{"name": "nobody"}])


def test_alerts_link_to_the_runbook_of_the_config() -> None:
    alerts = Alerts(chat_id="1", token_env="ALERTS_TOKEN", runbook="https://wiki.example.org/bots")
    assert _runbook(fleet_of(bot("first"))) == "docs/runbook.md"
    assert _runbook(fleet_of(bot("first"), alerts=alerts)) == "https://wiki.example.org/bots"


def _runbook(fleet: Fleet) -> Any:
    return config(fleet, "prometheus")["global"]["external_labels"]["runbook"]


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.glob("*.in.yaml")))
def test_nothing_of_the_profile_is_asked_for_without_it(case: str) -> None:
    """Compose looks for variables in the whole file, whatever its profiles."""
    text = compose(load_fleet(CASES / case, {}, need_secrets=False))
    services = yaml.safe_load(text)["services"]
    ours = {name: service for name, service in services.items() if service.get("profiles") == PROFILE}
    others = {name: service for name, service in services.items() if name not in ours}
    assert set(ours) == {"monitoring", "prometheus", "alertmanager", "postgres-exporter", "grafana"} <= RESERVED_NAMES
    asked = unset_variables(yaml.safe_dump(others, width=1000), {})
    assert set(unset_variables(yaml.safe_dump(ours, width=1000), {})) <= set(asked)


def test_services_are_confined() -> None:
    services = yaml.safe_load(compose(load_fleet(CASES / "server.in.yaml", {}, need_secrets=False)))["services"]
    for name, service in services.items():
        if service.get("profiles") != PROFILE:
            continue
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert service["logging"]["driver"] == "json-file", name
        assert service["healthcheck"], name
        assert service.get("read_only") or "configs" in service, name
        assert all(port.startswith("127.0.0.1:${") for port in service.get("ports", [])), name
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]) or name == "monitoring", name


def test_a_token_is_in_no_file_and_no_command() -> None:
    services = yaml.safe_load(compose(load_fleet(CASES / "server.in.yaml", {}, need_secrets=False)))["services"]
    asked = services["postgres"]["environment"]["POSTGRES_PASSWORD"], services["alertmanager"]["environment"]
    assert asked[1] == {"ALERTS_BOT_TOKEN": "${ALERTS_TOKEN:?put the token of the bot that sends alerts into .env}"}
    assert services["postgres-exporter"]["environment"]["DATA_SOURCE_PASS"] == asked[0]


def test_every_alert_says_what_to_do() -> None:
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    sections = {title.lower(): title for title in re.findall(r"^## (\w+)$", runbook, re.MULTILINE)}
    for rule in rules:
        assert re.search(r"\b(warning|critical)\b", rule["labels"]["severity"])
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        url, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (url, sections[anchor]) == ("{{ $externalLabels.runbook }}", rule["alert"])
    assert list(sections.values()) == [rule["alert"] for rule in rules]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_whole(path: Path) -> None:
    """Ids are unique, panels do not overlap, every target has its data source."""
    board = json.loads(path.read_text(encoding="utf-8"))
    assert board["uid"] == f"flotilla-{path.stem}"
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["targets"], panel["title"]
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": _source_uid()}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_grafana_knows_every_key(path: Path) -> None:
    """What its own model of a dashboard does not know is lost on the way there and back."""
    board = json.loads(path.read_text(encoding="utf-8"))
    register_default_plugins()
    assert list(lost(board, json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder)))) == []


def lost(there: Any, back: Any, place: str = "") -> Iterator[str]:
    """Return the places of what is not as it was."""
    match there, back:
        case dict(), dict():
            for key, value in there.items():
                yield from lost(value, back.get(key), f"{place}.{key}")
        case list(), list() if len(there) == len(back):
            for number, (one, other) in enumerate(zip(there, back, strict=True)):
                yield from lost(one, other, f"{place}[{number}]")
        case _ if there != back:
            yield place


def _source_uid() -> str:
    path = ROOT / "monitoring" / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    return str(yaml.safe_load(path.read_text(encoding="utf-8"))["datasources"][0]["uid"])
