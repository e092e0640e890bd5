"""The methods that send, change and delete messages of text."""

from __future__ import annotations

from typing import Any

from app.course.markup import Parsed, utf16_length
from app.sandbox.arguments import Arguments, entity_bodies
from app.sandbox.errors import bad_request
from app.sandbox.state import Bot, Chat, Message

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
"""UTF-16 code units after entity parsing."""
NOTICE_LIMIT = 200
ACTIONS = (
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document",
    "choose_sticker", "find_location", "record_video_note", "upload_video_note",
)  # fmt: skip
PREVIEW_OPTIONS: dict[str, type] = {
    "is_disabled": bool,
    "url": str,
    "prefer_small_media": bool,
    "prefer_large_media": bool,
    "show_above_text": bool,
}
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same "
    "as a current content and reply markup of the message"
)
Json = dict[str, Any]


def chat_of(bot: Bot, args: Arguments) -> Chat:
    """Return the chat a call is about, if the bot may write to it."""
    if not args.text("chat_id").strip():
        raise bad_request("chat_id is empty")
    try:
        return bot.open_chat(int(args.text("chat_id")))
    except ValueError:
        raise bad_request("chat not found") from None


def chat_of_message(bot: Bot, message: Message) -> Chat:
    """Return the chat a message is in."""
    return bot.chats[message.body["chat"]["id"]]


def send_message(bot: Bot, args: Arguments) -> Json:
    """Send a text."""
    chat = chat_of(bot, args)
    content = _text_content(args)
    markup = args.reply_markup()
    message = bot.add(chat, True, content)
    message.show(markup)
    return message.body


def caption_content(parsed: Parsed) -> Json:
    """Return the fields of a caption, none when it is empty."""
    if utf16_length(parsed.plain) > CAPTION_LIMIT:
        raise bad_request("message caption is too long")
    if not parsed.plain:
        return {}
    entities = entity_bodies(parsed)
    return {"caption": parsed.plain} | ({"caption_entities": entities} if entities else {})


def edit_message_text(bot: Bot, args: Arguments) -> Json:
    """Replace text and keyboard of a message of the bot."""
    message = _editable(bot, args)
    if "text" not in message.body:
        raise bad_request("there is no text in the message to edit")
    content = _text_content(args)
    markup = args.reply_markup()
    kept = ("text", "entities", "link_preview_options")
    if content == {name: message.body[name] for name in kept if name in message.body} and markup == _markup(message):
        raise bad_request(NOT_MODIFIED)
    message.earlier.append(message.body["text"])
    for name in kept:
        message.body.pop(name, None)
    message.body |= content
    message.edited = True
    return _edited(bot, message, markup)


def edit_message_reply_markup(bot: Bot, args: Arguments) -> Json:
    """Replace or remove the keyboard of a message of the bot."""
    message = _editable(bot, args)
    markup = args.reply_markup()
    if markup == _markup(message):
        raise bad_request(NOT_MODIFIED)
    return _edited(bot, message, markup)


def delete_message(bot: Bot, args: Arguments) -> bool:
    """Remove a message for both sides."""
    chat = chat_of(bot, args)
    if chat.messages.pop(args.integer("message_id"), None) is None:
        raise bad_request("message to delete not found")
    bot.changed(chat)
    return True


def send_chat_action(bot: Bot, args: Arguments) -> bool:
    """Show that the bot is doing something."""
    chat = chat_of(bot, args)
    action = args.text("action").lower()
    if action not in ACTIONS:
        raise bad_request("wrong parameter action in request")
    chat.action = action
    bot.changed(chat)
    return True


def answer_callback_query(bot: Bot, args: Arguments) -> bool:
    """Answer a press, with a notice or silently."""
    query_id = args.text("callback_query_id")
    if query_id not in bot.presses:
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    if utf16_length(args.text("text")) > NOTICE_LIMIT:
        raise bad_request("MESSAGE_TOO_LONG")
    chat, notice = bot.presses.pop(query_id)
    notice.text = args.text("text")
    notice.show_alert = args.boolean("show_alert")
    bot.changed(chat)
    return True


def _text_content(args: Arguments) -> Json:
    parsed = args.formatted("text")
    if not parsed.plain:
        raise bad_request("message text is empty")
    if utf16_length(parsed.plain) > TEXT_LIMIT:
        raise bad_request("message is too long")
    content: Json = {"text": parsed.plain}
    if parsed.entities:
        content["entities"] = entity_bodies(parsed)
    preview = _preview(args)
    return content | ({"link_preview_options": preview} if preview else {})


def _preview(args: Arguments) -> Json:
    options = args.json("link_preview_options", "can't parse link preview options JSON object")
    if options is None:
        return {"is_disabled": True} if args.boolean("disable_web_page_preview") else {}
    if not isinstance(options, dict):
        raise bad_request("object expected as link preview options")
    return {name: kind(options[name]) for name, kind in PREVIEW_OPTIONS.items() if options.get(name)}


def message_of(bot: Bot, args: Arguments) -> Message | None:
    """Return the message a call is about, ``None`` if there is none."""
    return chat_of(bot, args).messages.get(args.integer("message_id"))


def _editable(bot: Bot, args: Arguments) -> Message:
    message = message_of(bot, args)
    if message is None:
        raise bad_request("message to edit not found")
    if not message.by_bot:
        raise bad_request("message can't be edited")
    return message


def _edited(bot: Bot, message: Message, markup: Json | None) -> Json:
    message.show(markup)
    bot.changed(chat_of_message(bot, message))
    return message.body


def _markup(message: Message) -> Json | None:
    return message.body.get("reply_markup")
