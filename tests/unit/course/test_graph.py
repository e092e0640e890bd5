"""What nothing leads to, and what never comes to an end."""

from textwrap import dedent

import pytest

from app.course.course import Course
from app.course.graph import END, Edge, Mover, check_graph, graph_of
from app.course.interval import parse_interval
from app.course.loader import load_course
from app.course.report import Place


def course_of(text: str) -> Course:
    course, problems = load_course(dedent(text), "scripts/a.yml")
    assert [str(problem) for problem in problems if problem.severity == "error"] == []
    return course


def check(text: str, *starts: str) -> list[str]:
    course = course_of(text)
    problems = check_graph(course, starts, lambda element_id: Place(course.elements[element_id].line, 1))
    return [f"{problem.severity} {problem.line} {problem.where}: {problem.text}" for problem in problems]


def test_edges() -> None:
    graph = graph_of(
        course_of("""
            plain: {type: message, text: hi}
            button: {type: message, text: hi, button: go}
            menu:
              type: jump
              text: hi
              options: [{text: a, goto: plain}, {text: b, wait: 1d}, c, {text: d, goto: bye}]
            quiz: {type: quiz, text: hi, answers: [{text: a, correct: yes}, b]}
            talk: {type: dialog, text: hi, prompt: hi}
            later: {type: delay, wait: 1h, goto: plain}
            song: {type: audio, media: https://example.org/a.mp3}
            result: {type: test, text: hi, prefix: quiz, score: {100: a}}
            bye: {type: end}
            app: {type: miniapp, text: a, button: b, question: {text: q, options: [x, y]}}
            last: {type: input, text: hi}
        """)
    )
    assert graph.edges == {
        "plain": (Edge("button", Mover.COURSE),),
        "button": (Edge("menu", Mover.LEARNER),),
        "menu": tuple(Edge(target, Mover.LEARNER) for target in ("plain", "quiz", "quiz", "bye")),
        "quiz": (Edge("talk", Mover.LEARNER),),
        "talk": (Edge("later", Mover.LEARNER),),
        "later": (Edge("plain", Mover.TIMER, parse_interval("1h")),),
        "song": (Edge("result", Mover.COURSE),),
        "result": (Edge("bye", Mover.COURSE),),
        "bye": (Edge(END, Mover.COURSE),),
        "app": (Edge("last", Mover.LEARNER),),
        "last": (Edge(END, Mover.LEARNER),),
    }
    assert graph.reached(["song"]) == {"song", "result", "bye"}
    assert graph.leading_to(["result"]) == {"result", "song"}
    assert graph.to_end == {
        "plain": 4, "button": 3, "menu": 2, "quiz": 7, "talk": 6, "later": 5,
        "song": 3, "result": 2, "bye": 1, "app": 2, "last": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "a: {type: message, text: hi, button: go}",
        # A menu that learners come back to, with a way out.
        """
        menu: {type: jump, text: hi, options: [{text: a, goto: a}, {text: b, goto: bye}]}
        a: {type: jump, text: hi, options: [{text: back, goto: menu}]}
        bye: {type: end}
        """,
        # What stands behind an end is reached by a delay before it.
        """
        a: {type: delay, text: hi, wait: 1d, goto: tomorrow}
        tomorrow: {type: message, text: hi}
        end: {type: end}
        """,
        """
        a: {type: jump, text: hi, options: [{text: later, goto: wait}, {text: now, goto: bye}]}
        bye: {type: end}
        wait: {type: delay, wait: 1d, goto: again}
        again: {type: message, text: hi, button: go}
        """,
        # Sections are never shown.
        """
        a: {type: end}
        s: {type: section, title: hi}
        """,
        # A round that begins with a press is the learner's.
        """
        a: {type: jump, text: hi, options: [{text: remind me, goto: wait}, {text: enough, goto: bye}]}
        wait: {type: delay, wait: 1s, goto: a}
        bye: {type: end}
        """,
    ],
)
def test_nothing_to_say(text: str) -> None:
    assert check(text) == []


