"""JSON Schema of ``bots_config.yaml``, for editors."""

from __future__ import annotations

import json
from typing import Any

from app.config.fleet import FleetFile


def schema() -> str:
    """Write the schema: what editors complete and underline; the exact rules are those of ``flotilla check``."""
    text = FleetFile.model_json_schema(by_alias=True)
    text |= {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "bots_config.yaml"}
    _accept_url(text["$defs"]["Webhook"])
    return json.dumps(text, indent=2, ensure_ascii=False) + "\n"


def _accept_url(webhook: dict[str, Any]) -> None:
    """Describe the second spelling of ``base_url``, which pydantic leaves out."""
    webhook["properties"]["url"] = {**webhook["properties"]["base_url"], "description": "The same as base_url"}
    webhook["required"] = []
    webhook["oneOf"] = [{"required": ["base_url"]}, {"required": ["url"]}]
