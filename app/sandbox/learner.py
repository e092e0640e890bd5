"""What a learner does, and the updates that bots get of it."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import replace
from typing import Any

from app.course.markup import utf16_length
from app.sandbox.apps import launch
from app.sandbox.errors import bad_request
from app.sandbox.media import media_body
from app.sandbox.state import Bot, Chat, Learner, Message, Notice, Poll

Json = dict[str, Any]
COMMAND = re.compile(r"(?<!\S)/[A-Za-z0-9_]{1,64}(?:@\w{3,32})?(?![\w/])")


class Hand:
    """One learner's hand in the chat with one bot."""

    def __init__(self, bot: Bot, learner_id: int) -> None:
        self.bot = bot
        self.chat: Chat = bot.chat(learner_id)

    def introduce(self, profile: Json) -> None:
        """Take on a name, username or language; what is not given stays."""
        names = ("first_name", "last_name", "username", "language_code")
        self.chat.learner = replace(
            self.chat.learner, **{name: profile[name] for name in names if profile.get(name) is not None}
        )
        self.bot.changed(self.chat)

    def send_text(self, text: str, *, via_bot: bool = False) -> Message:
        """Send a text or command, as one's own or as an inline result of the bot."""
        entities = [
            {"type": "bot_command", "offset": utf16_length(text[: match.start()]), "length": len(match.group())}
            for match in COMMAND.finditer(text)
        ]
        via = {"via_bot": self.bot.user()} if via_bot else {}
        return self._send({"text": text} | via | ({"entities": entities} if entities else {}))

    def send_file(self, kind: str, content: bytes, mime_type: str, caption: str = "", seconds: int = 0) -> Message:
        """Send a photo, voice message (that lasts ``seconds``) or other file."""
        media = self.bot.keep(kind, content=content, mime_type=mime_type, seconds=seconds)
        message = self._send(media_body(media) | ({"caption": caption} if caption else {}))
        message.media = media
        return message

    def press(self, message_id: int, data: str) -> Notice:
        """Press a button that the message has or once had: a screen may be older than the chat."""
        message = self._message(message_id)
        if data not in message.pressable:
            raise bad_request(f"message {message_id} never had a button with the data {data!r}")
        notice = Notice(str(secrets.randbits(62)), message_id, data)
        self.chat.notices.append(notice)
        self.bot.presses[notice.id] = (self.chat, notice)
        query = {"id": notice.id, "from": self._user(), "message": message.body, "data": data}
        self.bot.updates.push("callback_query", query | {"chat_instance": str(self.chat.learner.id * 7919)})
        self.bot.changed(self.chat)
        return notice

    def open_app(self, message_id: int, url: str) -> Json:
        """Open a mini app that the message offers or once offered; return its address with and without what it gets."""
        if url not in self._message(message_id).apps:
            raise bad_request(f"message {message_id} never had a button with the mini app {url!r}")
        return launch(self.bot, self.chat, url)

    def vote(self, message_id: int, option_ids: list[int]) -> None:
        """Choose options of a poll; none at all takes the vote back."""
        message = self._message(message_id)
        poll = message.poll
        if poll is None:
            raise bad_request(f"message {message_id} has no poll")
        _check_vote(poll, option_ids)
        poll.vote = sorted(set(option_ids)) or None
        message.body["poll"] = poll.body()
        if not poll.is_anonymous:
            ids = poll.vote or []
            persistent = [str(option) for option in ids]
            answer = {"poll_id": poll.id, "user": self._user(), "option_ids": ids, "option_persistent_ids": persistent}
            self.bot.updates.push("poll_answer", answer)
        self.bot.updates.push("poll", message.body["poll"])
        self.bot.changed(self.chat)

    def set_blocked(self, blocked: bool) -> None:
        """Block the bot or let it write again."""
        if self.chat.blocked == blocked:
            return
        self.chat.blocked = blocked
        bot = self.bot.user()
        member, kicked = {"user": bot, "status": "member"}, {"user": bot, "status": "kicked", "until_date": 0}
        old, new = (member, kicked) if blocked else (kicked, member)
        change = {"chat": self.chat.learner.chat(), "from": self._user(), "date": int(time.time())}
        self.bot.updates.push("my_chat_member", change | {"old_chat_member": old, "new_chat_member": new})
        self.bot.changed(self.chat)

    def _send(self, content: Json) -> Message:
        self.set_blocked(False)
        self.chat.started = True
        message = self.bot.add(self.chat, False, content)
        self.bot.updates.push("message", message.body)
        return message

    def _message(self, message_id: int) -> Message:
        message = self.chat.messages.get(message_id)
        if message is None:
            raise bad_request(f"there is no message {message_id} in the chat")
        return message

    def _user(self) -> Json:
        return self.chat.learner.user()


def transcript(bot: Bot, chat: Chat) -> Json:
    """Return everything the learner sees, oldest first."""
    return {
        "version": chat.changes.version,
        "bot": {"id": bot.id, "username": bot.username, "title": bot.title},
        "learner": chat.learner.user(),
        "blocked": chat.blocked,
        "action": chat.action,
        "commands": commands_for(bot, chat.learner),
        "messages": [_shown(message) for message in chat.messages.values()],
        "notices": [
            {"id": notice.id, "message_id": notice.message_id, "data": notice.data, "text": notice.text,
             "show_alert": notice.show_alert}
            for notice in chat.notices
        ],
    }  # fmt: skip


def commands_for(bot: Bot, learner: Learner) -> list[Json]:
    """Return the menu a learner sees: the narrowest scope and their language first."""
    own = (learner.language_code or "").partition("-")[0]
    menus = (
        bot.commands.get(f"{scope}:{language}")
        for scope in (f"chat {learner.id}", "all_private_chats", "default")
        for language in (own, "")
    )
    return next((menu for menu in menus if menu), [])


def _shown(message: Message) -> Json:
    shown = {"by_bot": message.by_bot, "edited": message.edited, "message": message.body}
    if message.earlier:
        shown |= {"earlier": message.earlier}
    if message.poll:
        shown |= {"vote": message.poll.vote}
    if message.media:
        media = message.media
        shown |= {"media": {"kind": media.kind, "file_id": media.file_id, "url": media.url, "name": media.name}}
    return shown


def _check_vote(poll: Poll, option_ids: list[int]) -> None:
    if poll.is_closed:
        raise bad_request("the poll is closed")
    if poll.vote is not None and not poll.allows_revoting:
        raise bad_request("the vote in this poll can't be changed")
    if any(not 0 <= option < len(poll.options) for option in option_ids):
        raise bad_request(f"the poll has no option {option_ids!r}")
    if len(set(option_ids)) > 1 and not poll.allows_multiple_answers:
        raise bad_request("the poll takes one answer")
    if not option_ids and poll.vote is None:
        raise bad_request("there is no vote to take back")
