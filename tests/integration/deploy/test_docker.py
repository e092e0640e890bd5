"""The engine and Compose as Flotilla talks to them: a project of two tiny services, and all that can be in the way."""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from itertools import islice
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from threading import Thread
from uuid import uuid4

import pytest

from app.deploy.docker import Container, ContainerGoneError, Engine, EngineError
from app.deploy.project import ComposeError, Project

COMPOSE = """\
services:
  talker:
    image: postgres:17
    entrypoint: [sh, -c, "echo one; printf '%20000s\\n' two; echo end >&2; exec sleep 1000"]
    init: true
    stop_grace_period: 3s
    healthcheck: {test: [CMD, "true"], interval: 1s, start_interval: 1s, start_period: 1m}
  failing:
    image: postgres:17
    entrypoint: [sh, -c, "exit 3"]
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.connect(os.environ) as engine:
        yield engine


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Two services, created and started; removed afterwards."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "compose.yaml").write_text(COMPOSE)
    name = f"flotilla-test-{uuid4().hex[:8]}"
    project = Project.of(folder / "bots_config.yaml", {**os.environ, "COMPOSE_PROJECT_NAME": name})
    try:
        project.up(["talker", "failing"])
        yield project
    finally:
        project.down(volumes=True)


def one(engine: Engine, project: Project, service: str) -> Container:
    found = [container for container in engine.containers(project.name) if container.service == service]
    assert len(found) == 1
    return found[0]


def wait_for(engine: Engine, project: Project, action: str, since: datetime, service: str = "talker") -> None:
    """Wait until the engine tells of something, which it may have done already."""
    next(event for event in engine.events(project.name, since) if (event.service, event.action) == (service, action))


@pytest.mark.containers
def test_containers_are_found_by_their_project(engine: Engine, project: Project) -> None:
    began = one(engine, project, "failing").started_at or datetime.now(UTC)
    wait_for(engine, project, "die", began, "failing")
    wait_for(engine, project, "health_status: healthy", began)
    found = [(c.service, c.number, c.name, c.state, c.health, c.exit_code) for c in engine.containers(project.name)]
    assert found == [
        ("failing", 1, f"{project.name}-failing-1", "exited", None, 3),
        ("talker", 1, f"{project.name}-talker-1", "running", "healthy", 0),
    ]
    assert [container.is_ready for container in engine.containers(project.name)] == [False, True]
    assert engine.containers("flotilla-test-no-such") == []


@pytest.mark.containers
def test_the_hash_of_a_service_is_that_of_its_container(engine: Engine, project: Project) -> None:
    services = project.services()
    assert {name: service.config_hash for name, service in services.items()} == {
        container.service: container.config_hash for container in engine.containers(project.name)
    }
    assert project.services(COMPOSE) == services  # also as what compose.yaml might be


@pytest.mark.containers
def test_an_image_is_known_by_its_name(engine: Engine, project: Project) -> None:
    container = one(engine, project, "talker")
    image = engine.image(container.image)
    assert image is not None
    assert (image.id, container.image) == (container.image_id, "postgres:17")
    assert image.id in [listed.id for listed in engine.images("postgres")]
    assert engine.image("postgres:no-such-tag") is None


@pytest.mark.containers
def test_a_command_in_a_container_tells_its_code_and_output(engine: Engine, project: Project) -> None:
    ran = engine.exec(one(engine, project, "talker").id, ["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (ran.code, ran.output, ran.errors) == (7, "out\n", "err\n")
    with pytest.raises(EngineError, match=r"the Docker engine at unix:///var/run/docker.sock refuses: .*not running"):
        engine.exec(one(engine, project, "failing").id, ["true"])


@pytest.mark.containers
def test_usage_is_of_a_container_that_runs(engine: Engine, project: Project) -> None:
    usage = engine.usage(one(engine, project, "talker").id)
    assert usage is not None
    assert usage.cpu_seconds > 0
    assert 0 < usage.memory < usage.memory_limit
    assert engine.usage(one(engine, project, "failing").id) is None


@pytest.mark.containers
def test_logs_have_whole_lines_in_order(engine: Engine, project: Project) -> None:
    container = one(engine, project, "talker").id
    lines = list(islice(engine.logs(container, follow=True), 3))
    assert sorted(line.text.strip() for line in lines) == ["end", "one", "two"]
    assert sorted(len(line.text) for line in lines) == [3, 3, 20000]  # the engine cuts a line as long as that in two
    assert lines == sorted(lines, key=lambda line: line.at)
    assert len(list(engine.logs(container))) == 3
    assert list(engine.logs(container, since=datetime.now(UTC))) == []


@pytest.mark.containers
def test_a_container_is_stopped_started_and_restarted(engine: Engine, project: Project) -> None:
    before = one(engine, project, "talker")
    engine.stop(before.id)
    stopped = one(engine, project, "talker")
    engine.start(before.id)
    started = one(engine, project, "talker")
    engine.restart(before.id)
    after = one(engine, project, "talker")
    assert (stopped.id, stopped.state, after.id, after.state) == (before.id, "exited", before.id, "running")
    assert started.started_at is not None
    assert after.started_at is not None
    assert after.started_at > started.started_at


@pytest.mark.containers
def test_what_is_gone_is_said_to_be_gone(engine: Engine) -> None:
    with pytest.raises(ContainerGoneError, match="No such container: 0000"):
        engine.start("0000")


@pytest.mark.containers
def test_this_machine_is_good_enough(engine: Engine, project: Project) -> None:
    project.require()
    assert engine.machine().memory > 0


@pytest.fixture
def with_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have a script for the ssh command."""

    def make(script: str) -> None:
        (tmp_path / "ssh").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return make


