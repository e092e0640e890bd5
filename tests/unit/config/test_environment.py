"""A host's settings from environment variables: containers, and the old way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.config.environment import TooManyArgumentsError, host_settings_from_environment
from app.config.settings import BotSettings, HostSettings, Mode, WebhookSettings
from app.config.tokens import sandbox_token
from app.errors import InputError

if TYPE_CHECKING:
    from conftest import Checkout

TOKEN = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
DATABASE = "postgresql://u@h/d"
OLD = {"BOT_API_TOKEN": TOKEN, "DATABASE_URL": DATABASE}


def one(**keys: object) -> BotSettings:
    return BotSettings(**{"name": "bot", "bot_name": "", "token": TOKEN, **keys})  # type: ignore[arg-type]


# Variables beside token and database, the arguments, and the bot that results.
BOTS = [
    ({}, [], one()),
    ({"BOT_NAME": "profochatbot"}, [], one(name="profochatbot", bot_name="profochatbot")),
    ({"BOT_SERVICE": "a", "BOT_NAME": "b"}, [], one(name="a", bot_name="b")),
    ({"BOT_FOLDER": "test"}, [], one(name="test", folder="test/")),
    ({"BOT_FOLDER": "test/"}, [], one(name="test", folder="test/")),
    ({"BOT_FOLDER": "a/b"}, [], one(name="a-b", folder="a/b/")),
    ({}, ["test"], one(name="test", folder="test/")),
    ({"BOT_FOLDER": "school"}, ["test"], one(name="test", folder="test/")),
    # The argument's last four characters only told processes apart, where BOT_NAME is set.
    ({"BOT_NAME": "n"}, ["test_abc"], one(name="n", bot_name="n", folder="test/")),
    ({"BOT_NAME": "n"}, ["greek-01x"], one(name="n", bot_name="n", folder="greek/")),
    ({"BOT_NAME": "n"}, ["abcd"], one(name="n", bot_name="n", folder="abcd/")),
    ({"BOT_NAME": "n"}, ["abcde"], one(name="n", bot_name="n", folder="a/")),
    ({}, ["test_abc"], one(name="test_abc", folder="test_abc/")),
    ({"BOT_NAME": "n"}, ["school"], one(name="n", bot_name="n", folder="school/")),
    ({"BOT_NAME": "n", "BOT_FOLDER": "lighthouse/"}, [], one(name="n", bot_name="n", folder="lighthouse/")),
    ({"LANGUAGE": "ru"}, [], one(language="ru")),
    ({"LANGUAGE": "en_US:en"}, [], one(language="en")),
    ({"LANGUAGE": "de"}, [], one()),
    ({"BOT_LOG_FILE": "logs/a.log"}, [], one(log_file=Path("logs/a.log"))),
    ({"BOT_MODE": "", "BOT_FOLDER": "", "BOT_NAME": ""}, [], one()),
    (
        {"BOT_MODE": "webhook", "WEBHOOK_URL": "https://h/x", "WEBHOOK_SECRET_TOKEN": "s", "WEBHOOK_SSL_CERT": "c.pem"},
        [],
        one(mode=Mode.WEBHOOK, webhook=WebhookSettings("https://h/x", "s", Path("c.pem"))),
    ),
]


@pytest.mark.parametrize(("variables", "arguments", "bot"), BOTS)
def test_one_bot(checkout: Checkout, variables: dict[str, str], arguments: list[str], bot: BotSettings) -> None:
    assert host_settings_from_environment(OLD | variables, arguments) == HostSettings((bot,), DATABASE)


def test_server_and_scripts() -> None:
    environ = OLD | {
        "TELEGRAM_API_URL": "http://sandbox:8080/",
        "SCRIPTS_FOLDER": "/courses",
        "BOT_API_TOKEN": "42:TEST",
    }
    assert host_settings_from_environment(environ) == HostSettings(
        (one(token="42:TEST"),), DATABASE, "http://sandbox:8080", Path("/courses")
    )


def test_a_bot_of_the_sandbox() -> None:
    environ = OLD | {"BOT_API_TOKEN": "sandbox", "BOT_NAME": "b", "BOT_SERVICE": "a"}
    assert host_settings_from_environment(environ).bots[0].token == sandbox_token("a")


def test_a_group() -> None:
    listed = [
        {
            "name": "a",
            "bot_name": "x",
            "token_env": "A_TOKEN",
            "folder": "a/",
            "mode": "webhook",
            "webhook_url": "https://h/a",
        },
        {"name": "b", "token_env": "B_TOKEN", "language": "ru", "log_file": "b.log"},
        {"name": "c"},
    ]
    environ = {
        "FLOTILLA_BOTS": json.dumps(listed),
        "A_TOKEN": TOKEN,
        "B_TOKEN": "not a token: it stops this bot alone",
        "DATABASE_URL": DATABASE,
        "WEBHOOK_SECRET_TOKEN": "s",
    }
    assert host_settings_from_environment(environ).bots == (
        BotSettings("a", "x", TOKEN, "a/", Mode.WEBHOOK, webhook=WebhookSettings("https://h/a", "s")),
        BotSettings("b", "", "not a token: it stops this bot alone", language="ru", log_file=Path("b.log")),
        BotSettings("c", "", sandbox_token("c")),
    )


ERRORS = [
    (
        {},
        [
            "BOT_API_TOKEN: is not set; get a token from @BotFather and put BOT_API_TOKEN=... into .env",
            "DATABASE_URL: is not set; write it like postgresql://user:password@host/database",
        ],
    ),
    (
        OLD | {"BOT_API_TOKEN": "123:abc"},
        ["BOT_API_TOKEN: is not a bot token; copy it from @BotFather: digits, a colon, 35 characters"],
    ),
    (
        OLD | {"BOT_MODE": "push", "BOT_FOLDER": "../x", "TELEGRAM_API_URL": "sandbox"},
        [
            "BOT_FOLDER: '../x' is outside scripts/; name a folder inside it",
            "BOT_MODE: is 'push'; write 'polling' or 'webhook'",
            "TELEGRAM_API_URL: is 'sandbox'; write it like https://api.telegram.org",
        ],
    ),
    (
        OLD | {"BOT_MODE": "webhook"},
        [
            "WEBHOOK_URL: is not set; write the https:// address of this bot's webhook, or BOT_MODE=polling",
            "WEBHOOK_SECRET_TOKEN: is not set; make one of 32 random letters and digits",
        ],
    ),
    (
        {"DATABASE_URL": DATABASE, "FLOTILLA_BOTS": '[{"name": "a", "token_env": "A_TOKEN"}]'},
        ["A_TOKEN: is not set; put A_TOKEN=... into .env"],
    ),
    (
        OLD | {"FLOTILLA_BOTS": "[{]"},
        [
            "FLOTILLA_BOTS: is not JSON: Expecting property name enclosed in double quotes: line 1 column 3 (char 2); "
            'write it like [{"name": "a", "token_env": "A_TOKEN", "folder": "a/"}]'
        ],
    ),
    (
        OLD | {"FLOTILLA_BOTS": '[{"nmae": "a"}]'},
        [
            "FLOTILLA_BOTS: 0/name: Field required; "
            'write it like [{"name": "a", "token_env": "A_TOKEN", "folder": "a/"}]'
        ],
    ),
    (
        OLD | {"FLOTILLA_BOTS": "[]"},
        ['FLOTILLA_BOTS: names no bots; write it like [{"name": "a", "token_env": "A_TOKEN", "folder": "a/"}]'],
    ),
]


@pytest.mark.parametrize(("environ", "errors"), ERRORS)
def test_everything_that_is_missing_or_wrong_at_once(environ: dict[str, str], errors: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        host_settings_from_environment(environ)
    assert caught.value.exit_code == 78
    assert [str(problem).removeprefix("environment: ") for problem in caught.value.problems] == errors


def test_two_folders() -> None:
    with pytest.raises(TooManyArgumentsError) as caught:
        host_settings_from_environment(OLD, ["a", "b"])
    assert (str(caught.value), caught.value.exit_code) == ("python -m app takes one folder, not 'a' 'b'", 2)
