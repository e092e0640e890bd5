"""``flotilla course``: there and back, what is refused, what is kept."""

from __future__ import annotations

from json import loads
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from app.cli.main import cli
from app.course.loader import elements_of
from app.errors import FlotillaError, InputError
from tests.integration.cli.conftest import Flotilla

ROOT = Path(__file__).parents[3]
SPRING = "# for beginners\nHello: {type: message, text: 'Привет', button: go}\nBye: {type: end}\n"


def test_there_and_back(flotilla: Flotilla, folder: Path) -> None:
    (folder / "spring.yml").write_text(SPRING, encoding="utf-8")
    assert flotilla("course", "import", "bot", "spring.yml") == [
        "imported 'spring': 2 elements",
        "list it in the bot's courses.yml if it is not there: spring: {path: db}",
    ]
    assert flotilla("course", "list", "bot") == ["spring\t2 elements"]
    assert flotilla("course", "export", "bot", "spring") == SPRING.splitlines()
    assert flotilla("course", "export", "bot", "spring", "-o", "copy.yml") == ["wrote copy.yml: 2 elements"]
    assert (folder / "copy.yml").read_text(encoding="utf-8") == SPRING
    assert flotilla("course", "list", "other") == []


def test_another_id_and_a_replacement(flotilla: Flotilla, folder: Path) -> None:
    (folder / "a.yml").write_text("One: {type: end}")
    flotilla("course", "import", "bot", "-", "--id", "spring", stdin=SPRING)
    assert flotilla("course", "import", "bot", "a.yml", "--id", "spring") == [
        "imported 'spring': 1 element in place of 2"
    ]
    assert flotilla("course", "export", "bot", "spring") == ["One: {type: end}"]


LISTS = ("courses.yml", "evening.yml")
EXAMPLES = sorted(path for path in (ROOT / "scripts").glob("**/*.yml") if path.name not in LISTS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_course_survives_a_row_changed_by_hand(
    flotilla: Flotilla, folder: Path, database_url: str, path: Path
) -> None:
    """Without its text a course is written from its elements, and means the same."""
    flotilla("course", "import", "bot", str(path), "--id", "c")
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE course SET yaml = NULL")
    flotilla("course", "export", "bot", "c", "-o", "back.yml")

    before, after = path.read_text(encoding="utf-8"), (folder / "back.yml").read_text(encoding="utf-8")
    assert elements_of(after, "back.yml") == elements_of(before, str(path))


def test_elements_changed_since_the_import_win(flotilla: Flotilla, database_url: str) -> None:
    flotilla("course", "import", "bot", "-", "--id", "spring", stdin=SPRING)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE course_element SET json = replace(json, 'go', 'on')")

    assert flotilla("course", "export", "bot", "spring") == [
        "Hello:",
        "  type: message",
        "  text: Привет",
        "  button: 'on'",
        "",
        "Bye:",
        "  type: end",
    ]


def test_a_course_with_errors_changes_nothing(flotilla: Flotilla, folder: Path) -> None:
    flotilla("course", "import", "bot", "-", "--id", "spring", stdin=SPRING)
    (folder / "spring.yml").write_text("a: {type: mesage}\nb: {type: end}\n")
    with pytest.raises(InputError) as caught:
        flotilla("course", "import", "bot", "spring.yml")

    assert str(caught.value) == "spring.yml:1:5: a/type: unknown element type 'mesage'; did you mean 'message'?"
    assert flotilla("course", "export", "bot", "spring") == SPRING.splitlines()


def test_warnings_are_told_and_no_obstacle(flotilla: Flotilla, folder: Path) -> None:
    (folder / "spring.yml").write_text("a: {type: message, text: hi, button: ok, buton: x}\n")
    result = CliRunner().invoke(cli, ["course", "import", "bot", "spring.yml"])

    assert result.exit_code == 0
    assert result.stderr == "warning: spring.yml:1:42: a/buton: unknown key; did you mean 'button'?\n"


def test_a_dry_run_changes_nothing(flotilla: Flotilla) -> None:
    arguments = ("course", "import", "bot", "-", "--id", "spring", "--dry-run")
    assert flotilla(*arguments, stdin=SPRING)[0] == "would import 'spring': 2 elements"
    assert loads("\n".join(flotilla(*arguments, "--json", stdin=SPRING))) == {
        "bot": "bot",
        "course": "spring",
        "dry_run": True,
        "elements": 2,
        "elements_before": None,
    }
    assert flotilla("course", "list", "bot") == []
    flotilla("course", "import", "bot", "-", "--id", "spring", stdin=SPRING)
    assert flotilla("course", "remove", "bot", "spring", "--dry-run") == ["would remove 'spring': 2 elements"]
    assert loads("\n".join(flotilla("course", "list", "bot", "--json"))) == [{"course": "spring", "elements": 2}]
    assert flotilla("course", "remove", "bot", "spring") == ["removed 'spring': 2 elements"]
    assert flotilla("course", "list", "bot") == []


def test_a_course_that_is_not_there(flotilla: Flotilla) -> None:
    flotilla("course", "import", "bot", "-", "--id", "spring", stdin=SPRING)
    for command in ("export", "remove"):
        with pytest.raises(FlotillaError) as caught:
            flotilla("course", command, "bot", "sprin")
        assert str(caught.value) == "the database has no course 'sprin' of bot 'bot'; did you mean 'spring'?"


def test_standard_input_has_no_name(flotilla: Flotilla) -> None:
    with pytest.raises(FlotillaError) as caught:
        flotilla("course", "import", "bot", "-", stdin=SPRING)
    assert str(caught.value) == "a course from standard input needs an id; add --id ID"


def test_a_row_that_holds_no_element(flotilla: Flotilla, database_url: str) -> None:
    flotilla("course", "import", "bot", "-", "--id", "spring", stdin=SPRING)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE course_element SET json = 'x' WHERE element_id = 'Bye'")
    with pytest.raises(FlotillaError) as caught:
        flotilla("course", "export", "bot", "spring")
    assert str(caught.value) == (
        'database: spring/Bye: is not {"element_data": ...}; repair the row, or import the course anew'
    )
