"""Asks the servers of a course's links whether Telegram will get from them what the course promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector

from app.course.course import Course
from app.course.document import Items, Node, Scalar, Table, parse
from app.course.element import AnyElement, Audio, Message, MiniApp, Quiz
from app.course.media import GOOGLE_HOSTS, is_link, media_url
from app.course.report import Report, quote
from app.errors import Problem
from app.telegram.media import kind_by_content_type, kind_by_name

TIMEOUT = 20.0
"""Seconds for one link, redirects included."""

CONNECTIONS = 10
CONNECTIONS_PER_HOST = 4

MAX_PHOTO = 5 * 1024 * 1024
MAX_FILE = 20 * 1024 * 1024
"""Bytes of a file that Telegram fetches itself (Bot API, "Sending files")."""


class LinkKind(Enum):
    """What a link leads to."""

    MEDIA = "a picture, a video or another file"
    AUDIO = "an audio file"
    PAGE = "the page of a mini app"


@dataclass(frozen=True, slots=True)
class Link:
    """One link and where it stands; ``url`` is what is fetched."""

    url: str
    kind: LinkKind
    file: str
    line: int
    column: int
    where: str

    def problem(self, text: str, remedy: str) -> Problem:
        """Return a warning about the link."""
        return Problem(self.file, self.line, self.column, self.where, text, remedy, "warning")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a server says about a file; ``size`` ``None`` when it does not say."""

    status: int
    content_type: str
    name: str | None
    size: int | None


def links_of(course: Course, text: str, file: str) -> Iterator[Link]:
    """Return the links of a course in file order; ``text`` is its file, ``file`` what that is called."""
    root = parse(text, Report(file))
    for element in course.elements.values():
        node = root.items.get(element.id) if isinstance(root, Table) else None
        if isinstance(node, Table):
            yield from _links(element, node, file)


def _links(element: AnyElement, node: Table, file: str) -> Iterator[Link]:
    match element:
        case Message() | Quiz():
            yield from _media(element.id, node, file, LinkKind.MEDIA)
        case Audio():
            yield from _media(element.id, node, file, LinkKind.AUDIO)
        case MiniApp(app_url=str(url)):
            place = node.items["app_url"].place
            yield Link(url, LinkKind.PAGE, file, place.line, place.column, f"{element.id}/app_url")
        case _:
            pass


def _media(element_id: str, node: Table, file: str, kind: LinkKind) -> Iterator[Link]:
    media: Node | None = node.items.get("media")
    items = media.items if isinstance(media, Items) else (media,)
    for number, item in enumerate(items, 1):
        url = media_url(item.text) if isinstance(item, Scalar) else ""
        if item is not None and is_link(url):
            yield Link(url, kind, file, item.place.line, item.place.column, f"{element_id}/media/{number}")


async def check_links(links: Iterable[Link], done: Callable[[], None] = lambda: None) -> list[Problem]:
    """Fetch the beginning of every link, each once; ``done`` is called after each of them."""
    places: dict[tuple[str, LinkKind], list[Link]] = {}
    for link in links:
        places.setdefault((link.url, link.kind), []).append(link)
    slots = asyncio.Semaphore(CONNECTIONS)

    async def check(http: ClientSession, url: str, kind: LinkKind) -> list[Problem]:
        async with slots:
            found = await _check(http, url, kind)
        done()
        return [link.problem(*found) for link in places[url, kind]] if found else []

    connector = TCPConnector(limit_per_host=CONNECTIONS_PER_HOST)
    async with ClientSession(connector=connector, timeout=ClientTimeout(total=TIMEOUT)) as http:
        found = await asyncio.gather(*(check(http, url, kind) for url, kind in places))
    return [problem for problems in found for problem in problems]


async def _check(http: ClientSession, url: str, kind: LinkKind) -> tuple[str, str] | None:
    """Return what is wrong with a link and what to do, ``None`` when nothing is."""
    answer = await _ask(http, url)
    if kind is LinkKind.PAGE and isinstance(answer, _Answer) and answer.status >= HTTPStatus.BAD_REQUEST:
        # The page may exist only with the number that is put behind its address.
        answer = await _ask(http, f"{url}0" if url.endswith("=") else f"{url.rstrip('/')}/0")
    if isinstance(answer, str):
        return f"{quote(url)} does not answer: {answer}", "check the link, or try again later"
    if answer.status >= HTTPStatus.BAD_REQUEST:
        return f"{quote(url)} answers with {_status(answer.status)}", _remedy(url)
    return None if kind is LinkKind.PAGE else _wrong_file(url, kind, answer)


async def _ask(http: ClientSession, url: str) -> _Answer | str:
    """Return what the server says about a link, or why it says nothing; only the headers are read."""
    try:
        async with http.get(url, headers={"Range": "bytes=0-0"}, max_redirects=5) as response:
            name = response.content_disposition.filename if response.content_disposition else None
            return _Answer(response.status, response.content_type, name, _size(response))
    except TimeoutError:
        return f"no answer within {TIMEOUT:g} seconds"
    except (ClientError, ValueError) as error:
        return str(error) or type(error).__name__


def _size(response: ClientResponse) -> int | None:
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    if total.isdecimal():
        return int(total)
    return response.content_length if response.status == HTTPStatus.OK else None


def _wrong_file(url: str, kind: LinkKind, answer: _Answer) -> tuple[str, str] | None:
    found = kind_by_content_type(answer.content_type) or kind_by_name(f"/{answer.name}") or kind_by_name(url)
    if answer.content_type == "text/html":
        return f"{quote(url)} is a web page, not {kind.value}", _remedy(url)
    if kind is LinkKind.AUDIO and found in ("photo", "video", "animation"):
        return f"{quote(url)} is {answer.content_type}, not {kind.value}", "use the link of an audio file"
    limit = MAX_PHOTO if found == "photo" else MAX_FILE
    if answer.size is not None and answer.size > limit:
        size, most = answer.size / 1024 / 1024, limit // 1024 // 1024
        return f"{quote(url)} has {size:.1f} MB, Telegram fetches at most {most} MB", "make the file smaller"
    return None


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _remedy(url: str) -> str:
    if urlsplit(url).hostname in GOOGLE_HOSTS:
        return "share the file with everyone who has the link"
    return "use the link that opens the file itself, without a login"
