"""What a host counts and times, in Prometheus' conventions; all label values come from closed sets.

Each bot has a ``Meter``, in which its labels are looked up once: that costs more than the counting. What is not counted
but looked at, such as states, is added at each scrape by ``app.runtime.gauges``.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from functools import cache
from io import BufferedReader, RawIOBase
from threading import Thread
from time import monotonic
from typing import Any, Literal, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    make_wsgi_app,
)
from prometheus_client.registry import Collector

from app.errors import FlotillaError
from app.observe.plain import structlog

# What nobody makes use of is not to be paid for at each scrape.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY.unregister(GC_COLLECTOR)
REGISTRY.unregister(PLATFORM_COLLECTOR)

OTHER = "other"
"""The label of what is in no closed set."""

UPDATE_TYPES = frozenset(
    [
        "message",
        "edited_message",
        "channel_post",
        "edited_channel_post",
        "business_connection",
        "business_message",
        "edited_business_message",
        "deleted_business_messages",
        "guest_message",
        "message_reaction",
        "message_reaction_count",
        "inline_query",
        "chosen_inline_result",
        "callback_query",
        "shipping_query",
        "pre_checkout_query",
        "purchased_paid_media",
        "poll",
        "poll_answer",
        "my_chat_member",
        "chat_member",
        "chat_join_request",
        "chat_boost",
        "removed_chat_boost",
        "managed_bot",
        "subscription",
        "stopped_message_generation",
    ]
)
"""The Bot API's types of updates, as aiogram knows them; importing it for them would cost too much."""

METHODS = frozenset(
    [
        "sendMessage",
        "sendPoll",
        "stopPoll",
        "editMessageText",
        "editMessageReplyMarkup",
        "sendMediaGroup",
        "sendPhoto",
        "sendVideo",
        "sendAnimation",
        "sendAudio",
        "sendDocument",
        "sendVoice",
    ]
)
"""The methods that the outbox calls."""

JOB_KINDS = frozenset(["reply", "transcription"])
"""The kinds of ``app.engine.action.JobKind``."""

QUICK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)
"""Seconds: what happens here and in the database."""

SLOW_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0)
"""Seconds: what waits for Telegram too, and for its limits."""

RECEIVED = Counter("flotilla_received_updates", "Updates that Telegram delivered, by type", ["bot", "type"])
UPDATES = Counter("flotilla_updates", "Updates by outcome of their turn: committed, seen, dead", ["bot", "outcome"])
TURN_SECONDS = Histogram(
    "flotilla_turn_seconds", "Duration of a turn, its transaction included", ["bot"], buckets=QUICK_BUCKETS
)
COMMIT_SECONDS = Histogram(
    "flotilla_receive_to_commit_seconds",
    "Time from the receipt of an update until its effect is committed",
    ["bot"],
    buckets=QUICK_BUCKETS,
)
SENT_SECONDS = Histogram(
    "flotilla_receive_to_sent_seconds",
    "Time from the receipt of updates until Telegram accepted a message that answers one",
    ["bot"],
    buckets=SLOW_BUCKETS,
)
SENDS = Counter(
    "flotilla_sends",
    "Calls of the outbox by method and outcome: sent, flood, unavailable, rejected, refused",
    ["bot", "method", "outcome"],
)
FLOOD_WAITS = Counter("flotilla_flood_waits", "Calls that Telegram put off because of its limits (429)", ["bot"])
UNKNOWN_SENDS = Counter(
    "flotilla_unknown_sends", "Calls that were sent but never answered: they may appear twice", ["bot"]
)
RESENT = Counter(
    "flotilla_resent_messages", "Messages of an earlier process sent at a start: they may appear twice", ["bot"]
)
TIMERS = Counter("flotilla_timers", "Due timers by outcome: delivered, postponed", ["bot", "outcome"])
DEAD_UPDATES = Counter("flotilla_dead_updates", "Updates set aside because their turn fails", ["bot"])
TOKENS_REFUSED = Gauge(
    "flotilla_token_refused",
    "1 for each bot of the fleet whose token Telegram refuses, told by the host that keeps the watch: that bot's own"
    " host may have ended of it",
    ["bot"],
)
ERRORS = Counter("flotilla_errors", "Errors in the log; those of no single bot have an empty label", ["bot"])
REFUSED_REQUESTS = Counter(
    "flotilla_refused_requests", "Webhook requests that were refused, by HTTP status", ["bot", "status"]
)
JOBS = Counter("flotilla_jobs", "Jobs by outcome: done, dropped, postponed, given up", ["bot", "kind", "outcome"])
PLUGIN_UPDATES = Counter(
    "flotilla_plugin_updates",
    "Updates that a plugin was given by outcome: handled, not handled, failed, too slow, refused",
    ["bot", "outcome"],
)
TOKENS = Counter("flotilla_tokens", "Tokens of the model by direction: input, output", ["bot", "direction"])


class MetricsAddressError(FlotillaError):
    """The metrics cannot be served where they should."""


