"""A web server with files, as courses link to; and commands that look into the store, called in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from typer.testing import CliRunner

from app.cli.main import cli
from app.errors import FlotillaError

PAGE = {"Content-Type": "text/html"}


class LinkServer:
    """Serves files of many kinds under ``url``; ``asked`` counts the requests for each path."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: dict[str, int] = {}
        self.most_at_once = 0
        self._now = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked[path] = self.asked.get(path, 0) + 1
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(0)
        try:
            return self._answer(request)
        finally:
            self._now -= 1

    def _answer(self, request: web.Request) -> web.StreamResponse:
        match request.path.rpartition("/")[2]:
            case "cat.jpg":
                return _part(b"x" * 100, "image/jpeg")
            case "huge.jpg":
                return _part(b"x", "image/jpeg", 6 * 1024 * 1024)
            case "song.mp3":
                return _part(b"x" * 100, "audio/mpeg")
            case "unnamed":
                return _part(b"x", "application/octet-stream", disposition='attachment; filename="a.mp3"')
            case "login" | "0":
                return web.Response(text="<html>", headers=PAGE)
            case "moved.jpg":
                raise web.HTTPFound("/cat.jpg")
            case "forbidden.jpg":
                raise web.HTTPForbidden
            case "broken.jpg":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case _:
                raise web.HTTPNotFound


def _part(content: bytes, content_type: str, size: int | None = None, disposition: str = "") -> web.Response:
    headers = {"Content-Type": content_type, "Content-Range": f"bytes 0-0/{size or len(content)}"}
    if disposition:
        headers["Content-Disposition"] = disposition
    return web.Response(status=206, body=content[:1], headers=headers)


@pytest.fixture
async def links() -> AsyncIterator[LinkServer]:
    server = LinkServer()
    application = web.Application()
    application.router.add_get("/{path:.*}", server.serve)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


Flotilla = Callable[..., list[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder; it is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str, stdin: str | bytes | None = None) -> list[str]:
    """Run the command, and return the lines it prints; raises what it tells on standard error."""
    result = CliRunner().invoke(cli, list(arguments), input=stdin)
    if isinstance(result.exception, FlotillaError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


@pytest.fixture
def flotilla(folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Flotilla:
    """The command with a database in DATABASE_URL and no config, as in the container of ``migrate``."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return call
