"""One version changes in the config, and everything else stays, to the byte."""

from __future__ import annotations

import os
from difflib import ndiff
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.config.edit import EditRefused, replace_file, with_version
from app.errors import FlotillaError

BLOCK = """\
# the fleet
telegram: sandbox   # for now
bots:
  - name: a  # the first
    folder: x

  # the second
  - name: 'b'
    version: '1.0'   # holds since May
    folder: x
"""


@pytest.mark.parametrize(
    ("bot", "version", "before", "after"),
    [
        (0, "1.4.0", "  - name: a  # the first\n", '  - name: a  # the first\n    version: "1.4.0"\n'),
        (1, "1.4.0", "version: '1.0'   # holds", "version: '1.4.0'   # holds"),
        (1, None, "version: '1.0'   # holds", "version:    # holds"),
    ],
)
def test_a_block(bot: int, version: str | None, before: str, after: str) -> None:
    assert with_version(BLOCK, [bot], version, "c.yaml") == BLOCK.replace(before, after)


@pytest.mark.parametrize(
    ("before", "version", "after"),
    [
        ("bots: [{name: a}]", "1.0", 'bots: [{name: a, version: "1.0"}]'),
        ("bots: [{name: a, version: '1.0', folder: x}]", None, "bots: [{name: a, folder: x}]"),
        ("bots: [{name: a, folder: x, version: 1.0.0}]", None, "bots: [{name: a, folder: x}]"),
        ("bots: [{version: 1.0.0, name: a}]", "2.0.0", "bots: [{version: 2.0.0, name: a}]"),
        ("bots: [{version: 1.0.0, name: a}]", "2.0", 'bots: [{version: "2.0", name: a}]'),
        ('{"bots": [{"name": "a"}]}', "2.0", '{"bots": [{"name": "a", "version": "2.0"}]}'),
        ("bots:\n- name: a", "1.0", 'bots:\n- name: a\n  version: "1.0"'),
        ("bots:\r\n- name: a", "1.0", 'bots:\r\n- name: a\r\n  version: "1.0"'),
        ("bots:\r\n- name: a\r\n  folder: b\r\n", "1.0", 'bots:\r\n- name: a\r\n  version: "1.0"\r\n  folder: b\r\n'),
        ("bots:\n- version: x1\n  name: a\n", None, "bots:\n- name: a\n"),
        ("bots:\n- version: x1\n  # why\n  name: a\n", None, "bots:\n- # why\n  name: a\n"),
        ("bots:\n- name: a\n  version: x1", None, "bots:\n- name: a\n"),
        ("bots:\n- name: a\n  version:\n", "x1", 'bots:\n- name: a\n  version: "x1"\n'),
        ("bots:\n- name: a\n  version:\n", None, "bots:\n- name: a\n  version:\n"),
        ("v: &v x1\nbots:\n- name: a\n  version: *v\n", "x2", 'v: &v x1\nbots:\n- name: a\n  version: "x2"\n'),
        ("bots:\n- name: a\n  version: &v x1\n", "x2", "bots:\n- name: a\n  version: &v x2\n"),
        ("b: &b {version: x1}\nbots:\n- <<: *b\n  name: a\n", "x2", None),
        (
            "b: &b {version: x1}\nbots:\n- <<: *b\n  name: a\n",
            None,
            "b: &b {version: x1}\nbots:\n- <<: *b\n  name: a\n  version:\n",
        ),
        ("# Москва\nbots:\n- name: бот  # да\n", "1.0", '# Москва\nbots:\n- name: бот  # да\n  version: "1.0"\n'),
    ],
)
def test_what_people_write(before: str, version: str | None, after: str | None) -> None:
    expected = after if after is not None else before + f'  version: "{version}"\n'
    assert with_version(before, [0], version, "c.yaml") == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("b: &b {name: a}\nbots: [*b, {name: c, <<: *b}]\nothers: [*b]\n", 1),
        ("bots:\n- name: a\n  version: &v x1\n- name: c\n  version: *v\n", 2),
        ("bots:\n- name: a\n  version: >-\n    x1\n", 2),
    ],
)
def test_what_cannot_change_alone(text: str, line: int) -> None:
    with pytest.raises(EditRefused) as caught:
        with_version(text, [0], "2.0", "c.yaml")
    assert str(caught.value) == (
        f"c.yaml:{line}: bots/a: its version cannot be changed without changing more; "
        'let it have version: "2.0", then run `flotilla up`'
    )


def test_all_bots_of_a_group() -> None:
    text = "bots:\n- {name: a, group: g}\n- name: b\n  group: g\n"
    assert with_version(text, [0, 1], "2.0", "c.yaml") == (
        'bots:\n- {name: a, version: "2.0", group: g}\n- name: b\n  version: "2.0"\n  group: g\n'
    )


VERSIONS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,9}", fullmatch=True)
COMMENTS = st.sampled_from(["", "  # why", " # Ünïcode, {: 'quoted' \"", "\t# tab"])
BETWEEN = st.sampled_from(["", "\n", "  # a line of its own\n", "\n    # two\n\n"])
SCALARS = st.sampled_from(
    ["x", '"x: y"', "'it''s'", "[1, 2]", "{k: v}", "&anchor x", "!!str 5", "", "a b", "-1", '"#"']
)
OTHERS = ["folder", "memory", "env", "group", "log_file"]


