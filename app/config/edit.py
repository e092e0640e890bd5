"""Change the version of bots in ``bots_config.yaml``, and nothing else in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from app.config.document import parse_document
from app.errors import FlotillaError, InputError

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEY = "version"


class EditRefused(FlotillaError):
    """The config is written in a way in which a change of one version would change more, or less."""


def with_version(text: str, bots: Sequence[int], version: str | None, file: str) -> str:
    """Return the text of a config with this version for the bots at these positions; ``None`` takes theirs out.

    Comments, order, quotes, anchors and line ends stay; a bot's version is one line or one item. What comes out was
    read again, and says the same but for these versions. Raises ``EditRefused`` with the line to change by hand.
    """
    for bot in bots:
        text = _with_version(text, bot, version, file)
    return text


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file, or what it is a link to, in one step; mode and owner stay as they were.

    Raises ``FlotillaError`` when that is not possible, and leaves the file as it was.
    """
    real = Path(os.path.realpath(path))
    draft = real.with_name(f".{real.name}.{os.getpid()}.new")
    try:
        before = real.stat()
        with draft.open("xb") as file:
            after = os.fstat(file.fileno())
            if (after.st_uid, after.st_gid) != (before.st_uid, before.st_gid):
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), before.st_mode & 0o7777)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(real)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise FlotillaError(f"{path} cannot be written: {error.strerror}") from error


def _with_version(text: str, bot: int, version: str | None, file: str) -> str:
    data = parse_document(text, file).data
    if data["bots"][bot].get(_KEY) == version:
        return text
    node = _bot_node(text, bot)
    for edited in _edits(text, node, version):
        if _says(edited, file, data, bot, version):
            return edited
    line = node.start_mark.line + 1
    should = f'have version: "{version}"' if version else "have no version"
    name = data["bots"][bot].get("name")
    raise EditRefused(
        f"{file}:{line}: bots/{name}: its version cannot be changed without changing more; let it {should}, "
        "then run `flotilla up`"
    )


def _says(text: str, file: str, data: Any, bot: int, version: str | None) -> bool:
    """Tell whether the text is what the data is, but for the version of this bot."""
    try:
        now = parse_document(text, file)
    except InputError:
        return False
    expected, found = deepcopy(data), deepcopy(now.data)
    # Aliases make several bots one object, and repr says what == cannot: also the order, and that NaN is NaN.
    for one in (expected, found):
        one["bots"][bot] = dict(one["bots"][bot])
    expected["bots"][bot].pop(_KEY, None)
    is_right = found["bots"][bot].pop(_KEY, None) == version
    return is_right and not now.duplicates and repr(found) == repr(expected)


def _bot_node(text: str, bot: int) -> yaml.MappingNode:
    loader = _LOADER(text)
    try:
        root = loader.get_single_node()
    finally:
        loader.dispose()
    bots = next(value for key, value in root.value if key.value == "bots")
    node = bots.value[bot]
    assert isinstance(node, yaml.MappingNode)  # noqa: S101 - the config has been read
    return node


def _edits(text: str, bot: yaml.MappingNode, version: str | None) -> Iterator[str]:
    """Yield the text in the ways in which the change could be written, the most usual first; some may be wrong."""
    own = next(((key, value) for key, value in bot.value if key.value == _KEY), None)
    if own is None:
        yield from _additions(text, bot, version)
    elif version is None:
        yield from _removals(text, bot, *own)
        yield from _replacements(text, *own, "")
    else:
        yield from _replacements(text, *own, version)


def _additions(text: str, bot: yaml.MappingNode, version: str | None) -> Iterator[str]:
    """Add a key after each of the others, the name first: a line in a block, an item between braces."""
    pairs = sorted(bot.value, key=lambda pair: pair[0].value != "name")
    for key, value in pairs:
        if not isinstance(value, yaml.ScalarNode):
            continue
        quote = key.style if key.style in ("'", '"') else ""
        item = f"{quote}{_KEY}{quote}:" + (f' "{version}"' if version else "")
        if bot.flow_style:
            end = value.end_mark.index
            yield f"{text[:end]}, {item}{text[end:]}"
        else:
            yield _line_added(text, value.end_mark.index, " " * key.start_mark.column + item)


def _line_added(text: str, index: int, line: str) -> str:
    """Put a line behind the one at ``index``, with the same line end."""
    end = re.compile(r"\r\n|\n|\r|\Z").search(text, index)
    assert end is not None  # noqa: S101 - every text has an end
    if end[0]:
        return f"{text[: end.end()]}{line}{end[0]}{text[end.end() :]}"
    newline = re.search(r"\r\n|\n|\r", text)
    return f"{text}{newline[0] if newline else chr(10)}{line}"


def _removals(text: str, bot: yaml.MappingNode, key: yaml.Node, value: yaml.Node) -> Iterator[str]:
    start, end = key.start_mark.index, max(value.end_mark.index, key.end_mark.index)
    if bot.flow_style:
        if behind := re.compile(r"[ \t]*,[ \t]*").match(text, end):
            yield text[:start] + text[behind.end() :]
        before = re.search(r"[ \t]*,\s*\Z", text[:start])
        if before:
            yield text[: before.start()] + text[end:]
        return
    line = re.compile(r"(?m)^[ \t]*\Z").search(text[:start])
    behind = re.compile(r"[ \t]*(\r\n|\n|\r|\Z)").match(text, end)
    if line and behind:
        yield text[: line.start()] + text[behind.end() :]
    if behind:  # the first of the lines of a list item: the next one takes its place
        indentation = re.compile(r"[ ]*").match(text, behind.end())
        yield text[:start] + text[indentation.end() if indentation else behind.end() :]


def _replacements(text: str, key: yaml.Node, value: yaml.ScalarNode, version: str) -> Iterator[str]:
    if value.start_mark.index < key.end_mark.index:  # an alias: its node is where the anchor is
        if alias := re.compile(r"\s*:\s*(\*[^\s,\]}]+)").match(text, key.end_mark.index):
            yield text[: alias.start(1)] + _quoted(version, '"') + text[alias.end(1) :]
        return
    start, end = value.start_mark.index, value.end_mark.index
    if value.start_mark.line != value.end_mark.line:
        return
    anchor = re.match(r"&\S+\s+", text[start:end])
    start += anchor.end() if anchor else 0
    space = " " if text[start - 1] == ":" and version else ""
    plain = "" if end > start else '"'
    for quote in dict.fromkeys((value.style or plain, '"')):
        yield text[:start] + space + _quoted(version, quote) + text[end:]


def _quoted(version: str | None, quote: str) -> str:
    return f"{quote}{version}{quote}" if version else ""
