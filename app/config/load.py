"""Read ``bots_config.yaml`` into a :class:`Fleet`, or say everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError

from app.config.dialog import Dialog, Model, Voice
from app.config.document import Document, Place, read_document
from app.config.fleet import Alerts, Bot, Defaults, Fleet, FleetFile, Webhook
from app.config.relations import relation_problems
from app.config.rules import LITERAL_KEY_REMEDY, SANDBOX, Surroundings
from app.config.template import TemplateError, resolve
from app.config.tokens import holds_key, holds_token, shown
from app.errors import InputError, Problem

_SECTIONS: dict[str, type[BaseModel]] = {
    "webhook": Webhook,
    "dialog": Dialog,
    "voice": Voice,
    "models": Model,
    "alerts": Alerts,
    "defaults": Defaults,
    "bots": Bot,
}


def load_fleet(
    path: Path, environ: Mapping[str, str], scripts: Path | None = None, *, need_secrets: bool = True
) -> Fleet:
    """Read and check a config.

    ``.env`` and ``scripts/`` are those beside it, unless ``scripts`` names another folder; ``environ`` wins over
    ``.env``. Without ``need_secrets`` variables that only a running bot needs may be missing.

    Raises :class:`InputError`: anything is wrong; all problems in file order.
    """
    file, folder = str(path), path.parent
    variables = read_environment(folder, environ)
    document = read_document(path, file)
    if not isinstance(document.data, dict):
        raise InputError([_not_a_config(document)])
    data = _prepared(document.data)
    around = _surroundings(data, variables, folder, scripts or folder / "scripts", need_secrets)
    keys, problems = _validated(data, document, around)
    problems += [*_document_problems(document), *relation_problems(data, document, around)]
    if keys is None or problems:
        raise InputError(sorted(set(problems)))
    warnings = tuple(sorted(_warnings(keys, document, folder)))
    return Fleet.of(keys, path=path, scripts=around.scripts, environ=variables, warnings=warnings)


def read_environment(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Read ``.env`` of ``folder``, with ``environ`` over it.

    With ``READ_DOTENV=false`` in ``environ`` it is not read: who started this process gave it what is its own.
    Raises :class:`InputError`: ``.env`` is not UTF-8 text or cannot be read.
    """
    path = folder / ".env"
    if environ.get("READ_DOTENV") == "false":
        return dict(environ)
    try:
        found = dotenv_values(path, interpolate=False) if path.is_file() else {}
    except UnicodeDecodeError:
        raise InputError([Problem(str(path), 0, 0, "", "is not UTF-8 text", "save the file as UTF-8")]) from None
    except OSError as error:
        raise InputError([Problem(str(path), 0, 0, "", f"cannot be read: {error.strerror}")]) from None
    return {**{name: value for name, value in found.items() if value is not None}, **environ}


def _not_a_config(document: Document) -> Problem:
    if document.data is None:
        return document.problem((), "is empty", "write a starter config with 'flotilla init'")
    return document.problem((), "must be a mapping (key: value lines)", "begin with 'bots:'")


def _surroundings(
    data: Mapping[str, Any], environ: Mapping[str, str], folder: Path, scripts: Path, secrets: bool
) -> Surroundings:
    telegram = data.get("telegram")
    if isinstance(telegram, str):
        try:
            telegram = resolve(telegram, environ)
        except TemplateError:
            telegram = SANDBOX
    return Surroundings(environ, folder, scripts, telegram is None, telegram == SANDBOX, secrets)


def _prepared(data: dict[str, Any]) -> dict[str, Any]:
    """Leave out keys without a value and give every bot the defaults that it does not override."""
    data = _without_nulls(data, 3)
    defaults, bots = data.get("defaults"), data.get("bots")
    if isinstance(defaults, dict) and isinstance(bots, list):
        known = {key: value for key, value in defaults.items() if key in Defaults.model_fields}
        data["bots"] = [_with_defaults(bot, known) if isinstance(bot, dict) else bot for bot in bots]
    return data


