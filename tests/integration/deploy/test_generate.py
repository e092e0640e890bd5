"""``compose.generate.py`` as it is started, and its files as Compose reads them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[3]
CASES = CHECKOUT / "tests" / "cases" / "compose"

VARIABLES = {
    "POSTGRES_PASSWORD": "p",
    "BOT_API_TOKEN": "1:a",
    "LIGHTHOUSE_TOKEN": "2:a",
    "SAMOVAR_TOKEN": "3:a",
    "ROOT_TOKEN": "4:a",
    "NULL_TOKEN": "5:a",
    "B_TOKEN": "6:a",
    "ALERTS_TOKEN": "7:a",
    "OPENAI_API_KEY": "k",
    "ELEVENLABS_API_KEY": "v",
    "MODEL_KEY": "m",
    "MODEL_URL": "http://model.example.org/v1",
    "WEBHOOK_SECRET_TOKEN": "s",
    "WEBHOOK_BASE_URL": "https://bots.example.org",
    "NAME": "Ann",
    "THIRD": "3",
}


def has_compose() -> bool:
    docker = shutil.which("docker")
    return bool(docker) and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0


needs_compose = pytest.mark.skipif(not has_compose(), reason="no docker compose command")


def config_of(file: Path, *options: str, variables: dict[str, str] = VARIABLES) -> subprocess.CompletedProcess[str]:
    """Have Compose read a file, with these variables and no .env."""
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables}
    command = ["docker", "compose", "--env-file", "/dev/null", "--project-name", "case", "-f", str(file), "config"]
    return subprocess.run([*command, *options], env=environ, capture_output=True, text=True)


def environment_of(file: Path, service: str, variables: dict[str, str] = VARIABLES) -> dict[str, Any]:
    """Return what a container's variables would be."""
    read = config_of(file, "--format", "json", variables=variables)
    assert read.returncode == 0, read.stderr
    # Compose writes a dollar sign twice, so that its output can be its input.
    environment: dict[str, str] = json.loads(read.stdout)["services"][service]["environment"]
    return {name: value.replace("$$", "$") for name, value in environment.items()}


@needs_compose
@pytest.mark.parametrize("case", sorted(path.name for path in CASES.glob("*.out.yaml")))
def test_compose_accepts_every_case(case: str) -> None:
    read = config_of(CASES / case, "--quiet")
    assert (read.returncode, read.stderr) == (0, "")


@needs_compose
@pytest.mark.parametrize("file", [CHECKOUT / "compose.yaml", CASES / "sandbox.out.yaml"])
def test_a_fleet_in_the_sandbox_needs_no_variables(file: Path) -> None:
    read = config_of(file, "--quiet", variables={})
    assert (read.returncode, read.stderr) == (0, "")


@needs_compose
@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("POSTGRES_PASSWORD", "put a password into .env"),
        ("SAMOVAR_TOKEN", "put the token of samovar into .env"),
        ("WEBHOOK_BASE_URL", "put WEBHOOK_BASE_URL into .env"),
    ],
)
def test_a_missing_variable_is_asked_for(missing: str, message: str) -> None:
    read = config_of(CASES / "webhook.out.yaml", variables={key: VARIABLES[key] for key in VARIABLES if key != missing})
    assert read.returncode != 0
    assert message in read.stderr


@needs_compose
def test_values_arrive_as_they_were_written() -> None:
    environment = environment_of(CASES / "quoting.out.yaml", "null")
    for shared in ("DATABASE_URL", "PGPASSWORD", "METRICS_PORT", "BOT_API_TOKEN"):
        environment.pop(shared)
    assert environment == {
        "BOT_NAME": 'yes: "$HOME" # ${not',
        "BOT_SERVICE": "null",
        "BOT_FOLDER": "",
        "COLON": "a: b",
        "HASH": "a #b",
        "DOLLAR": "pa$$word $HOME ${HOME}",
        "REFERENCE": "Ann and a default and 3",
        "LINES": "one\n  two\n",
        "QUOTES": "\"'`",
        "BACKSLASH": "\\n",
        "NUMBER": "42",
        "OCTAL": "0o17",
        "EXPONENT": "1e3",
        "TIME": "12:30",
        "ON": "on",
        "EMPTY": "",
        "SPACES": " a ",
        "LETTERS": "мир 🌍",
        "ANCHOR": "*bot",
        "LIST": "[a, b]",
    }


