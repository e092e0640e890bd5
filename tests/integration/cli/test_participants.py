"""``flotilla participants``: by hand, from files, and what is wrong with files."""

from __future__ import annotations

from json import loads
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from app.cli.main import cli
from app.cli.participants import Person, read_people
from app.errors import FlotillaError, InputError
from tests.integration.cli.conftest import Flotilla


def test_from_nobody_to_nobody(flotilla: Flotilla) -> None:
    assert flotilla("participants", "add", "bot", "spring", "@ann", "12345", "ann") == [
        "+ spring\tann",
        "+ spring\t12345",
        "added 2, 0 known already",
    ]
    assert flotilla("participants", "add", "bot", "spring", "ann", "bob_2") == [
        "+ spring\tbob_2",
        "added 1, 1 known already",
    ]
    assert flotilla("participants", "add", "bot", "summer", "ann")[-1] == "added 1, 0 known already"
    assert flotilla("participants", "list", "bot") == [
        "spring\t@ann\t",
        "spring\t@bob_2\t",
        "spring\t\t12345",
        "summer\t@ann\t",
    ]
    assert flotilla("participants", "list", "bot", "summer") == ["summer\t@ann\t"]
    assert flotilla("participants", "remove", "bot", "spring", "ann", "12345", "nobody") == [
        "- spring\tann",
        "- spring\t12345",
        "removed 2, 1 not there",
    ]
    assert loads("\n".join(flotilla("participants", "list", "bot", "--json"))) == [
        {"course_id": "spring", "username": "bob_2", "chat_id": None},
        {"course_id": "summer", "username": "ann", "chat_id": None},
    ]


def test_a_row_of_the_old_program_is_seen_and_removed(flotilla: Flotilla, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO courseparticipants (course_id, username) VALUES ('spring', 'Ann Smith')")
    assert flotilla("participants", "list", "bot") == ["spring\t@Ann Smith\t"]
    assert flotilla("participants", "remove", "bot", "spring", "Ann Smith")[-1] == "removed 1, 0 not there"
    assert flotilla("participants", "list", "bot") == []


def test_a_dry_run_changes_nothing(flotilla: Flotilla) -> None:
    assert flotilla("participants", "add", "bot", "spring", "ann", "--dry-run") == [
        "+ spring\tann",
        "would add 1, 0 known already",
    ]
    assert flotilla("participants", "list", "bot") == []
    flotilla("participants", "add", "bot", "spring", "ann")
    arguments = ("participants", "remove", "bot", "spring", "ann", "--dry-run", "--json")
    assert loads("\n".join(flotilla(*arguments))) == {
        "bot": "bot",
        "dry_run": True,
        "removed": [{"course": "spring", "name": "ann"}],
        "unknown": 0,
    }
    assert flotilla("participants", "list", "bot") == ["spring\t@ann\t"]


def test_a_file(flotilla: Flotilla, folder: Path) -> None:
    (folder / "list.csv").write_text("\ufeffusername,course\nann,\n@bob2,summer\n", encoding="utf-8")
    arguments = ("participants", "add", "bot", "spring", "--file", "list.csv", "--json")
    assert loads("\n".join(flotilla(*arguments))) == {
        "bot": "bot",
        "dry_run": False,
        "added": [{"course": "spring", "name": "ann"}, {"course": "summer", "name": "bob2"}],
        "known": 0,
    }
    assert flotilla("participants", "list", "bot") == ["spring\t@ann\t", "summer\t@bob2\t"]
    assert flotilla("participants", "remove", "bot", "spring", "--file", "list.csv")[-1] == "removed 2, 0 not there"


def test_standard_input(flotilla: Flotilla) -> None:
    """How a list gets into a container."""
    added = flotilla("participants", "add", "bot", "spring", "--file", "-", stdin="ann1\r\nbob2\r\n")
    assert added[-1] == "added 2, 0 known already"


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("ann1\n\n@bob2\nann1\n", [("c", "ann1"), ("c", "bob2")]),
        ("777\r\n888", [("c", "777"), ("c", "888")]),
        ("Chat_ID;Name;Course\r\n777;Ann;\r\n888;Bob;d\r\n;;\r\n", [("c", "777"), ("d", "888")]),
        ("course\tusername\tchat_id\nd\tann1\t777\n\tbob2\t\n", [("d", "777"), ("c", "bob2")]),
        ('username\n"ann1"\n', [("c", "ann1")]),
        ("", []),
    ],
)
def test_shapes_of_files(text: str, people: list[tuple[str, str]]) -> None:
    assert read_people(text, "list.csv", "c") == [Person(*person) for person in people]


