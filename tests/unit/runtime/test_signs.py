"""What a host sees of its own bots, and what of that is an alert."""

from __future__ import annotations

import pytest

from app.runtime.bot import State
from app.runtime.signs import DAY, Signs, troubles


@pytest.mark.parametrize(
    ("signs", "found"),
    [
        (Signs(State.POLLING, poll_age=120.0), {}),
        (Signs(State.POLLING, poll_age=180.4), {"BotNotPolling": "for 3 min"}),
        (Signs(State.REFUSED), {"TokenRevoked": ""}),
        (Signs(State.STANDBY), {}),
        (Signs(State.WEBHOOK, webhook_error="refused", webhook_error_age=10, pending=0), {}),
        (Signs(State.WEBHOOK, webhook_error="refused", webhook_error_age=300, pending=2), {}),
        (
            Signs(State.WEBHOOK, webhook_error="refused", webhook_error_age=299, pending=2),
            {"WebhookErrors": "refused"},
        ),
        (Signs(State.POLLING, errors=9), {}),
        (Signs(State.POLLING, errors=10), {"BotErrors": "10 within 10 min"}),
        (Signs(State.WEBHOOK, certificate_left=14 * DAY), {}),
        (Signs(State.WEBHOOK, certificate_left=3.2 * DAY), {"CertificateExpiring": "in 3 days"}),
        (Signs(State.WEBHOOK, certificate_left=-5.0), {"CertificateExpiring": "in 0 days"}),
        (Signs(State.POLLING, disk_free=0.1), {}),
        (Signs(State.POLLING, disk_free=0.031), {"DiskNearlyFull": "3% are free"}),
    ],
)
def test_what_is_an_alert(signs: Signs, found: dict[str, str]) -> None:
    assert troubles(signs) == found
