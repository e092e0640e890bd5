"""The pages that hosts serve, each one file without anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the content security policy that lets its own script run and no other."""

    text: str
    policy: str


def app_page(texts: Mapping[str, Mapping[str, str]], language: str | None, framed_by: str) -> Page:
    """Return the page of mini apps; it speaks ``language``, else that of who opened it, with ``texts`` of each.

    What an author writes into a question may look as they like and show media from anywhere. ``framed_by`` lists the
    sites that may show the page in a frame.
    """
    template = _read("app.html")
    told = html.escape(json.dumps({"texts": texts, "language": language}, ensure_ascii=False))
    return Page(template.text.replace("{told}", told), f"{template.policy}; frame-ancestors {framed_by}")


@cache
def _read(name: str) -> Page:
    text = (files(__name__) / name).read_text(encoding="utf-8")
    digests = [hashlib.sha256(script.encode()).digest() for script in _SCRIPT.findall(text)]
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; connect-src 'self'; "
        "img-src https: data:; media-src https:; font-src https:; form-action 'none'; base-uri 'none'"
    )
    return Page(text, policy)
