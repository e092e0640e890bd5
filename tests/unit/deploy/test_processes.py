"""Fleets without containers: the units, the file for supervisord, and what each process is told."""

from __future__ import annotations

import configparser
import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from app.config.environment import host_settings_from_environment
from app.config.fleet import Fleet
from app.config.host import host_settings
from app.config.load import load_fleet
from app.config.settings import RUNBOOK
from app.deploy.process import (
    MissingVariablesError,
    SharedLogFileError,
    environment,
    of_the_machine,
    processes_of,
    variables_of,
)
from app.deploy.supervisor import supervisord
from app.deploy.systemd import Place, UnwritableError, misread_lines, units

CASES = Path(__file__).parents[2] / "cases" / "processes"
SCRIPTS = CASES.parent / "compose" / "scripts"
PLACE = Place(Path("/srv/fleet/bots_config.yaml"), Path("/srv/fleet/.venv/bin/python"))
SECRETS = {
    "FIRST_TOKEN": "111111111:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr",
    "HOOK_TOKEN": "222222222:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr",
    "LAST_TOKEN": "333333333:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr",
    "ALERTS_TOKEN": "444444444:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr",
    "OPENAI_API_KEY": "the-key",
    "MODEL_KEY": "another-key",
    "MODEL_URL": "http://model:8000/v1",
    "SECRET": "s3cret",
    "WEBHOOK_SECRET_TOKEN": "hooksecret",
    "WEBHOOK_BASE_URL": "https://bots.example.org",
}
DATABASE = "postgresql://flotilla@db/flotilla"


def fleet_of(case: str, environ: dict[str, str] | None = None) -> Fleet:
    return load_fleet(CASES / f"{case}.in.yaml", environ or {}, SCRIPTS, need_secrets=False)


def joined(texts: dict[str, str]) -> str:
    return "".join(f"==> {name} <==\n{text}\n" for name, text in texts.items())


@pytest.mark.parametrize("case", ["sandbox", "live"])
def test_case(case: str) -> None:
    fleet = fleet_of(case)
    written = {
        "systemd": joined(units(fleet, PLACE, Path("systemd"))),
        "supervisor": supervisord(fleet, PLACE),
    }
    for target, text in written.items():
        output = CASES / f"{case}.out.{target}"
        if os.environ.get("UPDATE_CASES"):
            output.write_text(text, encoding="utf-8")
        assert text == output.read_text(encoding="utf-8")


def test_secrets_change_nothing() -> None:
    for write in (lambda fleet: joined(units(fleet, PLACE, Path("systemd"))), lambda fleet: supervisord(fleet, PLACE)):
        assert write(fleet_of("live", SECRETS)) == write(fleet_of("live"))


def test_the_processes_of_a_fleet() -> None:
    found = [(one.name, len(one.bots), one.index, one.pages, one.before) for one in processes_of(fleet_of("live"))]
    assert found == [
        ("first.bot", 1, 0, None, 0),
        ("hook", 1, 1, 0, 1),
        ("hook@2", 1, 2, 1, 2),
        ("last", 1, 3, None, 3),
    ]
    found = [(one.name, len(one.bots), one.index, one.pages, one.before) for one in processes_of(fleet_of("sandbox"))]
    assert found == [("solo", 1, 0, 0, 0), ("pair", 2, 1, 1, 1)]


def told(name: str, **more: Any) -> dict[str, str]:
    fleet = fleet_of("live", {**SECRETS, "UNRELATED": "x", "LOG_LEVEL": "debug", **more})
    process = next(one for one in processes_of(fleet) if one.name == name)
    return environment(fleet, process, database_url=DATABASE, pages_port=8090)


def test_each_process_has_its_own_secrets_and_no_others() -> None:
    held = {
        name: sorted(key for key in SECRETS if SECRETS[key] in json.dumps(told(name)))
        for name in ("first.bot", "hook", "last")
    }
    assert held == {
        "first.bot": ["ALERTS_TOKEN", "FIRST_TOKEN", "OPENAI_API_KEY"],
        "hook": ["ALERTS_TOKEN", "HOOK_TOKEN", "OPENAI_API_KEY", "SECRET", "WEBHOOK_BASE_URL", "WEBHOOK_SECRET_TOKEN"],
        "last": ["ALERTS_TOKEN", "LAST_TOKEN", "MODEL_KEY", "MODEL_URL"],
    }


def test_what_a_process_is_told() -> None:
    variables = told("hook")
    bots = json.loads(variables.pop("FLOTILLA_BOTS"))
    assert variables == {
        "LOG_LEVEL": "debug",
        "DATABASE_URL": DATABASE,
        "TELEGRAM_API_URL": "https://api.telegram.org",
        "SCRIPTS_FOLDER": str(SCRIPTS),
        "ALERTS_CHAT_ID": "7",
        "ALERTS_BOT_TOKEN": SECRETS["ALERTS_TOKEN"],
        "ALERTS_RUNBOOK": RUNBOOK,
        "DISK_FOLDER": str(CASES),
        "READ_DOTENV": "false",
        "HOOK_TOKEN": SECRETS["HOOK_TOKEN"],
        "OPENAI_API_KEY": "the-key",
        "OWN": "s3cret",
        "FIXED": "50%",
        "PAGES_ADDRESS": "127.0.0.1",
        "PAGES_PORT": "8090",
        "WEBHOOK_SECRET_TOKEN": "hooksecret",
        "WEBHOOK_MAX_CONNECTIONS": "100",
        "WEBHOOK_SSL_CERT": str(CASES / "certs" / "cert.pem"),
    }
    [bot] = bots
    assert (bot["webhook_url"], bot["log_file"]) == (
        "https://bots.example.org/webhook/hook",
        str(CASES / "logs" / "hook.log"),
    )


