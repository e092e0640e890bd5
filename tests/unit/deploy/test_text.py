"""Scalars: plain where that is safe, quoted where not."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.deploy.text import Verbatim, lines, scalar


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("lighthouse", "lighthouse"),
        ("${TOKEN:?put it into .env}", "${TOKEN:?put it into .env}"),
        ("./scripts:/app/scripts:ro", "./scripts:/app/scripts:ro"),
        ("160m", "160m"),
        ("", '""'),
        ("null", '"null"'),
        ("Yes", '"Yes"'),
        ("y", '"y"'),
        ("1.4.0", '"1.4.0"'),
        ("1e3", '"1e3"'),
        ("-5", '"-5"'),
        (".5", '".5"'),
        (".inf", '".inf"'),
        ("a: b", '"a: b"'),
        ("a:", '"a:"'),
        ("a #b", '"a #b"'),
        ("a ", '"a "'),
        ("*bot", '"*bot"'),
        ('say "x"', '"say \\"x\\""'),
        ("two\nlines", '"two\\nlines"'),
        ("мир", '"мир"'),
    ],
)
def test_scalar(text: str, written: str) -> None:
    assert scalar(text) == written


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(text: str) -> None:
    assert yaml.safe_load(f"key: {scalar(text)}\n") == {"key": text}


def test_lines() -> None:
    mapping = {"<<": Verbatim("*bot"), "deploy": {"replicas": 2}, "volumes": ["./a:/a", "yes"], "null": Verbatim("")}
    assert list(lines(mapping, 2)) == [
        "  <<: *bot",
        "  deploy:",
        "    replicas: 2",
        "  volumes:",
        "    - ./a:/a",
        '    - "yes"',
        '  "null":',
    ]
