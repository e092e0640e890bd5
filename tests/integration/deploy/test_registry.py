"""Tags of an image, from a registry that asks for a token as the public ones do, and lists them in pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from app.deploy.registry import remote_tags, tags_url

TAGS = [f"1.{number}.0" for number in range(5)]
PAGE = 2


class Registry:
    """A registry at ``address``; ``asked`` are the scopes of the tokens that it gave out."""

    def __init__(self) -> None:
        self.address = ""
        self.asked: list[str] = []
        self.held = asyncio.Event()

    async def tags(self, request: web.Request) -> web.Response:
        if request.match_info["name"] == "slow":
            await self.held.wait()
        if request.headers.get("Authorization") != "Bearer tkn":
            scope = f"repository:acme/{request.match_info['name']}:pull"
            said = f'Bearer realm="http://{self.address}/token",service="the, registry",scope="{scope}"'
            return web.Response(status=401, headers={"WWW-Authenticate": said})
        if request.match_info["name"] != "flotilla":
            return web.Response(status=404)
        start = TAGS.index(request.query["last"]) + 1 if "last" in request.query else 0
        page = TAGS[start : start + PAGE]
        more = f'</v2/acme/flotilla/tags/list?last={page[-1]}>; rel="next"'
        headers = {"Link": more} if start + PAGE < len(TAGS) else {}
        return web.json_response({"name": "acme/flotilla", "tags": [*page, "\x1b[2Jcleared"]}, headers=headers)

    async def token(self, request: web.Request) -> web.Response:
        assert request.query["service"] == "the, registry"
        self.asked.append(request.query["scope"])
        return web.json_response({"token": "tkn"})


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    registry = Registry()
    application = web.Application()
    application.router.add_get("/v2/acme/{name}/tags/list", registry.tags)
    application.router.add_get("/token", registry.token)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    registry.address = f"127.0.0.1:{runner.addresses[0][1]}"
    yield registry
    registry.held.set()
    await runner.cleanup()


async def test_all_pages_with_a_token_that_everybody_gets(registry: Registry) -> None:
    assert await remote_tags(f"{registry.address}/acme/flotilla") == TAGS
    assert registry.asked == ["repository:acme/flotilla:pull"]


@pytest.mark.parametrize("name", ["other", "slow"])
async def test_silence_otherwise(registry: Registry, name: str) -> None:
    assert await remote_tags(f"{registry.address}/acme/{name}", 0.3) is None


async def test_nobody_there() -> None:
    assert await remote_tags("127.0.0.1:1/acme/flotilla") is None


@pytest.mark.parametrize(
    ("image", "url"),
    [
        ("ghcr.io/acme/flotilla", "https://ghcr.io/v2/acme/flotilla/tags/list"),
        ("acme/flotilla", "https://registry-1.docker.io/v2/acme/flotilla/tags/list"),
        ("flotilla", "https://registry-1.docker.io/v2/library/flotilla/tags/list"),
        ("docker.io/flotilla", "https://registry-1.docker.io/v2/library/flotilla/tags/list"),
        ("localhost:5000/flotilla", "http://localhost:5000/v2/flotilla/tags/list"),
        ("registry:5000/a/b/flotilla", "https://registry:5000/v2/a/b/flotilla/tags/list"),
    ],
)
def test_where_an_image_is(image: str, url: str) -> None:
    assert tags_url(image) == url
