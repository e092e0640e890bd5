"""Telegram's legacy Markdown and HTML, read as the Bot API server reads them, and texts split without breaking them.

Source: core.telegram.org/bots/api, "Formatting options"; parse_markdown and parse_html in TDLib's MessageEntity.cpp,
whose wording the errors carry. A text is read into tokens (visible characters, beginnings and ends of entities);
``parse`` adds them up, ``split`` writes them out again in parts.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import ClassVar, assert_never

from app.course.element import ParseMode
from app.errors import FlotillaError

TEXT_LIMIT = 4096
"""UTF-16 code units of a message after entity parsing."""

CAPTION_LIMIT = 1024
"""The same of a caption."""


class MarkupError(FlotillaError):
    """Telegram would refuse this text; the error is what it says after "Bad Request: "."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A formatted stretch of a text; ``offset`` and ``length`` count UTF-16 code units."""

    type: str
    offset: int
    length: int
    url: str | None = None
    language: str | None = None
    custom_emoji_id: str | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text as a learner sees it."""

    plain: str
    entities: tuple[Entity, ...] = ()


@dataclass(frozen=True, slots=True)
class _Char:
    """A visible character and how it is written in the markup."""

    source: str
    visible: str


@dataclass(frozen=True, slots=True)
class _Open:
    """The beginning of an entity; ``opening`` and ``closing`` are the markup that begins and ends it in any part.

    ``value`` is the URL, language or emoji id.
    """

    type: str
    opening: str
    closing: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class _Close:
    """The end of the entity that began last."""


_Token = _Char | _Open | _Close


def parse(text: str, parse_mode: ParseMode | None) -> Parsed:
    """Return the visible text and its entities, in Telegram's order; ``None`` is plain text.

    Raises ``MarkupError`` when Telegram would refuse the text.
    """
    return _Assembly().assemble(_tokens(text, parse_mode))


def split(text: str, parse_mode: ParseMode | None, limit: int = TEXT_LIMIT) -> list[str]:
    """Cut a text into parts that are valid markup and have at most ``limit`` UTF-16 code units after entity parsing.

    A part ends at the end of a paragraph, else of a line, a sentence, a word, else anywhere between two characters;
    white space at that place is dropped. Entities that cross it are closed and begun again. A text with broken markup
    is cut as plain text. A text that fits comes back unchanged. ``limit`` is two or more.
    """
    if utf16_length(text) <= limit:  # markup only takes characters away
        return [text]
    try:
        tokens = list(_tokens(text, parse_mode))
    except MarkupError:
        return split(text, None, limit)
    if utf16_length("".join(token.visible for token in tokens if isinstance(token, _Char))) <= limit:
        return [text]
    return list(_Splitter(tokens, parse_mode, limit).parts())


def utf16_length(text: str) -> int:
    """Return the number of UTF-16 code units, the unit of all of Telegram's limits and offsets."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def checked_link(url: str) -> str | None:
    """Return the URL as Telegram links to it (scheme and slash after the host added), ``None`` if it is no link."""
    if re.match(r"(tg|ton|tonsite)://.", url, re.IGNORECASE):
        return url
    match = re.fullmatch(r"(https?://)?((?:[^\s/?#@]+@)?[^\s/?#@.]+\.[^\s/?#@]+)(\S*)", url, re.IGNORECASE)
    if match is None:
        return None
    scheme, host, rest = match.groups()
    return f"{(scheme or 'http://').lower()}{host}{rest if rest.startswith('/') else '/' + rest}"


def _tokens(text: str, parse_mode: ParseMode | None) -> Iterator[_Token]:
    match parse_mode:
        case None:
            return (_Char(character, character) for character in text)
        case ParseMode.MARKDOWN:
            return _MarkdownReader(text).tokens()
        case ParseMode.HTML:
            return _HtmlReader(text).tokens()
        case _:
            assert_never(parse_mode)


