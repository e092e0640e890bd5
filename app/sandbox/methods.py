"""The Bot API methods that the sandbox knows."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

from app.sandbox import apps, media, messages, polls
from app.sandbox.arguments import Arguments
from app.sandbox.errors import bad_request, unauthorized
from app.sandbox.state import Bot
from app.sandbox.webhook import Webhook

MOST_UPDATES = 100
LONGEST_POLL = 50
"""Seconds."""
MOST_COMMANDS = 100
"""Commands of one menu."""
PLAIN_SCOPES = ("default", "all_private_chats", "all_group_chats", "all_chat_administrators")
CHAT_SCOPES = ("chat", "chat_administrators", "chat_member")
"""Scopes of command menus; the latter name a chat."""
Json = dict[str, Any]
Method = Callable[[Bot, Arguments], Any]


def get_me(bot: Bot, args: Arguments) -> Json:
    """Return the bot's own ``User``."""
    abilities = ("can_join_groups", "can_read_all_group_messages", "supports_inline_queries", "can_connect_to_business",
                 "has_main_web_app", "has_topics_enabled", "allows_users_to_create_topics")  # fmt: skip
    return bot.user() | dict.fromkeys(abilities, False) | {"can_join_groups": True}


async def get_updates(bot: Bot, args: Arguments) -> list[Json]:
    """Confirm updates and wait for new ones."""
    limit = min(max(args.integer("limit", MOST_UPDATES), 1), MOST_UPDATES)
    timeout = min(max(args.integer("timeout"), 0), LONGEST_POLL)
    _set_allowed(bot, args)
    updates = await bot.updates.fetch(args.integer("offset"), limit, timeout)
    if bot.revoked:
        raise unauthorized()
    return updates


def set_webhook(bot: Bot, args: Arguments) -> bool:
    """Have updates delivered to a URL; an empty one ends that."""
    url = args.text("url")
    if args.boolean("drop_pending_updates"):
        bot.updates.clear()
    if not url:
        return delete_webhook(bot, args)
    if not re.match(r"https?://[^/\s]+", url):
        raise bad_request("bad webhook: invalid URL specified")
    secret = args.text("secret_token")
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", secret):
        raise bad_request("secret token contains unallowed characters")
    _set_allowed(bot, args)
    connections = min(max(args.integer("max_connections", 40), 1), 100)
    bot.set_webhook(Webhook(url, secret, connections, _certificate(args)))
    return True


def _certificate(args: Arguments) -> str | None:
    """Return the uploaded certificate, checked as Telegram does."""
    upload = args.files.get("certificate")
    if upload is None:
        return None
    try:
        text = upload.content.decode()
        ssl.create_default_context(cadata=text)
    except (ValueError, ssl.SSLError):
        raise bad_request("bad webhook: can't parse certificate") from None
    return text


def delete_webhook(bot: Bot, args: Arguments) -> bool:
    """Go back to ``getUpdates``."""
    if args.boolean("drop_pending_updates"):
        bot.updates.clear()
    bot.set_webhook(None)
    return True


def get_webhook_info(bot: Bot, args: Arguments) -> Json:
    """Return how deliveries go."""
    webhook = bot.webhook
    info: Json = {
        "url": webhook.url if webhook else "",
        "has_custom_certificate": bool(webhook and webhook.certificate),
        "pending_update_count": len(bot.updates.pending),
    }
    if webhook:
        info["max_connections"] = webhook.max_connections
        if webhook.last_error_date is not None:
            info |= {"last_error_date": webhook.last_error_date, "last_error_message": webhook.last_error_message}
    return info | ({"allowed_updates": list(bot.updates.allowed)} if bot.updates.allowed else {})


def get_chat(bot: Bot, args: Arguments) -> Json:
    """Return what is known of a learner."""
    chat = messages.chat_of(bot, args).learner.chat()
    return chat | {"accent_color_id": chat["id"] % 7, "max_reaction_count": 11, "accepted_gift_types": _NO_GIFTS}


_NO_GIFTS = dict.fromkeys(
    ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels"), False
)


