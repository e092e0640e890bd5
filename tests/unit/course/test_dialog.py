"""Dialogs, from text to value."""

from dataclasses import replace

import pytest

from app.course.element import Dialog, Line, ParseMode, Speech
from app.course.grammar import element_of
from app.course.loader import load_course

TALK = Dialog("x", {}, text="hi", prompt="p")
SPOKEN = replace(TALK, speech=Speech())


def load(fields: str) -> tuple[Dialog, list[str]]:
    """Load a dialog with these fields; its problems as ``SEVERITY: WHERE: TEXT``."""
    course, problems = load_course(f"x: {{type: dialog, text: hi, {fields}}}", "scripts/a.yml")
    element = course.elements["x"]
    assert isinstance(element, Dialog)
    return replace(element, body={}), [str(replace(problem, file=problem.severity, line=0)) for problem in problems]


LOADED = [
    ("prompt: p", TALK),
    ("prompt: p, model: ' gpt-4 '", replace(TALK, model="gpt-4")),
    ("prompt: p, temperature: 0", replace(TALK, temperature=0.0)),
    ("prompt: p, temperature: 0.0", replace(TALK, temperature=0.0)),
    ("prompt: p, temperature: '0.7'", replace(TALK, temperature=0.7)),
    ("prompt: p, reasoning: low", replace(TALK, reasoning="low")),
    ("prompt: p, reasoning: High", replace(TALK, reasoning="high")),
    ("prompt: p, reasoning_effort: medium", replace(TALK, reasoning="medium")),
    ("prompt: p, auto_start: yes", replace(TALK, auto_start=True)),
    ("prompt: p, auto_start: 'true'", replace(TALK, auto_start=True)),
    ("prompt: p, auto_start: '1'", replace(TALK, auto_start=True)),
    ("prompt: p, auto_start: 'false', voice_response: 'no'", TALK),
    ("prompt: p, voice_response: yes", SPOKEN),
    ("prompt: p, voice_response: 'True'", SPOKEN),
    ("prompt: p, voice_response: no, tts_voice: nova, tts_speed: 2", TALK),
    ("prompt: p, voice_response: yes, tts_voice: abc", replace(TALK, speech=Speech("abc"))),
    ("prompt: p, voice_response: yes, tts_model: tts-1", SPOKEN),
    ("prompt: p, voice_response: yes, tts_model: tts-1-hd", SPOKEN),
    ("prompt: p, voice_response: yes, tts_model: eleven_v3", replace(TALK, speech=Speech(None, "eleven_v3"))),
    ("prompt: p, voice_response: yes, tts_speed: 0.8", replace(TALK, speech=Speech(speed=0.8))),
    ("prompt: p, voice_response: yes, tts_speed: '1.2'", replace(TALK, speech=Speech(speed=1.2))),
    ("prompt: p, transcription_language: EL", replace(TALK, language="el")),
    ("prompt: p, transcription_language: no", replace(TALK, language="no")),
    ("prompt: p, button: ' Enough '", replace(TALK, button="Enough")),
    ("prompt: p, button: ''", TALK),
    ("prompt: p, max_messages: 150", replace(TALK, max_messages=150)),
    ("prompt: p, max_messages: '20'", replace(TALK, max_messages=20)),
    ("prompt: p, parse_mode: Markdown", TALK),
    ("prompt: p, parse_mode: HTML", replace(TALK, parse_mode=ParseMode.HTML)),
    ("prompt: p, parse_mode: HTML!", replace(TALK, parse_mode=ParseMode.HTML, is_html=True)),
    ("prompt: p, link_preview: yes", replace(TALK, link_preview=True)),
    ("prompt: p, link_preview: no", TALK),
    ("prompt: p, conversation: []", TALK),
    (
        "conversation: [{role: system, content: s}, {role: user, content: 1}, {role: assistant, content: a}]",
        replace(TALK, prompt="", conversation=(Line("system", "s"), Line("user", "1"), Line("assistant", "a"))),
    ),
    (
        "prompt: , model: , temperature: , reasoning: , auto_start: , voice_response: , transcription_language: , "
        "tts_voice: , tts_model: , tts_speed: , button: , max_messages: , parse_mode: , link_preview: , "
        "conversation: {role: user, content: a}",
        replace(TALK, prompt="", conversation=(Line("user", "a"),)),
    ),
]


@pytest.mark.parametrize(("fields", "expected"), LOADED)
def test_loaded(fields: str, expected: Dialog) -> None:
    assert load(fields) == (expected, [])