@st.composite
def blocks(draw: st.DrawFn, name: str) -> str:
    keys = draw(st.lists(st.sampled_from(OTHERS), unique=True))
    lines = [f"{key}: {draw(SCALARS)}{draw(COMMENTS)}\n{draw(BETWEEN)}" for key in keys]
    lines.append(
        f"name: {draw(st.sampled_from(['{}', chr(39) + '{}' + chr(39), chr(34) + '{}' + chr(34)])).format(name)}"
        f"{draw(COMMENTS)}\n{draw(BETWEEN)}"
    )
    if draw(st.booleans()):
        version = draw(st.one_of(VERSIONS.map(lambda text: f'"{text}"'), st.sampled_from(["", "'1'", "v1", "${V:-2}"])))
        lines.append(f"version: {version}{draw(COMMENTS)}\n{draw(BETWEEN)}")
    dash = draw(st.sampled_from(["- ", "-   "]))
    margin = " " * draw(st.integers(0, 4))
    first, *rest = draw(st.permutations(lines))
    return f"{margin}{dash}{first}" + "".join(f"{margin}{' ' * len(dash)}{line}" for line in rest)


@st.composite
def flows(draw: st.DrawFn, name: str) -> str:
    keys = draw(st.lists(st.sampled_from(OTHERS), unique=True))
    values = st.sampled_from(["x", '"x, y"', "'it''s'", "[1, 2]", "{k: v}", '"#}"'])
    items = [f"{key}: {draw(values)}" for key in keys] + [f"name: {name}"]
    if draw(st.booleans()):
        items.append(f"version: {draw(st.sampled_from(['v1', chr(34) + '1.0' + chr(34), chr(39) + '1' + chr(39)]))}")
    between = draw(st.sampled_from([", ", ",", " ,  ", ",\n      ", ",  # why\n      "]))
    return f"{{{draw(st.sampled_from(['', ' ']))}{between.join(draw(st.permutations(items)))}}}"


@st.composite
def configs(draw: st.DrawFn) -> str:
    names = [f"bot{number}" for number in range(draw(st.integers(1, 3)))]
    if draw(st.booleans()):
        margin = " " * draw(st.integers(0, 4))
        items = [f"{margin}- {draw(flows(name))}{draw(COMMENTS)}\n{draw(BETWEEN)}" for name in names]
    else:
        items = [draw(blocks(name)) for name in names[:1]]
        margin = items[0][: len(items[0]) - len(items[0].lstrip(" "))]
        items += [margin + draw(blocks(name)).lstrip(" ") for name in names[1:]]
    text = f"# Флот\ntelegram: sandbox\nbots:{draw(COMMENTS)}\n{''.join(items)}"
    text += draw(st.sampled_from(["", "webhook: {base_url: x}\n", "# the end"]))
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


def versions(text: str) -> list[Any]:
    return [bot.pop("version", None) for bot in yaml.safe_load(text)["bots"]]


def without_versions(text: str) -> Any:
    data = yaml.safe_load(text)
    for bot in data["bots"]:
        bot.pop("version", None)
    return data


def loads(text: str) -> bool:
    try:
        yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return True


@given(configs().filter(loads), st.data())
def test_only_one_line_changes_whatever_the_config(text: str, data: st.DataObject) -> None:
    bot = data.draw(st.integers(0, len(versions(text)) - 1))
    version = data.draw(st.none() | VERSIONS)
    edited = with_version(text, [bot], version, "c.yaml")

    expected = versions(text)
    expected[bot] = version
    assert versions(edited) == expected
    assert without_versions(edited) == without_versions(text)
    changes = [line for line in ndiff(text.splitlines(True), edited.splitlines(True)) if line[0] in "+-"]
    assert len([line for line in changes if line[0] == "+"]) <= 1
    assert [comment(line) for line in text.splitlines() if comment(line)] == [
        comment(line) for line in edited.splitlines() if comment(line)
    ]
    assert edited.count("\r\n") in (0, edited.count("\n"))
    assert with_version(edited, [bot], version, "c.yaml") == edited


def comment(line: str) -> str:
    return next(
        (
            line[line.index(mark) :]
            for mark in ("# why", "# Ün", "# tab", "# a line", "# two", "# the end")
            if mark in line
        ),
        "",
    )


def test_a_file_is_replaced_with_its_mode_and_through_its_link(tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(real)
    if os.geteuid() == 0:
        os.chown(real, 1234, 2345)
    before = real.stat()
    replace_file(link, b"new\r\n")

    assert (link.is_symlink(), real.read_bytes()) == (True, b"new\r\n")
    after = real.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.yaml", "real.yaml"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FlotillaError, match=r"none\.yaml cannot be written: No such file or directory$"):
        replace_file(tmp_path / "none.yaml", b"new")
    assert list(tmp_path.iterdir()) == []
