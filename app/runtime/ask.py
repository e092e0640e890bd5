"""Ask a running host something: ``python -m app.runtime.ask '{"do": "status"}'`` prints its answer, a line of JSON.

It exits with 1 if the answer is not ``"ok": true``. The requests are told in ``app.runtime.console``. It imports next
to nothing, because it runs in containers beside a host.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.errors import EXIT_USAGE, FlotillaError

CONTROL_VARIABLE = "CONTROL_SOCKET"
"""Names the socket of a host that is not where it would be."""

CONTAINER_SOCKET = Path("/tmp/flotilla.sock")  # noqa: S108 - the container's own tmpfs

RUN_SOCKET = Path(".flotilla/control.sock")
"""Where ``flotilla run`` listens, beside the config."""

ANSWER_SECONDS = 45.0
"""How long an answer may take; that to ``restart`` comes when the bot has stopped, and sent what is committed."""

LONGEST_ADDRESS = 103
"""Bytes of a socket's path that every system takes; Linux takes four more."""


class NoAnswerError(FlotillaError):
    """No host answers at the socket."""


def control_socket(default: Path) -> Path:
    """Return where the host of this environment listens."""
    named = os.environ.get(CONTROL_VARIABLE)
    return Path(named) if named else default


def ask(path: Path, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """Return the answer of the host that listens at ``path``; raises ``NoAnswerError``."""
    try:
        with _connected(path, seconds) as connection, connection.makefile("rw", encoding="utf-8") as lines:
            lines.write(json.dumps(request) + "\n")
            lines.flush()
            answer = json.loads(lines.readline())
    except (OSError, ValueError) as error:
        reason = _reason(error)
        raise NoAnswerError(f"no host answers at {str(path)!r} ({reason}); is it running?") from error
    if not isinstance(answer, dict):
        raise NoAnswerError(f"what answers at {str(path)!r} is no host")
    return answer


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return "the answer is no JSON" if isinstance(error, ValueError) else str(error)


@contextlib.contextmanager
def _connected(path: Path, seconds: float) -> Iterator[socket.socket]:
    with address(path) as place, socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(place)
        yield connection


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """Return a name of a socket that the system takes: the path itself, or a shorter way there.

    Raises ``OSError``: there is none, or no such folder.
    """
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _shorter(path, folder)
    finally:
        os.close(folder)


def _shorter(path: Path, folder: int) -> str:
    short = Path(f"/proc/self/fd/{folder}")
    way = str(short / path.name) if short.is_dir() else os.path.relpath(path)  # it is there on Linux
    if len(os.fsencode(way)) > LONGEST_ADDRESS:
        raise OSError(f"its path is too long for a socket; {CONTROL_VARIABLE} may name another place")
    return way


def main(arguments: list[str]) -> int:
    """Ask, print the answer and return the exit code."""
    if len(arguments) != 1:
        print('usage: python -m app.runtime.ask \'{"do": "status"}\'', file=sys.stderr)
        return EXIT_USAGE
    try:
        answer = ask(control_socket(CONTAINER_SOCKET), json.loads(arguments[0]))
    except (FlotillaError, ValueError) as error:
        answer = {"ok": False, "error": str(error)}
    print(json.dumps(answer, ensure_ascii=False))
    return 0 if answer.get("ok") is True else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
