"""The hot path's HTTP, against servers that behave well and badly."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.telegram import wire as module
from app.telegram.api import TelegramSession
from app.telegram.error import Unavailable
from app.telegram.wire import NoAnswerError, NotConnectedError, Wire

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"ok":true}'
CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"ok"\r\n6\r\n:true}\r\n0\r\n\r\n'
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + OK
LAST = b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 11\r\n\r\n{"ok":true}'

Behave = Callable[["Peer", asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A server that answers each request as it is told, and remembers the requests of each connection."""

    def __init__(self, behave: Behave) -> None:
        self._behave = behave
        self.requests: list[list[bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests: list[bytes] = []
        self.requests.append(requests)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                requests.append(head + await reader.readexactly(length))
                await self._behave(self, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def served(behave: Behave, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Peer, int]]:
    peer = Peer(behave)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield peer, server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def wired(url: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    wire = Wire(url, tls)
    try:
        yield wire
    finally:
        await wire.close()


def says(answer: bytes) -> Behave:
    async def behave(_: Peer, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return behave


async def hangs_up(_: Peer, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def is_silent(_: Peer, _writer: asyncio.StreamWriter) -> None:
    pass


@pytest.mark.parametrize(
    "answer", [pytest.param(OK, id="length"), pytest.param(CHUNKED, id="chunked"), pytest.param(INTERIM, id="interim")]
)
async def test_requests_share_a_connection(answer: bytes) -> None:
    async with served(says(answer)) as (peer, port), wired(f"http://127.0.0.1:{port}/api/") as wire:
        for number in range(3):
            assert await wire.post("/bot1:a/getMe", b"%d" % number, 5) == (200, b'{"ok":true}')
    ((first, *others),) = peer.requests
    assert len(others) == 2
    assert first == (
        b"POST /api/bot1:a/getMe HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: */*\r\nUser-Agent: Flotilla\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1\r\n\r\n0" % port
    )


async def test_an_answer_in_single_bytes() -> None:
    async def behave(_: Peer, writer: asyncio.StreamWriter) -> None:
        for byte in CHUNKED:
            writer.write(bytes([byte]))
            await writer.drain()

    async with served(behave) as (_, port), wired(f"http://127.0.0.1:{port}") as wire:
        assert await wire.post("/a", b"{}", 5) == (200, b'{"ok":true}')


async def test_requests_at_once_have_connections_of_their_own() -> None:
    everyone = asyncio.Barrier(3)

    async def behave(_: Peer, writer: asyncio.StreamWriter) -> None:
        await everyone.wait()
        writer.write(OK)

    async with served(behave) as (peer, port), wired(f"http://127.0.0.1:{port}") as wire:
        for _ in range(2):
            await asyncio.gather(*(wire.post("/a", b"{}", 5) for _ in range(3)))
    assert [len(requests) for requests in peer.requests] == [2, 2, 2]


async def test_a_server_that_ends_the_connection_gets_another_one() -> None:
    async with served(says(LAST)) as (peer, port), wired(f"http://127.0.0.1:{port}") as wire:
        for _ in range(2):
            assert (await wire.post("/a", b"{}", 5))[0] == 200
    assert [len(requests) for requests in peer.requests] == [1, 1]


async def test_a_connection_that_the_server_has_closed_meanwhile_is_not_used() -> None:
    async def behave(_: Peer, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        writer.close()

    async with served(behave) as (peer, port), wired(f"http://127.0.0.1:{port}") as wire:
        assert (await wire.post("/a", b"{}", 5))[0] == 200
        (connection,) = wire._idle
        async with asyncio.timeout(5):
            while connection.is_reusable:  # noqa: ASYNC110 - the server's goodbye is on its way
                await asyncio.sleep(0)
        assert (await wire.post("/a", b"{}", 5))[0] == 200
    assert [len(requests) for requests in peer.requests] == [1, 1]


async def test_a_connection_that_was_unused_for_long_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", -1.0)
    async with served(says(OK)) as (peer, port), wired(f"http://127.0.0.1:{port}") as wire:
        for _ in range(2):
            assert (await wire.post("/a", b"{}", 5))[0] == 200
    assert [len(requests) for requests in peer.requests] == [1, 1]


async def test_a_second_answer_is_nobodys() -> None:
    """What comes too much must not be taken for the answer to the next request."""
    twice = OK + OK.replace(b"true", b"null")[:-3]
    async with served(says(twice)) as (peer, port), wired(f"http://127.0.0.1:{port}") as wire:
        for _ in range(2):
            assert await wire.post("/a", b"{}", 5) == (200, b'{"ok":true}')
    assert [len(requests) for requests in peer.requests] == [1, 1]


TROUBLES = [
    pytest.param(hangs_up, "connection lost", id="hangs up"),
    pytest.param(says(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"), "no answer within 0.2 s", id="half"),
    pytest.param(says(b"SSH-2.0-OpenSSH_9.6\r\n"), "the answer is not HTTP", id="not HTTP"),
    pytest.param(is_silent, "no answer within 0.2 s", id="silent"),
]


@pytest.mark.parametrize(("behave", "reason"), TROUBLES)
async def test_a_request_without_an_answer_may_have_taken_effect(behave: Behave, reason: str) -> None:
    async with served(behave) as (peer, port), wired(f"http://127.0.0.1:{port}") as wire:
        for _ in range(2):
            with pytest.raises(NoAnswerError, match=f"^{reason}$"):
                await wire.post("/a", b"{}", 0.2)
        assert not wire._idle
    assert [len(requests) for requests in peer.requests] == [1, 1]


async def test_an_answer_that_was_cut_off() -> None:
    async def behave(_: Peer, writer: asyncio.StreamWriter) -> None:
        writer.write(OK[:-3])
        writer.close()

    async with served(behave) as (_, port), wired(f"http://127.0.0.1:{port}") as wire:
        with pytest.raises(NoAnswerError, match=r"^connection lost$"):
            await wire.post("/a", b"{}", 5)


async def test_a_request_given_up_takes_its_connection_along() -> None:
    came = asyncio.Event()

    async def behave(_: Peer, _writer: asyncio.StreamWriter) -> None:
        came.set()

    async with served(behave) as (peer, port), wired(f"http://127.0.0.1:{port}") as wire:
        request = asyncio.create_task(wire.post("/a", b"{}", 30))
        await came.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert not wire._idle
    assert len(peer.requests) == 1


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with wired(f"http://127.0.0.1:{port}") as wire:
        with pytest.raises(NotConnectedError, match=f"^cannot connect to 127.0.0.1:{port}$"):
            await wire.post("/a", b"{}", 5)


async def test_a_name_that_does_not_exist() -> None:
    async with wired("http://flotilla.invalid") as wire:
        with pytest.raises(NotConnectedError, match=r"^cannot connect to flotilla\.invalid:80$"):
            await wire.post("/a", b"{}", 5)


async def test_a_server_that_does_not_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS begins and is never answered."""
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        async with wired(f"https://127.0.0.1:{port}") as wire:
            with pytest.raises(NotConnectedError, match=f"^cannot connect to 127.0.0.1:{port} within 0.3 s$"):
                await wire.post("/a", b"{}", 5)


@pytest.mark.parametrize(("behave", "was_sent"), [(hangs_up, True), (None, False)])
async def test_what_a_call_says_of_its_effect(behave: Behave | None, was_sent: bool) -> None:
    async with served(behave or is_silent) as (_, port):
        url = f"http://127.0.0.1:{port if behave else 1}"
        async with TelegramSession(url) as session:
            with pytest.raises(Unavailable, match=r"^sendMessage: (connection lost|cannot connect to )") as trouble:
                await session.bot("1234567:secret").call("sendMessage", {"chat_id": 7}, patience=5)
    assert trouble.value.was_sent is was_sent
    assert "secret" not in str(trouble.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for ``localhost`` that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(key), "-out", str(certificate), "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def serving(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def test_tls(certificate: tuple[Path, Path]) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    async with served(says(OK), serving(certificate)) as (peer, port):
        async with wired(f"https://localhost:{port}", trusting) as wire:
            for _ in range(2):
                assert await wire.post("/a", b"{}", 5) == (200, b'{"ok":true}')
        assert [len(requests) for requests in peer.requests] == [2]


async def test_a_certificate_of_an_unknown_authority(certificate: tuple[Path, Path]) -> None:
    async with served(says(OK), serving(certificate)) as (peer, port), wired(f"https://localhost:{port}") as wire:
        with pytest.raises(NotConnectedError, match=f"^cannot connect to localhost:{port}: CERTIFICATE_VERIFY_FAILED$"):
            await wire.post("/a", b"{}", 5)
    assert not any(peer.requests)


async def test_a_certificate_of_another_name(certificate: tuple[Path, Path]) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    async with (
        served(says(OK), serving(certificate)) as (peer, port),
        wired(f"https://127.0.0.1:{port}", trusting) as wire,
    ):
        with pytest.raises(NotConnectedError, match="CERTIFICATE_VERIFY_FAILED"):
            await wire.post("/a", b"{}", 5)
    assert not any(peer.requests)
