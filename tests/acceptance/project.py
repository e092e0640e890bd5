"""A fleet of a test's own in containers: a folder with a config and courses, from which compose.yaml is generated."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

from app.sandbox.client import SandboxClient

ROOT = Path(__file__).parents[2]


def docker(*arguments: str, text: str | None = None) -> str:
    """Run the docker command, with a text as its input; return what it prints."""
    done = subprocess.run(["docker", *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def crash(container: str) -> None:
    """End everything in a container as ``kill -9`` does, except for its init.

    After ``docker kill`` the engine would leave it alone, as an operator wants it; this looks like a crash to it.
    """
    docker("exec", container, "sh", "-c", "kill -9 -1")


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Project:
    """A Compose project beside any other that runs here; ``folder`` has its files, ``port`` is the sandbox's.

    ``override`` is what an operator would write into compose.override.yaml, ``variables`` what into .env.
    """

    def __init__(
        self, folder: Path, config: str, override: str = "", variables: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.name = f"flotilla-test-{uuid4().hex[:8]}"
        self.port = free_port()
        self.write("bots_config.yaml", config)
        self.write(".env", "".join(f"{name}={value}\n" for name, value in (variables or {}).items()))
        if override:
            self.write("compose.override.yaml", override)

    def write(self, file: str, text: str) -> None:
        """Write a file; the text may be indented."""
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")

    def courses(self, folder: str, **courses: str) -> None:
        """Write the courses of a folder."""
        self.write(f"scripts/{folder}/courses.yml", "".join(f"{id_}: {{path: {id_}.yml}}\n" for id_ in courses))
        for id_, text in courses.items():
            self.write(f"scripts/{folder}/{id_}.yml", text)

    @property
    def environment(self) -> dict[str, str]:
        """What the commands of this project need to know."""
        own = {"COMPOSE_PROJECT_NAME": self.name, "SANDBOX_PORT": str(self.port), "PYTHONPATH": str(ROOT)}
        return {**os.environ, **own}

    def flotilla(self, *arguments: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command of flotilla beside the config; it has to end with this exit code, unless that is ``None``."""
        command = [sys.executable, "-m", "app.cli.main", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert expect in (None, done.returncode), done.stdout + done.stderr
        return done

    def generate(self) -> None:
        """Write compose.yaml as ``flotilla generate`` does."""
        self.flotilla("generate")

    def compose(self, *arguments: str, text: str | None = None) -> str:
        """Run docker compose, with a text as its input; return what it prints."""
        environment = {**os.environ, "SANDBOX_PORT": str(self.port)}
        command = ["docker", "compose", "--project-name", self.name, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def crash(self, service: str) -> None:
        """Crash all containers of a service."""
        for container in self.containers(service):
            crash(container)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query; every column needs a name."""
        wrapped = f"SELECT coalesce(json_agg(found), '[]') FROM ({statement}) AS found"
        printed = self.compose("exec", "-T", "postgres", "psql", "-U", "flotilla", "-d", "flotilla", "-Atc", wrapped)
        return [tuple(row.values()) for row in json.loads(printed)]

    def client(self) -> SandboxClient:
        """Return the learners' side of the sandbox."""
        return SandboxClient(f"http://127.0.0.1:{self.port}")


@contextmanager
def up(project: Project, *services: str) -> Iterator[Project]:
    """Have a project up and healthy; its containers and volumes are removed afterwards."""
    project.generate()
    try:
        project.compose("up", "--detach", "--wait", *services)
        yield project
    finally:
        project.compose("down", "--volumes", "--timeout", "5")
