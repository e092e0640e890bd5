"""The rules that single values of ``bots_config.yaml`` obey."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.config.options import COMMANDS
from app.config.settings import Api, Mode, VoiceProvider
from app.config.template import TemplateError, UnsetVariableError, is_variable_name, resolve, single_reference
from app.config.tokens import holds_key, is_well_formed, redacted, shown

SANDBOX = "sandbox"
"""The value of ``telegram`` that asks for the local Bot API with a chat page."""

RESERVED_NAMES = frozenset(
    {"postgres", "migrate", "proxy", "sandbox"}
    | {"monitoring", "prometheus", "alertmanager", "grafana", "postgres-exporter"}
)
"""Services of the compose file that are not bots."""

_URL = re.compile(r"(?P<site>https?://[^/]+|\$\{[^}]*\}[^/]*)(?P<path>/.*)?")

_SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

MEMORY_MINIMUM = 32 * 1024**2
"""Bytes without which no bot starts."""

WEBHOOK_PORTS = (443, 80, 88, 8443)
"""The ports that Telegram calls (https://core.telegram.org/bots/api#setwebhook)."""


LITERAL_KEY_REMEDY = "put the key into .env and write api_key_env: NAME_OF_THE_VARIABLE"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a config is checked against.

    ``official`` says whether bots talk to Telegram itself, ``sandbox`` whether to the sandbox. Without ``secrets``
    variables may be missing that only a running bot needs.
    """

    environ: Mapping[str, str]
    folder: Path
    scripts: Path
    official: bool = True
    sandbox: bool = False
    secrets: bool = True


def wrong(text: str, remedy: str = "") -> PydanticCustomError:
    """Make the error of a key whose value is wrong."""
    return PydanticCustomError("wrong", "{text}", {"text": text, "remedy": remedy})


def language_of(text: str) -> Literal["en", "ru"] | None:
    """Return the language that a ``LANGUAGE`` variable means (``ru``, ``ru_RU.UTF-8``), if it is one of ours."""
    match text[:2].lower():
        case "ru":
            return "ru"
        case "en":
            return "en"
        case _:
            return None


def _around(info: ValidationInfo) -> Surroundings:
    context = info.context
    return context if isinstance(context, Surroundings) else Surroundings({}, Path(), Path("scripts"), secrets=False)


def _resolved(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return resolve(value, _around(info).environ)
    except TemplateError as error:
        raise wrong(str(error), error.remedy) from None


def _text(value: str, info: ValidationInfo) -> str:
    _value(value, info)
    return value


def _value(text: str, info: ValidationInfo) -> str | None:
    """Resolve ``text``; None if a variable is missing and may be."""
    around = _around(info)
    try:
        return resolve(text, around.environ)
    except TemplateError as error:
        if not around.secrets and isinstance(error, UnsetVariableError):
            return None
        raise wrong(str(error), error.remedy) from None


def split_url(url: str) -> tuple[str, str]:
    """Split a webhook's address into site and path; a reference at its beginning stands for the site."""
    match = _URL.fullmatch(url)
    return (match["site"], match["path"] or "/") if match else (url, "/")


def is_service_name(name: str) -> bool:
    """Whether a bot can be called so."""
    return bool(_SERVICE_NAME.fullmatch(name)) and name not in RESERVED_NAMES


def _service_name(value: str) -> str:
    if not _SERVICE_NAME.fullmatch(value):
        raise wrong(
            f"{shown(value)} cannot be the name of a service",
            "use up to 63 letters a-z, digits, '.', '_', '-', beginning with a letter or digit",
        )
    if value in RESERVED_NAMES:
        raise wrong(f"{shown(value)} is the name of another service of the fleet", "choose another name")
    return value


def _not_blank(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise wrong(f"is {shown(value)}", "write some text in one line, or leave the key out")
    return value


def _variable_name(value: str) -> str:
    if not is_variable_name(value):
        raise wrong("is not the name of a variable", "write the variable's name here and its value into .env")
    return value


def _api_url(value: str, info: ValidationInfo) -> str:
    url = _value(value, info)
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        raise wrong(f"is {shown(url)}", "write it like https://api.openai.com/v1")
    if re.search(r"//[^/@]*:[^/@${]+@", value):
        raise wrong("holds a literal password", "put the address into .env and refer to it by ${NAME}")
    return value


def _marker(value: str, info: ValidationInfo) -> str:
    if not value.strip():
        raise wrong(f"is {shown(value)}", "write some text, or leave it out")
    return _text(value, info)


def _key_env(value: str, info: ValidationInfo) -> str:
    if holds_key(value) or re.fullmatch(r"[0-9a-fA-F]{32,}", value):
        raise wrong("holds a literal key", LITERAL_KEY_REMEDY)
    around = _around(info)
    if not around.environ.get(_variable_name(value)) and around.secrets:
        raise wrong(f"variable {value} is not set", f"put {value}=... into .env")
    return value


def _token_variable(name: str, info: ValidationInfo) -> None:
    """Check the token that a variable holds, without ever showing it."""
    around = _around(info)
    token = around.environ.get(name)
    if token and not is_well_formed(token, official=around.official):
        raise wrong(
            f"the value of {name} is not a bot token", "copy it from @BotFather: digits, a colon, 35 characters"
        )
    if not token and around.secrets and not around.sandbox:
        raise wrong(f"variable {name} is not set", f"put {name}=... into .env")


def _token_env(value: str, info: ValidationInfo) -> str:
    _token_variable(_variable_name(value), info)
    return value


def _token(value: str, info: ValidationInfo) -> str:
    try:
        reference = single_reference(value)
    except TemplateError:
        reference = None
    if reference is None or reference.default:
        raise wrong("holds a literal token", "put the token into .env and write token_env: NAME_OF_THE_VARIABLE")
    _token_variable(reference.name, info)
    return value


def _folder(value: str, info: ValidationInfo) -> str:
    around = _around(info)
    name = "/".join(part for part in value.split("/") if part not in ("", "."))
    if value.startswith("/") or ".." in name.split("/") or "\\" in value or not value.isprintable():
        raise wrong(f"{shown(value)} is outside scripts/", "name a folder inside scripts/")
    courses = around.scripts / name / "courses.yml"
    try:
        is_inside = courses.resolve().is_relative_to(around.scripts.resolve())
        is_there = courses.is_file()
    except (OSError, RuntimeError):  # RuntimeError: a symbolic link that leads to itself
        raise wrong(f"{shown(value)} cannot be a folder of scripts/", "name a folder inside scripts/") from None
    if not is_inside:
        raise wrong(f"{shown(value)} leads outside scripts/", "replace the symbolic link by a real folder")
    if not is_there:
        raise wrong(f"{_shown_folder(name)} has no courses.yml", _nearest_folder(name, around.scripts))
    return f"{name}/" if name else ""


def _shown_folder(name: str) -> str:
    return redacted(f"scripts/{name}/") if name else "scripts/"


def _nearest_folder(name: str, scripts: Path) -> str:
    folders = sorted(path.parent.name for path in scripts.glob("*/courses.yml"))
    near = get_close_matches(name, folders, 1)
    return f"did you mean {near[0]!r}?" if near else ""


def _https_url(value: str, info: ValidationInfo) -> str:
    url = _value(value, info)
    if url is None:
        return value
    try:
        parts = urlsplit(url)
        port = parts.port or (80 if parts.scheme == "http" else 443)
    except ValueError:
        raise wrong(f"{shown(url)} is not a URL", "write https://HOST or https://HOST:PORT") from None
    if (
        not value.isprintable()
        or parts.scheme not in (("https",) if _around(info).official else ("https", "http"))
        or not parts.hostname
    ):
        raise wrong(f"{shown(url)} is not an https:// URL", "Telegram calls webhooks by https only")
    if port not in WEBHOOK_PORTS:
        raise wrong(f"port {port} is not one that Telegram calls", "use 443, 80, 88 or 8443")
    return value.rstrip("/")


def _server_url(value: str) -> str:
    if value == SANDBOX:
        return value
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise wrong(
            f"is {shown(value)}", "write 'sandbox' or the http(s):// URL of a Bot API server, or leave the key out"
        )
    if parts.username or parts.password:
        raise wrong("holds a user or password", "a Bot API server is told bots' tokens only; leave it out")
    return value.rstrip("/")


def _url_path(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", value):
        raise wrong(f"{shown(value)} is not a URL path", "write it like /webhook")
    return value.rstrip("/")


def _webhook_secret(value: str, info: ValidationInfo) -> str:
    secret = _value(value, info)
    if secret is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", secret):
        raise wrong("is not a webhook secret", "use 1 to 256 letters a-z, digits, '_' and '-'")
    return value


def is_tag(value: str) -> bool:
    """Tell whether this can be the tag of an image."""
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", value) is not None


def _tag(value: str) -> str:
    if not is_tag(value):
        raise wrong(f"{shown(value)} is not an image tag", 'write it like "1.4.0"')
    return value


def _image(value: str) -> str:
    if ":" in value.rsplit("/", 1)[-1] or "@" in value:
        raise wrong(f"{shown(value)} has a tag", "write the image without it, and the tag as version")
    if not re.fullmatch(r"[a-z0-9][A-Za-z0-9._:/-]*", value):
        raise wrong(f"{shown(value)} is not the name of an image", "write it like ghcr.io/acme/flotilla")
    return value


def memory_bytes(size: str) -> int | None:
    """Return how many bytes a size like ``160m`` means, None if it is not a size."""
    match = re.fullmatch(r"([0-9]{1,15})([bkmg]?)b?", size)
    return int(match[1]) * 1024 ** "bkmg".index(match[2] or "b") if match else None


def _memory(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    size = str(value).lower()
    count = memory_bytes(size)
    if count is None:
        raise wrong(f"{shown(value)} is not a memory size", "write it like 160m or 1g")
    if count < MEMORY_MINIMUM:
        raise wrong(f"{shown(value)} is too little memory for a bot", "give it at least 32m; 160m is usual")
    return size


def _variables(value: Any) -> Any:
    """Let numbers stand for their text, as Compose does."""
    if not isinstance(value, dict):
        return value
    return {key: _number_text(item) for key, item in value.items()}


def _number_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _commands(value: Any) -> Any:
    """Accept a list of commands, a mapping that switches some on or off, and true or false for all of them."""
    match value:
        case bool():
            return COMMANDS if value else ()
        case dict() | list() | tuple():
            for name in value:
                _command(name)
        case _:
            raise wrong(f"is {shown(value)}", "write a list, like [menu, help], or false")
    if not isinstance(value, dict):
        return tuple(name for name in COMMANDS if name in value)
    for name, choice in value.items():
        if not isinstance(choice, bool):
            raise wrong(f"{name} is {shown(choice)}", f"write {name}: false or {name}: true")
    return tuple(name for name in COMMANDS if value.get(name, True))


def _command(name: Any) -> None:
    if name not in COMMANDS:
        near = get_close_matches(str(name), COMMANDS, 1)
        remedy = f"did you mean {near[0]!r}?" if near else f"the commands are {', '.join(COMMANDS)}"
        raise wrong(f"{shown(name)} is not a command", remedy)


def _chat(value: str) -> str:
    if not re.fullmatch(r"-?[0-9]+", value):
        raise wrong(f"{shown(value)} is not a chat", "write its number; that of a group or channel begins with '-'")
    return value


_Resolved = BeforeValidator(_resolved)

Line = Annotated[str, _Resolved, AfterValidator(_not_blank)]
Name = Annotated[str, _Resolved, AfterValidator(_service_name)]
Text = Annotated[str, AfterValidator(_text)]
"""Text that may refer to variables; the references stay in it, so that the generator needs no secrets."""
VariableName = Annotated[str, AfterValidator(_variable_name)]
Variables = Annotated[
    dict[VariableName, Text],
    BeforeValidator(_variables),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "integer"]}}),
]
TokenVariable = Annotated[str, AfterValidator(_token_env)]
TokenReference = Annotated[str, AfterValidator(_token)]
CoursesFolder = Annotated[str, _Resolved, AfterValidator(_folder)]
WebhookUrl = Annotated[str, AfterValidator(_https_url)]
WebhookSecret = Annotated[str, AfterValidator(_webhook_secret)]
ServerUrl = Annotated[str, _Resolved, AfterValidator(_server_url)]
UrlPath = Annotated[str, _Resolved, AfterValidator(_url_path)]
Tag = Annotated[str, _Resolved, AfterValidator(_tag)]
Image = Annotated[str, _Resolved, AfterValidator(_image)]
Memory = Annotated[str, BeforeValidator(_memory), _Resolved]
Replicas = Annotated[int, _Resolved, Field(ge=1, le=100)]
ChatId = Annotated[
    str,
    _Resolved,
    BeforeValidator(_number_text),
    AfterValidator(_chat),
    WithJsonSchema({"type": ["string", "integer"]}),
]
ModeName = Annotated[Mode, _Resolved]
Language = Annotated[Literal["en", "ru"], _Resolved]
Fallback = Annotated[Literal["polling"], _Resolved]
KeyVariable = Annotated[str, AfterValidator(_key_env)]
ApiUrl = Annotated[str, AfterValidator(_api_url)]
Marker = Annotated[str, AfterValidator(_marker)]
ApiName = Annotated[Api, _Resolved]
ProviderName = Annotated[VoiceProvider, _Resolved]
Effort = Annotated[str, _Resolved, AfterValidator(_not_blank)]
Temperature = Annotated[float, _Resolved, Field(ge=0, le=2)]
Seconds = Annotated[float, _Resolved, Field(ge=1, le=3600)]
Retries = Annotated[int, _Resolved, Field(ge=0, le=20)]
Connections = Annotated[int, _Resolved, Field(ge=1, le=100)]
Count = Annotated[int, _Resolved, Field(ge=1)]
Admin = Annotated[int, _Resolved]
Commands = Annotated[
    tuple[str, ...],
    BeforeValidator(_commands),
    WithJsonSchema(
        {
            "type": ["array", "object", "boolean"],
            "items": {"enum": list(COMMANDS)},
            "propertyNames": {"enum": list(COMMANDS)},
            "additionalProperties": {"type": "boolean"},
        }
    ),
]
"""Names from :data:`COMMANDS`, in its order."""