def set_my_commands(bot: Bot, args: Arguments) -> bool:
    """Replace the menu of one scope and language."""
    commands = args.json("commands", "can't parse commands JSON object")
    if not isinstance(commands, list):
        raise bad_request("expected an Array of BotCommand")
    if len(commands) > MOST_COMMANDS:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    bot.set_commands(_menu(args), [_command(command) for command in commands])
    return True


def get_my_commands(bot: Bot, args: Arguments) -> list[Json]:
    """Return the menu of one scope and language."""
    return bot.commands.get(_menu(args), [])


def delete_my_commands(bot: Bot, args: Arguments) -> bool:
    """Forget the menu of one scope and language."""
    bot.set_commands(_menu(args), [])
    return True


def _set_allowed(bot: Bot, args: Arguments) -> None:
    """Remember which kinds of updates the bot wants; what is not said stays as it was."""
    kinds = args.json("allowed_updates", "can't parse allowed_updates JSON object")
    if isinstance(kinds, list):
        bot.updates.allowed = [str(kind) for kind in kinds]


def _menu(args: Arguments) -> str:
    """Return the key of a menu: its scope, with the chat it is for if there is one, and its language."""
    language = args.text("language_code")
    if not re.fullmatch(r"([a-z]{2})?", language):
        raise bad_request("invalid language code specified")
    return f"{_scope(args)}:{language}"


def _scope(args: Arguments) -> str:
    scope = args.json("scope", "can't parse BotCommandScope JSON object")
    if scope is None:
        return "default"
    if not isinstance(scope, dict):
        raise bad_request("can't parse BotCommandScope: expected an Object")
    kind = scope.get("type")
    if kind in PLAIN_SCOPES:
        return str(kind)
    if kind not in CHAT_SCOPES:
        raise bad_request("can't parse BotCommandScope: unsupported type specified")
    if not str(scope.get("chat_id", "")).strip():
        raise bad_request("chat_id is empty")
    return f"{kind} {scope['chat_id']}"


def _command(command: Any) -> Json:
    if not isinstance(command, dict):
        raise bad_request("can't parse BotCommand: expected an Object")
    name = str(command.get("command", "")).strip().removeprefix("/")
    description = str(command.get("description", "")).strip()
    if not re.fullmatch(r"[a-z0-9_]{1,32}", name):
        raise bad_request("BOT_COMMAND_INVALID")
    if not 1 <= len(description) <= 256:
        raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    return {"command": name, "description": description}


METHODS: dict[str, Method] = {
    "getMe": get_me,
    "getUpdates": get_updates,
    "setWebhook": set_webhook,
    "deleteWebhook": delete_webhook,
    "getWebhookInfo": get_webhook_info,
    "sendMessage": messages.send_message,
    "sendPhoto": partial(media.send, "photo"),
    "sendVideo": partial(media.send, "video"),
    "sendAudio": partial(media.send, "audio"),
    "sendVoice": partial(media.send, "voice"),
    "sendDocument": partial(media.send, "document"),
    "sendAnimation": partial(media.send, "animation"),
    "sendMediaGroup": media.send_media_group,
    "sendPoll": polls.send_poll,
    "stopPoll": polls.stop_poll,
    "answerCallbackQuery": messages.answer_callback_query,
    "answerWebAppQuery": apps.answer_web_app_query,
    "editMessageText": messages.edit_message_text,
    "editMessageReplyMarkup": messages.edit_message_reply_markup,
    "deleteMessage": messages.delete_message,
    "sendChatAction": messages.send_chat_action,
    "getFile": media.get_file,
    "getChat": get_chat,
    "setMyCommands": set_my_commands,
    "getMyCommands": get_my_commands,
    "deleteMyCommands": delete_my_commands,
}
"""All methods by their documented name; ``getUpdates`` alone is awaited."""
BY_LOWER_NAME = {name.lower(): (name, method) for name, method in METHODS.items()}
SILENT = frozenset({"getMe", "getUpdates", "getWebhookInfo", "getFile", "getChat", "getMyCommands"})
"""Methods that change nothing a learner or another call could notice: they are not logged as effects."""
