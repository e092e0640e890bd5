"""The event loop of a process, uvloop where it exists, and the garbage collector under it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from threading import Event, Thread
from typing import Any, TypeVar

from app.observe.logs import get_log

T = TypeVar("T")

REST_SECONDS = 2.0
"""How long what still runs at the end may take to end."""

SETTLED_SECONDS = 2.0
"""How long after its start a host is taken to have imported what it needs."""

log = get_log(__name__)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the work to its end in a new event loop and return its result."""
    with asyncio.Runner(loop_factory=_factory()) as runner:
        try:
            return runner.run(work)
        finally:
            runner.run(_end_the_rest())


async def _end_the_rest() -> None:
    """Cancel what still runs, and forget what refuses to end, as a plugin may: the loop would wait for it for ever."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    _, left = await asyncio.wait(rest, timeout=REST_SECONDS) if rest else ((), ())
    for task in left:
        log.error("a task refuses to be cancelled; the process ends without it", task=repr(task.get_coro()))
        asyncio._unregister_task(task)
    if left:
        # What is destroyed is asked to end once more, and may refuse that for ever: so a thread holds it.
        Thread(target=_hold, args=(left,), name="rest", daemon=True).start()


def _hold(_: object) -> None:
    Event().wait()


def _factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        from uvloop import new_event_loop
    except ImportError:  # no wheel for this platform; asyncio's own loop does the same, slower
        return asyncio.new_event_loop
    return new_event_loop


def spare_the_collector() -> None:
    """Have less garbage collected: what exists by now never again, and the rest more rarely.

    Each full collection looked at the hundreds of thousands of objects that the imports leave, which took an eighth of
    a step's CPU. A turn makes garbage without cycles almost only, which needs no collector.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
