"""The counters of a host, in Prometheus' conventions; label values come from closed sets."""

from __future__ import annotations

from prometheus_client import Counter

UPDATES = Counter("flotilla_updates", "Updates by outcome of their turn: committed, seen, dead", ["bot", "outcome"])
SENDS = Counter("flotilla_sends", "Calls of the outbox by method and outcome", ["bot", "method", "outcome"])
UNKNOWN_SENDS = Counter(
    "flotilla_unknown_sends", "Calls that were sent but never answered: they may appear twice", ["bot"]
)
RESENT = Counter(
    "flotilla_resent_messages", "Messages of an earlier process sent at a start: they may appear twice", ["bot"]
)
TIMERS = Counter("flotilla_timers", "Due timers by outcome: delivered, postponed", ["bot", "outcome"])
DEAD_UPDATES = Counter("flotilla_dead_updates", "Updates set aside because their turn fails", ["bot"])
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
