"""Telegram's markup: TDLib's own cases (test/message_entities.cpp), and what splitting must keep."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.course.element import ParseMode
from app.course.markup import Entity, MarkupError, Parsed, checked_link, parse, split, utf16_length

MARKDOWN, HTML = ParseMode.MARKDOWN, ParseMode.HTML
RINGS = "🏟 🏟"


def bold(offset: int, length: int) -> Entity:
    return Entity("bold", offset, length)


def italic(offset: int, length: int) -> Entity:
    return Entity("italic", offset, length)


def link(offset: int, length: int, url: str) -> Entity:
    return Entity("text_link", offset, length, url=url)


MARKDOWN_TEXTS = [
    ("", Parsed("")),
    ("*b* _i_ `c`", Parsed("b i c", (bold(0, 1), italic(2, 1), Entity("code", 4, 1)))),
    ("🏟*🏟*", Parsed("🏟🏟", (bold(2, 2),))),
    (r"\* \_ \` \[ \x \\", Parsed(r"* _ ` [ \x \\")),
    (r"*a\*", Parsed("a\\", (bold(0, 2),))),
    ("*a_b*", Parsed("a_b", (bold(0, 3),))),
    ("**", Parsed("")),
    ("[site](http://a.io/x)", Parsed("site", (link(0, 4, "http://a.io/x"),))),
    ("[site](a.io)", Parsed("site", (link(0, 4, "http://a.io/"),))),
    ("[a.io]", Parsed("a.io", (link(0, 4, "http://a.io/"),))),
    ("[no link](nowhere)", Parsed("no link")),
    ("[open](http://a.io", Parsed("open", (link(0, 4, "http://a.io/"),))),
    ("[Ann](tg://user?id=7)", Parsed("Ann", (link(0, 3, "tg://user?id=7"),))),
    ("[a]*b*", Parsed("ab", (bold(1, 1),))),
    ("```\nx = 1\n```", Parsed("x = 1\n", (Entity("pre", 0, 6),))),
    ("```py\nx = `1`\n```", Parsed("x = `1`\n", (Entity("pre", 0, 8, language="py"),))),
    ("```py```", Parsed("py", (Entity("pre", 0, 2),))),
    ("a ] ) b", Parsed("a ] ) b")),
    ("<b>&lt;", Parsed("<b>&lt;")),
]
MARKDOWN_ERRORS = [
    ("*a", 0),
    ("a *b", 2),
    ("🏟 _a", 5),
    ("snake_case", 5),
    ("*a* [b", 4),
    ("`a", 0),
    ("```a`", 0),
    ("Привет *мир", 13),
]
HTML_TEXTS = [
    ("&ge;&lt;&gt;&amp;&quot;&laquo;&raquo;&#12345678;", Parsed('&ge;<>&"&laquo;&raquo;&#12345678;')),
    ("&#65;&#x1F3DF;&#X41", Parsed("A🏟A")),
    ("AT&T & co;", Parsed("AT&T & co;")),
    ("a < ", None),
    (f"{RINGS}<i>🏟 &lt🏟</i>", Parsed(f"{RINGS}🏟 <🏟", (italic(5, 6),))),
    (
        f"{RINGS}<i>🏟 &gt;<b aba   =   caba>&lt🏟</b></i>",
        Parsed(f"{RINGS}🏟 ><🏟", (italic(5, 7), bold(9, 3))),
    ),
    ("<em>a</em><strong>b</strong>", Parsed("ab", (italic(0, 1), bold(1, 1)))),
    ("<u>a</u><ins>b</ins>", Parsed("ab", (Entity("underline", 0, 1), Entity("underline", 1, 1)))),
    (
        "<s>a</s><strike>b</strike><del>c</del>",
        Parsed("abc", tuple(Entity("strikethrough", offset, 1) for offset in range(3))),
    ),
    (
        '<span class = "tg-spoiler">a</span><tg-spoiler>b</tg-spoiler>',
        Parsed("ab", (Entity("spoiler", 0, 1), Entity("spoiler", 1, 1))),
    ),
    (
        '<tg-emoji emoji-id = "12345">👍</tg-emoji>',
        Parsed("👍", (Entity("custom_emoji", 0, 2, custom_emoji_id="12345"),)),
    ),
    ("<I>a</I>", Parsed("a", (italic(0, 1),))),
    ("&lt;<i    aba  =  190azAz-.   >a</i>", Parsed("<a", (italic(1, 1),))),
    ("<i aba=\"&lt;&gt;&quot;\" b='x'>a</>", Parsed("a", (italic(0, 1),))),
    ("<i></i>", Parsed("")),
    ("<a href=telegram.org>x</a>", Parsed("x", (link(0, 1, "http://telegram.org/"),))),
    ("<a   href=  'telegram.org?&lt;'   >x</a>", Parsed("x", (link(0, 1, "http://telegram.org/?<"),))),
    ("<a>telegram.org</a>", Parsed("telegram.org", (link(0, 12, "http://telegram.org/"),))),
    ("<a>telegram.org </a>", Parsed("telegram.org ")),
    ("<pre>a</pre> <code>b</code>", Parsed("a b", (Entity("pre", 0, 1), Entity("code", 2, 1)))),
    ("<pre><code>a</code></pre>", Parsed("a", (Entity("pre", 0, 1), Entity("code", 0, 1)))),
    ('<pre><code class="language-py">a</code></pre>', Parsed("a", (Entity("pre", 0, 1, language="py"),))),
    ('<code class="language-py"><pre>a</pre></code>', Parsed("a", (Entity("pre", 0, 1, language="py"),))),
    ('<pre> <code class="language-py">a</></>', Parsed(" a", (Entity("pre", 0, 2), Entity("code", 1, 1)))),
    (
        '<blockquote   cite="" askdlbas nasjdbaj>a&lt;<pre  >b;</></>',
        Parsed("a<b;", (Entity("blockquote", 0, 4), Entity("pre", 2, 2))),
    ),
    ("<blockquote   expandable   asd>a</>", Parsed("a", (Entity("expandable_blockquote", 0, 1),))),
    ("<blockquote   expandable=false>a</>", Parsed("a", (Entity("expandable_blockquote", 0, 1),))),
    (
        "<code><i><b> </b></i></code><i><b><code> </code></b></i>",
        Parsed("  ", (Entity("code", 0, 1), bold(0, 1), italic(0, 1), Entity("code", 1, 1), bold(1, 1), italic(1, 1))),
    ),
]
SURROGATES = (
    "Text contains invalid Unicode characters after decoding HTML entities, check for unmatched surrogate code units"
)
HTML_ERRORS = [
    ("&#57311;", SURROGATES),
    ("&#xDFDF", SURROGATES),
    ("<foo>a</foo>", 'Unsupported start tag "foo" at byte offset 0'),
    ("1 < 2", 'Unsupported start tag "" at byte offset 2'),
    (f"{RINGS}&lt;<abacaba", "Unclosed start tag at byte offset 13"),
    (f"{RINGS}&lt;<abac aba>", 'Unsupported start tag "abac" at byte offset 13'),
    (f"{RINGS}&lt;<i   =aba>", 'Empty attribute name in the tag "i" at byte offset 13'),
    (f"{RINGS}&lt;<i    aba>", 'Can\'t find end tag corresponding to start tag "i"'),
    (f"{RINGS}&lt;<i    aba  =  ", 'Unclosed start tag "i" at byte offset 13'),
    (f"{RINGS}&lt;<i    aba  =  190azAz-.,", "Unexpected end of name token at byte offset 27"),
    (f'{RINGS}&lt;<i    aba  =  "&lt;&gt;&quot;>', "Unclosed start tag at byte offset 13"),
    (f"{RINGS}&lt;<i    aba  =  '&lt;&gt;&quot;>", "Unclosed start tag at byte offset 13"),
    (f"{RINGS}&lt;</", "Unexpected end tag at byte offset 13"),
    (f"{RINGS}&lt;<b></b></", "Unexpected end tag at byte offset 20"),
    (f"{RINGS}&lt;<i>a</i   ", "Unclosed end tag at byte offset 17"),
    (f"{RINGS}&lt;<i>a</em   >", 'Unmatched end tag at byte offset 17, expected "</i>", found "</em>"'),
    ("<b><i>a</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
    ("<span>a</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
]


@pytest.mark.parametrize(("text", "expected"), MARKDOWN_TEXTS)
def test_markdown(text: str, expected: Parsed) -> None:
    assert parse(text, MARKDOWN) == expected


@pytest.mark.parametrize(("text", "offset"), MARKDOWN_ERRORS)
def test_markdown_without_end(text: str, offset: int) -> None:
    with pytest.raises(MarkupError) as error:
        parse(text, MARKDOWN)
    assert str(error.value) == f"can't parse entities: Can't find end of the entity starting at byte offset {offset}"


@pytest.mark.parametrize(("text", "expected"), [case for case in HTML_TEXTS if case[1]])
def test_html(text: str, expected: Parsed) -> None:
    assert parse(text, HTML) == expected


@pytest.mark.parametrize(("text", "words"), HTML_ERRORS)
def test_broken_html(text: str, words: str) -> None:
    with pytest.raises(MarkupError) as error:
        parse(text, HTML)
    assert str(error.value) == f"can't parse entities: {words}"


def test_plain_text_has_no_markup() -> None:
    assert parse("*a* <b>", None) == Parsed("*a* <b>")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("a.io", "http://a.io/"),
        ("HTTPS://a.io/x?y#z", "https://a.io/x?y#z"),
        ("http://a.io:80?q", "http://a.io:80/?q"),
        ("http://me@a.io/", "http://me@a.io/"),
        ("tg://resolve?domain=x", "tg://resolve?domain=x"),
        ("http://localhost/", None),
        ("ftp://a.io", None),
        ("a b.io", None),
        ("", None),
    ],
)
def test_links(url: str, expected: str | None) -> None:
    assert checked_link(url) == expected


PARTS = [
    (None, "short", 10, ["short"]),
    (None, "", 10, [""]),
    (None, "  keeps space  ", 20, ["  keeps space  "]),
    (None, "first one\n\nsecond", 12, ["first one", "second"]),
    (None, "a\n\nb\n\nc", 5, ["a\n\nb", "c"]),
    (None, "one line\nother line", 12, ["one line", "other line"]),
    (None, "One. Two three", 12, ["One.", "Two three"]),
    (None, "word another", 8, ["word", "another"]),
    (None, "abcdefgh", 3, ["abc", "def", "gh"]),
    (None, "🏟🏟🏟", 3, ["🏟", "🏟", "🏟"]),
    (None, "abc   \n  ", 3, ["abc"]),
    (None, " " * 9, 3, []),
    (MARKDOWN, "*bold text goes on*", 10, ["*bold text*", "*goes on*"]),
    (MARKDOWN, "[see the page](a.io/b)", 8, ["[see the](a.io/b)", "[page](a.io/b)"]),
    (MARKDOWN, "```py\none\ntwo```", 4, ["```py\none```", "```py\ntwo```"]),
    (MARKDOWN, "``` one two```", 4, ["```\none```", "```\ntwo```"]),
    (MARKDOWN, "```\nab``cd```", 2, ["```\nab```", r"\`", "```\n`c```", "```\nd```"]),
    (MARKDOWN, r"a\_b c\*d", 4, [r"a\_b", r"c\*d"]),
    (MARKDOWN, "`a`" * 4, 2, ["`a``a`", "`a``a`"]),
    (MARKDOWN, "broken *bold of a text", 12, ["broken *bold", "of a text"]),
    (HTML, "<b>one <i>two three</i></b>", 7, ["<b>one <i>two</i></b>", "<b><i>three</i></b>"]),
    (
        HTML,
        "<blockquote expandable>one\n\ntwo</blockquote>",
        4,
        ["<blockquote expandable>one</blockquote>", "<blockquote expandable>two</blockquote>"],
    ),
    (HTML, "<a href='a.io'>one two</a>", 4, ["<a href='a.io'>one</a>", "<a href='a.io'>two</a>"]),
    (HTML, "<b>one</b> <i>two</i>", 4, ["<b>one</b>", "<i>two</i>"]),
    (HTML, "&lt;&amp;&gt;", 2, ["&lt;&amp;", "&gt;"]),
    (HTML, "<b>never closed", 6, ["<b>nev", "er", "closed"]),
]


@pytest.mark.parametrize(("mode", "text", "limit", "expected"), PARTS)
def test_d40_a_long_text_is_split_on_borders_with_its_entities(
    mode: ParseMode | None, text: str, limit: int, expected: list[str]
) -> None:
    assert split(text, mode, limit) == expected


def test_d40_the_default_limit_is_telegrams() -> None:
    text = f"<blockquote>{'x' * 4000}\n\n{'y' * 4000}</blockquote>"
    assert split(text, HTML) == [f"<blockquote>{letter * 4000}</blockquote>" for letter in "xy"]


def test_a_very_long_text_has_full_parts() -> None:
    line = "*bold words* and _others_."
    parts = split(f"{line}\n" * 4_000, MARKDOWN)
    assert "\n".join(parts).splitlines() == [line] * 4_000
    assert {len(parse(part, MARKDOWN).plain) for part in parts[:-1]} == {4093}


@st.composite
def html_texts(draw: st.DrawFn) -> str:
    words = st.text(st.sampled_from("ab .\n🏟&"), max_size=12).map(lambda text: text.replace("&", "&amp;"))
    tags = st.sampled_from(["b", "i", "blockquote", "code", 'a href="http://a.io"', "blockquote expandable"])

    def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        wrapped = st.tuples(tags, inner).map(lambda pair: f"<{pair[0]}>{pair[1]}</{pair[0].split()[0]}>")
        return st.lists(wrapped | words, max_size=4).map("".join)

    return draw(st.recursive(words, nested, max_leaves=12))


@st.composite
def markdown_texts(draw: st.DrawFn) -> str:
    words = st.text(st.sampled_from("ab .\n🏟"), max_size=12)
    marks = st.sampled_from([("*", "*"), ("_", "_"), ("`", "`"), ("```", "```"), ("[", "](http://a.io)"), ("", "")])
    pieces = st.tuples(marks, words).map(lambda piece: f"{piece[0][0]}{piece[1]}{piece[0][1]}")
    return draw(st.lists(pieces, max_size=10).map(" ".join))


def assert_split_keeps_all(text: str, mode: ParseMode | None, limit: int) -> None:
    try:
        whole = parse(text, mode).plain
    except MarkupError:
        mode, whole = None, text
    parts = [parse(part, mode).plain for part in split(text, mode, limit)]
    assert all(utf16_length(part) <= limit for part in parts)
    squeezed = [re.sub(r"\s", "", part) for part in (whole, "".join(parts))]
    assert squeezed[0] == squeezed[1]
    assert re.fullmatch(r"\s*" + r"\s*".join(map(re.escape, parts)) + r"\s*", whole)


@given(html_texts(), st.integers(2, 40))
def test_splitting_html_loses_nothing(text: str, limit: int) -> None:
    assert_split_keeps_all(text, HTML, limit)


@given(markdown_texts(), st.integers(2, 40))
def test_splitting_markdown_loses_nothing(text: str, limit: int) -> None:
    assert_split_keeps_all(text, MARKDOWN, limit)


@given(
    st.text(st.sampled_from('ab \n.*_`[]()<>/&#x1;\\"=🏟i'), max_size=60),
    st.sampled_from([MARKDOWN, HTML, None]),
    st.integers(2, 20),
)
@example("```a`b`` c```", MARKDOWN, 4)
@example("&#12345678;", HTML, 5)
def test_any_text_is_split_or_refused(text: str, mode: ParseMode | None, limit: int) -> None:
    assert_split_keeps_all(text, mode, limit)


@given(html_texts(), st.integers(2, 40))
def test_split_keeps_the_entities_of_every_character(text: str, limit: int) -> None:
    whole = formats(text)
    parts = [character for part in split(text, HTML, limit) for character in formats(part)]
    assert [one for one in parts if not one[0].isspace()] == [one for one in whole if not one[0].isspace()]


def formats(text: str) -> list[tuple[str, frozenset[tuple[str, str | None]]]]:
    """The visible characters with the kinds of entities they are in."""
    parsed = parse(text, HTML)
    result, offset = [], 0
    for character in parsed.plain:
        around = [one for one in parsed.entities if one.offset <= offset < one.offset + one.length]
        result.append((character, frozenset((one.type, one.url) for one in around)))
        offset += utf16_length(character)
    return result
