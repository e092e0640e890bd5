"""How the elements of a course lead to each other: what nothing leads to, and what never comes to an end.

Nothing here depends on answers: an edge is anything that a learner, a timer or the course itself may do at an element.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import cached_property
from typing import assert_never

from app.course.course import Course
from app.course.element import (
    AnyElement,
    Audio,
    Choice,
    Delay,
    Dialog,
    End,
    Input,
    Jump,
    Message,
    MiniApp,
    MultiChoice,
    Question,
    Quiz,
    Revision,
    Section,
    Test,
)
from app.course.report import Place, quote
from app.errors import Problem, Severity

END = None
"""The target of an edge out of the course."""

FLOOD = timedelta(seconds=10)
"""A round that takes less time than this without the learner floods them with messages."""

_SHOWN_IDS = 6

PlaceOf = Callable[[str], Place]
"""Returns where an element stands in its file."""


class Mover(Enum):
    """Who makes a run take an edge."""

    LEARNER = "the learner: a press, a vote, a text"
    TIMER = "a timer"
    COURSE = "nobody: the next element follows at once"


@dataclass(frozen=True, slots=True)
class Edge:
    """One way on from an element; ``target`` ``END`` leads out of the course, ``wait`` is that of a timer."""

    target: str | None
    mover: Mover
    wait: timedelta = timedelta()


@dataclass(frozen=True)
class Graph:
    """The edges out of each element of a course, in the order of the file; an ``end`` leads out at once."""

    edges: Mapping[str, tuple[Edge, ...]]

    @cached_property
    def sources(self) -> Mapping[str | None, list[str]]:
        """The elements that lead to each target."""
        sources: dict[str | None, list[str]] = {}
        for element_id, edges in self.edges.items():
            for edge in edges:
                sources.setdefault(edge.target, []).append(element_id)
        return sources

    @cached_property
    def to_end(self) -> Mapping[str, int]:
        """How many edges the end is away at least, for every element that can reach it."""
        distances: dict[str | None, int] = {END: 0}
        ahead = deque[str | None]([END])
        while ahead:
            target = ahead.popleft()
            for source in self.sources.get(target, ()):
                if source not in distances:
                    distances[source] = distances[target] + 1
                    ahead.append(source)
        return {element_id: distance for element_id, distance in distances.items() if element_id is not None}

    def leading_to(self, targets: Iterable[str]) -> set[str]:
        """Return the elements from which one of these can be reached, themselves included."""
        found: set[str] = set()
        ahead = list(targets)
        while ahead:
            element_id = ahead.pop()
            if element_id not in found:
                found.add(element_id)
                ahead += self.sources.get(element_id, ())
        return found

    def reached(self, starts: Iterable[str]) -> set[str]:
        """Return the elements that can be reached from these, themselves included."""
        found: set[str] = set()
        ahead = [start for start in starts if start in self.edges]
        while ahead:
            element_id = ahead.pop()
            if element_id not in found:
                found.add(element_id)
                ahead += [edge.target for edge in self.edges[element_id] if edge.target is not None]
        return found


def graph_of(course: Course) -> Graph:
    """Return the graph of a course; targets that are no elements are left out."""
    known = {*course.elements, END}
    return Graph(
        {
            element_id: tuple(edge for edge in _edges(course, element) if edge.target in known)
            for element_id, element in course.elements.items()
        }
    )


def _edges(course: Course, element: AnyElement) -> tuple[Edge, ...]:
    following = course.after(element.id)
    next_id = following.id if following else END
    match element:
        case Message() | Jump() | Test() | Revision() if element.choices:
            return tuple(_edge(choice, next_id) for choice in element.choices)
        case Message() | Jump() | Test() | Revision() | Audio() | Section():
            return (Edge(next_id, Mover.COURSE),)
        case Input() | Quiz() | Question() | MultiChoice() | Dialog() | MiniApp():
            return (Edge(next_id, Mover.LEARNER),)
        case Delay():
            return (Edge(element.goto, Mover.TIMER, element.wait),)
        case End():
            return (Edge(END, Mover.COURSE),)
        case _:
            assert_never(element)


def _edge(choice: Choice, next_id: str | None) -> Edge:
    return Edge(choice.goto if choice.goto is not None else next_id, Mover.LEARNER)


def check_graph(course: Course, starts: Collection[str], place_of: PlaceOf) -> list[Problem]:
    """Report what nothing leads to, and where the course goes round for ever.

    ``starts`` are the elements that lists of courses name, beside the first of the file.
    """
    graph = graph_of(course)
    first = course.first()
    reached = graph.reached([*starts, *([first.id] if first else [])])
    check = _Check(course, graph, place_of, _module_starts(course))
    rounds = list(_rounds_alone(graph))
    return [
        *check.unreached(reached),
        *(check.round_alone(ring) for ring in rounds),
        *check.traps(reached, rounds),
    ]


def check_floods(course: Course, place_of: PlaceOf) -> list[Problem]:
    """Report the circles that send message after message without end: a course with one must not run."""
    graph = graph_of(course)
    check = _Check(course, graph, place_of, _module_starts(course))
    return [check.round_alone(ring) for ring in _rounds_alone(graph) if _duration(graph, ring) < FLOOD]


@dataclass(frozen=True, slots=True)
class _Check:
    """Words the findings about one course."""

    course: Course
    graph: Graph
    place_of: PlaceOf
    module_starts: frozenset[str]

    def unreached(self, reached: Collection[str]) -> Iterator[Problem]:
        """Report each stretch of elements that nothing leads to."""
        for ids in self._stretches(reached):
            others = {1: "", 2: ", nor to the one after it"}
            more = others.get(len(ids), f", nor to the {len(ids) - 1} after it")
            text, remedy = f"nothing leads here{more}", "name it in a 'goto', or remove it"
            if ids[0] in self.module_starts:
                yield self._problem(ids[0], f"{text} but the commands /next and /back", remedy, "hint")
            else:
                yield self._problem(ids[0], text, remedy)

    def _stretches(self, reached: Collection[str]) -> Iterator[list[str]]:
        """Yield the runs of elements that are not reached and follow each other; a module begins a new one."""
        stretch: list[str] = []
        for element_id, element in self.course.elements.items():
            if isinstance(element, Section):
                continue
            if stretch and (element_id in reached or element_id in self.module_starts):
                yield stretch
                stretch = []
            if element_id not in reached:
                stretch.append(element_id)
        if stretch:
            yield stretch

    def round_alone(self, ring: list[str]) -> Problem:
        """Report a circle that goes round without the learner."""
        duration = _duration(self.graph, ring)
        text = f"goes round for ever without the learner, every {_words(duration)}: {_path(ring)}"
        remedy = "lead the 'goto' out of the circle, or give one of its elements a button"
        return self._problem(ring[0], text, remedy, "error" if duration < FLOOD else "warning")

    def traps(self, reached: Collection[str], rounds: Iterable[list[str]]) -> Iterator[Problem]:
        """Report each circle that learners cannot leave, except those that have been reported as ``rounds``."""
        trapped = [key for key in self.course.order if key in reached and key not in self.graph.to_end]
        explained = self.graph.leading_to(key for ring in rounds for key in ring)
        for element_id in trapped:
            if element_id in explained:
                continue
            ring = self._ring(element_id)
            explained |= self.graph.leading_to(self.graph.reached([element_id]))
            text = f"the course never ends from here: {_path(ring)}"
            remedy = "add an option that leads on, or a 'type: end'; leave it if learners should go round for ever"
            yield self._problem(ring[0], text, remedy)

    def _ring(self, start: str) -> list[str]:
        """Return the circle that a learner comes to who always takes the first way on."""
        return _ring_from(start, lambda key: next((edge.target for edge in self.graph.edges[key]), END))

    def _problem(self, element_id: str, text: str, remedy: str, severity: Severity = "warning") -> Problem:
        place = self.place_of(element_id)
        return Problem(self.course.source, place.line, place.column, element_id, text, remedy, severity)


def _rounds_alone(graph: Graph) -> Iterator[list[str]]:
    """Yield every circle of elements none of which waits for the learner.

    An element that does not wait for the learner has one way on, so no two of these circles touch.
    """
    alone = {key: edges[0].target for key, edges in graph.edges.items() if edges and _is_alone(edges)}
    seen: set[str] = set()
    for start in alone:
        path: dict[str, None] = {}
        at: str | None = start
        while at is not None and at in alone and at not in seen and at not in path:
            path[at] = None
            at = alone[at]
        if at is not None and at in path:
            yield _ring_from(at, lambda key: alone[key])
        seen.update(path)  # not |=, which would copy all that was seen


def _is_alone(edges: tuple[Edge, ...]) -> bool:
    return all(edge.mover is not Mover.LEARNER for edge in edges)


def _ring_from(start: str, following: Callable[[str], str | None]) -> list[str]:
    path: dict[str, None] = {}
    at: str | None = start
    while at is not None and at not in path:
        path[at] = None
        at = following(at)
    ids = list(path)
    return ids[ids.index(at) :] if at is not None else ids


def _duration(graph: Graph, ring: list[str]) -> timedelta:
    return sum((graph.edges[key][0].wait for key in ring), timedelta())


def _path(ring: list[str]) -> str:
    shown = ring if len(ring) <= _SHOWN_IDS else [*ring[: _SHOWN_IDS - 1], "...", ring[-1]]
    return " -> ".join(quote(key) if key != "..." else key for key in [*shown, ring[0]])


def _words(duration: timedelta) -> str:
    """Return a time as an author writes it: ``1d12h``."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = zip((days, hours, minutes, seconds), "dhms", strict=True)
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def _module_starts(course: Course) -> frozenset[str]:
    """Return the first element of each module, which is the part of the ids up to the first underscore."""
    starts: dict[str, str] = {}
    for element_id in course.elements:
        module, underscore, _ = element_id.partition("_")
        if underscore:
            starts.setdefault(module, element_id)
    return frozenset(starts.values())
