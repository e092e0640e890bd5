"""The compose file: cases, and what holds for every fleet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config.fleet import Bot, Fleet
from app.config.load import load_fleet
from app.config.rules import RESERVED_NAMES
from app.config.settings import Mode
from app.deploy.compose import compose, max_connections, unset_variables

CASES = Path(__file__).parents[2] / "cases" / "compose"
CHECKOUT = Path(__file__).parents[3]


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.glob("*.in.yaml")))
def test_case(case: str) -> None:
    output = CASES / case.replace(".in.yaml", ".out.yaml")
    text = compose(load_fleet(CASES / case, {}, need_secrets=False))
    if os.environ.get("UPDATE_CASES"):
        output.write_text(text, encoding="utf-8")
    assert text == output.read_text(encoding="utf-8")


def test_the_committed_file_is_current() -> None:
    fleet = load_fleet(CHECKOUT / "bots_config.yaml", {}, need_secrets=False)
    assert compose(fleet) == (CHECKOUT / "compose.yaml").read_text(encoding="utf-8")


def test_variables_change_nothing() -> None:
    environ = {
        "WEBHOOK_BASE_URL": "https://somewhere.example.org:88",
        "WEBHOOK_SECRET_TOKEN": "s3cret",
        "LIGHTHOUSE_TOKEN": "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr",
    }
    path = CASES / "webhook.in.yaml"
    assert compose(load_fleet(path, environ, need_secrets=False)) == compose(load_fleet(path, {}, need_secrets=False))


@pytest.mark.parametrize(
    ("hosts", "limit"), [(1, 100), (13, 100), (14, 200), (30, 200), (31, 400), (200, 1600), (1000, 6400)]
)
def test_connections_grow_in_steps(hosts: int, limit: int) -> None:
    assert max_connections(hosts) == limit


def fleet_of(bots: list[Bot], telegram: str | None = None) -> Fleet:
    return Fleet.model_construct(
        bots=tuple(bots), telegram=telegram, path=Path("bots_config.yaml"), scripts=Path("scripts"), environ={}
    )


names = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
bots = st.builds(
    lambda name, **keys: Bot.model_construct(name=name, **{"bot_name": name, "token_env": "X_TOKEN", **keys}),
    name=names.filter(lambda name: name not in RESERVED_NAMES),
    folder=st.sampled_from(["", "test/", "школа/"]),
    memory=st.sampled_from(["160m", "1g"]),
    replicas=st.integers(1, 3),
    language=st.sampled_from([None, "ru", "en"]),
    version=st.sampled_from([None, "1.3.2", "latest"]),
    env=st.dictionaries(
        st.sampled_from(["A", "B", "NO"]), texts.map(lambda text: text.replace("${", "$$ {")), max_size=3
    ),
)
fleets = st.lists(bots, min_size=2, max_size=6, unique_by=lambda bot: bot.name.lower())


def parsed(fleet: Fleet) -> dict[str, Any]:
    text: dict[str, Any] = yaml.load(compose(fleet), Loader=yaml.CSafeLoader)
    return text


@pytest.mark.parametrize("telegram", [None, "sandbox"])
@given(fleets, st.data())
@settings(deadline=None, max_examples=50)
def test_a_new_bot_changes_nothing_but_its_service(telegram: str | None, fleet: list[Bot], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(fleet) - 1))
    others = fleet[:index] + fleet[index + 1 :]
    before, after = (parsed(fleet_of(members, telegram)) for members in (others, fleet))
    new = after["services"].pop(fleet[index].service)
    assert new["environment"]["BOT_FOLDER"] == fleet[index].folder
    for text in (before, after):
        text["services"]["postgres"].pop("command")
        text["services"]["prometheus"].pop("labels")
        assert text["configs"].pop("prometheus")
        assert text["configs"].pop("bots")
    assert after == before


@given(fleets)
@settings(deadline=None, max_examples=50)
def test_values_arrive_as_they_were_written(fleet: list[Bot]) -> None:
    services = parsed(fleet_of(fleet))["services"]
    for bot in fleet:
        environment = services[bot.service]["environment"]
        found = {name: environment[name].replace("$$", "$") for name in bot.env}
        assert found == {name: str(value) for name, value in bot.env.items()}
        assert environment["BOT_NAME"] == bot.bot_name


@given(fleets)
@settings(deadline=None, max_examples=20)
def test_the_same_fleet_gives_the_same_bytes(fleet: list[Bot]) -> None:
    assert compose(fleet_of(fleet)) == compose(fleet_of(list(fleet)))


def test_no_bot_of_webhooks_no_proxy() -> None:
    fleet = load_fleet(CASES / "webhook.in.yaml", {}, need_secrets=False)
    polling = fleet.model_copy(
        update={"bots": tuple(bot.model_copy(update={"mode": Mode.POLLING}) for bot in fleet.bots)}
    )
    assert "proxy" in parsed(fleet)["services"]
    assert "proxy" not in parsed(polling)["services"]


def test_a_bot_with_other_dialogs_changes_nothing_but_its_service() -> None:
    fleet = load_fleet(CASES / "dialogs.in.yaml", {}, need_secrets=False)
    root, *others = fleet.bots
    own = root.model_copy(update={"dialog": fleet.bots[1].dialog})
    before, after = parsed(fleet), parsed(fleet.model_copy(update={"bots": (own, *others)}))
    assert before["services"].pop("root") != after["services"].pop("root")
    assert before == after


def test_no_two_services_write_one_log_file() -> None:
    files = {"one": "one/bot.log", "other": "other/bot.log"}
    bots = [Bot.model_construct(name=name, bot_name=name, token_env="T", log_file=file) for name, file in files.items()]
    services = parsed(fleet_of(bots))["services"]
    assert [services[name]["environment"]["BOT_LOG_FILE"] for name in files] == [
        "/var/log/flotilla/one/bot.log",
        "/var/log/flotilla/other/bot.log",
    ]
    pair = [bot.model_copy(update={"group": "pair"}) for bot in bots]
    assert parsed(fleet_of(pair))["services"]["pair"]


def test_variables_that_are_asked_for_and_not_set() -> None:
    text = compose(load_fleet(CASES / "quoting.in.yaml", {}, need_secrets=False))
    assert unset_variables(text, {}) == ["POSTGRES_PASSWORD", "NULL_TOKEN", "NAME", "THIRD", "B_TOKEN"]
    assert unset_variables(
        text, {"POSTGRES_PASSWORD": "", **dict.fromkeys(["NULL_TOKEN", "NAME", "THIRD", "B_TOKEN"], "x")}
    ) == ["POSTGRES_PASSWORD"]
    sandbox = compose(load_fleet(CASES / "sandbox.in.yaml", {}, need_secrets=False))
    assert unset_variables(sandbox, {}) == []


def test_a_thousand_bots() -> None:
    fleet = fleet_of([Bot.model_construct(name=f"bot{n}", bot_name=f"bot{n}", token_env=f"T{n}") for n in range(1000)])
    services = parsed(fleet)["services"]
    assert len(services) == 1007
    assert services["postgres"]["command"] == ["postgres", "-c", "max_connections=6400"]