class _Server(WSGIServer):
    """Takes one request after the other."""

    _client: socket.socket | None = None

    def get_request(self) -> tuple[socket.socket, Any]:
        """Remember who is served."""
        self._client, address = super().get_request()
        return self._client, address

    def hang_up(self) -> None:
        """End the request under way: a client that never ends it must not hold up the end of the host."""
        client = self._client
        if client is not None:
            with suppress(OSError):  # it has ended already
                client.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong, unless it is a client that is gone or says nothing."""
        if not isinstance(sys.exception(), OSError):
            structlog.get_logger(__name__).exception("request for metrics failed")


class _Request(RawIOBase):
    """What a client sends, all of which has to come within so many seconds."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._until = monotonic() + seconds

    def readable(self) -> bool:
        """Tell ``BufferedReader`` that it may read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has come; raises ``TimeoutError``."""
        left = self._until - monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(self._seconds)  # for the answer


class _Handler(WSGIRequestHandler):
    """Takes requests, without a log of them."""

    timeout = 2.0
    """Seconds that a client may take over its request, as the next one waits: of ``StreamRequestHandler``."""

    def setup(self) -> None:
        """Count the whole request, not each part of it."""
        super().setup()
        self.rfile = BufferedReader(_Request(self.connection, self.timeout))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing."""


def _app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer in Prometheus' text format, uncompressed, whatever else the client would take.

    OpenMetrics takes half as long again to write, and compression as much once more: for a way within one machine.
    """
    environ.pop("HTTP_ACCEPT", None)
    try:
        return cast("Iterable[bytes]", _registry_app(environ, start_response))
    except Exception:
        structlog.get_logger(__name__).exception("metrics cannot be told")
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [b"see the log of the host\n"]


_registry_app = make_wsgi_app(REGISTRY, disable_compression=True)


@contextmanager
def serving(listen: tuple[str, int], gauges: Collector) -> Iterator[int]:
    """Serve the metrics of this process at an address and port (0: any free one) meanwhile, and yield the port.

    One thread answers all, as a thread for each scrape would cost a third more. There is one registry per process:
    ``gauges`` belong to it meanwhile.
    Raises ``MetricsAddressError``.
    """
    address, port = listen
    try:
        server = make_server(address, port, _app, _Server, _Handler)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise MetricsAddressError(
            f"port {port} of {address} cannot be used for metrics ({reason}); "
            "stop the program that uses it, or choose another with METRICS_PORT"
        ) from error
    REGISTRY.register(gauges)
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.hang_up()
        server.shutdown()
        server.server_close()
        thread.join()
        REGISTRY.unregister(gauges)


SendOutcome = Literal["sent", "flood", "unavailable", "rejected", "refused"]

_HOST = ""
ERRORS.labels(_HOST)  # there from the start, as those of the bots are
_metered: set[str] = set()


class Meter:
    """The counters of one bot; what may be missing for long in others' queries is there from the start, as 0."""

    def __init__(self, bot: str) -> None:
        self.bot = bot
        self.committed = UPDATES.labels(bot, "committed")
        self.seen = UPDATES.labels(bot, "seen")
        self.dead = UPDATES.labels(bot, "dead")
        self.dead_updates = DEAD_UPDATES.labels(bot)
        self.turn_seconds = TURN_SECONDS.labels(bot)
        self.commit_seconds = COMMIT_SECONDS.labels(bot)
        self.sent_seconds = SENT_SECONDS.labels(bot)
        self.flood_waits = FLOOD_WAITS.labels(bot)
        self.unknown_sends = UNKNOWN_SENDS.labels(bot)
        self.resent = RESENT.labels(bot)
        self.timers_delivered = TIMERS.labels(bot, "delivered")
        self.timers_postponed = TIMERS.labels(bot, "postponed")
        self.errors = ERRORS.labels(bot)
        self.input_tokens = TOKENS.labels(bot, "input")
        self.output_tokens = TOKENS.labels(bot, "output")
        self._received: dict[str, Counter] = {}
        self._sends: dict[tuple[str, str], Counter] = {}

    def received(self, kind: str) -> None:
        """Count an update of a type that Telegram delivered."""
        counter = self._received.get(kind)
        if counter is None:
            counter = RECEIVED.labels(self.bot, kind if kind in UPDATE_TYPES else OTHER)
            if kind in UPDATE_TYPES:
                self._received[kind] = counter
        counter.inc()

    def called(self, method: str, outcome: SendOutcome) -> None:
        """Count a call of the outbox."""
        counter = self._sends.get((method, outcome))
        if counter is None:
            counter = SENDS.labels(self.bot, method if method in METHODS else OTHER, outcome)
            if method in METHODS:
                self._sends[method, outcome] = counter
        counter.inc()
        if outcome == "flood":
            self.flood_waits.inc()

    def ended(self, kind: str, outcome: str) -> None:
        """Count a job that is done, dropped, postponed or given up."""
        JOBS.labels(self.bot, kind if kind in JOB_KINDS else OTHER, outcome).inc()

    @property
    def errors_so_far(self) -> int:
        """How many errors of the bot this process has logged."""
        (metric,) = self.errors.collect()
        return int(metric.samples[0].value)


@cache
def meter_of(bot: str) -> Meter:
    """Return the meter of a bot: the same each time."""
    _metered.add(bot)
    return Meter(bot)


def count_errors(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Count the errors of a log: a processor of structlog that passes each event on as it is."""
    if event.get("level") in ("error", "critical"):
        bot = event.get("bot")
        ERRORS.labels(bot if bot in _metered else _HOST).inc()
    return event
