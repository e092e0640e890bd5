"""When the certificate of a webhook expires, as a client sees it."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from yarl import URL

from app.runtime.certificates import expiry_of

NOW = datetime.now(UTC).replace(microsecond=0)

AUTHORITY = """
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
x509_extensions = names
unique_subject = no
[any]
commonName = supplied
[names]
subjectAltName = DNS:other.example.org
"""


def certificate(folder: Path, expires: datetime) -> Path:
    """Make a certificate that nobody else signed, with its key beside it; ``openssl ca`` alone can make old ones."""
    (folder / "authority").write_text(AUTHORITY)
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01")
    request = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    request += ["-keyout", "key", "-out", "request", "-subj", "/CN=localhost"]
    signing = ["ca", "-batch", "-notext", "-selfsign", "-config", "authority", "-keyfile", "key", "-in", "request"]
    signing += ["-startdate", f"{expires - timedelta(days=90):%Y%m%d%H%M%SZ}"]
    signing += ["-enddate", f"{expires:%Y%m%d%H%M%SZ}", "-out", "cert"]
    for arguments in (request, signing):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    return folder / "cert"


@asynccontextmanager
async def served(cert: Path) -> AsyncIterator[URL]:
    """Serve nothing, with this certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, cert.with_name("key"))

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    async with server:
        yield URL(f"https://localhost:{server.sockets[0].getsockname()[1]}")


@pytest.mark.parametrize("days", [30, -1])
async def test_one_of_ours(tmp_path: Path, days: int) -> None:
    expires = NOW + timedelta(days=days)
    cert = await asyncio.to_thread(certificate, tmp_path, expires)
    async with served(cert) as origin:
        assert await expiry_of(origin, cert) == expires.timestamp()


async def test_one_that_nobody_trusts(tmp_path: Path) -> None:
    cert = await asyncio.to_thread(certificate, tmp_path, NOW + timedelta(days=30))
    async with served(cert) as origin:
        assert await expiry_of(origin, None) is None


async def test_one_that_cannot_be_read(tmp_path: Path) -> None:
    cert = await asyncio.to_thread(certificate, tmp_path, NOW + timedelta(days=30))
    async with served(cert) as origin:
        assert await expiry_of(origin, tmp_path / "missing") is None


async def test_where_nobody_answers(tmp_path: Path) -> None:
    cert = await asyncio.to_thread(certificate, tmp_path, NOW + timedelta(days=30))
    async with served(cert) as origin:
        pass
    assert await expiry_of(origin, cert) is None


async def test_without_encryption_there_is_none() -> None:
    assert await expiry_of(URL("http://localhost:1"), None) is None
