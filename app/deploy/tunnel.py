"""A way to where this machine has no address: a Unix socket here, each connection of which is a command."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from urllib.parse import urlsplit

from app.errors import FlotillaError

_QUIET_ON_CTRL_C = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
"""Ctrl+C at the terminal is for us, who may still have something to ask the engine."""


class Tunnel:
    """Leads to what a command talks to through its input and output, until it is closed.

    ``name`` is that of the socket's file; nobody else can open it.
    """

    def __init__(self, command: Sequence[str], name: str = "docker.sock") -> None:
        self._command = [*_QUIET_ON_CTRL_C, *command]
        self._folder = TemporaryDirectory(prefix="flotilla-")
        self._errors = Path(self._folder.name, "errors")
        self._path = Path(self._folder.name, name)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._is_closed = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def folder(self) -> str:
        """The folder of the socket."""
        return self._folder.name

    @property
    def address(self) -> str:
        """Where it begins, as ``DOCKER_HOST`` has it."""
        return f"unix://{self._path}"

    @property
    def trouble(self) -> str:
        """The last thing that the command complained about; empty if it did not."""
        said = self._errors.read_text(errors="replace").split("\n") if self._errors.exists() else []
        return next((line.strip() for line in reversed(said) if line.strip()), "")

    def close(self) -> None:
        """End it, and the connections that are still open."""
        self._is_closed = True
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(self._path))
        self._thread.join()
        self._listener.close()
        for process in self._processes:
            process.terminate()
            process.wait()
        self._folder.cleanup()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if self._is_closed:
                    return
                self._processes = [process for process in self._processes if process.poll() is None]
                self._processes.append(self._reach(connection.fileno()))

    def _reach(self, connection: int) -> subprocess.Popen[bytes]:
        with self._errors.open("ab") as errors:
            return subprocess.Popen(self._command, stdin=connection, stdout=connection, stderr=errors)  # noqa: S603


def command_to(host: str) -> list[str]:
    """Return what leads to the engine at ``ssh://[USER@]HOST[:PORT]``, as the docker command does it.

    The ssh command, unlike the library that the SDK has for this, knows all the agents, jumps and host keys with which
    also ``docker compose`` gets there.
    """
    try:
        parts = urlsplit(host)
        address, port, user = parts.hostname, parts.port, parts.username
    except ValueError:
        address, port, user = None, None, None
    if not address or address.startswith("-"):
        raise FlotillaError(f"{host!r} is no address of an engine; write ssh://USER@HOST")
    options = [*(["-l", user] if user else []), *(["-p", str(port)] if port else [])]
    return ["ssh", *options, "--", address, "docker", "system", "dial-stdio"]
