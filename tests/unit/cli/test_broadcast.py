"""What a broadcast says and whom it is for, as the command line reads it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.cli.broadcast import message_of, read_chat_ids, segment_of
from app.errors import FlotillaError, InputError
from app.store.broadcast import Kind, Segment

PICTURE = "https://example.org/a.png"


@pytest.mark.parametrize(
    ("text", "mode", "photo", "expected"),
    [
        (" Hi, <you>\n", None, None, ("sendMessage", {"text": "Hi, <you>"})),
        ("<b>Hi</b>", "html", None, ("sendMessage", {"text": "<b>Hi</b>", "parse_mode": "HTML"})),
        ("*Hi*", "Markdown", None, ("sendMessage", {"text": "*Hi*", "parse_mode": "Markdown"})),
        ("a" * 4096, None, None, ("sendMessage", {"text": "a" * 4096})),
        (f"<b>{'a' * 4096}</b>", "HTML", None, ("sendMessage", {"text": f"<b>{'a' * 4096}</b>", "parse_mode": "HTML"})),
        (
            "*Hi*",
            "markdown",
            PICTURE,
            ("sendMedia", {"kind": "photo", "media": [PICTURE], "caption": "*Hi*", "parse_mode": "Markdown"}),
        ),
        ("\n", None, PICTURE, ("sendMedia", {"kind": "photo", "media": [PICTURE]})),
    ],
)
def test_messages(text: str, mode: str | None, photo: str | None, expected: tuple[str, dict[str, Any]]) -> None:
    assert message_of(text, "a.txt", mode, photo) == expected


@pytest.mark.parametrize(
    ("text", "mode", "photo", "error"),
    [
        ("", None, None, "a.txt: is empty; write the text of the message into it"),
        ("<b></b>", "HTML", None, "a.txt: is empty; write the text of the message into it"),
        ("a", "md", None, "--parse-mode: 'md' is not known; write Markdown or HTML, or leave it out"),
        ("a" * 4097, None, None, "a.txt: has 4097 characters; a message has 4096"),
        ("😀" * 513, None, PICTURE, "a.txt: has 1026 characters; below a photo has 1024"),
        ("a", None, "a.png", "--photo: 'a.png' is not a link; write it like https://example.org/picture.jpg"),
    ],
)
def test_what_telegram_would_refuse(text: str, mode: str | None, photo: str | None, error: str) -> None:
    with pytest.raises(FlotillaError) as caught:
        message_of(text, "a.txt", mode, photo)
    assert str(caught.value) == error


def test_wrong_markup_is_told_in_telegrams_words() -> None:
    with pytest.raises(FlotillaError, match=r"^a\.txt: Telegram would refuse this HTML: .*; correct the markup$"):
        message_of("<b>a", "a.txt", "HTML", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", Segment(course_id="c")),
        ("active:7d", Segment(Kind.ACTIVE, within=timedelta(days=7), course_id="c")),
        ("active:1d12h", Segment(Kind.ACTIVE, within=timedelta(days=1, hours=12), course_id="c")),
        ("finished:intro", Segment(Kind.FINISHED, "intro", course_id="c")),
        ("unfinished: intro", Segment(Kind.UNFINISHED, "intro", course_id="c")),
        ("tag:a:b", Segment(Kind.TAG, "a:b", course_id="c")),
    ],
)
def test_segments(text: str, expected: Segment) -> None:
    assert segment_of(text, "c") == expected


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("active:soon", "--segment: 'active:soon' has no interval; write it like active:7d or active:12h"),
        ("active:", "--segment: 'active:' has no interval; write it like active:7d or active:12h"),
        ("tag:", "--segment: 'tag:' names nothing; write it like tag:NAME"),
        (
            "everybody",
            "--segment: 'everybody' is neither a segment nor a file; "
            "write all, active:7d, finished:COURSE, unfinished:COURSE, tag:NAME, or a CSV file of chat ids",
        ),
    ],
)
def test_no_segments(text: str, error: str) -> None:
    with pytest.raises(FlotillaError) as caught:
        segment_of(text, None)
    assert str(caught.value) == error


def test_a_file_is_a_segment(tmp_path: Path) -> None:
    file = tmp_path / "chats.csv"
    file.write_text("7\n8\n7\n")
    assert segment_of(str(file), None) == Segment(Kind.LISTED, chat_ids=(7, 8))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", (5,)),
        ("5\n\n6\n", (5, 6)),
        ("name;chat_id\nann;5\nbob;-100200\n", (5, -100200)),
        ("Chat_ID\n5\n", (5,)),
        ("5,ann\n6,bob\n", (5, 6)),
    ],
)
def test_chat_ids(text: str, expected: tuple[int, ...]) -> None:
    assert read_chat_ids(text, "a.csv") == expected


def test_lines_without_a_chat_id_are_told_all() -> None:
    with pytest.raises(InputError) as caught:
        read_chat_ids("chat_id,name\n5,ann\n@bob,bob\n,carl\n", "a.csv")
    assert [(problem.line, problem.text) for problem in caught.value.problems] == [
        (3, "'@bob' is not a chat id"),
        (4, "'' is not a chat id"),
    ]
    with pytest.raises(FlotillaError, match=r"a\.csv: has no chat ids; write one per line"):
        read_chat_ids("chat_id\n", "a.csv")
