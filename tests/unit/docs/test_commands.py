"""The documents name commands and options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from app.cli.main import cli

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

IN_LINE = re.compile(r"`(?:[^`\n]*/)?flotilla ([^`\n]+)`")
IN_BLOCK = re.compile(r"^ {4}.*?(?:\./|\bmigrate )?\bflotilla (?!up\b.*:)([a-z][^#\n]*)", re.MULTILINE)


def commands_of(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [found.strip() for pattern in (IN_LINE, IN_BLOCK) for found in pattern.findall(text)]


def mistakes(line: str) -> list[str]:
    """Say what the program would not understand of a command line: a command, or its options."""
    words = shlex.split(re.split(r"\\?\||<|\.\.\.", line)[0])
    commands: list[Any] = [typer.main.get_command(cli)]
    while words and not words[0].startswith("-") and (known := getattr(commands[0], "commands", {})):
        names = words.pop(0).split("|")
        if commands[0].name == "broadcast" and names[0] not in known:
            commands = [known["send"]]
        elif not known.keys() >= set(names):
            return [f"no command {'|'.join(names)!r}"]
        else:
            commands = [known[name] for name in names]
    if commands[0].context_settings.get("ignore_unknown_options"):
        return []
    options = {option for one in commands for each in one.params for option in (*each.opts, *each.secondary_opts)}
    named = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    return [f"{commands[0].name} has no {option}" for option in sorted(named - options - {"--help", "-h"})]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_commands_and_options_exist(page: Path) -> None:
    assert {line: wrong for line in commands_of(page) if (wrong := mistakes(line))} == {}


def test_what_does_not_exist_is_found() -> None:
    assert mistakes("check --walkk") == ["check has no --walkk"]
    assert mistakes("chek") == ["no command 'chek'"]
    assert mistakes("course export the_bot night > night.yml") == []
    assert len([line for page in PAGES for line in commands_of(page)]) > 50
