"""A Unix socket that takes requests and gives answers, each a line of JSON.

An answer is ``{"ok": true, ...}`` or ``{"ok": false, "error": TEXT}``. Who may open the socket may do all that the desk
behind it can: only the user whose process it is.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from app.errors import FlotillaError
from app.observe.logs import get_log
from app.runtime.ask import CONTROL_VARIABLE, address

LINE_LIMIT = 64 * 1024
"""Bytes of a request."""

log = get_log(__name__)


class BadRequestError(FlotillaError):
    """A request that nobody understands."""


@contextlib.asynccontextmanager
async def listening(path: Path, desk: Desk) -> AsyncIterator[None]:
    """Have the desk answer at this socket meanwhile; where that is impossible, say so and go on without."""
    try:
        listener = _listen(path)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        log.warning("this host cannot be asked while it runs", socket=str(path), reason=reason)
        yield
        return
    identity = _identity(path)
    server = await asyncio.start_unix_server(desk.serve, sock=listener, limit=LINE_LIMIT)
    try:
        yield
    finally:
        server.close()
        _remove(path, identity)


def _listen(path: Path) -> socket.socket:
    """Return a socket that only this user can open, in place of one that nobody listens at any more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        with address(path) as place:
            _clear(path, place)
            listener.bind(place)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _identity(path: Path) -> int:
    return path.lstat().st_ino


def _remove(path: Path, identity: int) -> None:
    with contextlib.suppress(OSError):
        if _identity(path) == identity:  # else it is another's by now
            path.unlink()


def _clear(path: Path, place: str) -> None:
    """Remove what a host has left that was killed; raises ``OSError`` when the place is taken."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(f"there is another file; {CONTROL_VARIABLE} may name another place")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(place)
            except ConnectionRefusedError:
                path.unlink()
                return
        raise OSError(f"another host listens there; {CONTROL_VARIABLE} may name another place")


class Desk(abc.ABC):
    """Takes requests and answers them; ``do`` says how."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other."""
        try:
            while line := await reader.readline():
                answer = json.dumps(await self._answer(line), ensure_ascii=False)
                writer.write(answer.encode(errors="backslashreplace") + b"\n")  # half a character, as JSON writes it
                await writer.drain()
        except (OSError, ValueError):  # gone, or a line without end
            pass
        except asyncio.CancelledError:  # the process ends; before Python 3.12 streams call that a defect
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            return {"ok": True, **await self.do(_request(line))}
        except FlotillaError as error:
            return {"ok": False, "error": str(error)}
        except Exception:
            log.exception("request failed", request=line.decode(errors="replace").strip())
            return {"ok": False, "error": "it failed; see the log of the host"}

    @abc.abstractmethod
    async def do(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; raises ``FlotillaError`` when there is none."""


def not_understood(request: dict[str, Any]) -> BadRequestError:
    """Return the error of a request that is none."""
    remedy = 'write one like {"do": "status"} or {"do": "restart", "bot": "NAME"}'
    return BadRequestError(f"{json.dumps(request, ensure_ascii=False)} is no request; {remedy}")


def _request(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise BadRequestError("the request is no JSON") from None
    if not isinstance(request, dict):
        raise BadRequestError("the request is no JSON object")
    return request
