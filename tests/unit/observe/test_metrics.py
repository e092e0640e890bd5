"""What is counted where: closed sets of labels, errors by their bots."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY, Metric
from prometheus_client.registry import Collector

from app.engine.action import JobKind
from app.observe import metrics
from app.observe.logs import configure_logs
from app.observe.metrics import JOB_KINDS, UPDATE_TYPES, Meter, count_errors, meter_of, serving
from app.observe.plain import structlog
from app.telegram.lean import import_aiogram


class Gauges(Collector):
    """None; in trouble it fails."""

    is_in_trouble = False

    def collect(self) -> Iterator[Metric]:
        """Return nothing, or fail."""
        if self.is_in_trouble:
            raise LookupError("no such gauge")
        return iter(())


def get(port: int) -> bytes:
    """Return the status line of a scrape."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        return client.makefile("rb").readline()


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


def test_errors_of_no_bot_are_counted_from_the_start() -> None:
    program = (
        "import app.observe.metrics as m; print(m.REGISTRY.get_sample_value('flotilla_errors_total', {'bot': ''}))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"0.0\n"


def test_a_client_that_says_nothing_is_sent_away_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics._Handler, "timeout", 0.01)
    with serving(("127.0.0.1", 0), Gauges()) as port:
        with socket.create_connection(("127.0.0.1", port)) as silent:
            assert silent.recv(1) == b""
        assert get(port) == b"HTTP/1.0 200 OK\r\n"
    assert capfd.readouterr().err == ""


def test_a_slow_client_does_not_keep_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics._Handler, "timeout", 0.3)
    with serving(("127.0.0.1", 0), Gauges()) as port, socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert is_sent_away(slow)
        assert get(port) == b"HTTP/1.0 200 OK\r\n"


def is_sent_away(client: socket.socket) -> bool:
    """Send byte by byte, each soon enough, until the server hangs up."""
    client.settimeout(0.05)
    for _ in range(1000):
        try:
            client.sendall(b"a")
            client.recv(1)
        except TimeoutError:
            continue
        except ConnectionError:
            pass
        return True
    return False


def test_a_client_that_never_ends_does_not_hold_up_the_end() -> None:
    is_gone = threading.Event()
    with socket.socket() as client:

        def drip() -> None:
            try:
                while not is_gone.wait(0.01):
                    client.sendall(b"x")
            except OSError:
                is_gone.set()

        with serving(("127.0.0.1", 0), Gauges()) as port:
            client.connect(("127.0.0.1", port))
            threading.Thread(target=drip, daemon=True).start()
        assert is_gone.wait(30)


def test_a_scrape_that_fails_is_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    configure_logs("json")
    gauges = Gauges()
    try:
        with serving(("127.0.0.1", 0), gauges) as port:
            gauges.is_in_trouble = True
            assert get(port) == b"HTTP/1.0 500 Internal Server Error\r\n"
    finally:
        structlog.configure(**before)
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["level"], told["event"]) == ("error", "metrics cannot be told")
    assert "LookupError: no such gauge" in told["exception"]
