"""Actions to Bot API requests."""

import pytest

from app.course.element import ParseMode, Speech
from app.engine.action import Button, MediaKind, RemoveButtons, SendMedia, SendPoll, SendSpeech, SendText, StopPoll
from app.telegram.encode import MessageAction, Request, Upload, encode, new_message, voice_call


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
        (
            SendText("hi", ParseMode.HTML, buttons=(Button("Go", "c:1"), Button("App", "", "https://x/1")), replaces=5),
            [
                Request(
                    "editMessageText",
                    {
                        "chat_id": 7,
                        "parse_mode": "HTML",
                        "text": "hi",
                        "message_id": 5,
                        "reply_markup": {
                            "inline_keyboard": [
                                [{"text": "Go", "callback_data": "c:1"}],
                                [{"text": "App", "web_app": {"url": "https://x/1"}}],
                            ]
                        },
                    },
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


def test_a_long_text_replaces_one_message_and_goes_on_in_new_ones() -> None:
    first, second = encode(7, SendText("word " * 1000, buttons=(Button("Go", "d"),), replaces=5))
    assert (first.method, first.params["message_id"], "reply_markup" in first.params) == ("editMessageText", 5, False)
    assert (second.method, "message_id" in second.params, "reply_markup" in second.params) == (
        "sendMessage",
        False,
        True,
    )
    assert new_message(first.params) == Request("sendMessage", {"chat_id": 7, "text": first.params["text"]})


def test_d25_a_spoken_text_is_hidden_in_the_caption() -> None:
    action = SendSpeech("2 is less than 3", "*2* < 3 & all", ParseMode.MARKDOWN, Speech("Anna"), (Button("Go", "d"),))
    (request,) = encode(7, action)
    keyboard = {"inline_keyboard": [[{"text": "Go", "callback_data": "d"}]]}
    assert request == Request(
        "sendSpeech",
        {
            "chat_id": 7,
            "spoken": "2 is less than 3",
            "voice": {"voice": "Anna", "model": None, "speed": 1.0},
            "messages": [{"chat_id": 7, "parse_mode": "Markdown", "text": "*2* < 3 & all", "reply_markup": keyboard}],
            "caption": "<tg-spoiler>2 &lt; 3 &amp; all</tg-spoiler>",
        },
    )
    assert voice_call(request.params, b"mp3") == Request(
        "sendVoice",
        {
            "chat_id": 7,
            "caption": "<tg-spoiler>2 &lt; 3 &amp; all</tg-spoiler>",
            "parse_mode": "HTML",
            "reply_markup": keyboard,
        },
        upload=Upload("voice", b"mp3", "voice.mp3"),
    )


def test_d25_a_spoken_text_too_long_for_a_caption_follows_as_a_text() -> None:
    (request,) = encode(7, SendSpeech("spoken", "x" * 1025, None, Speech(), (Button("Go", "d"),)))
    assert "caption" not in request.params
    assert [(len(message["text"]), "reply_markup" in message) for message in request.params["messages"]] == [
        (1025, True)
    ]
    assert voice_call(request.params, b"mp3").params == {"chat_id": 7}


def test_d25_broken_markup_is_hidden_as_it_is() -> None:
    (request,) = encode(7, SendSpeech("spoken", "a _b", ParseMode.MARKDOWN, Speech()))
    assert request.params["caption"] == "<tg-spoiler>a _b</tg-spoiler>"
