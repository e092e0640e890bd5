"""A Compose project: its name, and the ``docker compose`` runs that create and remove its containers.

What Compose prints for people is never read; its machine formats and its exit code are.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.config.load import read_environment
from app.config.tokens import redacted
from app.deploy.change import Service, services_of
from app.deploy.docker import INSTALL
from app.errors import FlotillaError

OLDEST_COMPOSE = (2, 24, 0)
"""The first version that hands ``start_interval`` to the engine; ``configs/content`` is a little older."""

OVERRIDES = tuple(f"{name}.override.{end}" for name in ("compose", "docker-compose") for end in ("yml", "yaml"))
"""What Compose reads beside compose.yaml: the first of them that is there."""

ERROR_LINES = 5
"""How much of what Compose says when it fails is shown."""

_NOT_IN_NAMES = re.compile(r"[^a-z0-9_-]")


class ComposeError(FlotillaError):
    """Compose is missing, too old, or did not do what it was asked for."""


@dataclass(frozen=True, slots=True)
class Project:
    """The Compose project of the config in ``folder``; ``environ`` is what the docker command gets to see.

    All methods raise ``ComposeError``, with the end of what Compose says.
    """

    folder: Path
    name: str
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, config: Path, environ: Mapping[str, str]) -> Project:
        """Return the project of a config, called as Compose calls it.

        That is ``COMPOSE_PROJECT_NAME`` (the environment, or ``.env`` beside the config), else the folder's name.
        """
        folder = config.parent
        known = read_environment(folder, environ).get("COMPOSE_PROJECT_NAME")
        return cls(folder, known or _name_of(folder, environ), environ)

    def version(self) -> str:
        """Return Compose's version; raises as ``require`` does when there is none."""
        try:
            done = self._process(["docker", "compose", "version", "--format", "json"])
            version = json.loads(done.stdout)["version"] if done.returncode == 0 else None
        except FileNotFoundError:
            raise ComposeError(f"the docker command is missing; install Docker with Compose: {INSTALL}") from None
        except (ValueError, KeyError):
            version = None
        if not isinstance(version, str):
            raise ComposeError(f"Docker Compose is missing; install its package docker-compose-plugin: {INSTALL}")
        return version.removeprefix("v")

    def require(self) -> None:
        """Raise ``ComposeError`` if Compose is missing or too old for our compose.yaml."""
        version = self.version()
        if is_too_old(version):
            oldest = ".".join(map(str, OLDEST_COMPOSE))
            raise ComposeError(f"Docker Compose has version {version}; update it to {oldest} or newer: {INSTALL}")

    def services(self, text: str | None = None) -> dict[str, Service]:
        """Return the services of all profiles, as Compose understands them.

        ``text`` stands for what compose.yaml will be. Whether the engine has their images is not known here.
        """
        config = json.loads(self._output(["config", "--format", "json"], text))
        lines = self._output(["config", "--hash", "*"], text).splitlines()
        return services_of(config, dict(line.split(maxsplit=1) for line in lines if line))

    def build(self, services: Iterable[str] = (), *, quiet: bool = False) -> None:
        """Build the images of services, by default of all that have something to build.

        Unless ``quiet``, Compose shows its progress on standard error.
        """
        self._run(["build", *(["--quiet"] if quiet else []), *services], is_shown=not quiet)

    def pull(self, services: Iterable[str] = ()) -> None:
        """Fetch the images of services."""
        self._run(["pull", "--quiet", *services])

    def create(self, services: Iterable[str]) -> None:
        """Create the containers of services without starting them, and of what they need; stops those that differ.

        Unlike with ``up --no-deps`` they are what a plain ``up`` would make, to the hash of their configuration:
        Compose lets them be later.
        """
        self._run(["create", "--no-build", "--quiet-pull", *services])

    def replace(self, service: str) -> None:
        """Make the containers of a service anew without starting them.

        What it needs goes on, also if its image is another one by now; ``create`` would replace that, and leave it
        stopped.
        """
        self.remove([service])
        self._run(["create", "--no-build", "--quiet-pull", "--no-recreate", service])

    def up(self, services: Iterable[str]) -> None:
        """Create and start services, after what they need, for which it waits; what is as it should be goes on.

        Jobs among what they need are run again. Does not build, and does not wait until the services are healthy.
        """
        self._run(["up", "--detach", "--no-build", "--quiet-pull", *services])

    def run_once(self, service: str, *command: str) -> str:
        """Run a command in a container like those of a service, which is removed afterwards; return what it prints.

        What the service depends on is left as it is.
        """
        return self._run(["run", "--rm", "--no-TTY", "--no-deps", service, *command]).stdout

    def down(self, *, volumes: bool = False) -> None:
        """Remove all containers and networks, also those of services that are gone; with ``volumes`` the data too."""
        self._run(["--profile", "*", "down", "--remove-orphans", *(["--volumes"] if volumes else [])], what="down")

    def remove(self, services: Iterable[str]) -> None:
        """Stop and remove the containers of services that the project has."""
        self._run(["rm", "--stop", "--force", *services])

    def _output(self, arguments: Sequence[str], text: str | None) -> str:
        files = [] if text is None else self._files()
        return self._run([*files, "--profile", "*", *arguments], text=text, what=arguments[0]).stdout

    def _files(self) -> list[str]:
        """Name standard input in place of compose.yaml, and what else Compose reads by itself."""
        overrides = [name for name in OVERRIDES if (self.folder / name).is_file()][:1]
        return ["--file", "-", *(part for name in overrides for part in ("--file", name))]

    def _run(
        self, arguments: Sequence[str], *, is_shown: bool = False, text: str | None = None, what: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        progress = [] if is_shown else ["--progress", "quiet"]
        command = ["docker", "compose", "--project-name", self.name, *progress, *arguments]
        try:
            done = self._process(command, is_shown=is_shown, text=text)
        except FileNotFoundError:
            raise ComposeError(f"the docker command is missing; install Docker with Compose: {INSTALL}") from None
        if done.returncode:
            raise ComposeError(_failure(what or arguments[0], done))
        return done

    def _process(
        self, command: Sequence[str], *, is_shown: bool = False, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - no shell; the names in it are those of the config, which are checked
            command,
            cwd=self.folder,
            env=dict(self.environ),
            input=text or "",
            stdout=subprocess.PIPE,
            stderr=None if is_shown else subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )


def is_too_old(version: str) -> bool:
    """Whether a version of Compose is too old for our compose.yaml; one that has no numbers is trusted."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return numbers is not None and tuple(map(int, numbers.groups())) < OLDEST_COMPOSE


def _name_of(folder: Path, environ: Mapping[str, str]) -> str:
    """Call the project of a folder as Compose does, which believes ``PWD`` where the folder has several names."""
    here = Path(environ.get("PWD") or os.curdir)
    whole = here / folder if here.is_absolute() and _is_here(here) else folder.absolute()
    name = _NOT_IN_NAMES.sub("", Path(os.path.normpath(whole)).name.lower()).lstrip("_-")
    if not name:
        raise ComposeError(
            f"{folder.resolve()} has no name that a Compose project could have; set COMPOSE_PROJECT_NAME"
        )
    return name


def _is_here(path: Path) -> bool:
    try:
        return path.samefile(os.curdir)
    except OSError:
        return False


def _failure(what: str, done: subprocess.CompletedProcess[str]) -> str:
    said = [line.strip() for line in (done.stderr or "").splitlines() if line.strip()]
    end = redacted("\n".join(said[-ERROR_LINES:]))
    return f"docker compose {what} failed (exit code {done.returncode})" + (f": {end}" if end else "; see above")
