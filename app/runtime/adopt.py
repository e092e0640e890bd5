"""Taking over the chats of the old program: where each learner stands, derived from the rows it wrote.

It kept no state but those rows, and looked some of them up without the bot (course-format.md, 6.3 and D1). What belongs
to which bot is decided here by the course: a row belongs to the bot in whose course its element is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, NamedTuple

from app.course.course import Course, Courses
from app.course.element import Body, Delay, Dialog, Jump, Revision
from app.course.grammar import element_of
from app.engine.state import Chain, Chat, Run, Score, Talk, to_json
from app.store.adopt import Adoption, MovedRow, NewChat, NewWait, OldRow, OldRun, OldWait

_AT_ONCE = 200
"""Chats whose snapshots are read together: a question for each would cost more than all the rest."""

_SCORED_TYPES = ("quiz", "input", "multi_choice")


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about one chat that the operator should know."""

    botname: str
    chat_id: int
    text: str


@dataclass(slots=True)
class Plan:
    """What an adoption will do; ``known`` counts the chats that Flotilla has already."""

    chats: list[NewChat] = field(default_factory=list)
    waits: list[NewWait] = field(default_factory=list)
    moved: list[MovedRow] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    known: int = 0
    ended: int = 0


class _Place(NamedTuple):
    """One course of one bot, as a run names it."""

    botname: str
    course_id: str


async def plan(adoption: Adoption, courses: Mapping[str, Courses], time_zone: str) -> Plan:
    """Work out what becomes of the chats of the bots whose courses these are; nothing is written."""
    botnames = sorted(courses)
    known = await adoption.known_chats(botnames)
    runs = {chat_id: list(group) for chat_id, group in groupby(await adoption.runs(botnames), lambda run: run.chat_id)}
    waits = _by_chat(await adoption.waits(botnames, time_zone))
    whole, taken = Plan(), list[_Taken]()
    async for chat_id, rows in adoption.rows(botnames):
        taken.append(_take(_Person(courses, runs.pop(chat_id, []), rows, waits.get(chat_id, []))))
        if len(taken) >= _AT_ONCE:
            await _plan_chats(whole, adoption, taken, known)
            taken.clear()
    taken += [_take(_Person(courses, left, [], [])) for left in runs.values()]  # who started a course and got nothing
    await _plan_chats(whole, adoption, taken, known)
    return whole


def _by_chat(waits: Iterable[OldWait]) -> dict[int, list[OldWait]]:
    chats: dict[int, list[OldWait]] = {}
    for wait in waits:
        chats.setdefault(wait.chat_id, []).append(wait)
    return chats


@dataclass(frozen=True, slots=True)
class _Person:
    """Everything about one person in all bots."""

    courses: Mapping[str, Courses]
    runs: Sequence[OldRun]
    rows: Sequence[OldRow]
    waits: Sequence[OldWait]

    def newest_runs(self) -> dict[_Place, OldRun]:
        """Return the newest run of each course of each bot."""
        return {_Place(run.botname, run.course_id): run for run in self.runs}

    def course(self, place: _Place) -> Course | None:
        """Return the course as its bot has it now."""
        return self.courses[place.botname].get(place.course_id)


class _Taken(NamedTuple):
    """A person with the last row of each course of theirs, of which the snapshot is wanted."""

    person: _Person
    owned: dict[_Place, list[OldRow]]
    moved: list[MovedRow]

    @property
    def last_rows(self) -> list[int]:
        """The ids of the rows that say where the person stands."""
        return [rows[-1].conversation_id for rows in self.owned.values() if rows]


def _take(person: _Person) -> _Taken:
    moved: list[MovedRow] = []
    return _Taken(person, _owned(person, moved), moved)


async def _plan_chats(whole: Plan, adoption: Adoption, taken: Sequence[_Taken], known: set[tuple[str, int]]) -> None:
    snapshots = await adoption.snapshots([row for one in taken for row in one.last_rows])
    for one in taken:
        _plan_chat(whole, one, snapshots, known)


def _plan_chat(whole: Plan, taken: _Taken, snapshots: Mapping[int, str | None], known: set[tuple[str, int]]) -> None:
    person, owned, moved = taken
    whole.moved += moved
    for botname, group in groupby(sorted(owned), lambda place: place.botname):
        places = list(group)
        chat_id = person.runs[0].chat_id
        if (botname, chat_id) in known:
            whole.known += 1
            whole.remarks += _left_remark(person, botname)
            continue
        _plan_bot(whole, person, {place: owned[place] for place in places}, snapshots)
        whole.remarks += _moved_remark(person, botname, moved)


