"""A bot's courses on disk: what learners get while authors write."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.course.course import Entry
from app.runtime.library import Library

LIST = "default: {path: a.yml}\nspring: {path: b.yml}\n"
GOOD = "a: {type: message, text: hi, button: go}\nb: {type: end}\n"
OTHER = "a: {type: message, text: hello, button: go}\nb: {type: end}\n"


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    write(folder / "school/courses.yml", LIST)
    write(folder / "school/a.yml", GOOD)
    write(folder / "school/b.yml", GOOD)
    return folder


def write(path: Path, text: str) -> None:
    """Write a file as editors do, with a new inode, so that two writes within a clock tick are told apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def texts(library: Library) -> dict[str, object]:
    return {course_id: course.elements["a"].body["text"] for course_id, course in library.courses.courses.items()}


def shown(library: Library) -> list[str]:
    return [str(problem) for problem in library.problems]


def test_a_folder_is_read(scripts: Path) -> None:
    library = Library(scripts, "school/")
    assert library.courses.entries == {
        "default": Entry("default", "scripts/school/a.yml"),
        "spring": Entry("spring", "scripts/school/b.yml"),
    }
    assert (texts(library), library.problems) == ({"default": "hi", "spring": "hi"}, [])
    assert library.files == [scripts / "school" / name for name in ("courses.yml", "a.yml", "b.yml")]


def test_the_root_folder_and_paths_from_the_root(scripts: Path) -> None:
    write(scripts / "courses.yml", "default: {path: scripts/school/a.yml}\next_courses: {path: more.yml}")
    write(scripts / "more.yml", "more: {path: school/b.yml}")
    library = Library(scripts, "")
    assert (texts(library), library.problems) == ({"default": "hi", "more": "hi"}, [])


def test_problems_name_the_files_of_this_machine(scripts: Path) -> None:
    write(scripts / "school/a.yml", "a: {type: message}")
    (scripts / "school/b.yml").unlink()
    library = Library(scripts, "school/")
    assert shown(library) == [
        f"{scripts}/school/a.yml:1:1: a: 'text' is missing or empty; add 'text: ...'",
        f"{scripts}/school/courses.yml:2:10: spring/path: scripts/school/b.yml does not exist; "
        "create it or correct the path",
    ]


def test_nothing_has_changed(scripts: Path) -> None:
    library = Library(scripts, "school/")
    before = library.courses
    assert not library.changed()
    assert not library.reload()
    assert library.courses == before


def test_an_edit_is_noticed(scripts: Path) -> None:
    library = Library(scripts, "school/")
    write(scripts / "school/a.yml", OTHER)
    assert library.changed()
    assert library.reload()
    assert texts(library) == {"default": "hello", "spring": "hi"}
    assert not library.changed()


def test_an_edit_in_place_that_keeps_time_or_size_is_noticed(scripts: Path) -> None:
    library = Library(scripts, "school/")
    path = scripts / "school/a.yml"
    stat = path.stat()
    path.write_text(OTHER, encoding="utf-8")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert library.changed()
    library.reload()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert library.changed()


def test_d14_the_last_good_version_of_a_course_stays(scripts: Path) -> None:
    library = Library(scripts, "school/")
    write(scripts / "school/a.yml", "a: [")
    write(scripts / "school/b.yml", OTHER)
    assert library.changed()
    assert library.reload()
    assert texts(library) == {"default": "hi", "spring": "hello"}
    assert [text.split(": ")[0] for text in shown(library)] == [f"{scripts}/school/a.yml:2:1"]
    write(scripts / "school/a.yml", OTHER)
    assert library.changed()
    library.reload()
    assert (texts(library), library.problems) == ({"default": "hello", "spring": "hello"}, [])


