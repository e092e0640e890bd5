"""A learner goes through a course: poller, turn, store, outbox and sandbox together."""

from __future__ import annotations

import psycopg

from tests.stage import Stage, play, said

COURSE = """
    Intro_1:
      type: message
      text: "*Welcome* aboard"
    Intro_2:
      type: message
      text: Ready?
      button: "Go!"
    Sea_1:
      type: quiz
      text: What is salty?
      answers:
        - text: the sea
          correct: yes
          feedback: Right you are
        - text: a pond
          feedback: Not really
    Sea_2:
      type: input
      text: How many oceans are there?
      correct_answer: "5"
      feedback_correct: Five it is
      feedback_incorrect: Five
    Sea_3:
      type: multi_choice
      text: Which are ships?
      answers:
        - {text: brig, correct: yes}
        - {text: frog}
      feedback_correct: All right
      feedback_partial: Partly
      feedback_incorrect: None
    Sea_4:
      type: question
      text: Did you like it?
      answers: [{text: "yes", feedback: Thank you}, {text: "no"}]
    Port_1:
      type: jump
      text: Where to?
      options:
        - {text: Home, goto: Port_2}
        - {text: On}
    Lost_1: {type: message, text: never seen}
    Port_2:
      type: end
      text: Goodbye
"""
ANSWERS = {"oceans": "5"}


async def test_a_learner_finishes_a_course(stage: Stage) -> None:
    stage.course(COURSE)
    stage.start()
    learner = stage.learner()
    await learner.send("/start spring__utmsIItg")
    assert "link" in (await learner.wait_message()).text
    await learner.send("/start utmsIItg__utmcIImay")
    chat = await play(learner, said("Goodbye"), ANSWERS)
    assert [message.text or (message.poll and message.poll.question) for message in chat.by_bot][1:] == [
        "Welcome aboard",
        "Ready?",
        "What is salty?",
        "Right you are",
        "How many oceans are there?",
        "Five it is",
        "Which are ships?",
        "✅ brig",
        "All right",
        "Did you like it?",
        "Thank you",
        "Where to?",
        "Goodbye",
    ]
    assert not any(message.buttons for message in chat.by_bot)
    assert all(notice.text == "" for notice in chat.notices)
    assert stage.query("SELECT botname, chat_id, username, course_id, utm_source, utm_campaign, is_ended FROM run") == [
        ("bot", 7, "learner7", "default", "tg", "may", True)
    ]
    assert stage.query(
        "SELECT element_id, role, report, score, maxscore FROM conversation ORDER BY conversation_id",
    ) == [
        ("Intro_1", "bot", "*Welcome* aboard", None, None),
        ("Intro_2", "bot", "Ready?", None, None),
        ("Intro_2", "user", "Go!", None, None),
        ("Sea_1", "bot", "What is salty?", None, None),
        ("Sea_1", "user", "the sea", None, None),
        ("Sea_1", "bot", "Right you are", 1.0, 1.0),
        ("Sea_2", "bot", "How many oceans are there?", None, None),
        ("Sea_2", "user", "5", None, None),
        ("Sea_2", "bot", "Five it is", 1.0, 1.0),
        ("Sea_3", "bot", "Which are ships?", None, None),
        ("Sea_3", "user", "brig", None, None),
        ("Sea_3", "bot", "✅ brig", None, None),
        ("Sea_3", "bot", "All right", 1.0, 1.0),
        ("Sea_4", "bot", "Did you like it?", None, None),
        ("Sea_4", "user", "yes", None, None),
        ("Sea_4", "bot", "Thank you", None, None),
        ("Port_1", "bot", "Where to?", None, None),
        ("Port_1", "user", "Home", None, None),
        ("Port_2", "bot", "Goodbye", None, None),
    ]


async def test_points_of_all_kinds_go_into_one_turn(stage: Stage, database_url: str) -> None:
    """A test without anything to count has whole points, an answer has half ones; both are rows of one statement."""
    stage.course("""
        Ask: {type: input, text: One?, correct_answer: "1"}
        Result: {type: test, text: "{score} of {maxscore}", prefix: Other_, score: {100: fine}}
        Other_1: {type: quiz, text: Two?, answers: [{text: A, correct: yes}, {text: B}]}
    """)
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("One?"))
    await learner.send("1")
    await learner.wait_for(lambda chat: chat.last is not None and chat.last.poll is not None)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT score, maxscore FROM conversation WHERE score IS NOT NULL").fetchall()
        assert connection.execute("SELECT count(*) FROM dead_update").fetchone() == (0,)
    assert rows == [(1.0, 1.0), (0.0, 0.0)]
