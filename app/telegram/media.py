"""Which Bot API calls send a list of media links (course-format.md, sections 2.1 to 2.3, defect D41).

A link's type is known from an earlier send (its ``file_id`` is cached then), else from its name, else it is what
the element says; when Telegram finds it to be something else, ``probe`` asks the link's own server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout

from app.telegram.encode import Request

GROUP_LIMIT = 10
"""Most items of a media group."""

PROBE_TIMEOUT = 5.0

_EXTENSIONS = {
    "photo": "jpg jpeg png webp bmp",
    "video": "mp4 mov m4v mkv webm",
    "animation": "gif",
    "audio": "mp3 m4a ogg oga opus flac wav aac",
    "document": "pdf zip doc docx xls xlsx ppt pptx txt csv epub",
}
_KIND_OF_EXTENSION = {extension: kind for kind, names in _EXTENSIONS.items() for extension in names.split()}
_METHODS = {
    "photo": "sendPhoto",
    "video": "sendVideo",
    "animation": "sendAnimation",
    "audio": "sendAudio",
    "document": "sendDocument",
}
_GROUPS = {"photo": "visual", "video": "visual", "audio": "audio", "document": "document"}


@dataclass(frozen=True, slots=True)
class File:
    """What is known of a link: its kind (a Bot API field name such as ``photo``) and its file id, if it was sent."""

    kind: str
    file_id: str | None = None


@dataclass(frozen=True, slots=True)
class MediaCall:
    """One request of a list of links, and the links it sends, in order."""

    request: Request
    urls: tuple[str, ...]


def kind_by_name(url: str) -> str | None:
    """Return the kind that the extension of the link's path tells."""
    try:
        suffix = PurePosixPath(urlsplit(url).path).suffix
    except ValueError:
        return None
    return _KIND_OF_EXTENSION.get(suffix.removeprefix(".").lower())


def first_call(params: Mapping[str, Any], known: Mapping[str, File]) -> MediaCall:
    """Return the request that sends as many of ``params['media']`` at once as Telegram allows, from the first on."""
    urls: Sequence[str] = params["media"]
    files = [known.get(url) or File(kind_by_name(url) or params["kind"]) for url in urls]
    group = _GROUPS.get(files[0].kind)
    together = next((list(run) for key, run in groupby(files, lambda file: _GROUPS.get(file.kind)) if key), [])
    count = min(len(together), GROUP_LIMIT) if group else 1
    common = {"chat_id": params["chat_id"]}
    caption = {key: params[key] for key in ("caption", "parse_mode") if key in params}
    if count == 1:
        kind = files[0].kind
        request = Request(_METHODS[kind], {**common, kind: files[0].file_id or urls[0], **caption})
        return MediaCall(request, tuple(urls[:1]))
    items = [{"type": file.kind, "media": file.file_id or url} for file, url in zip(files[:count], urls, strict=False)]
    items[0] |= caption
    return MediaCall(Request("sendMediaGroup", {**common, "media": items}), tuple(urls[:count]))


def rest(params: Mapping[str, Any], sent: int) -> dict[str, Any] | None:
    """Return the parameters left after ``sent`` links, ``None`` when none is left; the caption went with the first."""
    urls = params["media"][sent:]
    return {"chat_id": params["chat_id"], "kind": params["kind"], "media": urls} if urls else None


def files_of(call: MediaCall, result: object) -> dict[str, File]:
    """Return what Telegram's answer tells of the links that were sent."""
    messages = result if isinstance(result, list) else [result]
    found = {}
    for url, message in zip(call.urls, messages, strict=False):
        file = _file_of(message)
        if file is not None:
            found[url] = file
    return found


def _file_of(message: object) -> File | None:
    if not isinstance(message, dict):
        return None
    # An animation is also given as a document, so the order of the kinds matters.
    for kind in ("photo", "video", "animation", "audio", "document"):
        body = message.get(kind)
        best = body[-1] if kind == "photo" and isinstance(body, list) and body else body
        if isinstance(best, dict) and isinstance(best.get("file_id"), str):
            return File(kind, best["file_id"])
    return None


async def probe(http: ClientSession, url: str) -> str | None:
    """Ask the link's server for its content type and return the kind; ``None`` when it does not say."""
    try:
        limits = ClientTimeout(total=PROBE_TIMEOUT)
        async with http.get(url, timeout=limits, headers={"Range": "bytes=0-0"}, max_redirects=5) as response:
            name = response.content_disposition.filename if response.content_disposition else None
            return kind_by_content_type(response.content_type) or (kind_by_name(f"/{name}") if name else None)
    except (ClientError, TimeoutError, ValueError):
        return None


def kind_by_content_type(content_type: str) -> str | None:
    """Return the kind of a MIME type; ``None`` for HTML and other things that are no files."""
    kind, _, subtype = content_type.lower().partition("/")
    if subtype == "gif":
        return "animation"
    return {"image": "photo", "video": "video", "audio": "audio"}.get(kind) or (
        "document" if subtype in ("pdf", "zip", "x-zip-compressed") else None
    )
