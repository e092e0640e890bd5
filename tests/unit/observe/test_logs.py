"""Log lines: their two formats, and the files of bots."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from app.cli.isolate import printer
from app.observe.logs import BotFiles, Libraries, catch_defects, configure_logs, get_log, levels
from app.observe.secrets import keep_secret, masked
from app.observe.work import Work, Working, call_bot, work_for, work_more_closely, work_on


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    level, hooks = root.level, (sys.excepthook, threading.excepthook)
    yield
    structlog.reset_defaults()
    root.setLevel(level)
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, Libraries)]
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)
    work_on(Work())
    work_for([])
    keep_secret([])


TOKEN = "123456789:" + "MARKER-_" * 4 + "abc"


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines that were written, without their times."""
    return [TIME.sub("TIME", line) for line in capsys.readouterr().err.splitlines()]


TIME = re.compile(r"20[0-9-]{8}T[0-9:.]{15}Z")


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    get_log("x").info("чай готов", bot="samovar", cups=2)
    get_log("x").debug("not shown")
    [line] = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert event.pop("timestamp")
    assert event == {"event": "чай готов", "bot": "samovar", "cups": 2, "level": "info"}
    assert "чай" in line


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_traceback_shows_no_variables(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(style)  # type: ignore[arg-type]

    def fail(token: str) -> None:
        raise ValueError(f"bad length {len(token)}")

    try:
        fail("123456789:" + "MARKER" * 6)
    except ValueError:
        get_log("x").exception("it failed", bot="a")
    output = capsys.readouterr().err
    assert "bad length 46" in output
    assert "MARKERMARKER" not in output


def test_a_bot_gets_its_own_lines_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "a.log"
    files = configure_logs("json", files={"a": file, "a_bot": file})
    log = get_log("x")
    log.info("first", bot="a")
    log.info("second", bot="a_bot", chat=7)
    log.info("of another", bot="b")
    log.info("of the host")
    files.close()
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(event["event"], event["level"]) for event in events] == [("first", "info"), ("second", "info")]


