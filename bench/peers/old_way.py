"""A course step the way of the old program (course-format.md, sections 0.3, 3.1, 6, 7 D44), on aiogram.

Each query opens a connection of its own, and each look-up reads and parses the course files. What it does for an
answer: newest row, score by the snapshot, newest run and the row of the answer, the row of the score, newest row again,
courses.yml and the course, newest run and the row of the next element.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import psycopg2
import yaml
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import CommandStart
from aiogram.types import Message

BOT = "bench"
SCRIPTS = Path(os.environ["SCRIPTS_FOLDER"])
FOLDER = os.environ["BOT_FOLDER"]

dispatcher = Dispatcher()


def query(sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    cursor = connection.cursor()
    cursor.execute(sql, parameters)
    rows = cursor.fetchall() if cursor.description else []
    connection.commit()
    cursor.close()
    connection.close()
    return rows


def load_course(course_id: str) -> dict[str, Any]:
    courses = yaml.safe_load((SCRIPTS / FOLDER / "courses.yml").read_text())
    return yaml.safe_load((SCRIPTS / FOLDER / courses[course_id]["path"]).read_text())


def newest_row(chat_id: int) -> tuple[Any, ...]:
    return query(
        "SELECT course_id, element_id, json FROM conversation WHERE chat_id = %s ORDER BY conversation_id DESC LIMIT 1",
        (chat_id,),
    )[0]


def newest_run(chat_id: int, course_id: str) -> int:
    return query(
        "SELECT run_id FROM run WHERE chat_id = %s AND course_id = %s ORDER BY run_id DESC LIMIT 1",
        (chat_id, course_id),
    )[0][0]


def write_row(message: Message, course_id: str, element_id: str, role: str, **columns: Any) -> None:
    query(
        "INSERT INTO conversation (chat_id, username, course_id, element_id, element_type, role, json, report, score,"
        " maxscore, run_id) VALUES (%s, %s, %s, %s, 'input', %s, %s, %s, %s, %s, %s)",
        (
            message.chat.id,
            message.chat.username,
            course_id,
            element_id,
            role,
            columns.get("json"),
            columns.get("report"),
            columns.get("score"),
            columns.get("maxscore"),
            newest_run(message.chat.id, course_id),
        ),
    )


async def send(message: Message, course_id: str, element_id: str, element: dict[str, Any]) -> None:
    await message.answer(element["text"], parse_mode="Markdown")
    snapshot = json.dumps({"element_data": element})
    write_row(message, course_id, element_id, "bot", json=snapshot, report=element["text"])


@dispatcher.message(CommandStart())
async def start(message: Message) -> None:
    query("INSERT INTO run (chat_id, botname, course_id) VALUES (%s, %s, 'default')", (message.chat.id, BOT))
    course = load_course("default")
    element_id = next(iter(course))
    await send(message, "default", element_id, course[element_id])


@dispatcher.message()
async def answer(message: Message) -> None:
    course_id, element_id, snapshot = newest_row(message.chat.id)
    element = json.loads(snapshot)["element_data"]
    is_right = message.text.strip().lower() == str(element["correct_answer"]).strip().lower()
    write_row(message, course_id, element_id, "user", json=snapshot, report=message.text)
    write_row(message, course_id, element_id, "bot", json=snapshot, score=float(is_right), maxscore=1.0)
    course_id, element_id, _ = newest_row(message.chat.id)
    course = load_course(course_id)
    ids = list(course)
    following = ids[ids.index(element_id) + 1]
    await send(message, course_id, following, course[following])


async def main() -> None:
    session = AiohttpSession(api=TelegramAPIServer.from_base(os.environ["TELEGRAM_API_URL"]))
    await dispatcher.start_polling(Bot(os.environ["BOT_API_TOKEN"], session=session))


asyncio.run(main())
