"""Inputs that are nearly right: damaged examples of the project, and fragments that have broken programs before."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]

COURSES = tuple(
    path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("scripts/*/*.yml")) if path.name != "courses.yml"
)
LISTS = tuple(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("scripts/*/courses.yml")))
CONFIG = (ROOT / "bots_config.yaml").read_text(encoding="utf-8")

EVERYTHING = """
Hello_1: {type: message, text: "*Hi*", media: ["https://example.org/a.jpg"]}
Hello_2: {type: message, text: Ready?, options: [{text: on}, {text: sea, goto: Sea_1}, {text: later, wait: 1d}]}
Sea_1: {type: quiz, text: Salty?, answers: [{text: sea, correct: yes, feedback: Right}, {text: pond}]}
Sea_2: {type: input, text: How many?, correct_answer: "5", feedback_correct: yes, feedback_incorrect: no}
Sea_3: {type: multi_choice, text: Ships?, answers: [{text: brig, correct: yes}, {text: frog}]}
Sea_4: {type: question, text: Liked it?, answers: [{text: "yes"}, {text: "no"}]}
Sea_5: {type: test, text: Score, prefix: Sea_, score: {50: half, 100: all}, button: on}
Sea_6: {type: revision, text: Again, prefix: Sea_, no_mistakes: None, button: on}
Talk_1: {type: dialog, text: Talk, prompt: "Be kind to {{Sea_2.answer}} {{Talk_1}}. {STOP}", button: Enough}
App_1: {type: miniapp, text: Play, button: Play, app_url: "https://example.org/app",
  question: {type: typein, text: "{a} and {b}"}, answer: {actual: "a: 1, b: 2"}}
Port_1: {type: jump, text: Where?, options: [{text: home, goto: Port_2}, {text: again, goto: Hello_2}]}
Wait_1: {type: delay, text: Soon, wait: 1h, goto: Port_2}
Port_2: {type: end, text: Bye}
"""
"""A course with an element of every type."""

FRAGMENTS = (
    "\x00", "\ud800", "\udfff", "\x85", "\u2028", "\ufeff", "\u202e", "\U0010ffff", "😀", "é" * 40, "{{Sea_2}}",
    "{{", "}}", "{STOP}", "{ST{STOP}OP}", "<b>", "</b>", "<a href='javascript:x'>", "&#0;", "&#xd800;",
    "&#x110000;", "[a](b", "```", "*", "_", "`", "![", "<!--", "-->", "../", "/etc/passwd", "%2e%2e%2f",
    "file:///etc/passwd", "http://127.0.0.1/", "http://[", "~", "&a ", "*a", "<<: *a", "!!binary aGk=",
    "!!python/object:os.system x", "!!set {a}", "!!timestamp 2001-99-99", "2001-01-01", "0x" + "f" * 5000,
    "1" * 5000, "1:1:1", "1e400", ".inf", ".nan", "-0", "0o7", "yes", "null", "~", "? ", "- ", "[", "{", "'",
    '"', "|", ">", "%YAML 9.9\n", "---\n", "...\n", "\t", "\r", "\n", "type: ", "text: ", "wait: 999999d",
    "max_messages: 1e308", "goto: ", "path: ", "db", "__utmsII", "II", "c:1:1:0", "m:" + "0" * 32, "goto_Sea_1",
    "wait_1d", "got_it", ":" * 30, "9" * 18, "${A}", "${", "user=%5B", "hash=",
)  # fmt: skip


def mutated(*seeds: str) -> st.SearchStrategy[str]:
    """Return one of the seeds with up to four stretches replaced: by nothing, a fragment, or a piece of itself."""
    return st.sampled_from(seeds).flatmap(
        lambda seed: st.lists(_cuts(seed), max_size=4).map(lambda cuts: _cut(seed, cuts))
    )


def _cuts(seed: str) -> st.SearchStrategy[tuple[int, int, str]]:
    pieces = st.tuples(st.integers(0, len(seed)), st.integers(0, 80)).map(lambda at: seed[at[0] : at[0] + at[1]])
    return st.tuples(st.integers(0, len(seed)), st.integers(0, 40), st.sampled_from(FRAGMENTS) | st.just("") | pieces)


def _cut(seed: str, cuts: list[tuple[int, int, str]]) -> str:
    for begin, length, instead in cuts:
        seed = seed[:begin] + instead + seed[begin + length :]
    return seed


_PIECES = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=20), max_size=8)


@st.composite
def _hostile_texts(draw: st.DrawFn) -> str:
    return "".join(draw(_PIECES))


HOSTILE_TEXT = _hostile_texts()
"""Texts as learners, models and pages may send them: any characters, halves of surrogate pairs included."""
