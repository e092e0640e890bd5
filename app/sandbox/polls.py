"""The methods about polls."""

from __future__ import annotations

import secrets
from typing import Any

from app.course.markup import utf16_length
from app.sandbox.arguments import Arguments
from app.sandbox.errors import bad_request
from app.sandbox.messages import chat_of, chat_of_message, message_of
from app.sandbox.state import Bot, Poll

QUESTION_LIMIT = 300
OPTION_LIMIT = 100
MOST_OPTIONS = 12
EXPLANATION_LIMIT = 200
Json = dict[str, Any]


def send_poll(bot: Bot, args: Arguments) -> Json:
    """Send a poll or quiz."""
    chat = chat_of(bot, args)
    options = _options(args)
    kind = args.text("type") or "regular"
    if kind not in ("regular", "quiz"):
        raise bad_request("unsupported poll type specified")
    poll = Poll(
        id=str(secrets.randbits(62)),
        question=_question(args),
        options=options,
        type=kind,
        is_anonymous=args.boolean("is_anonymous", True),
        allows_multiple_answers=args.boolean("allows_multiple_answers"),
        allows_revoting=args.boolean("allows_revoting", kind == "regular"),
        correct_option_ids=_correct(args, kind, len(options)),
        explanation=_explanation(args),
        is_closed=args.boolean("is_closed"),
    )
    markup = args.reply_markup()
    message = bot.add(chat, True, {"poll": poll.body()})
    message.poll = poll
    message.show(markup)
    return message.body


def stop_poll(bot: Bot, args: Arguments) -> Json:
    """Close a poll and take its keyboard away, or replace it."""
    message = message_of(bot, args)
    if message is None or message.poll is None or not message.by_bot:
        raise bad_request("message with poll to stop not found")
    if message.poll.is_closed:
        raise bad_request("poll has already been closed")
    message.poll.is_closed = True
    message.show(args.reply_markup())
    poll = message.body["poll"] = message.poll.body()
    bot.updates.push("poll", poll)
    bot.changed(chat_of_message(bot, message))
    return poll


def _question(args: Arguments) -> str:
    question = args.formatted("question", "question_parse_mode", "question_entities").plain
    if not question:
        raise bad_request("poll question must be non-empty")
    if utf16_length(question) > QUESTION_LIMIT:
        raise bad_request(f"poll question length must not exceed {QUESTION_LIMIT}")
    return question


def _options(args: Arguments) -> list[str]:
    given = args.json("options", "can't parse options JSON object")
    if not isinstance(given, list):
        raise bad_request("expected an Array of String as options")
    options = [_option(option).strip() for option in given]
    if len(options) < 2:
        raise bad_request("poll must have at least 2 option")
    if len(options) > MOST_OPTIONS:
        raise bad_request(f"poll can't have more than {MOST_OPTIONS} options")
    if not all(options):
        raise bad_request("poll options must be non-empty")
    if any(utf16_length(option) > OPTION_LIMIT for option in options):
        raise bad_request(f"poll options length must not exceed {OPTION_LIMIT}")
    if len(set(options)) < len(options):
        raise bad_request("POLL_OPTION_DUPLICATE")
    return options


def _option(option: Any) -> str:
    text = option.get("text") if isinstance(option, dict) else option
    if not isinstance(text, str):
        raise bad_request("expected an Option to be of type String or InputPollOption")
    return text


def _correct(args: Arguments, kind: str, count: int) -> list[int]:
    if kind != "quiz":
        return []
    correct = args.number_list("correct_option_ids")
    if not correct and "correct_option_id" in args:
        correct = [args.integer("correct_option_id", -1)]
    if not correct or any(not 0 <= option < count for option in correct) or correct != sorted(set(correct)):
        raise bad_request("wrong correct option ID specified")
    return correct


def _explanation(args: Arguments) -> str:
    explanation = args.formatted("explanation", "explanation_parse_mode", "explanation_entities").plain
    if utf16_length(explanation) > EXPLANATION_LIMIT:
        raise bad_request(f"poll solution length must not exceed {EXPLANATION_LIMIT}")
    return explanation
