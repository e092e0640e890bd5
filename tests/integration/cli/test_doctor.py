"""``flotilla doctor``: what it says of a fleet that is well, and of one that is not."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import socket
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from email.utils import formatdate
from pathlib import Path
from textwrap import dedent
from time import time
from typing import Any

import psycopg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner, Result

from app.cli.main import cli
from app.config.tokens import sandbox_token
from app.errors import InputError
from app.runtime.ask import RUN_SOCKET
from app.runtime.desk import Desk, listening
from app.sandbox.client import SandboxClient
from app.sandbox.server import Sandbox
from app.store.schema import known_migrations

WELL = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
REVOKED = "223456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
HOOKED = "323456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
MOVED = "423456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
ALERTS = "523456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
FIGURE = re.compile(r"\d+(\.\d+)?( ms| GiB)|\d+ of \d+ connections|free at \S+|127\.0\.0\.1:\d+")


@pytest.fixture(autouse=True)
def no_engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let there be no engine, unless a test wants one; the SDK then leaves sockets to the garbage collector."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.fixture
async def server() -> AsyncIterator[SandboxClient]:
    async with Sandbox() as sandbox, SandboxClient(sandbox.url) as client:
        yield client


def url_of(server: SandboxClient) -> str:
    return server._base.removesuffix("/sandbox")


def write(folder: Path, config: str, **variables: str) -> None:
    (folder / "scripts").mkdir(exist_ok=True)
    (folder / "scripts/courses.yml").write_text("default: {path: course.yml}")
    (folder / "scripts/course.yml").write_text("A: {type: end, text: bye}")
    (folder / "bots_config.yaml").write_text(dedent(config))
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["doctor", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


async def doctor(*arguments: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines, without figures and without those about the engine, memory and disk."""
    result = await asyncio.to_thread(invoke, *arguments)
    lines = [re.sub(" {2,}", " ", FIGURE.sub("#", line)) for line in result.stdout.splitlines()]
    return result.exit_code, [line for line in lines if line.split()[1] not in ("engine", "memory", "disk")]


async def test_a_fleet_that_is_well(folder: Path, server: SandboxClient, database_url: str) -> None:
    await server.learner(ALERTS, 99).send("/start")
    await server.add_bot(WELL, "well_bot", "Well")
    config = f"""\
        telegram: {url_of(server)}
        alerts: {{chat_id: 99, token_env: ALERTS_TOKEN}}
        bots: [{{name: well, token_env: WELL}}]
        """
    write(folder, config, WELL=WELL, ALERTS_TOKEN=ALERTS, DATABASE_URL=database_url)

    assert await doctor() == (
        0,
        [
            "ok config bots_config.yaml: 1 bot",
            "ok telegram # answers (#)",
            "ok clock as that of #",
            "ok tokens 1 accepted: @well_bot",
            "ok webhooks as they should be",
            "ok alerts go to chat 99",
            "ok database the one in DATABASE_URL, # are in use",
            f"ok schema {known_migrations()[-1]}",
        ],
    )


