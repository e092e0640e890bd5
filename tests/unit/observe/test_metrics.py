"""What is counted where: closed sets of labels, errors by their bots."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from app.engine.action import JobKind
from app.observe.metrics import JOB_KINDS, UPDATE_TYPES, Meter, count_errors, meter_of
from app.telegram.lean import import_aiogram


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


@pytest.fixture
def meter(request: pytest.FixtureRequest) -> Meter:
    """A bot of this test's own."""
    return meter_of(f"bot of {request.node.name}")


def test_a_bot_has_one_meter() -> None:
    assert meter_of("one") is meter_of("one")


def test_an_update_of_an_unknown_type_is_another(meter: Meter) -> None:
    for kind in ("message", "message", "surprise", ""):
        meter.received(kind)
    found = {kind: value("flotilla_received_updates_total", bot=meter.bot, type=kind) for kind in ("message", "other")}
    assert found == {"message": 2, "other": 2}
    assert value("flotilla_received_updates_total", bot=meter.bot, type="surprise") is None


def test_an_unknown_method_is_another(meter: Meter) -> None:
    meter.called("sendMessage", "sent")
    meter.called("sendSurprise", "flood")
    assert value("flotilla_sends_total", bot=meter.bot, method="sendMessage", outcome="sent") == 1
    assert value("flotilla_sends_total", bot=meter.bot, method="other", outcome="flood") == 1
    assert value("flotilla_flood_waits_total", bot=meter.bot) == 1


def test_errors_are_those_of_their_bot(meter: Meter) -> None:
    before = value("flotilla_errors_total", bot="") or 0
    for level in ("debug", "info", "warning", "error", "critical"):
        count_errors(None, "", {"level": level, "bot": meter.bot})
    count_errors(None, "", {"level": "error", "bot": "of no host"})
    count_errors(None, "", {"level": "error"})
    assert value("flotilla_errors_total", bot=meter.bot) == meter.errors_so_far == 2
    assert value("flotilla_errors_total", bot="") == before + 2
    assert value("flotilla_errors_total", bot="of no host") is None


def test_kinds_of_jobs_are_the_engines() -> None:
    assert {kind.value for kind in JobKind} == JOB_KINDS


def test_types_of_updates_are_aiograms() -> None:
    import_aiogram()
    from aiogram.types import Update

    assert set(Update.model_fields) - {"update_id"} == UPDATE_TYPES