@needs_compose
def test_a_container_of_a_group_understands_its_variables() -> None:
    from app.config.environment import host_settings_from_environment

    settings = host_settings_from_environment(environment_of(CASES / "group.out.yaml", "web"))
    assert [(bot.name, bot.bot_name, bot.token, bot.folder, bot.language) for bot in settings.bots] == [
        ("lighthouse", "lighthouse", "2:a", "lighthouse/", "en"),
        ("samovar", "samovar", "3:a", "samovar/", "ru"),
    ]
    assert settings.bots[0].webhook is not None
    assert settings.bots[0].webhook.url == "https://bots.example.org/webhook/lighthouse"


@needs_compose
def test_a_container_of_the_sandbox_understands_its_variables() -> None:
    from app.config.environment import host_settings_from_environment
    from app.config.tokens import sandbox_token

    variables = environment_of(CASES / "sandbox.out.yaml", "lighthouse")
    settings = host_settings_from_environment(variables)
    assert (settings.telegram_url, settings.bots[0].token) == ("http://sandbox:8080", sandbox_token("lighthouse"))


@needs_compose
@pytest.mark.parametrize(
    ("case", "services"), [("dialogs", ["root", "lighthouse", "pair"]), ("pages", ["root", "pair"])]
)
def test_containers_run_the_bots_that_the_config_describes(case: str, services: list[str]) -> None:
    from app.config.environment import host_settings_from_environment
    from app.config.host import host_settings
    from app.config.load import load_fleet

    tokens = {name: f"123456{place}:{'A' * 35}" for place, name in enumerate(VARIABLES) if name.endswith("_TOKEN")}
    variables = VARIABLES | tokens | {"WEBHOOK_SECRET_TOKEN": "s"}
    fleet = load_fleet(CASES / f"{case}.in.yaml", variables)
    expected = {bot.name: bot for bot in host_settings(fleet, database_url="", listen=("0.0.0.0", 8080)).bots}
    for service in services:
        settings = host_settings_from_environment(environment_of(CASES / f"{case}.out.yaml", service, variables))
        assert settings.bots == tuple(expected[bot.name] for bot in settings.bots)
        assert (settings.listen is not None) == any(bot.options.app_url for bot in settings.bots)


def run_script(
    *arguments: str, options: tuple[str, ...] = (), cwd: Path = CHECKOUT
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, str(cwd / "compose.generate.py"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_the_script_is_the_command() -> None:
    done = run_script("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "compose.yaml is up to date\n", "")


def test_the_script_writes_where_it_is_told(tmp_path: Path) -> None:
    output = tmp_path / "compose.yaml"
    done = run_script("--config", "bots_config.yaml", "--output", str(output))
    assert (done.returncode, done.stdout) == (0, f"wrote {output}\n")
    assert output.read_text() == (CHECKOUT / "compose.yaml").read_text()


def test_the_script_reports_a_wrong_config(tmp_path: Path) -> None:
    (tmp_path / "bots_config.yaml").write_text("bots: []\n")
    done = run_script("--config", str(tmp_path / "bots_config.yaml"))
    assert (done.returncode, done.stderr) == (
        78,
        f"{tmp_path}/bots_config.yaml:1: bots: is empty; add a bot: - name: ...\n",
    )


def test_a_python_without_our_packages_goes_through_the_launcher(tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "compose.generate.py", tmp_path)
    launcher = tmp_path / "flotilla"
    launcher.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    launcher.chmod(0o755)
    # -S: without the packages that are installed.
    done = run_script("--check", "--config", "a b.yaml", options=("-S",), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "generate\n--check\n--config\na b.yaml\n")
