"""What a learner may see of a reply while it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.draft import shown

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