@pytest.mark.containers
def test_an_engine_is_reached_by_ssh(tmp_path: Path, with_ssh: Callable[[str], None], project: Project) -> None:
    with_ssh(f'echo "$*" >>{tmp_path}/asked\nwhile [ "$1" != -- ]; do shift; done; shift 2; exec "$@"')
    with Engine.connect({**os.environ, "DOCKER_HOST": "ssh://somebody@example.org:2222"}) as engine:
        container = one(engine, project, "talker").id
        assert engine.exec(container, ["echo", "hello"]).output == "hello\n"
        assert "one" in [line.text for line in engine.logs(container)]
    asked = set((tmp_path / "asked").read_text().splitlines())
    assert asked == {"-l somebody -p 2222 -- example.org docker system dial-stdio"}


@pytest.mark.usefixtures("leaky")
def test_ssh_that_gets_nowhere(with_ssh: Callable[[str], None]) -> None:
    with_ssh("echo 'ssh: Could not resolve hostname example.org' >&2; exit 255")
    with pytest.raises(EngineError) as error:
        Engine.connect({"DOCKER_HOST": "ssh://example.org"})
    assert str(error.value) == (
        "no Docker engine answers at ssh://example.org: ssh: Could not resolve hostname example.org"
    )


# --- what can be in the way -----------------------------------------------------------------------------------------