@pytest.mark.parametrize("broken", ["default: [", "", "default: {path: ../../etc/passwd}"])
def test_d14_the_last_good_list_stays(scripts: Path, broken: str) -> None:
    library = Library(scripts, "school/")
    write(scripts / "school/courses.yml", broken)
    assert not library.reload()
    assert texts(library) == {"default": "hi", "spring": "hi"}
    assert len(library.problems) == 1


def test_d14_a_course_whose_file_is_gone_stays(scripts: Path) -> None:
    library = Library(scripts, "school/")
    (scripts / "school/a.yml").unlink()
    assert library.changed()
    assert not library.reload()
    assert texts(library) == {"default": "hi", "spring": "hi"}
    write(scripts / "school/a.yml", OTHER)
    assert library.changed()


def test_a_course_that_is_taken_off_the_list_goes(scripts: Path) -> None:
    library = Library(scripts, "school/")
    write(scripts / "school/courses.yml", "default: {path: a.yml}")
    assert library.reload()
    assert texts(library) == {"default": "hi"}


def test_a_folder_that_appears_later(tmp_path: Path) -> None:
    library = Library(tmp_path / "scripts", "school/")
    assert shown(library) == [
        f"{tmp_path}/scripts/school/courses.yml: does not exist; create it or correct the bot's folder"
    ]
    assert not library.changed()
    write(tmp_path / "scripts/school/a.yml", GOOD)
    write(tmp_path / "scripts/school/courses.yml", "default: {path: a.yml}")
    assert library.changed()
    assert library.reload()
    assert (texts(library), library.problems) == ({"default": "hi"}, [])


def test_links_inside_are_followed_and_noticed(scripts: Path) -> None:
    (scripts / "school/a.yml").unlink()
    (scripts / "school/a.yml").symlink_to("b.yml")
    library = Library(scripts, "school/")
    assert (texts(library), library.problems) == ({"default": "hi", "spring": "hi"}, [])
    write(scripts / "school/b.yml", OTHER)
    assert library.changed()


def test_scripts_may_be_a_link_itself(scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(scripts)
    assert Library(tmp_path / "link", "school/").problems == []


def refuse_link(path: Path) -> str:
    secret = path.parent.parent.parent / "secret.yml"
    secret.write_text(GOOD, encoding="utf-8")
    path.symlink_to(secret)
    return f"it is a link that leads out of {path.parent.parent}"


def refuse_folder(path: Path) -> str:
    path.mkdir()
    return "it is not a file"


def refuse_pipe(path: Path) -> str:
    os.mkfifo(path)
    return "it is not a file"


def refuse_size(path: Path) -> str:
    with path.open("wb") as file:
        file.truncate(8_000_001)
    return "it has more than 8000000 bytes"


def refuse_loop(path: Path) -> str:
    path.symlink_to(path.name)
    return "Too many levels of symbolic links"


@pytest.mark.parametrize("make", [refuse_link, refuse_folder, refuse_pipe, refuse_size, refuse_loop])
def test_what_is_no_course_file_is_refused(scripts: Path, make: Callable[[Path], str]) -> None:
    (scripts / "school/a.yml").unlink()
    reason = make(scripts / "school/a.yml")
    library = Library(scripts, "school/")
    assert texts(library) == {"spring": "hi"}
    assert shown(library) == [
        f"{scripts}/school/courses.yml:1:11: default/path: scripts/school/a.yml cannot be read: {reason}; "
        "create it or correct the path"
    ]


def test_a_file_that_is_not_utf_8(scripts: Path) -> None:
    (scripts / "school/a.yml").write_bytes("a: {type: message,\n  text: é}".encode("latin-1"))
    library = Library(scripts, "school/")
    assert shown(library) == [f"{scripts}/school/a.yml:2: is not UTF-8; save the file as UTF-8"]


def test_bots_that_share_a_file_share_the_course(scripts: Path) -> None:
    write(scripts / "other/courses.yml", "default: {path: scripts/school/a.yml}")
    first, second = Library(scripts, "school/"), Library(scripts, "other/")
    assert first.courses.courses["default"] is second.courses.courses["default"]