def test_stretches_that_nothing_leads_to() -> None:
    text = """\
        a: {type: end}
        b: {type: message, text: hi}
        c: {type: message, text: hi}
        d: {type: end}
        e: {type: message, text: hi}
        Ex2_1: {type: message, text: hi, button: go}
        Ex2_2: {type: end}
    """
    assert check(text) == [
        "warning 2 b: nothing leads here, nor to the 3 after it",
        "hint 6 Ex2_1: nothing leads here, nor to the one after it but the commands /next and /back",
    ]
    assert check(text, "b") == ["warning 5 e: nothing leads here", check(text)[1]]
    assert check(text, "Ex2_1", "e", "b", "unknown") == []


def test_circles_without_a_way_out() -> None:
    text = """\
        a: {type: message, text: hi, button: go}
        b: {type: jump, text: hi, options: [{text: x, goto: c}, {text: y, goto: d}]}
        c: {type: jump, text: hi, options: [{text: x, goto: b}]}
        d: {type: jump, text: hi, options: [{text: x, goto: d}]}
        e: {type: end}
    """
    assert check(text) == [
        "warning 5 e: nothing leads here",
        "warning 2 b: the course never ends from here: 'b' -> 'c' -> 'b'",
    ]


def test_circles_that_do_not_touch_are_named_each() -> None:
    text = """\
        a: {type: jump, text: hi, options: [{text: x, goto: b}, {text: y, goto: c}, {text: z, goto: e}]}
        b: {type: jump, text: hi, options: [{text: x, goto: b}]}
        c: {type: message, text: hi, button: go}
        d: {type: jump, text: hi, options: [{text: x, goto: c}]}
        e: {type: end}
    """
    assert check(text) == [
        "warning 2 b: the course never ends from here: 'b' -> 'b'",
        "warning 3 c: the course never ends from here: 'c' -> 'd' -> 'c'",
    ]


def test_a_long_circle_is_shown_short() -> None:
    messages = "".join(f"e{number}: {{type: message, text: hi, button: go}}\n" for number in range(9))
    (problem,) = check(messages + "last: {type: jump, text: hi, options: [{text: x, goto: e0}]}")
    assert problem.endswith("'e0' -> 'e1' -> 'e2' -> 'e3' -> 'e4' -> ... -> 'last' -> 'e0'")


def test_a_round_without_the_learner() -> None:
    text = """\
        a: {type: message, text: hi}
        b: {type: message, text: hi}
        c: {type: delay, wait: 1d12h, goto: b}
    """
    assert check(text) == ["warning 2 b: goes round for ever without the learner, every 1d12h: 'b' -> 'c' -> 'b'"]


@pytest.mark.parametrize(("wait", "said"), [("0s", "0s"), ("9s", "9s")])
def test_a_round_that_floods_is_an_error(wait: str, said: str) -> None:
    text = f"a: {{type: message, text: hi}}\nb: {{type: delay, wait: {wait}, goto: a}}\n"
    assert [str(problem) for problem in load_course(text, "a.yml")[1]] == [
        f"a.yml:1:1: a: goes round for ever without the learner, every {said}: 'a' -> 'b' -> 'a'; "
        "lead the 'goto' out of the circle, or give one of its elements a button"
    ]


def test_large_courses_take_no_time() -> None:
    """Ten thousand elements, each reached, trapped or alone: quadratic work would end at the time limit."""
    trapped = "".join(f"a{n}: {{type: jump, text: hi, options: [{{text: x, goto: a{n + 1}}}]}}\n" for n in range(5000))
    alone = "".join(f"M{n}_1: {{type: message, text: hi}}\nM{n}_2: {{type: end}}\n" for n in range(2500))
    problems = check(trapped + "a5000: {type: jump, text: hi, options: [{text: x, goto: a0}]}\n" + alone)
    assert len(problems) == 2501