def _with_defaults(bot: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    merged = {**defaults, **bot}
    if isinstance(defaults.get("env"), dict) and isinstance(bot.get("env"), dict):
        merged["env"] = {**defaults["env"], **bot["env"]}
    return merged


def _without_nulls(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_nulls(item, depth - 1) if depth else item for key, item in value.items() if item is not None
        }
    if isinstance(value, list) and depth:
        return [_without_nulls(item, depth - 1) for item in value]
    return value


def _validated(
    data: dict[str, Any], document: Document, around: Surroundings
) -> tuple[FleetFile | None, list[Problem]]:
    try:
        return FleetFile.model_validate(data, context=around), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        meant = {_meant(detail["loc"]) for detail in details if detail["type"] == "extra_forbidden"}
        return None, [_problem(detail, document) for detail in details if not _is_echo(detail, document, meant)]


def _is_echo(detail: Any, document: Document, meant: Set[Place | None]) -> bool:
    """Whether an error only follows from another one, which is reported anyway; ``meant`` are misspelt keys."""
    place: Place = detail["loc"]
    if place in meant and place not in document.lines:
        return True
    if detail["type"] == "default_factory_not_called" or (detail["type"] == "too_short" and detail["input"]):
        return True
    of_bot = place[0] == "bots" and len(place) > 2 and place[:3] not in document.lines
    return of_bot and ("defaults", *place[2:]) in document.lines


def _problem(detail: Any, document: Document) -> Problem:
    return problem_at(tuple(key for key in detail["loc"] if key != "[key]"), detail, document)


def problem_at(place: Place, detail: Any, document: Document) -> Problem:
    """Say in our words what pydantic's ``detail`` finds wrong with the value at ``place``."""
    value = detail["input"]
    match detail["type"]:
        case "wrong":
            return document.problem(place, detail["ctx"]["text"], detail["ctx"]["remedy"])
        case "missing":
            text = "has no value" if place in document.lines else "is missing"
            return document.problem(place, text, f"write {place[-1]}: ...")
        case "extra_forbidden" if place[-1] == "api_key":
            return document.problem(place, "unknown key 'api_key'", LITERAL_KEY_REMEDY)
        case "extra_forbidden":
            return document.problem(place, f"unknown key {shown(place[-1])}", _nearest_key(place))
        case "string_type":
            scalar = isinstance(value, int | float)
            return document.problem(place, f"is {shown(value)}, not text", "put it in quotes" if scalar else "")
        case "int_type" | "int_parsing" | "int_from_float":
            return document.problem(place, f"is {shown(value)}, not a whole number")
        case "float_type" | "float_parsing":
            return document.problem(place, f"is {shown(value)}, not a number")
        case "bool_type" | "bool_parsing":
            return document.problem(place, f"is {shown(value)}", "write true or false")
        case "greater_than_equal":
            return document.problem(place, f"is {shown(value)}", f"write {detail['ctx']['ge']:g} or more")
        case "less_than_equal":
            return document.problem(place, f"is {shown(value)}", f"write {detail['ctx']['le']:g} or less")
        case "enum" | "literal_error":
            return document.problem(place, f"is {shown(value)}", f"write {detail['ctx']['expected']}")
        case "dict_type" | "model_type":
            return document.problem(place, "must be a mapping (key: value lines)")
        case "tuple_type":
            return document.problem(place, "must be a list (lines that begin with '- ')")
        case "too_short":
            return document.problem(place, "is empty", "add a bot: - name: ...")
        case _:
            return document.problem(place, detail["msg"])


def _nearest_key(place: Place) -> str:
    meant = _meant(place)
    return f"did you mean {meant[-1]!r}?" if meant else f"known keys: {', '.join(_section(place).model_fields)}"


def _meant(place: Place) -> Place | None:
    """Return the place that an unknown key was probably meant for."""
    near = get_close_matches(str(place[-1]), _section(place).model_fields, 1)
    return (*place[:-1], near[0]) if near else None


def _section(place: Place) -> type[BaseModel]:
    """Find the innermost section that holds the last key of ``place``."""
    return next(
        (_SECTIONS[key] for key in reversed(place[:-1]) if isinstance(key, str) and key in _SECTIONS), FleetFile
    )


def _document_problems(document: Document) -> Iterator[Problem]:
    for place in document.duplicates:
        yield document.problem(place, "appears twice", "keep one of the two")
    for place, text in document.scalars:
        if holds_token(text) and place[-1] not in ("token", "token_env"):
            yield document.problem(place, "holds a literal token", "put the token into .env and refer to it by ${NAME}")
        if holds_key(text) and place[-1] not in ("api_key", "api_key_env"):
            yield document.problem(place, "holds a literal key", "put the key into .env and refer to it by ${NAME}")


def _warnings(keys: FleetFile, document: Document, folder: Path) -> Iterator[Problem]:
    hook = keys.webhook
    if hook is None:
        return
    if "${" not in hook.secret_token:
        place = ("webhook", "secret_token")
        yield document.warning(place, "is a literal secret", "put it into .env and refer to it by ${NAME}")
    for key, value in (("ssl_cert_path", hook.ssl_cert_path), ("ssl_key_path", hook.key_path)):
        if value and not (folder / value).is_file():
            yield document.warning(("webhook", key), f"{value!r} does not exist", "put the file there before you start")
