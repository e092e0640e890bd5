import re
import string
from dataclasses import asdict, fields

import pytest

from app.texts import LANGUAGES, CatalogueError, Texts, parse_catalogue, texts_for

NAMES = [field.name for field in fields(Texts)]
BUTTONS = ["resume_button", "restart_button", "retry_button", "exit_button", "skip_button"]
PLACES = {"en": ["element", "course"], "ru": ["course", "element"]}


@pytest.mark.parametrize(
    ("language", "fallback", "same_as"),
    [
        ("en", "ru", "en"),
        ("ru", "en", "ru"),
        ("ru-RU", "en", "ru"),
        ("RU_ru", "en", "ru"),
        ("en-US", "ru", "en"),
        ("be", "en", "ru"),
        ("uk", "en", "ru"),
        ("kk-KZ", "en", "ru"),
        ("de", "ru", "ru"),
        ("de", "en", "en"),
        ("", "ru", "ru"),
        (None, "ru", "ru"),
        (None, "ru-RU", "ru"),
        (None, "de", "en"),
        ("../en", "ru", "ru"),
    ],
)
def test_language_of_a_learner(language: str | None, fallback: str, same_as: str) -> None:
    assert texts_for(language, fallback) is texts_for(same_as)


def test_english_without_any_language() -> None:
    assert texts_for(None) is texts_for("en")


def test_languages_differ_in_every_text() -> None:
    english, russian = asdict(texts_for("en")), asdict(texts_for("ru"))
    assert [name for name in NAMES if english[name] == russian[name]] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_in_their_language(language: str) -> None:
    cyrillic = {name for name, text in asdict(texts_for(language)).items() if re.search("[а-яё]", text)}
    assert cyrillic == (set(NAMES) if language == "ru" else set())


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_are_the_documented_ones(language: str) -> None:
    texts = asdict(texts_for(language))
    placeholders = {
        name: found
        for name, text in texts.items()
        if (found := [field for _, field, _, _ in string.Formatter().parse(text) if field is not None])
    }
    assert placeholders == {
        "unknown_command": ["name"],
        "voice_understood": ["text"],
        "go_usage": ["courses"],
        "go_no_element": PLACES[language],
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_fit_where_telegram_shows_them(language: str) -> None:
    texts = texts_for(language)
    assert len(texts.stale_button) <= 200
    assert max(len(asdict(texts)[name]) for name in BUTTONS) <= 40
    assert max(map(len, asdict(texts).values())) <= 200


def catalogue(**changes: object) -> str:
    texts = dict.fromkeys(NAMES, "x") | changes
    return "\n".join(f"{name}: {value}" for name, value in texts.items() if value is not None)


def test_complete_catalogue() -> None:
    assert parse_catalogue(catalogue(), "xx.yaml") == Texts(**dict.fromkeys(NAMES, "x"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (catalogue(no_run=None), "xx.yaml: texts ['no_run'] are missing; add them"),
        (
            catalogue(no_rum="x"),
            "xx.yaml: texts ['no_rum'] are not known; remove them or add them to app.texts.Texts",
        ),
        (catalogue(no_run="yes"), "xx.yaml: texts ['no_run'] are empty or not strings; quote them"),
        (catalogue(no_run="''"), "xx.yaml: texts ['no_run'] are empty or not strings; quote them"),
        ("", f"xx.yaml: texts {sorted(NAMES)!r} are missing; add them"),
    ],
)
def test_incomplete_catalogue(text: str, error: str) -> None:
    with pytest.raises(CatalogueError) as raised:
        parse_catalogue(text, "xx.yaml")
    assert str(raised.value) == error
