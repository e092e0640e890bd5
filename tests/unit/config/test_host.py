"""What a host of a fleet is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.config.host import UnknownBotError, host_settings
from app.config.options import Options
from app.config.settings import (
    AlertSettings,
    BotSettings,
    DialogSettings,
    HostSettings,
    Mode,
    VoiceSettings,
    WebhookSettings,
)
from app.config.tokens import sandbox_token

if TYPE_CHECKING:
    from conftest import Checkout

TOKEN = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
DATABASE = "postgresql://u@h/d"

CONFIG = """\
    webhook: {base_url: "https://${HOST}", ssl_cert_path: certs/cert.pem}
    bots:
      - name: production_bot
        bot_name: profochatbot
        token_env: A_TOKEN
        mode: webhook
        log_file: logs/a.log
      - name: test_bot
        token: ${B_TOKEN}
        folder: test
        language: ru
    """
ENVIRON = {"A_TOKEN": TOKEN, "B_TOKEN": f"9{TOKEN}", "HOST": "bots.example.org", "WEBHOOK_SECRET_TOKEN": "s3cret"}

PRODUCTION = BotSettings(
    name="production_bot",
    bot_name="profochatbot",
    token=TOKEN,
    mode=Mode.WEBHOOK,
    log_file=Path("logs/a.log"),
    webhook=WebhookSettings("https://bots.example.org/webhook/production_bot", "s3cret", Path("certs/cert.pem")),
)
TEST = BotSettings(name="test_bot", bot_name="test_bot", token=f"9{TOKEN}", folder="test/", language="ru")


@pytest.mark.parametrize(
    ("names", "bots"),
    [
        ([], (PRODUCTION, TEST)),
        (["test_bot"], (TEST,)),
        (["test_bot", "production_bot"], (PRODUCTION, TEST)),
    ],
)
def test_the_selected_bots(checkout: Checkout, names: list[str], bots: tuple[BotSettings, ...]) -> None:
    fleet = checkout.load(CONFIG, ENVIRON)
    assert host_settings(fleet, names, database_url=DATABASE) == HostSettings(bots, DATABASE, disk=Path())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tset_bot", "bots_config.yaml has no bot 'tset_bot'; did you mean 'test_bot'?"),
        ("zzz", "bots_config.yaml has no bot 'zzz'; its bots are production_bot, test_bot"),
    ],
)
def test_an_unknown_bot(checkout: Checkout, name: str, text: str) -> None:
    fleet = checkout.load(CONFIG, ENVIRON)
    with pytest.raises(UnknownBotError) as caught:
        host_settings(fleet, ["test_bot", name], database_url=DATABASE)
    assert (str(caught.value), caught.value.exit_code) == (text, 2)


def test_the_sandbox_needs_no_tokens(checkout: Checkout) -> None:
    fleet = checkout.load(
        "telegram: sandbox\nbots: [{name: a}, {name: b, token_env: UNSET}, {name: c, token_env: C}]\n", {"C": "1:own"}
    )
    settings = host_settings(fleet, database_url=DATABASE, telegram_url="http://localhost:8080")
    assert [bot.token for bot in settings.bots] == [sandbox_token("a"), sandbox_token("b"), sandbox_token("c")]
    assert settings.telegram_url == "http://localhost:8080"


@pytest.mark.parametrize(
    ("telegram", "token"), [("sandbox", sandbox_token("alerts")), ("http://localhost:8081", "2:alerts")]
)
def test_where_failures_are_reported(checkout: Checkout, telegram: str, token: str) -> None:
    config = f"telegram: {telegram}\nalerts: {{chat_id: -100, token_env: B}}\nbots: [{{name: a, token_env: A}}]\n"
    fleet = checkout.load(config, {"A": "1:own", "B": "2:alerts"})
    settings = host_settings(fleet, database_url=DATABASE, telegram_url="http://localhost:8080")
    assert settings.alerts == AlertSettings("-100", token)


def test_another_bot_api_server(checkout: Checkout) -> None:
    fleet = checkout.load("telegram: http://localhost:8081/\nbots: [{name: a, token_env: A}]\n", {"A": "1:own"})
    assert host_settings(fleet, database_url=DATABASE).telegram_url == "http://localhost:8081"


LISTEN = ("127.0.0.1", 8091)


def test_every_bot_of_the_sandbox_has_a_page_on_this_machine(checkout: Checkout) -> None:
    fleet = checkout.load("telegram: sandbox\nbots: [{name: a}, {name: b, mini_apps: true}]\n")
    settings = host_settings(fleet, database_url=DATABASE, telegram_url="http://localhost:8080", listen=LISTEN)
    assert settings.listen == LISTEN
    assert [bot.options.app_url for bot in settings.bots] == [
        "http://127.0.0.1:8091/app/a/",
        "http://127.0.0.1:8091/app/b/",
    ]


@pytest.mark.parametrize(
    ("listen", "urls"), [(LISTEN, [None, "https://bots.example.org/app/b/"]), (None, [None, None])]
)
def test_elsewhere_pages_have_a_public_address(
    checkout: Checkout, listen: tuple[str, int] | None, urls: list[str | None]
) -> None:
    fleet = checkout.load(
        """\
        telegram: http://localhost:8081
        webhook: {base_url: "https://${HOST}"}
        bots: [{name: a, token_env: A_TOKEN}, {name: b, token_env: B_TOKEN, mini_apps: true}]
        """,
        ENVIRON,
    )
    settings = host_settings(fleet, database_url=DATABASE, listen=listen)
    assert [bot.options.app_url for bot in settings.bots] == urls


@pytest.mark.parametrize(
    ("telegram", "listen", "webhook"),
    [
        ("sandbox", LISTEN, WebhookSettings(f"http://{LISTEN[0]}:{LISTEN[1]}/hook/a", "s3cret")),
        (
            "http://localhost:8081",
            LISTEN,
            WebhookSettings("https://bots.example.org/hook/a", "s3cret", Path("cert.pem"), max_connections=5),
        ),
    ],
)
def test_the_sandbox_calls_webhooks_on_this_machine(
    checkout: Checkout, telegram: str, listen: tuple[str, int], webhook: WebhookSettings
) -> None:
    fleet = checkout.load(
        f"""\
        telegram: {telegram}
        webhook: {{base_url: "https://${{HOST}}", path: /hook, ssl_cert_path: cert.pem, max_connections: 5}}
        bots: [{{name: a, token_env: A_TOKEN, mode: webhook, fallback: polling}}]
        """,
        ENVIRON,
    )
    settings = host_settings(fleet, database_url=DATABASE, telegram_url="http://localhost:8081", listen=listen)
    assert (settings.bots[0].webhook, settings.bots[0].fallback) == (webhook, Mode.POLLING)


def test_options_and_dialogs(checkout: Checkout) -> None:
    fleet = checkout.load(
        """\
        telegram: sandbox
        dialog: {base_url: "${MODEL_URL}", api_key_env: KEY, temperature: 0, stop_markers: ["${MARKER}"]}
        bots:
          - {name: a, commands: [menu], keywords: true, admins: [5]}
          - name: b
            dialog: {api_key_env: OTHER, exit_after: 3, voice: {base_url: "http://${HOST}", voice: Anna}}
        """,
        {"MODEL_URL": "http://model/v1", "KEY": "k", "OTHER": "o", "MARKER": "[END]", "HOST": "voice"},
    )
    settings = host_settings(fleet, database_url=DATABASE, telegram_url="http://localhost:8080")
    assert [(bot.options, bot.dialog) for bot in settings.bots] == [
        (
            Options(frozenset({"menu"}), has_keywords=True, admins=frozenset({5}), stop_markers=("[END]",)),
            DialogSettings("http://model/v1", "k", temperature=0.0),
        ),
        (
            Options(stop_markers=("[END]",), exit_after=3),
            DialogSettings(
                "http://model/v1", "o", temperature=0.0, voice=VoiceSettings(base_url="http://voice", voice="Anna")
            ),
        ),
    ]


@pytest.mark.parametrize(
    ("environ", "dialog"),
    [
        ({}, None),
        ({"ELEVENLABS_API_KEY": "v"}, None),
        ({"OPENAI_API_KEY": "k"}, DialogSettings(api_key="k")),
        (
            {"OPENAI_API_KEY": "k", "ELEVENLABS_API_KEY": "v"},
            DialogSettings(api_key="k", voice=VoiceSettings(api_key="v")),
        ),
    ],
)
def test_dialogs_without_a_section(checkout: Checkout, environ: dict[str, str], dialog: DialogSettings | None) -> None:
    fleet = checkout.load("telegram: sandbox\nbots: [{name: a}]\n", environ)
    settings = host_settings(fleet, database_url=DATABASE, telegram_url="http://localhost:8080")
    assert settings.bots[0].dialog == dialog


def test_secrets_stay_out_of_the_representation(checkout: Checkout) -> None:
    text = repr(host_settings(checkout.load(CONFIG, ENVIRON), database_url="postgresql://u:geheim@h/d"))
    assert not [secret for secret in (TOKEN, "s3cret", "geheim") if secret in text]
