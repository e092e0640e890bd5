"""Which values of a host's settings must not be read in its log."""

from __future__ import annotations

from app.config.settings import AlertSettings, BotSettings, DialogSettings, HostSettings, VoiceSettings, WebhookSettings
from app.config.tokens import sandbox_token
from app.runtime.main import secrets_of

WEBHOOK = WebhookSettings("https://bots.example.org/a", secret_token="hook")
DIALOG = DialogSettings(api_key="model key", voice=VoiceSettings(api_key="voice key"))


def test_all_secrets_of_the_settings() -> None:
    bots = (
        BotSettings("a", "a", token="12345:own", webhook=WEBHOOK, dialog=DIALOG),
        BotSettings("b", "b", token=sandbox_token("b"), dialog=DialogSettings()),
    )
    settings = HostSettings(bots, "postgresql://u:p%40ss@h/d", alerts=AlertSettings("-100", token="12345:alerts"))
    assert secrets_of(settings) == {"12345:own", "hook", "model key", "voice key", "p@ss", "12345:alerts"}


def test_a_sandbox_has_none() -> None:
    settings = HostSettings((BotSettings("b", "b", token=sandbox_token("b")),), "postgresql:///d")
    assert secrets_of(settings) == set()
