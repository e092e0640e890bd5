"""What must hold between the bots of a config.

Works on the raw data, so that it reports also where single keys are wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.config.dialog import ELEVENLABS_KEY, OPENAI_KEY
from app.config.document import Document, Place
from app.config.rules import Surroundings, split_url
from app.config.template import TemplateError, references, resolve
from app.config.tokens import shown
from app.errors import Problem

_Bots = list[tuple[Place, Mapping[str, Any]]]


def relation_problems(data: Mapping[str, Any], document: Document, around: Surroundings) -> list[Problem]:
    """List what is wrong between bots: shared names and tokens, missing sections, groups that do not agree."""
    listed = data.get("bots")
    bots: _Bots = [
        (("bots", index), bot)
        for index, bot in enumerate(listed if isinstance(listed, list) else [])
        if isinstance(bot, dict)
    ]
    return [
        *_repeated(bots, document, around),
        *_token_problems(bots, document, around),
        *_webhook_problems(bots, data, document, around),
        *_address_problems(bots, data, document, around),
        *_app_problems(bots, data, document, around),
        *_key_problems(bots, data, document, around),
        *_group_problems(bots, document, around),
    ]


def _text(bot: Mapping[str, Any], key: str, around: Surroundings) -> str | None:
    value = bot.get(key)
    try:
        return resolve(value, around.environ) if isinstance(value, str) else None
    except TemplateError:
        return None


def _repeated(bots: _Bots, document: Document, around: Surroundings) -> Iterator[Problem]:
    names: dict[str, Place] = {}
    bot_names: dict[str, Place] = {}
    for place, bot in bots:
        name = _text(bot, "name", around)
        bot_name = _text(bot, "bot_name", around) if "bot_name" in bot else name
        if name is not None and name in names:
            first = document.line((*names[name], "name"))
            yield document.problem(
                (*place, "name"), f"{shown(name)} is the name of two bots (line {first} too)", "rename one"
            )
        elif bot_name is not None and bot_name in bot_names:
            first = document.line(bot_names[bot_name])
            yield document.problem(
                (*place, "bot_name"),
                f"{shown(bot_name)} is the bot_name of two bots (line {first} too)",
                "they share one database, so give each its own",
            )
        names.setdefault(name or "", place)
        bot_names.setdefault(bot_name or "", place)
    for bot_name, place in bot_names.items():
        if bot_name and names.get(bot_name, place) != place:
            first = document.line((*names[bot_name], "name"))
            text = f"{shown(bot_name)} is the name of another bot (line {first})"
            yield document.problem((*place, "bot_name"), text, "nobody could tell which is meant, so rename that one")


def _token_variable(bot: Mapping[str, Any]) -> str | None:
    if isinstance(bot.get("token_env"), str):
        return str(bot["token_env"])
    try:
        found = references(bot["token"]) if isinstance(bot.get("token"), str) else []
    except TemplateError:
        found = []
    return found[0].name if len(found) == 1 else None


def _token_problems(bots: _Bots, document: Document, around: Surroundings) -> Iterator[Problem]:
    """Compare tokens by value, and by variable where values are not known; only variables are ever named."""
    owners: dict[str, tuple[str, str]] = {}
    for place, bot in bots:
        if "token" in bot and "token_env" in bot:
            yield document.problem((*place, "token"), "stands beside token_env", "keep one of the two")
        if "token" not in bot and "token_env" not in bot and not around.sandbox:
            yield document.problem(place, "has no token", "write token_env: NAME, and NAME=... into .env")
        variable = _token_variable(bot)
        if variable is None:
            continue
        key = around.environ.get(variable) or f"${variable}"
        name = str(bot.get("name", ""))
        if key in owners:
            other, other_variable = owners[key]
            same = variable if variable == other_variable else f"{variable} and {other_variable}"
            at = (*place, "token_env" if "token_env" in bot else "token")
            yield document.problem(at, f"has the token of bot {shown(other)} ({same})", "give each bot its own token")
        owners.setdefault(key, (name, variable))


def _webhook_problems(
    bots: _Bots, data: Mapping[str, Any], document: Document, around: Surroundings
) -> Iterator[Problem]:
    if "webhook" in data:
        return
    for place, bot in bots:
        if _text(bot, "mode", around) == "webhook":
            at = (*place, "mode")
            yield document.problem(
                at, "is 'webhook', but there is no webhook section", "add webhook: {base_url: https://...}"
            )


def _address_problems(
    bots: _Bots, data: Mapping[str, Any], document: Document, around: Surroundings
) -> Iterator[Problem]:
    """Compare where bots are called: by address, and within a container, which does not know its hosts, by path."""
    hook = _mapping(data, "webhook") or {}
    base = _text(hook, "base_url", around) or _text(hook, "url", around) or ""
    path = _text(hook, "path", around) if "path" in hook else "/webhook"
    owners: dict[tuple[str, str], str] = {}
    for place, bot in bots:
        name = str(bot.get("name", ""))
        url = _text(bot, "webhook_url", around) or f"{base.rstrip('/')}{(path or '').rstrip('/')}/{name}"
        if _text(bot, "mode", around) != "webhook" or not url.startswith(("https://", "http://")):
            continue
        site, own_path = split_url(url.rstrip("/"))
        container = _text(bot, "group", around) or name
        others = [owners[key] for key in ((site, own_path), (container, own_path)) if key in owners]
        if others:
            text = f"is called where bot {shown(others[0])} is: {shown(own_path)}"
            yield document.problem((*place, "webhook_url"), text, "give each bot a path of its own")
        owners |= {(site, own_path): name, (container, own_path): name}


def _app_problems(bots: _Bots, data: Mapping[str, Any], document: Document, around: Surroundings) -> Iterator[Problem]:
    if "webhook" in data or around.sandbox:
        return
    for place, bot in bots:
        if bot.get("mini_apps") is True:
            text = "needs a public address, but there is no webhook section"
            yield document.problem((*place, "mini_apps"), text, "add webhook: {base_url: https://...}")


def _key_problems(bots: _Bots, data: Mapping[str, Any], document: Document, around: Surroundings) -> Iterator[Problem]:
    """Ask for the keys that sections need without naming them; each is asked for once."""
    shared = _mapping(data, "dialog")
    sections: list[tuple[Place, Mapping[str, Any]]] = [(("dialog",), shared)] if shared is not None else []
    own = ((place, _mapping(bot, "dialog")) for place, bot in bots)
    sections += [((*place, "dialog"), _overridden(shared or {}, keys)) for place, keys in own if keys is not None]
    asked = set()
    for place, section in sections:
        for name in _implied_keys(section):
            if around.secrets and not around.environ.get(name) and name not in asked:
                asked.add(name)
                remedy = f"put {name}=... into .env, or name another variable as api_key_env"
                yield document.problem(place, f"variable {name} is not set", remedy)


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    value = data.get(key)
    return value if isinstance(value, dict) else None


def _overridden(shared: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    voices = [voice for voice in (_mapping(shared, "voice"), _mapping(own, "voice")) if voice is not None]
    voice = {"voice": {key: value for voice in voices for key, value in voice.items()}} if voices else {}
    return {**shared, **own, **voice}


def _implied_keys(section: Mapping[str, Any]) -> Iterator[str]:
    """Name the variables that a ``dialog`` section needs because it names neither a key nor a server."""
    if "api_key_env" not in section and "base_url" not in section:
        yield OPENAI_KEY
    voice = _mapping(section, "voice")
    if voice is not None and "api_key_env" not in voice and "base_url" not in voice:
        yield OPENAI_KEY if voice.get("provider") == "openai" else ELEVENLABS_KEY


def _group_problems(bots: _Bots, document: Document, around: Surroundings) -> Iterator[Problem]:
    """Bots of one group run in one container, which has one image, one number of replicas and one environment."""
    alone = {_text(bot, "name", around) for _, bot in bots if "group" not in bot}
    first: dict[str, Mapping[str, Any]] = {}
    for place, bot in bots:
        group = _text(bot, "group", around)
        if group is None:
            continue
        if group in alone:
            yield document.problem(
                (*place, "group"), f"{shown(group)} is the name of a bot outside the group", "rename the group"
            )
        leader = first.setdefault(group, bot)
        for key in ("version", "replicas"):
            if leader.get(key) != bot.get(key):
                text = f"bots of group {shown(group)} differ in {key}"
                yield document.problem((*place, key), text, "they share one container, so write the same for all")
        for variable in _conflicts(leader, bot):
            text = f"bots of group {shown(group)} differ in {variable}"
            yield document.problem(
                (*place, "env", variable), text, "they share one container, so write the same for all"
            )


def _conflicts(leader: Mapping[str, Any], bot: Mapping[str, Any]) -> list[str]:
    """Name the variables that two bots of one container set differently; the language is kept per bot."""
    ours, theirs = bot.get("env"), leader.get("env")
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return []
    return [str(name) for name in ours if name != "LANGUAGE" and name in theirs and ours[name] != theirs[name]]
