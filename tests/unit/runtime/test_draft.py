"""What a learner may see of a reply while it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.course.element import ParseMode
from app.course.markup import parse
from app.runtime.draft import as_html, shown

MARKERS = ("{STOP}", "#end")


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("", ""),
        ("Hello", "Hello"),
        ("Hello {", "Hello"),
        ("Hello {STO", "Hello"),
        ("Hello {STOP}", "Hello"),
        ("Hello {STOP} and bye", "Hello  and bye"),
        ("Hello {STOOL}", "Hello {STOOL}"),
        ("Hello {name}", "Hello {name}"),
        ("Hello #en", "Hello"),
        ("Hello #enter", "Hello #enter"),
        ("Hello {STOP}{", "Hello"),
        ("{STOP}", ""),
    ],
)
def test_markers_are_never_shown(text: str, visible: str) -> None:
    assert shown(text, MARKERS) == visible


def test_without_markers_all_is_shown() -> None:
    assert shown(" Hello {STOP}", ("",)) == "Hello {STOP}"


@given(st.lists(st.sampled_from(["a ", "{", "STOP", "}", "#e", "nd", "{STOP}", "#end"])).map("".join))
def test_no_marker_is_ever_shown(text: str) -> None:
    for end in range(len(text) + 1):
        visible = shown(text[:end], MARKERS)
        assert not any(marker in visible for marker in MARKERS)


@given(st.text("a{STOP} "))
def test_nothing_else_is_held_back_in_the_end(text: str) -> None:
    assert shown(text + ".", ("#end",)) == (text + ".").strip()


@pytest.mark.parametrize(
    ("text", "is_html", "html"),
    [
        ("", False, ""),
        ("**Hello** wor", False, "<b>Hello</b> wor"),
        ("**Hel", False, "**Hel"),
        ("2 < 3", False, "2 &lt; 3"),
        ("<b>Hello</b> <i>wor", True, "Hello wor"),
        ("Hello <a href='htt", True, "Hello"),
        ("2 &lt; 3 &amp; 4 < 5", True, "2 &lt; 3 &amp; 4 &lt; 5"),
    ],
)
def test_the_beginning_of_a_reply_looks_as_its_end_will(text: str, is_html: bool, html: str) -> None:
    assert as_html(text, is_html=is_html) == html


@given(st.text("<>/ab&;*_`#\n {}"), st.booleans())
def test_telegram_can_always_read_it(text: str, is_html: bool) -> None:
    parse(as_html(shown(text, MARKERS), is_html=is_html), ParseMode.HTML)