@pytest.mark.parametrize(("fields", "expected"), LOADED)
def test_the_snapshot_is_read_back_as_the_same_element(fields: str, expected: Dialog) -> None:
    course, _ = load_course(f"x: {{type: dialog, text: hi, {fields}}}", "scripts/a.yml")
    element = element_of("x", course.elements["x"].body)
    assert isinstance(element, Dialog)
    assert replace(element, body={}) == expected


@pytest.mark.parametrize(
    ("name", "voice"),
    [
        ("Alloy", "21m00Tcm4TlvDq8ikWAM"),
        ("nova", "21m00Tcm4TlvDq8ikWAM"),
        ("echo", "EXAVITQu4vr4xnSDxMaL"),
        ("fable", "ErXwobaYiN019PkySvjV"),
        ("onyx", "pNInz6obpgDQGcFmaJgB"),
        ("shimmer", "TxGEqnHWrfWFTfGW9XjX"),
    ],
)
def test_voices_of_openai(name: str, voice: str) -> None:
    assert load(f"prompt: p, voice_response: yes, tts_voice: {name}") == (replace(TALK, speech=Speech(voice)), [])


PROBLEMS = [
    ("model: m", "error: x: 'prompt' is missing or empty; add 'prompt: ...'"),
    ("prompt: [a]", "error: x/prompt: must be a text, not a list; put the text in quotes or below a '|'"),
    ("prompt: p, temperature: warm", "warning: x/temperature: 'warm' is not a number and is not used; "
     "write for example 0.7"),
    ("prompt: p, temperature: .inf", "warning: x/temperature: '.inf' is not a number and is not used; "
     "write for example 0.7"),
    ("prompt: p, temperature: -1", "warning: x/temperature: -1 is not from 0 to 2, 0 is used"),
    ("prompt: p, temperature: 7", "warning: x/temperature: 7 is not from 0 to 2, 2 is used"),
    ("prompt: p, reasoning: hihg", "warning: x/reasoning: 'hihg' is not known, the model may refuse it; "
     "did you mean 'high'?"),
    ("prompt: p, reasoning: low, reasoning_effort: low", "warning: x/reasoning_effort: has no effect beside "
     "'reasoning'; remove one of them"),
    ("prompt: p, auto_start: [a]", "error: x/auto_start: must be yes or no, not a list"),
    ("prompt: p, auto_start: soon", "warning: x/auto_start: 'soon' is taken for yes; write yes or no"),
    ("prompt: p, tts_speed: 0", "warning: x/tts_speed: 0 is not a speed, 1 is used; write for example 0.9"),
    ("prompt: p, transcription_language: Greek", "warning: x/transcription_language: 'Greek' is not a code of a "
     "language and is not used; write for example 'ru'"),
    ("prompt: p, max_messages: 0", "warning: x/max_messages: 0 is not a whole number of at least 1 and is not used; "
     "write for example 20"),
    ("prompt: p, max_messages: 1.5", "warning: x/max_messages: 1.5 is not a whole number of at least 1 and is not "
     "used; write for example 20"),
    ("prompt: p, max_messages: many", "warning: x/max_messages: 'many' is not a number and is not used; "
     "write for example 20"),
    ("prompt: p, voice_respone: yes", "warning: x/voice_respone: unknown key; did you mean 'voice_response'?"),
    ("prompt: p, conversation: [{role: user, content: a}]", "warning: x/prompt: has no effect beside 'conversation'; "
     "write it as the line of role 'system' there"),
    ("conversation: [{role: bot, content: a}]", "warning: x/conversation/1/role: 'bot' is not known, 'user' is used; "
     "known: system, user, assistant"),
    ("conversation: [{content: a}]", "warning: x/conversation/1: 'role' is missing, 'user' is used; "
     "known: system, user, assistant"),
    ("prompt: p, conversation: [{role: user}]", "warning: x/conversation/1: has no 'content' and is skipped; "
     "write what is said"),
    ("prompt: p, conversation: [[]]", "error: x/conversation/1: must be a mapping with 'content', not a list"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "problem"), PROBLEMS)
def test_problems(fields: str, problem: str) -> None:
    assert load(fields)[1] == [problem]


def test_values_that_are_not_used() -> None:
    fields = "prompt: p, temperature: warm, tts_speed: -1, voice_response: yes, max_messages: -3, reasoning: hihg"
    assert load(fields)[0] == replace(SPOKEN, reasoning="hihg")


def test_a_dialog_without_a_text_is_an_error() -> None:
    _, problems = load_course("x: {type: dialog, prompt: p}", "scripts/a.yml")
    assert [str(problem) for problem in problems] == [
        "scripts/a.yml:1:1: x: 'text' is missing or empty; add 'text: ...'"
    ]
