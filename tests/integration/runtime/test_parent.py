"""Processes of which one hangs or is down, told and asked at the socket above them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from app.runtime import parent as parent_module
from app.runtime.desk import Desk, listening
from app.runtime.parent import Branch, Parent
from tests.integration.runtime.test_children import WAIT, crowd
from tests.stage import until

PAIR = (("one", "one", "polling"), ("two", "two", "polling"))


class Host(Desk):
    """A host that notes what it is asked, and answers once it may."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.may_answer = asyncio.Event()

    async def do(self, request: dict[str, Any]) -> dict[str, Any]:
        """Note the request."""
        self.asked.append(request)
        await self.may_answer.wait()
        return {"bots": [{"bot": "one", "state": "stopped"}]}


@asynccontextmanager
async def hosts(*names: str) -> AsyncIterator[tuple[dict[str, Host], list[Branch]]]:
    """Hosts of these names, each of which runs the pair."""
    with TemporaryDirectory(prefix="fl-") as folder:
        branches = [Branch(name, PAIR, Path(folder, name)) for name in names]
        found = {name: Host() for name in names}
        async with listening(branches[0].socket, found[names[0]]), listening(branches[1].socket, found[names[1]]):
            yield found, branches


async def test_a_bot_is_stopped_in_all_replicas_though_one_of_them_is_down(tmp_path: Path) -> None:
    async with hosts("pair", "pair@2") as (found, branches):
        found["pair@2"].may_answer.set()
        async with crowd(tmp_path, **{"pair": "raise SystemExit(78)", "pair@2": WAIT}) as processes:
            await processes["pair"].ended()
            await processes.wait_lines("pair@2", 1)
            stop = {"do": "stop", "bot": "two"}
            assert (await Parent(processes.children, branches).do(stop))["bots"] == [{"bot": "one", "state": "stopped"}]
    assert (found["pair"].asked, found["pair@2"].asked) == ([], [stop])


async def test_hosts_that_hang_hold_up_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent_module, "STATUS_SECONDS", 1000.0)
    async with hosts("hangs", "well") as (found, branches):
        found["well"].may_answer.set()
        with ThreadPoolExecutor(1) as only_one:
            asyncio.get_running_loop().set_default_executor(only_one)
            async with crowd(tmp_path, hangs=WAIT, well=WAIT) as processes:
                await processes.wait_lines("hangs", 1)
                await processes.wait_lines("well", 1)
                parent = Parent(processes.children, branches)
                looks = [asyncio.create_task(parent.do({"do": "status"})) for _ in range(3)]
                await until(lambda: len(found["well"].asked) == 3)
                assert not any(look.done() for look in looks)
                found["hangs"].may_answer.set()
                assert [len((await look)["bots"]) for look in looks] == [2, 2, 2]


def test_a_connection_that_is_open_at_the_end_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def ask(client: socket.socket) -> bytes:
        async with hosts("one", "other") as (found, branches):
            found["one"].may_answer.set()
            client.connect(str(branches[0].socket))
            client.setblocking(False)
            client.sendall(b"{}\n")
            return await asyncio.get_running_loop().sock_recv(client, 1)

    with socket.socket(socket.AF_UNIX) as client:
        assert asyncio.run(ask(client)) == b"{"
        assert client.recv(1000).endswith(b"\n")
        assert client.recv(1) == b""
    assert caplog.messages == []
