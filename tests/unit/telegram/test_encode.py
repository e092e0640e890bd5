"""Actions to Bot API requests."""

import pytest

from app.course.element import ParseMode
from app.engine.action import Button, MediaKind, RemoveButtons, SendMedia, SendPoll, SendText, StopPoll
from app.telegram.encode import MessageAction, Request, encode


@pytest.mark.parametrize(
    ("action", "requests"),
    [
        (SendText("hi"), [Request("sendMessage", {"chat_id": 7, "text": "hi"})]),
        (
            SendText("*hi*", ParseMode.MARKDOWN, link_preview=False),
            [
                Request(
                    "sendMessage",
                    {
                        "chat_id": 7,
                        "parse_mode": "Markdown",
                        "link_preview_options": {"is_disabled": True},
                        "text": "*hi*",
                    },
                )
            ],
        ),
        (
            SendText(
                "hi", ParseMode.HTML, link_preview=True, buttons=(Button("Go", "c:1:2:0"), Button("Stay", "c:1:2:1"))
            ),
            [
                Request(
                    "sendMessage",
                    {
                        "chat_id": 7,
                        "parse_mode": "HTML",
                        "text": "hi",
                        "reply_markup": {
                            "inline_keyboard": [
                                [{"text": "Go", "callback_data": "c:1:2:0"}],
                                [{"text": "Stay", "callback_data": "c:1:2:1"}],
                            ]
                        },
                    },
                )
            ],
        ),
        (
            SendMedia(("https://x/a.png",), MediaKind.PHOTO, "look", ParseMode.HTML),
            [
                Request(
                    "sendMedia",
                    {
                        "chat_id": 7,
                        "kind": "photo",
                        "media": ["https://x/a.png"],
                        "caption": "look",
                        "parse_mode": "HTML",
                    },
                )
            ],
        ),
        (
            SendPoll(3, 4, "2+2?", ("3", "4"), correct_option=1),
            [
                Request(
                    "sendPoll",
                    {
                        "chat_id": 7,
                        "question": "2+2?",
                        "options": [{"text": "3"}, {"text": "4"}],
                        "is_anonymous": False,
                        "allows_revoting": False,
                        "type": "quiz",
                        "correct_option_id": 1,
                        "correct_option_ids": [1],
                    },
                    3,
                    4,
                )
            ],
        ),
        (
            SendPoll(3, 4, "Which?", ("a", "b"), allows_multiple_answers=True),
            [
                Request(
                    "sendPoll",
                    {
                        "chat_id": 7,
                        "question": "Which?",
                        "options": [{"text": "a"}, {"text": "b"}],
                        "is_anonymous": False,
                        "allows_revoting": False,
                        "allows_multiple_answers": True,
                    },
                    3,
                    4,
                )
            ],
        ),
        (StopPoll(11), [Request("stopPoll", {"chat_id": 7, "message_id": 11})]),
        (RemoveButtons(11), [Request("editMessageReplyMarkup", {"chat_id": 7, "message_id": 11})]),
    ],
)
def test_requests(action: MessageAction, requests: list[Request]) -> None:
    assert encode(7, action) == requests


def test_d40_long_text_is_split_with_the_keyboard_on_the_last_part() -> None:
    text = "\n\n".join(f"<b>Paragraph {number}</b> " + "word " * 100 for number in range(20))
    requests = encode(7, SendText(text, ParseMode.HTML, buttons=(Button("Go", "d"),)))
    assert len(requests) == 3
    assert [("reply_markup" in request.params) for request in requests] == [False, False, True]
    assert all(request.params["text"].count("<b>") == request.params["text"].count("</b>") for request in requests)
    words = " ".join(request.params["text"] for request in requests).replace("<b>", "").replace("</b>", "").split()
    assert words == text.replace("<b>", "").replace("</b>", "").split()
