"""The old program's ``config.yaml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.config.environment import host_settings_from_environment
from app.config.settings import Api, DialogSettings, VoiceSettings
from app.errors import InputError

if TYPE_CHECKING:
    from conftest import Checkout

ENVIRON = {"BOT_API_TOKEN": "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr", "DATABASE_URL": "postgresql://u@h/d"}
KEY = {"OPENAI_API_KEY": "k"}

# The file, variables, and the settings of dialogs that result.
FILES = [
    ("openai: {model: gpt-4o, temperature: 0.2}", KEY, DialogSettings(api_key="k", model="gpt-4o", temperature=0.2)),
    ("openai: {temperature: 0, proxy: '', reasoning: false}", KEY, DialogSettings(api_key="k", temperature=0.0)),
    ("openai: {api: responses, api_key: file}", {}, DialogSettings(api_key="file", api=Api.RESPONSES)),
    ("openai: {api_key: file}", KEY, DialogSettings(api_key="k")),
    ("openai: {reasoning: low, reasoning_effort: high}", KEY, DialogSettings(api_key="k", reasoning="high")),
    ("openai: {proxy: 'http://p/v1'}", KEY, DialogSettings(api_key="k", base_url="http://p/v1")),
    ("openai: {proxy: 'http://p/v1'}", {**KEY, "CURRENT_ENVIRONMENT": "heroku"}, DialogSettings(api_key="k")),
    ("openai: {}", {**KEY, "ELEVENLABS_API_KEY": "v"}, DialogSettings(api_key="k", voice=VoiceSettings(api_key="v"))),
    ("openai: {model: gpt-4o}", {}, None),
    ("openai: {model: gpt-4o}", {**KEY, "DIALOG": '{"model": "m"}'}, DialogSettings(api_key="k", model="m")),
    ("settings: {check_interval: 60m}", KEY, DialogSettings(api_key="k")),
    ("", KEY, DialogSettings(api_key="k")),
]


@pytest.mark.parametrize(("text", "variables", "dialog"), FILES)
def test_dialogs(checkout: Checkout, text: str, variables: dict[str, str], dialog: DialogSettings | None) -> None:
    checkout.write("config.yaml", text)
    assert host_settings_from_environment(ENVIRON | variables).bots[0].dialog == dialog


def test_another_folder(checkout: Checkout) -> None:
    checkout.write("etc/config.yaml", "openai: {model: gpt-4o}")
    dialog = host_settings_from_environment(ENVIRON | KEY | {"CONFIG_DIR": "etc/"}).bots[0].dialog
    assert dialog == DialogSettings(api_key="k", model="gpt-4o")


def test_wrong_values(checkout: Checkout) -> None:
    checkout.write("config.yaml", "openai:\n  model: gpt-4o\n  temperature: hot\n  proxy: nowhere\n")
    with pytest.raises(InputError) as caught:
        host_settings_from_environment(ENVIRON | KEY)
    assert sorted(map(str, caught.value.problems)) == [
        "config.yaml:3: openai/temperature: is 'hot', not a number",
        "config.yaml:4: openai/proxy: is 'nowhere'; write it like https://api.openai.com/v1",
    ]


def test_broken_yaml(checkout: Checkout) -> None:
    checkout.write("config.yaml", "openai: [")
    with pytest.raises(InputError) as caught:
        host_settings_from_environment(ENVIRON | KEY)
    assert list(map(str, caught.value.problems)) == ["config.yaml:2:1: broken YAML: did not find expected node content"]