async def test_everything_that_telegram_finds_wrong(folder: Path, server: SandboxClient, database_url: str) -> None:
    for token in (WELL, REVOKED, HOOKED, MOVED, ALERTS):
        await server.add_bot(token, f"b{token[:3]}", "")
    await server.revoke(REVOKED)
    await set_webhook(server, WELL, "http://127.0.0.1:1/who")
    await set_webhook(server, HOOKED, "http://127.0.0.1:88/webhook/hooked")
    await set_webhook(server, MOVED, "http://127.0.0.1:1/elsewhere")
    await server.learner(HOOKED, 7).send("/start")
    await server.wait_bot(HOOKED, lambda bot: bot["webhook_error"] is not None)
    config = f"""\
        telegram: {url_of(server)}
        webhook: {{base_url: "http://bots.example.org", secret_token: "${{SECRET}}"}}
        alerts: {{chat_id: 99, token_env: ALERTS_TOKEN}}
        bots:
          - {{name: well, token_env: WELL}}
          - {{name: revoked, token_env: REVOKED}}
          - {{name: unset, token_env: UNSET}}
          - {{name: hooked, token_env: HOOKED, mode: webhook, webhook_url: "http://127.0.0.1:88/webhook/hooked"}}
          - {{name: moved, token_env: MOVED, mode: webhook}}
        """
    write(
        folder, config, WELL=WELL, REVOKED=REVOKED, HOOKED=HOOKED, MOVED=MOVED, ALERTS_TOKEN=ALERTS, SECRET="s3cret",
        DATABASE_URL=database_url,
    )  # fmt: skip
    code, lines = await doctor()

    assert (code, lines[3:-2]) == (
        1,
        [
            "fail token of revoked: Telegram refuses it; "
            "get a new one from @BotFather, put it into .env as REVOKED, then `flotilla up`",
            "fail token of unset: UNSET is not set; put UNSET=... into .env",
            "ok tokens 3 accepted: @b123, @b323, @b423",
            "warning webhook of well: it is polled, but Telegram has a webhook for it at #; "
            "the bot removes it at its start; who sets it?",
            "fail webhook of hooked: Telegram cannot deliver (Connection failed: ClientConnectorError); "
            "1 updates wait; "
            "see DNS, port and certificate of its address, and `flotilla logs proxy`",
            "warning webhook of moved: is at #, not at http://bots.example.org/webhook/moved; "
            "the bot sets it again while it runs; who else uses its token?",
            "fail alerts chat 99 cannot be written to: Bad Request: chat not found; "
            "add the bot to the chat, or write to it first; see alerts/chat_id",
        ],
    )
    assert not any(secret in "".join(lines) for secret in (WELL, REVOKED, HOOKED, MOVED, ALERTS, "s3cret"))


async def set_webhook(server: SandboxClient, token: str, url: str) -> None:
    api = f"{url_of(server)}/bot{token}/setWebhook"
    assert server._session is not None
    async with server._session.post(api, json={"url": url}) as answer:
        assert answer.ok, await answer.text()


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (
            "http://127.0.0.1:1",
            "fail telegram # cannot be connected to (connection refused); see that the firewall lets this machine out",
        ),
        (
            "http://telegram.invalid",
            "fail telegram the name 'telegram.invalid' cannot be resolved; see /etc/resolv.conf and the network",
        ),
    ],
)
async def test_no_network(folder: Path, url: str, line: str) -> None:
    bots = "[{name: a, token_env: A}, {name: b, token_env: B}]"
    write(folder, f"telegram: {url}\nbots: {bots}\n", A=WELL)
    code, lines = await doctor()
    place = "#" if "127" in url else "telegram.invalid"

    assert code == 1
    assert lines[1:6] == [
        line,
        "fail token of b: B is not set; put B=... into .env",
        f"warning clock not checked: {place} cannot be reached",
        f"warning tokens not checked: {place} cannot be reached",
        f"warning webhooks not checked: {place} cannot be reached",
    ]


async def test_a_sandbox_that_does_not_run(folder: Path) -> None:
    write(folder, "telegram: sandbox\nbots: [{name: a}]\n", SANDBOX_PORT="1")

    assert await doctor() == (
        0,
        [
            "ok config bots_config.yaml: 1 bot",
            "warning telegram the sandbox does not run; `flotilla up` or `flotilla run` starts it",
            "warning database none runs yet; `flotilla up` or `flotilla run` starts it",
        ],
    )


async def test_a_sandbox_that_refuses_a_bot(folder: Path, server: SandboxClient) -> None:
    await server.add_bot(sandbox_token("a"), "a", "A")
    await server.revoke(sandbox_token("a"))
    write(folder, "telegram: sandbox\nbots: [{name: a}]\n", SANDBOX_PORT=url_of(server).rpartition(":")[2])
    code, lines = await doctor()

    assert code == 1
    assert lines[1:4] == [
        "ok telegram the sandbox answers (#)",
        "ok clock as that of the sandbox",
        "fail token of a: the sandbox was told to refuse it; start the sandbox again",
    ]


