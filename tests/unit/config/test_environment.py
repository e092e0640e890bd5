"""A host's settings from environment variables: containers, and the old way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.config.environment import TooManyArgumentsError, host_settings_from_environment
from app.config.options import Options
from app.config.settings import (
    REASONING_MODELS,
    AlertSettings,
    Api,
    BotSettings,
    DialogSettings,
    HostSettings,
    Mode,
    ModelTraits,
    VoiceProvider,
    VoiceSettings,
    WebhookSettings,
)
from app.config.tokens import sandbox_token
from app.errors import InputError

if TYPE_CHECKING:
    from conftest import Checkout

TOKEN = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
DATABASE = "postgresql://u@h/d"
OLD = {"BOT_API_TOKEN": TOKEN, "DATABASE_URL": DATABASE}


def one(**keys: object) -> BotSettings:
    return BotSettings(**{"name": "bot", "bot_name": "", "token": TOKEN, **keys})  # type: ignore[arg-type]


EVERYTHING = {
    "base_url": "http://m",
    "api_key_env": "KEY",
    "model": "qwen3",
    "api": "responses",
    "temperature": 0,
    "reasoning_effort": "high",
    "max_tokens": 1000,
    "timeout": 30,
    "retries": 0,
    "stream": True,
    "daily_tokens": 100000,
    "max_messages": 50,
    "exit_after": 5,
    "stop_markers": ["[END]"],
    "models": [{"pattern": "qwen*", "temperature": False, "reasoning": True}],
    "voice": {"provider": "openai", "transcription_model": "whisper-1", "speech_model": "tts-1", "voice": "alloy"},
}

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
    ({"BOT_FALLBACK": "polling"}, [], one(fallback=Mode.POLLING)),
    ({"BOT_COMMANDS": "help, menu"}, [], one(options=Options(commands=frozenset({"menu", "help"})))),
    ({"BOT_COMMANDS": "none"}, [], one(options=Options(commands=frozenset()))),
    ({"BOT_KEYWORDS": "true"}, [], one(options=Options(has_keywords=True))),
    ({"BOT_ADMINS": "5,-100200"}, [], one(options=Options(admins=frozenset({5, -100200})))),
    # The old program's variables are enough for dialogs.
    ({"OPENAI_API_KEY": "k"}, [], one(dialog=DialogSettings(api_key="k"))),
    ({"ELEVENLABS_API_KEY": "v"}, [], one()),
    (
        {"OPENAI_API_KEY": "k", "ELEVENLABS_API_KEY": "v"},
        [],
        one(dialog=DialogSettings(api_key="k", voice=VoiceSettings(api_key="v"))),
    ),
    ({"OPENAI_API_KEY": "k", "DIALOG": "{}"}, [], one(dialog=DialogSettings(api_key="k"))),
    # A key that was not meant for a server is not sent to it.
    ({"OPENAI_API_KEY": "k", "DIALOG": '{"base_url": "http://m"}'}, [], one(dialog=DialogSettings("http://m"))),
    (
        {"KEY": "k", "OPENAI_API_KEY": "v", "DIALOG": json.dumps(EVERYTHING)},
        [],
        one(
            options=Options(stop_markers=("[END]",), exit_after=5, max_messages=50),
            dialog=DialogSettings(
                base_url="http://m",
                api_key="k",
                model="qwen3",
                api=Api.RESPONSES,
                temperature=0.0,
                reasoning="high",
                max_tokens=1000,
                timeout=30.0,
                retries=0,
                is_streaming=True,
                daily_tokens=100000,
                traits=(ModelTraits("qwen*", takes_temperature=False, takes_reasoning=True), *REASONING_MODELS),
                voice=VoiceSettings(VoiceProvider.OPENAI, None, "v", "whisper-1", "tts-1", "alloy"),
            ),
        ),
    ),
]


@pytest.mark.parametrize(("variables", "arguments", "bot"), BOTS)
def test_one_bot(checkout: Checkout, variables: dict[str, str], arguments: list[str], bot: BotSettings) -> None:
    assert host_settings_from_environment(OLD | variables, arguments) == HostSettings((bot,), DATABASE)


def test_a_bot_with_a_webhook() -> None:
    hook = {"WEBHOOK_URL": "https://h/x", "WEBHOOK_SECRET_TOKEN": "s", "WEBHOOK_SSL_CERT": "c.pem"}
    settings = host_settings_from_environment(OLD | hook | {"BOT_MODE": "webhook", "WEBHOOK_MAX_CONNECTIONS": "100"})
    assert settings.bots == (
        one(mode=Mode.WEBHOOK, webhook=WebhookSettings("https://h/x", "s", Path("c.pem"), max_connections=100)),
    )
    assert settings.listen == ("0.0.0.0", 8080)
    elsewhere = host_settings_from_environment(OLD | hook | {"BOT_MODE": "webhook", "PAGES_PORT": "8088"})
    assert elsewhere.listen == ("0.0.0.0", 8088)


@pytest.mark.parametrize(
    ("variables", "metrics"),
    [
        ({}, None),
        ({"METRICS_PORT": ""}, None),
        ({"METRICS_PORT": "9400"}, ("0.0.0.0", 9400)),
        ({"METRICS_PORT": "1", "METRICS_ADDRESS": "127.0.0.1"}, ("127.0.0.1", 1)),
    ],
)
def test_where_metrics_are_served(variables: dict[str, str], metrics: tuple[str, int] | None) -> None:
    assert host_settings_from_environment(OLD | variables).metrics == metrics


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
            "fallback": "polling",
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
        BotSettings(
            "a", "x", TOKEN, "a/", Mode.WEBHOOK, webhook=WebhookSettings("https://h/a", "s"), fallback=Mode.POLLING
        ),
        BotSettings("b", "", "not a token: it stops this bot alone", language="ru", log_file=Path("b.log")),
        BotSettings("c", "", sandbox_token("c")),
    )


def test_a_page_for_mini_apps_is_served() -> None:
    settings = host_settings_from_environment(OLD | {"BOT_APP_URL": "https://h/app/a/"})
    assert settings.bots == (one(options=Options(app_url="https://h/app/a/")),)
    assert settings.listen == ("0.0.0.0", 8080)


def test_dialogs_and_options_of_a_group() -> None:
    listed = [
        {"name": "a", "commands": ["help"], "keywords": True, "admins": [5], "app_url": "https://h/app/a/"},
        {"name": "b", "dialog": {"model": "own", "api_key_env": "OWN_KEY", "exit_after": 3}},
    ]
    shared = {"model": "shared", "api_key_env": "SHARED_KEY", "max_messages": 9}
    settings = host_settings_from_environment(
        {
            "FLOTILLA_BOTS": json.dumps(listed),
            "DIALOG": json.dumps(shared),
            "DATABASE_URL": DATABASE,
            "OWN_KEY": "own",
            "SHARED_KEY": "shared",
        }
    )
    assert settings.bots == (
        BotSettings(
            "a",
            "",
            sandbox_token("a"),
            options=Options(frozenset({"help"}), True, frozenset({5}), max_messages=9, app_url="https://h/app/a/"),
            dialog=DialogSettings(model="shared", api_key="shared"),
        ),
        BotSettings(
            "b",
            "",
            sandbox_token("b"),
            options=Options(exit_after=3),
            dialog=DialogSettings(model="own", api_key="own"),
        ),
    )
    assert settings.listen == ("0.0.0.0", 8080)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, True),
        ({"TELEGRAM_LIMITS": "false"}, False),
        ({"TELEGRAM_API_URL": "http://localhost:8081"}, False),
        ({"TELEGRAM_API_URL": "http://localhost:8081", "TELEGRAM_LIMITS": "true"}, True),
    ],
)
def test_limits_are_those_of_telegrams_own_server(variables: dict[str, str], expected: bool) -> None:
    assert host_settings_from_environment(OLD | variables).is_limited is expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"ALERTS_CHAT_ID": "", "ALERTS_BOT_TOKEN": ""}, None),
        ({"ALERTS_CHAT_ID": "-100", "ALERTS_BOT_TOKEN": "whatever it is"}, AlertSettings("-100", "whatever it is")),
        (
            {
                "ALERTS_CHAT_ID": "7",
                "ALERTS_BOT_TOKEN": "t",
                "ALERTS_RUNBOOK": "https://x/r",
                "ALERTS_MONITORING": "http://a/ready http://b/ready",
                "ALERTS_SPEAKER": "true",
            },
            AlertSettings("7", "t", "https://x/r", ("http://a/ready", "http://b/ready"), is_speaker=True),
        ),
        ({"ALERTS_CHAT_ID": "@us", "ALERTS_BOT_TOKEN": "sandbox"}, AlertSettings("@us", sandbox_token("alerts"))),
    ],
)
def test_where_failures_are_reported(variables: dict[str, str], expected: AlertSettings | None) -> None:
    assert host_settings_from_environment(OLD | variables).alerts == expected


def test_the_token_for_alerts_is_not_shown() -> None:
    settings = host_settings_from_environment(OLD | {"ALERTS_CHAT_ID": "7", "ALERTS_BOT_TOKEN": "s3cret"})
    assert "s3cret" not in repr(settings)


ERRORS = [
    (
        OLD | {"ALERTS_CHAT_ID": "7"},
        [
            "ALERTS_BOT_TOKEN: is not set; "
            "put the token of the bot that sends alerts into .env, or take ALERTS_CHAT_ID out"
        ],
    ),
    (
        OLD | {"ALERTS_BOT_TOKEN": "1:a"},
        ["ALERTS_CHAT_ID: is not set; write the id of the chat that gets alerts, or take ALERTS_BOT_TOKEN out"],
    ),
    (OLD | {"TELEGRAM_LIMITS": "off"}, ["TELEGRAM_LIMITS: is 'off'; write true or false"]),
    (
        OLD | {"DISK_FOLDER": "/nowhere/at all"},
        [
            "DISK_FOLDER: is '/nowhere/at all', and there is no such folder; "
            "name one on the disk to watch, or leave it out"
        ],
    ),
    (
        OLD | {"BOT_COMMANDS": "help,nxt", "BOT_KEYWORDS": "yes", "BOT_ADMINS": "5,@ann"},
        [
            "BOT_COMMANDS: 'nxt' is not a command; write some of menu,restart,next,back,help, or none",
            "BOT_KEYWORDS: is 'yes'; write true or false",
            "BOT_ADMINS: '@ann' is not a chat id; write it like 123456,234567",
        ],
    ),
    (
        OLD | {"DIALOG": '{"voice": {}}'},
        [
            "ELEVENLABS_API_KEY: is not set; put ELEVENLABS_API_KEY=... into .env",
            "OPENAI_API_KEY: is not set; put OPENAI_API_KEY=... into .env",
        ],
    ),
    (
        {"DATABASE_URL": DATABASE, "DIALOG": '{"api_key_env": "KEY"}', "FLOTILLA_BOTS": '[{"name":"a"},{"name":"b"}]'},
        ["KEY: is not set; put KEY=... into .env"],
    ),
    (
        OLD | {"DIALOG": '{"timeout": -1}'},
        ['DIALOG: timeout: Input should be greater than or equal to 1; write it like {"model": "gpt-4.1"}'],
    ),
    (
        OLD | {"DIALOG": "{]"},
        ['DIALOG: Invalid JSON: key must be a string at line 1 column 2; write it like {"model": "gpt-4.1"}'],
    ),
    (
        {"DATABASE_URL": DATABASE, "FLOTILLA_BOTS": '[{"name":"a"},{"name":"b"},{"name":"a"}]'},
        ["FLOTILLA_BOTS: 'a' is the name of two bots; rename one"],
    ),
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
        OLD
        | {"BOT_FALLBACK": "webhook", "BOT_MODE": "webhook", "WEBHOOK_URL": "https://h/x"}
        | {"WEBHOOK_SECRET_TOKEN": "s", "WEBHOOK_MAX_CONNECTIONS": "101", "PAGES_PORT": "0"}
        | {"METRICS_PORT": "65536"},
        [
            "BOT_FALLBACK: is 'webhook'; write 'polling', or leave it out",
            "WEBHOOK_MAX_CONNECTIONS: is '101'; write a number from 1 to 100",
            "PAGES_PORT: is '0'; write a port from 1 to 65535",
            "METRICS_PORT: is '65536'; write a port from 1 to 65535",
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
