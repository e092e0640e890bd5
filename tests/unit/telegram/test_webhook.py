"""Whether a webhook is as it should be, as far as Telegram tells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.telegram.decode import ALLOWED_UPDATES
from app.telegram.webhook import Registration, WebhookInfo

WANTED = Registration("https://h/x", "s3cret", 40)
INFO = WebhookInfo("https://h/x", False, 40, frozenset(ALLOWED_UPDATES), pending=3)


@pytest.mark.parametrize(
    ("info", "is_shown"),
    [
        (INFO, True),
        (replace(INFO, pending=0, error_date=5, error="Connection refused"), True),
        (replace(INFO, url=""), False),
        (replace(INFO, url="https://h/y"), False),
        (replace(INFO, max_connections=41), False),
        (replace(INFO, max_connections=None), False),
        (replace(INFO, allowed_updates=frozenset()), False),
        (replace(INFO, allowed_updates=frozenset({*ALLOWED_UPDATES, "poll"})), False),
        (replace(INFO, has_certificate=True), False),
    ],
)
def test_what_differs(info: WebhookInfo, is_shown: bool) -> None:
    assert WANTED.is_shown_by(info) is is_shown


def test_an_own_certificate() -> None:
    wanted = replace(WANTED, certificate=b"PEM")
    assert not wanted.is_shown_by(INFO)
    assert wanted.is_shown_by(replace(INFO, has_certificate=True))


def test_neither_secret_nor_certificate_is_printed() -> None:
    assert repr(replace(WANTED, certificate=b"PEM")) == (
        "Registration(url='https://h/x', max_connections=40, kinds=('message', 'callback_query', 'poll_answer'))"
    )
