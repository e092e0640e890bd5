"""What is wrong with a config: everything at once, with line, path and remedy."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.config.load import load_fleet
from app.errors import InputError

if TYPE_CHECKING:
    from conftest import Checkout

TOKEN = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
OTHER_TOKEN = "987654321:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
ENVIRON = {"A": TOKEN, "B": OTHER_TOKEN, "SAME": TOKEN, "BROKEN": "123:short", "EMPTY": ""}

NAME_REMEDY = "use up to 63 letters a-z, digits, '.', '_', '-', beginning with a letter or digit"
LITERAL = "holds a literal token; put the token into .env and write token_env: NAME_OF_THE_VARIABLE"
KEY_REMEDY = "put the key into .env and write api_key_env: NAME_OF_THE_VARIABLE"
LITERAL_KEY = f"holds a literal key; {KEY_REMEDY}"
API_KEY = "sk-proj-0123456789abcdefghijklmnop"
VOICE_KEY = "sk_0123456789abcdef0123456789abcdef0123456789abcdef"

# A line of a bot called 'bot' (line 4 of the config, in the sandbox), and what is said about it.
KEYS = [
    ("folder: empty", "bots/bot/folder: scripts/empty/ has no courses.yml"),
    ("folder: tset", "bots/bot/folder: scripts/tset/ has no courses.yml; did you mean 'test'?"),
    ("folder: test/../..", "bots/bot/folder: 'test/../..' is outside scripts/; name a folder inside scripts/"),
    ("folder: /etc", "bots/bot/folder: '/etc' is outside scripts/; name a folder inside scripts/"),
    ("folder: 'te\\st'", "bots/bot/folder: 'te\\\\st' is outside scripts/; name a folder inside scripts/"),
    ("folder: link", "bots/bot/folder: 'link' leads outside scripts/; replace the symbolic link by a real folder"),
    ("folder: 7", "bots/bot/folder: is 7, not text; put it in quotes"),
    ("mode: poling", "bots/bot/mode: is 'poling'; write 'polling' or 'webhook'"),
    ("language: de", "bots/bot/language: is 'de'; write 'en' or 'ru'"),
    ("fallback: webhook", "bots/bot/fallback: is 'webhook'; write 'polling'"),
    ("version: 1.3", "bots/bot/version: is 1.3, not text; put it in quotes"),
    ("version: a b", "bots/bot/version: 'a b' is not an image tag; write it like \"1.4.0\""),
    ("group: proxy", "bots/bot/group: 'proxy' is the name of another service of the fleet; choose another name"),
    ("replicas: 0", "bots/bot/replicas: is 0; write 1 or more"),
    ("replicas: 101", "bots/bot/replicas: is 101; write 100 or less"),
    ("replicas: two", "bots/bot/replicas: is 'two', not a whole number"),
    ("replicas: 1.5", "bots/bot/replicas: is 1.5, not a whole number"),
    ("memory: lots", "bots/bot/memory: 'lots' is not a memory size; write it like 160m or 1g"),
    ("memory: 160", "bots/bot/memory: 160 is too little memory for a bot; give it at least 32m; 160m is usual"),
    ("memory: [1]", "bots/bot/memory: is [1], not text"),
    ("log_file: ''", "bots/bot/log_file: is ''; write some text in one line, or leave the key out"),
    ("env: [A]", "bots/bot/env: must be a mapping (key: value lines)"),
    ("env: {A: yes}", "bots/bot/env/A: is True, not text; put it in quotes"),
    (
        "env: {A B: x}",
        "bots/bot/env/A B: is not the name of a variable; write the variable's name here and its value into .env",
    ),
    ("env: {A: '${UNSET}'}", "bots/bot/env/A: variable UNSET is not set; put UNSET=... into .env"),
    ("env: {A: '${UNSET:?why}'}", "bots/bot/env/A: variable UNSET is not set: why; put UNSET=... into .env"),
    (
        "env: {A: '${UNSET'}",
        "bots/bot/env/A: '${' does not begin a reference; write ${NAME}, or $${ for the two characters themselves",
    ),
    ("commands: [menu, nxt]", "bots/bot/commands: 'nxt' is not a command; did you mean 'next'?"),
    (
        "commands: {zzz: true}",
        "bots/bot/commands: 'zzz' is not a command; the commands are menu, restart, next, back, help",
    ),
    ("commands: {next: 0}", "bots/bot/commands: next is 0; write next: false or next: true"),
    ("commands: menu", "bots/bot/commands: is 'menu'; write a list, like [menu, help], or false"),
    ("keywords: often", "bots/bot/keywords: is 'often'; write true or false"),
    ("admins: 5", "bots/bot/admins: must be a list (lines that begin with '- ')"),
    ("admins: ['@ann']", "bots/bot/admins/1: is '@ann', not a whole number"),
    ("mini_apps: [1]", "bots/bot/mini_apps: is [1]; write true or false"),
    ("dialog: gpt", "bots/bot/dialog: must be a mapping (key: value lines)"),
    ("nmae: x", "bots/bot/nmae: unknown key 'nmae'; did you mean 'name'?"),
    (
        "token_env: a-b",
        "bots/bot/token_env: is not the name of a variable; write the variable's name here and its value into .env",
    ),
    ("bot_name: ' '", "bots/bot/bot_name: is ' '; write some text in one line, or leave the key out"),
    (
        "webhook_url: https://a.b:8080/x",
        "bots/bot/webhook_url: port 8080 is not one that Telegram calls; use 443, 80, 88 or 8443",
    ),
    (
        "webhook_url: ftp://a",
        "bots/bot/webhook_url: 'ftp://a' is not an https:// URL; Telegram calls webhooks by https only",
    ),
    (
        "webhook_url: https://a:x",
        "bots/bot/webhook_url: 'https://a:x' is not a URL; write https://HOST or https://HOST:PORT",
    ),
    (
        "mode: webhook",
        "bots/bot/mode: is 'webhook', but there is no webhook section; add webhook: {base_url: https://...}",
    ),
]


@pytest.mark.parametrize(("line", "error"), KEYS, ids=[line for line, _ in KEYS])
def test_a_wrong_key_of_a_bot(checkout: Checkout, line: str, error: str) -> None:
    (checkout.folder / "scripts" / "empty").mkdir()
    (checkout.folder / "scripts" / "link").symlink_to("/")
    assert checkout.errors(f"telegram: sandbox\nbots:\n- name: bot\n  {line}\n") == [f"4: {error}"]


# A line of the section 'dialog' (line 2 of the config), and what is said about it.
DIALOGS = [
    ("modle: x", "dialog/modle: unknown key 'modle'; did you mean 'model'?"),
    ("model: 4", "dialog/model: is 4, not text; put it in quotes"),
    ("base_url: '${UNSET}'", "dialog/base_url: variable UNSET is not set; put UNSET=... into .env"),
    ("base_url: localhost:8000/v1", "dialog/base_url: is 'localhost:8000/v1'; write it like https://api.openai.com/v1"),
    ("api: chat", "dialog/api: is 'chat'; write 'chat_completions' or 'responses'"),
    ("temperature: hot", "dialog/temperature: is 'hot', not a number"),
    ("temperature: -0.1", "dialog/temperature: is -0.1; write 0 or more"),
    ("temperature: 2.5", "dialog/temperature: is 2.5; write 2 or less"),
    (
        "reasoning_effort: ' '",
        "dialog/reasoning_effort: is ' '; write some text in one line, or leave the key out",
    ),
    ("max_tokens: 0", "dialog/max_tokens: is 0; write 1 or more"),
    ("timeout: 0.5", "dialog/timeout: is 0.5; write 1 or more"),
    ("timeout: 9000", "dialog/timeout: is 9000; write 3600 or less"),
    ("retries: -1", "dialog/retries: is -1; write 0 or more"),
    ("retries: 21", "dialog/retries: is 21; write 20 or less"),
    ("stream: maybe", "dialog/stream: is 'maybe'; write true or false"),
    ("daily_tokens: many", "dialog/daily_tokens: is 'many', not a whole number"),
    ("max_messages: 0", "dialog/max_messages: is 0; write 1 or more"),
    ("exit_after: 0", "dialog/exit_after: is 0; write 1 or more"),
    ("stop_markers: STOP", "dialog/stop_markers: must be a list (lines that begin with '- ')"),
    ("stop_markers: ['']", "dialog/stop_markers/1: is ''; write some text, or leave it out"),
    ("models: [{temperature: false}]", "dialog/models/1/pattern: is missing; write pattern: ..."),
    ("models: [{patern: x}]", "dialog/models/1/patern: unknown key 'patern'; did you mean 'pattern'?"),
    ("models: [{pattern: x, reasoning: low}]", "dialog/models/1/reasoning: is 'low'; write true or false"),
    ("voice: {provider: acme}", "dialog/voice/provider: is 'acme'; write 'elevenlabs' or 'openai'"),
    ("voice: {voise: x}", "dialog/voice/voise: unknown key 'voise'; did you mean 'voice'?"),
    ("api_key_env: UNSET", "dialog/api_key_env: variable UNSET is not set; put UNSET=... into .env"),
    ("api_key_env: EMPTY", "dialog/api_key_env: variable EMPTY is not set; put EMPTY=... into .env"),
    ("voice: {api_key_env: UNSET}", "dialog/voice/api_key_env: variable UNSET is not set; put UNSET=... into .env"),
    (
        "api_key_env: a-b",
        "dialog/api_key_env: is not the name of a variable; write the variable's name here and its value into .env",
    ),
    (f"api_key_env: {API_KEY}", f"dialog/api_key_env: {LITERAL_KEY}"),
    (f"voice: {{api_key_env: {VOICE_KEY}}}", f"dialog/voice/api_key_env: {LITERAL_KEY}"),
    (f"api_key_env: {'ab' * 16}", f"dialog/api_key_env: {LITERAL_KEY}"),
    (f"api_key: {API_KEY}", f"dialog/api_key: unknown key 'api_key'; {KEY_REMEDY}"),
    (f"voice: {{api_key: {VOICE_KEY}}}", f"dialog/voice/api_key: unknown key 'api_key'; {KEY_REMEDY}"),
    (
        "base_url: 'https://me:pass@api'",
        "dialog/base_url: holds a literal password; put the address into .env and refer to it by ${NAME}",
    ),
    (f"model: {API_KEY}", "dialog/model: holds a literal key; put the key into .env and refer to it by ${NAME}"),
]


@pytest.mark.parametrize(("line", "error"), DIALOGS, ids=[line for line, _ in DIALOGS])
def test_a_wrong_key_of_dialogs(checkout: Checkout, line: str, error: str) -> None:
    config = f"telegram: sandbox\ndialog: {{{line}}}\nbots: [{{name: bot}}]\n"
    keys = {"OPENAI_API_KEY": "k", "ELEVENLABS_API_KEY": "k", "EMPTY": ""}
    errors = checkout.errors(config, keys)
    assert errors == [f"2: {error}"]
    assert not [key for key in (API_KEY, VOICE_KEY, "ab" * 16) if key in errors[0]]


def test_a_wrong_key_of_one_bots_dialogs(checkout: Checkout) -> None:
    config = "telegram: sandbox\nbots:\n- name: a\n  dialog:\n    voice: {api_key_env: UNSET, base_url: 'http://v'}\n"
    assert checkout.errors(config, {"OPENAI_API_KEY": "k"}) == [
        "5: bots/a/dialog/voice/api_key_env: variable UNSET is not set; put UNSET=... into .env"
    ]


IMPLIED = "put {0}=... into .env, or name another variable as api_key_env"
# The section of the fleet and the one of its bot 'a', and the keys that are asked for.
KEYS_ASKED_FOR = [
    ("{}", "", [("1: dialog", "OPENAI_API_KEY")]),
    ("{base_url: 'http://own'}", "", []),
    ("{}", "{model: x}", [("1: dialog", "OPENAI_API_KEY")]),
    ("{base_url: 'http://own'}", "{model: x}", []),
    ("", "{model: x}", [("3: bots/a/dialog", "OPENAI_API_KEY")]),
    ("{base_url: 'http://own', voice: {}}", "", [("1: dialog", "ELEVENLABS_API_KEY")]),
    ("{base_url: 'http://own', voice: {provider: openai}}", "", [("1: dialog", "OPENAI_API_KEY")]),
    ("{base_url: 'http://own', voice: {base_url: 'http://own'}}", "{voice: {voice: Anna}}", []),
    ("{base_url: 'http://own'}", "{voice: {voice: Anna}}", [("3: bots/a/dialog", "ELEVENLABS_API_KEY")]),
]


@pytest.mark.parametrize(("shared", "own", "asked"), KEYS_ASKED_FOR)
def test_keys_that_nobody_named(checkout: Checkout, shared: str, own: str, asked: list[tuple[str, str]]) -> None:
    config = f"dialog: {shared}\ntelegram: sandbox\nbots: [{{name: a, dialog: {own}}}]\n"
    expected = [f"{place}: variable {name} is not set; {IMPLIED.format(name)}" for place, name in asked]
    assert (checkout.errors(config) if expected else [*checkout.load(config).warnings]) == expected
    checkout.load(config, {name: "k" for _, name in asked})
    checkout.load(config, need_secrets=False)


# A whole config, and all that is said about it. Variables A, B and SAME hold tokens, BROKEN and EMPTY do not.
CONFIGS = [
    ("bots: []", ["1: bots: is empty; add a bot: - name: ..."]),
    ("bots:", ["1: bots: has no value; write bots: ..."]),
    ("image: x", ["1: bots: is missing; write bots: ..."]),
    ("bots: {a: b}", ["1: bots: must be a list (lines that begin with '- ')"]),
    (
        "bots:\n- a\n-\n",
        ["2: bots/1: must be a mapping (key: value lines)", "3: bots/2: must be a mapping (key: value lines)"],
    ),
    ("bots:\n- token_env: A\n", ["2: bots/1/name: is missing; write name: ..."]),
    ("bots:\n- name:\n  token_env: A\n", ["2: bots/1/name: has no value; write name: ..."]),
    ("bots:\n- name: 5\n  token_env: A\n", ["2: bots/1/name: is 5, not text; put it in quotes"]),
    (
        "bots:\n- {name: a b, token_env: A}\n",
        [f"2: bots/a b/name: 'a b' cannot be the name of a service; {NAME_REMEDY}"],
    ),
    (
        "bots:\n- {name: postgres, token_env: A}\n",
        ["2: bots/postgres/name: 'postgres' is the name of another service of the fleet; choose another name"],
    ),
    (
        "bots:\n- name: a\n  token_env: A\n- name: a\n  token_env: B\n",
        ["4: bots/a/name: 'a' is the name of two bots (line 2 too); rename one"],
    ),
    (
        "bots:\n- name: a\n  token_env: A\n- name: b\n  bot_name: a\n  token_env: B\n",
        [
            "5: bots/b/bot_name: 'a' is the bot_name of two bots (line 2 too); "
            "they share one database, so give each its own"
        ],
    ),
    (
        "bots:\n- name: a\n  bot_name: b\n  token_env: A\n- name: b\n  bot_name: c\n  token_env: B\n",
        [
            "3: bots/a/bot_name: 'b' is the name of another bot (line 5); "
            "nobody could tell which is meant, so rename that one"
        ],
    ),
    (
        "bots:\n- name: a\n  token_env: A\n- name: b\n  token: ${SAME}\n",
        ["5: bots/b/token: has the token of bot 'a' (SAME and A); give each bot its own token"],
    ),
    (
        "bots:\n- name: a\n  token_env: A\n- name: b\n  token_env: A\n",
        ["5: bots/b/token_env: has the token of bot 'a' (A); give each bot its own token"],
    ),
    ("bots:\n- name: a\n", ["2: bots/a: has no token; write token_env: NAME, and NAME=... into .env"]),
    (
        "bots:\n- {name: a, token_env: UNSET}\n",
        ["2: bots/a/token_env: variable UNSET is not set; put UNSET=... into .env"],
    ),
    (
        "bots:\n- {name: a, token: '${EMPTY}'}\n",
        ["2: bots/a/token: variable EMPTY is not set; put EMPTY=... into .env"],
    ),
    (
        "bots:\n- {name: a, token_env: BROKEN}\n",
        [
            "2: bots/a/token_env: the value of BROKEN is not a bot token; "
            "copy it from @BotFather: digits, a colon, 35 characters"
        ],
    ),
    (f"bots:\n- name: a\n  token: {TOKEN}\n", [f"3: bots/a/token: {LITERAL}"]),
    ("bots:\n- name: a\n  token: '${UNSET:-1:abc}'\n", [f"3: bots/a/token: {LITERAL}"]),
    (
        "bots:\n- name: a\n  token: ${A}\n  token_env: A\n",
        ["3: bots/a/token: stands beside token_env; keep one of the two"],
    ),
    (
        f"bots:\n- name: a\n  token_env: A\n  env: {{X: '{OTHER_TOKEN}'}}\n",
        ["4: bots/a/env/X: holds a literal token; put the token into .env and refer to it by ${NAME}"],
    ),
    (
        "defaults: {memory: x, mood: y}\nbots: [{name: a, token_env: A}]",
        [
            "1: defaults/memory: 'x' is not a memory size; write it like 160m or 1g",
            "1: defaults/mood: unknown key 'mood'; did you mean 'mode'?",
        ],
    ),
    (
        "webhook:\n  base_url: http://a.b\n  path: webhook\n  secret_token: 'a b'\nbots: [{name: a, token_env: A}]",
        [
            "2: webhook/base_url: 'http://a.b' is not an https:// URL; Telegram calls webhooks by https only",
            "3: webhook/path: 'webhook' is not a URL path; write it like /webhook",
            "4: webhook/secret_token: is not a webhook secret; use 1 to 256 letters a-z, digits, '_' and '-'",
        ],
    ),
    (
        "webhook: {}\nbots: [{name: a, token_env: A}]",
        [
            "1: webhook/base_url: is missing; write base_url: ...",
            "1: webhook/secret_token: variable WEBHOOK_SECRET_TOKEN is not set; put WEBHOOK_SECRET_TOKEN=... into .env",
        ],
    ),
    (
        "image: acme/bots:1.2\ntelegram: nowhere\ndialog: x\nbots: [{name: a, token_env: A}]",
        [
            "1: image: 'acme/bots:1.2' has a tag; write the image without it, and the tag as version",
            "2: telegram: is 'nowhere'; "
            "write 'sandbox' or the http(s):// URL of a Bot API server, or leave the key out",
            "3: dialog: must be a mapping (key: value lines)",
        ],
    ),
    (
        "telegram: 'https://me:pass@bots'\nbots: [{name: a, token_env: A}]",
        ["1: telegram: holds a user or password; a Bot API server is told bots' tokens only; leave it out"],
    ),
    (
        "alerts: {chat_id: 5, token_env: BROKEN}\nbots: [{name: a, token_env: A}]",
        [
            "1: alerts/token_env: the value of BROKEN is not a bot token; "
            "copy it from @BotFather: digits, a colon, 35 characters"
        ],
    ),
    (
        "alerts: {chat_id: 5, token_env: UNSET}\nbots: [{name: a, token_env: A}]",
        ["1: alerts/token_env: variable UNSET is not set; put UNSET=... into .env"],
    ),
    (
        "image: A B\nalerts: {chat_id: [], token_env: A}\nbots: [{name: a, token_env: A}]",
        [
            "1: image: 'A B' is not the name of an image; write it like ghcr.io/acme/flotilla",
            "2: alerts/chat_id: is [], not text",
        ],
    ),
    (
        "telegram: sandbox\nbots:\n"
        "- {name: a, group: g, replicas: 2, env: {X: '1'}}\n- {name: b, group: g, env: {X: '2'}}\n- {name: g}",
        [
            "3: bots/a/group: 'g' is the name of a bot outside the group; rename the group",
            "4: bots/b/env/X: bots of group 'g' differ in X; they share one container, so write the same for all",
            "4: bots/b/group: 'g' is the name of a bot outside the group; rename the group",
            "4: bots/b/replicas: bots of group 'g' differ in replicas; "
            "they share one container, so write the same for all",
        ],
    ),
    (
        "telegram: sandbox\nbots:\n- name: a\n  mode: polling\n  mode: webhook\n",
        [
            "5: bots/a/mode: appears twice; keep one of the two",
            "5: bots/a/mode: is 'webhook', but there is no webhook section; add webhook: {base_url: https://...}",
        ],
    ),
    (
        """\
