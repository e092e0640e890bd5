"""What messages call a database, and a DATABASE_URL that is none."""

from __future__ import annotations

import pytest

from app.store.connection import parameters_of, place_of
from app.store.errors import StoreError


@pytest.mark.parametrize(
    ("database_url", "place"),
    [
        ("postgresql://bot:sekret@db:5432/fleet", "database 'fleet' at 'db' (user 'bot')"),
        ("postgres://bot:s%40k@db/", "database 'bot' at 'db' (user 'bot')"),
        ("host=db user=bot password=sekret dbname=fleet", "database 'fleet' at 'db' (user 'bot')"),
        ("postgresql://bot@/fleet?host=/run/postgresql", "database 'fleet' at '/run/postgresql' (user 'bot')"),
        ("dbname=fleet", "database 'fleet' at 'localhost' (user '')"),
    ],
)
def test_the_place_of_a_database(database_url: str, place: str) -> None:
    assert place_of(database_url) == place


@pytest.mark.parametrize(
    "text", ["nonsense sekret", "mysql://bot:sekret@db/fleet", "postgresql://bot:sekret@[db/fleet"]
)
def test_a_text_that_is_no_url_is_not_repeated(text: str) -> None:
    with pytest.raises(StoreError) as caught:
        place_of(text)
    assert str(caught.value) == (
        "DATABASE_URL is not a PostgreSQL URL; write postgresql://user:password@host:5432/database"
    )
    assert caught.value.__suppress_context__


def test_parameters_of_the_url_win() -> None:
    parameters = parameters_of("postgresql://bot@db/fleet?connect_timeout=9&keepalives_idle=60")
    assert (parameters["connect_timeout"], parameters["keepalives_idle"], parameters["tcp_user_timeout"]) == (
        "9",
        "60",
        6000,
    )