def test_a_log_file_is_rotated(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    files = BotFiles({"a": file})
    for number in range(12):
        files(None, "", {"bot": "a", "event": "x" * 1_000_000, "number": number})
    files.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1"]
    assert sum(len(path.read_text().splitlines()) for path in tmp_path.iterdir()) == 12


@pytest.mark.parametrize(("bots", "said"), [(["a"], '"bot": "a", '), (["a", "b"], "")])
def test_what_the_process_of_a_single_bot_says_is_of_that_bot(
    bots: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("json")
    work_for(bots)
    get_log("x").info("of the host")
    logging.getLogger("psycopg.pool").warning("of a library")
    get_log("x").info("of another", bot="c")
    assert written(capsys) == [
        f'{{"event": "of the host", {said}"level": "info", "timestamp": "TIME"}}',
        f'{{"logger": "psycopg.pool", "event": "of a library", {said}"level": "warning", "timestamp": "TIME"}}',
        '{"bot": "c", "event": "of another", "level": "info", "timestamp": "TIME"}',
    ]


def test_lines_say_what_is_being_worked_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    call_bot("a_bot", "a")
    log = get_log("x")
    work_on(Work("a"))
    with Working():
        work_on(Work("a_bot", 7, 31, 5, "Q1"))
        log.info("in a turn")
        log.info("of another", bot="b")
        log.info("said better", bot="a_bot", element="Q2")
        work_more_closely(job=9)
        log.info("of a job")
    log.info("after it")
    work_on(Work())
    log.info("of the host")
    in_turn = '"bot": "a", "chat": 7, "update": 31, "run": 5, "element": "Q1"'
    end = '"level": "info", "timestamp": "TIME"}'
    assert written(capsys) == [
        f'{{"event": "in a turn", {in_turn}, {end}',
        f'{{"bot": "b", "event": "of another", {end}',
        f'{{"bot": "a", "element": "Q2", "event": "said better", "chat": 7, "update": 31, "run": 5, {end}',
        f'{{"event": "of a job", {in_turn}, "job": 9, {end}',
        f'{{"event": "after it", "bot": "a", {end}',
        f'{{"event": "of the host", {end}',
    ]


def test_text_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("text")
    work_on(Work("a", 7, 31, 5, "Q1"))
    get_log("x").warning("чай остыл", cups=2)
    assert written(capsys) == [
        "TIME [warning  ] чай остыл                      bot=a chat=7 cups=2 element=Q1 run=5 update=31"
    ]


def test_the_level_of_one_bot_and_of_all_changes_while_lines_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "warning")
    log = get_log("x")

    def told() -> list[str]:
        for bot in ("a", "b", None):
            for level in ("debug", "info", "warning"):
                log.log(logging.getLevelNamesMapping()[level.upper()], f"{bot or 'host'} {level}", bot=bot)
        return [json.loads(line)["event"] for line in written(capsys)]

    assert told() == ["a warning", "b warning", "host warning"]
    assert not levels.is_verbose
    levels.set("debug", "a")
    assert told() == ["a debug", "a info", "a warning", "b warning", "host warning"]
    assert (levels.is_verbose, levels.of("a"), levels.of("b")) == (True, "debug", "warning")
    levels.set("error", "b")
    levels.set("info")
    assert told() == ["a info", "a warning", "b info", "b warning", "host info", "host warning"]
    assert not levels.is_verbose


def test_libraries_write_lines_like_ours(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own minds wrong arguments
    configure_logs("json")
    work_on(Work("a"))
    library = logging.getLogger("aiogram.event")
    library.warning("%s of %d", "one", 2)
    library.info("Update id=7 is handled")
    library.error("odd %d", "arguments")
    library.critical("worst")
    assert written(capsys) == [
        '{"logger": "aiogram.event", "event": "one of 2", "bot": "a", "level": "warning", "timestamp": "TIME"}',
        '{"logger": "aiogram.event", "event": "odd %d", "bot": "a", "level": "error", "timestamp": "TIME"}',
        '{"logger": "aiogram.event", "event": "worst", "bot": "a", "level": "error", "timestamp": "TIME"}',
    ]


@pytest.mark.parametrize("style", ["json", "text"])
def test_no_secret_is_written(style: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secrets = [TOKEN, "short:MARKER", 'quoted"MARKER\\', "päss wörd/MARKER", "sk-MARKERMARKERMARKER"]
    file = tmp_path / "a.log"
    files = configure_logs(style, files={"a": file}, secrets=secrets)
    log = get_log("x")
    for secret in [*secrets, "99:" + "MARKER" * 6, f"https://h/bot{quote(TOKEN)}/x", "postgresql://u:MARKER@h/d"]:
        log.info(f"text {secret}", bot="a", field=secret, nested={"key": [secret]}, object=Path(secret))
        logging.getLogger("lib").error("text %s", secret)
        try:
            try:
                raise KeyError(secret)
            except KeyError as error:
                raise ValueError(f"about {secret}") from error
        except ValueError:
            log.exception("it failed", bot="a")
            logging.getLogger("lib").exception("it failed")
    log.info("the half of it", half=TOKEN.partition(":")[2])
    files.close()
    output = capsys.readouterr().err
    for text in (output, file.read_text()):
        assert "MARKER" not in text
        assert "KeyError" in text
        assert "ValueError: about ..." in text
    assert "postgresql://u:...@h/d" in output


def test_short_words_are_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", secrets=["", "1", "2026", "bot"])
    get_log("x").info("polling", bot="bot1", time="21:30:00")
    assert written(capsys) == [
        '{"bot": "bot1", "time": "21:30:00", "event": "polling", "level": "info", "timestamp": "TIME"}'
    ]


def test_lines_that_cannot_be_written_are_lost_and_fail_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    full = open("/dev/full", "w")  # noqa: SIM115 - closing it fails
    monkeypatch.setattr(sys, "stderr", full)
    configure_logs("json")
    get_log("x").info("nobody will know")
    printer(["one"])("one", b"of this\n")
    with pytest.raises(OSError, match="No space left"):
        full.close()


def test_many_digits_are_looked_at_once() -> None:
    digits = "1" * 300_000  # each of which may begin a token: looked at from each to the end, it would take minutes
    assert masked(f"{digits} {digits}:{'x' * 35}") == f"{digits} ..."


def test_an_error_of_the_database_tells_no_rows(capsys: pytest.CaptureFixture[str]) -> None:
    said = "null value in column\nDETAIL:  Failing row contains (7, what\n\nI wrote).\nCONTEXT:  $1 = 'what I wrote'"

    def fail() -> None:
        try:
            raise ValueError(said)
        except ValueError as error:
            raise RuntimeError("no turn") from error

    for texts in (False, True):
        configure_logs("json", texts=texts)
        try:
            fail()
        except RuntimeError:
            get_log("x").exception("it failed")
        [line] = written(capsys)
        trace = json.loads(line)["exception"]
        assert ("I wrote" in trace) is texts
        assert "ValueError: null value in column\n" in trace
        assert trace.endswith("RuntimeError: no turn")


def test_what_ends_a_process_or_a_thread_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", secrets=["MARKERMARKER"])
    catch_defects()

    def fail() -> None:
        raise ValueError("about MARKERMARKER")

    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    first, second, third = [json.loads(line) for line in written(capsys)]
    assert first["exception"].endswith("ValueError: about ...")
    assert (first["event"], first["level"], first["thread"]) == ("thread ended by a defect", "error", "worker")
    assert second["exception"].endswith("ValueError: about ...")
    assert (second["event"], second["level"]) == ("ended by a defect", "critical")
    assert "DeprecationWarning: old ways" in third["event"]
    assert (third["logger"], third["level"]) == ("py.warnings", "warning")


def test_a_secret_that_looks_partly_like_something_else_is_masked_whole() -> None:
    keep_secret(["pa@ss@word"])
    assert masked("postgresql://me:pa@ss@word@host/db") == "postgresql://me:...@host/db"
    assert masked("postgresql://me:an@other@host/db") == "postgresql://me:...@host/db"
    assert masked('{"url":"http://host:80","chat":"a@b"}') == '{"url":"http://host:80","chat":"a@b"}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host=db password=se:cr@et/ user=me", "host=db password=... user=me"),
        (r"password=se\ cret\'s user=me", "password=... user=me"),
        (r"password = 'se cret\'s' user=me", "password = ... user=me"),
        ("password='cut off", "password=..."),
        ("sslpassword=secret host=db", "sslpassword=... host=db"),
        ('{"url":"dbname=x password=secret","bot":"a"}', '{"url":"dbname=x password=...","bot":"a"}'),
        (json.dumps({"url": r"password='a\'b c' host=db"}), '{"url": "password=... host=db"}'),
        ("the password is wrong", "the password is wrong"),
        ("password= secret host=db", "password= ... host=db"),
    ],
)
def test_a_password_among_the_words_of_an_address_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(("module", "work"), [("app.cli.main", "cli"), ("app.runtime.main", "stop_with_parent")])
def test_the_traceback_of_a_defect_holds_no_token(module: str, work: str) -> None:
    broken = f"""
import {module} as module

def fail(*_):
    raise ValueError("https://api.telegram.org/bot{TOKEN}/getMe")

module.{work} = fail
module.main()
"""
    done = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: https://api.telegram.org/bot.../getMe\n")