def _owned(person: _Person, moved: list[MovedRow]) -> dict[_Place, list[OldRow]]:
    """Return the rows of the newest run of each course, and add those that were put elsewhere to ``moved``."""
    newest, runs = person.newest_runs(), {run.run_id: run for run in person.runs}
    owned: dict[_Place, list[OldRow]] = {place: [] for place in newest}
    for row in person.rows:
        place = _place_of(person, newest, runs, row)
        if place is None:
            continue
        said, run = runs.get(row.run_id or 0), newest[place]
        is_misplaced = (said is None or (said.botname, said.course_id) != place) and _is_since(row, run)
        if is_misplaced:
            moved.append(MovedRow(row.conversation_id, run.run_id, run.botname))
        if is_misplaced or row.run_id == run.run_id:
            owned[place].append(row)
    return owned


def _is_since(row: OldRow, run: OldRun) -> bool:
    return row.date_inserted is None or run.date_inserted is None or row.date_inserted >= run.date_inserted


def _place_of(
    person: _Person, newest: Mapping[_Place, OldRun], runs: Mapping[int, OldRun], row: OldRow
) -> _Place | None:
    """Return where a row belongs: its run's bot if that has the element, else the one bot that has it."""
    run = runs.get(row.run_id or 0)
    own = _Place(run.botname, row.course_id or run.course_id) if run else None
    if own in newest and own is not None and _has(person, own, row.element_id):
        return own
    others = [place for place in newest if place.course_id == row.course_id and _has(person, place, row.element_id)]
    if len(others) == 1:
        return others[0]
    return own if own in newest else None


def _has(person: _Person, place: _Place, element_id: str) -> bool:
    course = person.course(place)
    return course is not None and element_id in course.elements


def _plan_bot(
    whole: Plan, person: _Person, owned: Mapping[_Place, list[OldRow]], snapshots: Mapping[int, str | None]
) -> None:
    newest = person.newest_runs()
    runs: dict[str, Run] = {}
    for place, rows in owned.items():
        old = newest[place]
        run = _run(old, rows, snapshots, person.course(place)) if rows else _unshown(old)
        waits = [wait for wait in person.waits if wait.botname == place.botname and _is_of(wait, place, person, owned)]
        whole.waits += [_wait(wait, run, person.course(place)) for wait in waits]
        runs[place.course_id] = _waiting(run) if waits else run
        whole.ended += run.is_ended
        whole.remarks += _remarks(old, run, person.course(place))
    current = _current(owned, newest)
    chat = Chat(runs=runs, course_id=current.course_id)
    newest_run = newest[current]
    whole.chats.append(NewChat(newest_run.botname, newest_run.chat_id, newest_run.username, to_json(chat)))


def _current(owned: Mapping[_Place, list[OldRow]], newest: Mapping[_Place, OldRun]) -> _Place:
    """Return the course that the person is in with this bot: that of the newest row, else that of the newest run."""
    return max(owned, key=lambda place: (owned[place][-1].conversation_id if owned[place] else 0, newest[place].run_id))


def _unshown(old: OldRun) -> Run:
    return Run(old.run_id, old.course_id, element_id="", step=0, body={}, is_ended=True)


def _run(old: OldRun, rows: Sequence[OldRow], snapshots: Mapping[int, str | None], course: Course | None) -> Run:
    last = rows[-1]
    snapshot = _snapshot(snapshots.get(last.conversation_id))
    body = snapshot.get("element_data")
    element_id, chain = _repeated(last.element_id, snapshot, course)
    if not isinstance(body, dict) and course is not None and element_id in course.elements:
        body = course.elements[element_id].body
    run = Run(
        old.run_id, old.course_id, element_id, step=1, body=body if isinstance(body, dict) else {},
        is_ended=old.is_ended, scores=_scores(rows, course), chain=chain, is_adopted=True,
    )  # fmt: skip
    return run if not _is_dialog(run) else _talking(run, rows)


def _snapshot(text: str | None) -> Mapping[str, Any]:
    try:
        snapshot = json.loads(text or "{}")
    except ValueError:
        return {}
    return snapshot if isinstance(snapshot, dict) else {}


def _is_dialog(run: Run) -> bool:
    return isinstance(element_of(run.element_id, run.body), Dialog)


def _talking(run: Run, rows: Sequence[OldRow]) -> Run:
    said = sum(row.role == "user" and row.element_id == run.element_id for row in rows)
    return replace(run, talk=Talk(messages=said))


