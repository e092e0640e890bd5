"""The plugin of a bot: an aiogram router in its folder that gets what the course does not use."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from app.errors import Problem
from app.observe.logs import get_log
from app.observe.metrics import PLUGIN_UPDATES
from app.observe.work import Work, work_on
from app.runtime.control import Access, CourseControl, Facts, KeptStates, Turns
from app.runtime.decision import Unused
from app.runtime.library import Library, Stamp, stamp_of
from app.runtime.namespace import Namespace, PluginUnusable
from app.store.errors import StoreUnavailable
from app.store.rows import NewMessage
from app.store.store import Store
from app.telegram.api import BotApi
from app.telegram.decode import ALLOWED_UPDATES, Update
from app.telegram.lean import import_aiogram

if TYPE_CHECKING:
    from app.telegram.plugins import PluginRouter

T = TypeVar("T")

LOAD_SECONDS = 30.0
"""How long the import of a plugin may take, and its startup."""

TIME_LIMIT = 30.0
"""Seconds that a handler may take; ``time_limit`` in handlers.py says otherwise."""

STOP_SECONDS = 4.0
"""How long handlers may go on when the bot stops."""

BLOCKED_SECONDS = 1.0
"""A handler that keeps all bots of the process waiting for so long is named in the log."""

LANE_LENGTH = 20
"""Most updates of one chat that are with the plugin or wait for it."""

MOST_WAITING = 1000
"""Most updates of one bot that are, or do."""

log = get_log(__name__)


class Outcome(StrEnum):
    """What became of an update that a plugin was given."""

    HANDLED = "handled"
    NOT_HANDLED = "not handled"
    FAILED = "failed"
    TOO_SLOW = "too slow"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plugin that is in effect."""

    namespace: Namespace
    router: PluginRouter
    time_limit: float


@dataclass(frozen=True, slots=True)
class Context:
    """What a plugin works with while its bot runs here."""

    api: BotApi
    access: Access
    turns: Turns
    course: CourseControl

    def arguments(self) -> dict[str, Any]:
        """Return what handlers may ask for by name, beside what aiogram gives them."""
        return {
            "bot": self.api.bot,
            "bot_name": self.access.botname,
            "course": self.course,
            "store": Facts(self.access),
        }