@pytest.mark.parametrize(
    ("text", "course", "problems"),
    [
        (
            "username\nann1\nan n\n\n-\n",
            "c",
            [
                "list.csv:3: 'an n' is not a username; write it like @ann_smith, or the person's chat id",
                "list.csv:5: '-' is not a username; write it like @ann_smith, or the person's chat id",
            ],
        ),
        (
            "username,chat_id\nann1,7x\n",
            "c",
            ["list.csv:2: '7x' is not a chat id; write the number that Telegram gave this person"],
        ),
        (
            "username,course\nann1,d\nbob2,\n",
            "",
            ["list.csv:3: names no course; name it after the bot, or add a column 'course'"],
        ),
        (
            'username\nann1\n"' + "x" * 200_000,
            "c",
            ["list.csv:3: cannot be read: field larger than field limit (131072); look for a quote that is not closed"],
        ),
        (
            "\nname,age\nann1,7\n",
            "c",
            [
                "list.csv:2: has no column username or chat_id; "
                "begin with a line like 'username,course', or write one name per line"
            ],
        ),
    ],
)
def test_what_is_wrong_with_a_file(text: str, course: str, problems: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read_people(text, "list.csv", course)
    assert str(caught.value).splitlines() == problems


WRONG = [
    (("spring", "an n"), "'an n' is not a username; write it like @ann_smith, or the person's chat id"),
    (
        ("spring", "an n", "ann", "b-b"),
        "'an n', 'b-b' are no usernames; write them like @ann_smith, or the people's chat ids",
    ),
    (("spring",), "nobody is named; write `BOT COURSE NAMES...`, or --file with a list"),
    (("spring", "--file", "no.csv"), "no.csv: cannot be read: No such file or directory; name a file that exists"),
    (("spring", "--file", "latin.csv"), "latin.csv: is not UTF-8 text; save the file as UTF-8"),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG)
def test_a_call_that_is_refused(flotilla: Flotilla, folder: Path, arguments: tuple[str, ...], text: str) -> None:
    (folder / "latin.csv").write_bytes("имя\n".encode("cp1251"))
    with pytest.raises(FlotillaError) as caught:
        flotilla("participants", "add", "bot", *arguments)
    assert str(caught.value) == text
    assert flotilla("participants", "list", "bot") == []


def test_a_course_for_which_a_participant_makes_no_difference(flotilla: Flotilla, folder: Path) -> None:
    (folder / "bots_config.yaml").write_text("telegram: sandbox\nbots:\n  - {name: school, folder: school}\n")
    (folder / "scripts/school").mkdir(parents=True)
    (folder / "scripts/school/a.yml").write_text("a: {type: end}")
    courses = "default: {path: a.yml}\nspring: {path: a.yml, restricted: yes}\n"
    (folder / "scripts/school/courses.yml").write_text(courses)

    def warnings_for(course: str) -> str:
        result = CliRunner().invoke(cli, ["participants", "add", "school", course, "ann"])
        assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "added 1, 0 known already")
        return result.stderr

    assert warnings_for("spring") == ""
    assert warnings_for("sprin") == (
        "warning: scripts/school/courses.yml: has no course 'sprin'; did you mean 'spring'?\n"
    )
    assert warnings_for("default") == (
        "warning: scripts/school/courses.yml: 'default' is open to everybody; "
        "add 'restricted: yes' to make it a course for participants\n"
    )
