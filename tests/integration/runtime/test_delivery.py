"""What happens to updates and messages when Telegram, the database or the process fails."""

from __future__ import annotations

import pytest

from tests.stage import Stage, said

HELLO = """
    A: {type: message, text: first}
    B: {type: message, text: second}
    C: {type: message, text: third, button: On}
    D: {type: message, text: fourth, button: On}
    E: {type: end, text: bye}
"""


async def texts(stage: Stage, bot: str = "bot", learner_id: int = 7) -> list[str]:
    return [message.text for message in (await stage.learner(bot, learner_id).transcript()).by_bot]


async def test_a_seen_update_has_no_second_effect(stage: Stage) -> None:
    stage.course(HELLO)
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    first = await learner.wait_for(said("third"))
    press = await learner.press(first.by_bot[-1])
    await learner.wait_for(said("fourth"))
    bot = stage.bot().token
    await stage.client.repeat(bot, 2)
    await learner.send("what?")
    await learner.wait_for(said("buttons above"))
    assert await texts(stage) == [
        "first",
        "second",
        "third",
        "fourth",
        "Please press one of the buttons above, then we will go on.",
    ]
    assert (await learner.wait_notice(press)).text == ""


async def test_an_update_that_comes_twice_in_one_batch_counts_once(stage: Stage) -> None:
    stage.course("A: {type: input, text: first}\nB: {type: input, text: second}\nC: {type: end, text: bye}\n")
    host = stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("first"))
    await stage.stop(host)
    await learner.send("hello")
    await stage.client.repeat(stage.bot().token)
    stage.start()
    await learner.wait_for(said("second"))
    await stage.client.wait_idle(stage.bot().token)
    assert await texts(stage) == ["first", "second"]
    answers = "SELECT element_id, report FROM conversation WHERE role = 'user'"
    assert stage.query(answers) == [("A", "hello")]


async def test_order_within_a_chat_is_kept_when_sends_fail(stage: Stage) -> None:
    stage.course(HELLO)
    await stage.client.add_fault("500", method="sendMessage", times=2)
    await stage.client.add_fault("429", method="sendMessage", times=1, retry_after=1)
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("third"))
    assert await texts(stage) == ["first", "second", "third"]


async def test_a_request_without_an_answer_is_sent_again(stage: Stage) -> None:
    stage.course(HELLO)
    await stage.client.add_fault("drop_after", method="sendMessage", times=1)
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("third"))
    assert await texts(stage) == ["first", "first", "second", "third"]


async def test_markup_that_telegram_refuses_is_sent_as_plain_text(stage: Stage) -> None:
    stage.course("A: {type: message, text: 'a _b', button: On}\nB: {type: end, text: bye}\n")
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    message = await learner.wait_message()
    assert (message.text, [button.text for button in message.buttons]) == ("a _b", ["On"])


async def test_d10_a_refused_message_is_kept_and_its_buttons_come_with_an_apology(stage: Stage) -> None:
    stage.course(HELLO)
    stage.start()
    learner = stage.learner()
    await stage.client.add_fault("400", method="sendMessage", times=1, chat_id=8)
    await stage.client.add_fault("400", method="sendMessage", times=1, description="no way")
    await learner.send("/start")
    await learner.wait_for(said("third"))
    assert (await texts(stage))[0].startswith("Sorry, a message could not be shown")
    assert stage.query("SELECT params ->> 'text', error FROM outbox WHERE failed_at IS NOT NULL") == [
        ("first", "Bad Request: no way")
    ]


async def test_a_blocked_chat_is_marked_and_its_queue_dropped_until_the_learner_returns(stage: Stage) -> None:
    stage.course(HELLO)
    stage.start()
    learner = stage.learner()
    await stage.client.add_fault("403", method="sendMessage", times=1)
    await learner.send("/start")
    other = stage.learner(learner_id=8)
    await other.send("/start")
    await other.wait_for(said("third"))
    await learner.send("hello again")
    await learner.wait_for(said("buttons above"))
    assert await texts(stage) == ["Please press one of the buttons above, then we will go on."]
    assert stage.query("SELECT chat_id, is_blocked FROM chat ORDER BY chat_id") == [
        (7, False),
        (8, False),
    ]


async def test_what_was_committed_is_sent_by_the_next_start(stage: Stage) -> None:
    stage.course(HELLO)
    process = await stage.spawn()
    learner = stage.learner()
    await stage.client.add_fault("500", method="sendMessage", times=1000)
    await learner.send("/start")
    await stage.client.wait_idle(stage.bot().token)
    process.kill()
    await process.wait()
    assert await texts(stage) == []
    await stage.client.clear_faults()
    stage.start()
    await learner.wait_for(said("third"))
    assert await texts(stage) == ["first", "second", "third"]


async def test_a_stop_sends_what_is_committed(stage: Stage) -> None:
    stage.course(HELLO)
    host = stage.start()
    learner = stage.learner()
    await stage.client.add_fault("500", method="sendMessage", times=2)
    await learner.send("/start")
    await stage.client.wait_idle(stage.bot().token)
    await stage.stop(host)
    assert await texts(stage) == ["first", "second", "third"]
    assert stage.query("SELECT count(*) FROM outbox") == [(0,)]


async def test_a_poison_update_is_set_aside_and_the_others_go_on(stage: Stage) -> None:
    stage.course(HELLO)
    learner, other = stage.learner(), stage.learner(learner_id=8)
    stage.query("""INSERT INTO chat (botname, chat_id, state) VALUES ('bot', 7, '{"v": 99}')""")
    await learner.send("/start")
    await other.send("/start")
    stage.start()
    await other.wait_for(said("third"))
    await learner.wait_for(said("something went wrong"))
    assert stage.query("SELECT chat_id, raw -> 'message' ->> 'text' FROM dead_update") == [(7, "/start")]
    assert stage.query("SELECT state FROM chat WHERE chat_id = 7") == [({"v": 99},)]
    [error] = stage.query("SELECT error FROM dead_update")
    assert "version 99 is not known" in str(error)


@pytest.mark.parametrize(
    "update",
    [
        {"edited_message": {"message_id": 1, "text": "x"}},
        {"message": None},
        {"something_of_2030": [1, {"deep": None}]},
        {"message": {"message_id": 1, "from": {"id": 7}, "chat": {"id": 7, "type": "private"}, "text": None}},
        {
            "message": {
                "message_id": 1,
                "from": {"id": 7},
                "chat": {"id": 7, "type": "private"},
                "text": "x" * 10_000_000,
            }
        },
        {"message": {"message_id": 1, "from": {"id": 7}, "chat": {"id": 7, "type": "private"}, "text": "\x00\ud83d"}},
        {"poll_answer": {"poll_id": "nobody knows it", "user": {"id": 7, "first_name": "A"}, "option_ids": [99]}},
        {"callback_query": {"id": "1", "from": {"id": 7, "first_name": "A"}, "data": "\x00" * 64}},
    ],
)
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # of the test's own client
async def test_strange_updates_are_confirmed_and_do_no_harm(stage: Stage, update: dict[str, object]) -> None:
    stage.course(HELLO)
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("third"))
    await stage.client.inject(stage.bot().token, update)
    await stage.client.wait_idle(stage.bot().token)
    assert stage.query("SELECT count(*) FROM dead_update") == [(0,)]
    chat = await learner.transcript()
    await learner.press(next(message for message in chat.by_bot if message.buttons))
    await learner.wait_for(said("fourth"))
