"""A learner reaches their own runs with one bot, and an author files below ``scripts/``: nothing else.

Each test fails when the guard it is about is taken away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.load import load_fleet
from app.course.course import Course, Courses, Entry
from app.course.element import Dialog
from app.course.loader import load_course
from app.dialog.prompt import rendered
from app.engine.event import AppAnswered, ReplyReceived, TimeReached
from app.engine.press import ChoicePress, ExitPress, RestartPress, ResumePress, RetryPress, menu_press
from app.engine.state import Chat, Run, from_json
from app.errors import InputError
from app.runtime.decision import Rules
from app.runtime.library import Library
from app.runtime.turn import Feed, Result, apply, feed
from app.store.rows import MediaFile, SentPoll
from app.telegram.decode import decode
from tests.fuzz.conftest import Database
from tests.fuzz.target import ANN, AT, check_path

ANN_ID, BOB_ID = 7, 8

# --- files --------------------------------------------------------------------------------------------------------

SECRET = "secret: {type: end, text: secret}"
ROUTES = (
    "../secret.yml",
    "../../secret.yml",
    "x/../../../secret.yml",
    "scripts/../secret.yml",
    "scripts/../../secret.yml",
    "./../../secret.yml",
    "..\\..\\secret.yml",
    "//../secret.yml",
    "%2e%2e/%2e%2e/secret.yml",
    "..%2f..%2fsecret.yml",
    "~/secret.yml",
    "file:../../secret.yml",
    "link.yml",
    "linked/secret.yml",
    "ring.yml",
    "scripts/school/link.yml",
    "scripts/school/linked/secret.yml",
    "link.yml/../secret.yml",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a secret, and below it ``scripts/school`` with links that lead to it."""
    (tmp_path / "secret.yml").write_text(SECRET)
    (tmp_path / "courses.yml").write_text("default: {path: secret.yml}")
    school = tmp_path / "scripts/school"
    school.mkdir(parents=True)
    (school / "link.yml").symlink_to(tmp_path / "secret.yml")
    (school / "linked").symlink_to(tmp_path, target_is_directory=True)
    (school / "ring.yml").symlink_to("ring.yml")
    (school / "own.yml").write_text("own: {type: end, text: own}")
    return tmp_path


def is_told(library: Library) -> bool:
    return any("secret" in str(course.elements) for course in library.courses.courses.values())


@pytest.mark.parametrize("key", ["default", "ext_courses"])
@pytest.mark.parametrize("route", [*ROUTES, "{}/secret.yml", "/{}/secret.yml", "file://{}/secret.yml"])
def test_no_path_of_a_list_leads_out(project: Path, route: str, key: str) -> None:
    path = route.format(project)
    lists = {"own": {"path": "own.yml"}, key: {"path": path}}
    (project / "secret.yml").write_text(SECRET if key == "default" else "secret: {path: own.yml}")
    (project / "scripts/school/courses.yml").write_text(json.dumps(lists))
    library = Library(project / "scripts", "school/")
    assert not is_told(library)
    assert "own" in library.courses.courses
    assert "secret" not in library.courses.entries
    assert any(problem.severity == "error" for problem in library.problems)


@given(st.lists(st.sampled_from(["..", ".", "", "a", "scripts", "~", "\\", "/", "%2e%2e", "...", ". ."]), max_size=8))
def test_no_path_that_can_be_written_leads_out(parts: list[str]) -> None:
    for folder in ("", "school/", "a/b/"):
        check_path("/".join(parts), folder)


@pytest.mark.parametrize("folder", ["../", "..", "school/../../", "linked/", "school/linked/", "/", "{}"])
def test_no_folder_of_a_bot_leads_out(project: Path, folder: str) -> None:
    library = Library(project / "scripts", folder.format(project))
    assert not is_told(library)
    assert library.courses.courses == {}


def test_a_list_that_is_a_link_is_not_read(project: Path) -> None:
    (project / "scripts/school/courses.yml").symlink_to(project / "courses.yml")
    assert Library(project / "scripts", "school/").courses.entries == {}


@pytest.mark.parametrize(
    "folder", ["..", "../", "school/..//../", "school/linked", "/etc", "{}", "..\\", "school/ring.yml"]
)
def test_no_folder_of_a_config_leads_out(project: Path, folder: str) -> None:
    config = {"telegram": "sandbox", "bots": [{"name": "a", "folder": folder.format(project)}]}
    (project / "bots_config.yaml").write_text(json.dumps(config))
    with pytest.raises(InputError, match="bots/a/folder"):
        load_fleet(project / "bots_config.yaml", {})


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "file:///etc/passwd", "ftp://a/b", "data:text/html,x", "/etc/passwd", "http:///x"]
)
def test_media_and_pages_that_are_no_web_addresses_are_dropped(url: str) -> None:
    elements = {
        "a": {"type": "message", "text": "a", "media": [url], "button": "b"},
        "b": {
            "type": "miniapp",
            "text": "a",
            "button": "b",
            "app_url": url,
            "question": {"type": "typein", "text": "{a}"},
        },
        "c": {"type": "end"},
    }
    course, problems = load_course(json.dumps(elements), "a.yml")
    assert course.elements["a"].media == ()
    assert course.elements["b"].app_url is None
    assert {problem.where for problem in problems} == {"a/media/1", "b/app_url"}


