"""The arguments of a Bot API call, read as leniently and refused in the same words as Telegram does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.course.element import ParseMode
from app.course.markup import Entity, MarkupError, Parsed, checked_link, parse, utf16_length
from app.sandbox.errors import bad_request

UNKNOWN_TYPE = "application/octet-stream"
CALLBACK_DATA_LIMIT = 64
"""Bytes of UTF-8."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a multipart request."""

    name: str
    content: bytes = field(repr=False)
    mime_type: str = UNKNOWN_TYPE


class Arguments:
    """The arguments by name: texts from a query or form, anything from JSON; ``null`` is the same as absent."""

    def __init__(self, values: Mapping[str, Any], files: Mapping[str, Upload] | None = None) -> None:
        self.values = {name: value for name, value in values.items() if value is not None}
        self.files = dict(files or {})
        try:
            json.dumps(self.values, ensure_ascii=False).encode()
        except (UnicodeEncodeError, RecursionError):
            raise bad_request("strings must be encoded in UTF-8") from None

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str) -> str:
        """Return a string, empty when absent."""
        value = self.values.get(name, "")
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def boolean(self, name: str, default: bool = False) -> bool:
        """Return a flag."""
        return self.text(name).strip().lower() in ("true", "yes", "1") if name in self else default

    def integer(self, name: str, default: int = 0) -> int:
        """Return a whole number, 0 when it is none."""
        if name not in self:
            return default
        try:
            return int(self.text(name))
        except ValueError:
            return 0

    def number_list(self, name: str) -> list[int]:
        """Return a list of whole numbers, empty when absent."""
        value = self.json(name, f"can't parse {name} JSON object")
        if value is None:
            return []
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise bad_request(f"expected an Array of Integer as {name}")
        return value

    def json(self, name: str, complaint: str) -> Any:
        """Return a JSON value, decoded if it is a text, ``None`` when absent; refuse other text with ``complaint``."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise bad_request(complaint) from None

    def formatted(self, name: str, mode: str = "parse_mode", entities: str = "entities") -> Parsed:
        """Return the text of this name after entity parsing, without the white space around it."""
        ready = self.json(entities, "can't parse entities JSON object")
        return trimmed(parsed_text(self.text(name), self.text(mode), ready))

    def reply_markup(self) -> dict[str, Any] | None:
        """Return the checked keyboard; only inline keyboards are kept, the other kinds are accepted."""
        markup = self.json("reply_markup", "can't parse reply keyboard markup JSON object")
        if markup is None:
            return None
        if not isinstance(markup, dict):
            raise bad_request("object expected as reply markup")
        rows = markup.get("inline_keyboard")
        if rows is None:
            return None
        if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
            raise bad_request('field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays')
        checked = [[_button(button) for button in row] for row in rows if row]
        return {"inline_keyboard": checked} if checked else None


def parsed_text(text: str, parse_mode: str, entities: Any = None) -> Parsed:
    """Return the text after entity parsing; entities that came ready made are taken when there is no parse mode."""
    match parse_mode.lower():
        case "" | "none":
            return Parsed(text, _ready_entities(entities))
        case "markdown":
            mode = ParseMode.MARKDOWN
        case "html":
            mode = ParseMode.HTML
        case "markdownv2":
            raise bad_request("can't parse entities: the sandbox does not read MarkdownV2")
        case _:
            raise bad_request("unsupported parse_mode")
    try:
        return parse(text, mode)
    except MarkupError as error:
        raise bad_request(str(error)) from None


def trimmed(parsed: Parsed) -> Parsed:
    """Return the text without white space at both ends, entities moved and cut accordingly."""
    plain = parsed.plain.strip()
    skipped = utf16_length(parsed.plain) - utf16_length(parsed.plain.lstrip())
    end = utf16_length(plain)
    entities = []
    for entity in parsed.entities:
        first, last = max(entity.offset - skipped, 0), min(entity.offset - skipped + entity.length, end)
        if first < last:
            entities.append(
                Entity(entity.type, first, last - first, entity.url, entity.language, entity.custom_emoji_id)
            )
    return Parsed(plain, tuple(entities))


def entity_bodies(parsed: Parsed) -> list[dict[str, Any]]:
    """Return the Bot API's ``MessageEntity`` objects."""
    names = ("type", "offset", "length", "url", "language", "custom_emoji_id")
    return [
        {name: getattr(entity, name) for name in names if getattr(entity, name) is not None}
        for entity in parsed.entities
    ]


def _ready_entities(entities: Any) -> tuple[Entity, ...]:
    if not isinstance(entities, list):
        return ()
    result = []
    for entity in entities:
        try:
            kind, offset, length = str(entity["type"]), int(entity["offset"]), int(entity["length"])
            result.append(Entity(kind, offset, length, entity.get("url"), entity.get("language")))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise bad_request("can't parse MessageEntity: wrong field") from None
    return tuple(result)


def _button(button: Any) -> dict[str, Any]:
    if not isinstance(button, dict):
        raise bad_request("can't parse inline keyboard button: InlineKeyboardButton must be an Object")
    text = button.get("text")
    if not isinstance(text, str):
        raise bad_request("can't parse inline keyboard button: Can't find field \"text\"")
    if not text.strip():
        raise bad_request("BUTTON_TEXT_INVALID")
    if "web_app" in button:
        return {"text": text, "web_app": {"url": _app_url(button["web_app"])}}
    if "url" in button:
        return {"text": text, "url": _button_url(str(button["url"]))}
    if "callback_data" in button:
        data = button["callback_data"]
        if not isinstance(data, str) or not 1 <= len(data.encode()) <= CALLBACK_DATA_LIMIT:
            raise bad_request("BUTTON_DATA_INVALID")
        return {"text": text, "callback_data": data}
    if len(button) == 1:
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    return dict(button)


def _app_url(app: Any) -> str:
    """Return a mini app's address; Telegram takes https only, but who tests at home has no certificate."""
    if not isinstance(app, dict):
        raise bad_request("can't parse inline keyboard button: WebAppInfo must be an Object")
    url = str(app.get("url", ""))
    if not re.match(r"https?://[^/?#\s]+", url):
        raise bad_request(f"inline keyboard button Web App URL '{url}' is invalid: Only HTTPS links are allowed")
    return url


def _button_url(url: str) -> str:
    link = checked_link(url)
    if link is None:
        raise bad_request("BUTTON_URL_INVALID")
    return link