@pytest.mark.parametrize("name", ["first.bot", "hook", "last"])
def test_a_process_is_what_flotilla_run_would_run(name: str) -> None:
    fleet = load_fleet(CASES / "live.in.yaml", SECRETS, SCRIPTS)
    process = next(one for one in processes_of(fleet) if one.name == name)
    variables = environment(fleet, process, database_url=DATABASE, pages_port=8090)
    listen = ("127.0.0.1", 8090) if process.pages is not None else None
    assert host_settings_from_environment(variables) == host_settings(
        fleet, [name], database_url=DATABASE, listen=listen
    )


def test_replicas_and_systemd_have_log_files_of_their_own() -> None:
    [bot] = json.loads(told("hook@2")["FLOTILLA_BOTS"])
    assert bot["log_file"] == str(CASES / "logs" / "hook@2.log")
    [bot] = json.loads(told("hook@2", LOGS_DIRECTORY="/var/log/flotilla/hook@2")["FLOTILLA_BOTS"])
    assert bot["log_file"] == "/var/log/flotilla/hook@2/hook@2.log"


def test_two_processes_cannot_share_a_log_file(tmp_path: Path) -> None:
    config = tmp_path / "bots_config.yaml"
    config.write_text("telegram: sandbox\nbots:\n  - {name: a, log_file: x.log}\n  - {name: b, log_file: x.log}\n")
    fleet = load_fleet(config, {}, SCRIPTS)
    with pytest.raises(SharedLogFileError) as caught:
        processes_of(fleet)
    assert str(caught.value) == (
        "a and b have the same log_file 'x.log', and are processes of their own; "
        "give each its own, or put them into one group"
    )


def test_what_is_missing_is_named_at_once() -> None:
    fleet = fleet_of("live")
    assert variables_of(fleet) == [
        *("FIRST_TOKEN", "OPENAI_API_KEY", "ALERTS_TOKEN", "HOOK_TOKEN", "LAST_TOKEN", "MODEL_KEY", "DATABASE_URL"),
    ]
    with pytest.raises(MissingVariablesError) as caught:
        environment(fleet, processes_of(fleet)[-1], database_url="")
    assert str(caught.value) == (
        "last needs LAST_TOKEN (the token of last), MODEL_KEY (the key of the dialog model), "
        "ALERTS_TOKEN (the token of the bot that sends alerts), "
        "DATABASE_URL (the address of the database); put it into .env, or set it"
    )
    assert caught.value.exit_code == 78


def test_only_what_describes_the_machine_is_handed_on() -> None:
    environ = {"PATH": "/bin", "LC_ALL": "C", "PGSSLMODE": "require", "A_TOKEN": "1", "DATABASE_URL": "x", "MAIL": "y"}
    assert of_the_machine(environ) == {"PATH": "/bin", "LC_ALL": "C", "PGSSLMODE": "require"}


def test_paths_with_everything_in_them() -> None:
    folder = Path("/home/ann/it's 50% $HOME ;done")
    place = Place(folder / "bots_config.yaml", folder / ".venv/bin/python", (folder, Path("/home/ann/a:b")))
    unit = units(fleet_of("sandbox"), place, Path("systemd"))["flotilla-solo.service"]
    assert "\nWorkingDirectory=/home/ann/it's 50%% $HOME ;done\n" in unit
    assert '\nExecStart="/home/ann/it\'s 50%% $$HOME ;done/.venv/bin/python" -m app.cli.main host' in unit
    assert '\nBindReadOnlyPaths="/home/ann/a:b" "/home/ann/it\'s 50%% $HOME ;done"\n' in unit
    with pytest.raises(UnwritableError, match="cannot be written for supervisord; rename the folder"):
        supervisord(fleet_of("sandbox"), place)


def test_paths_for_supervisord() -> None:
    place = Place(Path("/home/ann/it's 50%/bots_config.yaml"), Path("/usr/bin/python3"), (), Path("/srv/my scripts"))
    parser = configparser.ConfigParser(inline_comment_prefixes=(";", "#"), interpolation=None)
    parser.read_string(supervisord(fleet_of("sandbox"), place))
    command = shlex.split(parser["program:solo"]["command"] % ())
    assert command[3:] == [
        *("host", "--migrate", "--config", "/home/ann/it's 50%/bots_config.yaml"),
        *("--scripts", "/srv/my scripts", "solo"),
    ]


def test_a_path_that_would_break_out_of_its_line() -> None:
    place = Place(Path("/srv/a\nb/bots_config.yaml"), Path("/usr/bin/python3"))
    with pytest.raises(UnwritableError, match="cannot be written into a unit of systemd; rename the folder"):
        units(fleet_of("sandbox"), place, Path("systemd"))


@pytest.mark.parametrize(
    ("line", "is_misread"),
    [
        ("A=1", False),
        ("# A=1 # no", False),
        ("", False),
        ("A='b # c'", False),
        ('A="b # c"', False),
        ("A=b#c", False),
        ("A=", False),
        ("A=b # c", True),
        ("export A=b", True),
        ("  export  A=b", True),
    ],
)
def test_lines_that_systemd_reads_otherwise(line: str, is_misread: bool) -> None:
    assert misread_lines(f"X=1\n{line}\n") == ([2] if is_misread else [])
