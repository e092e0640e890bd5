"""The event loop of a process, uvloop where it exists, and the garbage collector under it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

SETTLED_SECONDS = 2.0
"""How long after its start a host is taken to have imported what it needs."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the work to its end in a new event loop and return its result."""
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(work)


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
