"""The JSON Schema for editors."""

from __future__ import annotations

import json
from pathlib import Path

from app.config.fleet import Bot, FleetFile, Webhook
from app.config.schema import schema

CHECKOUT = Path(__file__).parents[3]


def test_the_committed_schema_is_current() -> None:
    assert (CHECKOUT / "bots_config.schema.json").read_text(encoding="utf-8") == schema()


def test_every_key_is_in_it() -> None:
    found = json.loads(schema())
    assert set(found["properties"]) == set(FleetFile.model_fields)
    assert set(found["$defs"]["Bot"]["properties"]) == set(Bot.model_fields)
    assert set(found["$defs"]["Webhook"]["properties"]) == {*Webhook.model_fields, "url"}


def test_unknown_keys_are_refused() -> None:
    found = json.loads(schema())
    assert [part["additionalProperties"] for part in (found, *found["$defs"].values()) if "properties" in part] == [
        False
    ] * 8
