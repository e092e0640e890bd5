"""A bot's courses in files and in the database: what learners get while either changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import structlog

from app.course.loader import elements_of
from app.runtime.library import Library
from app.store.errors import StoreUnavailable
from app.store.rows import StoredCourse
from app.store.store import Store

LIST = "default: {path: a.yml}\nspring: {path: db}\n"


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    write(tmp_path / "courses.yml", LIST)
    write(tmp_path / "a.yml", course("from a file"))
    return tmp_path


def write(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def course(text: str) -> str:
    return f"a: {{type: message, text: {text}, button: go}}\nb: {{type: end}}\n"


async def keep(store: Store, course_id: str, text: str, botname: str = "bot") -> None:
    await store.replace_course(botname, course_id, elements_of(text, "a.yml"), text)


async def refresh(library: Library, store: Store, botname: str = "bot") -> bool:
    return await library.refresh(lambda: store.courses(botname))


def texts(library: Library) -> dict[str, object]:
    return {course_id: course.elements["a"].body["text"] for course_id, course in library.courses.courses.items()}


def shown(library: Library) -> list[str]:
    return [str(problem) for problem in library.problems]


async def unavailable() -> Sequence[StoredCourse]:
    """Ask a database where there is none."""
    store = await Store.open("postgresql://127.0.0.1:1/nothing?connect_timeout=1")
    return await store.courses("bot")


async def test_d45_a_course_of_the_database_is_read_and_replaced(scripts: Path, store: Store) -> None:
    await keep(store, "spring", course("first"))
    await keep(store, "spring", course("of another bot"), "other")
    library = Library(scripts, "")
    assert (texts(library), library.awaits_database) == ({"default": "from a file"}, True)
    assert await refresh(library, store)
    assert (texts(library), shown(library)) == ({"default": "from a file", "spring": "first"}, [])
    assert not library.awaits_database
    await keep(store, "spring", course("second"))
    assert await refresh(library, store)
    assert texts(library) == {"default": "from a file", "spring": "second"}
    assert not await refresh(library, store)


async def test_files_and_database_change_at_once(scripts: Path, store: Store) -> None:
    await keep(store, "spring", course("first"))
    library = Library(scripts, "")
    await refresh(library, store)
    write(scripts / "a.yml", course("edited"))
    await keep(store, "spring", course("second"))
    assert library.changed()
    assert await refresh(library, store)
    assert texts(library) == {"default": "edited", "spring": "second"}
    assert not library.changed()


async def test_all_courses_of_the_database_extend_the_list(scripts: Path, store: Store) -> None:
    write(scripts / "courses.yml", "default: {path: a.yml}\next_courses: {path: db}\n")
    library = Library(scripts, "")
    assert library.awaits_database
    await keep(store, "spring", course("first"))
    await keep(store, "default", course("instead"))
    assert await refresh(library, store)
    assert texts(library) == {"default": "instead", "spring": "first"}
    await store.delete_course("bot", "default")
    assert await refresh(library, store)
    assert texts(library) == {"default": "from a file", "spring": "first"}


async def test_a_list_that_names_the_database_later(scripts: Path, store: Store) -> None:
    write(scripts / "courses.yml", "default: {path: a.yml}\n")
    await keep(store, "spring", course("first"))
    library = Library(scripts, "")
    assert not library.awaits_database
    await refresh(library, store)
    write(scripts / "courses.yml", LIST)
    assert await refresh(library, store)
    assert texts(library) == {"default": "from a file", "spring": "first"}


async def test_a_course_that_the_database_does_not_have(scripts: Path, store: Store) -> None:
    library = Library(scripts, "")
    await refresh(library, store)
    assert shown(library) == [
        "database: spring: there is no such course; import it, or remove it from the list of courses"
    ]
    assert texts(library) == {"default": "from a file"}


async def test_d14_the_last_good_version_of_a_stored_course_stays(scripts: Path, store: Store) -> None:
    await keep(store, "spring", course("first"))
    library = Library(scripts, "")
    await refresh(library, store)
    await store.replace_course("bot", "spring", [("a", "message", '{"element_data": {"type": "message"}}')])
    assert not await refresh(library, store)
    assert texts(library) == {"default": "from a file", "spring": "first"}
    assert shown(library) == ["database: spring/a: 'text' is missing or empty; add 'text: ...'"]
    await store.delete_course("bot", "spring")
    await refresh(library, store)
    assert texts(library) == {"default": "from a file", "spring": "first"}


async def test_without_the_database_files_are_read_and_the_rest_stays(scripts: Path, store: Store) -> None:
    await keep(store, "spring", course("first"))
    library = Library(scripts, "")
    await refresh(library, store)
    library.database_changed()
    write(scripts / "a.yml", course("edited"))
    with pytest.raises(StoreUnavailable):
        await library.refresh(unavailable)
    assert texts(library) == {"default": "edited", "spring": "first"}
    assert library.changed()
    await keep(store, "spring", course("second"))
    assert await refresh(library, store)
    assert (texts(library), library.changed()) == ({"default": "edited", "spring": "second"}, False)


async def test_what_was_told_is_not_told_again(scripts: Path) -> None:
    def reported(*, with_errors: bool) -> list[str]:
        with structlog.testing.capture_logs() as logs:
            library.report("bot", with_errors=with_errors)
        return [f"{entry['log_level']}: {entry['event'].partition(': ')[2]}" for entry in logs]

    odd = "a: {type: message, text: hi, butto: go}\n"
    write(scripts / "a.yml", odd)
    library = Library(scripts, "")
    told = ["warning: a/butto: unknown key; did you mean 'button'?"]
    assert reported(with_errors=False) == told
    write(scripts / "a.yml", "# moved\n" + odd)
    library.reload()
    assert reported(with_errors=True) == []
    write(scripts / "a.yml", odd + "b: {type: jumpp, text: hi}\n")
    library.reload()
    wrong = ["error: b/type: unknown element type 'jumpp'; did you mean 'jump'?"]
    assert reported(with_errors=True) == wrong
    library.reload()
    assert reported(with_errors=False) == []
    assert reported(with_errors=True) == wrong
    write(scripts / "a.yml", course("right"))
    library.reload()
    assert reported(with_errors=True) == []
    write(scripts / "a.yml", odd)
    library.reload()
    assert reported(with_errors=True) == told