@asynccontextmanager
async def server_of_time(ahead: float) -> AsyncIterator[str]:
    """A server that answers everything the same way, with a clock that is so many seconds ahead."""

    async def answer(_: web.Request) -> web.Response:
        headers = {"Date": formatdate(time() + ahead, usegmt=True)}
        return web.json_response({"ok": True, "result": {"username": "a_bot", "url": ""}}, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.mark.parametrize(
    ("ahead", "grade", "line"),
    [
        (0, "ok", "clock as that of #"),
        (40, "warning", "behind"),
        (-4000, "fail", "ahead of"),
    ],
)
async def test_the_clock(folder: Path, ahead: float, grade: str, line: str) -> None:
    async with server_of_time(ahead) as url:
        write(folder, f"telegram: {url}\nbots: [{{name: a, token_env: A}}]\n", A=WELL)
        code, lines = await doctor()
    clock = next(found for found in lines if " clock " in found)

    assert clock.startswith(f"{grade} clock ")
    assert line in clock
    assert ("`sudo timedatectl set-ntp true`" in clock) == bool(ahead)
    assert code == (1 if grade == "fail" else 0)


SCHEMAS = [
    (
        "INSERT INTO schema_version (migration_id, oldest_app) VALUES ('9999_future', '99.0.0')",
        "needs Flotilla 99.0.0 or newer",
    ),
    ("DELETE FROM schema_version WHERE migration_id = '0008_watch'", "lacks the migrations 0008_watch"),
]


@pytest.mark.parametrize(("statement", "text"), SCHEMAS)
async def test_a_schema_of_another_version(folder: Path, database_url: str, statement: str, text: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(statement)  # type: ignore[call-overload]
    write(folder, "telegram: sandbox\nbots: [{name: a}]\n", SANDBOX_PORT="1", DATABASE_URL=database_url)
    code, lines = await doctor()

    assert code == 1
    assert lines[-2] == "ok database the one in DATABASE_URL"
    assert lines[-1].startswith("fail schema ")
    assert text in lines[-1]


async def test_a_database_that_is_away(folder: Path) -> None:
    url = "postgresql://flotilla:s3cret@127.0.0.1:1/flotilla"
    write(folder, "telegram: sandbox\nbots: [{name: a}]\n", SANDBOX_PORT="1", DATABASE_URL=url)
    code, lines = await doctor()

    assert code == 1
    assert lines[-1].startswith("fail database database 'flotilla' at '127.0.0.1' (user 'flotilla') does not answer: ")
    assert lines[-1].endswith("; start PostgreSQL, or correct host and port in DATABASE_URL")
    assert "s3cret" not in lines[-1]


async def test_as_json(folder: Path) -> None:
    write(folder, "telegram: http://127.0.0.1:1\nbots: [{name: a, token_env: A}]\n", A=WELL)
    result = await asyncio.to_thread(invoke, "--json")
    told = json.loads(result.stdout)

    assert (result.exit_code, told["ok"]) == (1, False)
    assert {
        "check": "telegram",
        "grade": "fail",
        "text": "127.0.0.1:1 cannot be connected to (connection refused)",
        "remedy": "see that the firewall lets this machine out",
    } in told["checks"]


async def test_a_wrong_config(folder: Path) -> None:
    write(folder, "bots: []\n")
    with pytest.raises(InputError) as caught:
        await asyncio.to_thread(invoke)

    assert caught.value.exit_code == 78


async def test_no_engine_is_a_failure_where_containers_are_used(folder: Path) -> None:
    write(folder, "telegram: sandbox\nbots: [{name: a}]\n", SANDBOX_PORT="1")
    before = await asyncio.to_thread(invoke)
    (folder / "compose.yaml").write_text("services: {}\n")
    after = await asyncio.to_thread(invoke)

    assert before.exit_code == 0
    assert after.exit_code == 1
    assert re.search(r"^warning  engine     no Docker engine answers .*'flotilla run' needs none$", before.stdout, re.M)
    assert re.search(r"^fail     engine     no Docker engine answers ", after.stdout, re.M)


async def test_more_bots_than_the_machine_has_memory_for(folder: Path) -> None:
    bots = "".join(f"  - {{name: b{number}, replicas: 100}}\n" for number in range(100))
    write(folder, f"telegram: sandbox\nbots:\n{bots}", SANDBOX_PORT="1")
    result = await asyncio.to_thread(invoke)

    assert result.exit_code == 1
    assert re.search(
        r"^fail     memory     the 10000 containers of bots take about 712\.9 GiB of \d+\.\d GiB "
        r"\(limited to 1562\.5 GiB\); let bots share containers",
        result.stdout,
        re.MULTILINE,
    )


@contextmanager
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield int(taken.getsockname()[1])


@pytest.mark.containers
async def test_the_engine_and_its_ports_and_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST")
    with busy_port() as port:
        config = 'telegram: sandbox\nbots: [{name: a}, {name: b, version: "0.0.0-no-such"}]\n'
        write(folder, config, SANDBOX_PORT=str(port))
        result = await asyncio.to_thread(invoke)
    lines = result.stdout.splitlines()

    assert result.exit_code == 1
    assert re.fullmatch(r"ok       engine     Docker \S+ at unix://\S+, \d+ CPUs, \S+ GiB", lines[1])
    assert re.fullmatch(r"ok       compose    Docker Compose \S+", lines[2])
    assert lines[3] == ("warning  compose.yaml is not there yet; `flotilla up` or `flotilla generate` writes it")
    assert lines[4] == (
        f"fail     ports      {port} of 127.0.0.1, for sandbox, is in use; "
        f"`ss -ltnp 'sport = :{port}'` shows by what; stop that, or choose another port in .env"
    )
    assert any(
        line.startswith("fail     images     not on this machine, and no registry has them: flotilla:0.0.0-no-such; ")
        for line in lines
    )


async def test_the_memory_of_one_container(folder: Path) -> None:
    write(folder, "telegram: sandbox\nbots: [{name: a}]\n", SANDBOX_PORT="1")
    result = await asyncio.to_thread(invoke)
    assert re.search(
        r"^ok       memory     the container of bots takes about 0\.1 GiB of ", result.stdout, re.MULTILINE
    )


@asynccontextmanager
async def empty_registry() -> AsyncIterator[str]:
    """The address of a registry that has no images."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/v2/":
            return web.json_response({})
        errors = [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]
        return web.json_response({"errors": errors}, status=404)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        yield f"127.0.0.1:{server.port}"


@pytest.mark.containers
async def test_images_of_other_services(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST")
    async with empty_registry() as registry:
        write(folder, "telegram: sandbox\nbots: [{name: a}]\n", SANDBOX_PORT="1")
        images = {"one": f"{registry}/nobodys:1", "two": "127.0.0.1:1/nobodys:2"}
        services = {name: {"image": image} for name, image in images.items()}
        (folder / "compose.override.yaml").write_text(json.dumps({"services": services}))
        result = await asyncio.to_thread(invoke)
    lines = [line for line in result.stdout.splitlines() if "nobodys" in line]
    assert lines == [
        f"fail     images     {registry}/nobodys:1 is not on this machine, and its registry does not give it; "
        "correct its name, or `docker login` to that registry",
        "warning  images     not on this machine, and their registry does not answer: 127.0.0.1:1/nobodys:2; "
        "`docker compose pull` says why; without a network bring them by `docker save` and `docker load`",
    ]


class Answering(Desk):
    """A run as far as it is asked whether it is there."""

    async def do(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"pid": 1, "bots": []}


@pytest.mark.containers
async def test_the_ports_of_a_run_are_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST")
    with busy_port() as port:
        write(folder, "telegram: sandbox\nbots: [{name: a}]\n", SANDBOX_PORT=str(port))
        (folder / ".flotilla").mkdir()
        async with listening(folder / RUN_SOCKET, Answering()):
            result = await asyncio.to_thread(invoke)
    checked = [line.split()[1] for line in result.stdout.splitlines()]
    assert "compose" in checked
    assert "ports" not in checked
