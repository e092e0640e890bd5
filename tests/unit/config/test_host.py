"""What a host of a fleet is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.config.host import UnknownBotError, host_settings
from app.config.settings import BotSettings, HostSettings, Mode, WebhookSettings
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
    assert host_settings(fleet, names, database_url=DATABASE) == HostSettings(bots, DATABASE)


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


def test_another_bot_api_server(checkout: Checkout) -> None:
    fleet = checkout.load("telegram: http://localhost:8081/\nbots: [{name: a, token_env: A}]\n", {"A": "1:own"})
    assert host_settings(fleet, database_url=DATABASE).telegram_url == "http://localhost:8081"


def test_secrets_stay_out_of_the_representation(checkout: Checkout) -> None:
    text = repr(host_settings(checkout.load(CONFIG, ENVIRON), database_url="postgresql://u:geheim@h/d"))
    assert not [secret for secret in (TOKEN, "s3cret", "geheim") if secret in text]