def _repeated(element_id: str, snapshot: Mapping[str, Any], course: Course | None) -> tuple[str, Chain | None]:
    """Return which element a row of a revision shows, and what of its chain is left."""
    revision = snapshot.get("revision")
    if not isinstance(revision, dict) or course is None or not _is_revision(element_id, course):
        return element_id, None
    chain = Chain(element_id, tuple(filter(None, (_id_of(entry, course) for entry in _listed(revision.get("data"))))))
    shown = snapshot.get("element_data")
    is_repeat = isinstance(shown, dict) and shown.get("type") != "revision"
    return (is_repeat and _id_of(shown, course)) or element_id, chain


def _listed(entries: object) -> list[Any]:
    return entries if isinstance(entries, list) else []


def _id_of(entry: object, course: Course) -> str | None:
    """Return the element id of an entry of a chain: the id itself, a row with one, or the element's body."""
    if isinstance(entry, str):
        return entry if entry in course.elements else None
    if not isinstance(entry, dict):
        return None
    if isinstance(entry.get("element_id"), str):
        return _id_of(entry["element_id"], course)
    body: Body = entry.get("element_data", entry)
    return next((element_id for element_id, element in course.elements.items() if _is_same(element.body, body)), None)


def _is_same(body: Body, other: object) -> bool:
    return isinstance(other, dict) and (body.get("type"), body.get("text")) == (other.get("type"), other.get("text"))


def _scores(rows: Sequence[OldRow], course: Course | None) -> dict[str, Score]:
    """Return the latest attempt at each element; repeats of a revision were written under its id, and do not count."""
    scores: dict[str, Score] = {}
    for row in rows:
        if row.score is None or row.element_type not in _SCORED_TYPES or _is_revision(row.element_id, course):
            continue
        earlier = scores.get(row.element_id)
        scores[row.element_id] = Score(row.score, row.maxscore or 1, earlier.attempt + 1 if earlier else 1)
    return scores


def _is_revision(element_id: str, course: Course | None) -> bool:
    return course is not None and isinstance(course.elements.get(element_id), Revision)


def _is_of(wait: OldWait, place: _Place, person: _Person, owned: Mapping[_Place, list[OldRow]]) -> bool:
    """Tell whether a wait is one of this course; one that names no course of the person's is of the current one."""
    named = _Place(place.botname, wait.course_id or "")
    return named == place or (named not in owned and place == _current(owned, person.newest_runs()))


def _wait(wait: OldWait, run: Run, course: Course | None) -> NewWait:
    """Make a timer of a wait; that of a jump has no target, and leads to what follows the element on screen (D4)."""
    target = wait.element_id
    if target is None and course is not None:
        following = course.after(run.element_id)
        target = following.id if following else None
    return NewWait(wait.wait_id, run.run_id, target, wait.due_at)


def _waiting(run: Run) -> Run:
    """Mark a run that stands at its wait; one that has moved on gets its timer all the same, as in the old program."""
    element = element_of(run.element_id, run.body)
    stands_still = isinstance(element, Delay) or (isinstance(element, Jump) and any(c.wait for c in element.choices))
    return replace(run, is_waiting=stands_still)


def _remarks(old: OldRun, run: Run, course: Course | None) -> Iterator[Remark]:
    if course is None:
        yield Remark(
            old.botname, old.chat_id, f"course {old.course_id!r} is not in the bot's list; the run stays as it is"
        )
    elif not run.is_ended and run.element_id not in course.elements:
        text = f"stands on {run.element_id!r}, which course {old.course_id!r} does not have any more"
        yield Remark(old.botname, old.chat_id, text)


def _left_remark(person: _Person, botname: str) -> Iterator[Remark]:
    count = sum(wait.botname == botname for wait in person.waits)
    if count:
        waits = "a wait" if count == 1 else f"{count} waits"
        text = f"the old program left {waits}, which will never end: the chat is known already"
        yield Remark(botname, person.runs[0].chat_id, text)


def _moved_remark(person: _Person, botname: str, moved: Sequence[MovedRow]) -> Iterator[Remark]:
    count = sum(row.botname == botname for row in moved)
    if count:
        others = sorted({run.botname for run in person.runs} - {botname})
        said = f" of {', '.join(others)}" if others else " of no bot"
        text = f"{count} rows stood under a run{said}; their elements are of this bot"
        yield Remark(botname, person.runs[0].chat_id, text)
