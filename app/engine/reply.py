"""A model's reply as Telegram shows it, and as it is spoken (course-format.md, sections 4.6 and 4.8).

Models write Markdown of the usual kind, which Telegram does not read: it becomes Telegram's HTML. What that cannot show
(tables, raw HTML) stays as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING

from app.course.element import ParseMode
from app.course.markup import MarkupError, parse

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

LONGEST = 16_384
"""Characters of the longest reply whose Markdown is read: that can take quadratic time, and holds up everybody."""

_TAGS = {
    "strong_open": "<b>", "strong_close": "</b>", "em_open": "<i>", "em_close": "</i>", "s_open": "<s>",
    "s_close": "</s>", "heading_open": "<b>", "heading_close": "</b>", "softbreak": "\n", "hardbreak": "\n",
    "link_close": "</a>",
}  # fmt: skip
_LANGUAGE = re.compile(r"[\w+#.-]+")
_BARE_URL = re.compile(r"://[^\s<>\[\]()`*\\]+")
_SCHEME = re.compile(r"(?:^|[^a-z0-9])(?:https?|tg)$", re.IGNORECASE)
_GREEK = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff][\u0370-\u03ff\u1f00-\u1fff\s\d.,;:!?·'’…–—-]*")


def to_html(reply: str) -> str:
    """Return Telegram's HTML for a reply in Markdown; nothing makes it fail, and something can always be seen."""
    if len(reply) > LONGEST:
        return escape(reply, quote=False)
    html = "\n\n".join(_blocks(_markdown().parse(reply)))
    try:
        return html if parse(html, ParseMode.HTML).plain.strip() else escape(reply, quote=False)
    except MarkupError:
        return escape(reply, quote=False)


def spoken(html: str, language: str | None = None) -> str:
    """Return what a voice says of a text: no markup; of one for learners of Greek, only the Greek parts if any."""
    try:
        plain = parse(html, ParseMode.HTML).plain
    except MarkupError:
        plain = html
    words = " ".join(re.sub(r"^\s*(?:[•>]|[-—_*]{3,}\s*$)", "", line) for line in plain.splitlines())
    voiced = " ".join(words.split()) or " ".join(plain.split())
    greek = " ".join(" ".join(_GREEK.findall(voiced)).split()) if language == "el" else ""
    return greek or voiced


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False, "maxNesting": 100}).enable("strikethrough")
    # Indented code, underlined headings and link definitions are rare in replies: what looks like them is something
    # else, which these rules would hide or distort.
    reader.disable(["code", "lheading", "reference", "html_block", "html_inline"])
    reader.inline.ruler.before("escape", "bare_url", _bare_url)
    return reader


def _bare_url(state: StateInline, silent: bool) -> bool:
    """Take an address that is not marked up as it stands, with its underscores; Telegram links it by itself (D23)."""
    found = _BARE_URL.match(state.src, state.pos, state.posMax)
    if found is None or not _SCHEME.search(state.src[max(0, state.pos - 6) : state.pos]):
        return False
    if not silent:
        state.pending += found.group()
    state.pos = found.end()
    return True


def _blocks(tokens: Sequence[Token]) -> Iterator[str]:
    """Write every block of one level; an opening token and its closing one enclose the level below."""
    at = 0
    while at < len(tokens):
        end = _end(tokens, at)
        if text := _block(tokens[at], tokens[at + 1 : end]):
            yield text
        at = end + 1


def _end(tokens: Sequence[Token], begin: int) -> int:
    """Return the index of the token that closes the block; of one that encloses nothing, its own."""
    depth = 0
    for index in range(begin, len(tokens)):
        depth += tokens[index].nesting
        if depth == 0:
            return index
    return len(tokens)


def _block(token: Token, inside: Sequence[Token]) -> str:
    match token.type:
        case "paragraph_open":
            return "".join(_blocks(inside))
        case "heading_open":
            return f"<b>{''.join(_blocks(inside))}</b>"
        case "inline":
            return "".join(map(_inline, token.children or ())).strip()
        case "bullet_list_open" | "ordered_list_open":
            return "\n".join(_items(token, inside))
        case "blockquote_open":
            # Telegram's quotes do not nest.
            quoted = re.sub("</?blockquote>", "", "\n\n".join(_blocks(inside)))
            return f"<blockquote>{quoted}</blockquote>" if quoted else ""
        case "fence" | "code_block":
            return _code(token)
        case "hr":
            return "———"
        case _:
            return escape(token.content, quote=False)


def _items(token: Token, inside: Sequence[Token]) -> Iterator[str]:
    number, at = int(token.attrGet("start") or 1), 0
    while at < len(inside):
        end = _end(inside, at)
        mark = "• " if token.type == "bullet_list_open" else f"{number}. "
        yield mark + "\n".join(_blocks(inside[at + 1 : end])).replace("\n", "\n   ")
        number, at = number + 1, end + 1


def _code(token: Token) -> str:
    language, code = token.info.strip().partition(" ")[0], escape(token.content.rstrip("\n"), quote=False)
    if _LANGUAGE.fullmatch(language):
        return f'<pre><code class="language-{language}">{code}</code></pre>'
    return f"<pre>{code}</pre>"


def _inline(token: Token) -> str:
    match token.type:
        case "link_open":
            return f'<a href="{escape(str(token.attrGet("href")))}">'
        case "code_inline":
            return f"<code>{escape(token.content, quote=False)}</code>"
        case "image":
            label = escape(token.content or str(token.attrGet("src")), quote=False)
            return f'<a href="{escape(str(token.attrGet("src")))}">{label}</a>'
        case kind if kind in _TAGS:
            return _TAGS[kind]
        case _:
            return escape(token.content, quote=False)
