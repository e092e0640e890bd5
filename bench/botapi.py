"""A Bot API server that costs little, with learners who answer at once: ``python bench/botapi.py PORT``.

It speaks just enough of HTTP and of the Bot API to keep a bot busy. Bots are told apart by their token and need no
registration. Every learner does what the last message asks for: votes in a poll, presses the first button, or writes
``ANSWER``; a learner who has not been written to sends ``/start``. ``POST /control`` with a JSON object ``Drive`` lets
learners act, and answers with a ``Report`` when they are done.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from time import monotonic, process_time
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

ANSWER = "yes"
"""What a learner writes; the courses of the benchmark take it as the right answer."""

DATE = 1_763_800_000

CONNECTIONS = 40
"""To a webhook that names no other number: the Bot API's default."""

_CHAT = re.compile(rb"chat_id\W+?(-?\d+)")
_OFFSET = re.compile(rb"offset\W+?(-?\d+)")
_TIMEOUT = re.compile(rb"timeout\W+?(\d+)")
_LIMIT = re.compile(rb"limit\W+?(\d+)")
_BUTTON = re.compile(rb'"callback_data": ?"([^"]+)"')
_LENGTH = re.compile(rb"(?i)\ncontent-length: *(\d+)")
_SHOWS = (b"sendMessage", b"sendPoll")


@dataclass(frozen=True)
class Drive:
    """What learners are to do: everyone of ``count`` chats from ``first`` on acts ``steps`` times.

    Each next time comes when the bot has answered the last, or, with a ``rate``, whenever one is due: so many actions a
    second of the learners in turn. Without ``steps`` the server only waits for as many messages as there are chats.
    """

    token: str
    first: int
    count: int
    steps: int
    rate: float = 0.0
    patience: float = 60.0


@dataclass
class Report:
    """How it went: times in seconds; ``latencies`` from an update's arrival to the message that answers it."""

    updates: int = 0
    answered: int = 0
    seconds: float = 0.0
    server_cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)


class Learner:
    """One chat."""

    __slots__ = ("asked", "chat_id", "left", "seen")

    def __init__(self, chat_id: int) -> None:
        self.chat_id = chat_id
        self.seen: tuple[str, str] | None = None
        self.left = 0
        self.asked: deque[float] = deque()

    def update(self, update_id: int) -> bytes:
        """Return the learner's next update."""
        person = (
            f'{{"id":{self.chat_id},"is_bot":false,"first_name":"Анна","last_name":"Петрова",'
            f'"username":"learner{self.chat_id}","language_code":"ru"}}'
        )
        chat = (
            f'{{"id":{self.chat_id},"first_name":"Анна","last_name":"Петрова",'
            f'"username":"learner{self.chat_id}","type":"private"}}'
        )
        match self.seen:
            case ("poll", poll_id):
                body = f'"poll_answer":{{"poll_id":"{poll_id}","user":{person},"option_ids":[0]}}'
            case ("button", data):
                message = f'{{"message_id":{update_id},"date":{DATE},"chat":{chat},"text":"…"}}'
                body = (
                    f'"callback_query":{{"id":"{update_id}","from":{person},"message":{message},'
                    f'"chat_instance":"1","data":"{data}"}}'
                )
            case seen:
                text = ANSWER if seen else "/start"
                command = "" if seen else ',"entities":[{"offset":0,"length":6,"type":"bot_command"}]'
                body = (
                    f'"message":{{"message_id":{update_id},"from":{person},"chat":{chat},"date":{DATE},'
                    f'"text":"{text}"{command}}}'
                )
        return f'{{"update_id":{update_id},{body}}}'.encode()


