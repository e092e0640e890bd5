"""The links of a course, fetched from a real web server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.course.loader import load_course
from app.runtime.links import CONNECTIONS_PER_HOST, Link, LinkKind, check_links, links_of

if TYPE_CHECKING:
    from tests.integration.cli.conftest import LinkServer

REMEDY = "use the link that opens the file itself, without a login"


def link(url: str, kind: LinkKind = LinkKind.MEDIA, where: str = "a/media/1") -> Link:
    return Link(url, kind, "a.yml", 3, 5, where)


def test_where_links_stand() -> None:
    text = """
a:
  type: message
  text: hi
  media:
    - https://drive.google.com/file/d/abc/view
    - no link
    - https://example.org/b c.jpg
b: {type: audio, media: https://example.org/a.mp3}
c: {type: miniapp, text: hi, button: go, app_url: https://example.org/app, question: {text: a, options: [x, y]}}
d: {type: message, text: https://example.org/not-fetched}
"""
    course, _ = load_course(text, "scripts/a.yml")
    assert list(links_of(course, text, "a.yml")) == [
        Link("https://drive.usercontent.google.com/download?id=abc", LinkKind.MEDIA, "a.yml", 6, 7, "a/media/1"),
        Link("https://example.org/b%20c.jpg", LinkKind.MEDIA, "a.yml", 8, 7, "a/media/3"),
        Link("https://example.org/a.mp3", LinkKind.AUDIO, "a.yml", 9, 25, "b/media/1"),
        Link("https://example.org/app", LinkKind.PAGE, "a.yml", 10, 51, "c/app_url"),
    ]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("cat.jpg", LinkKind.MEDIA),
        ("moved.jpg", LinkKind.MEDIA),
        ("song.mp3", LinkKind.AUDIO),
        ("unnamed", LinkKind.AUDIO),
        ("song.mp3", LinkKind.MEDIA),
        ("login", LinkKind.PAGE),
        ("only/with/its/number", LinkKind.PAGE),
    ],
)
async def test_links_that_are_good(links: LinkServer, path: str, kind: LinkKind) -> None:
    assert await check_links([link(f"{links.url}/{path}", kind)]) == []


@pytest.mark.parametrize(
    ("path", "kind", "problem", "remedy"),
    [
        ("gone.jpg", LinkKind.MEDIA, "answers with 404 Not Found", REMEDY),
        ("forbidden.jpg", LinkKind.MEDIA, "answers with 403 Forbidden", REMEDY),
        ("login", LinkKind.MEDIA, "is a web page, not a picture, a video or another file", REMEDY),
        ("login", LinkKind.AUDIO, "is a web page, not an audio file", REMEDY),
        ("cat.jpg", LinkKind.AUDIO, "is image/jpeg, not an audio file", "use the link of an audio file"),
        ("huge.jpg", LinkKind.MEDIA, "has 6.0 MB, Telegram fetches at most 5 MB", "make the file smaller"),
        ("broken.jpg", LinkKind.MEDIA, "does not answer: Server disconnected", "check the link, or try again later"),
    ],
)
async def test_links_that_are_not(links: LinkServer, path: str, kind: LinkKind, problem: str, remedy: str) -> None:
    url = f"{links.url}/{path}"
    found = await check_links([link(url, kind)])
    assert [str(one) for one in found] == [f"a.yml:3:5: a/media/1: '{url}' {problem}; {remedy}"]
    assert [one.severity for one in found] == ["warning"]


async def test_nobody_listens(links: LinkServer, unused_tcp_port: int) -> None:
    (problem,) = await check_links([link(f"http://127.0.0.1:{unused_tcp_port}/a.jpg")])
    assert problem.text.startswith(f"'http://127.0.0.1:{unused_tcp_port}/a.jpg' does not answer: Cannot connect")


async def test_every_link_is_asked_for_once_and_few_at_a_time(links: LinkServer) -> None:
    done: list[int] = []
    urls = [f"{links.url}/{number}/cat.jpg" for number in range(40)]
    places = [link(url, where=f"{where}/media/1") for url in urls for where in "ab"]
    assert await check_links(places, lambda: done.append(1)) == []
    assert (set(links.asked.values()), len(done)) == ({1}, 40)
    assert links.most_at_once <= CONNECTIONS_PER_HOST
    twice = [link(f"{links.url}/gone.jpg", where=f"{where}/media/1") for where in "ab"]
    assert [problem.where for problem in await check_links(twice)] == ["a/media/1", "b/media/1"]
    assert links.asked["/gone.jpg"] == 1
