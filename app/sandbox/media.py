"""The methods that send files. Links are checked by their look and never loaded."""

from __future__ import annotations

import mimetypes
import secrets
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from app.sandbox.arguments import Arguments, Upload, parsed_text, trimmed
from app.sandbox.errors import bad_request, not_found
from app.sandbox.messages import caption_content, chat_of
from app.sandbox.state import Bot, Media

MOST_ITEMS = 10
"""Items of an album."""
DOWNLOAD_LIMIT = 20 * 1024 * 1024
"""Bytes of a file that a bot can load."""
WRONG_FILE = "wrong file identifier/HTTP URL specified"
Json = dict[str, Any]

ACCEPTED = {
    "photo": ("image/",),
    "video": ("video/",),
    "audio": ("audio/", "video/mp4"),
    "voice": ("audio/",),
    "animation": ("image/gif", "video/"),
    "document": ("",),
}
"""What the content type of a link's name must begin with, by kind of message; names that tell nothing are accepted."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A file with its caption, ready to send."""

    media: Media
    caption: Json


def send(kind: str, bot: Bot, args: Arguments) -> Json:
    """Send one file of this kind."""
    chat = chat_of(bot, args)
    caption = caption_content(args.formatted("caption", entities="caption_entities"))
    media = _media(bot, kind, args.text(kind), args, "wrong type of the web page content")
    if args.integer("duration") > 0:
        media = replace(media, seconds=args.integer("duration"))
    markup = args.reply_markup()
    message = bot.add(chat, True, media_body(media) | caption)
    message.media = media
    message.show(markup)
    return message.body


def send_media_group(bot: Bot, args: Arguments) -> list[Json]:
    """Send an album; one item alone is accepted too, as Telegram does."""
    chat = chat_of(bot, args)
    items = [_item(bot, number, entry, args) for number, entry in enumerate(_entries(args), 1)]
    group = {"media_group_id": str(secrets.randbits(53))} if len(items) > 1 else {}
    bodies = []
    for item in items:
        message = bot.add(chat, True, media_body(item.media) | item.caption | group)
        message.media = item.media
        bodies.append(message.body)
    return bodies


def get_file(bot: Bot, args: Arguments) -> Json:
    """Return where a file can be loaded from."""
    media = bot.files.get(args.text("file_id"))
    if media is None:
        raise bad_request("invalid file_id")
    if len(media.content) > DOWNLOAD_LIMIT:
        raise bad_request("file is too big")
    suffix = mimetypes.guess_extension(media.mime_type) or ""
    return _file_body(media) | {"file_path": f"{media.kind}s/{media.file_id}{suffix}"}


def file_at(bot: Bot, path: str) -> Media:
    """Return the uploaded file of a path that ``get_file`` gave."""
    name = path.rpartition("/")[2].partition(".")[0]
    media = bot.files.get(name)
    if media is None or media.url is not None:
        raise not_found()
    return media


def media_body(media: Media) -> Json:
    """Return the field of a ``Message`` that holds this file."""
    body = _file_body(media)
    named = {"mime_type": media.mime_type} | ({"file_name": media.name} if media.name else {})
    match media.kind:
        case "photo":
            return {"photo": [body | {"width": 90, "height": 60}, body | {"width": 1280, "height": 853}]}
        case "video":
            return {"video": body | named | {"width": 1280, "height": 720, "duration": 0}}
        case "audio":
            return {"audio": body | named | {"duration": 0}}
        case "voice":
            return {"voice": body | {"mime_type": media.mime_type, "duration": media.seconds or 1}}
        case "animation":
            return {"animation": body | named | {"width": 320, "height": 240, "duration": 0}, "document": body | named}
        case _:
            return {"document": body | named}


def _file_body(media: Media) -> Json:
    return {"file_id": media.file_id, "file_unique_id": media.file_id[-12:], "file_size": len(media.content)}


def _entries(args: Arguments) -> list[Json]:
    entries = args.json("media", "can't parse media JSON object")
    if not isinstance(entries, list):
        raise bad_request("expected an Array of InputMedia")
    if not entries:
        raise bad_request("there are no messages to send")
    if len(entries) > MOST_ITEMS:
        raise bad_request("too many messages to send as an album")
    if not all(isinstance(entry, dict) for entry in entries):
        raise bad_request("can't parse InputMedia: expected an Object")
    kinds = {str(entry.get("type")) for entry in entries}
    for kind in sorted(kinds - {"photo", "video"}):
        if kind not in ("audio", "document"):
            raise bad_request(f"media type {kind} can't be used in an album")
        if len(kinds) > 1:
            raise bad_request(f"{kind} can't be mixed with other media types")
    return entries


def _item(bot: Bot, number: int, entry: Json, args: Arguments) -> _Item:
    caption = parsed_text(
        str(entry.get("caption") or ""), str(entry.get("parse_mode") or ""), entry.get("caption_entities")
    )
    wrong = f'failed to send message #{number} with the error message "WEBPAGE_MEDIA_EMPTY"'
    media = _media(bot, str(entry["type"]), str(entry.get("media") or ""), args, wrong)
    return _Item(media, caption_content(trimmed(caption)))


def _media(bot: Bot, kind: str, source: str, args: Arguments, wrong_type: str) -> Media:
    """Return the file that ``source`` names (link, file id or ``attach://`` name), or that was uploaded as ``kind``."""
    upload = args.files.get(source.removeprefix("attach://") if source.startswith("attach://") else kind)
    if upload is not None:
        return _uploaded(bot, kind, upload)
    if not source:
        raise bad_request(f"there is no {kind} in the request")
    if source in bot.files:
        return _known(bot.files[source], kind)
    return _linked(bot, kind, source, wrong_type)


def _uploaded(bot: Bot, kind: str, upload: Upload) -> Media:
    if not upload.content:
        raise bad_request("file must be non-empty")
    return bot.keep(kind, content=upload.content, name=upload.name, mime_type=upload.mime_type)


def _known(media: Media, kind: str) -> Media:
    if media.kind != kind:
        raise bad_request(f"can't use file of type {media.kind.capitalize()} as {kind.capitalize()}")
    return media


def _linked(bot: Bot, kind: str, link: str, wrong_type: str) -> Media:
    try:
        parts = urlsplit(link)
    except ValueError:
        raise bad_request(WRONG_FILE) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise bad_request(WRONG_FILE)
    content_type = mimetypes.guess_type(parts.path)[0]
    if content_type and not content_type.startswith(ACCEPTED[kind]):
        raise bad_request(wrong_type)
    name = parts.path.rpartition("/")[2]
    return bot.keep(kind, url=link, name=name, mime_type=content_type or "application/octet-stream")
