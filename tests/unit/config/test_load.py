"""``bots_config.yaml`` into a fleet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.config.dialog import Dialog, Model, Voice
from app.config.fleet import Alerts, Bot, Defaults, Webhook
from app.config.settings import Api, Mode, VoiceProvider

if TYPE_CHECKING:
    from conftest import Checkout

TOKEN = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
OTHER_TOKEN = "987654321:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"

DESIGN_SAMPLE = """\
    image: ghcr.io/acme/flotilla      # default: the local build
    version: "1.4.0"                  # default tag of every bot
    telegram: https://telegram.example.org
    webhook:                          # needed by bots with mode: webhook
      base_url: https://bots.example.org
      path: /webhook
      secret_token: ${WEBHOOK_SECRET_TOKEN}
      ssl_cert_path: certs/cert.pem
    dialog: {base_url: https://api.openai.com/v1, api_key_env: OPENAI_API_KEY, model: gpt-4.1}
    defaults: {mode: polling, memory: 160m}
    alerts: {chat_id: -100200300, token_env: ALERTS_TOKEN}
    bots:
      - name: production_bot
        bot_name: profochatbot
        token_env: BOT_API_TOKEN
        folder: ""
        mode: webhook
        webhook_url: ${WEBHOOK_BASE_URL}/webhook/production_bot
        version: "1.3.2"
        group: web
        replicas: 2
        log_file: logs/bot_production.log
        memory: 256m
        env: {LANGUAGE: ru, LIMIT: 5}
        fallback: polling
      - name: test_bot
        token: ${TEST_TOKEN}
        folder: test/
        language: en
    """
ENVIRON = {
    "BOT_API_TOKEN": TOKEN,
    "TEST_TOKEN": OTHER_TOKEN,
    "WEBHOOK_SECRET_TOKEN": "s3cret",
    "WEBHOOK_BASE_URL": "https://other.example.org",
    "OPENAI_API_KEY": "the key",
    "ALERTS_TOKEN": f"1{TOKEN}",
}


def bot(**keys: Any) -> Bot:
    """Build a bot as a config builds it, without the rules that look around."""
    return Bot.model_construct(**{**dict(Bot.model_construct(name=keys["name"], bot_name=keys["name"])), **keys})


def test_every_key_of_the_design(checkout: Checkout) -> None:
    checkout.write("certs/cert.pem", "")
    checkout.write("certs/cert.key", "")
    fleet = checkout.load(DESIGN_SAMPLE, ENVIRON)
    assert (fleet.image, fleet.version, fleet.telegram) == (
        "ghcr.io/acme/flotilla",
        "1.4.0",
        "https://telegram.example.org",
    )
    assert fleet.webhook == Webhook(
        base_url="https://bots.example.org",
        path="/webhook",
        secret_token="${WEBHOOK_SECRET_TOKEN}",
        ssl_cert_path="certs/cert.pem",
    )
    assert fleet.webhook.key_path == "certs/cert.key"
    assert fleet.dialog == Dialog(base_url="https://api.openai.com/v1", api_key_env="OPENAI_API_KEY", model="gpt-4.1")
    assert fleet.defaults == Defaults(mode=Mode.POLLING, memory="160m")
    assert fleet.alerts == Alerts(chat_id="-100200300", token_env="ALERTS_TOKEN")
    assert fleet.bots == (
        bot(
            name="production_bot",
            bot_name="profochatbot",
            token_env="BOT_API_TOKEN",
            folder="",
            mode=Mode.WEBHOOK,
            webhook_url="${WEBHOOK_BASE_URL}/webhook/production_bot",
            version="1.3.2",
            group="web",
            replicas=2,
            log_file="logs/bot_production.log",
            memory="256m",
            env={"LANGUAGE": "ru", "LIMIT": "5"},
            language="ru",
            fallback="polling",
        ),
        bot(name="test_bot", token="${TEST_TOKEN}", folder="test/", language="en"),
    )
    assert (fleet.path, fleet.scripts) == (Path("bots_config.yaml"), Path("scripts"))
    assert fleet.warnings == ()


def test_the_generator_needs_no_variables(checkout: Checkout) -> None:
    fleet = checkout.load(DESIGN_SAMPLE, need_secrets=False)
    assert [found.token_variable for found in fleet.bots] == ["BOT_API_TOKEN", "TEST_TOKEN"]
    assert fleet.webhook_url(fleet.bots[0]) == "${WEBHOOK_BASE_URL}/webhook/production_bot"
    assert fleet.webhook_url(fleet.bots[1]) is None


def test_url_is_the_same_as_base_url(checkout: Checkout) -> None:
    fleet = checkout.load(
        """\
        telegram: sandbox
        webhook: {url: "https://bots.example.org:8443/"}
        bots: [{name: a, mode: webhook}]
        """,
        {"WEBHOOK_SECRET_TOKEN": "s"},
    )
    assert fleet.webhook_url(fleet.bots[0]) == "https://bots.example.org:8443/webhook/a"


@pytest.mark.parametrize(
    ("written", "folder"),
    [
        ('""', ""),
        ("", ""),
        ("/", None),
        (".", ""),
        ("test", "test/"),
        ("test/", "test/"),
        ("./test//", "test/"),
        ("${FOLDER:-test}", "test/"),
    ],
)
def test_folder_spellings(checkout: Checkout, written: str, folder: str | None) -> None:
    config = f"telegram: sandbox\nbots:\n- name: a\n  folder: {written}\n"
    if folder is None:
        assert checkout.errors(config) == ["4: bots/a/folder: '/' is outside scripts/; name a folder inside scripts/"]
    else:
        assert checkout.load(config).bots[0].folder == folder


def test_null_is_as_good_as_absent(checkout: Checkout) -> None:
    config = """\
        telegram: sandbox
        image:
        webhook: null
        defaults: {memory: ~}
        bots:
          - {name: a, folder: , mode: , env: {A: }, group: , language: , version: }
        """
    assert checkout.load(config).bots == checkout.load("telegram: sandbox\nbots: [{name: a}]\n").bots


def test_defaults_reach_bots_that_say_nothing_else(checkout: Checkout) -> None:
    fleet = checkout.load(
        """\
        telegram: sandbox
        defaults: {memory: 1g, language: ru, env: {A: a, B: b}}
        bots:
          - name: a
          - {name: b, memory: 64M, env: {B: own}}
        """
    )
    assert [(found.memory, found.language, found.env) for found in fleet.bots] == [
        ("1g", "ru", {"A": "a", "B": "b"}),
        ("64m", "ru", {"A": "a", "B": "own"}),
    ]


def test_the_environment_wins_over_the_env_file(checkout: Checkout) -> None:
    checkout.write(".env", f"A_TOKEN={TOKEN}\nONE='file $HOME'\nTWO=file\nEMPTY\n")
    fleet = checkout.load("bots: [{name: a, token_env: A_TOKEN}]\n", {"TWO": "real"})
    assert fleet.environ == {"A_TOKEN": TOKEN, "ONE": "file $HOME", "TWO": "real"}


def test_references_in_keys_that_have_to_be_known(checkout: Checkout) -> None:
    fleet = checkout.load(
        """\
        telegram: ${SERVER}
        bots: [{name: "a${SUFFIX:-_x}", replicas: "${COPIES}", mode: "${MODE:-polling}", memory: "${M:-1G}"}]
        """,
        {"SERVER": "sandbox", "COPIES": "3"},
    )
    assert fleet.sandbox
    assert fleet.bots == (bot(name="a_x", replicas=3, memory="1g"),)


@pytest.mark.parametrize(
    ("written", "commands"),
    [
        ("[help, menu]", ("menu", "help")),
        ("[]", ()),
        ("false", ()),
        ("true", ("menu", "restart", "next", "back", "help")),
        ("{next: false, back: false}", ("menu", "restart", "help")),
        ("{next: true}", ("menu", "restart", "next", "back", "help")),
        ("", ("menu", "restart", "next", "back", "help")),
    ],
)
def test_spellings_of_commands(checkout: Checkout, written: str, commands: tuple[str, ...]) -> None:
    assert checkout.load(f"telegram: sandbox\nbots: [{{name: a, commands: {written}}}]\n").bots[0].commands == commands


def test_options_of_bots(checkout: Checkout) -> None:
    fleet = checkout.load(
        """\
        telegram: sandbox
        defaults: {commands: [menu], keywords: true, admins: [5, "${ADMIN}"], mini_apps: true}
        bots:
          - name: a
          - {name: b, commands: {menu: false}, keywords: false, admins: [], mini_apps: false}
        """,
        {"ADMIN": "-100200"},
    )
    assert [(found.commands, found.keywords, found.admins, found.mini_apps) for found in fleet.bots] == [
        (("menu",), True, (5, -100200), True),
        (("restart", "next", "back", "help"), False, (), False),
    ]


def test_a_bots_own_section_of_dialogs_changes_the_fleets_key_by_key(checkout: Checkout) -> None:
    fleet = checkout.load(
        """\
        telegram: sandbox
        dialog:
          base_url: ${MODEL_URL}
          api: responses
          temperature: 0
          reasoning: low
          models: [{pattern: "qwen*", reasoning: true}]
          voice: {provider: openai, base_url: http://voice, voice: Anna}
        bots:
          - name: a
          - name: b
            dialog: {model: gpt-5, reasoning_effort: high, stop_markers: ["[END]"], voice: {voice: Boris}}
          - {name: c, dialog: {api: chat_completions}}
        """,
        {"MODEL_URL": "http://model"},
    )
    shared = Dialog(
        base_url="${MODEL_URL}",
        api=Api.RESPONSES,
        temperature=0.0,
        reasoning_effort="low",
        models=(Model(pattern="qwen*", reasoning=True),),
        voice=Voice(provider=VoiceProvider.OPENAI, base_url="http://voice", voice="Anna"),
    )
    own = {"model": "gpt-5", "reasoning_effort": "high", "stop_markers": ("[END]",)}
    voice = Voice(provider=VoiceProvider.OPENAI, base_url="http://voice", voice="Boris")
    assert [fleet.dialog_of(found) for found in fleet.bots] == [
        shared,
        shared.model_copy(update={**own, "voice": voice}),
        shared.model_copy(update={"api": Api.CHAT_COMPLETIONS}),
    ]


def test_scripts_of_another_place(checkout: Checkout) -> None:
    checkout.write("elsewhere/only_here/courses.yml", "")
    fleet = checkout.load("telegram: sandbox\nbots: [{name: a, folder: only_here}]\n", scripts="elsewhere")
    assert fleet.scripts == Path("elsewhere")


def test_paths_are_those_beside_the_config(checkout: Checkout) -> None:
    from app.config.load import load_fleet

    checkout.write("fleets/one/bots_config.yaml", "telegram: sandbox\nbots: [{name: a, folder: here}]\n")
    checkout.write("fleets/one/scripts/here/courses.yml", "")
    checkout.write("fleets/one/.env", "FROM=file\n")
    fleet = load_fleet(Path("fleets/one/bots_config.yaml"), {})
    assert (fleet.scripts, fleet.environ) == (Path("fleets/one/scripts"), {"FROM": "file"})


def test_warnings_stop_nothing(checkout: Checkout) -> None:
    fleet = checkout.load(
        """\
        telegram: sandbox
        webhook:
          base_url: https://bots.example.org
          secret_token: literal
          ssl_cert_path: certs/cert.pem
        bots: [{name: a}]
        """
    )
    absent = "does not exist; put the file there before you start"
    assert [str(warning).removeprefix("bots_config.yaml:") for warning in fleet.warnings] == [
        f"2: webhook/ssl_key_path: 'certs/cert.key' {absent}",
        "4: webhook/secret_token: is a literal secret; put it into .env and refer to it by ${NAME}",
        f"5: webhook/ssl_cert_path: 'certs/cert.pem' {absent}",
    ]
    assert {warning.severity for warning in fleet.warnings} == {"warning"}


def test_secrets_stay_out_of_the_representation(checkout: Checkout) -> None:
    assert TOKEN not in repr(checkout.load(DESIGN_SAMPLE, ENVIRON))
