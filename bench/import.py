"""Memory and CPU time of ``import aiogram``, plain and lean, each in fresh processes: ``python bench/import.py``.

Prints medians of five runs and the ratio lean : plain. "working" is after a batch of updates, a message with buttons
and its answer.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 5
MESSAGE = {"message_id": 1, "date": 1, "chat": {"id": 1, "type": "private"}, "text": "a"}
UPDATES = [{"update_id": 1, "message": MESSAGE}]


def main() -> None:
    """Run both ways alternately, so that a busy machine disturbs both."""
    runs = [{way: measure(way) for way in ("plain", "lean")} for _ in range(RUNS)]
    print(f"{'':24}{'plain':>10}{'lean':>10}{'ratio':>8}")
    for figure in runs[0]["plain"]:
        plain, lean = (statistics.median(run[way][figure] for run in runs) for way in ("plain", "lean"))
        print(f"{figure:24}{plain:>10.2f}{lean:>10.2f}{lean / plain:>8.2f}")


def measure(way: str) -> dict[str, float]:
    """Return the figures of one fresh process."""
    answer = subprocess.run([sys.executable, __file__, way], stdout=subprocess.PIPE, check=True)
    return json.loads(answer.stdout)


def child(way: str) -> None:
    """Import aiogram one way, use it, and print the figures as JSON."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    if way == "lean":
        from app.telegram.lean import import_aiogram

        import_aiogram()
    import aiogram

    figures = {"imported, RSS MiB": resident(), "imported, CPU s": time.process_time()}
    work(aiogram.Bot("1:token"))
    print(json.dumps(figures | {"working, RSS MiB": resident(), "working, CPU s": time.process_time()}))


def work(bot: object) -> None:
    """Build what a polling bot builds."""
    from aiogram.methods import GetUpdates, SendMessage
    from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

    keyboard = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="a", callback_data="a")]])
    send = SendMessage(chat_id=1, text="a", reply_markup=keyboard)
    bot.session.prepare_value(send.reply_markup, bot=bot, files={})
    for method, result in ((GetUpdates(), UPDATES), (send, MESSAGE)):
        bot.session.check_response(bot, method, 200, json.dumps({"ok": True, "result": result}))


def resident() -> float:
    """Return the resident memory of this process in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    child(sys.argv[1]) if sys.argv[1:] else main()