@pytest.fixture
def leaky() -> Iterator[None]:
    """Bear with the SDK, which leaves a socket open that does not connect."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.mark.usefixtures("leaky")
def test_no_engine(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as error:
        Engine.connect({"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"})
    assert str(error.value) == (
        f"no Docker engine answers at unix://{tmp_path}/docker.sock; start it ('sudo systemctl start docker'), or"
        " install it: https://docs.docker.com/engine/install/; 'flotilla run' needs none"
    )


@pytest.mark.usefixtures("leaky")
def test_an_engine_that_has_ended(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "docker.sock"))  # and does not listen
        with pytest.raises(EngineError, match=f"no Docker engine answers at unix://{tmp_path}/docker.sock"):
            Engine.connect({"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"})


@pytest.mark.usefixtures("leaky")
def test_an_engine_that_does_not_answer(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "docker.sock"))
        listener.listen()
        with pytest.raises(EngineError) as error:
            Engine.connect({"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}, timeout=1)
    assert str(error.value) == (
        f"the Docker engine at unix://{tmp_path}/docker.sock does not answer; look why with 'sudo systemctl status"
        " docker'"
    )


def test_no_permission(tmp_path: Path) -> None:
    """As nobody, since root has every permission."""
    if os.getuid() != 0:
        pytest.skip("needs root, to become somebody without permission")
    folder = Path("/tmp", f"flotilla-test-{uuid4().hex[:8]}")
    folder.mkdir(mode=0o755)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "docker.sock"))
            listener.listen()
            (folder / "docker.sock").chmod(0o600)
            program = (
                "import os, sys, docker; from app.deploy.docker import Engine, EngineError\n"
                "try: Engine.connect({'DOCKER_HOST': 'unix:///no/such'})\n"  # imports what somebody else may not read
                "except EngineError: os.setuid(65534)\n"
                "Engine.connect({'DOCKER_HOST': sys.argv[1]})"
            )
            host = f"unix://{folder}/docker.sock"
            done = subprocess.run([sys.executable, "-c", program, host], capture_output=True, text=True, check=False)
    finally:
        (folder / "docker.sock").unlink(missing_ok=True)
        folder.rmdir()
    assert done.stderr.splitlines()[-1] == (
        f"app.deploy.docker.EngineError: you have no permission to use the Docker engine at {host}; 'sudo usermod -aG"
        " docker $USER' and a new login give it, or use sudo"
    )


def test_a_context_that_does_not_exist() -> None:
    with pytest.raises(EngineError) as error:
        Engine.connect({"DOCKER_CONTEXT": "flotilla-test-no-such"})
    assert str(error.value) == (
        "DOCKER_CONTEXT names a context that does not exist: 'flotilla-test-no-such'; 'docker context ls' lists those"
        " there are"
    )


@pytest.mark.usefixtures("leaky")
def test_the_context_says_where_the_engine_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create = ["docker", "context", "create", "far", "--docker", f"host=unix://{tmp_path}/far.sock"]
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    try:
        subprocess.run(create, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the docker command")
    with pytest.raises(EngineError, match=f"no Docker engine answers at unix://{tmp_path}/far.sock"):
        Engine.connect({"DOCKER_CONTEXT": "far"})
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "far"}))
    with pytest.raises(EngineError, match=f"no Docker engine answers at unix://{tmp_path}/far.sock"):
        Engine.connect({})


def test_an_address_that_is_none() -> None:
    with pytest.raises(EngineError) as error:
        Engine.connect({"DOCKER_HOST": "gopher://example.org"})
    assert str(error.value) == (
        "the Docker engine at gopher://example.org cannot be used: Invalid bind address protocol: gopher://example.org;"
        " look at DOCKER_HOST, or at 'docker context ls'"
    )


@pytest.mark.usefixtures("leaky")
def test_an_address_that_nobody_knows() -> None:
    with pytest.raises(EngineError) as error:
        Engine.connect({"DOCKER_HOST": "tcp://no-such-machine.invalid:2375"})
    assert str(error.value) == (
        "no Docker engine answers at tcp://no-such-machine.invalid:2375: nobody knows a machine of that name;"
        " look at DOCKER_HOST, or at 'docker context ls'"
    )


@pytest.mark.parametrize("host", ["tcp://me:pass@127.0.0.1:1", "ssh://me:pass@127.0.0.1:1"])
def test_a_password_in_an_address_is_not_told(host: str) -> None:
    with pytest.raises(EngineError, match=r"://me:\.\.\.@127\.0\.0\.1:1") as error:
        Engine.connect({"DOCKER_HOST": host, "PATH": os.environ["PATH"]})
    assert "pass" not in str(error.value)


@contextmanager
def old_engine(path: Path) -> Iterator[str]:
    """Serve what an engine of 2023 says of itself."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"Version": "24.0.7", "ApiVersion": "1.43", "NCPU": 2, "MemTotal": 1}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "socket"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingUnixStreamServer(str(path), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join()


def test_an_old_engine(tmp_path: Path) -> None:
    with (
        old_engine(tmp_path / "docker.sock") as host,
        pytest.raises(EngineError) as error,
    ):
        Engine.connect({"DOCKER_HOST": host})
    assert str(error.value) == (
        f"the Docker engine at {host} has version 24.0.7; update it to 25 or newer:"
        " https://docs.docker.com/engine/install/"
    )


@pytest.fixture
def with_docker(tmp_path: Path) -> Callable[[str], Project]:
    """Return a project for which the docker command is a script."""

    def make(script: str) -> Project:
        (tmp_path / "docker").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "docker").chmod(0o755)
        return Project(tmp_path, "name", {"PATH": f"{tmp_path}:/usr/bin:/bin"})

    return make


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (
            "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1",
            "Docker Compose is missing; install its package docker-compose-plugin: https://docs.docker.com/engine/install/",
        ),
        (
            """echo '{"version":"v2.20.2"}'""",
            "Docker Compose has version 2.20.2; update it to 2.24.0 or newer: https://docs.docker.com/engine/install/",
        ),
    ],
)
def test_compose_that_is_missing_or_old(with_docker: Callable[[str], Project], script: str, text: str) -> None:
    with pytest.raises(ComposeError) as error:
        with_docker(script).require()
    assert str(error.value) == text


def test_no_docker_command(tmp_path: Path) -> None:
    with pytest.raises(ComposeError) as error:
        Project(tmp_path, "name", {"PATH": str(tmp_path)}).require()
    assert str(error.value) == (
        "the docker command is missing; install Docker with Compose: https://docs.docker.com/engine/install/"
    )


def test_what_compose_says_is_passed_on_without_tokens(with_docker: Callable[[str], Project]) -> None:
    token = "123456789:" + "A" * 35
    project = with_docker(f"echo starting >&2; echo 'no such image: {token}' >&2; exit 17")
    with pytest.raises(ComposeError) as error:
        project.up(["bot"])
    assert str(error.value) == "docker compose up failed (exit code 17): starting\nno such image: ..."