class _Reader:
    """A position in a text, and what both kinds of markup need to move it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        """Return the next character, empty at the end."""
        return self.text[self.at : self.at + 1]

    def take(self, pattern: str) -> str:
        """Move over what the regular expression matches here, if anything, and return it."""
        match = re.compile(pattern, re.DOTALL).match(self.text, self.at)
        assert match is not None, "patterns match the empty text"  # noqa: S101
        self.at = match.end()
        return match.group()

    def error(self, words: str, at: int | None = None) -> MarkupError:
        """Return the error, with the place in bytes of UTF-8 when ``at`` (a character) is given."""
        if at is not None:
            words += f" at byte offset {len(self.text[:at].encode(errors='surrogatepass'))}"
        return MarkupError(f"can't parse entities: {words}")


class _MarkdownReader(_Reader):
    """Reads legacy Markdown: entities do not nest, and nothing is escaped inside them."""

    TYPES: ClassVar = {"_": "italic", "*": "bold", "`": "code", "[": "text_link"}

    def tokens(self) -> Iterator[_Token]:
        while self.at < len(self.text):
            if self.peek() in self.TYPES:
                yield from self._entity()
            else:
                source = self.take(r"\\[_*`\[]|.")
                yield _Char(source, source[-1])

    def _entity(self) -> Iterator[_Token]:
        begin, mark = self.at, self.peek()
        fence = self.take("```|.")
        language = self._language() if fence == "```" else ""
        end_mark = "]" if mark == "[" else fence
        end = self.text.find(end_mark, self.at)
        if end < 0:
            offset = len(self.text[:begin].encode(errors="surrogatepass"))
            raise self.error(f"Can't find end of the entity starting at byte offset {offset}")
        content = self.text[self.at : end]
        self.at = end + len(end_mark)
        if fence == "```":
            yield _Open("pre", f"```{language}\n", fence, language)
        elif mark == "[":
            target = self.take(r"(\([^)]*\)?)?")
            yield _Open("text_link", mark, f"]{target}", target[1:].removesuffix(")"))
        else:
            yield _Open(self.TYPES[mark], mark, mark)
        yield from (_Char(character, character) for character in content)
        yield _Close()

    def _language(self) -> str:
        language = self.take(r"([^\s`]+(?=\s))?")
        self.take(r"(\r\n|\n\r|\n|\r)?")
        return language


_HTML_TYPES = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "span": "spoiler", "tg-spoiler": "spoiler",
    "a": "text_link", "code": "code", "pre": "pre", "blockquote": "blockquote", "tg-emoji": "custom_emoji",
}  # fmt: skip
_SPACE = r"[ \t\r\n\v\0]*"
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}


class _HtmlReader(_Reader):
    """Reads the HTML subset."""

    def tokens(self) -> Iterator[_Token]:
        names: list[str] = []
        while self.at < len(self.text):
            if self.peek() != "<":
                yield self._character()
            elif self.text.startswith("</", self.at):
                self._end_tag(names)
                yield _Close()
            else:
                name, token = self._start_tag()
                names.append(name)
                yield token
        if names:
            raise self.error(f'Can\'t find end tag corresponding to start tag "{names[-1]}"')

    def _character(self) -> _Char:
        source = self.take(r"&#[xX][0-9a-fA-F]+;?|&#[0-9]+;?|&(?:lt|gt|amp|quot)(?![a-zA-Z]);?|")
        visible = _decoded(source)
        if visible is None:
            self.at -= len(source)
            source = visible = self.take(".")
        if "\ud800" <= visible <= "\udfff":
            raise self.error(
                "Text contains invalid Unicode characters after decoding HTML entities, "
                "check for unmatched surrogate code units"
            )
        return _Char(source, visible)

    def _start_tag(self) -> tuple[str, _Open]:
        begin = self.at
        name = self.take(r"<[^ \t\r\n\v\0>]*")[1:].lower()
        if not self.peek():
            raise self.error("Unclosed start tag", begin)
        if name not in _HTML_TYPES:
            raise self.error(f'Unsupported start tag "{name}"', begin)
        attributes: dict[str, str] = {}
        while self.take(_SPACE) is not None and self.peek() != ">":
            attribute, value = self._attribute(name, begin)
            attributes[attribute] = value
        self.at += 1
        value = _attribute_value(name, attributes)
        if name == "span" and value != "spoiler":
            raise self.error('Tag "span" must have class "tg-spoiler"', begin)
        kind = "expandable_blockquote" if name == "blockquote" and "expandable" in attributes else _HTML_TYPES[name]
        return name, _Open(kind, self.text[begin : self.at], f"</{name}>", value)

    def _attribute(self, tag: str, begin: int) -> tuple[str, str]:
        name = self.take(r"[^ \t\r\n\v\0=>]*").lower()
        if not name and self.peek():
            raise self.error(f'Empty attribute name in the tag "{tag}"', begin)
        self.take(_SPACE)
        if self.peek() and self.peek() != "=":
            return name, ""
        self.take(f"=?{_SPACE}")
        if not self.peek():
            raise self.error(f'Unclosed start tag "{tag}"', begin)
        value = self._value()
        if not self.peek():
            raise self.error("Unclosed start tag", begin)
        return name, value

    def _value(self) -> str:
        begin, quote = self.at, self.peek()
        if quote not in "'\"":
            token = self.take(r"[a-zA-Z0-9.-]*")
            if self.peek() not in " \t\r\n\v\0>":
                raise self.error("Unexpected end of name token", begin)
            return token.lower()
        self.at += 1
        value = ""
        while self.peek() not in ("", quote):
            value += self._character().visible
        self.take(quote + "?")
        return value

    def _end_tag(self, names: list[str]) -> None:
        begin = self.at
        if not names:
            raise self.error("Unexpected end tag", begin)
        found = self.take(r"</[^ \t\r\n\v\0>]*")[2:].lower()
        self.take(_SPACE)
        if self.peek() != ">":
            raise self.error("Unclosed end tag", begin)
        self.at += 1
        expected = names.pop()
        if found not in ("", expected):
            place = f"Unmatched end tag at byte offset {len(self.text[:begin].encode(errors='surrogatepass'))}"
            raise self.error(f'{place}, expected "</{expected}>", found "</{found}>"')


def _decoded(source: str) -> str | None:
    """Return the character an HTML entity stands for, ``None`` if it stands for nothing."""
    name = source.removeprefix("&").removesuffix(";")
    if not name.startswith("#"):
        return _NAMED.get(name)
    digits = name[1:].lower()
    code = int(digits[1:], 16) if digits.startswith("x") else int(digits[:10])
    return chr(code) if 0 < code <= 0x10FFFF and len(digits) <= 10 else None


def _attribute_value(tag: str, attributes: dict[str, str]) -> str:
    match tag:
        case "a":
            return attributes.get("href", "")
        case "tg-emoji":
            return attributes.get("emoji-id", "")
        case "code":
            return attributes.get("class", "").partition("language-")[2]
        case "span":
            return attributes.get("class", "").partition("tg-")[2]
        case _:
            return ""


_PRIORITY = ["blockquote", "expandable_blockquote", "pre", "code", "text_link", "bold", "italic", "underline",
             "strikethrough", "spoiler", "custom_emoji"]  # fmt: skip


class _Assembly:
    """Adds tokens up to a visible text with entities."""

    def __init__(self) -> None:
        self.plain: list[str] = []
        self.length = 0
        self.entities: list[Entity] = []
        self.open: list[tuple[_Open, int, int]] = []

    def assemble(self, tokens: Iterator[_Token]) -> Parsed:
        for token in tokens:
            match token:
                case _Char(visible=visible):
                    self.plain.append(visible)
                    self.length += utf16_length(visible)
                case _Open():
                    self.open.append((token, self.length, len(self.plain)))
                case _Close():
                    self._close(*self.open.pop())
        order = sorted(self.entities, key=lambda entity: (entity.offset, -entity.length, _PRIORITY.index(entity.type)))
        entities = tuple(replace(entity, language=None) if entity.type == "code" else entity for entity in order)
        return Parsed("".join(self.plain), entities)

    def _close(self, begin: _Open, offset: int, first: int) -> None:
        entity = Entity(begin.type, offset, self.length - offset)
        match begin.type:
            case "text_link":
                url = checked_link(begin.value or "".join(self.plain[first:]))
                entity = replace(entity, url=url)
            case "pre" | "code":
                entity = replace(entity, language=begin.value or None)
            case "custom_emoji":
                entity = replace(entity, custom_emoji_id=begin.value)
        if entity.length and (begin.type != "text_link" or entity.url):
            self._add(entity)

    def _add(self, entity: Entity) -> None:
        """Add the entity; ``pre`` and ``code`` of one stretch are a ``pre`` with the language of the ``code``."""
        inner = self.entities[-1] if self.entities else None
        if inner and (inner.offset, inner.length) == (entity.offset, entity.length):
            code = next((one for one in (inner, entity) if one.type == "code" and one.language), None)
            if code and {inner.type, entity.type} == {"pre", "code"}:
                self.entities[-1] = replace(code, type="pre")
                return
        self.entities.append(entity)


def _escaped(plain: str, parse_mode: ParseMode | None) -> str:
    """Return markup that shows this text as it is."""
    match parse_mode:
        case None:
            return plain
        case ParseMode.MARKDOWN:
            return re.sub(r"[_*`\[]", r"\\\g<0>", plain)
        case ParseMode.HTML:
            return html.escape(plain, quote=False)
        case _:
            assert_never(parse_mode)


_BORDERS = [re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"(?<=[.!?…])\s+"), re.compile(r"\s+")]
"""Where a part may end, best first."""


class _Splitter:
    """Cuts a text at positions of its visible characters, and writes what is between two as a text of its own."""

    def __init__(self, tokens: list[_Token], parse_mode: ParseMode | None, limit: int) -> None:
        self.parse_mode = parse_mode
        self.limit = limit
        self.tokens = tokens
        self.places = [index for index, token in enumerate(tokens) if isinstance(token, _Char)]
        self.plain = "".join(token.visible for token in tokens if isinstance(token, _Char))
        self.end = len(self.plain.rstrip())
        self.units = list(accumulate(map(utf16_length, self.plain), initial=0))
        self.open = self._open_entities()

    def parts(self) -> Iterator[str]:
        start = 0
        while start < self.end:
            if self.plain[start].isspace():
                start += 1
                continue
            start, text = next(self._valid_cuts(start))
            yield text

    def _valid_cuts(self, start: int) -> Iterator[tuple[int, str]]:
        """Yield ends of the part that begins at ``start``, best first, with its text; at least one.

        A text that would not show what it should is no choice; should all be such (backticks cut off from the rest of
        a block of code), the part goes without formatting.
        """
        end = start
        for end in self._cuts(start):
            visible = self.plain[start:end].rstrip()
            text = self._write(start, start + len(visible))
            try:
                if parse(text, self.parse_mode).plain == visible:
                    yield end, text
            except MarkupError:
                continue
        yield end, _escaped(self.plain[start:end], self.parse_mode)

    def _cuts(self, start: int) -> Iterator[int]:
        furthest = start
        while furthest < self.end and self.units[furthest + 1] - self.units[start] <= self.limit:
            furthest += 1
        if furthest == self.end:
            yield furthest
        for border in _BORDERS:
            matches = list(border.finditer(self.plain, start + 1, furthest + 1))
            if matches:
                yield min(matches[-1].start(), furthest)
        yield from range(furthest, start, -1)

    def _open_entities(self) -> list[tuple[_Open, ...]]:
        """Return, for each visible character, the entities it is in."""
        result = []
        stack: tuple[_Open, ...] = ()
        for token in self.tokens:
            match token:
                case _Char():
                    result.append(stack)
                case _Open():
                    stack = (*stack, token)
                case _Close():
                    stack = stack[:-1]
        return result

    def _write(self, start: int, end: int) -> str:
        """Write the visible characters from ``start`` to ``end``, with the entities they are in."""
        stack = list(self.open[start])
        written = [begin.opening for begin in stack]
        for token in self.tokens[self.places[start] : self.places[end - 1] + 1]:
            match token:
                case _Char(source=source):
                    written.append(source)
                case _Open(opening=opening):
                    stack.append(token)
                    written.append(opening)
                case _Close():
                    written.append(stack.pop().closing)
        return "".join(written + [begin.closing for begin in reversed(stack)])