webhook: {base_url: "https://h", secret_token: s}
telegram: sandbox
bots:
- {name: a, mode: webhook}
- {name: b, mode: webhook, webhook_url: "https://h/webhook/a/"}
- {name: c, mode: webhook, webhook_url: "https://other/webhook/a"}
- {name: d, mode: webhook, webhook_url: "https://h/x", group: g}
- {name: e, mode: webhook, webhook_url: "https://other/x", group: g}
- {name: f, mode: polling, webhook_url: "https://h/x"}
""",
        [
            "5: bots/b/webhook_url: is called where bot 'a' is: '/webhook/a'; give each bot a path of its own",
            "8: bots/e/webhook_url: is called where bot 'd' is: '/x'; give each bot a path of its own",
        ],
    ),
    (
        "bots:\n- {name: a, token_env: A, mini_apps: true}\n",
        [
            "2: bots/a/mini_apps: needs a public address, but there is no webhook section; "
            "add webhook: {base_url: https://...}"
        ],
    ),
    (
        "telegram: sandbox\ndefaults: {admins: [x], commands: {nxt: true}}\nbots: [{name: a}]",
        [
            "2: defaults/admins/1: is 'x', not a whole number",
            "2: defaults/commands: 'nxt' is not a command; did you mean 'next'?",
        ],
    ),
    ("telegram: sandbox\nbots: [{name: a}]\nimages: x", ["3: images: unknown key 'images'; did you mean 'image'?"]),
    (
        "telegram: sandbox\nbots: [{name: a}]\nzzz: x",
        ["3: zzz: unknown key 'zzz'; known keys: image, version, telegram, webhook, dialog, alerts, defaults, bots"],
    ),
]


@pytest.mark.parametrize(("config", "errors"), CONFIGS, ids=[config for config, _ in CONFIGS])
def test_a_wrong_config(checkout: Checkout, config: str, errors: list[str]) -> None:
    assert checkout.errors(config, ENVIRON) == errors


FILES = [
    (b"", " is empty; write a starter config with 'flotilla init'"),
    (b"# only a comment\n", " is empty; write a starter config with 'flotilla init'"),
    (b"- a\n- b\n", "1: must be a mapping (key: value lines); begin with 'bots:'"),
    (b"bots: [\n", "2:1: broken YAML: did not find expected node content"),
    (b"a: b: c\n", "1:5: broken YAML: mapping values are not allowed in this context"),
    (b"a:\n\tb: c\n", "2:1: broken YAML: found character that cannot start any token"),
    (b"a: *nobody\n", "1:4: broken YAML: found undefined alias"),
    (b"a: 1\n---\nb: 2\n", "2:1: broken YAML: but found another document"),
    (b"a: !!python/object:os.system x\n", None),
    (b"when: 2024-13-45\n", " broken YAML: month must be in 1..12"),
    (b"bots:\n- name: \xff\xfe\n", "2: is not UTF-8 text; save the file as UTF-8"),
    (b"[" * 5000, None),
]


@pytest.mark.parametrize(("content", "error"), FILES)
def test_a_file_that_is_no_config(checkout: Checkout, content: bytes, error: str | None) -> None:
    checkout.write("bots_config.yaml", content)
    with pytest.raises(InputError) as caught:
        load_fleet(Path("bots_config.yaml"), {})
    text = str(caught.value)
    assert text.startswith("bots_config.yaml:")
    if error is not None:
        assert text == f"bots_config.yaml:{error}"


def test_a_missing_file_says_how_to_get_one(checkout: Checkout) -> None:
    with pytest.raises(InputError) as caught:
        load_fleet(Path("bots_config.yaml"), {})
    assert str(caught.value) == "bots_config.yaml: no such file; write one with 'flotilla init'"


def test_a_folder_in_place_of_the_file(checkout: Checkout) -> None:
    with pytest.raises(InputError) as caught:
        load_fleet(Path("scripts"), {})
    assert str(caught.value) == "scripts: cannot be read: Is a directory"


def test_an_env_file_that_is_no_text(checkout: Checkout) -> None:
    checkout.write(".env", b"A=\xff\n")
    with pytest.raises(InputError) as caught:
        checkout.load("bots: []")
    assert str(caught.value) == ".env: is not UTF-8 text; save the file as UTF-8"


def test_a_byte_order_mark_is_no_harm(checkout: Checkout) -> None:
    checkout.write("bots_config.yaml", b"\xef\xbb\xbftelegram: sandbox\nbots: [{name: a}]\n")
    assert [bot.name for bot in load_fleet(Path("bots_config.yaml"), {}).bots] == ["a"]


def test_an_alias_into_itself(checkout: Checkout) -> None:
    assert checkout.errors("telegram: sandbox\nbots: &all\n- *all\n") == [
        "2:7: has an alias that contains itself; remove the '*' alias"
    ]


def test_anchors_and_merges_are_fine(checkout: Checkout) -> None:
    fleet = checkout.load(
        """\
        telegram: sandbox
        bots:
          - &first {name: a, folder: test, memory: 64m}
          - {<<: *first, name: b}
        """
    )
    assert [(bot.name, bot.folder, bot.memory) for bot in fleet.bots] == [("a", "test/", "64m"), ("b", "test/", "64m")]


def test_everything_at_once_in_the_order_of_the_file(checkout: Checkout) -> None:
    errors = checkout.errors(
        f"""\
        imag: x
        webhook: {{base_url: "https://a.b:9000", secret_token: abc}}
        bots:
          - name: migrate
            token: {TOKEN}
            folder: nowhere
          - name: a
            token_env: UNSET
            mode: pull
        """
    )
    assert [error.partition(":")[0] for error in errors] == ["1", "2", "4", "5", "6", "8", "9"]


@pytest.mark.parametrize(
    "key", ["token", "token_env", "folder", "mode", "bot_name", "name", "memory", "version", "group"]
)
def test_a_token_in_the_wrong_place_is_never_shown(checkout: Checkout, key: str) -> None:
    errors = checkout.errors(f"telegram: sandbox\nbots:\n- name: a\n- {key}: {TOKEN}\n")
    assert any("literal token" in error or "name of a variable" in error for error in errors)
    assert TOKEN.partition(":")[2] not in "".join(errors)


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_a_fleet_or_an_input_error(checkout: Checkout, content: bytes) -> None:
    checkout.write("bots_config.yaml", content)
    with pytest.raises(InputError):
        load_fleet(Path("bots_config.yaml"), {})


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["a", "${A}", "${"])
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3))
bot_keys = st.sampled_from(
    ["name", "token", "token_env", "folder", "mode", "group", "env", "replicas", "memory", "version"]
)
fleet_keys = st.sampled_from(["image", "version", "telegram", "webhook", "dialog", "defaults", "alerts", "bots"])


@given(
    data=st.dictionaries(
        fleet_keys, values | st.lists(st.dictionaries(bot_keys, values, max_size=5), max_size=3), max_size=5
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_yaml_gives_a_fleet_or_an_input_error(checkout: Checkout, data: dict[str, object]) -> None:
    checkout.write("bots_config.yaml", yaml.safe_dump(data))
    with contextlib.suppress(InputError):
        assert load_fleet(Path("bots_config.yaml"), {}).bots


def test_a_misspelt_key_is_one_error(checkout: Checkout) -> None:
    (checkout.folder / "scripts" / "courses.yml").unlink()
    assert checkout.errors("telegram: sandbox\nbots: [{name: a, foldr: test}]\n") == [
        "2: bots/a/foldr: unknown key 'foldr'; did you mean 'folder'?"
    ]


def bomb(value: str, items: int = 9) -> str:
    lines = [f"a0: &a0 {value}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * items)}]" for n in range(1, 10)]
    return "\n".join(lines)


HOSTILE_NUMBER = "0x" + "f" * 5000


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param("[" * 100_000, "1:33: is nested deeper than 32 levels", id="nested"),
        pytest.param("- " * 100_000, "1:65: is nested deeper than 32 levels", id="nested without brackets"),
        pytest.param("# " + "x" * 1_000_000, "has 1000002 characters, more than 1000000", id="long"),
        pytest.param(
            bomb("x"),
            "1:1: has more than 1000000 characters with its aliases written out; use fewer '*' aliases",
            id="aliases",
        ),
        pytest.param(
            "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100))]),
            "1:1: is nested deeper than 32 levels; use fewer '*' aliases",
            id="chain of aliases",
        ),
        pytest.param(
            "a0: &a0 {x: y}\n" + "\n".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 30)),
            "1:1: has more than 1000000 characters with its aliases written out; use fewer '*' aliases",
            id="merges",
        ),
        pytest.param(
            f"telegram: sandbox\nbots:\n- name: a\n  replicas: {HOSTILE_NUMBER}\n",
            f"4: bots/a/replicas: is '{HOSTILE_NUMBER[:76]}..., not a whole number",
            id="number",
        ),
    ],
)
def test_what_is_made_to_take_long_is_refused(checkout: Checkout, content: str, error: str) -> None:
    assert [one.removeprefix(" ") for one in checkout.errors(content)] == [error]


def test_a_folder_that_cannot_be_looked_at(checkout: Checkout) -> None:
    (checkout.folder / "scripts" / "ring").symlink_to("ring")
    errors = checkout.errors(
        f"telegram: sandbox\nbots: [{{name: a, folder: ring}}, {{name: b, folder: {'x' * 300}}}]\n"
    )
    assert errors == [
        "2: bots/a/folder: 'ring' cannot be a folder of scripts/; name a folder inside scripts/",
        f"2: bots/b/folder: '{'x' * 76}... cannot be a folder of scripts/; name a folder inside scripts/",
    ]