# --- runs of others -----------------------------------------------------------------------------------------------

COURSE = """
Ask_1: {type: message, text: Ready?, options: [{text: on}, {text: far, goto: Far_1}]}
Vote_1: {type: quiz, text: Salty?, answers: [{text: sea, correct: yes}, {text: pond}]}
Talk_1: {type: dialog, text: Hello, prompt: "You know {{Name_1.answer}}, {{Talk_1}} and {{Other_1.answer}}."}
App_1: {type: miniapp, text: Play, button: Play, question: {type: typein, text: "{a}"}, answer: {actual: "a: 1"}}
Name_1: {type: input, text: Name?}
Far_1: {type: end, text: Far}
"""


def parsed(text: str) -> Course:
    course, problems = load_course(text, "a.yml")
    assert not [problem for problem in problems if problem.severity == "error"]
    return course


def courses(start: str = "Ask_1") -> Courses:
    entries = {"default": Entry("default", "a.yml", element=start), "closed": Entry("closed", "a.yml", restricted=True)}
    return Courses(entries, dict.fromkeys(entries, parsed(COURSE)))


class Fleet:
    """Bots of one database; what learners do is applied as their hosts do it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._numbers = iter(range(1, 1000))

    def do(self, bot: str, learner: int, start: str = "Ask_1", **body: Any) -> Result:
        update = decode({"update_id": next(self._numbers), **body})
        assert update is not None
        assert update.chat_id == learner
        return self.database.run(apply(self.database.store, Rules(bot, courses(start), "en"), [update]))

    def say(self, learner: int, text: str, bot: str = "bot", start: str = "Ask_1", **more: str) -> Result:
        message = {"chat": {"id": learner, "type": "private"}, "from": {"id": learner, **more}, "text": text}
        return self.do(bot, learner, start, message=message)

    def press(self, learner: int, data: str, bot: str = "bot") -> Result:
        return self.do(bot, learner, callback_query={"id": "1", "from": {"id": learner}, "data": data})

    def vote(self, learner: int, poll_id: str, bot: str = "bot") -> Result:
        return self.do(bot, learner, poll_answer={"poll_id": poll_id, "user": {"id": learner}, "option_ids": [0]})

    def chat(self, learner: int, bot: str = "bot") -> Chat:
        record = self.database.run(self.database.store.chat(bot, learner))
        return from_json(record.state) if record is not None and record.state else Chat()

    def run(self, learner: int, bot: str = "bot") -> Run:
        run = self.chat(learner, bot).run
        assert run is not None
        return run

    def all(self) -> Sequence[tuple[Any, ...]]:
        """Return what is stored of all chats, and how many rows there are of the others."""
        tables = ("conversation", "run", "waiting_element", "job", "outbox", "poll")
        counts = [tuple(self.database.query(f"SELECT '{table}', count(*) FROM {table}")[0]) for table in tables]
        return (*counts, *self.database.query("SELECT botname, chat_id, state::text FROM chat ORDER BY 1, 2"))


@pytest.fixture
def fleet(database: Database) -> Fleet:
    return Fleet(database)


def presses_of(run: Run) -> list[str]:
    place = run.run_id, run.step
    presses = [ChoicePress(*place, 0), ChoicePress(*place, 1), ResumePress(*place), RestartPress(*place)]
    return [press.data for press in (*presses, ExitPress(*place), RetryPress(*place))]


@pytest.mark.parametrize("start", ["Ask_1", "Talk_1", "App_1"])
@pytest.mark.parametrize(("learner", "bot"), [(BOB_ID, "bot"), (ANN_ID, "other"), (BOB_ID, "other")])
def test_a_button_works_in_its_own_chat_with_its_own_bot_only(fleet: Fleet, start: str, learner: int, bot: str) -> None:
    fleet.say(ANN_ID, "/start", start=start)
    fleet.say(learner, "/start", bot, start)
    before = fleet.all()
    for data in presses_of(fleet.run(ANN_ID)):
        result = fleet.press(learner, data, bot)
        assert result.messages == []
        assert fleet.all() == before
    assert any(fleet.press(ANN_ID, data).messages for data in presses_of(fleet.run(ANN_ID)))


@pytest.mark.parametrize(("learner", "bot"), [(BOB_ID, "bot"), (ANN_ID, "other")])
def test_a_vote_in_the_poll_of_another_chat_counts_for_nobody(fleet: Fleet, learner: int, bot: str) -> None:
    fleet.say(ANN_ID, "/start", start="Vote_1")
    fleet.say(learner, "/start", bot, "Vote_1")
    store = fleet.database.store
    for whose, bots, poll_id in ((ANN_ID, "bot", "anns"), (learner, bot, "own")):
        run = fleet.run(whose, bots)
        poll = SentPoll(poll_id, whose, run.run_id, run.step, 5)
        fleet.database.run(store.settle(bots, [], [poll], []))
    before = fleet.all()
    assert fleet.vote(learner, "anns", bot).messages == []
    assert fleet.all() == before
    assert fleet.vote(learner, "own", bot).messages != []
    assert fleet.run(ANN_ID).element_id == "Vote_1"


def test_a_restricted_course_opens_for_participants_only(fleet: Fleet) -> None:
    fleet.say(BOB_ID, "/start", username="bob")
    before = fleet.chat(BOB_ID)
    fleet.database.run(fleet.database.store.add_participants("bot", "closed", ["ann"]))
    fleet.database.run(fleet.database.store.add_participants("other", "closed", ["bob"]))
    fleet.say(BOB_ID, "/start closed", username="bob")
    fleet.press(BOB_ID, menu_press("closed").data)
    fleet.say(BOB_ID, "/go closed", username="bob")
    assert fleet.chat(BOB_ID) == before
    fleet.say(ANN_ID, "/start closed", username="ann")
    assert fleet.run(ANN_ID).course_id == "closed"


def test_a_button_leads_only_where_its_element_does(fleet: Fleet) -> None:
    fleet.say(ANN_ID, "/start")
    run = fleet.run(ANN_ID)
    before = fleet.all()
    for data in (
        "goto_Far_1",
        "goto_Name_1",
        "got_it",
        "wait_1d",
        f"c:{run.run_id}:{run.step}:2",
        f"c:{run.run_id}:9:0",
    ):
        assert fleet.press(ANN_ID, data).messages == []
        assert fleet.all() == before
    adopted = "UPDATE chat SET state = jsonb_set(state, '{runs,default,adopted}', 'true')"
    fleet.database.query(adopted)
    assert fleet.press(ANN_ID, "goto_Name_1").messages == []
    assert fleet.run(ANN_ID).element_id == "Ask_1"
    assert fleet.press(ANN_ID, "goto_Far_1").messages != []


@pytest.mark.parametrize("start", ["Talk_1", "App_1", "Ask_1"])
@pytest.mark.parametrize(("learner", "bot"), [(BOB_ID, "bot"), (ANN_ID, "other")])
def test_what_comes_for_a_run_does_not_concern_others(fleet: Fleet, start: str, learner: int, bot: str) -> None:
    fleet.say(ANN_ID, "/start", start=start)
    fleet.say(learner, "/start", bot, start)
    before, run = fleet.all(), fleet.run(ANN_ID)
    other = ANN if learner == ANN_ID else type(ANN)(learner, "bob", "en")
    for event in (
        AppAnswered(other, AT, run.run_id, run.step, "a: 1"),
        ReplyReceived(other, AT, run.run_id, run.step, "Hi"),
        TimeReached(other, AT, run.run_id, "Far_1"),
    ):
        rules = Rules(bot, courses(start), "en")
        result = fleet.database.run(feed(fleet.database.store, rules, [Feed(event)]))
        assert result.messages == []
    assert [row for row in fleet.all() if row[0] == "conversation"] == [before[0]]
    assert (fleet.run(ANN_ID), fleet.run(learner, bot).element_id) == (run, start)


# --- what the model is told ---------------------------------------------------------------------------------------


def prompt_of(fleet: Fleet, learner: int, bot: str, course_id: str = "default") -> str:
    store, run = fleet.database.store, fleet.run(learner, bot)
    dialog = parsed(COURSE).elements["Talk_1"]
    assert isinstance(dialog, Dialog)
    transcript = partial(store.transcript, bot, learner, course_id, run.run_id)
    return fleet.database.run(rendered(dialog, parsed(COURSE), transcript))


@pytest.mark.parametrize(("learner", "bot"), [(BOB_ID, "bot"), (ANN_ID, "other")])
def test_a_prompt_tells_nothing_of_other_chats(fleet: Fleet, learner: int, bot: str) -> None:
    fleet.say(ANN_ID, "/start", start="Name_1")
    fleet.say(ANN_ID, "Annabel")
    fleet.say(ANN_ID, "/start", start="Talk_1")
    fleet.say(learner, "/start", bot, "Talk_1")
    assert "Annabel" in prompt_of(fleet, ANN_ID, "bot")
    assert "Annabel" not in prompt_of(fleet, learner, bot)
    assert "Annabel" not in prompt_of(fleet, ANN_ID, "bot", "closed")


def test_what_a_learner_says_is_no_part_of_the_prompts_own_language(fleet: Fleet) -> None:
    fleet.say(ANN_ID, "/start", start="Name_1")
    said = "{{Talk_1}} {{Name_1.answer}} <!-- {{Ask_1}} --> {{"
    fleet.say(ANN_ID, said)
    fleet.say(ANN_ID, "/start", start="Talk_1")
    assert f"You know {said}, " in prompt_of(fleet, ANN_ID, "bot")


def test_a_bot_knows_no_files_of_another(fleet: Fleet) -> None:
    store, run = fleet.database.store, fleet.database.run
    run(store.settle("bot", [], [], [MediaFile("https://a.io/b.jpg", "photo", "f")]))
    assert run(store.media_files("bot", ["https://a.io/b.jpg"])) != {}
    assert run(store.media_files("other", ["https://a.io/b.jpg"])) == {}