class Plugin:
    """The plugin of one bot, if its folder has a ``handlers.py``; whatever goes wrong in it is reported and stays here.

    ``name`` is what log lines carry. Between ``open`` and ``close`` it takes updates, each chat's in order and chats
    side by side.
    """

    def __init__(self, name: str, library: Library) -> None:
        self._name = name
        self._library = library
        self._stamps: dict[Any, Stamp] = {}
        self._loaded: Loaded | None = None
        self._context: Context | None = None
        self._reading: asyncio.Task[None] | None = None
        self._lanes: dict[int, deque[Unused]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting = 0

    @property
    def kinds(self) -> frozenset[str]:
        """The types of updates that the plugin takes; none without a plugin."""
        return self._loaded.router.kinds if self._loaded is not None else frozenset()

    def allowed_updates(self) -> list[str]:
        """Return the types of updates that the bot must ask Telegram for."""
        return [*ALLOWED_UPDATES, *sorted(self.kinds.difference(ALLOWED_UPDATES))]

    async def open(self, api: BotApi, botname: str, store: Store, turns: Turns) -> None:
        """Load the plugin, and take updates from now on."""
        access = Access(botname, store)
        control = CourseControl(access, turns, lambda: self._library.courses)
        self._context = context = Context(api, access, turns, control)
        await self._read(context)

    async def close(self, seconds: float = STOP_SECONDS) -> None:
        """Take no more updates; handlers may go on for so long."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        await self._replace(None)
        self.abandon()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)  # a handler may refuse to be cancelled

    def abandon(self) -> None:
        """Take no more updates and stop all handlers, because another host may have the bot."""
        self._context = None
        for task in self._tasks:
            task.cancel()
        self._lanes.clear()
        self._waiting = 0

    def watch(self) -> None:
        """Begin to read the plugin again if one of its files has changed; what is wrong then leaves it as it was."""
        context = self._context
        if context is None or self._reading is not None:
            return
        if any(stamp_of(path) != stamp for path, stamp in self._stamps.items()):
            self._reading = asyncio.create_task(self._read_again(context))

    def take(self, unused: Unused) -> None:
        """Let the plugin have an update; returns at once."""
        if self._context is None:
            return
        key = _lane_of(unused.update)
        lane = self._lanes.get(key)
        if self._waiting >= MOST_WAITING or (lane is not None and len(lane) >= LANE_LENGTH):
            self._count(Outcome.REFUSED)
            log.warning("plugin is behind, update not given to it", bot=self._name, update=unused.update.update_id)
            self._begin(self._follow_up(unused, Outcome.REFUSED))
            return
        self._waiting += 1
        if lane is not None:
            lane.append(unused)
            return
        self._lanes[key] = deque([unused])
        self._begin(self._work(key))

    async def _work(self, key: int) -> None:
        lane = self._lanes[key]
        while lane:
            unused = lane[0]
            outcome = await self._outcome(unused.update)
            self._count(outcome)
            await self._follow_up(unused, outcome)
            lane.popleft()
            self._waiting -= 1
        self._lanes.pop(key, None)

    async def _outcome(self, update: Update) -> Outcome:
        """Wait for the handlers, in a task of their own: one that refuses to be cancelled is left behind."""
        loaded, context = self._loaded, self._context
        if loaded is None or context is None:
            return Outcome.NOT_HANDLED
        work = self._begin(self._handle(loaded, context, update))
        await asyncio.wait({work}, timeout=loaded.time_limit)
        if work.cancelled():
            log.error("handler of the plugin was cancelled by itself", bot=self._name, update=update.update_id)
            return Outcome.FAILED
        if work.done():
            return work.result()
        work.cancel()
        log.error(
            "handler of the plugin was too slow, stopped",
            bot=self._name,
            update=update.update_id,
            kind=update.kind,
            seconds=loaded.time_limit,
        )
        return Outcome.TOO_SLOW

    async def _handle(self, loaded: Loaded, context: Context, update: Update) -> Outcome:
        learner = update.learner
        work_on(Work(self._name, learner.chat_id if learner is not None else update.chat_id, update.update_id))
        try:
            arguments = {**context.arguments(), "learner": learner}
            is_handled = await _Steps(loaded.router.feed(raw=update.raw, **arguments), self._blocked)
        except (Exception, SystemExit):
            log.exception("handler of the plugin failed", bot=self._name, update=update.update_id, kind=update.kind)
            return Outcome.FAILED
        return Outcome.HANDLED if is_handled else Outcome.NOT_HANDLED

    async def _follow_up(self, unused: Unused, outcome: Outcome) -> None:
        """Tell the learner what the course would have, or that something went wrong."""
        context, update = self._context, unused.update
        if context is None or outcome is Outcome.HANDLED:
            return
        messages, notices = list(unused.messages), list(unused.notices)
        if outcome in (Outcome.FAILED, Outcome.TOO_SLOW):
            messages, notices = _apology(unused)
        try:
            await context.access.whole(context.turns.post(messages, notices))
        except StoreUnavailable as trouble:  # the bot stops
            log.warning("learner not answered", bot=self._name, update=update.update_id, reason=str(trouble))
        except Exception:
            log.exception("learner not answered", bot=self._name, update=update.update_id)

    def _count(self, outcome: Outcome) -> None:
        PLUGIN_UPDATES.labels(self._name, outcome.value).inc()

    def _blocked(self, seconds: float) -> None:
        log.warning(
            "plugin blocks the process; let it await what takes time, or use asyncio.to_thread",
            bot=self._name,
            seconds=round(seconds, 1),
        )

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- loading ----------------------------------------------------------------------------------------------------

    async def _read_again(self, context: Context) -> None:
        try:
            await self._read(context)
        finally:
            self._reading = None

    async def _read(self, context: Context) -> None:
        """Load the plugin as its files are now, in place of what was loaded."""
        namespace = Namespace(self._library.scripts, self._library.folder)
        self._stamps = namespace.stamps
        if not namespace.handlers.exists():
            namespace.stamps[namespace.handlers] = None
            await self._replace(None)
            return
        try:
            loaded = await self._load(namespace, context)
        except PluginUnusable as trouble:
            namespace.forget()
            state = "it runs on as it was" if self._loaded is not None else "the bot runs without it"
            log.error(f"{trouble}; plugin not loaded, {state}", bot=self._name)
            return
        except BaseException:
            namespace.forget()
            raise
        await self._replace(loaded)
        log.info("plugin loaded", bot=self._name, updates=sorted(loaded.router.kinds))

    async def _load(self, namespace: Namespace, context: Context) -> Loaded:
        import_aiogram()  # before the plugin does, which would do it the plain way
        try:
            return await _within(LOAD_SECONDS, _started(namespace, context))
        except PluginUnusable:
            raise
        except TimeoutError:
            text = f"not loaded within {LOAD_SECONDS:g} s"
            raise PluginUnusable(Problem(str(namespace.handlers), 0, 0, "", text)) from None
        except (Exception, SystemExit) as error:
            raise namespace.unusable(error) from error

    async def _replace(self, new: Loaded | None) -> None:
        """Put this into effect, and give up what was."""
        old, self._loaded = self._loaded, new
        if old is None:
            return
        try:
            arguments = self._context.arguments() if self._context is not None else {}
            await _within(STOP_SECONDS, old.router.stop(**arguments))
        except (Exception, SystemExit):
            log.exception("shutdown of the plugin failed", bot=self._name)
        old.namespace.forget()


async def _within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Wait so long for a plugin's work, in a task of its own: one that refuses to be cancelled is left behind.

    Raises ``TimeoutError``, and ``RuntimeError`` for work that is cancelled by itself: that is no end of its bot.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        is_done = task.done()
        task.cancel()
    if not is_done:
        raise TimeoutError
    if task.cancelled():
        raise RuntimeError("it was cancelled by itself")
    return task.result()


async def _started(namespace: Namespace, context: Context) -> Loaded:
    module = await _in_thread(namespace.load)
    loaded = _loaded(namespace, vars(module), context)
    await loaded.router.start(**context.arguments())
    return loaded


def _loaded(namespace: Namespace, names: dict[str, Any], context: Context) -> Loaded:
    from app.telegram.plugins import PluginRouter

    if "router" not in names:
        problem = Problem(str(namespace.handlers), 0, 0, "", "it has no `router`", "write `router = aiogram.Router()`")
        raise PluginUnusable(problem)
    limit = names.get("time_limit", TIME_LIMIT)
    if isinstance(limit, bool) or not isinstance(limit, int | float) or limit <= 0:
        problem = Problem(str(namespace.handlers), 0, 0, "time_limit", f"{limit!r} is no number of seconds")
        raise PluginUnusable(problem)
    return Loaded(namespace, PluginRouter(names["router"], KeptStates(context.access)), float(limit))


def _apology(unused: Unused) -> tuple[list[NewMessage], list[tuple[str, str]]]:
    """Return the apology for a learner who wrote to the bot; nobody else was promised an answer."""
    update, text = unused.update, unused.texts.apology
    if update.callback_id is not None:
        return [], [(update.callback_id, text)]
    if update.event is None or update.chat_id is None or not unused.messages:
        return [], []
    return [NewMessage(update.chat_id, "sendMessage", {"chat_id": update.chat_id, "text": text})], []


def _lane_of(update: Update) -> int:
    """Return whose updates wait for each other: those of a chat, or of a person, else all."""
    message = update.body.get("message")
    for body in (update.body, message if isinstance(message, dict) else {}):
        chat = body.get("chat")
        if isinstance(chat, dict) and isinstance(chat.get("id"), int):
            return int(chat["id"])
    return update.learner.chat_id if update.learner is not None else 0


async def _in_thread(work: Callable[[], T]) -> T:
    """Return the result of something that may take long, or for ever: the process does not wait for its end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(settle: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(lambda: None if future.cancelled() else settle())

    def run() -> None:
        try:
            result = work()
        except Exception as error:
            tell(partial(future.set_exception, error))
        else:
            tell(partial(future.set_result, result))

    context = copy_context()  # what is logged meanwhile says of which bot it is
    threading.Thread(target=context.run, args=(run,), daemon=True, name="plugin import").start()
    return await future


class _Steps(Awaitable[T]):
    """Does the work and tells of each of its steps between two awaits, when all else waits, that takes too long."""

    def __init__(self, work: Awaitable[T], blocked: Callable[[float], None]) -> None:
        self._work = work
        self._blocked = blocked

    def __await__(self) -> Generator[Any, Any, T]:
        steps: Any = self._work.__await__()
        thrown: BaseException | None = None
        while True:
            began = time.monotonic()
            try:
                awaited = steps.send(None) if thrown is None else steps.throw(thrown)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                seconds = time.monotonic() - began
                if seconds > BLOCKED_SECONDS:
                    self._blocked(seconds)
            thrown = None
            try:
                yield awaited
            except BaseException as error:  # cancellation above all, which the work is to see
                thrown = error