class Hook:
    """The webhook of a bot: takes its updates over as many connections as the bot wants, one at a time over each."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.info = {key: params[key] for key in ("url", "max_connections", "allowed_updates") if key in params}
        self.updates: asyncio.Queue[bytes] = asyncio.Queue()
        address = urlsplit(params["url"])
        self.host, self.port = address.hostname, address.port
        self.head = (
            f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
            f"X-Telegram-Bot-Api-Secret-Token: {params['secret_token']}\r\nContent-Length: "
        )
        self.tasks = {
            asyncio.create_task(self.deliver()) for _ in range(int(params.get("max_connections", CONNECTIONS)))
        }

    async def deliver(self) -> None:
        update = await self.updates.get()
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(self.host, self.port)
                while True:
                    writer.write(f"{self.head}{len(update)}\r\n\r\n".encode() + update)
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(_number(_LENGTH, head, 0))
                    if head.split()[1] == b"200":
                        update = await self.updates.get()
            await asyncio.sleep(0.1)  # the bot has ended the connection


class Account:
    """One bot: its pending updates, the request that waits for them or its webhook, and its learners."""

    def __init__(self, token: str) -> None:
        self.bot = f'{{"id":{token.partition(":")[0]},"is_bot":true,"first_name":"Bench","username":"bench_bot"}}'
        self.pending: deque[tuple[int, bytes]] = deque()
        self.learners: dict[int, Learner] = {}
        self.waiting: tuple[Callable[[bytes], None], int, asyncio.TimerHandle] | None = None
        self.hook: Hook | None = None
        self.last_id = 1000
        self.messages = 0
        self.report = Report()
        self.goal = 0
        self.done = asyncio.Event()

    def learner(self, chat_id: int) -> Learner:
        if chat_id not in self.learners:
            self.learners[chat_id] = Learner(chat_id)
        return self.learners[chat_id]

    def act(self, learner: Learner) -> None:
        """Let a learner act, and hand the update over if the bot waits for one."""
        self.last_id += 1
        learner.asked.append(monotonic())
        self.report.updates += 1
        if self.hook is not None:
            self.hook.updates.put_nowait(learner.update(self.last_id))
            return
        self.pending.append((self.last_id, learner.update(self.last_id)))
        if self.waiting is not None:
            # After all that learners do in this moment: they are many, and one batch is what Telegram would give.
            asyncio.get_running_loop().call_soon(self.hand_over)

    def set_hook(self, params: dict[str, Any]) -> None:
        """Deliver to a webhook from now on, what is pending too."""
        self.hook = Hook(params)
        while self.pending:
            self.hook.updates.put_nowait(self.pending.popleft()[1])

    def hand_over(self) -> None:
        if self.waiting is not None and self.pending:
            answer, limit, timer = self.waiting
            self.waiting = None
            timer.cancel()
            answer(self.batch(limit))

    def batch(self, limit: int) -> bytes:
        updates = [update for _, update in list(self.pending)[:limit]]
        return b'{"ok":true,"result":[' + b",".join(updates) + b"]}"

    def get_updates(self, request: bytes, answer: Callable[[bytes], None]) -> None:
        offset = _number(_OFFSET, request, 0)
        while self.pending and self.pending[0][0] < offset:
            self.pending.popleft()
        limit = _number(_LIMIT, request, 100) or 100
        timeout = _number(_TIMEOUT, request, 0)
        if self.pending or not timeout:
            answer(self.batch(limit))
            return
        timer = asyncio.get_running_loop().call_later(timeout, self.expire)
        self.waiting = (answer, limit, timer)

    def expire(self) -> None:
        if self.waiting is not None:
            answer, limit, _ = self.waiting
            self.waiting = None
            answer(self.batch(limit))

    def show(self, method: bytes, request: bytes) -> bytes:
        """Take a message or poll, and let its learner go on."""
        self.messages += 1
        chat_id = _number(_CHAT, request, 0)
        learner = self.learner(chat_id)
        message = f'"message_id":{self.messages},"from":{self.bot},"chat":{{"id":{chat_id},"type":"private"}}'
        if method == b"sendPoll":
            learner.seen = ("poll", str(self.messages))
            answer = (
                f'{{"ok":true,"result":{{{message},"date":{DATE},"poll":{{"id":"{self.messages}","question":"…",'
                f'"options":[],"total_voter_count":0,"is_closed":false,"is_anonymous":false,"type":"quiz",'
                f'"allows_multiple_answers":false}}}}}}'
            )
        else:
            button = _BUTTON.search(request)
            learner.seen = ("button", button[1].decode()) if button else ("text", "")
            answer = f'{{"ok":true,"result":{{{message},"date":{DATE},"text":"What the bot has written"}}}}'
        self._answered(learner)
        return answer.encode()

    def _answered(self, learner: Learner) -> None:
        self.report.answered += 1
        if learner.asked:
            self.report.latencies.append(monotonic() - learner.asked.popleft())
        if learner.left:
            learner.left -= 1
            self.act(learner)
        if self.report.answered == self.goal:
            self.done.set()

    async def drive(self, drive: Drive) -> Report:
        """Let learners act, and return when the bot has answered everything, or patience ends."""
        learners = [self.learner(drive.first + index) for index in range(drive.count)]
        for learner in learners:
            learner.asked.clear()
        self.report, self.goal = Report(), drive.count * max(1, drive.steps)
        self.done.clear()
        begun, cpu = monotonic(), process_time()
        if drive.rate:
            await self._act_at(drive.rate, [learner for _ in range(drive.steps) for learner in learners])
        elif drive.steps:
            for learner in learners:
                learner.left = drive.steps - 1
                self.act(learner)
        try:
            await asyncio.wait_for(self.done.wait(), drive.patience)
        except TimeoutError:
            print("not all was answered:", drive, self.report.answered, file=sys.stderr)
        self.report.seconds, self.report.server_cpu = monotonic() - begun, process_time() - cpu
        return self.report

    async def _act_at(self, rate: float, order: list[Learner]) -> None:
        begun = monotonic()
        for index, learner in enumerate(order):
            await asyncio.sleep(begun + index / rate - monotonic())
            self.act(learner)


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection; requests come one after the other."""

    accounts: ClassVar[dict[str, Account]] = {}
    drives: ClassVar[set[asyncio.Task[None]]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            length = _number(_LENGTH, head, 0)
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            self.request(head[: head.find(b"\r\n")].split(b" ")[1], body)

    def request(self, target: bytes, body: bytes) -> None:
        if target == b"/control":
            task = asyncio.get_running_loop().create_task(self.control(Drive(**json.loads(body))))
            self.drives.add(task)
            task.add_done_callback(self.drives.discard)
            return
        path, _, query = target.partition(b"?")
        _, token, method = path.split(b"/", 2)
        account = self.account(token[3:].decode())
        whole = query + b"\n" + body
        if method in _SHOWS:
            self.answer(account.show(method, whole))
        elif method == b"getUpdates":
            account.get_updates(whole, self.answer)
        elif method == b"getMe":
            self.answer(f'{{"ok":true,"result":{account.bot}}}'.encode())
        elif method == b"getWebhookInfo":
            hook = account.hook.info if account.hook else {"url": ""}
            info = {"has_custom_certificate": False, "pending_update_count": 0, **hook}
            self.answer(json.dumps({"ok": True, "result": info}).encode())
        elif method == b"setWebhook":
            account.set_hook(json.loads(body) if body.startswith(b"{") else dict(parse_qsl(body.decode())))
            self.answer(b'{"ok":true,"result":true}')
        elif method.startswith(b"getMy"):
            self.answer(b'{"ok":true,"result":[]}')
        else:
            self.answer(b'{"ok":true,"result":true}')

    def account(self, token: str) -> Account:
        if token not in self.accounts:
            self.accounts[token] = Account(token)
        return self.accounts[token]

    async def control(self, drive: Drive) -> None:
        self.answer(json.dumps(asdict(await self.account(drive.token).drive(drive))).encode())

    def answer(self, body: bytes) -> None:
        if self.transport.is_closing():  # the bot has ended while its request waited
            return
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )


def _number(pattern: re.Pattern[bytes], text: bytes, default: int) -> int:
    found = pattern.search(text)
    return int(found[1]) if found else default


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=4096)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1])))
