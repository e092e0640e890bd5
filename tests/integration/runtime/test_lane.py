"""Webhook requests over a bare connection: the fast lane, and what it leaves to aiohttp, on the same connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from app.runtime.lane import HEAD_LIMIT, OK
from tests.integration.runtime.test_webhook import COURSE, SECRET, hooked, port, reached, update
from tests.stage import Stage, said, until

__all__ = ["port"]

GO = update(1, "/start")
LONG = b"X-Long: " + b"a" * HEAD_LIMIT
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def request(
    body: bytes, *more: bytes, first: bytes = b"POST /webhook/bot HTTP/1.1", secret: str = SECRET, length: bytes = b""
) -> bytes:
    """Return a request as Telegram sends it, but for what is given."""
    lines = (
        first,
        b"Host: bots.example.org",
        b"X-Telegram-Bot-Api-Secret-Token: " + secret.encode(),
        length or b"Content-Length: %d" % len(body),
        *more,
    )
    return b"\r\n".join([*lines, b"", body])


OTHERS = [
    (request(GO, first=b"POST /webhook/nobody HTTP/1.1"), b"404"),
    (request(GO, first=b"PUT /webhook/bot HTTP/1.1"), b"405"),
    (request(GO, secret="s3cre"), b"401"),
    (request(b"{"), b"400"),
    (request(b"null"), b"200"),
    (request(b"", length=b"Content-Length: 0"), b"400"),
    (request(b"", length=b"Content-Length: 1048577"), b"413"),
    (request(b"%x\r\n%b\r\n0\r\n\r\n" % (len(GO), GO), length=b"Transfer-Encoding: chunked"), b"200"),
    (request(GO, b"Connection: close"), b"200"),
    (request(GO, first=b"POST /webhook/bot?x=1 HTTP/1.1"), b"200"),
    (request(GO, first=b"POST /webhook/bot HTTP/1.0"), b"200"),
    (request(GO, b"Content-Length: 3"), b"400"),
    (request(GO, b"Transfer-Encoding: chunked"), b"400"),
    (request(GO, LONG), b"400"),
    (request(GO, b"\x00: x"), b"400"),
    (b"\x16\x03\x01 as TLS begins\r\n\r\n", b"400"),
    (b"nothing of HTTP" * HEAD_LIMIT, b"400"),
]
"""What the fast lane leaves to aiohttp, and the status of its answer."""


class Wire:
    """A connection to the host."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> bytes:
        """Return the next answer's head, and its body beside it unless it is empty."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next((line[16:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: ")), b"0")
        return head + await self.reader.readexactly(int(length))

    async def status(self, data: bytes) -> bytes:
        """Send a request and return its status."""
        await self.send(data)
        return (await self.answer()).split()[1]


@pytest.fixture
async def wire(stage: Stage) -> AsyncIterator[Wire]:
    stage.course(COURSE)
    await reached(stage.start(hooked(stage)))
    async with connected(stage) as opened:
        yield opened


@asynccontextmanager
async def connected(stage: Stage) -> AsyncIterator[Wire]:
    assert stage.listen is not None
    opened = Wire(*await asyncio.open_connection(*stage.listen))
    yield opened
    opened.writer.close()
    await opened.writer.wait_closed()


async def test_one_after_the_other(wire: Wire, stage: Stage) -> None:
    for number in range(1, 6):
        await wire.send(request(update(number, "/start", number)))
        assert await wire.answer() == OK
    assert stage.query("SELECT count(*) FROM run") == [(5,)]


async def test_in_any_pieces(wire: Wire, stage: Stage) -> None:
    for byte in request(GO):
        await wire.send(bytes([byte]))
        await asyncio.sleep(0)  # the host runs in this loop: it gets them apart
    assert await wire.answer() == OK
    assert stage.query("SELECT count(*) FROM run") == [(1,)]


async def test_several_at_once_are_answered_in_order(wire: Wire, stage: Stage) -> None:
    good = [request(update(number, "/start", number)) for number in range(1, 6)]
    await wire.send(b"".join(good) + request(b"{") + good[0])
    found = [await wire.answer() for _ in range(7)]
    assert found[:5] == [OK] * 5
    assert [answer.split()[1] for answer in found[5:]] == [b"400", b"200"]
    assert stage.query("SELECT count(*) FROM run") == [(5,)]


async def test_others_are_answered_as_ever(wire: Wire, stage: Stage) -> None:
    found = []
    for other, _ in OTHERS:
        async with connected(stage) as connection:
            await connection.send(request(update(9, "/start", 9)))
            assert await connection.answer() == OK
            found.append((other, await connection.status(other)))
    assert found == OTHERS


async def test_a_body_that_waits_to_be_asked_for(wire: Wire) -> None:
    whole = request(GO, b"Expect: 100-continue")
    assert await wire.status(whole[: -len(GO)]) == b"100"
    assert await wire.status(GO) == b"200"


async def test_a_head_that_ends_twice_is_not_read_in_two_ways(wire: Wire, stage: Stage) -> None:
    """An empty line without CR might end the head for one reader and not for the next."""
    hidden = request(update(2, "/start", 2))
    assert await wire.status(request(GO, b"X: y\n\n" + hidden)) == b"400"
    assert stage.query("SELECT count(*) FROM run") == [(0,)]


async def test_after_a_page_the_same_connection_takes_updates(wire: Wire) -> None:
    assert await wire.status(b"GET /app/bot/1 HTTP/1.1\r\nHost: x\r\n\r\n") == b"200"
    assert await wire.status(request(GO)) == b"200"


async def test_a_request_under_way_when_the_host_stops_is_answered(stage: Stage) -> None:
    stage.course(COURSE)
    host = stage.start(hooked(stage))
    await reached(host)
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("hello"))
    async with connected(stage) as busy, connected(stage) as idle:
        await idle.send(request(update(1, "/start", 1)))
        assert await idle.answer() == OK
        with psycopg.connect(stage.database_url) as holder:
            holder.execute("SELECT FROM chat WHERE chat_id = 7 FOR UPDATE")
            await busy.send(request(update(9_000_000_000_000, "well")))
            await until(lambda: stage.query(BLOCKED) == [(1,)])
            stopping = asyncio.create_task(stage.stop(host))
            await asyncio.sleep(0)  # which has it begin
        assert await busy.answer() == OK
        assert [await connection.reader.read() for connection in (busy, idle)] == [b"", b""]
        await stopping
    assert stage.query("SELECT count(*) FROM seen_update WHERE update_id = 9000000000000") == [(1,)]


async def test_a_request_given_up_counts_and_hurts_nobody(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.course(COURSE)
    await reached(stage.start(hooked(stage)))
    async with connected(stage) as connection:
        await connection.send(request(GO))
    await until(lambda: stage.query("SELECT count(*) FROM run") == [(1,)])
    async with connected(stage) as connection:
        await connection.send(request(GO))
        assert await connection.answer() == OK
    assert not caplog.records
