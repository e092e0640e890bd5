"""What this bot can do beside its course: /tide, and a logbook that remembers who looked at the sea."""

from datetime import UTC, datetime

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message

from app.engine.event import Learner
from app.runtime.control import CourseControl, Facts

from .tides import height, next_high_water

router = Router()


@router.message(Command("tide"))
async def tide(message: Message, learner: Learner, course: CourseControl) -> None:
    """Tell the tide, in order with what the course sends."""
    now = datetime.now(UTC)
    text = f"🌊 {height(now):.1f} m at the landing. High water at {next_high_water(now):%H:%M} UTC."
    await course.send(learner.chat_id, text, buttons=[("Enter it in the logbook", "logbook")])


@router.callback_query(F.data == "logbook")
async def enter(query: CallbackQuery, learner: Learner, course: CourseControl, store: Facts) -> None:
    """Tag the learner, and say so where they pressed: a press must be answered."""
    await course.tag(learner.chat_id, "watches the tide")
    keepers = await store.tagged("watches the tide")
    await query.answer(f"Entered. Keepers who watch the tide: {len(keepers)}")
