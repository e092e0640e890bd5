"""The logs of several containers as one stream."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from queue import Queue
from threading import Lock, Thread

from app.deploy.docker import Container, ContainerGoneError, Engine, EngineError, LogLine


@dataclass(frozen=True, slots=True)
class Line:
    """A line, and the container that wrote it."""

    container: Container
    line: LogLine


class Stream:
    """The logs of those containers of a project that are ``wanted``; see ``past`` and ``future``."""

    def __init__(self, engine: Engine, project: str, wanted: Callable[[Container], bool]) -> None:
        self._engine = engine
        self._project = project
        self._wanted = wanted
        self._last: dict[str, datetime] = {}
        self._followed: set[str] = set()
        self._lock = Lock()
        self._queue: Queue[Line | EngineError] = Queue()

    def past(self, since: datetime | None, tail: int | None) -> Iterator[Line]:
        """Yield what has been written, in the order of time; ``tail`` lines at most of each container."""
        found = [one for one in self._engine.containers(self._project) if self._wanted(one)]
        yield from heapq.merge(*(self._read(one, since, tail) for one in found), key=lambda line: line.line.at)

    def future(self, since: datetime) -> Iterator[Line]:
        """Yield what is written from now on, and after ``since`` where ``past`` has not been, as it comes.

        Containers that are made or started later are followed, too. It never ends.
        """
        Thread(target=self._watch, args=(since,), daemon=True).start()
        for container in self._engine.containers(self._project):
            self._begin(container, since)
        while True:
            line = self._queue.get()
            if isinstance(line, EngineError):
                raise line
            yield line

    def _read(
        self, container: Container, since: datetime | None, tail: int | None, follow: bool = False
    ) -> Iterator[Line]:
        last = self._last.get(container.id)
        for line in self._engine.logs(container.id, since=since, tail=tail, follow=follow):
            if last is None or line.at > last:
                self._last[container.id] = line.at
                yield Line(container, line)

    def _watch(self, since: datetime) -> None:
        """Follow containers that are started."""
        try:
            for event in self._engine.events(self._project, since):
                if event.action == "start":
                    self._begin(self._engine.container(event.container_id), event.at)
        except ContainerGoneError:
            self._watch(since)
        except EngineError as error:
            self._queue.put(error)

    def _begin(self, container: Container, since: datetime) -> None:
        with self._lock:
            if not self._wanted(container) or container.id in self._followed:
                return
            self._followed.add(container.id)
        Thread(target=self._follow, args=(container, since), daemon=True).start()

    def _follow(self, container: Container, since: datetime) -> None:
        try:
            while True:
                for line in self._read(container, self._last.get(container.id, since), None, follow=True):
                    self._queue.put(line)
                with self._lock:
                    if not self._engine.container(container.id).is_running:
                        self._followed.discard(container.id)
                        return
        except ContainerGoneError:
            return
        except EngineError as error:
            self._queue.put(error)
