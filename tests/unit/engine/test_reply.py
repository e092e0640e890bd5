"""Models' Markdown as Telegram shows it, and as it is spoken."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.course.element import ParseMode
from app.course.markup import parse
from app.engine.reply import LONGEST, spoken, to_html

HTML = ParseMode.HTML


@pytest.mark.parametrize(
    ("reply", "html"),
    [
        ("Hi", "Hi"),
        ("**bold** *italic* _italic_", "<b>bold</b> <i>italic</i> <i>italic</i>"),
        ("~~gone~~ `code`", "<s>gone</s> <code>code</code>"),
        ("***both***", "<i><b>both</b></i>"),
        ("one\ntwo\n\nthree", "one\ntwo\n\nthree"),
        ("# Title\ntext", "<b>Title</b>\n\ntext"),
        ("- a\n- b", "• a\n• b"),
        ("* a\n  1. b\n  2. c\n* d", "• a\n   1. b\n   2. c\n• d"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("> a\n> > b", "<blockquote>a\n\nb</blockquote>"),
        ("```py\na < b_c_d\n```", '<pre><code class="language-py">a &lt; b_c_d</code></pre>'),
        ("```\na\n```", "<pre>a</pre>"),
        ("[text](https://a.org/?a=1&b=2)", '<a href="https://a.org/?a=1&amp;b=2">text</a>'),
        ("![alt](https://a.org/b.png)", '<a href="https://a.org/b.png">alt</a>'),
        ("![](https://a.org/b.png)", '<a href="https://a.org/b.png">https://a.org/b.png</a>'),
        ("a\n\n---\n\nb", "a\n\n———\n\nb"),
        ("a\n---", "a\n\n———"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("<b>a</b> & 1 < 2", "&lt;b&gt;a&lt;/b&gt; &amp; 1 &lt; 2"),
        ("[1]: https://a.org", "[1]: https://a.org"),
        ("[a](javascript:x)", "[a](javascript:x)"),
        ("a \\* b", "a * b"),
        ("#", "#"),
        ("    indented", "indented"),
    ],
)  # fmt: skip
def test_markdown_becomes_html(reply: str, html: str) -> None:
    assert to_html(reply) == html


def test_a_reply_that_takes_too_long_to_read_stays_as_it_was_written() -> None:
    reply = "**bold** & " + "![" * LONGEST
    assert to_html(reply) == reply.replace("&", "&amp;")


@pytest.mark.parametrize(
    ("reply", "html"),
    [
        ("snake_case_name", "snake_case_name"),
        ("https://a.org/_x_/y_z_1", "https://a.org/_x_/y_z_1"),
        ("(see https://a.org/_x_)", "(see https://a.org/_x_)"),
        ("**https://a.org/x_y_z**", "<b>https://a.org/x_y_z</b>"),
        ("[a_b_c](https://a.org/d_e_f)", '<a href="https://a.org/d_e_f">a_b_c</a>'),
        ("`a_b_c`", "<code>a_b_c</code>"),
        ("2 * 3 * 4 and **open", "2 * 3 * 4 and **open"),
        ("**bold** and _open", "<b>bold</b> and _open"),
    ],
)
def test_d23_replies_are_not_mangled(reply: str, html: str) -> None:
    assert to_html(reply) == html


MARKS = st.sampled_from(
    ["*", "**", "_", "`", "```", "~~", "[", "](", ")", "> ", "- ", "1. ", "# ", "\n", "\n\n", "<b>", "&lt;", "http://a.b",
     "слово", " ", "|", "\\", "![", "---", "\t", "&#xD800;"]
)  # fmt: skip


@given(st.text() | st.lists(MARKS, max_size=30).map("".join))
@example("\x00")
@example("> " * 200 + "deep")
def test_telegram_accepts_whatever_a_model_writes(reply: str) -> None:
    html = to_html(reply)
    shown = parse(html, HTML).plain
    assert bool(shown.strip()) == bool(reply.strip())
    spoken(html, "el")


@given(st.lists(st.sampled_from(["word", "snake_case", "1 < 2", "a & b", "«да»"]), min_size=1).map(" ".join))
def test_plain_replies_stay_as_they_are(reply: str) -> None:
    assert parse(to_html(reply), HTML).plain == reply


@pytest.mark.parametrize(
    ("html", "language", "voice"),
    [
        ("<b>Hi</b>,\n\n  there", None, "Hi, there"),
        ("• one\n• two\n———\nthree", None, "one two three"),
        ("<code>x</code> &amp; y", "en", "x & y"),
        ("Say: <b>Καλημέρα, κόσμε!</b> It means hello. Γεια σου.", "el", "Καλημέρα, κόσμε! Γεια σου."),
        ("Only English", "el", "Only English"),
        ("1 < 2", None, "1 < 2"),
        ("———", None, "———"),
    ],
)
def test_spoken(html: str, language: str | None, voice: str) -> None:
    assert spoken(html, language) == voice
