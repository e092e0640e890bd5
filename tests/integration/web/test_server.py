"""The web server of a host, over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from app.runtime.web import BODY_LIMIT, AddressInUseError, WebServer

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'",
}


async def read(request: web.Request) -> web.StreamResponse:
    return web.json_response({"bytes": len(await request.read())}, headers={"Cache-Control": "max-age=1"})


async def fail(request: web.Request) -> web.StreamResponse:
    raise RuntimeError("the password is 1234")


@pytest.fixture
async def server() -> AsyncIterator[WebServer]:
    async with WebServer(("127.0.0.1", 0), [web.post("/read", read), web.get("/fail", fail)]) as server:
        yield server


async def ask(server: WebServer, verb: str, path: str, **options: Any) -> tuple[int, Any, dict[str, str]]:
    url = f"http://127.0.0.1:{server.port}{path}"
    async with aiohttp.request(verb, url, **options) as response:
        return response.status, json.loads(await response.read()), dict(response.headers)


async def test_an_answer_keeps_its_own_headers_and_gets_the_others(server: WebServer) -> None:
    status, body, headers = await ask(server, "POST", "/read", data=b"abc")
    assert (status, body) == (200, {"bytes": 3})
    assert {name: headers[name] for name in HEADERS} == HEADERS | {"Cache-Control": "max-age=1"}


@pytest.mark.parametrize(
    ("verb", "path", "status", "error"),
    [
        ("GET", "/", 404, "not found"),
        ("GET", "/read", 405, "method not allowed"),
        ("GET", "/fail", 500, "something went wrong here; try again"),
    ],
)
async def test_errors_are_json_and_say_no_more_than_they_should(
    server: WebServer, verb: str, path: str, status: int, error: str
) -> None:
    found, body, headers = await ask(server, verb, path)
    assert (found, body) == (status, {"ok": False, "error": error})
    assert {name: headers[name] for name in HEADERS} == HEADERS


async def test_the_largest_body(server: WebServer) -> None:
    assert (await ask(server, "POST", "/read", data=bytes(BODY_LIMIT)))[:2] == (200, {"bytes": BODY_LIMIT})
    status, body, _ = await ask(server, "POST", "/read", data=bytes(BODY_LIMIT + 1))
    assert (status, body) == (413, {"ok": False, "error": "request entity too large"})


async def test_requests_leave_no_trace_in_the_log(server: WebServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        await ask(server, "POST", "/read?init_data=secret", data=b"secret")
        await ask(server, "GET", "/nothing?init_data=secret")
    assert "secret" not in caplog.text


async def test_a_port_that_is_taken(server: WebServer) -> None:
    with pytest.raises(AddressInUseError) as refused:
        async with WebServer(("127.0.0.1", server.port), []):
            pass
    assert str(refused.value) == (
        f"port {server.port} of 127.0.0.1 cannot be used for web pages (address already in use); "
        "stop the program that uses it, or choose another"
    )
